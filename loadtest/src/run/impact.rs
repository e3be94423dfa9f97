//! Whom a fault touched, and whom it did not.
//!
//! Invariant: a stretch of time in which nobody was asked proves nothing, and fails.

use super::{figures::count, latencies::Latencies};
use crate::{
    client::{OK, Sample, Samples},
    fault,
    oracle::Oracle,
    quantity::{micros, millis},
    report::Check,
    scenario::{Outcomes, Unmoved},
    workload,
    world::stamp_id,
};

/// Whether bystanders were answered as fast as before.
pub(super) fn unmoved(wanted: &Unmoved, samples: &Samples, oracle: &Oracle<'_>) -> Check {
    let stamp = wanted.stamp.and_then(|position| stamp_id(position).ok()).map(|id| id.to_string());
    let bystands = |sample: &&Sample| {
        wanted.tenant != Some(sample.tenant) && !stamp.as_ref().is_some_and(|stamp| oracle.is_owned(stamp, sample))
    };
    let within = |from, until| {
        let begun = move |sample: &&Sample| (micros(from)..micros(until)).contains(&sample.intended);
        let answered = samples.samples.iter().filter(|sample| sample.outcome == OK).filter(begun);
        Latencies::of(answered.filter(bystands).map(|sample| sample.ended - sample.intended)).percentiles()
    };
    let (before, then) = (within(wanted.since, wanted.from), within(wanted.from, wanted.until));
    let bound = (before.p99 * wanted.times).max(millis(wanted.floor));
    Check {
        name: format!("p99 of bystanders from {:?} to {:?}", wanted.from, wanted.until),
        wanted: format!(
            "≤ {bound:.2} ms: {} × the {:.2} ms of {} before, or {} ms",
            wanted.times,
            before.p99,
            before.count,
            millis(wanted.floor)
        ),
        measured: format!("{:.2} ms of {}", then.p99, then.count),
        passed: before.count > 0 && then.count > 0 && then.p99 <= bound,
    }
}

/// Whether so many requests ended in some way.
pub(super) fn outcomes(wanted: &Outcomes, samples: &Samples) -> Check {
    let begun = |sample: &&Sample| (micros(wanted.from)..micros(wanted.until)).contains(&sample.intended);
    let own = samples.samples.iter().filter(|sample| wanted.tenant.is_none_or(|tenant| tenant == sample.tenant));
    let (mut all, mut such) = (0, 0);
    for sample in own.filter(begun) {
        all += 1;
        such += u64::from(fault::matches(&wanted.outcome, samples.outcomes.name(sample.outcome)));
    }
    let share = count(such) / count(all.max(1));
    let whose = wanted.tenant.map(|tenant| format!(" of {}", workload::tenant(tenant))).unwrap_or_default();
    Check {
        name: format!("`{}`{whose} from {:?} to {:?}", wanted.outcome, wanted.from, wanted.until),
        wanted: format!("{:.0} to {:.0} %", wanted.least * 100.0, wanted.most * 100.0),
        measured: format!("{:.1} % of {all}", share * 100.0),
        passed: all > 0 && (wanted.least..=wanted.most).contains(&share),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        client::End,
        workload::{Mix, Workload},
    };

    /// A request in each millisecond of two seconds, of ten tenants in turn. From the second on, those of tenant 0 are
    /// refused after a second, and those of the others take `others` milliseconds instead of 4.
    fn samples(others: u64) -> Samples {
        let mut samples = Samples::default();
        let refused = samples.outcome(&End::Refused { status: 503, reason: Some("concurrency".into()) });
        for id in 0..2_000 {
            let (intended, tenant) = (id * 1_000, u32::try_from(id % 10).unwrap());
            let (took, outcome) = match (id < 1_000, tenant) {
                (true, _) => (4, OK),
                (false, 0) => (1_000, refused),
                (false, _) => (others, OK),
            };
            let ended = intended + took * 1_000;
            samples.samples.push(Sample { id, intended, ended, tenant, outcome, ..Sample::default() });
        }
        samples
    }

    #[test]
    fn bystanders_may_be_as_slow_as_the_multiple_or_the_floor_says_and_no_slower() {
        let workload = Workload::new(Mix::default(), 1);
        let seconds = Duration::from_secs;
        for (others, times, floor, passed) in
            [(7, 2.0, 0, true), (9, 2.0, 0, false), (9, 2.0, 10, true), (9, 3.0, 0, true), (11, 2.0, 10, false)]
        {
            let (since, from, until) = (seconds(0), seconds(1), seconds(2));
            let floor = Duration::from_millis(floor);
            let wanted = Unmoved { stamp: None, tenant: Some(0), since, from, until, times, floor };
            let samples = samples(others);
            let oracle = Oracle::new(&samples, &workload, &[], &[]);
            let check = unmoved(&wanted, &samples, &oracle);
            assert_eq!(check.passed, passed, "{check:?}");
            let nobody = Unmoved { from: seconds(2), until: seconds(3), ..wanted };
            assert!(!unmoved(&nobody, &samples, &oracle).passed, "nobody was asked");
        }
    }

    #[test]
    fn outcomes_are_those_of_the_tenant_and_the_time() {
        let samples = samples(4);
        let share = |tenant, from, (least, most)| {
            let (from, until) = (Duration::from_secs(from), Duration::from_secs(2));
            outcomes(&Outcomes { outcome: "503 *".into(), tenant, from, until, least, most }, &samples).passed
        };
        assert!(share(Some(0), 0, (0.5, 0.5)) && share(Some(0), 1, (1.0, 1.0)) && share(None, 1, (0.1, 0.1)));
        assert!(share(Some(1), 0, (0.0, 0.0)) && !share(Some(1), 0, (0.1, 1.0)));
        assert!(!share(Some(0), 1, (0.0, 0.9)) && !share(None, 2, (0.0, 1.0)));
    }
}
