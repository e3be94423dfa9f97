//! The store's clock as seen from this host: an offset that is stepped once and slewed afterwards.
//!
//! Skew only shifts the instant of a ramp, so a slow correction is better than a jump. Without a store the offset stays.

use crate::table::Millis;

/// Fastest correction: 100 ms of offset a second of host time.
const SLEW_PER_MILLE: i64 = 100;

/// An offset of the store's clock to this host's.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreClock {
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    target: i64,
    offset: i64,
    at: Millis,
}

impl StoreClock {
    /// Takes a reading of both clocks, in milliseconds. The first one counts at once, later ones by and by.
    pub fn observe(&mut self, host: Millis, store: Millis) {
        let target = signed(store).saturating_sub(signed(host));
        let offset = if self.seen.is_some() { self.offset_at(host) } else { target };
        self.seen = Some(Seen { target, offset, at: host });
    }

    /// The offset at `host` time, in milliseconds: add it to the host's clock for the store's.
    #[must_use]
    pub fn offset_at(&self, host: Millis) -> i64 {
        let Some(Seen { target, offset, at }) = self.seen else { return 0 };
        let most = signed(host.saturating_sub(at)).saturating_mul(SLEW_PER_MILLE) / 1_000;
        offset.saturating_add(target.saturating_sub(offset).clamp(-most, most))
    }
}

fn signed(millis: Millis) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::StoreClock;

    #[test]
    fn the_first_reading_counts_at_once_and_later_ones_are_slewed() {
        let mut clock = StoreClock::default();
        assert_eq!(clock.offset_at(5), 0);
        clock.observe(1_000, 6_000);
        assert_eq!(clock.offset_at(1_000), 5_000);
        clock.observe(2_000, 8_000);
        assert_eq!(clock.offset_at(2_000), 5_000);
        assert_eq!(clock.offset_at(3_000), 5_100);
        assert_eq!(clock.offset_at(100_000), 6_000);
    }

    #[test]
    fn a_store_that_goes_back_is_followed_slowly_and_a_host_that_jumps_back_changes_nothing() {
        let mut clock = StoreClock::default();
        clock.observe(10_000, 10_000);
        clock.observe(20_000, 10_000);
        assert_eq!(clock.offset_at(21_000), -100);
        assert_eq!(clock.offset_at(0), 0);
    }
}
