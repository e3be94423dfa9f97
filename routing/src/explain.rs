//! Why a tenant is served where it is served, in words.
//!
//! Invariant: nothing is decided here. Ranks, shares, hand and choice come from the functions that route requests
//! ([`Placement::hand`] and its walk); this file only names them, and `words` makes sentences of the names.

use serde::Serialize;

use crate::{
    id::{Region, StampId, TenantId},
    placement::{Hold, NoStamp, Placement, RegionIndex, Role, StampIndex},
    table::{Millis, PinMode, Scope, Stamp, State, Tenant},
};

mod words;

/// Most ranks that are shown of a region.
const RANKS_MAX: usize = 8;

/// Everything that led to a choice. The same document for `/routing/explain` and `stampctl explain`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The tenant.
    pub tenant: TenantId,
    /// Its slot.
    pub slot: u32,
    /// How many slots there are.
    pub slots: u32,
    /// `TERM.EPOCH` of the table.
    pub epoch: String,
    /// The instant, in milliseconds since the Unix epoch on the store's clock.
    pub now: Millis,
    /// Region of the entry.
    pub entry: Option<Region>,
    /// Whether a tenant has one stamp a region or one in the fleet.
    pub scope: Scope,
    /// The pin, if there is one.
    pub pin: Option<PinView>,
    /// The tenant's home region, if it has one.
    pub home: Option<Region>,
    /// The only regions that may serve it, if they are restricted.
    pub allowed: Option<Vec<Region>>,
    /// Ranks in every region, in the order in which the regions are asked.
    pub regions: Vec<RegionView>,
    /// Who may serve it, in order of choice.
    pub hand: Vec<CandidateView>,
    /// Who serves it.
    pub choice: Option<StampId>,
    /// Why nobody does.
    pub refusal: Option<NoStamp>,
    /// The whole story in a sentence or two.
    pub why: String,
}

/// A pin and whether it can be followed.
#[derive(Clone, Debug, Serialize)]
pub struct PinView {
    /// The stamp.
    pub stamp: StampId,
    /// How binding it is.
    pub mode: PinMode,
    /// Its state.
    pub state: State,
    /// Whether it can serve: Active or Draining, in an allowed region.
    pub in_service: bool,
}

/// A ramp that has not ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RampView {
    /// Where the share goes, per mille.
    pub to: u16,
    /// When it ends, in milliseconds since the Unix epoch; `None` while it is held.
    pub ends_at: Option<Millis>,
}

impl RampView {
    fn of(stamp: &Stamp, now: Millis) -> Option<Self> {
        let serves = matches!(stamp.state, State::Active | State::Draining);
        let ramp = stamp.ramp.filter(|ramp| serves && ramp.from != ramp.to)?;
        let end = ramp.started_at.saturating_add(u64::from(ramp.seconds) * 1_000);
        let ends_at = ramp.held_at.is_none().then_some(end);
        ends_at.is_none_or(|end| end > now).then_some(Self { to: ramp.to, ends_at })
    }
}

/// The ranks of a region.
#[derive(Clone, Debug, Serialize)]
pub struct RegionView {
    /// The region; `None` for the one set over the whole fleet.
    pub region: Option<Region>,
    /// Why it is asked at this place.
    pub why: &'static str,
    /// Its first ranks.
    pub ranks: Vec<RankView>,
    /// How many stamps take slots there.
    pub takers: usize,
}

/// A rank.
#[derive(Clone, Debug, Serialize)]
pub struct RankView {
    /// From 1.
    pub rank: u16,
    /// The stamp.
    pub stamp: StampId,
    /// Its state.
    pub state: State,
    /// Its weight.
    pub weight: u16,
    /// Its score for the slot, 16 hexadecimal digits; with equal weights the largest is rank 1.
    pub score: String,
    /// Its distance `-log2(score)`, fixed point with 48 fractional bits; the smallest per weight is rank 1.
    pub distance: u64,
    /// Share of its slots that it holds now, per mille, rounded up.
    pub share: u16,
    /// Its ramp, while that moves its share.
    pub ramp: Option<RampView>,
    /// Whether it holds this one; `None` where the walk does not come by, because the pin is strict.
    pub holds: Option<bool>,
    /// Why.
    pub why: &'static str,
}

/// A member of the hand.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateView {
    /// The stamp.
    pub stamp: StampId,
    /// Its region.
    pub region: Region,
    /// Its state.
    pub state: State,
    /// Why it is in the hand: `pin` or `rank N`.
    pub role: String,
    /// Share of its slots that it holds now, per mille, rounded up.
    pub share: u16,
    /// Its ramp, while that moves its share.
    pub ramp: Option<RampView>,
    /// Whether it holds the tenant now.
    pub holds: bool,
    /// Draining and not the owner.
    pub last_resort: bool,
}

/// Explains the placement of a tenant at an entry.
#[must_use]
pub fn explain(placement: &Placement, tenant: &TenantId, entry: RegionIndex, now: Millis) -> Explanation {
    let table = placement.table();
    let listed = placement.tenants().get(tenant);
    let hand = placement.hand(tenant, entry, now);
    let candidates = hand.iter().flat_map(|hand| hand.iter());
    let hand_view: Vec<CandidateView> = candidates
        .map(|candidate| {
            let stamp = placement.stamp(candidate.stamp);
            CandidateView {
                stamp: stamp.id.clone(),
                region: stamp.region.clone(),
                state: stamp.state,
                role: role(candidate.role),
                share: placement.share(candidate.stamp, now).per_mille(),
                ramp: RampView::of(stamp, now),
                holds: candidate.holds,
                last_resort: candidate.last_resort,
            }
        })
        .collect();
    let pin = listed.and_then(|listed| {
        let stamp = listed.pin.clone()?;
        let state = table.stamp(stamp.as_str())?.state;
        let in_service = placement.pin_serves(tenant, entry);
        Some(PinView { stamp, mode: listed.pin_mode.unwrap_or(PinMode::Preferred), state, in_service })
    });
    let mut explanation = Explanation {
        tenant: *tenant,
        slot: placement.slot(tenant),
        slots: 1 << table.slots_log2,
        epoch: table.version().to_string(),
        now,
        entry: table.regions.get(usize::from(entry.0)).cloned(),
        scope: table.scope,
        pin,
        home: listed.and_then(|listed| listed.home.clone()),
        allowed: listed.and_then(|listed| listed.regions.clone()),
        regions: regions(placement, tenant, entry, now),
        choice: hand_view.first().map(|first| first.stamp.clone()),
        hand: hand_view,
        refusal: hand.err(),
        why: String::new(),
    };
    explanation.why = explanation.sentence();
    explanation
}

fn regions(placement: &Placement, tenant: &TenantId, entry: RegionIndex, now: Millis) -> Vec<RegionView> {
    let passed = placement.passed(tenant, entry, now);
    let held = |stamp: StampIndex| passed.iter().find(|passed| passed.stamp == stamp).map(|passed| passed.hold);
    let view = |rank: u16, (index, score, distance): (StampIndex, u64, u64)| {
        let (stamp, hold) = (placement.stamp(index), held(index));
        RankView {
            rank,
            stamp: stamp.id.clone(),
            state: stamp.state,
            weight: stamp.weight,
            score: format!("{score:016x}"),
            distance,
            share: placement.share(index, now).per_mille(),
            ramp: RampView::of(stamp, now),
            holds: hold.map(Hold::holds),
            why: standing(hold, stamp.state),
        }
    };
    let listed = placement.tenants().get(tenant);
    let ranked = placement.ranked_regions(tenant, entry, RANKS_MAX);
    ranked
        .into_iter()
        .enumerate()
        .map(|(at, ranked)| RegionView {
            why: place(placement, listed, entry, at, ranked.region),
            region: ranked.region.and_then(|at| placement.table().regions.get(usize::from(at.0)).cloned()),
            takers: ranked.takers,
            ranks: (1..).zip(ranked.ranks).map(|(rank, place)| view(rank, place)).collect(),
        })
        .collect()
}

/// Why a region is asked as the `at`th one.
fn place(
    placement: &Placement,
    listed: Option<&Tenant>,
    entry: RegionIndex,
    at: usize,
    region: Option<RegionIndex>,
) -> &'static str {
    let named = region.and_then(|region| placement.table().regions.get(usize::from(region.0)));
    let home = listed.and_then(|listed| listed.home.as_ref());
    match region {
        None => "under scope fleet all stamps are ranked together",
        Some(_) if at == 0 && home.is_some() && home == named => "the tenant's home",
        Some(region) if at == 0 && region == entry && placement.table().scope == Scope::Region => {
            "the request arrives there"
        }
        Some(_) if listed.is_some_and(|listed| listed.regions.is_some()) => "next of the tenant's own regions",
        Some(_) => "next in the table's order",
    }
}

fn role(role: Role) -> String {
    match role {
        Role::Pinned => "pin".to_owned(),
        Role::Rank(rank) => format!("rank {rank}"),
    }
}

fn standing(hold: Option<Hold>, state: State) -> &'static str {
    match (hold, state) {
        (None, _) => "not asked: the pin is strict",
        (Some(Hold::Whole), _) => "holds all its slots",
        (Some(Hold::Within), State::Draining) => "draining, has not released this one yet",
        (Some(Hold::Within), _) => "coming in, has received this one",
        (Some(Hold::Outside), State::Draining) => "draining, has released this one",
        (Some(Hold::Outside), _) => "coming in, has not received this one yet",
        (Some(Hold::Barred), _) => "draining: receives nothing from another drain",
    }
}

#[cfg(test)]
mod tests;
