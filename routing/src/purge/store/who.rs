//! Who has passed a purge.
//!
//! Invariant: a process counts as missing unless it has said that it has passed, or cannot serve anything from before.

use std::{sync::Arc, time::Duration};

use super::{CALL_MAX, Link, PROCESS_BYTES_MAX, READERS_MAX, SILENT_MAX, StoreError};
use crate::purge::PurgeId;

/// Who has passed a purge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Processes that have.
    pub passed: Vec<String>,
    /// Those that have not.
    pub missing: Vec<Missing>,
    /// Those that have not and that have been silent since for so long that they serve nothing from before it.
    pub silent: Vec<String>,
    /// The list of processes is old enough to have all of them: a store that has lost it has it again after [`SILENT_MAX`].
    pub is_complete: bool,
}

impl Waited {
    /// Nothing that the purge covers is served any more by any process.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.is_complete && self.missing.is_empty()
    }
}

/// A process that has not passed a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub process: String,
    /// What it has passed.
    pub passed: PurgeId,
    /// How long it has said nothing.
    pub silent: Duration,
}

impl Link {
    /// Who has passed `id` by now.
    ///
    /// # Errors
    /// [`StoreError::Away`], [`StoreError::Lost`].
    pub async fn who_passed(&mut self, id: PurgeId) -> Result<Waited, StoreError> {
        let store = Arc::clone(&self.store.0);
        let mut invocation = store.who.prepare_invoke();
        invocation.key(&store.stream).key(&store.readers).arg(READERS_MAX).arg(PROCESS_BYTES_MAX);
        let asking = invocation.invoke_async(&mut self.connection);
        let found: Vec<Vec<u8>> = self.store.within(CALL_MAX, "no answer", asking).await?;
        let text = |index: usize| found.get(index).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        let now: u64 = text(0).parse().unwrap_or_default();
        let (first, newest) = (self.end(&text(1))?, self.end(&text(2))?);
        // after a loss the readers that have not noticed yet are not known either
        if first.is_none_or(|first| first > id) || newest.is_none_or(|newest| newest < id) {
            return Err(StoreError::Lost(id));
        }
        let (words, _) = found.get(3..).unwrap_or_default().as_chunks::<2>();
        let mut waited = Waited::default();
        for [process, word] in words {
            let (process, word) = (String::from_utf8_lossy(process).into_owned(), String::from_utf8_lossy(word));
            let (passed, at) = word.split_once('@').unwrap_or_default();
            if process.is_empty() {
                let since = at.parse().unwrap_or(u64::MAX);
                waited.is_complete = Duration::from_millis(now.saturating_sub(since)) > SILENT_MAX;
                continue;
            }
            let (passed, at) = (passed.parse().unwrap_or(PurgeId::ZERO), at.parse::<u64>().unwrap_or_default());
            let silent = Duration::from_millis(now.saturating_sub(at));
            let age = Duration::from_millis(now.saturating_sub(id.millis()));
            if passed >= id {
                waited.passed.push(process);
            } else if silent > SILENT_MAX && age > SILENT_MAX {
                waited.silent.push(process);
            } else {
                waited.missing.push(Missing { process, passed, silent });
            }
        }
        Ok(waited)
    }
}
