//! Limits that the processes of a region count together, in Redis, without a round trip for each request.
//!
//! Invariant: while the store answers in time, at most n requests are admitted in any half-open window w by the instant they
//! were decided at, whatever processes do: come, crash, lag, lose replies, be more than planned for.
//!
//! A key with a high rate is in **lease mode**: each process holds some of its tokens and asks for more before they run out,
//! many keys in one call. A key with a low rate is in **direct mode**: each request asks for its token. A request that finds
//! no token and no remembered refusal asks for one in either mode, and waits for it at most the deadline.
//!
//! # Why the bound holds
//!
//! The store keeps for each key a bucket (the generic cell rate algorithm) of B' = B - H tokens, one of which comes back
//! every T = (w + d) / (n - B + 1), and what each holder's lease holds. H is the most that all leases hold together (0 in
//! direct mode), d the slack of the [`plan::Plan`]. Let F(t) be what is in the bucket and in unexpired leases at t.
//!
//! - A grant moves tokens from the bucket into a lease (they are _pre-debited_), a hand-back moves them back, and neither
//!   changes F. A request that is admitted takes one out of F; so does what is lost with a lease. Only time adds to F, at most
//!   one token each T.
//! - The bucket never holds more than B', the leases never more than H: F(t) <= B.
//! - A lease is spent while the store counts it: its holder takes it for over 200 ms sooner, counted from _sending_ the call,
//!   and never has more of it than the store counts. That is what the rules of [`cell`] are for: one report on its way, an
//!   answer only for the report that it belongs to, and a number by which the store knows reports that come late.
//! - A direct token is admitted at most d after it was granted, and one that is given back is accepted at most d after it was
//!   granted, by the store's clock. So everything admitted in [t, t + w) was in F at t - d or came in [t - d, t + w): at most
//!   B + (n - B + 1) - 1 = n, as the bucket must hold a whole token for each.
//!
//! H has to come out of the burst, though it is pre-debited: leases that were granted just before t are spent after it, while
//! the bucket has filled again in between.
//!
//! Not covered: a store that loses its memory or whose clock jumps ahead (R for each second of it), and what processes decide
//! alone. Of that each has a share, whose debt is told when the store is back; [`plan::Plan::overshoot_bound`] says how
//! much it may be until it counts as away.
//!
//! # What is where
//!
//! [`plan`] derives the numbers, [`script`] counts, a [`cell`] is one key in this process and [`cells`] are all of them, the
//! [`store`] looks after leases in the background and for itself when it is away, and each worker has a [`link`] to ask for
//! single tokens. In what orders the steps of a cell may come is tried out in
//! `ratelimit/loom`.

pub mod cell;
pub mod cells;
pub mod counts;
mod gathering;
pub mod link;
pub mod plan;
mod presence;
pub mod script;
mod share;
pub mod store;
pub mod verdict;
mod wire;
mod word;

#[cfg(test)]
mod tests;
