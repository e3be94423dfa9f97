//! The processes of one stamp behind what a Kubernetes Service does for them: a new connection goes to the next process that
//! was ready when it was last asked, and stays there.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::world::{Client, Process, eventually};

/// How often each process is asked.
const POLL: Duration = Duration::from_millis(20);

/// Who is ready, as far as is known.
#[derive(Default)]
pub(super) struct Balancer {
    known: Mutex<Vec<Known>>,
    turn: AtomicUsize,
    ended: AtomicBool,
}

#[derive(Clone, Copy)]
struct Known {
    edge: SocketAddr,
    admin: SocketAddr,
    /// When it last said so, if its last word was that.
    ready: Option<Instant>,
    /// It was told to end: from its first other word on it is not asked again, as others may get its ports.
    leaves: bool,
}

impl Balancer {
    fn poll(&self) {
        while !self.ended.load(Ordering::SeqCst) {
            let known = self.known.lock().unwrap().clone();
            for one in known {
                let now = Instant::now();
                let ready = is_ready(one.admin).then_some(now);
                let mut known = self.known.lock().unwrap();
                known.iter_mut().filter(|other| other.admin == one.admin).for_each(|other| other.ready = ready);
                known.retain(|other| other.ready.is_some() || !other.leaves);
            }
            thread::sleep(POLL);
        }
    }

    fn is_ready(&self, admin: SocketAddr) -> bool {
        self.known.lock().unwrap().iter().any(|known| known.admin == admin && known.ready.is_some())
    }

    /// A new connection. Who is refused by a process that was ready a moment ago has lost a request; when the moment was
    /// longer than `patience`, this balancer was too slow to be one, and asks again.
    pub(super) fn connect(&self, patience: Duration) -> io::Result<Client> {
        loop {
            let ready: Vec<Known> =
                self.known.lock().unwrap().iter().copied().filter(|known| known.ready.is_some()).collect();
            let Some(one) = ready.get(self.turn.fetch_add(1, Ordering::SeqCst) % ready.len().max(1)) else {
                return Err(io::Error::other("no process is ready"));
            };
            match Client::try_connect(one.edge) {
                Err(_) if one.ready.is_some_and(|ready| ready.elapsed() > patience) => thread::sleep(POLL),
                outcome => return outcome,
            }
        }
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let asked =
        Client::try_connect(admin).and_then(|mut client| client.exchange(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"));
    asked.is_ok_and(|answer| answer.status == 200)
}

/// The processes, the oldest first.
pub(super) struct Stamp {
    pub(super) balancer: Arc<Balancer>,
    config: PathBuf,
    processes: Vec<(Process, SocketAddr)>,
    leaving: Vec<Process>,
    poller: Option<JoinHandle<()>>,
}

impl Stamp {
    pub(super) fn start(config: PathBuf, processes: usize) -> Self {
        let balancer: Arc<Balancer> = Arc::default();
        let asking = Arc::clone(&balancer);
        let poller = Some(thread::spawn(move || asking.poll()));
        let mut stamp = Self { balancer, config, processes: Vec::new(), leaving: Vec::new(), poller };
        (0..processes).for_each(|_| stamp.add());
        stamp
    }

    /// One more process, once connections may go there.
    pub(super) fn add(&mut self) {
        let (process, edge, admin) = Process::proxy_and_admin(&self.config);
        self.balancer.known.lock().unwrap().push(Known { edge, admin, ready: None, leaves: false });
        eventually("the new process is ready", || self.balancer.is_ready(admin));
        self.processes.push((process, admin));
    }

    /// Tells the oldest process to end. The balancer finds out for itself.
    pub(super) fn stop_oldest(&mut self) {
        let oldest = self.processes.remove(0);
        let mut known = self.balancer.known.lock().unwrap();
        known.iter_mut().filter(|known| known.admin == oldest.1).for_each(|known| known.leaves = true);
        drop(known);
        oldest.0.signal("TERM");
        self.leaving.push(oldest.0);
    }

    /// Waits for every process that was told to end: each does so in order, and has cut nothing.
    pub(super) fn ended(&mut self) {
        for mut process in self.leaving.drain(..) {
            assert!(process.wait().success());
            let rest = process.rest();
            assert!(rest.iter().any(|line| line.contains("draining")), "{rest:#?}");
            assert!(!rest.iter().any(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\"")), "{rest:#?}");
        }
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        self.balancer.ended.store(true, Ordering::SeqCst);
        if let Some(poller) = self.poller.take() {
            let _ = poller.join();
        }
    }
}
