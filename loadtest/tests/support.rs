//! Runs a scenario in this process, one at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use synaxis_loadtest::{
    report::Report,
    run::{self, Options, Progress},
    scenario::Scenario,
    world::Binaries,
};

static TURN: Mutex<()> = Mutex::new(());

/// The machine for one test alone.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a scenario to its report.
pub fn run(scenario: &Scenario) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = Options {
        short: true,
        arguments: Vec::new(),
        notes: Vec::new(),
        binaries: Some(Binaries::beside().unwrap()),
        progress: Progress::Silent,
        keep: false,
    };
    let finished = runtime.block_on(run::run(scenario, &options)).unwrap_or_else(|error| panic!("{error:#}"));
    if let Some(folder) = finished.folder {
        println!("logs: {}", folder.display());
    }
    finished.report
}

/// Runs a scenario from its text. What a busy machine needs is added to it.
pub fn run_text(text: &str) -> Report {
    let mut scenario = Scenario::parse(text).unwrap();
    scenario.load.lag_max = scenario.load.lag_max.max(std::time::Duration::from_millis(500));
    scenario.load.busy_max = 1.0;
    if !text.contains("in_time") {
        scenario.expect.in_time = 0.0;
    }
    run(&scenario)
}

/// What must be 0: lost, duplicated, cross-talk, misrouted, unexplained, invented.
pub fn against(report: &Report) -> [u64; 6] {
    let oracle = &report.oracle;
    [oracle.lost, oracle.duplicated, oracle.cross_talk, oracle.misrouted, oracle.unexplained, oracle.invented]
}
