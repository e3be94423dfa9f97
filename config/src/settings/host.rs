//! Hosts: which ones a route takes, and where an app listens; and paths.
//!
//! Invariant: names are in lower case and carry no port, so that matching is a comparison of bytes.

use std::{fmt, net::IpAddr};

use synaxis_routing::endpoint::{Endpoint, EndpointError, Scheme};

/// Longest host name in bytes (RFC 1035 §2.3.4, in its text form).
const HOST_BYTES_MAX: usize = 253;

/// Which hosts a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host only.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: every host below, at any depth, but not `example.com` itself.
    Suffix(String),
}

/// Text that is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Capital letters.
    #[error("a host is written in lower case")]
    Case,
    /// A port.
    #[error("a host is written without a port: a route takes a host on every port")]
    Port,
    /// A star anywhere but in front.
    #[error("a * stands only in front, as in *.example.com")]
    Star,
    /// Anything else.
    #[error("a host is a name such as app.example.com, an address, or *.example.com")]
    Malformed,
}

impl HostPattern {
    /// Validates: an exact host (a name, an IPv4 address, an IPv6 address in brackets) or `*.` and a name.
    ///
    /// # Errors
    /// [`InvalidHost`] for everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidHost::Case);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let (address, rest) = inner.split_once(']').ok_or(InvalidHost::Malformed)?;
            let Ok(IpAddr::V6(address)) = address.parse::<IpAddr>() else { return Err(InvalidHost::Malformed) };
            return match rest {
                "" => Ok(Self::Exact(format!("[{address}]"))),
                _ if rest.starts_with(':') => Err(InvalidHost::Port),
                _ => Err(InvalidHost::Malformed),
            };
        }
        if let Some((_, port)) = text.split_once(':') {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            return Err(if digits { InvalidHost::Port } else { InvalidHost::Malformed });
        }
        let (name, suffix) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(InvalidHost::Star);
        }
        if !is_name(name) {
            return Err(InvalidHost::Malformed);
        }
        Ok(if suffix { Self::Suffix(format!(".{name}")) } else { Self::Exact(name.to_owned()) })
    }

    /// Whether a host, in lower case and without its port, is taken.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == name,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }

    /// Whether every host that `other` takes is taken here too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(name) => self.matches(name),
            Self::Suffix(suffix) => match self {
                Self::Exact(_) => false,
                Self::Suffix(mine) => suffix.ends_with(mine.as_str()),
            },
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Letters, digits, `-` and `_` in labels of 1 to 63 bytes.
pub(crate) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        bytes && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= HOST_BYTES_MAX && name.split('.').all(label)
}

/// A path of HTTP, compared byte for byte: printable ASCII without query, fragment and escapes.
pub(crate) fn http_path(written: &str) -> Result<String, &'static str> {
    if !written.starts_with('/') {
        return Err("a path starts with a slash");
    }
    if written.len() > 1024 {
        return Err("a path has at most 1024 bytes");
    }
    if !written.bytes().all(|b| b.is_ascii_graphic() && !b"?#%\\".contains(&b)) {
        return Err("a path is printable ASCII without blanks and without ? # % \\");
    }
    if written.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("a path has no . and .. segments: it would never match");
    }
    if written.contains("//") || written.contains(';') {
        return Err("a path has no // and no ; as apps read them in different ways: it would never match");
    }
    Ok(written.to_owned())
}

/// Where an app listens: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpEndpoint {
    /// Name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

/// Text that is no endpoint of an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// `https://…`.
    #[error("this version speaks no TLS to apps: write http://HOST:PORT")]
    Tls,
    /// Not of the form `http://HOST:PORT`.
    #[error("an app is written http://HOST:PORT: {0}")]
    Malformed(String),
}

impl HttpEndpoint {
    /// Validates the form; nothing is resolved. Without a port it is 80.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] for TLS, a path, a user, a second spelling of an address, port 0 and everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.starts_with("https://") {
            return Err(InvalidEndpoint::Tls);
        }
        if !text.starts_with("http://") {
            return Err(InvalidEndpoint::Malformed("it does not start with http://".to_owned()));
        }
        match Endpoint::parse(text) {
            Ok(Endpoint { scheme: Scheme::Http, host, port }) => Ok(Self { host, port }),
            Ok(Endpoint { scheme: Scheme::Https, .. }) => Err(InvalidEndpoint::Tls),
            Err(EndpointError::Malformed(why)) => Err(InvalidEndpoint::Malformed(why.to_owned())),
            Err(other) => Err(InvalidEndpoint::Malformed(other.to_string())),
        }
    }

    /// The host as an address, when it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for HttpEndpoint {
    /// `HOST:PORT`, IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_takes_what_is_below_and_not_the_name_itself() {
        let pattern = HostPattern::parse("*.example.com").unwrap();
        for (host, taken) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("badexample.com", false),
            ("a.example.com.evil", false),
        ] {
            assert_eq!(pattern.matches(host), taken, "{host}");
        }
        assert!(HostPattern::parse("example.com").unwrap().matches("example.com"));
        assert!(!HostPattern::parse("example.com").unwrap().matches("a.example.com"));
        assert!(HostPattern::parse("[0:0::1]").unwrap().matches("[::1]"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", InvalidHost::Malformed),
            ("Example.com", InvalidHost::Case),
            ("example.com:8080", InvalidHost::Port),
            ("[::1]:80", InvalidHost::Port),
            ("http://example.com", InvalidHost::Malformed),
            ("example.com/", InvalidHost::Malformed),
            ("*", InvalidHost::Star),
            ("*.", InvalidHost::Malformed),
            ("*.*.com", InvalidHost::Star),
            ("a.*.com", InvalidHost::Star),
            ("a..b", InvalidHost::Malformed),
            ("a b", InvalidHost::Malformed),
            ("-a.com", InvalidHost::Malformed),
            ("ä.com", InvalidHost::Malformed),
            ("[::1", InvalidHost::Malformed),
            ("[127.0.0.1]", InvalidHost::Malformed),
            ("::1", InvalidHost::Malformed),
            (&format!("{}.com", "a".repeat(64)), InvalidHost::Malformed),
            (&"a.".repeat(200), InvalidHost::Malformed),
        ] {
            assert_eq!(HostPattern::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_takes_all_of() {
        for (wide, narrow, expected) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.b.example.com", "*.example.com", false),
            ("*.example.com", "example.com", false),
            ("example.com", "example.com", true),
            ("a.example.com", "*.example.com", false),
        ] {
            let [wide, narrow] = [wide, narrow].map(|text| HostPattern::parse(text).unwrap());
            assert_eq!(wide.covers(&narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9001", "127.0.0.1:9001"),
            ("http://app.default.svc:8080", "app.default.svc:8080"),
            ("http://[::1]:9001", "[::1]:9001"),
            ("http://app", "app:80"),
        ] {
            assert_eq!(HttpEndpoint::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(HttpEndpoint::parse("https://app:443"), Err(InvalidEndpoint::Tls));
        for bad in [
            "",
            "app:8080",
            "tcp://app:1",
            "http://",
            "http://:80",
            "http://app:0",
            "http://app:99999",
            "http://app:8080/",
            "http://app:8080/x",
            "http://app:8080?x",
            "http://app:8080#x",
            "http://user@app:8080",
            "http://user:pw@app:8080",
            "http://APP:8080",
            "http://0x7f.1:80",
            "http://2130706433:80",
            "http://a b:80",
        ] {
            assert!(matches!(HttpEndpoint::parse(bad), Err(InvalidEndpoint::Malformed(_))), "{bad:?}");
        }
    }
}
