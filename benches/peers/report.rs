//! Tables of cost: what a request costs, and the ratio to another contestant, paired round by round.

use std::{fmt, time::Duration};

use crate::{
    contestant::{Contestant, Kind},
    plot::Bar,
    round::Measured,
    statistics::{Spread, cell},
};

/// One question and its answer.
pub(crate) struct Table {
    title: String,
    /// What the ratio is to.
    reference: String,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    kind: Kind,
    cost: Option<Spread>,
    ratio: Option<Spread>,
    rate: Option<Spread>,
    p50: Option<Spread>,
    p99: Option<Spread>,
    void: usize,
}

/// All tables that the rounds answer.
pub(crate) fn tables(contestants: &[Contestant], rounds: &[Vec<Measured>], hits: bool) -> Vec<Table> {
    let names: Vec<(String, Kind)> =
        contestants.iter().map(|contestant| (contestant.name.clone(), contestant.kind)).collect();
    let mut tables = if hits { kept(&names, rounds) } else { vec![cost(&names, rounds)] };
    tables.extend(limited(&names, rounds));
    tables.extend(forwarded(&names, rounds));
    tables.extend(baseline(&names, rounds));
    tables
}

/// Everybody who goes alone, beside the best peer.
fn cost(names: &[(String, Kind)], rounds: &[Vec<Measured>]) -> Table {
    let best = best(names, rounds, Kind::Peer);
    let apart = [Kind::Forwarded, Kind::Limited, Kind::LimitedPeer];
    let alone = (0..names.len()).filter(|index| !apart.contains(&names[*index].1));
    Table {
        title: "CPU time per request".into(),
        reference: best.map_or_else(|| "the best peer".into(), |index| names[index].0.clone()),
        rows: alone.map(|index| row(names, rounds, index, best)).collect(),
    }
}

/// Everybody's hits, once beside each peer; the best one first.
fn kept(names: &[(String, Kind)], rounds: &[Vec<Measured>]) -> Vec<Table> {
    let beside = |reference: Option<usize>| {
        let name = reference.map_or("the best peer", |index| &names[index].0);
        Table {
            title: format!("CPU time per hit beside {name}"),
            reference: name.to_owned(),
            rows: (0..names.len()).map(|index| row(names, rounds, index, reference)).collect(),
        }
    };
    let best = best(names, rounds, Kind::Peer);
    let others =
        (0..names.len()).filter(|index| names[*index].1 == Kind::Peer && best.is_some_and(|best| best != *index));
    std::iter::once(best).chain(others.map(Some)).map(beside).collect()
}

/// The cheapest of this kind.
fn best(names: &[(String, Kind)], rounds: &[Vec<Measured>], kind: Kind) -> Option<usize> {
    (0..names.len())
        .filter(|index| names[*index].1 == kind)
        .filter_map(|index| Some((index, Spread::of(costs(rounds, index))?.median)))
        .min_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(index, _)| index)
}

/// Everybody who counts requests, beside the best peer that does; and each beside itself without.
fn limited(names: &[(String, Kind)], rounds: &[Vec<Measured>]) -> Vec<Table> {
    let limited = || (0..names.len()).filter(|index| matches!(names[*index].1, Kind::Limited | Kind::LimitedPeer));
    if limited().count() == 0 {
        return Vec::new();
    }
    let best = best(names, rounds, Kind::LimitedPeer);
    // each comes behind itself without
    let without = |index: usize| {
        let kind = if names[index].1 == Kind::Limited { Kind::Ours } else { Kind::Peer };
        (0..index).rev().find(|other| names[*other].1 == kind)
    };
    vec![
        Table {
            title: "With a limit of the tenant and one of the user".into(),
            reference: best.map_or_else(|| "the best peer".into(), |index| names[index].0.clone()),
            rows: limited().map(|index| row(names, rounds, index, best)).collect(),
        },
        Table {
            title: "What these limits cost".into(),
            reference: "without".into(),
            rows: limited().map(|index| row(names, rounds, index, without(index))).collect(),
        },
    ]
}

/// Both ways of each build, beside its local one.
fn forwarded(names: &[(String, Kind)], rounds: &[Vec<Measured>]) -> Option<Table> {
    let mut rows = Vec::new();
    let mut local = None;
    for (index, (_, kind)) in names.iter().enumerate() {
        match kind {
            Kind::Ours => local = Some(index),
            Kind::Forwarded => {
                rows.extend(local.map(|local| row(names, rounds, local, Some(local))));
                rows.push(row(names, rounds, index, local));
            }
            _ => {}
        }
    }
    let title = "Forwarded through two proxies (CPU of both)".into();
    (!rows.is_empty()).then(|| Table { title, reference: "local".into(), rows })
}

/// Today's builds beside the older one.
fn baseline(names: &[(String, Kind)], rounds: &[Vec<Measured>]) -> Option<Table> {
    let older = names.iter().position(|(_, kind)| *kind == Kind::Baseline)?;
    let ours = (0..names.len()).filter(|index| names[*index].1 == Kind::Ours);
    Some(Table {
        title: format!("Since {}", names[older].0),
        reference: names[older].0.clone(),
        rows: std::iter::once(older).chain(ours).map(|index| row(names, rounds, index, Some(older))).collect(),
    })
}

fn costs(rounds: &[Vec<Measured>], index: usize) -> impl Iterator<Item = f64> + '_ {
    rounds.iter().filter_map(move |round| round[index].cost())
}

fn row(names: &[(String, Kind)], rounds: &[Vec<Measured>], index: usize, reference: Option<usize>) -> Row {
    let sound = || rounds.iter().map(|round| &round[index]).filter(|measured| measured.cost().is_some());
    let pair = |round: &Vec<Measured>| Some(round[index].cost()? / round[reference?].cost()?);
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    Row {
        name: names[index].0.clone(),
        kind: names[index].1,
        cost: Spread::of(costs(rounds, index)),
        ratio: Spread::of(rounds.iter().filter_map(pair)),
        rate: Spread::of(sound().map(Measured::rate)),
        p50: Spread::of(sound().map(|measured| micros(measured.seen.p50))),
        p99: Spread::of(sound().map(|measured| micros(measured.seen.p99))),
        void: rounds.len() - sound().count(),
    }
}

impl Table {
    /// The worst of this proxy's builds, without access logs and older commits; `None` if one of them has no ratio.
    pub(crate) fn worst_ratio(&self) -> Option<f64> {
        let ours = self.rows.iter().filter(|row| row.kind == Kind::Ours);
        let ratios: Vec<f64> = ours.map(|row| Some(row.ratio?.median)).collect::<Option<_>>()?;
        ratios.into_iter().max_by(f64::total_cmp)
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// The costs as bars of a plot.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let bar = |row: &Row| {
            Some(Bar {
                name: row.name.clone(),
                figure: row.cost?,
                ours: !matches!(row.kind, Kind::Peer | Kind::LimitedPeer),
            })
        };
        self.rows.iter().filter_map(bar).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title)?;
        writeln!(f, "| proxy | CPU µs/request | × {} | requests/s | p50 µs | p99 µs | void rounds |", self.reference)?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- |")?;
        let whole =
            |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.0}", spread.median));
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.name,
                cell(row.cost),
                cell(row.ratio),
                whole(row.rate),
                whole(row.p50),
                whole(row.p99),
                row.void
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Seen;

    fn measured(micros: u64, errors: u64) -> Measured {
        let seen = Seen { requests: 1_000, errors, duration: Duration::from_secs(1), ..Seen::default() };
        Measured { cpu: Duration::from_micros(micros * 1_000), seen, misses: 0 }
    }

    fn round(micros: &[u64]) -> Vec<Measured> {
        micros.iter().map(|micros| measured(*micros, 0)).collect()
    }

    fn names(rows: &[(&str, Kind)]) -> Vec<(String, Kind)> {
        rows.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    const THREE: [(&str, Kind); 3] = [("nginx", Kind::Peer), ("HAProxy", Kind::Peer), ("ours", Kind::Ours)];

    #[test]
    fn ratios_are_paired_with_the_best_peer_of_the_same_round() {
        let rounds = [round(&[20, 22, 18]), round(&[40, 43, 36]), round(&[20, 22, 30])];
        let table = cost(&names(&THREE), &rounds);
        assert_eq!(table.reference, "nginx");
        let ratio = table.worst_ratio().unwrap();
        assert!((ratio - 0.9).abs() < 1e-9, "a noisy round hits both: {ratio}");
        assert!(table.to_string().contains("| ours | 30.00 (18.00–36.00) | 0.90 (0.90–1.50) |"), "{table}");
    }

    #[test]
    fn a_round_with_errors_is_void() {
        let rounds = [vec![measured(20, 0), measured(22, 0), measured(5, 1)]];
        let table = cost(&names(&THREE), &rounds);
        assert_eq!(table.worst_ratio(), None);
        assert!(table.to_string().contains("| ours | – | – | – | – | – | 1 |"), "{table}");
    }

    #[test]
    fn the_gate_judges_this_proxy_and_not_its_log_or_its_past() {
        let rows = [("nginx", Kind::Peer), ("old", Kind::Baseline), ("ours", Kind::Ours), ("logging", Kind::Logging)];
        let table = cost(&names(&rows), &[round(&[20, 60, 20, 40])]);
        assert_eq!(table.worst_ratio(), Some(1.0));
    }

    #[test]
    fn a_forwarded_request_is_compared_with_the_local_one_of_its_build() {
        let rows = [
            ("one", Kind::Ours),
            ("one, access log", Kind::Logging),
            ("one, forwarded", Kind::Forwarded),
            ("two", Kind::Ours),
            ("two, forwarded", Kind::Forwarded),
        ];
        let (names, rounds) = (names(&rows), [round(&[20, 30, 40, 10, 30])]);
        let table = forwarded(&names, &rounds).unwrap().to_string();
        assert!(table.contains("| one, forwarded | 40.00 (40.00–40.00) | 2.00 (2.00–2.00) |"), "{table}");
        assert!(table.contains("| two, forwarded | 30.00 (30.00–30.00) | 3.00 (3.00–3.00) |"), "{table}");
        assert!(!cost(&names, &rounds).to_string().contains("forwarded"));
    }

    #[test]
    fn who_counts_requests_is_compared_with_those_who_do_and_with_itself() {
        let rows = [
            ("nginx", Kind::Peer),
            ("nginx, limits", Kind::LimitedPeer),
            ("HAProxy", Kind::Peer),
            ("HAProxy, limits", Kind::LimitedPeer),
            ("ours", Kind::Ours),
            ("ours, access log", Kind::Logging),
            ("ours, limits", Kind::Limited),
        ];
        let (names, rounds) = (names(&rows), [round(&[20, 40, 30, 36, 10, 50, 18])]);
        let tables = limited(&names, &rounds);
        let (beside, cost_of) = (tables[0].to_string(), tables[1].to_string());
        assert!(beside.contains("× HAProxy, limits"), "{beside}");
        assert!(beside.contains("| ours, limits | 18.00 (18.00–18.00) | 0.50 (0.50–0.50) |"), "{beside}");
        assert!(cost_of.contains("| nginx, limits | 40.00 (40.00–40.00) | 2.00 (2.00–2.00) |"), "{cost_of}");
        assert!(cost_of.contains("| ours, limits | 18.00 (18.00–18.00) | 1.80 (1.80–1.80) |"), "{cost_of}");
        assert!(!cost(&names, &rounds).to_string().contains("limits"));
        assert!(limited(&names[..1], &[]).is_empty());
    }

    #[test]
    fn hits_are_compared_with_each_peer_and_judged_by_the_best() {
        let rows = [("nginx", Kind::Peer), ("Varnish", Kind::Peer), ("ours", Kind::Ours)];
        let (names, rounds) = (names(&rows), [round(&[20, 40, 10]), round(&[30, 60, 15])]);
        let tables = kept(&names, &rounds);
        assert_eq!(tables.iter().map(|table| table.reference.as_str()).collect::<Vec<_>>(), ["nginx", "Varnish"]);
        assert_eq!(tables.iter().map(Table::worst_ratio).collect::<Vec<_>>(), [Some(0.5), Some(0.25)]);
        let missed = [vec![measured(20, 0), measured(40, 0), Measured { misses: 1, ..measured(1, 0) }]];
        assert_eq!(kept(&names, &missed)[0].worst_ratio(), None, "a round with a miss is void");
        let alone = kept(&names[2..], &[round(&[10])]);
        assert_eq!((alone.len(), alone[0].worst_ratio()), (1, None));
    }

    #[test]
    fn the_older_commit_is_the_yardstick_of_its_table() {
        let rows = [("nginx", Kind::Peer), ("old", Kind::Baseline), ("ours", Kind::Ours)];
        let table = baseline(&names(&rows), &[round(&[20, 40, 30]), round(&[20, 20, 15])]).unwrap().to_string();
        assert!(table.contains("× old"), "{table}");
        assert!(table.contains("| ours | 22.50 (15.00–30.00) | 0.75 (0.75–0.75) |"), "{table}");
        assert!(baseline(&names(&THREE), &[round(&[1, 1, 1])]).is_none());
    }
}
