//! A sliding window in ten buckets: what is older than the window is forgotten a tenth at a time.
//!
//! Invariant: a sum never holds anything older than the window; it may lack the oldest tenth. A bucket carries the
//! number of its tenth since the clock began (its epoch), so nobody has to turn the ring: a bucket whose epoch is not
//! the wanted one is empty. Epochs a little ahead count too, for a reader whose clock is a tick behind; a window of
//! another length (a reload) begins with nothing.

/// Buckets in a window.
pub(super) const BUCKETS: usize = 10;

/// The tenth of the window that `now` lies in, since the clock began. Wraps, which only forgets.
pub(super) fn epoch(window_ms: u64, now: u64) -> u32 {
    (now / (window_ms / BUCKETS as u64).max(1)) as u32
}

/// Where the bucket of an epoch is.
pub(super) fn index(epoch: u32) -> usize {
    epoch as usize % BUCKETS
}

/// Whether a bucket of epoch `of` lies within the window that ends in `epoch`.
pub(super) fn is_within(of: u32, epoch: u32) -> bool {
    (of.wrapping_sub(epoch).cast_signed()).unsigned_abs() < BUCKETS as u32
}

/// A window for one owner at a time, such as whoever holds the lock around it.
#[derive(Debug, Default)]
pub(super) struct Window<T> {
    buckets: [(u32, T); BUCKETS],
}

impl<T: Copy + Default> Window<T> {
    /// What happens now is counted here.
    pub(super) fn at(&mut self, window_ms: u64, now: u64) -> &mut T {
        let epoch = epoch(window_ms, now);
        let bucket = &mut self.buckets[index(epoch)];
        if bucket.0 != epoch {
            *bucket = (epoch, T::default());
        }
        &mut bucket.1
    }

    /// Everything within the window that ends now.
    pub(super) fn fold(&self, window_ms: u64, now: u64, add: impl Fn(T, T) -> T) -> T {
        let epoch = epoch(window_ms, now);
        let within = self.buckets.iter().filter(|(of, _)| is_within(*of, epoch));
        within.fold(T::default(), |sum, (_, bucket)| add(sum, *bucket))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self { buckets: Default::default() };
    }
}
