//! Who takes what: tables of requests against a few routes.

use std::path::Path;

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use synaxis_config::settings::Route;

use super::{Asked, LocalReply, begins, choose, methods};

const HEAD: &str = r#"
[stamp]
id = "synaxis-weu-001"
[[listeners]]
kind = "edge"
address = "127.0.0.1:0"
trust_header = true
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
"#;

/// Routes as (name, more lines).
fn routes(entries: &[(&str, &str)]) -> Vec<Route> {
    let entry = |(name, more): &(&str, &str)| format!("[[routes]]\nname = \"{name}\"\nupstream = \"app\"\n{more}\n");
    let toml = format!("{HEAD}{}", entries.iter().map(entry).collect::<String>());
    synaxis_config::load(&toml, Path::new("test.toml")).unwrap_or_else(|faults| panic!("{faults}")).0.routes
}

/// The name of the route, or the reason token and what stands in `Allow`.
fn outcome(routes: &[Route], asked: &Asked<'_>) -> String {
    match choose(routes, asked) {
        Ok(route) => route.name.clone(),
        Err(reply @ LocalReply::MethodUnrouted(_)) => {
            let LocalReply::MethodUnrouted(allow) = &reply else { unreachable!() };
            format!("{} {}", reply.shape().reason, allow.to_str().unwrap())
        }
        Err(reply) => reply.shape().reason.to_owned(),
    }
}

fn by_path(routes: &[Route], path: &str) -> String {
    outcome(routes, &Asked { host: "a", path, method: &Method::GET, headers: &HeaderMap::new() })
}

#[test]
fn a_prefix_ends_at_a_segment() {
    for (path, prefix, expected) in [
        ("/", "/", true),
        ("/x", "/", true),
        ("/api", "/api", true),
        ("/api/x", "/api", true),
        ("/apis", "/api", false),
        ("/api/", "/api/", true),
        ("/api", "/api/", false),
        ("*", "/", false),
    ] {
        assert_eq!(begins(path.as_bytes(), prefix.as_bytes()), expected, "{path} under {prefix}");
    }
}

#[test]
fn a_route_owns_its_paths_however_they_are_written() {
    let routes = routes(&[
        ("admin", "path_prefix = \"/admin\""),
        ("api", "path_prefix = \"/api\""),
        ("rest", "path_prefix = \"/\""),
    ]);
    for (path, expected) in [
        ("/api", "api"),
        ("/api/x", "api"),
        ("/apis", "rest"),
        ("/API", "rest"),
        // the same by RFC 3986 §6.2.2.2
        ("/%61pi", "api"),
        ("/%61%70%69/x", "api"),
        ("/api%20x", "rest"),
        // escapes, parameters, empty segments and hidden files that lead nowhere else
        ("/api/a%20b", "api"),
        ("/api/a%2Fb", "api"),
        ("/api//x", "api"),
        ("/api/x;v=1", "api"),
        ("/x//y", "rest"),
        ("/files/http://example.com/", "rest"),
        ("/.well-known/x", "rest"),
        ("/a/...", "rest"),
        ("/a/..b", "rest"),
        ("/%e4/x", "rest"),
        ("/100%", "rest"),
        ("/%zz/%4", "rest"),
        ("/api/%252e%252e/admin", "api"),
        // dot segments
        ("/api/../admin", "target_invalid"),
        ("/api/..", "target_invalid"),
        ("/..", "target_invalid"),
        ("/./api", "target_invalid"),
        ("/api/.", "target_invalid"),
        ("/api/%2e%2e/admin", "target_invalid"),
        ("/api/.%2E/admin", "target_invalid"),
        ("/api/%2e/admin", "target_invalid"),
        ("/api/..%2Fadmin", "target_invalid"),
        ("/api%2F..%2fadmin", "target_invalid"),
        ("/api/..;/admin", "target_invalid"),
        ("/api/..;a=b/admin", "target_invalid"),
        ("/api/..%3Ba/admin", "target_invalid"),
        // one app reads the one route's prefix, another app the other's
        ("//api", "target_invalid"),
        ("///admin/x", "target_invalid"),
        ("/%2Fadmin", "target_invalid"),
        ("/admin%2Fx", "target_invalid"),
        ("/admin;x=1", "target_invalid"),
        ("/admin;x=1/y", "target_invalid"),
        ("/;/admin", "target_invalid"),
        ("/%3B/admin", "target_invalid"),
    ] {
        assert_eq!(by_path(&routes, path), expected, "{path}");
    }
}

#[test]
fn a_route_takes_the_methods_and_fields_that_it_lists() {
    let routes = routes(&[
        ("beta", "path_prefix = \"/\"\nheaders = [{ name = \"x-beta\" }, { name = \"x-version\", value = \"2\" }]"),
        ("read", "path_prefix = \"/docs\"\nmethods = [\"GET\", \"HEAD\"]"),
        ("write", "path_prefix = \"/docs\"\nmethods = [\"POST\", \"GET\"]"),
        ("only-get", "path_prefix = \"/one\"\nmethods = [\"GET\"]"),
        ("other-host", "path_prefix = \"/\"\nhost = \"b\""),
    ]);
    let fields = |lines: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    };
    let beta = [("x-beta", ""), ("x-version", "1"), ("x-version", "2")];
    for (method, host, path, lines, expected) in [
        (Method::GET, "a", "/docs", &[][..], "read"),
        (Method::POST, "a", "/docs/x", &[], "write"),
        (Method::PUT, "a", "/docs", &[], "method_not_allowed GET, HEAD, POST"),
        (Method::PUT, "a", "/%64ocs", &[], "method_not_allowed GET, HEAD, POST"),
        (Method::HEAD, "a", "/one", &[], "method_not_allowed GET"),
        (Method::OPTIONS, "a", "/one", &[], "method_not_allowed GET"),
        (Method::PUT, "a", "/", &[], "route_unknown"),
        (Method::PUT, "b", "/docs", &[], "other-host"),
        (Method::PUT, "a", "/docs", &beta, "beta"),
        (Method::PUT, "a", "/docs", &beta[..2], "method_not_allowed GET, HEAD, POST"),
        (Method::PUT, "a", "/", &beta[..2], "route_unknown"),
        (Method::PUT, "a", "/", &[("x-beta", "1"), ("x-version", "2 ")], "route_unknown"),
        (Method::PUT, "a", "/", &[("x-beta", "1"), ("x-version", "1, 2")], "route_unknown"),
    ] {
        let headers = fields(lines);
        let asked = Asked { host, path, method: &method, headers: &headers };
        assert_eq!(outcome(&routes, &asked), expected, "{method} {host}{path} {lines:?}");
    }
    let asked = Asked { host: "a", path: "/docs", method: &Method::OPTIONS, headers: &HeaderMap::new() };
    assert_eq!(methods(&routes, &asked).unwrap(), "GET, HEAD, POST");
    assert!(methods(&routes, &Asked { host: "b", ..asked }).is_none(), "one of its routes takes every method");
}

/// How an app may read a path.
#[derive(Clone, Copy, Debug)]
struct App {
    decodes_slashes: bool,
    merges: bool,
    drops_parameters: bool,
}

impl App {
    fn reads(self, path: &str) -> String {
        let mut text = path.replace("%61", "a").replace("%3b", ";");
        if self.decodes_slashes {
            text = text.replace("%2f", "/");
        }
        let mut segments: Vec<&str> = text.split('/').skip(1).collect();
        if self.drops_parameters {
            segments = segments.into_iter().map(|segment| segment.split(';').next().unwrap()).collect();
        }
        if self.merges {
            let last = segments.pop_if(|segment| segment.is_empty());
            segments.retain(|segment| !segment.is_empty());
            segments.extend(last.filter(|_| !segments.is_empty()));
        }
        format!("/{}", segments.join("/"))
    }
}

proptest! {
    #[test]
    fn no_app_reads_a_path_as_one_that_another_route_owns(
        path in "(/|%2f|;|%3b|a|%61|b|c){1,8}",
        decodes_slashes: bool,
        merges: bool,
        drops_parameters: bool,
    ) {
        let routes = routes(&[
            ("ab", "path_prefix = \"/a/b\""),
            ("a", "path_prefix = \"/a\""),
            ("below", "path_prefix = \"/c/\""),
            ("rest", "path_prefix = \"/\""),
        ]);
        let path = format!("/{path}");
        let app = App { decodes_slashes, merges, drops_parameters };
        let (chosen, read) = (by_path(&routes, &path), app.reads(&path));
        let owner = routes.iter().find(|route| begins(read.as_bytes(), route.path_prefix.as_bytes())).unwrap();
        prop_assert!(chosen == "target_invalid" || chosen == owner.name, "{} {} is {}", path, read, owner.name);
    }
}
