//! One stamp: `status` shows everything about it.

use std::collections::BTreeMap;

use serde::Serialize;
use synaxis_routing::{
    ack::Ack,
    change::utc,
    degradation::Override,
    id::StampId,
    lifecycle::{self, Operation, Trigger},
    ramp,
    table::{Millis, PinMode, Ramp, Stamp, State},
};

use crate::{
    args::One,
    duration,
    failure::Failure,
    names,
    output::columns,
    session::{Session, away},
};

/// What the live proxies of one stamp report together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sums {
    /// Live proxies.
    pub(crate) proxies: usize,
    pub(crate) connections: u64,
    pub(crate) in_flight: u64,
    pub(crate) requests_per_second: f64,
}

impl Sums {
    pub(crate) fn is_busy(&self) -> bool {
        self.connections > 0 || self.in_flight > 0
    }

    /// What is cut when the stamp goes now; `None` when nothing is.
    pub(crate) fn words(&self) -> Option<String> {
        self.is_busy()
            .then(|| format!("{} connections and {} requests in flight were cut", self.connections, self.in_flight))
    }
}

/// Adds up the live acknowledgements of one stamp.
pub(crate) fn sums(acks: &[Ack], id: &StampId, now: Millis) -> Sums {
    acks.iter().filter(|ack| ack.stamp == *id && ack.is_live(now)).fold(Sums::default(), |sums, ack| Sums {
        proxies: sums.proxies + 1,
        connections: sums.connections.saturating_add(ack.connections),
        in_flight: sums.in_flight.saturating_add(ack.in_flight),
        requests_per_second: sums.requests_per_second + ack.requests_per_second,
    })
}

#[derive(Debug, Serialize)]
struct Status {
    id: StampId,
    region: String,
    state: State,
    /// Milliseconds since the Unix epoch.
    since: Millis,
    age_ms: Millis,
    /// `TERM.EPOCH` of the table.
    version: String,
    endpoint: String,
    weight: u16,
    dedicated: bool,
    placement_key: StampId,
    ramp: Option<Ramp>,
    /// Share of its slots that it holds now, per mille.
    share: u16,
    deadlines: BTreeMap<String, Millis>,
    overdue: Option<lifecycle::Overdue>,
    /// The level set by hand that holds now; `null` ordinarily.
    degraded: Option<Override>,
    warnings: Vec<String>,
    labels: BTreeMap<String, String>,
    strict_pins: usize,
    preferred_pins: usize,
    next: Vec<Next>,
    blocked: &'static [Operation],
    live: Sums,
    proxies: Vec<ProxyView>,
}

#[derive(Debug, Serialize)]
struct Next {
    state: State,
    trigger: Trigger,
}

#[derive(Debug, Serialize)]
struct ProxyView {
    proxy: String,
    build: String,
    applied: String,
    live: bool,
    age_ms: Millis,
    connections: u64,
    in_flight: u64,
    requests_per_second: f64,
    admin: String,
}

pub(super) async fn status(session: &Session, said: &One) -> Result<(), Failure> {
    let id = names::stamp(&said.id, said.region.as_ref())?;
    let (readable, now) = session.table().await?;
    let fleet = readable.fleet;
    let stamp = fleet.table.stamp(id.as_str()).ok_or_else(|| unknown(&id))?;
    let acks = session.store.acks().await.map_err(away)?;
    let pins = |mode| {
        let named =
            |tenant: &&synaxis_routing::table::Tenant| tenant.pin.as_ref() == Some(&id) && tenant.mode() == Some(mode);
        fleet.tenants.values().filter(named).count()
    };
    let status = Status {
        id: id.clone(),
        region: stamp.region.to_string(),
        state: stamp.state,
        since: stamp.since,
        age_ms: now.saturating_sub(stamp.since),
        version: fleet.version().to_string(),
        endpoint: stamp.endpoint.clone(),
        weight: stamp.weight,
        dedicated: stamp.dedicated,
        placement_key: stamp.placement_key.clone(),
        ramp: stamp.ramp,
        share: ramp::share(stamp, now).per_mille(),
        deadlines: stamp.deadlines.clone(),
        overdue: lifecycle::overdue_stamp(stamp, now),
        degraded: fleet.table.degradation_of(&id, now).cloned(),
        warnings: stamp.warnings.clone(),
        labels: stamp.labels.clone(),
        strict_pins: pins(PinMode::Strict),
        preferred_pins: pins(PinMode::Preferred),
        next: lifecycle::allowed(stamp.state).map(|step| Next { state: step.to, trigger: step.trigger }).collect(),
        blocked: lifecycle::blocked(stamp.state),
        live: sums(&acks, &id, now),
        proxies: acks.iter().filter(|ack| ack.stamp == id).map(|ack| view(ack, now)).collect(),
    };
    session.format().print(&status, |status| words(status, stamp))
}

fn view(ack: &Ack, now: Millis) -> ProxyView {
    ProxyView {
        proxy: ack.proxy.clone(),
        build: ack.build.clone(),
        applied: ack.applied.to_string(),
        live: ack.is_live(now),
        age_ms: now.saturating_sub(ack.at),
        connections: ack.connections,
        in_flight: ack.in_flight,
        requests_per_second: ack.requests_per_second,
        admin: ack.admin.clone(),
    }
}

fn words(status: &Status, stamp: &Stamp) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let mut rows = vec![
        ("state", format!("{} for {}, since {}", status.state, duration::words(status.age_ms), utc(status.since))),
        ("region", status.region.clone()),
        ("endpoint", status.endpoint.clone()),
        ("weight", format!("{}{}", status.weight, if status.dedicated { ", dedicated" } else { "" })),
        ("share", format!("{}‰ of its slots{}", status.share, ramp_words(stamp))),
        ("pins", format!("{} strict, {} preferred", status.strict_pins, status.preferred_pins)),
        ("deadlines", list(status.deadlines.iter().map(|(name, at)| format!("{name} {}", utc(*at))).collect())),
        ("labels", list(status.labels.iter().map(|(name, value)| format!("{name}={value}")).collect())),
        (
            "may become",
            list(lifecycle::allowed(status.state).map(|s| format!("{} ({})", s.to, s.trigger.words())).collect()),
        ),
        ("blocked", list(status.blocked.iter().map(ToString::to_string).collect())),
        ("table", status.version.clone()),
    ];
    let overdue = status.overdue.as_ref().map(|overdue| ("OVERDUE", overdue.to_string()));
    rows.extend(overdue);
    rows.extend(status.degraded.as_ref().map(|it| ("DEGRADED", it.to_string())));
    rows.extend(status.warnings.iter().map(|warning| ("WARNING", warning.clone())));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut text = columns(&[status.id.as_str(), ""], &rows);
    if status.proxies.is_empty() {
        text.push_str("\nno proxy of this stamp has reported to this store\n");
        return text;
    }
    let rows: Vec<Vec<String>> = status
        .proxies
        .iter()
        .map(|proxy| {
            let seen = format!("{} ago{}", duration::words(proxy.age_ms), if proxy.live { "" } else { " (dead)" });
            vec![
                proxy.proxy.clone(),
                proxy.applied.clone(),
                seen,
                proxy.connections.to_string(),
                proxy.in_flight.to_string(),
                format!("{:.1}", proxy.requests_per_second),
                proxy.build.clone(),
                proxy.admin.clone(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&columns(
        &["PROXY", "APPLIED", "SEEN", "CONNECTIONS", "IN FLIGHT", "REQ/S", "BUILD", "ADMIN"],
        &rows,
    ));
    text
}

fn ramp_words(stamp: &Stamp) -> String {
    match stamp.ramp {
        Some(Ramp { from, to, started_at, seconds, held_at }) => {
            let held = held_at.map(|at| format!(", held since {}", utc(at))).unwrap_or_default();
            format!(" (ramp {from}‰ to {to}‰ over {seconds} s from {}{held})", utc(started_at))
        }
        None => String::new(),
    }
}

pub(super) fn unknown(id: &StampId) -> Failure {
    synaxis_routing::change::Refused::UnknownStamp(id.clone()).into()
}
