//! One thread of the client: it opens its connections, begins its share of the schedule, and waits for what it began.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, OnceLock, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{runtime, sync::Notify, task::LocalSet, time::timeout};

use super::{
    Live, Plan,
    exchange::{Heads, Job},
    http1, http2,
    pool::Pool,
    sample::{End, Sample, Samples},
    timer::Timer,
    websocket,
};
use crate::{
    quantity::micros,
    workload::{Carrier, Workload},
};

/// How much longer than a request's time limit the thread waits for the last ones.
const GRACE: Duration = Duration::from_secs(1);

/// What the tasks of one thread share.
pub(super) struct Shift {
    start: Instant,
    pub(super) heads: Heads,
    pub(super) pools: Vec<Rc<Pool>>,
    pub(super) multiplexed: Vec<http2::Group>,
    pub(super) timeout: Duration,
    /// Whether answers must echo their request.
    pub(super) echo: bool,
    live: Arc<Live>,
    samples: RefCell<Samples>,
    outstanding: Cell<usize>,
    ended: Notify,
}

impl Shift {
    fn new(plan: &Plan, index: usize, count: usize, live: Arc<Live>) -> Self {
        let connections = share(plan.connections, index, count);
        let multiplexed = share(plan.http2_connections, index, count);
        let entries = plan.entries.len();
        Self {
            start: Instant::now(),
            heads: Heads::new(&plan.tenants, plan.entries[0]),
            pools: (plan.entries.iter().enumerate())
                .map(|(entry, address)| Rc::new(Pool::new(*address, share(connections, entry, entries).max(1))))
                .collect(),
            multiplexed: (plan.entries.iter().enumerate())
                .map(|(entry, address)| http2::Group::new(*address, share(multiplexed, entry, entries).max(1)))
                .collect(),
            timeout: plan.timeout,
            echo: plan.echo,
            live,
            samples: RefCell::default(),
            outstanding: Cell::new(0),
            ended: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// Begins a request. Whatever carries it calls [`Shift::end`] with it once.
    fn launch(self: &Rc<Self>, number: u64, intended: Duration, workload: &Workload) {
        let request = workload.request(number);
        let entry = usize::try_from(request.entry).unwrap_or_default() % self.pools.len();
        let (intended, launched) = (micros(intended), self.now());
        self.live.launched(launched.saturating_sub(intended));
        self.outstanding.set(self.outstanding.get() + 1);
        let job = Job { id: number, request, entry, intended, launched, begun: None };
        match request.carrier {
            Carrier::Kept => self.pools[entry].take(self, job),
            Carrier::New => http1::once(self, job),
            Carrier::Http2 => http2::send(self, job),
            Carrier::WebSocket => websocket::talk(self, job),
        }
    }

    /// When a request has its connection.
    pub(super) fn begin(&self, job: &mut Job) {
        job.begun = Some(self.now());
    }

    /// What is left of a request's time.
    pub(super) fn left(&self, job: &Job) -> Duration {
        let limit = Duration::from_micros(job.launched) + self.timeout;
        limit.saturating_sub(self.start.elapsed())
    }

    /// A request has ended.
    pub(super) fn end(&self, job: &Job, end: &End, stamp: &str) {
        let ended = self.now();
        let answered = *end == End::Answered;
        self.live.ended(answered, ended.saturating_sub(job.intended));
        let mut samples = self.samples.borrow_mut();
        let (outcome, stamp) = (samples.outcome(end), samples.stamps.index(stamp));
        samples.samples.push(Sample {
            id: job.id,
            intended: job.intended,
            launched: job.launched,
            begun: job.begun.unwrap_or(ended),
            ended,
            tenant: job.request.tenant,
            writes: job.request.writes,
            entry: u16::try_from(job.entry).unwrap_or(u16::MAX),
            outcome,
            stamp,
        });
        drop(samples);
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
        self.ended.notify_one();
    }
}

/// The part of `all` that falls to `index` of `count`.
fn share(all: usize, index: usize, count: usize) -> usize {
    all / count + usize::from(index < all % count)
}

/// The thread's whole life.
pub(super) fn run(
    plan: &Plan,
    index: usize,
    count: usize,
    live: &Arc<Live>,
    ready: Sender<()>,
    begun: &OnceLock<Option<Instant>>,
) -> anyhow::Result<Samples> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let local = LocalSet::new();
    let mut shift = Shift::new(plan, index, count, Arc::clone(live));
    let timer = {
        let _inside = runtime.enter();
        Timer::new().context("a timer")?
    };
    // connections move into the pools before the clock starts
    let opened = Rc::new(shift);
    local.block_on(&runtime, http1::open_all(&opened))?;
    shift = Rc::try_unwrap(opened).map_err(|_| anyhow::anyhow!("connections are still being opened"))?;
    // the other end waits as long as there are threads
    let _ = ready.send(());
    drop(ready);
    shift.start = loop {
        match begun.get() {
            Some(Some(start)) => break *start,
            // another thread has no connections
            Some(None) => return Ok(Samples::default()),
            None => thread::park_timeout(Duration::from_millis(5)),
        }
    };
    let shift = Rc::new(shift);
    local.block_on(&runtime, async {
        http1::settle(&shift);
        let numbered = (0u64..).zip(plan.schedule.clone());
        let step = u64::try_from(count).unwrap_or(1);
        let first = u64::try_from(index).unwrap_or(0);
        for (number, intended) in numbered.filter(|(number, _)| number % step == first) {
            timer.until(shift.start + intended).await.context("the timer")?;
            shift.launch(number, intended, &plan.workload);
            // a client that is late must not starve its own connections
            tokio::task::coop::consume_budget().await;
        }
        let rest = async {
            while shift.outstanding.get() > 0 {
                shift.ended.notified().await;
            }
        };
        if timeout(plan.timeout + GRACE, rest).await.is_err() {
            shift.pools.iter().for_each(|pool| pool.give_up(&shift));
        }
        anyhow::Ok(())
    })?;
    Ok(shift.samples.take())
}
