//! The body of an answer while it comes, for as many readers as want it: pieces go in at one end, each reader has all of them
//! in their order.
//!
//! Invariant: no reader is ever told that a body has ended which has not, and none slows another one down. A body that is
//! too large to keep has one reader, and comes no faster than that one takes it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use slab::Slab;

/// Bytes that may wait for the only reader of a body that is not kept.
const WINDOW: u64 = 256 << 10;

/// The rest of the body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A body that comes.
pub struct Fill {
    state: Mutex<State>,
    /// Its length, if the head says it.
    length: Option<u64>,
    /// What all bodies that come take at present, and may take.
    room: Arc<Room>,
}

/// Bounds what bodies take while they come.
#[derive(Debug)]
pub struct Room {
    most: u64,
    taken: AtomicU64,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, taken: AtomicU64::new(0) }
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// Takes room for so many bytes at once. False, and nothing is taken: there is not as much.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        let fits = self.taken.fetch_add(bytes, Relaxed) + bytes <= self.most;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Relaxed);
    }
}

struct State {
    pieces: VecDeque<Bytes>,
    /// Pieces that were there before the first of `pieces`, and are kept no more.
    gone: usize,
    /// Bytes in `pieces`.
    bytes: u64,
    /// Bytes that are taken from the room: at least those in `pieces`.
    taken: u64,
    /// All of it, once it is there: then there are no pieces.
    whole: Option<Bytes>,
    /// Whether pieces stay for others after somebody has had them.
    keeps: bool,
    end: End,
    /// Who reads, with what wakes those that wait.
    readers: Slab<Option<Waker>>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Whole,
    Broken,
}

impl Fill {
    /// A body of which nothing has come. `length` in bytes, if the head says it; `taken` of the room for it already.
    #[must_use]
    pub fn new(length: Option<u64>, taken: u64, room: &Arc<Room>) -> (Writer, Arc<Self>) {
        let state = State {
            pieces: VecDeque::new(),
            gone: 0,
            bytes: 0,
            taken,
            whole: None,
            keeps: true,
            end: End::Open,
            readers: Slab::new(),
            writer: None,
        };
        let fill = Arc::new(Self { state: Mutex::new(state), length, room: Arc::clone(room) });
        (Writer(Arc::clone(&fill)), fill)
    }

    /// One more reader, from the first byte on. `None`: some of it is not kept any more, or the rest will not come.
    #[must_use]
    pub fn read(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        if !state.keeps || state.end == End::Broken {
            return None;
        }
        let id = state.readers.insert(None);
        drop(state);
        Some(Reader { fill: Arc::clone(self), id, next: 0, read: 0 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let taken = self.state().taken;
        self.room.give_back(taken);
    }
}

/// Where pieces go in. A body whose writer is dropped before its end is broken.
pub struct Writer(Arc<Fill>);

impl Writer {
    /// The next piece. False: what comes takes more than there is room for, and this one should be passed on.
    pub fn push(&self, piece: Bytes) -> bool {
        let (state, has_room) = self.add(piece);
        wake(state);
        has_room
    }

    /// The last piece, of which readers hear with the end.
    pub fn push_last(&self, piece: Bytes) -> bool {
        self.add(piece).1
    }

    fn add(&self, piece: Bytes) -> (MutexGuard<'_, State>, bool) {
        let mut state = self.0.state();
        let bytes = piece.len() as u64;
        state.bytes += bytes;
        state.pieces.push_back(piece);
        let more = state.bytes.saturating_sub(state.taken);
        state.taken += more;
        let has_room = more == 0 || self.0.room.taken.fetch_add(more, Relaxed) + more <= self.0.room.most;
        (state, has_room)
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.state().bytes
    }

    /// Keeps no more of it than its only reader has yet to take. Whoever comes now cannot read it.
    pub fn pass_on(&self) {
        self.0.state().keeps = false;
    }

    /// Waits until the only reader of what is not kept has taken enough of it.
    ///
    /// # Errors
    /// [`Broken`]: nobody reads it any more.
    pub async fn room(&self) -> Result<(), Broken> {
        poll_fn(|cx| {
            let mut state = self.0.state();
            if state.readers.is_empty() {
                return Poll::Ready(Err(Broken));
            }
            if state.bytes < WINDOW {
                return Poll::Ready(Ok(()));
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// All of it in one piece, unless some of it is not kept.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        let state = self.0.state();
        // copied even if it is one piece: that may be a part of a much larger buffer, which would stay with it
        let pieces = state.keeps.then(|| state.pieces.iter().cloned().collect::<Vec<_>>());
        drop(state);
        pieces.map(|pieces| Bytes::from(pieces.concat()))
    }

    /// It has ended; `whole` is all of it, if it is kept.
    pub fn finish(self, whole: Option<Bytes>) {
        let mut state = self.0.state();
        state.end = End::Whole;
        if whole.is_some() {
            state.pieces = VecDeque::new();
            state.bytes = 0;
            self.0.room.give_back(std::mem::take(&mut state.taken));
            state.whole = whole;
        }
        wake(state);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.end == End::Open {
            state.end = End::Broken;
            wake(state);
        }
    }
}

/// Wakes all readers that wait, after the lock is gone.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting: Vec<Waker> = state.readers.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

/// One who reads a body while it comes.
pub struct Reader {
    fill: Arc<Fill>,
    id: usize,
    /// The piece that it has not had yet, counted from the first one that ever was.
    next: usize,
    read: u64,
}

impl Reader {
    /// The next piece; `None` at its end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let mut state = self.fill.state();
        if let Some(whole) = &state.whole {
            let had = usize::try_from(self.read).unwrap_or(usize::MAX).min(whole.len());
            let rest = whole.slice(had..);
            self.read += rest.len() as u64;
            return Poll::Ready((!rest.is_empty()).then_some(Ok(rest)));
        }
        // a body that is passed on has one reader, so nobody else is left behind; should one be, it has no end
        let Some(place) = self.next.checked_sub(state.gone) else { return Poll::Ready(Some(Err(Broken))) };
        if let Some(piece) = state.pieces.get(place).cloned() {
            self.next += 1;
            self.read += piece.len() as u64;
            if !state.keeps {
                self.fill.drop_what_was_read(&mut state, self.next);
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match state.end {
            End::Whole => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(Broken))),
            End::Open => {
                if let Some(waker) = state.readers.get_mut(self.id) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Whether nothing is left of a whole body.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.fill.state();
        match &state.whole {
            Some(whole) => self.read >= whole.len() as u64,
            None => state.end == End::Whole && self.next >= state.gone + state.pieces.len(),
        }
    }

    /// Bytes that are yet to come, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.fill.length.map(|length| length.saturating_sub(self.read))
    }
}

impl Fill {
    fn drop_what_was_read(&self, state: &mut State, next: usize) {
        while state.gone < next {
            let Some(piece) = state.pieces.pop_front() else { break };
            let bytes = piece.len() as u64;
            state.bytes -= bytes;
            state.taken -= bytes;
            self.room.give_back(bytes);
            state.gone += 1;
        }
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.fill.state();
        state.readers.try_remove(self.id);
        let writer = if state.readers.is_empty() { state.writer.take() } else { None };
        drop(state);
        writer.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
