//! Since when this stamp has owned a tenant, as far as this process has seen.
//!
//! Whatever was fetched before that is not used: while somebody else owned the tenant, nobody told this stamp of changes. What
//! is fetched in the first moments of it is not used either: others may not know yet to whom the tenant belongs.
//!
//! Invariant: an instant at which this stamp did not own a tenant, and that was looked at, is never forgotten. Between two looks
//! nothing moves for longer than [`SETTLES`].

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use synaxis_routing::{
    id::TenantId,
    placement::{Placement, RegionIndex, StampIndex},
    rank,
    table::{Millis, Seed},
};

/// How long it takes until everybody has a table, and clocks differ by less.
pub const SETTLES: Duration = Duration::from_secs(5);

/// Of what `since` counts, in milliseconds.
const TICK: Millis = 100;

/// A table as seen from here.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The table.
    pub placement: &'a Placement,
    /// This stamp, if the table knows it.
    pub me: Option<StampIndex>,
    /// Its region.
    pub entry: RegionIndex,
}

/// Since when tenants have been this stamp's. All times are milliseconds on this host's clock.
#[derive(Default)]
pub(super) struct Ownership {
    since: ArcSwapOption<Since>,
    floor: AtomicU64,
}

struct Since {
    seed: Seed,
    slots_log2: u8,
    origin: Millis,
    /// By slot.
    slots: Box<[u32]>,
    /// By hash, of tenants that may be elsewhere than the others of their slot.
    ruled: HashMap<u64, u32>,
}

impl Ownership {
    /// Nothing that was asked for before `at` is used.
    pub(super) fn forget_before(&self, at: Millis) {
        self.floor.fetch_max(at, Relaxed);
    }

    /// From when on what was asked for may be used; in the future: nothing yet.
    pub(super) fn used_from(&self, tenant: &TenantId) -> Millis {
        let floor = self.floor.load(Relaxed);
        let since = self.since.load();
        since.as_ref().map_or(floor, |since| floor.max(since.of(tenant)))
    }

    /// Looks at what is owned, at `now` of the store's clock and `host` of this host's. `before` is the table until now; without
    /// one, or when tables between the two were not seen, everything is new. One caller at a time.
    pub(super) fn look(&self, before: Option<Seen<'_>>, after: Seen<'_>, now: Millis, host: Millis) {
        let table = after.placement.table();
        let known = self.since.load_full();
        let known = known.filter(|known| (known.seed, known.slots_log2) == (table.seed, table.slots_log2));
        let is_first = self.since.load().is_none();
        let tick = SETTLES.as_millis() as Millis / TICK;
        let origin = known.as_ref().map_or(host.saturating_sub((tick + 1) * TICK), |known| known.origin);
        let at = |host: Millis| u32::try_from(host.saturating_sub(origin).div_ceil(TICK)).unwrap_or(u32::MAX);
        let lost = at(host);
        // others have known for long to whom these belong; only this process has not
        let gained = if is_first { at(host.saturating_sub(tick * TICK)) } else { lost };
        let (owned_before, owned) = (before.map(|seen| seen.owned(now)), after.owned(now));
        let is_kept = |was: Option<bool>, is: bool| is && was == Some(true) && known.is_some();
        let later = |was: Option<bool>, is: bool, before: u32| match is_kept(was, is) {
            true => before,
            false if is => gained,
            false => lost,
        };

        let ruled = after.placement.ruled_tenants().map(|tenant| {
            let (was, is) = (before.map(|seen| seen.owns(tenant, now)), after.owns(tenant, now));
            let before = known.as_ref().map_or(lost, |known| known.ticks(tenant));
            (rank::tenant_hash(table.seed, tenant), later(was, is, before))
        });
        let ruled: HashMap<u64, u32> = ruled.collect();
        let slots = owned.iter().enumerate().map(|(slot, is)| {
            let was = owned_before.as_ref().map(|owned| owned.get(slot).copied().unwrap_or_default());
            let before = known.as_ref().map_or(lost, |known| known.slots[slot]);
            later(was, *is, before)
        });
        let mut slots: Box<[u32]> = slots.collect();
        // whose rule has gone is one of its slot's now
        for hash in known.iter().flat_map(|known| known.ruled.keys()).filter(|hash| !ruled.contains_key(hash)) {
            slots[rank::slot(*hash, table.slots_log2) as usize] = lost;
        }
        let (seed, slots_log2) = (table.seed, table.slots_log2);
        self.since.store(Some(Arc::new(Since { seed, slots_log2, origin, slots, ruled })));
    }
}

impl Seen<'_> {
    fn owned(&self, now: Millis) -> Vec<bool> {
        match self.me {
            Some(me) => self.placement.owned_slots(me, self.entry, now),
            None => vec![false; 1 << self.placement.table().slots_log2],
        }
    }

    fn owns(&self, tenant: &TenantId, now: Millis) -> bool {
        self.me.is_some() && self.placement.owner(tenant, self.entry, now) == self.me
    }
}

impl Since {
    fn ticks(&self, tenant: &TenantId) -> u32 {
        let hash = rank::tenant_hash(self.seed, tenant);
        let of_slot = || self.slots.get(rank::slot(hash, self.slots_log2) as usize).copied().unwrap_or(u32::MAX);
        match self.ruled.is_empty() {
            true => of_slot(),
            false => self.ruled.get(&hash).copied().unwrap_or_else(of_slot),
        }
    }

    fn of(&self, tenant: &TenantId) -> Millis {
        self.origin + Millis::from(self.ticks(tenant)) * TICK + SETTLES.as_millis() as Millis
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use synaxis_routing::{
        change::{Changed, Fleet, Guards, Register},
        id::{Region, StampId},
        table::{PinMode, Scope},
    };

    use super::*;

    const SETTLE: Millis = 5_000;

    fn stamp(number: usize) -> StampId {
        StampId::parse(&format!("synaxis-weu-{number:03}")).unwrap()
    }

    fn tenant(number: usize) -> TenantId {
        TenantId::parse(format!("tenant-{number}").as_bytes()).unwrap()
    }

    /// Three stamps that are Active.
    fn three() -> Fleet {
        let blank = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(7), 16).unwrap();
        (1..4).fold(blank, |fleet, number| {
            let endpoint = format!("https://weu-{number:03}.stamp.internal:8443");
            let (weight, dedicated, labels) = (100, false, BTreeMap::new());
            let new = Register { id: stamp(number), endpoint, weight, dedicated, labels };
            fleet.register(new, 1).unwrap().fleet.activate(&stamp(number), 0, 1).unwrap().fleet
        })
    }

    /// What the first stamp sees.
    struct View {
        ownership: Ownership,
        fleet: Fleet,
        placement: Option<Placement>,
    }

    impl View {
        fn new() -> Self {
            let mut view = Self { ownership: Ownership::default(), fleet: three(), placement: None };
            view.apply(1_000_000);
            view
        }

        /// The fleet's table is applied.
        fn apply(&mut self, now: Millis) {
            let placement = Placement::build(self.fleet.table.clone(), self.fleet.tenants.clone()).unwrap();
            self.ownership.look(self.placement.as_ref().map(seen), seen(&placement), now, now);
            self.placement = Some(placement);
        }

        fn edit(&mut self, now: Millis, change: impl FnOnce(&Fleet) -> Changed) {
            self.fleet = change(&self.fleet).fleet;
            self.apply(now);
        }

        /// A look at the table that stands.
        fn look(&self, now: Millis) {
            let placement = self.placement.as_ref().map(seen);
            self.ownership.look(placement, placement.unwrap(), now, now);
        }

        fn owner(&self, number: usize, now: Millis) -> usize {
            let placement = self.placement.as_ref().unwrap();
            let owner = placement.owner(&tenant(number), RegionIndex(0), now).unwrap();
            (1..4).find(|number| placement.stamp(owner).id == stamp(*number)).unwrap()
        }

        fn used_from(&self, number: usize) -> Millis {
            self.ownership.used_from(&tenant(number))
        }
    }

    fn seen(placement: &Placement) -> Seen<'_> {
        Seen { placement, me: placement.find(stamp(1).as_str()), entry: RegionIndex(0) }
    }

    fn is_about(at: Millis, expected: Millis) -> bool {
        (expected..=expected + 2 * TICK).contains(&at)
    }

    #[test]
    fn what_was_always_ours_is_used_at_once_and_what_came_to_us_after_a_while() {
        let mut view = View::new();
        let before: Vec<usize> = (0..500).map(|number| view.owner(number, 0)).collect();
        for (number, owner) in before.iter().enumerate() {
            let expected = if *owner == 1 { 1_000_000 } else { 1_000_000 + SETTLE };
            assert!(is_about(view.used_from(number), expected), "{}", view.used_from(number));
        }
        let guards = Guards::default();
        view.edit(2_000_000, |fleet| fleet.isolate(&stamp(2), false, &guards, 1).unwrap());
        let mut came = 0;
        for (number, owner) in before.iter().enumerate() {
            let (is_ours, used_from) = (view.owner(number, 2_000_000) == 1, view.used_from(number));
            match (*owner, is_ours) {
                (1, true) => assert!(is_about(used_from, 1_000_000), "it stays: {used_from}"),
                _ => assert!(is_about(used_from, 2_000_000 + SETTLE), "{used_from}"),
            }
            came += usize::from(is_ours && *owner != 1);
        }
        assert!(came > 30, "{came}");
        // it went, and came back: nothing from before
        view.edit(3_000_000, |fleet| fleet.isolate(&stamp(1), true, &guards, 1).unwrap());
        view.edit(4_000_000, |fleet| fleet.activate(&stamp(1), 0, 1).unwrap());
        assert!((0..500).all(|number| is_about(view.used_from(number), 4_000_000 + SETTLE)));
    }

    #[test]
    fn of_tables_that_were_not_seen_nothing_is_known() {
        let mut view = View::new();
        let placement = view.placement.take();
        view.apply(2_000_000);
        assert!(placement.is_some() && (0..100).all(|number| is_about(view.used_from(number), 2_000_000 + SETTLE)));
    }

    #[test]
    fn what_came_back_in_a_ramp_is_used_from_when_it_came_back() {
        let mut view = View::new();
        let guards = Guards::default();
        let started = 2_000_000;
        view.edit(started, |fleet| fleet.isolate(&stamp(1), false, &guards, started).unwrap());
        view.edit(started, |fleet| fleet.activate(&stamp(1), 100, started).unwrap());
        let mut came = 0;
        let ours_at = |view: &View, number: usize, at: Millis| view.owner(number, at) == 1;
        for second in (0..100).step_by(2) {
            let at = started + second * 1_000;
            view.look(at);
            for number in 0..200 {
                let used_from = view.used_from(number);
                if !ours_at(&view, number, at) {
                    assert!(is_about(used_from, at + SETTLE), "{second} s: {used_from}");
                } else if second > 0 && !ours_at(&view, number, at - 2_000) {
                    came += 1;
                    assert!(is_about(used_from, at - 2_000 + SETTLE), "{second} s: {used_from}");
                }
            }
        }
        assert!(came > 20, "{came}");
    }

    #[test]
    fn tenants_with_a_rule_of_their_own_are_looked_at_by_themselves() {
        let mut view = View::new();
        let ours = (0..).find(|number| view.owner(*number, 0) == 1).unwrap();
        let theirs = (0..).find(|number| view.owner(*number, 0) == 2).unwrap();
        view.edit(2_000_000, |fleet| fleet.pin(tenant(ours), &stamp(1), PinMode::Preferred, 1).unwrap());
        assert!(is_about(view.used_from(ours), 1_000_000), "it stays where it was");
        view.edit(3_000_000, |fleet| fleet.pin(tenant(theirs), &stamp(1), PinMode::Strict, 1).unwrap());
        assert!(is_about(view.used_from(theirs), 3_000_000 + SETTLE) && is_about(view.used_from(ours), 1_000_000));
        view.edit(4_000_000, |fleet| fleet.unpin(&[tenant(theirs)], 1).unwrap());
        view.edit(5_000_000, |fleet| fleet.pin(tenant(theirs), &stamp(1), PinMode::Strict, 1).unwrap());
        assert!(is_about(view.used_from(theirs), 5_000_000 + SETTLE), "it was elsewhere in between");
        view.edit(6_000_000, |fleet| fleet.unpin(&[tenant(ours)], 1).unwrap());
        assert!(view.used_from(ours) >= 6_000_000, "nobody has kept what was known of it");
        assert!(is_about(view.used_from(theirs), 5_000_000 + SETTLE));
        view.ownership.forget_before(9_000_000);
        assert_eq!(view.used_from(ours), 9_000_000);
        assert_eq!(view.used_from(usize::MAX), 9_000_000);
    }
}
