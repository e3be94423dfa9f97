//! The body of a request that changes something: small, soon, and whole.

use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use super::access::Refusal;

/// Largest body in bytes.
const BODY_MAX: usize = 64 << 10;
/// Longest that a body may take.
const BODY_TIME: Duration = Duration::from_secs(2);

/// Reads a JSON document.
///
/// # Errors
/// [`Refusal`]: too large, too slow, broken off, or no such document.
pub(super) async fn document<B: Body, T: DeserializeOwned>(body: B) -> Result<T, Refusal> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    let bytes = tokio::time::timeout(BODY_TIME, collect(body)).await.map_err(|_| Refusal::BodyTimeout)??;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::BodyInvalid(error.to_string()))
}

/// Copies: pieces kept as they came would keep the buffers they came in.
async fn collect<B: Body>(body: B) -> Result<Vec<u8>, Refusal> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyInvalid("the body broke off".to_owned()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > BODY_MAX {
            return Err(Refusal::BodyTooLarge);
        }
        while data.has_remaining() {
            let piece = data.chunk().len();
            bytes.extend_from_slice(data.chunk());
            data.advance(piece);
        }
    }
    Ok(bytes)
}
