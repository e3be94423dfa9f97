//! One class of kept answers: what the settings say of it, and what has been counted.

use std::{sync::Arc, time::Duration};

use metrics::Counter;
use synaxis_config::settings::{Cache as Settings, CacheAuthorization, CacheClass};

use super::{
    freshness::{Authorization, Millis, Policy, Seconds, Terms},
    store::Room,
};
use crate::telemetry::{cache::CacheResult, metrics::Metrics};

/// A class.
pub struct Class {
    /// Its name.
    pub name: Arc<str>,
    /// What it adds to what messages say.
    pub policy: Policy,
    /// Whether each user has answers of his own.
    pub per_user: bool,
    /// Largest body that is kept, in bytes.
    pub body_bytes: u64,
    /// How long an answer is used that is fresh for longer in what the stamp's processes share. `None`: this class is not put
    /// there.
    pub shared: Option<Millis>,
    /// Longest that anything of an answer is kept, here or there.
    pub longest: Duration,
    /// What bounds it in the store.
    pub room: Room,
    /// How long it is remembered that an answer was not to be kept.
    pub uncacheable: Duration,
    /// How long one waits for somebody else's fetch.
    pub collapse_wait: Duration,
    results: [Counter; CacheResult::ALL.len()],
}

impl Class {
    /// Those of the settings, in their order.
    #[must_use]
    pub fn all(settings: &Settings, metrics: &Metrics) -> Vec<Arc<Self>> {
        settings.classes.iter().map(|class| Arc::new(Self::new(settings, class, metrics))).collect()
    }

    fn new(settings: &Settings, class: &CacheClass, metrics: &Metrics) -> Self {
        let name: Arc<str> = class.name.as_str().into();
        let shared = settings.store.is_some() && !class.store_ttl.is_zero();
        let longest = if shared { class.ttl.max(class.store_ttl) } else { class.ttl };
        let stale_max = class.ttl.max(class.stale_while_revalidate).max(class.stale_if_error);
        Self {
            policy: Policy {
                default_lifetime: class.default_ttl.map(seconds),
                lifetime_max: seconds(longest),
                heuristic: class.heuristic,
                stale_while_revalidate: seconds(class.stale_while_revalidate),
                stale_if_error: seconds(class.stale_if_error),
                stale_max: seconds(stale_max),
                obey_requests: class.request_directives,
                authorization: match class.authorization {
                    CacheAuthorization::Rfc => Authorization::Rfc,
                    CacheAuthorization::PerUser => Authorization::PerUser,
                },
            },
            per_user: class.authorization == CacheAuthorization::PerUser,
            body_bytes: class.body_bytes,
            shared: shared.then(|| millis(class.ttl)),
            longest: longest + stale_max,
            room: Room {
                tenant_bytes: (settings.memory as f64 * settings.tenant_share) as u64,
                entries_max: class.entries_max,
            },
            uncacheable: settings.uncacheable,
            collapse_wait: settings.collapse_wait,
            results: CacheResult::ALL.map(|result| metrics.cache_counter(&name, result)),
            name,
        }
    }

    /// Terms for this process's own use of an answer from `now` on: others may have another sooner than this one would ask.
    #[must_use]
    pub fn of_memory(&self, terms: Terms, now: Millis) -> Terms {
        self.shared.map_or(terms, |ttl| terms.stale_from(now.saturating_add(ttl)))
    }

    /// Counts a request.
    pub fn count(&self, result: CacheResult) {
        self.results[result as usize].increment(1);
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

fn seconds(duration: Duration) -> Seconds {
    Seconds::try_from(duration.as_secs()).unwrap_or(Seconds::MAX)
}
