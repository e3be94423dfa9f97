//! Asks every endpoint of this stamp's apps, and every other stamp, whether it is well, over and over.
//!
//! Invariant: who is asked is who the current snapshot names. Each has a task of its own, which ends when nobody names it
//! any more; what the answers say outlives it, in [`Health`](crate::upstream::health::Health) for apps and in `Peers`
//! for stamps.

mod peers;

use std::{cell::RefCell, collections::HashMap, convert::Infallible, rc::Rc, sync::Arc, time::Duration};

use synaxis_config::settings::Probing;
use synaxis_routing::table::State;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::probe::{self, Asking, Failure, chance};
use crate::{
    dataplane::{DataPlane, Snapshot},
    pipeline::{health, peer},
    telemetry::labels::Asked,
    upstream::{
        connect::{self, ConnectError},
        health::checks::{self, next_probe},
        target::{Identity, Target},
    },
};
use peers::Peers;

/// Most probes under way at a time, of apps and of peers: neither keeps the other from being asked.
const PROBES_MAX: usize = 256;
/// Over which the first probes are spread.
const SPREAD: Duration = Duration::from_secs(1);
/// What another stamp is asked for, at its peer listener.
const PEER_PATH: &str = "/health";

/// Keeps asking for one server.
pub struct HealthChecks {
    plane: Arc<DataPlane>,
    peers: Rc<RefCell<Peers>>,
    /// By index of the target's pool, which is its own while the target is held.
    asked: HashMap<usize, Task>,
    apps_under_way: Rc<Semaphore>,
    peers_under_way: Rc<Semaphore>,
}

/// Whom to ask, and how.
#[derive(Clone)]
struct Question {
    target: Arc<Target>,
    /// HOST:PORT.
    host: String,
    path: String,
    probing: Probing,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.target, &other.target) && self.path == other.path && self.probing == other.probing
    }
}

struct Task {
    question: Question,
    /// Do not wait for the next turn.
    soon: Rc<Notify>,
    _asking: Asking,
}

impl HealthChecks {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>) -> Self {
        let under_way = || Rc::new(Semaphore::new(PROBES_MAX));
        let (apps_under_way, peers_under_way) = (under_way(), under_way());
        Self { plane, peers: Rc::default(), asked: HashMap::new(), apps_under_way, peers_under_way }
    }

    /// Asks whom each snapshot names. Never returns.
    pub async fn run(mut self) {
        let mut published = self.plane.published.subscribe();
        loop {
            published.mark_unchanged();
            self.follow();
            // its sender is the plane's, and that is here
            let _ = published.changed().await;
        }
    }

    fn follow(&mut self) {
        let snapshot = self.plane.snapshot.load_full();
        forget_unasked(&self.plane, &snapshot);
        let activated = self.peers.borrow_mut().follow(&snapshot);
        let questions = questions(&snapshot);
        self.asked.retain(|pool, task| questions.get(pool) == Some(&task.question));
        for (pool, question) in questions {
            let soon = activated.iter().any(|stamp| question.target.identity == Identity::Peer(stamp.clone()));
            match self.asked.get(&pool) {
                Some(task) if soon => task.soon.notify_one(),
                Some(_) => {}
                None => _ = self.asked.insert(pool, self.ask(question, soon)),
            }
        }
        self.peers.borrow_mut().publish(&snapshot);
        show(&self.plane, &snapshot, &self.peers.borrow());
    }

    fn ask(&self, question: Question, at_once: bool) -> Task {
        let soon = Rc::new(Notify::new());
        let first = if at_once { Duration::ZERO } else { SPREAD.min(question.probing.interval).mul_f64(chance()) };
        let under_way = if question.target.is_peer() { &self.peers_under_way } else { &self.apps_under_way };
        let (plane, peers) = (Arc::clone(&self.plane), Rc::clone(&self.peers));
        let asking = ask(question.clone(), first, Rc::clone(&soon), Rc::clone(under_way), plane, peers);
        Task { question, soon, _asking: Asking::start(asking) }
    }
}

/// Endpoints that a reload leaves without a health check are not out for what the last one said.
fn forget_unasked(plane: &DataPlane, snapshot: &Snapshot) {
    let now = plane.clock.uptime(std::time::Instant::now());
    for (upstream, app) in snapshot.settings.upstreams.iter().zip(&snapshot.apps) {
        if upstream.health_check.is_none() {
            app.health.forget_checks(now, &app.health_limits);
        }
    }
}

/// Everybody who is to be asked, by the index of the pool.
fn questions(snapshot: &Snapshot) -> HashMap<usize, Question> {
    let settings = &snapshot.settings;
    let of_apps = settings.upstreams.iter().zip(&snapshot.apps).flat_map(|(upstream, app)| {
        upstream.health_check.iter().flat_map(|check| {
            app.targets.iter().map(|target| Question {
                target: Arc::clone(target),
                host: authority(target),
                path: check.path.clone(),
                probing: check.probing.clone(),
            })
        })
    });
    let of_peers = peers::asked(snapshot).map(|(_, peer)| Question {
        target: Arc::clone(&peer.target),
        host: authority(&peer.target),
        path: PEER_PATH.to_owned(),
        probing: settings.peers.health_check.clone(),
    });
    of_apps.chain(of_peers).map(|question| (question.target.pool, question)).collect()
}

/// HOST:PORT, IPv6 in brackets.
fn authority(target: &Target) -> String {
    target.address().map_or_else(|| format!("{}:{}", target.host, target.port), |address| address.to_string())
}

async fn ask(
    question: Question,
    first: Duration,
    soon: Rc<Notify>,
    under_way: Rc<Semaphore>,
    plane: Arc<DataPlane>,
    peers: Rc<RefCell<Peers>>,
) -> Infallible {
    let mut next = Instant::now() + first;
    // that it fails; a start with a thousand stamps that pass is no news
    let mut told = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = soon.notified() => {}
        }
        next = Instant::now() + next_probe(question.probing.interval, chance());
        let outcome = {
            let _place = under_way.acquire().await;
            probe::within(question.probing.timeout, once(&question, &plane)).await
        };
        if !matches!(outcome, Err(Failure::NoSocket(_))) {
            note(&question, outcome, &plane, &peers, &mut told);
        }
    }
}

async fn once(question: &Question, plane: &DataPlane) -> Result<(), Failure> {
    let Question { target, host, path, probing } = question;
    let stream = connect::connect(target, &plane.policy, probing.timeout).await.map_err(|error| match error {
        ConnectError::NoSocket(_) => Failure::NoSocket(error.to_string()),
        _ => Failure::Connect(error.to_string()),
    })?;
    let answer = probe::get(stream, host, path).await?;
    if target.is_peer() && answer.headers().get(peer::APP).is_some_and(|app| app.as_bytes() == health::BAD.as_bytes()) {
        return Err(Failure::App);
    }
    probe::judge(&answer)
}

fn note(question: &Question, outcome: Result<(), Failure>, plane: &DataPlane, peers: &RefCell<Peers>, told: &mut bool) {
    let snapshot = plane.snapshot.load();
    let passed = outcome.is_ok();
    let (kind, changed) = match &question.target.identity {
        Identity::App(_) => (Asked::App, note_app(&question.target, passed, plane, &snapshot)),
        Identity::Peer(stamp) => {
            let probing = &snapshot.settings.peers.health_check;
            let limits = checks::Limits { healthy: probing.healthy, unhealthy: probing.unhealthy };
            let mut peers = peers.borrow_mut();
            let changed = peers.record(stamp, passed, &limits);
            if changed.is_some() {
                peers.publish(&snapshot);
            }
            (Asked::Peer, changed)
        }
    };
    plane.metrics.health_check(kind, passed);
    if changed.is_none() {
        return;
    }
    show(plane, &snapshot, &peers.borrow());
    let (name, endpoint) = (question.target.identity.name(), &question.host);
    let kind = Asked::LABELS[kind as usize];
    match outcome {
        Err(why) => tracing::warn!(kind, name, endpoint, %why, "fails its health checks"),
        Ok(()) if *told => tracing::info!(kind, name, endpoint, "passes its health checks again"),
        Ok(()) => {}
    }
    *told = !passed;
}

/// Its place may have changed since it was asked.
fn note_app(target: &Arc<Target>, passed: bool, plane: &DataPlane, snapshot: &Snapshot) -> Option<bool> {
    let now = plane.clock.uptime(std::time::Instant::now());
    let mut changed = None;
    for app in &snapshot.apps {
        for (place, _) in app.targets.iter().enumerate().filter(|(_, known)| Arc::ptr_eq(known, target)) {
            changed = app.health.checked(place, passed, now, &app.health_limits).or(changed);
        }
    }
    changed
}

/// Brings the gauges up to date.
fn show(plane: &DataPlane, snapshot: &Snapshot, peers: &Peers) {
    let now = plane.clock.uptime(std::time::Instant::now());
    let apps = snapshot.settings.upstreams.iter().zip(&snapshot.apps);
    let checked = apps.filter(|(upstream, _)| upstream.health_check.is_some());
    let (mut all, mut passing) = (0, 0);
    for (_, app) in checked {
        let status = app.health.status(now, &app.health_limits);
        all += status.len();
        passing += status.iter().filter(|endpoint| endpoint.passes_checks == Some(true)).count();
    }
    plane.metrics.health(Asked::App, all, passing);
    plane.metrics.health(Asked::Peer, peers.len(), peers.passing());
}

/// Stamps that may get requests, or soon will: nobody listens yet at one that is Creating, and nobody is sent to one that
/// is Failed or Deleted.
fn is_asked(state: State) -> bool {
    matches!(state, State::Ready | State::Active | State::Draining)
}
