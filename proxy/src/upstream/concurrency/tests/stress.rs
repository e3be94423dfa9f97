//! Many threads, one limit: never above it, nothing lost, nothing left over.

use std::{sync::atomic::AtomicBool, thread};

use super::{xorshift::Xorshift, *};

const THREADS: u64 = 4;
const PLACES: u32 = 19;
const TENANTS: u64 = 12;

#[test]
fn no_race_lifts_the_total_above_the_limit_or_a_tenant_above_its_share() {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(PLACES, 0.3);
    // Counted apart from the admission: raised after a permit is given, lowered before it is given back.
    let held = AtomicU32::new(0);
    let held_of: Vec<_> = (0..TENANTS).map(|_| AtomicU32::new(0)).collect();
    let was_full = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (admission, held, held_of, was_full) = (&admission, &held, &held_of, &was_full);
            scope.spawn(move || {
                let mut random = Xorshift::seeded(thread);
                let mut permits: Vec<(usize, Permit)> = Vec::new();
                for _ in 0..100_000 {
                    // Half of the requests are of one tenant, and all places are taken most of the time.
                    let number = if random.below(2) == 0 { 0 } else { random.below(TENANTS) };
                    match admission.admit(&limits, tenant(number)) {
                        Ok(permit) => {
                            assert!(held.fetch_add(1, Ordering::SeqCst) < PLACES);
                            assert!(held_of[number as usize].fetch_add(1, Ordering::SeqCst) < limits.tenant_max());
                            permits.push((number as usize, permit));
                        }
                        Err(refused) => {
                            was_full.fetch_or(refused.rule() == "full", Ordering::SeqCst);
                            if !permits.is_empty() {
                                let (number, permit) = permits.swap_remove(random.below(permits.len() as u64) as usize);
                                held.fetch_sub(1, Ordering::SeqCst);
                                held_of[number].fetch_sub(1, Ordering::SeqCst);
                                drop(permit);
                            }
                        }
                    }
                    assert!(admission.in_flight() <= PLACES);
                }
                for (number, _permit) in permits {
                    held.fetch_sub(1, Ordering::SeqCst);
                    held_of[number].fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(was_full.into_inner(), "the limit was never reached");
    assert_eq!((admission.in_flight(), admission.tenants()), (0, 0));
}

#[test]
fn the_last_place_goes_to_one_of_many_threads() {
    for round in 0..200 {
        let admission = Arc::new(Admission::default());
        let limits = Limits::new(1, 0.8);
        let permits: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn({
                        let admission = &admission;
                        move || admission.admit(&limits, tenant(thread))
                    })
                })
                .collect();
            asking.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!((permits.len(), admission.in_flight()), (1, 1), "round {round}");
    }
}

#[test]
fn a_permit_gives_its_place_back_on_another_thread_and_when_its_holder_panics() {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(10, 0.8);
    let permit = admission.admit(&limits, tenant(1)).unwrap();
    thread::spawn(move || drop(permit)).join().unwrap();
    assert_eq!(admission.in_flight(), 0);

    let permit = admission.admit(&limits, tenant(1)).unwrap();
    let panicked = thread::spawn(move || {
        let _permit = permit;
        panic!("the holder of a permit panics, as this test wants");
    });
    assert!(panicked.join().is_err());
    assert_eq!((admission.in_flight(), admission.tenants()), (0, 0));
}
