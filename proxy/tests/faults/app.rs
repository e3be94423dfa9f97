//! An app that does with each request what its script says, and keeps every byte of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its head, byte for byte.
    pub head: Vec<u8>,
    /// Its body without its chunks' sizes.
    pub body: Vec<u8>,
}

impl Request {
    pub fn method(&self) -> String {
        self.lines()[0].split(' ').next().unwrap().to_owned()
    }

    pub fn target(&self) -> String {
        self.lines()[0].split(' ').nth(1).unwrap().to_owned()
    }

    /// What stands after `id=` in its target.
    pub fn id(&self) -> String {
        self.target().split_once("id=").map(|(_, id)| id.to_owned()).unwrap_or_default()
    }

    /// The values of a field, in order.
    pub fn all(&self, name: &str) -> Vec<String> {
        let fields = self.lines().into_iter().skip(1);
        let fields =
            fields.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
        fields.filter(|(known, _)| known == name).map(|(_, value)| value).collect()
    }

    /// Its head's lines, one character a byte.
    pub fn lines(&self) -> Vec<String> {
        let text: String = self.head.iter().map(|byte| char::from(*byte)).collect();
        text.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).ok()? == 0 {
                return None;
            }
        }
        let mut request = Self { head, body: Vec::new() };
        if request.all("transfer-encoding") == ["chunked"] {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).ok()?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    return Some(request);
                }
                request.body.extend_from_slice(&chunk[..size]);
            }
        }
        if let Some(length) = request.all("content-length").first() {
            request.body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut request.body).ok()?;
        }
        Some(request)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Do {
    /// It is answered with this status and what it was.
    Answer(u16),
    /// The same after a while.
    Late(Duration, u16),
    /// The same once the app says so: [`App::release`].
    Held(u16),
    /// The same, and the connection ends without having said so.
    Last(u16),
    /// The connection ends.
    Reset,
    /// A head that promises 1000 bytes, ten of them, and the connection ends.
    Cut,
    /// The same, but the connection goes on in silence.
    Stuck,
    /// It becomes a WebSocket that gives every byte back.
    WebSocket,
}

type Script = dyn Fn(&Request) -> Do + Send + Sync;

/// Accepts until it is killed or dropped.
pub struct App {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

struct Shared {
    name: String,
    script: Box<Script>,
    /// How long a connection may be idle before it is closed.
    idle: Duration,
    seen: Mutex<Vec<Request>>,
    count: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
    released: Mutex<bool>,
    release: Condvar,
}

/// Longest idle time, and longest wait of what is held.
const PATIENCE: Duration = Duration::from_secs(20);

impl App {
    pub fn start(name: &str, script: impl Fn(&Request) -> Do + Send + Sync + 'static) -> Self {
        Self::on(0, name, PATIENCE, script)
    }

    /// One that listens on this port and closes connections that are idle for so long.
    pub fn on(port: u16, name: &str, idle: Duration, script: impl Fn(&Request) -> Do + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            script: Box::new(script),
            idle,
            seen: Mutex::default(),
            count: AtomicUsize::new(0),
            streams: Mutex::default(),
            stopped: AtomicBool::new(false),
            released: Mutex::new(false),
            release: Condvar::new(),
        });
        let app = Arc::clone(&shared);
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if app.stopped.load(Ordering::SeqCst) {
                    return;
                }
                app.streams.lock().unwrap().push(stream.try_clone().unwrap());
                let app = Arc::clone(&app);
                thread::spawn(move || {
                    let _ = app.serve(&stream);
                    // its copy would keep it open
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Lets everything that is held be answered, now and from now on.
    pub fn release(&self) {
        *self.shared.released.lock().unwrap() = true;
        self.shared.release.notify_all();
    }

    /// Breaks every connection there is.
    pub fn break_all(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends with all its connections: its port refuses from now on.
    pub fn kill(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
        self.break_all();
        self.release();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if self.acceptor.is_some() {
            self.kill();
        }
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(self.idle)).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream.try_clone().ok()?;
        loop {
            let request = Request::read(&mut reader)?;
            self.seen.lock().unwrap().push(request.clone());
            self.count.fetch_add(1, Ordering::SeqCst);
            let todo = (self.script)(&request);
            let status = match todo {
                Do::Answer(status) | Do::Last(status) => status,
                Do::Late(pause, status) => {
                    thread::sleep(pause);
                    status
                }
                Do::Held(status) => {
                    let held = self.released.lock().unwrap();
                    let _ = self.release.wait_timeout_while(held, PATIENCE, |released| !*released).unwrap();
                    status
                }
                Do::Reset => return None,
                Do::Cut | Do::Stuck => {
                    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").ok()?;
                    if matches!(todo, Do::Stuck) {
                        let _ = reader.read(&mut [0]);
                    }
                    return None;
                }
                Do::WebSocket => {
                    writer.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").ok()?;
                    return std::io::copy(&mut reader, &mut writer).ok().map(|_| ());
                }
            };
            let tenant = request.all("x-tenant-id").join(",");
            let told = serde_json::json!({
                "app": self.name, "tenant": tenant, "target": request.target(), "size": request.body.len(),
            })
            .to_string();
            let body = if request.method() == "HEAD" { "" } else { &told };
            write!(writer, "HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n\r\n{body}", told.len()).ok()?;
            if matches!(todo, Do::Last(_)) {
                return None;
            }
        }
    }
}
