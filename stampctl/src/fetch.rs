//! One HTTP/1.1 GET: how a table is taken from a proxy that still has it, and how a stamp is asked how it is.
//!
//! Invariant: whatever answers, it costs at most the bytes and the time that were given; no redirect is followed, and the
//! bytes of a table are believed only after the envelope, both hashes and the digest were verified elsewhere. Plain http only: an admin listener on loopback or behind
//! a port-forward. A peer listener over mutual TLS is for proxies.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Response, StatusCode,
    body::Body as _,
    rt::{Read, ReadBufCursor, Write},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use url::Url;

/// Largest answer that holds a table: 64 MiB.
pub(crate) const BYTES_MAX: usize = 64 << 20;

/// Largest body of an answer that is no success.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Fetches a URL within `timeout`, everything included; at most [`BYTES_MAX`].
///
/// # Errors
/// As [`ask`], and for another status than 200.
pub(crate) async fn get(url: &Url, timeout: Duration) -> Result<Bytes, String> {
    let answer = ask(url, BYTES_MAX, timeout).await?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(format!("it answered {status}")),
    }
}

/// Asks a URL within `timeout`, everything included, and reads at most `bytes_max` of the body.
///
/// # Errors
/// In words: no plain http URL, connect or protocol failure, too large, too slow.
pub(crate) async fn ask(url: &Url, bytes_max: usize, timeout: Duration) -> Result<Response<Bytes>, String> {
    if url.scheme() != "http" {
        return Err(
            "only http:// is spoken here; use the admin listener on loopback or through a port-forward".to_owned()
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name is refused".to_owned());
    }
    let slow = |_| format!("no complete answer within {} ms", timeout.as_millis());
    tokio::time::timeout(timeout, exchange(url, bytes_max)).await.map_err(slow)?
}

async fn exchange(url: &Url, bytes_max: usize) -> Result<Response<Bytes>, String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("the URL names no host".to_owned());
    };
    // the resolver wants IPv6 without brackets
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((name, port)).await.map_err(|error| format!("cannot connect: {error}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(Io(stream)).await.map_err(|error| error.to_string())?;
    let request = hyper::Request::get(url.path())
        .header("host", format!("{host}:{port}"))
        .header("user-agent", concat!("stampctl/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        // what a status other than this one has to say is in its head
        let bytes_max = if head.status == StatusCode::OK { bytes_max } else { bytes_max.min(ERROR_BYTES_MAX) };
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(format!("the answer ({}) is larger than {bytes_max} bytes", head.status));
        }
        let collected = Limited::new(body, bytes_max).collect().await;
        collected
            .map(|body| Response::from_parts(head, body.to_bytes()))
            .map_err(|error| format!("the answer broke off or is larger than {bytes_max} bytes: {error}"))
    };
    // the connection is driven here, not by a task: nothing survives this function
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        outcome = &mut connection => match outcome {
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// A tokio stream as hyper wants it.
struct Io(TcpStream);

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut chunk = [0; 16 << 10];
        let room = buf.remaining().min(chunk.len());
        let mut chunk = ReadBuf::new(&mut chunk[..room]);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut chunk))?;
        buf.put_slice(chunk.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that sends these bytes, `gap` apart, and closes after the last, or holds the connection open.
    async fn serve(parts: Vec<Vec<u8>>, hold: bool) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap();
            assert!(request[..n].starts_with(b"GET /routing/table HTTP/1.1\r\n"));
            for part in parts {
                if stream.write_all(&part).await.is_err() {
                    return;
                }
            }
            if hold {
                std::future::pending::<()>().await;
            }
        });
        Url::parse(&format!("http://{address}/routing/table")).unwrap()
    }

    const SHORT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn an_answer_comes_back_byte_for_byte() {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        let url = serve(vec![head, body.clone()], false).await;
        assert_eq!(get(&url, Duration::from_secs(5)).await.unwrap(), body);
    }

    #[tokio::test]
    async fn hostile_answers_end_in_words() {
        let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BYTES_MAX + 1).into_bytes();
        let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
        let cases: Vec<(Vec<Vec<u8>>, bool, &str)> = vec![
            (vec![b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()], false, "404"),
            (vec![b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n".to_vec()], false, "302"),
            (vec![b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()], false, "invalid"),
            (vec![b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_vec()], false, "broke off"),
            (vec![large, vec![b'x'; 1 << 16]], true, "larger than"),
            (std::iter::once(endless).chain(std::iter::repeat_n(chunk, 70)).collect(), true, "larger than"),
            (vec![], true, "within 300 ms"),
            (vec![b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow".to_vec()], true, "within 300 ms"),
        ];
        for (parts, hold, expected) in cases {
            let timeout = if expected == "larger than" { Duration::from_secs(20) } else { SHORT };
            let error = get(&serve(parts, hold).await, timeout).await.unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        for url in ["https://127.0.0.1:1/", "http://user@127.0.0.1:1/", "file:///etc/passwd"] {
            assert!(get(&Url::parse(url).unwrap(), SHORT).await.is_err(), "{url}");
        }
    }
}
