//! Nothing that a purge covers is valid after any loss; after it, caching goes on.

use synaxis_routing::purge::FIELDS;

use super::*;

/// A purge that this process has missed, and one that it has read, cover nothing from before the loss any more, because
/// everything from before it is purged; what is fetched now is valid.
async fn is_over(process: &Process, before: PurgeId) {
    let untouched = Cached::of("untouched", "a", "/x", &[]);
    eventually("everything is purged", async || process.said(&untouched, before) == Verdict::Hard).await;
    eventually("it goes on", async || !process.is_cut_off()).await;
    assert!(process.last() > before, "ids go on above what they were");
    assert_eq!(process.said(&untouched, process.last()), Verdict::Valid);
    // and new purges are read
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/later"))).await.unwrap();
    assert!(id > before);
    process.passes(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_replays_what_was_missed() {
    let server = Server::start();
    let relay = Relay::to(server.port).await;
    let process = Process::start(relay.port, "one");
    process.ready().await;
    let (began, untouched) = (process.last(), Cached::of("acme", "a", "/untouched", &[]));
    relay.close().await;
    store(server.port, 100_000).purge(&Purge::hard(key("acme", "a", "/x"))).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(process.said(&cached(), began), Verdict::Valid, "it cannot know");
    relay.open();
    eventually("it is replayed", async || process.said(&cached(), began) == Verdict::Hard).await;
    assert_eq!(process.said(&untouched, began), Verdict::Valid, "and nothing else is purged");
    assert_eq!(count(&process.counts().gaps) + count(&process.counts().restarts), 0);
    assert!(count(&process.counts().connections) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_trimmed_beyond_us_is_a_hole() {
    let server = Server::start();
    let relay = Relay::to(server.port).await;
    let process = Process::start(relay.port, "one");
    process.ready().await;
    let began = process.last();
    relay.close().await;
    let writer = store(server.port, 100);
    let mut link = writer.connect().await.unwrap();
    link.append(&[Purge::hard(key("acme", "a", "/x"))]).await.unwrap();
    let later: Vec<Purge> = (0..500).map(|number| Purge::hard(key("acme", "a", &format!("/{number}")))).collect();
    let ids = link.append(&later).await.unwrap();
    relay.open();
    process.passes(ids[499]).await;
    assert_eq!(count(&process.counts().gaps), 1);
    assert_eq!(process.said(&cached(), began), Verdict::Hard, "a purge that nobody can read any more covers it");
    let (floor, untouched) = (process.floor(), Cached::of("acme", "a", "/untouched", &[]));
    assert!(floor > ids[0] && floor <= ids[499], "from where it was read without a hole: {floor}");
    assert_eq!(process.said(&untouched, floor), Verdict::Valid);
    is_over(&process, began).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_lost_everything_purges_everything() {
    let mut server = Server::start();
    let (one, other) = (Process::start(server.port, "one"), Process::start(server.port, "other"));
    one.ready().await;
    other.ready().await;
    let id = one.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    one.passes(id).await;
    other.passes(id).await;
    server.kill();
    sleep(Duration::from_millis(100)).await;
    server.again();
    is_over(&one, id).await;
    is_over(&other, id).await;
    assert!(count(&one.counts().restarts) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_kept_the_stream_purges_everything_too() {
    let mut server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    server.ask::<String>(&["SAVE"]);
    // this one is lost, and so may others be that nobody knows of
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    process.passes(id).await;
    server.kill();
    server.again();
    assert_eq!(server.ask::<u64>(&["XLEN", "{test:cache}:purges"]), 1, "the older part is there");
    is_over(&process, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_after_a_restart_trusts_nothing_from_before() {
    let mut server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let first = process.last();
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    process.passes(id).await;
    drop(process);
    let second = Process::start(server.port, "two");
    second.ready().await;
    assert_eq!((second.floor(), second.last()), (first, id), "it reads what is there, and trusts it");
    drop(second);
    server.ask::<String>(&["SAVE"]);
    server.kill();
    server.again();
    let third = Process::start(server.port, "three");
    is_over(&third, id).await;
    assert!(third.floor() > id);
}

#[tokio::test(flavor = "multi_thread")]
async fn flushall_purges_everything_in_a_process_that_was_connected_all_the_time() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    process.passes(id).await;
    server.ask::<()>(&["FLUSHALL"]);
    is_over(&process, id).await;
    assert_eq!(count(&process.counts().connections), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_above_what_they_were_when_the_clock_of_the_store_goes_back() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    // ten years ahead
    let ahead = PurgeId::new(process.last().millis() + 10 * 365 * 86_400_000, 7).unwrap();
    let mut xadd = redis::cmd("XADD");
    xadd.arg("{test:cache}:purges").arg(ahead.to_string());
    xadd.arg(&["kind", "hard", "scope", "tenant", "tenant", "acme", "authority", "", "value", ""]);
    server.send::<String>(&xadd);
    process.passes(ahead).await;
    server.ask::<()>(&["FLUSHALL"]);
    is_over(&process, ahead).await;
}

/// `later`: another purge follows before this process looks, so that the newest id has not gone back.
async fn restored(later: bool) {
    let server = Server::start();
    let relay = Relay::to(server.port).await;
    let process = Process::start(relay.port, "one");
    process.ready().await;
    let dump: Vec<u8> = server.send(redis::cmd("DUMP").arg("{test:cache}:purges"));
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    process.passes(id).await;
    // ids of one millisecond would be the same again
    sleep(Duration::from_millis(5)).await;
    relay.close().await;
    let restore = redis::cmd("RESTORE").arg("{test:cache}:purges").arg(0).arg(dump).arg("REPLACE").clone();
    server.send::<()>(&restore);
    if later {
        store(server.port, 100).purge(&Purge::hard(key("acme", "a", "/z"))).await.unwrap();
    }
    relay.open();
    is_over(&process, id).await;
    assert_eq!(count(&process.counts().restarts), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_stream_that_was_restored_purges_everything() {
    restored(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_stream_that_was_restored_and_has_grown_since_purges_everything() {
    restored(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_before_a_hole_was_noticed_does_not_hide_it() {
    let server = Server::start();
    let relay = Relay::to(server.port).await;
    let process = Process::start(relay.port, "one");
    process.ready().await;
    let dump: Vec<u8> = server.send(redis::cmd("DUMP").arg("{test:cache}:purges"));
    let id = process.stream.store.purge(&Purge::hard(key("acme", "a", "/y"))).await.unwrap();
    process.passes(id).await;
    // ids of one millisecond would be the same again
    sleep(Duration::from_millis(5)).await;
    relay.ends_after(b"/last-words");
    let later = Purge::hard(key("acme", "a", "/last-words"));
    let mut pipe = redis::pipe();
    pipe.atomic().cmd("RESTORE").arg("{test:cache}:purges").arg(0).arg(dump).arg("REPLACE");
    pipe.cmd("XADD").arg("{test:cache}:purges").arg("*");
    FIELDS.iter().zip(later.values().unwrap()).for_each(|(name, value)| {
        pipe.arg(name).arg(value);
    });
    let client = Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let () = pipe.query(&mut client.get_connection().unwrap()).unwrap();
    is_over(&process, id).await;
    assert!(count(&process.counts().connections) >= 2, "it was cut off in between");
    assert!(count(&process.counts().restarts) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_store_cuts_off_after_three_seconds_and_loses_nothing() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let began = process.last();
    server.signal("-STOP");
    let stopped = Instant::now();
    eventually("it is cut off", async || process.is_cut_off()).await;
    let took = stopped.elapsed();
    assert!((Duration::from_millis(2_300)..Duration::from_millis(5_000)).contains(&took), "{took:?}");
    process.mark_key(&tenant("acme"), "a", "/x");
    assert_eq!(process.said(&cached(), began), Verdict::Hard);
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(process.said(&cached(), process.last()), Verdict::Hard, "the stream has not got it");
    server.signal("-CONT");
    process.ready().await;
    eventually("the stream has it", async || process.said(&cached(), process.last()) == Verdict::Valid).await;
    assert_eq!(process.said(&cached(), began), Verdict::Hard);
    assert_eq!(process.said(&Cached::of("acme", "a", "/untouched", &[]), began), Verdict::Valid);
    assert_eq!(count(&process.counts().gaps) + count(&process.counts().restarts), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_read_cuts_off_and_one_that_can_again_is_read() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let began = process.last();
    for unreadable in [
        &["SET", "{test:cache}:purges", "no stream"][..],
        &["XADD", "{test:cache}:purges", "18446744073709551000-0", "kind", "hard"][..],
    ] {
        server.ask::<u64>(&["DEL", "{test:cache}:purges"]);
        server.ask::<()>(unreadable);
        eventually("it is cut off", async || process.is_cut_off()).await;
        server.ask::<u64>(&["DEL", "{test:cache}:purges"]);
        process.ready().await;
    }
    is_over(&process, began).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_there_keeps_a_process_cut_off_and_marks_are_kept() {
    let mut server = Server::start();
    server.kill();
    let process = Process::start(server.port, "one");
    process.mark_key(&tenant("acme"), "a", "/x");
    sleep(Duration::from_millis(300)).await;
    assert!(process.is_cut_off());
    assert_eq!(process.said(&cached(), process.last()), Verdict::Hard);
    assert_eq!(process.said(&Cached::of("other", "a", "/x", &[]), process.last()), Verdict::Valid);
    server.again();
    process.ready().await;
    eventually("the stream has it", async || process.said(&cached(), process.last()) == Verdict::Valid).await;
    assert!(count(&process.counts().append_failures) > 0);
}
