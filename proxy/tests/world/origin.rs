//! An app that records what it was asked and misbehaves on request, by path.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// One request as the app saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Bytes of a `/big` answer: more than all socket buffers on its way.
pub const BIG: usize = 128 << 20;

/// An app. Paths: `/slow` is answered once [`Origin::release`] says so, `/cut` promises 1000 bytes and sends 10, `/reset` closes without an answer,
/// `/garbage` is no HTTP, `/chunked` streams, `/switch` answers 101, `/websocket` agrees to one and echoes, `/hang` sends 10 of
/// 1000 bytes and no more, `/big` sends [`BIG`] bytes, `/early` answers before it reads the upload, `/stall` waits before
/// that, `/twice` says its length twice, anything else answers a small JSON document.
pub struct Origin {
    pub address: SocketAddr,
    /// Bytes of `/big` answers that the kernel has taken.
    pub written: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
    released: Arc<Released>,
}

/// Whether `/slow` may be answered.
#[derive(Default)]
struct Released(Mutex<bool>, Condvar);

impl Released {
    fn wait(&self) {
        let _ = self.1.wait_timeout_while(self.0.lock().unwrap(), PATIENCE, |released| !*released).unwrap();
    }
}

/// Longest wait of `/slow`, for a test that never says so.
const PATIENCE: Duration = Duration::from_secs(20);

impl Origin {
    pub fn start(name: &str) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), name)
    }

    fn on(listener: TcpListener, name: &str) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let written = Arc::new(AtomicUsize::new(0));
        let (log, end, name) = (Arc::clone(&seen), Arc::clone(&stopped), name.to_owned());
        let count = Arc::clone(&written);
        let released: Arc<Released> = Arc::default();
        let gate = Arc::clone(&released);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (log, end, name) = (Arc::clone(&log), Arc::clone(&end), name.clone());
                let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
                thread::spawn(move || stream.map(|stream| serve(stream, &name, &log, &end, &count, &gate)));
            }
        });
        Self { address, written, seen, stopped, released }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Lets `/slow` be answered, now and from now on.
    pub fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    /// Stops accepting; connections end with their next request.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        self.release();
    }
}

fn serve(
    mut stream: TcpStream,
    name: &str,
    log: &Mutex<Vec<Seen>>,
    stopped: &AtomicBool,
    written: &AtomicUsize,
    released: &Released,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let head = read_head(&mut reader)?;
        let path = head.line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        match path.as_str() {
            // the answer first, then the upload
            "/early" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").ok()?,
            "/stall" => thread::sleep(Duration::from_millis(700)),
            _ => {}
        }
        let seen = read_body(&mut reader, head)?;
        if stopped.load(Ordering::SeqCst) {
            return None;
        }
        if path == "/early" {
            log.lock().unwrap().push(seen);
            continue;
        }
        let path = seen.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let tenant = seen.all("x-tenant-id").join(",");
        let size = seen.body.len();
        log.lock().unwrap().push(seen.clone());
        let json = format!(r#"{{"stamp":"{name}","tenant":"{tenant}","path":"{path}","size":{size}}}"#);
        let head_only = seen.line.starts_with("HEAD ");
        match path.split('?').next().unwrap_or_default() {
            "/slow" => released.wait(),
            "/cut" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").ok()?;
                // long enough for the head to be on its way down
                thread::sleep(Duration::from_millis(100));
                return None;
            }
            "/reset" => return None,
            "/garbage" => {
                stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").ok()?;
                return None;
            }
            "/switch" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
                    .ok()?;
                continue;
            }
            "/websocket" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Synaxis-Spoof: yes\r\n\r\n")
                    .ok()?;
                // every byte back as it comes
                return std::io::copy(&mut reader, &mut stream).ok().map(|_| ());
            }
            "/both" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").ok()?;
                continue;
            }
            "/big" => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n").ok()?;
                for _ in 0..BIG >> 16 {
                    stream.write_all(&[b'x'; 64 << 10]).ok()?;
                    written.fetch_add(64 << 10, Ordering::SeqCst);
                }
                continue;
            }
            "/hang" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").ok()?;
                // silent until the proxy gives up
                return reader.read_line(&mut String::new()).ok().map(|_| ());
            }
            "/twice" => {
                let body = if head_only { "" } else { "hello" };
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n{body}").ok()?;
                continue;
            }
            "/chunked" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                for part in ["one ", "two ", "three"] {
                    write!(stream, "{:x}\r\n{part}\r\n", part.len()).ok()?;
                    thread::sleep(Duration::from_millis(30));
                }
                stream.write_all(b"0\r\n\r\n").ok()?;
                continue;
            }
            _ => {}
        }
        let body = if head_only { "" } else { &json };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Synaxis-Spoof: yes\r\nKeep-Alive: timeout=5\r\nContent-Length: {}\r\n\r\n{body}", json.len()).ok()?;
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    if line.is_empty() {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let field = field.trim_end();
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Some(Seen { line: line.trim_end().to_owned(), headers, body: Vec::new() })
}

fn read_body(reader: &mut BufReader<TcpStream>, mut seen: Seen) -> Option<Seen> {
    if seen.all("transfer-encoding") == ["chunked"] {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            seen.body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = seen.all("content-length").first().and_then(|value| value.parse::<usize>().ok()) {
        seen.body = vec![0; length];
        reader.read_exact(&mut seen.body).ok()?;
    }
    Some(seen)
}
