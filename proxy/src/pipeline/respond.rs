//! Dresses an answer for the way down: hop-by-hop and internal fields leave, local replies become problem documents.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE},
};
use http_body::Body as _;
use serde::Serialize;

use super::{
    Answer,
    health::Health,
    local_reply::{Counters, LocalReply, Maintenance},
    peer,
    websocket::{Switch, Switched},
};
use crate::{
    body::{Body, Content, Download},
    telemetry::record::Record,
    upstream::{
        framing,
        tunnel::{Tunnel, WEBSOCKET},
    },
};

/// What a target takes whose routes list no methods.
const ANY_METHOD: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// An answer from elsewhere or from memory.
#[must_use]
pub fn answer(answer: Answer, mut record: Record, head_only: bool, closing: bool, switch: &Switch) -> Response<Body> {
    let mut response = match answer {
        Answer::Switched(switched) => return begin(*switched, record, switch),
        Answer::Upstream(response) => {
            record.status = response.status().as_u16();
            forwarded(response, record, head_only)
        }
        Answer::Health(health) => probe(health, record),
        Answer::Options(methods) => {
            record.status = StatusCode::OK.as_u16();
            let mut response = Response::new(Body::new(Content::Empty, record));
            response.headers_mut().insert(ALLOW, methods.unwrap_or(ANY_METHOD));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            response
        }
        Answer::Table(bytes) => {
            record.status = StatusCode::OK.as_u16();
            let mut response = Response::new(Body::new(Content::Full(bytes), record));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            response
        }
    };
    close_if(closing, &mut response);
    response
}

fn forwarded(response: Response<Download>, record: Record, head_only: bool) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = body.used();
    let told = framing::answer(&mut parts.headers);
    // HEAD and 304 describe a body that is not there (RFC 9110 §8.6); everywhere else the body itself is the truth
    let describes = head_only || parts.status == StatusCode::NOT_MODIFIED;
    let exact = body.size_hint().exact().filter(|_| parts.status != StatusCode::NO_CONTENT);
    match (describes, exact) {
        (true, _) if told => framing::one_length(&mut parts.headers),
        (true, _) => {}
        (false, Some(bytes)) if !(told && framing::says_length(&parts.headers, bytes)) => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        (false, None) if told => {
            parts.headers.remove(CONTENT_LENGTH);
        }
        (false, _) => {}
    }
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, Body::new(Content::Upstream(body), record))
}

/// The app's 101. The tunnel waits in `switch` until it has gone out.
fn begin(switched: Switched, mut record: Record, switch: &Switch) -> Response<Body> {
    let (mut parts, body) = switched.answer.into_parts();
    framing::answer(&mut parts.headers);
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    parts.version = http::Version::HTTP_11;
    record.status = parts.status.as_u16();
    record.count();
    if let Some(tunnel) = body.into_link().and_then(|link| Tunnel::open(link, record, switched.around)) {
        switch.open(tunnel);
    }
    Response::from_parts(parts, Body::switched())
}

fn probe(health: Health, mut record: Record) -> Response<Body> {
    record.status = health.status.as_u16();
    let mut response = Response::new(Body::new(Content::Empty, record));
    *response.status_mut() = health.status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(peer::STATE, HeaderValue::from_static(health.state));
    headers.insert(peer::APP, HeaderValue::from_static(health.app));
    response
}

/// A problem document (RFC 9457) with its stable reason token.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
    detail: &'a str,
}

/// A local reply.
#[must_use]
pub fn local(
    replies: &Counters,
    reply: &LocalReply,
    mut record: Record,
    head_only: bool,
    closing: bool,
) -> Response<Body> {
    let shape = reply.shape();
    replies.count(shape.reason);
    record.status = shape.status.as_u16();
    if let Some(line) = &mut record.line {
        line.reason = Some(shape.reason);
        if let LocalReply::RateLimited(told) = reply {
            line.limit = Some(Arc::clone(&told.limit));
            line.limit_counted_by = Some(told.counted_by);
        }
    }
    let problem = Problem {
        r#type: "about:blank",
        title: shape.status.canonical_reason().unwrap_or_default(),
        status: shape.status.as_u16(),
        reason: shape.reason,
        detail: &reply.to_string(),
    };
    let (kind, bytes) = match reply {
        LocalReply::Maintenance(Maintenance { page: Some(page), .. }) => ("text/html; charset=utf-8", page.clone()),
        _ => ("application/problem+json", Bytes::from(serde_json::to_vec(&problem).unwrap_or_default())),
    };
    let length = bytes.len();
    let content = if head_only { Content::Empty } else { Content::Full(bytes) };
    let mut response = Response::new(Body::new(content, record));
    *response.status_mut() = shape.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(peer::REASON, HeaderValue::from_static(shape.reason));
    if let Some(seconds) = shape.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match reply {
        LocalReply::MethodNotAllowed => _ = headers.insert(ALLOW, ANY_METHOD),
        LocalReply::RateLimited(told) => told.write(headers),
        LocalReply::MethodUnrouted(methods) => _ = headers.insert(ALLOW, methods.clone()),
        _ => {}
    }
    if shape.unprocessed {
        headers.insert(peer::PROCESSED, HeaderValue::from_static("no"));
    }
    if let LocalReply::Misdirected(version) = reply {
        headers.insert(peer::EPOCH, version.clone());
    }
    close_if(closing || shape.close, &mut response);
    response
}

fn close_if(closing: bool, response: &mut Response<Body>) {
    if closing {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
