//! Opening an upstream connection, within its time limit and the endpoint policy.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::io::Errno;
use socket2::SockRef;
use synaxis_routing::endpoint::{EndpointError, EndpointPolicy};
use tokio::net::{TcpSocket, TcpStream};

use crate::upstream::{resolve::resolve, target::Target};

/// Bytes of an answer that the kernel may hold of one connection while its client does not read. Left to itself it holds
/// megabytes. An app is near: this fills a gigabit at 2 ms.
const APP_WINDOW: usize = 256 << 10;
/// The same of a peer, which may be in another region.
const PEER_WINDOW: usize = 1 << 20;

/// Why no connection came about. Nothing was sent in any case.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{0}: the name does not resolve")]
    Resolve(String),
    /// The table's endpoint leads where no request may go.
    #[error("{0}: {1}")]
    Forbidden(SocketAddr, String),
    /// TLS must be spoken there and cannot be: nothing goes out in the clear instead.
    #[error("{0}:{1} demands TLS, which this version does not speak")]
    NoTls(String, u16),
    /// Refused, unreachable, or another error of the socket.
    #[error("{0}: {1}")]
    Io(SocketAddr, io::Error),
    /// This process may have no more sockets: no fault of whoever was to be connected to.
    #[error("this process has no socket left: {0}")]
    NoSocket(io::Error),
    /// The connect time limit passed.
    #[error("{host}:{port}: no connection within {limit:?}")]
    Timeout {
        /// Host dialled.
        host: String,
        /// Port dialled.
        port: u16,
        /// The limit.
        limit: Duration,
    },
}

/// Connects to a target. Every address of a name is tried in turn, each for its
/// share of the limit; a peer's address is checked again here, because a
/// name in the table may resolve to anything.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    target: &Arc<Target>,
    policy: &EndpointPolicy,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let timed = tokio::time::timeout(limit, dial(target, policy, limit)).await;
    timed.unwrap_or_else(|_| Err(ConnectError::Timeout { host: target.host.clone(), port: target.port, limit }))
}

/// What is known of a target before anything is resolved: whether it may be dialled at all.
///
/// # Errors
/// [`ConnectError::NoTls`] and [`ConnectError::Forbidden`].
pub fn permit(target: &Target, policy: &EndpointPolicy) -> Result<(), ConnectError> {
    if target.tls {
        return Err(ConnectError::NoTls(target.host.clone(), target.port));
    }
    target.address().map_or(Ok(()), |address| permit_address(target, policy, address))
}

/// A peer is where the policy says, and an app is anywhere but at a listener of our own: its requests would come from the
/// inside.
fn permit_address(target: &Target, policy: &EndpointPolicy, address: SocketAddr) -> Result<(), ConnectError> {
    let allowed = match target.is_peer() {
        true => policy.check_address(address),
        false if policy.is_own(address) => Err(EndpointError::Own(address)),
        false => Ok(()),
    };
    allowed.map_err(|error| ConnectError::Forbidden(address, error.to_string()))
}

async fn dial(target: &Arc<Target>, policy: &EndpointPolicy, limit: Duration) -> Result<TcpStream, ConnectError> {
    permit(target, policy)?;
    if let Some(address) = target.address() {
        return open(target, policy, address).await;
    }
    let unresolved = || ConnectError::Resolve(target.host.clone());
    let addresses: Vec<SocketAddr> = resolve(&target.host, target.port).await.map_err(|_| unresolved())?;
    // an address that swallows packets must leave time for the others
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = unresolved();
    for address in addresses {
        match tokio::time::timeout(share, open(target, policy, address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = ConnectError::Io(address, io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

async fn open(target: &Target, policy: &EndpointPolicy, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    permit_address(target, policy, address)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| unmade(address, error))?;
    let connect = async {
        // before connecting: the window's scale is settled then. A kernel that allows less takes less
        SockRef::from(&socket).set_recv_buffer_size(if target.is_peer() { PEER_WINDOW } else { APP_WINDOW })?;
        socket.set_nodelay(true)?;
        socket.connect(address).await
    };
    connect.await.map_err(|error| ConnectError::Io(address, error))
}

/// The kernel gives no socket: by its limits (socket(2), "Errors"), or because it does not know the family.
fn unmade(address: SocketAddr, error: io::Error) -> ConnectError {
    let limits = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    match Errno::from_io_error(&error).is_some_and(|errno| limits.contains(&errno)) {
        true => ConnectError::NoSocket(error),
        false => ConnectError::Io(address, error),
    }
}
