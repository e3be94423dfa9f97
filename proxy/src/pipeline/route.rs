//! Which route a request takes: the first whose host, path prefix, methods and fields match.
//!
//! Invariant: the app behind a route never reads a path as one that another route owns; `reading` says how. Methods are
//! exact: a route that lists GET takes HEAD only if it lists HEAD too, for its author may have meant just that.

use http::{HeaderMap, HeaderValue, Method};
use synaxis_config::settings::Route;

use super::local_reply::LocalReply;

mod reading;

/// What of a request decides on its route.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// In lower case and without its port.
    pub host: &'a str,
    /// As received.
    pub path: &'a str,
    /// As received.
    pub method: &'a Method,
    /// As received, without the fields that only stamps exchange.
    pub headers: &'a HeaderMap,
}

/// The first matching route. Prefixes match whole segments.
///
/// # Errors
/// `route_unknown`; `method_not_allowed` when nothing but its method keeps a request from some route;
/// `target_invalid` when the answer depends on who reads the path.
pub fn choose<'a>(routes: &'a [Route], asked: &Asked<'_>) -> Result<&'a Route, LocalReply> {
    if !reading::is_plain(asked.path) {
        return choose_by_every_reading(routes, asked);
    }
    let path = asked.path.as_bytes();
    first(routes, asked, path).ok_or_else(|| nobody(routes, asked, path))
}

/// The methods of all routes that take the request but for its method, as a field value; `None` when some route takes
/// every method or none takes the request.
#[must_use]
pub fn methods(routes: &[Route], asked: &Asked<'_>) -> Option<HeaderValue> {
    let path = reading::strict(asked.path);
    allow(routes, asked, &path)
}

/// Nothing in the common case: a path of letters has one reading.
#[cold]
fn choose_by_every_reading<'a>(routes: &'a [Route], asked: &Asked<'_>) -> Result<&'a Route, LocalReply> {
    let (strict, lenient) = (reading::strict(asked.path), reading::lenient(asked.path)?);
    let route = first(routes, asked, &strict);
    if route.map(std::ptr::from_ref) != first(routes, asked, &lenient).map(std::ptr::from_ref) {
        return Err(LocalReply::TargetInvalid("its route would depend on how the path is read"));
    }
    route.ok_or_else(|| nobody(routes, asked, &strict))
}

fn first<'a>(routes: &'a [Route], asked: &Asked<'_>, path: &[u8]) -> Option<&'a Route> {
    routes
        .iter()
        .find(|route| (route.methods.is_empty() || route.methods.contains(asked.method)) && takes(route, asked, path))
}

/// Whether a route takes a request, whatever its method.
fn takes(route: &Route, asked: &Asked<'_>, path: &[u8]) -> bool {
    route.host.as_ref().is_none_or(|pattern| pattern.matches(asked.host))
        && begins(path, route.path_prefix.as_bytes())
        && route.headers.iter().all(|wanted| match &wanted.value {
            Some(value) => asked.headers.get_all(&wanted.name).iter().any(|line| line == value),
            None => asked.headers.contains_key(&wanted.name),
        })
}

#[cold]
fn nobody(routes: &[Route], asked: &Asked<'_>, path: &[u8]) -> LocalReply {
    allow(routes, asked, path).map_or(LocalReply::RouteUnknown, LocalReply::MethodUnrouted)
}

fn allow(routes: &[Route], asked: &Asked<'_>, path: &[u8]) -> Option<HeaderValue> {
    let mut methods: Vec<&str> = Vec::new();
    for route in routes.iter().filter(|route| takes(route, asked, path)) {
        if route.methods.is_empty() {
            return None;
        }
        for method in &route.methods {
            if !methods.contains(&method.as_str()) {
                methods.push(method.as_str());
            }
        }
    }
    (!methods.is_empty()).then(|| HeaderValue::from_str(&methods.join(", ")).ok()).flatten()
}

/// `/api` matches `/api` and `/api/x`, not `/apis`; `/api/` matches what lies below it.
fn begins(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests;
