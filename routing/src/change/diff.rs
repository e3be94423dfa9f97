//! What differs between two fleets, field by field, in words for an operator and as values for a program.
//!
//! Invariant: every field that an edit can change is compared (documents are compared as they are written, not by a list
//! of known fields), and the seed is never shown.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::{Map, Value};

use super::Fleet;
use crate::{
    degradation::Degradation,
    table::{Millis, Ramp},
};

/// Most differences that are listed; further ones are counted.
pub const DIFFERENCES_MAX: usize = 1_000;

/// Fields that say the same as the version line, or follow from another field.
const IMPLIED: [&str; 7] = ["version", "term", "epoch", "previous", "tenants_hash", "stamps", "since"];

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `table`, a stamp's id, or `tenant ID`.
    pub subject: String,
    /// The field; `*` when the whole subject appears or goes.
    pub field: String,
    /// Its value before; `None` when it did not exist.
    pub before: Option<Value>,
    /// Its value now; `None` when it does not exist any more.
    pub after: Option<Value>,
}

impl Difference {
    pub(super) fn of(subject: &str, field: &str, before: Option<Value>, after: Option<Value>) -> Self {
        Self { subject: subject.to_owned(), field: field.to_owned(), before, after }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (&self.before, &self.after) {
            (None, Some(_)) if self.field == "*" => '+',
            (Some(_), None) if self.field == "*" => '-',
            _ => '~',
        };
        write!(f, "{sign} {}", self.subject)?;
        let words = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".to_owned(), |v| words(&self.field, v));
        match (&self.before, &self.after) {
            (None, Some(Value::Object(whole))) if self.field == "*" => {
                // its own name is said already
                let named = |value: &Value| value.as_str() == Some(self.subject.as_str());
                let rest = whole.iter().filter(|(_, value)| !named(value));
                let rest: Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
                write!(f, ": {}", words(&Some(Value::Object(rest))))
            }
            (Some(_), None) if self.field == "*" => Ok(()),
            (before, after) => write!(f, "  {}: {} → {}", self.field, words(before), words(after)),
        }
    }
}

/// A value as an operator reads it.
fn words(field: &str, value: &Value) -> String {
    if field == "ramp"
        && let Ok(ramp) = serde_json::from_value::<Ramp>(value.clone())
    {
        let held = if ramp.held_at.is_some() { ", held" } else { "" };
        let Ramp { from, to, seconds, .. } = ramp;
        return if seconds == 0 {
            format!("{to}‰ at once")
        } else {
            format!("{from}‰ to {to}‰ in {seconds} s{held}")
        };
    }
    if field == "degradation"
        && let Ok(degradation) = serde_json::from_value::<Degradation>(value.clone())
    {
        return degradation.to_string();
    }
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(name, value)| !is_empty(value) && !IMPLIED.contains(&name.as_str()));
            let instant = |name: &str, value: &Value| match value.as_u64() {
                Some(at) if field == "deadlines" => utc(at),
                _ => words(name, value),
            };
            let list: Vec<_> = shown.map(|(name, value)| format!("{name} {}", instant(name, value))).collect();
            if list.is_empty() { "none".to_owned() } else { list.join(", ") }
        }
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(|item| words(field, item)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The differences and how many were left out. Without `before` everything is new.
pub(super) fn between(before: Option<&Fleet>, after: &Fleet) -> (Vec<Difference>, usize) {
    let mut list = List::default();
    let fields = |fleet: &Fleet, seed: &str| {
        let mut fields = object(&fleet.table);
        fields.insert("seed".to_owned(), seed.into());
        fields
    };
    let same = before.is_none_or(|before| before.table.seed == after.table.seed);
    let new = fields(after, if same { "secret" } else { "another secret" });
    list.fields("table", &before.map(|before| fields(before, "secret")).unwrap_or_default(), &new);
    let stamps = |fleet: &Fleet| -> BTreeMap<String, Map<String, Value>> {
        fleet.table.stamps.iter().map(|stamp| (stamp.id.to_string(), object(stamp))).collect()
    };
    list.subjects("", &before.map(stamps).unwrap_or_default(), &stamps(after));
    // 100,000 tenants: only those that differ are written out
    let differing = |fleet: &Fleet, other: Option<&Fleet>| -> BTreeMap<String, Map<String, Value>> {
        let differs = |id, tenant| other.is_none_or(|other| other.tenants.get(id) != Some(tenant));
        let tenants = fleet.tenants.iter().filter(|(id, tenant)| differs(*id, *tenant));
        tenants.map(|(id, tenant)| (id.to_string(), object(tenant))).collect()
    };
    let old = before.map(|before| differing(before, Some(after))).unwrap_or_default();
    list.subjects("tenant ", &old, &differing(after, before));
    (list.found, list.more)
}

#[derive(Default)]
struct List {
    found: Vec<Difference>,
    more: usize,
}

impl List {
    fn push(&mut self, difference: Difference) {
        if self.found.len() < DIFFERENCES_MAX { self.found.push(difference) } else { self.more += 1 }
    }

    /// Things by name: those that appear, go, or differ.
    fn subjects(
        &mut self,
        kind: &str,
        before: &BTreeMap<String, Map<String, Value>>,
        after: &BTreeMap<String, Map<String, Value>>,
    ) {
        for (name, old) in before {
            let subject = format!("{kind}{name}");
            match after.get(name) {
                Some(new) => self.fields(&subject, old, new),
                None => self.push(Difference::of(&subject, "*", Some(Value::Object(old.clone())), None)),
            }
        }
        for (name, new) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            let subject = format!("{kind}{name}");
            self.push(Difference::of(&subject, "*", None, Some(Value::Object(new.clone()))));
        }
    }

    fn fields(&mut self, subject: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names.into_iter().filter(|name| !IMPLIED.contains(&name.as_str())) {
            let present = |map: &Map<String, Value>| map.get(name).filter(|value| !is_empty(value)).cloned();
            let (old, new) = (present(before), present(after));
            if old != new {
                self.push(Difference::of(subject, name, old, new));
            }
        }
    }
}

fn object<T: Serialize>(item: &T) -> Map<String, Value> {
    match serde_json::to_value(item) {
        Ok(Value::Object(fields)) => fields,
        // the documents are plain data: they always serialise to objects
        _ => Map::new(),
    }
}

/// An instant in RFC 3339, UTC, to the second: `2026-01-09T23:06:40Z`. Proleptic Gregorian calendar, after Howard
/// Hinnant's `civil_from_days`.
#[must_use]
pub fn utc(at: Millis) -> String {
    let seconds = at / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
