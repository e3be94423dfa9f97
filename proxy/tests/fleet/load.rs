//! Requests with ids, counted at both ends.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::world::{TENANTS, World, tenant};
use crate::world::{Client, Origin, eventually};

/// Sends tenants round and round through every entry until told to stop; what did not succeed is returned.
pub(super) struct Load {
    ended: Arc<AtomicBool>,
    /// Times that each thread has been through all tenants.
    rounds: Vec<Arc<AtomicUsize>>,
    threads: Vec<thread::JoinHandle<Outcome>>,
}

#[derive(Default)]
pub(super) struct Outcome {
    /// Ids of the requests that were answered 200.
    pub(super) answered: Vec<String>,
    pub(super) failed: Vec<Failure>,
    /// By tenant, the stamps that answered, in order, repetitions left out.
    pub(super) path: HashMap<String, Vec<String>>,
}

/// A request that was not answered 200.
#[derive(Debug)]
pub(super) struct Failure {
    id: String,
    /// When it was sent.
    pub(super) begun: Instant,
    /// What became of it.
    how: String,
}

impl Load {
    pub(super) fn start(world: &World, entries: &[usize]) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let rounds: Vec<Arc<AtomicUsize>> = entries.iter().map(|_| Arc::default()).collect();
        let threads = entries
            .iter()
            .zip(&rounds)
            .map(|(&entry, rounds)| {
                let rounds = Arc::clone(rounds);
                let address = world.proxies[entry].as_ref().unwrap().edges[0];
                let ended = Arc::clone(&ended);
                thread::spawn(move || {
                    let mut outcome = Outcome::default();
                    let mut client = Client::connect(address);
                    for (turn, index) in (0..TENANTS).cycle().enumerate() {
                        if ended.load(Ordering::SeqCst) {
                            return outcome;
                        }
                        rounds.store(turn / TENANTS, Ordering::SeqCst);
                        let (tenant, id) = (tenant(index), format!("/load?id={entry}-{turn}"));
                        let begun = Instant::now();
                        match client.try_get(&tenant, &id) {
                            Ok(answer) if answer.status == 200 => {
                                assert_eq!(answer.json()["path"], id.as_str(), "another request's answer");
                                outcome.answered.push(id);
                                let stamp = answer.json()["stamp"].as_str().unwrap().to_owned();
                                let path = outcome.path.entry(tenant).or_default();
                                if path.last() != Some(&stamp) {
                                    path.push(stamp);
                                }
                            }
                            Ok(answer) => {
                                let how = format!("{} {}", answer.status, answer.text());
                                outcome.failed.push(Failure { id, begun, how });
                            }
                            Err(error) => {
                                outcome.failed.push(Failure { id, begun, how: error.to_string() });
                                client = Client::connect(address);
                            }
                        }
                    }
                    outcome
                })
            })
            .collect();
        Self { ended, rounds, threads }
    }

    /// Waits until every thread has been through all tenants once more, from the first to the last.
    pub(super) fn round(&self) {
        let now: Vec<usize> = self.rounds.iter().map(|round| round.load(Ordering::SeqCst)).collect();
        eventually("a whole round", || {
            self.rounds.iter().zip(&now).all(|(round, before)| round.load(Ordering::SeqCst) >= before + 2)
        });
    }

    /// Ends the load and compares both ends: what was answered reached exactly one app exactly once, what failed none or
    /// one once, and no app saw anything else.
    pub(super) fn end(self, world: &World) -> Vec<Outcome> {
        self.end_after(world, 1)
    }

    /// The same after a stamp has died: what was in flight there may have been executed, and harmless as it is, a second
    /// stamp has it too.
    pub(super) fn end_after_a_death(self, world: &World) -> Vec<Outcome> {
        self.end_after(world, 2)
    }

    fn end_after(self, world: &World, most: usize) -> Vec<Outcome> {
        self.ended.store(true, Ordering::SeqCst);
        let outcomes: Vec<Outcome> = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let mut arrived: HashMap<String, usize> = HashMap::new();
        for seen in world.origins.iter().flat_map(Origin::seen) {
            let target = seen.line.split(' ').nth(1).unwrap().to_owned();
            if target.starts_with("/load") {
                *arrived.entry(target).or_default() += 1;
            }
        }
        for id in outcomes.iter().flat_map(|outcome| &outcome.answered) {
            let times = arrived.remove(id).unwrap_or(0);
            assert!((1..=most).contains(&times), "{id} was answered and ran {times} times");
        }
        for failure in outcomes.iter().flat_map(|outcome| &outcome.failed) {
            assert!(
                arrived.remove(&failure.id).unwrap_or(1) <= most,
                "{} failed ({}) and ran more than {most} times",
                failure.id,
                failure.how
            );
        }
        assert!(arrived.is_empty(), "nobody sent {arrived:?}");
        outcomes
    }
}
