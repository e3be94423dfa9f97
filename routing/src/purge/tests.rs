//! What is written is read again, what is not understood purges more, and who has passed is told by a real Redis.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::store::tests::Server;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

fn open(server: &Server) -> PurgeStore {
    PurgeStore::open(&format!("redis://127.0.0.1:{}", server.port), "test").unwrap()
}

fn fields(purge: &Purge) -> Vec<Vec<u8>> {
    let values = purge.values().unwrap();
    FIELDS.iter().zip(values).flat_map(|(name, value)| [name.as_bytes().to_vec(), value.as_bytes().to_vec()]).collect()
}

fn understood(purge: Purge) -> Reading {
    Reading { purge, is_understood: true }
}

fn scopes() -> impl Strategy<Value = Scope> {
    let tenants = "[a-z0-9._-]{1,20}".prop_map(|name| tenant(&name));
    let authority = "[a-z0-9.:]{1,30}".prop_map(Box::<str>::from);
    let path = "/[ -~é]{0,40}".prop_map(Box::<str>::from);
    prop_oneof![
        (tenants.clone(), authority.clone(), path.clone()).prop_map(|(tenant, authority, path)| Scope::Key {
            tenant,
            authority,
            path
        }),
        (tenants.clone(), prop::option::of(authority), path).prop_map(|(tenant, authority, path)| Scope::Prefix {
            tenant,
            authority,
            path
        }),
        tenants.clone().prop_map(Scope::Tenant),
        (tenants, "[!-+--~]{1,64}")
            .prop_map(|(tenant, tag)| Scope::Tag { tenant, tag: Tag::parse(tag.as_bytes()).unwrap() }),
        "[a-z-]{1,64}".prop_map(|class| Scope::Class(class.into())),
        Just(Scope::All),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(scope in scopes(), is_hard: bool) {
        let purge = if is_hard { Purge::hard(scope) } else { Purge::soft(scope) };
        prop_assert_eq!(Purge::read(&fields(&purge)), understood(purge));
    }

    #[test]
    fn a_field_that_was_changed_purges_what_it_says_or_more(
        scope in scopes(), at in 0_usize..10, value in prop::collection::vec(any::<u8>(), 0..20), cut in 0_usize..11,
    ) {
        let mut fields = fields(&Purge::soft(scope));
        fields[at] = value;
        fields.truncate(cut.max(1));
        let wider = |purge: Purge| matches!(purge, Purge { scope: Scope::Tenant(_) | Scope::All, kind: Kind::Hard });
        let Reading { purge, is_understood } = Purge::read(&fields);
        let is_sound = if is_understood { purge.values().is_ok() } else { wider(purge) };
        prop_assert!(is_sound);
    }

    #[test]
    fn ids_are_ordered_like_their_halves(a in (0..1_u64 << 42, 0..1_u64 << 22), b in (0..1_u64 << 42, 0..1_u64 << 22)) {
        let id = |(millis, sequence)| PurgeId::new(millis, sequence).unwrap();
        prop_assert_eq!(a.cmp(&b), id(a).cmp(&id(b)));
        prop_assert_eq!(id(a).to_string(), format!("{}-{}", a.0, a.1));
        prop_assert_eq!(id(a).to_string().parse(), Ok(id(a)));
        prop_assert_eq!(PurgeId::from_bits(id(a).to_bits()), id(a));
        prop_assert!(id(a).next() > id(a));
    }
}

#[test]
fn ids_that_would_lose_their_order_are_none() {
    for text in ["", "-", "7", "7-", "-7", "a-b", "1-2-3", "1-4194304", "4398046511104-0", "18446744073709551615-0"] {
        assert_eq!(text.parse::<PurgeId>(), Err(InvalidId), "{text}");
    }
    assert_eq!("4398046511103-4194303".parse(), Ok(PurgeId::from_bits(u64::MAX)));
    assert_eq!(PurgeId::from_bits(u64::MAX).next(), PurgeId::from_bits(u64::MAX));
    let last = PurgeId::new(5, (1 << 22) - 1).unwrap();
    assert_eq!(last.next(), PurgeId::new(6, 0).unwrap());
}

#[test]
fn what_readers_would_not_take_is_not_written() {
    let long = |bytes: usize| Box::<str>::from(format!("/{}", "x".repeat(bytes - 1)));
    let (tenant, authority) = (tenant("acme"), Box::<str>::from("a"));
    let key = |authority: &str, path: Box<str>| Scope::Key { tenant, authority: authority.into(), path };
    let prefix =
        |authority: Option<&str>, path: Box<str>| Scope::Prefix { tenant, authority: authority.map(Into::into), path };
    for (scope, expected) in [
        (key("a", long(PATH_BYTES_MAX)), None),
        (key("a", long(PATH_BYTES_MAX + 1)), Some(InvalidPurge::Path)),
        (key("a", "x".into()), Some(InvalidPurge::Path)),
        (key("a", "".into()), Some(InvalidPurge::Path)),
        (key("", "/".into()), Some(InvalidPurge::Authority)),
        (key(&authority.repeat(262), "/".into()), Some(InvalidPurge::Authority)),
        (prefix(None, long(PREFIX_BYTES_MAX)), None),
        (prefix(None, long(PREFIX_BYTES_MAX + 1)), Some(InvalidPurge::Path)),
        (prefix(Some(""), "/".into()), Some(InvalidPurge::Authority)),
        (Scope::Class("".into()), Some(InvalidPurge::Class)),
        (Scope::Class("x".repeat(65).into()), Some(InvalidPurge::Class)),
    ] {
        assert_eq!(Purge::hard(scope.clone()).values().err(), expected, "{scope:?}");
    }
}

#[test]
fn a_tag_is_visible_ascii_without_commas() {
    for text in ["lead", "a", "Lead:42/7", &*"x".repeat(64)] {
        assert_eq!(Tag::parse(text.as_bytes()).unwrap().as_str(), text);
    }
    for bytes in [&b""[..], b"a b", b"a,b", b"a\tb", b"a\0", "é".as_bytes(), b"\xff", &[b'x'; 65]] {
        assert_eq!(Tag::parse(bytes), Err(InvalidTag), "{bytes:?}");
    }
}

#[test]
fn a_url_that_names_no_store_is_refused_without_repeating_it() {
    for url in ["", "secret", "http://secret", "unix:///secret", "redis://:secret@"] {
        let error = PurgeStore::open(url, "test").map(|_| ()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(matches!(PurgeStore::open("redis://127.0.0.1", "Not a prefix"), Err(StoreError::KeyPrefix)));
}

#[tokio::test]
async fn purges_are_read_in_their_order_and_from_where_one_was() {
    let server = Server::on_free_port();
    let mut link = open(&server).connect().await.unwrap();
    let purges: Vec<Purge> = ["a", "b", "c"]
        .iter()
        .map(|name| Purge::soft(Scope::Tenant(tenant(name))))
        .chain([Purge::hard(Scope::All)])
        .collect();
    let ids = link.append(&purges).await.unwrap();
    assert!(ids.is_sorted() && ids.len() == 4);
    let entries = link.read(PurgeId::ZERO, 10, Duration::from_millis(1)).await.unwrap();
    let expected: Vec<Entry> =
        ids.iter().zip(&purges).map(|(id, purge)| Entry { id: *id, reading: understood(purge.clone()) }).collect();
    assert_eq!(entries, expected);
    assert_eq!(link.read(ids[0], 2, Duration::from_millis(1)).await.unwrap(), expected[1..3]);
    let began = Instant::now();
    assert_eq!(link.read(ids[3], 10, Duration::from_millis(100)).await.unwrap(), []);
    assert!(began.elapsed() >= Duration::from_millis(100));
    let shape: redis::Value = server.ask(&["XRANGE", "{test:cache}:purges", "-", "+", "COUNT", "1"]);
    assert!(format!("{shape:?}").contains("kind"), "{shape:?}");
}

#[tokio::test]
async fn a_stream_keeps_about_its_length() {
    let server = Server::on_free_port();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let mut link = PurgeStore::new(client, "test", 100).unwrap().connect().await.unwrap();
    let purges = vec![Purge::hard(Scope::Tenant(tenant("acme"))); 1_000];
    link.append(&purges).await.unwrap();
    let length: usize = server.ask(&["XLEN", "{test:cache}:purges"]);
    assert!((100..300).contains(&length), "{length}");
}

#[tokio::test]
async fn a_process_has_passed_only_what_it_could_read() {
    let server = Server::on_free_port();
    let store = open(&server);
    let mut link = store.connect().await.unwrap();
    let all = Purge::hard(Scope::All);
    let ids = link.append(&[all.clone(), all.clone()]).await.unwrap();
    let says = |id| Some(Passed { process: "one", id, prunes: true });
    let ends = link.check(PurgeId::new(7, 7).unwrap(), says(ids[1])).await.unwrap();
    assert_eq!(ends, Ends { is_anchored: false, first: Some(ids[0]), newest: Some(ids[1]) });
    assert_eq!(link.who_passed(ids[1]).await.unwrap(), Waited::default(), "what it has missed is not known");
    assert!(link.check(ids[0], says(ids[0])).await.unwrap().is_anchored);
    let waited = link.who_passed(ids[1]).await.unwrap();
    assert_eq!((waited.missing.len(), waited.is_complete), (1, false), "others may not have come yet");
    assert_eq!(link.who_passed(ids[0]).await.unwrap().passed, ["one"]);
    assert!(link.check(ids[0], says(ids[1])).await.unwrap().is_anchored);
    assert_eq!(link.who_passed(ids[1]).await.unwrap().passed, ["one"]);
    let long = "x".repeat(PROCESS_BYTES_MAX + 1);
    for process in ["", &long] {
        let refused = link.check(ids[0], Some(Passed { process, id: ids[1], prunes: false })).await;
        assert!(matches!(refused, Err(StoreError::Away { .. })), "who cannot be named cannot be waited for");
    }
}

#[tokio::test]
async fn a_process_that_is_long_gone_is_not_waited_for_and_then_forgotten() {
    let server = Server::on_free_port();
    let mut link = open(&server).connect().await.unwrap();
    // a purge of the year 2001, of which nobody has said anything since
    server.ask::<String>(&["XADD", "{test:cache}:purges", "1000000000000-0", "kind", "hard"]);
    server.ask::<u64>(&["HSET", "{test:cache}:readers", "", "@1", "gone", "999-0@1000000000000"]);
    let id = PurgeId::new(1_000_000_000_000, 0).unwrap();
    assert_eq!(link.who_passed(id).await.unwrap().silent, ["gone"]);
    // a new one may be covered by what it still serves
    let new = link.append(&[Purge::hard(Scope::All)]).await.unwrap()[0];
    assert_eq!(link.who_passed(new).await.unwrap().missing[0].process, "gone");
    let passed = Passed { process: "one", id: new, prunes: true };
    link.check(new, Some(passed)).await.unwrap();
    assert_eq!(
        link.who_passed(new).await.unwrap(),
        Waited { passed: vec!["one".into()], is_complete: true, ..Waited::default() }
    );
}

#[tokio::test]
async fn a_list_of_processes_that_is_new_proves_nothing() {
    let server = Server::on_free_port();
    let mut link = open(&server).connect().await.unwrap();
    let id = link.append(&[Purge::hard(Scope::All)]).await.unwrap()[0];
    assert!(!link.who_passed(id).await.unwrap().is_proven(), "there is none at all");
    link.check(id, Some(Passed { process: "one", id, prunes: true })).await.unwrap();
    assert!(!link.who_passed(id).await.unwrap().is_proven());
    let began = Instant::now();
    assert!(!open(&server).wait(id, Duration::from_millis(100)).await.unwrap().is_proven());
    assert!(began.elapsed() >= Duration::from_millis(100), "it is waited for");
    for since in ["@x", "", "@99999999999999"] {
        server.ask::<u64>(&["HSET", "{test:cache}:readers", "", since]);
        assert!(!link.who_passed(id).await.unwrap().is_proven(), "{since}");
    }
    server.ask::<u64>(&["HSET", "{test:cache}:readers", "", "@1000000000000"]);
    link.check(id, Some(Passed { process: "one", id, prunes: true })).await.unwrap();
    assert!(link.who_passed(id).await.unwrap().is_proven(), "pruning leaves the beginning");
}

#[tokio::test]
async fn words_of_processes_that_are_none_of_ours_are_waited_for() {
    let server = Server::on_free_port();
    let mut link = open(&server).connect().await.unwrap();
    let id = link.append(&[Purge::hard(Scope::All)]).await.unwrap()[0];
    let huge = "9".repeat(10_000);
    for word in ["", "@", "x@y", "99999999999999999999-0@1", "4398046511103-0", &huge] {
        server.ask::<u64>(&["DEL", "{test:cache}:readers"]);
        server.ask::<u64>(&["HSET", "{test:cache}:readers", "one", word]);
        let waited = link.who_passed(id).await.unwrap();
        assert!(waited.passed.is_empty() && waited.missing.len() == 1, "{word:.30}: {waited:?}");
    }
    server.ask::<u64>(&["DEL", "{test:cache}:purges"]);
    assert!(matches!(link.who_passed(id).await, Err(StoreError::Lost(_))));
}

#[tokio::test]
async fn a_new_beginning_is_above_everything() {
    let server = Server::on_free_port();
    let mut link = open(&server).connect().await.unwrap();
    let first = link.begin_anew(PurgeId::ZERO, "run-1").await.unwrap();
    let ahead = PurgeId::new(first.millis() + 1_000_000, (1 << 22) - 1).unwrap();
    let second = link.begin_anew(ahead, "run-2").await.unwrap();
    assert_eq!(second, ahead.next());
    let entries = link.read(first, 10, Duration::from_millis(1)).await.unwrap();
    assert_eq!(entries.last().unwrap(), &Entry { id: second, reading: understood(Purge::hard(Scope::All)) });
    let run = link.run().await.unwrap();
    assert_eq!((run.stream.as_str(), run.server.len()), ("run-2", 40));
}
