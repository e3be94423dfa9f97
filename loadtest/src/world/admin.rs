//! One question to an admin listener.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest answer that is read.
const BYTES_MAX: usize = 16 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

/// Asks with GET over a connection of its own.
///
/// # Errors
/// No whole answer in two seconds.
pub async fn get(address: SocketAddr, target: &str) -> io::Result<Answer> {
    let request = Request::get(target).header(header::HOST, "admin").header(header::CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let ask = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
        driver.abort();
        Ok(Answer { status, body })
    };
    timeout(PATIENCE, ask).await.map_err(|_| io::ErrorKind::TimedOut)?
}
