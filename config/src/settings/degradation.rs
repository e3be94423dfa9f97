//! `[dependencies.NAME]` and `[degradation]`: what the app leans on, and what is given up when that fails.

use std::{path::PathBuf, time::Duration};

use super::{ProbeUrl, Probing};

/// One of `[dependencies.NAME]`: something that the apps of this stamp lean on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Unique; a label of logs and metrics.
    pub name: String,
    /// How it is known to be well.
    pub watched: Watched,
    /// The level that this stamp is at while it is not.
    pub on_failure: DegradationLevel,
}

/// How a dependency is known to be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// It is asked.
    Probe(Probe),
    /// While the breaker of an upstream is not open. Position in [`Settings::upstreams`](super::Settings::upstreams).
    Breaker(usize),
}

/// How a dependency is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whom to ask, and how.
    pub url: ProbeUrl,
    /// A slower answer is a failure; at most the timeout. `None`: any answer in time is good.
    pub latency_max: Option<Duration>,
    /// How often, and what decides.
    pub probing: Probing,
}

/// How much is given up; a higher level includes what the lower ones give up. Nothing is, when no dependency fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DegradationLevel {
    /// Routes of class `ai` answer 503 `ai_degraded`.
    AiDegraded = 1,
    /// Shared caches are bypassed, and limits fall to the shares of single proxies.
    CacheDegraded = 2,
    /// Only safe methods pass (RFC 9110 §9.2.1); others get 503 `read_only`.
    ReadOnly = 3,
    /// Everything gets 503 `maintenance`.
    Maintenance = 4,
}

impl DegradationLevel {
    /// Every level, the mildest first.
    pub const ALL: [Self; 4] = [Self::AiDegraded, Self::CacheDegraded, Self::ReadOnly, Self::Maintenance];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiDegraded => "ai-degraded",
            Self::CacheDegraded => "cache-degraded",
            Self::ReadOnly => "read-only",
            Self::Maintenance => "maintenance",
        }
    }
}

/// `[degradation]`: how levels are left and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// How long everything is healthy before a level is left; one is entered at once.
    pub leave: Duration,
    /// What `Retry-After` says to whom a level refuses; whole seconds there, rounded up.
    pub retry_after: Duration,
    /// Whether answers carry the level as `x-synaxis-degradation`.
    pub header: bool,
    /// File of the page that browsers get in maintenance. Not touched by loading the settings. `None`: a built-in page.
    pub page: Option<PathBuf>,
}
