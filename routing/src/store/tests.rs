//! The same promises on every kind of store.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::{
    ack::ACKS_MAX,
    change::{Fleet, Register},
    id::{Region, StampId},
    table::{FORMAT, Scope, Seed},
    version::COUNTER_MAX,
};

mod notices;
mod redis;
mod rule;

/// A redis-server of its own, killed by its handle.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(port: u16) -> Self {
        Self::start_in(port, tempfile::tempdir().unwrap())
    }

    /// Starts it again on what it has saved.
    fn again(mut self) -> Self {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(self.port, folder)
    }

    fn start_in(port: u16, folder: tempfile::TempDir) -> Self {
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs (Debian package redis-server)");
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port, folder }
    }

    pub(crate) fn on_free_port() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // or it would be us who answer
        drop(listener);
        Self::start(port)
    }

    fn store(&self) -> Store {
        Store::open(&format!("redis://127.0.0.1:{}", self.port), "test").unwrap()
    }

    /// What the server says to a command; panics on an error.
    pub(crate) fn ask<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        ::redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fleet() -> Fleet {
    let fleet = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(1), 16).unwrap();
    let id = StampId::parse("synaxis-weu-001").unwrap();
    let endpoint = "https://weu-001.stamp.internal:8443".into();
    let new =
        Register { id: id.clone(), endpoint, weight: 100, dedicated: false, labels: std::collections::BTreeMap::new() };
    fleet.register(new, 1).unwrap().fleet.activate(&id, 0, 1).unwrap().fleet
}

fn at(version: Version) -> Bundle {
    let mut fleet = fleet();
    (fleet.table.term, fleet.table.epoch) = (version.term, version.epoch);
    Bundle::encode(&fleet.table, &fleet.tenants, &format!("write-{version}")).unwrap()
}

fn entry(version: Version) -> LogEntry {
    LogEntry { at: 0, who: "test".into(), what: format!("to {version}"), why: String::new(), version }
}

fn ack(applied: Version) -> Ack {
    Ack {
        proxy: "p1".into(),
        stamp: StampId::parse("synaxis-weu-001").unwrap(),
        build: "test".into(),
        format: FORMAT,
        applied,
        digest: String::new(),
        connections: 3,
        in_flight: 1,
        requests_per_second: 2.5,
        admin: "127.0.0.1:1".into(),
        peer: None,
        at: 0,
    }
}

async fn put(store: &Store, over: Option<Version>, version: Version, mode: Mode) -> Result<Published, PublishError> {
    let expected = over.map(|over| at(over).head);
    store.publish(expected.as_ref(), &at(version), &entry(version), mode).await
}

/// The whole contract, on one empty store.
async fn keeps_the_contract(store: &Store) {
    let v = Version::new;
    assert!(store.glance().await.unwrap().head.is_none());
    assert!(matches!(put(store, None, v(1, 1), Mode::Ordinary).await, Err(PublishError::NeedsInit)));
    put(store, None, v(1, 1), Mode::Init).await.unwrap();
    put(store, None, v(1, 1), Mode::Init).await.expect("a lost reply is recognised");
    assert!(matches!(put(store, None, v(1, 2), Mode::Init).await, Err(PublishError::Lost)));
    assert!(matches!(put(store, Some(v(1, 9)), v(1, 10), Mode::Ordinary).await, Err(PublishError::Lost)));
    assert!(put(store, Some(v(1, 1)), v(1, 1), Mode::Ordinary).await.is_ok());
    assert!(matches!(put(store, Some(v(1, 1)), v(2, 2), Mode::Ordinary).await, Err(PublishError::Version { .. })));
    put(store, Some(v(1, 1)), v(1, 2), Mode::Ordinary).await.expect("nobody has acked, so nobody need confirm");

    let glance = store.glance().await.unwrap();
    let head = Head::parse(glance.head.as_ref().unwrap()).unwrap();
    let fetched = store.fetch(&head, glance.head.as_ref().unwrap(), None).await.unwrap();
    assert_eq!(fetched.decode().unwrap().head.version(), v(1, 2));
    assert!(glance.now.unwrap() > 1_700_000_000_000);

    store.ack(&ack(v(1, 1))).await.unwrap();
    assert!(matches!(put(store, Some(v(1, 2)), v(1, 3), Mode::Ordinary).await, Err(PublishError::Unconfirmed { .. })));
    put(store, Some(v(1, 2)), v(1, 3), Mode::NoProxies).await.unwrap();
    store.ack(&ack(v(1, 3))).await.unwrap();
    put(store, Some(v(1, 3)), v(1, 4), Mode::Ordinary).await.expect("a live proxy confirms");
    let acks = store.acks().await.unwrap();
    assert_eq!((acks.len(), acks[0].applied), (1, v(1, 3)));
    assert!(acks[0].is_live(store.glance().await.unwrap().now.unwrap()), "the store sets the time");

    store.ack(&ack(v(1, 9))).await.unwrap();
    store.ack(&Ack { proxy: "p2".into(), ..ack(v(1, 2)) }).await.unwrap();
    assert_eq!(store.glance().await.unwrap().acked, v(1, 9), "acked never falls");
    assert!(matches!(put(store, Some(v(1, 4)), v(1, 10), Mode::NoProxies).await, Err(PublishError::Behind { .. })));
    assert!(matches!(put(store, Some(v(1, 4)), v(1, 9), Mode::Recover).await, Err(PublishError::Version { .. })));
    put(store, Some(v(1, 4)), v(2, 10), Mode::Recover).await.unwrap();

    assert_eq!(store.at_epoch(4).await.unwrap().unwrap().decode().unwrap().table.epoch, 4);
    assert!(store.at_epoch(77).await.unwrap().is_none());
    let history = store.history(2).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.version).collect::<Vec<_>>(), [v(2, 10), v(1, 4)]);
    assert!(history[0].at > 1_700_000_000_000);

    let old = Ack { format: 0, ..ack(v(2, 10)) };
    store.ack(&old).await.unwrap();
    assert!(matches!(put(store, Some(v(2, 10)), v(2, 11), Mode::Ordinary).await, Err(PublishError::NeedsNewer { .. })));
    store.ack(&ack(v(2, 10))).await.unwrap();
    let mut over = v(2, 10);
    for epoch in 11..60 {
        put(store, Some(over), v(2, epoch), Mode::NoProxies).await.unwrap();
        over = v(2, epoch);
    }
    assert!(store.at_epoch(59 - EPOCHS_KEPT).await.unwrap().is_none(), "old tables leave");
    assert!(store.at_epoch(60 - EPOCHS_KEPT).await.unwrap().is_some());
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(&Store::open("memory:", "test").unwrap()).await;
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(&Store::open(&format!("file:{}", folder.path().join("new").display()), "test").unwrap()).await;
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    let server = Server::on_free_port();
    keeps_the_contract(&server.store()).await;
}

#[tokio::test]
async fn every_store_hints_at_a_publication() {
    let server = Server::on_free_port();
    let folder = tempfile::tempdir().unwrap();
    let file = Store::open(&format!("file:{}", folder.path().display()), "test").unwrap();
    for store in [Store::open("memory:", "test").unwrap(), file, server.store()] {
        let mut hints = store.hints();
        if matches!(store, Store::Redis(_)) {
            assert_eq!(hints.next().await, Hint::Reconnected);
        }
        put(&store, None, Version::new(1, 1), Mode::Init).await.unwrap();
        let hint = tokio::time::timeout(Duration::from_secs(5), hints.next()).await;
        assert_eq!(hint.unwrap(), Hint::Changed, "{store:?}");
    }
}

#[tokio::test]
async fn a_hung_or_dead_redis_costs_a_bounded_wait_and_comes_back() {
    let server = Server::on_free_port();
    let (store, port) = (server.store(), server.port);
    put(&store, None, Version::new(1, 1), Mode::Init).await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    assert!(matches!(store.glance().await, Err(StoreError::Away { .. })));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    server.signal("-CONT");
    assert!(store.glance().await.unwrap().head.is_some());
    drop(server);
    assert!(matches!(store.glance().await, Err(StoreError::Away { .. })));
    let _server = Server::start(port);
    assert!(store.glance().await.unwrap().head.is_none(), "the same store finds the new server");
}

#[tokio::test]
async fn what_redis_holds_is_hostile() {
    let server = Server::on_free_port();
    let store = server.store();
    put(&store, None, Version::new(1, 1), Mode::Init).await.unwrap();
    let glance = store.glance().await.unwrap();
    let head = Head::parse(glance.head.as_ref().unwrap()).unwrap();
    let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let mut run = async |words: &[&str]| {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async::<()>(&mut raw).await.unwrap();
    };
    let fetch = async || store.fetch(&head, glance.head.as_ref().unwrap(), None).await;
    run(&["SET", "{test:rt}:table:1", &"x".repeat(crate::bundle::TABLE_BYTES_MAX + 1)]).await;
    assert!(matches!(fetch().await, Err(StoreError::Content { .. })), "too large");
    run(&["DEL", "{test:rt}:table:1"]).await;
    assert!(matches!(fetch().await, Err(StoreError::Content { .. })), "missing");
    run(&["HSET", "{test:rt}:table:1", "a", "b"]).await;
    assert!(matches!(fetch().await, Err(StoreError::Content { .. })), "another type");
    run(&["SET", "{test:rt}:acked", "garbage"]).await;
    assert_eq!(store.glance().await.unwrap().acked, Version::default());
    run(&["HSET", "{test:rt}:acks", "evil", "not json"]).await;
    assert!(store.acks().await.unwrap().is_empty());
    run(&["SET", "{test:rt}:head", "not json"]).await;
    let seen = store.glance().await.unwrap().head;
    let (version, mode) = (Version::new(2, 2), Mode::Recover);
    store
        .publish(seen.as_ref(), &at(version), &entry(version), mode)
        .await
        .expect("recover goes over whatever is there");
}

#[test]
fn a_url_with_a_password_is_never_repeated() {
    for url in ["redis://:s3cret@127.0.0.1:x/0", "redi://:s3cret@h", "s3cret", "file:", "http://s3cret"] {
        let error = Store::open(url, "p").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
    let store = Store::open("redis://user:s3cret@127.0.0.1:6379/0", "p").unwrap();
    assert!(!format!("{store:?}").contains("s3cret"));
}
