//! Waits with the precision of the kernel's high-resolution timers; tokio's own wake at whole milliseconds, which would
//! be most of the latency of a fast answer.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

pub(super) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
}

impl Timer {
    /// Must be called inside a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd does not change its descriptor while it is borrowed; the successor is unsafe"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        Ok(Self { descriptor })
    }

    /// Returns at `instant`, or at once if that has passed.
    pub(super) async fn until(&self, instant: Instant) -> io::Result<()> {
        let wait = instant.saturating_duration_since(Instant::now());
        if wait < Duration::from_micros(2) {
            return Ok(());
        }
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        while Instant::now() < instant {
            // setting it again takes back an expiry that nobody has read
            self.descriptor.readable().await?.clear_ready();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_are_finer_than_a_millisecond() {
        let timer = Timer::new().unwrap();
        let mut late: Vec<Duration> = Vec::new();
        for _ in 0..200 {
            let at = Instant::now() + Duration::from_micros(300);
            timer.until(at).await.unwrap();
            assert!(Instant::now() >= at);
            late.push(at.elapsed());
        }
        late.sort_unstable();
        // a timer of whole milliseconds is hardly ever so early, and a busy machine not always so late
        assert!(late[20] < Duration::from_micros(500), "{:?}", late[20]);
        timer.until(Instant::now() - Duration::from_secs(1)).await.unwrap();
    }
}
