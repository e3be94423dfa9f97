//! Whether an answer is already here: found, or fetched once for all who want it.
//!
//! Invariant: only the stamp that owns the tenant looks and keeps (`elsewhere`). A request waits for somebody else's fetch no
//! longer than the settings say, and of those that have waited too long one goes itself.

mod answers;
mod change;
mod elsewhere;
mod fetch;
mod follow;
mod keep;
mod shared;
mod want;

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, Response};
use tokio::sync::oneshot;

use self::{
    answers::{Shown, Shows},
    change::Change,
    fetch::{Back, Fetch, Led},
    follow::Followed,
    keep::Fetched,
    want::Want,
};
use super::{
    candidates::{Errand, Load},
    local_reply::LocalReply,
    visit::Outcome,
};
use crate::{
    body::Download,
    cache::{
        Cache, FETCHES_MAX,
        class::Class,
        collapse::{Come, Follower, Joined, Lead},
        entry::{Entry, Meta},
        freshness::{
            Millis, Times, Use, revalidate,
            status::{Forward, Told},
            write_values,
        },
        key::Key,
        purge::Verdict,
        store::Known,
    },
    telemetry::cache::CacheResult,
};

/// Times that a request looks before it goes itself: each time something has changed under its hands.
const LOOKS_MAX: usize = 8;

/// How old a kept answer may be, in milliseconds, while other processes of the stamp are not heard.
const CUT_OFF_MAX: Millis = 5_000;

/// How a request that looked goes on.
enum Found {
    /// This is the answer.
    Answer(CacheResult, Response<Download>),
    /// It went itself; whether it was let in at its app.
    Went(Result<Outcome, LocalReply>),
    /// It goes itself, alone, and why.
    Goes(Forward, Option<&'static str>),
    /// Nobody may ask the app, and nothing is here.
    Nothing(LocalReply),
}

/// What is known of what a request wants.
struct Seen {
    /// Where it would be, and by which key.
    place: u128,
    key: Key,
    /// A kept answer that is not to be used as it is.
    stale: Option<Stale>,
    why: Forward,
}

/// A kept answer that is not fresh.
#[derive(Clone)]
pub(super) struct Stale {
    entry: Arc<Entry>,
    /// Whether it may be given if the app fails.
    if_error: bool,
}

impl Stale {
    /// Whether it came later than another one.
    fn is_after(&self, other: &Entry) -> bool {
        self.entry.meta.terms.received() > other.meta.terms.received()
    }
}

/// What a look has come to.
enum Look {
    Found(Use, Arc<Entry>),
    Missed(Seen),
    Passes,
}

impl Errand<'_> {
    /// The class by which answers to this request are kept, if they are.
    pub(super) fn class(&self, load: &Load<'_>) -> Option<&Arc<Class>> {
        let class = self.snapshot.classes.get(self.route.cache?)?;
        (!load.fetches).then_some(class)
    }

    /// A visit to this stamp for a request whose answers are kept.
    pub(super) async fn visit_kept(
        &self,
        class: &Arc<Class>,
        others: bool,
        load: &mut Load<'_>,
    ) -> Result<Outcome, LocalReply> {
        let check = self.limited(load).await?;
        let change = (!load.head.method.is_safe()).then(|| Change::of(self, load));
        let told = check.told(&self.snapshot.settings.rate_limiting);
        let want = self.apart(load).map_or_else(|| self.want(class, load), |why| Err((Forward::Bypass, why)));
        let found = match &want {
            Ok(want) => self.find(want, others, load).await,
            Err((why, detail)) => Found::Goes(*why, Some(detail)),
        };
        let (result, shown, mut outcome) = match found {
            Found::Answer(result, answer) => {
                load.entered = true;
                (result, None, Ok(Outcome::Answered(answer)))
            }
            Found::Nothing(reply) => (CacheResult::Miss, None, Err(reply)),
            Found::Went(outcome) => (CacheResult::Miss, None, outcome),
            Found::Goes(why, detail) => {
                load.charged = true;
                // apart, as all that is not a hit: what a hit needs stays small
                let outcome = Box::pin(self.visit_endpoints(others, load)).await;
                let told = Told::Forwarded { why, status: None, stored: None, collapsed: false, detail };
                (CacheResult::Bypass, Some(told), outcome)
            }
        };
        load.charged = load.entered;
        check.settle(load.entered);
        // one that another stamp may have counts there
        let refused = outcome.is_err() && !load.entered;
        if (load.entered || refused) && !std::mem::replace(&mut load.counted, true) {
            self.worker.count(self.key, &self.tenant, refused);
        }
        class.count(result);
        if let Some(line) = &mut load.record.line {
            line.cache = Some(result.as_str());
        }
        if let Some(change) = change {
            change.ends(&outcome, load);
        }
        if let Ok(Outcome::Answered(answer)) = &mut outcome {
            if let (Some(told), true) = (shown, self.snapshot.settings.cache.status) {
                answers::tell_status(answer.headers_mut(), &told);
            }
            if let Some(told) = told {
                told.tell(answer.headers_mut());
            }
        }
        outcome
    }

    fn cache(&self) -> &Cache {
        &self.worker.plane.cache
    }

    /// Looks until there is an answer, or nobody else to wait for.
    async fn find(&self, want: &Want, others: bool, load: &mut Load<'_>) -> Found {
        let mut slow: Option<Follower> = None;
        let waits_until = self.begins(load) + want.class.collapse_wait;
        let mut looks = 0;
        while looks < LOOKS_MAX {
            let seen = match self.look(want, &load.head.headers) {
                Look::Passes if want.ask.only_if_cached => return Found::Nothing(LocalReply::NotCached),
                Look::Passes => return Found::Goes(Forward::UriMiss, Some("uncacheable")),
                Look::Found(Use::WhileRevalidating { age, .. }, entry) => {
                    self.refresh(want, &entry, load);
                    return self.answer_stale(want, &entry, age, load);
                }
                Look::Found(Use::Stale { age, .. }, entry) => return self.answer_stale(want, &entry, age, load),
                Look::Found(used, entry) => {
                    let Use::Fresh { age, left } = used else {
                        looks += 1;
                        continue;
                    };
                    let shows = Shows { age, told: Told::Hit { ttl: i64::from(left) } };
                    return Found::Answer(CacheResult::Hit, self.shown(want, &entry, &shows, load));
                }
                Look::Missed(seen) => seen,
            };
            if want.ask.only_if_cached {
                return Found::Nothing(LocalReply::NotCached);
            }
            if want.ask.head {
                return Box::pin(self.head(want, seen, others, load)).await;
            }
            // what these would bring is not to be kept, or is not the whole of it; whether a stale one holds is
            if want.ask.no_store || (want.ask.range && seen.stale.is_none()) {
                return Found::Goes(seen.why, None);
            }
            if want.ask.authorized && seen.stale.is_none() && self.passes(want, &seen.key) {
                return Found::Goes(seen.why, Some("authorization"));
            }
            let joined = match slow.take() {
                None => self.cache().fetches.join(seen.place, FETCHES_MAX),
                Some(slow) => self.cache().fetches.succeed(seen.place, &slow),
            };
            match joined {
                Joined::Leads(lead) => match self.look(want, &load.head.headers) {
                    Look::Missed(_) => return Box::pin(self.lead(want, seen, lead, others, load)).await,
                    // the one before has ended between the look and this: what it has left is there, for all
                    Look::Found(_, entry) => {
                        lead.tell(Come::Kept(entry));
                        looks += 1;
                    }
                    Look::Passes => {
                        lead.tell(Come::Refused);
                        looks += 1;
                    }
                },
                Joined::Alone => {
                    self.worker.sink.metrics.cache.alone.increment(1);
                    return Found::Goes(seen.why, Some("busy"));
                }
                Joined::Follows(follower) => {
                    match Box::pin(self.follow(want, &seen, follower, waits_until, load)).await {
                        Followed::Found(found) => return found,
                        // each failure is one request's, and the time of those that wait bounds how many they see
                        Followed::LooksAgain(None) if Instant::now() >= self.deadline.at() => {
                            return Found::Nothing(LocalReply::CollapseTimeout);
                        }
                        Followed::LooksAgain(follower) => {
                            looks += usize::from(follower.is_some());
                            slow = follower;
                        }
                    }
                }
            }
        }
        Found::Goes(Forward::UriMiss, Some("busy"))
    }

    /// Whether it is remembered that requests with credentials get answers of their own.
    fn passes(&self, want: &Want, key: &Key) -> bool {
        let (cache, key) = (self.cache(), key.with_credentials());
        let known = cache.store.get(key.place(cache.seed), &key);
        matches!(known, Some(Known::Passes(passes)) if want.now < passes.until)
    }

    fn look(&self, want: &Want, headers: &HeaderMap) -> Look {
        let cache = self.cache();
        let (mut place, mut why) = (want.key.place(cache.seed), Forward::UriMiss);
        let mut known = cache.store.get(place, &want.key);
        let mut kind = None;
        if let Some(Known::Varies(varies)) = &known {
            let key = want.key.variant(|bytes| write_values(&varies.names, headers, bytes));
            (place, why) = (key.place(cache.seed), Forward::VaryMiss);
            known = cache.store.get(place, &key);
            kind = Some(key);
        }
        let missed = |stale, why| {
            let key = kind.unwrap_or_else(|| want.key.clone());
            Look::Missed(Seen { place, key, stale, why })
        };
        let entry = match known {
            Some(Known::Kept(entry)) => entry,
            Some(Known::Passes(passes)) if want.now < passes.until => return Look::Passes,
            _ => return missed(None, why),
        };
        let terms = entry.meta.terms;
        let young_until = terms.received().saturating_add(CUT_OFF_MAX);
        // what others have purged since is not known here
        let is_unsure = want.cut_off && young_until < want.now;
        let terms = match entry.meta.verdict(&cache.purges) {
            Verdict::Hard => return missed(None, why),
            Verdict::Soft => terms.stale_from(entry.meta.softened(want.now)),
            Verdict::Valid if is_unsure => terms.stale_from(young_until),
            Verdict::Valid => terms,
        };
        let used = match terms.judge(&want.ask, want.now) {
            Use::WhileRevalidating { age, past } | Use::Stale { age, past } if is_unsure => Use::IfError { age, past },
            used => used,
        };
        match used {
            Use::IfError { .. } | Use::Validate => {
                let if_error = matches!(used, Use::IfError { .. });
                let why = if want.ask.no_cache { Forward::Request } else { Forward::Stale };
                missed(Some(Stale { entry, if_error }), why)
            }
            used => Look::Found(used, entry),
        }
    }

    /// Fetches it for all who want it, in a task of its own: it goes on when this client is gone.
    async fn lead(&self, want: &Want, seen: Seen, lead: Lead, others: bool, load: &mut Load<'_>) -> Found {
        let why = seen.why;
        let (tell, told) = oneshot::channel();
        let fetch = Fetch::new(self, want, seen, others, load);
        crate::tasks::spawn_local(fetch.run(lead, Some(tell)));
        let went = match told.await {
            Ok(Led::Comes(meta, received, reader, kept)) => {
                let stored = kept.then(|| meta.terms.left(want.now));
                let told = Told::Forwarded { why, status: None, stored, collapsed: false, detail: None };
                load.record.attempts = load.record.attempts.saturating_add(1);
                self.came(load);
                let shows = Shows { age: meta.terms.age(want.now), told };
                let mut answer = self.comes(want, &meta, reader, &shows, load);
                if answer.status() == meta.status {
                    // what is not kept of it is this client's
                    answers::complete(answer.headers_mut(), received);
                }
                return Found::Answer(CacheResult::Miss, answer);
            }
            Ok(Led::Shared(entry)) => {
                let terms = entry.meta.terms;
                let shows = Shows { age: terms.age(want.now), told: Told::Shared { ttl: terms.left(want.now) } };
                self.came(load);
                return Found::Answer(CacheResult::StoreHit, self.shown(want, &entry, &shows, load));
            }
            Ok(Led::Holds(entry, kept)) => {
                let status = Some(http::StatusCode::NOT_MODIFIED);
                let stored = kept.then(|| entry.meta.terms.left(want.now));
                let told = Told::Forwarded { why, status, stored, collapsed: false, detail: None };
                load.record.attempts = load.record.attempts.saturating_add(1);
                self.came(load);
                let age = entry.meta.terms.age(want.now);
                return Found::Answer(CacheResult::Revalidated, self.shown(want, &entry, &Shows { age, told }, load));
            }
            Ok(Led::Went(back)) => *back,
            // the task was lost
            Err(_) => return Found::Nothing(LocalReply::Overload),
        };
        let Back { mut outcome, tries, attempts, entered, detail, stale } = went;
        let moves_on = others && matches!(&outcome, Ok(outcome) if outcome.is_untouched());
        if let Some(stale) = stale.filter(|stale| self.may_hide(stale) && !moves_on && has_failed(&outcome)) {
            let status = match &outcome {
                Ok(Outcome::Answered(answer)) => Some(answer.status()),
                _ => None,
            };
            if let Ok(outcome) = outcome {
                outcome.discard();
            }
            let told = Told::Forwarded { why, status, stored: None, collapsed: false, detail: Some("stale-if-error") };
            let shows = Shows { age: stale.entry.meta.terms.age(want.now), told };
            return Found::Answer(CacheResult::Stale, self.shown(want, &stale.entry, &shows, load));
        }
        load.tries = tries;
        load.entered = entered;
        load.record.attempts = load.record.attempts.saturating_add(attempts);
        if let Ok(Outcome::Answered(answer)) = &mut outcome {
            self.came(load);
            let told = Told::Forwarded { why, status: None, stored: None, collapsed: false, detail };
            if self.snapshot.settings.cache.status {
                answers::tell_status(answer.headers_mut(), &told);
            }
        }
        Found::Went(outcome)
    }

    /// Asks for the head alone, which may say something of the kept answer.
    async fn head(&self, want: &Want, seen: Seen, others: bool, load: &mut Load<'_>) -> Found {
        let Some(Stale { entry, .. }) = seen.stale else { return Found::Goes(seen.why, None) };
        let (cache, clock) = (self.cache(), &self.worker.plane.clock);
        let (began, asked) = (cache.purges.last(), clock.host(Instant::now()));
        load.charged = true;
        let mut outcome = self.visit_endpoints(others, load).await;
        if let Ok(Outcome::Answered(answer)) = &mut outcome {
            let times = Times { asked, received: clock.host(Instant::now()) };
            let class = Arc::clone(&want.class);
            let (policy, ask) = (want.policy, want.ask);
            let fetched = Fetched { class, policy, ask, times, began, shares: false, known: None };
            fetched.head(cache, seen.place, &entry, answer);
            if self.snapshot.settings.cache.status {
                let why = seen.why;
                let told = Told::Forwarded { why, status: None, stored: None, collapsed: false, detail: None };
                answers::tell_status(answer.headers_mut(), &told);
            }
        }
        Found::Went(outcome)
    }

    /// Fetches it again while the stale answer is given, unless somebody does already.
    fn refresh(&self, want: &Want, entry: &Arc<Entry>, load: &Load<'_>) {
        let key = entry.meta.key.clone();
        let place = key.place(self.cache().seed);
        let Joined::Leads(lead) = self.cache().fetches.join(place, FETCHES_MAX) else { return };
        if let Look::Found(Use::Fresh { .. }, entry) = self.look(want, &load.head.headers) {
            return lead.tell(Come::Kept(entry));
        }
        let stale = Some(Stale { entry: Arc::clone(entry), if_error: true });
        let seen = Seen { place, key, stale, why: Forward::Stale };
        let fetch = Fetch::new(self, want, seen, false, load).of_a_get();
        crate::tasks::spawn_local(fetch.run(lead, None));
    }

    /// Whether a stale answer may be given because there is no other: it may have been purged meanwhile.
    fn may_hide(&self, stale: &Stale) -> bool {
        stale.if_error && stale.entry.meta.verdict(&self.cache().purges) != Verdict::Hard
    }

    fn answer_stale(&self, want: &Want, entry: &Entry, age: u32, load: &Load<'_>) -> Found {
        let shows = Shows { age, told: Told::Hit { ttl: entry.meta.terms.left(want.now) } };
        Found::Answer(CacheResult::Stale, self.shown(want, entry, &shows, load))
    }

    fn shown(&self, want: &Want, entry: &Entry, shows: &Shows, load: &Load<'_>) -> Response<Download> {
        let how = Shown { ask: &want.ask, request: &load.head.headers, status: self.snapshot.settings.cache.status };
        answers::kept(entry, shows, &how)
    }

    fn comes(
        &self,
        want: &Want,
        meta: &Meta,
        reader: crate::cache::fill::Reader,
        shows: &Shows,
        load: &Load<'_>,
    ) -> Response<Download> {
        let how = Shown { ask: &want.ask, request: &load.head.headers, status: self.snapshot.settings.cache.status };
        answers::coming(meta, reader, shows, &how)
    }

    /// The head of an answer that was waited for is there.
    fn came(&self, load: &mut Load<'_>) {
        load.record.first_byte(Instant::now());
    }
}

/// Whether an app has not done what it was asked for, and it may be no fault of the request.
fn has_failed(outcome: &Result<Outcome, LocalReply>) -> bool {
    match outcome {
        Ok(Outcome::Answered(answer) | Outcome::Spoilt(_, Ok(answer))) => revalidate::failed(answer.status()),
        Ok(Outcome::Untouched(_, reply) | Outcome::Spoilt(_, Err(reply))) | Err(reply) => {
            revalidate::failed(reply.shape().status)
        }
    }
}
