//! Waits for an answer that somebody else fetches.
//!
//! Invariant: who waits takes only what is an answer to his own request, fresh, and not purged by the time that he has it; and
//! he waits no longer than the settings say, nor than his own deadline.

use std::time::Instant;

use tokio::time::timeout;

use super::{Found, Seen, Want, answers::Shows};
use crate::{
    cache::{
        collapse::{Come, Follower},
        entry::Meta,
        freshness::{Use, Vary, status::Told, write_values},
        purge::Verdict,
    },
    pipeline::{
        candidates::{Errand, Load},
        local_reply::LocalReply,
    },
    telemetry::cache::CacheResult,
};

/// What waiting for somebody else has come to.
pub(super) enum Followed {
    Found(Found),
    /// He looks again; and does not wait for this one again.
    LooksAgain(Option<Follower>),
}

impl Errand<'_> {
    /// Waits for somebody else's fetch, as long as one may.
    pub(super) async fn follow(
        &self,
        want: &Want,
        seen: &Seen,
        mut follower: Follower,
        waits_until: Instant,
        load: &mut Load<'_>,
    ) -> Followed {
        let now = Instant::now();
        let end = self.deadline.at();
        // who has waited once too long waits again, for whoever goes now
        let until = if now < waits_until { waits_until.min(end) } else { (now + want.class.collapse_wait).min(end) };
        let come = match timeout(until.saturating_duration_since(now), follower.come()).await {
            Ok(come) => come,
            Err(_) => {
                self.worker.sink.metrics.cache.slow.increment(1);
                if let Some(found) = self.stale_instead(want, seen, load) {
                    return Followed::Found(found);
                }
                if Instant::now() >= end {
                    return Followed::Found(Found::Nothing(LocalReply::CollapseTimeout));
                }
                return Followed::LooksAgain(Some(follower));
            }
        };
        let waited = self.worker.plane.clock.host(Instant::now());
        let usable = |meta: &Meta| {
            let fits = meta.key == seen.key || self.is_its_kind(want, meta, load);
            let judged = meta.terms.judge(&want.ask, waited);
            let valid = fits && meta.verdict(&self.cache().purges) == Verdict::Valid;
            match judged {
                Use::Fresh { age, left } if valid => {
                    let stored = Some(i64::from(left));
                    let told = Told::Forwarded { why: seen.why, status: None, stored, collapsed: true, detail: None };
                    Some(Shows { age, told })
                }
                _ => None,
            }
        };
        match come {
            Come::Shared(meta, fill) => {
                if let (Some(shows), Some(reader)) = (usable(&meta), fill.read()) {
                    self.came(load);
                    let answer = self.comes(want, &meta, reader, &shows, load);
                    return Followed::Found(Found::Answer(CacheResult::Collapsed, answer));
                }
                Followed::LooksAgain(Some(follower))
            }
            Come::Kept(entry) => {
                if let Some(shows) = usable(&entry.meta) {
                    self.came(load);
                    let answer = self.shown(want, &entry, &shows, load);
                    return Followed::Found(Found::Answer(CacheResult::Collapsed, answer));
                }
                Followed::LooksAgain(Some(follower))
            }
            Come::Refused => Followed::Found(Found::Goes(seen.why, Some("uncacheable"))),
            Come::Failed | Come::Nothing => {
                self.stale_instead(want, seen, load).map_or(Followed::LooksAgain(None), Followed::Found)
            }
        }
    }

    /// Whether the answer that has come, which depends on fields of the request, is the one for this request.
    fn is_its_kind(&self, want: &Want, meta: &Meta, load: &Load<'_>) -> bool {
        let Vary::Names(names) = Vary::of(&meta.headers) else { return false };
        let key = want.key.variant(|bytes| write_values(&names, &load.head.headers, bytes));
        key == meta.key
    }

    /// The stale answer, where it may be given because there is no other.
    fn stale_instead(&self, want: &Want, seen: &Seen, load: &Load<'_>) -> Option<Found> {
        let stale = seen.stale.as_ref().filter(|stale| self.may_hide(stale))?;
        let age = stale.entry.meta.terms.age(want.now);
        Some(self.answer_stale(want, &stale.entry, age, load))
    }
}
