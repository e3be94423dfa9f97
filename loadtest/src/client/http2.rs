//! HTTP/2 with prior knowledge: a few connections to each entry that many requests use at the same time.

use std::{cell::Cell, error::Error as _, io, net::SocketAddr, rc::Rc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use super::{exchange, job::Job, sample::End, shift::Shift};

/// Most tries of a request that the server said it has not looked at.
const TRIES: u32 = 5;

/// The connections to one entry; requests take them in turn.
pub(super) struct Group {
    address: SocketAddr,
    connections: Vec<Mutex<Option<SendRequest<Full<Bytes>>>>>,
    turn: Cell<usize>,
}

impl Group {
    pub(super) fn new(address: SocketAddr, size: usize) -> Self {
        Self { address, connections: (0..size).map(|_| Mutex::default()).collect(), turn: Cell::new(0) }
    }

    /// The next connection, opened if it is not there or has ended; others wait while one opens it.
    async fn next(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        self.turn.set(self.turn.get().wrapping_add(1));
        let mut place = self.connections[self.turn.get() % self.connections.len()].lock().await;
        if let Some(sender) = place.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(connection);
        *place = Some(sender.clone());
        Ok(sender)
    }
}

/// Sends a request.
pub(super) fn send(shift: &Rc<Shift>, mut job: Job) {
    let shift = Rc::clone(shift);
    tokio::task::spawn_local(async move {
        job.reach();
        let work = exchange(&shift, &mut job);
        let timed_out = |_| (End::Broken("timeout"), String::new());
        let (end, stamp) = timeout(shift.timeout, work).await.unwrap_or_else(timed_out);
        job.end(&end, &stamp);
    });
}

async fn exchange(shift: &Shift, job: &mut Job) -> (End, String) {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut sender = match shift.multiplexed[job.entry].next().await {
            Ok(sender) => sender,
            Err(error) => return (End::Broken(exchange::connect_word(&error)), String::new()),
        };
        job.begin();
        let error = match sender.try_send_request(shift.heads.request(job, true)).await {
            Ok(answer) => return exchange::read(&shift.heads, job, answer, shift.echo).await,
            Err(error) => error,
        };
        // RFC 9113, section 8.7: such a request may be sent again whatever its method
        let untouched = error.message().is_some() || is_unprocessed(error.error());
        if !untouched || tries == TRIES {
            return (End::Broken(exchange::word(error.error(), "closed")), String::new());
        }
        shift.sent_again();
    }
}

/// Whether the server said that it has not processed the request: refused, or after the last one of its goodbye.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}
