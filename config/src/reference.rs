//! What a file may hold, as a JSON Schema, as a file of defaults and as a page of documentation.
//!
//! Invariant: all three come from reading a file that is not there and from one table of sentences; no key is listed
//! anywhere else.

mod defaults;
mod page;
mod schema;
mod sentences;

pub use defaults::defaults;
pub use page::page;
pub use schema::schema;
pub(crate) use sentences::position;

/// The path of every section and key, such as `listeners.address` and `upstreams.NAME.endpoints`, in the order of the
/// documentation.
#[must_use]
pub fn keys() -> Vec<String> {
    crate::describe::Description::new().keys.into_iter().map(|key| key.path).collect()
}

/// What is said about a section or key; empty when nothing is.
fn sentence(path: &str) -> &'static str {
    sentences::SENTENCES.iter().find(|(known, _)| *known == path).map_or("", |(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{Description, Kind, Need};

    #[test]
    fn every_key_that_is_read_has_its_sentence_and_no_other_has_one() {
        let mut read: Vec<String> = keys();
        let mut told: Vec<&str> = sentences::SENTENCES.iter().map(|(path, _)| *path).collect();
        read.sort_unstable();
        told.sort_unstable();
        assert_eq!(read, told);
        assert!(sentences::SENTENCES.iter().all(|(_, sentence)| sentence.ends_with(['.', '?'])));
    }

    #[test]
    fn what_a_description_says_is_what_reading_does() {
        let description = Description::new();
        let key = |path: &str| description.keys.iter().find(|key| key.path == path).unwrap();
        let required: Vec<&str> =
            description.keys.iter().filter(|key| description.is_required(key)).map(|key| key.path.as_str()).collect();
        assert_eq!(
            required,
            [
                "stamp",
                "stamp.id",
                "listeners",
                "listeners.kind",
                "listeners.address",
                "tenant.sources.header",
                "user.sources.header",
                "routes.name",
                "routes.path_prefix",
                "routes.upstream",
                "routes.headers.name",
                "tiers.NAME.requests",
                "rate_limits.name",
                "rate_limits.key",
                "rate_limits.quota",
                "upstreams",
                "upstreams.NAME.endpoints",
                "upstreams.NAME.health_check.path",
                "dependencies.NAME.on_failure",
            ]
        );
        assert!(matches!(key("listeners.trust_header").need, Need::Sometimes(_)));
        assert_eq!(key("limits.head_bytes").default, Some("32KiB".into()));
        assert_eq!(key("routing.endpoints.ports").default, Some(vec![8443].into()));
        assert_eq!(key("upstreams").kind, Kind::Named(256));
    }
}
