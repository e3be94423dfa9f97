//! One question or order to an admin listener.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the proxies of a world ask of operators that change something.
pub(super) const TOKEN: &str = "of-nobody-but-this-world";
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
    ask(address, Request::get(target), Bytes::new()).await
}

/// Orders with PUT and a JSON document over a connection of its own.
///
/// # Errors
/// No whole answer in two seconds.
pub async fn put(address: SocketAddr, target: &str, document: String) -> io::Result<Answer> {
    let request = Request::put(target)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(header::CONTENT_TYPE, "application/json");
    ask(address, request, document.into()).await
}

async fn ask(address: SocketAddr, request: http::request::Builder, body: Bytes) -> io::Result<Answer> {
    let request = request.header(header::HOST, address.to_string()).header(header::CONNECTION, "close");
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
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
