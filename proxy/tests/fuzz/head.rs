//! A client's head, from bytes to the app: refused, or one request with one Host, one framing and our word on who sent it.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};
use synaxis_config::{
    Settings,
    settings::{Listener, ListenerKind},
};
use synaxis_proxy::{
    body::Upload,
    control::apply,
    dataplane::{Snapshot, limits::Buckets},
    pipeline::{normalize, peer, tenant},
    telemetry::metrics::Metrics,
    upstream::{head::Head, target::Targets},
};

const CLIENT: HeaderValue = HeaderValue::from_static("192.0.2.1");

/// As many fields as hyper takes from a client.
const FIELDS_MAX: usize = 100;

struct World {
    settings: Arc<Settings>,
    snapshot: Snapshot,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let text = include_str!("../../../config/examples/minimal.toml");
    let (settings, _) = synaxis_config::load(text, Path::new("minimal.toml")).unwrap();
    let settings = Arc::new(settings);
    let (targets, metrics) = (Targets::default(), Metrics::new().unwrap());
    let buckets = Buckets::new([0; 32], &settings, None);
    let means = apply::Means { targets: &targets, metrics: &metrics, buckets: &buckets, now: 0 };
    World { snapshot: apply::first(Arc::clone(&settings), &means), settings }
});

/// Reads the bytes as an edge and as a peer listener would.
pub fn body(bytes: &[u8]) {
    let mut unsent = empty();
    if !unsent.read_back(bytes) {
        assert!(unsent.headers.is_empty(), "a failure changed the head");
    }
    if let Some(parts) = parse(bytes) {
        for kind in [ListenerKind::Edge, ListenerKind::Peer] {
            arrive(parts.clone(), kind);
        }
    }
}

/// A head as hyper makes it of the bytes.
fn parse(bytes: &[u8]) -> Option<Parts> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut read = httparse::Request::new(&mut fields);
    if !read.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(read.method?.as_bytes()).ok()?;
    parts.uri = Uri::try_from(read.path?).ok()?;
    parts.version = if read.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in read.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        parts.headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(parts)
}

fn arrive(mut parts: Parts, kind: ListenerKind) {
    let World { settings, snapshot } = &*WORLD;
    let listener = Listener { kind, ..settings.listeners[0].clone() };
    let header = &settings.tenant.header;
    let Ok(survey) = normalize::check(&mut parts, &settings.limits, header) else { return };
    let Ok(hop) = peer::arrival(&listener, snapshot, &survey, &mut parts.headers) else { return };
    let Ok(tenant) = tenant::identify(&survey.tenant, hop.as_ref()) else { return };
    let upload = Upload::default();
    if normalize::dress(&mut parts, &survey, &upload, (header, &tenant), &CLIENT).is_err() {
        return;
    }
    let host = survey.host();
    assert!(!host.is_empty() && host == host.to_ascii_lowercase(), "host {host:?}");
    assert!(parts.method != Method::CONNECT && parts.method != Method::TRACE);
    assert!(parts.uri.authority().is_none() && parts.uri.scheme().is_none(), "target {}", parts.uri);
    assert!(!parts.uri.to_string().contains(['\r', '\n', ' ', '\0']), "target {:?}", parts.uri);
    assert!(!parts.uri.path().contains('\\'), "target {:?}", parts.uri);
    check_fields(&parts.headers, header, tenant.as_bytes());
    assert_one_request(&parts);
}

/// What may and what must stand in a head that goes to the app, without a body.
fn check_fields(headers: &HeaderMap, header: &HeaderName, tenant: &[u8]) {
    let all = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    assert_eq!(all("host").len(), 1, "{headers:?}");
    assert_eq!(all(header.as_str()), [tenant], "{headers:?}");
    assert_eq!(all("x-forwarded-for"), [CLIENT.as_bytes()], "{headers:?}");
    assert_eq!(all("x-forwarded-proto"), [b"http"], "{headers:?}");
    assert!(all("content-length").iter().all(|length| *length == b"0") && all("content-length").len() <= 1);
    for name in headers.keys().map(HeaderName::as_str) {
        let forwarded = name == "forwarded" || name.starts_with("x-forwarded-");
        let ours = matches!(name, "x-forwarded-for" | "x-forwarded-proto");
        let gone = matches!(name, "connection" | "transfer-encoding" | "te" | "upgrade" | "keep-alive" | "expect");
        let internal = name.starts_with("x-synaxis-") || name.starts_with("proxy-") || name.contains('_');
        assert!(!(gone || internal || (forwarded && !ours)), "{name} stayed");
    }
}

/// On the wire it is one head, and reads as what was written.
fn assert_one_request(parts: &Parts) {
    let mut wire = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    wire.extend(b"\r\n");
    let mut back = empty();
    assert!(back.read_back(&wire), "unreadable: {}", wire.escape_ascii());
    assert_eq!((&back.method, &back.uri, &back.headers), (&parts.method, &parts.uri, &parts.headers));
    assert_eq!(wire.windows(4).filter(|window| window == b"\r\n\r\n").count(), 1, "two heads");
}

fn empty() -> Head {
    Head { method: Method::GET, uri: Uri::default(), headers: HeaderMap::new(), announced: false, websocket: false }
}
