//! What the command line changes of a scenario.
//!
//! Invariant: whatever a change takes away beside what was asked for is said in a note.

use super::Scenario;

/// Changes; the default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct Flags {
    /// Another seed: other arrivals, other requests.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Another rate, in requests a second: that of the first phase; the others keep their proportion to it.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Other connections.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Another number of stamps; of one, nothing is forwarded.
    #[arg(long)]
    pub stamps: Option<usize>,
    /// The short form: seconds instead of half a minute, and of the bounds on latency only a coarse one.
    #[arg(long)]
    pub short: bool,
    /// Answers need not echo their request, as those of servers that are not this harness's apps; then nobody looks for
    /// answers that belong to another request.
    #[arg(long)]
    pub no_echo: bool,
    /// Address of a server that is already there, instead of a world; may be repeated.
    #[arg(long = "target", value_name = "IP:PORT")]
    pub targets: Vec<std::net::SocketAddr>,
}

impl Flags {
    /// The changed scenario, and notes on what else that took away.
    ///
    /// # Errors
    /// The changed scenario cannot be run.
    pub fn apply(&self, mut scenario: Scenario) -> anyhow::Result<(Scenario, Vec<String>)> {
        let mut notes = Vec::new();
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let written = scenario.world.stamps;
        scenario.world.stamps = self.stamps.unwrap_or(written);
        if scenario.world.stamps != written && !scenario.expect.shares.is_empty() {
            scenario.expect.shares.clear();
            notes.push(format!("--stamps takes expect.shares away: their numbers are those of {written} stamps"));
        }
        scenario.load.echo &= !self.no_echo;
        if !self.targets.is_empty() {
            scenario.targets.clone_from(&self.targets);
            let mut taken = Vec::new();
            taken.extend((!scenario.faults.is_empty()).then_some("the faults"));
            taken.extend((!scenario.expect.shares.is_empty()).then_some("expect.shares"));
            taken.extend((!scenario.expect.unmoved.is_empty()).then_some("expect.unmoved"));
            taken.extend((!scenario.expect.outcomes.is_empty()).then_some("expect.outcomes"));
            let hits = [&scenario.expect.hits_memory, &scenario.expect.hits];
            taken.extend(hits.iter().any(|hits| hits.is_some()).then_some("expected hits"));
            taken.extend(scenario.load.entries.is_some().then_some("load.entries"));
            // they are not this harness's to break, and their stamps not its to know
            scenario.faults.clear();
            scenario.expect.shares.clear();
            scenario.expect.unmoved.clear();
            scenario.expect.outcomes.clear();
            (scenario.expect.hits_memory, scenario.expect.hits) = (None, None);
            scenario.load.entries = None;
            if !taken.is_empty() {
                notes.push(format!("--target takes {} away: they are a world's", taken.join(", ")));
            }
        }
        if self.short {
            scenario = scenario.shortened();
        }
        // a number that was asked for is no number to shorten
        scenario.load.connections = self.connections.unwrap_or(scenario.load.connections);
        if let Some(rate) = self.rate {
            scenario = scenario.at_rate(rate)?;
        }
        scenario.sound()?;
        Ok((scenario, notes))
    }
}
