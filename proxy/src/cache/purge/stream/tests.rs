//! Several processes and a real Redis: it restarts, forgets, hangs, is trimmed and is restored.

use std::ops::Deref;

use redis::Client;
use synaxis_routing::purge::Scope;
use tokio::task::JoinHandle;

use super::*;
use crate::cache::purge::{
    Kind, Limits, Verdict,
    tests::{Cached, key, tag, tenant},
};
use crate::cache::redis_server::Server;

mod losses;
mod relay;
mod wait;

use relay::Relay;

/// What one process knows, its reader running.
struct Process {
    stream: Arc<Stream>,
    task: JoinHandle<()>,
}

impl Deref for Process {
    type Target = Purges;

    fn deref(&self) -> &Purges {
        &self.stream.purges
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    fn start(port: u16, name: &str) -> Self {
        Self::of(store(port, 100_000), name)
    }

    fn of(store: PurgeStore, name: &str) -> Self {
        let purges = Arc::new(Purges::new(Limits::default(), Instant::now()));
        let stream = Arc::new(Stream::new(purges, store, name.to_owned()));
        let running = Arc::clone(&stream);
        Self { task: tokio::spawn(async move { running.run().await }), stream }
    }

    fn is_cut_off(&self) -> bool {
        self.stream.purges.is_cut_off(Instant::now())
    }

    fn said(&self, cached: &Cached, began: PurgeId) -> Verdict {
        self.verdict(&cached.subject(), began)
    }

    /// Up to date, and everything from before is over.
    async fn ready(&self) {
        eventually("the stream is read", async || !self.is_cut_off()).await;
    }

    async fn passes(&self, id: PurgeId) {
        eventually("it is read", async || self.last() >= id).await;
    }
}

fn store(port: u16, stream_max: u64) -> PurgeStore {
    let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    PurgeStore::new(client, "test", stream_max).unwrap()
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !check().await {
        assert!(Instant::now() < end, "not within 15 s: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn cached() -> Cached {
    Cached::of("acme", "a", "/x", &["lead"])
}

fn count(of: &std::sync::atomic::AtomicU64) -> u64 {
    of.load(Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_purges_is_out_of_use_in_all() {
    let server = Server::start();
    let (one, other) = (Process::start(server.port, "one"), Process::start(server.port, "other"));
    one.ready().await;
    other.ready().await;
    let scopes = [
        key("acme", "a", "/x"),
        Scope::Prefix { tenant: tenant("acme"), authority: None, path: "/".into() },
        Scope::Tag { tenant: tenant("acme"), tag: tag("lead") },
        Scope::Tenant(tenant("acme")),
        Scope::Class("metadata".into()),
        Scope::All,
    ];
    for scope in scopes {
        for kind in [Kind::Soft, Kind::Hard] {
            let began = [one.last(), other.last()];
            let id = store(server.port, 100).purge(&Purge { scope: scope.clone(), kind }).await.unwrap();
            for (process, began) in [&one, &other].into_iter().zip(began) {
                process.passes(id).await;
                let expected = if kind == Kind::Hard { Verdict::Hard } else { Verdict::Soft };
                assert_eq!(process.said(&cached(), began), expected, "{scope:?}");
                assert_eq!(process.said(&cached(), process.last()), Verdict::Valid, "{scope:?}");
            }
        }
    }
    assert_eq!(count(&one.counts().gaps) + count(&one.counts().restarts), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_counts_here_at_once_and_elsewhere_soon() {
    let server = Server::start();
    let (one, other) = (Process::start(server.port, "one"), Process::start(server.port, "other"));
    one.ready().await;
    other.ready().await;
    let (began_here, began_there) = (one.last(), other.last());
    one.mark_key(&tenant("acme"), "a", "/x");
    assert_eq!(one.said(&cached(), began_here), Verdict::Hard);
    eventually("the other one hears of it", async || other.said(&cached(), began_there) == Verdict::Hard).await;
    eventually("it can be cached again", async || one.said(&cached(), one.last()) == Verdict::Valid).await;
    assert_eq!(one.said(&cached(), began_here), Verdict::Hard);
    assert_eq!(one.held().awaited_bytes, 0);
    assert_eq!(count(&one.counts().appended), 1);
    // and of a whole tenant
    let (began_here, began_there) = (one.last(), other.last());
    one.mark_tenant(&tenant("acme"));
    assert_eq!(one.said(&cached(), began_here), Verdict::Hard);
    eventually("the other one hears of it", async || other.said(&cached(), began_there) == Verdict::Hard).await;
    eventually("it can be cached again", async || one.said(&cached(), one.last()) == Verdict::Valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_purges_are_read_by_all_and_readers_of_verdicts_do_not_wait() {
    let server = Server::start();
    let (one, other) = (Process::start(server.port, "one"), Process::start(server.port, "other"));
    one.ready().await;
    other.ready().await;
    let began = [one.last(), other.last()];
    let store = store(server.port, 100_000);
    let writing = tokio::spawn(async move {
        let mut link = store.connect().await.unwrap();
        let (started, mut last) = (Instant::now(), None);
        for batch in 0..100 {
            let purge = |number| Purge::hard(key("acme", "a", &format!("/{}", batch * 100 + number)));
            let purges: Vec<Purge> = (0..100).map(purge).collect();
            last = link.append(&purges).await.unwrap().pop();
            sleep((started + Duration::from_millis(10 * (batch + 1))).saturating_duration_since(Instant::now())).await;
        }
        (last.unwrap(), started.elapsed())
    });
    let mut looks = Vec::new();
    let untouched = Cached::of("acme", "a", "/untouched", &["lead"]);
    while !writing.is_finished() {
        let before = Instant::now();
        let verdict = one.said(&untouched, began[0]);
        looks.push(before.elapsed());
        assert_eq!(verdict, Verdict::Valid);
        tokio::task::yield_now().await;
    }
    let (last, took) = writing.await.unwrap();
    for (process, began) in [&one, &other].into_iter().zip(began) {
        process.passes(last).await;
        for number in [0, 1, 4_999, 9_999] {
            let purged = Cached::of("acme", "a", &format!("/{number}"), &[]);
            assert_eq!(process.said(&purged, began), Verdict::Hard);
        }
        assert_eq!(process.held().marks, 10_000);
        assert_eq!(count(&process.counts().gaps) + count(&process.counts().restarts), 0);
    }
    looks.sort_unstable();
    let p99 = looks[looks.len() * 99 / 100];
    println!("10,000 purges in {took:?}; {} verdicts meanwhile, p99 {p99:?}", looks.len());
    assert!(p99 < Duration::from_millis(5), "{p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_seen_within_a_tenth_of_a_second() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let (mut link, mut took) = (store(server.port, 100_000).connect().await.unwrap(), Vec::new());
    for number in 0..500 {
        let cached = Cached::of("acme", "a", &format!("/{number}"), &[]);
        let (began, before) = (process.last(), Instant::now());
        link.append(&[Purge::hard(key("acme", "a", &cached.path))]).await.unwrap();
        while process.said(&cached, began) == Verdict::Valid {
            tokio::task::yield_now().await;
            assert!(before.elapsed() < Duration::from_secs(5));
        }
        took.push(before.elapsed());
        sleep(Duration::from_millis(number % 7)).await;
    }
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    println!("purge to not served: p50 {:?}, p99 {p99:?}, max {:?}", took[took.len() / 2], took[took.len() - 1]);
    assert!(p99 <= Duration::from_millis(100), "{p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_message_purges_a_tag_of_its_tenant() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let other = Cached::of("other", "a", "/x", &["lead"]);
    let began = process.last();
    let hostile: [&[u8]; 9] = [
        b"",
        b"lead",
        b"[\"acme\",\"lead\"]",
        b"{\"tenant\":\"acme\"}",
        b"{\"tenant\":\"a b\",\"object\":\"lead\"}",
        b"{\"tenant\":\"acme\",\"object\":\"le ad\"}",
        b"{\"tenant\":\"acme\",\"object\":7}",
        b"\xff\xfe{\"tenant\":\"acme\",\"object\":\"lead\"}",
        &[b'['; 100_000],
    ];
    // the subscription may still be on its way
    eventually("somebody listens", async || server.ask::<u64>(&["PUBLISH", "invalidation", "?"]) == 1).await;
    for message in hostile {
        assert_eq!(server.send::<u64>(redis::cmd("PUBLISH").arg("invalidation").arg(message)), 1);
    }
    eventually("all are refused", async || count(&process.counts().messages_refused) == 10).await;
    assert_eq!(count(&process.counts().marks), 0);
    server.ask::<u64>(&["PUBLISH", "invalidation", r#"{"tenant":"acme","object":"lead","at":17}"#]);
    eventually("it is purged", async || process.said(&cached(), began) == Verdict::Hard).await;
    assert_eq!(process.said(&other, began), Verdict::Valid);
    eventually("it is in the stream", async || process.said(&cached(), process.last()) == Verdict::Valid).await;
    assert_eq!(process.said(&cached(), began), Verdict::Hard);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_not_understood_purges_more() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let other = Cached::of("other", "a", "/x", &[]);
    let began = process.last();
    server.ask::<String>(&["XADD", "{test:cache}:purges", "*", "scope", "colour", "tenant", "acme", "shade", "red"]);
    eventually("it is read", async || count(&process.counts().not_understood) == 1).await;
    eventually("it counts", async || process.said(&cached(), began) == Verdict::Hard).await;
    assert_eq!(process.said(&other, began), Verdict::Valid);
    server.ask::<String>(&["XADD", "{test:cache}:purges", "*", "x", "y"]);
    eventually("it counts", async || process.said(&other, began) == Verdict::Hard).await;
    assert!(!process.is_cut_off());
}

#[test]
fn the_readers_judgement() {
    let id = PurgeId::from_bits;
    let ends = |is_anchored, first, newest| Ends { is_anchored, first: Some(id(first)), newest: Some(id(newest)) };
    let empty = Ends::default();
    for (last, is_same_run, ends, expected) in [
        (None, true, empty, Next::Anew),
        (Some(id(5)), true, empty, Next::Anew),
        (None, true, ends(false, 3, 9), Next::From(id(3))),
        (None, false, ends(false, 3, 9), Next::Anew),
        (Some(id(5)), true, ends(true, 3, 9), Next::Continue),
        (Some(id(9)), true, ends(true, 3, 9), Next::Continue),
        (Some(id(5)), false, ends(true, 3, 9), Next::Anew),
        (Some(id(2)), true, ends(false, 3, 9), Next::From(id(3))),
        (Some(id(5)), true, ends(false, 3, 9), Next::Anew),
        (Some(id(10)), true, ends(false, 3, 9), Next::Anew),
    ] {
        assert_eq!(judge(last, is_same_run, &ends), expected, "{last:?} {is_same_run} {ends:?}");
    }
}
