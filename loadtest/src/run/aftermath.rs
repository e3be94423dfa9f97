//! What is found in a world when the load has ended.
//!
//! Invariant: both ends are compared only after everything that was held back has arrived, because what a client has given
//! up may still run, and then run twice.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{fault, world::World};

/// Origins that record nothing for so long have nothing more to record.
const QUIET: Duration = Duration::from_millis(300);
/// Longest wait for that.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// What is wrong with a world after the load, each in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Aftermath {
    /// Processes that ended though nobody asked them to.
    pub(super) ended: Vec<String>,
    /// Processes with a panic in their log.
    pub(super) panicked: Vec<String>,
    /// Whether origins were still recording when the wait for them was over.
    pub(super) restless: bool,
}

/// Lets everything go on that a fault stopped or held back, waits until nothing more is recorded, and looks around.
pub(super) async fn settle(world: &Arc<World>) -> Aftermath {
    fault::calm(world);
    if let Some(switch) = &world.switch {
        // a world that is gone has nothing to be joined
        let _ = switch.heal_all().await;
    }
    for process in world.processes() {
        // one that has ended has nothing to go on with
        let _ = process.signal(Signal::CONT);
    }
    let restless = !quiet(&world.journals()).await;
    let mut aftermath = Aftermath { restless, ..Aftermath::default() };
    for process in world.processes() {
        if process.has_ended_by_itself().await {
            aftermath.ended.push(process.name().to_owned());
        }
        if process.log().contains("panicked at") {
            aftermath.panicked.push(process.name().to_owned());
        }
    }
    aftermath
}

/// Waits until origins have recorded nothing for a while; whether they came to that.
async fn quiet(journals: &[(String, PathBuf)]) -> bool {
    let sizes = || journals.iter().map(|(_, path)| fs::metadata(path).map_or(0, |file| file.len())).collect::<Vec<_>>();
    let end = Instant::now() + QUIET_MAX;
    let (mut known, mut since) = (sizes(), Instant::now());
    while since.elapsed() < QUIET {
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = sizes();
        if now != known {
            (known, since) = (now, Instant::now());
        }
    }
    true
}
