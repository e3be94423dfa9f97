//! Clients that are slow on purpose.
//!
//! Invariant: they count as come once each of them has had its connection for a while at the same instant; clients that
//! are turned away at the door are no load.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{workload, world::eventually};

/// Slow clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slowness {
    /// How many at the same time.
    pub clients: u32,
    /// Where they dawdle.
    pub at: Phase,
}

/// Where a slow client dawdles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It says nothing.
    FirstByte,
    /// The request's head comes byte by byte.
    Head,
    /// The upload comes byte by byte.
    Upload,
    /// The answer is read byte by byte.
    Answer,
}

/// Time between two bytes.
const PAUSE: Duration = Duration::from_millis(200);
/// Before a client that was turned away comes back.
const RETURN: Duration = Duration::from_millis(100);
/// A connection that is older than this is not about to be turned away.
const HELD: Duration = Duration::from_millis(500);
/// Longest wait until all clients have such a connection.
const COMING: Duration = Duration::from_secs(5);

/// Bytes of an answer that is read slowly: more than all buffers on its way.
const ANSWER: u32 = 4 << 20;

fn get(tenant: &str) -> String {
    format!("GET /load HTTP/1.1\r\nHost: slow\r\nX-Tenant-Id: {tenant}\r\nX-Load-Bytes: {ANSWER}\r\n\r\n")
}

fn post(tenant: &str) -> String {
    format!("POST /load HTTP/1.1\r\nHost: slow\r\nX-Tenant-Id: {tenant}\r\nContent-Length: 1000000\r\n\r\n")
}

impl Slowness {
    pub(super) fn check(&self, lasts: Option<Duration>) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=20_000).contains(&self.clients) {
            faults.push("slow-clients.clients is 1 to 20,000".into());
        }
        if lasts.is_none() {
            faults.push("slow-clients need `for`: how long they stay".into());
        }
        faults
    }

    pub(super) fn words(&self) -> String {
        let at = match self.at {
            Phase::FirstByte => "say nothing",
            Phase::Head => "send their head slowly",
            Phase::Upload => "upload slowly",
            Phase::Answer => "read slowly",
        };
        format!("{} clients {at}", self.clients)
    }
}

/// They come, return whenever they are turned away, and go when their time is over. Returns then, and says how often they
/// were turned away.
///
/// # Errors
/// Not all of them were connected at the same time.
pub(super) async fn come(how: &Slowness, entries: &[SocketAddr], lasts: Duration) -> anyhow::Result<String> {
    anyhow::ensure!(!entries.is_empty(), "slow clients need an entry");
    let begin = Instant::now();
    let crowd = Arc::new(Mutex::new(Crowd::default()));
    let mut clients = JoinSet::new();
    for (client, entry) in (0..how.clients).zip(entries.iter().copied().cycle()) {
        let (at, tenant, crowd) = (how.at, workload::tenant(client), Arc::clone(&crowd));
        clients.spawn(async move {
            loop {
                if let Ok(stream) = connect(entry).await {
                    let since = Instant::now();
                    lock(&crowd).open.push(since);
                    // being turned away is what a slow client can expect
                    let _ = dawdle(stream, at, &tenant).await;
                    lock(&crowd).closed(since);
                }
                sleep(RETURN).await;
            }
        });
    }
    let wanted = usize::try_from(how.clients).unwrap_or(usize::MAX);
    let mut most = 0;
    let all = eventually(COMING.min(lasts), || {
        most = most.max(lock(&crowd).held());
        std::future::ready(most >= wanted)
    });
    let come = all.await;
    anyhow::ensure!(come.is_ok(), "no more than {most} of {wanted} slow clients held a connection at the same time");
    sleep(lasts.saturating_sub(begin.elapsed())).await;
    clients.shutdown().await;
    Ok(lock(&crowd).words())
}

/// The connections of all clients.
#[derive(Default)]
struct Crowd {
    /// When each open one was opened.
    open: Vec<Instant>,
    /// How many were not closed from here, and the shortest and the longest time that one lasted.
    closed: u64,
    ages: Option<(Duration, Duration)>,
}

fn lock(crowd: &Mutex<Crowd>) -> MutexGuard<'_, Crowd> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    fn closed(&mut self, since: Instant) {
        if let Some(place) = self.open.iter().position(|open| *open == since) {
            self.open.swap_remove(place);
        }
        let age = since.elapsed();
        self.closed += 1;
        self.ages = Some(self.ages.map_or((age, age), |(least, most)| (least.min(age), most.max(age))));
    }

    fn held(&self) -> usize {
        self.open.iter().filter(|since| since.elapsed() >= HELD).count()
    }

    fn words(&self) -> String {
        self.ages.map_or("no connection was closed by a server".into(), |(least, most)| {
            let (closed, least, most) = (self.closed, least.as_secs_f64(), most.as_secs_f64());
            format!("{closed} connections closed by a server, {least:.1} to {most:.1} s old")
        })
    }
}

async fn connect(entry: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // otherwise the kernel would read the answer in its stead
    socket.set_recv_buffer_size(4_096)?;
    let stream = socket.connect(entry).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn dawdle(mut stream: TcpStream, at: Phase, tenant: &str) -> io::Result<()> {
    match at {
        Phase::FirstByte => until_closed(&mut stream).await,
        Phase::Head => {
            let head = get(tenant);
            trickle(&mut stream, &head.as_bytes()[..head.len() - 2]).await?;
            until_closed(&mut stream).await
        }
        Phase::Upload => {
            stream.write_all(post(tenant).as_bytes()).await?;
            trickle(&mut stream, &[b'x'; 1_000]).await?;
            until_closed(&mut stream).await
        }
        Phase::Answer => {
            stream.write_all(get(tenant).as_bytes()).await?;
            let mut byte = [0];
            while stream.read(&mut byte).await? > 0 {
                sleep(PAUSE).await;
            }
            Ok(())
        }
    }
}

async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.chunks(1) {
        stream.write_all(byte).await?;
        let mut answer = [0; 256];
        // an answer, or the end, is a reason to go
        if timeout(PAUSE, stream.read(&mut answer)).await.is_ok() {
            return Ok(());
        }
    }
    Ok(())
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; 256];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}
