//! A small HTTP/1.1 client for what is asked outside the load: one request at a time on a kept connection.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Longest that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16_384;

/// A kept connection.
pub(crate) struct Client {
    stream: TcpStream,
    port: u16,
}

impl Client {
    pub(crate) fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, port })
    }

    /// The body of the answer, which must be a 200 with a length.
    pub(crate) fn get(&mut self, path: &str, tenant: &str) -> anyhow::Result<String> {
        self.get_with(path, tenant, "")
    }

    /// The same with more fields, each with its end of line.
    pub(crate) fn get_with(&mut self, path: &str, tenant: &str, fields: &str) -> anyhow::Result<String> {
        let port = self.port;
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Tenant-Id: {tenant}\r\n{fields}\r\n");
        // in one piece, or the proxy would parse it in several
        self.stream.write_all(head.as_bytes())?;
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let mut got = 0;
        loop {
            if let Some(body) = whole(&buffer[..got])? {
                return Ok(body);
            }
            let count = self.stream.read(&mut buffer[got..])?;
            anyhow::ensure!(count > 0, "port {port} closed a connection or answers too much");
            got += count;
        }
    }

    /// Whether the other side has kept the connection and said nothing on it.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0];
        let quiet = self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        quiet && self.stream.set_nonblocking(false).is_ok()
    }
}

/// Waits until a server gives a good answer: it may listen before it knows where to send requests.
pub(crate) fn wait_until_served(port: u16, tenant: &str, longest: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + longest;
    loop {
        let outcome = Client::connect(port).and_then(|mut client| client.get("/", tenant));
        match outcome {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error.context(format!("port {port} does not serve"))),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The body, once a whole answer with status 200 and a length is there.
fn whole(answer: &[u8]) -> anyhow::Result<Option<String>> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let head = head.to_ascii_lowercase();
    anyhow::ensure!(head.starts_with("http/1.1 200"), "the answer was {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no content-length")?;
    Ok((body.len() >= length.trim().parse()?).then(|| body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_it_is_whole_and_good() {
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nABc").unwrap().as_deref(), Some("ABc"));
        assert!(whole(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }

    #[test]
    fn a_closed_connection_is_noticed() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = Client::connect(listener.local_addr().unwrap().port()).unwrap();
        let (other_side, _) = listener.accept().unwrap();
        assert!(client.is_open());
        drop(other_side);
        let end = Instant::now() + Duration::from_secs(5);
        while client.is_open() {
            assert!(Instant::now() < end, "the end is not seen");
        }
    }
}
