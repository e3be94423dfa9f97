//! One curve: the cost at every number, and what it is in relation to the first one of the same round.

use std::fmt;

use crate::{
    plot::{Line, Mark},
    round::Measured,
    statistics::{Spread, cell},
};

/// The cost of a request over one number.
pub(crate) struct Curve {
    /// What grows.
    pub(crate) of: &'static str,
    /// The contestants; ours is the first.
    names: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    number: u64,
    cost: Vec<Option<Spread>>,
    /// Per cent above the first number.
    growth: Vec<Option<Spread>>,
    /// Points of per cent that ours has grown more than the other.
    beyond: Option<Spread>,
    /// Rounds in which a measurement had errors.
    void: usize,
}

impl Curve {
    /// `rounds`: by round, number and contestant.
    pub(crate) fn new(of: &'static str, names: Vec<String>, numbers: Vec<u64>, rounds: &[Vec<Vec<Measured>>]) -> Self {
        let cost = |round: &[Vec<Measured>], at: usize, who: usize| round[at][who].cost();
        let growth = |round: &[Vec<Measured>], at: usize, who: usize| {
            Some((cost(round, at, who)? / cost(round, 0, who)? - 1.0) * 100.0)
        };
        let beyond = |round: &[Vec<Measured>], at: usize| {
            (names.len() > 1).then_some(())?;
            Some(growth(round, at, 0)? - growth(round, at, 1)?)
        };
        let all = || 0..names.len();
        let row = |(at, number)| Row {
            number,
            cost: all().map(|who| Spread::of(rounds.iter().filter_map(|round| cost(round, at, who)))).collect(),
            growth: all().map(|who| Spread::of(rounds.iter().filter_map(|round| growth(round, at, who)))).collect(),
            void: rounds.iter().filter(|round| all().any(|who| cost(round, at, who).is_none())).count(),
            beyond: Spread::of(rounds.iter().filter_map(|round| beyond(round, at))),
        };
        Self { of, rows: numbers.into_iter().enumerate().map(row).collect(), names }
    }

    pub(crate) fn title(&self) -> String {
        format!("Growth with {}", self.of)
    }

    /// The costs as lines of a plot, ours first.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let marks = |who: usize| {
            let mark = |row: &Row| Some(Mark { at: row.number, figure: row.cost[who]? });
            self.rows.iter().filter_map(mark).collect()
        };
        self.names.iter().enumerate().map(|(who, name)| Line { name: name.clone(), marks: marks(who) }).collect()
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |spread: Option<Spread>| {
            spread.map_or_else(
                || "–".to_owned(),
                |spread| format!("{:+.0} ({:+.0} to {:+.0})", spread.median, spread.min, spread.max),
            )
        };
        let beside = self.names.get(1);
        writeln!(f, "## {}\n", self.title())?;
        let heads: String =
            self.names.iter().map(|name| format!(" {name} CPU µs/request | {name} growth % |")).collect();
        let beyond = beside.map_or_else(String::new, |name| format!(" points more than {name} |"));
        writeln!(f, "| {} |{heads}{beyond} void rounds |", self.of)?;
        let columns = 2 + 2 * self.names.len() + usize::from(beside.is_some());
        writeln!(f, "|{}", " --- |".repeat(columns))?;
        for row in &self.rows {
            write!(f, "| {} |", row.number)?;
            for (cost, growth) in row.cost.iter().zip(&row.growth) {
                write!(f, " {} | {} |", cell(*cost), percent(*growth))?;
            }
            if beside.is_some() {
                write!(f, " {} |", percent(row.beyond))?;
            }
            writeln!(f, " {} |", row.void)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Seen;

    fn measured(micros: u64) -> Measured {
        let seen = Seen { requests: 1_000, duration: Duration::from_secs(1), ..Seen::default() };
        Measured { cpu: Duration::from_micros(micros * 1_000), seen, misses: 0 }
    }

    #[test]
    fn growth_is_relative_to_the_first_point_of_the_same_round() {
        let rounds = [vec![vec![measured(20)], vec![measured(22)]], vec![vec![measured(40)], vec![measured(44)]]];
        let curve = Curve::new("stamps", vec!["ours".into()], vec![10, 1_000], &rounds);
        let text = curve.to_string();
        assert!(text.contains("| 1000 | 33.00 (22.00–44.00) | +10 (+10 to +10) | 0 |\n"), "{text}");
        assert!(text.contains("| ours growth % | void rounds |\n| --- | --- | --- | --- |\n"), "{text}");
        assert_eq!(curve.lines()[0].marks.len(), 2);
    }

    #[test]
    fn with_a_peer_beside_it_the_difference_is_in_points() {
        let rounds = [vec![vec![measured(20), measured(10)], vec![measured(26), measured(12)]]];
        let curve = Curve::new("connections", vec!["ours".into(), "nginx".into()], vec![64, 10_000], &rounds);
        let text = curve.to_string();
        assert!(
            text.contains("| +30 (+30 to +30) | 12.00 (12.00–12.00) | +20 (+20 to +20) | +10 (+10 to +10) |"),
            "{text}"
        );
    }

    #[test]
    fn a_void_measurement_leaves_a_gap() {
        let mut void = measured(20);
        void.seen.errors = 1;
        let curve = Curve::new("stamps", vec!["ours".into()], vec![10, 100], &[vec![vec![measured(20)], vec![void]]]);
        assert!(curve.to_string().contains("| 100 | – | – | 1 |"), "{curve}");
        assert_eq!(curve.lines()[0].marks.len(), 1);
    }
}
