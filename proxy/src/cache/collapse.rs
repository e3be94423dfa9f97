//! One fetch for all who want the same answer at a time.
//!
//! Invariant: a key has at most one fetch that others wait for. A fetch that ends in any way, also by being dropped, says
//! so; and when it has taken too long exactly one of those that wait takes its place.

use std::{
    collections::{HashMap, hash_map::Entry as Place},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use super::{
    entry::{Entry, Meta},
    fill::Fill,
};

const SHARDS: usize = 16;

/// What a fetch has come to.
#[derive(Clone)]
pub enum Come {
    /// Nothing yet.
    Nothing,
    /// An answer that is kept, and comes for everybody.
    Shared(Arc<Meta>, Arc<Fill>),
    /// The kept answer holds, or is there.
    Kept(Arc<Entry>),
    /// An answer that is not to be kept: each for himself.
    Refused,
    /// None: somebody else may try.
    Failed,
}

/// The fetches under way in a process.
#[derive(Default)]
pub struct Fetches {
    shards: [Mutex<HashMap<u128, Arc<watch::Sender<Come>>>>; SHARDS],
    count: AtomicUsize,
}

/// What becomes of one who wants an answer that is not there.
pub enum Joined {
    /// He fetches it.
    Leads(Lead),
    /// Somebody else does.
    Follows(Follower),
    /// He fetches it, for himself alone: there are too many fetches.
    Alone,
}

/// Waits for somebody else's fetch.
pub struct Follower {
    come: watch::Receiver<Come>,
    fetch: Arc<watch::Sender<Come>>,
}

impl Follower {
    /// What it has come to, as soon as it has come to something.
    pub async fn come(&mut self) -> Come {
        match self.come.wait_for(|come| !matches!(come, Come::Nothing)).await {
            Ok(come) => come.clone(),
            // it is kept as long as this is
            Err(_) => Come::Failed,
        }
    }
}

impl Fetches {
    /// Fetches under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Who wants the answer of this key leads, or follows who does; at most `most` lead at a time.
    #[must_use]
    pub fn join(self: &Arc<Self>, key: u128, most: usize) -> Joined {
        match self.shard(key).entry(key) {
            Place::Occupied(place) => Joined::Follows(follow(place.get())),
            Place::Vacant(_) if self.count() >= most => Joined::Alone,
            Place::Vacant(place) => Joined::Leads(self.lead(key, |fetch| _ = place.insert(fetch))),
        }
    }

    /// One who has followed for too long leads, unless somebody else of them does already.
    #[must_use]
    pub fn succeed(self: &Arc<Self>, key: u128, slow: &Follower) -> Joined {
        match self.shard(key).entry(key) {
            Place::Occupied(mut place) if Arc::ptr_eq(place.get(), &slow.fetch) => {
                Joined::Leads(self.lead(key, |fetch| _ = place.insert(fetch)))
            }
            Place::Occupied(place) => Joined::Follows(follow(place.get())),
            Place::Vacant(place) => Joined::Leads(self.lead(key, |fetch| _ = place.insert(fetch))),
        }
    }

    fn lead(self: &Arc<Self>, key: u128, register: impl FnOnce(Arc<watch::Sender<Come>>)) -> Lead {
        let fetch = Arc::new(watch::Sender::new(Come::Nothing));
        register(Arc::clone(&fetch));
        self.count.fetch_add(1, Relaxed);
        Lead { fetches: Arc::clone(self), key, variant: None, fetch }
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, HashMap<u128, Arc<watch::Sender<Come>>>> {
        // the low bits; the key is well mixed
        self.shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, key: u128, fetch: &Arc<watch::Sender<Come>>) {
        let mut shard = self.shard(key);
        if shard.get(&key).is_some_and(|known| Arc::ptr_eq(known, fetch)) {
            shard.remove(&key);
        }
    }
}

fn follow(fetch: &Arc<watch::Sender<Come>>) -> Follower {
    Follower { come: fetch.subscribe(), fetch: Arc::clone(fetch) }
}

/// The right to fetch an answer for all who want it. Dropped without a word, it has failed.
pub struct Lead {
    fetches: Arc<Fetches>,
    key: u128,
    variant: Option<u128>,
    fetch: Arc<watch::Sender<Come>>,
}

impl Lead {
    /// The answer has turned out to be one of several of this URL: it is also found by the key of its kind.
    pub fn is_variant(&mut self, key: u128) {
        if key != self.key && self.variant.is_none() {
            self.fetches.shard(key).entry(key).or_insert_with(|| Arc::clone(&self.fetch));
            self.variant = Some(key);
        }
    }

    /// Whether nobody has succeeded it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.fetches.shard(self.key).get(&self.key).is_some_and(|fetch| Arc::ptr_eq(fetch, &self.fetch))
    }

    /// Tells those who wait.
    pub fn tell(&self, come: Come) {
        self.fetch.send_replace(come);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        for key in [Some(self.key), self.variant].into_iter().flatten() {
            self.fetches.leave(key, &self.fetch);
        }
        self.fetches.count.fetch_sub(1, Relaxed);
        self.fetch.send_if_modified(|come| {
            let silent = matches!(come, Come::Nothing);
            if silent {
                *come = Come::Failed;
            }
            silent
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(joined: Joined) -> Lead {
        match joined {
            Joined::Leads(lead) => lead,
            Joined::Follows(_) => panic!("somebody else leads"),
            Joined::Alone => panic!("there are too many"),
        }
    }

    fn follows(joined: Joined) -> Follower {
        match joined {
            Joined::Follows(follower) => follower,
            _ => panic!("nobody leads"),
        }
    }

    #[tokio::test]
    async fn one_leads_and_the_others_hear_of_it() {
        let fetches = Arc::new(Fetches::default());
        let lead = leads(fetches.join(1, 10));
        let mut followers: Vec<_> = (0..10).map(|_| follows(fetches.join(1, 10))).collect();
        let other = leads(fetches.join(17, 10));
        assert_eq!(fetches.count(), 2);
        lead.tell(Come::Refused);
        for follower in &mut followers {
            assert!(matches!(follower.come().await, Come::Refused));
        }
        drop((lead, other));
        assert_eq!(fetches.count(), 0);
        let _ = leads(fetches.join(1, 10));
    }

    #[tokio::test]
    async fn a_leader_that_is_lost_has_failed_and_makes_room_for_one() {
        let fetches = Arc::new(Fetches::default());
        let lead = leads(fetches.join(1, 10));
        let mut follower = follows(fetches.join(1, 10));
        drop(lead);
        assert!(matches!(follower.come().await, Come::Failed));
        let _lead = leads(fetches.join(1, 10));
        let _ = follows(fetches.join(1, 10));
    }

    #[test]
    fn one_succeeds_a_leader_that_is_slow_and_what_it_does_later_hurts_nobody() {
        let fetches = Arc::new(Fetches::default());
        let slow = leads(fetches.join(1, 10));
        let (first, second) = (follows(fetches.join(1, 10)), follows(fetches.join(1, 10)));
        let successor = leads(fetches.succeed(1, &first));
        let third = follows(fetches.succeed(1, &second));
        assert!(Arc::ptr_eq(&third.fetch, &successor.fetch));
        assert!(successor.is_current() && !slow.is_current());
        drop(slow);
        let _ = follows(fetches.join(1, 10));
        drop(successor);
        assert_eq!(fetches.count(), 0);
        let _ = leads(fetches.succeed(1, &third));
    }

    #[test]
    fn a_variant_is_found_by_both_keys_as_long_as_it_comes() {
        let fetches = Arc::new(Fetches::default());
        let mut lead = leads(fetches.join(1, 10));
        lead.is_variant(2);
        let _ = follows(fetches.join(2, 10));
        drop(lead);
        let _ = leads(fetches.join(2, 10));
    }

    #[test]
    fn there_are_never_too_many() {
        let fetches = Arc::new(Fetches::default());
        let leads: Vec<_> = (0..3).map(|key| leads(fetches.join(key, 3))).collect();
        assert!(matches!(fetches.join(9, 3), Joined::Alone));
        let _ = follows(fetches.join(2, 3));
        drop(leads);
        assert!(matches!(fetches.join(9, 3), Joined::Leads(_)));
    }
}
