//! Memory per idle connection: what a contestant uses with many open connections beside what it uses with one.
//!
//! Every connection carries one request first, so that buffers which are made for a request and kept show.

use std::{fmt, thread, time::Duration};

use crate::{
    contestant::{Contestant, Kind},
    exchange::Client,
    plot::Bar,
    statistics::{Spread, cell},
};

/// Requests on one connection before the first look, so that what is made once is not counted.
const WARM: u32 = 500;
/// Between the last request and the second look.
const SETTLE: Duration = Duration::from_secs(1);

/// The result.
pub(crate) struct Table {
    connections: u32,
    rows: Vec<Row>,
    ours: Vec<usize>,
}

struct Row {
    name: String,
    kind: Kind,
    /// KiB per connection.
    memory: Option<Spread>,
    /// For each of our rows: its memory in relation to this one's.
    ratios: Vec<Option<Spread>>,
}

/// Measures everybody in turn, round by round.
pub(crate) fn measure(contestants: &[Contestant], connections: u32, rounds: u32) -> anyhow::Result<Table> {
    let mut figures = Vec::new();
    for index in 1..=rounds {
        let mut round = Vec::new();
        for contestant in contestants {
            let kibibytes = one(contestant, connections)?;
            eprintln!("round {index}: {} {kibibytes:.2} KiB per idle connection", contestant.name);
            round.push(kibibytes);
        }
        figures.push(round);
    }
    let names: Vec<(String, Kind)> =
        contestants.iter().map(|contestant| (contestant.name.clone(), contestant.kind)).collect();
    Ok(table(&names, connections, &figures))
}

fn one(contestant: &Contestant, connections: u32) -> anyhow::Result<f64> {
    let servers = contestant.start()?;
    let mut first = Client::connect(contestant.port)?;
    for _ in 0..WARM {
        first.get("/", &contestant.tenant)?;
    }
    let before = servers.memory()?;
    let mut open = Vec::new();
    for number in 0..connections {
        let mut client = Client::connect(contestant.port)?;
        client.get("/", &format!("tenant-{:04}", number % 1_000))?;
        open.push(client);
    }
    thread::sleep(SETTLE);
    let after = servers.memory()?;
    let closed = open.iter().filter(|client| !client.is_open()).count();
    anyhow::ensure!(closed == 0, "{} has closed {closed} of {connections} idle connections", contestant.name);
    #[expect(clippy::cast_precision_loss, reason = "memory in KiB stays far below 2^52")]
    Ok((after as f64 - before as f64) / f64::from(connections))
}

fn table(names: &[(String, Kind)], connections: u32, rounds: &[Vec<f64>]) -> Table {
    let ours: Vec<usize> = (0..names.len()).filter(|index| names[*index].1 == Kind::Ours).collect();
    let row = |(index, (name, kind)): (usize, &(String, Kind))| Row {
        name: name.clone(),
        kind: *kind,
        memory: Spread::of(rounds.iter().map(|round| round[index])),
        ratios: ours
            .iter()
            // what is as small as the error of the measurement gives no ratio
            .map(|own| {
                Spread::of(rounds.iter().filter(|round| round[index] > 0.0).map(|round| round[*own] / round[index]))
            })
            .collect(),
    };
    Table { connections, rows: names.iter().enumerate().map(row).collect(), ours }
}

impl Table {
    pub(crate) fn title(&self) -> String {
        format!("Memory per idle connection, {} connections", self.connections)
    }

    pub(crate) fn bars(&self) -> Vec<Bar> {
        let bar = |row: &Row| Some(Bar { name: row.name.clone(), figure: row.memory?, ours: row.kind != Kind::Peer });
        self.rows.iter().filter_map(bar).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratios: String = self.ours.iter().map(|own| format!(" {} ÷ this |", self.rows[*own].name)).collect();
        writeln!(f, "## {}\n", self.title())?;
        writeln!(f, "| proxy | KiB per connection |{ratios}")?;
        writeln!(f, "| --- | --- |{}", " --- |".repeat(self.ours.len()))?;
        for row in &self.rows {
            let ratios: String = row.ratios.iter().map(|ratio| format!(" {} |", cell(*ratio))).collect();
            writeln!(f, "| {} | {} |{ratios}", row.name, cell(row.memory))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_memory_is_compared_with_everybody_of_the_same_round() {
        let names = [("nginx".to_owned(), Kind::Peer), ("ours".to_owned(), Kind::Ours)];
        let table = table(&names, 100, &[vec![2.0, 10.0], vec![4.0, 20.0], vec![0.0, 15.0]]);
        let text = table.to_string();
        assert!(text.contains("| proxy | KiB per connection | ours ÷ this |"), "{text}");
        assert!(text.contains("| nginx | 2.00 (0.00–4.00) | 5.00 (5.00–5.00) |"), "{text}");
        assert!(text.contains("| ours | 15.00 (10.00–20.00) | 1.00 (1.00–1.00) |"), "{text}");
    }
}
