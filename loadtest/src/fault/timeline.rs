//! Does what the scenario says when it says so, and remembers when that really was.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Concern, Fault, perform};
use crate::world::World;

/// A fault while it explained something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// In words.
    pub what: String,
    /// Whose requests it can have touched.
    pub concern: Concern,
    /// When it was begun, after the begin of the load.
    pub from: Duration,
    /// When it was done, after the begin of the load.
    pub done: Duration,
    /// When it no longer explained anything; `None`: never.
    pub until: Option<Duration>,
    /// Outcomes that it explains.
    pub errors: Vec<String>,
    /// Outcomes that it explains of requests that write, beside those.
    pub write_errors: Vec<String>,
    /// Index of the tenant whose requests alone it can have touched.
    pub tenant: Option<u32>,
    /// Until when other candidates than the owner might serve; `None`: they might not.
    pub failover: Option<Duration>,
    /// Why it did not go as it should have.
    pub failed: Option<String>,
}

impl Window {
    /// Whether it was open at any time between two.
    #[must_use]
    pub fn overlaps(&self, from: Duration, until: Duration) -> bool {
        self.from <= until && self.until.is_none_or(|end| from <= end)
    }

    /// Whether other candidates than the owner might serve at any time between two.
    #[must_use]
    pub fn fails_over(&self, from: Duration, until: Duration) -> bool {
        self.failover.is_some_and(|end| self.from <= until && from <= end)
    }

    /// Why it proves nothing of a load that ended at `end`, in words; `None` when it was done within it.
    #[must_use]
    pub fn missed(&self, end: Duration) -> Option<String> {
        let late = |at: Duration| (at > end).then(|| at.saturating_sub(end).as_secs_f64());
        let began = late(self.from).map(|late| format!("began {late:.1} s after the load"));
        began.or_else(|| late(self.done).map(|late| format!("ended {late:.1} s after the load")))
    }

    /// Whether it explains an outcome of a request that writes, or does not.
    #[must_use]
    pub fn explains(&self, outcome: &str, writes: bool) -> bool {
        let more = self.write_errors.iter().filter(|_| writes);
        self.errors.iter().chain(more).any(|pattern| matches(pattern, outcome))
    }
}

/// Whether an outcome is one that a pattern names; `*` at its end stands for anything.
pub(crate) fn matches(pattern: &str, outcome: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => outcome.starts_with(begin),
        None => outcome == pattern,
    }
}

/// The faults of a run.
pub struct Timeline {
    /// In the order of their times.
    pub faults: Vec<Fault>,
}

impl Timeline {
    /// Does everything. Each fault is begun at its time even when an earlier one is not done yet. One that fails, such as
    /// a table that a proxy believed or a proxy that did not end, is told by its window.
    ///
    /// # Errors
    /// The harness itself failed.
    pub async fn run(
        self,
        world: Arc<World>,
        start: Instant,
        mut said: impl FnMut(&str),
    ) -> anyhow::Result<Vec<Window>> {
        let mut begun = tokio::task::JoinSet::new();
        let mut faults = self.faults;
        faults.sort_by_key(|fault| fault.at);
        for (index, fault) in faults.into_iter().enumerate() {
            tokio::time::sleep_until((start + fault.at).into()).await;
            let what = perform::words(&fault.action, &world);
            said(&what);
            let id = |position: usize| world.stamps.get(position).map_or("?".into(), |stamp| stamp.id.to_string());
            let concern = Concern::of(&fault.action, id);
            let world = Arc::clone(&world);
            begun.spawn(async move {
                let from = start.elapsed();
                let (what, failed) = match perform::perform(&fault, &world).await {
                    Ok(Some(more)) => (format!("{what}: {more}"), None),
                    Ok(None) => (what, None),
                    Err(error) => (what, Some(format!("{error:#}"))),
                };
                let done = start.elapsed();
                // what takes longer than its time explains what happens until it is done
                let until = fault.lasts.map(|lasts| (from + lasts).max(done));
                let failover = fault.failover.map(|failover| (from + failover).max(done));
                let Fault { errors, write_errors, tenant, .. } = fault;
                let window =
                    Window { what, concern, from, done, until, errors, write_errors, tenant, failover, failed };
                (index, window)
            });
        }
        let mut windows = Vec::new();
        while let Some(done) = begun.join_next().await {
            windows.push(done.context("a fault panicked")?);
        }
        windows.sort_by_key(|(index, _)| *index);
        Ok(windows.into_iter().map(|(_, window)| window).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_explains_only_what_it_declares_and_only_while_it_is_open() {
        let seconds = Duration::from_secs;
        let window = Window {
            what: String::new(),
            concern: Concern::All,
            from: seconds(5),
            done: seconds(6),
            until: Some(seconds(7)),
            errors: vec!["reset".into(), "502 *".into()],
            write_errors: vec!["504 *".into()],
            tenant: None,
            failover: Some(seconds(10)),
            failed: None,
        };
        assert!(window.overlaps(seconds(4), seconds(5)) && window.overlaps(seconds(7), seconds(9)));
        assert!(!window.overlaps(seconds(1), seconds(4)) && !window.overlaps(seconds(8), seconds(9)));
        assert!(window.fails_over(seconds(9), seconds(11)) && !window.fails_over(seconds(11), seconds(12)));
        assert!(!Window { failover: None, ..window.clone() }.fails_over(seconds(6), seconds(6)));
        let explains = |outcome| window.explains(outcome, false);
        assert!(explains("reset") && explains("502 upstream_reset"));
        assert!(!explains("502") && !explains("resets") && !explains("503 no_stamp"));
        assert!(window.explains("504 upstream_timeout", true) && !explains("504 upstream_timeout"));
        assert!(Window { until: None, ..window }.overlaps(seconds(99), seconds(100)));
    }

    #[test]
    fn a_fault_that_is_not_done_before_the_load_ends_has_missed_it() {
        let seconds = Duration::from_secs_f64;
        let window = |from, done| Window {
            what: String::new(),
            concern: Concern::All,
            from: seconds(from),
            done: seconds(done),
            until: None,
            errors: Vec::new(),
            write_errors: Vec::new(),
            tenant: None,
            failover: None,
            failed: None,
        };
        let missed = |from, done| window(from, done).missed(seconds(10.0));
        assert_eq!(missed(3.0, 10.0), None);
        assert_eq!(missed(3.0, 12.1).as_deref(), Some("ended 2.1 s after the load"));
        assert_eq!(missed(11.5, 12.1).as_deref(), Some("began 1.5 s after the load"));
    }
}
