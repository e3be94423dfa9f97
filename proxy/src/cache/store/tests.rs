use http::{HeaderMap, Method, StatusCode};
use synaxis_routing::purge::PurgeId;

use super::*;
use crate::cache::{
    entry::Meta,
    freshness::{Ask, Authorization, Policy, Terms, Times},
    key::Parts,
};

const POLICY: Policy = Policy {
    default_lifetime: Some(60),
    lifetime_max: 60,
    heuristic: false,
    stale_while_revalidate: 0,
    stale_if_error: 0,
    stale_max: 0,
    obey_requests: false,
    authorization: Authorization::Rfc,
};
const LIFE: Duration = Duration::from_secs(60);

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id.as_bytes()).unwrap()
}

fn key(tenant: &TenantId, target: &str) -> Key {
    Key::of(&Parts { tenant, class: "c", route: ["r", "app"], scheme: "http", authority: b"a", target, private: None })
}

fn entry(id: &str, target: &str, bytes: usize) -> Arc<Entry> {
    let tenant = tenant(id);
    let headers = HeaderMap::new();
    let ask = Ask::of(&Method::GET, &headers, &POLICY).unwrap();
    let terms = Terms::of(&ask, Times { asked: 0, received: 0 }, StatusCode::OK, &headers, &POLICY).unwrap();
    let key = key(&tenant, target);
    let class: Arc<str> = "c".into();
    let meta = Meta::new((key, tenant, class), (StatusCode::OK, headers), (terms, PurgeId::ZERO, Box::default()));
    Arc::new(Entry { meta: Arc::new(meta), body: vec![0; bytes].into() })
}

fn keep(store: &Store, entry: Arc<Entry>, room: &Room) -> Result<(), Full> {
    store.keep(entry.meta.key.place(1), entry, LIFE, room)
}

fn body(store: &Store, id: &str, target: &str) -> Option<usize> {
    let key = key(&tenant(id), target);
    match store.get(key.place(1), &key) {
        Some(Known::Kept(entry)) => Some(entry.body.len()),
        _ => None,
    }
}

const MUCH: Room = Room { tenant_bytes: u64::MAX, entries_max: None };

#[test]
fn what_is_found_is_what_was_asked_for() {
    let store = Store::new(1 << 20);
    keep(&store, entry("acme", "/x", 10), &MUCH).unwrap();
    assert_eq!((body(&store, "acme", "/x"), body(&store, "acme", "/y")), (Some(10), None));
    // another key at the same place, as when two hashes are the same
    let other = key(&tenant("other"), "/x");
    assert!(store.get(key(&tenant("acme"), "/x").place(1), &other).is_none());
    keep(&store, entry("acme", "/x", 20), &MUCH).unwrap();
    assert_eq!(body(&store, "acme", "/x"), Some(20));
    store.tidy();
    assert_eq!(store.counts().entries, 1);
    assert_eq!(store.counts().bytes, entry("acme", "/x", 20).bytes() as u64);
    store.forget(key(&tenant("acme"), "/x").place(1));
    store.tidy();
    assert_eq!((body(&store, "acme", "/x"), store.counts().bytes), (None, 0));
}

#[test]
fn one_tenant_has_its_share_and_takes_nothing_from_another() {
    let memory = 1 << 20;
    let store = Store::new(memory);
    let room = Room { tenant_bytes: memory / 4, entries_max: None };
    for number in 0..10 {
        keep(&store, entry("quiet", &format!("/{number}"), 1_000), &room).unwrap();
    }
    let full = (0..10_000).filter(|number| keep(&store, entry("greedy", &format!("/{number}"), 1_000), &room).is_err());
    assert!(full.count() > 9_000);
    store.tidy();
    assert!(store.bytes_of(&tenant("greedy")) <= memory / 4);
    assert!((0..10).all(|number| body(&store, "quiet", &format!("/{number}")) == Some(1_000)));
    assert_eq!(store.counts().evicted, 0);
}

#[test]
fn a_class_has_no_more_answers_than_it_may() {
    let store = Store::new(1 << 20);
    let room = Room { entries_max: Some(3), ..MUCH };
    for number in 0..3 {
        keep(&store, entry("acme", &format!("/{number}"), 1), &room).unwrap();
    }
    assert_eq!(keep(&store, entry("acme", "/3", 1), &room), Err(Full::Class));
    keep(&store, entry("acme", "/1", 2), &room).unwrap();
    store.forget(key(&tenant("acme"), "/1").place(1));
    keep(&store, entry("acme", "/3", 1), &room).unwrap();
}

#[test]
fn many_take_no_more_than_the_memory_and_what_is_counted_is_what_is_there() {
    let memory = 4 << 20;
    let store = Store::new(memory);
    for number in 0..50_000_u32 {
        let id = format!("tenant-{}", number % 97);
        let _ = keep(&store, entry(&id, &format!("/{}", number % 20_011), (number % 3_000) as usize), &MUCH);
        if number % 1_000 == 0 {
            store.tidy();
            let bytes = store.counts().bytes;
            assert!(bytes <= memory + memory / 20, "{bytes}");
        }
    }
    store.tidy();
    let counts = store.counts();
    assert!(counts.evicted > 1_000 && counts.bytes > memory / 2, "{counts:?}");
    let there: u64 = (0..97).map(|number| store.bytes_of(&tenant(&format!("tenant-{number}")))).sum();
    assert_eq!(there, counts.bytes);
    let weighed: u64 = store.slots.iter().map(|(_, slot)| u64::from(slot.bytes)).sum();
    assert_eq!(weighed, counts.bytes);
    store.slots.invalidate_all();
    store.tidy();
    assert_eq!((store.counts().bytes, store.bytes_of(&tenant("tenant-1"))), (0, 0));
}

#[test]
fn what_nobody_can_use_any_more_leaves_by_itself() {
    let store = Store::new(1 << 20);
    let one = entry("acme", "/x", 10);
    store.keep(one.meta.key.place(1), one, Duration::from_millis(20), &MUCH).unwrap();
    let noted = key(&tenant("acme"), "/y");
    store.pass(noted.place(1), (noted.clone(), tenant("acme")), 5, Duration::from_millis(20), &MUCH);
    assert!(matches!(store.get(noted.place(1), &noted), Some(Known::Passes(passes)) if passes.until == 5));
    std::thread::sleep(Duration::from_millis(50));
    assert!(store.get(noted.place(1), &noted).is_none() && body(&store, "acme", "/x").is_none());
    // its place is free a little later: time is counted in turns of a wheel
    let end = Instant::now() + Duration::from_secs(10);
    while store.counts().expired < 2 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(50));
        store.tidy();
    }
    assert_eq!((store.counts().bytes, store.counts().entries), (0, 0));
}
