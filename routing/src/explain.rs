//! Why a tenant is served where it is served, in words.
//!
//! Invariant: nothing is decided here. Ranks, shares, hand and choice come from the functions that route requests
//! ([`Placement::hand`] and its walk); this file only names them.

use std::fmt;

use serde::Serialize;

use crate::{
    id::{Region, StampId, TenantId},
    placement::{Hold, NoStamp, Placement, RegionIndex, Role, StampIndex},
    table::{Millis, PinMode, Scope, State},
};

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

/// The ranks of a region.
#[derive(Clone, Debug, Serialize)]
pub struct RegionView {
    /// The region; `None` for the one set over the whole fleet.
    pub region: Option<Region>,
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
            holds: hold.map(Hold::holds),
            why: words(hold, stamp.state),
        }
    };
    let ranked = placement.ranked_regions(tenant, entry, RANKS_MAX);
    ranked
        .into_iter()
        .map(|ranked| RegionView {
            region: ranked.region.and_then(|at| placement.table().regions.get(usize::from(at.0)).cloned()),
            takers: ranked.takers,
            ranks: (1..).zip(ranked.ranks).map(|(rank, place)| view(rank, place)).collect(),
        })
        .collect()
}

fn role(role: Role) -> String {
    match role {
        Role::Pinned => "pin".to_owned(),
        Role::Rank(rank) => format!("rank {rank}"),
    }
}

fn words(hold: Option<Hold>, state: State) -> &'static str {
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

impl Explanation {
    fn sentence(&self) -> String {
        let at =
            format!("At epoch {} tenant {} hashes to slot {} of {}", self.epoch, self.tenant, self.slot, self.slots);
        let Some(first) = self.hand.first() else {
            let refusal = self.refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
            return format!("{at}; nobody serves it: {refusal}.");
        };
        let because = match &self.pin {
            Some(pin) if pin.stamp == first.stamp && pin.mode == PinMode::Strict => {
                "it is strictly pinned to it".to_owned()
            }
            Some(pin) if pin.stamp == first.stamp && first.role == "pin" => "it is pinned to it".to_owned(),
            _ if !first.holds && first.state == State::Draining => {
                format!("{} of {}, and every candidate is draining", first.role, first.region)
            }
            _ if !first.holds => format!("{} of {}, and nobody else holds the slot yet", first.role, first.region),
            _ => format!("{} of {} and the first that holds the slot", first.role, first.region),
        };
        let pin = match &self.pin {
            Some(pin) if !pin.in_service => {
                format!(" Its pin {} is {:?} and cannot serve it.", pin.stamp, pin.state)
            }
            Some(pin) if pin.stamp != first.stamp && pin.state == State::Draining => {
                format!(" Its pin {} has released it.", pin.stamp)
            }
            Some(pin) if pin.stamp != first.stamp => format!(" Its pin {} does not hold it yet.", pin.stamp),
            _ => String::new(),
        };
        let next: Vec<&str> = self.hand.iter().skip(1).map(|candidate| candidate.stamp.as_str()).collect();
        let next = if next.is_empty() { "nobody".to_owned() } else { next.join(", then ") };
        format!("{at}; {} serves it: {because}. If it cannot: {next}.{pin}", first.stamp)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        for region in &self.regions {
            match &region.region {
                Some(name) => writeln!(f, "region {name} ({} stamps take slots)", region.takers)?,
                None => writeln!(f, "fleet ({} stamps take slots)", region.takers)?,
            }
            for rank in &region.ranks {
                let state = format!("{:?}", rank.state).to_lowercase();
                writeln!(
                    f,
                    "  {}. {}  {state}  weight {}  share {}.{} %  score {}  {}",
                    rank.rank,
                    rank.stamp,
                    rank.weight,
                    rank.share / 10,
                    rank.share % 10,
                    rank.score,
                    rank.why
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
