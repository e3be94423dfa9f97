//! What stamps are told of writes elsewhere is read once, in its order, and a gap is known as one.

use super::*;
use crate::{
    failover::{NOTICES_MAX, Notice, PAGE_MAX, Page, Place},
    id::TenantId,
};

fn stamp(number: u32) -> StampId {
    StampId::parse(&format!("synaxis-weu-{number:03}")).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

fn notice(number: u32, name: &str) -> Notice {
    Notice { stamp: stamp(number), tenant: (name != "*").then(|| tenant(name)) }
}

/// What a page says: gap, end, everybody, tenants, not understood.
fn says(page: &Page) -> (bool, bool, bool, Vec<&str>, u64) {
    let names = page.tenants.iter().map(TenantId::as_str).collect();
    (page.has_gap, page.is_end, page.everybody, names, page.not_understood)
}

const NOTHING: (bool, bool, bool, Vec<&str>, u64) = (false, true, false, Vec::new(), 0);
const GAP: (bool, bool, bool, Vec<&str>, u64) = (true, true, false, Vec::new(), 0);

/// The whole contract, on one empty store.
async fn keeps_the_contract(store: &Store) {
    let first = store.notices(&stamp(1), None).await.unwrap();
    assert_eq!(says(&first), GAP, "what came before the first look is not known");
    assert_eq!(says(&store.notices(&stamp(1), Some(&first.place)).await.unwrap()), NOTHING);
    let told = [notice(1, "acme"), notice(2, "other"), notice(1, "acme-2"), notice(2, "*"), notice(1, "acme")];
    store.notify(&told[..2]).await.unwrap();
    store.notify(&told[2..]).await.unwrap();
    let one = store.notices(&stamp(1), Some(&first.place)).await.unwrap();
    assert_eq!(says(&one), (false, true, false, vec!["acme", "acme-2", "acme"], 0));
    let two = store.notices(&stamp(2), Some(&first.place)).await.unwrap();
    assert_eq!(says(&two), (false, true, true, vec!["other"], 0));
    for (number, page) in [(1, &one), (2, &two), (3, &two)] {
        let again = store.notices(&stamp(number), Some(&page.place)).await.unwrap();
        assert_eq!((says(&again), &again.place), (NOTHING, &page.place), "nothing is read twice");
    }
    assert_eq!(says(&store.notices(&stamp(1), None).await.unwrap()), GAP, "nor by who begins");

    // more than a page
    let many: Vec<Notice> = (0..PAGE_MAX + 10).map(|number| notice(3, &format!("t{number}"))).collect();
    store.notify(&many).await.unwrap();
    let page = store.notices(&stamp(3), Some(&one.place)).await.unwrap();
    assert_eq!((page.has_gap, page.is_end, page.tenants.len()), (false, false, PAGE_MAX));
    let rest = store.notices(&stamp(3), Some(&page.place)).await.unwrap();
    assert_eq!((rest.is_end, rest.tenants[0].as_str(), rest.tenants.len()), (true, "t1024", 10));

    // more than is kept
    for _ in 0..NOTICES_MAX / 1_000 + 2 {
        store.notify(&many[..1_000]).await.unwrap();
    }
    let late = store.notices(&stamp(3), Some(&rest.place)).await.unwrap();
    assert_eq!(says(&late), GAP, "what is gone is known to be gone");
    assert_eq!(says(&store.notices(&stamp(3), Some(&late.place)).await.unwrap()), NOTHING);
}

#[tokio::test]
async fn every_store_tells_stamps_what_was_written_elsewhere() {
    let (server, folder) = (Server::on_free_port(), tempfile::tempdir().unwrap());
    let file = Store::open(&format!("file:{}", folder.path().display()), "test").unwrap();
    for store in [Store::open("memory:", "test").unwrap(), file, server.store()] {
        keeps_the_contract(&store).await;
    }
    let length: usize = server.ask(&["XLEN", "{test:rt}:notices"]);
    assert!((NOTICES_MAX..NOTICES_MAX + 500).contains(&length), "{length}");
}

#[tokio::test]
async fn every_store_hints_at_a_notice_to_whom_it_is_for() {
    let (server, folder) = (Server::on_free_port(), tempfile::tempdir().unwrap());
    let file = Store::open(&format!("file:{}", folder.path().display()), "test").unwrap();
    for store in [Store::open("memory:", "test").unwrap(), file, server.store()] {
        let mut hints = store.notice_hints(&stamp(1));
        if matches!(store, Store::Redis(_)) {
            assert_eq!(hints.next().await, Hint::Reconnected);
            store.notify(&[notice(2, "acme")]).await.unwrap();
            let none = tokio::time::timeout(Duration::from_millis(300), hints.next()).await;
            assert!(none.is_err(), "it is for another one");
        }
        store.notify(&[notice(1, "acme")]).await.unwrap();
        let hint = tokio::time::timeout(Duration::from_secs(5), hints.next()).await;
        assert_eq!(hint.unwrap(), Hint::Changed, "{store:?}");
    }
}

#[tokio::test]
async fn a_store_that_has_forgotten_or_went_back_shows_a_gap() {
    let server = Server::on_free_port();
    let (store, port) = (server.store(), server.port);
    let read = async |place: &Place| store.notices(&stamp(1), Some(place)).await;
    let place = store.notices(&stamp(1), None).await.unwrap().place;
    store.notify(&[notice(1, "acme")]).await.unwrap();
    let place = read(&place).await.unwrap().place;
    // an entry of the same millisecond would have the same id
    tokio::time::sleep(Duration::from_millis(5)).await;
    // flushed, and written to since
    server.ask::<()>(&["FLUSHALL"]);
    store.notify(&[notice(1, "lost")]).await.unwrap();
    let page = read(&place).await.unwrap();
    assert_eq!(says(&page), GAP);
    // flushed, and as old as before
    server.ask::<()>(&["FLUSHALL"]);
    let page = read(&page.place).await.unwrap();
    assert_eq!(says(&page), GAP);
    assert_eq!(says(&read(&page.place).await.unwrap()), NOTHING);
    // the last one that was read is there, but what came after it may not have been kept
    server.ask::<()>(&["CONFIG", "SET", "appendonly", "no"]);
    server.ask::<()>(&["SAVE"]);
    server.signal("-KILL");
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(Instant::now() < end, "it is still there");
    }
    assert!(matches!(read(&page.place).await, Err(StoreError::Away { .. })));
    let server = server.again();
    let kept: usize = server.ask(&["XLEN", "{test:rt}:notices"]);
    assert_eq!(kept, 1, "the stream was saved");
    assert_eq!(says(&read(&page.place).await.unwrap()), GAP);
}

#[tokio::test]
async fn notices_that_are_none_of_ours_are_counted_and_those_that_name_a_stamp_mean_all_of_it() {
    let server = Server::on_free_port();
    let store = server.store();
    let mut place = store.notices(&stamp(1), None).await.unwrap().place;
    let huge = "x".repeat(1 << 20);
    for (fields, everybody, tenants, not_understood) in [
        (&["a", "b"][..], false, &[][..], 1),
        (&["stamp", "synaxis-weu-002", "tenant", "acme", "x", "y"], false, &[], 1),
        (&["stamp", &huge, "tenant", &huge], false, &[], 0),
        (&["stamp", "", "tenant", ""], false, &[], 0),
        (&["tenant", "acme", "stamp", "synaxis-weu-001"], false, &[], 1),
        (&["stamp", "synaxis-weu-001"], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", ""], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", "a b"], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", "\u{e9}"], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", &huge], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", "acme", "more", "?"], true, &[], 1),
        (&["stamp", "synaxis-weu-001", "tenant", "acme"], false, &["acme"], 0),
    ] {
        let words: Vec<&str> = ["XADD", "{test:rt}:notices", "*"].iter().chain(fields).copied().collect();
        server.ask::<String>(&words);
        let page = store.notices(&stamp(1), Some(&place)).await.unwrap();
        let expected = (false, true, everybody, tenants.to_vec(), not_understood);
        let shown: Vec<&str> = fields.iter().map(|field| &field[..field.len().min(30)]).collect();
        assert_eq!(says(&page), expected, "{shown:?}");
        place = page.place;
    }
    // not even a stream
    server.ask::<u64>(&["DEL", "{test:rt}:notices"]);
    server.ask::<()>(&["SET", "{test:rt}:notices", "x"]);
    assert!(matches!(store.notices(&stamp(1), Some(&place)).await, Err(StoreError::Content { .. })));
    assert!(store.notify(&[notice(1, "acme")]).await.is_err());
    server.ask::<u64>(&["DEL", "{test:rt}:notices"]);
    assert_eq!(says(&store.notices(&stamp(1), Some(&place)).await.unwrap()), GAP);
}

#[test]
fn what_is_no_place_is_not_sent_back() {
    for (run, id) in [("", ""), ("", "1"), ("", "a-b"), ("", "1-2-3"), ("", "-1"), (&*"x".repeat(65), "1-1")] {
        assert_eq!(Place::of(run, id), None, "{run} {id}");
    }
    assert!(Place::of("abc", "18446744073709551615-0").is_some());
}
