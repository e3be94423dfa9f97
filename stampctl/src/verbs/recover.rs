//! Putting back the newest table that a proxy still has: `recover`.
//!
//! Invariant: what comes from a proxy is hostile until the envelope, both hashes and the decision digest verified; what
//! is published is newer than everything that was seen anywhere, so no proxy that ever applied something refuses it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use synaxis_routing::{
    ack::Ack, bundle::Bundle, change::Fleet, endpoint::EndpointPolicy, store::Mode, version::Version,
};
use tokio::task::JoinSet;
use url::Url;

use crate::{
    args,
    failure::Failure,
    fetch, output, policy,
    session::{Edit, Session, away, head_version},
};

/// Most proxies that are asked.
const SOURCES_MAX: usize = 64;
/// How many are asked at the same time: each answer may be large.
const AT_ONCE: usize = 8;
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where an admin listener serves its table, and where a peer listener does.
const PATHS: [&str; 2] = ["/routing/table", "/synaxis/table"];

pub(super) async fn recover(session: &Session, said: args::Recover) -> Result<(), Failure> {
    let acks = session.store.acks().await.map_err(away)?;
    let seen = session.look().await?;
    let mut shown = vec![seen.acked];
    shown.extend(acks.iter().map(|ack| ack.applied));
    shown.extend(head_version(&seen));
    let sources = if said.from.is_empty() { addresses(&acks) } else { said.from };
    if sources.is_empty() {
        return Err(Failure::NotFound(
            "the store names no proxy that could be asked: say --from http://ADMIN-ADDRESS of a running proxy (on its own \
             host, or through a port-forward), or import a proxy's snapshot file"
                .to_owned(),
        ));
    }
    let applied = acks.iter().map(|ack| ack.applied).chain([seen.acked]).max().unwrap_or_default();
    let (newest, from) = newest(&sources, &mut shown).await?;
    let applied = applied.max(newest.version());
    // what the store shows is somebody's truth only if a proxy ever applied it: a newer one may be what all refuse
    let stored = seen.fleet().filter(|stored| stored.version() <= applied);
    if let Some(refused) = seen.fleet().filter(|stored| stored.version() > applied)
        && !said.over_newer
    {
        return Err(Failure::Forbidden(format!(
            "the store holds {}, which no proxy has applied; the newest that one has is {}. Publications take a moment; if \
             the proxies refuse it (/readyz?verbose says why), repeat with --over-newer",
            refused.version(),
            newest.version()
        )));
    }
    let (newest, from) = match stored {
        Some(stored) if stored.version() > newest.version() => (stored.clone(), "the store".to_owned()),
        _ => (newest, from),
    };
    let current = stored.map(Fleet::version);
    if current.is_some_and(|current| shown.iter().all(|other| *other <= current)) {
        let why = "the store holds the newest table that anybody knows; there is nothing to recover";
        session.nothing(&seen, why)?;
        return Ok(());
    }
    let how = format!("recover from {from}");
    session
        .publish(seen, Mode::Recover, |seen| {
            Ok::<_, Edit>(Fleet::restore(&newest, seen.fleet(), &shown, &how, seen.now)?)
        })
        .await?;
    Ok(())
}

/// Asks every source and keeps the newest table; what it saw goes to `shown`.
async fn newest(sources: &[Url], shown: &mut Vec<Version>) -> Result<(Fleet, String), Failure> {
    let mut best: Option<(Fleet, String)> = None;
    let mut failures = Vec::new();
    for few in sources[..sources.len().min(SOURCES_MAX)].chunks(AT_ONCE) {
        let mut asked = JoinSet::new();
        for source in few {
            asked.spawn(ask(source.clone()));
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((source, Ok(fleet))) => {
                    output::note(&format!("{source} has {}", fleet.version()));
                    shown.push(fleet.version());
                    if best.as_ref().is_none_or(|(best, _)| fleet.version() > best.version()) {
                        best = Some((fleet, source));
                    }
                }
                Ok((source, Err(why))) => failures.push(format!("{source}: {why}")),
                Err(broken) => failures.push(broken.to_string()),
            }
        }
    }
    let all = failures.join("; ");
    if best.is_some() {
        failures.iter().for_each(|failure| output::note(failure));
    }
    best.ok_or_else(|| Failure::failed(format!("no proxy gave a table: {all}")))
}

/// The table of one proxy, beside its address. A URL without a path is asked at both places that serve one.
async fn ask(source: Url) -> (String, Result<Fleet, String>) {
    let bare = matches!(source.path(), "" | "/");
    let paths: &[&str] = if bare { &PATHS } else { &[source.path()] };
    let mut outcome = Err("it serves nothing".to_owned());
    for path in paths {
        let mut url = source.clone();
        url.set_path(path);
        outcome = fetch::get(&url, TIMEOUT).await;
        if outcome.is_ok() {
            break;
        }
    }
    (source.to_string(), outcome.and_then(|bytes| open(&bytes)))
}

fn open(bytes: &[u8]) -> Result<Fleet, String> {
    let bundle = Bundle::from_bytes(bytes).map_err(|refusal| refusal.to_string())?;
    let decoded = bundle.decode().map_err(|refusal| refusal.to_string())?;
    let policy = policy::widest(&decoded.table);
    synaxis_routing::sanity::admit(&bundle, None, &policy).map_err(|refusal| refusal.to_string())?;
    Ok(Fleet { table: decoded.table, tenants: decoded.tenants })
}

/// Admin and plain peer addresses that proxies left in the store. The store is hostile input: only addresses that a
/// proxy could have, never those that no policy allows.
fn addresses(acks: &[Ack]) -> Vec<Url> {
    let policy = EndpointPolicy { loopback_peers: true, ..EndpointPolicy::default() };
    let plain = |text: &str| -> Option<String> {
        let address: SocketAddr = text.strip_prefix("http://").unwrap_or(text).parse().ok()?;
        policy.check_address(address).ok()?;
        Some(format!("http://{address}"))
    };
    let mut newest_first: Vec<&Ack> = acks.iter().collect();
    newest_first.sort_by_key(|ack| std::cmp::Reverse((ack.applied, ack.at)));
    let mut known = BTreeSet::new();
    let all = newest_first.into_iter().flat_map(|ack| std::iter::once(&ack.admin).chain(ack.peer.as_ref()));
    all.filter_map(|text| plain(text))
        .filter(|text| known.insert(text.clone()))
        .filter_map(|text| Url::parse(&text).ok())
        .collect()
}
