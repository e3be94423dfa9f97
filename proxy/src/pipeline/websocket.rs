//! The request that becomes a WebSocket: asked for, agreed to by the app, handed to the connection that it came by.
//!
//! Invariant: what a client sends behind its request belongs to the WebSocket or to nobody. Whatever else the answer is,
//! its connection closes, so that those bytes are never read as a request.

use std::cell::{Cell, RefCell};

use http::{
    HeaderValue, Method, Response, Version,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
    request::Parts,
};
use synaxis_config::settings::Settings;

use super::local_reply::LocalReply;
use crate::{
    body::{Download, Upload},
    dataplane::worker::Worker,
    upstream::tunnel::{Around, Tunnel, WEBSOCKET, names},
};

/// Where a connection finds out what becomes of it. HTTP/1.1 has one request at a time, so one place is enough.
#[derive(Default)]
pub struct Switch {
    asked: Cell<bool>,
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl Switch {
    /// Its current request asks for a WebSocket: it is the connection's last.
    pub fn ask(&self) {
        self.asked.set(true);
    }

    /// Whether it has asked for one.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.get()
    }

    /// The 101 goes out; after it the connection is this tunnel's.
    pub fn open(&self, tunnel: Box<Tunnel>) {
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// The tunnel, once the 101 has gone out.
    #[must_use]
    pub fn take(&self) -> Option<Box<Tunnel>> {
        self.tunnel.borrow_mut().take()
    }
}

/// An app's 101 and what the tunnel needs that begins with it.
pub struct Switched {
    /// The 101, with its connection.
    pub answer: Response<Download>,
    /// What surrounds the tunnel.
    pub around: Around,
}

/// Whether a head with an `Upgrade` asks for a WebSocket (RFC 6455 §4.1). Asking for anything else is asking for nothing
/// (RFC 9110 §7.8).
///
/// # Errors
/// `framing_invalid` when it has a body: an app could read its bytes as frames.
pub fn is_asked(parts: &Parts, upload: &Upload) -> Result<bool, LocalReply> {
    let headers = &parts.headers;
    let asked = parts.version == Version::HTTP_11
        && names(headers, &UPGRADE, WEBSOCKET)
        && names(headers, &CONNECTION, "upgrade");
    if asked && upload.exact() != Some(0) {
        return Err(LocalReply::FramingInvalid("a body before a WebSocket"));
    }
    Ok(asked)
}

/// Asks the next hop, with a head that is dressed for it. False, and nothing is asked, when the head lacks what a
/// handshake has; the app then answers an ordinary request.
#[must_use]
pub fn ask_on(parts: &mut Parts) -> bool {
    let headers = &mut parts.headers;
    let has_one = |name| headers.get_all(name).iter().count() == 1;
    let whole = parts.method == Method::GET && has_one(SEC_WEBSOCKET_KEY) && has_one(SEC_WEBSOCKET_VERSION);
    if whole {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    }
    whole
}

/// What a tunnel takes from the worker and from the settings of now.
#[must_use]
pub fn around(worker: &Worker, settings: &Settings) -> Around {
    Around {
        metrics: std::sync::Arc::clone(&worker.sink.metrics),
        shutdown: worker.plane.shutdown.clone(),
        timer: worker.timer.clone(),
        clock: worker.clock.clone(),
        idle: settings.timeouts.tunnel_idle,
        chance: worker.chance(),
    }
}
