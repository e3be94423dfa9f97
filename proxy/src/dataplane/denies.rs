//! Refusals of other stamps, as one worker remembers them.
//!
//! Invariant: never more of them than the cap, and of one tenant never so many that nobody else has room.

use std::{cell::RefCell, collections::HashMap, fmt};

use sha2::{Digest as _, Sha256};
use synaxis_config::settings::LimitKey;
use synaxis_routing::id::TenantId;

use crate::upstream::concurrency::TenantKey;

/// Most refusals of one tenant that are remembered.
const TENANT_MAX: usize = 64;

/// Whose requests a refusal is about: the tenant, the limit, and what else tells requests apart (128 bits of SHA-256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of a request with these parts of the limit's key.
    #[must_use]
    pub fn new(tenant: &TenantId, limit: &str, key: &[LimitKey], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        let mut note = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        note(tenant.as_bytes());
        note(limit.as_bytes());
        key.iter().for_each(|part| note(part.to_string().as_bytes()));
        parts.iter().for_each(|part| note(part));
        let digest = hash.finalize();
        Self(std::array::from_fn(|at| digest[at]))
    }

    /// As 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 32 || !bytes.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
        let mut parsed = [0; 16];
        for (at, place) in parsed.iter_mut().enumerate() {
            *place = byte(at)?;
        }
        Some(Self(parsed))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Whose requests.
    pub fingerprint: Fingerprint,
    /// Until when it is remembered, in milliseconds of the process's clock.
    pub until: u64,
    /// When one of them may come again, which may be later.
    pub retry_at: u64,
}

/// What one worker remembers.
#[derive(Default)]
pub struct Denies(RefCell<Memory>);

#[derive(Default)]
struct Memory {
    tenants: HashMap<TenantKey, Vec<Denied>>,
    count: usize,
}

impl Denies {
    /// What refuses a tenant's requests of a fingerprint at `now`, in milliseconds of the process's clock. The fingerprint is
    /// only made if anything is known of the tenant.
    pub fn find(&self, tenant: TenantKey, now: u64, fingerprint: impl FnOnce() -> Fingerprint) -> Option<Denied> {
        let memory = self.0.borrow();
        let known = memory.tenants.get(&tenant).filter(|known| known.iter().any(|denied| denied.until > now))?;
        let meant = fingerprint();
        known.iter().find(|denied| denied.until > now && denied.fingerprint == meant).copied()
    }

    /// Whether anything is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().count == 0
    }

    /// Forgets what is over: to be called by a timer.
    pub fn forget(&self, now: u64) {
        let memory = &mut *self.0.borrow_mut();
        memory.tenants.retain(|_, denied| {
            denied.retain(|denied| denied.until > now);
            !denied.is_empty()
        });
        memory.count = memory.tenants.values().map(Vec::len).sum();
    }

    /// Remembers a refusal. False: there are `max` of them, or too many of this tenant.
    pub fn note(&self, tenant: TenantKey, denied: Denied, now: u64, max: usize) -> bool {
        let memory = &mut *self.0.borrow_mut();
        let known = memory.tenants.entry(tenant).or_default();
        if let Some(known) =
            known.iter_mut().find(|known| known.fingerprint == denied.fingerprint || known.until <= now)
        {
            *known = denied;
            return true;
        }
        let has_room = known.len() < TENANT_MAX && memory.count < max;
        if has_room {
            known.push(denied);
            memory.count += 1;
        } else if known.is_empty() {
            memory.tenants.remove(&tenant);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(name: &str, limit: &str, parts: &[&[u8]]) -> Fingerprint {
        let tenant = TenantId::parse(name.as_bytes()).unwrap();
        Fingerprint::new(&tenant, limit, &[LimitKey::Tenant, LimitKey::User], parts)
    }

    #[test]
    fn no_two_tenants_limits_or_users_have_one_fingerprint() {
        let all = [
            fingerprint("a", "b", &[b"c"]),
            fingerprint("ab", "b", &[b"c"]),
            fingerprint("a", "bc", &[]),
            fingerprint("a", "b", &[b"cc"]),
            fingerprint("a", "b", &[b"c", b"c"]),
            fingerprint("a", "b", &[b""]),
            fingerprint("a", "b", &[]),
            Fingerprint::new(&TenantId::parse(b"a").unwrap(), "b", &[LimitKey::Tenant, LimitKey::ClientIp], &[b"c"]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }

    #[test]
    fn refusals_are_bounded_and_what_is_over_makes_room() {
        let (denies, key) = (Denies::default(), |tenant: u128| TenantKey::new(tenant));
        let one = |at: u8| Fingerprint([at; 16]);
        let denied = |at: u8, until: u64| Denied { fingerprint: one(at), until, retry_at: until + 1_000 };
        let retry_at = |denies: &Denies, tenant: u128, now: u64, at: u8| {
            denies.find(key(tenant), now, || one(at)).map(|denied| denied.retry_at)
        };
        assert!(denies.is_empty());
        assert!(denies.note(key(1), denied(1, 100), 0, 2));
        assert!(denies.note(key(1), denied(2, 200), 0, 2));
        assert!(!denies.note(key(2), denied(3, 300), 0, 2));
        assert_eq!([retry_at(&denies, 1, 99, 1), retry_at(&denies, 1, 100, 1)], [Some(1_100), None]);
        // of another tenant it says nothing
        assert_eq!(retry_at(&denies, 2, 0, 1), None);
        // a newer word of the same takes no room, and what is over makes some
        assert!(denies.note(key(1), denied(2, 250), 0, 2));
        assert!(!denies.note(key(2), denied(3, 300), 150, 2));
        denies.forget(150);
        assert!(denies.note(key(2), denied(3, 300), 150, 2));
        assert_eq!([retry_at(&denies, 1, 0, 1), retry_at(&denies, 2, 0, 3)], [None, Some(1_300)]);
        // one tenant does not get all of it
        let denies = Denies::default();
        let noted = (0..100).filter(|at| denies.note(key(1), denied(*at, 9), 0, 1_000)).count();
        assert_eq!(noted, TENANT_MAX);
        assert!(!denies.note(key(2), denied(1, 9), 0, 0));
    }
}
