//! Why a tenant is served where it is served: `explain`. The data plane's own function, on the store's table.

use synaxis_routing::explain;

use crate::{args, failure::Failure, output, session, session::Session};

pub(super) async fn explain(session: &Session, said: &args::Explain) -> Result<(), Failure> {
    let (readable, now) = session.table().await?;
    let placement = session::place(readable.fleet)?;
    let regions = &placement.table().regions;
    let Some(entry) = said.entry_region.as_ref().or_else(|| regions.first()) else {
        return Err(Failure::NotFound("the table has no region".to_owned()));
    };
    let index = placement.region(entry).ok_or_else(|| {
        let known = regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Failure::NotFound(format!("there is no region {entry} in the table; it has {known}"))
    })?;
    if said.entry_region.is_none() && regions.len() > 1 {
        output::note(&format!("for a request that arrives in {entry}; --entry-region says another"));
    }
    let explanation = explain::explain(&placement, &said.tenant, index, now);
    session.format().print(&explanation, ToString::to_string)
}
