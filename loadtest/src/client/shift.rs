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
    busy::Meter,
    exchange::Heads,
    http1, http2,
    job::Job,
    pool::Pool,
    sample::{End, Sample, Samples},
    timer::Timer,
    websocket,
};
use crate::{
    quantity::micros,
    workload::{Carrier, Workload},
};

#[cfg(test)]
mod tests;

/// How much longer than a request's time limit the thread waits for the last ones.
const GRACE: Duration = Duration::from_secs(1);
/// How often requests that wait for a connection are looked through for those whose time is over.
const EXPIRY: Duration = Duration::from_millis(20);

/// What the tasks of one thread share.
pub(super) struct Shift {
    start: Cell<Instant>,
    pub(super) heads: Heads,
    pub(super) pools: Vec<Rc<Pool>>,
    pub(super) multiplexed: Vec<http2::Group>,
    pub(super) timeout: Duration,
    /// Whether answers must echo their request.
    pub(super) echo: bool,
    pub(super) live: Arc<Live>,
    samples: RefCell<Samples>,
    meter: RefCell<Meter>,
    outstanding: Cell<usize>,
    ended: Notify,
}

impl Shift {
    fn new(plan: &Plan, index: usize, count: usize, live: Arc<Live>) -> Self {
        let connections = share(plan.connections, index, count);
        let multiplexed = share(plan.http2_connections, index, count);
        let entries = plan.entries.len();
        // a thread sends to every entry, so it needs a connection to each if it needs any
        let least = usize::from(plan.connections > 0);
        Self {
            start: Cell::new(Instant::now()),
            heads: Heads::new(&plan.tenants, &plan.entries),
            pools: (plan.entries.iter().enumerate())
                .map(|(entry, address)| {
                    Rc::new(Pool::new(entry, *address, share(connections, entry, entries).max(least)))
                })
                .collect(),
            multiplexed: (plan.entries.iter().enumerate())
                .map(|(entry, address)| http2::Group::new(*address, share(multiplexed, entry, entries).max(1)))
                .collect(),
            timeout: plan.timeout,
            echo: plan.echo,
            live,
            samples: RefCell::default(),
            meter: RefCell::new(Meter::start()),
            outstanding: Cell::new(0),
            ended: Notify::new(),
        }
    }

    /// Microseconds since the begin of the load.
    pub(super) fn now(&self) -> u64 {
        micros(self.start.get().elapsed())
    }

    /// Begins a request.
    fn launch(self: &Rc<Self>, number: u64, intended: Duration, workload: &Workload) {
        self.live.launched();
        self.outstanding.set(self.outstanding.get() + 1);
        let job = Job::new(self, number, intended, workload.request(number));
        match job.request.carrier {
            Carrier::Kept => self.pools[job.entry].take(self, job),
            Carrier::New => http1::once(self, job),
            Carrier::Http2 => http2::send(self, job),
            Carrier::WebSocket => websocket::talk(self, job),
        }
    }

    /// A request has ended.
    pub(super) fn sample(&self, end: &End, stamp: &str, sample: impl FnOnce(u16, u16) -> Sample) {
        let mut samples = self.samples.borrow_mut();
        let (outcome, stamp) = (samples.outcome(end), samples.stamps.index(stamp));
        samples.samples.push(sample(outcome, stamp));
        drop(samples);
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
        self.ended.notify_one();
    }

    /// A kept connection is opened in place of another.
    pub(super) fn opened_again(&self) {
        self.samples.borrow_mut().silent.opened_again += 1;
    }

    /// A request is sent again.
    pub(super) fn sent_again(&self) {
        self.samples.borrow_mut().silent.sent_again += 1;
    }

    /// More came on a connection than the answer to the request `last`, its last one.
    pub(super) fn surplus(&self, last: Option<u64>) {
        self.samples.borrow_mut().surplus.push(last);
    }

    /// Looks after what nobody is woken for, as long as it is polled.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(EXPIRY).await;
            self.pools.iter().for_each(|pool| pool.expire());
        }
    }

    /// Watches how busy this thread is, second by second, as long as it is polled.
    async fn watch(&self) {
        let start = tokio::time::Instant::from_std(self.start.get());
        let mut seconds = tokio::time::interval_at(start, Duration::from_secs(1));
        loop {
            seconds.tick().await;
            self.look();
        }
    }

    /// Looks how busy this thread was since the last look.
    fn look(&self) {
        let busy = self.meter.borrow_mut().look(self.start.get());
        self.samples.borrow_mut().busy.extend(busy);
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
    let shift = Rc::new(Shift::new(plan, index, count, Arc::clone(live)));
    let timer = {
        let _inside = runtime.enter();
        Timer::new().context("a timer")?
    };
    // connections move into the pools before the clock starts
    local.block_on(&runtime, http1::open_all(&shift))?;
    // the other end waits as long as there are threads
    let _ = ready.send(());
    drop(ready);
    shift.start.set(loop {
        match begun.get() {
            Some(Some(start)) => break *start,
            // another thread has no connections
            Some(None) => return Ok(Samples::default()),
            None => thread::park_timeout(Duration::from_millis(5)),
        }
    });
    local.block_on(&runtime, async {
        shift.meter.replace(Meter::start());
        http1::settle(&shift);
        let watching = Rc::clone(&shift);
        let watch = tokio::task::spawn_local(async move { tokio::join!(watching.sweep(), watching.watch()) });
        let numbered = (0u64..).zip(plan.schedule.clone());
        let step = u64::try_from(count).unwrap_or(1);
        let first = u64::try_from(index).unwrap_or(0);
        for (number, intended) in numbered.filter(|(number, _)| number % step == first) {
            timer.until(shift.start.get() + intended).await.context("the timer")?;
            shift.launch(number, intended, &plan.workload);
            // a client that is late must not starve its own connections
            tokio::task::coop::consume_budget().await;
        }
        let rest = async {
            while shift.outstanding.get() > 0 {
                shift.ended.notified().await;
            }
        };
        // who is not done by then has been abandoned
        let _ = timeout(plan.timeout + GRACE, rest).await;
        watch.abort();
        shift.look();
        anyhow::Ok(())
    })?;
    // a task that is dropped drops its request, and that leaves a sample
    drop(local);
    shift.pools.iter().for_each(|pool| pool.give_up());
    Ok(shift.samples.take())
}
