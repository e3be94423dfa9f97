//! Real processes that count together, clients that ask them for more than there is, and what passed when.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::world::{Client, Process, eventually};

/// A process that counts with others.
pub(super) struct Member {
    pub(super) process: Process,
    pub(super) edge: SocketAddr,
    admin: SocketAddr,
}

impl Member {
    /// Once it has met the store.
    pub(super) fn start(folder: &Path, index: usize, settings: &str) -> Self {
        let path: PathBuf = folder.join(format!("{index}.toml"));
        fs::write(&path, settings).unwrap();
        let (process, edge, admin) = Process::proxy_and_admin(&path);
        let member = Self { process, edge, admin };
        eventually("the process has met the store", || member.counted_by() == "store");
        // its worker connects by itself
        thread::sleep(Duration::from_millis(200));
        member
    }

    fn ask(&self, target: &str) -> crate::world::Answer {
        Client::connect(self.admin)
            .exchange(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes())
            .unwrap()
    }

    /// The first limit of a tenant.
    pub(super) fn limit(&self, tenant: &str) -> Value {
        self.ask(&format!("/limits/{tenant}")).json()["limits"][0].clone()
    }

    /// Who counts at present.
    pub(super) fn counted_by(&self) -> String {
        self.limit("warm")["counted_by"].as_str().unwrap().to_owned()
    }

    /// A number of its metrics; 0 if it is not there.
    pub(super) fn metric(&self, series: &str) -> f64 {
        let text = self.ask("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |count| count.parse().unwrap())
    }

    /// How many requests it has decided without the store, which was late.
    pub(super) fn late(&self) -> usize {
        self.metric("ratelimit_alone_total") as usize
    }
}

/// A request that passed: it was decided between being asked and being answered. In seconds since the load began.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) asked: f64,
    pub(crate) answered: f64,
}

/// Clients, each with a connection of its own.
pub(super) struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(Vec<Passed>, usize)>>,
}

impl Load {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), stop: Arc::default(), clients: Vec::new() }
    }

    /// Seconds since it began.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Another client: so many requests as fast as answers come, then a rest, until the load ends or the process is gone.
    pub(super) fn client(&mut self, edge: SocketAddr, burst: usize, rest: Duration) {
        let (began, stop) = (self.began, Arc::clone(&self.stop));
        self.clients.push(thread::spawn(move || {
            let (mut passed, mut count) = (Vec::new(), 0);
            let Ok(mut client) = Client::try_connect(edge) else { return (passed, count) };
            while !stop.load(Relaxed) {
                for _ in 0..burst {
                    let asked = began.elapsed().as_secs_f64();
                    let Ok(answer) = client.try_get("acme", "/") else { return (passed, count) };
                    let answered = began.elapsed().as_secs_f64();
                    assert!([200, 429].contains(&answer.status), "{}: {}", answer.status, answer.text());
                    count += 1;
                    if answer.status == 200 {
                        passed.push(Passed { asked, answered });
                    }
                }
                thread::sleep(rest);
            }
            (passed, count)
        }));
    }

    /// What passed, by when it was asked, and how many requests there were. Nobody got anything but 200 and 429.
    pub(super) fn end(self) -> (Vec<Passed>, usize) {
        self.stop.store(true, Relaxed);
        let (mut passed, mut asked) = (Vec::new(), 0);
        for client in self.clients {
            let (times, count) = client.join().unwrap();
            passed.extend(times);
            asked += count;
        }
        passed.sort_by(|a, b| a.asked.total_cmp(&b.asked));
        (passed, asked)
    }
}

/// Most that were decided in one half-open window of so many seconds beyond doubt: asked in it and answered in it. Of more
/// than a quota none of them explains itself by an answer that came late.
pub(crate) fn most(passed: &[Passed], window: f64) -> usize {
    let within = |first: usize| {
        let (asked, end) = (passed[first].asked, passed[first].asked + window);
        debug_assert!(first == 0 || passed[first - 1].asked <= asked);
        passed[first..].iter().take_while(|it| it.asked < end).filter(|it| it.answered < end).count()
    };
    (0..passed.len()).map(within).max().unwrap_or(0)
}

/// How often this machine makes somebody wait longer than 5 ms who wants to wait 3, as a request does for the store: then it
/// says nothing of the store that a request waited longer.
pub(super) struct Stalls(Arc<AtomicBool>, JoinHandle<usize>);

impl Stalls {
    pub(super) fn watch() -> Self {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let count = move || {
            let mut count = 0;
            while !told.load(Relaxed) {
                let began = Instant::now();
                thread::sleep(Duration::from_millis(3));
                count += usize::from(began.elapsed() > Duration::from_millis(5));
            }
            count
        };
        Self(stop, thread::spawn(count))
    }

    /// How often, until now.
    pub(super) fn end(self) -> f64 {
        self.0.store(true, Relaxed);
        self.1.join().unwrap() as f64
    }
}

#[test]
fn what_surely_fell_into_a_window_is_counted_and_nothing_else() {
    let at = |times: &[(f64, f64)]| -> Vec<Passed> {
        times.iter().map(|&(asked, answered)| Passed { asked, answered }).collect()
    };
    assert_eq!(most(&[], 1.0), 0);
    assert_eq!(most(&at(&[(0.0, 0.1), (0.5, 0.6), (0.9, 0.95), (1.0, 1.1)]), 1.0), 3);
    // one that was answered after the end may have been decided after it
    assert_eq!(most(&at(&[(0.0, 0.1), (0.9, 1.0), (2.0, 2.1)]), 1.0), 1);
    assert_eq!(most(&at(&[(0.0, 5.0), (0.1, 0.2), (0.3, 0.4)]), 1.0), 2);
}
