//! The one hop between stamps: what a forward carries, what its receiver believes, what its answer says.
//!
//! The edge listener strips every internal field; the peer listener demands them. A request that came in by the peer
//! listener is never forwarded again.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use synaxis_config::settings::{Listener, ListenerKind};
use synaxis_routing::{
    id::{StampId, TenantId},
    placement::RegionIndex,
    version::Version,
};

use super::{Downstream, local_reply::LocalReply, normalize::Survey};
use crate::{
    dataplane::{Fleet, Snapshot},
    upstream::framing,
};

const HOP: HeaderName = HeaderName::from_static("x-synaxis-hop");
/// The version of the table by which a stamp decided.
pub const EPOCH: HeaderName = HeaderName::from_static("x-synaxis-epoch");
const ENTRY: HeaderName = HeaderName::from_static("x-synaxis-entry");
const OWNER: HeaderName = HeaderName::from_static("x-synaxis-owner");
const TENANT: HeaderName = HeaderName::from_static("x-synaxis-tenant");
const CLIENT: HeaderName = HeaderName::from_static("x-synaxis-client");
const PROTO: HeaderName = HeaderName::from_static("x-synaxis-proto");
const DEADLINE_MS: HeaderName = HeaderName::from_static("x-synaxis-deadline-ms");
const NO_RETRY: HeaderName = HeaderName::from_static("x-synaxis-no-retry");
/// Says `bypass` where the tenant's requests have gone elsewhere a moment ago.
const CACHE: HeaderName = HeaderName::from_static("x-synaxis-cache");
const BYPASS: HeaderValue = HeaderValue::from_static("bypass");
/// Says that nothing was handed to the app.
pub const PROCESSED: HeaderName = HeaderName::from_static("x-synaxis-processed");
/// The reason token of a local reply.
pub const REASON: HeaderName = HeaderName::from_static("x-synaxis-reason");
/// The level of degradation of the stamp that served, by option.
pub const DEGRADATION: HeaderName = HeaderName::from_static("x-synaxis-degradation");
/// The stamp's state, in answers to probes.
pub const STATE: HeaderName = HeaderName::from_static("x-synaxis-state");
/// How the stamp's app is, in answers to probes: `ok`, `bad` or `unknown`.
pub const APP: HeaderName = HeaderName::from_static("x-synaxis-app");

/// What a forward says of itself.
pub struct Hop {
    /// The tenant, as the entry identified it.
    pub tenant: TenantId,
    /// The sender's table.
    pub version: Version,
    /// The region of the entry, in whose order the candidates stand.
    pub entry: Option<RegionIndex>,
    /// The client's address, as the entry saw it.
    pub client: Option<HeaderValue>,
    /// The time that was left.
    pub remaining: Option<Duration>,
    /// The tenant's own stamp, as the sender sees it; `None`: it does not say.
    pub owner: Option<StampId>,
    /// Whether nothing kept is to be looked for, and nothing to be kept.
    pub bypasses: bool,
}

/// Reads the internal fields of a forward; strips them in any case.
///
/// # Errors
/// `framing_invalid` when a request on the peer listener is no well-formed forward: only stamps speak here.
pub fn arrival(
    listener: &Listener,
    snapshot: &Snapshot,
    survey: &Survey,
    headers: &mut HeaderMap,
) -> Result<Option<Hop>, LocalReply> {
    let hop = match listener.kind {
        ListenerKind::Edge => None,
        ListenerKind::Peer => {
            Some(read(snapshot, headers).ok_or(LocalReply::FramingInvalid("a peer's forward lacks its fields"))?)
        }
    };
    if survey.internal {
        framing::strip_internal(headers);
    }
    Ok(hop)
}

fn read(snapshot: &Snapshot, headers: &HeaderMap) -> Option<Hop> {
    let text = |name: &HeaderName| single(headers, name)?.to_str().ok();
    if text(&HOP)? != "1" {
        return None;
    }
    let entry = StampId::parse(text(&ENTRY)?).ok()?;
    Some(Hop {
        tenant: TenantId::parse(single(headers, &TENANT)?.as_bytes()).ok()?,
        version: text(&EPOCH)?.parse().ok()?,
        entry: snapshot.fleet.as_ref().and_then(|fleet| fleet.placement.region(entry.region())),
        client: single(headers, &CLIENT).cloned(),
        remaining: text(&DEADLINE_MS).and_then(|text| text.parse().ok()).map(Duration::from_millis),
        owner: text(&OWNER).and_then(|owner| named(owner, &snapshot.settings.stamp.id)),
        // whoever says anything means that it is to be avoided
        bypasses: headers.contains_key(&CACHE),
    })
}

/// A stamp by its id; most of the time it is this one, which costs nothing.
fn named(id: &str, me: &StampId) -> Option<StampId> {
    if id == me.as_str() { Some(me.clone()) } else { StampId::parse(id).ok() }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// How long the head of an answer may take: the route's limit, or what the entry had left.
#[must_use]
pub fn time_left(limit: Duration, hop: Option<&Hop>) -> Duration {
    hop.and_then(|hop| hop.remaining).unwrap_or(limit).min(limit)
}

/// The client's address: what the entry says, or who is at the other end.
#[must_use]
pub fn client<'a>(downstream: &'a Downstream, hop: Option<&'a Hop>) -> &'a HeaderValue {
    hop.and_then(|hop| hop.client.as_ref()).unwrap_or(&downstream.client_value)
}

/// What a forward says of itself, besides the table.
pub struct Announced<'a> {
    /// This stamp.
    pub entry: &'a StampId,
    /// The tenant's own stamp, which need not be the one that it goes to.
    pub owner: &'a StampId,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The client's address.
    pub client: &'a HeaderValue,
    /// The time that is left.
    pub left: Duration,
    /// Whether nothing kept is to be looked for, and nothing to be kept.
    pub bypasses: bool,
}

/// Adds the fields of a forward.
pub fn announce(headers: &mut HeaderMap, fleet: &Fleet, announced: &Announced<'_>) {
    let Announced { entry, owner, tenant, client, left, bypasses } = *announced;
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(HOP, HeaderValue::from_static("1"));
    headers.insert(EPOCH, fleet.version.clone());
    headers.insert(ENTRY, text(entry.as_str()));
    headers.insert(OWNER, text(owner.as_str()));
    headers.insert(TENANT, text(tenant.as_str()));
    headers.insert(CLIENT, client.clone());
    headers.insert(PROTO, HeaderValue::from_static("http"));
    headers.insert(DEADLINE_MS, HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
    headers.insert(NO_RETRY, HeaderValue::from_static("1"));
    if bypasses {
        headers.insert(CACHE, BYPASS);
    } else {
        // the same request may have gone to the owner before
        headers.remove(CACHE);
    }
}

/// Whether a peer says that its app has not seen the request.
#[must_use]
pub fn is_unprocessed<B>(answer: &Response<B>) -> bool {
    single(answer.headers(), &PROCESSED).is_some_and(|value| value.as_bytes() == b"no")
}
