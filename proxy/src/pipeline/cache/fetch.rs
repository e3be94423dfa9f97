//! Fetches an answer for all who want it, in a task of its own.
//!
//! Invariant: what is kept was whole, and is what the app of this stamp has said to a request of its key. The request goes to
//! the app without the client's own conditions, so that its answer is for everybody.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::{HeaderMap, Method, StatusCode};
use synaxis_routing::{id::TenantId, table::Millis as TableMillis};
use tokio::sync::oneshot;

use super::{
    Seen, Stale, Want,
    keep::{Comes, Fetched, Keys, millis},
    shared::{self, Read},
};
use crate::{
    body::Upload,
    cache::{
        class::Class,
        collapse::{Come, Lead},
        entry::{Entry, Meta},
        fill::Reader,
        freshness::{self, Ask, Policy, Terms, Times, Unstorable, Use, revalidate},
        key::Key,
        purge::Verdict,
    },
    dataplane::Snapshot,
    pipeline::{
        Downstream, Service,
        candidates::{Errand, Load},
        local_reply::LocalReply,
        tries::Tries,
        visit::Outcome,
    },
    telemetry::record::Record,
    upstream::{concurrency::TenantKey, framing, head::Head, timer::Deadline},
};

/// Most thousandths by which an answer is fresh for a shorter time than it could be.
const JITTER: u16 = 100;

/// One fetch.
pub(super) struct Fetch {
    service: Rc<Service>,
    snapshot: Arc<Snapshot>,
    downstream: Rc<Downstream>,
    tenant: TenantId,
    tenant_key: TenantKey,
    /// Position of the route.
    route: usize,
    forwarded: bool,
    now: TableMillis,
    deadline: Deadline,
    others: bool,
    head: Head,
    class: Arc<Class>,
    policy: Policy,
    ask: Ask,
    /// Of the URL.
    base: Key,
    place: u128,
    key: Key,
    stale: Option<Stale>,
}

/// What the one who leads is told.
pub(super) enum Led {
    /// It comes, with these fields; whether it is kept.
    Comes(Arc<Meta>, HeaderMap, Reader, bool),
    /// Another process of the stamp had it.
    Shared(Arc<Entry>),
    /// The kept answer holds; whether it is kept any longer.
    Holds(Arc<Entry>, bool),
    /// It is his alone, or there is none.
    Went(Box<Back>),
}

/// What a visit has come to that nobody shares.
pub(super) struct Back {
    pub(super) outcome: Result<Outcome, LocalReply>,
    pub(super) tries: Tries,
    pub(super) attempts: u8,
    /// Whether the request was let in at the app.
    pub(super) entered: bool,
    /// Why its answer is not kept.
    pub(super) detail: Option<&'static str>,
    /// A kept answer that may be given in its place.
    pub(super) stale: Option<Stale>,
}

impl Fetch {
    pub(super) fn new(errand: &Errand<'_>, want: &Want, seen: Seen, others: bool, load: &Load<'_>) -> Self {
        let left = errand.deadline.at().saturating_duration_since(Instant::now());
        let routes = &errand.snapshot.settings.routes;
        let Seen { place, key, stale, .. } = seen;
        Self {
            service: Rc::clone(errand.service),
            snapshot: Arc::clone(errand.snapshot),
            downstream: Rc::clone(errand.downstream),
            tenant: errand.tenant,
            tenant_key: errand.key,
            route: routes.iter().position(|route| std::ptr::eq(route, errand.route)).unwrap_or_default(),
            forwarded: errand.hop.is_some(),
            now: errand.now,
            deadline: errand.worker.timer.deadline(Instant::now(), left),
            others,
            head: load.head.clone(),
            class: Arc::clone(&want.class),
            policy: want.policy,
            ask: want.ask,
            base: want.key.clone(),
            place,
            key,
            stale,
        }
    }

    /// The same for the whole answer, whatever the request that has shown the need of it is.
    pub(super) fn of_a_get(mut self) -> Self {
        self.head.method = Method::GET;
        (self.ask.head, self.ask.no_store) = (false, false);
        self
    }

    /// Goes to the app, and tells everybody what comes of it. Nobody may be left to be told.
    pub(super) async fn run(self, lead: Lead, tell: Option<oneshot::Sender<Led>>) {
        let service = Rc::clone(&self.service);
        let _busy = service.worker.fetching();
        self.go(lead, tell).await;
    }

    async fn go(self, mut lead: Lead, tell: Option<oneshot::Sender<Led>>) {
        let Self { service, snapshot, downstream, tenant, tenant_key, route, forwarded, now, deadline, others, .. } =
            self;
        let Self { head: asked, class, policy, ask, base, place, key, stale, .. } = self;
        let Some(route) = snapshot.settings.routes.get(route) else { return };
        let worker = &service.worker;
        let errand = Errand {
            worker,
            service: &service,
            snapshot: &snapshot,
            downstream: &downstream,
            tenant,
            key: tenant_key,
            route,
            hop: None,
            now,
            deadline,
        };
        let mut record = Record::aside(&worker.sink, Instant::now());
        let mut stale = stale;
        let reader = shared::Reader { class: &class, policy: &policy, tenant, base: &base, asked: &asked.headers };
        let shares = shared::is_used(worker, &class);
        let read =
            if shares && !ask.no_cache { reader.read(worker, &ask, &errand.deadline).await } else { Read::default() };
        let known = read.base;
        // one that this process has had since is not given up for it
        let newer = read.entry.filter(|(entry, _)| !stale.as_ref().is_some_and(|mine| mine.is_after(entry)));
        match newer {
            Some((entry, Use::Fresh { .. })) => {
                let now = worker.plane.clock.host(Instant::now());
                let times = Times { asked: now, received: now };
                let fetched = Fetched { began: entry.meta.began, class, policy, ask, times, shares, known };
                let keys = Keys { base, place, key, tenant };
                return send(tell, fetched.takes(&worker.plane.cache, keys, entry, (&asked.headers, &mut lead)));
            }
            Some((entry, used)) => {
                let if_error = matches!(used, Use::IfError { .. } | Use::WhileRevalidating { .. });
                stale = Some(Stale { entry, if_error });
            }
            None => {}
        }
        // entries that were fetched together are not asked for together
        let jitter = (worker.chance() * f64::from(JITTER)) as u16;
        let (answer, times, began) = loop {
            let began = worker.plane.cache.purges.last();
            // of what was purged since it was found, not even the validators are used
            stale = stale.filter(|stale| stale.entry.meta.verdict(&worker.plane.cache.purges) != Verdict::Hard);
            let mut head = asked.clone();
            let validates =
                stale.as_ref().is_some_and(|stale| revalidate::ask(&stale.entry.meta.headers, &mut head.headers));
            if !validates {
                revalidate::put_aside(&mut head.headers);
            }
            let sent = worker.plane.clock.host(Instant::now());
            let upload = Upload::default();
            let tries = Tries::new(&head, route, forwarded);
            let mut load = Load::new(tries, &mut head, &upload, &mut record);
            (load.charged, load.counted, load.fetches) = (true, true, true);
            let outcome = errand.visit_endpoints(others, &mut load).await;
            let (tries, entered) = (load.tries, load.entered);
            let times = Times { asked: sent, received: worker.plane.clock.host(Instant::now()) };
            let (attempts, hidden) = (record.attempts, stale.clone());
            let went = |outcome, detail| {
                Led::Went(Box::new(Back { outcome, tries, attempts, entered, detail, stale: hidden }))
            };
            match outcome {
                Ok(Outcome::Answered(answer)) if hides(stale.as_ref(), answer.status()) => {
                    return send(tell, went(Ok(Outcome::Answered(answer)), Some("status")));
                }
                Ok(Outcome::Answered(answer)) if answer.status() == StatusCode::NOT_MODIFIED && validates => {
                    let Some(Stale { entry, .. }) = stale.take() else { return };
                    match revalidate::verdict(&entry.meta.headers, answer.headers()) {
                        revalidate::Verdict::Holds => {
                            let fetched = Fetched { class, policy, ask, times, began, shares, known };
                            let keys = Keys { base, place, key, tenant };
                            let asked = (&asked.headers, &mut lead);
                            let led = fetched.holds(&worker.plane.cache, keys, &entry, answer, asked);
                            return send(tell, led);
                        }
                        // of some other answer: it is asked for as a whole
                        revalidate::Verdict::Other => {
                            Outcome::Answered(answer).discard();
                            continue;
                        }
                    }
                }
                Ok(Outcome::Answered(answer)) => {
                    match Terms::of(&ask, times, answer.status(), answer.headers(), &policy) {
                        Ok(terms) if answer.body().is_delimited() => {
                            break (answer.map(|body| (body, terms.shortened(jitter))), times, began);
                        }
                        Ok(_) => return send(tell, went(Ok(Outcome::Answered(answer)), Some("undelimited"))),
                        // somebody else may have more luck
                        Err(why) if answer.status().is_server_error() => {
                            return send(tell, went(Ok(Outcome::Answered(answer)), Some(why.token())));
                        }
                        Err(why) => {
                            // what is this request's own is not remembered of the URL
                            let plain = Ask { authorized: false, no_store: false, ..ask };
                            let refused = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                            let of = Terms::of(&plain, times, answer.status(), answer.headers(), &class.policy);
                            let (life, store) = (class.uncacheable, &worker.plane.cache.store);
                            let until = times.received + millis(life);
                            if of.is_err() && !refused {
                                store.pass(place, (key, tenant), until, life, &class.room);
                            } else if why == Unstorable::Authorization {
                                let key = key.with_credentials();
                                store.pass(key.place(worker.plane.cache.seed), (key, tenant), until, life, &class.room);
                            }
                            lead.tell(Come::Refused);
                            return send(tell, went(Ok(Outcome::Answered(answer)), Some(why.token())));
                        }
                    }
                }
                other => return send(tell, went(other, None)),
            }
        };
        let (parts, (body, terms)) = answer.into_parts();
        let mut headers = parts.headers;
        let received = headers.clone();
        freshness::keep(&mut headers, times.received, &policy);
        framing::answer(&mut headers);
        let fetched = Fetched { class, policy, ask, times, began, shares, known };
        let comes = Comes { status: parts.status, headers, received, terms, body: body.used() };
        let idle = snapshot.settings.timeouts.body_idle;
        let keys = Keys { base, place, key, tenant };
        fetched
            .comes(&worker.plane.cache, keys, comes, (lead, tell), (&asked.headers, idle), &worker.sink.metrics.cache)
            .await;
    }
}

/// Whether a kept answer may be given in place of this one.
fn hides(stale: Option<&Stale>, status: StatusCode) -> bool {
    stale.is_some_and(|stale| stale.if_error) && revalidate::failed(status)
}

/// Tells the one who leads, if there is one who waits; an answer that nobody takes leaves its connection to others.
pub(super) fn send(tell: Option<oneshot::Sender<Led>>, led: Led) {
    let untold = match tell {
        Some(tell) => tell.send(led).err(),
        None => Some(led),
    };
    if let Some(Led::Went(back)) = untold
        && let Ok(outcome) = back.outcome
    {
        outcome.discard();
    }
}
