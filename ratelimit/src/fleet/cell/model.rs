//! One cell between requests, the background and a store, in every order of their steps that differs (loom; Norris and Demsky,
//! "CDSChecker", 2013): `cargo test --release model` in `ratelimit/loom`.
//!
//! Invariant: tokens that were taken and not given back, and those that are left, are never more than what the store was told
//! is spent and what it counts as held.

use loom::{
    model::Builder,
    sync::{Mutex, MutexGuard},
    thread,
};

use super::*;
use crate::{
    fleet::script::{Answer, Ask, model::Model},
    quota::Quota,
};

const NOW: u64 = 10_000_000_000;
const MICROS: u64 = 1_790_000_000_000_000;
const HOLDER: u64 = 1;

#[derive(Default)]
struct Store {
    model: Model,
    seq: u64,
    /// Tokens of leases that reports have told are spent.
    told: u32,
}

struct World {
    plan: Arc<Plan>,
    cell: Cell,
    store: Mutex<Store>,
    /// What was given up before it arrived.
    late: Mutex<Option<Ask>>,
    /// Taken and not given back.
    taken: std::sync::atomic::AtomicU32,
}

impl World {
    /// With a lease of some tokens.
    fn new() -> Arc<Self> {
        let quota = Quota::new(1_000, std::time::Duration::from_secs(1), Some(200)).unwrap();
        let plan = Arc::new(Plan::new(&quota, 8));
        let (cell, store) = (Cell::new(&plan, "", 0, NOW), Mutex::default());
        let world = Self { plan, cell, store, late: Mutex::default(), taken: 0.into() };
        world.report(Care::Refill);
        assert!(world.cell.leased(NOW) >= 3);
        Arc::new(world)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// What has been asked arrives.
    fn arrive(&self, ask: Ask) -> Answer {
        let mut store = self.store();
        let before = store.model.held(HOLDER, MICROS);
        if ask.seq > store.seq {
            store.seq = ask.seq;
            store.told += before.saturating_sub(ask.remaining);
        }
        store.model.ask(&self.plan, HOLDER, ask, MICROS)
    }

    fn settle(&self, (ask, report): (Ask, Option<Report>)) {
        let answer = self.arrive(ask);
        self.cell.answered(&self.plan, ask, report, answer, NOW, NOW);
    }

    fn report(&self, care: Care) {
        self.settle(self.cell.ask_care(&self.plan, care, NOW));
    }

    fn take(&self) -> Option<Taken> {
        match self.cell.take(&self.plan, NOW) {
            Take::Taken(taken) => {
                self.taken.fetch_add(1, Relaxed);
                Some(taken)
            }
            Take::Denied(_) | Take::Empty => None,
        }
    }

    fn take_and_give_back(&self) {
        let Some(Taken { from: From::Lease(tag), .. }) = self.take() else { return };
        if self.cell.give_back(tag, NOW) {
            self.taken.fetch_sub(1, Relaxed);
        }
    }

    fn check(&self) {
        let (store, left) = (self.store(), self.cell.leased(NOW));
        let (held, taken) = (store.model.held(HOLDER, MICROS), self.taken.load(Relaxed));
        assert!(left <= held, "{left} left of {held}");
        assert!(taken + left <= store.told + held, "{taken} taken, {left} left, {} told, {held} held", store.told);
    }
}

/// Runs these side by side, with at most two changes of thread in the midst of something.
fn check(steps: [fn(&World); 3]) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let world = World::new();
        let spawn = |step: fn(&World)| {
            let world = Arc::clone(&world);
            thread::spawn(move || step(&world))
        };
        steps.map(spawn).into_iter().for_each(|thread| thread.join().unwrap());
        world.check();
    });
}

#[test]
fn requests_while_a_report_is_answered() {
    check([|world| world.report(Care::Refill), World::take_and_give_back, |world| drop(world.take())]);
}

#[test]
fn requests_while_a_lease_goes_back() {
    check([|world| world.report(Care::HandBack), World::take_and_give_back, |world| drop(world.take())]);
}

#[test]
fn two_who_report_at_once() {
    check([
        |world| world.report(Care::Refill),
        |world| world.settle(world.cell.ask(&world.plan, 2, NOW)),
        World::take_and_give_back,
    ]);
}

#[test]
fn an_answer_that_is_lost() {
    let lost = |world: &World| {
        let (ask, report) = world.cell.ask_care(&world.plan, Care::Refill, NOW);
        let _ = world.arrive(ask);
        world.cell.unanswered(ask, report);
        world.report(Care::HandBack);
    };
    check([lost, World::take_and_give_back, |world| drop(world.take())]);
}

#[test]
fn a_report_that_arrives_after_it_was_given_up() {
    let late = |world: &World| {
        let (ask, report) = world.cell.ask_care(&world.plan, Care::Refill, NOW);
        world.cell.unanswered(ask, report);
        world.late.lock().unwrap().replace(ask);
        world.report(Care::Refill);
    };
    let arrives = |world: &World| {
        let late = world.late.lock().unwrap().take();
        late.into_iter().for_each(|ask| _ = world.arrive(ask));
    };
    check([late, arrives, World::take_and_give_back]);
}
