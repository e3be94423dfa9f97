//! One connection through the chaos proxy: dialled, carried in two lanes, and ended as a lane, a timer or a cut says.
//!
//! Invariant: both sides see the same end. Their sockets say RST when they are closed, in the middle of a dial or of
//! anything else, unless the connection has ended with a FIN each way.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng as _};
use socket2::SockRef;
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    lane::{self, Writer},
    pace::End,
    reset,
    toxics::Regime,
};

/// Longest wait for the target's kernel to take a connection.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// Longest that both sides may go on sending after a connection was closed on them.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// What a connection is told.
pub(super) struct Wire {
    pub(super) up: watch::Receiver<Regime>,
    pub(super) down: watch::Receiver<Regime>,
    /// Changes when the connection is cut.
    pub(super) cut: watch::Receiver<()>,
}

/// A connection of a client.
pub(super) struct Connection {
    client: TcpStream,
    target: SocketAddr,
    wire: Wire,
    /// Its seed: the how-manyth it is.
    number: u64,
    began: Instant,
}

impl Connection {
    pub(super) fn new(client: TcpStream, target: SocketAddr, wire: Wire, number: u64) -> Self {
        reset(&SockRef::from(&client));
        Self { client, target, wire, number, began: Instant::now() }
    }

    /// Runs to the end of the connection.
    pub(super) async fn run(self) {
        let Self { mut client, target, wire: Wire { up, down, mut cut }, number, began } = self;
        let mut server = None;
        let ended = tokio::select! {
            ended = carry(&mut client, &mut server, target, [&up, &down], number) => ended,
            () = expire(up.clone(), began) => Err(End::Reset),
            () = expire(down.clone(), began) => Err(End::Reset),
            _ = cut.changed() => Err(End::Reset),
        };
        if ended.is_ok() {
            for side in [Some(client), server].iter().flatten() {
                let _ = SockRef::from(side).set_linger(None);
            }
        }
    }
}

/// Dials and copies both ways until both had their FIN.
async fn carry(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    target: SocketAddr,
    [up, down]: [&watch::Receiver<Regime>; 2],
    number: u64,
) -> Result<(), End> {
    // a target behind a cut wire sees no new connections either
    unhung(up).await;
    let Ok(Ok(dialled)) = timeout(DIAL_MAX, dial(target)).await else {
        unhung(down).await;
        return Err(End::Reset);
    };
    let server = server.insert(dialled);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let ((up_entry, up_queue), (down_entry, down_queue)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let upward = Writer::new(to_server, up_queue, down_entry.clone(), up.clone());
        let downward = Writer::new(to_client, down_queue, up_entry.clone(), down.clone());
        let chance = |lane| Xoshiro256PlusPlus::seed_from_u64(2 * number + lane);
        tokio::try_join!(
            lane::read(from_client, up_entry, chance(0)),
            lane::read(from_server, down_entry, chance(1)),
            upward.run(),
            downward.run(),
        )
    };
    match ended {
        Err(End::Close) => close(client, server).await,
        Err(End::Reset) => return Err(End::Reset),
        Ok(_) => {}
    }
    Ok(())
}

async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    reset(&SockRef::from(&socket));
    socket.connect(target).await
}

/// Returns when something may pass in this direction.
async fn unhung(regime: &watch::Receiver<Regime>) {
    let _ = regime.clone().wait_for(|regime| !regime.toxics.hang).await;
}

/// Returns when a direction's `reset_after` has passed.
async fn expire(mut regime: watch::Receiver<Regime>, began: Instant) {
    loop {
        let (after, since) = {
            let regime = regime.borrow_and_update();
            (regime.toxics.reset_after, regime.since)
        };
        let expired = async {
            match after.and_then(|after| began.max(since).checked_add(after)) {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = lane::change(&mut regime) => {}
            () = expired => return,
        }
    }
}

/// Says FIN to both sides and reads on for a while: a socket that is closed with unread bytes says RST.
async fn close(client: &mut TcpStream, server: &mut TcpStream) {
    let _ = (client.shutdown().await, server.shutdown().await);
    let _ = timeout(LINGER_MAX, async { tokio::join!(drain(client), drain(server)) }).await;
}

async fn drain(from: &mut TcpStream) {
    let _ = copy(from, &mut sink()).await;
}
