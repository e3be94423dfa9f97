//! The decision digest: do two proxies at the same epoch decide alike?
//!
//! A hash over what 1,024 fixed probe tenants would meet: their rank lists in every region, the order of regions, and the
//! state, weight, ramp and endpoint of every stamp, every listed tenant's pin and regions, and the levels set by hand, if
//! there are any. Invariant: it depends on
//! the table and on the algorithm alone; not on the time, on anybody's health or on the reader's region.

use std::{fmt, str::FromStr};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{
    degradation::Override,
    id::TenantId,
    placement::Placement,
    rank,
    table::{PinMode, Ramp, Scope, Stamp},
};

/// How many probe tenants are asked.
pub const PROBES: usize = 1_024;

/// A decision digest; its text form is 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision digest is 16 lower-case hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits {
            return Err(InvalidDigest);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidDigest)
    }
}

/// The digest of a built table.
pub(crate) fn of(placement: &Placement) -> Digest {
    let mut sink = Sink(Xxh3::new());
    let table = placement.table();
    sink.text(&table.algorithm);
    sink.number(u64::from(table.slots_log2));
    sink.number(match table.scope {
        Scope::Region => 0,
        Scope::Fleet => 1,
    });
    sink.number(table.regions.len() as u64);
    for region in &table.regions {
        sink.text(region);
    }
    sink.number(table.stamps.len() as u64);
    // by id: the order in which a table lists its stamps decides nothing
    for index in placement.stamps_by_id() {
        sink.stamp(placement.stamp(index));
    }
    for (id, tenant) in placement.tenants() {
        if tenant.pin.is_none() && tenant.home.is_none() && tenant.regions.is_none() {
            continue;
        }
        sink.text(id.as_str());
        sink.option(tenant.pin.as_ref(), |sink, pin| sink.text(pin.as_str()));
        sink.number(u64::from(tenant.pin_mode == Some(PinMode::Strict)));
        sink.option(tenant.home.as_ref(), |sink, home| sink.text(home));
        sink.option(tenant.regions.as_ref(), |sink, regions| {
            sink.number(regions.len() as u64);
            regions.iter().for_each(|region| sink.text(region));
        });
    }
    let names: Vec<u64> = table.stamps.iter().map(|stamp| xxh3_64(stamp.id.as_str().as_bytes())).collect();
    for probe in 0..PROBES {
        let Ok(tenant) = TenantId::parse(format!("probe-{probe:04}").as_bytes()) else { continue };
        let slot = rank::slot(rank::tenant_hash(table.seed, &tenant), table.slots_log2);
        for (set, ranks) in placement.stored_ranks(slot) {
            sink.number(set as u64);
            for stamp in ranks {
                sink.number(names.get(usize::from(stamp)).copied().unwrap_or_default());
            }
        }
    }
    // nothing without it: tables of format 1 keep their digests
    if let Some(degradation) = &table.degradation {
        sink.text("degradation");
        sink.number(degradation.all().count() as u64);
        for (whose, Override { level, since, until, reason: _ }) in degradation.all() {
            sink.text(whose);
            [u64::from(u8::from(*level)), *since, *until].into_iter().for_each(|number| sink.number(number));
        }
    }
    Digest(sink.0.digest())
}

struct Sink(Xxh3);

impl Sink {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// With its length first, so that no two sequences of texts look alike.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            some(self, value);
        }
    }

    fn stamp(&mut self, stamp: &Stamp) {
        self.text(stamp.id.as_str());
        self.text(&stamp.region);
        self.text(stamp.placement_key.as_str());
        self.text(&stamp.endpoint);
        self.number(stamp.state as u64);
        self.number(u64::from(stamp.weight));
        self.number(u64::from(stamp.dedicated));
        self.option(stamp.ramp.as_ref(), |sink, Ramp { from, to, started_at, seconds, held_at }| {
            sink.number(u64::from(*from));
            sink.number(u64::from(*to));
            sink.number(*started_at);
            sink.number(u64::from(*seconds));
            sink.option(held_at.as_ref(), |sink, held| sink.number(*held));
        });
    }
}
