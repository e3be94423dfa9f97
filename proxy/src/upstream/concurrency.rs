//! The concurrency limit of one upstream or peer stamp, shared fairly among tenants without a queue.
//!
//! A request is admitted at once or refused at once; who is admitted, and what every tenant can count on, is the rule
//! ([`Limits`]). Invariant: there are never more permits than the limit under which the last one was given, and every
//! permit gives its place back exactly once, when it is dropped.

mod rule;
mod tenants;

#[cfg(test)]
mod tests;

use std::{
    collections::hash_map::Entry,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

pub use rule::{Limits, Refused};
pub use tenants::TenantKey;

use tenants::Tenants;

/// Who is in flight to one upstream or peer: one for the whole process, used by every worker.
///
/// It keeps counts and no limits: a reload hands in other [`Limits`] and the counts carry over.
#[derive(Debug, Default)]
pub struct Admission {
    /// Never less than the sum over the tenants: raised before a tenant's count and lowered after it.
    total: AtomicU32,
    tenants: Tenants,
}

impl Admission {
    /// The longest list that [`Admission::top`] gives.
    pub const TOP_MAX: usize = 100;

    /// Takes a place for one request of `tenant`. Never waits for a place.
    ///
    /// # Errors
    ///
    /// The rule that refused; answer 503 `concurrency`.
    pub fn admit(self: &Arc<Self>, limits: &Limits, tenant: TenantKey) -> Result<Permit, Refused> {
        // The lock holds this tenant's count still; the total moves on under the feet of the rule.
        let mut counts = self.tenants.counts_with(tenant);
        let entry = counts.entry(tenant);
        let held = match &entry {
            Entry::Occupied(count) => *count.get(),
            Entry::Vacant(_) => 0,
        };
        self.take_place(limits, held)?;
        entry.insert_entry(held + 1);
        Ok(Permit { admission: Arc::clone(self), tenant })
    }

    /// Judges and counts in one step, so that no race lifts the total above the limit.
    fn take_place(&self, limits: &Limits, held: u32) -> Result<(), Refused> {
        // Relaxed: the number guards no other memory.
        let mut total = self.total.load(Ordering::Relaxed);
        loop {
            limits.judge(total, held)?;
            match self.total.compare_exchange_weak(total, total + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(moved) => total = moved,
            }
        }
    }

    fn give_back(&self, tenant: TenantKey) {
        let mut counts = self.tenants.counts_with(tenant);
        if let Entry::Occupied(mut count) = counts.entry(tenant) {
            if *count.get() > 1 {
                *count.get_mut() -= 1;
            } else {
                count.remove();
            }
        }
        drop(counts);
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests in flight, of all tenants.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Requests in flight of one tenant.
    #[must_use]
    pub fn in_flight_of(&self, tenant: TenantKey) -> u32 {
        self.tenants.counts_with(tenant).get(&tenant).copied().unwrap_or(0)
    }

    /// Tenants with at least one request in flight. Visits every shard: for a scrape, not for a request.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// The `n` tenants with the most requests in flight, most first, at most [`Admission::TOP_MAX`] of them.
    ///
    /// Visits every tenant in flight, a shard at a time: for an admin page, not for a request.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(TenantKey, u32)> {
        self.tenants.top(n.min(Self::TOP_MAX))
    }
}

/// One place, held until the response body has ended; dropping it, on any thread, gives the place back.
#[derive(Debug)]
#[must_use = "a permit that is dropped has given its place back"]
pub struct Permit {
    admission: Arc<Admission>,
    tenant: TenantKey,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.give_back(self.tenant);
    }
}
