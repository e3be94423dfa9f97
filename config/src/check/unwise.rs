//! What is legal and will be regretted: sections judged with the numbers of Front Door and of Kubernetes in mind.
//!
//! Invariant: nothing here depends on the machine, so that a check before the rollout says what the proxy will say.

use std::time::Duration;

use toml::Spanned;

use super::{FRONT_DOOR_IDLE, title};
use crate::{
    fault::Findings,
    settings::{ListenerKind, Output, Protection},
    written::{self, Protected, Written},
};

mod cache;
mod rate_limits;

/// An early answer that lingers longer keeps connections of clients that only send.
const LINGER_WISE: Duration = Duration::from_secs(5);
/// Endpoints and probes take about so long to notice that a proxy is leaving.
const LAME_DUCK_WISE: Duration = Duration::from_secs(5);
/// What a pod of this platform is given, below the 600 s after which the cluster autoscaler gives up.
const LEAVING_WISE: Duration = Duration::from_secs(590);
/// With more retries than this an app that fails gets half as much work again, just when it should have less.
const BUDGET_WISE: f64 = 0.5;

pub(super) fn warn(written: &Written, findings: &Findings) {
    let listeners = written.listeners.as_deref().unwrap_or_default();
    let public = listeners.iter().any(is_public);
    access_log(written, findings);
    timeouts(written, findings);
    targets(written, findings);
    rate_limits::warn(written, public, findings);
    cache::warn(written, findings);
    if public {
        leaving(written, findings);
        if written.server.connections_per_address.is_some() {
            findings.warn(
                &written.server_span,
                "`connections_per_address` in [server]: Front Door comes from few addresses, so this caps all clients \
                 together; leave it out unless clients connect directly",
            );
        }
    }
    if written.limits.upload_rate == 0 {
        findings.warn(
            &written.limits_span,
            "`upload_rate` in [limits] is 0: a client may hold a connection for a whole upload at one byte per \
             `upload_idle`; write a small rate such as 500",
        );
    }
    if !written.admin.address.get_ref().ip().is_loopback() {
        findings.warn(
            &written.admin.address.span(),
            "`address` in [admin] off loopback: whoever reaches it reads probes and metrics; let only probes and \
             scrapers reach it",
        );
    }
}

fn is_public(listener: &written::Listener) -> bool {
    let loopback = |address: &Spanned<std::net::SocketAddr>| address.get_ref().ip().is_loopback();
    listener.kind == Some(ListenerKind::Edge) && listener.address.as_ref().is_some_and(|address| !loopback(address))
}

fn access_log(written: &Written, findings: &Findings) {
    if written.access_log.sample == 0.0 && written.access_log.output != Output::Off {
        findings
            .warn(&written.access_log_span, "[access_log] samples nothing; output = \"off\" says so and is cheaper");
    }
}

fn timeouts(written: &Written, findings: &Findings) {
    let timeouts = &written.timeouts;
    let warn = |message: &str| findings.warn(&written.timeouts_span, message);
    if timeouts.idle < FRONT_DOOR_IDLE {
        warn(
            "`idle` in [timeouts] is below 95s: Front Door keeps a connection for about 90 s, and closing it first loses \
             requests that are just being sent on it",
        );
    }
    if timeouts.first_byte > timeouts.idle {
        warn(
            "`first_byte` in [timeouts] is above `idle`: a connection that never asked for anything is kept longer than \
             one that did; write a smaller one, such as 5s",
        );
    }
    if timeouts.linger > LINGER_WISE {
        warn(
            "`linger` in [timeouts] is above 5s: clients that go on sending after their answer hold connections for so \
             long; 1s is enough for the answer to arrive",
        );
    }
    let routes = written.routes.as_deref().unwrap_or_default();
    for route in routes.iter().filter(|route| *route.timeout.get_ref() <= timeouts.connect) {
        findings.warn(
            &route.timeout.span(),
            "`timeout` in [[routes]] is not above `connect` in [timeouts]: one endpoint that does not answer uses it up, \
             and no other is tried; write a smaller `connect`",
        );
    }
    let attempts = routes.iter().filter_map(|route| route.attempt_timeout.as_ref());
    for attempt in attempts.filter(|attempt| *attempt.get_ref() <= timeouts.connect) {
        findings.warn(
            &attempt.span(),
            "`attempt_timeout` in [[routes]] is not above `connect` in [timeouts]: an endpoint that is slow to connect has \
             no time left to answer; write more, or a smaller `connect`",
        );
    }
}

fn targets(written: &Written, findings: &Findings) {
    for upstream in written.upstreams.iter().flatten() {
        protected(&upstream.protected, &title("upstreams", &upstream.name), written, findings);
    }
    protected(&written.peers.protected, "[peers]", written, findings);
    if written.retries.budget > BUDGET_WISE {
        findings.warn(
            &written.retries_span,
            "`budget` in [retries] is above 0.5: an app that fails gets much more to do just then, and stays down; 0.1 is \
             enough for single failures",
        );
    }
}

fn protected(protected: &Protected, section: &str, written: &Written, findings: &Findings) {
    let Protection { in_flight_max, breaker, .. } = &protected.protection;
    if written.workers_are_written && *in_flight_max < written.server.workers {
        let message = format!(
            "`in_flight_max` in {section} is below `workers` in [server]: not even one request of each worker is let \
             through; write what the target can do at a time"
        );
        findings.warn(&protected.in_flight_span, message);
    }
    if breaker.failures < 2 {
        let message = format!(
            "`failures` of the breaker in {section} is 1: a single failure stops all requests for a while; write 3 or more"
        );
        findings.warn(&protected.breaker_span, message);
    }
}

fn leaving(written: &Written, findings: &Findings) {
    let shutdown = &written.shutdown;
    if shutdown.lame_duck < LAME_DUCK_WISE {
        findings.warn(
            &written.shutdown_span,
            "`lame_duck` in [shutdown] is below 5s: new connections still come while probes have not noticed, and are \
             refused; write 20s",
        );
    }
    if shutdown.lame_duck + shutdown.drain + shutdown.flush > LEAVING_WISE {
        findings.warn(
            &written.shutdown_span,
            "`lame_duck`, `drain` and `flush` in [shutdown] are above 590s together: a pod with \
             terminationGracePeriodSeconds = 590 is killed before they end; write less, or give the pod more",
        );
    }
    if shutdown.client_keepalive < FRONT_DOOR_IDLE {
        findings.warn(
            &written.shutdown_span,
            "`client_keepalive` in [shutdown] is below 95s: Front Door uses a connection again after up to 90 s, and one that \
             is closed before loses requests that are just being sent on it",
        );
    }
}
