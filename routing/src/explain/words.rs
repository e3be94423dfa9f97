//! An explanation in words.

use std::fmt;

use super::{Explanation, RampView};
use crate::table::{Millis, PinMode, State};

impl Explanation {
    pub(super) fn sentence(&self) -> String {
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
        let entry = self.entry.as_ref().map_or("nowhere", |entry| entry);
        writeln!(f, "asked for a request that arrives in {entry}, at table {}", self.epoch)?;
        if let Some(pin) = &self.pin {
            let mode = if pin.mode == PinMode::Strict { "that stamp or nobody" } else { "that stamp first" };
            let service = if pin.in_service { "it can serve it" } else { "it cannot serve it" };
            writeln!(f, "pin {} ({mode}): {}, {service}", pin.stamp, lower(pin.state))?;
        }
        if let Some(allowed) = &self.allowed {
            let names: Vec<&str> = allowed.iter().map(|region| &**region).collect();
            writeln!(f, "may be served in {} only", names.join(", "))?;
        }
        for region in &self.regions {
            let name = region.region.as_ref().map_or("fleet".to_owned(), |name| format!("region {name}"));
            writeln!(f, "{name} ({} stamps take slots): {}", region.takers, region.why)?;
            for rank in &region.ranks {
                writeln!(
                    f,
                    "  {}. {}  {}  weight {}  {}  score {}  {}",
                    rank.rank,
                    rank.stamp,
                    lower(rank.state),
                    rank.weight,
                    share(rank.share, rank.ramp, self.now),
                    rank.score,
                    rank.why
                )?;
            }
        }
        writeln!(f, "candidates, in order of choice")?;
        for (at, candidate) in (1..).zip(&self.hand) {
            let holds = match (candidate.holds, candidate.last_resort) {
                (_, true) => "only when nothing else is left",
                (true, _) => "holds the slot",
                (false, _) => "does not hold the slot",
            };
            let (state, role) = (lower(candidate.state), &candidate.role);
            let share = share(candidate.share, candidate.ramp, self.now);
            writeln!(f, "  {at}. {}  {state}  {role} of {}  {share}  {holds}", candidate.stamp, candidate.region)?;
        }
        match (&self.choice, self.refusal) {
            (Some(choice), _) => writeln!(f, "choice: {choice}"),
            (None, Some(refusal)) => writeln!(f, "choice: nobody, {refusal}"),
            (None, None) => writeln!(f, "choice: nobody"),
        }
    }
}

fn lower(state: State) -> String {
    format!("{state:?}").to_lowercase()
}

/// `share 50.0 %, on its way to 0 % for 150 s more`.
fn share(share: u16, ramp: Option<RampView>, now: Millis) -> String {
    let held = format!("share {}.{} %", share / 10, share % 10);
    match ramp {
        None => held,
        Some(RampView { to, ends_at: None }) => format!("{held}, held on its way to {} %", to / 10),
        Some(RampView { to, ends_at: Some(end) }) => {
            format!("{held}, on its way to {} % for {} s more", to / 10, end.saturating_sub(now).div_ceil(1_000))
        }
    }
}
