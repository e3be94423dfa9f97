//! What tells one kept answer from all others.
//!
//! Invariant: the tenant comes first in every key, and every part has its length before it, so that no two different
//! requests make the same bytes. A kept answer has its whole key with it, which is compared: a hash only finds a place.

use std::ops::Range;

use sha2::{Digest, Sha256};
use synaxis_routing::id::TenantId;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Changes with what the bytes mean: what another version of this program has written is never found.
const VERSION: u8 = 1;

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    bytes: Vec<u8>,
    authority: Range<usize>,
    target: Range<usize>,
}

/// What a key is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Whose request it is.
    pub tenant: &'a TenantId,
    /// The class that its answers are kept by.
    pub class: &'a str,
    /// The route that it takes, and the app that this leads to: another one may answer otherwise.
    pub route: [&'a str; 2],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the request names them, in any case.
    pub authority: &'a [u8],
    /// Path and query as the request has them.
    pub target: &'a str,
    /// The one user who may have the answer. `None`: every user of the tenant.
    pub private: Option<Private<'a>>,
}

/// Who alone may have an answer.
#[derive(Clone, Copy, Debug)]
pub struct Private<'a> {
    /// The user.
    pub user: &'a [u8],
    /// What proves it: the value of `Authorization`, or nothing. Only a hash of it is kept (SHA-256).
    pub credentials: &'a [u8],
}

impl Key {
    /// The key of a request, without the fields that answers vary by.
    #[must_use]
    pub fn of(parts: &Parts<'_>) -> Self {
        let tenant = parts.tenant.as_str();
        let most = 64
            + tenant.len()
            + parts.class.len()
            + parts.route.iter().map(|part| part.len()).sum::<usize>()
            + parts.authority.len()
            + parts.target.len();
        let mut bytes = Vec::with_capacity(most);
        bytes.push(VERSION);
        push(&mut bytes, tenant.as_bytes());
        push(&mut bytes, parts.class.as_bytes());
        parts.route.iter().for_each(|part| _ = push(&mut bytes, part.as_bytes()));
        push(&mut bytes, parts.scheme.as_bytes());
        let authority = push(&mut bytes, parts.authority);
        bytes[authority.clone()].make_ascii_lowercase();
        let target = push(&mut bytes, parts.target.as_bytes());
        match parts.private {
            None => bytes.push(0),
            Some(Private { user, credentials }) => {
                bytes.push(1);
                push(&mut bytes, user);
                bytes.extend_from_slice(&Sha256::digest(credentials));
            }
        }
        Self { bytes, authority, target }
    }

    /// The key of one of several kinds of answers. `write` appends what tells the kinds apart.
    #[must_use]
    pub fn variant(&self, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut variant = self.clone();
        variant.bytes.push(2);
        write(&mut variant.bytes);
        variant
    }

    /// The key of what is known of requests with credentials alone; no variant has it.
    #[must_use]
    pub fn with_credentials(&self) -> Self {
        let mut key = self.clone();
        key.bytes.push(3);
        key
    }

    /// Where it is looked for. `seed` is the process's own, so that nobody outside can aim at a place.
    #[must_use]
    pub fn place(&self, seed: u64) -> u128 {
        xxh3_128_with_seed(&self.bytes, seed)
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Host and port in lower case.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text(&self.authority)
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.bytes.get(range.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) -> Range<usize> {
    // no part of a request is as long as 4 GiB
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    let start = bytes.len();
    bytes.extend_from_slice(part);
    start..bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id.as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn different_requests_have_different_keys(
            one in ("[ab]{1,3}", "[ab]{0,3}", "[ab:.]{0,3}", "/[ab?/]{0,3}", prop::option::of(("[ab]{0,2}", "[ab]{0,2}"))),
            two in ("[ab]{1,3}", "[ab]{0,3}", "[ab:.]{0,3}", "/[ab?/]{0,3}", prop::option::of(("[ab]{0,2}", "[ab]{0,2}"))),
        ) {
            let key = |(id, class, authority, target, private): &(String, String, String, String, Option<(String, String)>)| {
                let tenant = tenant(id);
                let private = private.as_ref().map(|(user, credentials)| Private {
                    user: user.as_bytes(),
                    credentials: credentials.as_bytes(),
                });
                Key::of(&Parts { tenant: &tenant, class, route: ["r", "app"], scheme: "http", authority: authority.as_bytes(), target, private })
            };
            prop_assert_eq!(key(&one) == key(&two), one == two);
            prop_assert_eq!(key(&one).place(7) == key(&two).place(7), one == two);
        }
    }

    #[test]
    fn a_host_has_no_case_and_a_path_has() {
        let acme = tenant("acme");
        let key = |authority: &str, target| {
            let authority = authority.as_bytes();
            Key::of(&Parts {
                tenant: &acme,
                class: "c",
                route: ["r", "app"],
                scheme: "http",
                authority,
                target,
                private: None,
            })
        };
        assert_eq!(key("A.Example:80", "/x"), key("a.example:80", "/x"));
        assert_ne!(key("a", "/X"), key("a", "/x"));
        let key = key("Host", "/x?y");
        assert_eq!((key.authority(), key.target()), ("host", "/x?y"));
        let kinds: Vec<Key> = ["", "a", "b"].map(|kind| key.variant(|bytes| bytes.extend(kind.bytes()))).into();
        assert!(kinds.iter().all(|kind| *kind != key && kind.target() == "/x?y"));
        assert!(kinds[0] != kinds[1] && kinds[1] != kinds[2]);
        assert!(kinds.iter().chain([&key]).all(|kind| *kind != key.with_credentials()));
        assert_ne!(key.place(1), key.place(2), "the place is not to be guessed");
    }

    #[test]
    fn credentials_are_not_in_it() {
        let acme = tenant("acme");
        let private = Some(Private { user: b"ann", credentials: b"Bearer s3cret" });
        let key = Key::of(&Parts {
            tenant: &acme,
            class: "c",
            route: ["r", "app"],
            scheme: "http",
            authority: b"h",
            target: "/",
            private,
        });
        assert!(!String::from_utf8_lossy(key.as_bytes()).contains("s3cret"));
        let other = Some(Private { user: b"ann", credentials: b"Bearer 0ther" });
        let parts = Parts {
            tenant: &acme,
            class: "c",
            route: ["r", "app"],
            scheme: "http",
            authority: b"h",
            target: "/",
            private: other,
        };
        assert_ne!(key, Key::of(&parts));
    }
}
