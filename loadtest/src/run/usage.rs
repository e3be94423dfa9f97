//! Watches what processes use, so that the last figures of one that is killed are not lost.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    report,
    world::{Process, Usage, World, own_usage},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// A watch over a world.
pub(super) struct Watch {
    world: Option<Arc<World>>,
    begin: Vec<(Arc<Process>, Usage)>,
    own: Usage,
    task: JoinHandle<()>,
    /// The last look at this process.
    seen: Arc<Mutex<Usage>>,
}

impl Watch {
    /// Begins. Call it inside a runtime.
    pub(super) fn start(world: Option<Arc<World>>) -> Self {
        let look = |world: &Option<Arc<World>>| -> Vec<(Arc<Process>, Usage)> {
            let processes = world.iter().flat_map(|world| world.processes());
            processes.map(|process| (Arc::clone(&process), process.usage())).collect()
        };
        let begin = look(&world);
        let watched = world.clone();
        let own = own_usage();
        let seen = Arc::new(Mutex::new(own));
        let latest = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                look(&watched);
                let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                *latest = own_usage().after(*latest);
            }
        });
        Self { world, begin, own, task, seen }
    }

    /// Ends, with one row for every process that ran.
    pub(super) async fn end(self) -> Vec<report::Process> {
        self.task.abort();
        // it holds the world until it has ended
        let _ = self.task.await;
        let mut rows: Vec<report::Process> = Vec::new();
        for process in self.world.iter().flat_map(|world| world.processes()) {
            let begin = self.begin.iter().find(|(known, _)| Arc::ptr_eq(known, &process)).map(|(_, usage)| *usage);
            let again = rows.iter().filter(|row| row.name.starts_with(process.name())).count();
            let name = if again == 0 {
                process.name().to_owned()
            } else {
                format!("{} (start {})", process.name(), again + 1)
            };
            rows.push(row(name, begin, process.usage()));
        }
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push(row("client".into(), Some(self.own), own_usage().after(seen)));
        rows
    }
}

fn row(name: String, begin: Option<Usage>, end: Usage) -> report::Process {
    report::Process {
        name,
        cpu_seconds: end.cpu.saturating_sub(begin.unwrap_or_default().cpu).as_secs_f64(),
        rss_begin_kib: begin.unwrap_or(end).rss_kib,
        rss_max_kib: end.rss_max_kib,
        rss_end_kib: end.rss_kib,
        descriptors_begin: begin.unwrap_or(end).descriptors,
        descriptors_max: end.descriptors_max,
        descriptors: end.descriptors,
    }
}
