//! A kept answer.
//!
//! Invariant: it never changes but for what is remembered of the last look at the purges. What is learned later, as by a
//! 304, makes another one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use synaxis_routing::{id::TenantId, purge::PurgeId};

use super::{
    freshness::{Millis, Terms},
    key::Key,
    purge::{Purges, Subject, TagHash, Verdict},
};

/// Bytes that an answer takes besides its key, fields and body: its own structures and its place in the store.
const OVERHEAD: usize = 640;
/// The same of each field: its place in the map, and what its name and value are kept in.
const FIELD: usize = 160;
/// A body takes this part of its bytes again: the allocator has eight sizes from one power of two to the next, and keeps
/// places of one size apart from those of another.
const ROUNDING: usize = 8;

/// Everything of an answer but its body.
#[derive(Debug)]
pub struct Meta {
    /// The whole key.
    pub key: Key,
    /// Whose it is.
    pub tenant: TenantId,
    /// The class that it is kept by.
    pub class: Arc<str>,
    /// Status.
    pub status: StatusCode,
    /// Fields, without those of one connection.
    pub headers: HeaderMap,
    /// For how long it may be used.
    pub terms: Terms,
    /// The last purge that was known when its fetch began.
    pub began: PurgeId,
    /// What it may be purged by.
    pub tags: Box<[TagHash]>,
    valid: AtomicU64,
    /// When it was first found to be purged softly; 0: never.
    soft: AtomicU64,
}

impl Meta {
    /// Everything of an answer but its body.
    #[must_use]
    pub fn new(
        (key, tenant, class): (Key, TenantId, Arc<str>),
        (status, headers): (StatusCode, HeaderMap),
        (terms, began, tags): (Terms, PurgeId, Box<[TagHash]>),
    ) -> Self {
        Self {
            key,
            tenant,
            class,
            status,
            headers: alone(headers),
            terms,
            began,
            tags,
            valid: AtomicU64::new(0),
            soft: AtomicU64::new(0),
        }
    }

    /// What purges say of it.
    pub fn verdict(&self, purges: &Purges) -> Verdict {
        let version = purges.version();
        if self.valid.load(Relaxed) == version {
            return Verdict::Valid;
        }
        if self.terms.asked() < purges.used_from(&self.tenant) {
            return Verdict::Hard;
        }
        let subject = Subject {
            tenant: &self.tenant,
            class: &self.class,
            authority: self.key.authority(),
            path: self.key.target(),
            tags: &self.tags,
        };
        let verdict = purges.verdict(&subject, self.began);
        if verdict == Verdict::Valid {
            self.valid.store(version, Relaxed);
        }
        verdict
    }

    /// Since when it is known to be purged softly; from `now` on if it was not.
    #[must_use]
    pub fn softened(&self, now: Millis) -> Millis {
        match self.soft.compare_exchange(0, now, Relaxed, Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        }
    }

    fn bytes(&self) -> usize {
        let fields: usize = self.headers.iter().map(|(name, value)| FIELD + name.as_str().len() + value.len()).sum();
        OVERHEAD + self.key.as_bytes().len() + fields + self.tags.len() * size_of::<TagHash>()
    }
}

/// The same fields in memory of their own. What was read from a connection shares the buffer that it was read into, which
/// may be a hundred times as large and would stay as long as one of them.
fn alone(mut headers: HeaderMap) -> HeaderMap {
    let bytes: Vec<u8> = headers.values().flat_map(HeaderValue::as_bytes).copied().collect();
    let bytes = Bytes::from(bytes.into_boxed_slice());
    let mut from = 0;
    for value in headers.values_mut() {
        let to = from + value.len();
        // what was a value is one
        if let Ok(own) = HeaderValue::from_maybe_shared(bytes.slice(from..to)) {
            *value = own;
        }
        from = to;
    }
    headers
}

/// A whole answer.
#[derive(Debug)]
pub struct Entry {
    /// Everything but its body.
    pub meta: Arc<Meta>,
    /// Its body.
    pub body: Bytes,
}

impl Entry {
    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = self.body.len();
        self.meta.bytes() + body + body / ROUNDING
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, SERVER, VIA};

    use super::*;

    #[test]
    fn what_is_kept_of_a_head_does_not_hold_the_buffer_it_came_in() {
        let mut buffer = vec![b' '; 64 << 10];
        buffer[..8].copy_from_slice(b"onetwo\xe4\"");
        let buffer = Bytes::from(buffer);
        let value = |range| HeaderValue::from_maybe_shared(buffer.slice(range)).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, value(0..3));
        headers.append(VIA, value(3..6));
        headers.append(VIA, value(0..0));
        headers.append(VIA, value(6..8));
        headers.insert(SERVER, HeaderValue::from_static("static"));
        assert!(!buffer.is_unique());
        let (before, after) = (headers.clone(), alone(headers));
        assert_eq!(after, before);
        drop(before);
        assert!(buffer.is_unique());
    }
}
