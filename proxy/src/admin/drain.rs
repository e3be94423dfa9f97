//! `POST /drain`: this process leaves, as SIGTERM has it do.

use http::Response;
use serde::Deserialize;
use serde_json::json;

use super::answers::{Reply, document};
use crate::{dataplane::DataPlane, shutdown::Phase};

/// The body: an empty object, so that a word that means nothing here is not taken for one that does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {}

/// Begins the way out, or says how far it has gone: asking twice cuts nothing, unlike a second signal.
pub(super) fn begin(plane: &DataPlane) -> Response<Reply> {
    if plane.shutdown.advance(Phase::LameDuck) {
        tracing::info!("an operator asked this process to leave: lame duck, then drain; a second signal cuts");
    }
    document(&json!({ "phase": plane.shutdown.phase().name() }))
}
