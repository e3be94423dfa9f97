//! HTTP/2 with prior knowledge: a few connections to each entry that many requests use at the same time.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use super::{
    exchange::{self, Job},
    sample::End,
    shift::Shift,
};

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
        let work = exchange(&shift, &mut job);
        let (end, stamp) = match timeout(shift.timeout, work).await {
            Ok(ended) => ended,
            Err(_) => (End::Broken("timeout"), String::new()),
        };
        shift.end(&job, &end, &stamp);
    });
}

async fn exchange(shift: &Shift, job: &mut Job) -> (End, String) {
    let failed = |how| (End::Broken(how), String::new());
    let mut sender = match shift.multiplexed[job.entry].next().await {
        Ok(sender) => sender,
        Err(error) => return failed(exchange::connect_word(&error)),
    };
    shift.begin(job);
    match sender.send_request(shift.heads.request(job, true)).await {
        Ok(answer) => exchange::read(&shift.heads, job, answer, shift.echo).await,
        Err(error) => failed(exchange::word(&error, "closed")),
    }
}
