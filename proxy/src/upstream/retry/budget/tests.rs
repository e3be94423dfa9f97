use std::{collections::BTreeMap, sync::Barrier, thread};

use super::*;

const LIMITS: Limits = Limits { permille: 100, per_second: 3 };

/// A budget with the list of what it has seen, by second.
struct Ledger {
    budget: Budget,
    requests: BTreeMap<u64, u64>,
    retries: BTreeMap<u64, u64>,
}

impl Ledger {
    fn new(now: u64) -> Self {
        Self { budget: Budget::new(now), requests: BTreeMap::new(), retries: BTreeMap::new() }
    }

    fn requests(&mut self, now: u64, count: u64) {
        for _ in 0..count {
            self.budget.request(now);
        }
        *self.requests.entry(now / 1_000).or_default() += count;
    }

    /// Asks for so many retries; how many there were.
    fn retries(&mut self, now: u64, count: u64) -> u64 {
        let taken = (0..count).filter(|_| self.budget.take(&LIMITS, now)).count() as u64;
        *self.retries.entry(now / 1_000).or_default() += taken;
        taken
    }

    /// The promises: every stretch of whole seconds, and everything since the start.
    fn check(&self, first: u64, last: u64, what: &str) {
        let sum = |of: &BTreeMap<u64, u64>, from: u64, to: u64| of.range(from..=to).map(|(_, n)| n).sum::<u64>();
        for from in first..=last {
            let mut retries = 0;
            for to in from..=last {
                retries += self.retries.get(&to).copied().unwrap_or(0);
                let requests = sum(&self.requests, from.saturating_sub(WINDOW - 1).max(first), to);
                let allowed = requests * 100 + 3_000 * (to - from + WINDOW);
                assert!(retries * 1_000 <= allowed, "{what}: {retries} retries in seconds {from}..={to}");
            }
            let (retries, requests) = (sum(&self.retries, first, from), sum(&self.requests, first, from));
            let allowed = requests * 100 + 3_000 * (from - first + 1);
            assert!(
                retries * 1_000 <= allowed,
                "{what}: {retries} retries for {requests} requests up to second {from}"
            );
        }
    }
}

#[test]
fn a_tenth_of_the_requests_and_three_for_each_second_begun() {
    let mut ledger = Ledger::new(5_000);
    assert_eq!(ledger.retries(5_000, 100), 3, "the first second");
    assert_eq!(ledger.retries(5_999, 100), 0, "still the first second");
    assert_eq!(ledger.retries(7_000, 100), 6, "two more seconds");
    ledger.requests(7_500, 1_000);
    assert_eq!(ledger.retries(7_500, 1_000), 100, "a tenth");
    ledger.requests(7_600, 9);
    assert_eq!(ledger.retries(7_600, 10), 0, "nine requests are not enough for another");
    ledger.requests(7_600, 1);
    assert_eq!(ledger.retries(7_600, 10), 1, "ten are");
}

#[test]
fn what_is_not_used_is_kept_for_ten_seconds_and_no_longer() {
    let mut ledger = Ledger::new(0);
    ledger.requests(0, 1_000);
    assert_eq!(ledger.retries(9_999, 1_000), 130, "the tenth second");
    let mut ledger = Ledger::new(0);
    ledger.requests(0, 1_000);
    assert_eq!(ledger.retries(10_000, 1_000), 30, "the requests are too long ago");
    assert_eq!(ledger.retries(19_999, 1_000), 0, "the retries are not");
    assert_eq!(ledger.retries(20_000, 1_000), 30);
}

#[test]
fn asking_whether_there_is_a_retry_takes_none() {
    let budget = Budget::new(0);
    for _ in 0..100 {
        assert!(budget.is_left(&LIMITS, 0));
    }
    for _ in 0..3 {
        assert!(budget.take(&LIMITS, 0));
    }
    assert!(!budget.is_left(&LIMITS, 0));
}

#[test]
fn other_limits_of_a_reload_hold_for_what_was_counted_before() {
    let budget = Budget::new(0);
    for _ in 0..100 {
        budget.request(0);
    }
    for _ in 0..13 {
        assert!(budget.take(&LIMITS, 0));
    }
    assert!(!budget.take(&LIMITS, 0));
    assert!(budget.take(&Limits { permille: 200, per_second: 0 }, 0));
    assert!(!budget.take(&Limits { permille: 0, per_second: 0 }, 0));
}

#[test]
fn limits_and_times_at_their_ends_do_no_harm() {
    let most = Limits { permille: u32::MAX, per_second: u32::MAX };
    for now in [0, 1, u64::from(u32::MAX) * 1_000, u64::MAX] {
        let budget = Budget::new(now);
        budget.request(now);
        assert!(budget.take(&most, now));
        // a thread that was held up
        budget.request(0);
        let _ = budget.take(&most, 0);
    }
    let budget = Budget::new(100_000);
    assert!(budget.take(&LIMITS, 0), "a time before the start is the start");
}

/// How many there are in a second, given chance.
type Count = fn(u64, u64) -> u64;

#[test]
fn no_pattern_of_arrivals_gets_more_than_its_share() {
    let last = 120;
    let patterns: [(&str, Count); 8] = [
        ("steady", |_, _| 50),
        ("none", |_, _| 0),
        ("few", |_, chance| chance % 3),
        ("every tenth second", |second, _| if second % 10 == 9 { 500 } else { 0 }),
        ("every eleventh second", |second, _| if second % 11 == 0 { 500 } else { 0 }),
        ("one burst", |second, _| if second == 30 { 3_000 } else { 0 }),
        ("on and off", |second, _| if second / 15 % 2 == 0 { 200 } else { 1 }),
        ("random", |_, chance| chance % 400),
    ];
    let demands: [(&str, Count); 4] = [
        ("everything fails", |_, _| 1_000),
        ("failures every tenth second", |second, _| if second % 10 == 0 { 1_000 } else { 0 }),
        ("failures before and after a window's end", |second, _| if second % 10 < 2 { 1_000 } else { 0 }),
        ("random failures", |_, chance| chance % 40),
    ];
    for (arrivals, arrive) in patterns {
        for (failures, demand) in demands {
            let mut x = 0x9e37_79b9_u64;
            let first = 7;
            let mut ledger = Ledger::new(first * 1_000);
            for tick in first * 4..last * 4 {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                let (now, second) = (tick * 250, tick / 4);
                ledger.requests(now, arrive(second, x >> 20) / 4);
                ledger.retries(now, demand(second, x >> 30));
            }
            ledger.check(first, last, &format!("{arrivals}, {failures}"));
        }
    }
}

#[test]
fn everything_that_may_be_given_away_is() {
    let mut ledger = Ledger::new(0);
    for second in 0..100 {
        ledger.requests(second * 1_000, 100);
        assert_eq!(ledger.retries(second * 1_000, 1_000), 13, "second {second}");
    }
}

#[test]
fn workers_that_race_over_the_end_of_a_second_never_get_one_too_many() {
    for round in 0..2_000 {
        let budget = Budget::new(0);
        for _ in 0..27 {
            assert!(budget.take(&LIMITS, 14_000));
        }
        let start = Barrier::new(4);
        let taken: usize = thread::scope(|scope| {
            let race = |now| {
                let (budget, start) = (&budget, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..3).filter(|_| budget.take(&LIMITS, now)).count()
                })
            };
            let workers = [14_999, 15_000, 15_999, 16_000].map(race);
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(taken, 3, "round {round}");
    }
}

#[test]
fn a_request_of_a_thread_that_was_held_up_takes_none_of_the_later_ones_away() {
    let budget = Budget::new(0);
    (0..10).for_each(|_| budget.request(15_000));
    budget.request(5_000);
    let all = Limits { permille: 1_000, per_second: 0 };
    assert_eq!((0..100).filter(|_| budget.take(&all, 15_000)).count(), 11);
}

#[test]
fn requests_of_racing_workers_are_all_counted() {
    let (budget, start) = (Budget::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                (0..10_000).for_each(|now| (0..50).for_each(|_| budget.request(now)));
            });
        }
    });
    // two million, of which a thousandth: one that is lost is one retry less
    let share = Limits { permille: 1, per_second: 0 };
    assert_eq!((0..3_000).take_while(|_| budget.take(&share, 9_999)).count(), 2_000);
}
