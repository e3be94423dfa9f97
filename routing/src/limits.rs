//! Quotas of a tenant's own: which limits of the proxies' settings count otherwise for it, and how.
//!
//! Invariant: what stands in a table that was let through is a quota each, and few of them; whether there is a limit of that
//! name is for each proxy's settings to say.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;
pub use synaxis_ratelimit::quota::{InvalidQuota, Quota};

/// Most limits that one tenant has quotas of its own for.
pub const TENANT_LIMITS_MAX: usize = 16;
/// Most different quotas for limits, over all tenants: a proxy has a limiter for each.
pub const LIMIT_QUOTAS_MAX: usize = 4_096;
/// Longest name of a limit.
pub const LIMIT_NAME_MAX: usize = 48;

/// Whether text can name a limit: 1 to 48 of `a-z 0-9 - _`, the first a letter or digit.
#[must_use]
pub fn is_limit(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    starts && text.len() <= LIMIT_NAME_MAX && text.bytes().all(known)
}

/// By the name of the limit, as the document has them: `{"per-user": "500/min,burst=20"}`.
///
/// Anything else than text is kept until [`crate::sanity`] has said whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TenantLimits(BTreeMap<String, Value>);

impl TenantLimits {
    /// Whether the tenant has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each with its limit, in the order of the names.
    pub fn quotas(&self) -> impl Iterator<Item = (&str, Quota)> {
        self.0.iter().filter_map(|(limit, written)| Some((limit.as_str(), quota(written).ok()?)))
    }

    /// That of one limit.
    #[must_use]
    pub fn of(&self, limit: &str) -> Option<Quota> {
        quota(self.0.get(limit)?).ok()
    }

    pub(crate) fn set(&mut self, limit: &str, quota: Quota) {
        self.0.insert(limit.to_owned(), Value::String(quota.to_string()));
    }

    pub(crate) fn remove(&mut self, limit: &str) {
        self.0.remove(limit);
    }

    /// What keeps a reader from following them, with the name of the limit.
    ///
    /// # Errors
    /// The first that is none, or that there are too many.
    pub(crate) fn check(&self) -> Result<(), InvalidLimit> {
        if let Some((limit, why)) = self.0.iter().find_map(|(limit, written)| {
            let why = if is_limit(limit) { quota(written).err()? } else { Why::Name };
            Some((limit, why))
        }) {
            // a hostile name is as long as its document
            return Err(InvalidLimit::One { limit: limit.chars().take(LIMIT_NAME_MAX).collect(), why });
        }
        if self.0.len() > TENANT_LIMITS_MAX { Err(InvalidLimit::Many(self.0.len())) } else { Ok(()) }
    }
}

fn quota(written: &Value) -> Result<Quota, Why> {
    Ok(written.as_str().ok_or(Why::NoText)?.parse()?)
}

/// Why the limits of a tenant cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// One of them.
    #[error("{limit:?}: {why}")]
    One {
        /// Its name, shortened.
        limit: String,
        /// What is wrong.
        why: Why,
    },
    /// More than are read.
    #[error("there are {0}; at most {TENANT_LIMITS_MAX} are allowed")]
    Many(usize),
}

/// What is wrong with one limit of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The settings could not call a limit so.
    #[error("this is no name of a limit: 1 to {LIMIT_NAME_MAX} of a-z 0-9 - _, the first a letter or digit")]
    Name,
    /// No text.
    #[error("a quota is text, such as \"500/min\" or \"500/min,burst=20\"")]
    NoText,
    /// No quota.
    #[error(transparent)]
    Quota(#[from] InvalidQuota),
}

impl<'de> Deserialize<'de> for TenantLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = TenantLimits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of quotas by the name of their limit")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TenantLimits, A::Error> {
                let mut limits = BTreeMap::new();
                while let Some((limit, quota)) = map.next_entry::<String, Value>()? {
                    if limits.insert(limit, quota).is_some() {
                        return Err(de::Error::custom("a limit of a tenant is listed twice"));
                    }
                }
                Ok(TenantLimits(limits))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limits(document: Value) -> TenantLimits {
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn quotas_are_read_by_the_name_of_their_limit() {
        let limits = limits(json!({ "per-user": "500/60s,burst=20", "tenant": "5/h" }));
        assert_eq!(limits.check(), Ok(()));
        let read: Vec<(&str, String)> = limits.quotas().map(|(limit, quota)| (limit, quota.to_string())).collect();
        assert_eq!(read, [("per-user", "500/min,burst=20".to_owned()), ("tenant", "5/h".to_owned())]);
        assert_eq!((limits.of("tenant"), limits.of("other")), ("5/h".parse().ok(), None));
        // as it was written, whoever writes the document again
        assert_eq!(serde_json::to_value(&limits).unwrap()["per-user"], "500/60s,burst=20");
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (document, said) in [
            (json!({ "ok": "5/s", "per-user": 500 }), "\"per-user\": a quota is text"),
            (json!({ "per-user": null }), "\"per-user\": a quota is text"),
            (json!({ "per-user": { "quota": "5/s" } }), "\"per-user\": a quota is text"),
            (json!({ "per-user": "unlimited" }), "\"per-user\": a quota is a number"),
            (json!({ "per-user": "5/fortnight" }), "the times of a quota"),
            (json!({ "per-user": "1e9/s" }), "a quota is a number"),
            (json!({ "per-user": "100000001/s" }), "a quota is 1 to 100000000 requests"),
            (json!({ "per-user": "99999999999999999999/s" }), "a quota is 1 to 100000000 requests"),
            (json!({ "per-user": "0/s" }), "a quota is 1 to 100000000 requests"),
            (json!({ "per-user": "5/s,burst=6" }), "the burst of this quota is 1 to 5"),
            (json!({ "": "5/s" }), "\"\": this is no name of a limit"),
            (json!({ "-a": "5/s" }), "no name of a limit"),
            (json!({ "Per-User": "5/s" }), "no name of a limit"),
            (json!({ "a\r\nb": "5/s" }), "\"a\\r\\nb\": this is no name"),
            (json!({ "per-user candidate": "5/s" }), "no name of a limit"),
        ] {
            let error = limits(document.clone()).check().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains(['\r', '\n']), "{document}: {error}");
        }
        let long = limits(json!({ ("x".repeat(100_000)): "5/s" })).check().unwrap_err();
        assert!(long.to_string().len() < 300, "{long}");
        let many = |count| limits((0..count).map(|at| (format!("limit-{at}"), json!("5/s"))).collect());
        assert_eq!(many(TENANT_LIMITS_MAX).check(), Ok(()));
        assert_eq!(many(TENANT_LIMITS_MAX + 1).check(), Err(InvalidLimit::Many(17)));
    }

    #[test]
    fn a_limit_stands_once() {
        for wrong in [r#"{"a":"5/s","a":"5/s"}"#, "[]", "\"5/s\"", "null", "5"] {
            assert!(serde_json::from_str::<TenantLimits>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_those_of_the_settings() {
        let longest = "x".repeat(LIMIT_NAME_MAX);
        assert!(["a", "0", "per-user", "per_user", "tenant", &longest].into_iter().all(is_limit));
        let over = "x".repeat(LIMIT_NAME_MAX + 1);
        assert!(!["", "-a", "_a", "A", "a b", "a.b", "ä", "a\n", &over].into_iter().any(is_limit));
    }
}
