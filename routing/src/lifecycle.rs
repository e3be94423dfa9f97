//! The life of a stamp as data: which state may follow which and why, what each state forbids, and how long it may last.
//!
//! Invariant: [`TRANSITIONS`] is the only place that says what is allowed. Whoever moves a stamp asks [`check`], so
//! anything that is not a row of the table is refused with the rows that are.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::{
    id::StampId,
    table::{Millis, Stamp, State, Table},
};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

/// A stamp that is still Creating after this long has failed: 30 minutes, in milliseconds.
pub const CREATION: Millis = 30 * MINUTE;
/// Draining: by then connections should have closed: 10 minutes after the start, in milliseconds.
pub const DRAIN_CONNECTIONS: Millis = 10 * MINUTE;
/// Draining: how long running jobs may take after that: 30 minutes, in milliseconds.
pub const DRAIN_JOBS: Millis = 30 * MINUTE;
/// Draining: the whole of it, after which the stamp becomes Ready with a warning: 40 minutes, in milliseconds.
pub const DRAIN: Millis = DRAIN_CONNECTIONS + DRAIN_JOBS;
/// Draining longer than this is flagged: 45 minutes, in milliseconds.
pub const DRAIN_FLAG: Millis = 45 * MINUTE;
/// Longest standby before a Ready stamp is retired: 72 hours, in milliseconds.
pub const STANDBY: Millis = 72 * HOUR;
/// A Failed stamp may be deleted after this long, where that is enabled: 1 hour, in milliseconds.
pub const CLEANUP: Millis = HOUR;
/// How long the tombstone of a Deleted stamp stays in the table: 30 days, in milliseconds.
pub const TOMBSTONE: Millis = 30 * 24 * HOUR;

/// Why a stamp changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Creating → Active: everything is provisioned and all health checks pass.
    HealthChecksPass,
    /// Creating → Failed: three tries or 30 minutes went by.
    CreationTimeout,
    /// Creating → Deleted: the deployment was cancelled.
    CancelDeployment,
    /// Active → Draining: scale-in, or an operator.
    ScaleIn,
    /// Draining → Ready: connections closed and jobs finished, or the deadline passed.
    ConnectionsClosed,
    /// Draining → Active: the drain was cancelled.
    CancelDrain,
    /// Draining → Deleted: deleted by force.
    ForceDelete,
    /// Ready → Active: scale-out, or an operator.
    ScaleOut,
    /// Ready → Failed: activation failed three times.
    ActivationFailed,
    /// Ready → Deleted: an operator, or the longest standby passed.
    Retire,
    /// Failed → Creating: another attempt.
    Retry,
    /// Failed → Deleted: cleaned up.
    Cleanup,
}

impl Trigger {
    /// The trigger in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::HealthChecksPass => "health checks pass",
            Self::CreationTimeout => "creation timed out",
            Self::CancelDeployment => "deployment cancelled",
            Self::ScaleIn => "scale-in signal or drain",
            Self::ConnectionsClosed => "connections closed and jobs finished",
            Self::CancelDrain => "drain cancelled",
            Self::ForceDelete => "deleted by force",
            Self::ScaleOut => "scale-out signal or activate",
            Self::ActivationFailed => "activation failed three times",
            Self::Retire => "retired",
            Self::Retry => "retry",
            Self::Cleanup => "cleaned up",
        }
    }
}

/// One allowed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From this state
    pub from: State,
    /// to this one,
    pub to: State,
    /// because of this.
    pub trigger: Trigger,
}

const fn step(from: State, to: State, trigger: Trigger) -> Transition {
    Transition { from, to, trigger }
}

/// Every state, in the order of a life.
pub const STATES: [State; 6] =
    [State::Creating, State::Active, State::Draining, State::Ready, State::Failed, State::Deleted];

impl State {
    /// The state as the table writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that names no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of creating, active, draining, ready, failed, deleted")]
pub struct InvalidState;

impl FromStr for State {
    type Err = InvalidState;

    fn from_str(text: &str) -> Result<Self, InvalidState> {
        STATES.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text)).ok_or(InvalidState)
    }
}

/// Every allowed step. Nothing leaves [`State::Deleted`].
pub const TRANSITIONS: &[Transition] = &[
    step(State::Creating, State::Active, Trigger::HealthChecksPass),
    step(State::Creating, State::Failed, Trigger::CreationTimeout),
    step(State::Creating, State::Deleted, Trigger::CancelDeployment),
    step(State::Active, State::Draining, Trigger::ScaleIn),
    step(State::Draining, State::Ready, Trigger::ConnectionsClosed),
    step(State::Draining, State::Active, Trigger::CancelDrain),
    step(State::Draining, State::Deleted, Trigger::ForceDelete),
    step(State::Ready, State::Active, Trigger::ScaleOut),
    step(State::Ready, State::Failed, Trigger::ActivationFailed),
    step(State::Ready, State::Deleted, Trigger::Retire),
    step(State::Failed, State::Creating, Trigger::Retry),
    step(State::Failed, State::Deleted, Trigger::Cleanup),
];

/// The steps that leave `from`.
pub fn allowed(from: State) -> impl Iterator<Item = &'static Transition> {
    TRANSITIONS.iter().filter(move |step| step.from == from)
}

/// Whether a stamp may go from one state to the other, and why it would.
///
/// # Errors
/// [`Illegal`] when the pair is no row of [`TRANSITIONS`]; its text lists the rows that leave `from`.
pub fn check(from: State, to: State) -> Result<Trigger, Illegal> {
    allowed(from).find(|step| step.to == to).map(|step| step.trigger).ok_or(Illegal { from, to })
}

/// A step that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Illegal {
    /// The state the stamp is in.
    pub from: State,
    /// The state it was to be in.
    pub to: State,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        if from == to {
            write!(f, "it is {from} already")?;
        } else {
            write!(f, "{from} → {to} is not allowed")?;
        }
        let mut steps = allowed(*from).peekable();
        if steps.peek().is_none() {
            return write!(f, "; {from} is final");
        }
        write!(f, "; from {from} a stamp may become ")?;
        while let Some(step) = steps.next() {
            write!(f, "{} ({})", step.to, step.trigger.words())?;
            if steps.peek().is_some() {
                f.write_str(", ")?;
            }
        }
        Ok(())
    }
}

/// What somebody may want to do with a stamp besides moving it to another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Send it requests.
    RouteTraffic,
    /// Let it accept connections.
    AcceptConnections,
    /// Give it tenants it does not have (a new pin).
    AssignTenants,
    /// Change its infrastructure; that takes a new stamp.
    ChangeInfrastructure,
    /// Deploy onto it.
    Deploy,
    /// Scale it.
    Scale,
    /// Change its configuration, such as its weight.
    Configure,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RouteTraffic => "route traffic",
            Self::AcceptConnections => "accept connections",
            Self::AssignTenants => "assign new tenants",
            Self::ChangeInfrastructure => "change infrastructure",
            Self::Deploy => "deploy",
            Self::Scale => "scale",
            Self::Configure => "change configuration",
        })
    }
}

/// The operations that a state forbids.
#[must_use]
pub const fn blocked(state: State) -> &'static [Operation] {
    use Operation as O;
    match state {
        State::Creating => &[O::RouteTraffic, O::AcceptConnections],
        State::Active => &[O::ChangeInfrastructure],
        State::Draining => &[O::AssignTenants, O::ChangeInfrastructure, O::Deploy, O::Scale, O::Configure],
        State::Ready => &[O::RouteTraffic, O::AcceptConnections, O::ChangeInfrastructure],
        State::Failed => &[O::RouteTraffic, O::AcceptConnections, O::AssignTenants],
        State::Deleted => &[
            O::RouteTraffic,
            O::AcceptConnections,
            O::AssignTenants,
            O::ChangeInfrastructure,
            O::Deploy,
            O::Scale,
            O::Configure,
        ],
    }
}

/// Whether a state lets somebody do this.
///
/// # Errors
/// [`Blocked`], naming the operation and everything else that the state forbids.
pub fn permit(state: State, operation: Operation) -> Result<(), Blocked> {
    if blocked(state).contains(&operation) { Err(Blocked { state, operation }) } else { Ok(()) }
}

/// An operation that the state of the stamp forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Blocked {
    /// The state the stamp is in.
    pub state: State,
    /// What was asked.
    pub operation: Operation,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is blocked while it is {}; blocked in this state: ", self.operation, self.state)?;
        for (i, operation) in blocked(self.state).iter().enumerate() {
            write!(f, "{}{operation}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What is due when a state has lasted too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// It goes to this state.
    Become(State),
    /// It goes to this state where automatic deletion is enabled.
    MayBecome(State),
    /// Somebody is to look.
    Flag,
    /// Its tombstone leaves the table, its id goes to the retired list.
    Forget,
}

/// How long a state may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The state.
    pub state: State,
    /// Name under which a stamp's own `deadlines` may set another instant.
    pub name: &'static str,
    /// Counted from the stamp's `since`, in milliseconds.
    pub after: Millis,
    /// What is due then.
    pub due: Due,
}

/// Name of the instant by which connections should have closed; written by a drain, read by people and controllers.
pub const CONNECTIONS: &str = "connections";
/// Name of the instant at which a drain is over.
pub const DRAINED: &str = "drained";
/// Name of the instant from which a drain is flagged as stuck.
pub const STUCK: &str = "stuck";

/// Every limit, the mildest of a state first.
pub const LIMITS: &[Limit] = &[
    Limit { state: State::Creating, name: "created", after: CREATION, due: Due::Become(State::Failed) },
    Limit { state: State::Draining, name: DRAINED, after: DRAIN, due: Due::Become(State::Ready) },
    Limit { state: State::Draining, name: STUCK, after: DRAIN_FLAG, due: Due::Flag },
    Limit { state: State::Ready, name: "retired", after: STANDBY, due: Due::Become(State::Deleted) },
    Limit { state: State::Failed, name: "cleaned_up", after: CLEANUP, due: Due::MayBecome(State::Deleted) },
    Limit { state: State::Deleted, name: "forgotten", after: TOMBSTONE, due: Due::Forget },
];

/// A stamp that has been in its state for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// The stamp.
    pub stamp: StampId,
    /// Its state.
    pub state: State,
    /// Name of the limit.
    pub limit: &'static str,
    /// When it was due, in milliseconds since the Unix epoch.
    pub due_at: Millis,
    /// By how much it is late, in milliseconds.
    pub late: Millis,
    /// What is due.
    pub due: Due,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for too long, {} min over the limit: ", self.state, self.late / MINUTE)?;
        match self.due {
            Due::Become(state) => write!(f, "should be {state} by now"),
            Due::MayBecome(state) => write!(f, "may be {state}"),
            Due::Flag => f.write_str("stuck, somebody must look"),
            Due::Forget => f.write_str("its tombstone leaves with the next change"),
        }
    }
}

/// The gravest limit that a stamp has passed, if any.
#[must_use]
pub fn overdue_stamp(stamp: &Stamp, now: Millis) -> Option<Overdue> {
    let mut passed = LIMITS.iter().filter(|limit| limit.state == stamp.state).filter_map(|limit| {
        let due_at =
            stamp.deadlines.get(limit.name).copied().unwrap_or_else(|| stamp.since.saturating_add(limit.after));
        (due_at <= now).then(|| Overdue {
            stamp: stamp.id.clone(),
            state: stamp.state,
            limit: limit.name,
            due_at,
            late: now - due_at,
            due: limit.due,
        })
    });
    passed.next_back()
}

/// Every stamp that has been in its state for too long, at most one entry each, in the table's order.
#[must_use]
pub fn overdue(table: &Table, now: Millis) -> Vec<Overdue> {
    table.stamps.iter().filter_map(|stamp| overdue_stamp(stamp, now)).collect()
}

#[cfg(test)]
mod tests;
