//! Copies bytes between a client and a backend, and ends what one side ends: a FIN with a FIN, a reset with a reset.
//!
//! Invariant: everything that a side sent before it ended reaches the other one, as far as that one still reads.

use std::{future::Future, time::Duration};

use futures_util::future::{self, Either};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    pin,
    time::timeout,
};

/// Bytes that are copied at a time.
const BUFFER_BYTES: usize = 8 << 10;
/// Longest that the last words of a broken side may take to reach the other one.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Why a direction ended without a FIN.
enum Broken {
    /// The side that it reads from was reset.
    Source,
    /// The side that it writes to takes nothing more.
    Sink,
}

/// Returns when both directions have ended.
pub(super) async fn relay(mut client: TcpStream, mut backend: TcpStream) {
    let _ = (client.set_nodelay(true), backend.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_backend, to_backend)) = (client.split(), backend.split());
        let (up, down) = (copy(from_client, to_backend), copy(from_backend, to_client));
        pin!(up, down);
        match future::select(up, down).await {
            Either::Left((first, other)) | Either::Right((first, other)) => both(first, other).await,
        }
    };
    if ended.is_err() {
        // the broken side does not care, the other one is to see what a network would show it
        let _ = (client.set_zero_linger(), backend.set_zero_linger());
    }
}

/// The end of both directions, after the first of them.
async fn both(first: Result<(), Broken>, other: impl Future<Output = Result<(), Broken>>) -> Result<(), Broken> {
    match first {
        Ok(()) => other.await,
        Err(Broken::Source) => first,
        // a server that answers and resets has its answer still in our socket: it goes first, as it would on a wire
        Err(Broken::Sink) => {
            let _ = timeout(LAST_WORDS_MAX, other).await;
            first
        }
    }
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return to.shutdown().await.map_err(|_| Broken::Sink),
            Ok(bytes) => to.write_all(&buffer[..bytes]).await.map_err(|_| Broken::Sink)?,
            Err(_) => return Err(Broken::Source),
        }
    }
}
