//! Calls of the script: one pipeline, one call in it for each tenant, or for every 64 of its keys.
//!
//! Invariant: what was asked about a cell is settled once, by its answer or by the loss of it.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection};

use super::{
    cell::{Care, Cell, Report},
    plan::Plan,
    script::{self, Answer, Ask, KEYS_MAX},
};

/// What is asked about one cell.
pub(super) struct Entry {
    pub(super) cell: Arc<Cell>,
    pub(super) plan: Arc<Plan>,
    ask: Ask,
    report: Option<Report>,
    settled: bool,
}

impl Entry {
    /// Direct tokens, for requests that wait.
    pub(super) fn direct(cell: Arc<Cell>, plan: Arc<Plan>, count: u32, now: u64) -> Self {
        let (ask, report) = cell.ask(&plan, count, now);
        Self { cell, plan, ask, report, settled: false }
    }

    /// What the cell needs by itself; None: it has just got it.
    pub(super) fn care(cell: &Arc<Cell>, care: Care, now: u64) -> Option<Self> {
        let (cell, plan) = (Arc::clone(cell), cell.plan());
        let (ask, report) = cell.ask_care(&plan, care, now);
        (ask != Ask::default()).then_some(Self { cell, plan, ask, report, settled: false })
    }

    pub(super) fn settle(&mut self, answer: Answer, sent: u64, now: u64) {
        self.settled = true;
        self.cell.answered(&self.plan, self.ask, self.report, answer, sent, now);
    }

    /// Whether it is about the lease.
    pub(super) fn is_report(&self) -> bool {
        self.report.is_some()
    }

    /// It may have been done, and there will be no answer: what it told of debts is not told again. Telling it twice would
    /// charge somebody for what he has not had.
    pub(super) fn forget_debit(&mut self) {
        self.ask.debit = 0;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.settled {
            self.cell.unanswered(self.ask, self.report);
        }
    }
}

/// Asks about these cells, those of one tenant side by side; the answers in their order.
///
/// # Errors
/// The connection is lost, or the server refuses.
pub(super) async fn call(
    connection: &mut MultiplexedConnection,
    sha: &str,
    holder: &str,
    entries: &[impl AsRef<Entry>],
) -> Result<Vec<Answer>, RedisError> {
    let tenants = entries.chunk_by(|a, b| a.as_ref().cell.tenant() == b.as_ref().cell.tenant());
    let groups: Vec<_> = tenants.flat_map(|tenant| tenant.chunks(KEYS_MAX)).collect();
    let mut replies = send(connection, sha, holder, &groups).await?;
    if replies.iter().any(is_unknown) {
        let () = redis::cmd("SCRIPT").arg("LOAD").arg(script::SOURCE).query_async(connection).await?;
        let unknown: Vec<usize> = (0..replies.len()).filter(|&at| is_unknown(&replies[at])).collect();
        let again: Vec<_> = unknown.iter().map(|&at| groups[at]).collect();
        for (at, reply) in unknown.into_iter().zip(send(connection, sha, holder, &again).await?) {
            replies[at] = reply;
        }
    }
    let mut answers = Vec::with_capacity(entries.len());
    for (group, reply) in groups.iter().zip(replies) {
        answers.extend(script::answers(reply?, group.len())?);
    }
    Ok(answers)
}

async fn send(
    connection: &mut MultiplexedConnection,
    sha: &str,
    holder: &str,
    groups: &[&[impl AsRef<Entry>]],
) -> Result<Vec<RedisResult<Value>>, RedisError> {
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    for group in groups {
        let of = |entry: &'_ Entry| (entry.cell.key().to_owned(), Arc::clone(&entry.plan), entry.ask);
        let asked: Vec<_> = group.iter().map(|entry| of(entry.as_ref())).collect();
        pipe.add_command(script::call(sha, holder, asked.iter().map(|(key, plan, ask)| (key.as_str(), &**plan, *ask))));
    }
    let replies: Vec<RedisResult<Value>> = pipe.query_async(connection).await?;
    if replies.len() == groups.len() {
        Ok(replies)
    } else {
        Err(RedisError::from((ErrorKind::UnexpectedReturnType, "another number of replies than of calls")))
    }
}

fn is_unknown(reply: &RedisResult<Value>) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

impl AsRef<Entry> for Entry {
    fn as_ref(&self) -> &Entry {
        self
    }
}
