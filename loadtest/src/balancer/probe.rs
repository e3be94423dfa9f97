//! Whether a backend is ready, asked again and again over fresh connections.
//!
//! Invariant: one answer decides, in both directions; anything but a 200 in time is a no. A stopped process, whose kernel
//! still takes connections, is therefore not ready once its time is up.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{Backend, Settings};

/// The probing of one backend. Ends with its handle.
pub(super) struct Probe {
    pub(super) backend: Backend,
    ready: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Probe {
    /// Starts probing; the backend is not ready yet.
    pub(super) fn start(backend: Backend, settings: &Settings, runtime: &Handle) -> Self {
        let ready = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn(watch(backend.readyz, Arc::clone(&ready), *settings)).abort_handle();
        Self { backend, ready, task }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(readyz: SocketAddr, ready: Arc<AtomicBool>, settings: Settings) {
    loop {
        let next = Instant::now() + settings.interval;
        let answer = timeout(settings.timeout, ask(readyz)).await;
        ready.store(matches!(answer, Ok(Some(StatusCode::OK))), Ordering::Relaxed);
        sleep_until(next).await;
    }
}

/// The status of one answer, if there is one.
async fn ask(readyz: SocketAddr) -> Option<StatusCode> {
    let request = Request::get("/readyz").header(header::HOST, readyz.to_string()).header(header::CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let stream = TcpStream::connect(readyz).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let answer = async move { sender.send_request(request).await.ok().map(|answer| answer.status()) };
    // the connection ends by itself once the answer is there, and may end in the same moment: wait for both
    tokio::join!(answer, connection).0
}
