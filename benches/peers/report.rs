//! One table: cost, and the ratio to the better peer, paired round by round.

use std::fmt;

use crate::{contestant::Contestant, round::Measured, statistics::Spread};

/// The result of a run.
pub(crate) struct Table {
    better: Option<String>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    ours: bool,
    cost: Option<Spread>,
    ratio: Option<Spread>,
    rate: Option<Spread>,
    p50: Option<Spread>,
    p99: Option<Spread>,
    void: usize,
}

impl Table {
    pub(crate) fn of(contestants: &[Contestant], rounds: &[Vec<Measured>]) -> Self {
        let names: Vec<(String, bool)> =
            contestants.iter().map(|contestant| (contestant.name.clone(), contestant.is_ours())).collect();
        Self::from_rows(&names, rounds)
    }

    fn from_rows(names: &[(String, bool)], rounds: &[Vec<Measured>]) -> Self {
        let costs = |index: usize| rounds.iter().filter_map(move |round| round[index].cost());
        let better = (0..names.len())
            .filter(|index| !names[*index].1)
            .filter_map(|index| Some((index, Spread::of(costs(index))?.median)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .map(|(index, _)| index);
        let row = |(index, (name, ours)): (usize, &(String, bool))| {
            let sound = || rounds.iter().map(|round| &round[index]).filter(|measured| measured.cost().is_some());
            let pair = |round: &Vec<Measured>| Some(round[index].cost()? / round[better?].cost()?);
            let micros = |duration: std::time::Duration| duration.as_secs_f64() * 1e6;
            Row {
                name: name.clone(),
                ours: *ours,
                cost: Spread::of(costs(index)),
                ratio: Spread::of(rounds.iter().filter_map(pair)),
                rate: Spread::of(sound().map(Measured::rate)),
                p50: Spread::of(sound().map(|measured| micros(measured.seen.p50))),
                p99: Spread::of(sound().map(|measured| micros(measured.seen.p99))),
                void: rounds.len() - sound().count(),
            }
        };
        Self { better: better.map(|index| names[index].0.clone()), rows: names.iter().enumerate().map(row).collect() }
    }

    /// The worst of our rows; `None` if one of them has no ratio.
    pub(crate) fn worst_ratio(&self) -> Option<f64> {
        let ours = self.rows.iter().filter(|row| row.ours);
        let ratios: Vec<f64> = ours.map(|row| Some(row.ratio?.median)).collect::<Option<_>>()?;
        ratios.into_iter().max_by(f64::total_cmp)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let better = self.better.as_deref().unwrap_or("the better peer");
        writeln!(f, "| proxy | CPU µs/request | × {better} | requests/s | p50 µs | p99 µs | void rounds |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- |")?;
        let show = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string());
        let whole =
            |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.0}", spread.median));
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.name,
                show(row.cost),
                show(row.ratio),
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
    use std::time::Duration;

    use super::*;
    use crate::load::Seen;

    fn measured(micros: u64, errors: u64) -> Measured {
        let seen = Seen { requests: 1_000, errors, duration: Duration::from_secs(1), ..Seen::default() };
        Measured { cpu: Duration::from_micros(micros * 1_000), seen }
    }

    fn names() -> Vec<(String, bool)> {
        vec![("nginx".into(), false), ("HAProxy".into(), false), ("ours".into(), true)]
    }

    #[test]
    fn ratios_are_paired_with_the_better_peer_of_the_same_round() {
        let rounds = vec![
            vec![measured(20, 0), measured(22, 0), measured(18, 0)],
            vec![measured(40, 0), measured(43, 0), measured(36, 0)],
            vec![measured(20, 0), measured(22, 0), measured(30, 0)],
        ];
        let table = Table::from_rows(&names(), &rounds);
        assert_eq!(table.better.as_deref(), Some("nginx"));
        let ratio = table.worst_ratio().unwrap();
        assert!((ratio - 0.9).abs() < 1e-9, "a noisy round hits both: {ratio}");
        assert!(table.to_string().contains("| ours | 30.00 (18.00–36.00) | 0.90 (0.90–1.50) |"), "{table}");
    }

    #[test]
    fn a_round_with_errors_is_void() {
        let rounds = vec![vec![measured(20, 0), measured(22, 0), measured(5, 1)]];
        let table = Table::from_rows(&names(), &rounds);
        assert_eq!(table.worst_ratio(), None);
        assert!(table.to_string().contains("| ours | – | – | – | – | – | 1 |"), "{table}");
    }
}
