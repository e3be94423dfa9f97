//! Writes what this process has marked.
//!
//! Invariant: a mark is taken away only after its id has taken effect; one whose answer is lost is written again.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use synaxis_routing::purge::{Link, PurgeStore, StoreError};
use tokio::time::sleep;

use super::{PAUSE_MIN, Purge, Purges, wait};

/// So long marks of one target are one purge.
const COALESCE: Duration = Duration::from_millis(10);
/// Purges of one trip.
const BATCH: usize = 512;

pub(super) async fn run(purges: &Purges, store: &PurgeStore) {
    let (mut link, mut pause) = (None, PAUSE_MIN);
    loop {
        purges.local.came.notified().await;
        sleep(COALESCE).await;
        loop {
            let scopes = purges.take(BATCH);
            if scopes.is_empty() {
                break;
            }
            let batch: Vec<Purge> = scopes.into_iter().map(Purge::hard).collect();
            match append(&mut link, store, &batch).await {
                Ok(ids) => {
                    pause = PAUSE_MIN;
                    purges.arrived(&ids.into_iter().zip(batch).collect::<Vec<_>>());
                }
                Err(error) => {
                    purges.counts.append_failures.fetch_add(1, Relaxed);
                    tracing::debug!(%error, "purges of the cache cannot be written; they are kept");
                    link = None;
                    batch.into_iter().for_each(|purge| purges.put_back(purge.scope));
                    wait(&mut pause).await;
                }
            }
        }
    }
}

async fn append(
    link: &mut Option<Link>,
    store: &PurgeStore,
    batch: &[Purge],
) -> Result<Vec<super::PurgeId>, StoreError> {
    let link = match link {
        Some(link) => link,
        None => link.insert(store.connect().await?),
    };
    link.append(batch).await
}
