//! Tiers: what a tenant pays for, by the name that the proxies' settings give a quota to.
//!
//! Invariant: a tier is a word; the table says whose is which, and no more.

use super::{Changed, Fleet, Refused, some_of};
use crate::{
    id::TenantId,
    table::{Millis, Tenant},
};

/// Longest name of a tier.
pub const TIER_MAX: usize = 32;

/// Whether text can name a tier: 1 to 32 of `a-z 0-9 -`.
#[must_use]
pub fn is_tier(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=TIER_MAX).contains(&text.len()) && text.bytes().all(known)
}

impl Fleet {
    /// Gives tenants a tier, or takes theirs away; an entry that says nothing else leaves the list. Proxies whose settings
    /// do not know the tier limit its tenants as they do those without one.
    ///
    /// # Errors
    /// [`Refused::InvalidTier`]; [`Refused::Nothing`] if all of them have it already; [`Refused::Full`].
    pub fn set_tier(&self, tenants: &[TenantId], tier: Option<&str>, now: Millis) -> Result<Changed, Refused> {
        if let Some(invalid) = tier.filter(|tier| !is_tier(tier)) {
            return Err(Refused::InvalidTier(invalid.chars().take(TIER_MAX).collect()));
        }
        let mut after = self.clone();
        for tenant in tenants {
            let entry = after.tenants.entry(*tenant).or_default();
            entry.tier = tier.map(str::to_owned);
            if *entry == Tenant::default() {
                after.tenants.remove(tenant);
            }
        }
        let what = tier.map_or_else(|| "no tier".to_owned(), |tier| format!("the tier {tier}"));
        if after.tenants == self.tenants {
            return Err(Refused::Nothing(format!("{} has {what} already", some_of(tenants))));
        }
        self.finish(after, format!("{what} for {}", some_of(tenants)), vec![], now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{START, fleet, tenant};

    #[test]
    fn a_tier_comes_and_goes_and_leaves_no_empty_entry() {
        let before = Fleet { table: fleet(&[("weu", 2)]), tenants: crate::table::Tenants::new() };
        let names = [tenant("acme"), tenant("other")];
        let after = before.set_tier(&names, Some("enterprise"), START).unwrap().fleet;
        let tier = |fleet: &Fleet| fleet.tenants.get(&names[0]).and_then(|entry| entry.tier.clone());
        assert_eq!((tier(&after).as_deref(), after.tenants.len()), (Some("enterprise"), 2));
        assert!(after.version() > before.version());
        assert!(matches!(after.set_tier(&names, Some("enterprise"), START), Err(Refused::Nothing(_))));
        let gone = after.set_tier(&names[..1], None, START).unwrap().fleet;
        assert_eq!((tier(&gone), gone.tenants.len()), (None, 1));
        assert!(matches!(gone.set_tier(&names[..1], None, START), Err(Refused::Nothing(_))));
    }

    #[test]
    fn what_is_no_word_is_no_tier() {
        let before = Fleet { table: fleet(&[("weu", 2)]), tenants: crate::table::Tenants::new() };
        for invalid in ["", "Enterprise", "a b", "a\n", "ä", "${SECRET}", &"x".repeat(33)] {
            let refused = before.set_tier(&[tenant("acme")], Some(invalid), START);
            assert!(matches!(refused, Err(Refused::InvalidTier(_))), "{invalid:?} {refused:?}");
        }
    }
}
