//! Whom a probe asks: `tcp://`, `http://` or `redis://`.
//!
//! Invariant: [`Debug`](fmt::Debug), [`Display`](fmt::Display) and errors never show user and password of a Redis.

use std::fmt;

use super::{HttpEndpoint, InvalidStore, StoreUrl, host::http_path};

/// Whom the probe of a dependency asks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeUrl {
    /// `tcp://HOST:PORT`: a connection that comes about is a good answer.
    Tcp(HttpEndpoint),
    /// `http://HOST:PORT/PATH`: a GET that is answered with 200 to 299 is.
    Http {
        /// Whom.
        endpoint: HttpEndpoint,
        /// What for; starts with a slash, without query.
        path: String,
    },
    /// `redis://HOST:PORT` or `rediss://`: a PING that is answered is. May hold a password.
    Redis(StoreUrl),
}

/// Text that is no probe. Says nothing of the text itself: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProbe {
    /// Another scheme.
    #[error("a probe is written tcp://HOST:PORT, http://HOST:PORT/PATH or redis://HOST:PORT")]
    Scheme,
    /// `https://…`.
    #[error("this version speaks no TLS to what it probes: write http://HOST:PORT/PATH or tcp://HOST:PORT")]
    Tls,
    /// No host and port as they would be dialled.
    #[error(
        "after the scheme stand a host in lower case, or an address as it is usually written, and a port from 1 to 65535: \
         no user, query or fragment"
    )]
    Address,
    /// `http://…` with no path, or one that is not sent as written.
    #[error("{}", NO_PATH)]
    Path,
    /// No address of a Redis.
    #[error(transparent)]
    Redis(#[from] InvalidStore),
}

const NO_PATH: &str = "a probe asks for a path such as /health: printable ASCII without blanks, query, escapes, ; // and \
                       the segments . and ..";

impl ProbeUrl {
    /// Validates the form; nothing is opened or resolved.
    ///
    /// # Errors
    /// [`InvalidProbe`]: what is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, InvalidProbe> {
        let endpoint =
            |authority: &str| HttpEndpoint::parse(&format!("http://{authority}")).map_err(|_| InvalidProbe::Address);
        match text.split_once("://") {
            Some(("tcp", authority)) => match endpoint(authority)? {
                written if written.to_string() == authority => Ok(Self::Tcp(written)),
                // without a port it would be that of HTTP
                _ => Err(InvalidProbe::Address),
            },
            Some(("http", rest)) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                let endpoint = endpoint(authority)?;
                Ok(Self::Http { endpoint, path: probe_path(path).map_err(|_| InvalidProbe::Path)? })
            }
            Some(("redis" | "rediss", _)) => Ok(Self::Redis(StoreUrl::parse(text)?)),
            Some(("https", _)) => Err(InvalidProbe::Tls),
            _ => Err(InvalidProbe::Scheme),
        }
    }

    /// Whom it asks, unless that is a Redis.
    pub(crate) fn endpoint(&self) -> Option<&HttpEndpoint> {
        match self {
            Self::Tcp(endpoint) | Self::Http { endpoint, .. } => Some(endpoint),
            Self::Redis(_) => None,
        }
    }
}

/// A path that a probe asks for.
pub(crate) fn probe_path(written: &str) -> Result<String, &'static str> {
    http_path(written).map_err(|_| NO_PATH)
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => write!(f, "tcp://{endpoint}"),
            Self::Http { endpoint, path } => write!(f, "http://{endpoint}{path}"),
            Self::Redis(url) => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_shown_as_written_and_without_its_secrets() {
        for (text, shown) in [
            ("tcp://127.0.0.1:5432", "tcp://127.0.0.1:5432"),
            ("tcp://db.default.svc:5432", "tcp://db.default.svc:5432"),
            ("tcp://[::1]:5432", "tcp://[::1]:5432"),
            ("tcp://db:80", "tcp://db:80"),
            ("http://127.0.0.1:9000/health", "http://127.0.0.1:9000/health"),
            ("http://app/", "http://app:80/"),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:s3cret@cache:6380/1", "redis://***@cache:6380/1"),
            ("rediss://user:s3cret@cache:6380", "rediss://***@cache:6380"),
        ] {
            let probe = ProbeUrl::parse(text).unwrap();
            assert_eq!(probe.to_string(), shown);
            assert!(!format!("{probe:?}").contains("s3cret"), "{probe:?}");
        }
    }

    #[test]
    fn what_is_no_probe_is_refused_without_being_shown() {
        let long = format!("http://app:80/{}", "s3cret".repeat(200));
        for (text, expected) in [
            ("", InvalidProbe::Scheme),
            ("s3cret", InvalidProbe::Scheme),
            ("127.0.0.1:5432", InvalidProbe::Scheme),
            ("TCP://127.0.0.1:5432", InvalidProbe::Scheme),
            ("udp://127.0.0.1:5432", InvalidProbe::Scheme),
            ("file:///etc/s3cret", InvalidProbe::Scheme),
            ("memory:", InvalidProbe::Scheme),
            ("https://127.0.0.1/health", InvalidProbe::Tls),
            ("tcp://", InvalidProbe::Address),
            ("tcp://db", InvalidProbe::Address),
            ("tcp://db:", InvalidProbe::Address),
            ("tcp://db:0", InvalidProbe::Address),
            ("tcp://db:65536", InvalidProbe::Address),
            ("tcp://db:05432", InvalidProbe::Address),
            ("tcp://db:5432/", InvalidProbe::Address),
            ("tcp://::1:5432", InvalidProbe::Address),
            ("tcp://0x7f.1:5432", InvalidProbe::Address),
            ("tcp://2130706433:5432", InvalidProbe::Address),
            ("tcp://DB:5432", InvalidProbe::Address),
            ("tcp://user:s3cret@db:5432", InvalidProbe::Address),
            ("tcp://db:5432\n", InvalidProbe::Address),
            ("http:///health", InvalidProbe::Address),
            ("http://user:s3cret@app:80/health", InvalidProbe::Address),
            ("http://app:80", InvalidProbe::Path),
            ("http://app:80?s3cret", InvalidProbe::Path),
            ("http://app:80/health?s3cret", InvalidProbe::Path),
            ("http://app:80/health#s3cret", InvalidProbe::Path),
            ("http://app:80/a b", InvalidProbe::Path),
            ("http://app:80/\r\nx: s3cret", InvalidProbe::Path),
            ("http://app:80/../s3cret", InvalidProbe::Path),
            ("http://app:80//s3cret", InvalidProbe::Path),
            ("http://app:80/%73", InvalidProbe::Path),
            ("http://app:80/ä", InvalidProbe::Path),
            (&long, InvalidProbe::Path),
            ("redis://:s3cret@", InvalidProbe::Redis(InvalidStore::Malformed)),
            ("redis://:s3cret#x@host:6379", InvalidProbe::Redis(InvalidStore::Malformed)),
            ("redis://host/s3cret", InvalidProbe::Redis(InvalidStore::Database)),
        ] {
            let error = ProbeUrl::parse(text).unwrap_err();
            assert_eq!(error, expected, "{:?}", text.get(..60).unwrap_or(text));
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
