//! A cache of a few lines, made of the semantics alone: one list of entries, a clock that is turned by hand, an origin
//! that is a function. It is what the cases are checked with before they meet a proxy, and it shows how the parts of
//! [`freshness`] belong together.

use http::{HeaderMap, Method, StatusCode, header};
use synaxis_proxy::cache::freshness::{
    Ask, Bypass, Millis, Names, Policy, Terms, Times, Use, Vary, invalidate, keep,
    range::{self, Range},
    reply::{self, Reply},
    revalidate::{self, HeadSays, Verdict},
    status::{Forward, Told},
    write_values,
};

/// A message of the origin, or of the cache.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// A request as the client sends it.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) method: Method,
    pub(super) authority: &'a str,
    pub(super) target: &'a str,
    pub(super) headers: HeaderMap,
}

/// Asks the origin; None when it fails.
pub(super) type Origin<'a> = dyn FnMut(&Method, &HeaderMap) -> Option<Answer> + 'a;

#[derive(Clone, Debug)]
struct Entry {
    user: Option<String>,
    target: String,
    names: Option<Names>,
    values: Vec<u8>,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    terms: Terms,
}

/// The cache of one class.
pub(super) struct Model {
    pub(super) policy: Policy,
    pub(super) per_user: bool,
    pub(super) now: Millis,
    /// How long the origin takes.
    pub(super) delay: Millis,
    entries: Vec<Entry>,
}

/// What is known when the origin is asked.
struct Asking<'a> {
    request: &'a Request<'a>,
    ask: Ask,
    why: Forward,
}

impl Model {
    pub(super) fn new(policy: Policy, per_user: bool, now: Millis) -> Self {
        Self { policy, per_user, now, delay: 3, entries: Vec::new() }
    }

    /// Serves a request; the answer has `Cache-Status`.
    pub(super) fn serve(&mut self, request: &Request<'_>, origin: &mut Origin<'_>) -> Answer {
        let nobody = self.per_user && request.user.is_none();
        let ask = match Ask::of(&request.method, &request.headers, &self.policy) {
            Ok(ask) if !nobody => ask,
            Ok(_) => return self.pass(request, Forward::Bypass, Some("no-user"), origin),
            Err(Bypass::Method) => return self.pass(request, Forward::Method, None, origin),
            Err(bypass) => return self.pass(request, Forward::Bypass, Some(bypass.token()), origin),
        };
        let Some(place) = self.find(request) else {
            let known = self
                .entries
                .iter()
                .any(|entry| entry.target == request.target && entry.user.as_deref() == request.user);
            let why = if known { Forward::VaryMiss } else { Forward::UriMiss };
            return if ask.only_if_cached {
                nothing()
            } else {
                self.fetch(&Asking { request, ask, why }, None, origin)
            };
        };
        let entry = self.entries[place].clone();
        let plain = Ask::of(&Method::GET, &HeaderMap::new(), &self.policy).unwrap();
        let fresh = matches!(entry.terms.judge(&plain, self.now), Use::Fresh { .. });
        let asking = Asking { request, ask, why: if fresh { Forward::Request } else { Forward::Stale } };
        match entry.terms.judge(&ask, self.now) {
            Use::Fresh { .. } | Use::Stale { .. } => self.hit(&asking, &entry),
            Use::WhileRevalidating { .. } => {
                let answer = self.hit(&asking, &entry);
                self.fetch(&asking, Some(place), origin);
                answer
            }
            Use::IfError { .. } | Use::Validate if ask.only_if_cached => nothing(),
            Use::IfError { .. } | Use::Validate => self.fetch(&asking, Some(place), origin),
        }
    }

    /// The request has nothing to do with the store, but what it does may have.
    fn pass(
        &mut self,
        request: &Request<'_>,
        why: Forward,
        detail: Option<&'static str>,
        origin: &mut Origin<'_>,
    ) -> Answer {
        let answer = origin(&request.method, &request.headers);
        // what was done whose answer is lost nobody knows
        let mut spoilt = Vec::new();
        if answer.as_ref().is_none_or(|answer| invalidate::spoils(&request.method, answer.status))
            && !request.method.is_safe()
        {
            spoilt.push(request.target.to_owned());
        }
        if let Some(answer) = answer.as_ref().filter(|_| !spoilt.is_empty()) {
            spoilt.extend(invalidate::others("http", request.authority, request.target, &answer.headers));
        }
        self.entries.retain(|entry| !spoilt.contains(&entry.target));
        let Some(mut answer) = answer else { return failure() };
        tell(&mut answer, Told::Forwarded { why, status: None, stored: None, collapsed: false, detail });
        answer
    }

    /// Asks the origin for a whole answer, or whether the entry at `place` holds.
    fn fetch(&mut self, asking: &Asking<'_>, place: Option<usize>, origin: &mut Origin<'_>) -> Answer {
        let Asking { request, ask, why } = asking;
        let mut headers = request.headers.clone();
        let stored = place.map(|place| self.entries[place].clone());
        match &stored {
            Some(stored) if !ask.head => _ = revalidate::ask(&stored.headers, &mut headers),
            // a range that is not stored is not made whole
            None if ask.range => {}
            _ => revalidate::put_aside(&mut headers),
        }
        let asked = self.now;
        self.now += self.delay;
        let times = Times { asked, received: self.now };
        let answer = origin(&request.method, &headers);
        let told = |status: Option<StatusCode>, stored: Option<i64>, detail: Option<&'static str>| Told::Forwarded {
            why: *why,
            status,
            stored,
            collapsed: false,
            detail,
        };
        let failed = answer.as_ref().is_none_or(|answer| revalidate::failed(answer.status));
        if failed
            && let Some(stored) = &stored
            && matches!(stored.terms.judge(ask, self.now), Use::IfError { .. } | Use::WhileRevalidating { .. })
        {
            let mut hidden = self.hit(asking, stored);
            tell(&mut hidden, told(answer.map(|answer| answer.status), None, None));
            return hidden;
        }
        let Some(mut answer) = answer else { return failure() };
        if let (Some(stored), Some(place)) = (&stored, place) {
            if ask.head {
                self.after_head(place, asking, times, &answer);
                tell(&mut answer, told(None, None, None));
                return answer;
            }
            if answer.status == StatusCode::NOT_MODIFIED {
                if revalidate::verdict(&stored.headers, &answer.headers) == Verdict::Other {
                    self.entries.remove(place);
                    return self.fetch(asking, None, origin);
                }
                let mut entry = stored.clone();
                self.entries.remove(place);
                revalidate::merge(&mut entry.headers, &answer.headers, self.now);
                let mut reply = entry.clone();
                let stored = self.store(asking, times, &mut entry);
                reply.terms = stored.as_ref().map_or(reply.terms, |terms| *terms);
                let mut reply = self.reply(asking, &reply);
                let left = stored.as_ref().ok().map(|terms| terms.left(self.now));
                tell(&mut reply, told(Some(answer.status), left, stored.err()));
                return reply;
            }
        }
        if let Some(place) = place.filter(|_| !failed) {
            self.entries.remove(place);
        }
        let mut entry = Entry {
            user: None,
            target: String::new(),
            names: None,
            values: Vec::new(),
            status: answer.status,
            headers: answer.headers.clone(),
            body: answer.body.clone(),
            terms: Terms::decode(&[0; Terms::BYTES]).unwrap(),
        };
        let stored = self.store(asking, times, &mut entry);
        if stored.is_ok()
            && reply::conditional(&request.headers, entry.status, &entry.headers, self.now) == Reply::NotModified
        {
            answer = self.reply(asking, &entry);
        }
        tell(&mut answer, told(None, stored.as_ref().ok().map(|terms| terms.left(self.now)), stored.err()));
        answer
    }

    fn after_head(&mut self, place: usize, asking: &Asking<'_>, times: Times, answer: &Answer) {
        let mut entry = self.entries[place].clone();
        match revalidate::head(&entry.headers, entry.body.len() as u64, answer.status, &answer.headers) {
            HeadSays::Nothing => {}
            HeadSays::Changed => _ = self.entries.remove(place),
            HeadSays::Holds => {
                self.entries.remove(place);
                revalidate::merge(&mut entry.headers, &answer.headers, self.now);
                let get = Asking { request: asking.request, ask: Ask { head: false, ..asking.ask }, why: asking.why };
                let _ = self.store(&get, times, &mut entry);
            }
        }
    }

    /// Stores what the origin has sent or confirmed, if it may be; else says why not.
    fn store(&mut self, asking: &Asking<'_>, times: Times, entry: &mut Entry) -> Result<Terms, &'static str> {
        let terms =
            Terms::of(&asking.ask, times, entry.status, &entry.headers, &self.policy).map_err(|why| why.token())?;
        entry.user = asking.request.user.filter(|_| self.per_user).map(str::to_owned);
        asking.request.target.clone_into(&mut entry.target);
        entry.names = match Vary::of(&entry.headers) {
            Vary::Names(names) => Some(names),
            Vary::None | Vary::Any => None,
        };
        entry.values = values(entry.names.as_ref(), &asking.request.headers);
        entry.terms = terms;
        keep(&mut entry.headers, times.received, &self.policy);
        self.entries.push(entry.clone());
        Ok(terms)
    }

    /// The newest entry that the request may get.
    fn find(&self, request: &Request<'_>) -> Option<usize> {
        let user = request.user.filter(|_| self.per_user);
        self.entries.iter().rposition(|entry| {
            entry.user.as_deref() == user
                && entry.target == request.target
                && entry.values == values(entry.names.as_ref(), &request.headers)
        })
    }

    fn hit(&self, asking: &Asking<'_>, entry: &Entry) -> Answer {
        let mut answer = self.reply(asking, entry);
        tell(&mut answer, Told::Hit { ttl: entry.terms.left(self.now) });
        answer
    }

    /// What the client gets of an entry.
    fn reply(&self, asking: &Asking<'_>, entry: &Entry) -> Answer {
        let (request, length) = (&asking.request.headers, entry.body.len() as u64);
        let mut answer = Answer { status: entry.status, headers: entry.headers.clone(), body: Vec::new() };
        answer.headers.insert(header::AGE, reply::age(entry.terms.age(self.now)));
        if reply::conditional(request, entry.status, &entry.headers, entry.terms.received()) == Reply::NotModified {
            answer.status = StatusCode::NOT_MODIFIED;
            answer.headers =
                answer.headers.iter().filter(|(name, _)| reply::kept_in_304(name, &entry.headers)).map(pair).collect();
            return answer;
        }
        answer.body.clone_from(&entry.body);
        if request.contains_key(header::RANGE) && !asking.ask.head && entry.status == StatusCode::OK {
            let range = range::of(request, &entry.headers, length);
            match range {
                Range::Whole => {}
                Range::Part { from, to } => {
                    answer.status = StatusCode::PARTIAL_CONTENT;
                    answer.body = entry.body[from as usize..=to as usize].to_vec();
                }
                Range::Unsatisfiable => {
                    answer.status = StatusCode::RANGE_NOT_SATISFIABLE;
                    answer.body.clear();
                }
            }
            if let Some(value) = range::content_range(range, length) {
                answer.headers.insert(header::CONTENT_RANGE, value);
            }
        }
        answer.headers.insert(header::CONTENT_LENGTH, answer.body.len().into());
        if asking.ask.head {
            answer.body.clear();
        }
        answer
    }
}

fn pair((name, value): (&header::HeaderName, &header::HeaderValue)) -> (header::HeaderName, header::HeaderValue) {
    (name.clone(), value.clone())
}

fn values(names: Option<&Names>, headers: &HeaderMap) -> Vec<u8> {
    let mut into = Vec::new();
    if let Some(names) = names {
        write_values(names, headers, &mut into);
    }
    into
}

fn tell(answer: &mut Answer, told: Told) {
    answer.headers.insert("cache-status", told.value());
}

fn local(status: StatusCode) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: b"local".to_vec() }
}

fn nothing() -> Answer {
    local(StatusCode::GATEWAY_TIMEOUT)
}

fn failure() -> Answer {
    local(StatusCode::BAD_GATEWAY)
}
