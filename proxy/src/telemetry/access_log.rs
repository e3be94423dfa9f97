//! The access log: one JSON object a request, written by a thread of its own.
//!
//! Invariant: a request never waits for it. The queue is bounded; what does not fit is dropped and counted.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use metrics::Counter;
use synaxis_config::settings::{AccessLog as Settings, Output};

/// Where lines go; cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: SyncSender<String>,
    dropped: Counter,
    sample: f64,
}

impl AccessLog {
    /// Opens the output and starts the writer; `None` when the log is off.
    ///
    /// # Errors
    /// When the file cannot be opened for appending or the thread cannot start.
    pub fn open(settings: &Settings, dropped: Counter) -> io::Result<Option<Self>> {
        let output: Box<dyn Write + Send> = match &settings.output {
            Output::Off => return Ok(None),
            Output::Stdout => Box::new(io::stdout()),
            Output::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (lines, receiver) = sync_channel(settings.queue.max(1));
        thread::Builder::new().name("access-log".into()).spawn(move || write_lines(&receiver, output))?;
        Ok(Some(Self { lines, dropped, sample: settings.sample }))
    }

    /// Whether the request with this random number in `0..1` is logged.
    #[must_use]
    pub fn takes(&self, chance: f64) -> bool {
        chance < self.sample
    }

    /// Hands a line (without its line feed) to the writer or drops it.
    pub fn write(&self, line: String) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.increment(1),
        }
    }
}

/// Writes what has come, flushes when nothing waits. A failed write loses its lines but never the thread: a full disk
/// may have room again later.
fn write_lines(receiver: &Receiver<String>, output: Box<dyn Write + Send>) {
    let mut output = BufWriter::with_capacity(64 << 10, output);
    while let Ok(first) = receiver.recv() {
        let _ = writeln!(output, "{first}");
        while let Ok(line) = receiver.try_recv() {
            let _ = writeln!(output, "{line}");
        }
        let _ = output.flush();
    }
}
