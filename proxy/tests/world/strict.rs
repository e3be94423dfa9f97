//! An app that parses bytes itself, strictly, and records exactly what it found: the judge of what the proxy sends.
//!
//! It shares no code with the proxy or its libraries. Whatever RFC 9112 leaves to the recipient's mercy is a fault here: bare
//! CR or LF, blanks around names, folding, extensions, two framings, bytes behind a request that has no answer yet.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

mod misbehave;

/// How a request says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length,
    Chunked,
}

/// One whole request.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub method: String,
    pub target: String,
    /// Names in lower case, in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    pub framing: Framing,
    pub body: Vec<u8>,
}

impl Parsed {
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn tenant(&self) -> String {
        self.all("x-tenant-id").join(",")
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body that answers this request: every word names the tenant and the target.
    pub fn reply(&self) -> String {
        format!("{}|{}|{} ", self.tenant(), self.method, self.target).repeat(3)
    }
}

/// Why no further request comes from a connection.
enum End {
    /// It was closed, perhaps in the middle of a request, which then does not count.
    Closed,
    /// What came is not what RFC 9112 says.
    Fault(String),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

#[derive(Default)]
struct Log {
    parsed: Vec<Parsed>,
    faults: Vec<String>,
}

/// The app. Paths that make it misbehave are in `misbehave`; anything else is answered with [`Parsed::reply`].
pub struct Strict {
    pub address: SocketAddr,
    /// Bytes that came, requests or not.
    pub received: Arc<AtomicUsize>,
    log: Arc<Mutex<Log>>,
    stopped: Arc<AtomicBool>,
}

impl Strict {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, stopped) = (Arc::<Mutex<Log>>::default(), Arc::<AtomicBool>::default());
        let (records, end) = (Arc::clone(&log), Arc::clone(&stopped));
        let received = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (records, count) = (Arc::clone(&records), Arc::clone(&count));
                thread::spawn(move || stream.map(|stream| serve(stream, &records, count)));
            }
        });
        Self { address, received, log, stopped }
    }

    pub fn count(&self) -> usize {
        self.log.lock().unwrap().parsed.len()
    }

    /// The requests since the first `from`.
    pub fn since(&self, from: usize) -> Vec<Parsed> {
        self.log.lock().unwrap().parsed[from..].to_vec()
    }

    /// Everything that came and was not HTTP as it must be.
    pub fn faults(&self) -> Vec<String> {
        self.log.lock().unwrap().faults.clone()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, log: &Mutex<Log>, received: Arc<AtomicUsize>) {
    let _ = stream.set_nodelay(true);
    let mut wire = Wire { stream, buffer: Vec::new(), received };
    loop {
        match wire.request(log) {
            Ok(()) => {}
            Err(End::Closed) => return,
            Err(End::Fault(words)) => return log.lock().unwrap().faults.push(words),
        }
    }
}

struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    received: Arc<AtomicUsize>,
}

impl Wire {
    fn request(&mut self, log: &Mutex<Log>) -> Result<(), End> {
        let mut parsed = self.head()?;
        // before the upload is read
        misbehave::early(&mut self.stream, &parsed)?;
        parsed.body = match parsed.framing {
            Framing::None => Vec::new(),
            Framing::Length => {
                let length = parsed.all("content-length")[0].parse().unwrap_or(usize::MAX);
                self.exactly(length)?
            }
            Framing::Chunked => self.chunks()?,
        };
        if !self.buffer.is_empty() {
            return Err(fault("bytes behind a request without an answer", &self.buffer));
        }
        log.lock().unwrap().parsed.push(parsed.clone());
        misbehave::answer(&mut self.stream, &parsed)?;
        Ok(())
    }

    fn head(&mut self) -> Result<Parsed, End> {
        let line = self.line()?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(b"HTTP/1.1"), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fault("request line", &line));
        };
        if method.is_empty() || !method.iter().all(is_token) || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err(fault("request line", &line));
        }
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| fault("no colon", &line))?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let clean = value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
            if name.is_empty() || !name.iter().all(is_token) || !clean {
                return Err(fault("field", &line));
            }
            fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, target) = (text(method), text(target));
        let mut parsed = Parsed { method, target, fields, framing: Framing::None, body: Vec::new() };
        let hosts = parsed.all("host");
        if hosts.len() != 1 || hosts[0].is_empty() {
            return Err(End::Fault(format!("not exactly one Host: {parsed:?}")));
        }
        let (lengths, codings) = (parsed.all("content-length"), parsed.all("transfer-encoding"));
        parsed.framing = match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Framing::None,
            ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => Framing::Length,
            ([], [coding]) if coding == "chunked" => Framing::Chunked,
            _ => return Err(End::Fault(format!("not one framing: {parsed:?}"))),
        };
        Ok(parsed)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let hex = !line.is_empty() && line.len() <= 8 && line.iter().all(u8::is_ascii_hexdigit);
            let text = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(&text, 16).ok().filter(|_| hex);
            let size = size.ok_or_else(|| fault("chunk size", &line))?;
            body.extend(self.exactly(size)?);
            let end = self.line()?;
            if !end.is_empty() {
                return Err(fault(if size == 0 { "trailers" } else { "end of a chunk" }, &end));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// A line without its CRLF, in which neither CR, LF nor NUL stands alone.
    fn line(&mut self) -> Result<Vec<u8>, End> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                let at = from + at;
                match &self.buffer[at..] {
                    [b'\r', b'\n', ..] => {
                        let line = self.buffer[..at].to_vec();
                        self.buffer.drain(..at + 2);
                        return Ok(line);
                    }
                    [b'\r'] => from = at,
                    _ => return Err(fault("a bare CR, LF or NUL", &self.buffer)),
                }
            } else {
                from = self.buffer.len();
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, bytes: usize) -> Result<Vec<u8>, End> {
        while self.buffer.len() < bytes {
            self.more()?;
        }
        Ok(self.buffer.drain(..bytes).collect())
    }

    fn more(&mut self) -> Result<(), End> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(End::Closed),
            read => {
                self.received.fetch_add(read, Ordering::Relaxed);
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn fault(what: &str, bytes: &[u8]) -> End {
    End::Fault(format!("{what}: {:?}", bytes.escape_ascii().to_string()))
}

/// An ordinary answer.
fn reply(stream: &mut TcpStream, parsed: &Parsed) -> io::Result<()> {
    let body = parsed.reply();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let body = if parsed.method == "HEAD" { "" } else { &body };
    stream.write_all(format!("{head}{body}").as_bytes())
}
