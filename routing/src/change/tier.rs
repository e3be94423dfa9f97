//! Tiers: what a tenant pays for, by the name that the proxies' settings give a quota to.
//!
//! Invariant: a tier is a word; the table says whose is which, and no more.

/// Longest name of a tier.
pub const TIER_MAX: usize = 32;

/// Whether text can name a tier: 1 to 32 of `a-z 0-9 -`.
#[must_use]
pub fn is_tier(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=TIER_MAX).contains(&text.len()) && text.bytes().all(known)
}
