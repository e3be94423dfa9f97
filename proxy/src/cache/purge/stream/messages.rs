//! The platform's own word of a change: `{"tenant": …, "object": …}` on the channel `invalidation` purges the tag `object`.
//!
//! Every process hears it and writes a purge of its own: one that has missed the message reads it in the stream. A message
//! that nobody has heard is lost, as it is for everybody who listens to a channel.
//!
//! Invariant: what is no such message changes nothing.

use std::{borrow::Cow, sync::atomic::Ordering::Relaxed};

use serde::Deserialize;
use synaxis_routing::{id::TenantId, purge::PurgeStore};

use super::{super::Tag, PAUSE_MIN, Purges, wait};

/// Longest message in bytes.
const BYTES_MAX: usize = 4 << 10;

/// A message; what else it has is ignored.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
}

fn read(bytes: &[u8]) -> Option<(TenantId, Tag)> {
    // serde would take a list of two as well
    if bytes.len() > BYTES_MAX || bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let Message { tenant, object } = serde_json::from_slice(bytes).ok()?;
    Some((TenantId::parse(tenant.as_bytes()).ok()?, Tag::parse(object.as_bytes()).ok()?))
}

pub(super) async fn run(purges: &Purges, store: &PurgeStore) {
    let mut pause = PAUSE_MIN;
    loop {
        if let Ok(mut messages) = store.invalidations().await {
            pause = PAUSE_MIN;
            while let Some(message) = messages.next().await {
                hear(purges, &message);
            }
        }
        wait(&mut pause).await;
    }
}

fn hear(purges: &Purges, bytes: &[u8]) {
    match read(bytes) {
        Some((tenant, tag)) => {
            purges.mark_tag(&tenant, tag);
            purges.counts.messages.fetch_add(1, Relaxed);
        }
        None => {
            purges.counts.messages_refused.fetch_add(1, Relaxed);
        }
    }
}
