//! Which stamp serves a tenant.
//!
//! Read in this order: [`id`] and [`version`] (names), [`table`] (the documents as written), [`bundle`] (their exact
//! bytes and hashes), [`degradation`] (levels set by hand), [`limits`] (quotas of tenants' own), [`rank`] and [`ramp`] (the two formulas), [`placement`] (the built table: lookup, hand,
//! acceptance), [`explain`], [`digest`], [`endpoint`] and [`sanity`] (why a table is refused), [`lifecycle`] and
//! [`change`] (what operators do to a table), [`store`] and [`snapshot`] (where it is kept), [`redis_client`], [`traffic`] (what tenants make of it),
//! [`purge`] (what a stamp's caches must not serve any more), [`failover`] (what a stamp hears of its tenants' writes elsewhere).

pub mod ack;
pub mod bundle;
pub mod change;
pub mod clock;
pub mod degradation;
pub mod digest;
pub mod endpoint;
pub mod explain;
pub mod failover;
#[cfg(test)]
mod fixture;
pub mod id;
pub mod lifecycle;
pub mod limits;
pub mod placement;
pub mod purge;
pub mod ramp;
pub mod rank;
pub mod redis_client;
pub mod sanity;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod traffic;
pub mod version;
