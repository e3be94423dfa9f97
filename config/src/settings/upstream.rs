//! Who serves requests, apps of this stamp and peers in other stamps: what keeps each from being overrun, and how often a
//! request is tried.
//!
//! Invariant: a cap lets at least one request through, and the first attempt is never forbidden.

use std::time::Duration;

use super::{Breaker, HealthCheck, HttpEndpoint, Outliers, Probing};

/// One of `[upstreams.NAME]`: an app of this stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Unique; a label of logs and metrics.
    pub name: String,
    /// Where it listens; at least one, all different.
    pub endpoints: Vec<HttpEndpoint>,
    /// Idle connections that a worker keeps for reuse, over all endpoints.
    pub idle_max: usize,
    /// What keeps it from being overrun; in this section itself.
    pub protection: Protection,
    /// Asks each endpoint whether it is well. `None`: nobody asks, only real answers tell.
    pub health_check: Option<HealthCheck>,
    /// Which endpoints are left out for their answers.
    pub outliers: Outliers,
}

/// What keeps a target from being overrun: an app over all its endpoints, or one peer stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Protection {
    /// Requests in flight at a time; at least 1. A further one is refused at once with 503 `concurrency`.
    pub in_flight_max: usize,
    /// Most of them that one tenant may have: a share above 0, up to 1.
    pub tenant_share_max: f64,
    /// When it is left alone.
    pub breaker: Breaker,
    /// Over how long a target that comes back gets its full share again.
    pub recovery: Duration,
}

/// `[peers]`: how this proxy treats each other stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// What keeps each from being overrun; in this section itself.
    pub protection: Protection,
    /// How each one's peer listener is asked for `/health`.
    pub health_check: Probing,
}

/// `[retries]`: how often and how soon a request is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// Attempts of one request, the first among them, 1 to 10. 1: it is never tried again.
    pub attempts_max: u32,
    /// Wait before the second attempt, before jitter; twice as long before each further one.
    pub backoff: Duration,
    /// The longest wait; at least `backoff`.
    pub backoff_max: Duration,
    /// Share of the requests that may be tried again, 0 to 1, for each upstream.
    pub budget: f64,
    /// Retries a second that are allowed beside that share.
    pub budget_min: u32,
    /// Bytes of a request's body that are kept for another attempt.
    pub replay_bytes: usize,
}
