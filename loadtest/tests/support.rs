//! Runs a scenario in this process, one at a time.

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use synaxis_loadtest::{
    report::{Judgement, Report},
    run::{self, Finished, Options, Progress},
    scenario::Scenario,
    world::Binaries,
};

static TURN: Mutex<()> = Mutex::new(());

/// The machine for one test alone.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish(scenario: &Scenario, keep: bool) -> Finished {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = Options {
        short: true,
        arguments: Vec::new(),
        notes: Vec::new(),
        binaries: Some(Binaries::beside().unwrap()),
        progress: Progress::Silent,
        keep,
    };
    let finished = runtime.block_on(run::run(scenario, &options)).unwrap_or_else(|error| panic!("{error:#}"));
    if let Some(folder) = &finished.folder {
        println!("logs: {}", folder.display());
    }
    finished
}

/// Runs a scenario to its report.
pub fn run(scenario: &Scenario) -> Report {
    finish(scenario, false).report
}

/// What a busy machine needs is added to a scenario.
fn patient(text: &str) -> Scenario {
    let mut scenario = Scenario::parse(text).unwrap();
    scenario.load.lag_max = scenario.load.lag_max.max(std::time::Duration::from_millis(500));
    scenario.load.busy_max = 1.0;
    if !text.contains("in_time") {
        scenario.expect.in_time = 0.0;
    }
    scenario
}

/// Runs a scenario from its text.
pub fn run_text(text: &str) -> Report {
    run(&patient(text))
}

/// The same with what the origin of the first stamp said.
pub fn run_and_listen(text: &str) -> (Report, String) {
    let finished = finish(&patient(text), true);
    let folder = finished.folder.unwrap();
    let said = fs::read_to_string(folder.join("origin-synaxis-weu-001.log")).unwrap();
    fs::remove_dir_all(folder).unwrap();
    (finished.report, said)
}

/// What must be 0: lost, duplicated, cross-talk, misrouted, unexplained, invented.
pub fn counts(oracle: &Judgement) -> [u64; 6] {
    [oracle.lost, oracle.duplicated, oracle.cross_talk, oracle.misrouted, oracle.unexplained, oracle.invented]
}

/// The same of a report.
pub fn against(report: &Report) -> [u64; 6] {
    counts(&report.oracle)
}
