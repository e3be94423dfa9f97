//! Who is admitted: the dynamic threshold of shared-memory switches, applied to requests in flight.
//!
//! Of C places `total` are taken and `free = C - total`; the tenant that asks holds `held` of them.
//!
//! 1. No place is free: refused, [`Refused::Full`].
//! 2. A tenant that holds none is admitted.
//! 3. A tenant is admitted while `held < 4 · free`, and while `held` is below its cap, `tenant_share_max` of C:
//!    otherwise [`Refused::TenantShare`]. A tenant alone takes 80 % of C; as others take places, the threshold falls
//!    and it is refused until enough of its requests have ended.
//! 4. The last 5 % of C (rounded down) are for tenants that hold none: otherwise [`Refused::Reserve`].
//!
//! # What all others can count on, whatever one tenant offers
//!
//! Let the noisy tenant hold q, all others together o, the cap ⌊4C/5⌋ (a share of 80 %), C ≥ 2, R = ⌊C/20⌋.
//!
//! - **The room is there.** Rule 3 stops the noisy tenant at q ≤ ⌊4C/5⌋, so while o < ⌈C/5⌉
//!   total = q + o < ⌊4C/5⌋ + ⌈C/5⌉ = C: never `Full`.
//! - **The threshold lets them in.** Outside the reserve free ≥ R + 1 > C/20, so 4 · free > C/5, and a whole number
//!   above C/5 is ≥ ⌈C/5⌉. Whichever of the others asks holds ≤ o < ⌈C/5⌉ ≤ 4 · free (and less than ⌊4C/5⌋, as
//!   ⌈C/5⌉ ≤ ⌊4C/5⌋): never `TenantShare`.
//! - **The reserve** alone can refuse, and only a tenant that holds some already: when free ≤ R, thus
//!   o ≥ C − R − ⌊4C/5⌋ = ⌈C/5⌉ − R.
//!
//! So the first 20 % of C that all others ask together is always there: the first 15 % for whoever asks, the last
//! 5 % one request for each tenant. With a share of 75 % all 20 % are for whoever asks, and 5 % more for
//! tenants that hold none: ⌊3C/4⌋ + ⌈C/5⌉ − 1 < 19C/20 ≤ C − R, the reserve is not reached. A smaller share leaves
//! more room and caps each of the others as well. A limit of one place can promise nothing.
//!
//! Beyond that the noisy tenant is admitted again only once 5q < 4(C − o): it shrinks at the rate at which its
//! requests end. With n greedy tenants each settles at 4C / (1 + 4n), up to n = 4. More of them meet the reserve and
//! share 95 % of C first come first served; there the threshold is a fifth of C, and newcomers find the last 5 %.
//!
//! Source: A. K. Choudhury, E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
//! IEEE/ACM Transactions on Networking 6(2), 1998, with α = 4.

use std::{error, fmt};

/// Places that a tenant may hold for each free one: the α of the paper.
const PLACES_PER_FREE: u32 = 4;

/// One place in so many is reserved for tenants that hold none: 5 %.
const RESERVED_ONE_IN: u32 = 20;

/// How many requests may be in flight, and how many of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    in_flight_max: u32,
    tenant_max: u32,
}

impl Limits {
    /// `in_flight_max` places, of which one tenant gets the share `tenant_share_max` (0 to 1, thousandths count,
    /// rounded down to places) and at least one. Zero places refuse everything.
    #[must_use]
    pub fn new(in_flight_max: u32, tenant_share_max: f64) -> Self {
        // Thousandths first: 0.29 of 100 are 29 places, in floating point 28.
        let thousandths = (tenant_share_max.clamp(0.0, 1.0) * 1_000.0).round() as u64;
        let tenant_max = u64::from(in_flight_max) * thousandths / 1_000;
        Self { in_flight_max, tenant_max: u32::try_from(tenant_max).unwrap_or(in_flight_max).max(1) }
    }

    /// Requests in flight at most, of all tenants.
    #[must_use]
    pub fn in_flight_max(&self) -> u32 {
        self.in_flight_max
    }

    /// Requests in flight at most of one tenant, however many places are free.
    #[must_use]
    pub fn tenant_max(&self) -> u32 {
        self.tenant_max
    }

    /// May a tenant that holds `held` of the `total` places taken have one more?
    pub(super) fn judge(&self, total: u32, held: u32) -> Result<(), Refused> {
        // After a reload to a smaller limit the total may be above it.
        let free = self.in_flight_max.saturating_sub(total);
        if free == 0 {
            return Err(Refused::Full { in_flight: total, in_flight_max: self.in_flight_max });
        }
        if held == 0 {
            return Ok(());
        }
        let reserve = self.in_flight_max / RESERVED_ONE_IN;
        // Inside the reserve the threshold stays as at its edge, so that who holds little is told the true reason.
        let threshold = PLACES_PER_FREE.saturating_mul(free.max(reserve + 1));
        let allowed = threshold.min(self.tenant_max);
        if held >= allowed {
            return Err(Refused::TenantShare { held, allowed });
        }
        if free <= reserve {
            return Err(Refused::Reserve { held, free });
        }
        Ok(())
    }
}

/// Why a request was refused: a rule and the numbers that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Every place is taken.
    Full {
        /// Requests in flight, of all tenants.
        in_flight: u32,
        /// The limit.
        in_flight_max: u32,
    },
    /// The tenant holds all that the places left free, or its share, allow it.
    TenantShare {
        /// Requests in flight of the tenant.
        held: u32,
        /// Requests that it may have in flight at the moment.
        allowed: u32,
    },
    /// What is free is reserved for tenants with no request in flight.
    Reserve {
        /// Requests in flight of the tenant.
        held: u32,
        /// Places that are free.
        free: u32,
    },
}

impl Refused {
    /// The name of the rule, for logs and as a label of metrics.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::TenantShare { .. } => "tenant_share",
            Self::Reserve { .. } => "reserve",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { in_flight, in_flight_max } => {
                write!(f, "{in_flight} requests are in flight and the limit is {in_flight_max}")
            }
            Self::TenantShare { held, allowed } => {
                write!(f, "the tenant has {held} requests in flight and may have {allowed} at this load")
            }
            Self::Reserve { held, free } => {
                write!(f, "the last {free} places are for tenants with no request in flight and this tenant has {held}")
            }
        }
    }
}

impl error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_counted_in_whole_places_and_is_at_least_one() {
        for (places, share, expected) in [
            (100, 0.8, 80),
            (100, 0.29, 29),
            (21, 0.8, 16),
            (19, 0.8, 15),
            (3, 0.8, 2),
            (1, 0.8, 1),
            (10, 0.0, 1),
            (10, -1.0, 1),
            (10, f64::NAN, 1),
            (10, 7.0, 10),
            (u32::MAX, 1.0, u32::MAX),
            (0, 0.8, 1),
        ] {
            assert_eq!(Limits::new(places, share).tenant_max(), expected, "{share} of {places}");
        }
    }

    #[test]
    fn a_limit_of_zero_refuses_everybody_and_the_largest_does_not_overflow() {
        assert_eq!(Limits::new(0, 0.8).judge(0, 0).unwrap_err().rule(), "full");
        let largest = Limits::new(u32::MAX, 1.0);
        assert_eq!(largest.judge(0, 0), Ok(()));
        assert_eq!(largest.judge(u32::MAX - 1, 0), Ok(()));
        assert_eq!(largest.judge(u32::MAX, u32::MAX).unwrap_err().rule(), "full");
    }

    /// The arithmetic above, for every state in which one tenant holds what it can and the others less than a fifth.
    #[test]
    fn the_first_fifth_is_there_for_all_others_in_every_state() {
        for places in 2..=130_u32 {
            let limits = Limits::new(places, 0.8);
            let strict = Limits::new(places, 0.75);
            let fifth = places.div_ceil(5);
            for others in 0..fifth {
                for held in 0..=others {
                    for noisy in 0..=places * 4 / 5 {
                        let verdict = limits.judge(noisy + others, held);
                        if others < fifth - places / 20 || held == 0 {
                            assert_eq!(verdict, Ok(()), "{places} places, {noisy} + {others}, {held} held");
                        }
                        if noisy <= places * 3 / 4 && held < strict.tenant_max() {
                            let verdict = strict.judge(noisy + others, held);
                            assert_eq!(verdict, Ok(()), "{places} places, {noisy} + {others}, {held} held");
                        }
                    }
                }
            }
        }
    }

    /// The rule as it is written in books, without regard to which reason is given.
    #[test]
    fn the_verdict_is_the_dynamic_threshold_with_a_cap_and_a_reserve() {
        for places in 0..=60_u32 {
            for share in [0.05, 0.2, 0.5, 0.75, 0.8, 1.0] {
                let limits = Limits::new(places, share);
                for total in 0..=places + 3 {
                    for held in 0..=total {
                        let free = i64::from(places) - i64::from(total);
                        let admitted = free > 0
                            && i64::from(held) < (4 * free).max(1)
                            && held < limits.tenant_max()
                            && (held == 0 || free > i64::from(places / 20));
                        assert_eq!(limits.judge(total, held).is_ok(), admitted, "{limits:?} {total} {held}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_the_rule_and_its_numbers() {
        let limits = Limits::new(100, 0.8);
        for (total, held, rule, message) in [
            (100, 0, "full", "100 requests are in flight and the limit is 100"),
            (80, 80, "tenant_share", "the tenant has 80 requests in flight and may have 80 at this load"),
            (90, 40, "tenant_share", "the tenant has 40 requests in flight and may have 40 at this load"),
            (99, 75, "tenant_share", "the tenant has 75 requests in flight and may have 24 at this load"),
            (97, 5, "reserve", "the last 3 places are for tenants with no request in flight and this tenant has 5"),
        ] {
            let refused = limits.judge(total, held).unwrap_err();
            assert_eq!((refused.rule(), refused.to_string().as_str()), (rule, message));
        }
    }
}
