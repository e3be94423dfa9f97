//! What ramps: `activate`, `drain`, `cancel-drain`, and the line that follows a ramp; `isolate`, which does not.
//!
//! Invariant: watching drives nothing. The table drives the ramp; the line may be interrupted at any time.

use std::{io::Write as _, time::Duration};

use synaxis_routing::{
    change::{self, Fleet},
    id::StampId,
    ramp,
    table::{Millis, Stamp, State},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{self, Ramped},
    duration,
    failure::Failure,
    names, output,
    session::{Session, away},
    verbs::status::{Sums, sums},
};

/// How often the line is written anew on a terminal, and elsewhere.
const REDRAW: Duration = Duration::from_secs(1);
const REPEAT: Duration = Duration::from_secs(5);

pub(super) async fn activate(session: &Session, said: &Ramped) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let published = session.change(|fleet, now| fleet.activate(&id, said.ramp, now)).await?;
    if said.watch { follow(session, published.as_ref(), &id).await } else { Ok(()) }
}

pub(super) async fn cancel(session: &Session, said: &Ramped) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let published = session.change(|fleet, now| fleet.cancel_drain(&id, said.ramp, now)).await?;
    if said.watch { follow(session, published.as_ref(), &id).await } else { Ok(()) }
}

pub(super) async fn drain(session: &Session, said: &args::Drain) -> Result<(), Failure> {
    let id = names::stamp(&said.ramped.stamp.id, said.ramped.stamp.region.as_ref())?;
    let grace = said.grace_period.map(|grace| Millis::try_from(grace.as_millis()).unwrap_or(Millis::MAX));
    let how = change::Drain { ramp_seconds: said.ramped.ramp, force: said.force, grace, overrides: said.below.into() };
    let guards = session.guards;
    let published = session.change(|fleet, now| fleet.drain(&id, how, &guards, now)).await?;
    let interactive = output::is_watched() && !session.said.no_wait && session.format() == output::Format::Table;
    if said.ramped.watch || interactive {
        follow(session, published.as_ref(), &id).await
    } else {
        progress(session, published.as_ref(), &id).await
    }
}

/// Everything at once, whatever a drain would refuse.
pub(super) async fn isolate(session: &Session, said: &args::Isolate) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let guards = session.guards;
    let published = session.change(|fleet, now| fleet.isolate(&id, said.last, &guards, now)).await?;
    progress(session, published.as_ref(), &id).await
}

/// One line, for logs: what the stamp still has right now.
async fn progress(session: &Session, published: Option<&Fleet>, id: &StampId) -> Result<(), Failure> {
    if published.is_none() || session.format() != output::Format::Table {
        return Ok(());
    }
    if let Some(seen) = look(session, id).await? {
        output::line(&seen.line);
    }
    Ok(())
}

/// Follows the ramp of a stamp until it ends, somebody changes the stamp again, or Ctrl-C.
async fn follow(session: &Session, published: Option<&Fleet>, id: &StampId) -> Result<(), Failure> {
    let Some(published) = published.and_then(|fleet| fleet.table.stamp(id.as_str())) else {
        return Ok(());
    };
    let terminal = output::is_watched();
    // from here on an interrupt ends the watching, between two looks as well
    let mut interrupts = signal(SignalKind::interrupt())?;
    let interval = if terminal { REDRAW } else { REPEAT };
    loop {
        let seen = match look(session, id).await {
            Ok(seen) => seen,
            Err(failure) => {
                let text =
                    format!("{}cannot watch {id}: {failure}; what was published goes on by itself", newline(terminal));
                return Err(Failure::TimedOut(text));
            }
        };
        let Some(Seen { line, stamp, now }) = seen else {
            break output::note(&format!("{}{id} is not in the table any more", newline(terminal)));
        };
        redraw(terminal, &line);
        if stamp.state != published.state || stamp.ramp != published.ramp {
            break output::note(&format!("{}somebody changed {id} since; it is {}", newline(terminal), stamp.state));
        }
        if is_over(&stamp, now) {
            break output::note(&format!("{}{}", newline(terminal), after(&stamp)));
        }
        tokio::select! {
            () = tokio::time::sleep(interval.min(remaining(&stamp, now))) => {}
            _ = interrupts.recv() => {
                let back = if stamp.state == State::Draining { format!("; `stampctl cancel-drain {id}` ends it") } else { String::new() };
                break output::note(&format!("{}it goes on by itself{back}", newline(terminal)));
            }
        }
    }
    Ok(())
}

/// Until the ramp should be over; a moment at least.
fn remaining(stamp: &Stamp, now: Millis) -> Duration {
    let end = stamp.ramp.map_or(0, |ramp| ramp.started_at.saturating_add(Millis::from(ramp.seconds) * 1_000));
    Duration::from_millis(end.saturating_sub(now)).max(crate::wait::POLL)
}

fn newline(terminal: bool) -> &'static str {
    if terminal { "\n" } else { "" }
}

fn redraw(terminal: bool, line: &str) {
    if terminal {
        let mut stderr = std::io::stderr();
        // a line that cannot be drawn is no reason to stop
        let _ = write!(stderr, "\r\x1b[K{}", output::clean(line)).and_then(|()| stderr.flush());
    } else {
        output::note(line);
    }
}

/// What comes after the ramp.
fn after(stamp: &Stamp) -> String {
    match stamp.state {
        State::Draining => {
            let id = &stamp.id;
            format!("{id} has given everything away; when its requests are finished: `stampctl standby {id}`")
        }
        _ => format!("{} holds all its slots", stamp.id),
    }
}

fn is_over(stamp: &Stamp, now: Millis) -> bool {
    let share = ramp::share(stamp, now);
    if stamp.state == State::Draining { share.is_none() } else { share.is_full() }
}

/// What a look at a stamp shows.
struct Seen {
    line: String,
    stamp: Stamp,
    /// The store's clock.
    now: Millis,
}

async fn look(session: &Session, id: &StampId) -> Result<Option<Seen>, Failure> {
    let (readable, now) = session.table().await?;
    let acks = session.store.acks().await.map_err(away)?;
    let Some(stamp) = readable.fleet.table.stamp(id.as_str()).cloned() else { return Ok(None) };
    let here = sums(&acks, id, now);
    let everywhere: f64 = acks.iter().filter(|ack| ack.is_live(now)).map(|ack| ack.requests_per_second).sum();
    Ok(Some(Seen { line: line(&stamp, &here, everywhere, now), stamp, now }))
}

/// `synaxis-weu-003 draining: ramp 43 %, holds 570‰ of its slots, 12 connections, 3 in flight, 1.5 % of all requests`.
fn line(stamp: &Stamp, here: &Sums, everywhere: f64, now: Millis) -> String {
    let held = ramp::share(stamp, now).per_mille();
    let done = stamp.ramp.map_or(100, |ramp| {
        let length = Millis::from(ramp.seconds) * 1_000;
        let instant = ramp.held_at.map_or(now, |held| held.min(now));
        instant.saturating_sub(ramp.started_at).min(length).saturating_mul(100).checked_div(length).unwrap_or(100)
    });
    let held_back = if stamp.ramp.is_some_and(|ramp| ramp.held_at.is_some()) { " (held)" } else { "" };
    let traffic = if here.proxies == 0 {
        "- connections, - in flight (none of its proxies reports)".to_owned()
    } else {
        let share = if everywhere > 0.0 { 100.0 * here.requests_per_second / everywhere } else { 0.0 };
        format!("{} connections, {} in flight, {share:.1} % of all requests", here.connections, here.in_flight)
    };
    format!(
        "{} {} for {}: ramp {done} %{held_back}, holds {held}‰ of its slots, {traffic}",
        stamp.id,
        stamp.state,
        duration::words(now.saturating_sub(stamp.since))
    )
}

#[cfg(test)]
mod tests {
    use synaxis_routing::{
        change::{Guards, Overrides, Register},
        id::Region,
        table::{Scope, Seed},
    };

    use super::*;

    const NOW: Millis = 1_768_000_000_000;

    fn draining() -> Stamp {
        let weu = Region::parse("weu").unwrap();
        let id = StampId::parse("synaxis-weu-001").unwrap();
        let endpoint = "https://weu-001.stamp.internal:8443".to_owned();
        let new = Register { id: id.clone(), endpoint, weight: 100, dedicated: false, labels: [].into() };
        let how =
            change::Drain { overrides: Overrides { below_minimum: true, last: true }, ..change::Drain::default() };
        let fleet = Fleet::blank(vec![weu], Scope::Region, Seed(1), 16).unwrap().register(new, NOW).unwrap().fleet;
        let fleet = fleet.activate(&id, 0, NOW).unwrap().fleet;
        fleet.drain(&id, how, &Guards::default(), NOW).unwrap().fleet.table.stamps[0].clone()
    }

    #[test]
    fn the_line_tells_ramp_share_and_traffic() {
        let stamp = draining();
        let here = Sums { proxies: 2, connections: 12, in_flight: 3, requests_per_second: 5.0 };
        assert_eq!(
            line(&stamp, &here, 200.0, NOW + 129_000),
            "synaxis-weu-001 draining for 2m 9s: ramp 43 %, holds 570‰ of its slots, 12 connections, 3 in flight, 2.5 % of all requests"
        );
        let silent = line(&stamp, &Sums::default(), 0.0, NOW + 300_000);
        assert!(
            silent.contains("ramp 100 %, holds 0‰") && silent.contains("- connections, - in flight (none"),
            "{silent}"
        );
    }

    #[test]
    fn a_ramp_is_over_when_everything_went() {
        let stamp = draining();
        assert!(!is_over(&stamp, NOW + 299_999));
        assert!(is_over(&stamp, NOW + 300_000));
        assert!(after(&stamp).contains("stampctl standby synaxis-weu-001"));
    }
}
