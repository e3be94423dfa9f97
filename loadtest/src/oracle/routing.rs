//! Who might have served a tenant, by every table that was in force, and by whom clients entered.

use std::time::{Duration, Instant};

use synaxis_routing::{
    id::TenantId,
    placement::{Placement, RegionIndex, StampIndex},
    table::Millis,
};

use crate::world::Epoch;

/// How far a proxy's clock may differ from the one that the load goes by.
const SKEW: Duration = Duration::from_millis(100);

/// The tables of a run.
pub struct Routing {
    epochs: Vec<Live>,
    /// The begin of the load in milliseconds since the Unix epoch.
    began_ms: Millis,
    /// Ids of the stamps through which clients entered.
    entries: Vec<String>,
}

struct Live {
    epoch: Epoch,
    from: Duration,
    until: Option<Duration>,
}

impl Routing {
    /// From the tables of a world, the begin of the load by both clocks, and the ids of the stamps by which clients enter,
    /// in the order of the client's entries.
    #[must_use]
    pub fn new(epochs: Vec<Epoch>, start: Instant, began_ms: Millis, entries: Vec<String>) -> Self {
        let since = |instant: Instant| instant.saturating_duration_since(start);
        let live = |epoch: Epoch| Live { from: since(epoch.from), until: epoch.until.map(since), epoch };
        Self { epochs: epochs.into_iter().map(live).collect(), began_ms, entries }
    }

    /// Whether a stamp may have run a request of a tenant between two instants: it owns the tenant by a table in force at
    /// the begin or the end, because a ramp passes a tenant on once; with `failover`, it is any of the candidates.
    #[must_use]
    pub fn may_serve(&self, stamp: &str, tenant: &TenantId, from: Duration, until: Duration, failover: bool) -> bool {
        let in_force = |live: &&Live| live.from <= until && live.until.is_none_or(|end| from <= end);
        let ends = [from.saturating_sub(SKEW), until + SKEW];
        self.epochs.iter().filter(in_force).any(|live| {
            let placement = &live.epoch.placement;
            let Some(index) = placement.find(stamp) else { return false };
            ends.iter().any(|at| serves(placement, index, tenant, self.unix(*at), failover))
        })
    }

    /// Whether clients of this entry came by a stamp.
    #[must_use]
    pub fn enters(&self, entry: u16, stamp: &str) -> bool {
        self.entries.get(usize::from(entry)).is_some_and(|id| id == stamp)
    }

    fn unix(&self, at: Duration) -> Millis {
        self.began_ms + u64::try_from(at.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

fn serves(placement: &Placement, stamp: StampIndex, tenant: &TenantId, now: Millis, failover: bool) -> bool {
    // every world has one region
    let entry = RegionIndex(0);
    placement.owner(tenant, entry, now) == Some(stamp)
        || failover && placement.hand(tenant, entry, now).is_ok_and(|hand| hand.contains(stamp))
}
