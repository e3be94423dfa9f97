//! The IO wrapper around a socket: counts what went over it, so that "not a byte was sent" is a fact, and keeps what the
//! kernel refused, so that it can be sent elsewhere. A client's wire closes so that an answer before the end of a request
//! survives (RFC 9112 §9.6).
//!
//! Counters are written by the connection's own worker only; relaxed loads and stores suffice. `Send`, because
//! upgrades will demand it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use arrayvec::ArrayVec;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Up to here, copying slices into one and calling `send` is cheaper than `writev`, which goes through the file layer.
const GATHERED_MAX: usize = 4 << 10;

/// Most bytes that are read and dropped for an early answer to survive.
const LINGER_BYTES: u64 = 256 << 10;

/// Most bytes of a write that are kept: more than a head may have.
const KEPT_MAX: usize = 128 << 10;

/// What an idle connection may keep its room for.
const KEPT_IDLE_MAX: usize = 4 << 10;

/// Bytes that are dropped at a time.
const DROPPED_AT_ONCE: usize = 8 << 10;

/// What is known of the traffic on one socket.
#[derive(Debug, Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
    peek: AtomicBool,
    /// The kernel took nothing of the last write.
    blocked: AtomicBool,
    /// Closed for writing; what still comes is dropped.
    lingering: AtomicBool,
    /// Bytes read when the last request had been read to its end; [`u64::MAX`] when it was not.
    settled: AtomicU64,
    /// The next write is to be kept.
    keeps: AtomicBool,
    /// So much was kept that an idle connection should not keep the room for it.
    large: AtomicBool,
    /// What was kept, or what a write had that failed.
    kept: Mutex<Vec<u8>>,
}

impl Traffic {
    /// Bytes read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether bytes wait because the kernel takes no more for this socket.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Whether it waits for the client to stop sending what nobody will read.
    #[must_use]
    pub fn is_lingering(&self) -> bool {
        self.lingering.load(Relaxed)
    }

    /// A request is over, and all of it was read, or not.
    pub fn settle(&self, whole: bool) {
        self.settled.store(if whole { self.read() } else { u64::MAX }, Relaxed);
    }

    /// Keeps what the next write begins with: the head of a request that may have to be sent again. What was kept before
    /// is gone, so that nobody ever gets the head of another request.
    pub fn keep_next(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.keeps.store(true, Relaxed);
    }

    /// What the last write that was to be kept, or that failed, began with.
    #[must_use]
    pub fn take_kept(&self) -> Vec<u8> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, slices: &[io::IoSlice<'_>]) {
        self.keeps.store(false, Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
        // hyper writes a head in one piece, and the body behind it in pieces of its own
        if let Some(head) = slices.first() {
            kept.extend_from_slice(&head[..head.len().min(KEPT_MAX)]);
        }
        if kept.len() > KEPT_IDLE_MAX {
            self.large.store(true, Relaxed);
        }
    }

    /// Nothing that was kept is wanted any more; only a small buffer stays for the next.
    pub fn forget(&self) {
        if self.large.load(Relaxed) {
            self.large.store(false, Relaxed);
            drop(self.take_kept());
        }
    }

    /// Counts bytes that were read.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.read.store(self.read.load(Relaxed).wrapping_add(bytes), Relaxed);
    }

    /// Makes the next read ask the kernel whether the peer has closed, even if no event said so yet.
    pub fn peek_once(&self) {
        self.peek.store(true, Relaxed);
    }
}

/// A socket with its traffic counted.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    /// Bytes that may still be read and dropped when it closes.
    linger: u64,
    shut: bool,
}

impl Wire {
    /// Wraps a connected socket.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, traffic: Arc::default(), linger: 0, shut: false }
    }

    /// Wraps a client's socket. When it is shut down before a request was read to its end, it stays open for reading
    /// until the client has closed too or somebody drops it: a socket that is closed with bytes unread resets the
    /// connection, and the reset destroys the answer that is on its way.
    #[must_use]
    pub fn of_client(stream: TcpStream) -> Self {
        Self { linger: LINGER_BYTES, ..Self::new(stream) }
    }

    /// Shuts it down unless that was begun already.
    pub async fn close(mut self) {
        if !self.shut {
            // whatever it says, the socket closes now
            let _ = std::future::poll_fn(|cx| Pin::new(&mut self).poll_shutdown(cx)).await;
        }
    }

    /// The socket of what is no HTTP connection any more: each direction ends for itself, and nothing is dropped.
    #[must_use]
    pub fn without_linger(self) -> Self {
        Self { linger: 0, ..self }
    }

    /// Reads and drops what comes; ready when the client has closed. What is over the cap stays unread, and whoever
    /// watches the time closes.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [std::mem::MaybeUninit::<u8>::uninit(); DROPPED_AT_ONCE];
        while self.linger > 0 {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.linger = self.linger.saturating_sub(buffer.filled().len() as u64);
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// The counters; they stay readable when the wire is inside hyper.
    #[must_use]
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// One non-blocking look: `Ok` only when nothing is there to read, as it must be on an idle connection.
    fn peek(&self) -> io::Result<()> {
        let mut byte = [std::mem::MaybeUninit::<u8>::uninit()];
        match SockRef::from(&self.stream).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(_) => Err(io::ErrorKind::ConnectionReset.into()),
            Err(error) => Err(error),
        }
    }

    fn note(&self, slices: &[io::IoSlice<'_>], poll: &Poll<io::Result<usize>>) {
        let written = &self.traffic.written;
        self.traffic.blocked.store(poll.is_pending(), Relaxed);
        match poll {
            Poll::Ready(Ok(bytes)) => {
                written.store(written.load(Relaxed).wrapping_add(*bytes as u64), Relaxed);
                if self.traffic.keeps.load(Relaxed) {
                    self.traffic.keep(slices);
                }
            }
            // unless what was kept is an earlier part of the same request
            Poll::Ready(Err(_)) if self.traffic.keeps.load(Relaxed) => self.traffic.keep(slices),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {}
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.traffic.peek.load(Relaxed) {
            self.traffic.peek.store(false, Relaxed);
            self.peek()?;
        }
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.traffic.count_read((buffer.filled().len() - before) as u64);
        poll
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&[io::IoSlice::new(bytes)], &poll);
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        if !self.traffic.is_lingering() {
            let settled = self.linger == 0 || self.traffic.read() == self.traffic.settled.load(Relaxed);
            let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
            if settled || !matches!(shut, Poll::Ready(Ok(()))) {
                return shut;
            }
            self.traffic.lingering.store(true, Relaxed);
        }
        self.poll_linger(cx).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = ArrayVec::<u8, GATHERED_MAX>::new();
        let poll = match slices {
            [only] => Pin::new(&mut self.stream).poll_write(cx, only),
            _ if slices.iter().all(|slice| gathered.try_extend_from_slice(slice).is_ok()) => {
                Pin::new(&mut self.stream).poll_write(cx, &gathered)
            }
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        };
        self.note(slices, &poll);
        poll
    }
}
