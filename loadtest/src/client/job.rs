//! A request under way.
//!
//! Invariant: however it goes, it ends in exactly one sample. Whoever drops it without a word has abandoned it.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::{
    sample::{End, Sample, Source},
    shift::Shift,
};
use crate::{quantity::micros, workload};

/// A request under way. Times are microseconds since the begin of the load, as in [`Sample`].
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) request: workload::Request,
    pub(super) entry: usize,
    intended: u64,
    launched: u64,
    begun: Option<u64>,
    /// Whether it found no connection idle: what it waits from then on is the server's doing.
    queued: bool,
    /// Who had the answer, as [`Sample::source`].
    pub(super) source: Cell<Option<Source>>,
    shift: Rc<Shift>,
    ended: bool,
}

impl Job {
    pub(super) fn new(shift: &Rc<Shift>, id: u64, intended: Duration, request: workload::Request) -> Self {
        let entry = usize::try_from(request.entry).unwrap_or_default() % shift.pools.len();
        let (intended, launched) = (micros(intended), shift.now());
        let shift = Rc::clone(shift);
        let source = Cell::new(request.resource.map(|_| Source::App));
        Self { id, request, entry, intended, launched, begun: None, queued: false, source, shift, ended: false }
    }

    /// The task that serves it has it in hand.
    pub(super) fn reach(&mut self) {
        if !self.queued && self.begun.is_none() {
            self.launched = self.shift.now();
        }
        self.shift.live.lagged(self.launched.saturating_sub(self.intended));
    }

    /// It has its connection.
    pub(super) fn begin(&mut self) {
        if self.begun.is_none() {
            self.begun = Some(self.shift.now());
        }
    }

    /// It waits for a connection.
    pub(super) fn queue(&mut self) {
        self.queued = true;
    }

    /// What is left of its time.
    pub(super) fn left(&self) -> Duration {
        let limit = Duration::from_micros(self.launched) + self.shift.timeout;
        limit.saturating_sub(Duration::from_micros(self.shift.now()))
    }

    /// It has ended; `stamp` is who answered, empty for nobody.
    pub(super) fn end(mut self, end: &End, stamp: &str) {
        self.record(end, stamp);
    }

    fn record(&mut self, end: &End, stamp: &str) {
        self.ended = true;
        let ended = self.shift.now();
        let answered = *end == End::Answered;
        self.shift.live.ended(answered, ended.saturating_sub(self.intended));
        self.shift.sample(end, stamp, |outcome, stamp| Sample {
            id: self.id,
            intended: self.intended,
            launched: self.launched,
            begun: self.begun.unwrap_or(ended),
            ended,
            tenant: self.request.tenant,
            writes: self.request.writes,
            entry: u16::try_from(self.entry).unwrap_or(u16::MAX),
            outcome,
            stamp,
            source: self.source.get(),
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.ended {
            self.record(&End::Broken("abandoned"), "");
        }
    }
}
