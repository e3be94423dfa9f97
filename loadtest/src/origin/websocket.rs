//! A WebSocket that repeats what it hears.

use std::{io, rc::Rc};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use super::service::{Body, Service, prove};

/// Switches protocols and repeats every message until the other side says goodbye.
pub(super) fn accept(service: &Rc<Service>, mut request: Request<Incoming>) -> io::Result<Response<Body>> {
    let mut answer = Response::new(Either::Left(Full::default()));
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
    else {
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(answer);
    };
    let facts = service.opened(request.headers())?;
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, header::HeaderValue::try_from(key).map_err(io::Error::other)?);
    prove(&facts, &service.stamp, headers);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::task::spawn_local(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    Ok(answer)
}
