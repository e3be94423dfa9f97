//! Three real processes of a stamp with one Redis, an app that knows which version of each key is the newest, and clients
//! that ask for all of them all the time.
//!
//! An answer is the version that the app had when it was asked. What a test has changed and purged gets a bound: what is asked
//! from a moment on must not be older.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use synaxis_routing::{
    id::TenantId,
    purge::{PurgeStore, Scope},
};

use super::super::{
    app::{App, Does, ok},
    is_hit,
};
use crate::world::{Answer, Client, Process, Redis, alone, eventually};

const TOKEN: &str = "0123456789abcdef";
/// Keys of the tenant.
pub(super) const KEYS: usize = 48;
pub(super) const PROCESSES: usize = 3;
/// So long the app takes to answer for a slow key.
pub(super) const SLOW: Duration = Duration::from_millis(40);
/// Clients, each with a connection to every process.
const CLIENTS: usize = 4;
/// Between two requests of a client.
const REST: Duration = Duration::from_millis(1);

/// What is asked from then on is this version or a newer one.
struct Bound {
    version: usize,
    from: Instant,
    /// At this process; `None`: at all.
    process: Option<usize>,
}

#[derive(Default)]
struct Key {
    /// The app's.
    version: AtomicUsize,
    is_slow: bool,
    bounds: Mutex<Vec<Bound>>,
}

impl Key {
    /// What must be given at least to who asks now.
    fn least(&self, process: usize) -> usize {
        let (mut bounds, now) = (self.bounds.lock().unwrap(), Instant::now());
        let due = |bound: &Bound| bound.from <= now;
        let least = |bounds: &[Bound], process| {
            let here = bounds.iter().filter(|bound| due(bound) && bound.process.is_none_or(|at| at == process));
            here.map(|bound| bound.version).max().unwrap_or(0)
        };
        // what every process has to obey makes older ones needless
        let all = least(&bounds, PROCESSES);
        bounds.retain(|bound| bound.version >= all);
        least(&bounds, process)
    }
}

struct Member {
    _process: Process,
    edge: SocketAddr,
    admin: SocketAddr,
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    asked: AtomicUsize,
    hits: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

pub(super) struct Stamp {
    pub(super) redis: Redis,
    pub(super) store: PurgeStore,
    keys: Arc<Vec<Key>>,
    members: Vec<Member>,
    seen: Arc<Seen>,
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    _app: App,
    _folder: tempfile::TempDir,
}

/// Whether a purge can come while the key is fetched.
pub(super) fn is_slow(key: usize) -> bool {
    key % 16 == 15
}

fn path(key: usize) -> String {
    format!("/key/{key}")
}

/// The request for a key.
pub(super) fn request(method: &str, key: usize) -> String {
    let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    format!("{method} {} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\n{length}\r\n", path(key))
}

/// What covers a key.
pub(super) fn scope(key: usize) -> Scope {
    let tenant = TenantId::parse(b"acme").unwrap();
    Scope::Key { tenant, authority: "app.example".into(), path: path(key).into() }
}

pub(super) fn version(answer: &Answer) -> usize {
    answer.text().parse().unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

impl Stamp {
    /// Once the processes hear each other, under load.
    pub(super) fn start() -> Self {
        let key = |number| Key { is_slow: is_slow(number), ..Key::default() };
        let keys: Arc<Vec<Key>> = Arc::new((0..KEYS).map(key).collect());
        let known = Arc::clone(&keys);
        let app = App::start(move |asked| {
            let key = asked.path().strip_prefix("/key/").and_then(|number| known.get(number.parse::<usize>().ok()?));
            let key = key.unwrap_or_else(|| panic!("{asked:?}"));
            if asked.method() == "GET" {
                let version = key.version.load(SeqCst);
                // an answer may be on its way while its key is changed and purged
                thread::sleep(if key.is_slow { SLOW } else { Duration::from_millis(asked.turn as u64 % 4) });
                return Does::Sends(ok("Cache-Control: max-age=600\r\n", &version.to_string()));
            }
            Does::Sends(ok("", &(key.version.fetch_add(1, SeqCst) + 1).to_string()))
        });
        let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
        let text = alone(
            app.address,
            &format!(
                "[cache.store]\nurl = \"{}\"\n[cache.classes.pages]\nttl = \"10m\"\n[[routes]]\nname = \"all\"\npath_prefix = \
                 \"/\"\nupstream = \"app\"\ncache = \"pages\"\n",
                redis.url()
            ),
        );
        let text = text.replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"));
        let member = |index: usize| {
            let file = folder.path().join(format!("{index}.toml"));
            fs::write(&file, &text).unwrap();
            let (process, edge, admin) = Process::proxy_and_admin(&file);
            Member { _process: process, edge, admin }
        };
        let members: Vec<Member> = (0..PROCESSES).map(member).collect();
        let store = PurgeStore::open(&redis.url(), "synaxis").unwrap();
        let (seen, ended) = (Arc::default(), Arc::default());
        let mut stamp =
            Self { redis, store, keys, members, seen, ended, clients: Vec::new(), _app: app, _folder: folder };
        stamp.list();
        stamp.clients = (0..CLIENTS).map(|client| stamp.client(client)).collect();
        stamp
    }

    /// Waits until every process is on the list of those that read, which is then as if it had been there for long.
    pub(super) fn list(&self) {
        let key = "{synaxis:cache}:readers";
        eventually("all are listed", || self.tell::<usize>(&["HLEN", key]) == PROCESSES + 1);
        self.tell::<usize>(&["HSET", key, "", "@1"]);
    }

    fn client(&self, number: usize) -> JoinHandle<()> {
        let (keys, seen, ended) = (Arc::clone(&self.keys), Arc::clone(&self.seen), Arc::clone(&self.ended));
        let edges: Vec<SocketAddr> = self.members.iter().map(|member| member.edge).collect();
        thread::spawn(move || {
            let mut connections: Vec<Client> = edges.into_iter().map(Client::connect).collect();
            // every client begins elsewhere, and comes to every key at every process
            let mut turn = number * KEYS * PROCESSES / CLIENTS;
            while !ended.load(Relaxed) {
                let (process, key) = (turn % PROCESSES, turn / PROCESSES * 7 % KEYS);
                turn += 1;
                let least = keys[key].least(process);
                let began = Instant::now();
                match connections[process].exchange(request("GET", key).as_bytes()) {
                    Ok(answer) if answer.status == 200 => {
                        seen.asked.fetch_add(1, Relaxed);
                        seen.hits.fetch_add(usize::from(is_hit(&answer)), Relaxed);
                        if version(&answer) < least {
                            let took = began.elapsed();
                            let old =
                                format!("process {process}, key {key}: {} < {least} in {took:?}", version(&answer));
                            seen.wrong.lock().unwrap().push(old);
                        }
                    }
                    other => return seen.wrong.lock().unwrap().push(format!("process {process}: {other:?}")),
                }
                thread::sleep(REST);
            }
        })
    }

    /// Changes a key at the app behind the proxies' backs. Its version.
    pub(super) fn change(&self, key: usize) -> usize {
        self.keys[key].version.fetch_add(1, SeqCst) + 1
    }

    /// Nothing older than this version is given from then on.
    pub(super) fn bind(&self, key: usize, version: usize, from: Instant, process: Option<usize>) {
        self.keys[key].bounds.lock().unwrap().push(Bound { version, from, process });
    }

    /// Changes a key through one process. Its version.
    pub(super) fn post(&self, key: usize, process: usize) -> usize {
        let answer = self.connect(process).exchange(request("POST", key).as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        version(&answer)
    }

    /// Purges a key by the admin listener of one process, and waits for all.
    pub(super) fn purge_by_admin(&self, key: usize, process: usize) -> Value {
        let place = format!(r#""tenant":"acme","host":"app.example","path":"{}""#, path(key));
        let body = format!(r#"{{"scope":"key",{place},"wait":"5s"}}"#);
        let head = format!(
            "Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        let request = format!("POST /cache/purge HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n{body}");
        Client::connect(self.members[process].admin).exchange(request.as_bytes()).unwrap().json()
    }

    /// A connection to the edge of a process.
    pub(super) fn connect(&self, process: usize) -> Client {
        Client::connect(self.members[process].edge)
    }

    /// Keys of which some process gives an older version than the app has.
    pub(super) fn outdated(&self, connections: &mut [Client]) -> Vec<(usize, usize)> {
        let places = (0..KEYS).flat_map(|key| (0..PROCESSES).map(move |process| (process, key)));
        let is_old = |&(process, key): &(usize, usize)| {
            let newest = self.keys[key].version.load(SeqCst);
            let answer = connections[process].exchange(request("GET", key).as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            version(&answer) < newest
        };
        places.filter(is_old).collect()
    }

    /// Asks Redis, on a connection of its own.
    pub(super) fn tell<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }

    /// Ends the load; no client saw anything older than it should have.
    pub(super) fn end(mut self) {
        self.ended.store(true, Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        let (asked, hits) = (self.seen.asked.load(Relaxed), self.seen.hits.load(Relaxed));
        println!("{asked} asked, {} % hits", 100 * hits / asked.max(1));
        let wrong = self.seen.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} wrong answers: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
        assert!(
            asked > 100 && hits * 4 > asked,
            "too little was asked, or kept, to show anything: {asked}, {hits} hits"
        );
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}
