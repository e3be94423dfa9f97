//! What this process can hold: connections by its descriptors, requests by its memory.
//!
//! Invariant: the caps always leave descriptors for the admin listener, the store and the log, whatever the settings say.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::{Resource, getrlimit};
use synaxis_config::settings::Server;

/// Descriptors that are no client's and no upstream's: 64 admin connections, the store, files, the runtimes of the threads.
const OWN_DESCRIPTORS: u64 = 256;

/// What the process can hold.
#[derive(Debug)]
pub struct Capacity {
    descriptors: u64,
    overloaded: AtomicBool,
}

/// How many connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Ordinary connections.
    pub max: usize,
    /// Connections beyond them that get one answer each.
    pub reserve: usize,
}

impl Capacity {
    /// By the limits that this process runs under.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::with_descriptors(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    /// By this many descriptors (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn with_descriptors(descriptors: u64) -> Self {
        Self { descriptors, overloaded: AtomicBool::new(false) }
    }

    /// The descriptors that there may be.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        self.descriptors
    }

    /// The room for connections: what the settings say, or what the descriptors hold when each connection takes two, its
    /// own and its upstream's.
    #[must_use]
    pub fn room(&self, server: &Server) -> Room {
        let wanted = Room { max: server.connections_max, reserve: server.connections_reserve };
        let own = OWN_DESCRIPTORS.min(self.descriptors / 2);
        let pairs = usize::try_from((self.descriptors - own) / 2).unwrap_or(usize::MAX);
        if wanted.max.saturating_add(wanted.reserve) <= pairs {
            return wanted;
        }
        let reserve = wanted.reserve.min(pairs / 4);
        Room { max: wanted.max.min(pairs - reserve).max(1), reserve }
    }

    /// Whether memory is so short that requests are refused.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.overloaded.load(Relaxed)
    }

    /// Says whether it is; the admin thread's sampler does.
    pub fn set_overloaded(&self, overloaded: bool) {
        self.overloaded.store(overloaded, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caps_are_what_the_descriptors_hold() {
        for (descriptors, max, reserve, expected) in [
            (1_000_000, 65_536, 64, (65_536, 64)),
            (u64::MAX, 65_536, 64, (65_536, 64)),
            // exactly enough, and one too few
            (2 * (1_000 + 10) + 256, 1_000, 10, (1_000, 10)),
            (2 * (1_000 + 10) + 255, 1_000, 10, (999, 10)),
            (1_024, 65_536, 64, (320, 64)),
            (512, 65_536, 64, (96, 32)),
            (100, 65_536, 64, (19, 6)),
            (0, 65_536, 64, (1, 0)),
            (1_024, usize::MAX, usize::MAX, (288, 96)),
        ] {
            let server = Server {
                workers: 1,
                connections_max: max,
                connections_reserve: reserve,
                connections_per_address: None,
                memory_high: None,
            };
            let room = Capacity::with_descriptors(descriptors).room(&server);
            assert_eq!((room.max, room.reserve), expected, "{descriptors} descriptors for {max} and {reserve}");
        }
    }
}
