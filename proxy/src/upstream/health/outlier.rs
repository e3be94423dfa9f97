//! One endpoint as real traffic finds it: so many gateway errors in a row and it is ejected for a while.
//!
//! Invariant: while it is ejected nothing is counted, neither for nor against it: late answers are news of the past. A
//! probe that passes does not end an ejection either, because traffic failed while probes passed.

use std::collections::VecDeque;

/// When real traffic ejects an endpoint, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Gateway errors in a row that eject an endpoint; 0 ejects nobody.
    pub failures: u8,
    /// Time in which they must all fall, in milliseconds.
    pub window_ms: u64,
    /// Length of a first ejection, in milliseconds; the n-th is n times as long.
    pub base_ms: u64,
    /// Longest ejection, in milliseconds.
    pub max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { failures: 5, window_ms: 10_000, base_ms: 30_000, max_ms: 300_000 }
    }
}

/// An endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Which one in a row it is, counted from 1.
    pub times: u64,
}

/// What real traffic says of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlier {
    /// When the latest failures without a good answer between them were; no more of them than eject it.
    run: VecDeque<u64>,
    times: u64,
    /// When its latest ejection ends or ended.
    until: u64,
}

impl Outlier {
    /// When its ejection ends, while it is ejected.
    pub(super) fn ejected_until(&self, now: u64) -> Option<u64> {
        (now < self.until).then_some(self.until)
    }

    /// Failures since the last good answer, counted up to what ejects it.
    pub(super) fn failures(&self) -> usize {
        self.run.len()
    }

    /// A good answer.
    pub(super) fn succeed(&mut self) {
        self.run.clear();
    }

    /// A gateway error; whether it makes this endpoint an outlier.
    pub(super) fn fail(&mut self, now: u64, limits: &Limits) -> bool {
        let needed = usize::from(limits.failures);
        if needed == 0 || self.ejected_until(now).is_some() {
            return false;
        }
        self.run.push_back(now);
        while self.run.len() > needed {
            self.run.pop_front();
        }
        let oldest = self.run.front().copied().unwrap_or(now);
        self.run.len() == needed && now.saturating_sub(oldest) <= limits.window_ms
    }

    /// Ejects it. Earlier ejections make this one longer, but each base time that it has served since the last one takes
    /// one of them off: the more it has failed, the longer it must behave to be like new.
    pub(super) fn eject(&mut self, now: u64, limits: &Limits) -> Ejection {
        let base_ms = limits.base_ms.max(1);
        let forgotten = now.saturating_sub(self.until) / base_ms;
        // beyond the longest ejection more times would only take longer to be forgotten
        self.times = (self.times.saturating_sub(forgotten) + 1).min(limits.max_ms.div_ceil(base_ms).max(1));
        let for_ms = base_ms.saturating_mul(self.times).min(limits.max_ms);
        self.until = now.saturating_add(for_ms);
        self.run.clear();
        Ejection { for_ms, times: self.times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { failures: 5, window_ms: 10_000, base_ms: 30_000, max_ms: 300_000 };

    /// Failures at these times, seconds; `+` a good answer. Whether the last one makes an outlier.
    fn is_outlier(events: &[Option<u64>]) -> bool {
        let mut outlier = Outlier::default();
        let mut last = false;
        for event in events {
            match event {
                Some(second) => last = outlier.fail(second * 1_000, &LIMITS),
                None => outlier.succeed(),
            }
        }
        last
    }

    #[test]
    fn five_failures_in_a_row_within_the_window_make_an_outlier() {
        let at = |seconds: &[u64]| seconds.iter().copied().map(Some).collect::<Vec<_>>();
        assert!(is_outlier(&at(&[1, 1, 1, 1, 1])));
        assert!(is_outlier(&at(&[0, 3, 5, 7, 10])), "the window's two ends belong to it");
        assert!(!is_outlier(&at(&[1, 1, 1, 1])), "four are not enough");
        assert!(!is_outlier(&at(&[0, 3, 5, 7, 11])), "too far apart");
        assert!(is_outlier(&at(&[0, 3, 5, 7, 11, 12])), "the latest five count");
    }

    #[test]
    fn a_good_answer_ends_the_row() {
        let mut events: Vec<_> = [1, 1, 1, 1].map(Some).to_vec();
        events.push(None);
        events.extend([2, 2, 2, 2].map(Some));
        assert!(!is_outlier(&events));
        events.push(Some(2));
        assert!(is_outlier(&events));
    }

    #[test]
    fn each_ejection_after_a_short_return_is_longer_up_to_the_longest() {
        let mut outlier = Outlier::default();
        let mut now = 0;
        for times in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
            let ejection = outlier.eject(now, &LIMITS);
            assert_eq!(ejection, Ejection { for_ms: times * 30_000, times });
            now += ejection.for_ms + 29_999;
        }
    }

    #[test]
    fn each_base_time_in_service_takes_one_ejection_off() {
        for (served_ms, times) in
            [(0, 5), (29_999, 5), (30_000, 4), (60_000, 3), (119_999, 2), (120_000, 1), (9_000_000, 1)]
        {
            let mut outlier = Outlier::default();
            let mut now = 0;
            for _ in 0..4 {
                now += outlier.eject(now, &LIMITS).for_ms;
            }
            assert_eq!(outlier.eject(now + served_ms, &LIMITS).times, times, "after {served_ms} ms in service");
        }
    }

    #[test]
    fn what_comes_back_late_while_it_is_ejected_does_not_count() {
        let mut outlier = Outlier::default();
        outlier.eject(0, &LIMITS);
        for _ in 0..100 {
            assert!(!outlier.fail(29_999, &LIMITS));
        }
        assert_eq!(outlier.failures(), 0);
        assert!(!outlier.fail(30_000, &LIMITS));
        assert_eq!(outlier.failures(), 1);
    }

    #[test]
    fn settings_at_their_ends_do_no_harm() {
        let mut outlier = Outlier::default();
        assert!(!outlier.fail(0, &Limits { failures: 0, ..LIMITS }), "nought ejects nobody");
        assert!(outlier.fail(0, &Limits { failures: 1, window_ms: 0, ..LIMITS }));
        for (base_ms, max_ms) in [(0, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0), (7, 3)] {
            let ejection = outlier.eject(u64::MAX - 1, &Limits { base_ms, max_ms, ..LIMITS });
            assert!(ejection.for_ms <= max_ms, "{ejection:?}");
        }
        for _ in 0..10_000 {
            outlier.fail(u64::MAX, &Limits { failures: u8::MAX, ..LIMITS });
        }
        assert!(outlier.failures() <= 255, "bounded by its setting");
    }
}
