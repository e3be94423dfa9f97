//! The demo's app: says which stamp and which tenant it is.

use std::{convert::Infallible, io, net::SocketAddr, thread};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::runtime::{Builder, LocalOptions};

use crate::tasks;

/// Starts an app on a free port of loopback; it ends with the process.
///
/// # Errors
/// When the port or the thread cannot be had.
pub(super) fn start(stamp: &str) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let stamp = stamp.to_owned();
    thread::Builder::new().name(format!("app-{stamp}")).spawn(move || {
        let served = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .and_then(|runtime| runtime.block_on(serve(listener, stamp)));
        if let Err(error) = served {
            tracing::error!(%error, "the demo's app ended");
        }
    })?;
    Ok(address)
}

async fn serve(listener: std::net::TcpListener, stamp: String) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let stamp = stamp.clone();
        tasks::spawn_local(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let tenant = request.headers().get("x-tenant-id").and_then(|value| value.to_str().ok());
                let body = json!({ "stamp": stamp, "tenant": tenant, "path": request.uri().path() });
                let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
                response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
