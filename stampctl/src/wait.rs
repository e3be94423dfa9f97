//! Acknowledgements: which proxies have applied a table.
//!
//! Invariant: only live proxies are waited for (an acknowledgement younger than 15 s on the store's clock), and a proxy
//! that has the same version but decides differently never counts as having it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;
use synaxis_routing::{ack::Ack, table::Millis, version::Version};

use crate::{
    failure::Failure,
    output,
    session::{Session, away, host_now},
};

/// How often acknowledgements are read while somebody waits.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Who has a version and who has not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Acknowledged {
    /// The version that was waited for, `TERM.EPOCH`.
    pub(crate) version: String,
    /// Live proxies that have it or a newer one.
    pub(crate) confirmed: Vec<String>,
    /// Live proxies that have an older one.
    pub(crate) waiting: Vec<Behind>,
    /// Live proxies that have this very version and decide differently.
    pub(crate) disagreeing: Vec<String>,
    /// Proxies that were not waited for, because they have not reported for 15 s.
    pub(crate) dead_ignored: usize,
}

/// A proxy that is not there yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Behind {
    pub(crate) proxy: String,
    /// What it has applied, `TERM.EPOCH`.
    pub(crate) applied: String,
}

/// Sorts acknowledgements by what they say about one version.
pub(crate) fn tally(acks: &[Ack], version: Version, digest: &str, now: Millis) -> Acknowledged {
    let mut tally = Acknowledged {
        version: version.to_string(),
        confirmed: vec![],
        waiting: vec![],
        disagreeing: vec![],
        dead_ignored: 0,
    };
    for ack in acks {
        if !ack.is_live(now) {
            tally.dead_ignored += 1;
        } else if ack.applied < version {
            tally.waiting.push(Behind { proxy: ack.proxy.clone(), applied: ack.applied.to_string() });
        } else if ack.applied == version && ack.digest != digest {
            tally.disagreeing.push(ack.proxy.clone());
        } else {
            tally.confirmed.push(ack.proxy.clone());
        }
    }
    tally
}

impl Acknowledged {
    /// Nobody is left to wait for.
    fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether every live proxy has it.
    ///
    /// # Errors
    /// [`Failure::Failed`] when proxies decide differently, [`Failure::TimedOut`] when some are still behind.
    pub(crate) fn verdict(&self, timeout: Duration) -> Result<(), Failure> {
        if !self.disagreeing.is_empty() {
            return Err(Failure::failed(format!(
                "{} applied {} but decides differently from this program: compare the builds, then publish a new epoch",
                self.disagreeing.join(", "),
                self.version
            )));
        }
        if self.is_settled() {
            return Ok(());
        }
        let behind: Vec<String> =
            self.waiting.iter().take(8).map(|behind| format!("{} (at {})", behind.proxy, behind.applied)).collect();
        let more = if self.waiting.len() > behind.len() { " and others" } else { "" };
        Err(Failure::TimedOut(format!(
            "{} is in the store, but after {} ms {} of {} live proxies have not applied it: {}{more}; their \
             /readyz?verbose says why, `stampctl epoch --wait` waits on",
            self.version,
            timeout.as_millis(),
            self.waiting.len(),
            self.waiting.len() + self.confirmed.len(),
            behind.join(", "),
        )))
    }
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.confirmed.len() + self.waiting.len() + self.disagreeing.len();
        if live == 0 {
            write!(f, "no live proxy reports to this store, so nobody confirmed {}", self.version)?;
        } else {
            write!(f, "{} of {live} live proxies have {}", self.confirmed.len(), self.version)?;
        }
        match self.dead_ignored {
            0 => Ok(()),
            dead => write!(f, "; {dead} dead ones were ignored (silent for 15 s)"),
        }
    }
}

/// Waits until every live proxy has the version, or until `--timeout`.
///
/// # Errors
/// [`Failure::Failed`] when the store does not answer. A timeout is no error here: ask [`Acknowledged::verdict`].
pub(crate) async fn for_proxies(session: &Session, version: Version, digest: &str) -> Result<Acknowledged, Failure> {
    let deadline = Instant::now() + session.said.timeout;
    let mut told = false;
    loop {
        let now = session.store.glance().await.map_err(away)?.now.unwrap_or_else(host_now);
        let acks = session.store.acks().await.map_err(away)?;
        let tally = tally(&acks, version, digest, now);
        if tally.is_settled() || Instant::now() >= deadline {
            return Ok(tally);
        }
        if !told && output::is_watched() {
            output::note(&format!("waiting for {} of {} proxies", tally.waiting.len(), acks.len()));
            told = true;
        }
        tokio::time::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

#[cfg(test)]
mod tests {
    use synaxis_routing::id::StampId;

    use super::*;

    const NOW: Millis = 1_768_000_000_000;

    fn ack(proxy: &str, applied: Version, digest: &str, age: Millis) -> Ack {
        Ack {
            proxy: proxy.into(),
            stamp: StampId::parse("synaxis-weu-001").unwrap(),
            build: "test".into(),
            format: 1,
            applied,
            digest: digest.into(),
            connections: 0,
            in_flight: 0,
            requests_per_second: 0.0,
            admin: "127.0.0.1:9901".into(),
            peer: None,
            at: NOW - age,
        }
    }

    #[test]
    fn live_proxies_confirm_lag_or_disagree_and_dead_ones_are_ignored() {
        let target = Version::new(1, 7);
        let acks = [
            ack("same", target, "d", 0),
            ack("newer", Version::new(2, 1), "other", 14_999),
            ack("older", Version::new(1, 6), "d", 0),
            ack("odd", target, "x", 0),
            ack("dead", Version::new(1, 1), "d", 15_001),
        ];
        let tally = tally(&acks, target, "d", NOW);
        assert_eq!(tally.confirmed, ["same", "newer"]);
        assert_eq!(tally.waiting, [Behind { proxy: "older".into(), applied: "1.6".into() }]);
        assert_eq!((tally.disagreeing.as_slice(), tally.dead_ignored), (&["odd".to_owned()][..], 1));
        assert_eq!(tally.to_string(), "2 of 4 live proxies have 1.7; 1 dead ones were ignored (silent for 15 s)");
    }

    #[test]
    fn the_verdict_tells_disagreement_from_delay() {
        let target = Version::new(1, 7);
        let verdict = |acks: &[Ack]| tally(acks, target, "d", NOW).verdict(Duration::ZERO).map_err(|f| f.code());
        assert_eq!(verdict(&[]), Ok(()));
        assert_eq!(verdict(&[ack("a", target, "d", 0), ack("dead", Version::default(), "", 60_000)]), Ok(()));
        assert_eq!(verdict(&[ack("a", Version::new(1, 6), "d", 0)]), Err(3));
        assert_eq!(verdict(&[ack("a", Version::new(1, 6), "d", 0), ack("b", target, "x", 0)]), Err(1));
        assert!(tally(&[], target, "d", NOW).to_string().contains("no live proxy"));
    }
}
