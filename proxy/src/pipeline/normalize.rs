//! What every request must be before anything is decided: one Host, one framing, a clean target, a head of bounded size.
//!
//! hyper has parsed the bytes; what it accepts but two parsers could read differently is refused here. The head is
//! walked once; later stages use what the walk found.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{self, HOST},
    request::Parts,
};
use synaxis_config::settings::Limits;
use synaxis_routing::id::TenantId;

use super::local_reply::LocalReply;
use crate::{
    body::Upload,
    upstream::framing::{self, INTERNAL, Length},
};

/// What one walk over the head found.
pub struct Survey {
    /// The host in lower case, without its port.
    pub host: String,
    /// Fields of the tenant's name.
    pub tenant_fields: usize,
    has_length: bool,
}

/// Checks a head and mends what may be mended: the target becomes origin form, names with an underscore leave.
///
/// # Errors
/// The [`LocalReply`] that says what is wrong.
pub fn check(parts: &mut Parts, limits: &Limits, tenant: &HeaderName) -> Result<Survey, LocalReply> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(LocalReply::MethodNotAllowed);
    }
    let walk = Walk::over(&parts.headers, tenant);
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(LocalReply::UriTooLong(limits.uri_bytes));
    }
    if walk.bytes + target > limits.head_bytes {
        return Err(LocalReply::HeadTooLarge(limits.head_bytes));
    }
    if walk.codings {
        coding(&parts.headers)?;
    }
    if walk.lengths > 1 {
        return Err(LocalReply::FramingInvalid("more than one Content-Length"));
    }
    if walk.expects {
        expectation(&parts.headers)?;
    }
    check_target(parts.uri.path())?;
    let host = host(parts, walk.hosts)?;
    if walk.underscores {
        drop_underscores(&mut parts.headers);
    }
    Ok(Survey { host, tenant_fields: walk.tenant_fields, has_length: walk.lengths == 1 })
}

/// Dresses a checked head for its way up: framing from the body, our own fields, nothing of the client's connection.
///
/// # Errors
/// [`LocalReply::ConnectionFieldForbidden`].
pub fn dress(
    parts: &mut Parts,
    survey: &Survey,
    upload: &Upload,
    tenant: &TenantId,
    name: &HeaderName,
) -> Result<(), LocalReply> {
    let length = match upload.exact() {
        Some(0) if !survey.has_length => Length::None,
        Some(bytes) => Length::Exact(bytes),
        None => Length::Unknown,
    };
    framing::egress(&mut parts.headers, length, name)?;
    let unchanged = parts.headers.get(name).is_some_and(|value| value.as_bytes() == tenant.as_bytes());
    if !unchanged && let Ok(value) = HeaderValue::from_str(tenant.as_str()) {
        parts.headers.insert(name, value);
    }
    Ok(())
}

#[derive(Default)]
struct Walk {
    bytes: usize,
    hosts: usize,
    lengths: usize,
    tenant_fields: usize,
    codings: bool,
    expects: bool,
    underscores: bool,
}

impl Walk {
    fn over(headers: &HeaderMap, tenant: &HeaderName) -> Self {
        let mut walk = Self::default();
        for (name, value) in headers {
            let text = name.as_str();
            walk.bytes += text.len() + value.len() + 4;
            match text {
                "host" => walk.hosts += 1,
                "content-length" => walk.lengths += 1,
                "transfer-encoding" => walk.codings = true,
                "expect" => walk.expects = true,
                _ => {
                    walk.tenant_fields += usize::from(name == tenant);
                    walk.underscores |= text.as_bytes().contains(&b'_');
                }
            }
        }
        walk
    }
}

/// `Transfer-Encoding` is exactly `chunked`, once (RFC 9112 §6.1).
fn coding(headers: &HeaderMap) -> Result<(), LocalReply> {
    let mut codings = 0;
    for field in headers.get_all(header::TRANSFER_ENCODING) {
        for coding in field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            codings += 1;
            if coding.is_empty() {
                return Err(LocalReply::FramingInvalid("an empty transfer coding"));
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(LocalReply::CodingUnknown);
            }
        }
    }
    if codings == 1 { Ok(()) } else { Err(LocalReply::FramingInvalid("chunked more than once")) }
}

fn expectation(headers: &HeaderMap) -> Result<(), LocalReply> {
    let understood =
        headers.get_all(header::EXPECT).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if understood { Ok(()) } else { Err(LocalReply::ExpectationFailed) }
}

/// Bytes that parsers behind us read in different ways, plain or percent-encoded.
fn check_target(path: &str) -> Result<(), LocalReply> {
    let bytes = path.as_bytes();
    if bytes.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'\\') {
        return Err(LocalReply::TargetInvalid("bytes outside printable ASCII, or a backslash"));
    }
    let encoded = |window: &[u8]| {
        window[0] == b'%' && matches!(&[window[1], window[2]], b"00" | b"0d" | b"0D" | b"0a" | b"0A" | b"5c" | b"5C")
    };
    if bytes.contains(&b'%') && bytes.windows(3).any(encoded) {
        return Err(LocalReply::TargetInvalid("an encoded NUL, line break or backslash"));
    }
    Ok(())
}

/// Exactly one valid Host; the target's own authority wins over it (RFC 9112 §3.2.2).
fn host(parts: &mut Parts, hosts: usize) -> Result<String, LocalReply> {
    let absolute = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    if hosts > 1 || (hosts == 0 && (absolute.is_none() || parts.version >= Version::HTTP_11)) {
        return Err(LocalReply::HostInvalid);
    }
    if let Some(authority) = absolute {
        let value = HeaderValue::from_str(&authority).map_err(|_| LocalReply::HostInvalid)?;
        parts.headers.insert(HOST, value);
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri = Uri::try_from(target).map_err(|_| LocalReply::TargetInvalid("no path"))?;
    }
    let value = parts.headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    bare_host(value).ok_or(LocalReply::HostInvalid)
}

/// `Host = uri-host [":" port]` (RFC 9110 §7.2), as the host in lower case.
fn bare_host(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (&text[..address.len() + 2], rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(valid) {
                return None;
            }
            (host, port)
        }
    };
    let port_valid = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    port_valid.then(|| host.to_ascii_lowercase())
}

/// `x_tenant_id` and `x-tenant-id` are one field to many apps: the one with the underscore never passes.
fn drop_underscores(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
}

/// Whether a field is one that only stamps exchange.
#[must_use]
pub fn is_internal(name: &HeaderName) -> bool {
    name.as_str().starts_with(INTERNAL)
}
