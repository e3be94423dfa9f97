//! One upstream connection: hyper's sender and connection side by side, driven by whoever uses it.
//!
//! There is no task per upstream connection: the request that has checked a link out polls it, the answer's body goes
//! on polling it, and an idle link is polled by nobody. Waking the client is therefore enough; the future inside hyper
//! gets a waker that does nothing.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;

use crate::{
    body::RequestBody,
    upstream::{
        concurrency::Permit,
        relay::Relay,
        target::Target,
        wire::{Traffic, Wire},
    },
};

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What is read at a time, and what may wait to be written.
const BUFFER_BYTES: usize = 64 << 10;

/// One upstream connection.
pub struct Link {
    /// Where it leads.
    pub target: Arc<Target>,
    /// Takes requests.
    pub sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Wire>, RequestBody>,
    /// What went over it.
    pub traffic: Arc<Traffic>,
    /// When it was last put into the pool.
    pub idle_since: Instant,
    /// The place in the upstream of the request that it carries.
    pub permit: Option<Permit>,
    relay: Arc<Relay>,
    waker: Waker,
    closed: bool,
}

impl Link {
    /// A link over a connected socket.
    ///
    /// # Errors
    /// Only what hyper's handshake reports; on HTTP/1.1 it sends nothing.
    pub async fn handshake(target: Arc<Target>, wire: Wire, now: Instant) -> hyper::Result<Box<Self>> {
        let traffic = wire.traffic();
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(wire))
            .await?;
        let relay = Arc::new(Relay::default());
        let waker = Waker::from(Arc::clone(&relay));
        Ok(Box::new(Self {
            target,
            sender,
            connection,
            traffic,
            idle_since: now,
            permit: None,
            relay,
            waker,
            closed: false,
        }))
    }

    /// Moves bytes both ways as far as they go. Ready when the connection is over.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll() {
            return Poll::Ready(());
        }
        self.relay.wait(cx.waker());
        Poll::Pending
    }

    /// Whether the connection is over, after moving bytes as far as they go.
    fn poll(&mut self) -> bool {
        self.relay.begin();
        if !self.closed {
            self.closed = Pin::new(&mut self.connection).poll(&mut Context::from_waker(&self.waker)).is_ready();
        }
        self.closed
    }

    /// Its user is awake: until the next [`Self::drive`] nothing that happens here needs to wake it.
    pub fn attend(&self) {
        self.relay.attend();
    }

    /// Its user has no more use for it.
    pub fn leave(&mut self) {
        self.permit = None;
        self.relay.leave();
    }

    /// Whether the connection can carry another request. An exchange that has just ended may need one more poll.
    pub fn is_reusable(&mut self) -> bool {
        if self.closed {
            return false;
        }
        if !self.sender.is_ready() {
            self.poll();
        }
        !self.closed && self.sender.is_ready()
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closed
    }

    /// The socket and what was read ahead, once hyper has let go of it: after an answer that changed its protocol.
    #[must_use]
    pub fn into_wire(self: Box<Self>) -> Option<(Wire, Bytes)> {
        let Self { connection, closed: true, .. } = *self else { return None };
        let parts = connection.into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }

    /// Runs the connection to its end on its own; for answers that came before the request was fully sent. It ends with
    /// both bodies: a connection that could carry another request, and that nobody can send one on, would stay for as long
    /// as the app likes.
    pub async fn run(self: Box<Self>) {
        let Self { sender, connection, permit: _permit, .. } = *self;
        drop(sender);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended whose answer came first");
        }
    }
}
