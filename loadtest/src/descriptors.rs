//! The limit on open descriptors, which the processes of a world inherit.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{fault::Action, scenario::Scenario};

/// Descriptors beside connections: logs, timers, listeners.
const BESIDE: u64 = 256;

/// Connections that a scenario keeps open at the same time, by the descriptors that they take of this process: balancers
/// have two more for each. Left out is what depends on how the run goes: connections of their own, WebSockets, and the two
/// ends of whatever passes a chaos proxy.
fn kept(scenario: &Scenario) -> usize {
    let load = &scenario.load;
    let slow = scenario.faults.iter().map(|fault| match &fault.action {
        Action::SlowClients(slow) => usize::try_from(slow.clients).unwrap_or(usize::MAX),
        _ => 0,
    });
    let clients = load.connections + load.http2_connections + slow.sum::<usize>();
    let relayed = scenario.targets.is_empty() && scenario.world.balancers;
    if relayed { clients.saturating_mul(3) } else { clients }
}

/// The most descriptors that this process may have, after [`raise_for`].
#[must_use]
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit as far as this process may, and says whether it suffices for what a scenario keeps open, without
/// chaos proxies and connections of a single request.
///
/// # Errors
/// It does not suffice; says what would.
pub fn raise_for(scenario: &Scenario) -> anyhow::Result<()> {
    raise(kept(scenario))
}

fn raise(connections: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("the limit on open descriptors")?;
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDE);
    let Some(most) = limit.maximum.filter(|most| *most < needed) else { return Ok(()) };
    anyhow::bail!(
        "{connections} connections need {needed} descriptors, {most} are allowed: ulimit -Hn {needed}, as root"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_suffice_is_said() {
        raise(8).unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        if limit.maximum.is_some() {
            assert!(raise(usize::MAX).unwrap_err().to_string().contains("ulimit"));
        }
    }

    #[test]
    fn balancers_and_slow_clients_count() {
        let scenario = |more: &str| {
            let text = "name = \"a\"\nabout = \"b\"\n[load]\nconnections = 100\nhttp2_connections = 5\n[[load.phases]]\nfor = \"9s\"\nrate = 1\n";
            Scenario::parse(&format!("{text}{more}")).unwrap()
        };
        assert_eq!(kept(&scenario("")), 105);
        assert_eq!(kept(&scenario("[world]\nbalancers = true\n")), 315);
        let slow = "[[faults]]\nat = \"1s\"\nfor = \"1s\"\ndo = { slow-clients = { clients = 50, at = \"head\" } }\n";
        assert_eq!(kept(&scenario(slow)), 155);
    }
}
