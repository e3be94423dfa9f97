//! Everything is bounded, and what there is no room for is purged with more.

use super::{marked::arrive, *};
use crate::cache::purge::marks::PREFIXES_MAX;

fn small() -> Limits {
    Limits { marks_max: 64, tenants_max: 16, awaited_bytes_max: 2_048, entry_life: Duration::from_secs(640) }
}

#[test]
fn whoever_fills_the_map_is_purged_as_a_whole() {
    let purges = known(small());
    let quiet = Cached::of("quiet", "a", "/untouched", &[]);
    purges.apply(&[(id(1), Purge::hard(key("quiet", "a", "/x")))]);
    let untouched = Cached::of("loud", "a", "/untouched", &[]);
    for number in 2..=65 {
        assert_eq!(purges.verdict(&untouched.subject(), PurgeId::ZERO), Verdict::Valid, "there is room for {number}");
        purges.apply(&[(id(number), Purge::soft(key("loud", "a", &format!("/{number}"))))]);
    }
    assert_eq!(purges.held().marks, 1);
    assert_eq!(purges.verdict(&untouched.subject(), id(64)), Verdict::Soft, "as it was meant, only wider");
    assert_eq!(purges.verdict(&untouched.subject(), id(65)), Verdict::Valid);
    assert_eq!(purges.verdict(&quiet.subject(), PurgeId::ZERO), Verdict::Valid);
    assert_eq!(purges.counts().tenants_widened.load(Relaxed), 1);
}

#[test]
fn a_tenant_has_so_many_prefixes_and_is_then_purged() {
    let purges = known(Limits::default());
    let (untouched, touched) = (Cached::of("acme", "a", "/untouched", &[]), Cached::of("acme", "a", "/p3/x", &[]));
    for number in 0..PREFIXES_MAX as u64 {
        purges.apply(&[(id(number + 1), Purge::hard(prefix("acme", None, &format!("/p{number}/"))))]);
    }
    // one that is known needs no room
    purges.apply(&[(id(100), Purge::hard(prefix("acme", None, "/p3/")))]);
    assert_eq!(purges.verdict(&untouched.subject(), PurgeId::ZERO), Verdict::Valid);
    assert_eq!(purges.verdict(&touched.subject(), id(99)), Verdict::Hard);
    purges.apply(&[(id(101), Purge::hard(prefix("acme", None, "/more")))]);
    assert_eq!(purges.verdict(&untouched.subject(), id(100)), Verdict::Hard);
    assert_eq!(purges.verdict(&touched.subject(), id(101)), Verdict::Valid);
}

#[test]
fn too_many_tenants_raise_the_floor_and_the_newer_half_is_still_exact() {
    let purges = known(small());
    for number in 1..=17_u64 {
        purges.apply(&[(id(number), Purge::hard(key(&format!("t{number}"), "a", "/x")))]);
    }
    assert!(purges.held().tenants <= 9, "{:?}", purges.held());
    assert_eq!(purges.counts().overflows.load(Relaxed), 1);
    let floor = purges.floor();
    assert!((id(8)..=id(10)).contains(&floor), "{floor:?}");
    let stranger = Cached::of("stranger", "a", "/x", &[]);
    assert_eq!(purges.verdict(&stranger.subject(), id(floor.to_bits() - 1)), Verdict::Hard);
    assert_eq!(purges.verdict(&stranger.subject(), floor), Verdict::Valid);
    assert_eq!(purges.verdict(&Cached::of("t17", "a", "/x", &[]).subject(), id(16)), Verdict::Hard);
    assert_eq!(purges.verdict(&Cached::of("t17", "a", "/y", &[]).subject(), id(16)), Verdict::Valid);
}

#[test]
fn too_many_classes_purge_everything() {
    let purges = known(Limits::default());
    let cached = Cached::of("acme", "a", "/x", &[]);
    for number in 1..=64 {
        purges.apply(&[(id(number), Purge::hard(Scope::Class(format!("c{number}").into())))]);
        assert_eq!(purges.verdict(&cached.subject(), PurgeId::ZERO), Verdict::Valid);
    }
    purges.apply(&[(id(65), Purge::soft(Scope::Class("one-more".into())))]);
    assert_eq!(purges.verdict(&cached.subject(), id(64)), Verdict::Hard);
    assert_eq!(purges.verdict(&cached.subject(), id(65)), Verdict::Valid);
}

#[test]
fn marks_without_room_wait_as_their_tenant_and_then_as_everything() {
    let purges = known(small());
    let (cached, other) = (Cached::of("acme", "a", "/untouched", &[]), Cached::of("other", "a", "/x", &[]));
    let said = |cached: &Cached| purges.verdict(&cached.subject(), purges.last());
    for number in 0..20 {
        purges.mark_key(&cached.tenant, "a", &format!("/{number}"));
    }
    assert!(purges.held().awaited_bytes <= 2_048);
    assert_eq!([said(&cached), said(&other)], [Verdict::Hard, Verdict::Valid]);
    for number in 0..1_024 {
        purges.mark_key(&tenant(&format!("t{number}")), "a", "/x");
    }
    assert_eq!(said(&other), Verdict::Hard, "nobody knows any more who waits");
    let mut number = 0;
    loop {
        number += 1;
        if arrive(&purges, number) == 0 {
            break;
        }
        purges.raise(id(number));
    }
    assert_eq!([said(&cached), said(&other)], [Verdict::Valid, Verdict::Valid], "all of it is in the stream");
    assert_eq!(purges.held(), Held { marks: 0, tenants: 0, awaited_bytes: 0 });
}

#[test]
fn a_tenant_that_is_marked_as_a_whole_waits_for_the_stream_each_time_once() {
    let purges = known(small());
    let (cached, other) = (Cached::of("acme", "a", "/x", &[]), Cached::of("other", "a", "/x", &[]));
    let said = |cached: &Cached| purges.verdict(&cached.subject(), purges.last());
    let scope = Scope::Tenant(cached.tenant);
    for number in 1..3_000 {
        purges.mark_tenant(&cached.tenant);
        purges.mark_tenant(&cached.tenant);
        assert_eq!([said(&cached), said(&other)], [Verdict::Hard, Verdict::Valid]);
        assert_eq!(purges.take(10), std::slice::from_ref(&scope), "{number}");
        purges.arrived(&[(id(number), Purge::hard(scope.clone()))]);
        purges.raise(id(number));
        assert_eq!([said(&cached), said(&other)], [Verdict::Valid, Verdict::Valid]);
    }
    assert_eq!(purges.held(), Held { marks: 0, tenants: 0, awaited_bytes: 0 });
}

#[test]
fn a_target_that_no_reader_would_take_purges_its_tenant() {
    let purges = known(Limits::default());
    for (authority, path) in [("", "/x"), ("a", "*"), ("a", &*format!("/{}", "x".repeat(8 << 10)))] {
        purges.mark_key(&tenant("acme"), authority, path);
        assert_eq!(purges.take(10), [Scope::Tenant(tenant("acme"))]);
        purges.arrived(&[(id(1), Purge::hard(Scope::Tenant(tenant("acme"))))]);
    }
}

#[test]
fn purges_are_forgotten_after_the_longest_life_and_not_before() {
    let start = Instant::now();
    let purges = Purges::new(small(), start);
    let at = |seconds| start + Duration::from_secs(seconds);
    purges.apply(&[(id(5), Purge::hard(key("acme", "a", "/x")))]);
    let old = Cached::of("acme", "a", "/x", &[]);
    for second in 0..=640 {
        purges.tick(at(second));
        assert_eq!((purges.held().marks, purges.floor()), (1, PurgeId::ZERO), "{second} s");
    }
    purges.apply(&[(id(9), Purge::hard(key("acme", "a", "/y")))]);
    let version = purges.version();
    purges.tick(at(641));
    assert_eq!((purges.held().marks, purges.floor()), (1, id(5)), "the later one is kept");
    assert_ne!(purges.version(), version);
    assert_eq!(purges.verdict(&old.subject(), id(4)), Verdict::Hard, "should there be one against all reason");
    assert_eq!(purges.verdict(&old.subject(), id(5)), Verdict::Valid);
    for second in 642..2_000 {
        purges.tick(at(second));
    }
    assert_eq!((purges.held().marks, purges.floor()), (0, id(9)));
}

#[test]
fn the_looks_by_which_is_forgotten_are_bounded() {
    let start = Instant::now();
    let purges = Purges::new(small(), start);
    for second in 0..5_000 {
        purges.apply(&[(id(second + 1), Purge::hard(key("acme", "a", &format!("/{}", second % 7))))]);
        purges.tick(start + Duration::from_secs(second));
        let floor = purges.floor().to_bits();
        assert!(floor <= (second + 1).saturating_sub(640), "{second} s: {floor} is forgotten too early");
        assert!(floor + 660 > second, "{second} s: {floor} is forgotten too late");
    }
}
