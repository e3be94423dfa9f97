//! What HTTP says about caching (RFC 9111), as pure functions: the time, the messages and the class come in, a verdict
//! goes out. No clock, no I/O, no chance; judging a stored answer allocates nothing.
//!
//! The way of a request: [`Ask::of`] reads what it says; a stored answer is [judged](Terms::judge); what must be asked
//! again is [validated](revalidate); what the origin says is read by [`Terms::of`], which is the only door into the
//! store. [`Vary`] tells which requests share an answer, [`reply`] and [`range`] what of it the client gets.
//!
//! Invariant: whatever bytes stand in the fields, nothing here panics, and what cannot be read is taken as the more
//! restrictive of its meanings: an answer is then stale, or not stored.

mod ask;
mod date;
mod directives;
pub mod invalidate;
pub mod range;
pub mod reply;
pub mod revalidate;
pub mod status;
mod storable;
mod stored;
mod tag;
mod terms;
mod vary;

#[cfg(test)]
mod tests;

pub use ask::{Ask, Bypass};
pub use storable::Unstorable;
pub use stored::keep;
pub use terms::{Terms, Times, Use};
pub use vary::{Names, Vary, write_values};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Whole seconds, as HTTP counts them (RFC 9111 §1.2.2); never above [`SECONDS_MAX`] when it was read from a field.
pub type Seconds = u32;

/// What a number of seconds means that is too large to count (RFC 9111 §1.2.2).
pub const SECONDS_MAX: Seconds = 1 << 31;

/// To whom a stored answer may be given when the request was authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// RFC 9111 §3.5: to anybody, and stored only if the answer says that it may be.
    Rfc,
    /// The entry is the private copy of one verified user, who is part of its key: `private` and an authorized request
    /// do not forbid it.
    PerUser,
}

/// What a cache class adds to what the messages say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an answer is fresh whose origin says nothing; it goes before heuristics.
    pub default_lifetime: Option<Seconds>,
    /// The longest that an answer is fresh after it was received, whatever the origin says.
    pub lifetime_max: Seconds,
    /// A tenth of the time since `Last-Modified`, when nothing else is said (RFC 9111 §4.2.2).
    pub heuristic: bool,
    /// For answers that have been fresh and say nothing about it (RFC 5861 §3).
    pub stale_while_revalidate: Seconds,
    /// For answers that have been fresh and say nothing about it (RFC 5861 §4).
    pub stale_if_error: Seconds,
    /// The longest of either stale window, whatever the origin says: with `lifetime_max` it bounds an entry's life.
    pub stale_max: Seconds,
    /// Whether `Cache-Control` and `Pragma` of requests are obeyed (RFC 9111 §5.2.1, §5.4).
    pub obey_requests: bool,
    /// Who may get what was stored for an authorized request.
    pub authorization: Authorization,
}
