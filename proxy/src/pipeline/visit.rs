//! One candidate's turn: its guard is asked, its endpoints are tried, and what came of it is noted.
//!
//! Invariant: whoever was let in is counted out again, whatever happens on the way: permits and passes are values.

use std::{mem, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use synaxis_routing::{id::StampId, placement::StampIndex};

use super::{
    admit::Admission,
    candidates::{Errand, Load},
    degrade, denies, edits,
    local_reply::LocalReply,
    peer::{self, Announced},
    rate_limit,
    tries::{Failure, Next},
};
use crate::{
    body::Download,
    dataplane::Fleet,
    upstream::{
        attempt::{self, Cause, Failed, Means, Sent},
        breaker::Outcome as Shown,
        concurrency::Permit,
        connect::ConnectError,
        framing,
        guard::{Guard, Limits},
        retry::verdict::{End, Target as To},
        target::Target,
    },
};

/// Idle connections kept per peer and worker.
const IDLE_PER_PEER: usize = 256;

/// What became of one candidate's turn.
pub enum Outcome {
    /// This is the answer.
    Answered(Response<Download>),
    /// Nobody executed it; the next candidate may have it.
    Untouched(End, LocalReply),
    /// Somebody may have executed it. What the client is told if it is not tried again.
    Spoilt(End, Result<Response<Download>, LocalReply>),
}

impl Outcome {
    /// Whether nobody executed it.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        matches!(self, Self::Untouched(..))
    }

    /// How it failed, if it did.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match self {
            Self::Answered(_) => None,
            Self::Untouched(end, _) | Self::Spoilt(end, _) => Some(*end),
        }
    }

    /// What the client is told when nothing follows.
    ///
    /// # Errors
    /// Why nobody served it.
    pub fn told(self) -> Result<Response<Download>, LocalReply> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Untouched(_, reply) => Err(reply),
            Self::Spoilt(_, told) => told,
        }
    }

    /// The same when somebody before may have executed it: nothing then says that nothing was sent.
    ///
    /// # Errors
    /// Why nobody served it.
    pub fn told_of_a_spoilt_one(self) -> Result<Response<Download>, LocalReply> {
        match self {
            Self::Untouched(_, LocalReply::UpstreamConnect(cause)) => Err(LocalReply::UpstreamReset(cause)),
            // by its status alone a 421 says that nobody has processed it (RFC 9110 §15.5.20)
            Self::Untouched(_, LocalReply::Misdirected(_)) => {
                Err(LocalReply::UpstreamReset(Cause::Reset("the stamp it went on to has another table".into())))
            }
            Self::Untouched(_, reply) => Err(LocalReply::Executed(Box::new(reply))),
            outcome => outcome.told(),
        }
    }

    /// Nobody wants it. An answer that is already there in full leaves its connection to others.
    pub fn discard(self) {
        if let Self::Answered(answer) | Self::Spoilt(_, Ok(answer)) = self {
            answer.into_body().discard();
        }
    }
}

impl Errand<'_> {
    /// Lets a stamp serve it: this one's app, or another one's peer listener. `another` says that somebody else could.
    pub(super) async fn visit(
        &self,
        fleet: &Fleet,
        stamp: StampIndex,
        another: bool,
        load: &mut Load<'_>,
    ) -> Result<Outcome, LocalReply> {
        if let Some(line) = &mut load.record.line {
            line.stamp = Some(fleet.placement.stamp(stamp).id.to_string());
        }
        let _absence = self.absence(stamp, load);
        let outcome = if fleet.me == Some(stamp) {
            self.visit_app(another, load).await?
        } else {
            Box::pin(self.visit_peer(fleet, stamp, another, load)).await?
        };
        if matches!(outcome, Outcome::Spoilt(..)) {
            load.tries.spoil();
        }
        Ok(outcome)
    }

    /// This stamp: what it keeps, or its own app's endpoints, beginning with the one whose turn it is. `others` says that
    /// another stamp could have what no endpoint takes.
    pub(super) async fn visit_app(&self, others: bool, load: &mut Load<'_>) -> Result<Outcome, LocalReply> {
        let (plane, degradation) = (&self.worker.plane, &self.snapshot.settings.degradation);
        if let Err(reply) = degrade::check(plane, degradation, self.route, load.head, load.record) {
            // maintenance of this stamp alone: another one may have it
            let moves_on = reply.shape().unprocessed;
            return if moves_on { Ok(Outcome::Untouched(End::Unprocessed, reply)) } else { Err(reply) };
        }
        if let Some(class) = self.class(load) {
            // apart: few routes keep answers
            return Box::pin(self.visit_kept(class, others, load)).await;
        }
        self.visit_endpoints(others, load).await
    }

    /// The same, when nothing is kept that would answer it.
    pub(super) async fn visit_endpoints(&self, others: bool, load: &mut Load<'_>) -> Result<Outcome, LocalReply> {
        let app = &self.snapshot.apps[self.route.upstream];
        let now = self.worker.now();
        let admitted = match self.admit(app, now, load) {
            Ok(Admission::Decided(admitted)) => Ok(admitted),
            Ok(Admission::Asks(waiting)) => Box::pin(self.admit_later(app, waiting, load)).await,
            Err(limited) => Err(limited),
        };
        self.count(&admitted, load);
        let (permit, pass, told) = match admitted? {
            Ok(admitted) => admitted,
            Err(refused) => return self.refused(refused),
        };
        load.entered = true;
        if load.head.announced {
            framing::strip_internal(&mut load.head.headers);
            load.head.announced = false;
        }
        let idle_max = self.snapshot.settings.upstreams[self.route.upstream].idle_max;
        let before = edits::request(&self.route.request_headers, load.head);
        let mut order = app.health.order(self.worker.turn(), now, &app.health_limits);
        let Some(mut place) = order.next() else { return Err(LocalReply::NoStamp) };
        let mut spoilt = false;
        loop {
            let another = order.len() > 0;
            let mut outcome = self
                .attempt(&app.targets[place], (&app.guard, &app.limits), (another, &|| true), idle_max, load)
                .await?;
            let now = self.worker.now();
            // looked at in place: an answer is large, and each move of it a copy
            let end = match &mut outcome {
                Outcome::Answered(answer)
                    if !app.limits.is_failure(answer.status(), answer.headers(), &peer::REASON) =>
                {
                    app.health.succeeded(place);
                    app.guard.record(&app.limits, pass, Shown::Success, now, 0.0);
                    keep(answer, permit, load);
                    edits::answer(&self.route.response_headers, answer);
                    tell(told.as_deref(), answer);
                    return Ok(outcome);
                }
                Outcome::Answered(_) => End::GatewayStatus,
                Outcome::Untouched(end, _) | Outcome::Spoilt(end, _) => *end,
            };
            let shown = shown(end);
            let ejection = shown.and_then(|_| app.health.failed(place, now, &app.health_limits));
            if let Some(ejection) = ejection {
                app.guard.metrics.ejections.increment(1);
                tracing::warn!(endpoint = ?app.targets[place], for_ms = ejection.for_ms, "endpoint ejected");
            }
            let target = if another { To::Another } else { To::Same };
            let failure = Failure { end, target, guard: &app.guard, limits: &app.limits, at: Instant::now() };
            spoilt |= !is_untouched(end);
            // nobody waits for this app again as long as another stamp can have the request at once
            let moves_on = others && !another && is_untouched(end) && (!spoilt || load.tries.may_cross());
            let next = if moves_on { Next::Stop } else { self.next(load, &failure) };
            if let Next::Attempt(pause, to) = next {
                load.may_have_run |= !is_untouched(end);
                outcome.discard();
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                if to == To::Another {
                    place = order.next().unwrap_or(place);
                }
                continue;
            }
            if let Some(shown) = shown {
                app.guard.record(&app.limits, pass, shown, now, self.worker.chance());
            }
            if load.head.is_whole() {
                edits::take_back(&self.route.request_headers, before, load.head);
            }
            if let Outcome::Answered(answer) = &mut outcome {
                // the app has spoken, and its word is final: what it may have done, no other stamp undoes
                keep(answer, permit, load);
                edits::answer(&self.route.response_headers, answer);
                tell(told.as_deref(), answer);
            }
            // not the last attempt, but one before it may have been executed
            let outcome = match outcome {
                Outcome::Untouched(end, _) if spoilt => Outcome::Spoilt(end, outcome.told_of_a_spoilt_one()),
                outcome => outcome,
            };
            // each failure is judged once: what was stopped here nobody asks about again
            let judged = next == Next::Stop && !moves_on;
            return if judged { outcome.told().map(Outcome::Answered) } else { Ok(outcome) };
        }
    }

    async fn visit_peer(
        &self,
        fleet: &Fleet,
        stamp: StampIndex,
        another: bool,
        load: &mut Load<'_>,
    ) -> Result<Outcome, LocalReply> {
        let Some(peer) = fleet.peers.get(usize::from(stamp.0)).and_then(Option::as_ref) else {
            return Ok(Outcome::Untouched(End::ConnectError, LocalReply::NoStamp));
        };
        if let Err(refused) = denies::check(self, load) {
            self.worker.count(self.key, &self.tenant, true);
            return Err(refused);
        }
        let limits = &self.snapshot.peer_limits;
        let (permit, pass) = match self.enter(&peer.guard, limits, self.worker.now(), load) {
            Ok(entered) => entered,
            Err(refused) => return self.refused(refused),
        };
        let id = |stamp| &fleet.placement.stamp(stamp).id;
        let (visited, owner) = (id(stamp), id(load.owner.unwrap_or(stamp)));
        let left = self.deadline.at().saturating_duration_since(self.begins(load));
        let entry = &self.snapshot.settings.stamp.id;
        load.head.announced = true;
        let client = &self.downstream.client_value;
        let announced = Announced { entry, owner, tenant: &self.tenant, client, left, bypasses: load.bypasses };
        peer::announce(&mut load.head.headers, fleet, &announced);
        self.worker.sink.metrics.forwarded.increment(1);
        let another = another && load.tries.could_cross();
        // whether there really is somebody, asked when the time of this attempt is over
        let others = || self.untried(fleet, Some(stamp)).is_ok_and(|left| !left.is_empty());
        let mut outcome =
            self.attempt(&peer.target, (&peer.guard, limits), (another, &others), IDLE_PER_PEER, load).await?;
        let now = self.worker.now();
        let said = match &mut outcome {
            Outcome::Answered(answer) if peer::is_unprocessed(answer) => {
                let unprocessed = self.unprocessed(fleet, visited, answer, &load.head.headers);
                mem::replace(&mut outcome, unprocessed).discard();
                Some(Shown::Success)
            }
            Outcome::Answered(answer) if !limits.is_failure(answer.status(), answer.headers(), &peer::REASON) => {
                keep(answer, permit, load);
                if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                    denies::note(self, load, answer.headers());
                }
                Some(Shown::Success)
            }
            Outcome::Answered(answer) => {
                answer.body_mut().hold(permit);
                outcome = Outcome::Spoilt(End::GatewayStatus, outcome.told());
                Some(Shown::AnswerFailure)
            }
            Outcome::Untouched(end, _) | Outcome::Spoilt(end, _) => shown(*end),
        };
        if let Some(said) = said {
            peer.guard.record(limits, pass, said, now, self.worker.chance());
        }
        Ok(outcome)
    }

    /// A stamp says that its app has not seen the request.
    fn unprocessed(&self, fleet: &Fleet, stamp: &StampId, answer: &Response<Download>, headers: &HeaderMap) -> Outcome {
        if answer.status() == StatusCode::MISDIRECTED_REQUEST {
            self.worker.plane.refresh.notify_one();
            return Outcome::Untouched(End::Unprocessed, LocalReply::Misdirected(fleet.version.clone()));
        }
        if degrade::is_maintenance(answer) {
            let (plane, settings) = (&self.worker.plane, &self.snapshot.settings.degradation);
            return Outcome::Untouched(End::Unprocessed, degrade::maintenance(plane, settings, false, headers));
        }
        let reason = answer.headers().get(peer::REASON).map(HeaderValue::as_bytes);
        if reason == Some(b"concurrency") || reason == Some(b"overload") {
            return Outcome::Untouched(End::PeerBusy, LocalReply::PeerBusy(stamp.clone()));
        }
        if reason == Some(b"breaker_open") {
            let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Outcome::Untouched(End::Unprocessed, LocalReply::PeerOpen(stamp.clone(), seconds.unwrap_or(1)));
        }
        let cause = Cause::Reset(format!("{stamp} could not reach its app"));
        Outcome::Untouched(End::Unprocessed, LocalReply::UpstreamConnect(cause))
    }

    /// When the visit begins. The first one begins with the request: what lies between is microseconds, and a clock read.
    pub(super) fn begins(&self, load: &Load<'_>) -> Instant {
        if load.tries.attempts() == 0 { load.record.started() } else { Instant::now() }
    }

    async fn attempt(
        &self,
        target: &Arc<Target>,
        (guard, limits): (&Guard, &Limits),
        (another, others): (bool, &dyn Fn() -> bool),
        idle_max: usize,
        load: &mut Load<'_>,
    ) -> Result<Outcome, LocalReply> {
        let worker = self.worker;
        let means = Means {
            is_followed: &|| guard.budget.is_left(&limits.budget, worker.now()) && others(),
            pools: &worker.pools,
            metrics: &worker.sink.metrics,
            policy: &worker.plane.policy,
            connect: self.snapshot.settings.timeouts.connect,
            idle_max,
        };
        let began = self.begins(load);
        load.tries.begin();
        load.record.attempts = load.record.attempts.saturating_add(1);
        if self.deadline.at() <= began {
            return Err(LocalReply::UpstreamTimeout);
        }
        let bounds = (self.route, &self.snapshot.settings.retries);
        self.deadline.aim(load.tries.attempt_ends(began, bounds, another, load.upload));
        let outcome = attempt::send(&means, target, load.head, load.upload, &self.deadline).await;
        let ended = Instant::now();
        worker.sink.metrics.client_duration.record(ended.duration_since(began).as_secs_f64());
        let failed = match outcome {
            Ok(answer) => {
                load.record.first_byte(ended);
                return Ok(Outcome::Answered(answer));
            }
            Err(failed) => failed,
        };
        tracing::debug!(?target, sent = ?failed.sent, cause = %failed.cause, "attempt failed");
        let Failed { sent, cause } = failed;
        let (end, reply) = match (sent, cause) {
            (_, Cause::Client) => return Err(LocalReply::BodyInvalid),
            (_, Cause::ClientSlow) => return Err(LocalReply::BodyTimeout),
            (_, Cause::TooLarge) => return Err(LocalReply::BodyTooLarge(self.route.body_bytes)),
            (Sent::No, Cause::Timeout) => return Err(LocalReply::UpstreamTimeout),
            (Sent::Maybe, Cause::Timeout) => (End::HeadTimeout, LocalReply::UpstreamTimeout),
            (Sent::No, Cause::Connect(ConnectError::NoSocket(_))) => (End::NoSocket, LocalReply::Overload),
            (Sent::No, cause @ Cause::Connect(_)) => (End::ConnectError, LocalReply::UpstreamConnect(cause)),
            (Sent::No, cause) => (End::NotSent, LocalReply::UpstreamConnect(cause)),
            (Sent::Maybe, cause @ Cause::Invalid(_)) => (End::GatewayStatus, LocalReply::UpstreamInvalid(cause)),
            (Sent::Maybe, cause) if target.is_peer() => (End::PeerReset, LocalReply::UpstreamReset(cause)),
            (Sent::Maybe, cause) => (End::AppReset, LocalReply::UpstreamReset(cause)),
        };
        Ok(if is_untouched(end) { Outcome::Untouched(end, reply) } else { Outcome::Spoilt(end, Err(reply)) })
    }
}

/// Says how the limits stand.
fn tell(told: Option<&rate_limit::Told>, answer: &mut Response<Download>) {
    if let Some(told) = told {
        told.tell(answer.headers_mut());
    }
}

/// The client gets this answer: it keeps its place, and no other attempt needs its request.
fn keep(answer: &mut Response<Download>, permit: Permit, load: &Load<'_>) {
    load.upload.keep_no_more();
    answer.body_mut().hold(permit);
}

/// What a failed attempt shows of its upstream.
fn shown(end: End) -> Option<Shown> {
    match end {
        // no request can cause these
        End::ConnectError | End::NotSent => Some(Shown::TransportFailure),
        End::Unprocessed | End::PeerBusy => Some(Shown::Success),
        // one process of many at that stamp may have gone; whether the stamp has, the next connection shows
        End::PeerReset => None,
        // it says nothing of anybody else
        End::NoSocket => None,
        End::HeadTimeout | End::AppReset | End::GatewayStatus => Some(Shown::AnswerFailure),
    }
}

/// Whether nobody has executed a request that ended like this.
fn is_untouched(end: End) -> bool {
    match end {
        End::ConnectError | End::NoSocket | End::NotSent | End::Unprocessed | End::PeerBusy => true,
        End::HeadTimeout | End::AppReset | End::PeerReset | End::GatewayStatus => false,
    }
}
