//! Tenants by what they make: `tenant hot`, `tenant assign`.

use serde::Serialize;
use synaxis_routing::{
    change::{self, Fleet, utc},
    id::StampId,
    table::PinMode,
    traffic::{
        HOUR,
        hot::{self, Hot, Rule},
    },
};

use crate::{args, failure::Failure, names, output::columns, session::Session, traffic};

#[derive(Serialize)]
struct Report {
    version: String,
    stamps: Vec<Known>,
    tenants: Vec<Row>,
}

/// What is known of a stamp.
#[derive(Serialize)]
struct Known {
    stamp: StampId,
    /// Hours of the last 50 of which something is known.
    known_hours: usize,
    /// Requests a second in the last of them.
    per_second: f64,
}

#[derive(Serialize)]
struct Row {
    stamp: StampId,
    #[serde(flatten)]
    hot: Hot,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
}

pub(super) async fn hot(session: &Session, said: &args::Hot) -> Result<(), Failure> {
    if said.leave > said.enter {
        return Err(Failure::Usage("--leave is at most --enter: a tenant would come and go by the hour".to_owned()));
    }
    let store = session.traffic.as_ref().ok_or_else(|| {
        Failure::Usage("no limits store: say --limits-store redis://HOST:PORT, or set SYNAXIS_LIMITS_STORE".to_owned())
    })?;
    let (readable, now) = session.table().await?;
    let hours = traffic::hours(store, &readable.fleet, now).await?;
    let rule = Rule { hours: said.hours, enter_percent: said.enter, leave_percent: said.leave, floor: said.floor };
    let known = |(stamp, hours): (&StampId, &synaxis_routing::traffic::Hours)| Known {
        stamp: stamp.clone(),
        known_hours: hours.len(),
        per_second: hours.values().last().map_or(0.0, |hour| rounded(synaxis_routing::traffic::per_second(hour.total))),
    };
    let mut tenants: Vec<Row> = Vec::new();
    for (stamp, hours) in &hours {
        tenants.extend(hot::hot(hours, &rule).into_iter().map(|hot| row(&readable.fleet, stamp, hot)));
    }
    tenants.sort_by(|a, b| b.hot.per_second.total_cmp(&a.hot.per_second));
    let version = readable.fleet.version().to_string();
    session.format().print(&Report { version, stamps: hours.iter().map(known).collect(), tenants }, words)
}

fn row(fleet: &Fleet, stamp: &StampId, mut hot: Hot) -> Row {
    hot.per_second = rounded(hot.per_second);
    hot.percent = rounded(hot.percent);
    let tier = fleet.tenants.get(&hot.tenant).and_then(|entry| entry.tier.clone());
    Row { stamp: stamp.clone(), hot, tier }
}

fn words(report: &Report) -> String {
    let row = |row: &Row| {
        let hot = &row.hot;
        vec![
            hot.tenant.to_string(),
            row.stamp.to_string(),
            format!("{} %", hot.percent),
            hot.per_second.to_string(),
            utc(hot.since * HOUR),
            hot.hours.to_string(),
            row.tier.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = report.tenants.iter().map(row).collect();
    let mut text = if rows.is_empty() {
        "no tenant is hot\n".to_owned()
    } else {
        columns(&["TENANT", "STAMP", "SHARE", "REQUESTS/S", "SINCE", "HOURS", "TIER"], &rows)
    };
    let unknown: Vec<String> =
        report.stamps.iter().filter(|known| known.known_hours == 0).map(|known| known.stamp.to_string()).collect();
    if !unknown.is_empty() {
        text.push_str(&format!("no hour is known of {}\n", unknown.join(", ")));
    }
    text
}

pub(super) async fn assign(session: &Session, said: &args::Assign) -> Result<(), Failure> {
    let size = said.size().ok_or_else(|| {
        Failure::Usage(format!(
            "how many tenants of tier {:?} does a stamp take? starter, professional and enterprise are known; say --size {0}=N or \
             --size {0}=own",
            said.tier
        ))
    })?;
    let stamp = said.stamp().map(|stamp| names::stamp(&stamp.id, None)).transpose()?;
    let mode = if said.preferred { PinMode::Preferred } else { PinMode::Strict };
    let assign = |fleet: &Fleet, now| {
        let asked = change::Assign { tenant: said.tenant, tier: &said.tier, size, stamp: stamp.as_ref(), mode };
        fleet.assign(&asked, now)
    };
    session.change(assign).await?;
    Ok(())
}

/// With two decimals.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
