//! The limit on open descriptors: raised for this program and, by inheritance, for all servers that it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server or this program opens beside connections.
const BESIDE: u64 = 1_000;

/// Makes room for so many connections in every process, and returns how many open files it has then (`None`: any number);
/// says what to do when the system does not allow it.
pub(crate) fn allow(connections: u32) -> anyhow::Result<Option<u64>> {
    let needed = u64::from(connections) + BESIDE;
    let limit = getrlimit(Resource::Nofile);
    // everything that is allowed, because proxies open connections to the origins as well
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let raised = match limit.maximum {
        // above the hard limit it takes a privilege
        Some(maximum) if maximum < needed => {
            setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: Some(needed) })
        }
        _ => setrlimit(Resource::Nofile, all),
    };
    anyhow::ensure!(
        raised.is_ok(),
        "{connections} connections need {needed} open files for each process, and the limit here is {}: raise it with \
         `ulimit -Hn {needed}` (as root, before this program starts), or ask for fewer connections",
        limit.maximum.unwrap_or_default()
    );
    Ok(getrlimit(Resource::Nofile).current)
}

/// Connections for which a proxy has room when each of them needs another one to an origin.
pub(crate) fn pairs(open_files: Option<u64>) -> u32 {
    open_files.map_or(u32::MAX, |files| u32::try_from(files.saturating_sub(BESIDE) / 2).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_fit_and_too_many_are_refused_with_words() {
        assert!(allow(10).unwrap().is_none_or(|files| files >= 1_010));
        // above what Linux allows anybody
        let error = allow(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("ulimit -Hn 4294968295"), "{error}");
    }

    #[test]
    fn a_pair_needs_two_descriptors() {
        assert_eq!(pairs(Some(20_000)), 9_500);
        assert_eq!(pairs(Some(10)), 0);
        assert_eq!(pairs(None), u32::MAX);
    }
}
