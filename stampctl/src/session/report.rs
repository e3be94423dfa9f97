//! What a changing verb tells: the change, what moves by it, and whether it was published.

use serde::Serialize;
use synaxis_routing::change::{Difference, Moves, Requests};

use super::Ready;
use crate::wait::Acknowledged;

/// The result of a changing verb.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `TERM.EPOCH` of the new table; of the current one when there was nothing to change.
    pub(crate) version: String,
    /// What was done, in words.
    pub(crate) summary: String,
    pub(crate) differences: Vec<Difference>,
    /// Differences beyond those that are listed.
    pub(crate) more_differences: usize,
    pub(crate) warnings: Vec<String>,
    /// Which slots and listed tenants get another owner; `null` without a table to compare with.
    pub(crate) moves: Option<Moves>,
    /// Of a plan: how many requests move, if a limits store was said and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<Requests>,
    /// The name of this change of this table, for `apply`; `null` when there was nothing to change.
    pub(crate) plan: Option<String>,
    /// Of a plan: why it would not be published as it stands.
    pub(crate) refused: Option<String>,
    pub(crate) published: bool,
    pub(crate) dry_run: bool,
    /// Which proxies have it; `null` when nothing was waited for.
    pub(crate) proxies: Option<Acknowledged>,
}

impl Report {
    /// Of a change that nobody has been told of yet.
    pub(super) fn of(ready: Ready, published: bool) -> Self {
        let Ready { changed, plan, .. } = ready;
        Self {
            version: changed.fleet.version().to_string(),
            summary: changed.summary,
            differences: changed.differences,
            more_differences: changed.more,
            warnings: changed.warnings,
            moves: plan.moves,
            requests: plan.requests,
            plan: Some(plan.id.to_string()),
            refused: None,
            published,
            dry_run: false,
            proxies: None,
        }
    }
}
