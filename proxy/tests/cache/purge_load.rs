//! Three real processes under load: what was purged or changed none of them gives any more, whatever becomes of their Redis.
//!
//! `SYNAXIS_PURGE_SECONDS=60 cargo test … purge_load -- --nocapture` is the long form (so many seconds for each trouble) and
//! prints its figures.

mod stamp;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use synaxis_routing::purge::{Purge, PurgeId, StoreError};

use self::stamp::{KEYS, PROCESSES, SLOW, Stamp, is_slow, request, scope, version};
use crate::world::{Client, Redis};

/// Other processes hear of a change well within it; some milliseconds are the rule.
const SOON: Duration = Duration::from_secs(2);
/// From when on nothing is used that others may have purged, whatever has become of the store: 3 s and 5 s, and what a busy
/// machine takes for an answer.
const CUT_OFF: Duration = Duration::from_millis(8_500);

/// For how long a trouble lasts.
fn lasts(short: Duration) -> Duration {
    let seconds = env::var("SYNAXIS_PURGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(short, Duration::from_secs)
}

/// Who changes and purges.
struct Writer<'a> {
    stamp: &'a Stamp,
    runtime: tokio::runtime::Runtime,
    connections: Vec<Client>,
    turn: usize,
    /// How long what was changed by an unsafe request may be given by other processes.
    others: Duration,
    /// From the purge, or the answer to the unsafe request, until no process gives the old version.
    lags: Vec<Duration>,
    proofs: usize,
    /// When something was changed last.
    last: Instant,
}

impl<'a> Writer<'a> {
    fn new(stamp: &'a Stamp, others: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self {
            stamp,
            runtime,
            connections: connect(stamp),
            turn: 0,
            others,
            lags: Vec::new(),
            proofs: 0,
            last: Instant::now(),
        }
    }

    /// The next key and process.
    fn next(&mut self) -> (usize, usize) {
        self.last = Instant::now();
        loop {
            self.turn += 1;
            let key = self.turn * 5 % KEYS;
            if !is_slow(key) {
                return (key, self.turn % PROCESSES);
            }
        }
    }

    /// Changes a key through one process, which gives no older version to who asks after its answer.
    fn unsafe_request(&mut self) -> (usize, usize) {
        let (key, process) = self.next();
        let version = self.stamp.post(key, process);
        self.last = Instant::now();
        self.stamp.bind(key, version, self.last, Some(process));
        self.stamp.bind(key, version, self.last + self.others, None);
        (key, version)
    }

    fn write(&self, key: usize) -> Result<PurgeId, StoreError> {
        self.runtime.block_on(self.stamp.store.purge(&Purge::hard(scope(key))))
    }

    /// Whether it is proven; if it is, nothing older is given from now on.
    fn prove(&mut self, id: PurgeId, key: usize, version: usize) -> bool {
        let waited = self.runtime.block_on(self.stamp.store.wait(id, Duration::from_secs(5)));
        let is_proven = matches!(waited, Ok(waited) if waited.is_proven());
        if is_proven {
            self.is_over(key, version);
        }
        is_proven
    }

    /// It is said that nothing older is given from now on.
    fn is_over(&mut self, key: usize, least: usize) {
        self.proofs += 1;
        self.stamp.bind(key, least, Instant::now(), None);
        self.connections.iter_mut().for_each(|connection| connection.send(request("GET", key).as_bytes()));
        for (process, connection) in self.connections.iter_mut().enumerate() {
            let given = version(&connection.answer(false).unwrap());
            assert!(given >= least, "process {process}, key {key}: {given} < {least} although it was proven");
        }
    }

    /// Changes a key, and purges it by the store until it is proven.
    fn proven(&mut self, key: usize) {
        let (version, end) = (self.stamp.change(key), Instant::now() + Duration::from_secs(15));
        self.last = Instant::now();
        while !self.write(key).is_ok_and(|id| self.prove(id, key, version)) {
            assert!(Instant::now() < end, "no proof");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The same while every process fetches what was there before.
    fn race(&mut self) {
        self.turn += 1;
        let key = (0..KEYS).filter(|key| is_slow(*key)).nth(self.turn % (KEYS / 16)).unwrap();
        self.proven(key);
        // all of them ask the app; `is_over` has had the answers to that, and they are purged
        self.write(key).unwrap();
        thread::sleep(SLOW / 2);
        let mut waiting = connect(self.stamp);
        waiting.iter_mut().for_each(|client| client.send(request("GET", key).as_bytes()));
        thread::sleep(SLOW / 8);
        self.proven(key);
        waiting.iter_mut().for_each(|client| assert_eq!(client.answer(false).unwrap().status, 200));
    }

    /// Changes a key, and purges it by the admin listener of one process until that says that all have it.
    fn by_admin(&mut self) {
        let (key, process) = self.next();
        let version = self.stamp.change(key);
        let end = Instant::now() + Duration::from_secs(15);
        while self.stamp.purge_by_admin(key, process)["everywhere"] != true {
            assert!(Instant::now() < end, "no proof");
            thread::sleep(Duration::from_millis(20));
        }
        self.is_over(key, version);
    }

    /// Until every process gives this version.
    fn lag(&mut self, key: usize, version: usize, began: Instant) {
        for connection in &mut self.connections {
            loop {
                let answer = connection.exchange(request("GET", key).as_bytes()).unwrap();
                if answer.text().parse::<usize>().unwrap() >= version {
                    break;
                }
                assert!(began.elapsed() < self.others, "key {key} is not {version} after {:?}", began.elapsed());
            }
        }
        self.lags.push(began.elapsed());
    }

    /// One of each, and how long it took until nothing older was given.
    fn round(&mut self) {
        let (key, _) = self.next();
        let (version, began) = (self.stamp.change(key), Instant::now());
        let id = self.write(key).unwrap();
        self.lag(key, version, began);
        assert!(self.prove(id, key, version), "nothing is wrong, and it is not proven");
        let (key, version) = self.unsafe_request();
        self.lag(key, version, self.last);
        self.by_admin();
        let (key, _) = self.next();
        self.proven(key);
    }

    /// Waits until nothing old is given any more: not later than the bound, after what was changed last. How long that was.
    fn settle(&mut self, bound: Duration) -> Duration {
        // these may have been idle for longer than a proxy keeps them
        self.connections = connect(self.stamp);
        loop {
            let began = self.last.elapsed();
            let outdated = self.stamp.outdated(&mut self.connections);
            if outdated.is_empty() {
                return began;
            }
            assert!(began < bound, "{began:?} after the last change these are old (process, key): {outdated:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything is as it was before the trouble: processes hear each other, and what is purged is proven.
    fn recovers(&mut self) {
        self.connections = connect(self.stamp);
        let (key, version) = self.unsafe_request();
        self.lag(key, version, self.last);
        self.stamp.list();
        self.others = SOON;
        self.round();
    }
}

/// A connection to each process.
fn connect(stamp: &Stamp) -> Vec<Client> {
    (0..PROCESSES).map(|process| stamp.connect(process)).collect()
}

/// Whose connections read the stream at this moment, or listen for messages.
fn readers(stamp: &Stamp) -> Vec<String> {
    let list: String = stamp.tell(&["CLIENT", "LIST"]);
    let reads = |row: &&str| ["cmd=xread", "cmd=subscribe"].iter().any(|cmd| row.contains(cmd));
    list.lines().filter(reads).map(|row| row.split(['=', ' ']).nth(1).unwrap().to_owned()).collect()
}

fn kill(stamp: &Stamp, clients: &[String]) -> usize {
    let killed = clients.iter().map(|id| stamp.tell::<usize>(&["CLIENT", "KILL", "ID", id]));
    killed.sum()
}

fn signal(redis: &Redis, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &redis.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn nothing_older_than_a_purge_is_given_under_load() {
    let stamp = Stamp::start();
    let mut writer = Writer::new(&stamp, SOON);
    let end = Instant::now() + lasts(Duration::from_secs(3));
    while Instant::now() < end {
        (0..3).for_each(|_| writer.round());
        writer.race();
    }
    let took = writer.settle(SOON);
    let (mut lags, proofs) = (std::mem::take(&mut writer.lags), writer.proofs);
    lags.sort_unstable();
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100];
    println!(
        "{} purges, {proofs} proofs; to not given any more: p50 {:?}, p99 {:?}, most {:?}",
        lags.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(lags.len() >= 6 && at(50) < Duration::from_millis(100), "{} purges, p50 {:?}", lags.len(), at(50));
    assert!(took < SOON);
    stamp.end();
}

#[test]
fn nothing_older_than_a_purge_is_given_when_readers_are_cut_off_again_and_again() {
    let stamp = Stamp::start();
    let mut writer = Writer::new(&stamp, CUT_OFF);
    let (end, mut killed) = (Instant::now() + lasts(Duration::from_secs(2)), 0);
    while Instant::now() < end {
        killed += kill(&stamp, &readers(&stamp));
        writer.unsafe_request();
        let (key, _) = writer.next();
        writer.proven(key);
        killed += kill(&stamp, &readers(&stamp));
        writer.by_admin();
    }
    let took = writer.settle(CUT_OFF);
    println!("{killed} connections cut, {} proofs, settled {took:?} after the last change", writer.proofs);
    assert!(killed >= 6, "{killed} connections cut");
    writer.recovers();
    stamp.end();
}

#[test]
fn nothing_older_than_a_purge_is_given_when_the_stream_is_trimmed_before_it_was_read() {
    let stamp = Stamp::start();
    let mut writer = Writer::new(&stamp, CUT_OFF);
    let (end, mut trimmed, mut lost) = (Instant::now() + lasts(Duration::from_secs(2)), 0, 0);
    while Instant::now() < end {
        // what comes while nobody reads is gone before anybody can
        kill(&stamp, &readers(&stamp));
        writer.unsafe_request();
        let (key, _) = writer.next();
        let version = stamp.change(key);
        let id = writer.write(key).unwrap();
        let gone: usize = stamp.tell(&["XTRIM", "{synaxis:cache}:purges", "MAXLEN", "0"]);
        trimmed += gone;
        // with its entry the proof is gone, but the promise is not
        lost += usize::from(!writer.prove(id, key, version));
        stamp.bind(key, version, Instant::now() + CUT_OFF, None);
        thread::sleep(Duration::from_millis(50));
    }
    let took = writer.settle(CUT_OFF);
    println!("{trimmed} purges trimmed, {lost} without proof, settled {took:?} after the last change");
    assert!(trimmed >= 3 && lost > 0, "{trimmed} trimmed, {lost} lost");
    writer.recovers();
    stamp.end();
}

#[test]
fn nothing_older_than_a_purge_is_given_when_redis_is_killed_and_begins_empty() {
    let mut stamp = Stamp::start();
    for _ in 0..lasts(Duration::from_secs(3)).as_secs().div_ceil(3) {
        let mut writer = Writer::new(&stamp, SOON);
        writer.round();
        // everything is kept everywhere
        writer.settle(SOON);
        drop(writer);
        // written, and read by nobody
        kill(&stamp, &readers(&stamp));
        let key = KEYS - 2;
        let version = stamp.change(key);
        let id = Writer::new(&stamp, CUT_OFF).write(key).unwrap();
        stamp.redis.kill();
        stamp.bind(key, version, Instant::now() + CUT_OFF, None);
        let mut writer = Writer::new(&stamp, CUT_OFF);
        for _ in 0..8 {
            writer.unsafe_request();
        }
        drop(writer);
        stamp.redis.restart();
        let mut writer = Writer::new(&stamp, CUT_OFF);
        assert!(!writer.prove(id, key, version), "nobody can know");
        let took = writer.settle(CUT_OFF);
        println!("settled {took:?} after Redis was back");
        writer.recovers();
    }
    stamp.end();
}

#[test]
fn nothing_older_than_a_purge_is_given_for_longer_than_eight_seconds_when_redis_hangs() {
    let stamp = Stamp::start();
    let mut writer = Writer::new(&stamp, SOON);
    writer.round();
    writer.others = CUT_OFF;
    signal(&stamp.redis, "-STOP");
    let began = Instant::now();
    for _ in 0..2 {
        (0..8).for_each(|_| _ = writer.unsafe_request());
        assert!(writer.write(0).is_err(), "it hangs");
    }
    let took = writer.settle(CUT_OFF);
    println!("settled {took:?} after the last change, {:?} after Redis hung", began.elapsed());
    thread::sleep(lasts(Duration::ZERO).saturating_sub(began.elapsed()));
    signal(&stamp.redis, "-CONT");
    writer.recovers();
    stamp.end();
}
