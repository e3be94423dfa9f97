//! Where a process stands on its way out: serving → lame duck → draining → cut.
//!
//! Invariant: the phase only rises, and so does the share of the connections that are told to close. In lame duck everything
//! is accepted and served, but `/readyz` fails and answers ask one connection after the other to close; draining accepts
//! nothing new; cut ends what is left. What a request asks costs one relaxed load.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// How long both sides of a WebSocket have to close after they were told to.
pub const GOODBYE: Duration = Duration::from_secs(2);

/// Above every place.
const EVERYBODY: u64 = 1 << 32;

/// The phases, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ordinary operation.
    Serving,
    /// Told to stop: serves, but asks to be left.
    LameDuck,
    /// Accepts no new connections; finishes what it has.
    Draining,
    /// Ends what is left.
    Cut,
}

impl Phase {
    /// Every phase, in order.
    const ALL: [Self; 4] = [Self::Serving, Self::LameDuck, Self::Draining, Self::Cut];

    /// Its name in answers of the admin listener.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["serving", "lame_duck", "draining", "cut"][self as usize]
    }
}

/// When in the lame duck a connection is told to close: its place among all of them.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32);

impl Place {
    /// Of the connection that was accepted as number `count`. Whichever run of numbers is still open, their places are
    /// spread evenly (van der Corput's sequence to base 2).
    #[must_use]
    pub fn of(count: u32) -> Self {
        Self(count.reverse_bits())
    }
}

/// The drain as it was when it began; a reload in between changes nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    began: Instant,
    spread: Duration,
}

impl Drain {
    /// A drain that begins at `began` and lasts for `lasts` at most. WebSockets are told to close over the first `tunnels`
    /// of it, and early enough for their goodbye.
    #[must_use]
    pub fn new(began: Instant, lasts: Duration, tunnels: Duration) -> Self {
        Self { began, spread: tunnels.min(lasts - GOODBYE.min(lasts / 2)) }
    }

    /// When a WebSocket with this random number in `0..1` is told to close.
    #[must_use]
    pub fn turn(&self, chance: f64) -> Instant {
        self.began + self.spread.mul_f64(chance)
    }
}

/// The way out, readable from every thread. Cloning shares.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For who waits; it has a lock.
    changes: watch::Sender<Phase>,
    /// The same for who only looks.
    phase: AtomicU8,
    /// Places below this one are told to close.
    told: AtomicU64,
    drain: OnceLock<Drain>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(Shared {
            changes: watch::Sender::new(Phase::Serving),
            phase: AtomicU8::new(Phase::Serving as u8),
            told: AtomicU64::new(0),
            drain: OnceLock::new(),
        }))
    }
}

impl Shutdown {
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.phase.load(Relaxed))]
    }

    /// Moves on to `phase`. False, and nothing happens, when it is already reached.
    pub fn advance(&self, phase: Phase) -> bool {
        self.0.changes.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
                // inside the sender's lock: they rise in the same order
                self.0.phase.store(phase as u8, Relaxed);
                if phase >= Phase::Draining {
                    self.0.told.store(EVERYBODY, Relaxed);
                }
            }
            later
        })
    }

    /// Moves on to draining, with its times.
    pub fn drain(&self, drain: Drain) {
        // the first one stays
        let _ = self.0.drain.set(drain);
        self.advance(Phase::Draining);
    }

    /// The drain's times, once it has begun with any.
    #[must_use]
    pub fn times(&self) -> Option<Drain> {
        self.0.drain.get().copied()
    }

    /// Tells this share of all connections to close, in `0..=1`; those that were told stay told.
    pub fn tell(&self, share: f64) {
        self.0.told.fetch_max((share.clamp(0.0, 1.0) * EVERYBODY as f64) as u64, Relaxed);
    }

    /// Whether the connection at this place is told to close with its next answer. Each request asks.
    #[must_use]
    pub fn tells(&self, place: Place) -> bool {
        u64::from(place.0) < self.0.told.load(Relaxed)
    }

    /// Resolves once `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.changes.subscribe();
        // the sender lives in self, so waiting cannot fail
        let _ = receiver.wait_for(|current| *current >= phase).await;
    }
}

#[cfg(test)]
mod tests;
