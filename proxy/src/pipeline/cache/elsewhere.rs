//! What is kept while a tenant's requests are served by several stamps: at a failover, and while tables and clocks differ.
//!
//! Invariant: a stamp looks and keeps only while it is the owner as far as anybody concerned can tell, itself and the sender;
//! and whoever serves a change tells every other stamp that may be taken for the owner around that time.

use std::{sync::Arc, time::Instant};

use arrayvec::ArrayVec;
use synaxis_routing::{
    failover::Notice,
    id::StampId,
    placement::{RegionIndex, StampIndex},
    table::{Millis, Scope},
};

use crate::{
    cache::{failover::Absence, purge::ownership::SETTLES},
    dataplane::Fleet,
    pipeline::candidates::{Errand, Load},
};

/// Stamps that may be taken for the owner: by two tables at three times each, and by the sender.
const OWNERS_MAX: usize = 7;

impl<'a> Errand<'a> {
    /// Notes what it means for a tenant's kept answers that its request goes to this stamp: that it goes elsewhere than to the
    /// owner, for as long as what is returned is kept; or that it goes to the owner again.
    pub(in crate::pipeline) fn absence(&self, stamp: StampIndex, load: &mut Load<'_>) -> Option<Absence<'a>> {
        self.route.cache?;
        let absences = &self.worker.plane.cache.failover.absences;
        let is_elsewhere = load.owner != Some(stamp);
        load.bypasses = !is_elsewhere && absences.is_absent(self.key);
        is_elsewhere.then(|| absences.leave(self.key, Instant::now()))
    }

    /// Why nothing is looked for and nothing kept, if so.
    pub(super) fn apart(&self, load: &Load<'_>) -> Option<&'static str> {
        if !self.is_owner(load) {
            return Some("not-owner");
        }
        if load.bypasses {
            self.worker.sink.metrics.cache.failover.bypassed.increment(1);
            return Some("failover");
        }
        let plane = &self.worker.plane;
        let is_new = plane.clock.host(self.begins(load)) < plane.cache.purges.used_from(&self.tenant);
        is_new.then_some("new-owner")
    }

    /// Whether this stamp is the one that the tenant belongs to: as the table says, and the sender of a forward as well.
    fn is_owner(&self, load: &Load<'_>) -> bool {
        let Some(fleet) = &self.snapshot.fleet else { return false };
        let Some(me) = fleet.me else { return false };
        // without a hop the table was asked already
        let Some(hop) = &self.hop else { return load.owner == Some(me) };
        let region = self.region(fleet);
        // a region without a stamp of its own has been served by one whose writes nobody has told of
        let is_foreign = fleet.placement.table().scope == Scope::Region && region != fleet.entry;
        let is_sent = hop.owner.as_ref() == Some(&self.snapshot.settings.stamp.id);
        is_sent && !is_foreign && fleet.placement.owner(&self.tenant, region, self.now) == Some(me)
    }

    /// The region of the entry, in a table.
    fn region(&self, fleet: &Fleet) -> RegionIndex {
        let entry = || {
            let known = self.snapshot.fleet.as_ref()?;
            let name = known.placement.table().regions.get(usize::from(self.hop.as_ref()?.entry?.0))?;
            fleet.placement.region(name)
        };
        entry().unwrap_or(fleet.entry)
    }

    /// Something of the tenant has changed here: whoever else may own it is told, a moment later.
    pub(super) fn tell_owners(&self) {
        let plane = &self.worker.plane;
        let now = Instant::now();
        let clock = plane.clock.at(now);
        let settles = SETTLES.as_millis() as Millis;
        let around = [clock.saturating_sub(settles), clock, clock + settles];
        let mut owners: ArrayVec<StampId, OWNERS_MAX> = ArrayVec::new();
        let mut add = |owner: &StampId| {
            let is_new = *owner != self.snapshot.settings.stamp.id && !owners.contains(owner);
            if is_new && !owners.is_full() {
                owners.push(owner.clone());
            }
        };
        self.hop.iter().filter_map(|hop| hop.owner.as_ref()).for_each(&mut add);
        // that of its beginning, and that of now: it may have taken long
        let latest = self.worker.snapshot();
        let (before, after) = (self.snapshot.fleet.as_ref(), latest.fleet.as_ref());
        let before = before.filter(|before| after.is_none_or(|after| !Arc::ptr_eq(before, after)));
        for fleet in before.into_iter().chain(after) {
            for at in around {
                if let Some(owner) = fleet.placement.owner(&self.tenant, self.region(fleet), at) {
                    add(&fleet.placement.stamp(owner).id);
                }
            }
        }
        for stamp in owners {
            plane.cache.failover.outbox.note(Notice { stamp, tenant: Some(self.tenant) }, now);
        }
    }
}
