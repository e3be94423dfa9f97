//! Which stamp a tenant gets, by what its tier may share: `assign`.
//!
//! Invariant: a stamp has room by what the table really places on it: every listed tenant of the tier counts, pinned or
//! hashed, wherever its requests may arrive. Tenants that are not listed have no tier here and count nowhere.

use std::collections::{BTreeSet, HashMap};

use super::{Changed, Fleet, Refused, join, moves::last_end, tier::is_tier};
use crate::{
    id::{StampId, TenantId},
    lifecycle::{Operation, permit},
    placement::{Placement, RegionIndex},
    table::{Millis, PinMode, Stamp},
};

/// How many tenants of a tier one stamp takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many, beside tenants of other tiers.
    Shared(u32),
    /// One, on a stamp that is dedicated and has nobody else.
    Own,
}

/// What a tenant is to get.
#[derive(Clone, Debug)]
pub struct Assign<'a> {
    /// Who.
    pub tenant: TenantId,
    /// Its tier.
    pub tier: &'a str,
    /// How many of them a stamp takes.
    pub size: Size,
    /// This stamp or none; `None`: the one with the fewest tenants of the tier.
    pub stamp: Option<&'a StampId>,
    /// How binding the pin is.
    pub mode: PinMode,
}

impl Fleet {
    /// Gives a tenant its tier and a pin to a stamp with room for it: Active, of the tenant's regions, dedicated if and only
    /// if the tier wants a stamp of its own. Its home comes first, then the stamp with the fewest tenants of the tier, then
    /// the lower id; where it is pinned already it stays if there is room.
    ///
    /// # Errors
    /// [`Refused::NoRoom`] if there is none: one must be provisioned. [`Refused::InvalidTier`], [`Refused::UnknownStamp`],
    /// [`Refused::Blocked`], [`Refused::Residency`], [`Refused::Nothing`], [`Refused::Full`].
    pub fn assign(&self, said: &Assign<'_>, now: Millis) -> Result<Changed, Refused> {
        let Assign { tenant, tier, size, stamp, mode } = said;
        if !is_tier(tier) {
            return Err(Refused::InvalidTier(tier.chars().take(super::tier::TIER_MAX).collect()));
        }
        let mut after = self.clone();
        let entry = after.tenants.entry(*tenant).or_default();
        if let Some(id) = stamp {
            self.may_take(id, tenant, entry.regions.as_deref())?;
        }
        let crowd = Crowd::count(self, tenant, tier)?;
        let allowed = |stamp: &&Stamp| entry.regions.as_ref().is_none_or(|allowed| allowed.contains(&stamp.region));
        let asked = |candidate: &&Stamp| stamp.is_none_or(|stamp| *stamp == candidate.id);
        let takes = |stamp: &&Stamp| permit(stamp.state, Operation::RouteTraffic).is_ok() && is_open(stamp);
        let candidates: Vec<&Stamp> = self.table.stamps.iter().filter(takes).filter(allowed).filter(asked).collect();
        let order = |stamp: &&Stamp| {
            let stays = entry.pin.as_ref() == Some(&stamp.id);
            let at_home = entry.home.as_ref().is_none_or(|home| *home == stamp.region);
            (!stays, !at_home, crowd.of_tier(&stamp.id), stamp.id.clone())
        };
        let chosen = candidates.iter().copied().filter(|stamp| crowd.has_room(stamp, *size)).min_by_key(order);
        let Some(chosen) = chosen else { return Err(no_room(said, entry.regions.as_deref(), &candidates, &crowd)) };
        if entry.pin.as_ref() == Some(&chosen.id) && entry.mode() == Some(*mode) && entry.tier.as_deref() == Some(*tier)
        {
            return Err(Refused::Nothing(format!("tenant {tenant} is of tier {tier} on {} already", chosen.id)));
        }
        entry.tier = Some((*tier).to_owned());
        entry.pin = Some(chosen.id.clone());
        entry.pin_mode = Some(*mode);
        let count = crowd.of_tier(&chosen.id) + 1;
        let summary = format!("assign tenant {tenant} of tier {tier} to {}, its tenant number {count}", chosen.id);
        self.finish(after, summary, vec![], now)
    }

    /// Whether a stamp that was named may be given the tenant at all.
    fn may_take(&self, id: &StampId, tenant: &TenantId, allowed: Option<&[crate::id::Region]>) -> Result<(), Refused> {
        let stamp = self.find(id)?;
        let blocked = |blocked| Refused::Blocked { stamp: id.clone(), blocked };
        permit(stamp.state, Operation::AssignTenants).map_err(blocked)?;
        permit(stamp.state, Operation::RouteTraffic).map_err(blocked)?;
        let Some(allowed) = allowed.filter(|allowed| !allowed.contains(&stamp.region)) else { return Ok(()) };
        let (tenant, stamp, region) = (Box::new(*tenant), id.clone(), stamp.region.clone());
        Err(Refused::Residency { tenant, stamp, region, allowed: join(allowed.iter()) })
    }
}

fn is_open(stamp: &Stamp) -> bool {
    permit(stamp.state, Operation::AssignTenants).is_ok()
}

/// Who is where, but for the tenant that is assigned.
struct Crowd {
    /// Of the tier, and of all.
    counts: HashMap<StampId, (u32, u32)>,
}

impl Crowd {
    fn count(fleet: &Fleet, except: &TenantId, tier: &str) -> Result<Self, Refused> {
        let built = Placement::build(fleet.table.clone(), fleet.tenants.clone());
        let placement = built.map_err(|refusal| Refused::Invalid(refusal.to_string()))?;
        // a drain that is under way counts as over
        let table = placement.table();
        let (end, entries) = (last_end(table), 0..table.regions.len());
        let mut counts: HashMap<StampId, (u32, u32)> = HashMap::new();
        for (tenant, entry) in fleet.tenants.iter().filter(|(tenant, _)| *tenant != except) {
            let arrivals = entries.clone().filter_map(|at| u8::try_from(at).ok()).map(RegionIndex);
            let owners = arrivals.filter_map(|arrival| placement.owner(tenant, arrival, end));
            // where it is pinned it has its place, whether that stamp serves now or not
            let mut places: BTreeSet<&StampId> = owners.map(|owner| &placement.stamp(owner).id).collect();
            places.extend(&entry.pin);
            for place in places {
                let (of_tier, all) = counts.entry(place.clone()).or_default();
                *all += 1;
                *of_tier += u32::from(entry.tier.as_deref() == Some(tier));
            }
        }
        Ok(Self { counts })
    }

    fn of_tier(&self, stamp: &StampId) -> u32 {
        self.counts.get(stamp).map_or(0, |(of_tier, _)| *of_tier)
    }

    fn has_room(&self, stamp: &Stamp, size: Size) -> bool {
        match size {
            Size::Shared(most) => !stamp.dedicated && self.of_tier(&stamp.id) < most,
            Size::Own => stamp.dedicated && self.counts.get(&stamp.id).is_none_or(|(_, all)| *all == 0),
        }
    }
}

/// Says what was looked at, and what to do.
fn no_room(said: &Assign<'_>, allowed: Option<&[crate::id::Region]>, candidates: &[&Stamp], crowd: &Crowd) -> Refused {
    let place = match (said.stamp, allowed) {
        (Some(stamp), _) => format!("on {stamp}"),
        (None, Some(regions)) => format!("in {}", join(regions.iter())),
        (None, None) => "in any region".to_owned(),
    };
    let tier = said.tier;
    let (dedicated, shared): (Vec<&Stamp>, Vec<&Stamp>) = candidates.iter().partition(|stamp| stamp.dedicated);
    let (found, flag) = match said.size {
        Size::Shared(most) => {
            let fullest = shared.iter().map(|stamp| crowd.of_tier(&stamp.id)).min();
            let fullest = fullest.map_or(String::new(), |least| format!(", the emptiest has {least}"));
            (format!("each of {} active stamps takes {most} of them{fullest}", shared.len()), "")
        }
        Size::Own => (
            format!("it needs a dedicated stamp of its own, and each of {} active ones has somebody", dedicated.len()),
            " --dedicated",
        ),
    };
    Refused::NoRoom(format!(
        "no stamp {place} has room for tenant {} of tier {tier}: {found}. Provision one: `stampctl register REGION-NNN \
         --endpoint URL{flag}`, then `stampctl activate`, and repeat",
        said.tenant
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        change::Terms,
        fixture::{START, fleet, tenant},
        id::Region,
        table::{State, Tenant, Tenants},
    };

    fn id(text: &str) -> StampId {
        StampId::parse(&format!("synaxis-{text}")).unwrap()
    }

    fn world(regions: &[(&str, u32)]) -> Fleet {
        Fleet { table: fleet(regions), tenants: Tenants::new() }
    }

    fn said<'a>(name: &str, tier: &'a str, size: Size) -> Assign<'a> {
        Assign { tenant: tenant(name), tier, size, stamp: None, mode: PinMode::Strict }
    }

    fn place(fleet: &Fleet, name: &str) -> String {
        fleet.tenants[&tenant(name)].pin.as_ref().unwrap().as_str().to_owned()
    }

    #[test]
    fn tenants_are_spread_until_every_stamp_is_full_and_the_next_one_is_told_to_provision() {
        let mut world = world(&[("weu", 3)]);
        for number in 0..6 {
            world = world.assign(&said(&format!("t{number}"), "starter", Size::Shared(2)), START).unwrap().fleet;
        }
        for stamp in &world.table.stamps {
            let here = world.tenants.values().filter(|entry| entry.pin.as_ref() == Some(&stamp.id));
            assert_eq!(here.count(), 2, "{}", stamp.id);
        }
        let refused = world.assign(&said("t6", "starter", Size::Shared(2)), START).unwrap_err();
        assert!(matches!(&refused, Refused::NoRoom(why) if why.contains("stampctl register")), "{refused}");
        // another tier has its own room
        assert!(world.assign(&said("t6", "professional", Size::Shared(1)), START).is_ok());
        // and who has a place keeps it
        let again = world.assign(&said("t0", "starter", Size::Shared(2)), START);
        assert!(matches!(again, Err(Refused::Nothing(_))), "{again:?}");
    }

    #[test]
    fn tenants_that_only_the_hash_places_count_where_it_places_them() {
        let mut world = world(&[("weu", 2)]);
        // none is pinned: each is where its slot is
        let names: Vec<TenantId> = (0..41).map(|number| tenant(&format!("hashed-{number}"))).collect();
        let terms = Terms { tier: Some(Some("starter")), ..Terms::default() };
        world = world.set_terms(&names, &terms, START).unwrap().fleet;
        let placement = Placement::build(world.table.clone(), world.tenants.clone()).unwrap();
        let owner = |name: &TenantId| placement.owner(name, RegionIndex(0), START).unwrap();
        let first = names.iter().filter(|name| owner(name).0 == 0).count() as u32;
        let (fewest, many) = (first.min(41 - first), first.max(41 - first));
        assert_ne!(fewest, many);
        let emptier = usize::from(first > 20);
        let after = world.assign(&said("new", "starter", Size::Shared(many)), START).unwrap().fleet;
        assert_eq!(place(&after, "new"), world.table.stamps[emptier].id.as_str());
        let refused = world.assign(&said("new", "starter", Size::Shared(fewest)), START);
        assert!(matches!(refused, Err(Refused::NoRoom(_))), "{refused:?}");
    }

    #[test]
    fn a_tenant_of_its_own_stamp_gets_an_empty_dedicated_one_and_nobody_else_does() {
        let mut world = world(&[("weu", 3)]);
        let refused = world.assign(&said("big", "enterprise", Size::Own), START).unwrap_err();
        assert!(matches!(&refused, Refused::NoRoom(why) if why.contains("--dedicated")), "{refused}");
        world.table.stamps[1].dedicated = true;
        let mut world = world.assign(&said("big", "enterprise", Size::Own), START).unwrap().fleet;
        assert_eq!(place(&world, "big"), "synaxis-weu-002");
        assert!(matches!(world.assign(&said("big2", "enterprise", Size::Own), START), Err(Refused::NoRoom(_))));
        for number in 0..4 {
            world = world.assign(&said(&format!("t{number}"), "starter", Size::Shared(2)), START).unwrap().fleet;
        }
        assert!(world.assign(&said("t5", "starter", Size::Shared(2)), START).is_err());
    }

    #[test]
    fn only_stamps_that_serve_in_the_tenants_regions_are_taken_and_its_home_first() {
        let mut world = world(&[("weu", 2), ("eus", 1), ("sea", 1)]);
        let (eus, sea) = (Region::parse("eus").unwrap(), Region::parse("sea").unwrap());
        let entry = Tenant { regions: Some(vec![eus, sea.clone()]), home: Some(sea), ..Tenant::default() };
        world.tenants.insert(tenant("acme"), entry);
        let after = world.assign(&said("acme", "starter", Size::Shared(9)), START).unwrap().fleet;
        assert_eq!(place(&after, "acme"), "synaxis-sea-001");
        let outside = id("weu-001");
        let named = Assign { stamp: Some(&outside), ..said("acme", "starter", Size::Shared(9)) };
        assert!(matches!(world.assign(&named, START), Err(Refused::Residency { .. })));
        for state in [State::Draining, State::Failed, State::Ready, State::Creating, State::Deleted] {
            for stamp in world.table.stamps.iter_mut().filter(|stamp| *stamp.region == *"sea") {
                stamp.state = state;
            }
            let after = world.assign(&said("acme", "starter", Size::Shared(9)), START).unwrap().fleet;
            assert_eq!(place(&after, "acme"), "synaxis-eus-001", "{state:?}");
            let sea = id("sea-001");
            let named = Assign { stamp: Some(&sea), ..said("acme", "starter", Size::Shared(9)) };
            assert!(matches!(world.assign(&named, START), Err(Refused::Blocked { .. })), "{state:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let world = world(&[("weu", 1)]);
        for tier in ["", "Gold", "a b", "${x}"] {
            let refused = world.assign(&said("acme", tier, Size::Shared(1)), START);
            assert!(matches!(refused, Err(Refused::InvalidTier(_))), "{tier:?}");
        }
        let nowhere = id("weu-009");
        let named = Assign { stamp: Some(&nowhere), ..said("acme", "starter", Size::Shared(1)) };
        assert!(matches!(world.assign(&named, START), Err(Refused::UnknownStamp(_))));
        let empty = Fleet { table: fleet(&[("weu", 0)]), tenants: Tenants::new() };
        assert!(matches!(empty.assign(&said("acme", "starter", Size::Shared(1)), START), Err(Refused::NoRoom(_))));
        assert!(matches!(world.assign(&said("acme", "starter", Size::Shared(0)), START), Err(Refused::NoRoom(_))));
    }
}
