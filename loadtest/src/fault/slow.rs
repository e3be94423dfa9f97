//! Clients that are slow on purpose.

use std::{io, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::workload;

/// Slow clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slowness {
    /// How many at the same time.
    pub clients: u32,
    /// Where they dawdle.
    pub at: Phase,
}

/// Where a slow client dawdles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

/// Bytes of an answer that is read slowly: more than all buffers on its way.
const ANSWER: u32 = 4 << 20;

fn get(tenant: &str) -> String {
    format!("GET /load HTTP/1.1\r\nHost: slow\r\nX-Tenant-Id: {tenant}\r\nX-Load-Bytes: {ANSWER}\r\n\r\n")
}

fn post(tenant: &str) -> String {
    format!("POST /load HTTP/1.1\r\nHost: slow\r\nX-Tenant-Id: {tenant}\r\nContent-Length: 1000000\r\n\r\n")
}

impl Slowness {
    pub(super) fn check(&self) -> Vec<String> {
        let sound = (1..=20_000).contains(&self.clients);
        if sound { Vec::new() } else { vec!["slow-clients.clients is 1 to 20,000".into()] }
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

/// They come, return whenever they are turned away, and go when their time is over. Returns once all have come.
pub(super) async fn come(how: &Slowness, entries: &[SocketAddr], lasts: Option<Duration>) -> anyhow::Result<()> {
    anyhow::ensure!(!entries.is_empty(), "slow clients need an entry");
    let mut clients = JoinSet::new();
    for (client, entry) in (0..how.clients).zip(entries.iter().copied().cycle()) {
        let (at, tenant) = (how.at, workload::tenant(client));
        clients.spawn(async move {
            loop {
                // being turned away is what a slow client can expect
                let _ = dawdle(entry, at, &tenant).await;
                sleep(RETURN).await;
            }
        });
    }
    // without a time of their own they stay until the runtime ends
    let lasts = lasts.unwrap_or(Duration::from_secs(24 * 3_600));
    tokio::spawn(async move {
        sleep(lasts).await;
        clients.shutdown().await;
    });
    Ok(())
}

async fn dawdle(entry: SocketAddr, at: Phase, tenant: &str) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // otherwise the kernel would read the answer in its stead
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(entry).await?;
    stream.set_nodelay(true)?;
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
