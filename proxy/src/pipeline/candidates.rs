//! Who serves: the candidates of the tenant in order of choice, and the one hop to another stamp.
//!
//! A request moves on to the next candidate when it is known that nobody has executed it (no connection came about, not a
//! byte was sent, or a peer says that its app has not seen it), or when executing it twice is harmless. What one candidate
//! does with it is a visit ([`visit`](super::visit)); what its attempts come to is counted in [`Tries`].

use std::{rc::Rc, sync::Arc, time::Instant};

use http::Response;
use synaxis_config::settings::{Failover, Route};
use synaxis_routing::{
    id::TenantId,
    placement::{Acceptance, StampIndex},
    table::Millis,
};

use super::{
    Downstream, Service,
    local_reply::LocalReply,
    peer::Hop,
    tries::{Failure, Next, Tries},
    visit::Outcome,
};
use crate::{
    body::{Download, Upload},
    dataplane::{Fleet, Snapshot, worker::Worker},
    telemetry::record::Record,
    upstream::{
        concurrency::TenantKey,
        guard::{Guard, Limits},
        head::Head,
        retry::verdict::Target,
        timer::Deadline,
    },
};

/// One request that has a tenant and a route, looking for somebody to serve it.
pub struct Errand<'a> {
    /// This worker.
    pub worker: &'a Worker,
    /// The same with what this layer adds to it, to be kept beyond this request.
    pub service: &'a Rc<Service>,
    /// What should be.
    pub snapshot: &'a Arc<Snapshot>,
    /// Where it came from.
    pub downstream: &'a Rc<Downstream>,
    /// Whose it is.
    pub tenant: TenantId,
    /// The same as a fingerprint.
    pub key: TenantKey,
    /// Where it goes.
    pub route: &'a Route,
    /// Set when another stamp sent it.
    pub hop: Option<Box<Hop>>,
    /// The store's clock at its start.
    pub now: Millis,
    /// When its answer's head must be there.
    pub deadline: Deadline,
}

/// What a request carries with it from attempt to attempt.
pub struct Load<'a> {
    /// Its head, whole whenever an attempt may begin.
    pub head: &'a mut Head,
    /// Its body.
    pub upload: &'a Upload,
    /// What its attempts have come to.
    pub tries: Tries,
    /// Whether this stamp's limits have counted it.
    pub charged: bool,
    /// Whether it counts among its tenant's requests here.
    pub counted: bool,
    /// Whether it was let in at this stamp's app, or needed nobody there.
    pub entered: bool,
    /// Whether an app may have done it, though that was not the last word.
    pub may_have_run: bool,
    /// The tenant's own stamp, where this one has chosen.
    pub owner: Option<StampIndex>,
    /// Whether nothing kept is to be looked for, and nothing to be kept: the tenant's requests have gone elsewhere a moment ago.
    pub bypasses: bool,
    /// Whether it fetches an answer for others, and looks for none.
    pub fetches: bool,
    /// Its facts.
    pub record: &'a mut Record,
}

impl<'a> Load<'a> {
    /// What has not been anywhere yet.
    pub fn new(tries: Tries, head: &'a mut Head, upload: &'a Upload, record: &'a mut Record) -> Self {
        Self {
            head,
            upload,
            tries,
            charged: false,
            counted: false,
            entered: false,
            may_have_run: false,
            owner: None,
            bypasses: false,
            fetches: false,
            record,
        }
    }
}

impl Errand<'_> {
    /// At the edge: the tenant's candidates in order.
    ///
    /// # Errors
    /// Why nobody served it.
    pub async fn as_entry(
        &self,
        head: &mut Head,
        upload: &Upload,
        record: &mut Record,
    ) -> Result<Response<Download>, LocalReply> {
        let fleet = self.snapshot.fleet.as_deref().ok_or(LocalReply::NoStamp)?;
        let mut load = Load::new(Tries::new(head, self.route, false), head, upload, record);
        let owner = fleet.placement.owner(&self.tenant, fleet.entry, self.now);
        load.owner = owner;
        let first = match owner.filter(|owner| !self.is_shunned(fleet, *owner)) {
            Some(owner) => match self.visit(fleet, owner, self.has_others(fleet), &mut load).await? {
                Outcome::Answered(answer) => return Ok(answer),
                outcome => Some((owner, outcome)),
            },
            None => None,
        };
        // on the heap, like everything that few requests need: what a request holds on its way is moved and kept for all
        Box::pin(self.fail_over(fleet, first, load)).await
    }

    /// The candidates after the owner, which somebody else may have refused or been unable to take.
    async fn fail_over(
        &self,
        fleet: &Fleet,
        mut last: Option<(StampIndex, Outcome)>,
        mut load: Load<'_>,
    ) -> Result<Response<Download>, LocalReply> {
        let mut untried = self.untried(fleet, last.as_ref().map(|(stamp, _)| *stamp))?.into_iter().peekable();
        loop {
            let stamp = match last {
                None => untried.next().ok_or(LocalReply::NoStamp)?,
                Some((stamp, outcome)) => {
                    // not only this stamp: one before it may have executed it
                    let untouched = outcome.is_untouched() && !load.tries.is_spoilt();
                    let another = untried.peek().is_some() && (untouched || load.tries.may_cross());
                    match self.after(fleet, stamp, &outcome, another, &mut load) {
                        Next::BodyGone if untouched => return Err(LocalReply::NotReplayable),
                        Next::Stop | Next::BodyGone if untouched => return outcome.told(),
                        Next::Stop | Next::BodyGone => return outcome.told_of_a_spoilt_one(),
                        Next::Attempt(pause, to) => {
                            outcome.discard();
                            if !pause.is_zero() {
                                tokio::time::sleep(pause).await;
                            }
                            match to {
                                Target::Same => stamp,
                                Target::Another => {
                                    self.worker.sink.metrics.failovers.increment(1);
                                    untried.next().unwrap_or(stamp)
                                }
                            }
                        }
                    }
                }
            };
            match self.visit(fleet, stamp, untried.peek().is_some(), &mut load).await? {
                Outcome::Answered(answer) => return Ok(answer),
                outcome => last = Some((stamp, outcome)),
            }
        }
    }

    /// The candidates that are left, those first that this proxy has no reason to avoid. With `fail-fast` only the owner has
    /// the data, so nobody follows it.
    pub(super) fn untried(&self, fleet: &Fleet, tried: Option<StampIndex>) -> Result<Vec<StampIndex>, LocalReply> {
        let hand = fleet.placement.hand(&self.tenant, fleet.entry, self.now)?;
        if self.fails_fast() {
            let owner = hand.iter().next().map(|candidate| candidate.stamp);
            return Ok(owner.filter(|owner| Some(*owner) != tried).into_iter().collect());
        }
        let candidates = hand.iter().map(|candidate| candidate.stamp).filter(|stamp| Some(*stamp) != tried);
        let (shunned, mut stamps): (Vec<_>, Vec<_>) = candidates.partition(|stamp| self.is_shunned(fleet, *stamp));
        stamps.extend(shunned);
        Ok(stamps)
    }

    fn fails_fast(&self) -> bool {
        self.snapshot.settings.routing.as_ref().is_some_and(|routing| routing.failover == Failover::FailFast)
    }

    /// Whether somebody else might serve it.
    fn has_others(&self, fleet: &Fleet) -> bool {
        fleet.peers.len() > 1 && !self.fails_fast()
    }

    /// Whether there is reason to try somebody else first.
    fn is_shunned(&self, fleet: &Fleet, stamp: StampIndex) -> bool {
        let Some((guard, limits)) = self.guard_of(fleet, stamp) else { return true };
        if fleet.me == Some(stamp) && self.snapshot.apps[self.route.upstream].health.verdict() == Some(false) {
            return true;
        }
        guard.is_suspect() && guard.is_shunned(limits, rank(fleet.placement.slot(&self.tenant)), self.worker.now())
    }

    /// What stands before a candidate; `None` when it cannot be reached at all.
    fn guard_of<'a>(&'a self, fleet: &'a Fleet, stamp: StampIndex) -> Option<(&'a Guard, &'a Limits)> {
        if fleet.me == Some(stamp) {
            let app = &self.snapshot.apps[self.route.upstream];
            return Some((&app.guard, &app.limits));
        }
        let peer = fleet.peers.get(usize::from(stamp.0))?.as_ref()?;
        Some((&peer.guard, &self.snapshot.peer_limits))
    }

    /// What follows what a candidate did.
    fn after(&self, fleet: &Fleet, stamp: StampIndex, outcome: &Outcome, another: bool, load: &mut Load<'_>) -> Next {
        let target = if another { Target::Another } else { Target::Same };
        let Some(end) = outcome.end() else { return Next::Stop };
        let Some((guard, limits)) = self.guard_of(fleet, stamp) else {
            // nobody to ask, and nobody was asked
            return if another { Next::Attempt(std::time::Duration::ZERO, target) } else { Next::Stop };
        };
        self.next(load, &Failure { end, target, guard, limits, at: Instant::now() })
    }

    /// What follows a failed attempt.
    pub(super) fn next(&self, load: &mut Load<'_>, failure: &Failure<'_>) -> Next {
        let luck = (self.worker.now(), self.worker.chance());
        let request = (&*load.head, load.upload);
        load.tries.next(failure, request, &self.snapshot.settings.retries, &self.deadline, luck)
    }

    /// From another stamp: served here or refused, never sent on.
    ///
    /// # Errors
    /// `misdirected`, or why the app did not serve it.
    pub async fn as_receiver(
        &self,
        head: &mut Head,
        upload: &Upload,
        record: &mut Record,
    ) -> Result<Response<Download>, LocalReply> {
        if let (Some(fleet), Some(hop)) = (&self.snapshot.fleet, &self.hop) {
            let acceptance = fleet.me.map_or(Acceptance::NotCandidate, |me| {
                fleet.placement.accepts(&self.tenant, hop.entry.unwrap_or(fleet.entry), me, self.now)
            });
            let version = fleet.placement.version();
            if version < hop.version {
                self.worker.plane.refresh.notify_one();
            }
            // a sender with a newer table knows better than we do
            if acceptance != Acceptance::Candidate && version >= hop.version {
                return Err(LocalReply::Misdirected(fleet.version.clone()));
            }
        }
        let mut load = Load::new(Tries::new(head, self.route, true), head, upload, record);
        load.bypasses = self.hop.as_ref().is_some_and(|hop| hop.bypasses);
        self.visit_app(false, &mut load).await?.told()
    }
}

/// The place of a slot in the order in which slots come back after an outage, the same for every upstream.
fn rank(slot: u32) -> u16 {
    // odd, so that it is a permutation (Knuth, TAOCP 3, 6.4)
    (slot as u16).wrapping_mul(40_503)
}
