//! Pins: which stamp serves a tenant, whatever the hash says.
//!
//! Invariant: a pin names a known stamp that may take the tenant now, inside the tenant's regions.

use super::{Changed, Fleet, Refused, join};
use crate::{
    id::{StampId, TenantId},
    lifecycle::{Operation, permit},
    table::{Millis, PinMode, Tenant},
};

impl Fleet {
    /// Pins a tenant to a stamp. A strict pin needs a stamp that takes traffic; a preferred one only a stamp that may
    /// still be given tenants (it is passed over until it serves).
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Blocked`], [`Refused::Residency`], [`Refused::Full`],
    /// [`Refused::Nothing`].
    pub fn pin(&self, tenant: TenantId, id: &StampId, mode: PinMode, now: Millis) -> Result<Changed, Refused> {
        let stamp = self.find(id)?;
        let blocked = |blocked| Refused::Blocked { stamp: id.clone(), blocked };
        permit(stamp.state, Operation::AssignTenants).map_err(blocked)?;
        if mode == PinMode::Strict {
            permit(stamp.state, Operation::RouteTraffic).map_err(blocked)?;
        }
        let mut after = self.clone();
        let entry = after.tenants.entry(tenant).or_default();
        if let Some(allowed) = entry.regions.as_ref().filter(|allowed| !allowed.contains(&stamp.region)) {
            let allowed = join(allowed.iter());
            let (tenant, stamp, region) = (Box::new(tenant), id.clone(), stamp.region.clone());
            return Err(Refused::Residency { tenant, stamp, region, allowed });
        }
        if entry.pin.as_ref() == Some(id) && entry.pin_mode == Some(mode) {
            return Err(Refused::Nothing(format!("tenant {tenant} is pinned to {id} already ({})", words(mode))));
        }
        entry.pin = Some(id.clone());
        entry.pin_mode = Some(mode);
        self.finish(after, format!("pin tenant {tenant} to {id} ({})", words(mode)), vec![], now)
    }

    /// Takes the pins of these tenants away; an entry that says nothing else leaves the list.
    ///
    /// # Errors
    /// [`Refused::NotPinned`] for the first tenant without a pin: then none is changed.
    pub fn unpin(&self, tenants: &[TenantId], now: Millis) -> Result<Changed, Refused> {
        let mut after = self.clone();
        for tenant in tenants {
            let entry = after.tenants.get_mut(tenant).filter(|entry| entry.pin.is_some());
            let Some(entry) = entry else { return Err(Refused::NotPinned(Box::new(*tenant))) };
            entry.pin = None;
            entry.pin_mode = None;
            if *entry == Tenant::default() {
                after.tenants.remove(tenant);
            }
        }
        self.finish(after, format!("unpin {}", super::some_of(tenants)), vec![], now)
    }

    /// Takes away the preferred pins to a stamp that is going to be deleted, and says so.
    pub(super) fn drop_preferred_pins(&mut self, id: &StampId) -> Option<String> {
        let tenants = self.pinned(id, PinMode::Preferred);
        for tenant in &tenants {
            let Some(entry) = self.tenants.get_mut(tenant) else { continue };
            entry.pin = None;
            entry.pin_mode = None;
            if *entry == Tenant::default() {
                self.tenants.remove(tenant);
            }
        }
        (!tenants.is_empty())
            .then(|| format!("the preferred pins of {} to {id} are taken away", super::some_of(&tenants)))
    }

    /// Tenants whose pin of this mode names the stamp, in order.
    pub(super) fn pinned(&self, id: &StampId, mode: PinMode) -> Vec<TenantId> {
        let names = |entry: &Tenant| entry.pin.as_ref() == Some(id) && entry.mode() == Some(mode);
        self.tenants.iter().filter(|(_, entry)| names(entry)).map(|(tenant, _)| *tenant).collect()
    }
}

impl Tenant {
    /// How binding the pin is, if there is one; a pin that does not say is preferred, as placement reads it.
    #[must_use]
    pub fn mode(&self) -> Option<PinMode> {
        self.pin.as_ref().map(|_| self.pin_mode.unwrap_or(PinMode::Preferred))
    }
}

const fn words(mode: PinMode) -> &'static str {
    match mode {
        PinMode::Strict => "strict",
        PinMode::Preferred => "preferred",
    }
}
