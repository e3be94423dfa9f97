//! The metrics of one upstream, resolved once when it is named: a flood of refusals costs no label lookup.

use metrics::{Counter, Gauge};

use super::metrics::Metrics;

/// What an upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An app of this stamp.
    App,
    /// Another stamp.
    Peer,
}

impl Kind {
    /// Its name on pages and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Peer => "peer",
        }
    }
}

/// Why a request was not let through to an upstream.
const RULES: [&str; 5] = ["full", "tenant_share", "reserve", "breaker", "tenant_breaker"];
/// Names of a breaker's states, in the order of the gauge's numbers.
const STATES: [&str; 3] = ["closed", "half_open", "open"];

/// Handles of one upstream's metrics.
#[derive(Debug)]
pub struct UpstreamMetrics {
    kind: Kind,
    name: String,
    refused: [Counter; RULES.len()],
    transitions: [Counter; STATES.len()],
    tenant_transitions: [Counter; STATES.len()],
    /// 0 closed, 1 half-open, 2 open.
    state: Gauge,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Attempts after the first.
    pub retries: Counter,
    /// Retries that the budget did not have.
    pub retries_denied: Counter,
    /// Endpoints left out for a while for what real traffic met there.
    pub ejections: Counter,
}

/// An upstream that is named no more is no open breaker for ever.
impl Drop for UpstreamMetrics {
    fn drop(&mut self) {
        self.state.set(0.0);
        self.in_flight.set(0.0);
    }
}

impl UpstreamMetrics {
    /// The handles of an upstream with this name: of the settings, or a stamp's id.
    #[must_use]
    pub fn new(metrics: &Metrics, kind: Kind, name: &str) -> Self {
        let counter = |metric, help, extra: Option<(&'static str, &'static str)>| {
            metrics.upstream_counter(metric, help, kind.name(), name, extra)
        };
        let gauge = |metric, help| metrics.upstream_gauge(metric, help, kind.name(), name);
        Self {
            kind,
            name: name.to_owned(),
            refused: RULES.map(|rule| {
                counter("upstream_refused_total", "Requests that an upstream's guard refused", Some(("rule", rule)))
            }),
            transitions: STATES
                .map(|state| counter("breaker_transitions_total", "Changes of a breaker's state", Some(("to", state)))),
            tenant_transitions: STATES.map(|state| {
                counter("tenant_breaker_transitions_total", "Changes of single tenants' breakers", Some(("to", state)))
            }),
            state: gauge("breaker_state", "0 closed, 1 half-open, 2 open"),
            in_flight: gauge("upstream_in_flight", "Requests in flight at an upstream"),
            retries: counter("retries_total", "Attempts after the first", None),
            retries_denied: counter("retries_denied_total", "Retries that the budget did not have", None),
            ejections: counter("ejections_total", "Endpoints left out for their answers", None),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Name of the upstream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that was not let through, by the rule that refused.
    pub fn refused(&self, rule: &str) {
        count(&self.refused, &RULES, rule);
    }

    /// Counts a change of the breaker's state.
    pub fn breaker(&self, to: &str) {
        count(&self.transitions, &STATES, to);
        self.show(to);
    }

    /// Shows the breaker's state. An open one turns half-open by itself.
    pub fn show(&self, state: &str) {
        if let Some(number) = STATES.iter().position(|known| *known == state) {
            self.state.set(number as f64);
        }
    }

    /// Counts a change of a single tenant's breaker for this upstream.
    pub fn tenant_breaker(&self, to: &str) {
        count(&self.tenant_transitions, &STATES, to);
    }
}

fn count<const N: usize>(counters: &[Counter; N], labels: &[&str; N], label: &str) {
    if let Some(index) = labels.iter().position(|known| *known == label) {
        counters[index].increment(1);
    }
}
