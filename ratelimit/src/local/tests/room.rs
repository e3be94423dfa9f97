use super::*;

const CAPS: Caps = Caps { keys_max: 1_600, tenant_keys_max: 100 };

fn passes(limiter: &Limiter, tenant: &str, user: u32) -> bool {
    limiter.decide(key(tenant, user), SECOND).is_allowed()
}

#[test]
fn random_users_share_one_quota_and_evict_nobody() {
    let limiter = limiter_in(quota(5, 60, 5), CAPS);
    assert_eq!((0..10).filter(|_| passes(&limiter, "a", 0)).count(), 5);
    assert_eq!((1..100).filter(|&user| passes(&limiter, "a", user)).count(), 99);
    assert_eq!((100..5_000).filter(|&user| passes(&limiter, "a", user)).count(), 5);
    assert!(!passes(&limiter, "a", 0), "its bucket is kept");
    assert_eq!((0..10).filter(|_| passes(&limiter, "a", 1)).count(), 4, "as that of the others");
    assert_eq!((limiter.cells.counts().keys, limiter.cells.counts().shared), (101, 4_900));
}

#[test]
fn a_tenant_that_is_flooded_takes_nothing_from_another() {
    let limiter = limiter_in(quota(5, 60, 5), CAPS);
    for user in 0..5_000 {
        passes(&limiter, "a", user);
    }
    assert_eq!((0..200).filter(|&user| passes(&limiter, "b", user)).count(), 105);
}

#[test]
fn no_flood_of_tenants_makes_more_cells_than_the_cap() {
    let limiter = limiter_in(quota(5, 60, 5), CAPS);
    let passed = (0..3_000).filter(|tenant| (0..10).filter(|_| passes(&limiter, &tenant.to_string(), 0)).count() == 5);
    // 1,500 with a cell of their own, 100 with one for all of a tenant's users, and one for who comes then
    assert_eq!(passed.count(), 1_601);
    assert_eq!(limiter.cells.counts().keys, 1_600);
}

#[test]
fn full_buckets_make_room_when_they_are_swept() {
    let limiter = limiter_in(quota(5, 60, 1), CAPS);
    for user in 0..1_000 {
        passes(&limiter, "a", user);
    }
    let (minute, cells) = (60 * SECOND, &limiter.cells);
    cells.sweep(Cells::SHARDS, 5 * SECOND);
    assert_eq!(cells.counts().keys, 101, "none is full yet");
    for _ in 0..Cells::SHARDS / 8 {
        cells.sweep(8, minute);
    }
    assert_eq!(cells.counts().keys, 0);
    assert_eq!((0..100).filter(|&user| limiter.decide(key("a", user), minute).is_allowed()).count(), 100);
    assert_eq!(cells.counts().shared, 900);
}

#[test]
fn threads_sweeps_and_changes_lose_no_count() {
    let limiter = limiter_in(quota(100, 1, 1), CAPS);
    let (minute, quick) = (60 * SECOND, limiter.with_quota(quota(200, 1, 1), 0));
    thread::scope(|threads| {
        for thread in 0..4 {
            let (limiter, quick) = (&limiter, &quick);
            threads.spawn(move || {
                for at in 0..20_000_u32 {
                    let (now, tenant) = (u64::from(at) * 1_000_000, ["a", "b", "c"][(at % 3) as usize]);
                    let limiter = if at / 100 % 2 == 0 { limiter } else { quick };
                    let _ = limiter.decide(key(tenant, at % 331 + thread), now);
                    if at % 50 == 0 {
                        limiter.cells.sweep(32, now);
                    }
                }
            });
        }
    });
    assert!(limiter.cells.counts().keys <= 3 * 101);
    limiter.cells.sweep(Cells::SHARDS, minute);
    assert_eq!(limiter.cells.counts().keys, 0);
    // and every tenant has room for all of its own again
    let before = limiter.cells.counts().shared;
    assert_eq!((0..100).filter(|&user| limiter.decide(key("a", user), minute).is_allowed()).count(), 100);
    assert_eq!(limiter.cells.counts().shared, before);
}

#[test]
fn keys_that_do_not_tell_tenants_apart_are_not_one_tenant_and_leave_half_of_the_room_to_tenants() {
    let caps = Caps { keys_max: 320, tenant_keys_max: 10 };
    let limiter = limiter_in(quota(1, 60, 1), caps);
    let keys = Keys::new(&Secret::new([9; 32]), "address");
    let nobody = |number: u32| keys.key(crate::key::Tenant::NOBODY, &[&number.to_le_bytes()]);
    let passed = |count: u32| (0..count).filter(|&at| limiter.decide(nobody(at), SECOND).is_allowed()).count();
    // a bucket for each of 160, and one for all others
    assert_eq!(passed(300), 161);
    assert_eq!((0..20).filter(|&user| limiter.decide(key("a", user), SECOND).is_allowed()).count(), 11);
}
