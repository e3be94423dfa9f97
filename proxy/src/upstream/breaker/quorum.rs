//! Whose fault it is: the upstream's, or that of one tenant whose requests it cannot answer.
//!
//! A breaker that counts errors whoever caused them lets one tenant close the upstream to all. Here answers that fail
//! condemn the upstream only when several tenants saw them fail. Invariant: one tenant alone, whatever it sends,
//! never makes a quorum.

use super::Limits;

/// From this many requests in the window on, the share that failed counts and not only their number.
pub const RATIO_REQUESTS_MIN: u64 = 50;

/// Failing tenants that are always enough, however many are active.
const TENANTS_ENOUGH: u32 = 3;

/// Roughly how many different tenants there were, in 64 bits: linear counting (Whang, Vander-Zanden, Taylor: A
/// linear-time probabilistic counting algorithm, 1990).
///
/// Exact in practice up to a handful; two tenants share a bit with probability 1/64, which errs towards fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TenantSet(u64);

impl TenantSet {
    /// The set of one tenant, by the upper bits of its hash.
    pub(super) fn of(tenant: u64) -> Self {
        Self(1 << (tenant >> 58))
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[must_use]
    pub(super) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the tenant may be in it.
    pub(super) fn may_hold(self, tenant: u64) -> bool {
        self.0 & Self::of(tenant).0 != 0
    }

    /// How many tenants left these bits: `-64 ln(unset / 64)`, rounded. 266 means that many or more.
    pub(super) fn estimate(self) -> u32 {
        // all 64 set would be infinitely many
        let unset = f64::from(self.0.count_zeros().max(1));
        (-64.0 * (unset / 64.0).ln()).round() as u32
    }
}

/// What the window holds about an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub(super) requests: u64,
    pub(super) failures: Failures,
    pub(super) active: TenantSet,
}

/// Failures of one bucket, or of a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    pub(super) answers: u64,
    pub(super) transport: u64,
    /// Whose answers failed.
    pub(super) failing: TenantSet,
}

impl Failures {
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            transport: self.transport + other.transport,
            failing: self.failing.union(other.failing),
        }
    }
}

impl Evidence {
    /// Whether it is the upstream that fails.
    pub(super) fn condemns_upstream(&self, limits: &Limits) -> bool {
        let Failures { answers, transport, failing } = self.failures;
        // no request can make an upstream refuse connections
        transport >= u64::from(limits.failures.max(1))
            || is_failing(limits, answers, self.requests) && failing.estimate() >= quorum(self.active.estimate())
    }
}

/// Failing tenants that make the failure the upstream's own, among `active` ones.
fn quorum(active: u32) -> u32 {
    active.clamp(2, TENANTS_ENOUGH)
}

/// Whether that many failures are too many, of an upstream as of one tenant.
pub(super) fn is_failing(limits: &Limits, failures: u64, requests: u64) -> bool {
    let share_is_high = || 1_000 * failures >= u64::from(limits.ratio_per_mille) * requests;
    failures >= u64::from(limits.failures.max(1)) && (requests < RATIO_REQUESTS_MIN || share_is_high())
}
