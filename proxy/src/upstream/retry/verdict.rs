//! The table of retries: which failed attempt may be followed by another, to whom, when, and on whose account.
//!
//! Invariant: a request that may have been executed is sent again only if repeating it is harmless (GET, HEAD, OPTIONS, or a
//! key makes it so) and only by the first hop.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::Limits;

/// How an attempt ended that brought no answer worth passing on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No connection came about.
    ConnectError,
    /// This process could not even try: it has no socket left.
    NoSocket,
    /// There was a connection, but not a byte of the request left this process.
    NotSent,
    /// A peer says that no app has seen it (`x-synaxis-processed: no`).
    Unprocessed,
    /// The same, because the peer has its hands full (`concurrency`).
    PeerBusy,
    /// The time for the answer's head was over.
    HeadTimeout,
    /// The connection to an app broke before the answer's head.
    AppReset,
    /// The connection to a peer stamp broke before the answer's head.
    PeerReset,
    /// 502, 503 or 504.
    GatewayStatus,
}

/// What repeating a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, HEAD, OPTIONS: nothing.
    Safe,
    /// Another method with an idempotency key, on a route that says so: the app sees that it is the same one.
    Keyed,
    /// Another method: perhaps everything twice.
    Unsafe,
}

/// Where the request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nobody has asked for any of it.
    Unpolled,
    /// All that was read of it is in the replay buffer.
    Replayable,
    /// Some of it is gone.
    Gone,
}

/// Who this proxy is to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// It came from a client.
    First,
    /// A peer sent it, and will decide itself (`x-synaxis-no-retry`).
    Second,
}

/// Where another attempt could go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To an endpoint or candidate that this request has not tried and may still go to.
    Another,
    /// Only to where it was.
    Same,
}

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How it ended.
    pub end: End,
    /// What repeating the request does.
    pub method: Method,
    /// Where its body is.
    pub body: Body,
    /// Who this proxy is to it.
    pub hop: Hop,
    /// Where it could go.
    pub target: Target,
    /// Attempts so far, this one with them.
    pub attempts: u32,
    /// Of these, those that ended with [`End::HeadTimeout`].
    pub head_timeouts: u32,
    /// Whether it has moved on from a peer's broken connection before.
    pub moved: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it again.
    Retry {
        /// After this pause.
        after: Duration,
        /// Only if the budget has a retry left.
        charged: bool,
        /// To whom.
        to: Target,
    },
    /// This was the last attempt.
    Stop(Reason),
}

/// Why there is no other attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A part of its body is gone.
    BodyGone,
    /// It had all attempts that it may have.
    Attempts,
    /// It had the one attempt that may follow a head timeout.
    HeadTimeout,
    /// It may have been executed, and repeating it might do harm.
    Method,
    /// It may have been executed, and the first hop decides.
    Hop,
    /// There is nobody else to send it to.
    Target,
}

/// What a request's attempts leave it.
enum Left {
    /// Another one.
    Some,
    /// Nothing: the one that may follow a head timeout has been made.
    TimedOut,
    /// Nothing: it has had them all.
    None,
}

/// What follows a failed attempt. `chance` is from 0 to 1.
///
/// Source: the table of retries and the time limits in the design of resilience.
#[must_use]
pub fn verdict(ask: &Ask, limits: &Limits, chance: f64) -> Decision {
    use {Body::*, Decision::*, End::*, Hop::*, Method::*, Target::*};

    let at_once = |charged| Retry { after: Duration::ZERO, charged, to: Another };
    let after_pause = || Retry { after: limits.pause(ask.attempts, chance), charged: true, to: ask.target };
    match (ask.body, left(ask, limits), ask.end, ask.hop, ask.method, ask.target) {
        // whatever happened
        (Gone, ..) => Stop(Reason::BodyGone),
        (Unpolled | Replayable, Left::None, ..) => Stop(Reason::Attempts),
        (Unpolled | Replayable, Left::TimedOut, ..) => Stop(Reason::HeadTimeout),

        // not sent: any method and hop, at once, to somebody else, outside the budget; but a fleet that is busy must not be
        // flooded with moves
        (_, _, ConnectError | NoSocket | NotSent | Unprocessed, _, _, Another) => at_once(false),
        (_, _, PeerBusy, _, _, Another) => at_once(true),
        (_, _, NoSocket | Unprocessed | PeerBusy, _, _, Same) => Stop(Reason::Target),

        // what nobody executed may go to the same endpoint once more, but only as a retry of a harmless request
        (_, _, ConnectError | NotSent, Second, _, Same) => Stop(Reason::Target),
        (_, _, ConnectError | NotSent, First, Unsafe, Same) => Stop(Reason::Target),
        (_, _, ConnectError | NotSent, First, Safe | Keyed, Same) => after_pause(),

        // it may have been executed
        (_, _, HeadTimeout | AppReset | PeerReset | GatewayStatus, Second, _, _) => Stop(Reason::Hop),
        (_, _, HeadTimeout | AppReset | PeerReset | GatewayStatus, First, Unsafe, _) => Stop(Reason::Method),
        // what was in flight on a peer moves on once, uncharged: a stamp that goes must not empty the budget
        (_, _, PeerReset, First, Safe, Another) if !ask.moved => at_once(false),
        // alone, an endpoint had all the time there was
        (_, _, HeadTimeout, First, Safe | Keyed, Same) => Stop(Reason::Target),
        (_, _, HeadTimeout, First, Safe | Keyed, Another) => after_pause(),
        (_, _, AppReset | PeerReset | GatewayStatus, First, Safe | Keyed, _) => after_pause(),
    }
}

fn left(ask: &Ask, limits: &Limits) -> Left {
    let timeouts_before = ask.head_timeouts.saturating_sub(u32::from(ask.end == End::HeadTimeout));
    if ask.attempts >= limits.attempts_max {
        Left::None
    } else if timeouts_before > 0 {
        Left::TimedOut
    } else {
        Left::Some
    }
}
