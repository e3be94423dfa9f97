//! The admin listener: probes, metrics and what the proxy thinks, on a thread of its own.
//!
//! Everybody is answered `/livez /readyz /healthz /metrics /version`; `access` says who is answered the rest. A slow scrape
//! never shows in a request.

mod access;
mod answers;
mod breakers;
mod cache;
mod change;
mod connection;
mod degradation;
mod drain;
mod explain;
mod limits;
mod loglevel;
mod memory;
mod probes;
mod query;
mod tenants;
#[cfg(test)]
mod tests;
mod upstreams;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
};

use crate::{control::status::Status, dataplane::DataPlane, downstream::backoff::Backoff, shutdown::Phase, tasks};
pub use access::REASONS;
use access::Refusal;
use answers::{Reply, problem};
use loglevel::Levels;
pub use loglevel::{LogFilter, check as check_filter};
use probes::Pulse;

/// Before the tenant whose limits are asked for.
const LIMITS: &str = "/limits/";
/// Most admin connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// How often samples are moved into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the admin listener shows.
#[derive(Clone)]
pub struct View {
    /// What the threads share.
    pub plane: Arc<DataPlane>,
    /// How the inputs stand.
    pub status: Arc<Status>,
    /// When the server started.
    pub started: Instant,
    /// The filter of this process's events, if it can be changed.
    pub logs: Option<Arc<dyn LogFilter>>,
}

/// What the admin thread keeps.
struct Desk {
    view: View,
    pulse: Pulse,
    levels: Levels,
}

impl Desk {
    fn new(view: View) -> Self {
        Self { pulse: Pulse::new(&view.plane), levels: Levels::new(view.logs.clone()), view }
    }
}

/// Starts the admin thread; it ends when the process is cut.
///
/// # Errors
/// When the thread cannot be made or the socket not be prepared.
pub fn start(listener: TcpListener, view: View) -> io::Result<JoinHandle<()>> {
    listener.set_nonblocking(true)?;
    thread::Builder::new().name("admin".into()).spawn(move || {
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(run(listener, view)),
            Err(error) => tracing::error!(%error, "the admin thread cannot start its runtime"),
        }
    })
}

async fn run(listener: TcpListener, view: View) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener cannot be used"),
    };
    let desk = Rc::new(Desk::new(view));
    let cut = desk.view.plane.shutdown.reached(Phase::Cut);
    tokio::pin!(cut);
    let mut backoff = Backoff::default();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tasks::spawn_local(upkeep(Rc::clone(&desk)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut cut => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let Some(pause) = backoff.pause(&error) else { continue };
                desk.view.plane.metrics.accept_errors.increment(1);
                tracing::warn!(%error, ?pause, "the admin listener cannot accept; pausing");
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        backoff.reset();
        // over the cap the connection is closed at once: an admin listener must not be a way to hoard sockets
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let desk = Rc::clone(&desk);
        tasks::spawn_local(async move {
            let _slot = slot;
            let served = connection::serve(TokioIo::new(stream), |request: Request<Incoming>| {
                let desk = Rc::clone(&desk);
                async move { answer(&desk, peer, request).await }
            })
            .await;
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "admin connection ended");
            }
        });
    }
}

/// Samples pile up until they are moved into buckets, scraped or not; memory is watched.
async fn upkeep(desk: Rc<Desk>) {
    let plane = &desk.view.plane;
    let mut since = Instant::now();
    let mut memory = memory::Watch::default();
    loop {
        memory.sample(plane, Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        desk.pulse.sample(plane, Instant::now());
        desk.levels.expire(Instant::now());
        plane.buckets.sweep(plane.clock.nanos(Instant::now()));
        let buckets = plane.buckets.counts();
        plane.metrics.ratelimit.buckets(&buckets);
        if let Some(fleet) = &plane.buckets.fleet {
            plane.metrics.ratelimit.store(fleet.store.counts(), fleet.store.is_away());
        }
        if since.elapsed() >= UPKEEP {
            since = Instant::now();
            plane.metrics.upkeep();
        }
    }
}

async fn answer<B: Body>(desk: &Desk, peer: SocketAddr, request: Request<B>) -> Response<Reply> {
    let outcome = match *request.method() {
        Method::GET | Method::HEAD => read(desk, peer, &request),
        _ => change(desk, peer, request).await,
    };
    outcome.unwrap_or_else(|refusal| {
        let (status, reason, detail) = refusal.shape();
        desk.view.plane.metrics.admin_refused(reason);
        let mut response = problem(status, reason, &detail);
        match refusal {
            Refusal::MethodNotAllowed(allow) => {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            Refusal::TokenRequired => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    })
}

fn read<B>(desk: &Desk, peer: SocketAddr, request: &Request<B>) -> Result<Response<Reply>, Refusal> {
    let Desk { view, pulse, levels } = desk;
    let now = Instant::now();
    let query = request.uri().query().unwrap_or_default();
    let path = request.uri().path();
    match path {
        "/livez" => return Ok(probes::livez(pulse, now)),
        "/readyz" | "/healthz" => return Ok(probes::readyz(view, pulse, query)),
        "/metrics" => return Ok(answers::metrics(view)),
        "/version" => return Ok(answers::version()),
        _ => {}
    }
    access::may_read(&view.plane.snapshot.load().settings.admin, peer, request.headers())?;
    match path {
        "/" => Ok(answers::index()),
        "/cache" => Ok(cache::show(view)),
        "/cache/purge" => Err(Refusal::MethodNotAllowed("POST")),
        "/config" => Ok(answers::config(view)),
        "/degradation" => Ok(degradation::show(view)),
        "/loglevel" => levels.show(now),
        "/routing" => answers::routing(view),
        "/routing/explain" => explain::explain(view, query, request.headers()),
        "/routing/table" => answers::table(view),
        "/stamps" => answers::stamps(view),
        "/drain" => Err(Refusal::MethodNotAllowed("POST")),
        "/breakers" => Ok(breakers::breakers(view)),
        "/tenants/top" => Ok(tenants::top(view)),
        "/upstreams" => Ok(upstreams::upstreams(view)),
        _ if path.starts_with(LIMITS) => limits::of_tenant(view, &path[LIMITS.len()..], query),
        _ => Err(Refusal::Unknown),
    }
}

async fn change<B: Body>(desk: &Desk, peer: SocketAddr, request: Request<B>) -> Result<Response<Reply>, Refusal> {
    match (request.method(), request.uri().path()) {
        (&Method::PUT | &Method::DELETE, "/degradation") => {
            access::may_change(&desk.view.plane.snapshot.load().settings.admin, peer, request.headers())?;
            if request.method() == Method::DELETE {
                return Ok(degradation::clear(&desk.view));
            }
            degradation::change(&desk.view, &change::document(request.into_body()).await?)
        }
        (_, "/degradation") => Err(Refusal::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
        (&Method::PUT, "/loglevel") => {
            access::may_change(&desk.view.plane.snapshot.load().settings.admin, peer, request.headers())?;
            desk.levels.change(&change::document(request.into_body()).await?, Instant::now())
        }
        (_, "/loglevel") => Err(Refusal::MethodNotAllowed("GET, HEAD, PUT")),
        (&Method::POST, "/drain") => {
            access::may_change(&desk.view.plane.snapshot.load().settings.admin, peer, request.headers())?;
            let drain::Asked {} = change::document(request.into_body()).await?;
            Ok(drain::begin(&desk.view.plane))
        }
        (&Method::POST, "/cache/purge") => {
            access::may_change(&desk.view.plane.snapshot.load().settings.admin, peer, request.headers())?;
            cache::purge(&desk.view, &change::document(request.into_body()).await?).await
        }
        (_, "/cache/purge") => Err(Refusal::MethodNotAllowed("POST")),
        (_, "/drain") => Err(Refusal::MethodNotAllowed("POST")),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}
