//! Whose processor time a run was, in cores: what a rate is limited by on a machine that everybody shares.

use std::fmt;

use crate::report::Report;

/// From this share of the machine on nothing is left to be had.
const FULL: f64 = 0.9;

/// Processor time of a run by who spent it, in cores.
#[derive(Clone, Debug, PartialEq)]
pub struct Cores {
    /// All proxies.
    pub proxies: f64,
    /// All apps.
    pub apps: f64,
    /// The client, with balancers and chaos proxies.
    pub client: f64,
    /// Everybody.
    pub all: f64,
    /// Cores of the machine.
    pub available: usize,
    /// Who spent most, and how much.
    most: Option<(String, f64)>,
}

impl Cores {
    /// Those of a run.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let seconds = report.rate.elapsed.max(f64::MIN_POSITIVE);
        let spent = |begin: &str| {
            let processes = report.processes.iter().filter(|process| process.name.starts_with(begin));
            processes.map(|process| process.cpu_seconds / seconds).sum()
        };
        let most = report.processes.iter().max_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
        Self {
            proxies: spent("proxy"),
            apps: spent("origin"),
            client: spent("client"),
            all: spent(""),
            available: report.machine.cores,
            most: most.map(|process| (process.name.clone(), process.cpu_seconds / seconds)),
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxies, apps, client, all, available, most } = self;
        #[expect(clippy::cast_precision_loss, reason = "cores of a machine")]
        let full = *all >= FULL * *available as f64;
        let limit = if full { "the machine is the limit" } else { "cores were left" };
        write!(
            f,
            "{limit}: {all:.2} of {available} cores used, proxies {proxies:.2}, apps {apps:.2}, client {client:.2}"
        )?;
        match most {
            Some((name, cores)) => write!(f, "; most by {name}, {cores:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_whether_cores_were_left_and_who_took_most() {
        let cores = Cores {
            proxies: 0.9,
            apps: 0.3,
            client: 0.7,
            all: 1.9,
            available: 2,
            most: Some(("proxy synaxis-weu-001/0".into(), 0.4)),
        };
        assert_eq!(
            cores.to_string(),
            "the machine is the limit: 1.90 of 2 cores used, proxies 0.90, apps 0.30, client 0.70; \
             most by proxy synaxis-weu-001/0, 0.40"
        );
        assert!(Cores { available: 4, ..cores }.to_string().starts_with("cores were left"));
    }
}
