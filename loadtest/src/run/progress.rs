//! The line on the terminal while a run is under way. A terminal that is gone shows nothing; the run goes on.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::Arc,
    time::Duration,
};

use crate::{
    client::{Glimpse, Live},
    quantity::millis,
};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not at all.
    Silent,
    /// A line that is written over, on standard error.
    Line,
    /// A line every few seconds, on standard error.
    Log,
}

/// Seconds between two lines of a log.
const LOG: u64 = 5;

impl Progress {
    /// What suits standard error.
    #[must_use]
    pub fn suited() -> Self {
        if stderr().is_terminal() { Self::Line } else { Self::Log }
    }

    /// Says what is being done.
    pub fn say(&self, what: &str) {
        let _ = match self {
            Self::Silent => Ok(()),
            Self::Line => write!(stderr(), "\r\x1b[K{what} …"),
            Self::Log => writeln!(stderr(), "{what}"),
        };
    }

    /// Says that something has happened, and leaves it there.
    pub fn event(&self, what: &str) {
        let _ = match self {
            Self::Silent => Ok(()),
            Self::Line => writeln!(stderr(), "\r\x1b[K  {what}"),
            Self::Log => writeln!(stderr(), "  {what}"),
        };
    }
}

/// Shows the rates of a client until it is aborted.
pub(super) async fn show(progress: Progress, live: Arc<Live>, length: Duration) {
    let mut before = live.glimpse();
    let mut second = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        second += 1;
        let now = live.glimpse();
        if progress == Progress::Line || second % LOG == 0 {
            progress.say(&line(&before, &now, length));
        }
        before = now;
    }
}

fn line(before: &Glimpse, now: &Glimpse, length: Duration) -> String {
    let seconds = now.elapsed.saturating_sub(before.elapsed).as_secs_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "counts of one second")]
    let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
    let done = now.elapsed.as_secs_f64() / length.as_secs_f64().max(1e-9);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 20")]
    let bar = (done.clamp(0.0, 1.0) * 20.0) as usize;
    format!(
        "{:>4.0} s [{}{}] {:.0}/s begun, {:.0}/s answered, {} failed, {} in flight, p50 {:.1} ms, p99 {:.1} ms, lag {:.1} ms",
        now.elapsed.as_secs_f64(),
        "#".repeat(bar),
        "·".repeat(20 - bar),
        rate(now.launched, before.launched),
        rate(now.answered, before.answered),
        now.failed,
        now.launched.saturating_sub(now.answered + now.failed),
        millis(now.p50),
        millis(now.p99),
        millis(now.lag_max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_rates_of_the_last_second() {
        let before = Glimpse { elapsed: Duration::from_secs(4), launched: 400, answered: 390, ..Glimpse::default() };
        let now = Glimpse {
            elapsed: Duration::from_secs(5),
            launched: 500,
            answered: 480,
            failed: 5,
            p99: Duration::from_micros(2_500),
            ..Glimpse::default()
        };
        let line = line(&before, &now, Duration::from_secs(10));
        assert!(line.contains("[##########··········] 100/s begun, 90/s answered, 5 failed, 15 in flight"), "{line}");
        assert!(line.contains("p99 2.5 ms"), "{line}");
    }
}
