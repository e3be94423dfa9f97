//! Fleets for tests: small builders, and chance that repeats.

use std::collections::BTreeMap;

use serde_json::Map;

use crate::{
    degradation::{Degradation, LEVELS, Override},
    id::{Region, StampId, TenantId},
    placement::{Placement, RegionIndex, StampIndex},
    rank,
    table::{ALGORITHM, FORMAT, Millis, PinMode, Previous, Ramp, Scope, Seed, Stamp, State, Table, Tenant, Tenants},
};

/// The instant at which tests begin.
pub(crate) const START: Millis = 1_768_000_000_000;

pub(crate) const ENTRY: RegionIndex = RegionIndex(0);

pub(crate) fn id(region: &str, number: u32) -> StampId {
    StampId::parse(&format!("synaxis-{region}-{number:03}")).unwrap()
}

pub(crate) fn region(name: &str) -> Region {
    Region::parse(name).unwrap()
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

pub(crate) fn stamp(of: &str, number: u32, state: State) -> Stamp {
    let id = id(of, number);
    Stamp {
        region: region(of),
        placement_key: id.clone(),
        state,
        since: START,
        weight: 100,
        dedicated: false,
        endpoint: format!("https://{of}-{number:03}.stamp.internal:8443"),
        ramp: None,
        deadlines: BTreeMap::new(),
        warnings: Vec::new(),
        labels: BTreeMap::new(),
        ext: Map::new(),
        id,
    }
}

/// Active stamps, `(region, how many)`, numbered from 1.
pub(crate) fn fleet(regions: &[(&str, u32)]) -> Table {
    let stamps = regions.iter().flat_map(|(of, count)| (1..=*count).map(|n| stamp(of, n, State::Active)));
    Table {
        version: FORMAT,
        term: 1,
        epoch: 1,
        algorithm: ALGORITHM.to_owned(),
        seed: Seed(0x5eed_5eed_5eed_5eed),
        slots_log2: 16,
        scope: Scope::Region,
        previous: Previous::default(),
        forced: None,
        regions: regions.iter().map(|(of, _)| region(of)).collect(),
        stamps: stamps.collect(),
        retired: Vec::new(),
        degradation: None,
        tenants_hash: String::new(),
        ext: Map::new(),
    }
}

pub(crate) fn build(table: &Table, tenants: &Tenants) -> Placement {
    Placement::build(table.clone(), tenants.clone()).unwrap()
}

pub(crate) fn plain(table: &Table) -> Placement {
    build(table, &Tenants::new())
}

pub(crate) fn ramp(from: u16, to: u16, started_at: Millis) -> Option<Ramp> {
    Some(Ramp { from, to, started_at, seconds: 300, held_at: None })
}

pub(crate) fn pinned(to: &StampId, mode: PinMode) -> Tenant {
    Tenant { pin: Some(to.clone()), pin_mode: Some(mode), ..Tenant::default() }
}

/// One tenant for each of the 65,536 slots.
pub(crate) fn tenant_of_every_slot(seed: Seed) -> Vec<TenantId> {
    let mut found: Vec<Option<TenantId>> = vec![None; 1 << 16];
    let mut missing = found.len();
    for n in 0u64.. {
        let tenant = tenant(&format!("t{n}"));
        let place = &mut found[rank::slot(rank::tenant_hash(seed, &tenant), 16) as usize];
        if place.replace(tenant).is_none() {
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    found.into_iter().flatten().collect()
}

/// The owners of some tenants, by stamp id.
pub(crate) fn owners(placement: &Placement, tenants: &[TenantId], now: Millis) -> Vec<Option<StampId>> {
    let name = |index: StampIndex| placement.stamp(index).id.clone();
    tenants.iter().map(|tenant| placement.owner(tenant, ENTRY, now).map(name)).collect()
}

/// SplitMix64: chance that repeats.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// A fleet in which everything that may happen has happened, and tenants with every kind of rule.
pub(crate) fn chaos(seed: u64) -> (Table, Tenants) {
    let mut chance = Chance(seed);
    let names = ["weu", "eus", "sea", "neu"];
    let regions: Vec<(&str, u32)> =
        names[..1 + chance.below(4) as usize].iter().map(|name| (*name, chance.below(14) as u32)).collect();
    let mut table = fleet(&regions);
    table.seed = Seed(chance.next());
    table.scope = if chance.one_in(3) { Scope::Fleet } else { Scope::Region };
    let calm = chance.below(5);
    let instants: Vec<Millis> =
        [0, 1, 100_000, 240_000, 297_000, 299_999, 300_000, 303_000, 330_000, 400_000].map(|ago| START - ago).into();
    let states = [State::Creating, State::Active, State::Draining, State::Ready, State::Failed, State::Deleted];
    for stamp in &mut table.stamps {
        if chance.below(5) < calm {
            continue;
        }
        stamp.state = if chance.one_in(2) { State::Active } else { chance.pick(&states) };
        if chance.one_in(3) {
            stamp.weight = chance.below(1_001) as u16;
        }
        stamp.dedicated = chance.one_in(8);
        if chance.one_in(2) {
            let (from, to) = match stamp.state {
                State::Draining => (chance.below(1_001) as u16, 0),
                _ => (chance.pick(&[0, 1, 400]), 1_000),
            };
            let held_at = chance.one_in(6).then(|| START - chance.below(200_000));
            let seconds = chance.pick(&[0, 60, 300, 300]);
            stamp.ramp = Some(Ramp { from, to, started_at: chance.pick(&instants), seconds, held_at });
        }
    }
    if table.stamps.len() > 2 && chance.one_in(2) {
        let at = 1 + chance.below(table.stamps.len() as u64 - 1) as usize;
        table.stamps[at].placement_key = table.stamps[at - 1].id.clone();
    }
    let mut tenants = Tenants::new();
    for n in 0..chance.below(60) {
        let mut rules = Tenant::default();
        if chance.one_in(2) {
            let mut allowed = table.regions.clone();
            let count = allowed.len() as u64;
            allowed.rotate_left(chance.below(count) as usize);
            allowed.truncate(1 + chance.below(count) as usize);
            rules.regions = Some(allowed);
        }
        if chance.one_in(3) {
            rules.home = Some(chance.pick(rules.regions.as_ref().unwrap_or(&table.regions)));
        }
        let living: Vec<&Stamp> = table.stamps.iter().filter(|stamp| stamp.state != State::Deleted).collect();
        if chance.one_in(2) && !living.is_empty() {
            let pin = chance.pick(&living);
            let outside = rules.regions.as_ref().is_some_and(|allowed| !allowed.contains(&pin.region));
            let strict = chance.one_in(2) && !outside;
            rules.pin = Some(pin.id.clone());
            rules.pin_mode = Some(if strict { PinMode::Strict } else { PinMode::Preferred });
        }
        tenants.insert(tenant(&format!("listed-{n}")), rules);
    }
    table.degradation = degradation(&mut chance, &table.stamps);
    (table, tenants)
}

/// Levels set by hand, of which some have ended; ordinarily none.
fn degradation(chance: &mut Chance, stamps: &[Stamp]) -> Option<Degradation> {
    let mut hand = || {
        let since = START - chance.below(7_200_000);
        let until = since + 1 + chance.below(7_200_000);
        let reason = chance.pick(&["", "the database moves"]).to_owned();
        chance.one_in(3).then_some(Override { level: chance.pick(&LEVELS), since, until, reason })
    };
    let living = stamps.iter().filter(|stamp| stamp.state != State::Deleted);
    let own = living.filter_map(|stamp| Some((stamp.id.clone(), hand()?))).collect();
    let all = Degradation { fleet: hand(), stamps: own };
    Some(all).filter(|all| !all.is_empty() && chance.one_in(2))
}

/// Listed and unlisted tenants.
pub(crate) fn sample(tenants: &Tenants, unlisted: u64) -> Vec<TenantId> {
    tenants.keys().copied().chain((0..unlisted).map(|n| tenant(&format!("t{n}")))).collect()
}
