//! A lease in one word: how many tokens (12 bits), of which report (12 bits), until when (40 bits of 4.2 ms).
//!
//! Invariant: a lease is never over later than it was told, and nothing is taken from or given back to one that is over.

const TOKENS: u32 = 12;
const TAGS: u32 = 12;
const TOKENS_MASK: u64 = (1 << TOKENS) - 1;
const TAG_MASK: u64 = (1 << TAGS) - 1;
/// An instant of at most 2^62 ns has 40 bits of these.
const TICK: u32 = 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    fn new(ticks: u64, tag: u64, tokens: u64) -> Self {
        Self(ticks << (TOKENS + TAGS) | (tag & TAG_MASK) << TOKENS | tokens.min(TOKENS_MASK))
    }

    fn ticks(self) -> u64 {
        self.0 >> (TOKENS + TAGS)
    }

    /// When it is over, in nanoseconds.
    pub(super) fn expires(self) -> u64 {
        self.ticks() << TICK
    }

    /// Of which report it is.
    pub(super) fn tag(self) -> u64 {
        self.0 >> TOKENS & TAG_MASK
    }

    /// What can be taken.
    pub(super) fn tokens(self, now: u64) -> u32 {
        if now < self.expires() { (self.0 & TOKENS_MASK) as u32 } else { 0 }
    }

    pub(super) fn take(self, now: u64) -> Option<Self> {
        (self.tokens(now) > 0).then(|| Self(self.0 - 1))
    }

    /// None: it was taken under another report, or the lease is over.
    pub(super) fn give_back(self, tag: u64, now: u64) -> Option<Self> {
        let fits = self.tag() == tag && now < self.expires() && self.0 & TOKENS_MASK < TOKENS_MASK;
        fits.then(|| Self(self.0 + 1))
    }

    /// Reported on: what was taken before cannot come back.
    pub(super) fn retag(self, keeps: bool) -> Self {
        Self::new(self.ticks(), self.tag() + 1, if keeps { self.0 & TOKENS_MASK } else { 0 })
    }

    /// With so many tokens until then.
    pub(super) fn lease(self, tokens: u32, expires: u64) -> Self {
        Self::new(expires.min(crate::bucket::NOW_MAX - 1) >> TICK, self.tag(), u64::from(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_survives_its_word() {
        let (second, end) = (1_000_000_000, crate::bucket::NOW_MAX);
        for (tokens, expires) in [(0, second), (7, 1_800_000_000), (4_095, end), (u32::MAX, end - 1)] {
            let word = Word(0).lease(tokens, expires);
            let until = word.expires();
            assert!(until <= expires && until + (2 << TICK) > expires, "{expires}");
            assert_eq!((word.tokens(until - 1), word.tokens(until), word.tag()), (tokens.min(4_095), 0, 0));
        }
    }

    #[test]
    fn a_token_goes_back_once_into_the_lease_that_it_came_from() {
        let now = 1_000_000_000;
        let word = Word(0).lease(2, 2 * now);
        let taken = word.take(now).unwrap();
        assert_eq!(taken.give_back(taken.tag(), now), Some(word));
        assert_eq!(taken.give_back(taken.tag(), 2 * now), None);
        let told = taken.retag(true);
        assert_eq!((told.tokens(now), told.give_back(taken.tag(), now)), (1, None));
        assert_eq!(taken.retag(false).tokens(now), 0);
        assert_eq!(taken.take(now).unwrap().take(now), None);
        assert_eq!(word.take(2 * now), None);
        let mut many = Word(0).lease(4_095, 2 * now);
        assert_eq!(many.give_back(0, now), None, "or it would flow into the next field");
        for _ in 0..=TAG_MASK {
            many = many.retag(true);
        }
        assert_eq!((many.tag(), many.tokens(now)), (0, 4_095));
    }
}
