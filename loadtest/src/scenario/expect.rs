//! What must hold at the end of a run.
//!
//! Invariant: what must never happen is not here, because no scenario may take it away.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity;

/// What must hold at the end, beside lost = duplicated = cross-talk = misrouted = unexplained = 0, which always must.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Median latency, at most.
    #[serde(serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub p50: Option<Duration>,
    /// 99th percentile, at most.
    #[serde(serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub p99: Option<Duration>,
    /// 99.9th percentile, at most.
    #[serde(serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub p999: Option<Duration>,
    /// Greatest latency, at most.
    #[serde(serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub max: Option<Duration>,
    /// Requests that may fail within the faults that declare them, at most. Without it: none.
    pub failed: u64,
    /// Share of the answers, 0 to 1, that must have come by the end of the load, or a quarter of a second later: a system
    /// that takes in more than it answers has not held its rate. The short form does not look.
    pub in_time: f64,
    /// Stamps that must serve a share of the requests in a stretch of time.
    pub shares: Vec<Share>,
    /// Stretches of time in which bystanders must not be slower than before.
    pub unmoved: Vec<Unmoved>,
    /// Shares of requests that must end in some way.
    pub outcomes: Vec<Outcomes>,
    /// Resident memory of each proxy at the end, as a multiple of that at the begin, at most.
    pub memory_growth: Option<f64>,
    /// Descriptors that a proxy may have more at the end than at the begin.
    pub descriptor_growth: Option<u64>,
    /// Share of the requests for shared resources, 0 to 1, that a proxy's memory must have answered, from the first one on.
    pub hits_memory: Option<f64>,
    /// The same for its memory, or what the processes of its stamp share.
    pub hits: Option<f64>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            p50: None,
            p99: None,
            p999: None,
            max: None,
            failed: 0,
            in_time: 0.98,
            shares: Vec::new(),
            unmoved: Vec::new(),
            outcomes: Vec::new(),
            memory_growth: None,
            descriptor_growth: None,
            hits_memory: None,
            hits: None,
        }
    }
}

/// A share of the requests that a stamp must serve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Position of the stamp.
    pub stamp: usize,
    /// Of requests that were to begin at or after this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub from: Duration,
    /// And before this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub until: Duration,
    /// At least, 0 to 1.
    #[serde(default)]
    pub least: f64,
    /// At most, 0 to 1.
    #[serde(default = "whole")]
    pub most: f64,
}

fn whole() -> f64 {
    1.0
}

/// Requests of bystanders, which must be answered as fast while something is wrong as before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmoved {
    /// Position of the stamp whose tenants are none.
    pub stamp: Option<usize>,
    /// Index of the tenant that is none.
    pub tenant: Option<u32>,
    /// Requests that were to begin at or after this, and before `from`, are what is compared with.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub since: Duration,
    /// Those that were to begin at or after this,
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub from: Duration,
    /// and before this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub until: Duration,
    /// Their 99th percentile, at most, as a multiple of that before.
    pub times: f64,
    /// What it may be all the same: below this a multiple is the machine's noise.
    #[serde(default, serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub floor: Duration,
}

/// A share of requests that must end in some way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// How: `ok`, status and reason token, or what befell the connection; `*` at the end stands for anything.
    pub outcome: String,
    /// Index of the tenant whose requests count; default: all.
    pub tenant: Option<u32>,
    /// Of requests that were to begin at or after this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub from: Duration,
    /// And before this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub until: Duration,
    /// At least, 0 to 1.
    #[serde(default)]
    pub least: f64,
    /// At most, 0 to 1.
    #[serde(default = "whole")]
    pub most: f64,
}

/// What no request of a short form may exceed, if the long one has a bound: more than a busy machine takes, less than a
/// stall.
const SHORT_MAX: Duration = Duration::from_secs(2);

/// The same of one request in a hundred, of bystanders of what takes two seconds.
const SHORT_P99: Duration = Duration::from_secs(1);

/// The least share of hits that a short form is held to: it ends before most of what it asks for was asked for twice.
const SHORT_HITS: f64 = 0.1;

impl Expect {
    /// What is wrong with it in a world of so many stamps and tenants, if anything is.
    pub(super) fn check(&self, stamps: usize, tenants: u32) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let known = |tenant: Option<u32>| tenant.is_none_or(|tenant| tenant < tenants);
        let shares = |least: f64, most: f64| (0.0..=1.0).contains(&least) && (0.0..=1.0).contains(&most);
        for share in &self.shares {
            let sound = shares(share.least, share.most) && share.stamp < stamps;
            demand(sound, "expect.shares: a stamp's position and shares, 0 to 1");
            demand(share.from < share.until, "expect.shares: from comes before until");
        }
        for unmoved in &self.unmoved {
            let sound = known(unmoved.tenant) && unmoved.stamp.is_none_or(|stamp| stamp < stamps);
            demand(sound, "expect.unmoved: a stamp's position and a tenant's index, from 0");
            demand((1.0..=1e3).contains(&unmoved.times), "expect.unmoved: times is 1 to 1,000");
            let order = unmoved.since < unmoved.from && unmoved.from < unmoved.until;
            demand(order, "expect.unmoved: since comes before from, and from before until");
        }
        for outcomes in &self.outcomes {
            let sound = shares(outcomes.least, outcomes.most) && known(outcomes.tenant);
            demand(sound, "expect.outcomes: a tenant's index, from 0, and shares, 0 to 1");
            demand(outcomes.from < outcomes.until, "expect.outcomes: from comes before until");
        }
        let hits = [self.hits_memory, self.hits];
        let sound = hits.iter().flatten().all(|share| (0.0..=1.0).contains(share));
        demand(sound, "expect.hits_memory and expect.hits are shares, 0 to 1");
        faults
    }

    /// Multiplies its times, and leaves only bounds that a stall exceeds and a busy machine does not.
    pub(super) fn shorten(&mut self, time: f64) {
        let stretches = self.shares.iter_mut().map(|share| (&mut share.from, &mut share.until));
        let stretches = stretches.chain(self.outcomes.iter_mut().map(|some| (&mut some.from, &mut some.until)));
        for (from, until) in stretches {
            (*from, *until) = (from.mul_f64(time), until.mul_f64(time));
        }
        for unmoved in &mut self.unmoved {
            for at in [&mut unmoved.since, &mut unmoved.from, &mut unmoved.until] {
                *at = at.mul_f64(time);
            }
            unmoved.floor = unmoved.floor.max(SHORT_P99);
        }
        (self.p50, self.p99, self.p999, self.memory_growth) = (None, None, None, None);
        for hits in [&mut self.hits_memory, &mut self.hits] {
            *hits = hits.map(|least| least.min(SHORT_HITS));
        }
        (self.in_time, self.max) = (0.0, self.max.map(|max| max.max(SHORT_MAX)));
    }
}
