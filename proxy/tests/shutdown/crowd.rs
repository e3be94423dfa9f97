//! Clients that ask all the time, now and then, or over a WebSocket, and an account of what became of every request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::stamp::Balancer;
use crate::{
    websockets,
    world::{Client, Origin},
};

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    ended: AtomicBool,
    /// Ids of requests with a whole and right answer.
    answered: Mutex<Vec<String>>,
    /// Everything else.
    failed: Mutex<Vec<String>>,
    /// Answers that asked to close.
    closed: AtomicUsize,
    /// WebSockets that were told to close.
    told: AtomicUsize,
}

/// Clients at work.
pub(super) struct Crowd {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

/// How the crowd fared.
pub(super) struct Account {
    pub(super) answered: usize,
    pub(super) closed: usize,
    pub(super) told: usize,
}

/// How long a client waits before its next request, in milliseconds, by turns.
const BUSY: [u64; 4] = [0, 1, 2, 3];
const IDLE: [u64; 5] = [60, 350, 120, 400, 200];

impl Crowd {
    /// Begins. `patience` is the balancer's.
    pub(super) fn start(balancer: &Arc<Balancer>, patience: Duration) -> Self {
        let seen: Arc<Seen> = Arc::default();
        let mut clients = Vec::new();
        for number in 0..12_usize {
            let (balancer, seen) = (Arc::clone(balancer), Arc::clone(&seen));
            clients.push(thread::spawn(move || match number {
                0..5 => seen.ask(&balancer, patience, &format!("busy{number}"), &BUSY),
                5..10 => seen.ask(&balancer, patience, &format!("idle{number}"), &IDLE),
                _ => seen.tunnel(&balancer, patience),
            }));
        }
        Self { seen, clients }
    }

    /// How many requests have been answered so far.
    pub(super) fn answered(&self) -> usize {
        self.seen.answered.lock().unwrap().len()
    }

    /// Ends, and compares what the clients have seen with what the app has: nothing failed, was lost, or was done twice.
    pub(super) fn account(self, origin: &Origin) -> Account {
        self.seen.ended.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        let failed = self.seen.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} failed: {:#?}", failed.len(), &failed[..failed.len().min(20)]);
        let mut done: HashMap<String, usize> = HashMap::new();
        for request in origin.seen() {
            *done.entry(request.all("x-id").join(",")).or_default() += 1;
        }
        let answered = self.seen.answered.lock().unwrap();
        let lost: Vec<&String> = answered.iter().filter(|id| !done.contains_key(*id)).collect();
        assert!(lost.is_empty(), "answered, and the app has never seen them: {lost:?}");
        let twice: Vec<_> = done.iter().filter(|(id, times)| id.ends_with("POST") && **times > 1).collect();
        assert!(twice.is_empty(), "done more than once: {twice:?}");
        let count = |number: &AtomicUsize| number.load(Ordering::SeqCst);
        Account { answered: answered.len(), closed: count(&self.seen.closed), told: count(&self.seen.told) }
    }
}

impl Seen {
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn fail(&self, words: String) {
        self.failed.lock().unwrap().push(words);
        // one fault is enough; many would only take long
        thread::sleep(Duration::from_millis(20));
    }

    /// One request after the other over one connection, until an answer asks to close it. Nothing is asked twice.
    fn ask(&self, balancer: &Balancer, patience: Duration, name: &str, pauses: &[u64]) {
        let mut kept: Option<Client> = None;
        for number in 0.. {
            if self.is_over() {
                return;
            }
            let kind = if kept.is_some() { "kept" } else { "new" };
            let mut client = match kept.take().map_or_else(|| balancer.connect(patience), Ok) {
                Ok(client) => client,
                Err(error) => {
                    self.fail(format!("{name}: no connection: {error}"));
                    continue;
                }
            };
            let method = if number % 2 == 0 { "POST" } else { "GET" };
            let (id, tenant) = (format!("{name}-{number}-{method}"), format!("tenant-{}", number % 7));
            let body = if number % 2 == 0 { id.as_str() } else { "" };
            let head = format!(
                "{method} /{id} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nX-Id: {id}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            match client.exchange(format!("{head}{body}").as_bytes()) {
                Ok(answer) if answer.status == 200 => {
                    let echo = answer.json();
                    assert_eq!(echo["path"], format!("/{id}"), "somebody else's answer");
                    assert_eq!((&echo["tenant"], &echo["size"]), (&tenant.into(), &body.len().into()), "{id}");
                    self.answered.lock().unwrap().push(id);
                    if answer.header("connection") == Some("close") {
                        self.closed.fetch_add(1, Ordering::SeqCst);
                    } else {
                        kept = Some(client);
                    }
                }
                Ok(answer) => self.fail(format!("{id} on a {kind} connection: {} {}", answer.status, answer.text())),
                Err(error) => self.fail(format!("{id} on a {kind} connection: {error}")),
            }
            thread::sleep(Duration::from_millis(pauses[number % pauses.len()]));
        }
    }

    /// One WebSocket after the other: each echoes until it is told 1001. One that ends without a word has failed.
    fn tunnel(&self, balancer: &Balancer, patience: Duration) {
        while !self.is_over() {
            if let Err(words) = self.tunnel_once(balancer, patience) {
                self.fail(format!("a websocket: {words}"));
            }
        }
    }

    fn tunnel_once(&self, balancer: &Balancer, patience: Duration) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let mut client = balancer.connect(patience).map_err(words)?;
        let answer = client.exchange(websockets::ask("t", "/websocket").as_bytes()).map_err(words)?;
        if answer.status != 101 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        while !self.is_over() {
            client.try_send(b"\x82\x04ping").map_err(words)?;
            match client.bytes(2).map_err(words)?.as_slice() {
                [0x82, 4] => assert_eq!(client.bytes(4).map_err(words)?, b"ping"),
                [0x88, 2] => {
                    assert_eq!(client.bytes(2).map_err(words)?, [0x03, 0xE9]);
                    self.told.fetch_add(1, Ordering::SeqCst);
                    return client.try_send(&[0x88, 0x80, 1, 2, 3, 4]).map_err(words);
                }
                other => return Err(format!("{other:?} is no frame of the app's")),
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
