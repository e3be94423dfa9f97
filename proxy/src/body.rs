//! The bodies that pass through: a client's upload on its way up, an upstream's answer on its way down, our own replies.
//!
//! Data is `Bytes` everywhere; nothing is buffered beyond what hyper holds, and back-pressure passes through. The
//! request's record lives inside the answer's body, so that it closes when the body ends or is dropped.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

pub mod pace;

use crate::{
    telemetry::record::Record,
    upstream::{link::Link, pool::Pools},
};
use pace::Pace;

/// A client's request body, which an attempt can give back as long as nobody has polled it.
#[derive(Clone, Default)]
pub struct Upload(Option<Rc<Slot>>);

struct Slot {
    body: RefCell<Incoming>,
    /// Bytes that may still pass.
    left: Cell<u64>,
    polled: Cell<bool>,
    ended: Cell<bool>,
    pace: Rc<Pace>,
    _watcher: Watcher,
}

/// Why a client's request body is broken off: the client's fault in any case. Whoever sends it on must not end the
/// message as if it were whole.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It broke off, or is not what it says.
    #[error("the request's body broke off or is not valid: {0}")]
    Broken(#[from] hyper::Error),
    /// It is longer than its route allows.
    #[error("the request's body is longer than its route allows")]
    TooLarge,
    /// It stopped coming, or came too slowly.
    #[error("the request's body stopped coming or came too slowly")]
    Slow,
}

impl Upload {
    /// Takes a request's body, notes in `pace` how it comes along, and keeps `watch`'s watcher until nobody has it any
    /// more. An empty one costs nothing.
    #[must_use]
    pub fn new(body: Incoming, pace: impl FnOnce() -> Rc<Pace>, watch: impl FnOnce() -> Watcher) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        let pace = pace();
        let (polled, ended) = (Cell::new(false), Cell::new(false));
        let left = Cell::new(u64::MAX);
        Self(Some(Rc::new(Slot { body: RefCell::new(body), left, polled, ended, pace, _watcher: watch() })))
    }

    /// Lets no more than `bytes` pass. False if it is longer by its own word.
    #[must_use]
    pub fn limit(&self, bytes: u64) -> bool {
        let Some(slot) = &self.0 else { return true };
        slot.left.set(bytes);
        slot.body.borrow().size_hint().lower() <= bytes
    }

    /// The body to hand to one attempt.
    #[must_use]
    pub fn body(&self) -> RequestBody {
        RequestBody(self.0.clone())
    }

    /// Whether some of it may be gone: then no other attempt can have it.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.polled.get())
    }

    /// Whether all of it was taken by the attempt.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.as_ref().is_none_or(|slot| slot.ended.get())
    }

    /// Whether some of it may still be on its way from the client.
    #[must_use]
    pub fn is_coming(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| !slot.ended.get() && !slot.body.borrow().is_end_stream())
    }

    /// When the last piece of it was taken, as the worker's clock has it; `None` as long as none was.
    #[must_use]
    pub fn last_piece(&self) -> Option<Instant> {
        self.0.as_ref()?.pace.last_piece()
    }

    /// Its exact length in bytes, if that is known; 0 when there is none.
    #[must_use]
    pub fn exact(&self) -> Option<u64> {
        self.0.as_ref().map_or(Some(0), |slot| slot.body.borrow().size_hint().exact())
    }
}

/// An [`Upload`] on the wire.
pub struct RequestBody(Option<Rc<Slot>>);

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            slot.pace.rest();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pace.end(self.ended.get() || self.body.borrow().is_end_stream());
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(slot) = &self.0 else { return Poll::Ready(None) };
        if slot.pace.is_given_up() {
            return Poll::Ready(Some(Err(UploadError::Slow)));
        }
        let mut body = slot.body.borrow_mut();
        let poll = Pin::new(&mut *body).poll_frame(cx).map_err(UploadError::Broken);
        match &poll {
            Poll::Pending => slot.pace.want(cx.waker()),
            Poll::Ready(None) => {
                slot.pace.rest();
                slot.ended.set(true);
            }
            Poll::Ready(Some(frame)) => {
                slot.pace.come(frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len));
                slot.polled.set(true);
                slot.ended.set(body.is_end_stream());
            }
        }
        match poll {
            // request trailers are dropped: merging them upstream is how fields get smuggled (RFC 9110 §6.5.1)
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                slot.ended.set(true);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(match slot.left.get().checked_sub(bytes) {
                    Some(left) => {
                        slot.left.set(left);
                        Ok(frame)
                    }
                    None => Err(UploadError::TooLarge),
                }))
            }
            poll => poll,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|slot| slot.body.borrow().is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |slot| slot.body.borrow().size_hint())
    }
}

/// An upstream's answer on its way down, driving the connection that it comes from.
pub struct UpstreamBody {
    incoming: Incoming,
    driven: Option<Driven>,
    racing: Option<Box<Link>>,
}

struct Driven {
    link: Box<Link>,
    pools: Pools,
    idle_max: usize,
}

impl UpstreamBody {
    /// A body that drives its connection and returns it to the pool when it has ended.
    #[must_use]
    pub fn driving(incoming: Incoming, link: Box<Link>, pools: Pools, idle_max: usize) -> Self {
        let mut body = Self { incoming, driven: Some(Driven { link, pools, idle_max }), racing: None };
        body.release_if_ended();
        body
    }

    /// A body that came before its request was sent. Unless it is used ([`Self::used`]) it takes the connection with it,
    /// and the rest of the upload stays where it is, for somebody else.
    #[must_use]
    pub fn racing(incoming: Incoming, link: Box<Link>) -> Self {
        Self { incoming, driven: None, racing: Some(link) }
    }

    /// What came with a 101: nothing, and a connection that speaks something else from here on ([`Self::into_link`]).
    #[must_use]
    pub fn switched(incoming: Incoming, link: Box<Link>) -> Self {
        Self::racing(incoming, link)
    }

    /// The connection of an answer that changed its protocol.
    #[must_use]
    pub fn into_link(self) -> Option<Box<Link>> {
        self.racing
    }

    /// The client gets this answer: if it came first, both directions go on independently from here on, and the
    /// connection is never used again.
    #[must_use]
    pub fn used(mut self) -> Self {
        if let Some(link) = self.racing.take() {
            crate::tasks::spawn_local(link.run());
        }
        self
    }

    fn release_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(Driven { link, pools, idle_max }) = self.driven.take() {
            pools.checkin(link, idle_max);
        }
    }
}

impl http_body::Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(driven) = &mut this.driven else { return Pin::new(&mut this.incoming).poll_frame(cx) };
        // take what has already come before asking the socket for more, or a fast upstream would outrun the client
        driven.link.attend();
        let mut noop = Context::from_waker(Waker::noop());
        let mut poll = Pin::new(&mut this.incoming).poll_frame(&mut noop);
        if poll.is_pending() {
            let over = driven.link.drive(cx).is_ready();
            poll = Pin::new(&mut this.incoming).poll_frame(&mut noop);
            if poll.is_pending() {
                if over {
                    // hyper resolves the body when its connection ends; should it ever not, nobody would wake us
                    this.driven = None;
                    return Pin::new(&mut this.incoming).poll_frame(cx);
                }
                return Poll::Pending;
            }
        }
        match &poll {
            Poll::Ready(Some(Ok(_))) => this.release_if_ended(),
            Poll::Ready(Some(Err(_))) => this.driven = None,
            Poll::Ready(None) => this.release(),
            Poll::Pending => {}
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// An answer's body, with the record of its request.
pub struct Body {
    content: Content,
    /// None when the request goes on without it, as a WebSocket.
    record: Option<Record>,
    watcher: Option<Watcher>,
}

/// Wants to know when an answer or an upload has ended: it was read to its end or dropped, or there never was one.
pub trait Ends {
    /// One that began in this turn has.
    fn end(&self, turn: u64);
}

/// Tells when it is dropped.
pub struct Watcher {
    listener: Rc<dyn Ends>,
    turn: u64,
}

impl Watcher {
    /// Tells `listener`, which knows this turn.
    #[must_use]
    pub fn new(listener: Rc<dyn Ends>, turn: u64) -> Self {
        Self { listener, turn }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.listener.end(self.turn);
    }
}

/// Where an answer's bytes come from.
pub enum Content {
    /// Nowhere.
    Empty,
    /// From us, at once.
    Full(Bytes),
    /// From an upstream.
    Upstream(UpstreamBody),
}

impl Body {
    /// A body that closes `record` when it ends.
    #[must_use]
    pub fn new(content: Content, record: Record) -> Self {
        Self { content, record: Some(record), watcher: None }
    }

    /// The body of a 101: there is none, and the record goes on with what follows.
    #[must_use]
    pub fn switched() -> Self {
        Self { content: Content::Empty, record: None, watcher: None }
    }

    /// Keeps `watcher` until the body has ended or was dropped.
    #[must_use]
    pub fn watched(mut self, watcher: Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let poll = match &mut this.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(_) => {
                let Content::Full(bytes) = std::mem::replace(&mut this.content, Content::Empty) else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Upstream(body) => Pin::new(body).poll_frame(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &poll
            && let (Some(data), Some(record)) = (frame.data_ref(), &mut this.record)
        {
            record.bytes += data.len() as u64;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(bytes) => bytes.is_empty(),
            Content::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(body) => body.size_hint(),
        }
    }
}
