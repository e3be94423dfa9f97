//! `[cache]` and `[cache.classes.NAME]`: which answers are kept, for whom, and for how long.
//!
//! Invariant: an answer is only kept for a route that names a class, and one of a class per user only where users are told
//! apart. A preset is only where the numbers come from that are not written.

use std::time::Duration;

use super::{Secret, StoreUrl};

/// `[cache]`: what all classes have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// Most bytes of kept answers, their fields and keys included.
    pub memory: u64,
    /// The part of it that one tenant may fill, above 0 and up to 1.
    pub tenant_share: f64,
    /// How long a request waits for the answer that another one fetches, before one of those that wait fetches it too.
    pub collapse_wait: Duration,
    /// How long it is remembered that an answer was not to be kept, so that nobody waits for it.
    pub uncacheable: Duration,
    /// Whether answers of routes with a class carry `Cache-Status` (RFC 9211).
    pub status: bool,
    /// Whether an answer without `Cache-Control` gets `private, no-store`, so that no cache in front keeps it.
    pub default_no_store: bool,
    /// In the order of the file.
    pub classes: Vec<CacheClass>,
    /// Where the processes of a stamp share what they keep, and tell each other what is not to be used any more. `None`: each
    /// is alone.
    pub store: Option<CacheStore>,
}

/// `[cache.store]`: where the processes of a stamp share answers, and tell each other what is not to be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStore {
    /// A Redis of the stamp: `redis://` or `rediss://`.
    pub url: StoreUrl,
    /// First part of every key in it; 1 to 32 of a-z 0-9 -.
    pub key_prefix: String,
    /// What answers in it are signed with (HMAC-SHA256); only what is signed is read. `None`: whoever can write to it is trusted.
    pub key: Option<Secret>,
    /// How long a request waits for it before it asks the app.
    pub deadline: Duration,
    /// Largest answer that is written to it, its key and fields included, in bytes.
    pub value_bytes: u64,
    /// Most answers that wait to be written.
    pub queue_max: usize,
    /// Most bytes of them.
    pub queue_bytes: u64,
}

/// One of `[cache.classes.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheClass {
    /// Unique; a label of metrics.
    pub name: String,
    /// Where the numbers come from that the file does not write.
    pub preset: CachePreset,
    /// Longest that an answer is fresh in a process, whatever the app says.
    pub ttl: Duration,
    /// Longest that one is fresh in the store, from which a process takes it again. Zero: this class is not put there.
    pub store_ttl: Duration,
    /// How long one is fresh of which the app does not say it. `None`: it is not kept, unless `heuristic` says so.
    pub default_ttl: Option<Duration>,
    /// Whether an answer without a word about its time is fresh for a tenth of its age (RFC 9111 §4.2.2).
    pub heuristic: bool,
    /// How long a stale answer is given while it is fetched again, unless the app says otherwise (RFC 5861).
    pub stale_while_revalidate: Duration,
    /// How long a stale answer is given when the app fails, unless the app says otherwise (RFC 5861).
    pub stale_if_error: Duration,
    /// Largest body that is kept, in bytes.
    pub body_bytes: u64,
    /// Most answers of this class; `None`: only the memory bounds them.
    pub entries_max: Option<usize>,
    /// Whether each user has answers of his own.
    pub authorization: CacheAuthorization,
    /// Whether `Cache-Control` of a request counts, such as `no-cache` (RFC 9111 §5.2.1).
    pub request_directives: bool,
}

/// What a request with credentials may be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheAuthorization {
    /// What RFC 9111 §3.5 allows a shared cache: only what the app says is for everybody.
    Rfc,
    /// Each user, with his credentials, has private answers; without a user nothing is kept.
    PerUser,
}

impl CacheAuthorization {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Rfc, Self::PerUser];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rfc => "rfc",
            Self::PerUser => "per-user",
        }
    }
}

/// A set of numbers for a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CachePreset {
    /// At most 60 s, and only what the app says is to be kept.
    Default,
    /// Definitions of objects: 50,000 of them for 60 s, and 5 minutes in the store.
    Metadata,
    /// What a user may do: 200,000 answers for 120 s, each one user's own.
    Permission,
    /// Compiled formulas: 100,000 for 300 s.
    Formula,
    /// How a job stands: 5 minutes.
    JobStatus,
    /// What a job has come to: 15 minutes.
    JobResult,
}

impl CachePreset {
    /// Every preset.
    pub const ALL: [Self; 6] =
        [Self::Default, Self::Metadata, Self::Permission, Self::Formula, Self::JobStatus, Self::JobResult];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Metadata => "metadata",
            Self::Permission => "permission",
            Self::Formula => "formula",
            Self::JobStatus => "job-status",
            Self::JobResult => "job-result",
        }
    }

    /// The class of this name without a key of its own.
    #[must_use]
    pub fn class(self, name: String) -> CacheClass {
        let (ttl, entries_max, authorization) = match self {
            Self::Default => (60, None, CacheAuthorization::Rfc),
            Self::Metadata => (60, Some(50_000), CacheAuthorization::Rfc),
            Self::Permission => (120, Some(200_000), CacheAuthorization::PerUser),
            Self::Formula => (300, Some(100_000), CacheAuthorization::Rfc),
            Self::JobStatus => (5 * 60, None, CacheAuthorization::Rfc),
            Self::JobResult => (15 * 60, None, CacheAuthorization::Rfc),
        };
        let ttl = Duration::from_secs(ttl);
        let store_ttl = if self == Self::Metadata { Duration::from_secs(5 * 60) } else { ttl };
        CacheClass {
            name,
            preset: self,
            ttl,
            store_ttl,
            default_ttl: (self != Self::Default).then_some(ttl),
            heuristic: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            body_bytes: 1 << 20,
            entries_max,
            authorization,
            request_directives: false,
        }
    }
}
