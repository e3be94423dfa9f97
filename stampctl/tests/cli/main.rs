//! The real binary on real stores: a folder and a redis-server.
//!
//! Proxies are played by their acknowledgements, written with the store's own code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod busy;
mod cache;
mod codes;
mod degrade;
mod fleet;
mod health;
mod hostile;
mod life;
mod plan;
mod proxies;
mod race;
mod redis;
mod restore;
mod watch;

use std::{
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use redis::Redis;
use serde_json::Value;
use synaxis_routing::{ack::Ack, bundle::Head, id::StampId, store::Store, table::FORMAT, version::Version};
use tempfile::TempDir;

/// What the binary did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Asserts that standard error says all of this.
    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in: {}", self.err);
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// A store of its own for a test.
struct World {
    url: String,
    folder: TempDir,
    _redis: Option<Redis>,
}

impl World {
    fn file() -> Self {
        let folder = TempDir::new().unwrap();
        Self { url: format!("file:{}", folder.path().join("store").display()), folder, _redis: None }
    }

    fn redis() -> Self {
        let redis = Redis::start();
        Self { url: redis.url(), folder: TempDir::new().unwrap(), _redis: Some(redis) }
    }

    /// A fleet of Active stamps.
    fn with(self, stamps: &[&str]) -> Self {
        self.run("init --regions weu,eus,sea").code(0);
        for stamp in stamps {
            self.run(&format!("register {stamp} --endpoint https://{stamp}.stamp.internal:8443")).code(0);
            self.run(&format!("activate {stamp} --ramp 0s")).code(0);
        }
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stampctl"));
        command.env_clear().env("SYNAXIS_ROUTING_STORE", &self.url).env("USER", "tester").env("HOSTNAME", "here");
        // small fleets: one stamp of three is a third of the slots
        command.env("SYNAXIS_MAX_MOVED", "100");
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// Runs the binary; words are split at spaces.
    fn run(&self, line: &str) -> Ran {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn args(&self, args: &[&str]) -> Ran {
        let output = self.command().args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} -o json")).code(0).json()
    }

    fn version(&self) -> Version {
        self.json("epoch")["version"].as_str().unwrap().parse().unwrap()
    }

    fn state(&self, stamp: &str) -> String {
        self.json(&format!("status {stamp}"))["state"].as_str().unwrap().to_owned()
    }

    fn store(&self) -> Store {
        Store::open(&self.url, "synaxis").unwrap()
    }

    /// A proxy reports what it has applied: the current table with its real digest, or another version.
    async fn report(&self, proxy: &str, stamp: &str, applied: Option<Version>, digest: Option<&str>) {
        let store = self.store();
        let head = store.glance().await.unwrap().head.and_then(|bytes| Head::parse(&bytes).ok());
        let current = head.as_ref().map(Head::version).unwrap_or_default();
        let ack = Ack {
            proxy: proxy.to_owned(),
            stamp: StampId::parse(&format!("synaxis-{stamp}")).unwrap(),
            build: "test".to_owned(),
            format: FORMAT,
            applied: applied.unwrap_or(current),
            digest: digest.map(str::to_owned).or(head.map(|head| head.digest)).unwrap_or_default(),
            connections: 12,
            in_flight: 3,
            requests_per_second: 50.0,
            admin: "127.0.0.1:1".to_owned(),
            peer: None,
            at: now(),
        };
        store.ack(&ack).await.unwrap();
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
