//! Asks what the apps lean on whether it is well, and has the level of degradation follow.
//!
//! Invariant: each dependency is asked by a task of its own, one question at a time, and no question outlasts its timeout.
//! What the answers say is kept by [`Keeper`](super::degradation::keeper::Keeper).

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{aio::MultiplexedConnection, io::tcp::TcpSettings};
use synaxis_config::settings::{HttpEndpoint, Probe, ProbeUrl, StoreUrl, Watched};
use synaxis_routing::redis_client;
use tokio::net::TcpStream;

use super::{
    degradation::keeper::TICK,
    probe::{self, Asking, Failure, chance},
    status::Status,
};
use crate::{
    dataplane::DataPlane,
    telemetry::labels::Asked,
    upstream::{
        health::checks::{self, next_probe},
        resolve::resolve,
    },
};

/// Over which the first probes are spread.
const SPREAD: Duration = Duration::from_secs(1);
/// Most bytes of an answer to PING that are shown.
const PONG_SHOWN_MAX: usize = 64;

/// Keeps asking for one server.
pub struct Dependencies {
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    asked: HashMap<String, (Probe, Asking)>,
}

impl Dependencies {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>, status: Arc<Status>) -> Self {
        Self { plane, status, asked: HashMap::new() }
    }

    /// Asks whom each snapshot names, and looks at the level. Never returns.
    pub async fn run(mut self) {
        let mut published = self.plane.published.subscribe();
        published.mark_changed();
        loop {
            tokio::select! {
                _ = published.changed() => self.follow(),
                () = tokio::time::sleep(TICK) => {}
            }
            self.status.degradation.look(&self.plane);
        }
    }

    fn follow(&mut self) {
        let snapshot = self.plane.snapshot.load_full();
        let probes: HashMap<&str, &Probe> = snapshot
            .settings
            .dependencies
            .iter()
            .filter_map(|one| match &one.watched {
                Watched::Probe(probe) => Some((one.name.as_str(), probe)),
                Watched::Breaker(_) => None,
            })
            .collect();
        // another address says nothing of what the old one did
        let known = |name: &str| Some(&self.asked.get(name)?.0.url);
        self.status.degradation.keep(|name| probes.get(name).map(|probe| &probe.url) == known(name));
        self.asked.retain(|name, (probe, _)| probes.get(name.as_str()) == Some(&&*probe));
        for (name, probe) in probes {
            if !self.asked.contains_key(name) {
                let asking = ask(name.to_owned(), probe.clone(), Arc::clone(&self.plane), Arc::clone(&self.status));
                self.asked.insert(name.to_owned(), (probe.clone(), Asking::start(asking)));
            }
        }
        self.status.degradation.show(&self.plane);
    }
}

async fn ask(name: String, probe: Probe, plane: Arc<DataPlane>, status: Arc<Status>) -> Infallible {
    let Probe { probing, .. } = &probe;
    let limits = checks::Limits { healthy: probing.healthy, unhealthy: probing.unhealthy };
    let mut line = Line::default();
    // that it is down; a start with everything up is no news
    let mut told = false;
    tokio::time::sleep(SPREAD.min(probing.interval).mul_f64(chance())).await;
    loop {
        let next = tokio::time::Instant::now() + next_probe(probing.interval, chance());
        let outcome = probe::within(probing.timeout, line.ask(&probe.url, &plane)).await;
        let outcome = outcome.and_then(|took| soon_enough(took, probe.latency_max));
        if !matches!(outcome, Ok(_) | Err(Failure::Slow { .. })) {
            line = Line::default();
        }
        plane.metrics.health_check(Asked::Dependency, outcome.is_ok());
        let why = outcome.as_ref().err().map(ToString::to_string);
        let changed = status.degradation.record(&name, outcome, &limits, Instant::now());
        status.degradation.show(&plane);
        if changed.is_some() {
            let down = why.is_some();
            match why {
                Some(why) => tracing::warn!(dependency = name, url = %probe.url, why, "a dependency is down"),
                None if told => tracing::info!(dependency = name, url = %probe.url, "a dependency is up again"),
                None => {}
            }
            told = down;
            status.degradation.look(&plane);
        }
        tokio::time::sleep_until(next).await;
    }
}

fn soon_enough(took: Duration, most: Option<Duration>) -> Result<Duration, Failure> {
    match most {
        Some(most) if took > most => Err(Failure::Slow { took, most }),
        _ => Ok(took),
    }
}

/// What is kept from one question to the next: a connection to a Redis, whose handshake would count as its latency.
#[derive(Default)]
struct Line(Option<MultiplexedConnection>);

impl Line {
    /// How long the answer took.
    async fn ask(&mut self, url: &ProbeUrl, plane: &DataPlane) -> Result<Duration, Failure> {
        let began = Instant::now();
        match url {
            ProbeUrl::Tcp(endpoint) => drop(dial(endpoint, plane).await?),
            ProbeUrl::Http { endpoint, path } => {
                let stream = dial(endpoint, plane).await?;
                probe::judge(&probe::get(stream, &endpoint.to_string(), path).await?)?;
            }
            ProbeUrl::Redis(url) => return self.ping(url).await,
        }
        Ok(began.elapsed())
    }

    async fn ping(&mut self, url: &StoreUrl) -> Result<Duration, Failure> {
        let connection = match &mut self.0 {
            Some(connection) => connection,
            None => self.0.insert(open(url).await?),
        };
        let began = Instant::now();
        let answer: Result<String, _> = redis::cmd("PING").query_async(connection).await;
        match answer {
            Ok(pong) if pong == "PONG" => Ok(began.elapsed()),
            Ok(other) => Err(Failure::Ping(format!("{:?}", other.chars().take(PONG_SHOWN_MAX).collect::<String>()))),
            Err(error) => Err(Failure::Exchange(error.to_string())),
        }
    }
}

async fn open(url: &StoreUrl) -> Result<MultiplexedConnection, Failure> {
    let client = redis_client::of(url.expose(), TcpSettings::default());
    let client = client.map_err(|why| Failure::Connect(why.to_string()))?;
    redis_client::connect(&client).await.map_err(|error| Failure::Connect(error.to_string()))
}

/// Connects to the first address that lets it; never to a listener of this proxy itself, which would find itself well.
async fn dial(endpoint: &HttpEndpoint, plane: &DataPlane) -> Result<TcpStream, Failure> {
    let addresses: Vec<SocketAddr> = match endpoint.ip() {
        Some(ip) => vec![SocketAddr::new(ip, endpoint.port)],
        None => {
            let found = resolve(&endpoint.host, endpoint.port).await;
            found.map_err(|_| Failure::Connect(format!("{}: the name does not resolve", endpoint.host)))?
        }
    };
    let mut last = Failure::Connect(format!("{}: the name has no address", endpoint.host));
    for address in addresses {
        if plane.policy.is_own(address) {
            last = Failure::Connect(format!("{address}: this proxy itself listens there"));
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Failure::Connect(format!("{address}: {error}")),
        }
    }
    Err(last)
}
