use std::{collections::BinaryHeap, time::Duration};

use super::*;
use crate::{
    fleet::{
        script::{Answer, Ask, model::Model},
        tests::{Chance, most},
    },
    quota::Quota,
};

const SECOND: u64 = 1_000_000_000;
/// A call is given up after so long.
const GIVEN_UP: u64 = 100 * MILLI;
/// What the store's clock says when the simulation begins, in microseconds.
const EPOCH: u64 = 1_790_000_000_000_000;

fn plan(requests: u32, seconds: u64, burst: u32) -> Arc<Plan> {
    Arc::new(Plan::new(&Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap(), 8))
}

/// What may go wrong, in parts of a thousand.
#[derive(Clone, Copy)]
struct Faults {
    lost: u64,
    slow: u64,
    refunds: u64,
    crashes: u64,
    /// Whether quiet times and floods follow each other.
    floods: bool,
}

struct Call {
    holder: usize,
    /// Of which life of the holder.
    life: u64,
    ask: Ask,
    report: Option<Report>,
    sent: u64,
}

enum Event {
    Request(usize),
    Tick(usize),
    Arrives(Call, bool),
    Answer(Call, Answer),
    GivenUp(Call),
    Refund(usize, u64, Taken),
    Stops(usize),
}

/// Processes with their cells for one key, a store, and messages between them that may be late or lost.
struct World {
    plan: Arc<Plan>,
    faults: Faults,
    chance: Chance,
    now: u64,
    model: Model,
    holders: Vec<(u64, Cell)>,
    events: BinaryHeap<std::cmp::Reverse<(u64, usize)>>,
    waiting: Vec<Option<Event>>,
    admitted: Vec<u64>,
    calls: usize,
    requests: usize,
}

impl World {
    fn new(plan: &Arc<Plan>, holders: usize, faults: Faults, seed: u64) -> Self {
        let cell = |life| (life as u64, Cell::new(plan, "", 0, 0));
        let mut world = Self {
            plan: Arc::clone(plan),
            faults,
            chance: Chance(seed),
            now: SECOND,
            model: Model::default(),
            holders: (0..holders).map(cell).collect(),
            events: BinaryHeap::new(),
            waiting: Vec::new(),
            admitted: Vec::new(),
            calls: 0,
            requests: 0,
        };
        for holder in 0..holders {
            world.after(1, Event::Tick(holder));
            world.after(1, Event::Request(holder));
            world.after(SECOND, Event::Stops(holder));
        }
        world
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.events.push(std::cmp::Reverse((self.now + delay, self.waiting.len())));
        self.waiting.push(Some(event));
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.chance.below(1_000) < per_mille
    }

    fn delay(&mut self) -> u64 {
        match self.chance.below(1_000) {
            at if at < self.faults.slow => self.chance.below(3 * SECOND),
            at if at < 2 * self.faults.slow => self.chance.below(10 * MILLI),
            _ => 50_000 + self.chance.below(MILLI),
        }
    }

    fn micros(&self) -> u64 {
        EPOCH + self.now / 1_000
    }

    fn send(&mut self, holder: usize, (ask, report): (Ask, Option<Report>)) {
        self.calls += 1;
        let call = Call { holder, life: self.holders[holder].0, ask, report, sent: self.now };
        let (lost, delay) = (self.happens(self.faults.lost), self.delay());
        if lost {
            self.after(GIVEN_UP, Event::GivenUp(call));
        } else {
            let slow = delay > GIVEN_UP;
            if slow {
                // the caller has given up when it arrives
                let Call { holder, life, ask, report, sent } = call;
                self.after(GIVEN_UP, Event::GivenUp(Call { holder, life, ask, report, sent }));
            }
            self.after(delay, Event::Arrives(call, slow));
        }
    }

    fn run(&mut self, seconds: u64, gap_of: u64) {
        let gap = gap_of;
        let end = self.now + seconds * SECOND;
        while let Some(std::cmp::Reverse((at, index))) = self.events.pop() {
            self.now = at;
            if at > end {
                break;
            }
            let Some(event) = self.waiting[index].take() else { continue };
            // so quiet that everything fills, so busy that everything is spent
            let gap = if (self.now / (3 * SECOND)).is_multiple_of(2) { gap * 3 } else { gap / 4 };
            self.happen(event, if self.faults.floods { gap } else { gap_of });
            let at = self.micros();
            for (life, cell) in &self.holders {
                let has = Word(cell.word.load(Relaxed)).tokens(self.now);
                assert!(has <= self.model.held(*life, at), "{has} of {:?}", self.model);
            }
        }
    }

    fn admit(&mut self, holder: usize, taken: Taken) {
        if self.happens(self.faults.refunds) {
            let most = [10 * MILLI, 3 * SECOND][self.chance.below(2) as usize];
            let (delay, life) = (self.chance.below(most), self.holders[holder].0);
            self.after(delay, Event::Refund(holder, life, taken));
        } else {
            self.admitted.push(taken.at);
        }
    }

    fn happen(&mut self, event: Event, gap: u64) {
        let now = self.now;
        match event {
            Event::Request(holder) => {
                self.requests += 1;
                match self.holders[holder].1.take(&self.plan, now) {
                    Take::Taken(taken) => self.admit(holder, taken),
                    Take::Denied(standing) => assert!(standing.retry() > 0 && standing.remaining() == 0),
                    Take::Empty => {
                        let asked = self.holders[holder].1.ask(&self.plan, 1, now);
                        self.send(holder, asked);
                    }
                }
                // bursts and pauses
                let pause = if self.happens(2) { self.chance.below(SECOND) } else { self.chance.below(2 * gap) };
                self.after(pause + 1, Event::Request(holder));
            }
            Event::Tick(holder) => {
                let care = self.holders[holder].1.care(now);
                if !matches!(care, Care::Later | Care::Gone) {
                    let asked = self.holders[holder].1.ask_care(&self.plan, care, now);
                    self.send(holder, asked);
                }
                self.after(10 * MILLI, Event::Tick(holder));
            }
            Event::Arrives(call, given_up) => {
                let (life, at) = (call.life, self.micros());
                let answer = self.model.ask(&self.plan, life, call.ask, at);
                assert!(self.model.outstanding(at) <= self.plan.leased_max());
                if !given_up {
                    let delay = self.delay();
                    if delay > GIVEN_UP || self.happens(self.faults.lost) {
                        self.after(GIVEN_UP, Event::GivenUp(call));
                    } else {
                        self.after(delay, Event::Answer(call, answer));
                    }
                }
            }
            Event::Answer(Call { holder, life, ask, report, sent }, answer) => {
                if self.holders[holder].0 == life {
                    self.holders[holder].1.answered(&self.plan, ask, report, answer, sent, now);
                    if answer.direct > 0 {
                        if now - sent <= self.plan.slack().as_nanos() as u64 {
                            let taken = self.holders[holder].1.direct(&self.plan, answer.now, now);
                            self.admit(holder, taken);
                        } else {
                            self.holders[holder].1.credit(answer.now);
                        }
                    }
                }
            }
            Event::GivenUp(Call { holder, life, ask, report, .. }) => {
                if self.holders[holder].0 == life {
                    self.holders[holder].1.unanswered(ask, report);
                }
            }
            Event::Refund(holder, life, taken) => {
                if self.holders[holder].0 == life {
                    let _ = self.holders[holder].1.refund(taken, now);
                }
            }
            Event::Stops(holder) => {
                if self.happens(self.faults.crashes) {
                    let life = 1_000 + self.waiting.len() as u64;
                    self.holders[holder] = (life, Cell::new(&self.plan, "", 0, now));
                }
                self.after(SECOND / 2, Event::Stops(holder));
            }
        }
    }
}

/// Whatever the processes do, and whatever is lost, late or in another order.
#[test]
fn no_window_admits_more_than_the_quota() {
    let mut chance = Chance::seeded();
    let plans = [
        plan(1_000, 1, 200),
        plan(600, 2, 300),
        plan(400, 1, 160),
        plan(3_000, 3, 128),
        plan(50, 1, 10),
        plan(5, 1, 1),
        plan(3, 2, 3),
    ];
    assert_eq!(plans.iter().filter(|plan| plan.is_leased()).count(), 4);
    let mut all = 0;
    for round in 0..70 {
        let plan = &plans[round % plans.len()];
        let faults = Faults {
            lost: chance.below(2) * chance.below(200),
            slow: chance.below(2) * chance.below(300),
            refunds: chance.below(2) * chance.below(500),
            crashes: chance.below(2) * chance.below(1_000),
            floods: round % 3 > 0,
        };
        // more processes than planned for, too
        let holders = 1 + chance.below(12);
        let gap = (holders as f64 / plan.quota().rate() / 3.0 * 1e9) as u64;
        let mut world = World::new(plan, holders as usize, faults, chance.below(u64::MAX));
        world.run(12, gap);
        let window = plan.quota().window().as_nanos() as u64;
        let most = most(&mut world.admitted, window);
        assert!(most <= plan.quota().requests() as usize, "round {round}: {most} of {:?}", plan.quota());
        all += world.admitted.len();
    }
    assert!(all > 10_000, "{all}");
}

/// The worst that leases can do: they are granted, the bucket fills again, and then all is spent.
#[test]
fn a_full_lease_beside_a_full_bucket_is_the_quota_and_no_more() {
    let plan = plan(1_000, 1, 200);
    let (cell, mut model, mut now) = (Cell::new(&plan, "", 0, 0), Model::default(), SECOND);
    let mut ask = |cell: &Cell, asked: (Ask, Option<Report>), now: u64| {
        let answer = model.ask(&plan, 1, asked.0, EPOCH + now / 1_000);
        cell.answered(&plan, asked.0, asked.1, answer, now, now);
        answer
    };
    for _ in 0..5 {
        let _ = ask(&cell, cell.ask_care(&plan, Care::Refill, now), now);
        now += 200 * MILLI;
    }
    let mut admitted = Vec::new();
    let from = now;
    while now < from + 2 * SECOND {
        match cell.take(&plan, now) {
            Take::Taken(taken) => admitted.push(taken.at),
            _ => {
                let asked = cell.ask(&plan, 1, now);
                admitted.extend(vec![now; ask(&cell, asked, now).direct as usize]);
            }
        }
        now += 10_000;
    }
    assert!(admitted.iter().filter(|&&at| at < from + MILLI * 3).count() >= 190);
    let most = most(&mut admitted, SECOND);
    assert!((970..=1_000).contains(&most), "{most}");
}

/// A token that was granted late and one that was granted in time are a whole window apart where they are decided.
#[test]
fn what_is_decided_late_is_not_followed_too_soon() {
    let plan = plan(1, 1, 1);
    let (mut model, slack, direct) = (Model::default(), plan.slack(), Ask { direct: 1, ..Ask::default() });
    let (late, mut now) = (slack.as_micros() as u64, EPOCH);
    assert_eq!(model.ask(&plan, 1, direct, now).direct, 1);
    let decided = now + late;
    while model.ask(&plan, 2, direct, now).direct == 0 {
        now += 100;
    }
    assert!((1_000_000..1_001_000).contains(&(now - decided)), "{}", now - decided);
}

#[test]
fn a_lease_is_over_before_the_store_thinks_so_counted_from_asking() {
    let plan = plan(1_000, 1, 200);
    let (cell, sent) = (Cell::new(&plan, "", 0, 0), SECOND);
    let (ask, report) = cell.ask_care(&plan, Care::Refill, sent);
    // the answer takes a second
    let answer = Answer { granted: 9, ..Answer::default() };
    cell.answered(&plan, ask, report, answer, sent, sent + SECOND);
    let over = sent + 1_800 * MILLI;
    assert!(matches!(cell.take(&plan, over - 10 * MILLI), Take::Taken(_)));
    assert!(!matches!(cell.take(&plan, over), Take::Taken(_)));
}

#[test]
fn what_the_store_has_forgotten_of_a_lease_is_not_spent() {
    let plan = plan(1_000, 1, 200);
    let cell = Cell::new(&plan, "", 0, 0);
    for (answer, tokens) in [
        (Answer { granted: 9, ..Answer::default() }, 9),
        (Answer { kept: 9, granted: 3, ..Answer::default() }, 12),
        (Answer { kept: 0, granted: 3, ..Answer::default() }, 3),
        // a store that lies
        (Answer { kept: u32::MAX, granted: u32::MAX, missing: u64::MAX, recent: u32::MAX, ..Answer::default() }, 4_095),
    ] {
        let (ask, report) = cell.ask_care(&plan, Care::Refill, SECOND);
        cell.answered(&plan, ask, report, answer, SECOND, SECOND);
        assert_eq!(Word(cell.word.load(Relaxed)).tokens(SECOND), tokens);
    }
    // nor does it break what is told to the client
    let standing = cell.peek(&plan, SECOND);
    assert!(standing.remaining() <= 200, "{standing:?}");
}

#[test]
fn nearly_all_of_the_quota_is_delivered_when_nothing_goes_wrong() {
    let faults = Faults { lost: 0, slow: 0, refunds: 0, crashes: 0, floods: false };
    for (plan, load, part) in [
        (plan(10_000, 10, 500), 3.0, 0.95),
        (plan(2_000, 2, 200), 3.0, 0.95),
        (plan(100, 2, 10), 3.0, 0.9), // nothing is saved for who comes late, so they must come often
        (plan(5, 1, 1), 30.0, 0.9),
    ] {
        let mut world = World::new(&plan, 4, faults, 7);
        let gap = (4.0 / plan.quota().rate() / load * 1e9) as u64;
        world.run(10, gap);
        let whole = plan.quota().rate() * 10.0 + f64::from(plan.quota().burst());
        let delivered = world.admitted.len() as f64 / whole;
        assert!(delivered >= part, "{delivered} of {:?}", plan.quota());
        let window = plan.quota().window().as_nanos() as u64;
        assert!(most(&mut world.admitted, window) <= plan.quota().requests() as usize);
        println!("{:?}: {delivered:.3}, {} calls for {} requests", plan.quota(), world.calls, world.requests);
    }
}

#[test]
fn a_busy_key_asks_seldom_and_a_rare_one_once_for_each_request() {
    let faults = Faults { lost: 0, slow: 0, refunds: 0, crashes: 0, floods: false };
    for (plan, gap, seconds, most) in [
        (plan(100_000, 60, 10_000), MILLI, 20, 0.01),
        (plan(500, 60, 50), SECOND, 30, 1.2),
        (plan(10_000, 60, 1_000), SECOND, 30, 1.2),
    ] {
        let mut world = World::new(&plan, 1, faults, 7);
        world.run(seconds, gap);
        let (calls, requests) = (world.calls as f64, world.requests as f64);
        assert!(calls <= most * requests, "{calls} calls for {requests} requests of {:?}", plan.quota());
        assert!(world.requests - world.admitted.len() <= 1, "the last may be on its way");
    }
}

#[test]
fn what_the_script_returned_can_be_heard_again() {
    let (plan, now) = (plan(1_000, 1, 200), SECOND);
    let cell = Cell::new(&plan, "", 0, now);
    cell.replay(&plan, &[EPOCH, 0, 0, 3, 0, 0], now).unwrap();
    assert_eq!(cell.leased(now), 3);
    assert!((0..3).all(|_| matches!(cell.take(&plan, now), Take::Taken(_))));
    cell.replay(&plan, &[EPOCH, 0, 0, 0, 1_000_000, 0], now).unwrap();
    assert!(matches!(cell.take(&plan, now), Take::Denied(_)));
    assert!(cell.replay(&plan, &[EPOCH, 0, 0], now).is_err());
}
