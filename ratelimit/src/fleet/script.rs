//! The script that counts keys in Redis, the text of a key, and what goes in and comes out.
//!
//! Invariant: the script is constant, and whatever a client can choose stands in a key only, escaped or hashed: it can
//! neither leave its tenant's hash tag, nor name another key, nor make one longer than its bound.

use std::fmt::Write as _;

use redis::{Cmd, FromRedisValue as _, RedisError, Value};
use sha2::{Digest as _, Sha256};

use super::plan::{LEASE_LIFE, Plan};

#[cfg(test)]
pub(super) mod model;
#[cfg(test)]
mod tests;

/// The script.
pub const SOURCE: &str = include_str!("script/script.lua");
/// Most keys of one call. The server does nothing else meanwhile, for some 20 to 30 us a key.
pub const KEYS_MAX: usize = 64;
/// Longest that a part may be in a key, in bytes.
const PART_MAX: usize = 64;
/// Most parts of a key that are written one by one.
const PARTS_MAX: usize = 8;
/// Answers for each key.
const ANSWERS: usize = 5;

/// The key of these parts of this tenant in this limit: `{PREFIX:rl:TENANT}:LIMIT[:PART...]`.
///
/// Letters, digits, `-`, `.`, `_` and `~` stand for themselves, all other bytes as `%XX`; what is longer than 64 bytes then
/// stands as `=` and 128 bits of its SHA-256, and so do all parts together if there are more than 8. No two lists of parts
/// have one key but by collisions of the hash.
#[must_use]
pub fn key(prefix: &str, tenant: &str, limit: &str, parts: &[&[u8]]) -> String {
    let mut key = head(prefix, tenant, limit);
    if parts.len() > PARTS_MAX {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        key.push_str(":+");
        digest(&mut key, hash);
        return key;
    }
    for part in parts {
        key.push(':');
        encode(&mut key, part);
    }
    key
}

/// The key of what has no room for keys of its own: of one tenant in this limit, or in it of all (`""`). That of no limit (`""`)
/// is for looks whether the store counts.
#[must_use]
pub fn shared_key(prefix: &str, tenant: &str, limit: &str) -> String {
    // no part looks like this
    let mut key = head(prefix, tenant, limit);
    key.push_str(":*");
    key
}

fn head(prefix: &str, tenant: &str, limit: &str) -> String {
    let mut key = String::with_capacity(96);
    key.push('{');
    // an operator's, with colons if he likes, but the tag must end where it ends
    key.extend(prefix.chars().filter(|letter| !matches!(letter, '{' | '}')));
    key.push_str(":rl:");
    encode(&mut key, tenant.as_bytes());
    key.push_str("}:");
    encode(&mut key, limit.as_bytes());
    key
}

fn encode(key: &mut String, part: &[u8]) {
    let from = key.len();
    for &byte in part {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            key.push(char::from(byte));
        } else {
            // writing to a string does not fail
            let _ = write!(key, "%{byte:02X}");
        }
        if key.len() - from > PART_MAX {
            key.truncate(from);
            key.push('=');
            digest(key, Sha256::new_with_prefix(part));
            return;
        }
    }
}

fn digest(key: &mut String, hash: Sha256) {
    for byte in &hash.finalize()[..16] {
        let _ = write!(key, "{byte:02x}");
    }
}

/// What is asked about one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Tokens that are spent at once.
    pub(crate) direct: u32,
    /// Tokens that were spent already.
    pub(crate) debit: u32,
    /// Tokens to give back.
    pub(crate) credit: u32,
    /// When the first of them was granted, in microseconds of the store's clock.
    pub(crate) credit_at: u64,
    /// Number of the report on the lease, higher than any before; 0: there is none.
    pub(crate) seq: u64,
    /// Tokens left of the lease.
    pub(crate) remaining: u32,
    /// Tokens wanted in it; with 0 what remains goes back.
    pub(crate) target: u32,
}

/// What the script says of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The instant, in microseconds of the store's clock.
    pub(crate) now: u64,
    /// Direct tokens granted.
    pub(crate) direct: u32,
    /// Tokens of the lease that it still counts.
    pub(crate) kept: u32,
    /// Tokens that came to it.
    pub(crate) granted: u32,
    /// Microseconds until the bucket is full.
    pub(crate) missing: u64,
    /// This holder's part of what was spent lately, in millionths.
    pub(crate) recent: u32,
}

/// The call for keys of one tenant.
pub(crate) fn call<'a>(
    sha: &str,
    holder: &str,
    keys: impl ExactSizeIterator<Item = (&'a str, &'a Plan, Ask)> + Clone,
) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(sha).arg(keys.len());
    for (key, ..) in keys.clone() {
        call.arg(key);
    }
    call.arg(holder).arg(micros(LEASE_LIFE));
    for (_, plan, ask) in keys {
        let Ask { direct, debit, credit, credit_at, seq, remaining, target } = ask;
        call.arg(plan.interval()).arg(plan.burst()).arg(micros(plan.quota().window())).arg(plan.leased_max());
        call.arg(micros(plan.slack())).arg(direct).arg(debit).arg(credit).arg(credit_at);
        call.arg(seq).arg(remaining).arg(target);
    }
    call
}

pub(crate) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What a call for `keys` keys returned.
///
/// # Errors
/// It is not what the script returns.
pub(crate) fn answers(value: Value, keys: usize) -> Result<Vec<Answer>, RedisError> {
    let strange = || RedisError::from((redis::ErrorKind::UnexpectedReturnType, "not what the limits script returns"));
    let numbers = Vec::<u64>::from_redis_value(value).map_err(|_| strange())?;
    let Some((&now, numbers)) = numbers.split_first() else { return Err(strange()) };
    if numbers.len() != keys * ANSWERS {
        return Err(strange());
    }
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    let answer = |of: &[u64]| Answer {
        now,
        direct: small(of[0]),
        kept: small(of[1]),
        granted: small(of[2]),
        missing: of[3],
        recent: small(of[4]).min(1_000_000),
    };
    Ok(numbers.chunks_exact(ANSWERS).map(answer).collect())
}
