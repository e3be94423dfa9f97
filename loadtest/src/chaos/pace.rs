//! What a direction does next: a pure decision from its toxics, the head of its queue and the clock.
//!
//! Invariant: only the head of the queue is ever looked at, so nothing overtakes.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    lane::{Item, What},
    toxics::{Regime, Toxics},
};

/// Longest delay, so that no time overflows.
const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Writes a second when bandwidth is limited: few enough for the timer, enough to look even.
const WRITES_PER_SECOND: u64 = 50;

/// What a direction does next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing is there to pass on.
    Idle,
    /// Nothing passes until the toxics change.
    Hold,
    /// Nothing passes before this time, unless the toxics change.
    Until(Instant),
    /// These bytes pass; fewer may be written.
    Write(Bytes),
    /// The FIN passes.
    Finish,
    /// The connection ends.
    End(End),
}

/// How a connection ends before both directions had their FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a FIN to both sides.
    Close,
    /// With an RST to both sides.
    Reset,
}

/// What a direction remembers of the bytes that passed.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the toxics were set that it remembers for.
    since: Instant,
    /// Bytes that passed under them.
    passed: u64,
    /// When the last bytes have had their share of the bandwidth.
    paid: Instant,
    /// When the pause after the last slice is over.
    rested: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, passed: 0, paid: now, rested: now }
    }

    pub(super) fn step(&mut self, regime: &Regime, head: Option<&Item>, now: Instant) -> Step {
        if self.since < regime.since {
            *self = Self::new(regime.since);
        }
        let toxics = &regime.toxics;
        if toxics.hang {
            return Step::Hold;
        }
        if toxics.limit.is_some_and(|limit| self.passed >= limit) {
            return Step::End(End::Close);
        }
        let Some(head) = head else { return Step::Idle };
        let arrives = head.came + delay(toxics, head.chance);
        let free = self.paid.max(self.rested);
        let due = match head.what {
            What::Data(_) => arrives.max(free),
            What::Fin => arrives.max(free) + toxics.slow_close.min(DELAY_MAX),
            What::Reset => arrives,
        };
        if due > now {
            return Step::Until(due);
        }
        match &head.what {
            What::Data(data) => match data.len().min(self.room(toxics)) {
                0 => Step::Hold,
                bytes => Step::Write(data.slice(..bytes)),
            },
            What::Fin => Step::Finish,
            What::Reset => Step::End(End::Reset),
        }
    }

    /// Takes account of what was written.
    pub(super) fn wrote(&mut self, toxics: &Toxics, bytes: usize, now: Instant) {
        self.passed += bytes as u64;
        self.paid = match toxics.bandwidth {
            None => now,
            Some(rate) => {
                let spent = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                // a timer that came a little late is made up for, idle time is not
                let earliest = now.checked_sub(Duration::from_secs(1) / WRITES_PER_SECOND as u32).unwrap_or(now);
                self.paid.max(earliest) + spent
            }
        };
        self.rested = now + toxics.slice.as_ref().map_or(Duration::ZERO, |slice| slice.pause.min(DELAY_MAX));
    }

    /// Bytes that may pass in one write.
    fn room(&self, toxics: &Toxics) -> usize {
        let limit = toxics.limit.map(|limit| limit - self.passed);
        let share = toxics.bandwidth.map(|rate| rate.min((rate / WRITES_PER_SECOND).max(1)));
        let slice = toxics.slice.as_ref().map(|slice| slice.bytes.max(1) as u64);
        let room = [limit, share, slice].into_iter().flatten().min();
        room.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX))
    }
}

/// How much later something arrives; `chance` is in 0..1.
fn delay(toxics: &Toxics, chance: f64) -> Duration {
    toxics.latency.min(DELAY_MAX) + toxics.jitter.min(DELAY_MAX).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::{super::toxics::Slice, *};

    const MS: Duration = Duration::from_millis(1);

    /// The step for these toxics and this head at so many milliseconds; toxics, head and pace began at 0.
    fn step(toxics: Toxics, what: What, chance: f64, at: u32) -> Result<Step, Duration> {
        let head = Item::new(what, chance);
        let zero = head.came;
        match Pace::new(zero).step(&Regime { toxics, since: zero }, Some(&head), zero + MS * at) {
            Step::Until(due) => Err(due - zero),
            step => Ok(step),
        }
    }

    fn bytes(count: usize) -> What {
        What::Data(Bytes::from(vec![7; count]))
    }

    fn write(count: usize) -> Step {
        Step::Write(Bytes::from(vec![7; count]))
    }

    #[test]
    fn without_toxics_everything_passes_at_once() {
        let none = Toxics::default;
        assert_eq!(step(none(), bytes(100), 0.5, 0), Ok(write(100)));
        assert_eq!(step(none(), What::Fin, 0.5, 0), Ok(Step::Finish));
        assert_eq!(step(none(), What::Reset, 0.5, 0), Ok(Step::End(End::Reset)));
    }

    #[test]
    fn delays_count_from_the_arrival_and_a_slow_close_is_for_the_fin_alone() {
        let slow = || Toxics { latency: 100 * MS, jitter: 40 * MS, slow_close: 1_000 * MS, ..Toxics::default() };
        for (what, due) in [(bytes as fn(usize) -> What, 110), (|_| What::Reset, 110), (|_| What::Fin, 1_110)] {
            assert_eq!(step(slow(), what(1), 0.25, due - 1), Err(MS * due));
            assert!(step(slow(), what(1), 0.25, due).is_ok());
        }
        let forever = Toxics { latency: Duration::MAX, jitter: Duration::MAX, ..slow() };
        assert_eq!(step(forever, bytes(1), 0.5, 1), Err(DELAY_MAX + DELAY_MAX / 2));
    }

    #[test]
    fn a_hang_holds_whatever_is_due() {
        for what in [bytes(1), What::Fin, What::Reset] {
            let hang = Toxics { hang: true, limit: Some(0), ..Toxics::default() };
            assert_eq!(step(hang, what, 0.0, 1_000), Ok(Step::Hold));
        }
    }

    #[test]
    fn a_write_is_no_larger_than_the_smallest_toxic_allows() {
        let slice = |bytes| Some(Slice { bytes, pause: MS });
        for (bandwidth, slice, limit, room) in [
            (Some(5_000), None, None, write(100)),
            (Some(49), None, None, write(1)),
            (Some(0), None, None, Step::Hold),
            (Some(5_000), slice(7), Some(30), write(7)),
            (Some(5_000), slice(70), Some(30), write(30)),
            (None, slice(0), None, write(1)),
        ] {
            assert_eq!(step(Toxics { bandwidth, slice, limit, ..Toxics::default() }, bytes(1_000), 0.0, 0), Ok(room));
        }
    }

    #[test]
    fn writes_are_paced_by_what_was_written_and_idle_time_is_not_saved_up() {
        let zero = Instant::now();
        let toxics = Toxics { bandwidth: Some(1_000), ..Toxics::default() };
        let mut pace = Pace::new(zero);
        pace.wrote(&toxics, 20, zero);
        assert_eq!(pace.paid, zero + 20 * MS);
        pace.wrote(&toxics, 20, zero + 25 * MS);
        assert_eq!(pace.paid, zero + 40 * MS, "5 ms late and made up for");
        pace.wrote(&toxics, 20, zero + 1_000 * MS);
        assert_eq!(pace.paid, zero + 1_000 * MS, "one write ahead after a long silence, no more");
        let sliced = Toxics { slice: Some(Slice { bytes: 20, pause: 300 * MS }), ..toxics };
        pace.wrote(&sliced, 20, zero + 1_000 * MS);
        assert_eq!(pace.rested, zero + 1_300 * MS);
    }

    #[test]
    fn the_limit_closes_when_it_is_reached_and_counts_anew_when_toxics_are_set() {
        let mut regime = Regime::now(Toxics { limit: Some(10), ..Toxics::default() });
        let mut pace = Pace::new(regime.since);
        assert_eq!(pace.step(&regime, None, regime.since), Step::Idle);
        pace.wrote(&regime.toxics, 10, regime.since);
        assert_eq!(pace.step(&regime, None, regime.since), Step::End(End::Close));
        regime.since += MS;
        assert_eq!(pace.step(&regime, None, regime.since), Step::Idle);
    }
}
