//! One connection to the admin listener.
//!
//! Invariant: it has an end. Whoever asks slowly, never asks, or does not read what was asked for, gives the place back.

use std::{convert::Infallible, future::Future, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::{Bytes, Incoming},
    rt::{Read, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioTimer;
use tokio::time::timeout;

/// Longest that a client may take over a head or stay idle.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection takes new requests; a scraper that comes again connects again.
const LIFE: Duration = Duration::from_secs(60);
/// How long after that its last answer may take.
const LAST: Duration = Duration::from_secs(30);

/// Answers what comes over one connection, until either side has enough.
///
/// # Errors
/// It broke, or what came is no HTTP.
pub(super) async fn serve<I, B, F>(io: I, answer: impl Fn(Request<Incoming>) -> F) -> hyper::Result<()>
where
    I: Read + Write + Unpin,
    B: Body<Data = Bytes, Error = Infallible> + 'static,
    F: Future<Output = Response<B>>,
{
    let handler = service_fn(move |request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).serve_connection(io, handler);
    tokio::pin!(connection);
    if let Ok(ended) = timeout(LIFE, connection.as_mut()).await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    timeout(LAST, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::Instant,
    };

    use super::*;

    /// Long enough to fill what is between.
    const ANSWER: usize = 1 << 20;

    async fn big(_: Request<Incoming>) -> Response<Full<Bytes>> {
        Response::new(Full::new(Bytes::from(vec![b'x'; ANSWER])))
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_gives_the_place_back() {
        let (mut client, server) = duplex(64);
        let began = Instant::now();
        client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let ended = serve(TokioIo::new(server), big).await;
        assert!(ended.is_ok() && began.elapsed() == LIFE + LAST, "{ended:?} {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_reading_when_the_time_is_over_reads_to_the_end() {
        let (mut client, server) = duplex(ANSWER / 4);
        let asks = async {
            let mut all = Vec::new();
            client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            tokio::time::sleep(LIFE + LAST / 2).await;
            client.read_to_end(&mut all).await.unwrap();
            all
        };
        let (ended, all) = tokio::join!(serve(TokioIo::new(server), big), asks);
        assert!(ended.is_ok() && all.len() > ANSWER, "{ended:?} {}", all.len());
    }
}
