//! The listed tenants whose placement differs from the default: found by hash, confirmed by the whole id.
//!
//! One flat table with open addressing, an entry a cache line with the id inside: at 100,000 tenants a lookup waits for
//! memory once. Tenants that are listed for other reasons (tier, limits) are not in it and cost nothing here.

use std::collections::HashMap;

use super::{StampIndex, find, owned::has_rule, regions::Plan};
use crate::{
    id::{Region, TenantId},
    rank,
    table::{PinMode, Scope, Table, Tenant, Tenants},
};

/// No stamp.
const NO_PIN: u16 = u16::MAX;

/// What differs for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) pin: Option<u16>,
    pub(super) strict: bool,
    /// Index of its plan.
    pub(super) plan: u32,
}

/// Bytes of an id that an entry holds itself; a GUID has 36.
const INLINE: usize = 52;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Entry {
    /// Bits of the hash that choose neither the slot nor the position here.
    tag: u32,
    plan: u32,
    pin: u16,
    /// Bytes of its id; 0 marks a vacant entry.
    length: u8,
    strict: bool,
    /// The id, or where it begins among the long ones.
    id: [u8; INLINE],
}

const VACANT: Entry = Entry { tag: 0, plan: 0, pin: NO_PIN, length: 0, strict: false, id: [0; INLINE] };

/// The rules, by tenant.
#[derive(Debug)]
pub(super) struct Listed {
    /// A power of two of entries, at most half of them taken; empty when nobody is listed.
    entries: Box<[Entry]>,
    /// Ids too long for their entry, one after the other.
    long: Box<[u8]>,
    /// The default plan first.
    plans: Box<[Plan]>,
}

impl Listed {
    /// The rules, and the slots in which somebody has one.
    pub(super) fn build(table: &Table, tenants: &Tenants, by_id: &[StampIndex]) -> (Self, Vec<u32>) {
        let mut plans = Plans::new(table);
        let count = tenants.values().filter(|tenant| has_rule(tenant)).count();
        let capacity = if count == 0 { 0 } else { (count * 2).next_power_of_two() };
        let mut entries = vec![VACANT; capacity].into_boxed_slice();
        let mut long = Vec::new();
        let mut slots = Vec::with_capacity(count);
        for (tenant, rules) in tenants.iter().filter(|(_, rules)| has_rule(rules)) {
            let hash = rank::tenant_hash(table.seed, tenant);
            slots.push(rank::slot(hash, table.slots_log2));
            let pin = rules.pin.as_ref().and_then(|pin| find(table, by_id, pin.as_str()));
            let mut at = hash as usize & (capacity - 1);
            while entries[at].length != 0 {
                at = (at + 1) & (capacity - 1);
            }
            let bytes = tenant.as_bytes();
            let mut id = [0; INLINE];
            match id.get_mut(..bytes.len()) {
                Some(place) => place.copy_from_slice(bytes),
                None => {
                    // at most 100,000 ids of 128 bytes
                    id[..4].copy_from_slice(&(long.len() as u32).to_le_bytes());
                    long.extend_from_slice(bytes);
                }
            }
            entries[at] = Entry {
                tag: tag(hash),
                plan: plans.of(rules),
                pin: pin.map_or(NO_PIN, |pin| pin.0),
                length: bytes.len() as u8, // at most 128
                strict: rules.pin.is_some() && rules.pin_mode == Some(PinMode::Strict),
                id,
            };
        }
        (Self { entries, long: long.into(), plans: plans.list.into() }, slots)
    }

    /// The rule of a tenant with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, tenant: &TenantId) -> Option<Rule> {
        let mask = self.entries.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let entry = &self.entries[at];
            if entry.length == 0 {
                return None; // half of the entries are vacant: always reached
            }
            if entry.tag == tag(hash) && self.id(entry) == tenant.as_bytes() {
                let pin = (entry.pin != NO_PIN).then_some(entry.pin);
                return Some(Rule { pin, strict: entry.strict, plan: entry.plan });
            }
            at = (at + 1) & mask;
        }
    }

    fn id<'a>(&'a self, entry: &'a Entry) -> &'a [u8] {
        let length = usize::from(entry.length);
        entry.id.get(..length).unwrap_or_else(|| {
            let [a, b, c, d, ..] = entry.id;
            &self.long[u32::from_le_bytes([a, b, c, d]) as usize..][..length]
        })
    }

    /// A plan; `None`: the default one.
    pub(super) fn plan(&self, index: Option<u32>) -> &Plan {
        &self.plans[index.unwrap_or(0) as usize]
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 20) as u32
}

struct Plans<'a> {
    table: &'a Table,
    list: Vec<Plan>,
    known: HashMap<Plan, u32>,
}

impl<'a> Plans<'a> {
    fn new(table: &'a Table) -> Self {
        let mut plans = Self { table, list: Vec::new(), known: HashMap::new() };
        plans.of(&Tenant::default());
        plans
    }

    fn of(&mut self, tenant: &Tenant) -> u32 {
        let plan = self.plan(tenant);
        *self.known.entry(plan).or_insert_with_key(|plan| {
            self.list.push(plan.clone());
            self.list.len() as u32 - 1
        })
    }

    fn plan(&self, tenant: &Tenant) -> Plan {
        let all = &self.table.regions;
        let number = |region: &Region| all.iter().position(|known| known == region).map(|at| at as u8);
        let home = tenant.home.as_ref().and_then(number);
        let restricted = tenant.regions.is_some();
        let regions: Box<[u8]> = tenant.regions.as_ref().unwrap_or(all).iter().filter_map(number).collect();
        let allowed = regions.iter().fold(0u64, |bits, region| bits | 1 << region);
        let fleet = self.table.scope == Scope::Fleet;
        let sets = if fleet && home.is_none() && !restricted { Box::new([all.len() as u8]) } else { regions };
        Plan { home, follows_entry: !fleet, allowed, restricted, sets }
    }
}
