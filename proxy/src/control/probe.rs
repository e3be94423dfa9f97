//! One question to something that should be well: a GET, or only a connection.
//!
//! Invariant: whatever is at the other end, an answer costs at most [`HEAD_BYTES_MAX`] and its body nothing: the connection
//! ends with the head. Who asks sets the time limit.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONNECTION, HOST, USER_AGENT},
};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest head of an answer in bytes.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most fields of an answer.
const FIELDS_MAX: usize = 100;
/// Who asks, for the log of whoever is asked.
const AGENT: &str = concat!("synaxis-proxy/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Why a probe has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No whole head, or no connection, in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// This process had no socket to ask with, which says nothing of whom it wanted to ask.
    #[error("{0}")]
    NoSocket(String),
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// What came back is no HTTP, or the connection broke.
    #[error("no valid answer: {0}")]
    Exchange(String),
    /// An answer that is none of 200 to 299.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// A stamp that says so itself.
    #[error("it says that its app does not serve")]
    App,
    /// In time, but not soon enough.
    #[error("it took {took:?}, and may take {most:?}")]
    Slow {
        /// How long the answer took.
        took: Duration,
        /// How long it may take.
        most: Duration,
    },
    /// A Redis that answers something else.
    #[error("its answer to PING is {0}")]
    Ping(String),
}

/// Asks for a path and takes the head of the answer, whatever it says. `host` is HOST:PORT.
///
/// # Errors
/// [`Failure::Exchange`].
pub async fn get(stream: TcpStream, host: &str, path: &str) -> Result<Response<()>, Failure> {
    let failed = |error: &dyn std::error::Error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::Exchange(format!("{error}{cause}"))
    };
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    // without a task of its own: when this future is dropped, so is the connection
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    };
    Ok(answer.map_err(|error| failed(&error))?.map(drop))
}

/// Whether an answer is a good one.
///
/// # Errors
/// [`Failure::Status`] unless it is 200 to 299.
pub fn judge(answer: &Response<()>) -> Result<(), Failure> {
    if answer.status().is_success() { Ok(()) } else { Err(Failure::Status(answer.status())) }
}

/// Waits for a probe, but no longer than `limit`.
///
/// # Errors
/// What the probe says, or [`Failure::Timeout`].
pub async fn within<T>(limit: Duration, probe: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, probe).await.unwrap_or(Err(Failure::Timeout(limit)))
}

/// A number from 0 to 1 that differs between proxies and moments.
pub fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0_u64) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A task that ends when whoever wanted it no longer does.
#[derive(Debug)]
pub struct Asking(tokio::task::JoinHandle<Infallible>);

impl Asking {
    /// Starts it on this thread.
    pub fn start(asks: impl Future<Output = Infallible> + 'static) -> Self {
        Self(crate::tasks::spawn_local(asks))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
        time::Instant,
    };

    use super::*;

    /// What a probe makes of somebody who reads a head and then does this.
    fn ask(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> Result<Response<()>, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            serve(stream);
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(within(Duration::from_millis(500), async {
            let stream = TcpStream::connect(address).await.unwrap();
            let answer = get(stream, &address.to_string(), "/health").await?;
            judge(&answer)?;
            Ok(answer)
        }))
    }

    fn says(bytes: &'static [u8]) -> impl FnOnce(std::net::TcpStream) + Send + 'static {
        move |mut stream| {
            let _ = stream.write_all(bytes);
        }
    }

    #[test]
    fn two_hundred_to_299_is_a_good_answer_and_its_body_is_not_waited_for() {
        for good in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\nx: 1\r\n\r\n"[..],
            b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n",
            b"HTTP/1.0 299 Fine\r\nx: 1\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: 1\r\n\r\n",
        ] {
            assert_eq!(ask(says(good)).unwrap().headers()["x"], "1", "{good:?}");
        }
        for (bad, status) in [
            (&b"HTTP/1.1 300 Choices\r\n\r\n"[..], 300),
            (b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n", 302),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", 404),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503),
            (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 101),
        ] {
            assert_eq!(ask(says(bad)).unwrap_err(), Failure::Status(StatusCode::from_u16(status).unwrap()));
        }
    }

    #[test]
    fn whoever_answers_badly_costs_a_bounded_time_and_a_bounded_head() {
        let began = Instant::now();
        for garbage in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200", b"\0\0\0\0", b"HTTP/1.1 2\r\n\r\n"] {
            assert!(matches!(ask(says(garbage)), Err(Failure::Exchange(_))), "{garbage:?}");
        }
        // a head without end: given up long before the time is
        let endless = ask(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        assert!(matches!(endless, Err(Failure::Exchange(_))), "{endless:?}");
        let crumbs = ask(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"x: y\r\n").is_ok() {}
        });
        assert!(matches!(crumbs, Err(Failure::Exchange(_))), "{crumbs:?}");
        assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
        let silent = ask(|stream| {
            thread::sleep(Duration::from_secs(1));
            drop(stream);
        });
        assert_eq!(silent.unwrap_err(), Failure::Timeout(Duration::from_millis(500)));
    }
}
