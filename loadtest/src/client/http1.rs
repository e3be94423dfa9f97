//! HTTP/1.1 connections. Each has one task, which drives the connection and the request on it.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{exchange, job::Job, pool::Pool, sample::End, shift::Shift};

/// Connections of a thread that are being opened at the same time.
const OPENING: usize = 64;
/// How long an entry may take to accept one before the load begins.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may need after an answer until it can take the next request. An answer may come before the
/// upload has left, and the server may never read the rest.
const TURNAROUND: Duration = Duration::from_millis(250);

/// A connection and what drives it.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Driver>,
    /// Whether it ended because something came that nobody had asked for.
    surplus: bool,
    /// The request that it carried last.
    last: Option<u64>,
}

/// What moves the bytes of a connection; it owns no task.
type Driver = Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

impl Link {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Self { sender, connection: Some(Box::pin(connection)), surplus: false, last: None })
    }

    /// Moves bytes. Ready when the connection has ended.
    fn poll(connection: &mut Option<Driver>, surplus: &mut bool, context: &mut Context<'_>) -> Poll<()> {
        let Some(open) = connection else { return Poll::Ready(()) };
        let Poll::Ready(ended) = open.as_mut().poll(context) else { return Poll::Pending };
        *connection = None;
        *surplus |= ended.is_err_and(|error| exchange::is_surplus(&error));
        Poll::Ready(())
    }

    /// Polls the connection beside `work`, in this task.
    async fn drive<F: Future>(connection: &mut Option<Driver>, surplus: &mut bool, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            let _ = Self::poll(connection, surplus, context);
            work.as_mut().poll(context)
        })
        .await
    }

    /// Sends a request and reads its answer; `Err` gives a request back of which nothing was sent.
    async fn exchange(&mut self, shift: &Shift, job: &Job) -> Result<(End, String), NotSent> {
        let request = self.sender.try_send_request(shift.heads.request(job, false));
        let work = async {
            match request.await {
                Ok(answer) => Ok(exchange::read(&shift.heads, job, answer, shift.echo).await),
                Err(mut error) => match error.take_message() {
                    Some(_) => Err(NotSent),
                    None => Ok((End::Broken(exchange::word(error.error(), "closed")), String::new())),
                },
            }
        };
        let work = Self::drive(&mut self.connection, &mut self.surplus, work);
        let result = timeout(job.left(), work).await.unwrap_or_else(|_| Ok((End::Broken("timeout"), String::new())));
        if result.is_ok() {
            self.last = Some(job.id);
        }
        result
    }

    /// Whether another request may go over it.
    async fn is_ready(&mut self) -> bool {
        let ready = Self::drive(&mut self.connection, &mut self.surplus, self.sender.ready());
        matches!(timeout(TURNAROUND, ready).await, Ok(Ok(()))) && self.connection.is_some()
    }

    /// Waits for a request; `None` when the connection ends first.
    async fn idle(&mut self, mut turn: oneshot::Receiver<Job>) -> Option<Job> {
        let (connection, surplus) = (&mut self.connection, &mut self.surplus);
        let job = poll_fn(|context| {
            if let Poll::Ready(job) = Pin::new(&mut turn).poll(context) {
                return Poll::Ready(job.ok());
            }
            Self::poll(connection, surplus, context).map(|()| None)
        })
        .await;
        // or given to it in the same instant
        job.or_else(|| turn.try_recv().ok())
    }
}

/// Nothing of the request has left.
struct NotSent;

/// Opens all connections and sends one request over each, so that none is closed for never having been used.
pub(super) async fn open_all(shift: &Rc<Shift>) -> anyhow::Result<()> {
    let wanted = shift.pools.iter().flat_map(|pool| (0..pool.size).map(move |_| pool));
    let mut opening = stream::iter(wanted.map(|pool| async move {
        let open = async {
            let mut link = Link::open(pool.address).await?;
            let answer = link.sender.send_request(shift.heads.greeting(pool.entry));
            let whole = async { answer.await?.into_body().collect().await };
            Link::drive(&mut link.connection, &mut link.surplus, whole).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(link)
        };
        let link = match timeout(PATIENCE, open).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => anyhow::bail!("{} takes no connection: {error}", pool.address),
            Err(_) => anyhow::bail!("{} took no connection in {PATIENCE:?}", pool.address),
        };
        pool.spare.borrow_mut().push(link);
        Ok(())
    }))
    .buffer_unordered(OPENING);
    while let Some(opened) = opening.next().await {
        opened.context("before the load")?;
    }
    Ok(())
}

/// Makes the connections that were opened idle ones.
pub(super) fn settle(shift: &Rc<Shift>) {
    for pool in &shift.pools {
        for link in pool.spare.take() {
            keep(shift, pool, Some(link), None);
        }
    }
}

/// Starts the task of a kept connection.
pub(super) fn keep(shift: &Rc<Shift>, pool: &Rc<Pool>, link: Option<Link>, job: Option<Job>) {
    pool.opened();
    let (shift, pool) = (Rc::clone(shift), Rc::clone(pool));
    tokio::task::spawn_local(async move {
        if let Some(job) = serve(&shift, &pool, link, job).await {
            pool.closed(&shift);
            pool.take(&shift, job);
        } else {
            pool.closed(&shift);
        }
    });
}

/// Serves requests until the connection ends; returns one of which nothing was sent.
async fn serve(shift: &Rc<Shift>, pool: &Rc<Pool>, link: Option<Link>, job: Option<Job>) -> Option<Job> {
    let (mut link, first, fresh) = match (link, job) {
        (Some(link), job) => (link, job, false),
        (None, Some(mut job)) => {
            job.reach();
            job.begin();
            match connect(&job, pool.address).await {
                Ok(link) => {
                    shift.opened_again();
                    (link, Some(job), true)
                }
                Err(end) => {
                    job.end(&end, "");
                    return None;
                }
            }
        }
        (None, None) => return None,
    };
    let back = turns(shift, pool, &mut link, first, fresh).await;
    if link.surplus {
        shift.surplus(link.last);
    }
    back
}

/// One request after the other.
async fn turns(shift: &Shift, pool: &Pool, link: &mut Link, first: Option<Job>, mut fresh: bool) -> Option<Job> {
    let mut next = first;
    loop {
        let mut job = match next.take() {
            Some(job) => job,
            None => link.idle(pool.park()).await?,
        };
        job.reach();
        job.begin();
        match link.exchange(shift, &job).await {
            Ok((end, stamp)) => {
                job.end(&end, &stamp);
                if matches!(end, End::Broken(_)) || !link.is_ready().await {
                    return None;
                }
            }
            // a fresh connection that takes nothing is no better than none
            Err(NotSent) if fresh => job.end(&End::Broken("closed"), ""),
            Err(NotSent) => {
                shift.sent_again();
                return Some(job);
            }
        }
        fresh = false;
        next = pool.next();
    }
}

async fn connect(job: &Job, address: SocketAddr) -> Result<Link, End> {
    match timeout(job.left(), Link::open(address)).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(error)) => {
            // a server that is gone refuses at once; without a pause every waiting request would hit it in a burst
            sleep(Duration::from_millis(1)).await;
            Err(End::Broken(exchange::connect_word(&error)))
        }
        Err(_) => Err(End::Broken("connect_timeout")),
    }
}

/// A request on a connection of its own.
pub(super) fn once(shift: &Rc<Shift>, mut job: Job) {
    let shift = Rc::clone(shift);
    tokio::task::spawn_local(async move {
        job.reach();
        job.begin();
        let mut link = match connect(&job, shift.pools[job.entry].address).await {
            Ok(link) => link,
            Err(end) => return job.end(&end, ""),
        };
        match link.exchange(&shift, &job).await {
            Ok((end, stamp)) => job.end(&end, &stamp),
            Err(NotSent) => job.end(&End::Broken("closed"), ""),
        }
        // what came with the answer is seen when it is asked for the next one
        link.is_ready().await;
        if link.surplus {
            shift.surplus(link.last);
        }
    });
}
