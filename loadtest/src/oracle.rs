//! Compares both ends of a run: what clients saw, what origins recorded, and what the routing tables said meanwhile.
//!
//! Invariants: every count is of requests; a request that succeeded and one that failed are both followed to the origin;
//! nothing that the proxies say of themselves is believed. What must be 0 after every run: **lost** (the client saw
//! success and no origin has a record), **duplicated** (a request that writes ran twice), **cross-talk** (an answer or a
//! record that belongs to another request), **misrouted** (run by a stamp that no table in force named), **unexplained**
//! (failed outside of what the faults declare), **invented** (a record of a request that nobody sent).
//!
//! A request for a shared resource may be answered with what another one was given: it is lost only if no origin was ever asked
//! for the resource, and misrouted if a stamp's answer is given while that stamp does not own the tenant.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use synaxis_routing::id::TenantId;

use crate::{
    client::{OK, Sample, Samples},
    echo,
    fault::{Concern, Window},
    origin::journal::Entry,
    report::Judgement,
    workload::Workload,
};

mod routing;

pub use routing::Routing;

/// Examples that are kept of each kind.
const EXAMPLES: usize = 3;

/// A request that only reads may be tried so often while a fault is under way.
const READS_MAX: u32 = 4;

/// No more stamps than these may ever see a request.
const STAMPS_MAX: usize = 2;

/// What the origins recorded of one request.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    times: u32,
    /// The stamps that recorded it, each a bit by its index.
    stamps: u32,
    /// Recorded in the name of another tenant or method.
    foreign: bool,
    /// Recorded with another upload.
    mixed: bool,
}

/// Everything that the oracle compares.
pub struct Oracle<'a> {
    samples: &'a Samples,
    workload: &'a Workload,
    tenants: &'a [String],
    windows: &'a [Window],
    routing: Option<Routing>,
    records: Option<Vec<Record>>,
    stamps: Vec<String>,
    invented: u64,
    recorded: u64,
    /// Shared resources that origins were asked for, by tenant.
    given: HashSet<(u32, u32)>,
    /// Requests for shared resources that origins recorded.
    asked: u64,
}

impl<'a> Oracle<'a> {
    /// `samples` must be sorted by id and hold every id from 0 on; they are of `workload`.
    #[must_use]
    pub fn new(samples: &'a Samples, workload: &'a Workload, tenants: &'a [String], windows: &'a [Window]) -> Self {
        Self {
            samples,
            workload,
            tenants,
            windows,
            routing: None,
            records: None,
            stamps: Vec::new(),
            invented: 0,
            recorded: 0,
            given: HashSet::new(),
            asked: 0,
        }
    }

    /// Takes what an origin recorded.
    pub fn record(&mut self, stamp: &str, entry: &Entry) {
        let index = self.stamps.iter().position(|known| known == stamp).unwrap_or_else(|| {
            self.stamps.push(stamp.to_owned());
            self.stamps.len() - 1
        });
        let count = self.samples.samples.len();
        let at = usize::try_from(entry.id).unwrap_or(usize::MAX);
        let Some(sample) = self.samples.samples.get(at) else {
            self.invented += 1;
            return;
        };
        let foreign = self.tenant(sample) != Some(&entry.tenant) || sample.writes != entry.writes;
        let request = self.workload.request(entry.id);
        let upload = echo::upload(entry.id, request.upload);
        let mixed = entry.upload != echo::digest(entry.id, &upload);
        let record = &mut self.records.get_or_insert_with(|| vec![Record::default(); count])[at];
        self.recorded += u64::from(record.times == 0);
        if let Some(resource) = request.resource {
            self.asked += u64::from(record.times == 0);
            self.given.insert((sample.tenant, resource));
        }
        record.times += 1;
        // a world has at most 20 stamps
        record.stamps |= 1 << index.min(31);
        record.foreign |= foreign;
        record.mixed |= mixed;
    }

    /// Says that all origins have been heard, so that a request without a record has none.
    pub fn heard_all(&mut self, routing: Option<Routing>) {
        let count = self.samples.samples.len();
        self.records.get_or_insert_with(|| vec![Record::default(); count]);
        self.routing = routing;
    }

    /// Whether a declared fault that can have touched it explains how a request ended.
    #[must_use]
    pub fn is_explained(&self, sample: &Sample) -> bool {
        let (from, until) = span(sample);
        let outcome = self.samples.outcomes.name(sample.outcome);
        sample.outcome == OK
            || self.windows.iter().any(|window| {
                window.explains(outcome, sample.writes)
                    && is_of(window, sample)
                    && window.overlaps(from, until)
                    && self.may_touch(&window.concern, sample, self.fails_over(sample))
            })
    }

    /// How often a request that only reads may run: once, unless something was wrong that may make it fail.
    fn reads_max(&self, sample: &Sample) -> u32 {
        let (from, until) = span(sample);
        let troubled = self.windows.iter().any(|window| window.overlaps(from, until) && is_of(window, sample));
        if troubled { READS_MAX } else { 1 }
    }

    /// Whether a fault lets others than its owner serve a request.
    fn fails_over(&self, sample: &Sample) -> bool {
        let (from, until) = span(sample);
        self.windows.iter().any(|window| {
            // who serves it is a matter of its tenant, and by whom it entered only where two do not reach each other
            let of_its_tenant = || match &window.concern {
                Concern::All => true,
                Concern::Tenants(stamp) | Concern::Stamp(stamp) => self.may_serve(stamp, sample, false),
                Concern::Between(..) => self.may_touch(&window.concern, sample, false),
            };
            window.fails_over(from, until) && is_of(window, sample) && of_its_tenant()
        })
    }

    /// Whether a fault of this concern can have touched a request. Without tables only one that concerns all can.
    fn may_touch(&self, concern: &Concern, sample: &Sample, failover: bool) -> bool {
        let entered = |stamp: &str| self.routing.as_ref().is_some_and(|routing| routing.enters(sample.entry, stamp));
        match concern {
            Concern::All => true,
            Concern::Tenants(stamp) => self.may_serve(stamp, sample, failover),
            Concern::Stamp(stamp) => entered(stamp) || self.may_serve(stamp, sample, failover),
            Concern::Between(one, other) => {
                let passes = |from, to| entered(from) && self.may_serve(to, sample, failover);
                passes(one, other) || passes(other, one)
            }
        }
    }

    /// Whether a stamp may have run a request by the tables in force.
    fn may_serve(&self, stamp: &str, sample: &Sample, failover: bool) -> bool {
        let (from, until) = span(sample);
        let tenant = self.tenant(sample).and_then(|tenant| TenantId::parse(tenant.as_bytes()).ok());
        let known = self.routing.as_ref().zip(tenant);
        known.is_some_and(|(routing, tenant)| routing.may_serve(stamp, &tenant, from, until, failover))
    }

    /// Whether a request is of a tenant that a stamp owned at the time. Without tables it never is.
    pub(crate) fn is_owned(&self, stamp: &str, sample: &Sample) -> bool {
        self.may_serve(stamp, sample, false)
    }

    fn tenant(&self, sample: &Sample) -> Option<&str> {
        usize::try_from(sample.tenant).ok().and_then(|index| self.tenants.get(index)).map(String::as_str)
    }

    /// Requests for shared resources that came to an origin; `None` while no origin was heard.
    #[must_use]
    pub fn asked(&self) -> Option<u64> {
        self.records.as_ref().map(|_| self.asked)
    }

    /// Whether an origin was asked for the shared resource of a request, by whichever request.
    fn was_given(&self, sample: &Sample) -> bool {
        let resource = self.workload.request(sample.id).resource;
        resource.is_some_and(|resource| self.given.contains(&(sample.tenant, resource)))
    }

    /// The judgement.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let mut judgement = Judgement {
            both_ends: self.records.is_some(),
            sent: u64::try_from(self.samples.samples.len()).unwrap_or(u64::MAX),
            recorded: self.recorded,
            invented: self.invented,
            ..Judgement::default()
        };
        let mut examples = Examples::default();
        for (at, sample) in self.samples.samples.iter().enumerate() {
            let outcome = self.samples.outcomes.name(sample.outcome);
            let answered = sample.outcome == OK;
            judgement.answered += u64::from(answered);
            let mut count = |kind: &'static str, counter: &mut u64, words: String| {
                *counter += 1;
                examples.keep(kind, || format!("{kind}: {}, {words}", self.words(sample)));
            };
            let record = self.records.as_ref().and_then(|records| records.get(at));
            let ran: Vec<&str> = record.map(|record| self.ran(record).collect()).unwrap_or_default();
            let said = self.samples.stamps.name(sample.stamp);
            let crossed = match record {
                _ if outcome == "cross_talk" => Some("its answer belongs to another request".into()),
                Some(record) if record.foreign => Some("it was recorded as another tenant's or method's".into()),
                Some(record) if record.mixed => Some("it was recorded with another upload than it had".into()),
                Some(_) if answered && !ran.is_empty() && !ran.contains(&said) => {
                    Some(format!("answered by {said}, recorded by {}", ran.join(", ")))
                }
                _ => None,
            };
            if let Some(words) = crossed {
                count("cross-talk", &mut judgement.cross_talk, words);
            }
            if !answered && outcome != "cross_talk" && !self.is_explained(sample) {
                count("unexplained", &mut judgement.unexplained, format!("ended as {outcome}"));
            }
            let Some(record) = record else { continue };
            // one that nobody recorded may have been answered from a cache
            let kept = answered && record.times == 0 && sample.source.is_some();
            if answered && record.times == 0 && !(kept && self.was_given(sample)) {
                count("lost", &mut judgement.lost, format!("answered by {said}, recorded by nobody"));
            }
            judgement.executions += u64::from(record.times);
            if sample.writes && record.times > 1 {
                count("duplicated", &mut judgement.duplicated, format!("it writes and ran {} times", record.times));
            }
            if !sample.writes && record.times > self.reads_max(sample) {
                count("duplicated", &mut judgement.duplicated, format!("it reads and ran {} times", record.times));
            }
            if self.routing.is_none() {
                continue;
            }
            let failover = self.fails_over(sample);
            if kept && !self.may_serve(said, sample, failover) {
                count("misrouted", &mut judgement.misrouted, format!("given what {said} had answered"));
            }
            if !ran.iter().all(|stamp| self.may_serve(stamp, sample, failover)) || ran.len() > STAMPS_MAX {
                count("misrouted", &mut judgement.misrouted, format!("run by {}", ran.join(", ")));
            }
        }
        judgement.cross_talk += u64::try_from(self.samples.surplus.len()).unwrap_or(u64::MAX);
        for last in &self.samples.surplus {
            let last = last.and_then(|id| self.samples.samples.get(usize::try_from(id).ok()?));
            let before = last.map_or_else(|| "the first request".into(), |sample| self.words(sample));
            examples.keep("surplus", || {
                format!("cross-talk: a connection brought more than was asked for, after {before}")
            });
        }
        if self.invented > 0 {
            examples
                .keep("invented", || format!("invented: origins recorded {} requests that nobody sent", self.invented));
        }
        judgement.examples = examples.all;
        judgement
    }

    /// The stamps that recorded a request.
    fn ran(&self, record: &Record) -> impl Iterator<Item = &str> {
        let stamps = record.stamps;
        self.stamps
            .iter()
            .enumerate()
            .filter(move |(index, _)| stamps & (1 << index.min(&31)) != 0)
            .map(|(_, id)| id.as_str())
    }

    fn words(&self, sample: &Sample) -> String {
        let method = if sample.writes { "POST" } else { "GET" };
        let (begin, end) = (seconds(sample.intended), seconds(sample.ended));
        format!("{method} {} of {} from {begin:.3} s to {end:.3} s", sample.id, self.tenant(sample).unwrap_or("?"))
    }
}

/// Whether a fault is one of the request's tenant.
fn is_of(window: &Window, sample: &Sample) -> bool {
    window.tenant.is_none_or(|tenant| tenant == sample.tenant)
}

/// From the intended start to the end.
fn span(sample: &Sample) -> (Duration, Duration) {
    (Duration::from_micros(sample.intended), Duration::from_micros(sample.ended))
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// The first few of each kind.
#[derive(Default)]
struct Examples {
    counts: HashMap<&'static str, usize>,
    all: Vec<String>,
}

impl Examples {
    fn keep(&mut self, kind: &'static str, words: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            self.all.push(words());
        }
    }
}

#[cfg(test)]
mod tests;
