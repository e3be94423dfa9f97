//! Whether the limits store is there: whether it counts, in time.
//!
//! Invariant: who cannot count is away, however well it answers otherwise. Only the background finds it again, and looks for
//! one that comes and goes less and less often.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::RedisError;
use tokio::sync::Notify;

use super::plan::TIMEOUTS_MAX;

/// What 0 means: nobody knows yet, the first connection is on its way.
const HERE: u8 = 1;
const AWAY: u8 = 2;

/// Between two looks whether the store is back: doubled each time, half of it by chance.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest for a store that comes and goes.
const FLAP_MAX: Duration = Duration::from_secs(10);
/// One that stays for so long has come back for good.
const SETTLED: Duration = Duration::from_secs(10);
/// Longest that is kept of what the store said, in characters.
const WHY_MAX: usize = 200;

/// What is known of it.
#[derive(Default)]
pub(super) struct Presence {
    state: AtomicU8,
    /// In a row.
    timeouts: AtomicU32,
    /// When the last one was counted, in nanoseconds of the process's clock.
    last_timeout: AtomicU64,
    /// What was wrong last.
    why: Mutex<Option<Box<str>>>,
    /// It went away or came back.
    pub(super) changed: Notify,
}

impl Presence {
    /// It has counted, and nothing has gone wrong since.
    pub(super) fn is_here(&self) -> bool {
        self.state.load(Relaxed) == HERE
    }

    /// Something has gone wrong: it is no use to wait.
    pub(super) fn is_gone(&self) -> bool {
        self.state.load(Relaxed) == AWAY
    }

    pub(super) fn arrive(&self) {
        self.in_time();
        self.state.store(HERE, Relaxed);
        *self.why() = None;
        self.changed.notify_waiters();
    }

    /// True: it was here.
    pub(super) fn leave(&self) -> bool {
        let before = self.state.swap(AWAY, Relaxed);
        if before != AWAY {
            self.changed.notify_waiters();
            self.changed.notify_one();
        }
        before == HERE
    }

    pub(super) fn in_time(&self) {
        self.timeouts.store(0, Relaxed);
    }

    /// Counts at most once in the time that a request waits: many who wait for one answer are one sign, not many. True: there
    /// have been so many that it is away.
    pub(super) fn timed_out(&self, now: u64, patience: Duration) -> bool {
        let before = self.last_timeout.load(Relaxed);
        if before > 0 && u128::from(now.saturating_sub(before)) < patience.as_nanos() {
            return false;
        }
        self.last_timeout.store(now, Relaxed);
        self.timeouts.fetch_add(1, Relaxed) + 1 >= TIMEOUTS_MAX
    }

    /// Notes what went wrong.
    pub(super) fn note(&self, error: &RedisError) {
        self.note_text(&error.to_string());
    }

    pub(super) fn note_text(&self, why: &str) {
        *self.why() = Some(why.chars().take(WHY_MAX).collect());
    }

    /// What went wrong last, while it is not here.
    pub(super) fn trouble(&self) -> Option<Box<str>> {
        if self.is_here() { None } else { self.why().clone() }
    }

    fn why(&self) -> std::sync::MutexGuard<'_, Option<Box<str>>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait before the store is looked for.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Backoff {
    /// The next pause.
    pub(super) fn next(&self) -> Duration {
        self.0
    }

    /// It was not there. The pause, half of which is by chance.
    pub(super) fn missed(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.max((pause * 2).min(PAUSE_MAX));
        pause
    }

    /// It has gone away, after it was there for so long. The pause; none if it had come for good.
    pub(super) fn left(&mut self, stayed: Duration) -> Option<Duration> {
        if stayed >= SETTLED {
            self.0 = PAUSE_MIN;
            return None;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(FLAP_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_comes_and_goes_is_looked_for_less_and_less_often_and_one_that_stays_at_once() {
        let (mut backoff, short) = (Backoff::default(), Duration::from_millis(20));
        let milliseconds = |pause: Option<Duration>| pause.unwrap().as_millis();
        assert_eq!([(); 3].map(|()| milliseconds(backoff.left(short))), [50, 100, 200]);
        // while it is away, once a second is enough
        assert_eq!([(); 4].map(|()| milliseconds(Some(backoff.missed()))), [400, 800, 1_000, 1_000]);
        assert_eq!([(); 6].map(|()| milliseconds(backoff.left(short))), [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        // being missed makes nobody more eager
        assert_eq!([(); 2].map(|()| milliseconds(Some(backoff.missed()))), [10_000; 2]);
        assert_eq!(backoff.left(SETTLED), None);
        assert_eq!(milliseconds(Some(backoff.missed())), 50);
    }

    #[test]
    fn many_who_wait_for_one_answer_are_one_sign() {
        let (presence, wait) = (Presence::default(), Duration::from_millis(3));
        assert!((0..100).all(|at| !presence.timed_out(1_000_000_000 + at, wait)));
        let late = |turn: u64| presence.timed_out(2_000_000_000 + turn * 3_000_000, wait);
        assert_eq!((2..=10).map(late).position(|gone| gone), Some(8));
        presence.in_time();
        assert!(!late(11));
    }

    #[test]
    fn what_went_wrong_is_told_until_it_is_over_and_is_never_long() {
        let presence = Presence::default();
        assert!(!presence.is_here() && !presence.is_gone());
        presence.note_text(&"\u{e4}".repeat(9_000));
        assert!(!presence.leave() && presence.is_gone());
        assert_eq!(presence.trouble().unwrap().chars().count(), WHY_MAX);
        presence.arrive();
        assert_eq!((presence.is_here(), presence.trouble()), (true, None));
        assert!(presence.leave() && !presence.leave());
    }
}
