//! One direction of a tunnel: bytes from one side to the other, as fast as that one takes them.
//!
//! Invariant: nothing is read while something waits to be written, so a way holds one piece at most; and after a close
//! frame of ours nothing else is passed on.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arrayvec::ArrayVec;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;

#[cfg(test)]
mod tests;

/// Most bytes that are read at a time, on the stack; what the other side does not take at once is kept.
const PIECE: usize = 16 << 10;

/// One direction.
pub(super) struct Way {
    frames: Frames,
    /// Read and not yet written.
    rest: Bytes,
    /// Bytes taken from the sender.
    pub(super) bytes: u64,
    /// Whether something has moved since this was last taken back.
    pub(super) moved: bool,
    ended: bool,
    over: bool,
    parting: Parting,
}

/// Whether the receiver has been told that we leave.
enum Parting {
    /// It has not, and need not be.
    No,
    /// It will be with these bytes, between two frames.
    Soon(ArrayVec<u8, 8>),
    /// It has been told, by us or by the sender.
    Said,
}

impl Way {
    /// A way on which `early` has already come.
    pub(super) fn new(early: Bytes) -> Self {
        let mut frames = Frames::default();
        frames.advance_all(&early);
        let bytes = early.len() as u64;
        Self { frames, rest: early, bytes, moved: false, ended: false, over: false, parting: Parting::No }
    }

    /// Says goodbye to the receiver as soon as a frame may begin.
    pub(super) fn part(&mut self, close: ArrayVec<u8, 8>) {
        if self.frames.is_closing() || self.ended {
            // the sender says it
        } else if self.frames.is_between() {
            self.rest = [&self.rest[..], &close].concat().into();
            self.parting = Parting::Said;
        } else {
            self.parting = Parting::Soon(close);
        }
    }

    /// Whether the receiver needs no more telling, by us at least.
    pub(super) fn has_parted(&self) -> bool {
        self.ended || !matches!(self.parting, Parting::Soon(_))
    }

    /// Whether the sender has closed and the receiver has been told all that it is told.
    pub(super) fn is_closed(&self) -> bool {
        self.ended || (self.frames.is_closing() && self.frames.is_between() && self.rest.is_empty())
    }

    /// Moves bytes as far as they go. Ready when the sender has ended and the receiver knows.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.over {
            while !self.rest.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.rest))?;
                self.wrote(written)?;
                self.rest.advance(written);
            }
            // what was held does not stay allocated
            self.rest = Bytes::new();
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.over = true;
                continue;
            }
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            if Pin::new(&mut *from).poll_read(cx, &mut piece)?.is_pending() {
                let _ = Pin::new(to).poll_flush(cx)?;
                return Poll::Pending;
            }
            self.ended = piece.filled().is_empty();
            self.bytes += piece.filled().len() as u64;
            self.moved = true;
            let passed = self.passed(piece.filled());
            let mut sent = 0;
            if passed > 0
                && let Poll::Ready(written) = Pin::new(&mut *to).poll_write(cx, &piece.filled()[..passed])?
            {
                self.wrote(written)?;
                sent = written;
            }
            self.keep(&piece.filled()[sent..passed]);
        }
        Poll::Ready(Ok(()))
    }

    /// How many of these bytes are passed on.
    fn passed(&mut self, bytes: &[u8]) -> usize {
        if let Parting::Soon(_) = self.parting {
            // what follows this frame would follow our goodbye
            return self.frames.advance(bytes);
        }
        self.frames.advance_all(bytes);
        if let Parting::Said = self.parting { 0 } else { bytes.len() }
    }

    /// Keeps what was not written, and our goodbye behind it if its time has come.
    fn keep(&mut self, rest: &[u8]) {
        match &self.parting {
            Parting::Soon(close) if self.frames.is_between() && !self.ended => {
                let close = if self.frames.is_closing() { &[][..] } else { close };
                self.rest = [rest, close].concat().into();
                self.parting = Parting::Said;
            }
            _ if !rest.is_empty() => self.rest = Bytes::copy_from_slice(rest),
            _ => {}
        }
    }

    fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        self.moved = true;
        if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}
