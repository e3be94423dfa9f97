//! One attempt: check out or open a connection, send, wait for the head.

use std::{
    error::Error,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use hyper::client::conn::TrySendError;
use synaxis_routing::endpoint::EndpointPolicy;
use tokio::task::coop::unconstrained;

use crate::{
    body::{Download, RequestBody, Upload, UploadError},
    telemetry::metrics::Metrics,
    upstream::{
        connect::{ConnectError, connect},
        framing,
        head::Head,
        link::Link,
        pool::Pools,
        target::Target,
        timer::Deadline,
        tunnel,
        wire::{Traffic, Wire},
    },
};

#[cfg(test)]
mod tests;

/// What is known of a failed request's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte left this process: any method may be tried elsewhere.
    No,
    /// It may have been executed.
    Maybe,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection.
    #[error("cannot connect to {0}")]
    Connect(#[from] ConnectError),
    /// The connection ended before the head of an answer.
    #[error("the connection broke before an answer: {0}")]
    Reset(String),
    /// What came is no valid HTTP answer.
    #[error("the answer is not valid HTTP: {0}")]
    Invalid(String),
    /// The request's deadline passed before the head of an answer.
    #[error("no answer in time")]
    Timeout,
    /// The client's own request broke off while it was being sent.
    #[error("the client's request broke off")]
    Client,
    /// The client kept its own request waiting for longer than it may.
    #[error("the client's request came too slowly")]
    ClientSlow,
    /// The client's request is longer than it may be.
    #[error("the client's request is too large")]
    TooLarge,
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failed {
    /// What is known of the request's fate.
    pub sent: Sent,
    /// Why.
    pub cause: Cause,
}

/// What an attempt uses of its worker.
pub struct Means<'a> {
    /// The worker's idle connections.
    pub pools: &'a Pools,
    /// The server's metrics.
    pub metrics: &'a Metrics,
    /// Where peers may be.
    pub policy: &'a EndpointPolicy,
    /// Limit of a connect.
    pub connect: Duration,
    /// Idle connections kept per target.
    pub idle_max: usize,
    /// Whether another attempt could be paid for. Asked when the time of this one is over and that of the request is not:
    /// who has no other attempt has all the time there is.
    pub is_followed: &'a dyn Fn() -> bool,
}

/// Sends one request and waits for the head of its answer.
///
/// A pooled connection that turns out to be closed before a byte was sent is replaced at once; that is not an attempt
/// of its own. After an error, and after an answer that may be followed by another attempt (421, 5xx), the head is whole
/// again ([`Head::is_whole`]), unless it was so large that the kernel took it in pieces and the connection then broke.
///
/// # Errors
/// [`Failed`], with what is known of the request's fate.
pub async fn send(
    means: &Means<'_>,
    target: &Arc<Target>,
    head: &mut Head,
    upload: &Upload,
    deadline: &Deadline,
) -> Result<Response<Download>, Failed> {
    if deadline.is_over() {
        return Err(Failed { sent: Sent::No, cause: Cause::Timeout });
    }
    while let Some(link) = means.pools.checkout(target.pool) {
        means.metrics.pool_reused.increment(1);
        match exchange(means, link, head, upload, deadline).await {
            // a connection that died in the pool says nothing about the endpoint
            Err(Failed { sent: Sent::No, cause: Cause::Reset(_) }) if !upload.is_gone() => {}
            outcome => return outcome,
        }
    }
    Box::pin(send_on_new(means, target, head, upload, deadline)).await
}

async fn send_on_new(
    means: &Means<'_>,
    target: &Arc<Target>,
    head: &mut Head,
    upload: &Upload,
    deadline: &Deadline,
) -> Result<Response<Download>, Failed> {
    let now = Instant::now();
    let left = deadline.at().saturating_duration_since(now);
    let connected = connect(target, means.policy, means.connect.min(left)).await;
    let stream = connected.map_err(|error| {
        // the request had less time than a connection may take: that says nothing of the upstream
        let ours = left < means.connect && Instant::now() >= deadline.at();
        Failed { sent: Sent::No, cause: if ours { Cause::Timeout } else { error.into() } }
    })?;
    means.metrics.pool_opened.increment(1);
    let link = Link::handshake(Arc::clone(target), Wire::new(stream), now)
        .await
        .map_err(|error| Failed { sent: Sent::No, cause: Cause::Reset(error.to_string()) })?;
    exchange(means, link, head, upload, deadline).await
}

/// Most bytes of an answer's head and of the interim answers before it, which hyper reads and drops one by one.
const HEAD_BYTES_MAX: u64 = 128 << 10;

async fn exchange(
    means: &Means<'_>,
    mut link: Box<Link>,
    head: &mut Head,
    upload: &Upload,
    deadline: &Deadline,
) -> Result<Response<Download>, Failed> {
    let request = head.take(upload.body());
    link.traffic.keep_next();
    let (read_before, written_before) = (link.traffic.read(), link.traffic.written());
    // the link's wakes are enough to poll the answer by, so it must not be held back by tokio's own budget
    let mut answer = pin!(unconstrained(link.sender.try_send_request(request)));
    // split borrow: the answer's future borrows nothing of the link once it is made
    let ending = poll_fn(|cx| {
        let over = link.drive(cx).is_ready();
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Poll::Ready(Ending::Answer(outcome)),
            Poll::Pending if over => Poll::Ready(Ending::Over),
            Poll::Pending if link.traffic.read().wrapping_sub(read_before) > HEAD_BYTES_MAX => {
                Poll::Ready(Ending::Endless)
            }
            Poll::Pending => poll_late(means, deadline, upload, cx).map(|()| Ending::Late),
        }
    })
    .await;
    let error = match ending {
        Ending::Answer(Ok(answer)) => return accept(means, link, answer, upload, head),
        Ending::Answer(Err(error)) => error,
        Ending::Endless => {
            head.read_back(&link.traffic.take_kept());
            let cause = Cause::Invalid("interim answers without end".into());
            return Err(Failed { sent: Sent::Maybe, cause });
        }
        Ending::Late => {
            head.read_back(&link.traffic.take_kept());
            return Err(Failed { sent: Sent::Maybe, cause: Cause::Timeout });
        }
        Ending::Over => {
            // a connection that ended in peace takes nothing more from its queue: what is still there comes back when
            // it goes
            let traffic = Arc::clone(&link.traffic);
            drop(link);
            let Err(error) = answer.await else {
                head.read_back(&traffic.take_kept());
                return Err(Failed { sent: Sent::Maybe, cause: Cause::Reset("the connection ended".into()) });
            };
            return Err(failed(error, head, &traffic, written_before));
        }
    };
    Err(failed(error, head, &link.traffic, written_before))
}

/// Ready once the deadline has passed, counted from the last piece of the upload: an answer cannot be expected of an app
/// that has not got its request yet, and the client's pace has limits of its own.
fn poll_late(means: &Means<'_>, deadline: &Deadline, upload: &Upload, cx: &Context<'_>) -> Poll<()> {
    loop {
        ready!(deadline.poll_expired(cx));
        // who waits for the client does not wait for the app
        let from = if upload.is_awaited() { Some(Instant::now()) } else { upload.last_piece() };
        if from.is_some_and(|at| deadline.restart(at)) {
            continue;
        }
        if !deadline.is_aimed() || (means.is_followed)() {
            return Poll::Ready(());
        }
        deadline.aim(None);
    }
}

/// How waiting for an answer ends.
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made")]
enum Ending {
    /// With one, or with an error.
    Answer(Result<Response<hyper::body::Incoming>, TrySendError<Request<RequestBody>>>),
    /// Not with one, although more came than a head and the interim answers (1xx) before it may have.
    Endless,
    /// The connection is over and has not said so.
    Over,
    /// The deadline has passed.
    Late,
}

/// What is known of a request that hyper reports as failed.
fn failed(
    mut error: TrySendError<Request<RequestBody>>,
    head: &mut Head,
    traffic: &Traffic,
    written_before: u64,
) -> Failed {
    let unsent = match error.take_message() {
        Some(request) => {
            head.give_back(request);
            true
        }
        None => head.read_back(&traffic.take_kept()) && traffic.written() == written_before,
    };
    Failed { sent: if unsent { Sent::No } else { Sent::Maybe }, cause: cause(error.error()) }
}

fn cause(error: &hyper::Error) -> Cause {
    if error.is_user() {
        match error.source().and_then(<dyn Error>::downcast_ref) {
            Some(UploadError::Slow) => Cause::ClientSlow,
            Some(UploadError::TooLarge) => Cause::TooLarge,
            Some(UploadError::Broken(_) | UploadError::Trailers) => Cause::Client,
            None => Cause::Reset(error.to_string()),
        }
    } else if error.is_parse() {
        Cause::Invalid(error.to_string())
    } else {
        Cause::Reset(error.to_string())
    }
}

/// Takes the head and decides who drives the connection from here on.
fn accept(
    means: &Means<'_>,
    link: Box<Link>,
    answer: Response<hyper::body::Incoming>,
    upload: &Upload,
    head: &mut Head,
) -> Result<Response<Download>, Failed> {
    let websocket = head.websocket;
    // what another stamp has refused is remembered by what the request was
    let refused = answer.status() == StatusCode::TOO_MANY_REQUESTS && head.announced;
    if refused || answer.status().is_server_error() || answer.status() == StatusCode::MISDIRECTED_REQUEST {
        head.read_back(&link.traffic.take_kept());
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // hyper has let go of the connection unless the answer came before its request was sent
        if websocket && tunnel::begins(&answer) && link.is_over() {
            let (parts, incoming) = answer.into_parts();
            return Ok(Response::from_parts(parts, Download::switched(incoming, link)));
        }
        // nobody asked for it (RFC 9110 §15.2.2): the connection no longer speaks HTTP
        let wrong = if websocket { "101 to something that is no WebSocket" } else { "101 without being asked" };
        return Err(Failed { sent: Sent::Maybe, cause: Cause::Invalid(wrong.into()) });
    }
    let (parts, incoming) = answer.into_parts();
    let delimited = framing::is_delimited(&parts.headers);
    let body = if upload.is_ended() {
        Download::driving(incoming, link, means.pools.clone(), means.idle_max)
    } else {
        Download::racing(incoming, link)
    };
    Ok(Response::from_parts(parts, body.delimited(delimited)))
}
