//! Asks a peer for the exact bytes of its table, under the same endpoint policy as every forward.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::Body as _;
use hyper_util::rt::TokioIo;
use synaxis_routing::{bundle::Bundle, endpoint::EndpointPolicy, sanity::Refusal};
use tokio::net::TcpStream;

use crate::{pipeline::health::TABLE_PATH, tasks, upstream::resolve::resolve};

/// Longest that a peer may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Largest envelope that is read: both documents at their caps and some room.
const BYTES_MAX: usize = 64 << 20;

/// Why a peer's table cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not within two seconds.
    #[error("no answer within {LIMIT:?}")]
    Timeout,
    /// The address is forbidden, does not resolve, or the exchange failed.
    #[error("{0}")]
    Exchange(String),
    /// Not a sound envelope.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Fetches a peer's table.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(host: &str, port: u16, policy: &EndpointPolicy) -> Result<Bundle, FetchError> {
    let bytes = tokio::time::timeout(LIMIT, download(host, port, policy)).await.map_err(|_| FetchError::Timeout)??;
    Ok(Bundle::from_bytes(&bytes)?)
}

async fn download(host: &str, port: u16, policy: &EndpointPolicy) -> Result<Bytes, FetchError> {
    let failed = |error: &dyn std::fmt::Display| FetchError::Exchange(error.to_string());
    let addresses = resolve(host.trim_matches(['[', ']']), port).await.map_err(|error| failed(&error))?;
    let address = *addresses.first().ok_or_else(|| failed(&"the name has no address"))?;
    policy.check_address(address).map_err(|error| failed(&error))?;
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let driver = tasks::spawn_local(connection);
    let request = Request::get(TABLE_PATH).header("host", host).body(String::new()).map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    if answer.status() != http::StatusCode::OK {
        return Err(failed(&format_args!("status {}", answer.status())));
    }
    let mut body = std::pin::pin!(answer.into_body());
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(|error| failed(&error))?.into_data() {
            if bytes.len() + data.len() > BYTES_MAX {
                return Err(failed(&"the table is too large"));
            }
            bytes.extend_from_slice(&data);
        }
    }
    driver.abort();
    Ok(bytes.freeze())
}
