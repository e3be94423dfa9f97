//! What a listener does when the kernel gives it no connection: wait a little, then longer, and never spin.

use std::{io, time::Duration};

use rustix::io::Errno;

/// First pause.
const FIRST: Duration = Duration::from_millis(5);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// The pauses of one listener.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// A connection came: the next trouble is a new one.
    pub fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// How long to wait after this error: not at all when only the one connection is lost, else twice as long as last
    /// time. What is not known is treated like a lack of descriptors, which stays until something changes.
    pub fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        if is_of_one_connection(error) {
            return None;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        Some(pause)
    }
}

/// Errors that the kernel passes on from the connection that would have been accepted (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| {
        matches!(
            errno,
            Errno::CONNABORTED
                | Errno::PROTO
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOPROTOOPT
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_pauses_longer_each_time_and_a_lost_connection_not_at_all() {
        let mut backoff = Backoff::default();
        let lost = io::Error::from(Errno::CONNABORTED);
        let mut pauses = Vec::new();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::MFILE, Errno::MFILE] {
            assert_eq!(backoff.pause(&lost), None);
            pauses.extend(backoff.pause(&io::Error::from(errno)));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80].map(Duration::from_millis));
        for _ in 0..20 {
            pauses.extend(backoff.pause(&io::Error::from(Errno::MFILE)));
        }
        assert_eq!(pauses.last(), Some(&LONGEST));
        backoff.reset();
        assert_eq!(backoff.pause(&io::Error::other("something new")), Some(FIRST));
    }
}
