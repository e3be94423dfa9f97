//! A small blocking HTTP/1.1 client that hides nothing: one connection, exact bytes out, parsed answers back.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A parsed answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The reason token, which must be the same in the field and in the document.
    pub fn reason(&self) -> String {
        let field = self.header("x-synaxis-reason").unwrap_or_else(|| panic!("no reason in {self:?}")).to_owned();
        if !self.body.is_empty() {
            assert_eq!(self.json()["reason"], field.as_str());
        }
        field
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The same for a connection that may have ended.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes and reads one answer.
    pub fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(bytes)?;
        self.answer(false)
    }

    /// A GET for a tenant.
    pub fn get(&mut self, tenant: &str, path: &str) -> Answer {
        self.try_get(tenant, path).unwrap()
    }

    pub fn try_get(&mut self, tenant: &str, path: &str) -> io::Result<Answer> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\n\r\n").as_bytes())
    }

    /// Reads one answer; `head_only` when the request was a HEAD.
    pub fn answer(&mut self, head_only: bool) -> io::Result<Answer> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            if let Ok(httparse::Status::Complete(length)) = head.parse(&self.buffer) {
                let status = head.code.unwrap();
                let headers: Vec<(String, String)> = head
                    .headers
                    .iter()
                    .map(|field| (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned()))
                    .collect();
                self.buffer.drain(..length);
                let mut answer = Answer { status, headers, body: Vec::new() };
                if !head_only && status != 204 && status != 304 {
                    answer.body = self.body(&answer)?;
                }
                return Ok(answer);
            }
            self.more()?;
        }
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                self.at_least(size + 2)?;
                body.extend(self.buffer.drain(..size));
                self.buffer.drain(..2);
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        let length = answer.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        self.at_least(length)?;
        Ok(self.buffer.drain(..length).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.more()?;
        }
    }

    fn at_least(&mut self, bytes: usize) -> io::Result<()> {
        while self.buffer.len() < bytes {
            self.more()?;
        }
        Ok(())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    /// What still comes until the other side closes; `None` when it is still open after two seconds.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return None;
                }
                Err(_) => return Some(std::mem::take(&mut self.buffer)),
            }
        }
    }

    /// Reads so many bytes that are no answer.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.at_least(count)?;
        Ok(self.buffer.drain(..count).collect())
    }

    /// Whether the other side has closed, waiting for it briefly; anything it still sends is dropped.
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }
}
