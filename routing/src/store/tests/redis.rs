//! What a real Redis does to its clients: it hangs, dies, lags, lies, is read-only, and comes back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net,
};

use super::*;

const FIRST: Version = Version::new(1, 1);

/// A relay in front of a server. Once `cut` is set, the next reply is swallowed and its connection closed.
async fn relay(to: u16, cut: Arc<AtomicBool>) -> u16 {
    let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let cut = Arc::clone(&cut);
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 65_536];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    if cut.swap(false, Ordering::SeqCst) || to_client.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    port
}

#[tokio::test]
async fn a_publication_whose_reply_is_lost_counts_once() {
    let server = Server::on_free_port();
    let cut = Arc::new(AtomicBool::new(false));
    let port = relay(server.port, Arc::clone(&cut)).await;
    let store = Store::open(&format!("redis://127.0.0.1:{port}"), "test").unwrap();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.expect("the head is already ours");
    assert!(!cut.load(Ordering::SeqCst), "a reply was swallowed");
    put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.expect("and again");
    assert_eq!(store.history(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_subscription_that_is_polled_in_a_select_comes_back_after_an_outage() {
    let server = Server::on_free_port();
    let (store, port) = (server.store(), server.port);
    let mut hints = store.hints();
    assert_eq!(hints.next().await, Hint::Reconnected);
    drop(server);
    // the watcher's loop: whatever comes first, a hint or the next poll
    let mut ticks = async |span: Duration| {
        let end = Instant::now() + span;
        while Instant::now() < end {
            tokio::select! {
                hint = hints.next() => return Some(hint),
                () = tokio::time::sleep(Duration::from_millis(40)) => {}
            }
        }
        None
    };
    assert_eq!(ticks(Duration::from_millis(900)).await, None);
    let _server = Server::start(port);
    assert_eq!(ticks(Duration::from_secs(6)).await, Some(Hint::Reconnected));
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    assert_eq!(ticks(Duration::from_secs(2)).await, Some(Hint::Changed));
}

#[tokio::test]
async fn many_callers_of_a_hung_server_wait_no_longer_than_one() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    for _ in 0..2 {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let store = store.clone();
            callers.spawn(async move { store.glance().await });
        }
        assert!(callers.join_all().await.iter().all(Result::is_err));
    }
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    let outcome = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await;
    assert!(matches!(outcome, Err(PublishError::Store(StoreError::Away { .. }))), "{outcome:?}");
    server.signal("-CONT");
    put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.unwrap();
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    server.ask::<()>(&["CLIENT", "PAUSE", "900", "ALL"]);
    assert!(store.glance().await.expect("two seconds are allowed").head.is_some());
}

#[tokio::test]
async fn a_server_of_the_wrong_role_is_away_and_the_message_says_why() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let outcome = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await;
    let Err(PublishError::Store(StoreError::Away { why, .. })) = &outcome else { panic!("{outcome:?}") };
    assert!(why.to_lowercase().contains("read"), "{why}");
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_does_not_confirm_is_a_warning_and_a_missing_one_is_not() {
    let (server, replica) = (Server::on_free_port(), Server::on_free_port());
    let store = server.store();
    let published = put(&store, None, FIRST, Mode::Init).await.unwrap();
    assert_eq!(published.warning, None);
    server.ask::<()>(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    let end = Instant::now() + Duration::from_secs(10);
    while !replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up") {
        assert!(Instant::now() < end, "the replica does not connect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let published = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.unwrap();
    assert_eq!(published.warning, None);
    replica.signal("-STOP");
    let began = Instant::now();
    let published = put(&store, Some(FIRST.next()), FIRST.next().next(), Mode::Ordinary).await.unwrap();
    assert!(published.warning.is_some_and(|warning| warning.contains("replica")));
    assert!(began.elapsed() > Duration::from_millis(900), "it was given its second: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_key_of_another_type_is_named_with_its_cure() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    store.ack(&ack(FIRST)).await.unwrap();
    for key in ["acked", "head", "acks"] {
        let key = format!("{{test:rt}}:{key}");
        server.ask::<()>(&["RENAME", &key, "aside"]);
        server.ask::<()>(&["RPUSH", &key, "a list"]);
        let outcome = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await;
        let Err(PublishError::Store(StoreError::Content { why, .. })) = &outcome else { panic!("{key}: {outcome:?}") };
        assert!(why.contains("WRONGTYPE") && why.contains("{test:rt}"), "{why}");
        server.ask::<()>(&["DEL", &key]);
        server.ask::<()>(&["RENAME", "aside", &key]);
    }
    assert_eq!(store.glance().await.unwrap().head, Some(at(FIRST).head), "nothing was written");
    server.ask::<()>(&["DEL", "{test:rt}:log"]);
    server.ask::<()>(&["SET", "{test:rt}:log", "no stream"]);
    let published = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.unwrap();
    assert!(published.warning.is_some_and(|warning| warning.contains("history")), "published, but not logged");
}

#[tokio::test]
async fn versions_beyond_counting_do_not_stop_a_recovery() {
    let vast = "9007199254740993";
    let heads = [
        format!("{{\"term\":{vast},\"epoch\":1}}"),
        "{\"term\":1e300,\"epoch\":1}".into(),
        "{\"term\":\"7\",\"epoch\":[]}".into(),
        "{\"term\":-1,\"epoch\":0.5}".into(),
        "[[[".into(),
        "x".repeat(1 << 20),
    ];
    let server = Server::on_free_port();
    let store = server.store();
    for head in heads {
        server.ask::<()>(&["FLUSHALL"]);
        server.ask::<()>(&["SET", "{test:rt}:head", &head]);
        server.ask::<()>(&["SET", "{test:rt}:acked", &format!("{vast}.{vast}")]);
        let glance = store.glance().await.unwrap();
        assert_eq!(glance.acked, Version::default());
        for mode in [Mode::Ordinary, Mode::Init] {
            let outcome = store.publish(glance.head.as_ref(), &at(FIRST), &entry(FIRST), mode).await;
            assert!(
                matches!(outcome, Err(PublishError::Version { .. } | PublishError::Lost)),
                "{head:.40} {outcome:?}"
            );
        }
        store.publish(glance.head.as_ref(), &at(FIRST), &entry(FIRST), Mode::Recover).await.unwrap();
        store.ack(&ack(FIRST)).await.unwrap();
        assert_eq!(store.glance().await.unwrap().acked, FIRST, "an ack puts it right");
    }
}

#[tokio::test]
async fn acks_that_make_no_sense_are_skipped_and_do_not_confirm() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, FIRST, Mode::Init).await.unwrap();
    let now = store.glance().await.unwrap().now.unwrap();
    for (index, value) in [
        "garbage".to_owned(),
        "null".into(),
        "[1]".into(),
        "{\"applied\":null,\"at\":1}".into(),
        format!("{{\"applied\":{{\"term\":1e300,\"epoch\":1}},\"format\":1,\"at\":{now}}}"),
        format!("{{\"applied\":7,\"format\":1,\"at\":{now}}}"),
    ]
    .iter()
    .enumerate()
    {
        server.ask::<()>(&["HSET", "{test:rt}:acks", &format!("evil{index}"), value]);
    }
    assert!(store.acks().await.unwrap().is_empty());
    let outcome = put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await;
    assert!(matches!(outcome, Err(PublishError::Unconfirmed { .. })), "{outcome:?}");
    store.ack(&ack(FIRST)).await.unwrap();
    put(&store, Some(FIRST), FIRST.next(), Mode::Ordinary).await.unwrap();
    assert_eq!(store.acks().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_house_of_dead_proxies_makes_room_for_a_live_one() {
    let server = Server::on_free_port();
    let store = server.store();
    let fill = |at: u64| {
        let script = "for i = 1, tonumber(ARGV[1]) do redis.call('HSET', KEYS[1], 'p' .. i, ARGV[2]) end";
        let value = format!("{{\"applied\":{{\"term\":1,\"epoch\":1}},\"format\":1,\"at\":{at}}}");
        server.ask::<()>(&["EVAL", script, "1", "{test:rt}:acks", &ACKS_MAX.to_string(), &value]);
    };
    fill(1);
    let new = Ack { proxy: "new".into(), ..ack(FIRST) };
    store.ack(&new).await.unwrap();
    let acks = store.acks().await.unwrap();
    assert_eq!(acks.iter().map(|ack| ack.proxy.as_str()).collect::<Vec<_>>(), ["new"]);
    server.ask::<()>(&["DEL", "{test:rt}:acks"]);
    fill(store.glance().await.unwrap().now.unwrap());
    assert!(store.ack(&new).await.is_err(), "it is not dropped in silence");
    server.ask::<()>(&["HSET", "{test:rt}:acks", "one", "more"]);
    assert!(matches!(store.acks().await, Err(StoreError::Content { .. })));
}

#[tokio::test]
async fn tls_without_a_provider_is_an_error_and_no_panic() {
    let server = Server::on_free_port();
    let url = format!("rediss://user:s3cret@127.0.0.1:{}", server.port);
    let error = match Store::open(&url, "test") {
        Ok(store) => store.glance().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_repeating_it() {
    let server = Server::on_free_port();
    server.ask::<()>(&["CONFIG", "SET", "requirepass", "right"]);
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port);
    let error = Store::open(&url("s3cret"), "test").unwrap().glance().await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    assert!(Store::open(&url("right"), "test").unwrap().glance().await.is_ok());
}
