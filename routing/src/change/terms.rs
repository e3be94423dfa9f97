//! What tenants pay for: their tier, and quotas of their own in place of the tier's.
//!
//! Invariant: every tenant that an edit names gets all of it, or none gets anything.

use synaxis_ratelimit::quota::Quota;

use super::{Changed, Fleet, Refused, join, some_of, tier};
use crate::{
    id::TenantId,
    limits::{LIMIT_NAME_MAX, TENANT_LIMITS_MAX, is_limit},
    table::{Millis, Tenant},
};

/// What becomes of tenants. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// `Some(None)` takes the tier away.
    pub tier: Option<Option<&'a str>>,
    /// Quotas by the name of their limit, each name once; `None` takes the tenants' own away.
    pub limits: Vec<(&'a str, Option<Quota>)>,
}

impl Terms<'_> {
    fn check(&self) -> Result<(), Refused> {
        if let Some(invalid) = self.tier.flatten().filter(|tier| !tier::is_tier(tier)) {
            return Err(Refused::InvalidTier(invalid.chars().take(tier::TIER_MAX).collect()));
        }
        for (at, (limit, _)) in self.limits.iter().enumerate() {
            if !is_limit(limit) {
                return Err(Refused::InvalidLimit(limit.chars().take(LIMIT_NAME_MAX).collect()));
            }
            if self.limits[..at].iter().any(|(above, _)| above == limit) {
                return Err(Refused::Invalid(format!("the limit {limit} is named twice")));
            }
        }
        Ok(())
    }

    fn give(&self, entry: &mut Tenant) {
        if let Some(tier) = self.tier {
            entry.tier = tier.map(str::to_owned);
        }
        for (limit, quota) in &self.limits {
            match quota {
                // a text of the same meaning stays as somebody wrote it
                Some(quota) if entry.limits.of(limit) == Some(*quota) => {}
                Some(quota) => entry.limits.set(limit, *quota),
                None => entry.limits.remove(limit),
            }
        }
    }

    fn words(&self) -> String {
        let tier = self.tier.map(|tier| tier.map_or_else(|| "no tier".to_owned(), |tier| format!("the tier {tier}")));
        let limits = self.limits.iter().map(|(limit, quota)| match quota {
            Some(quota) => format!("{limit} {quota}"),
            None => format!("{limit} like everybody"),
        });
        join(tier.into_iter().chain(limits))
    }
}

impl Fleet {
    /// Gives tenants a tier or quotas of their own, or takes theirs away; an entry that says nothing else leaves the list.
    /// Proxies whose settings do not know the tier or the limit go on as if it were not written.
    ///
    /// # Errors
    /// [`Refused::InvalidTier`], [`Refused::InvalidLimit`]; [`Refused::Invalid`] for a limit that is named twice;
    /// [`Refused::Nothing`] if all of them have it already; [`Refused::Full`].
    pub fn set_terms(&self, tenants: &[TenantId], terms: &Terms<'_>, now: Millis) -> Result<Changed, Refused> {
        terms.check()?;
        let mut after = self.clone();
        for tenant in tenants {
            let entry = after.tenants.entry(*tenant).or_default();
            terms.give(entry);
            if entry.limits.len() > TENANT_LIMITS_MAX {
                return Err(Refused::Full(format!("{TENANT_LIMITS_MAX} limits of the tenant {tenant}")));
            }
            if *entry == Tenant::default() {
                after.tenants.remove(tenant);
            }
        }
        let what = terms.words();
        if after.tenants == self.tenants {
            return Err(Refused::Nothing(format!("{} has {what} already", some_of(tenants))));
        }
        self.finish(after, format!("{what} for {}", some_of(tenants)), vec![], now)
    }

    /// [`set_terms`](Self::set_terms) of the tier alone.
    ///
    /// # Errors
    /// As there.
    pub fn set_tier(&self, tenants: &[TenantId], tier: Option<&str>, now: Millis) -> Result<Changed, Refused> {
        self.set_terms(tenants, &Terms { tier: Some(tier), ..Terms::default() }, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{START, fleet, tenant};

    fn before() -> Fleet {
        Fleet { table: fleet(&[("weu", 2)]), tenants: crate::table::Tenants::new() }
    }

    fn limits<'a>(limits: &[(&'a str, Option<&str>)]) -> Terms<'a> {
        let quota = |text: &str| text.parse().unwrap();
        let limits = limits.iter().map(|(limit, text)| (*limit, text.map(quota))).collect();
        Terms { tier: None, limits }
    }

    #[test]
    fn a_tier_comes_and_goes_and_leaves_no_empty_entry() {
        let before = before();
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
    fn quotas_come_change_and_go_and_leave_no_empty_entry() {
        let names = [tenant("acme"), tenant("other")];
        let of = |fleet: &Fleet| serde_json::to_string(&fleet.tenants).unwrap();
        let both = limits(&[("per-user", Some("500/60s,burst=20")), ("tenant", Some("5/h"))]);
        let changed = before().set_terms(&names[..1], &both, START).unwrap();
        assert_eq!(changed.summary, "per-user 500/min,burst=20, tenant 5/h for acme");
        let after = changed.fleet;
        assert_eq!(of(&after), r#"{"acme":{"limits":{"per-user":"500/min,burst=20","tenant":"5/h"}}}"#);
        assert!(matches!(after.set_terms(&names[..1], &both, START), Err(Refused::Nothing(_))));
        // what is not named stays, and one edit is one version
        let terms = Terms { tier: Some(Some("gold")), ..limits(&[("tenant", Some("6/h")), ("per-user", None)]) };
        let changed = after.set_terms(&names, &terms, START).unwrap();
        assert_eq!(changed.fleet.version(), after.version().next());
        assert_eq!(changed.summary, "the tier gold, tenant 6/h, per-user like everybody for acme, other");
        let entry = r#"{"tier":"gold","limits":{"tenant":"6/h"}}"#;
        assert_eq!(of(&changed.fleet), format!(r#"{{"acme":{entry},"other":{entry}}}"#));
        let gone = Terms { tier: Some(None), ..limits(&[("tenant", None)]) };
        assert_eq!(of(&changed.fleet.set_terms(&names, &gone, START).unwrap().fleet), "{}");
    }

    #[test]
    fn a_table_without_quotas_of_tenants_has_the_same_bytes_as_before_there_were_any() {
        let after = before().set_tier(&[tenant("acme")], Some("gold"), START).unwrap().fleet;
        let there_and_back = after.set_terms(&[tenant("acme")], &limits(&[("a", Some("5/s"))]), START).unwrap().fleet;
        let back = there_and_back.set_terms(&[tenant("acme")], &limits(&[("a", None)]), START).unwrap().fleet;
        for fleet in [after, back] {
            assert_eq!(serde_json::to_string(&fleet.tenants).unwrap(), r#"{"acme":{"tier":"gold"}}"#);
        }
    }

    #[test]
    fn what_is_no_word_is_no_tier_and_no_limit() {
        for invalid in ["", "Enterprise", "a b", "a\n", "ä", "${SECRET}", &"x".repeat(49)] {
            let refused = before().set_tier(&[tenant("acme")], Some(invalid), START);
            assert!(matches!(refused, Err(Refused::InvalidTier(_))), "{invalid:?} {refused:?}");
            for quota in [Some("5/s"), None] {
                let refused = before().set_terms(&[tenant("acme")], &limits(&[(invalid, quota)]), START);
                assert!(matches!(refused, Err(Refused::InvalidLimit(_))), "{invalid:?} {refused:?}");
            }
        }
        assert!(matches!(
            before().set_tier(&[tenant("a")], Some(&"x".repeat(33)), START),
            Err(Refused::InvalidTier(_))
        ));
        let twice = before().set_terms(&[tenant("acme")], &limits(&[("a", Some("5/s")), ("a", None)]), START);
        assert_eq!(twice.unwrap_err(), Refused::Invalid("the limit a is named twice".to_owned()));
    }

    #[test]
    fn a_tenant_has_so_many_quotas_of_its_own_and_no_more() {
        let names: Vec<String> = (0..=TENANT_LIMITS_MAX).map(|at| format!("limit-{at}")).collect();
        let all: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), Some("5/s"))).collect();
        let full = before().set_terms(&[tenant("acme")], &limits(&all[1..]), START).unwrap().fleet;
        let refused = full.set_terms(&[tenant("other"), tenant("acme")], &limits(&all[..1]), START).unwrap_err();
        assert_eq!(refused, Refused::Full("16 limits of the tenant acme".to_owned()));
        let swapped = limits(&[(&names[0], Some("5/s")), (&names[1], None)]);
        assert!(full.set_terms(&[tenant("acme")], &swapped, START).is_ok());
    }
}
