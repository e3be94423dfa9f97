//! What the processes of a region count together: this process's part of it, and the store behind it.
//!
//! Invariant: without the store a process decides alone, so nothing here is ever a reason not to start or not to serve.

use std::{sync::Arc, time::Duration};

use redis::io::tcp::TcpSettings;
use synaxis_config::settings::{LimitScope, LimitsStore, OnStoreFailure, RateLimit, Settings};
use synaxis_ratelimit::{
    cells::Counts,
    decision::Reading,
    fleet::{
        cell::{self, Cell},
        cells::{Cells, Whose},
        plan::Plan,
        script,
        store::{Clock, Store},
    },
    key::{Key, Keys},
    quota::Quota,
};
use synaxis_routing::redis_client::{self, InvalidUrl};

use super::{Buckets, SWEEPS, caps};

/// So long what was sent may be unacknowledged before the connection is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[error("[limits_store] url: {0}")]
pub struct StoreError(#[from] InvalidUrl);

/// Keys that processes count together.
pub struct FleetBuckets {
    /// The store.
    pub store: Arc<Store>,
    cells: Cells,
    key_prefix: String,
}

/// One quota that processes count together.
#[derive(Clone)]
pub struct FleetCounter {
    /// What follows from the quota.
    pub plan: Arc<Plan>,
    /// What happens without the store.
    pub on_failure: OnStoreFailure,
    buckets: Arc<FleetBuckets>,
}

/// Whose requests are counted, in words that other processes have too.
pub struct Named<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The limit.
    pub limit: &'a str,
    /// Whether it is the candidate beside it.
    pub is_candidate: bool,
    /// What else tells requests apart.
    pub parts: &'a [&'a [u8]],
}

impl Named<'_> {
    fn key(&self, prefix: &str, whose: Whose) -> String {
        let tried;
        let limit = if self.is_candidate {
            // no name of a limit has a space
            tried = format!("{} candidate", self.limit);
            &tried
        } else {
            self.limit
        };
        match whose {
            Whose::Own => script::key(prefix, self.tenant, limit, self.parts),
            Whose::Tenant => script::shared_key(prefix, self.tenant, limit),
            Whose::Limit => script::shared_key(prefix, "", limit),
        }
    }
}

impl FleetCounter {
    pub(super) fn new(quota: Quota, making: &Making) -> Self {
        let Making { processes_max, on_failure, buckets } = making;
        let plan = Arc::new(Plan::new(&quota, *processes_max));
        Self { plan, on_failure: *on_failure, buckets: Arc::clone(buckets) }
    }

    /// The cell of a key, made if there is none yet; `now` in nanoseconds of the process's clock.
    #[must_use]
    pub fn cell(&self, key: Key, keys: &Keys, named: &Named<'_>, now: u64) -> Arc<Cell> {
        let FleetBuckets { cells, key_prefix, .. } = &*self.buckets;
        cells.get(key, keys, &self.plan, now, |whose| named.key(key_prefix, whose))
    }

    /// How the bucket of a key stands, as far as this process knows: that of a key that it has not met is full. Without the
    /// store that of this process's share; `None` if nobody counts then.
    #[must_use]
    pub fn reading(&self, key: Key, now: u64) -> Option<Reading> {
        let cell = self.buckets.cells.peek(key);
        match self.by(!self.is_counted()) {
            "nobody" => None,
            "share" => Some(
                cell.map_or_else(|| Cell::fresh_share(&self.plan, now), |cell| cell.share_reading(&self.plan, now)),
            ),
            _ => Some(cell.map_or_else(|| self.plan.full(now), |cell| cell.peek(&self.plan, now)).reading()),
        }
    }

    /// Tokens of a key that this process holds.
    #[must_use]
    pub fn leased(&self, key: Key, now: u64) -> u32 {
        self.buckets.cells.peek(key).map_or(0, |cell| cell.leased(now))
    }

    /// Whether the store decides at present.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !self.buckets.store.is_away()
    }

    /// Who decides at present.
    #[must_use]
    pub fn counted_by(&self) -> &'static str {
        self.by(!self.is_counted())
    }

    /// Who decides; `alone`: without the store.
    pub(super) fn by(&self, alone: bool) -> &'static str {
        match self.on_failure {
            _ if !alone => "store",
            OnStoreFailure::Share => "share",
            OnStoreFailure::Open | OnStoreFailure::Closed => "nobody",
        }
    }

    /// Gives back a token of a request that goes nowhere.
    pub fn refund(&self, cell: &Arc<Cell>, taken: cell::Taken) {
        self.buckets.store.refund(cell, taken);
    }
}

/// What counters of one limit are made of.
#[derive(Clone)]
pub(super) struct Making {
    processes_max: u32,
    on_failure: OnStoreFailure,
    buckets: Arc<FleetBuckets>,
}

impl FleetBuckets {
    /// Those of the settings, if they have a store. `clock` is the process's, in nanoseconds. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(settings: &Settings, clock: Clock) -> Result<Option<Arc<Self>>, StoreError> {
        let Some(LimitsStore { url, key_prefix, deadline, .. }) = &settings.limits_store else { return Ok(None) };
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(USER_TIMEOUT);
        let store = Store::new(redis_client::of(url.expose(), tcp)?, key_prefix, *deadline, clock);
        Ok(Some(Arc::new(Self { store, cells: Cells::new(caps(settings)), key_prefix: key_prefix.clone() })))
    }

    /// Forgets cells that are not used any more, a part of all at a time. `now` in nanoseconds of the process's clock.
    pub(super) fn sweep(&self, now: u64) {
        self.cells.sweep(Cells::SHARDS.div_ceil(SWEEPS), now);
    }

    /// How many are kept, and how often there was no room for one.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.cells.counts()
    }
}

/// How the fleet counts a limit. `None`: each process counts for itself, also where the settings have got a store that this
/// process was started without.
pub(super) fn making(limit: &RateLimit, settings: &Settings, buckets: &Buckets) -> Option<Making> {
    let LimitScope::Fleet { on_store_failure } = limit.scope else { return None };
    let processes_max = settings.limits_store.as_ref()?.processes_max;
    Some(Making { processes_max, on_failure: on_store_failure, buckets: Arc::clone(buckets.fleet.as_ref()?) })
}
