//! What every request must be before anything is decided: one Host, one framing, a clean target, a head of bounded size.
//!
//! hyper has parsed the bytes; what it accepts but two parsers could read differently is refused here. The head is
//! walked once; later stages use what the walk found.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{self, HOST, VIA},
    request::Parts,
};
use synaxis_config::settings::Limits;
use synaxis_routing::id::TenantId;

use super::{hops, local_reply::LocalReply};
use crate::{
    body::Upload,
    upstream::framing::{self, INTERNAL, Length},
};

const FORWARDED: &str = "x-forwarded-";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What one walk over the head found.
pub struct Survey {
    /// The Host field in lower case.
    authority: HeaderValue,
    host_bytes: usize,
    /// The field that names the tenant.
    pub tenant: TenantField,
    /// Whether it has fields that only stamps exchange.
    pub internal: bool,
    /// Whether it says where it came from.
    forwarded: bool,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
    /// Whether a proxy says that it has passed it.
    pub via: bool,
    has_length: bool,
}

/// What a head says of its tenant.
pub enum TenantField {
    /// Nothing.
    Missing,
    /// This.
    One(HeaderValue),
    /// More than one thing.
    Many,
}

impl Survey {
    /// The host in lower case, without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        // the field was found to be ASCII
        std::str::from_utf8(&self.authority.as_bytes()[..self.host_bytes]).unwrap_or_default()
    }
}

/// Whether requests of this method are served at all: no tunnels to anywhere, and no echo of fields that a browser hides.
#[must_use]
pub fn is_served(method: &Method) -> bool {
    !matches!(*method, Method::CONNECT | Method::TRACE)
}

/// Checks a head and mends what may be mended: the target becomes origin form, names with an underscore leave, and so do
/// the fields that are the client's connection's alone, before anything is decided by them.
///
/// # Errors
/// The [`LocalReply`] that says what is wrong.
pub fn check(parts: &mut Parts, limits: &Limits, tenant_name: &HeaderName) -> Result<Survey, LocalReply> {
    if !is_served(&parts.method) {
        return Err(LocalReply::MethodNotAllowed);
    }
    let walk = Walk::over(&parts.headers, tenant_name);
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(LocalReply::UriTooLong(limits.uri_bytes));
    }
    if walk.bytes + target > limits.head_bytes {
        return Err(LocalReply::HeadTooLarge(limits.head_bytes));
    }
    if parts.headers.len() > limits.fields {
        return Err(LocalReply::TooManyFields(limits.fields));
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
    check_target(&parts.uri)?;
    let (has_length, internal, forwarded) = (walk.lengths == 1, walk.internal, walk.forwarded);
    let (upgrade, via) = (walk.upgrade, walk.via);
    let (underscores, connection, hosts) = (walk.underscores, walk.connection, walk.hosts);
    let tenant = match (walk.tenant, walk.tenant_fields) {
        (Some(value), 1) => TenantField::One(value.clone()),
        (None, _) => TenantField::Missing,
        (Some(_), _) => TenantField::Many,
    };
    let authority = walk.host.cloned();
    let authority = authority_of(parts, authority, hosts)?;
    let host_bytes = bare_host(authority.as_bytes()).ok_or(LocalReply::HostInvalid)?;
    let authority = lower(authority)?;
    if underscores {
        drop_underscores(&mut parts.headers);
    }
    if connection {
        framing::nominated(&mut parts.headers, tenant_name)?;
    }
    Ok(Survey { authority, host_bytes, tenant, internal, forwarded, upgrade, via, has_length })
}

/// Dresses a checked head for its way up: framing from the body, our own fields, nothing of the client's connection.
/// The app and other stamps get the same.
///
/// # Errors
/// [`LocalReply::ConnectionFieldForbidden`].
pub fn dress(
    parts: &mut Parts,
    survey: &Survey,
    upload: &Upload,
    (name, tenant): (&HeaderName, &TenantId),
    client: &HeaderValue,
) -> Result<(), LocalReply> {
    let length = match upload.exact() {
        Some(0) if !survey.has_length => Length::None,
        Some(bytes) => Length::Exact(bytes),
        None => Length::Unknown,
    };
    framing::egress(&mut parts.headers, length, name)?;
    let unchanged = matches!(&survey.tenant, TenantField::One(value) if value.as_bytes() == tenant.as_bytes());
    if !unchanged && let Ok(value) = HeaderValue::from_str(tenant.as_str()) {
        parts.headers.insert(name, value);
    }
    if survey.forwarded {
        // a client's word on where it comes from; one field of it is no more to be believed than another
        framing::remove_where(&mut parts.headers, |name| name == "forwarded" || name.starts_with(FORWARDED));
    }
    parts.headers.insert(FORWARDED_FOR, client.clone());
    parts.headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    parts.headers.append(VIA, hops::VIA_ENTRY);
    Ok(())
}

#[derive(Default)]
struct Walk<'a> {
    bytes: usize,
    host: Option<&'a HeaderValue>,
    hosts: usize,
    lengths: usize,
    tenant: Option<&'a HeaderValue>,
    tenant_fields: usize,
    codings: bool,
    expects: bool,
    internal: bool,
    forwarded: bool,
    upgrade: bool,
    via: bool,
    connection: bool,
    underscores: bool,
}

impl<'a> Walk<'a> {
    fn over(headers: &'a HeaderMap, tenant: &HeaderName) -> Self {
        let mut walk = Self::default();
        for (name, value) in headers {
            let text = name.as_str();
            walk.bytes += text.len() + value.len() + 4;
            match text {
                "host" => {
                    walk.hosts += 1;
                    walk.host = Some(value);
                }
                "content-length" => walk.lengths += 1,
                "transfer-encoding" => walk.codings = true,
                "expect" => walk.expects = true,
                "forwarded" => walk.forwarded = true,
                "via" => walk.via = true,
                "connection" => walk.connection = true,
                "upgrade" => walk.upgrade = true,
                _ if name == tenant => {
                    walk.tenant_fields += 1;
                    walk.tenant = Some(value);
                }
                _ => {
                    walk.internal |= text.starts_with(INTERNAL);
                    walk.forwarded |= text.starts_with(FORWARDED);
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
fn check_target(target: &Uri) -> Result<(), LocalReply> {
    let bytes = target.path().as_bytes();
    if bytes.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'\\') {
        return Err(LocalReply::TargetInvalid("bytes outside printable ASCII, or a backslash"));
    }
    let encoded = |window: &[u8]| {
        window[0] == b'%' && matches!(&[window[1], window[2]], b"00" | b"0d" | b"0D" | b"0a" | b"0A" | b"5c" | b"5C")
    };
    if bytes.contains(&b'%') && bytes.windows(3).any(encoded) {
        return Err(LocalReply::TargetInvalid("an encoded NUL, line break or backslash"));
    }
    if target.query().is_some_and(|query| !query.is_ascii()) {
        return Err(LocalReply::TargetInvalid("bytes outside ASCII in the query"));
    }
    Ok(())
}

/// Exactly one Host; the target's own authority wins over it (RFC 9112 §3.2.2).
fn authority_of(parts: &mut Parts, host: Option<HeaderValue>, hosts: usize) -> Result<HeaderValue, LocalReply> {
    let absolute = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    if hosts > 1 || (hosts == 0 && (absolute.is_none() || parts.version >= Version::HTTP_11)) {
        return Err(LocalReply::HostInvalid);
    }
    let Some(authority) = absolute else { return host.ok_or(LocalReply::HostInvalid) };
    // the authority form is CONNECT's alone, and what another scheme means is not ours to say (RFC 9112 §3.2)
    if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
        return Err(LocalReply::TargetInvalid("neither a path nor an http address"));
    }
    let value = HeaderValue::from_str(&authority).map_err(|_| LocalReply::HostInvalid)?;
    parts.headers.insert(HOST, value.clone());
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    // a query may stand right behind the authority, but an origin form begins with a slash
    let origin = if target.starts_with('/') { Uri::try_from(target) } else { Uri::try_from(format!("/{target}")) };
    parts.uri = origin.map_err(|_| LocalReply::TargetInvalid("no path"))?;
    Ok(value)
}

/// `Host = uri-host [":" port]` (RFC 9110 §7.2): the length of its host, if it is valid.
fn bare_host(value: &[u8]) -> Option<usize> {
    let (length, port) = if value.first() == Some(&b'[') {
        let end = value.iter().position(|byte| *byte == b']')?;
        std::str::from_utf8(&value[1..end]).ok()?.parse::<std::net::Ipv6Addr>().ok()?;
        let rest = &value[end + 1..];
        (end + 1, rest.strip_prefix(b":").or_else(|| rest.is_empty().then_some(b""))?)
    } else {
        let length = value.iter().position(|byte| !NAME_BYTE[usize::from(*byte)]).unwrap_or(value.len());
        if length == 0 || length > 253 || value.get(length).is_some_and(|byte| *byte != b':') {
            return None;
        }
        (length, value.get(length + 1..).unwrap_or_default())
    };
    let number = port.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    (port.len() <= 5 && number.is_some()).then_some(length)
}

/// Bytes of a host that is a name or an IPv4 address.
const NAME_BYTE: [bool; 256] = {
    let mut valid = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        valid[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        byte += 1;
    }
    valid
};

/// The same in lower case; almost every client sends it so.
fn lower(value: HeaderValue) -> Result<HeaderValue, LocalReply> {
    if !value.as_bytes().iter().fold(false, |found, byte| found | byte.is_ascii_uppercase()) {
        return Ok(value);
    }
    HeaderValue::from_bytes(&value.as_bytes().to_ascii_lowercase()).map_err(|_| LocalReply::HostInvalid)
}

/// `x_tenant_id` and `x-tenant-id` are one field to many apps: the one with the underscore never passes.
fn drop_underscores(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
}
