//! Routes against upstreams: every route leads somewhere, every name is unique, nothing is out of reach.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use http::HeaderName;
use toml::Spanned;

use super::{cache, rate_limits};
use crate::{
    fault::Findings,
    settings::{CacheClass, HeaderEdits, Route, RouteClass, Upstream},
    suggest,
    value::Shown,
    written::{self, HostRead, TIMEOUT},
};

/// What Front Door waits for the first byte of an answer, unless told otherwise.
const FRONT_DOOR_WAIT: Duration = Duration::from_secs(30);

/// What routes take from other sections.
pub(super) struct Common<'a> {
    /// The header that names the tenant.
    pub(super) tenant: &'a HeaderName,
    /// Largest body, unless the route says otherwise.
    pub(super) body_bytes: u64,
    /// What routes may ask for. `None`: unknown, which was noted.
    pub(super) rate_limits: Option<&'a [written::RateLimit]>,
    /// Classes that routes may ask for.
    pub(super) cache: &'a [CacheClass],
}

/// `None` only when something was noted.
pub(super) fn settle(
    routes: Option<Vec<written::Route>>,
    upstreams: Option<Vec<written::Upstream>>,
    common: &Common<'_>,
    findings: &Findings,
) -> Option<(Vec<Route>, Vec<Upstream>)> {
    let Some(upstreams) = upstreams else {
        // the routes lead nowhere, which follows from what was noted
        warn_of_timeouts(routes.as_deref().unwrap_or_default(), findings);
        return None;
    };
    if upstreams.is_empty() {
        findings.fault(
            &(0..0),
            "[upstreams] is empty; write endpoints = [\"http://127.0.0.1:9001\"] below [upstreams.app]",
        );
    }
    for upstream in &upstreams {
        refuse_twins(upstream, findings);
    }
    let routes = match routes {
        Some(routes) => written_routes(routes, &upstreams, common, findings),
        None => vec![default_route(&upstreams, common, findings)?],
    };
    Some((routes, upstreams.into_iter().map(written::Upstream::settled).collect()))
}

/// Everything goes to the only upstream.
fn default_route(upstreams: &[written::Upstream], common: &Common<'_>, findings: &Findings) -> Option<Route> {
    if let Some(second) = upstreams.get(1) {
        findings.fault(
            &second.name.span(),
            "there are several upstreams and no route says which one to take; write [[routes]] with name = \"api\", \
             path_prefix = \"/\" and upstream = the name of one",
        );
        return None;
    }
    let (name, path_prefix) = ("default".to_owned(), "/".to_owned());
    Some(Route {
        name,
        host: None,
        path_prefix,
        methods: Vec::new(),
        headers: Vec::new(),
        upstream: 0,
        timeout: TIMEOUT,
        attempt_timeout: third(TIMEOUT),
        total: None,
        idempotency_key: false,
        class: RouteClass::Core,
        body_bytes: common.body_bytes,
        websocket: true,
        tier_limit: true,
        rate_limits: Vec::new(),
        cache: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    })
}

fn written_routes(
    written: Vec<written::Route>,
    upstreams: &[written::Upstream],
    common: &Common<'_>,
    findings: &Findings,
) -> Vec<Route> {
    warn_of_timeouts(&written, findings);
    warn_of_unreachable(&written, findings);
    let positions: HashMap<&str, usize> =
        upstreams.iter().enumerate().map(|(position, upstream)| (upstream.name.get_ref().as_str(), position)).collect();
    let mut names = HashSet::new();
    let mut used = HashSet::new();
    let mut routes = Vec::with_capacity(written.len());
    // a route with a fault may have been meant for any upstream
    let all_known = written.iter().all(|route| route.upstream.is_some());
    for route in written {
        let twin = route.name.as_ref().filter(|name| !names.insert(name.get_ref().clone()));
        if let Some(name) = twin {
            let message = format!("`name` in [[routes]]: another route above is called {} too", Shown(name.get_ref()));
            findings.fault(&name.span(), message);
        }
        let upstream = route.upstream.as_ref().and_then(|name| {
            let position = positions.get(name.get_ref().as_str()).copied();
            match position {
                Some(position) => _ = used.insert(position),
                None => findings.fault(&name.span(), unknown_upstream("[[routes]]", name.get_ref(), upstreams)),
            }
            position
        });
        refuse_tenant_edits(&route, common, findings);
        let rate_limits = rate_limits::of_route(&route, common.rate_limits, findings);
        let cache = cache::of_route(&route, common.cache, findings);
        routes.extend(settle_route(route, upstream, (rate_limits, cache), common));
    }
    let unused = upstreams.iter().enumerate().filter(|(position, _)| !used.contains(position));
    for (_, upstream) in unused.filter(|_| all_known) {
        let name = Shown(upstream.name.get_ref());
        findings.warn(&upstream.name.span(), format!("no route leads to the upstream {name}"));
    }
    routes
}

/// The tenant's field is the proxy's own on the way up.
fn refuse_tenant_edits(route: &written::Route, common: &Common<'_>, findings: &Findings) {
    let HeaderEdits { remove, set, add } = &route.request_headers;
    let mut names = remove.iter().chain(set.iter().chain(add).map(|(name, _)| name));
    if names.any(|name| name == common.tenant) {
        let at = route.path_prefix.as_ref().map_or(0..0, Spanned::span);
        findings.fault(
            &at,
            "[routes.request_headers] of this route names the tenant's header, which the proxy sets itself",
        );
    }
}

fn settle_route(
    route: written::Route,
    upstream: Option<usize>,
    (rate_limits, cache): (Option<Vec<usize>>, Option<Option<usize>>),
    common: &Common<'_>,
) -> Option<Route> {
    let host = match route.host {
        HostRead::Every => None,
        HostRead::Pattern(pattern) => Some(pattern),
        HostRead::Faulty => return None,
    };
    Some(Route {
        name: route.name?.into_inner(),
        host,
        path_prefix: route.path_prefix?.into_inner(),
        methods: route.methods,
        headers: route.headers,
        upstream: upstream?,
        attempt_timeout: route.attempt_timeout.map_or_else(|| third(*route.timeout.get_ref()), Spanned::into_inner),
        timeout: route.timeout.into_inner(),
        total: route.total.map(Spanned::into_inner),
        idempotency_key: route.idempotency_key,
        class: route.class,
        body_bytes: route.body_bytes.unwrap_or(common.body_bytes),
        websocket: route.websocket,
        tier_limit: route.tier_limit,
        rate_limits: rate_limits?,
        cache: cache?,
        request_headers: route.request_headers,
        response_headers: route.response_headers,
    })
}

/// How long one attempt may take, unless written: three of them fit into `timeout`. In whole milliseconds, at least one.
fn third(timeout: Duration) -> Duration {
    let millis = u64::try_from(timeout.as_millis() / 3).unwrap_or(u64::MAX);
    Duration::from_millis(millis.max(1))
}

/// What is said of a name that no upstream has; `section` is where it stands.
pub(super) fn unknown_upstream(section: &str, name: &str, upstreams: &[written::Upstream]) -> String {
    let known = upstreams.iter().map(|upstream| upstream.name.get_ref().as_str());
    let cure = suggest::instead(name, known).unwrap_or_else(|| "there are none".to_owned());
    format!("`upstream` in {section}: no [upstreams.NAME] is called {}; {cure}", Shown(name))
}

fn refuse_twins(upstream: &written::Upstream, findings: &Findings) {
    let mut seen = HashSet::new();
    for endpoint in upstream.endpoints.iter().filter(|endpoint| !seen.insert(endpoint.get_ref())) {
        let name = Shown(upstream.name.get_ref());
        findings.fault(&endpoint.span(), format!("the upstream {name} lists this endpoint twice"));
    }
}

fn warn_of_timeouts(routes: &[written::Route], findings: &Findings) {
    for route in routes.iter().filter(|route| *route.timeout.get_ref() > FRONT_DOOR_WAIT) {
        findings.warn(
            &route.timeout.span(),
            "`timeout` in [[routes]] is above 30s, what Front Door waits unless told otherwise: then its answer comes \
             first and hides ours; raise its origin timeout above this one",
        );
    }
}

/// The first match wins: a route below one that takes everything it takes is never asked.
fn warn_of_unreachable(routes: &[written::Route], findings: &Findings) {
    for (position, below) in routes.iter().enumerate() {
        let Some(above) = routes.iter().take(position).find(|above| takes_all_of(above, below)) else { continue };
        if let (Some(name), Some(above)) = (&below.name, &above.name) {
            let message = format!(
                "the route {} is never reached: {} above takes every request that it would take; write it further up",
                Shown(name.get_ref()),
                Shown(above.get_ref())
            );
            findings.warn(&name.span(), message);
        }
    }
}

fn takes_all_of(above: &written::Route, below: &written::Route) -> bool {
    let (Some(prefix), Some(longer)) = (&above.path_prefix, &below.path_prefix) else { return false };
    let hosts = match (&above.host, &below.host) {
        (HostRead::Faulty, _) | (_, HostRead::Faulty) => false,
        (HostRead::Every, _) => true,
        (HostRead::Pattern(_), HostRead::Every) => false,
        (HostRead::Pattern(wide), HostRead::Pattern(narrow)) => wide.covers(narrow),
    };
    // a route for some methods or fields only leaves the rest
    let narrow = !above.methods.is_empty() || !above.headers.is_empty();
    hosts && !narrow && longer.get_ref().starts_with(prefix.get_ref().as_str())
}
