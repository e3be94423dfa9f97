//! The answers that the proxy makes itself: one closed enum, mapped to HTTP in exactly one `match`.
//!
//! The reason token is public: the same word stands in the answer, the log, the metric and the documentation.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use metrics::Counter;

use synaxis_routing::id::StampId;

use super::rate_limit::Told;
use crate::{
    telemetry::metrics::Metrics,
    upstream::{attempt::Cause, framing::ForbiddenNomination, guard::Denied},
};

/// A reason to answer without an upstream's word.
#[derive(Debug, thiserror::Error)]
pub enum LocalReply {
    /// No tenant field.
    #[error("the request names no tenant: send it in the tenant header")]
    TenantMissing,
    /// The tenant field is malformed.
    #[error("a tenant id is 1 to 128 bytes of A-Z a-z 0-9 . _ -")]
    TenantInvalid,
    /// More than one tenant field.
    #[error("the request names its tenant more than once")]
    TenantAmbiguous,
    /// Not exactly one valid Host.
    #[error("a request carries exactly one valid Host")]
    HostInvalid,
    /// Framing that two parsers could read differently.
    #[error("the request's framing is not acceptable: {0}")]
    FramingInvalid(&'static str),
    /// A transfer coding other than chunked.
    #[error("the only transfer coding understood here is chunked")]
    CodingUnknown,
    /// `Connection` names a protected field.
    #[error("{0}")]
    ConnectionFieldForbidden(#[from] ForbiddenNomination),
    /// The body broke off, or its chunks are not what they say.
    #[error("the request's body broke off or is not valid")]
    BodyInvalid,
    /// The body stopped coming, or came too slowly.
    #[error("the request's body stopped coming or came too slowly")]
    BodyTimeout,
    /// The body is longer than its route allows.
    #[error("the request's body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The path holds bytes that it must not hold.
    #[error("the request target is not acceptable: {0}")]
    TargetInvalid(&'static str),
    /// The request target is too long.
    #[error("the request target is longer than {0} bytes")]
    UriTooLong(usize),
    /// The head is too large.
    #[error("the request head is larger than {0} bytes")]
    HeadTooLarge(usize),
    /// The head has too many fields.
    #[error("the request head has more than {0} fields")]
    TooManyFields(usize),
    /// CONNECT and TRACE.
    #[error("this method is not served here")]
    MethodNotAllowed,
    /// Nothing but its method keeps the request from some route; these are the methods that they take.
    #[error("this path takes other methods only")]
    MethodUnrouted(HeaderValue),
    /// It has passed the platform's edge too often.
    #[error("this request has come through this proxy too often: an app sends it back here")]
    Loop,
    /// An OPTIONS request whose Max-Forwards is not one number.
    #[error("Max-Forwards is one number")]
    MaxForwardsInvalid,
    /// An expectation other than 100-continue.
    #[error("the only expectation understood here is 100-continue")]
    ExpectationFailed,
    /// No route matches.
    #[error("no route matches this host, path and fields")]
    RouteUnknown,
    /// A forward that this stamp must not serve at this version of its table.
    #[error("this stamp is no candidate of the tenant at the current table")]
    Misdirected(HeaderValue),
    /// No table is loaded, or nobody takes the tenant.
    #[error("no stamp takes this tenant at present")]
    NoStamp,
    /// The tenant's regions have nobody.
    #[error("no stamp in the tenant's regions takes it at present")]
    NoStampInRegion,
    /// The only stamp that may serve the tenant does not.
    #[error("the stamp to which the tenant is pinned does not serve at present")]
    PinnedStampDown,
    /// Nobody could be connected to.
    #[error("{0}")]
    UpstreamConnect(Cause),
    /// The request's fate is unknown.
    #[error("{0}")]
    UpstreamReset(Cause),
    /// What came back is no valid HTTP.
    #[error("{0}")]
    UpstreamInvalid(Cause),
    /// No answer in time.
    #[error("the upstream did not answer in time")]
    UpstreamTimeout,
    /// The next candidate cannot have a body that is already gone.
    #[error("the request's body was already being sent and cannot be sent again")]
    NotReplayable,
    /// An upstream's breaker is open, or it has too many requests in flight.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The breaker before another stamp's app is open, and nobody else could have this one; seconds after which to try again.
    #[error("the breaker before the app of {0} is open")]
    PeerOpen(StampId, u32),
    /// Another stamp has too many requests in flight, and nobody else could have this one.
    #[error("{0} has as many requests in flight as it takes")]
    PeerBusy(StampId),
    /// The route is among the first to be given up; seconds after which to try again.
    #[error("this stamp does not serve this route at present")]
    AiDegraded(u32),
    /// Nothing is changed; seconds after which to try again.
    #[error("this stamp only reads at present: GET, HEAD and OPTIONS")]
    ReadOnly(u32),
    /// Nothing is served.
    #[error("{}", if .0.fleet_wide { "this service is in maintenance" } else { "this stamp is in maintenance" })]
    Maintenance(Maintenance),
    /// A limit of requests is used up.
    #[error("{0}")]
    RateLimited(Box<Told>),
    /// Another reply, to a request that somebody may have executed before: it does not say that nobody has.
    #[error("{0}")]
    Executed(Box<LocalReply>),
    /// The request takes a kept answer only, and none is here.
    #[error("no kept answer is here, and the request takes no other")]
    NotCached,
    /// Another request that fetches the same answer took too long.
    #[error("another request that fetches the same answer has not had it in time")]
    CollapseTimeout,
    /// This process holds all that it can.
    #[error("this proxy has as many connections, sockets or as much in memory as it can hold")]
    Overload,
}

/// Maintenance, as told to one client.
#[derive(Debug)]
pub struct Maintenance {
    /// Seconds after which to try again.
    pub retry_after: u32,
    /// Whether no other stamp serves either.
    pub fleet_wide: bool,
    /// What a browser shows, instead of a problem document.
    pub page: Option<Bytes>,
}

/// How a local reply looks on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Status.
    pub status: StatusCode,
    /// Stable reason token.
    pub reason: &'static str,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
    /// The connection cannot be trusted any more: close it.
    pub close: bool,
    /// Nothing was handed to the app: another stamp may have the request.
    pub unprocessed: bool,
}

/// Every reason token, in the order of the documentation.
pub const REASONS: [&str; 36] = [
    "tenant_missing",
    "tenant_invalid",
    "tenant_ambiguous",
    "host_invalid",
    "framing_invalid",
    "coding_unknown",
    "connection_field_forbidden",
    "body_invalid",
    "body_timeout",
    "body_too_large",
    "target_invalid",
    "uri_too_long",
    "head_too_large",
    "method_not_allowed",
    "loop",
    "max_forwards_invalid",
    "expectation_failed",
    "route_unknown",
    "rate_limited",
    "misdirected",
    "no_stamp",
    "no_stamp_in_region",
    "pinned_stamp_down",
    "upstream_connect",
    "upstream_reset",
    "upstream_invalid",
    "upstream_timeout",
    "not_replayable",
    "breaker_open",
    "concurrency",
    "ai_degraded",
    "read_only",
    "maintenance",
    "not_cached",
    "collapse_timeout",
    "overload",
];

impl LocalReply {
    /// The one mapping to HTTP.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let plain = |status, reason| Shape { status, reason, retry_after: None, close: false, unprocessed: false };
        let closing = |status, reason| Shape { close: true, ..plain(status, reason) };
        let unavailable = |reason| Shape { retry_after: Some(1), ..plain(StatusCode::SERVICE_UNAVAILABLE, reason) };
        match self {
            Self::TenantMissing => plain(StatusCode::BAD_REQUEST, "tenant_missing"),
            Self::TenantInvalid => plain(StatusCode::BAD_REQUEST, "tenant_invalid"),
            Self::TenantAmbiguous => plain(StatusCode::BAD_REQUEST, "tenant_ambiguous"),
            Self::HostInvalid => closing(StatusCode::BAD_REQUEST, "host_invalid"),
            Self::FramingInvalid(_) => closing(StatusCode::BAD_REQUEST, "framing_invalid"),
            Self::CodingUnknown => closing(StatusCode::NOT_IMPLEMENTED, "coding_unknown"),
            Self::ConnectionFieldForbidden(_) => closing(StatusCode::BAD_REQUEST, "connection_field_forbidden"),
            Self::BodyInvalid => closing(StatusCode::BAD_REQUEST, "body_invalid"),
            Self::BodyTimeout => closing(StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyTooLarge(_) => closing(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TargetInvalid(_) => closing(StatusCode::BAD_REQUEST, "target_invalid"),
            Self::UriTooLong(_) => closing(StatusCode::URI_TOO_LONG, "uri_too_long"),
            Self::HeadTooLarge(_) | Self::TooManyFields(_) => {
                closing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
            }
            Self::MethodNotAllowed => closing(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MethodUnrouted(_) => plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Loop => closing(StatusCode::LOOP_DETECTED, "loop"),
            Self::MaxForwardsInvalid => plain(StatusCode::BAD_REQUEST, "max_forwards_invalid"),
            Self::ExpectationFailed => closing(StatusCode::EXPECTATION_FAILED, "expectation_failed"),
            Self::RouteUnknown => plain(StatusCode::NOT_FOUND, "route_unknown"),
            Self::Misdirected(_) => {
                Shape { unprocessed: true, ..plain(StatusCode::MISDIRECTED_REQUEST, "misdirected") }
            }
            Self::NoStamp => unavailable("no_stamp"),
            Self::NoStampInRegion => unavailable("no_stamp_in_region"),
            Self::PinnedStampDown => unavailable("pinned_stamp_down"),
            Self::UpstreamConnect(_) => {
                Shape { unprocessed: true, ..plain(StatusCode::BAD_GATEWAY, "upstream_connect") }
            }
            Self::UpstreamReset(_) => plain(StatusCode::BAD_GATEWAY, "upstream_reset"),
            Self::UpstreamInvalid(_) => plain(StatusCode::BAD_GATEWAY, "upstream_invalid"),
            Self::UpstreamTimeout => plain(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
            Self::NotReplayable => unavailable("not_replayable"),
            Self::Denied(denied) => {
                let reason = match denied {
                    Denied::Breaker(_) => "breaker_open",
                    Denied::Places(_) => "concurrency",
                };
                let (retry_after, unprocessed) = (Some(denied.retry_after()), !denied.is_final());
                Shape { retry_after, unprocessed, ..unavailable(reason) }
            }
            Self::PeerOpen(_, seconds) => Shape { retry_after: Some(*seconds), ..unavailable("breaker_open") },
            Self::PeerBusy(_) => unavailable("concurrency"),
            Self::AiDegraded(seconds) => Shape { retry_after: Some(*seconds), ..unavailable("ai_degraded") },
            Self::ReadOnly(seconds) => Shape { retry_after: Some(*seconds), ..unavailable("read_only") },
            Self::Maintenance(Maintenance { retry_after, fleet_wide, .. }) => {
                let seconds = Some(*retry_after);
                Shape { retry_after: seconds, unprocessed: !fleet_wide, ..unavailable("maintenance") }
            }
            Self::RateLimited(told) => {
                Shape { retry_after: Some(told.retry_after()), ..plain(StatusCode::TOO_MANY_REQUESTS, "rate_limited") }
            }
            Self::Executed(reply) => Shape { unprocessed: false, ..reply.shape() },
            Self::NotCached => plain(StatusCode::GATEWAY_TIMEOUT, "not_cached"),
            Self::CollapseTimeout => plain(StatusCode::GATEWAY_TIMEOUT, "collapse_timeout"),
            Self::Overload => Shape { close: true, unprocessed: true, ..unavailable("overload") },
        }
    }
}

/// `local_replies_total` by reason, resolved once a worker: a flood of refusals must cost no label lookup.
pub struct Counters([Counter; REASONS.len()]);

impl Counters {
    /// Registers one counter a reason.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self(REASONS.map(|reason| metrics.local_reply(reason)))
    }

    /// Counts one reply.
    pub fn count(&self, reason: &str) {
        if let Some(index) = REASONS.iter().position(|known| *known == reason) {
            self.0[index].increment(1);
        }
    }
}

impl From<synaxis_routing::placement::NoStamp> for LocalReply {
    fn from(why: synaxis_routing::placement::NoStamp) -> Self {
        use synaxis_routing::placement::NoStamp;
        match why {
            NoStamp::NoStamp => Self::NoStamp,
            NoStamp::NoStampInRegion => Self::NoStampInRegion,
            NoStamp::PinnedStampDown => Self::PinnedStampDown,
        }
    }
}
