//! The connection under an origin's HTTP, for the tricks that HTTP itself would not do.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

/// What an origin says whenever it has sent an answer twice.
const SENT_TWICE: &str = "sent twice";

/// What the next answer on a connection suffers.
#[derive(Clone, Default)]
pub(super) struct Tricks {
    twice: Arc<AtomicBool>,
    reset: Arc<AtomicBool>,
}

impl Tricks {
    /// Everything written until the next flush is sent twice.
    pub(super) fn twice(&self) {
        self.twice.store(true, Relaxed);
    }

    /// The connection ends with a reset.
    pub(super) fn reset(&self) {
        self.reset.store(true, Relaxed);
    }
}

pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    tricks: Tricks,
    /// An answer that is to be sent twice, until it is whole; afterwards what is left to send.
    held: Vec<u8>,
    sending: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Tricks) {
        let tricks = Tricks::default();
        let wire = Self { stream: TokioIo::new(stream), tricks: tricks.clone(), held: Vec::new(), sending: false };
        (wire, tricks)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.tricks.reset.load(Relaxed) {
            // no linger: the kernel answers with a reset; a socket that is gone already needs none
            let _ = SockRef::from(self.stream.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.tricks.twice.load(Relaxed) {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.held.is_empty() && !this.sending {
            this.held.extend_from_within(..);
            this.sending = true;
        }
        while this.sending && !this.held.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(context, &this.held))?;
            this.held.drain(..written);
        }
        if this.sending {
            this.sending = false;
            this.tricks.twice.store(false, Relaxed);
            // whoever planted it wants to know that it happened
            println!("{SENT_TWICE}");
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tricks.reset.load(Relaxed) {
            // a shutdown would say goodbye first
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
