//! The bodies that pass through: a client's upload on its way up, an upstream's answer on its way down, our own replies.
//!
//! Data is `Bytes` everywhere; nothing is buffered beyond what hyper holds, and back-pressure passes through. The
//! request's record lives inside the answer's body, so that it closes when the body ends or is dropped.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

pub mod pace;
mod upload;

pub use upload::{RequestBody, Upload, UploadError};

use crate::{
    cache::fill::{Broken, Reader},
    telemetry::record::Record,
    upstream::{concurrency::Permit, link::Link, pool::Pools},
};

/// Most pieces of an answer that are taken to keep its connection.
const DISCARDED_PIECES: usize = 4;

/// The body of an answer on its way down: from an upstream, then it drives the connection that it comes from, or kept.
pub struct Download {
    source: Source,
    driven: Option<Driven>,
    racing: Option<Box<Link>>,
    /// Whether its head says where it ends.
    delimited: bool,
}

/// Where an answer's bytes are.
enum Source {
    Incoming(Incoming),
    Kept(Bytes),
    Shared(Reader),
}

/// Why the body of an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Its upstream's connection broke off, or what came was not valid.
    #[error("the upstream's answer broke off: {0}")]
    Upstream(#[from] hyper::Error),
    /// The request that fetched it for several has lost it.
    #[error("the answer that several requests share broke off")]
    Shared,
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        match &mut *self {
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(DownloadError::Upstream),
            Self::Kept(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Kept(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Shared(reader) => reader.poll_piece(cx).map(|piece| match piece? {
                Ok(bytes) => Some(Ok(Frame::data(bytes))),
                Err(Broken) => Some(Err(DownloadError::Shared)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Kept(bytes) => bytes.is_empty(),
            Self::Shared(reader) => reader.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Kept(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Shared(reader) => reader.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

struct Driven {
    link: Box<Link>,
    pools: Pools,
    idle_max: usize,
}

impl Download {
    /// A body that drives its connection and returns it to the pool when it has ended.
    #[must_use]
    pub fn driving(incoming: Incoming, link: Box<Link>, pools: Pools, idle_max: usize) -> Self {
        let source = Source::Incoming(incoming);
        let mut body = Self { source, driven: Some(Driven { link, pools, idle_max }), racing: None, delimited: false };
        body.release_if_ended();
        body
    }

    /// A body that came before its request was sent. Unless it is used ([`Self::used`]) it takes the connection with it,
    /// and the rest of the upload stays where it is, for somebody else.
    #[must_use]
    pub fn racing(incoming: Incoming, link: Box<Link>) -> Self {
        Self { source: Source::Incoming(incoming), driven: None, racing: Some(link), delimited: false }
    }

    /// What came with a 101: nothing, and a connection that speaks something else from here on ([`Self::into_link`]).
    #[must_use]
    pub fn switched(incoming: Incoming, link: Box<Link>) -> Self {
        Self::racing(incoming, link)
    }

    /// Notes whether its head says where it ends.
    #[must_use]
    pub fn delimited(mut self, delimited: bool) -> Self {
        self.delimited = delimited;
        self
    }

    /// Whether its head says where it ends, so that nothing is missing when it does, or there is none.
    #[must_use]
    pub fn is_delimited(&self) -> bool {
        self.delimited || self.source.is_end_stream()
    }

    /// A body that is in memory.
    #[must_use]
    pub fn kept(bytes: Bytes) -> Self {
        Self { source: Source::Kept(bytes), driven: None, racing: None, delimited: false }
    }

    /// A body that comes for several requests at once.
    #[must_use]
    pub fn shared(reader: Reader) -> Self {
        Self { source: Source::Shared(reader), driven: None, racing: None, delimited: false }
    }

    /// Keeps the request's place in its upstream until all of the answer has come from there, or nobody wants it any more.
    pub fn hold(&mut self, permit: Permit) {
        let driven = self.driven.as_mut().map(|driven| &mut driven.link);
        if let Some(link) = driven.or(self.racing.as_mut()) {
            link.permit = Some(permit);
        }
    }

    /// Nobody wants it: what is already there of it is taken, and if that was all, its connection can be used again.
    pub fn discard(mut self) {
        let mut noop = Context::from_waker(Waker::noop());
        for _ in 0..DISCARDED_PIECES {
            let taken =
                self.driven.is_some() && matches!(Pin::new(&mut self).poll_frame(&mut noop), Poll::Ready(Some(Ok(_))));
            if !taken {
                return;
            }
        }
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
        if self.source.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(Driven { link, pools, idle_max }) = self.driven.take() {
            pools.checkin(link, idle_max);
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let this = &mut *self;
        let Some(driven) = &mut this.driven else { return Pin::new(&mut this.source).poll_frame(cx) };
        // take what has already come before asking the socket for more, or a fast upstream would outrun the client
        driven.link.attend();
        let mut noop = Context::from_waker(Waker::noop());
        let mut poll = Pin::new(&mut this.source).poll_frame(&mut noop);
        if poll.is_pending() {
            let over = driven.link.drive(cx).is_ready();
            poll = Pin::new(&mut this.source).poll_frame(&mut noop);
            if poll.is_pending() {
                if over {
                    // hyper resolves the body when its connection ends; should it ever not, nobody would wake us
                    this.driven = None;
                    return Pin::new(&mut this.source).poll_frame(cx);
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
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
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
    Upstream(Download),
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
    type Error = DownloadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
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
