//! A store of the cache that is in the way of others, or is not there.

use crate::{fault::Findings, written::Written};

pub(super) fn warn(written: &Written, findings: &Findings) {
    let read = &written.cache;
    let Some((store, at)) = read.cache.store.as_ref().zip(read.store_url.as_ref()) else {
        for at in read.places.iter().filter_map(|places| places.store_ttl.as_ref()) {
            findings.warn(
                at,
                "`store_ttl` in [cache.classes.NAME]: there is no store; leave it out, or write url = \
                 \"redis://127.0.0.1:6379/3\" below a line [cache.store]",
            );
        }
        return;
    };
    let routing = written.routing.as_ref().and_then(|routing| routing.store.as_ref());
    let limits = written.limits_store.as_ref().and_then(|store| store.url.as_ref());
    let others = [(routing, "the routing table lies"), (limits, "limits are counted")];
    for (_, what) in others.iter().filter(|(url, _)| url.is_some_and(|url| url.get_ref().is_database_of(&store.url))) {
        findings.warn(
            at,
            format!(
                "`url` in [cache.store]: {what} in the same database, and what fills or empties it takes that along; write \
                 another database, or better another server"
            ),
        );
    }
}
