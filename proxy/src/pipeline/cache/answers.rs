//! What of a kept answer a request gets: all of it, a part, a word that the client's own copy holds, or its head.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{AGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
};

use crate::{
    body::Download,
    cache::{
        entry::{Entry, Meta},
        fill::Reader,
        freshness::{
            Ask, Seconds,
            range::{self, Range},
            reply::{self, Reply},
            status::Told,
        },
    },
};

/// How this cache has handled a request (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What an answer says of itself.
pub(super) struct Shows {
    pub(super) age: Seconds,
    pub(super) told: Told,
}

/// To whom an answer is shown.
pub(super) struct Shown<'a> {
    pub(super) ask: &'a Ask,
    pub(super) request: &'a HeaderMap,
    /// Whether it says how it was found.
    pub(super) status: bool,
}

/// One that is here.
pub(super) fn kept(entry: &Entry, shows: &Shows, to: &Shown<'_>) -> Response<Download> {
    let meta = &*entry.meta;
    if let Some(answer) = not_modified(meta, shows, to) {
        return answer;
    }
    let length = entry.body.len() as u64;
    let wants_part = to.ask.range && !to.ask.head && meta.status == StatusCode::OK;
    let part = if wants_part { range::of(to.request, &meta.headers, length) } else { Range::Whole };
    let (status, body) = match part {
        Range::Whole => (meta.status, entry.body.clone()),
        Range::Part { from, to } => {
            let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(entry.body.len());
            (StatusCode::PARTIAL_CONTENT, entry.body.slice(at(from)..at(to.saturating_add(1))))
        }
        Range::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()),
    };
    let (length, body) = (body.len(), if to.ask.head { Bytes::new() } else { body });
    let mut answer = Response::new(Download::kept(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = meta.headers.clone();
    let headers = answer.headers_mut();
    if let Some(range) = range::content_range(part, entry.body.len() as u64) {
        headers.insert(CONTENT_RANGE, range);
    }
    if part == Range::Unsatisfiable {
        headers.remove(CONTENT_TYPE);
    }
    // what has its body with it gets that body's length on its way out, if it does not say it yet
    if to.ask.head && status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    dress(headers, shows, to);
    answer
}

/// One that is coming.
pub(super) fn coming(meta: &Meta, reader: Reader, shows: &Shows, to: &Shown<'_>) -> Response<Download> {
    if let Some(answer) = not_modified(meta, shows, to) {
        return answer;
    }
    let mut answer = Response::new(Download::shared(reader));
    *answer.status_mut() = meta.status;
    *answer.headers_mut() = meta.headers.clone();
    dress(answer.headers_mut(), shows, to);
    answer
}

/// The client has it.
fn not_modified(meta: &Meta, shows: &Shows, to: &Shown<'_>) -> Option<Response<Download>> {
    let same = to.ask.conditional
        && reply::conditional(to.request, meta.status, &meta.headers, meta.terms.received()) == Reply::NotModified;
    same.then(|| {
        let mut answer = Response::new(Download::kept(Bytes::new()));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        let fields = meta.headers.iter().filter(|(name, _)| reply::kept_in_304(name, &meta.headers));
        *answer.headers_mut() = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        dress(answer.headers_mut(), shows, to);
        answer
    })
}

fn dress(headers: &mut HeaderMap, shows: &Shows, to: &Shown<'_>) {
    let is_kept = match &shows.told {
        Told::Hit { .. } | Told::Shared { .. } => true,
        Told::Forwarded { collapsed, status, .. } => *collapsed || status.is_some() || shows.age > 0,
    };
    if is_kept {
        headers.insert(AGE, reply::age(shows.age));
    }
    if to.status {
        tell_status(headers, &shows.told);
    }
}

/// Adds the fields of an answer as it came that are not kept of it.
pub(super) fn complete(headers: &mut HeaderMap, received: HeaderMap) {
    let mut missing: Option<HeaderName> = None;
    for (name, value) in received {
        // further values of a name come without it
        if let Some(name) = name {
            missing = (!headers.contains_key(&name)).then_some(name);
        }
        if let Some(name) = &missing {
            headers.append(name, value);
        }
    }
}

/// Says how it was found, after what caches closer to the app say.
pub(super) fn tell_status(headers: &mut HeaderMap, told: &Told) {
    headers.append(CACHE_STATUS, told.value());
}
