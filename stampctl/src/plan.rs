//! What a change would move, under which name it can be applied, and whether it moves too much at once.
//!
//! Invariant: `plan` and `apply` go the way of every change; a plan stops before publishing, and applying one publishes
//! only what the plan showed, over exactly the table that it was made for.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use synaxis_routing::{
    change::{Changed, Moves, PlanId, RegionMoves, RequestWay, Requests, Way, moves, requests, utc},
    id::StampId,
    placement::Placement,
    traffic::Hours,
    version::Version,
};

use crate::{
    duration,
    failure::Failure,
    output::columns,
    session::{self, Seen, Session, away},
};

/// What is done with a change.
#[derive(Clone, Debug, Default)]
pub(crate) enum Intent {
    /// It is published.
    #[default]
    Publish,
    /// It is shown.
    Plan,
    /// It is published if it is still the one that was shown.
    Apply(PlanId),
}

/// Largest share of a region's slots that may move at once unless said otherwise, per cent.
pub(crate) const MAX_MOVED: u8 = 15;

/// Ways that the text shows of a region; documents have all of them.
const WAYS_SHOWN: usize = 20;

/// Entries of the history that are read to say what happened since a plan.
const HISTORY: usize = 20;

/// A change, seen from its effect.
pub(crate) struct Plan {
    pub(crate) id: PlanId,
    /// `None` without a table that could be compared.
    pub(crate) moves: Option<Moves>,
    /// `None` unless it was [counted](Self::count).
    pub(crate) requests: Option<Requests>,
}

impl Plan {
    /// `after` is the changed table as built.
    pub(crate) fn of(changed: &Changed, after: &Placement, seen: &Seen) -> Result<Self, Failure> {
        let id = PlanId::of(seen.head.as_deref().unwrap_or_default(), seen.fleet(), changed, seen.now);
        let before = seen.fleet().cloned().map(session::place).transpose()?;
        Ok(Self { id, moves: before.map(|before| moves(&before, after, seen.now)), requests: None })
    }

    /// Adds how many requests move, by what the stamps served.
    pub(crate) fn count(
        &mut self,
        changed: &Changed,
        seen: &Seen,
        served: &BTreeMap<StampId, Hours>,
    ) -> Result<(), Failure> {
        let Some(before) = seen.fleet().cloned() else { return Ok(()) };
        let (before, after) = (session::place(before)?, session::place(changed.fleet.clone())?);
        self.requests = Some(requests(&before, &after, seen.now, served));
        Ok(())
    }

    /// Whether no region loses more than `max_moved` per cent of its slots with the publication itself.
    ///
    /// # Errors
    /// [`Failure::Forbidden`] with the numbers and the cure.
    pub(crate) fn within(&self, max_moved: u8) -> Result<(), Failure> {
        let regions = self.moves.iter().flat_map(|moves| &moves.regions);
        let too_much =
            |region: &&RegionMoves| u64::from(region.at_once) * 100 > u64::from(max_moved) * u64::from(region.slots);
        let Some(worst) = regions.filter(too_much).min_by_key(|region| Reverse(region.at_once)) else { return Ok(()) };
        Err(Failure::Forbidden(format!(
            "{} of {} slots ({} %) of requests that arrive in {} would move at once, and at most {max_moved} % may: let them go gradually (--ramp \
             300s, or in smaller steps), or repeat with --max-moved 100",
            worst.at_once,
            worst.slots,
            worst.percent_at_once,
            worst.region.as_ref().map_or("any region", |region| region)
        )))
    }

    /// What moves, in words and columns.
    pub(crate) fn words(&self) -> String {
        let Some(moves) = &self.moves else { return String::new() };
        let mut text = String::new();
        if moves.reseeded {
            text.push_str("every tenant gets another slot\n");
        }
        let mut rows = Vec::new();
        for (names, region) in alike(&moves.regions) {
            let _ = writeln!(text, "{}", summary(&names, region, moves));
            rows.extend(region.ways.iter().take(WAYS_SHOWN).map(|way| row(&names, way)));
            let more = region.ways.len().saturating_sub(WAYS_SHOWN) + region.more_ways;
            if more > 0 {
                let _ = writeln!(text, "  {more} of its ways are not shown here; -o json has more of them");
            }
        }
        if !rows.is_empty() {
            text.push_str(&columns(&["ARRIVES IN", "FROM", "TO", "SLOTS", "SHARE", "LISTED TENANTS"], &rows));
        }
        if moves.listed_tenants > 0 {
            let _ = writeln!(text, "{} listed tenants move", moves.listed_tenants);
        }
        if let Some(requests) = &self.requests {
            text.push_str(&load(requests));
        }
        text
    }
}

/// `about 12.5 of 150 requests/s (8.33 %) move`, and from where to where.
fn load(requests: &Requests) -> String {
    let Requests { per_second, moving, percent, ways, unknown } = requests;
    let mut text = format!("about {moving} of {per_second} requests/s ({percent} %) move, by the last day\n");
    let row = |way: &RequestWay| {
        let to = way.to.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        vec![way.from.to_string(), to, way.per_second.to_string()]
    };
    let rows: Vec<Vec<String>> = ways.iter().take(WAYS_SHOWN).map(row).collect();
    if !rows.is_empty() {
        text.push_str(&columns(&["FROM", "TO", "REQUESTS/S"], &rows));
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().take(WAYS_SHOWN).map(ToString::to_string).collect();
        let _ = writeln!(text, "nothing is known of {} stamps: {}", unknown.len(), names.join(", "));
    }
    text
}

/// Regions with their names; those of which the same moves are told as one.
fn alike(regions: &[RegionMoves]) -> Vec<(String, &RegionMoves)> {
    let mut alike: Vec<(String, &RegionMoves)> = Vec::new();
    for region in regions {
        let name = region.region.as_ref().map_or("any region", |region| region);
        match alike.iter_mut().find(|(_, first)| first.ways == region.ways && first.at_once == region.at_once) {
            Some((names, _)) => {
                let _ = write!(names, ", {name}");
            }
            None => alike.push((name.to_owned(), region)),
        }
    }
    alike
}

/// `2184 of 65536 slots (3.33 %) of requests that arrive in weu move over 5m 0s`.
fn summary(names: &str, region: &RegionMoves, moves: &Moves) -> String {
    let RegionMoves { slots, moved, percent, at_once, .. } = region;
    let counted = format!("{moved} of {slots} slots ({percent} %) of requests that arrive in {names} move");
    match (*moved, *at_once) {
        (0, 0) => format!("no slot of requests that arrive in {names} moves"),
        (moved, at_once) if at_once >= moved => format!("{counted} at once"),
        (_, 0) => format!("{counted} over {}", duration::words(moves.takes)),
        (_, at_once) => {
            format!("{counted}, {at_once} of them at once, the others over {}", duration::words(moves.takes))
        }
    }
}

fn row(names: &str, way: &Way) -> Vec<String> {
    let name = |stamp: &Option<_>| stamp.as_ref().map_or("nobody".to_owned(), ToString::to_string);
    let (from, to) = (name(&way.from), name(&way.to));
    vec![
        names.to_owned(),
        from,
        to,
        way.slots.to_string(),
        format!("{} %", way.percent),
        way.listed_tenants.to_string(),
    ]
}

/// Why a plan that was made for another table is not applied: who changed what since.
pub(crate) async fn overtaken(session: &Session, planned: &PlanId, now: Version) -> Failure {
    let since = session.store.history(HISTORY).await.map_err(away).unwrap_or_default();
    let mut text = format!("the plan was made for {}, but the table is {now}; nothing was published", planned.base);
    for entry in since.iter().filter(|entry| entry.version > planned.base) {
        let _ = write!(text, "\n  {} {} {}: {}", entry.version, utc(entry.at), entry.who, entry.what);
    }
    text.push_str("\nlook at it and plan anew");
    Failure::Race(text)
}

/// Why a plan of the same table is not applied.
pub(crate) fn differs(planned: &PlanId, found: &PlanId) -> Failure {
    Failure::Race(format!(
        "this command makes another change of {} than the one that was planned ({found} instead of {planned}): other \
         arguments, another file, or another answer of a proxy; nothing was published. Repeat the planned command word for \
         word, or plan this one",
        planned.base
    ))
}
