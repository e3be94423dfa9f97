//! What a permit costs: `cargo test --release cost -- --ignored --nocapture`.

use std::{hint::black_box, thread, time::Instant};

use super::*;

const ROUNDS: u64 = 2_000_000;

/// Nanoseconds for one admit and drop, seen by each of the threads; `tenant_of` names the tenant of a thread's round.
fn measure(name: &str, in_flight: u64, threads: u64, tenant_of: impl Fn(u64, u64) -> u64 + Sync) {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(100_000, 0.8);
    let background: Vec<_> = (0..in_flight).map(|number| admission.admit(&limits, tenant(number)).unwrap()).collect();
    let keys: Vec<_> = (0..1_024).map(tenant).collect();
    let started = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (admission, keys, tenant_of) = (&admission, &keys, &tenant_of);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let key = keys[tenant_of(thread, round) as usize % keys.len()];
                    drop(black_box(admission.admit(black_box(&limits), key)));
                }
            });
        }
    });
    let nanoseconds = started.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{nanoseconds:>5} ns  {threads} threads, {in_flight} in flight, {name}");
    drop(background);
}

#[test]
#[ignore = "measures, promises nothing"]
fn cost_of_a_permit() {
    for in_flight in [0, 10_000] {
        for threads in [1, 2] {
            measure("one tenant", in_flight, threads, |_, _| 0);
            measure("a tenant for each thread", in_flight, threads, |thread, _| thread);
            measure("1024 tenants in turn", in_flight, threads, |thread, round| round + thread * 512);
        }
    }
}
