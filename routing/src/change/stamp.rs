//! Edits of one stamp: register, activate, drain, isolate, cancel, weight, standby, delete, fail, retry.
//!
//! Invariant: the state changes only through [`Fleet::step`], which asks the state machine, resets what belonged to the
//! old state (ramp, deadlines) and stamps the time. Shares that change over time go through [`crate::ramp`] alone.

use std::collections::BTreeMap;

use super::{Changed, Fleet, Guards, Overrides, Refused, TEXT_BYTES_MAX, check_text, join};
use crate::{
    endpoint::Endpoint,
    id::{Region, StampId},
    lifecycle::{self, CONNECTIONS, DRAINED, Operation, STUCK, permit},
    ramp,
    sanity::REGIONS_MAX,
    table::{Millis, Stamp, State},
};

/// Length of a ramp unless said otherwise: 300 seconds.
pub const RAMP_SECONDS_DEFAULT: u32 = 300;
/// Most labels of a stamp.
pub const LABELS_MAX: usize = 32;
/// Longest name of a label, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 63;
/// Most warnings kept for a stamp; the oldest go first.
pub const WARNINGS_MAX: usize = 8;
/// Longest grace period of a drain: 7 days, in milliseconds.
pub const GRACE_MAX: Millis = 7 * 24 * 3_600_000;

/// A stamp to be registered.
#[derive(Clone, Debug)]
pub struct Register {
    /// Its id; names its region.
    pub id: StampId,
    /// Its peer listener.
    pub endpoint: String,
    /// Its share of slots relative to the others, 0–1000.
    pub weight: u16,
    /// Whether it serves only tenants pinned to it.
    pub dedicated: bool,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// How a stamp is drained.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Over how many seconds it gives its slots away.
    pub ramp_seconds: u32,
    /// Everything at once: no ramp, and what is open may be cut. Also ends a drain that is under way.
    pub force: bool,
    /// How long connections and jobs may take in all, in milliseconds, instead of 10 + 30 minutes.
    pub grace: Option<Millis>,
    /// What the operator overrides by name.
    pub overrides: Overrides,
}

impl Default for Drain {
    fn default() -> Self {
        Self { ramp_seconds: RAMP_SECONDS_DEFAULT, force: false, grace: None, overrides: Overrides::default() }
    }
}

impl Fleet {
    /// Adds a stamp, Creating: it takes nothing yet.
    ///
    /// # Errors
    /// [`Refused`]: the id is taken or retired, its region is not the table's, the endpoint is no `https://HOST:PORT`,
    /// a label or the weight is out of range, or the table is full. Whether proxies may dial the endpoint is for their
    /// own allow-lists to say.
    pub fn register(&self, new: Register, now: Millis) -> Result<Changed, Refused> {
        let region = self.region(new.id.region());
        self.add(new, region, now)
    }

    /// The same; if its region is not the table's yet, it becomes the last one in the order.
    ///
    /// # Errors
    /// [`Fleet::register`]'s, and [`Refused::Full`] when the table has as many regions as it may have.
    pub fn register_in_new_region(&self, new: Register, now: Millis) -> Result<Changed, Refused> {
        if self.region(new.id.region()).is_ok() {
            return self.register(new, now);
        }
        if self.table.regions.len() >= REGIONS_MAX {
            return Err(Refused::Full(format!("{REGIONS_MAX} regions")));
        }
        let region = Region::parse(new.id.region()).map_err(|error| Refused::Invalid(error.to_string()))?;
        self.add(new, Ok(region), now)
    }

    fn add(&self, new: Register, region: Result<Region, Refused>, now: Millis) -> Result<Changed, Refused> {
        if let Some(known) = self.table.stamp(new.id.as_str()) {
            return Err(match known.state {
                State::Deleted => Refused::Retired(new.id),
                state => Refused::Exists { stamp: new.id, state },
            });
        }
        if self.table.retired.contains(&new.id) {
            return Err(Refused::Retired(new.id));
        }
        let region = region?;
        check_weight(new.weight)?;
        check_labels(&new.labels)?;
        let endpoint = Endpoint::parse(&new.endpoint)
            .map_err(|error| Refused::Invalid(format!("the endpoint of {} is refused: {error}", new.id)))?
            .to_string();
        let mut after = self.clone();
        let summary = format!("register {} at {endpoint}", new.id);
        if !after.table.regions.contains(&region) {
            after.table.regions.push(region.clone());
        }
        after.table.stamps.push(Stamp {
            placement_key: new.id.clone(),
            id: new.id,
            region,
            state: State::Creating,
            since: now,
            weight: new.weight,
            dedicated: new.dedicated,
            endpoint,
            ramp: None,
            deadlines: BTreeMap::new(),
            warnings: Vec::new(),
            labels: new.labels,
            ext: serde_json::Map::new(),
        });
        self.finish(after, summary, vec![], now)
    }

    /// Brings a stamp in over `ramp_seconds`, from Creating or Ready; from Draining it cancels the drain.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`], [`Refused::Invalid`] for a ramp that is too long.
    pub fn activate(&self, id: &StampId, ramp_seconds: u32, now: Millis) -> Result<Changed, Refused> {
        if self.find(id)?.state == State::Draining {
            return self.cancel_drain(id, ramp_seconds, now);
        }
        check_ramp(ramp_seconds)?;
        let ramp = ramp::onward(self.find(id)?, ramp::WHOLE, now, ramp_seconds);
        let mut after = self.clone();
        let stamp = after.step(id, State::Active, now)?;
        stamp.warnings.clear();
        stamp.ramp = (ramp_seconds > 0).then_some(ramp);
        self.finish(after, format!("activate {id} {}", over(ramp_seconds)), vec![], now)
    }

    /// Drains a stamp: it gives its slots away over the ramp and finishes what it has. With `force` everything goes at
    /// once, also when it is draining already.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`], [`Refused::StrictlyPinned`], [`Refused::Guarded`],
    /// [`Refused::Invalid`].
    pub fn drain(&self, id: &StampId, how: Drain, guards: &Guards, now: Millis) -> Result<Changed, Refused> {
        check_ramp(how.ramp_seconds)?;
        if how.grace.is_some_and(|grace| grace > GRACE_MAX) {
            return Err(Refused::Invalid("a grace period is at most 7 days".into()));
        }
        let again = how.force && self.find(id)?.state == State::Draining;
        let after = self.leaving(id, how, now)?;
        let pinned = self.strictly_pinned(id);
        if !pinned.is_empty() && !again {
            return Err(Refused::StrictlyPinned { stamp: id.clone(), tenants: pinned });
        }
        let warnings = guards.check(self, &after, id, how.overrides)?;
        let what = if how.force { "at once; what is open may be cut".to_owned() } else { over(how.ramp_seconds) };
        self.finish(after, format!("drain {id} {what}"), warnings, now)
    }

    /// Takes a stamp out at once, in an emergency: no ramp, below the minimum of Active stamps, and with strict pins left
    /// behind; both are told. It stays the last resort of its tenants, and what it has open is not cut by this.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Guarded`] for the last Active stamp without `last`, [`Refused::Nothing`] when
    /// it takes nothing as it is.
    pub fn isolate(&self, id: &StampId, last: bool, guards: &Guards, now: Millis) -> Result<Changed, Refused> {
        let before = self.find(id)?;
        match before.state {
            State::Active => {}
            State::Draining if !ramp::share(before, now).is_none() => {}
            State::Draining => return Err(Refused::Nothing(format!("{id} has given everything away"))),
            state => return Err(Refused::Nothing(format!("{id} is {state}, it takes no requests"))),
        }
        let after = self.leaving(id, Drain { force: true, ..Drain::default() }, now)?;
        let mut warnings = guards.check(self, &after, id, Overrides { below_minimum: true, last })?;
        let pinned = self.strictly_pinned(id);
        if !pinned.is_empty() {
            let tenants = super::some_of(&pinned);
            warnings
                .push(format!("{tenants} may be served by {id} only and stay there; move them: `stampctl tenant pin`"));
        }
        self.finish(after, format!("isolate {id}: it gives everything away at once"), warnings, now)
    }

    /// Draining, with its ramp and its deadlines; also a stamp that drains already, by force.
    fn leaving(&self, id: &StampId, how: Drain, now: Millis) -> Result<Self, Refused> {
        let before = self.find(id)?;
        let seconds = if how.force { 0 } else { how.ramp_seconds };
        let ramp = ramp::onward(before, 0, now, seconds);
        let again = how.force && before.state == State::Draining;
        let mut after = self.clone();
        let stamp = if again { after.find_mut(id)? } else { after.step(id, State::Draining, now)? };
        stamp.ramp = Some(ramp);
        let late = Millis::from(seconds.saturating_sub(RAMP_SECONDS_DEFAULT)) * 1_000;
        set_deadlines(stamp, now, late, how);
        Ok(after)
    }

    /// Ends a drain: the stamp takes back what it gave away, in reverse order, over `ramp_seconds`.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`] unless it is draining, [`Refused::Invalid`].
    pub fn cancel_drain(&self, id: &StampId, ramp_seconds: u32, now: Millis) -> Result<Changed, Refused> {
        check_ramp(ramp_seconds)?;
        let before = self.find(id)?;
        if before.state != State::Draining {
            let illegal = lifecycle::Illegal { from: before.state, to: State::Active };
            return match before.state {
                State::Active => Err(Refused::Nothing(format!("{id} is active, it is not draining"))),
                _ if lifecycle::check(before.state, State::Active).is_ok() => Err(Refused::Invalid(format!(
                    "{id} is {}, it is not draining; `stampctl activate {id}` brings it in",
                    before.state
                ))),
                _ => Err(Refused::Illegal { stamp: id.clone(), illegal }),
            };
        }
        let back = ramp::onward(before, ramp::WHOLE, now, ramp_seconds);
        let mut after = self.clone();
        let stamp = after.step(id, State::Active, now)?;
        stamp.ramp = (ramp_seconds > 0 && back.from < ramp::WHOLE).then_some(back);
        self.finish(after, format!("cancel the drain of {id} {}", over(ramp_seconds)), vec![], now)
    }

    /// Sets the weight, 0–1000; 0 takes no slots and so counts as leaving.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Blocked`], [`Refused::Guarded`], [`Refused::LastTaker`],
    /// [`Refused::Invalid`], [`Refused::Nothing`].
    pub fn weight(
        &self,
        id: &StampId,
        weight: u16,
        guards: &Guards,
        overrides: Overrides,
        now: Millis,
    ) -> Result<Changed, Refused> {
        check_weight(weight)?;
        let before = self.find(id)?;
        permit(before.state, Operation::Configure)
            .map_err(|blocked| Refused::Blocked { stamp: id.clone(), blocked })?;
        if before.weight == weight {
            return Err(Refused::Nothing(format!("{id} has weight {weight} already")));
        }
        let summary = format!("weigh {id} {weight} instead of {}", before.weight);
        let mut after = self.clone();
        after.find_mut(id)?.weight = weight;
        self.keeps_a_taker(&after, id)?;
        let warnings = guards.check(self, &after, id, overrides)?;
        self.finish(after, summary, warnings, now)
    }

    /// A drained stamp becomes warm standby. `warning` is kept with it: what was cut, when its deadline passed.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`], [`Refused::StrictlyPinned`], [`Refused::LastTaker`].
    pub fn standby(&self, id: &StampId, warning: Option<String>, now: Millis) -> Result<Changed, Refused> {
        let mut after = self.clone();
        let stamp = after.step(id, State::Ready, now)?;
        warn(stamp, warning);
        self.not_strictly_pinned(id)?;
        self.keeps_a_taker(&after, id)?;
        self.finish(after, format!("put {id} on standby"), vec![], now)
    }

    /// Leaves a tombstone. A draining stamp goes only by `force`: what it still serves is cut. Preferred pins to it are
    /// taken away.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`], [`Refused::StillDraining`], [`Refused::StrictlyPinned`],
    /// [`Refused::LastTaker`].
    pub fn delete(&self, id: &StampId, force: bool, now: Millis) -> Result<Changed, Refused> {
        let draining = self.find(id)?.state == State::Draining;
        let mut after = self.clone();
        after.step(id, State::Deleted, now)?;
        if draining && !force {
            return Err(Refused::StillDraining(id.clone()));
        }
        self.not_strictly_pinned(id)?;
        self.keeps_a_taker(&after, id)?;
        let warnings = after.drop_preferred_pins(id).into_iter().collect();
        self.finish(after, format!("delete {id}"), warnings, now)
    }

    /// Marks a stamp whose creation or activation failed; `why` is kept with it.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`].
    pub fn fail(&self, id: &StampId, why: String, now: Millis) -> Result<Changed, Refused> {
        let summary = format!("mark {id} as failed");
        let mut after = self.clone();
        warn(after.step(id, State::Failed, now)?, Some(why));
        self.finish(after, summary, vec![], now)
    }

    /// A failed stamp is created anew.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Illegal`].
    pub fn retry(&self, id: &StampId, now: Millis) -> Result<Changed, Refused> {
        let mut after = self.clone();
        after.step(id, State::Creating, now)?.warnings.clear();
        self.finish(after, format!("create {id} once more"), vec![], now)
    }

    /// The only way a state changes.
    fn step(&mut self, id: &StampId, to: State, now: Millis) -> Result<&mut Stamp, Refused> {
        let stamp = self.find_mut(id)?;
        lifecycle::check(stamp.state, to).map_err(|illegal| Refused::Illegal { stamp: id.clone(), illegal })?;
        stamp.state = to;
        stamp.since = now;
        stamp.ramp = None;
        stamp.deadlines.clear();
        Ok(stamp)
    }

    pub(super) fn find(&self, id: &StampId) -> Result<&Stamp, Refused> {
        self.table.stamp(id.as_str()).ok_or_else(|| Refused::UnknownStamp(id.clone()))
    }

    fn find_mut(&mut self, id: &StampId) -> Result<&mut Stamp, Refused> {
        self.table.stamps.iter_mut().find(|stamp| stamp.id == *id).ok_or_else(|| Refused::UnknownStamp(id.clone()))
    }

    fn region(&self, name: &str) -> Result<Region, Refused> {
        let known = || join(self.table.regions.iter());
        let found = self.table.regions.iter().find(|region| ***region == *name);
        found.cloned().ok_or_else(|| Refused::UnknownRegion { region: name.to_owned(), known: known() })
    }

    /// Readers refuse the loss of the last taker whatever a writer says; better to hear it here.
    pub(super) fn keeps_a_taker(&self, after: &Self, id: &StampId) -> Result<(), Refused> {
        let taken = |fleet: &Self| fleet.table.takers().next().is_some();
        if taken(self) && !taken(after) { Err(Refused::LastTaker(id.clone())) } else { Ok(()) }
    }

    fn not_strictly_pinned(&self, id: &StampId) -> Result<(), Refused> {
        let tenants = self.strictly_pinned(id);
        if tenants.is_empty() { Ok(()) } else { Err(Refused::StrictlyPinned { stamp: id.clone(), tenants }) }
    }
}

/// A drain's deadlines count from its start. A ramp that is longer than usual moves them by the excess: otherwise a slow
/// drain would be overdue before it gave everything away.
fn set_deadlines(stamp: &mut Stamp, now: Millis, late: Millis, how: Drain) {
    let grace = how.grace.or(how.force.then_some(0));
    let (connections, drained) = match grace {
        Some(grace) => (grace, grace),
        None => (lifecycle::DRAIN_CONNECTIONS, lifecycle::DRAIN),
    };
    let flag = drained + (lifecycle::DRAIN_FLAG - lifecycle::DRAIN);
    let at = |after: Millis| now.saturating_add(late).saturating_add(after);
    stamp.deadlines = [(CONNECTIONS, at(connections)), (DRAINED, at(drained)), (STUCK, at(flag))]
        .map(|(name, at)| (name.to_owned(), at))
        .into();
}

fn warn(stamp: &mut Stamp, warning: Option<String>) {
    let clean = |text: String| {
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        while text.len() > TEXT_BYTES_MAX {
            text.pop();
        }
        text
    };
    stamp.warnings.extend(warning.map(clean));
    let excess = stamp.warnings.len().saturating_sub(WARNINGS_MAX);
    stamp.warnings.drain(..excess);
}

fn check_weight(weight: u16) -> Result<(), Refused> {
    if weight > 1_000 { Err(Refused::Invalid("a weight is 0 to 1000".into())) } else { Ok(()) }
}

fn check_ramp(seconds: u32) -> Result<(), Refused> {
    if seconds > ramp::SECONDS_MAX { Err(Refused::Invalid("a ramp takes at most 7 days".into())) } else { Ok(()) }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refused> {
    if labels.len() > LABELS_MAX {
        return Err(Refused::Invalid(format!("a stamp has at most {LABELS_MAX} labels")));
    }
    for (name, value) in labels {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
        if name.is_empty() || name.len() > LABEL_NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(Refused::Invalid(format!(
                "a label's name is 1 to {LABEL_NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - /"
            )));
        }
        check_text(&format!("the value of label {name}"), value)?;
    }
    Ok(())
}

fn over(seconds: u32) -> String {
    if seconds == 0 { "at once".to_owned() } else { format!("over {seconds} s") }
}
