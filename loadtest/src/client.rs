//! The open-loop client: requests begin when the schedule says, whatever became of those before.
//!
//! Invariants: the schedule never waits for an answer; a latency counts from the intended start; every request that was
//! begun ends in exactly one [`Sample`]. One thread a core, each with its own connections and every n-th request.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, thread, time::Duration};

use anyhow::Context as _;

use crate::{
    arrival::Schedule,
    workload::{self, Workload},
};

mod busy;
mod exchange;
mod http1;
mod http2;
mod job;
mod live;
mod pool;
mod sample;
mod shift;
mod timer;
mod websocket;

pub use live::{Glimpse, Live};
pub use sample::{Busy, End, NO_SOCKET, Names, OK, Sample, Samples, Silent, Source};

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When requests begin.
    pub schedule: Schedule,
    /// What they are.
    pub workload: Workload,
    /// Names of the tenants, by index; see [`workload::tenant`].
    pub tenants: Arc<[String]>,
    /// Where clients enter; a request chooses one by chance.
    pub entries: Vec<SocketAddr>,
    /// Kept HTTP/1.1 connections in all, opened before the load begins; every thread has one to each entry at least,
    /// unless this is 0.
    pub connections: usize,
    /// HTTP/2 connections in all; used only by a workload that has a share of HTTP/2.
    pub http2_connections: usize,
    /// Longest time from its begin that a request may take.
    pub timeout: Duration,
    /// Threads.
    pub threads: NonZeroUsize,
    /// Whether answers must echo their request; false for servers that are not this harness's origins.
    pub echo: bool,
}

/// Names for a plan.
#[must_use]
pub fn tenants(count: u32) -> Arc<[String]> {
    (0..count).map(workload::tenant).collect()
}

/// A client under way.
pub struct Client {
    threads: Vec<thread::JoinHandle<anyhow::Result<Samples>>>,
    /// What can be seen of it.
    pub live: Arc<Live>,
}

impl Client {
    /// Opens the connections and begins; the load starts once every thread has opened its own.
    ///
    /// # Errors
    /// A thread cannot be started, or an entry takes no connections.
    pub fn start(plan: &Plan) -> anyhow::Result<Self> {
        anyhow::ensure!(!plan.entries.is_empty(), "a client needs an entry");
        let count = plan.threads.get();
        let live = Arc::new(Live::default());
        let (ready, begun) = (std::sync::mpsc::channel(), Arc::new(std::sync::OnceLock::new()));
        let mut threads = Vec::new();
        for index in 0..count {
            let (plan, live) = (plan.clone(), Arc::clone(&live));
            let (ready, begun) = (ready.0.clone(), Arc::clone(&begun));
            let name = format!("client-{index}");
            let run = move || shift::run(&plan, index, count, &live, ready, &begun);
            threads.push(thread::Builder::new().name(name).spawn(run).context("a thread cannot be started")?);
        }
        drop(ready.0);
        // a thread that gave up has dropped its end without a word; it says why when it is joined
        let all = (0..count).all(|_| ready.1.recv().is_ok());
        let start = std::time::Instant::now() + Duration::from_millis(20);
        if all {
            live.begin(start);
        }
        begun.set(all.then_some(start)).ok().context("the load begins once")?;
        threads.iter().for_each(|thread| thread.thread().unpark());
        let client = Self { threads, live };
        if all {
            return Ok(client);
        }
        client.wait()?;
        anyhow::bail!("a thread of the client gave up before the load");
    }

    /// Waits until every request has ended.
    ///
    /// # Errors
    /// A thread could not open its connections or failed.
    pub fn wait(self) -> anyhow::Result<Samples> {
        let mut all = Samples::default();
        for thread in self.threads {
            let part = thread.join().map_err(|_| anyhow::anyhow!("a thread of the client panicked"))??;
            all.merge(part);
        }
        all.samples.sort_unstable_by_key(|sample| sample.id);
        // whoever compares ends goes by ids: a request without a sample would be taken for the next one
        let contiguous = (0u64..).zip(&all.samples).all(|(id, sample)| id == sample.id);
        anyhow::ensure!(contiguous, "the client lost sight of some of its requests");
        Ok(all)
    }
}
