//! What a breaker is told with every call, so that a reload changes the numbers and keeps the state.

/// The numbers of one breaker. Counts of 0 read as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// N: failures within the window that open it.
    pub failures: u32,
    /// W: length of the window, in milliseconds. Forgets what is older, in steps of a tenth.
    pub window_ms: u64,
    /// D: how long it stays open the first time, in milliseconds.
    pub open_ms: u64,
    /// Where the doubling of `open_ms` ends, in milliseconds.
    pub open_max_ms: u64,
    /// K: trials at a time while half-open, and successes that close it.
    pub trials: u32,
    /// Share of the requests in the window whose answers must have failed, in per mille, once there are
    /// [`RATIO_REQUESTS_MIN`](super::RATIO_REQUESTS_MIN) of them: of the upstream's for its breaker, of the tenant's for
    /// the tenant's own.
    pub ratio_per_mille: u32,
    /// Most tenants that one breaker keeps count of; 0: none has a breaker of its own.
    pub tenants_max: usize,
    /// How long the share of slots takes from 10 % to all after closing, in milliseconds; 0 is at once.
    pub recovery_ms: u64,
}

impl Default for Limits {
    /// 5 failures in 30 s, open for 30 s at first, 3 trials.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// What [`Default`] gives.
    pub const DEFAULT: Self = Self {
        failures: 5,
        window_ms: 30_000,
        open_ms: 30_000,
        open_max_ms: 300_000,
        trials: 3,
        ratio_per_mille: 100,
        tenants_max: 1_024,
        recovery_ms: 30_000,
    };
}
