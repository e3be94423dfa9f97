//! What is cleaned up when somebody stops this program. The servers need nothing: the kernel ends them with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process, thread,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::baseline;

/// As a shell counts it: ended by the signal INT.
const STATUS: i32 = 130;

/// Removes what lies in the scratch folder, and it, when this program is asked to end.
pub(crate) fn clean_up(scratch: &Path) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    let scratch: PathBuf = scratch.to_owned();
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        baseline::remove(&scratch);
        let _ = fs::remove_dir_all(&scratch);
        process::exit(STATUS);
    })?;
    Ok(())
}
