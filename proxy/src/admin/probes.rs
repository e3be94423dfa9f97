//! `/livez`: does every worker tick? `/readyz`: may this process take new connections?

use std::{
    cell::RefCell,
    fmt::Write as _,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::{Response, StatusCode};

use super::{
    View,
    answers::{Reply, text},
};
use crate::{
    control::config_file::names,
    dataplane::{DataPlane, ENDED},
    shutdown::Phase,
};

/// A worker that has not ticked for this long is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// When each worker's tick was last seen to advance.
pub(super) struct Pulse(RefCell<Vec<(usize, Instant)>>);

impl Pulse {
    pub(super) fn new(plane: &DataPlane) -> Self {
        Self(RefCell::new(vec![(0, Instant::now()); plane.workers.len()]))
    }

    pub(super) fn sample(&self, plane: &DataPlane, now: Instant) {
        for (seen, load) in self.0.borrow_mut().iter_mut().zip(&plane.workers) {
            let ticks = load.ticks.load(Ordering::Relaxed);
            // one that has ended while it should serve is as stuck as one that hangs
            let gone = ticks == ENDED && plane.shutdown.phase() < Phase::Draining;
            if ticks != seen.0 && !gone {
                *seen = (ticks, now);
            }
        }
    }

    fn stuck(&self, now: Instant) -> Option<usize> {
        let stuck = |(ticks, since): &(usize, Instant)| *ticks != ENDED && now.duration_since(*since) > STUCK;
        self.0.borrow().iter().position(stuck)
    }
}

pub(super) fn livez(pulse: &Pulse, now: Instant) -> Response<Reply> {
    match pulse.stuck(now) {
        None => text(StatusCode::OK, "ok\n".into()),
        Some(worker) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("worker {worker} has not ticked for {STUCK:?}\n"))
        }
    }
}

pub(super) fn readyz(view: &View, pulse: &Pulse, query: &str) -> Response<Reply> {
    let snapshot = view.plane.snapshot.load();
    let phase = view.plane.shutdown.phase();
    let ready = snapshot.fleet.is_some() && phase == Phase::Serving;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")) {
        return text(status, if ready { "ok\n".into() } else { "not ready; ask with ?verbose\n".into() });
    }
    let now = Instant::now();
    let routing = view.status.routing();
    let mut lines = String::new();
    let mut line = |good: bool, words: String| {
        let _ = writeln!(lines, "[{}] {words}", if good { '+' } else { '-' });
    };
    let seconds = |since: Option<Instant>| {
        since.map_or("never".to_owned(), |since| format!("{:.1} s ago", now.duration_since(since).as_secs_f64()))
    };
    match (&snapshot.fleet, routing.source) {
        (Some(fleet), source) => {
            let from = source.map_or("nowhere".to_owned(), |source| format!("{source:?}").to_lowercase());
            let confirmed = seconds(routing.confirmed_at);
            line(
                true,
                format!(
                    "table {} from {from}, applied {}, confirmed by the store {confirmed}",
                    fleet.placement.version(),
                    seconds(routing.applied_at)
                ),
            );
            if fleet.me.is_none() {
                line(false, format!("the table does not know {}", snapshot.settings.stamp.id));
            }
        }
        (None, _) => line(false, "no routing table yet".into()),
    }
    if let Some(refused) = routing.refused {
        let source = format!("{:?}", refused.source).to_lowercase();
        line(false, format!("table refused: {} ({}) x{} from {source}", refused.reason, refused.detail, refused.count));
    }
    if let Some(error) = routing.store_error {
        line(false, format!("store: {error}"));
    }
    if let Some(error) = routing.snapshot_error {
        line(false, format!("snapshot: {error}"));
    }
    let config = view.status.config();
    if config.applied_at.is_some() {
        line(true, format!("configuration applied {}", seconds(config.applied_at)));
    }
    if let Some(refused) = config.refused {
        let more = if refused.more > 0 { format!(" (and {} more)", refused.more) } else { String::new() };
        let at = seconds(Some(refused.at));
        line(false, format!("configuration refused {at}, the applied one stays: {}{more}", refused.fault));
    }
    if !config.pending.is_empty() {
        line(false, format!("restart pending for {}", names(&config.pending)));
    }
    match pulse.stuck(now) {
        None => line(true, format!("{} workers", view.plane.workers.len())),
        Some(worker) => line(false, format!("worker {worker} has not ticked for {STUCK:?}")),
    }
    let room = view.plane.capacity.room(&snapshot.settings);
    let open = view.plane.connections();
    let most = room.edge + room.peers;
    line(open < most, format!("{open} connections of at most {most}"));
    if view.plane.capacity.is_overloaded() {
        line(false, "memory is above server.memory_high: requests are refused with overload".into());
    }
    match phase {
        Phase::Serving => line(true, format!("serving for {:.0} s", now.duration_since(view.started).as_secs_f64())),
        phase => line(false, format!("shutting down: {phase:?}")),
    }
    lines.push_str(if ready { "ready\n" } else { "not ready\n" });
    text(status, lines)
}
