//! An app whose answers a test writes.

use std::{
    io::{BufReader, Write},
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::world::raw::{Raw, lines};

/// A request as the app saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its lines, without the empty one.
    pub lines: Vec<String>,
    /// How many came before it, of all.
    pub turn: usize,
}

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn path(&self) -> &str {
        self.lines[0].split(' ').nth(1).unwrap()
    }

    pub fn method(&self) -> &str {
        self.lines[0].split(' ').next().unwrap()
    }
}

/// What the app does.
pub enum Does {
    /// Sends this and goes on.
    Sends(String),
    /// Sends this and closes.
    Closes(String),
    /// Waits until the gate is open, then sends this.
    Waits(String),
    /// Sends this, waits until the gate is open, and sends that.
    Halts(String, String),
}

/// An app.
pub struct App {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    _raw: Raw,
}

impl App {
    /// One that does what `does` says.
    pub fn start(does: impl Fn(&Asked) -> Does + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let (log, closed, turns) = (Arc::clone(&asked), Arc::clone(&gate), AtomicUsize::new(0));
        let raw = Raw::start(move |mut stream| {
            let _ = stream.set_nodelay(true);
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(lines) = lines(&mut reader) {
                let one = Asked { lines, turn: turns.fetch_add(1, Ordering::SeqCst) };
                if let Some(length) = one.field("content-length").and_then(|length| length.parse::<usize>().ok()) {
                    let mut body = vec![0; length];
                    if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
                        return;
                    }
                }
                log.lock().unwrap().push(one.clone());
                let open = || {
                    let wait = Duration::from_secs(20);
                    drop(closed.1.wait_timeout_while(closed.0.lock().unwrap(), wait, |open| !*open).unwrap());
                };
                let sent = match does(&one) {
                    Does::Sends(text) => stream.write_all(text.as_bytes()),
                    Does::Closes(text) => {
                        let _ = stream.write_all(text.as_bytes());
                        return;
                    }
                    Does::Waits(text) => {
                        open();
                        stream.write_all(text.as_bytes())
                    }
                    Does::Halts(first, then) => {
                        let first = stream.write_all(first.as_bytes());
                        open();
                        first.and_then(|()| stream.write_all(then.as_bytes()))
                    }
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Self { address: raw.address, asked, gate, _raw: raw }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Lets those go on that wait, now and from now on.
    pub fn open(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.open();
    }
}

/// A whole answer with these fields, each with its line end.
pub fn ok(fields: &str, body: &str) -> String {
    answer("200 OK", fields, body)
}

pub fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}
