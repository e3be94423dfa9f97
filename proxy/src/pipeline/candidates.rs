//! Who serves: the candidates of the tenant in order of choice, and the one hop to another stamp.
//!
//! A request moves on to the next candidate only when it is known that nobody has executed it: no connection came
//! about, not a byte was sent, or a peer says that its app has not seen it.

use std::{sync::Arc, time::Instant};

use http::Response;
use synaxis_config::settings::{Failover, Route};
use synaxis_routing::{
    id::TenantId,
    placement::{Acceptance, HAND_MAX, StampIndex},
    table::Millis,
};

use super::{
    Downstream, edits,
    local_reply::LocalReply,
    peer::{self, Hop},
};
use crate::{
    body::{Upload, UpstreamBody},
    dataplane::{Fleet, Snapshot, worker::Worker},
    telemetry::record::Record,
    upstream::{
        attempt::{self, Cause, Failed, Means, Sent},
        framing,
        head::Head,
        target::Target,
        timer::Deadline,
    },
};

/// One request that has a tenant and a route, looking for somebody to serve it.
pub struct Errand<'a> {
    /// This worker.
    pub worker: &'a Worker,
    /// What should be.
    pub snapshot: &'a Snapshot,
    /// Where it came from.
    pub downstream: &'a Downstream,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it goes.
    pub route: &'a Route,
    /// Set when another stamp sent it.
    pub hop: Option<Box<Hop>>,
    /// The store's clock at its start.
    pub now: Millis,
    /// When its answer's head must be there.
    pub deadline: Deadline,
}

/// What became of one candidate's attempt.
enum Outcome {
    Answered(Response<UpstreamBody>),
    /// Nobody executed it; the next candidate may have it.
    Untouched(LocalReply),
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
    ) -> Result<Response<UpstreamBody>, LocalReply> {
        let fleet = self.snapshot.fleet.as_deref().ok_or(LocalReply::NoStamp)?;
        let placement = &fleet.placement;
        let owner = match placement.owner(&self.tenant, fleet.entry, self.now) {
            Some(owner) => match self.try_stamp(fleet, owner, head, upload, record).await? {
                Outcome::Answered(answer) => return Ok(answer),
                Outcome::Untouched(reply) => Some((owner, reply)),
            },
            None => None,
        };
        // on the heap, like everything that few requests need: what a request holds on its way is moved and kept for all
        Box::pin(self.fail_over(fleet, owner, head, upload, record)).await
    }

    /// The candidates after the owner, which somebody else may have refused or been unable to take.
    async fn fail_over(
        &self,
        fleet: &Fleet,
        mut last: Option<(StampIndex, LocalReply)>,
        head: &mut Head,
        upload: &Upload,
        record: &mut Record,
    ) -> Result<Response<UpstreamBody>, LocalReply> {
        let hand = fleet.placement.hand(&self.tenant, fleet.entry, self.now)?;
        let routing = self.snapshot.settings.routing.as_ref();
        let fails_fast = routing.is_some_and(|routing| routing.failover == Failover::FailFast);
        let tried = last.as_ref().map(|(owner, _)| *owner);
        for candidate in hand.iter().filter(|candidate| Some(candidate.stamp) != tried).take(HAND_MAX) {
            if last.is_some() {
                if fails_fast {
                    break;
                }
                if upload.is_polled() {
                    return Err(LocalReply::NotReplayable);
                }
                self.worker.sink.metrics.failovers.increment(1);
            }
            match self.try_stamp(fleet, candidate.stamp, head, upload, record).await? {
                Outcome::Answered(answer) => return Ok(answer),
                Outcome::Untouched(reply) => last = Some((candidate.stamp, reply)),
            }
        }
        Err(last.map_or(LocalReply::NoStamp, |(_, reply)| reply))
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
    ) -> Result<Response<UpstreamBody>, LocalReply> {
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
        match self.try_app(head, upload, record).await? {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Untouched(reply) => Err(reply),
        }
    }

    async fn try_stamp(
        &self,
        fleet: &Fleet,
        stamp: StampIndex,
        head: &mut Head,
        upload: &Upload,
        record: &mut Record,
    ) -> Result<Outcome, LocalReply> {
        if let Some(line) = &mut record.line {
            line.stamp = Some(fleet.placement.stamp(stamp).id.to_string());
        }
        if fleet.me == Some(stamp) {
            self.try_app(head, upload, record).await
        } else {
            Box::pin(self.try_peer(fleet, stamp, head, upload, record)).await
        }
    }

    /// Every endpoint of this stamp's own app, beginning with the one whose turn it is.
    async fn try_app(&self, head: &mut Head, upload: &Upload, record: &mut Record) -> Result<Outcome, LocalReply> {
        let endpoints = &self.snapshot.apps[self.route.upstream].targets;
        if head.announced {
            framing::strip_internal(&mut head.headers);
            head.announced = false;
        }
        let idle_max = self.snapshot.settings.upstreams[self.route.upstream].idle_max;
        let before = edits::request(&self.route.request_headers, head);
        let turn = self.worker.turn();
        let mut last = LocalReply::NoStamp;
        for attempt in 0..endpoints.len() {
            let target = &endpoints[turn.wrapping_add(attempt) % endpoints.len()];
            match self.send(target, head, upload, idle_max, record).await? {
                Outcome::Untouched(reply) if !upload.is_polled() => last = reply,
                // nobody else can have it
                Outcome::Untouched(reply) => return Ok(Outcome::Untouched(reply)),
                Outcome::Answered(mut answer) => {
                    edits::answer(&self.route.response_headers, &mut answer);
                    return Ok(Outcome::Answered(answer));
                }
            }
        }
        edits::take_back(&self.route.request_headers, before, head);
        Ok(Outcome::Untouched(last))
    }

    async fn try_peer(
        &self,
        fleet: &Fleet,
        stamp: StampIndex,
        head: &mut Head,
        upload: &Upload,
        record: &mut Record,
    ) -> Result<Outcome, LocalReply> {
        let Some(peer) = fleet.peers.get(usize::from(stamp.0)).and_then(Option::as_ref) else {
            return Ok(Outcome::Untouched(LocalReply::NoStamp));
        };
        let target = &peer.target;
        let owner = &fleet.placement.stamp(stamp).id;
        let left = self.deadline.at().saturating_duration_since(Instant::now());
        let entry = &self.snapshot.settings.stamp.id;
        head.announced = true;
        peer::announce(&mut head.headers, fleet, entry, owner, &self.tenant, &self.downstream.client_value, left);
        self.worker.sink.metrics.forwarded.increment(1);
        // a peer may read it whole and say that its app has not seen it
        let kept = head.clone();
        match self.send(target, head, upload, IDLE_PER_PEER, record).await? {
            Outcome::Answered(answer) if peer::is_unprocessed(&answer) => {
                *head = kept;
                let misdirected = answer.status() == http::StatusCode::MISDIRECTED_REQUEST;
                let reply = if misdirected {
                    self.worker.plane.refresh.notify_one();
                    LocalReply::Misdirected(fleet.version.clone())
                } else {
                    LocalReply::UpstreamConnect(Cause::Reset(format!("{owner} could not reach its app")))
                };
                Ok(Outcome::Untouched(reply))
            }
            outcome => Ok(outcome),
        }
    }

    async fn send(
        &self,
        target: &Arc<Target>,
        head: &mut Head,
        upload: &Upload,
        idle_max: usize,
        record: &mut Record,
    ) -> Result<Outcome, LocalReply> {
        let worker = self.worker;
        let means = Means {
            pools: &worker.pools,
            metrics: &worker.sink.metrics,
            policy: &worker.plane.policy,
            connect: self.snapshot.settings.timeouts.connect,
            idle_max,
        };
        // the first attempt begins with the request: what lies between is microseconds, and a clock read
        let began = if record.attempts == 0 { record.started() } else { Instant::now() };
        record.attempts = record.attempts.saturating_add(1);
        let outcome = attempt::send(&means, target, head, upload, &self.deadline).await;
        let ended = Instant::now();
        worker.sink.metrics.client_duration.record(ended.duration_since(began).as_secs_f64());
        let Failed { sent, cause } = match outcome {
            Ok(answer) => {
                let elapsed = record.elapsed_ms(ended);
                if let Some(line) = &mut record.line {
                    line.ttfb_ms = Some(elapsed);
                }
                return Ok(Outcome::Answered(answer));
            }
            Err(failed) => failed,
        };
        tracing::debug!(?target, ?sent, %cause, "attempt failed");
        match (sent, cause) {
            (_, Cause::Timeout) => Err(LocalReply::UpstreamTimeout),
            (_, Cause::Client) => Err(LocalReply::BodyInvalid),
            (_, Cause::ClientSlow) => Err(LocalReply::BodyTimeout),
            (_, Cause::TooLarge) => Err(LocalReply::BodyTooLarge(self.route.body_bytes)),
            (Sent::No, cause) => Ok(Outcome::Untouched(LocalReply::UpstreamConnect(cause))),
            (Sent::Maybe, cause @ Cause::Invalid(_)) => Err(LocalReply::UpstreamInvalid(cause)),
            (Sent::Maybe, cause) => Err(LocalReply::UpstreamReset(cause)),
        }
    }
}

/// Idle connections kept per peer and worker.
const IDLE_PER_PEER: usize = 256;
