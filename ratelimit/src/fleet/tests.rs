//! What the parts are tested against.

pub(super) mod process;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A redis-server of its own on a socket in its own folder, killed by its handle.
pub(super) struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(&folder);
        let server = Self { child, folder };
        server.wait();
        server
    }

    fn spawn(folder: &tempfile::TempDir) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "s", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs (Debian package redis-server)")
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(super) fn client(&self) -> redis::Client {
        redis::Client::open(format!("unix://{}", self.socket().display())).unwrap()
    }

    /// What the server says to a command; panics on an error.
    pub(super) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        redis::cmd(words[0]).arg(&words[1..]).query(&mut self.client().get_connection().unwrap()).unwrap()
    }

    pub(super) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Another one at the same place, with nothing in it.
    pub(super) fn again(&mut self) {
        self.child = Self::spawn(&self.folder);
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Of the seed in `SEED`, or of the time; it is printed.
    pub(super) fn seeded() -> Self {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = std::env::var("SEED").map_or(time.as_nanos() as u64, |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Most instants in any half-open window of this length; same unit.
pub(super) fn most(instants: &mut [u64], window: u64) -> usize {
    instants.sort_unstable();
    let (mut from, mut most) = (0, 0);
    for at in 0..instants.len() {
        while instants[at] - instants[from] >= window {
            from += 1;
        }
        most = most.max(at + 1 - from);
    }
    most
}
