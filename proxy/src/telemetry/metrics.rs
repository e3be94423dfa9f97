//! Every metric, declared once, its handles resolved once on the server's own recorder.
//!
//! Invariant: no label value comes from a request; the number of series is fixed by this file and the settings. What is said
//! of single tenants is not kept here but written at each scrape ([`top`](super::top)).

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::telemetry::{
    cache::{CacheMetrics, CacheResult},
    labels::{Asked, Cut, Expired, HeadRefused, Refused},
    ratelimit::RateLimitMetrics,
};

/// Upper bounds of the duration buckets, in seconds: OpenTelemetry's, with three below 5 ms for the proxy's own share.
const DURATION_BUCKETS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Status classes by `status / 100 - 1`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What became of a reload of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Something changed, or now waits for a restart.
    Applied,
    /// The settings are as they were.
    Unchanged,
    /// The file cannot be used; everything stays.
    Refused,
}

/// Handles of one server's metrics.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Requests answered, by status class.
    pub requests: [Counter; 5],
    /// Requests whose client was gone before the head of an answer.
    pub abandoned: Counter,
    /// Start of a request to the end of its answer's body, in seconds.
    pub server_duration: Histogram,
    /// Start of an attempt to its answer's head, in seconds.
    pub client_duration: Histogram,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Open downstream connections.
    pub connections: Gauge,
    /// Open WebSockets.
    pub websockets: Gauge,
    /// WebSockets opened.
    pub websockets_opened: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Ordinary connections that are taken at most.
    pub connections_max: Gauge,
    /// The same of peer listeners.
    pub peer_connections_max: Gauge,
    /// Connections closed at once, by [`Refused`].
    pub connections_refused: [Counter; Refused::LABELS.len()],
    /// Connections ended by the sweeper, by [`Expired`].
    pub connections_expired: [Counter; Expired::LABELS.len()],
    /// Accept errors that made a listener pause.
    pub accept_errors: Counter,
    /// Resident memory in bytes.
    pub memory_resident: Gauge,
    /// 1 while requests are refused because of it.
    pub memory_overload: Gauge,
    /// Heads that the HTTP library refused before the pipeline saw a request, by [`HeadRefused`].
    pub heads_refused: [Counter; HeadRefused::LABELS.len()],
    /// Requests that met a reused upstream connection.
    pub pool_reused: Counter,
    /// Requests that opened an upstream connection.
    pub pool_opened: Counter,
    /// 0 while serving, 1 in lame duck, 2 draining, 3 cut.
    pub shutdown_phase: Gauge,
    /// What the end of the process cut off, by [`Cut`].
    shutdown_cut: [Counter; Cut::LABELS.len()],
    /// Requests sent to another stamp.
    pub forwarded: Counter,
    /// Requests that moved on to the next candidate.
    pub failovers: Counter,
    /// Access log lines dropped because the queue was full.
    pub log_dropped: Counter,
    /// Panics caught; each cost at most one connection.
    pub panics: Counter,
    /// Epoch of the applied table.
    pub routing_epoch: Gauge,
    /// Term of the applied table.
    pub routing_term: Gauge,
    /// Seconds since the store last confirmed the applied table.
    pub routing_table_age: Gauge,
    /// Failed reads of the routing store.
    pub routing_store_errors: Counter,
    /// Limits of requests.
    pub ratelimit: RateLimitMetrics,
    /// Kept answers.
    pub cache: CacheMetrics,
    /// Minutes of tenants' requests that the limits store did not take.
    pub tenant_minutes_dropped: Counter,
    /// Reloads of the configuration, by [`Reloaded`].
    config_reloads: [Counter; 3],
    /// Whether the last reload was not refused.
    config_last_reload_success: Gauge,
    /// When the settings that run were applied, in seconds since the Unix epoch.
    config_last_applied: Gauge,
    /// Keys that differ from what runs until a restart.
    pub config_restart_pending: Gauge,
    /// Level of degradation, 0 to 4.
    pub degradation: Gauge,
    /// Probes, by [`Asked`]: failed, passed.
    health_checks: [[Counter; 2]; Asked::LABELS.len()],
    /// How many are probed, and how many of them pass, by [`Asked`].
    health_checked: [[Gauge; 2]; Asked::LABELS.len()],
    /// Stamps by state: active, ready, creating, draining, failed.
    pub stamps: [Gauge; 5],
}

impl Metrics {
    /// A recorder of its own with every handle registered.
    ///
    /// # Errors
    /// [`BuildError`] when the exporter refuses the bucket bounds.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("duration_seconds".into()), &DURATION_BUCKETS)?
            .build_recorder();
        let make = Register(&recorder);
        let metrics = Self {
            requests: CLASSES.map(|class| {
                make.counter_with("http_server_requests_total", "Requests answered", &[("status_class", class)])
            }),
            abandoned: make.counter("http_server_requests_abandoned_total", "Client gone before the answer's head"),
            server_duration: make.duration("http_server_request_duration_seconds", "Start to end of the answer's body"),
            client_duration: make.duration("http_client_request_duration_seconds", "Attempt to the answer's head"),
            in_flight: make.gauge("request_queue_length", "Requests in flight"),
            connections: make.gauge("connections", "Open downstream connections"),
            websockets: make.gauge("websockets", "Open WebSockets"),
            websockets_opened: make.counter("websockets_total", "WebSockets opened"),
            accepted: make.counter("connections_accepted_total", "Connections accepted"),
            connections_max: make.gauge("connections_max", "Connections of edge listeners taken at most"),
            peer_connections_max: make.gauge("peer_connections_max", "Connections of peer listeners taken at most"),
            connections_refused: Refused::LABELS.map(|reason| {
                make.counter_with(
                    "connections_refused_total",
                    "Connections over a cap, closed at once",
                    &[("reason", reason)],
                )
            }),
            connections_expired: Expired::LABELS.map(|reason| {
                make.counter_with(
                    "connections_expired_total",
                    "Connections that outstayed a time limit",
                    &[("reason", reason)],
                )
            }),
            accept_errors: make.counter("accept_errors_total", "Accept errors that made a listener pause"),
            memory_resident: make.gauge("memory_resident_bytes", "Resident memory"),
            memory_overload: make.gauge("memory_overload", "Whether memory is above its mark"),
            heads_refused: HeadRefused::LABELS.map(|reason| {
                make.counter_with(
                    "heads_refused_total",
                    "Heads refused before a request was seen",
                    &[("reason", reason)],
                )
            }),
            pool_reused: make.counter_with(
                "upstream_checkouts_total",
                "Upstream connections used",
                &[("kind", "reused")],
            ),
            pool_opened: make.counter_with(
                "upstream_checkouts_total",
                "Upstream connections used",
                &[("kind", "opened")],
            ),
            shutdown_phase: make.gauge("shutdown_phase", "0 serving, 1 lame duck, 2 draining, 3 cut"),
            shutdown_cut: Cut::LABELS.map(|kind| {
                make.counter_with("shutdown_cut_total", "Cut off by the end of the process", &[("kind", kind)])
            }),
            forwarded: make.counter("forwarded_total", "Requests sent to another stamp"),
            failovers: make.counter("failovers_total", "Requests that moved on to the next candidate"),
            log_dropped: make.counter("access_log_dropped_total", "Access log lines dropped, queue full"),
            panics: make.counter("panics_total", "Panics caught"),
            routing_epoch: make.gauge("routing_epoch", "Epoch of the applied table"),
            routing_term: make.gauge("routing_term", "Term of the applied table"),
            routing_table_age: make.gauge("routing_table_age_seconds", "Since the store confirmed the applied table"),
            routing_store_errors: make.counter("routing_store_errors_total", "Failed reads of the routing store"),
            ratelimit: RateLimitMetrics::new(&make),
            cache: CacheMetrics::new(&make),
            tenant_minutes_dropped: make.counter(
                "tenant_minutes_dropped_total",
                "Minutes of tenants' requests that the limits store did not take",
            ),
            config_reloads: ["applied", "unchanged", "refused"].map(|result| {
                make.counter_with("config_reloads_total", "Reloads of the configuration", &[("result", result)])
            }),
            config_last_reload_success: make.gauge("config_last_reload_success", "Last reload was not refused"),
            config_last_applied: make.gauge("config_last_applied_timestamp_seconds", "When the settings were applied"),
            config_restart_pending: make.gauge("config_restart_pending", "Keys that wait for a restart"),
            degradation: make.gauge("degradation_level", "Level of degradation, 0 to 4"),
            health_checks: Asked::LABELS.map(|kind| {
                ["failed", "passed"].map(|result| {
                    make.counter_with("health_checks_total", "Probes", &[("kind", kind), ("result", result)])
                })
            }),
            health_checked: Asked::LABELS.map(|kind| {
                [
                    make.gauge_with("health_checked", "Targets that are probed", &[("kind", kind)]),
                    make.gauge_with("health_passing", "Targets whose probes pass", &[("kind", kind)]),
                ]
            }),
            stamps: ["active_stamps", "ready_stamps", "creating_stamps", "draining_stamps", "failed_stamps"]
                .map(|name| make.gauge(name, "Stamps in this state")),
            handle: recorder.handle(),
            recorder,
        };
        Ok(metrics)
    }

    /// A counter `local_replies_total{reason}`; for tables of handles that are filled once.
    pub fn local_reply(&self, reason: &'static str) -> Counter {
        Register(&self.recorder).counter_with(
            "local_replies_total",
            "Answers the proxy made itself",
            &[("reason", reason)],
        )
    }

    /// A counter of one upstream, an app or a peer; for handles that are resolved once.
    pub fn upstream_counter(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        upstream: &str,
        extra: Option<(&'static str, &'static str)>,
    ) -> Counter {
        self.recorder.describe_counter(name.into(), None, help.into());
        let mut labels = vec![Label::new("kind", kind), Label::new("upstream", upstream.to_owned())];
        labels.extend(extra.map(|(key, value)| Label::new(key, value)));
        self.recorder.register_counter(&Key::from_parts(name, labels), &META)
    }

    /// Decisions of one limit of requests.
    pub fn limit_counter(&self, limit: &str, decision: &'static str) -> Counter {
        let name = "ratelimit_decisions_total";
        self.recorder.describe_counter(name.into(), None, "Requests that a limit has judged".into());
        let labels = vec![Label::new("limit", limit.to_owned()), Label::new("decision", decision)];
        self.recorder.register_counter(&Key::from_parts(name, labels), &META)
    }

    /// Requests of one class of kept answers.
    pub fn cache_counter(&self, class: &str, result: CacheResult) -> Counter {
        let name = "cache_requests_total";
        self.recorder.describe_counter(name.into(), None, "Requests of routes with a class of kept answers".into());
        let labels = vec![Label::new("class", class.to_owned()), Label::new("result", result.as_str())];
        self.recorder.register_counter(&Key::from_parts(name, labels), &META)
    }

    /// Requests above one limit that may pass when the store of the fleet goes away.
    pub fn limit_overshoot(&self, limit: &str) -> Gauge {
        let name = "ratelimit_overshoot_bound";
        self.recorder.describe_gauge(
            name.into(),
            None,
            "Most requests above the quota when the store goes away".into(),
        );
        self.recorder.register_gauge(&Key::from_parts(name, vec![Label::new("limit", limit.to_owned())]), &META)
    }

    /// A gauge of one upstream, an app or a peer.
    pub fn upstream_gauge(&self, name: &'static str, help: &'static str, kind: &'static str, upstream: &str) -> Gauge {
        self.recorder.describe_gauge(name.into(), None, help.into());
        let labels = vec![Label::new("kind", kind), Label::new("upstream", upstream.to_owned())];
        self.recorder.register_gauge(&Key::from_parts(name, labels), &META)
    }

    /// Counts a refused table. Rare, so the lookup by label is fine here.
    pub fn table_refused(&self, reason: &'static str) {
        Register(&self.recorder)
            .counter_with("routing_refusals_total", "Tables refused", &[("reason", reason)])
            .increment(1);
    }

    /// Notes that settings were applied now, and that nothing has been refused since.
    pub fn configured(&self) {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.config_last_applied.set(now.as_secs_f64());
        self.config_last_reload_success.set(1.0);
    }

    /// Counts a reload.
    pub fn reloaded(&self, how: Reloaded) {
        self.config_last_reload_success.set(if how == Reloaded::Refused { 0.0 } else { 1.0 });
        self.config_reloads[how as usize].increment(1);
    }

    /// Counts a refused request to the admin listener. Rare, like the above.
    pub fn admin_refused(&self, reason: &'static str) {
        Register(&self.recorder)
            .counter_with("admin_refusals_total", "Admin requests refused", &[("reason", reason)])
            .increment(1);
    }

    /// The exposition text.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves recorded samples into buckets. Must run every few seconds, scraped or not, or memory grows.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Counts a connection that the sweeper ends.
    pub fn expired(&self, why: Expired) {
        self.connections_expired[why as usize].increment(1);
    }

    /// Counts a head that the HTTP library refused.
    pub fn head_refused(&self, why: HeadRefused) {
        self.heads_refused[why as usize].increment(1);
    }

    /// Counts a connection that is closed at once.
    pub fn refused(&self, why: Refused) {
        self.connections_refused[why as usize].increment(1);
    }

    /// Counts what the end of the process cut off, by [`Cut`].
    pub fn cut(&self, cuts: &[usize; Cut::LABELS.len()]) {
        for (counter, cut) in self.shutdown_cut.iter().zip(cuts) {
            counter.increment(*cut as u64);
        }
    }

    /// Counts a probe.
    pub fn health_check(&self, kind: Asked, passed: bool) {
        self.health_checks[kind as usize][usize::from(passed)].increment(1);
    }

    /// Shows how many are probed, and how many of them pass.
    pub fn health(&self, kind: Asked, checked: usize, passing: usize) {
        let [all, well] = &self.health_checked[kind as usize];
        all.set(checked as f64);
        well.set(passing as f64);
    }

    /// Counts one request that has ended; 0 when its client was gone before the head of an answer.
    pub fn ended(&self, status: u16) {
        if status == 0 {
            return self.abandoned.increment(1);
        }
        let class = usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1);
        self.requests[class].increment(1);
    }
}

/// Describes and registers.
pub(super) struct Register<'a>(&'a PrometheusRecorder);

impl Register<'_> {
    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        Key::from_parts(name, labels.iter().map(|(key, value)| Label::new(*key, *value)).collect::<Vec<_>>())
    }

    pub(super) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counter_with(name, help, &[])
    }

    pub(super) fn counter_with(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &'static str)],
    ) -> Counter {
        self.0.describe_counter(name.into(), None, help.into());
        self.0.register_counter(&Self::key(name, labels), &META)
    }

    pub(super) fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauge_with(name, help, &[])
    }

    fn gauge_with(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.0.describe_gauge(name.into(), None, help.into());
        self.0.register_gauge(&Self::key(name, labels), &META)
    }

    pub(super) fn duration(&self, name: &'static str, help: &'static str) -> Histogram {
        self.0.describe_histogram(name.into(), Some(Unit::Seconds), help.into());
        self.0.register_histogram(&Self::key(name, &[]), &META)
    }
}

static META: Metadata<'static> = Metadata::new("synaxis", Level::INFO, None);
