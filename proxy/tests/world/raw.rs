//! An app of raw bytes: a closure for each of its connections.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Accepts until it is dropped.
pub struct Raw {
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Raw {
    /// Runs `each` in a thread of its own for every connection, which ends with it.
    pub fn start(each: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (each, stopped) = (Arc::new(each), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&stopped);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let each = Arc::clone(&each);
                thread::spawn(move || stream.map(|stream| each(stream)));
            }
        });
        Self { address, stopped }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a request's head, line by line in lower case; nothing when the connection ends before it does.
pub fn head(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    Some(lines(reader)?.into_iter().map(|line| line.to_ascii_lowercase()).collect())
}

/// The same as it was written.
pub fn lines(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(lines);
        }
        lines.push(line.trim_end().to_owned());
    }
}
