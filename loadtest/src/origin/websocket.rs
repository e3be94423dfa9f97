//! A WebSocket that repeats what it hears.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use super::service::{Body, Facts, prove};

/// A request that wants to become a WebSocket.
pub(super) struct Offer {
    accept: String,
    upgrade: OnUpgrade,
}

impl Offer {
    /// That of a request, if it makes one.
    pub(super) fn of(request: &mut Request<Incoming>) -> Option<Self> {
        let headers = request.headers();
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| headers.contains_key(header::UPGRADE))?;
        Some(Self { accept: derive_accept_key(key.as_bytes()), upgrade: hyper::upgrade::on(request) })
    }

    /// Switches protocols and repeats every message until the other side says goodbye.
    pub(super) fn take(self, facts: &Facts, stamp: &str) -> io::Result<Response<Body>> {
        let mut answer = Response::new(Either::Left(Full::default()));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(self.accept).map_err(io::Error::other)?);
        prove(facts, stamp, headers);
        tokio::task::spawn_local(repeat(self.upgrade));
        Ok(answer)
    }
}

async fn repeat(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
