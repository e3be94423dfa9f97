//! One downstream connection: HTTP/1.1 from the socket to the pipeline and back.

use std::{net::SocketAddr, rc::Rc};

use http::{HeaderValue, Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use synaxis_config::settings::Listener;
use tokio::net::TcpStream;

use super::phase::Phase;
use crate::{
    body::{Ends, Upload, Watcher},
    pipeline::{self, Downstream, Service, websocket::Switch},
    shutdown::Place,
    telemetry::labels::HeadRefused,
    upstream::wire::Wire,
};

/// hyper's own limit of a head; ours is lower and answers with a reason.
const HEAD_BYTES_HARD: usize = 64 << 10;
/// What is read at a time, and what may wait to be written: together 128 KiB a connection.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves a connection until it ends. Never fails: what goes wrong on one connection is that connection's end.
pub async fn serve(
    service: Rc<Service>,
    listener: Listener,
    in_reserve: bool,
    place: Place,
    stream: TcpStream,
    peer: SocketAddr,
    register: impl FnOnce(Rc<Phase>),
) {
    let client = peer.ip().to_canonical();
    // an IP address is always a valid field value
    let client_value = HeaderValue::from_str(&client.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
    // a place in the reserve is for the next probe as soon as its answer is out
    let wire = if in_reserve { Wire::new(stream) } else { Wire::of_client(stream) };
    let phase = Rc::new(Phase::new(wire.traffic(), service.worker.clock.clone(), in_reserve));
    let (switch, ends) = (Switch::default(), phase.ends());
    let downstream = Rc::new(Downstream { listener, in_reserve, place, client, client_value, switch, ends });
    register(Rc::clone(&phase));

    let metrics = std::sync::Arc::clone(&service.worker.sink.metrics);
    let handler = service_fn(|request: Request<Incoming>| {
        let turn = phase.next();
        let watch = || {
            phase.begin();
            Watcher::new(Rc::clone(&phase) as Rc<dyn Ends>, turn)
        };
        let watcher = watch();
        let request = request.map(|body| Upload::new(body, || phase.upload(), watch));
        let (service, downstream, phase) = (Rc::clone(&service), Rc::clone(&downstream), Rc::clone(&phase));
        async move {
            let answer = pipeline::serve(&service, &downstream, request).await;
            phase.stream();
            answer.map(|answer| answer.map(|body| body.watched(watcher)))
        }
    });
    let mut connection = http1::Builder::new()
        .max_header_size(HEAD_BYTES_HARD)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(true)
        .serve_connection(TokioIo::new(wire), handler);
    if let Err(error) = (&mut connection).await {
        let refused = head_refused(&error);
        if let Some(why) = refused {
            metrics.head_refused(why);
        }
        return tracing::debug!(%peer, %error, refused = refused.map(HeadRefused::label), "connection ended");
    }
    let parts = connection.into_parts();
    let wire = parts.io.into_inner();
    match downstream.switch.take() {
        Some(tunnel) => {
            phase.detach();
            // on the heap: no other connection should keep room for it
            Box::pin(tunnel.run(wire.without_linger(), parts.read_buf)).await;
        }
        // hyper leaves the socket open when any request asked for another protocol, granted or not
        None => wire.close().await,
    }
}

/// Whether a connection ended because of a head that hyper would not take, and answered with a bare status.
fn head_refused(error: &hyper::Error) -> Option<HeadRefused> {
    error.is_parse().then(|| match () {
        () if error.is_parse_too_large() => HeadRefused::TooLarge,
        () if error.is_parse_version_h2() => HeadRefused::Http2,
        () => HeadRefused::Parse,
    })
}
