//! Who changed what: `history`.

use serde::Serialize;
use synaxis_routing::{change::utc, table::Millis};

use crate::{
    args,
    failure::Failure,
    output::columns,
    session::{Session, away},
};

#[derive(Serialize)]
struct Entry {
    /// `TERM.EPOCH` that was published.
    version: String,
    /// Milliseconds since the Unix epoch.
    at: Millis,
    who: String,
    what: String,
    why: String,
}

pub(super) async fn history(session: &Session, said: &args::History) -> Result<(), Failure> {
    let log = session.store.history(usize::from(said.count)).await.map_err(away)?;
    let entry = |entry: synaxis_routing::store::LogEntry| Entry {
        version: entry.version.to_string(),
        at: entry.at,
        who: entry.who,
        what: entry.what,
        why: entry.why,
    };
    let entries: Vec<Entry> = log.into_iter().map(entry).collect();
    session.format().print(&entries, |entries| {
        let row = |e: &Entry| vec![e.version.clone(), utc(e.at), e.who.clone(), e.what.clone(), e.why.clone()];
        columns(&["VERSION", "WHEN", "WHO", "WHAT", "WHY"], &entries.iter().map(row).collect::<Vec<_>>())
    })
}
