//! A WebSocket that passes through: bytes both ways between a client and an app, or the stamp that serves.
//!
//! It begins after the app's own 101 and holds nothing of a snapshot: a WebSocket may outlive many routing tables. Its
//! request is counted as answered with the 101; its line of the access log waits for its end. On the way out of the
//! process both sides are told so (close 1001, RFC 6455 §7.4.1) between two frames, which is all that is ever added to the
//! bytes that pass.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    shutdown::{GOODBYE, Phase, Shutdown},
    telemetry::{labels::Expired, metrics::Metrics, record::Record},
    upstream::{
        link::Link,
        timer::{CoarseClock, Deadline, Timer},
        wire::Wire,
    },
};
use way::Way;

pub mod frames;
mod way;

/// The one protocol that a connection may change to.
pub const WEBSOCKET: &str = "websocket";

/// Whether a field has `token` in its comma-separated lines.
#[must_use]
pub fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    let tokens = headers.get_all(field).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.map(<[u8]>::trim_ascii).any(|known| known.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether an answer changes its connection to a WebSocket, and to nothing else (RFC 6455 §4.1). Whether its
/// `Sec-WebSocket-Accept` fits is for the client to see.
#[must_use]
pub fn begins<B>(answer: &Response<B>) -> bool {
    let headers = answer.headers();
    let mut protocols = headers.get_all(UPGRADE).iter();
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && protocols.next().is_some_and(|only| only.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
        && protocols.next().is_none()
        && names(headers, &CONNECTION, "upgrade")
        && headers.get_all(SEC_WEBSOCKET_ACCEPT).iter().count() == 1
}

/// What a tunnel needs of its worker and of the settings; nothing of a snapshot.
pub struct Around {
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// Where the process stands on its way out.
    pub shutdown: Shutdown,
    /// The worker's deadlines.
    pub timer: Timer,
    /// The worker's clock.
    pub clock: CoarseClock,
    /// How long it may be without a byte either way.
    pub idle: Duration,
    /// A random number in `0..1`: when in the drain it is told to close, and what hides its close frame.
    pub chance: f64,
}

/// A WebSocket whose app has agreed to it.
pub struct Tunnel {
    app: Wire,
    up: Way,
    down: Way,
    record: Record,
    around: Around,
    moved_at: Instant,
}

/// Where a tunnel stands.
enum Stage {
    /// Bytes pass until it has been silent for too long.
    Open,
    /// The process leaves; both sides will be told so.
    Leaving,
    /// They are told as soon as a frame may begin, however long the current one takes.
    Parting,
    /// Both were told.
    Parted,
}

impl Tunnel {
    /// A tunnel over the connection that the app's 101 came by. `None` when hyper has not let go of it: then the answer
    /// came before its request was sent.
    #[must_use]
    pub fn open(link: Box<Link>, record: Record, around: Around) -> Option<Box<Self>> {
        let (app, early) = link.into_wire()?;
        around.metrics.websockets.increment(1.0);
        around.metrics.websockets_opened.increment(1);
        let moved_at = around.clock.now();
        let (up, down) = (Way::new(Bytes::new()), Way::new(early));
        Some(Box::new(Self { app, up, down, record, around, moved_at }))
    }

    /// Carries bytes until both sides have ended, one has broken, or it may no longer. `early` are the bytes that the
    /// client sent before it had seen the 101.
    pub async fn run<C: AsyncRead + AsyncWrite + Unpin>(mut self: Box<Self>, mut client: C, early: Bytes) {
        self.up = Way::new(early);
        let shutdown = self.around.shutdown.clone();
        let mut draining = pin!(shutdown.reached(Phase::Draining));
        let mut stage = Stage::Open;
        let mut alarm = self.deadline(self.around.idle);
        let outcome = poll_fn(|cx| {
            loop {
                if let Poll::Ready(outcome) = self.copy(cx, &mut client) {
                    return Poll::Ready(outcome);
                }
                match stage {
                    Stage::Open if draining.as_mut().poll(cx).is_ready() => {
                        stage = Stage::Leaving;
                        alarm = self.turn();
                    }
                    Stage::Parting if self.up.has_parted() && self.down.has_parted() => {
                        stage = Stage::Parted;
                        alarm = self.deadline(GOODBYE);
                        continue;
                    }
                    Stage::Parted if self.up.is_closed() && self.down.is_closed() => return Poll::Ready(Ok(())),
                    _ => {}
                }
                ready!(alarm.poll_expired(cx));
                match stage {
                    Stage::Open | Stage::Parting => {
                        let left = self.around.idle.saturating_sub(self.around.clock.now() - self.moved_at);
                        if left.is_zero() {
                            self.around.metrics.expired(Expired::TunnelIdle);
                            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                        }
                        alarm = self.deadline(left);
                    }
                    Stage::Leaving => {
                        self.part();
                        stage = Stage::Parting;
                        alarm = self.deadline(self.around.idle);
                    }
                    Stage::Parted => return Poll::Ready(Ok(())),
                }
            }
        })
        .await;
        if let Err(error) = outcome {
            tracing::debug!(%error, "a websocket ended");
        }
    }

    /// Moves bytes both ways as far as they go. Ready when both ways are over or one has broken.
    fn copy(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, client, &mut self.app)?;
        let down = self.down.poll(cx, &mut self.app, client)?;
        if std::mem::take(&mut self.up.moved) | std::mem::take(&mut self.down.moved) {
            self.moved_at = self.around.clock.now();
        }
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Tells both sides that this end goes away.
    fn part(&mut self) {
        const GOING_AWAY: u16 = 1001;
        let mask = self.around.chance.to_bits().to_le_bytes();
        self.up.part(frames::close(GOING_AWAY, Some([mask[1], mask[2], mask[3], mask[4]])));
        self.down.part(frames::close(GOING_AWAY, None));
    }

    /// When it is told to close: spread over the drain, so that not all clients come back at once.
    fn turn(&self) -> Deadline {
        let now = self.around.clock.now();
        let at = self.around.shutdown.times().map_or(now, |drain| drain.turn(self.around.chance));
        self.around.timer.deadline(at, Duration::ZERO)
    }

    fn deadline(&self, after: Duration) -> Deadline {
        self.around.timer.deadline(self.around.clock.now(), after)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.around.metrics.websockets.decrement(1.0);
        self.record.bytes = self.down.bytes;
        if let Some(line) = &mut self.record.line {
            line.tunnel_bytes_up = Some(self.up.bytes);
        }
    }
}
