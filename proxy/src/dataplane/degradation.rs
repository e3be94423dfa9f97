//! The level of degradation that requests go by: one number, published by control.
//!
//! Invariant: reading the level is one relaxed load. The page is read by those alone who are refused.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use synaxis_routing::degradation::{LEVELS, Level};

/// What a browser gets in maintenance unless the settings name a page.
pub const PAGE: &str = include_str!("degradation/page.html");

/// Set beside the number of a level that holds for the whole fleet.
const FLEET: u8 = 0x80;

/// How much is given up, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The level.
    pub level: Level,
    /// Whether every stamp is told to be at this level.
    pub fleet_wide: bool,
}

/// What control has published last.
#[derive(Debug)]
pub struct Published {
    standing: AtomicU8,
    page: ArcSwap<Bytes>,
}

impl Default for Published {
    /// Everything is served.
    fn default() -> Self {
        Self { standing: AtomicU8::new(0), page: ArcSwap::from_pointee(Bytes::from_static(PAGE.as_bytes())) }
    }
}

impl Published {
    /// The level now.
    #[must_use]
    pub fn now(&self) -> Standing {
        let word = self.standing.load(Relaxed);
        let level = LEVELS.get(usize::from(word & !FLEET)).copied().unwrap_or_default();
        Standing { level, fleet_wide: word & FLEET != 0 }
    }

    /// Sets the level.
    pub fn set(&self, standing: Standing) {
        let fleet = if standing.fleet_wide { FLEET } else { 0 };
        self.standing.store(u8::from(standing.level) | fleet, Relaxed);
    }

    /// The page that browsers get in maintenance.
    #[must_use]
    pub fn page(&self) -> Bytes {
        Bytes::clone(&self.page.load())
    }

    /// Sets that page.
    pub fn set_page(&self, page: Bytes) {
        self.page.store(Arc::new(page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_is_read() {
        let published = Published::default();
        assert_eq!(published.now(), Standing { level: Level::Full, fleet_wide: false });
        for level in LEVELS {
            for fleet_wide in [false, true] {
                published.set(Standing { level, fleet_wide });
                assert_eq!(published.now(), Standing { level, fleet_wide });
            }
        }
        assert!(published.page().starts_with(b"<!doctype html>"));
        published.set_page(Bytes::from_static(b"soon"));
        assert_eq!(published.page(), "soon");
    }
}
