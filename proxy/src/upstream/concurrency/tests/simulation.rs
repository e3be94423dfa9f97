//! Tenants offer load in simulated time, open loop: what is promised to the others holds whatever one of them does.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{xorshift::Xorshift, *};

/// Microseconds of simulated time.
const SECOND: f64 = 1_000_000.0;

/// One upstream in simulated time: requests that were admitted run until their time has come.
struct Upstream {
    admission: Arc<Admission>,
    limits: Limits,
    now: u64,
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    running: HashMap<u64, Permit>,
    admitted: u64,
}

impl Upstream {
    fn new(places: u32, tenant_share_max: f64) -> Self {
        Self {
            admission: Arc::default(),
            limits: Limits::new(places, tenant_share_max),
            now: 0,
            ends: BinaryHeap::new(),
            running: HashMap::new(),
            admitted: 0,
        }
    }

    /// Ends what has run its time until `now`.
    fn advance(&mut self, now: u64) {
        while let Some(&Reverse((end, request))) = self.ends.peek()
            && end <= now
        {
            self.ends.pop();
            self.running.remove(&request);
        }
        self.now = now;
    }

    /// A request of `tenant` that would run for `service` microseconds.
    fn ask(&mut self, tenant: TenantKey, service: f64) -> Result<(), Refused> {
        let permit = self.admission.admit(&self.limits, tenant)?;
        self.admitted += 1;
        self.ends.push(Reverse((self.now + service as u64, self.admitted)));
        self.running.insert(self.admitted, permit);
        Ok(())
    }

    fn in_flight(&self) -> u32 {
        self.admission.in_flight()
    }

    fn in_flight_of(&self, tenant: TenantKey) -> u32 {
        self.admission.in_flight_of(tenant)
    }
}

/// Independent Poisson arrivals of several sources, merged in the order of time.
struct Arrivals {
    next: BinaryHeap<Reverse<(u64, usize)>>,
    gaps: Vec<f64>,
}

impl Arrivals {
    /// Sources by the mean time between their requests, in microseconds.
    fn new(gaps: Vec<f64>, from: u64, random: &mut Xorshift) -> Self {
        let next = gaps.iter().map(|&gap| from + random.exponential(gap) as u64).zip(0..).map(Reverse).collect();
        Self { next, gaps }
    }

    /// The time of the next arrival and its source.
    fn next(&mut self, random: &mut Xorshift) -> (u64, usize) {
        let Reverse((at, source)) = self.next.pop().unwrap_or_default();
        self.next.push(Reverse((at + 1 + random.exponential(self.gaps[source]) as u64, source)));
        (at, source)
    }
}

/// How long requests run.
#[derive(Clone, Copy, Debug)]
enum Service {
    Fixed(f64),
    Exponential(f64),
    /// One in a hundred runs a hundred times longer than the others.
    LongTail(f64),
}

impl Service {
    fn draw(self, random: &mut Xorshift) -> f64 {
        match self {
            Self::Fixed(time) => time,
            Self::Exponential(mean) => random.exponential(mean),
            Self::LongTail(mean) if random.below(100) == 0 => mean * 50.0,
            Self::LongTail(mean) => mean * 0.5,
        }
    }

    fn mean(self) -> f64 {
        match self {
            Self::Fixed(mean) | Self::Exponential(mean) | Self::LongTail(mean) => mean,
        }
    }
}

const SERVICES: [Service; 5] = [
    Service::Fixed(SECOND),
    Service::Exponential(0.005 * SECOND),
    Service::Exponential(0.3 * SECOND),
    Service::Exponential(5.0 * SECOND),
    Service::LongTail(0.1 * SECOND),
];

const PLACES: [u32; 8] = [2, 3, 5, 19, 20, 21, 100, 400];

/// One tenant offers 20 times C and has met its limit; the others offer three times `promised` and ask while together
/// they hold less, the tenant of each request chosen by `who`. None of theirs may be lost.
fn others_lose_nothing(places: u32, share: f64, promised: u32, who: fn(&mut Xorshift) -> u64) {
    let noisy = tenant(0);
    for (seed, service) in (1_u64..).zip(SERVICES) {
        for others_service in [service, Service::Exponential(0.05 * SECOND)] {
            let mut random = Xorshift::seeded(seed);
            let mut upstream = Upstream::new(places, share);
            let gap = |load: u32, service: Service| service.mean() / f64::from(load);
            let gaps = vec![gap(20 * places, service), gap(3 * promised, others_service)];
            let mut arrivals = Arrivals::new(gaps, 0, &mut random);
            let (mut noisy_refused, mut others_asked, mut others_most) = (0, 0, 0);
            for event in 0.. {
                assert!(event < 10_000_000, "{places} places, seed {seed}: the others asked only {others_asked} times");
                if others_asked == 50 + 10 * promised {
                    break;
                }
                let (now, source) = arrivals.next(&mut random);
                upstream.advance(now);
                let noisy_held = upstream.in_flight_of(noisy);
                let others = upstream.in_flight() - noisy_held;
                if source == 0 {
                    noisy_refused += u64::from(upstream.ask(noisy, service.draw(&mut random)).is_err());
                } else if noisy_refused > 0 && others < promised {
                    let other = tenant(1 + who(&mut random));
                    let asked = upstream.ask(other, others_service.draw(&mut random));
                    assert_eq!(asked, Ok(()), "{places} places, seed {seed}, {noisy_held} noisy, {others} others");
                    others_asked += 1;
                    others_most = others_most.max(others + 1);
                }
            }
            assert_eq!(others_most, promised, "{places} places, seed {seed}: the promise was never called in");
        }
    }
}

#[test]
fn whatever_one_tenant_offers_the_first_fifth_is_there_for_all_other_tenants() {
    for places in PLACES {
        others_lose_nothing(places, 0.8, places.div_ceil(5), |random| random.next() >> 1);
    }
}

#[test]
fn whatever_one_tenant_offers_the_first_fifteen_percent_are_there_for_whoever_else_asks() {
    for places in PLACES {
        let promised = places.div_ceil(5) - places / 20;
        others_lose_nothing(places, 0.8, promised, |_| 0);
        others_lose_nothing(places, 0.8, promised, |random| random.below(3));
    }
}

#[test]
fn with_a_share_of_three_quarters_the_first_fifth_is_there_for_whoever_else_asks() {
    for places in PLACES {
        others_lose_nothing(places, 0.75, places.div_ceil(5), |_| 0);
        others_lose_nothing(places, 0.75, places.div_ceil(5), |random| random.below(3));
    }
}

#[test]
fn the_noisy_tenant_shrinks_at_the_rate_at_which_its_requests_end_and_the_others_take_every_place() {
    const C: u32 = 1_000;
    let noisy = tenant(0);
    for seed in 1..=3 {
        let mut random = Xorshift::seeded(seed);
        let mut upstream = Upstream::new(C, 0.8);
        let gap = SECOND / f64::from(20 * C);
        let mut alone = Arrivals::new(vec![gap], 0, &mut random);
        while upstream.now < 5_000_000 {
            upstream.advance(alone.next(&mut random).0);
            let _ = upstream.ask(noisy, random.exponential(SECOND));
        }
        assert!(upstream.in_flight_of(noisy) >= C * 79 / 100, "seed {seed}: {}", upstream.in_flight_of(noisy));

        let crowd = upstream.now;
        let mut arrivals = Arrivals::new(vec![gap, gap], crowd, &mut random);
        let mut readmitted_above_fair = 0;
        let mut fair_at = None;
        while upstream.now < crowd + 5_000_000 {
            let (now, source) = arrivals.next(&mut random);
            upstream.advance(now);
            let held = upstream.in_flight_of(noisy);
            let others = upstream.in_flight() - held;
            if source == 0 {
                let admitted = upstream.ask(noisy, random.exponential(SECOND)).is_ok();
                readmitted_above_fair += u32::from(admitted && held > C / 4 && others >= C / 5);
            } else {
                let other = tenant(1 + random.below(200));
                let _ = upstream.ask(other, random.exponential(SECOND));
            }
            if others >= C / 5 {
                assert!(upstream.in_flight() >= C * 93 / 100, "seed {seed}: places stay empty");
            }
            if held <= C / 4 && fair_at.is_none() {
                fair_at = Some(now - crowd);
            }
        }
        // Requests of a mean of one second: 800 have shrunk to 250 after ln(800 / 250) = 1.16 s.
        let fair_at = fair_at.unwrap_or(u64::MAX);
        assert!((1_000_000..1_350_000).contains(&fair_at), "seed {seed}: fair after {fair_at} us");
        assert_eq!(readmitted_above_fair, 0, "seed {seed}");
        assert!(upstream.in_flight_of(noisy) <= C * 22 / 100, "seed {seed}: {}", upstream.in_flight_of(noisy));
    }
}

/// What each of `tenants` holds on average while each offers 20 times its equal share of 1000 places.
fn greedy_tenants_hold(tenants: u32, seed: u64) -> Vec<f64> {
    const C: u32 = 1_000;
    let keys: Vec<_> = (0..u64::from(tenants)).map(tenant).collect();
    let mut random = Xorshift::seeded(seed);
    let mut upstream = Upstream::new(C, 0.8);
    let gap = SECOND * f64::from(tenants) / f64::from(20 * C);
    let mut arrivals = Arrivals::new(vec![gap; keys.len()], 0, &mut random);
    let mut held = vec![0.0; keys.len()];
    let mut samples = 0.0;
    let mut sample_at = 3_000_000;
    while upstream.now < 30_000_000 {
        let (now, source) = arrivals.next(&mut random);
        upstream.advance(now);
        let _ = upstream.ask(keys[source], random.exponential(SECOND));
        if now >= sample_at {
            sample_at += 100_000;
            samples += 1.0;
            for (sum, &key) in held.iter_mut().zip(&keys) {
                *sum += f64::from(upstream.in_flight_of(key));
            }
        }
    }
    held.iter().map(|sum| sum / samples).collect()
}

#[test]
fn equally_greedy_tenants_hold_equally_many_places() {
    for (tenants, least) in [(2, 440.0), (3, 302.0), (4, 229.0), (10, 85.0), (50, 15.0)] {
        let held = greedy_tenants_hold(tenants, u64::from(tenants));
        let (low, high) = held.iter().fold((f64::MAX, 0.0_f64), |(low, high), &held| (low.min(held), high.max(held)));
        assert!(low >= least && high / low <= 1.35, "{tenants} tenants hold {low} to {high}");
    }
}

#[test]
fn when_greedy_tenants_hold_all_else_the_last_twentieth_admits_every_newcomer() {
    const C: u32 = 1_000;
    let mut random = Xorshift::seeded(7);
    let mut upstream = Upstream::new(C, 0.8);
    let gap = SECOND / f64::from(2 * C);
    let mut gaps = vec![gap; 10];
    gaps.push(SECOND / 200.0);
    let mut arrivals = Arrivals::new(gaps, 0, &mut random);
    let (mut newcomers, mut second_requests_refused, mut most_taken) = (0, 0, 0);
    while upstream.now < 20_000_000 {
        let (now, source) = arrivals.next(&mut random);
        upstream.advance(now);
        let greedy: u32 = (0..10).map(|number| upstream.in_flight_of(tenant(number))).sum();
        most_taken = most_taken.max(greedy);
        if source < 10 {
            let _ = upstream.ask(tenant(source as u64), random.exponential(SECOND));
        } else if upstream.in_flight() - greedy < C / 20 {
            newcomers += 1;
            let newcomer = tenant(1_000 + newcomers);
            let asked = upstream.ask(newcomer, random.exponential(SECOND));
            assert_eq!(asked, Ok(()), "newcomer {newcomers} beside {greedy} places of greedy tenants");
            let again = upstream.ask(newcomer, random.exponential(SECOND));
            second_requests_refused += u64::from(matches!(again, Err(Refused::Reserve { .. } | Refused::Full { .. })));
        }
    }
    assert!(newcomers > 500, "{newcomers} newcomers");
    assert!(second_requests_refused > newcomers / 2, "{second_requests_refused} of {newcomers}");
    assert!((C * 90 / 100..=C * 95 / 100).contains(&most_taken), "greedy tenants held {most_taken}");
}
