//! The settings as run: validated, with every default filled in; nothing below this crate checks them again.
//!
//! Invariant: a [`Settings`] comes only out of [`load`](crate::load), so indices point somewhere, names are unique and
//! ranges hold. Durations are [`Duration`], sizes are bytes.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use synaxis_routing::{
    endpoint::{EndpointPolicy, Scheme},
    id::{Region, StampId},
};
use url::Url;

use crate::source::Origins;

mod breaker;
mod cache;
mod degradation;
mod health;
mod host;
mod probe;
mod rate_limits;
mod secret;
mod store;
mod upstream;

pub(crate) use breaker::open_max;
pub use breaker::{Breaker, BreakerPreset};
pub use cache::{Cache, CacheAuthorization, CacheClass, CachePreset, CacheStore};
pub use degradation::{Degradation, DegradationLevel, Dependency, Probe, Watched};
pub use health::{HealthCheck, Outliers, Probing};
pub use host::{HostPattern, HttpEndpoint, InvalidEndpoint, InvalidHost};
pub(crate) use host::{http_path, is_name};
pub(crate) use probe::probe_path;
pub use probe::{InvalidProbe, ProbeUrl};
pub use rate_limits::{
    LimitFields, LimitKey, LimitMode, LimitScope, LimitsStore, OnStoreFailure, Quotas, ROUTE_LIMITS_MAX, RateLimit,
    RateLimiting, TENANT_LIMIT, TOP_TENANTS_MAX, Tier,
};
pub use secret::{InvalidKey, InvalidToken, Secret};
pub use store::{InvalidStore, StoreUrl};
pub use upstream::{Peers, Protection, Retries, Upstream};

/// Everything one proxy process is told. [`Debug`](fmt::Debug) writes it without secrets, as
/// [`effective`](crate::print::effective) does.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// Which stamp this proxy belongs to.
    pub stamp: Stamp,
    /// Size of the process.
    pub server: Server,
    /// Where requests come in; at least one [`ListenerKind::Edge`].
    pub listeners: Vec<Listener>,
    /// Where operators and probes come in.
    pub admin: Admin,
    /// Where the routing table comes from. `None`: a table in memory that holds this stamp alone, Active.
    pub routing: Option<Routing>,
    /// How a request names its tenant.
    pub tenant: Tenant,
    /// How a request names its user. `None`: users are not told apart.
    pub user: Option<User>,
    /// First match wins; at least one.
    pub routes: Vec<Route>,
    /// Kinds of tenants, in the order of the file.
    pub tiers: Vec<Tier>,
    /// Limits that routes ask for, in the order of the file. That of the tiers is [`Settings::tenant_limit`].
    pub rate_limits: Vec<RateLimit>,
    /// What all limits of a process have in common.
    pub rate_limiting: RateLimiting,
    /// Where the fleet counts. `None`: each process counts alone.
    pub limits_store: Option<LimitsStore>,
    /// Which answers are kept.
    pub cache: Cache,
    /// The apps of this stamp, in the order of the file; at least one.
    pub upstreams: Vec<Upstream>,
    /// How each other stamp is treated.
    pub peers: Peers,
    /// How often and how soon a request is tried again.
    pub retries: Retries,
    /// What the apps of this stamp lean on, in the order of the file.
    pub dependencies: Vec<Dependency>,
    /// How levels of degradation are left and told.
    pub degradation: Degradation,
    /// One line a request.
    pub access_log: AccessLog,
    /// Caps on what a client may send.
    pub limits: Limits,
    /// Time limits of the phases of a connection.
    pub timeouts: Timeouts,
    /// How the process leaves.
    pub shutdown: Shutdown,
    /// What came from the environment or a file of a secret.
    pub(crate) origins: Origins,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::print::effective(self))
    }
}

/// `[stamp]`: which stamp this proxy belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The stamp, such as `synaxis-weu-001`.
    pub id: StampId,
    /// The region inside the id (`weu`).
    pub region: Region,
}

/// `[server]`: size of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads; the cores of this machine unless written.
    pub workers: usize,
    /// Accepted connections in all, over every edge listener.
    pub connections_max: usize,
    /// The same over the peer listeners: clients at the edge cannot keep other stamps out, nor they clients.
    pub peer_connections_max: usize,
    /// Connections beyond `connections_max`, and as many beyond `peer_connections_max`, that get one answer each: a probe its own, everybody else 503 `overload`.
    pub connections_reserve: usize,
    /// Connections of one client address. `None`: no cap, as behind Front Door, which comes from few addresses.
    pub connections_per_address: Option<usize>,
    /// Resident memory in bytes above which requests are refused with 503 `overload`. `None`: 85 % of the control group's
    /// limit, or no watermark when there is none.
    pub memory_high: Option<u64>,
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// Front Door or direct clients.
    Edge,
    /// The proxies of other stamps. On loopback only: this version has no TLS.
    Peer,
}

/// One of `[[listeners]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Who connects here.
    pub kind: ListenerKind,
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether the tenant header is believed here. True on every edge listener, false on a peer listener.
    pub trust_header: bool,
    /// Path that an edge listener answers by itself: may this stamp take edge traffic? Unused on a peer listener.
    pub health_path: String,
}

/// `[admin]`: where operators and probes come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What proves an operator off loopback and for every change. `None`: nothing is changed, and nobody off loopback sees
    /// more than probes and metrics.
    pub token: Option<Secret>,
    /// Names under which operators reach it, in lower case, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// `[routing]`: where the routing table comes from and what is believed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// The store of the fleet.
    pub store: StoreUrl,
    /// First part of every key in the store.
    pub key_prefix: String,
    /// Where the last applied table is kept for the next start. Not touched by loading the settings.
    pub snapshot: Option<PathBuf>,
    /// What happens when the first choice is down.
    pub failover: Failover,
    /// Peer listeners to take a table from when neither disk nor store has one. Plain HTTP on loopback.
    pub bootstrap: Vec<Url>,
    /// Which endpoints of other stamps are believed.
    pub endpoints: Endpoints,
    /// How often the head of the table is read, whatever the hints say.
    pub poll: Duration,
    /// How often this proxy tells the store what it has applied.
    pub ack: Duration,
}

/// What happens to a request whose first choice is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failover {
    /// The next candidate serves: the data lies in shared stores.
    NextRank,
    /// The request fails: only the owner has the data.
    FailFast,
}

/// `[routing.endpoints]`: which endpoints of other stamps are believed. The table is hostile input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Allowed schemes.
    pub schemes: Vec<Scheme>,
    /// Allowed host names; with a dot in front, a suffix.
    pub hosts: Vec<String>,
    /// Allowed addresses. Empty: names only.
    pub networks: Vec<IpNet>,
    /// Allowed ports.
    pub ports: Vec<u16>,
}

impl Endpoints {
    /// The policy of a running proxy: these settings and the addresses its listeners are really bound to. `own` are all
    /// of them, `own_peers` the peer listeners.
    #[must_use]
    pub fn policy(&self, own: Vec<SocketAddr>, own_peers: Vec<SocketAddr>) -> EndpointPolicy {
        let loopback_peers = own_peers.iter().any(|address| address.ip().is_loopback());
        EndpointPolicy {
            schemes: self.schemes.clone(),
            hosts: self.hosts.clone(),
            networks: self.networks.clone(),
            ports: self.ports.clone(),
            own,
            own_peers,
            loopback_peers,
        }
    }
}

impl Default for Endpoints {
    /// `https`, port 8443, `*.stamp.internal`.
    fn default() -> Self {
        let EndpointPolicy { schemes, hosts, networks, ports, .. } = EndpointPolicy::default();
        Self { schemes, hosts, networks, ports }
    }
}

/// `[tenant]`: how a request names its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The header that carries the tenant id on listeners that trust it.
    pub header: HeaderName,
    /// What happens to a request without one.
    pub on_missing: OnMissing,
    /// The tier of a tenant whose record names none that is known. Position in [`Settings::tiers`]. `None`: it has none.
    pub tier: Option<usize>,
}

/// `[user]`: how a request names its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The header that carries the id of the user on listeners that trust it; never that of the tenant.
    pub header: HeaderName,
}

/// What happens to a request that names no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnMissing {
    /// 400 `tenant_missing`.
    Reject,
}

/// One of `[[routes]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Unique; a label of logs and metrics.
    pub name: String,
    /// Hosts it takes. `None`: every host.
    pub host: Option<HostPattern>,
    /// Paths it takes; starts with a slash.
    pub path_prefix: String,
    /// Methods it takes. Empty: every method. When nothing but the method keeps every route from a request, the answer is
    /// 405 with these.
    pub methods: Vec<Method>,
    /// Header fields it asks for; all of them.
    pub headers: Vec<HeaderMatch>,
    /// Position in [`Settings::upstreams`].
    pub upstream: usize,
    /// From the start of the request, or the last piece of its body, to the head of the response, over all attempts.
    pub timeout: Duration,
    /// From the start of one attempt to the head of its response while another attempt is possible; at most `timeout`.
    pub attempt_timeout: Duration,
    /// From the start of the request to the end of the response; at least `timeout`. `None`: any time.
    pub total: Option<Duration>,
    /// Whether the field `Idempotency-Key` lets POST, PUT, PATCH and DELETE be tried again.
    pub idempotency_key: bool,
    /// When it is given up.
    pub class: RouteClass,
    /// Largest request body in bytes.
    pub body_bytes: u64,
    /// Whether a request may become a WebSocket.
    pub websocket: bool,
    /// Whether the limit of the tenant's tier counts its requests.
    pub tier_limit: bool,
    /// Further limits, each once. Positions in [`Settings::rate_limits`].
    pub rate_limits: Vec<usize>,
    /// Position in [`Cache::classes`] of the class by which its answers are kept. `None`: they are not.
    pub cache: Option<usize>,
    /// What changes in a request's fields on its way to the app of this stamp.
    pub request_headers: HeaderEdits,
    /// What changes in an answer's fields on its way to the client, at the stamp that served it.
    pub response_headers: HeaderEdits,
}

/// Which level of degradation takes a route away first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteClass {
    /// Served as long as anything is.
    Core,
    /// Refused with 503 `ai_degraded` from [`DegradationLevel::AiDegraded`] on.
    Ai,
}

impl RouteClass {
    /// Every class.
    pub const ALL: [Self; 2] = [Self::Core, Self::Ai];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ai => "ai",
        }
    }
}

/// A header field that a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The field.
    pub name: HeaderName,
    /// Its exact value. `None`: it only has to be there.
    pub value: Option<HeaderValue>,
}

/// Changes of header fields, in this order: remove, set, add. Values are marked as sensitive: [`Debug`] hides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that leave.
    pub remove: Vec<HeaderName>,
    /// Fields that have exactly this value afterwards, whatever was there.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that are added beside what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// `[access_log]`: one line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where the lines go.
    pub output: Output,
    /// Share of the requests that are logged, 0 to 1.
    pub sample: f64,
    /// Lines that may wait for the writer; further ones are dropped and counted.
    pub queue: usize,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to a file.
    File(PathBuf),
}

/// `[limits]`: caps on what a client may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head: request line and fields.
    pub head_bytes: usize,
    /// Bytes of a request target; at most `head_bytes`.
    pub uri_bytes: usize,
    /// Fields of a request head.
    pub fields: usize,
    /// Bytes of a request's body, unless its route says otherwise.
    pub body_bytes: u64,
    /// Bytes a second below which an upload is too slow, on average since its head. 0: any pace.
    pub upload_rate: u64,
    /// Bytes of an answer that may wait in the kernel for a client that does not read.
    pub unsent_bytes: usize,
}

/// `[timeouts]`: time limits of the phases of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to an app or a peer.
    pub connect: Duration,
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// From accepting a connection to its first byte.
    pub first_byte: Duration,
    /// Between two pieces of a request's body.
    pub upload_idle: Duration,
    /// How long an upload may be slower than `limits.upload_rate`.
    pub upload_grace: Duration,
    /// Between two pieces of an answer's body.
    pub body_idle: Duration,
    /// How long a client may take nothing of what waits for it.
    pub write_stall: Duration,
    /// Without a byte either way in a WebSocket.
    pub tunnel_idle: Duration,
    /// After an answer that came before the end of a request: how long what is still sent is read and dropped, so that the
    /// answer survives.
    pub linger: Duration,
    /// Between two requests on a client's connection.
    pub idle: Duration,
    /// How long an unused connection to an app or a peer is kept.
    pub upstream_idle: Duration,
}

/// `[shutdown]`: how the process leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Not ready, but still accepting and serving.
    pub lame_duck: Duration,
    /// Not accepting any more, finishing what is in flight; counted from the end of the lame duck.
    pub drain: Duration,
    /// After the drain, when what is still in flight is cut: how long last answers may take to leave.
    pub flush: Duration,
    /// How long a client is expected to keep an idle connection: one that was idle for longer is not used again.
    pub client_keepalive: Duration,
    /// Over how long, from the end of the lame duck, WebSockets are told to go.
    pub tunnels: Duration,
}
