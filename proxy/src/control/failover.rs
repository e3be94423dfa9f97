//! Tells other stamps which of their tenants were written to here, and hears of this stamp's own.
//!
//! Invariant: the routing store may be away for any time: what is to be told waits for it, bounded, and what may have been missed
//! meanwhile is out of use in this process.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use synaxis_routing::{
    failover::{Notice, Place},
    id::StampId,
    store::{Store, StoreError},
};
use tokio::time::{sleep, timeout};

use super::{apply, leave, routing_table::jittered};
use crate::{cache::purge::ownership::SETTLES, dataplane::DataPlane, tasks};

/// Notices that are written at a time.
const BATCH: usize = 512;
/// Between two tries to tell: doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What comes in between goes together, and is read together.
const LINGER: Duration = Duration::from_millis(10);
/// Longest that the last words of a process take: the store may be gone.
const LAST: Duration = Duration::from_millis(500);
/// Hints that one look answers.
const HINTS_MAX: usize = 10_000;
/// Between two looks at who owns what, while stamps come and go.
const LOOK: Duration = Duration::from_secs(2);

/// Begins all of it.
pub(super) fn begin(plane: &Arc<DataPlane>, store: &Store) {
    tasks::spawn_local(tell(Arc::clone(plane), store.clone()));
    tasks::spawn_local(listen(Arc::clone(plane), store.clone()));
    tasks::spawn_local(watch(Arc::clone(plane)));
}

/// Tells what is left to be told, also what was cut off.
pub(super) async fn end(plane: &DataPlane, store: &Store) {
    leave::workers_gone(plane).await;
    let failover = &plane.cache.failover;
    let left = failover.outbox.take_all();
    if left.is_empty() || matches!(timeout(LAST, store.notify(&left)).await, Ok(Ok(()))) {
        failover.counts.told.fetch_add(left.len() as u64, Relaxed);
        return;
    }
    failover.counts.lost.fetch_add(left.len() as u64, Relaxed);
    tracing::warn!(notices = left.len(), "other stamps could not be told what was written here; theirs may be old");
}

async fn tell(plane: Arc<DataPlane>, store: Store) -> Infallible {
    let failover = &plane.cache.failover;
    let mut pause = PAUSE_MIN;
    loop {
        failover.outbox.due().await;
        sleep(LINGER).await;
        let batch: Vec<Notice> = failover.outbox.take(Instant::now(), BATCH);
        if batch.is_empty() {
            continue;
        }
        match store.notify(&batch).await {
            Ok(()) => {
                failover.outbox.arrived();
                failover.counts.told.fetch_add(batch.len() as u64, Relaxed);
                pause = PAUSE_MIN;
            }
            Err(error) => {
                if pause == PAUSE_MIN {
                    tracing::warn!(%error, "other stamps cannot be told what is written here; it is tried again");
                }
                failover.counts.tell_failures.fetch_add(1, Relaxed);
                failover.outbox.put_back(batch, Instant::now());
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn listen(plane: Arc<DataPlane>, store: Store) -> Infallible {
    let stamp = plane.snapshot.load().settings.stamp.id.clone();
    let mut hints = store.notice_hints(&stamp);
    let (mut place, mut is_away) = (None, false);
    loop {
        let snapshot = plane.snapshot.load_full();
        // nothing is kept: what is told until something is need not be known
        let keeps = !snapshot.classes.is_empty();
        let read = if keeps { read(&plane, &store, &stamp, &mut place).await } else { Ok(()) };
        if !keeps {
            place = None;
        }
        if let Err(error) = &read {
            plane.cache.failover.counts.read_failures.fetch_add(1, Relaxed);
            if !is_away {
                tracing::warn!(%error, "what is written elsewhere is not heard of; kept answers may be old until they end");
            }
        }
        is_away = read.is_err();
        let poll = snapshot.settings.routing.as_ref().map_or(PAUSE_MAX, |routing| routing.poll);
        drop(snapshot);
        tokio::select! {
            _ = hints.next() => {
                sleep(LINGER).await;
                for _ in 0..HINTS_MAX {
                    if timeout(Duration::ZERO, hints.next()).await.is_err() {
                        break;
                    }
                }
            }
            () = sleep(jittered(poll)) => {}
        }
    }
}

/// Reads up to the end.
async fn read(plane: &DataPlane, store: &Store, stamp: &StampId, place: &mut Option<Place>) -> Result<(), StoreError> {
    let (purges, counts) = (&plane.cache.purges, &plane.cache.failover.counts);
    loop {
        let page = store.notices(stamp, place.as_ref()).await?;
        if page.has_gap || page.everybody {
            // whatever the page does not say was said before its answer came
            purges.forget_before(plane.clock.host(Instant::now()));
        }
        if page.has_gap && place.is_some() {
            counts.gaps.fetch_add(1, Relaxed);
            tracing::warn!("what was written elsewhere may have been missed; what was kept before is not used");
        }
        page.tenants.iter().for_each(|tenant| purges.mark_tenant(tenant));
        counts.heard.fetch_add(page.tenants.len() as u64 + u64::from(page.everybody), Relaxed);
        counts.not_understood.fetch_add(page.not_understood, Relaxed);
        *place = Some(page.place);
        if page.is_end {
            return Ok(());
        }
    }
}

/// Notes which tenants are not this stamp's while that changes without another table.
async fn watch(plane: Arc<DataPlane>) -> Infallible {
    loop {
        sleep(LOOK).await;
        let snapshot = plane.snapshot.load_full();
        let Some(fleet) = &snapshot.fleet else { continue };
        let (now, settles) = (plane.clock.at(Instant::now()), SETTLES.as_millis() as u64);
        if fleet.placement.moves_between(now.saturating_sub(settles), now) {
            apply::look_at_owners(&plane, Some(fleet), fleet);
        }
    }
}
