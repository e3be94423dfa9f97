//! Health: what is asked whether it is well, and which real answers tell that it is not.
//!
//! Invariant: nobody waits for a probe longer than until the next one: `timeout` is at most `interval`.

use std::time::Duration;

/// How often a target is asked, and how many answers in a row decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// From one probe to the next, before jitter.
    pub interval: Duration,
    /// How long an answer may take; at most `interval`.
    pub timeout: Duration,
    /// Good answers in a row that make a target healthy.
    pub healthy: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy: u32,
}

/// `[upstreams.NAME.health_check]`: each endpoint of an app is asked for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for; starts with a slash, without query.
    pub path: String,
    /// How often, and what decides.
    pub probing: Probing,
}

/// `[upstreams.NAME.outliers]`: endpoints whose real answers fail are left out for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// Gateway errors in a row, all within `window`, that eject an endpoint.
    pub failures: u32,
    /// How far back they may lie.
    pub window: Duration,
    /// How long it is left out, times how often that happened.
    pub ejection: Duration,
    /// The longest that it is left out in a row; at least `ejection`.
    pub ejection_max: Duration,
}
