//! Which tenants are too much for a stamp that they share.
//!
//! Invariant: what is unknown changes nothing: it neither makes a tenant hot nor ends it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Hours, per_second};
use crate::id::TenantId;

/// From when on a tenant is hot, and until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Hours, one after the other as far as they are known, of which each must be above `enter_percent`.
    pub hours: u32,
    /// Share of its stamp's requests above which an hour counts, per cent.
    pub enter_percent: u8,
    /// Share below which an hour ends it, per cent.
    pub leave_percent: u8,
    /// Requests a second that it makes at least, on average of those hours, whatever its share.
    pub floor: f64,
}

impl Default for Rule {
    /// Above 10 % for 24 hours, until an hour below 6 %; from 1 request a second on.
    fn default() -> Self {
        Self { hours: 24, enter_percent: 10, leave_percent: 6, floor: 1.0 }
    }
}

/// A hot tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hot {
    /// Who.
    pub tenant: TenantId,
    /// First of its hours, in hours since the Unix epoch.
    pub since: u64,
    /// Hours since then that are known.
    pub hours: u32,
    /// Requests a second, on average of the last hours that the rule asks for.
    pub per_second: f64,
    /// The same as a share of its stamp's requests, per cent.
    pub percent: f64,
}

/// The hot tenants of a stamp after these hours, of which all must be over; the hottest first.
#[must_use]
pub fn hot(hours: &Hours, rule: &Rule) -> Vec<Hot> {
    let names: BTreeSet<&TenantId> = hours.values().flat_map(|hour| hour.tenants.keys()).collect();
    let mut found: Vec<Hot> = names.into_iter().filter_map(|tenant| judge(tenant, hours, rule)).collect();
    found.sort_by(|a, b| b.per_second.total_cmp(&a.per_second).then(a.tenant.cmp(&b.tenant)));
    found
}

/// A run of hours: still above the upper mark, or hot and not below the lower one.
#[derive(Clone, Copy, Default)]
struct Run {
    since: u64,
    hours: u32,
    is_hot: bool,
}

fn judge(tenant: &TenantId, hours: &Hours, rule: &Rule) -> Option<Hot> {
    let mut run = Run::default();
    for (number, hour) in hours {
        let requests = hour.tenants.get(tenant).copied().unwrap_or(0);
        let mark = if run.is_hot { rule.leave_percent } else { rule.enter_percent };
        let (share, mark) = (u128::from(requests) * 100, u128::from(mark) * u128::from(hour.total));
        let goes_on = share > mark || (run.is_hot && share == mark);
        if !goes_on {
            run = Run::default();
            continue;
        }
        run.since = if run.hours == 0 { *number } else { run.since };
        run.hours += 1;
        run.is_hot |= run.hours >= rule.hours;
    }
    let asked = usize::try_from(rule.hours.max(1)).unwrap_or(usize::MAX);
    let (mut requests, mut total, mut count) = (0_u64, 0_u64, 0_u64);
    for hour in hours.values().rev().take(asked) {
        requests = requests.saturating_add(hour.tenants.get(tenant).copied().unwrap_or(0));
        total = total.saturating_add(hour.total);
        count += 1;
    }
    let rate = per_second(requests) / count.max(1) as f64;
    (run.is_hot && rate >= rule.floor).then(|| Hot {
        tenant: *tenant,
        since: run.since,
        hours: run.hours,
        per_second: rate,
        percent: requests as f64 * 100.0 / total.max(1) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Hour, *};

    /// One hour a part: the tenant's requests of 100,000, or `-` where nothing is known.
    fn hours(parts: &[&str]) -> Hours {
        let tenant = TenantId::parse(b"acme").unwrap();
        let hour = |text: &str| {
            let made: u64 = text.parse().unwrap();
            Hour { total: 100_000, tenants: (made > 0).then_some((tenant, made)).into_iter().collect() }
        };
        let known = (500_000..).zip(parts).filter(|(_, text)| **text != "-");
        known.map(|(number, text)| (number, hour(text))).collect()
    }

    fn run(text: &str, times: usize) -> Vec<&str> {
        vec![text; times]
    }

    /// The hours that a tenant has been hot for; 0 if it is not.
    fn check(parts: &[Vec<&str>], expected: u32, rule: &Rule) {
        let parts = parts.concat();
        let found = hot(&hours(&parts), rule);
        assert_eq!(found.first().map_or(0, |hot| hot.hours), expected, "{parts:?} {found:?}");
    }

    #[test]
    fn a_day_above_a_tenth_makes_a_tenant_hot_and_an_hour_below_six_per_cent_ends_it() {
        let rule = Rule::default();
        let cases: &[(&[Vec<&str>], u32)] = &[
            (&[], 0),
            (&[run("10001", 23)], 0),
            (&[run("10001", 24)], 24),
            // a tenth is not above a tenth, not once
            (&[run("10001", 23), run("10000", 1)], 0),
            (&[run("10000", 1), run("10001", 23)], 0),
            (&[run("10001", 12), run("10000", 1), run("10001", 12)], 0),
            (&[run("10001", 24), run("6000", 10)], 34),
            (&[run("10001", 24), run("5999", 1)], 0),
            (&[run("10001", 24), run("0", 1)], 0),
            // it begins anew
            (&[run("20000", 30), run("5999", 1), run("20000", 23)], 0),
            (&[run("20000", 30), run("5999", 1), run("20000", 24)], 24),
            // 9 % is enough to stay and not to come
            (&[run("10001", 24), run("9000", 20)], 44),
            (&[run("9000", 44)], 0),
        ];
        for (parts, expected) in cases {
            check(parts, *expected, &rule);
        }
    }

    #[test]
    fn what_is_unknown_neither_makes_it_hot_nor_ends_it() {
        let rule = Rule::default();
        let cases: &[(&[Vec<&str>], u32)] = &[
            (&[run("-", 40)], 0),
            (&[run("10001", 23), run("-", 20)], 0),
            (&[run("10001", 23), run("-", 20), run("10001", 1)], 24),
            (&[run("-", 3), run("10001", 12), run("-", 1), run("10001", 12), run("-", 3)], 24),
            (&[run("10001", 24), run("-", 20)], 24),
            (&[run("10001", 24), run("-", 20), run("6000", 1)], 25),
            (&[run("10001", 24), run("-", 1), run("5999", 1), run("-", 1)], 0),
        ];
        for (parts, expected) in cases {
            check(parts, *expected, &rule);
        }
    }

    #[test]
    fn a_share_of_little_is_little() {
        // 20,000 in each hour are 5.56 a second
        let parts = [run("20000", 24)];
        check(&parts, 24, &Rule { floor: 5.5, ..Rule::default() });
        check(&parts, 0, &Rule { floor: 5.6, ..Rule::default() });
        // the last 24 hours count
        check(&[run("90000", 20), run("20000", 24)], 0, &Rule { floor: 5.6, ..Rule::default() });
        let found = hot(&hours(&run("20000", 30)), &Rule::default());
        assert_eq!((found[0].since, found[0].percent), (500_000, 20.0));
        assert!((found[0].per_second - 20_000.0 / 3_600.0).abs() < 1e-9);
    }

    #[test]
    fn the_hottest_comes_first_and_numbers_without_end_are_numbers() {
        let names = ["a", "b", "c"].map(|name| TenantId::parse(name.as_bytes()).unwrap());
        let hour = Hour { total: u64::MAX, tenants: names.into_iter().zip([u64::MAX / 4, u64::MAX, 1]).collect() };
        let hours: Hours = (0..24).map(|number| (number, hour.clone())).collect();
        let found: Vec<TenantId> = hot(&hours, &Rule::default()).into_iter().map(|hot| hot.tenant).collect();
        assert_eq!(found[..2].iter().map(TenantId::as_str).collect::<BTreeSet<_>>(), ["a", "b"].into());
        assert_eq!(found.len(), 2);
    }
}
