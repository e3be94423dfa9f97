//! The purges of a stamp, as its processes tell each other through their Redis.
//!
//! One connection reads, one appends what this process has marked, one listens to the channel
//! `invalidation`. A reconnect replays what was missed.
//!
//! Invariant: what a process has passed it has read without a hole, or purged everything from before the hole. It is known
//! to be up to date as of the moment at which it asked, not at which the answer came.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use synaxis_routing::purge::{Ends, Entry, Link, Passed, PurgeStore, StoreError};
use tokio::time::sleep;

use super::{Purge, PurgeId, Purges};

mod append;
mod messages;
#[cfg(test)]
mod tests;

/// Purges that are read at a time.
const BATCH: usize = 4_096;
/// So long a reader waits for news before it looks whether the stream is still the one it knows.
const LOOK: Duration = Duration::from_millis(500);
/// After news: what comes in between is read at once, and not one by one.
const LINGER: Duration = Duration::from_millis(5);
/// Between two looks for processes that are gone.
const PRUNE: Duration = Duration::from_secs(30);
/// Between two tries to connect: doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The stream of the stamp and this process's part in it.
pub struct Stream {
    purges: Arc<Purges>,
    store: PurgeStore,
    /// Unique among the processes of the stamp.
    process: String,
}

/// What follows from how the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing is missing.
    Continue,
    /// What came before this one is not known: nothing from before it is valid, and it is the next to go on from.
    From(PurgeId),
    /// It has forgotten, or nobody knows what: everything is to be purged, in all processes.
    Anew,
}

/// `last`: what this process has read up to, if it has read anything. The reader's whole judgement.
fn judge(last: Option<PurgeId>, is_same_run: bool, ends: &Ends) -> Next {
    let (Some(first), Some(newest)) = (ends.first, ends.newest) else { return Next::Anew };
    match last {
        _ if !is_same_run => Next::Anew,
        None => Next::From(first),
        // it is older than it was
        Some(last) if newest < last => Next::Anew,
        Some(_) if ends.is_anchored => Next::Continue,
        // trimmed beyond us
        Some(last) if first > last => Next::From(first),
        // our last one was taken out of its middle
        Some(_) => Next::Anew,
    }
}

/// What the reader remembers over connections.
#[derive(Default)]
struct Place {
    /// Read up to here.
    last: Option<PurgeId>,
    /// Nothing is missing up to here; the rest may have a hole before it.
    whole: Option<PurgeId>,
    server: Option<String>,
    pruned: Option<Instant>,
    /// Somebody was told that the stream cannot be read.
    is_told: bool,
}

impl Stream {
    /// Of the process called `process`, which is unique in its stamp and at most 128 bytes.
    #[must_use]
    pub fn new(purges: Arc<Purges>, store: PurgeStore, process: String) -> Self {
        Self { purges, store, process }
    }

    /// Keeps the purges of this process and of the stream the same, for ever. On one runtime, which has a timer.
    pub async fn run(&self) {
        tokio::join!(self.follow(), append::run(&self.purges, &self.store), messages::run(&self.purges, &self.store));
    }

    /// Says that this process serves nothing any more, so that nobody waits for it.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.store.connect().await?.leave(&self.process).await
    }

    async fn follow(&self) {
        let (mut place, mut pause) = (Place::default(), PAUSE_MIN);
        loop {
            let began = Instant::now();
            let Err(error) = self.read(&mut place).await;
            if began.elapsed() > 2 * PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            if !std::mem::replace(&mut place.is_told, true) {
                tracing::warn!(%error, "purges of the cache cannot be read; only entries younger than 5 s are used");
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            self.purges.tick(Instant::now());
        }
    }

    /// Reads on one connection until it fails.
    async fn read(&self, place: &mut Place) -> Result<Infallible, StoreError> {
        let mut link = self.store.connect().await?;
        self.purges.counts.connections.fetch_add(1, Relaxed);
        let run = link.run().await?;
        let is_same_run = run.stream == run.server && place.server.as_ref().is_none_or(|known| *known == run.server);
        let ends = link.check(place.last.unwrap_or(PurgeId::ZERO), None).await?;
        let mut next = judge(place.last, is_same_run, &ends);
        if next == Next::Continue && place.whole != place.last {
            next = judge(place.whole, true, &link.check(place.whole.unwrap_or(PurgeId::ZERO), None).await?);
        }
        self.go_on(&mut link, next, place, &run.server).await?;
        place.server = Some(run.server.clone());
        // at once the first time: until then this process is cut off, and not on the list of those who read
        let mut patience = Duration::from_millis(1);
        loop {
            let (asked, anchor) = (Instant::now(), place.last.unwrap_or(PurgeId::ZERO));
            let entries = link.read(anchor, BATCH, patience).await?;
            patience = LOOK;
            let (is_all, is_any) = (entries.len() < BATCH, !entries.is_empty());
            let last = self.apply(entries).unwrap_or(anchor);
            place.last = Some(last);

            let checked = Instant::now();
            let prunes = place.pruned.is_none_or(|then| then.elapsed() > PRUNE);
            if prunes {
                place.pruned = Some(checked);
            }
            let passed = Passed { process: &self.process, id: last, prunes };
            let ends = link.check(anchor, Some(passed)).await?;
            let next = judge(Some(anchor), true, &ends);
            self.go_on(&mut link, next, place, &run.server).await?;
            if next == Next::Continue && ends.newest == Some(last) {
                self.purges.heard(checked);
            } else if next == Next::Continue && is_all {
                self.purges.heard(asked);
            }
            if std::mem::take(&mut place.is_told) {
                tracing::info!("purges of the cache are read again");
            }
            self.purges.tick(checked);
            if is_any && is_all {
                sleep(LINGER).await;
            }
        }
    }

    /// Takes what follows; then nothing is missing up to the place.
    async fn go_on(&self, link: &mut Link, next: Next, place: &mut Place, server: &str) -> Result<(), StoreError> {
        let counts = &self.purges.counts;
        let from = match (next, place.last) {
            (Next::Continue, Some(last)) => last,
            (Next::From(first), last) => {
                if last.is_some() {
                    counts.gaps.fetch_add(1, Relaxed);
                    tracing::warn!(%first, "the stream of purges has a hole; what was cached before it is not used");
                }
                self.purges.raise(first);
                first
            }
            (Next::Anew | Next::Continue, last) => {
                let id = link.begin_anew(self.purges.last(), server).await?;
                if last.is_some() {
                    counts.restarts.fetch_add(1, Relaxed);
                    tracing::warn!(%id, "the cache store has forgotten purges; nothing that was cached is used");
                }
                self.purges.raise(id);
                id
            }
        };
        // what was read beyond it counts as well
        place.last = place.last.max(Some(from));
        place.whole = place.last;
        Ok(())
    }

    /// The last id of what was read.
    fn apply(&self, entries: Vec<Entry>) -> Option<PurgeId> {
        let counts = &self.purges.counts;
        let strange = entries.iter().filter(|entry| !entry.reading.is_understood).count();
        counts.not_understood.fetch_add(strange as u64, Relaxed);
        let purges: Vec<(PurgeId, Purge)> = entries.into_iter().map(|entry| (entry.id, entry.reading.purge)).collect();
        counts.applied.fetch_add(purges.len() as u64, Relaxed);
        let last = purges.last().map(|(id, _)| *id);
        if last.is_some() {
            self.purges.apply(&purges);
        }
        last
    }
}

/// A pause before the next try.
async fn wait(pause: &mut Duration) {
    sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSE_MAX);
}
