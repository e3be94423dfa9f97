//! The limit on open descriptors, which the processes of a world inherit.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside connections: logs, timers, listeners.
const BESIDE: u64 = 256;

/// Raises the limit as far as this process may, and says whether it suffices for so many connections of one process.
///
/// # Errors
/// It does not suffice; says what would.
pub fn raise(connections: usize) -> anyhow::Result<()> {
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
}
