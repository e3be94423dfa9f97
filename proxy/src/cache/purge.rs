//! Which cached responses have been purged.
//!
//! Every purge has an id that only grows. An entry keeps the id that was the last when its fetch began, and is valid if no
//! later purge covers it. All workers ask one [`Purges`]; it is told by the stream in the stamp's Redis, and at
//! once by unsafe requests of its own process ([`Purges::mark_key`]).
//!
//! Invariant: what is not known counts as purged. A hole in the stream, a full map, an entry from before either: not valid.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

pub use synaxis_routing::purge::{InvalidTag, Kind, Purge, PurgeId, Scope, Tag};
use synaxis_routing::{id::TenantId, table::Millis};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

mod counts;
mod local;
mod map;
mod marks;
pub mod ownership;
pub mod stream;
#[cfg(test)]
mod tests;

pub use counts::Counts;
use local::Local;
use map::Map;
use ownership::{Ownership, Seen};

/// So long the stream may be silent before what it would have said counts.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A tag as entries keep it: the same in every process and build. Two tags may share one, and are then purged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagHash(u64);

impl TagHash {
    /// Of a tag.
    #[must_use]
    pub fn of(tag: &Tag) -> Self {
        Self(xxh3_64(tag.as_str().as_bytes()))
    }

    /// As a number, to be written down.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From [`to_bits`](Self::to_bits).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// What is asked about: one entry.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Its class.
    pub class: &'a str,
    /// Host, and port where the request named one, in lower case.
    pub authority: &'a str,
    /// Path and query as requested.
    pub path: &'a str,
    /// Its tags.
    pub tags: &'a [TagHash],
}

/// What purges say of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use]
pub enum Verdict {
    /// Nothing.
    Valid,
    /// Stale since: stale-while-revalidate and stale-if-error may use it.
    Soft,
    /// Not to be used for anything, nor are its validators.
    Hard,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Purged keys, tags and prefixes of all tenants; beyond it, the tenants with the most are purged as a whole. About
    /// 100 bytes each.
    pub marks_max: usize,
    /// Tenants with purges; beyond it, everything is purged that is older than the newest purges of half of them.
    pub tenants_max: usize,
    /// Unsafe requests whose purge is not in the stream yet, in bytes of their targets; beyond it, their whole tenant waits.
    pub awaited_bytes_max: usize,
    /// The longest that any entry may be used, from the beginning of its fetch: TTL, stale windows and the longest fetch.
    /// Purges are forgotten after it.
    pub entry_life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            marks_max: 100_000,
            tenants_max: 16_384,
            awaited_bytes_max: 4 << 20,
            entry_life: Duration::from_secs(24 * 3_600),
        }
    }
}

/// The purges that a process knows.
pub struct Purges {
    /// There is no stream: this process numbers its own purges.
    is_alone: bool,
    started: Instant,
    /// The last id of the stream, [`PurgeId::to_bits`].
    last: AtomicU64,
    version: AtomicU64,
    map: Map,
    local: Local,
    ownership: Ownership,
    /// Nanoseconds since `started` at which the stream was last known to its end, plus one.
    heard: AtomicU64,
    counts: Counts,
}

impl Purges {
    /// Those of a process that reads a stream; cut off until it has: [`stream::Stream::run`]. `now` is where its clock starts.
    #[must_use]
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self::build(limits, now, false)
    }

    /// Those of a process without a Redis: it only knows its own.
    #[must_use]
    pub fn alone(limits: Limits, now: Instant) -> Self {
        Self::build(limits, now, true)
    }

    fn build(limits: Limits, now: Instant, is_alone: bool) -> Self {
        Self {
            is_alone,
            started: now,
            last: AtomicU64::new(0),
            version: AtomicU64::new(1),
            map: Map::new(limits),
            local: Local::new(limits.awaited_bytes_max),
            ownership: Ownership::default(),
            heard: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// The last purge that took effect here: what an entry whose fetch (or revalidation) begins now keeps. One load.
    #[must_use]
    pub fn last(&self) -> PurgeId {
        PurgeId::from_bits(self.last.load(Acquire))
    }

    /// Changes with everything that may change a verdict: an entry whose last verdict was `Valid` at this version needs no
    /// new one. To be read before the verdict. Never 0. One load.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Entries from before it are not valid, whatever they are.
    #[must_use]
    pub fn floor(&self) -> PurgeId {
        self.map.floor()
    }

    /// What is to be done with an entry that keeps `began`. Also to be asked when a follower attaches to a fill.
    ///
    /// An entry from after [`last`](Self::last), of a process that is ahead of this one, is not valid here yet.
    pub fn verdict(&self, subject: &Subject<'_>, began: PurgeId) -> Verdict {
        if began > self.last() || self.local.is_all_awaited() {
            return Verdict::Hard;
        }
        self.map.verdict(subject, began)
    }

    /// Takes every variant of a resource out of use in this process at once, before anybody is told of the change to it, and
    /// in all others as soon as the stream has it. `authority` in lower case.
    pub fn mark_key(&self, tenant: &TenantId, authority: &str, path: &str) {
        self.mark(Scope::Key { tenant: *tenant, authority: authority.into(), path: path.into() });
    }

    /// The same of everything of a tenant with this tag.
    pub fn mark_tag(&self, tenant: &TenantId, tag: Tag) {
        self.mark(Scope::Tag { tenant: *tenant, tag });
    }

    /// The same of everything of a tenant.
    pub fn mark_tenant(&self, tenant: &TenantId) {
        self.mark(Scope::Tenant(*tenant));
    }

    /// Takes everything out of use in this process for which the app was asked before `at`, in milliseconds on this host's
    /// clock. Others are told nothing.
    pub fn forget_before(&self, at: Millis) {
        self.ownership.forget_before(at);
        self.changed();
    }

    /// Looks at which tenants belong to this stamp by the table that it has from now on, or still has: see [`Seen`]. `now` is
    /// the store's clock, `host` this host's. One caller at a time.
    pub fn look_at_owners(&self, before: Option<Seen<'_>>, after: Seen<'_>, now: Millis, host: Millis) {
        self.ownership.look(before, after, now, host);
        self.changed();
    }

    /// From when on answers to a tenant have been this stamp's to keep, on this host's clock: for which the app was asked before
    /// that are not used. In the future: nobody looks or keeps yet.
    #[must_use]
    pub fn used_from(&self, tenant: &TenantId) -> Millis {
        self.ownership.used_from(tenant)
    }

    fn mark(&self, scope: Scope) {
        self.counts.marks.fetch_add(1, Relaxed);
        if self.is_alone {
            let _ = self.purge_alone(&Purge::hard(scope));
            return;
        }
        self.local.mark(&self.map, scope);
        self.changed();
    }

    /// Purges in a process without a Redis, and says the id; `None`: there is one, and it has to number the purge.
    pub fn purge_alone(&self, purge: &Purge) -> Option<PurgeId> {
        if !self.is_alone {
            return None;
        }
        let id = PurgeId::from_bits(self.last.fetch_add(1, AcqRel) + 1);
        self.map.apply(id, purge, &self.counts);
        self.changed();
        Some(id)
    }

    /// Whether the stream has not been heard for [`SILENCE_MAX`]: bypass what others may have written, use no own entry older
    /// than 5 s. A process without a Redis is never cut off.
    #[must_use]
    pub fn is_cut_off(&self, now: Instant) -> bool {
        self.silent_for(now).is_none_or(|silence| silence > SILENCE_MAX)
    }

    /// How long ago the stream was last known to its end; `None`: never yet.
    #[must_use]
    pub fn silent_for(&self, now: Instant) -> Option<Duration> {
        if self.is_alone {
            return Some(Duration::ZERO);
        }
        let heard = Duration::from_nanos(self.heard.load(Acquire).checked_sub(1)?);
        Some(now.saturating_duration_since(self.started).saturating_sub(heard))
    }

    /// Forgets what no entry can be old enough for. To be called about once a second.
    pub fn tick(&self, now: Instant) {
        if self.map.tick(now, self.last()) {
            self.changed();
        }
    }

    /// What happened since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether the stream does not have everything yet that this process has taken out of use.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.local.is_waiting()
    }

    /// What is remembered at present.
    #[must_use]
    pub fn held(&self) -> Held {
        let (marks, tenants) = self.map.held();
        Held { marks, tenants, awaited_bytes: self.local.bytes() }
    }

    /// Purges of the stream, in its order; `now` counts from the same start as everywhere.
    fn apply(&self, purges: &[(PurgeId, Purge)]) {
        for (id, purge) in purges {
            self.map.apply(*id, purge, &self.counts);
        }
        // a fetch that begins from now on is later than all of them, and only now
        if let Some((last, _)) = purges.last() {
            self.last.fetch_max(last.to_bits(), AcqRel);
        }
        self.changed();
    }

    /// What is to be written to the stream, at most this many.
    fn take(&self, most: usize) -> Vec<Scope> {
        self.local.take(&self.map, most)
    }

    /// What was taken is in the stream, under these ids.
    fn arrived(&self, purges: &[(PurgeId, Purge)]) {
        for (id, purge) in purges {
            self.map.apply(*id, purge, &self.counts);
            self.local.arrived(&self.map, &purge.scope);
        }
        self.counts.appended.fetch_add(purges.len() as u64, Relaxed);
        self.changed();
    }

    /// Whether the stream has what was taken is not known.
    fn put_back(&self, scope: Scope) {
        self.local.put_back(&self.map, scope);
    }

    /// Nothing from before `id` is valid any more.
    fn raise(&self, id: PurgeId) {
        self.map.raise(id);
        self.last.fetch_max(id.to_bits(), AcqRel);
        self.changed();
    }

    /// The stream was known to its end at `then`.
    fn heard(&self, then: Instant) {
        let since = then.saturating_duration_since(self.started).as_nanos();
        self.heard.fetch_max(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, AcqRel);
    }

    fn changed(&self) {
        self.version.fetch_add(1, Release);
    }
}

/// What is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Purged keys, tags and prefixes.
    pub marks: usize,
    /// Tenants that have any, or are purged as a whole.
    pub tenants: usize,
    /// Targets of unsafe requests that the stream has not got yet.
    pub awaited_bytes: usize,
}

/// A resource in a tenant's marks. Two that share a hash are purged together.
fn key_hash(authority: &str, path: &str) -> u64 {
    xxh3_64_with_seed(path.as_bytes(), xxh3_64(authority.as_bytes()))
}
