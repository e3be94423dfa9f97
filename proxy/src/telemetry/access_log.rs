//! The access log: one JSON object a request, written by a thread of its own.
//!
//! Invariant: a request never waits for it. The queue is bounded; what does not fit is dropped and counted.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use metrics::Counter;
use synaxis_config::settings::{AccessLog as Settings, Output};

/// Bytes that are written at a time, give or take a line.
const BLOCK: usize = 64 << 10;

/// Where lines go; cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: SyncSender<String>,
    dropped: Counter,
}

impl AccessLog {
    /// Opens the output and starts the writer; `None` when the log is off. The writer ends, everything written, when the
    /// last clone is gone.
    ///
    /// # Errors
    /// When the file cannot be opened for appending or the thread cannot start.
    pub fn open(settings: &Settings, dropped: Counter) -> io::Result<Option<(Self, JoinHandle<()>)>> {
        let output: Box<dyn Write + Send> = match &settings.output {
            Output::Off => return Ok(None),
            Output::Stdout => Box::new(io::stdout()),
            Output::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (lines, receiver) = sync_channel(settings.queue.max(1));
        let lost = dropped.clone();
        let writer =
            thread::Builder::new().name("access-log".into()).spawn(move || write_lines(&receiver, output, &lost))?;
        Ok(Some((Self { lines, dropped }, writer)))
    }

    /// Hands a line (without its line feed) to the writer or drops it.
    pub fn write(&self, line: String) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.increment(1),
        }
    }
}

/// Writes what has come. A failed write loses its lines, which are counted, but never the thread: a full disk may have
/// room again later.
fn write_lines(receiver: &Receiver<String>, mut output: Box<dyn Write + Send>, lost: &Counter) {
    let mut block = Vec::with_capacity(BLOCK);
    while let Ok(first) = receiver.recv() {
        let mut lines = 1;
        block.extend_from_slice(first.as_bytes());
        block.push(b'\n');
        while block.len() < BLOCK
            && let Ok(line) = receiver.try_recv()
        {
            lines += 1;
            block.extend_from_slice(line.as_bytes());
            block.push(b'\n');
        }
        if output.write_all(&block).and_then(|()| output.flush()).is_err() {
            lost.increment(lines);
        }
        block.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_and_nobody_waits() {
        let (lines, receiver) = sync_channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let log = AccessLog { lines, dropped: Counter::from_arc(Arc::clone(&dropped)) };
        let started = Instant::now();
        for number in 0..1_000 {
            log.write(number.to_string());
        }
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(dropped.load(Ordering::Relaxed), 998);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["0", "1"]);
        // the writer is gone: lines are still dropped and counted, not waited for
        drop(receiver);
        log.write("late".into());
        assert_eq!(dropped.load(Ordering::Relaxed), 999);
    }

    #[test]
    fn a_writer_whose_output_fails_goes_on() {
        struct Flaky(Arc<AtomicU64>);
        impl Write for Flaky {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (lines, receiver) = sync_channel(8);
        let writes = Arc::new(AtomicU64::new(0));
        let output = Box::new(Flaky(Arc::clone(&writes)));
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Counter::from_arc(Arc::clone(&lost));
        let writer = thread::spawn(move || write_lines(&receiver, output, &counter));
        lines.send("lost".into()).unwrap();
        while writes.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        lines.send("kept".into()).unwrap();
        drop(lines);
        writer.join().unwrap();
        assert_eq!((writes.load(Ordering::Relaxed), lost.load(Ordering::Relaxed)), (2, 1));
    }
}
