//! The current version and who has it: `epoch`.

use serde::Serialize;

use crate::{
    args,
    failure::Failure,
    session::{Session, away},
    wait::{self, Acknowledged},
};

#[derive(Serialize)]
struct Epoch {
    /// `TERM.EPOCH` of the store's table.
    version: String,
    /// Decision digest of that table.
    digest: String,
    /// The newest version that any proxy ever confirmed in this store.
    acked: String,
    proxies: Acknowledged,
}

pub(super) async fn epoch(session: &Session, said: &args::Epoch) -> Result<(), Failure> {
    let seen = session.look().await?;
    let acked = seen.acked;
    let (readable, now) = seen.readable()?;
    let (version, digest) = (readable.head.version(), readable.head.digest);
    let proxies = if said.wait {
        wait::for_proxies(session, version, &digest).await?
    } else {
        wait::tally(&session.store.acks().await.map_err(away)?, version, &digest, now)
    };
    let verdict = if said.wait { proxies.verdict(session.said.timeout) } else { Ok(()) };
    let epoch = Epoch { version: version.to_string(), digest, acked: acked.to_string(), proxies };
    session.format().print(&epoch, |epoch| {
        let back = if acked > version {
            format!("\nthe store went back in time: proxies have confirmed {acked} before; `stampctl recover`")
        } else {
            String::new()
        };
        let behind: Vec<String> =
            epoch.proxies.waiting.iter().map(|b| format!("\n  {} is at {}", b.proxy, b.applied)).collect();
        format!("{} (digest {})\n{}{}{back}", epoch.version, epoch.digest, epoch.proxies, behind.concat())
    })?;
    verdict
}
