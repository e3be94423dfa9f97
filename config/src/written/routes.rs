//! `[[routes]]`: which request goes to which app, and how long that may take.

use std::time::Duration;

use http::Method;
use toml::Spanned;

use super::{HOUR, MILLISECOND, NAME, THREE_DAYS, headers, http_path, name, process::BODY_BYTES_MAX};
use crate::{
    section::Section,
    settings::{HeaderEdits, HeaderMatch, HostPattern, ROUTE_LIMITS_MAX, RouteClass},
    value::{choice, duration, flag, size, text},
};

/// Most routes.
const ROUTES_MAX: usize = 1024;
/// Most methods of one route.
const METHODS_MAX: usize = 16;
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
    pub(crate) attempt_timeout: Option<Spanned<Duration>>,
    pub(crate) total: Option<Spanned<Duration>>,
    pub(crate) idempotency_key: bool,
    pub(crate) class: RouteClass,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) websocket: bool,
    pub(crate) tier_limit: bool,
    pub(crate) rate_limits: Vec<Spanned<String>>,
    pub(crate) cache: Option<Spanned<String>>,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
}

/// The host of a route: a faulty one must not count as every host.
pub(crate) enum HostRead {
    Every,
    Pattern(HostPattern),
    Faulty,
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
    section.read(|s| {
        let route = read(s);
        let timeout = route.timeout.get_ref();
        if let Some(attempt) = route.attempt_timeout.as_ref().filter(|attempt| attempt.get_ref() > timeout) {
            s.clash(
                ["attempt_timeout", "timeout"],
                &attempt.span(),
                "one attempt cannot take longer than all of them; write at most `timeout`, or leave it out for a third of it",
            );
        }
        if let Some(total) = route.total.as_ref().filter(|total| total.get_ref() < timeout) {
            s.clash(
                ["total", "timeout"],
                &total.span(),
                "the whole answer cannot take less than its head; write at least `timeout`",
            );
        }
        route
    })
}

fn read(s: &mut Section<'_>) -> Route {
    Route {
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
        timeout: s.spanned_or("timeout", TIMEOUT, duration(MILLISECOND..=HOUR)),
        attempt_timeout: s.optional("attempt_timeout", duration(MILLISECOND..=HOUR)),
        total: s.optional("total", duration(MILLISECOND..=THREE_DAYS)),
        idempotency_key: s.or("idempotency_key", false, flag()),
        class: s.or("class", RouteClass::Core, choice(&RouteClass::ALL.map(|class| (class.as_str(), class)))),
        body_bytes: s.optional("body_bytes", size(0..=BODY_BYTES_MAX)).map(Spanned::into_inner),
        websocket: s.or("websocket", true, flag()),
        tier_limit: s.or("tier_limit", true, flag()),
        rate_limits: s
            .list("rate_limits", 0..=ROUTE_LIMITS_MAX, text(|written| Ok::<_, String>(written.to_owned())))
            .unwrap_or_default(),
        cache: s.optional("cache", text(|written| Ok::<_, String>(written.to_owned()))),
        request_headers: headers::edits(s.section("request_headers")),
        response_headers: headers::edits(s.section("response_headers")),
    }
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
