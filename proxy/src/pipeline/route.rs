//! Which route a request takes: the first whose host and path prefix match.

use synaxis_config::settings::Route;

use super::local_reply::LocalReply;

/// The first matching route. `host` is in lower case and without its port; prefixes match whole segments.
///
/// # Errors
/// `route_unknown`.
pub fn choose<'a>(routes: &'a [Route], host: &str, path: &str) -> Result<&'a Route, LocalReply> {
    routes
        .iter()
        .find(|route| {
            route.host.as_ref().is_none_or(|pattern| pattern.matches(host)) && begins(path, &route.path_prefix)
        })
        .ok_or(LocalReply::RouteUnknown)
}

/// `/api` matches `/api` and `/api/x`, not `/apis`; `/api/` matches what lies below it.
fn begins(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::begins;

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
            assert_eq!(begins(path, prefix), expected, "{path} under {prefix}");
        }
    }
}
