//! What other stamps are to be told, until the routing store has it.
//!
//! Invariant: of a tenant that was written to, a notice is sent after the write, at once or a second after the one before. When
//! there is no room, all tenants of the stamp stand for each.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use synaxis_routing::{failover::Notice, id::StampId};
use tokio::sync::Notify;

/// Between two notices of one tenant.
pub(super) const COALESCE: Duration = Duration::from_secs(1);
/// Notices that wait at most.
pub(super) const WAITING_MAX: usize = 4_096;

/// What other stamps are to be told.
#[derive(Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    came: Notify,
}

#[derive(Default)]
struct Inner {
    /// When each may be sent.
    waiting: HashMap<Notice, Instant>,
    /// What was taken and may not have arrived.
    sending: Vec<Notice>,
    /// When each was sent last, for [`COALESCE`].
    told: HashMap<Notice, Instant>,
    widened: u64,
    dropped: u64,
}

impl Outbox {
    /// A tenant was written to, before `now`. To be called when that is over.
    pub fn note(&self, notice: Notice, now: Instant) {
        self.inner().put(notice, now);
        self.came.notify_one();
    }

    /// Waits until there may be something to take, at most until the next notice is due.
    pub async fn due(&self) {
        let next = self.inner().waiting.values().min().copied();
        match next {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = self.came.notified() => {}
                }
            }
            None => self.came.notified().await,
        }
    }

    /// What is due at `now`, at most this many.
    #[must_use]
    pub fn take(&self, now: Instant, most: usize) -> Vec<Notice> {
        let mut inner = self.inner();
        inner.told.retain(|_, then| now.saturating_duration_since(*then) < COALESCE);
        let due = inner.waiting.iter().filter(|(_, due)| **due <= now).map(|(notice, _)| notice.clone());
        let taken: Vec<Notice> = due.take(most).collect();
        for notice in &taken {
            inner.waiting.remove(notice);
            if inner.told.len() < WAITING_MAX {
                inner.told.insert(notice.clone(), now);
            }
        }
        inner.sending.clone_from(&taken);
        taken
    }

    /// What was taken has arrived.
    pub fn arrived(&self) {
        self.inner().sending.clear();
    }

    /// Everything, due or not, and what may not have arrived; for the end of the process.
    #[must_use]
    pub fn take_all(&self) -> Vec<Notice> {
        let mut inner = self.inner();
        let mut all = std::mem::take(&mut inner.sending);
        all.extend(inner.waiting.drain().map(|(notice, _)| notice));
        all
    }

    /// Whether the store has them is not known: they are sent again.
    pub fn put_back(&self, notices: Vec<Notice>, now: Instant) {
        let mut inner = self.inner();
        inner.sending.clear();
        for notice in notices {
            inner.told.remove(&notice);
            inner.put(notice, now);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner().waiting.len()
    }

    /// Times that all tenants of stamps have come to stand for each, and notices for which there was no room even so.
    #[must_use]
    pub fn overflows(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.widened, inner.dropped)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, notice: Notice, now: Instant) {
        let everybody = Notice { stamp: notice.stamp.clone(), tenant: None };
        if self.waiting.contains_key(&everybody) || self.waiting.contains_key(&notice) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.widen(now);
            if self.waiting.contains_key(&everybody) {
                return;
            }
            // as many stamps as that no table has
            if self.waiting.len() >= WAITING_MAX {
                self.dropped += 1;
                return;
            }
        }
        let due = self.told.get(&notice).map_or(now, |then| *then + COALESCE);
        self.waiting.insert(notice, due);
    }

    /// All tenants of each stamp that is to be told anything.
    fn widen(&mut self, now: Instant) {
        self.widened += 1;
        let stamps: Vec<StampId> = self.waiting.drain().map(|(notice, _)| notice.stamp).collect();
        self.waiting.extend(stamps.into_iter().map(|stamp| (Notice { stamp, tenant: None }, now)));
    }
}

#[cfg(test)]
mod tests {
    use synaxis_routing::id::TenantId;

    use super::*;

    fn notice(stamp: usize, tenant: &str) -> Notice {
        let stamp = StampId::parse(&format!("synaxis-weu-{stamp:03}")).unwrap();
        Notice { stamp, tenant: (tenant != "*").then(|| TenantId::parse(tenant.as_bytes()).unwrap()) }
    }

    #[test]
    fn a_write_is_told_at_once_and_those_of_a_second_together() {
        let (outbox, start) = (Outbox::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        outbox.note(notice(1, "acme"), at(0));
        outbox.note(notice(1, "acme"), at(0));
        assert_eq!(outbox.take(at(0), 10), [notice(1, "acme")]);
        // one that ended after that has to be told after that
        outbox.note(notice(1, "acme"), at(1));
        outbox.note(notice(1, "acme"), at(500));
        outbox.note(notice(1, "other"), at(500));
        outbox.note(notice(2, "acme"), at(500));
        let taken = outbox.take(at(500), 10);
        assert!(taken.len() == 2 && taken.contains(&notice(1, "other")) && taken.contains(&notice(2, "acme")));
        assert_eq!(outbox.take(at(999), 10), []);
        assert_eq!(outbox.take(at(1_000), 10), [notice(1, "acme")]);
        outbox.note(notice(1, "acme"), at(2_000));
        assert_eq!(outbox.take(at(2_000), 10), [notice(1, "acme")], "a second has passed");
    }

    #[test]
    fn what_could_not_be_told_is_told_again_once() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        outbox.note(notice(1, "acme"), now);
        let taken = outbox.take(now, 10);
        outbox.note(notice(1, "acme"), now);
        outbox.put_back(taken, now);
        assert_eq!(outbox.waiting(), 1);
        let later = now + COALESCE;
        assert_eq!(outbox.take(later, 10), [notice(1, "acme")]);
        outbox.arrived();
        outbox.note(notice(1, "acme"), later);
        assert_eq!((outbox.take_all(), outbox.waiting()), (vec![notice(1, "acme")], 0));
        // one of which nobody has said yet that it has arrived
        outbox.note(notice(1, "acme"), later + COALESCE);
        let _ = outbox.take(later + COALESCE, 10);
        assert_eq!(outbox.take_all(), [notice(1, "acme")]);
    }

    #[test]
    fn who_finds_no_room_is_told_of_as_everybody_of_that_stamp() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        for number in 0..WAITING_MAX * 3 {
            outbox.note(notice(number % 3, &format!("t{number}")), now);
            assert!(outbox.waiting() <= WAITING_MAX);
        }
        let mut stamps: Vec<Notice> = outbox.take(now, usize::MAX);
        stamps.retain(|notice| notice.tenant.is_none());
        assert_eq!(stamps.len(), 3);
        assert_eq!(outbox.overflows(), (1, 0));
        // as many stamps as no table has
        for number in 0..WAITING_MAX + 5 {
            outbox.note(notice(number, "acme"), now);
        }
        assert_eq!((outbox.waiting(), outbox.overflows()), (WAITING_MAX, (6, 5)), "bounded, and counted");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_waits_for_the_next_that_is_due() {
        let outbox = Outbox::default();
        let now = || tokio::time::Instant::now().into_std();
        let waits = async |outbox: &Outbox| {
            let began = tokio::time::Instant::now();
            let _ = tokio::time::timeout(Duration::from_secs(9), outbox.due()).await;
            began.elapsed().as_secs()
        };
        assert_eq!(waits(&outbox).await, 9);
        outbox.note(notice(1, "acme"), now());
        assert_eq!((waits(&outbox).await, outbox.take(now(), 10).len()), (0, 1));
        outbox.note(notice(1, "acme"), now());
        let _ = waits(&outbox).await;
        assert_eq!((outbox.take(now(), 10).len(), waits(&outbox).await), (0, 1));
        assert_eq!(outbox.take(now(), 10).len(), 1);
    }
}
