//! What this process can hold: connections by its descriptors, requests by its memory.
//!
//! Invariant: the caps always leave descriptors for the admin listener, the store and the log, whatever the settings say.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::{Resource, getrlimit};
use synaxis_config::settings::{ListenerKind, Settings};

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
    /// Ordinary connections of edge listeners.
    pub edge: usize,
    /// The same of peer listeners; 0 without one.
    pub peers: usize,
    /// Connections beyond either that get one answer each.
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
    /// own and its upstream's. When they do not hold all, other stamps get a third of them at most: what reaches them by
    /// this stamp's edge comes back by theirs.
    #[must_use]
    pub fn room(&self, settings: &Settings) -> Room {
        let server = &settings.server;
        let has_peers = settings.listeners.iter().any(|listener| listener.kind == ListenerKind::Peer);
        let peers = if has_peers { server.peer_connections_max } else { 0 };
        self.cut(Room { edge: server.connections_max, peers, reserve: server.connections_reserve })
    }

    fn cut(&self, wanted: Room) -> Room {
        let kinds = if wanted.peers > 0 { 2 } else { 1 };
        let own = OWN_DESCRIPTORS.min(self.descriptors / 2);
        let pairs = usize::try_from((self.descriptors - own) / 2).unwrap_or(usize::MAX);
        if wanted.edge.saturating_add(wanted.peers).saturating_add(wanted.reserve.saturating_mul(kinds)) <= pairs {
            return wanted;
        }
        let reserve = wanted.reserve.min(pairs / (4 * kinds));
        let ordinary = pairs - kinds * reserve;
        let peers = wanted.peers.min((ordinary / 3).max(1));
        Room { edge: wanted.edge.min(ordinary.saturating_sub(peers)).max(1), peers, reserve }
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
        for (descriptors, wanted, expected) in [
            (1_000_000, (65_536, 0, 64), (65_536, 0, 64)),
            (u64::MAX, (65_536, 16_384, 64), (65_536, 16_384, 64)),
            // exactly enough, and one too few
            (2 * (1_000 + 10) + 256, (1_000, 0, 10), (1_000, 0, 10)),
            (2 * (1_000 + 10) + 255, (1_000, 0, 10), (999, 0, 10)),
            (2 * (1_000 + 100 + 20) + 256, (1_000, 100, 10), (1_000, 100, 10)),
            (2 * (1_000 + 100 + 20) + 255, (1_000, 100, 10), (999, 100, 10)),
            (1_024, (65_536, 0, 64), (320, 0, 64)),
            (1_024, (65_536, 16_384, 64), (192, 96, 48)),
            (1_024, (65_536, 20, 64), (268, 20, 48)),
            (512, (65_536, 0, 64), (96, 0, 32)),
            (100, (65_536, 0, 64), (19, 0, 6)),
            (100, (65_536, 16_384, 64), (13, 6, 3)),
            (0, (65_536, 0, 64), (1, 0, 0)),
            (0, (65_536, 16_384, 64), (1, 1, 0)),
            (1_024, (usize::MAX, usize::MAX, usize::MAX), (192, 96, 48)),
        ] {
            let room = |(edge, peers, reserve)| Room { edge, peers, reserve };
            let cut = Capacity::with_descriptors(descriptors).cut(room(wanted));
            assert_eq!(cut, room(expected), "{descriptors} descriptors for {wanted:?}");
        }
    }
}
