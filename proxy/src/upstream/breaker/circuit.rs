//! The state of one breaker: closed lets traffic through, open refuses, half-open tries.
//!
//! ```text
//!            too many failures                 time is up
//!   Closed ────────────────────▶ Open ─────────────────────▶ HalfOpen
//!     ▲                           ▲   a trial fails: longer     │ │
//!     │                           └─────────────────────────────┘ │
//!     └───────────────────────────────────────────────────────────┘
//!                              K trials succeed
//! ```
//!
//! Pure: no clock, no chance, no lock of its own. Invariant: never more than K trials run at a time, and every
//! change of state begins a new episode, so that what was admitted in one cannot change another.

use super::Limits;

/// How much longer than its nominal time a breaker may stay open, by chance: one part in this many. Processes that
/// opened together do not try together.
const JITTER: u64 = 10;

/// The circuit of an upstream, or of one tenant at an upstream.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    phase: Phase,
    /// Changes of state so far.
    episode: u64,
    /// How often in a row it has opened again: the exponent of the back-off.
    relapses: u32,
    closed_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: u64,
    },
    HalfOpen {
        running: u32,
        successes: u32,
    },
}

/// What a circuit says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Pass.
    Flows,
    /// Pass as a trial, once [`Circuit::begin_trial`] has taken a place.
    Tries,
    /// Do not pass; milliseconds until asking again may help.
    Refuses(u64),
}

impl Standing {
    /// Half-open without a place for this request. Nobody knows when one comes free: the shortest `Retry-After`.
    pub(super) const FULL: Self = Self::Refuses(1_000);
}

impl Circuit {
    pub(super) fn episode(&self) -> u64 {
        self.episode
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// When it opens its first trial, while it is open.
    pub(super) fn open_until(&self) -> Option<u64> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    /// Trials that run.
    pub(super) fn running(&self) -> u32 {
        if let Phase::HalfOpen { running, .. } = self.phase { running } else { 0 }
    }

    /// Times in a row that it has opened again.
    pub(super) fn relapses(&self) -> u32 {
        self.relapses
    }

    /// Whether opening now would be a relapse: it closed, but has not been closed for all of the recovery.
    pub(super) fn is_recovering(&self, limits: &Limits, now: u64) -> bool {
        self.is_closed() && self.closed_at.is_some_and(|at| now.saturating_sub(at) < limits.recovery_ms)
    }

    pub(super) fn standing(&self, trials: u32, now: u64) -> Standing {
        match self.phase {
            Phase::Closed => Standing::Flows,
            Phase::Open { until } if now < until => Standing::Refuses(until - now),
            Phase::HalfOpen { running, .. } if running >= trials => Standing::FULL,
            Phase::Open { .. } | Phase::HalfOpen { .. } => Standing::Tries,
        }
    }

    /// Takes the place of a trial, after [`Standing::Tries`]. Whether that made it half-open.
    pub(super) fn begin_trial(&mut self) -> bool {
        if let Phase::HalfOpen { running, .. } = &mut self.phase {
            *running += 1;
            return false;
        }
        self.enter(Phase::HalfOpen { running: 1, successes: 0 });
        true
    }

    /// A trial of this episode ended without saying anything: its place is free.
    pub(super) fn give_back(&mut self) {
        if let Phase::HalfOpen { running, .. } = &mut self.phase {
            *running = running.saturating_sub(1);
        }
    }

    /// A trial of this episode succeeded. Whether that closed it.
    pub(super) fn succeed(&mut self, trials: u32, now: u64) -> bool {
        let Phase::HalfOpen { running, successes } = &mut self.phase else { return false };
        *running = running.saturating_sub(1);
        *successes += 1;
        let closes = *successes >= trials;
        if closes {
            self.enter(Phase::Closed);
            self.closed_at = Some(now);
        }
        closes
    }

    /// Opens it; until when.
    ///
    /// A relapse (a trial failed, or it opened before its recovery was over) doubles the time, up to the cap. Only a
    /// whole recovery without opening takes it back to D: a few trials prove little about all the traffic, and an
    /// upstream that passes them and then breaks down under load would otherwise be broken down again every D.
    pub(super) fn open(&mut self, limits: &Limits, now: u64, chance: u32) -> u64 {
        let relapse = !self.is_closed() || self.is_recovering(limits, now);
        self.relapses = if relapse { self.relapses.saturating_add(1) } else { 0 };
        let doubled = limits.open_ms.saturating_mul(1_u64.checked_shl(self.relapses).unwrap_or(u64::MAX));
        let nominal = doubled.min(limits.open_max_ms.max(limits.open_ms));
        let jitter = (u128::from(nominal / JITTER) * u128::from(chance)) >> 32;
        let until = now.saturating_add(nominal).saturating_add(jitter as u64);
        self.enter(Phase::Open { until });
        until
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.episode += 1;
    }
}
