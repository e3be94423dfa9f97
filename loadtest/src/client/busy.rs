//! How busy this thread is, by the kernel's own accounts.
//!
//! A thread that is never idle is late without knowing it: answers lie in its sockets, and a clock that it reads itself
//! is read late too. Only the scheduler saw it.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::sample::Busy;

/// A share of less time than this says nothing.
const LEAST: Duration = Duration::from_millis(100);

/// Looks at the thread that made it.
pub(super) struct Meter {
    last: Option<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    /// Nanoseconds on a core or waiting for one, since the thread began.
    busy: u64,
}

impl Look {
    /// `None` where the kernel does not tell.
    fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { at: Instant::now(), busy: ran + waited })
    }
}

impl Meter {
    pub(super) fn start() -> Self {
        Self { last: Look::now() }
    }

    /// The share of the time since the last look in which it was not idle, as one of the second after `start` in which
    /// that time began; `None` when it was too short, or the kernel does not tell.
    pub(super) fn look(&mut self, start: Instant) -> Option<Busy> {
        let (last, now) = (self.last?, Look::now()?);
        let elapsed = now.at.duration_since(last.at);
        if elapsed < LEAST {
            return None;
        }
        self.last = Some(now);
        let (elapsed, second) = (elapsed.as_nanos(), last.at.saturating_duration_since(start).as_secs());
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a second or a few")]
        let share = now.busy.saturating_sub(last.busy) as f64 / elapsed.max(1) as f64;
        Some(Busy { second, share: share.min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    #[test]
    fn work_and_rest_are_told_apart() {
        let mut meter = Meter::start();
        let start = Instant::now();
        assert_eq!(meter.look(start), None, "too soon");
        // best of a few: on a busy machine rest ends with a wait, and a core may be taken away unseen
        let rests = (0..3).map(|_| {
            thread::sleep(LEAST);
            meter.look(start).unwrap().share
        });
        let rest = rests.fold(1.0, f64::min);
        let works = (0..3).map(|_| {
            let begin = Instant::now();
            while begin.elapsed() < LEAST {
                std::hint::black_box(0);
            }
            meter.look(start - Duration::from_secs(3)).unwrap()
        });
        let works: Vec<Busy> = works.collect();
        assert!(rest < 0.5 && works.iter().any(|work| work.share > 0.5), "{rest} {works:?}");
        assert!(works.iter().all(|work| work.second >= 3), "{works:?}");
    }
}
