//! A client's request body on its way up. What an attempt has taken of it is kept, up to a cap, so that another attempt can
//! have it too.
//!
//! Invariant: every attempt gets the whole body from its first byte or none of it ([`Upload::is_gone`]).

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Watcher, pace::Pace};

/// A client's request body. Cloning shares.
#[derive(Clone, Default)]
pub struct Upload(Option<Rc<Slot>>);

struct Slot {
    body: RefCell<Incoming>,
    /// Bytes that may still pass.
    left: Cell<u64>,
    /// What attempts have taken so far; empty once some of it is gone.
    kept: RefCell<Vec<u8>>,
    /// How much of it the latest attempt has had.
    taken: Cell<usize>,
    /// How much may be kept.
    keep_max: Cell<usize>,
    polled: Cell<bool>,
    gone: Cell<bool>,
    /// The client has sent all of it, and it was taken.
    exhausted: Cell<bool>,
    /// The latest attempt has taken all of it.
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
    /// Its trailers begin with a bare LF, which some parsers take for their end, and others not.
    #[error("the request's trailers are not valid")]
    Trailers,
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
        Self(Some(Rc::new(Slot {
            body: RefCell::new(body),
            left: Cell::new(u64::MAX),
            kept: RefCell::default(),
            taken: Cell::new(0),
            keep_max: Cell::new(0),
            polled: Cell::new(false),
            gone: Cell::new(false),
            exhausted: Cell::new(false),
            ended: Cell::new(false),
            pace: pace(),
            _watcher: watch(),
        })))
    }

    /// Lets no more than `bytes` pass. False if it is longer by its own word.
    #[must_use]
    pub fn limit(&self, bytes: u64) -> bool {
        let Some(slot) = &self.0 else { return true };
        slot.left.set(bytes);
        slot.body.borrow().size_hint().lower() <= bytes
    }

    /// Keeps up to `bytes` of what attempts take, for another one.
    pub fn keep(&self, bytes: usize) {
        if let Some(slot) = &self.0 {
            slot.keep_max.set(bytes);
        }
    }

    /// No other attempt will want it. What the latest one has not had yet of what is kept stays for it.
    pub fn keep_no_more(&self) {
        let done = |slot: &&Rc<Slot>| slot.polled.get() && slot.taken.get() == slot.kept.borrow().len();
        if let Some(slot) = self.0.as_ref().filter(done) {
            slot.lose();
        }
    }

    /// Whether somebody waits for the client to send more of it.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.pace.is_wanted())
    }

    /// The body to hand to one attempt, from its first byte on unless that [`is_gone`](Self::is_gone).
    #[must_use]
    pub fn body(&self) -> RequestBody {
        RequestBody(self.0.as_ref().map(|slot| {
            slot.ended.set(false);
            slot.taken.set(0);
            Box::new(Reader { slot: Rc::clone(slot), replayed: 0, asked: false })
        }))
    }

    /// Whether an attempt has taken some of it.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.polled.get())
    }

    /// Whether some of it was taken and not kept: then no other attempt can have it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.gone.get())
    }

    /// Whether all of it was taken by the latest attempt.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.as_ref().is_none_or(|slot| slot.ended.get())
    }

    /// Whether some of it may still be on its way from the client.
    #[must_use]
    pub fn is_coming(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| !slot.exhausted.get() && !slot.body.borrow().is_end_stream())
    }

    /// When the last piece of it was taken, as the worker's clock has it; `None` as long as none was.
    #[must_use]
    pub fn last_piece(&self) -> Option<Instant> {
        self.0.as_ref()?.pace.last_piece()
    }

    /// Its exact length in bytes, if that is known before any of it was taken; 0 when there is none.
    #[must_use]
    pub fn exact(&self) -> Option<u64> {
        self.0.as_ref().map_or(Some(0), |slot| slot.body.borrow().size_hint().exact())
    }
}

/// An [`Upload`] on the wire. One word, because requests are moved from hand to hand, and most have no body.
pub struct RequestBody(Option<Box<Reader>>);

/// One attempt that takes an upload.
struct Reader {
    slot: Rc<Slot>,
    /// Bytes that this attempt has had of what is kept.
    replayed: usize,
    /// Whether this attempt has asked for any of it.
    asked: bool,
}

impl Reader {
    /// What an earlier attempt has taken and this one has not.
    fn replay(&mut self) -> Option<Bytes> {
        let kept = self.slot.kept.borrow();
        let rest = kept.get(self.replayed..).filter(|rest| !rest.is_empty())?;
        self.replayed = kept.len();
        self.slot.taken.set(self.replayed);
        Some(Bytes::copy_from_slice(rest))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.slot.pace.rest();
    }
}

impl Slot {
    /// Notes what an attempt takes, in full or not at all.
    fn take(&self, data: &Bytes) {
        self.polled.set(true);
        if self.gone.get() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        if kept.len() + data.len() <= self.keep_max.get() {
            kept.extend_from_slice(data);
        } else {
            drop(kept);
            self.lose();
        }
    }

    fn lose(&self) {
        self.gone.set(true);
        self.kept.take();
    }

    fn exhaust(&self) {
        self.exhausted.set(true);
        self.ended.set(true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pace.end(self.exhausted.get() || self.body.borrow().is_end_stream());
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(reader) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        reader.asked = true;
        if reader.slot.pace.is_given_up() {
            return Poll::Ready(Some(Err(UploadError::Slow)));
        }
        let again = reader.replay();
        let Reader { slot, replayed, .. } = &mut **reader;
        if let Some(again) = again {
            slot.ended.set(slot.exhausted.get());
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if slot.exhausted.get() {
            slot.ended.set(true);
            return Poll::Ready(None);
        }
        let mut body = slot.body.borrow_mut();
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => {
                slot.pace.want(cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                slot.pace.rest();
                slot.exhaust();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                slot.pace.come(0);
                slot.lose();
                return Poll::Ready(Some(Err(UploadError::Broken(error))));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let Some(data) = frame.data_ref() else {
            slot.pace.come(0);
            // hyper tells of trailers when there are bytes of them; none of them was a field only if a bare LF ended them
            if frame.trailers_ref().is_some_and(HeaderMap::is_empty) {
                slot.lose();
                return Poll::Ready(Some(Err(UploadError::Trailers)));
            }
            // request trailers are dropped: merging them upstream is how fields get smuggled (RFC 9110 §6.5.1)
            slot.exhaust();
            return Poll::Ready(None);
        };
        slot.pace.come(data.len());
        let Some(left) = slot.left.get().checked_sub(data.len() as u64) else {
            slot.lose();
            return Poll::Ready(Some(Err(UploadError::TooLarge)));
        };
        slot.left.set(left);
        slot.take(data);
        *replayed = slot.kept.borrow().len();
        slot.taken.set(*replayed);
        if body.is_end_stream() {
            slot.exhaust();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_deref().is_none_or(|Reader { slot, replayed, asked }| {
            // hyper takes the coding from a request whose body has ended before it began, and one that turned out to be
            // empty would reach the app differently at each attempt
            *asked
                && *replayed >= slot.kept.borrow().len()
                && (slot.exhausted.get() || slot.body.borrow().is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(reader) = &self.0 else { return SizeHint::with_exact(0) };
        let Reader { slot, replayed, .. } = &**reader;
        let again = slot.kept.borrow().len().saturating_sub(*replayed) as u64;
        match slot.body.borrow().size_hint().exact() {
            Some(coming) => SizeHint::with_exact(again + coming),
            None => SizeHint::new(),
        }
    }
}
