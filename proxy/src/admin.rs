//! The admin listener: probes, metrics and what the proxy thinks, on a thread of its own.
//!
//! Reads only. Off loopback it answers `/livez /readyz /healthz /metrics /version` and refuses the rest. A slow scrape
//! never shows in a request.

mod answers;
mod explain;
mod memory;
mod probes;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
};

use crate::{control::status::Status, dataplane::DataPlane, downstream::backoff::Backoff, shutdown::Phase, tasks};
use answers::{Reply, problem};
use probes::Pulse;

/// Most admin connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Longest that a client may take over a head or stay idle.
const HEAD_MAX: Duration = Duration::from_secs(10);
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
    let pulse = Rc::new(Pulse::new(&view.plane));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tasks::spawn_local(upkeep(Arc::clone(&view.plane), Rc::clone(&pulse)));
    let cut = view.plane.shutdown.reached(Phase::Cut);
    tokio::pin!(cut);
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut cut => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let Some(pause) = backoff.pause(&error) else { continue };
                view.plane.metrics.accept_errors.increment(1);
                tracing::warn!(%error, ?pause, "the admin listener cannot accept; pausing");
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        backoff.reset();
        // over the cap the connection is closed at once: an admin listener must not be a way to hoard sockets
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (view, pulse) = (view.clone(), Rc::clone(&pulse));
        tasks::spawn_local(async move {
            let _slot = slot;
            let handler = service_fn(|request: Request<Incoming>| {
                let answer = answer(&view, &pulse, peer, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), handler)
                .await;
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "admin connection ended");
            }
        });
    }
}

/// Samples pile up until they are moved into buckets, scraped or not; memory is watched.
async fn upkeep(plane: Arc<DataPlane>, pulse: Rc<Pulse>) {
    let mut since = Instant::now();
    let mut memory = memory::Watch::new();
    loop {
        memory.sample(&plane, Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        pulse.sample(&plane, Instant::now());
        if since.elapsed() >= UPKEEP {
            since = Instant::now();
            plane.metrics.upkeep();
        }
    }
}

fn answer<B>(view: &View, pulse: &Pulse, peer: SocketAddr, request: &Request<B>) -> Response<Reply> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this listener is read-only");
    }
    let query = request.uri().query().unwrap_or_default();
    let local = peer.ip().to_canonical().is_loopback();
    match request.uri().path() {
        "/livez" => probes::livez(pulse, Instant::now()),
        "/readyz" | "/healthz" => probes::readyz(view, pulse, query),
        "/metrics" => answers::metrics(view),
        "/version" => answers::version(),
        _ if !local => problem(StatusCode::FORBIDDEN, "local_only", "this is answered on loopback only"),
        "/" => answers::index(),
        "/routing" => answers::routing(view),
        "/stamps" => answers::stamps(view),
        "/routing/table" => answers::table(view),
        "/routing/explain" => explain::explain(view, query, request.headers()),
        _ => problem(StatusCode::NOT_FOUND, "unknown", "GET / lists what there is"),
    }
}
