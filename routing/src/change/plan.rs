//! The name of a change that was shown and not yet published: this edit, of exactly this table.
//!
//! Invariant: the same edit of the same table has the same name however much time passes between, and any other edit or
//! table has another one. The exact bytes of the head stand for the table as it was; instants that belong to the edit
//! count from the edit, and a ramp that begins with it is told by the edit's summary.

use std::{fmt, str::FromStr};

use super::{Changed, Fleet};
use crate::{
    bundle::sha256_hex,
    table::{Millis, Seed, State},
    version::Version,
};

/// Hexadecimal digits of a name.
const DIGITS: usize = 16;

/// Names a change of a table. Its text form is `TERM.EPOCH-` and 16 hexadecimal digits; the version is that of the table
/// that is changed, 0.0 when there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanId {
    /// The table that the change was computed from.
    pub base: Version,
    digits: String,
}

/// Text that names no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plan is TERM.EPOCH-DIGEST as `stampctl plan` prints it, such as 3.4711-0123456789abcdef")]
pub struct InvalidPlan;

impl PlanId {
    /// The name of `changed`, an edit at `now` of `before` under this head (no bytes: of nothing).
    #[must_use]
    pub fn of(head: &[u8], before: Option<&Fleet>, changed: &Changed, now: Millis) -> Self {
        let mut fleet = changed.fleet.clone();
        let base = before.map(Fleet::version).unwrap_or_default();
        if before.is_none() {
            // a new fleet draws its seed each time
            fleet.table.seed = Seed(0);
        }
        // tombstones become retired ids by the clock alone
        let mut gone = std::mem::take(&mut fleet.table.retired);
        let deleted = fleet.table.stamps.iter().filter(|stamp| stamp.state == State::Deleted);
        gone.extend(deleted.map(|stamp| stamp.id.clone()));
        gone.sort();
        fleet.table.stamps.retain(|stamp| stamp.state != State::Deleted);
        for stamp in &mut fleet.table.stamps {
            let known = before.and_then(|before| before.table.stamp(stamp.id.as_str()));
            let begins = stamp.ramp.is_some_and(|ramp| ramp.started_at == now);
            if stamp.since == now || begins {
                stamp.deadlines.values_mut().for_each(|deadline| *deadline = deadline.wrapping_sub(now));
            }
            if stamp.since == now {
                stamp.since = 0;
            }
            // a known one is dropped by the clock when it is long over
            let known_ramp = known.and_then(|known| known.ramp);
            stamp.ramp = stamp.ramp.filter(|ramp| !begins && Some(*ramp) != known_ramp);
            // notes of what was cut, which the proxies count anew each time
            stamp.warnings.clear();
        }
        // what was there before is told by the head, and leaves by the clock
        if let Some(degradation) = &mut fleet.table.degradation {
            degradation.fleet = degradation.fleet.take().filter(|it| it.since == now);
            degradation.stamps.retain(|_, it| it.since == now);
            for it in degradation.fleet.iter_mut().chain(degradation.stamps.values_mut()) {
                it.until = it.until.wrapping_sub(now);
                it.since = 0;
            }
        }
        // follows from the above
        fleet.table.degradation = fleet.table.degradation.filter(|it| !it.is_empty());
        fleet.table.version = 0;
        let mut hashed = Vec::new();
        let documents = [
            head.to_vec(),
            changed.summary.clone().into_bytes(),
            // plain data: it always serialises
            serde_json::to_vec(&gone).unwrap_or_default(),
            serde_json::to_vec(&fleet.table).unwrap_or_default(),
            serde_json::to_vec(&fleet.tenants).unwrap_or_default(),
        ];
        for document in documents {
            // its length first: no two sequences of documents look alike
            hashed.extend_from_slice(&(document.len() as u64).to_le_bytes());
            hashed.extend(document);
        }
        let mut digits = sha256_hex(&hashed);
        digits.truncate(DIGITS);
        Self { base, digits }
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.base, self.digits)
    }
}

impl FromStr for PlanId {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        let (base, digits) = text.split_once('-').ok_or(InvalidPlan)?;
        let base = base.parse().map_err(|_| InvalidPlan)?;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits.len() != DIGITS || !hexadecimal {
            return Err(InvalidPlan);
        }
        Ok(Self { base, digits: digits.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        change::{Drain, Guards, Overrides, Refused, Whom},
        degradation::{Degradation, Level, Override},
        fixture::{START, fleet, id, pinned, ramp, tenant},
        lifecycle::TOMBSTONE,
        placement::EDGE,
        table::PinMode,
    };

    /// Six stamps: one draining, one that came in long ago, one deleted nearly long enough ago.
    fn base() -> Fleet {
        let mut table = fleet(&[("weu", 6)]);
        table.stamps.iter_mut().for_each(|stamp| stamp.since -= 500_000);
        table.stamps[1].state = State::Draining;
        table.stamps[1].ramp = ramp(1_000, 0, START - 100_000);
        table.stamps[2].ramp = ramp(0, 1_000, START - 300_000 - 2 * EDGE);
        table.stamps[5].state = State::Deleted;
        table.stamps[5].since = START - TOMBSTONE;
        // one ends between the plan and its application, one does not
        let hand = |lasts| Override {
            level: Level::AiDegraded,
            since: START - 100_000,
            until: START + lasts,
            reason: String::new(),
        };
        let stamps = [(id("weu", 2), hand(1_000)), (id("weu", 3), hand(7_200_000))].into();
        table.degradation = Some(Degradation { fleet: None, stamps });
        let pin = pinned(&id("weu", 1), PinMode::Preferred);
        Fleet { table, tenants: [(tenant("acme"), pin)].into() }
    }

    type Edit = fn(&Fleet, Millis) -> Result<Changed, Refused>;

    const EDITS: [Edit; 13] = [
        |fleet, now| fleet.drain(&id("weu", 4), Drain::default(), &Guards::default(), now),
        |fleet, now| {
            let hour = Drain { grace: Some(3_600_000), ..Drain::default() };
            fleet.drain(&id("weu", 4), hour, &Guards::default(), now)
        },
        |fleet, now| {
            fleet.drain(&id("weu", 4), Drain { ramp_seconds: 60, ..Drain::default() }, &Guards::default(), now)
        },
        |fleet, now| fleet.drain(&id("weu", 2), Drain { force: true, ..Drain::default() }, &Guards::default(), now),
        |fleet, now| fleet.cancel_drain(&id("weu", 2), 300, now),
        |fleet, now| fleet.standby(&id("weu", 2), Some(format!("cut {now}")), now),
        |fleet, now| fleet.weight(&id("weu", 4), 50, &Guards::default(), Overrides::default(), now),
        |fleet, now| fleet.pin(tenant("acme"), &id("weu", 3), PinMode::Preferred, now),
        |fleet, now| fleet.unpin(&[tenant("acme")], now),
        |fleet, now| fleet.degrade(&Whom::Fleet, Level::ReadOnly, 1_800_000, "", now),
        |fleet, now| fleet.degrade(&Whom::Fleet, Level::ReadOnly, 1_800_001, "", now),
        |fleet, now| fleet.degrade(&Whom::Stamp(id("weu", 1)), Level::ReadOnly, 1_800_000, "", now),
        |fleet, now| fleet.clear_degradation(&Whom::Stamp(id("weu", 3)), now),
    ];

    #[test]
    fn a_plan_holds_however_much_time_passes_and_no_two_edits_share_one() {
        let fleet = base();
        let mut known = Vec::new();
        for (n, edit) in EDITS.iter().enumerate() {
            let name = |at| PlanId::of(b"head", Some(&fleet), &edit(&fleet, at).unwrap(), at);
            let first = name(START);
            assert!(!known.contains(&first), "edit {n} is named like another one");
            for later in [1, 500, 20_000, 90_000, 3_600_000] {
                assert_eq!(name(START + later), first, "edit {n} after {later} ms");
            }
            known.push(first);
        }
    }

    #[test]
    fn another_base_is_another_plan() {
        let fleet = base();
        let changed = EDITS[0](&fleet, START).unwrap();
        let name = |head: &[u8]| PlanId::of(head, Some(&fleet), &changed, START);
        assert_ne!(name(b"head"), name(b"heae"));
        assert_eq!(name(b"head").base, fleet.version());
    }

    #[test]
    fn names_go_there_and_back_and_nothing_else_is_accepted() {
        let text = "3.4711-0123456789abcdef";
        assert_eq!(text.parse::<PlanId>().unwrap().to_string(), text);
        let bad = ["", "-", "3.4711", "3.4711-", "0123456789abcdef", "3.4711-0123456789ABCDEF", "3-0123456789abcdef"];
        for bad in bad.into_iter().chain(["3.4711-0123456789abcdef0", "3.4711-0123456789abcde\u{e9}"]) {
            assert_eq!(bad.parse::<PlanId>(), Err(InvalidPlan), "{bad:?}");
        }
    }
}
