//! Runs a scenario in this process, one at a time.

use std::{
    fs,
    ops::Deref,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use synaxis_loadtest::{
    report::{Judgement, Report},
    run::{self, Finished, Options, Progress},
    scenario::{SHORT_LAG, Scenario},
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

/// A report. The world's folder, if it was left, stays for whoever looks into a test that fails, and goes otherwise.
pub struct Judged {
    report: Report,
    folder: Option<PathBuf>,
}

impl Deref for Judged {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take().filter(|_| !thread::panicking()) {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

/// Runs a scenario to its report.
pub fn run(scenario: &Scenario) -> Judged {
    let Finished { report, folder } = finish(scenario, false);
    Judged { report, folder }
}

/// What a busy machine needs is added to a scenario.
fn patient(text: &str) -> Scenario {
    let mut scenario = Scenario::parse(text).unwrap();
    scenario.load.lag_max = scenario.load.lag_max.max(SHORT_LAG);
    scenario.load.busy_max = 1.0;
    if !text.contains("in_time") {
        scenario.expect.in_time = 0.0;
    }
    scenario
}

/// Runs a scenario from its text.
pub fn run_text(text: &str) -> Judged {
    run(&patient(text))
}

/// The same with what the origin of the first stamp said.
pub fn run_and_listen(text: &str) -> (Judged, String) {
    let Finished { report, folder } = finish(&patient(text), true);
    let said = fs::read_to_string(folder.as_ref().unwrap().join("origin-synaxis-weu-001.log")).unwrap();
    (Judged { report, folder }, said)
}

/// What must be 0: lost, duplicated, cross-talk, misrouted, unexplained, invented.
pub fn counts(oracle: &Judgement) -> [u64; 6] {
    [oracle.lost, oracle.duplicated, oracle.cross_talk, oracle.misrouted, oracle.unexplained, oracle.invented]
}

/// The same of a report.
pub fn against(report: &Report) -> [u64; 6] {
    counts(&report.oracle)
}
