//! Clients of a Redis, by its URL: of the routing table's, of that of limits, of one that is only asked whether it is well.
//!
//! Invariant: no error repeats any part of the URL, which may hold a password.

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisError, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use rustls::crypto::CryptoProvider;

/// Why there is no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is none of a Redis.
    #[error("a redis URL looks like redis://HOST:PORT/DATABASE")]
    Form,
    /// It is none of a server that is reached by TCP.
    #[error("use redis:// or rediss://")]
    Scheme,
    /// TLS was asked for, and there is nothing to do it with.
    #[error("rediss:// needs a TLS crypto provider, and this program installs none")]
    NoTls,
}

/// A client of the server at `url`, `redis://` or `rediss://`, whose connections have these settings. Connects to nobody yet.
///
/// # Errors
/// [`InvalidUrl`].
pub fn of(url: &str, tcp: TcpSettings) -> Result<Client, InvalidUrl> {
    // redis repeats parts of the URL in its errors
    let info = url.into_connection_info().map_err(|_| InvalidUrl::Form)?.set_tcp_settings(tcp);
    let is_tls = match info.addr() {
        ConnectionAddr::Tcp(..) => false,
        ConnectionAddr::TcpTls { .. } => true,
        _ => return Err(InvalidUrl::Scheme),
    };
    if is_tls && CryptoProvider::get_default().is_none() {
        return Err(InvalidUrl::NoTls);
    }
    Client::open(info).map_err(|_| InvalidUrl::Form)
}

/// Its host and port, without credentials.
#[must_use]
pub fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Opens a connection. It has no time limits of its own: the whole handshake counts, not each of its parts, so whoever
/// waits says how long.
///
/// # Errors
/// The server or the network fails.
pub async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_server_makes_a_client_and_nothing_else_does() {
        let client = |url: &str| of(url, TcpSettings::default());
        for (url, at) in [
            ("redis://127.0.0.1:6379/0", "127.0.0.1:6379"),
            ("redis://user:s3cret@cache:1", "cache:1"),
            ("redis://:s3cret@h/2", "h:6379"),
        ] {
            assert_eq!(address(&client(url).unwrap()), at);
        }
        for (url, why) in [
            ("", InvalidUrl::Form),
            ("redis://:s3cret@h:port", InvalidUrl::Form),
            ("redis://:s3cret@h/database", InvalidUrl::Form),
            ("http://:s3cret@h", InvalidUrl::Form),
            ("h:6379", InvalidUrl::Form),
            ("unix:///s3cret", InvalidUrl::Scheme),
            ("redis+unix:///s3cret", InvalidUrl::Scheme),
            // no program of this crate's tests installs one
            ("rediss://:s3cret@h", InvalidUrl::NoTls),
        ] {
            let error = client(url).unwrap_err();
            assert_eq!(error, why, "{url}");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }
}
