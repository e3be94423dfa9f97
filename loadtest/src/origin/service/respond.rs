//! The answers of an origin.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Either, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

use super::{Facts, Script, body, prove, status};
use crate::echo;

/// A body at once, or in pieces.
pub(in crate::origin) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

/// Larger answers are made while they are sent.
const AT_ONCE: u32 = 64 << 10;
/// Time that the first half of a cut answer has to leave.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// The answer that the request wanted.
pub(super) fn whole(facts: &Facts, stamp: &str, script: &Script) -> io::Result<Response<Body>> {
    let body = match script.trickle {
        Some(trickle) => {
            let bytes = body(facts);
            let (length, size) = (bytes.len(), usize::try_from(trickle.bytes).unwrap_or(usize::MAX));
            let cut = move |at: usize| bytes.slice(at..length.min(at + size));
            let paced =
                stream::iter((0..length).step_by(size).map(cut).enumerate()).then(move |(index, piece)| async move {
                    if index > 0 {
                        tokio::time::sleep(trickle.pause).await;
                    }
                    Ok(Frame::data(piece))
                });
            Either::Right(StreamBody::new(paced).boxed_unsync())
        }
        None if facts.bytes > AT_ONCE => {
            let pieces = stream::iter(echo::pieces(facts.subject, facts.bytes).map(|piece| Ok(Frame::data(piece))));
            Either::Right(StreamBody::new(pieces).boxed_unsync())
        }
        None => Either::Left(Full::new(body(facts))),
    };
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.reserve(8);
    let control = match (script.cacheable, facts.resource) {
        (Some(seconds), _) => Some(HeaderValue::try_from(format!("max-age={seconds}")).map_err(io::Error::other)?),
        (None, None) => Some(HeaderValue::from_static("no-store")),
        // for how long it holds is for the proxy's settings to say
        (None, Some(_)) => None,
    };
    headers.extend(control.map(|control| (header::CACHE_CONTROL, control)));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(facts.bytes));
    prove(facts, stamp, headers);
    Ok(answer)
}

/// An answer that ends in the middle of its body.
pub(super) fn cut(facts: &Facts, stamp: &str) -> io::Result<Response<Body>> {
    // an empty body has no middle
    let facts = Facts { bytes: facts.bytes.max(2), ..facts.clone() };
    let mut bytes = body(&facts);
    let length = bytes.len();
    bytes.truncate(length / 2);
    let half = stream::once(async { Ok(Frame::data(bytes)) });
    let end = stream::once(async {
        tokio::time::sleep(BEFORE_CUT).await;
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    let mut answer = Response::new(Either::Right(StreamBody::new(half.chain(end)).boxed_unsync()));
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    prove(&facts, stamp, answer.headers_mut());
    Ok(answer)
}

/// An error of the app. It proves whose it is, as every answer does.
pub(super) fn error(code: u16, facts: &Facts, stamp: &str) -> io::Result<Response<Body>> {
    let mut answer = Response::new(Either::Left(Full::from(format!("the app of {stamp} fails as told\n"))));
    *answer.status_mut() = status(code);
    prove(facts, stamp, answer.headers_mut());
    Ok(answer)
}
