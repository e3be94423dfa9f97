//! `[[routes]]` and `[upstreams.NAME]`: which request goes to which app.

use std::time::Duration;

use http::Method;
use toml::Spanned;

use super::{NAME, headers, http_path, name, process::BODY_BYTES_MAX};
use crate::{
    describe::Need,
    section::Section,
    settings::{HeaderEdits, HeaderMatch, HostPattern, HttpEndpoint},
    value::{count, duration, flag, size, text},
};

/// Most routes.
const ROUTES_MAX: usize = 1024;
/// Most upstreams.
const UPSTREAMS_MAX: usize = 256;
/// Most methods of one route.
const METHODS_MAX: usize = 16;
/// Most endpoints of one upstream.
const ENDPOINTS_MAX: usize = 256;
/// Most idle connections that a worker keeps for one upstream.
const IDLE_MAX: usize = 65_536;
/// Below the 30 s of Front Door, so that our answer wins.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(25);

/// One of `[[routes]]` as written.
pub(crate) struct Route {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) host: HostRead,
    pub(crate) path_prefix: Option<Spanned<String>>,
    pub(crate) methods: Vec<Method>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) upstream: Option<Spanned<String>>,
    pub(crate) timeout: Spanned<Duration>,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) websocket: bool,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
}

/// The host of a route: a faulty one must not count as every host.
pub(crate) enum HostRead {
    Every,
    Pattern(HostPattern),
    Faulty,
}

/// One of `[upstreams.NAME]` as written.
pub(crate) struct Upstream {
    pub(crate) name: Spanned<String>,
    pub(crate) endpoints: Vec<Spanned<HttpEndpoint>>,
    pub(crate) idle_max: usize,
}

/// `None`: there is no list of routes. Empty: something else stands in its place, which was noted.
pub(super) fn routes(file: &mut Section<'_>) -> Option<Vec<Route>> {
    let is_written = file.has("routes");
    let sections = file.sections("routes", ROUTES_MAX);
    let routes: Option<Vec<Route>> = sections.map(|sections| sections.into_iter().map(route).collect());
    if routes.as_ref().is_some_and(Vec::is_empty) {
        file.fault(&file.span(), "[[routes]] is empty; leave it out, and everything goes to the only upstream");
    }
    is_written.then(|| routes.unwrap_or_default())
}

fn route(section: Section<'_>) -> Route {
    section.read(|s| Route {
        name: s.required("name", "name = \"api\"", text(name).like(NAME)),
        host: match (s.has("host"), s.optional("host", text(HostPattern::parse))) {
            (_, Some(pattern)) => HostRead::Pattern(pattern.into_inner()),
            (true, None) => HostRead::Faulty,
            (false, None) => HostRead::Every,
        },
        path_prefix: s.required("path_prefix", "path_prefix = \"/\"", text(http_path)),
        methods: methods(s),
        headers: headers::matches(s),
        upstream: s.required("upstream", "upstream = \"app\"", text(|written| Ok::<_, String>(written.to_owned()))),
        timeout: s.spanned_or("timeout", TIMEOUT, duration(Duration::from_millis(1)..=Duration::from_secs(60 * 60))),
        body_bytes: s.optional("body_bytes", size(0..=BODY_BYTES_MAX)).map(Spanned::into_inner),
        websocket: s.or("websocket", true, flag()),
        request_headers: headers::edits(s.section("request_headers")),
        response_headers: headers::edits(s.section("response_headers")),
    })
}

fn methods(route: &mut Section<'_>) -> Vec<Method> {
    let written = route.list("methods", 1..=METHODS_MAX, text(method)).unwrap_or_default();
    let mut methods: Vec<Method> = Vec::with_capacity(written.len());
    for method in written {
        if methods.contains(method.get_ref()) {
            route.fault(&method.span(), "`methods` in [[routes]]: this method is listed twice");
        }
        methods.push(method.into_inner());
    }
    methods
}

fn method(written: &str) -> Result<Method, &'static str> {
    const FORM: &str = "a method is written in capital letters, such as GET";
    if written.is_empty() || written.len() > 32 || !written.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(FORM);
    }
    match written {
        "CONNECT" | "TRACE" => Err("CONNECT and TRACE are never served"),
        _ => Method::from_bytes(written.as_bytes()).map_err(|_| FORM),
    }
}

/// `None`: there are no upstreams, which was noted.
pub(super) fn upstreams(file: &mut Section<'_>) -> Option<Vec<Upstream>> {
    if !file.has("upstreams") {
        let cure = "write endpoints = [\"http://127.0.0.1:9001\"] below a line [upstreams.app]";
        let why = format!("[upstreams.NAME] is missing; {cure}");
        file.missing_because("upstreams", Need::Always(String::new()), &why);
    }
    Some(file.named("upstreams", UPSTREAMS_MAX)?.into_iter().map(|(name, section)| upstream(name, section)).collect())
}

fn upstream(written: Spanned<String>, section: Section<'_>) -> Upstream {
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[upstreams.NAME]: {wrong}"));
        }
        if !s.has("endpoints") {
            s.missing("endpoints", "endpoints = [\"http://127.0.0.1:9001\"]");
        }
        Upstream {
            name: written,
            endpoints: s.list("endpoints", 1..=ENDPOINTS_MAX, text(HttpEndpoint::parse)).unwrap_or_default(),
            idle_max: s.or("idle_max", 256, count(0..=IDLE_MAX)),
        }
    })
}
