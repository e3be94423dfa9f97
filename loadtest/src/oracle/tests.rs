//! Each lie of the world on its own, by invented samples and records.

use std::{sync::Arc, time::Instant};

use synaxis_routing::{
    change::{Fleet, Register},
    id::{Region, StampId},
    placement::{Placement, RegionIndex},
    table::{Scope, Seed},
};

use super::*;
use crate::{client::End, workload::Mix, world::Epoch};

mod shared;

const STAMPS: [&str; 2] = ["synaxis-weu-001", "synaxis-weu-002"];

struct Case {
    samples: Samples,
    workload: Workload,
    tenants: Vec<String>,
    windows: Vec<Window>,
    placement: Arc<Placement>,
}

fn case() -> Case {
    let mut fleet = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(7), 16).unwrap();
    for id in STAMPS {
        let id = StampId::parse(id).unwrap();
        let endpoint = "http://127.0.0.1:1".to_owned();
        let new = Register {
            id: id.clone(),
            endpoint,
            weight: 100,
            dedicated: false,
            labels: std::collections::BTreeMap::new(),
        };
        fleet = fleet.register(new, 1).unwrap().fleet.activate(&id, 0, 1).unwrap().fleet;
    }
    let placement = Arc::new(Placement::build(fleet.table, fleet.tenants).unwrap());
    let tenants: Vec<String> = (0..50).map(crate::workload::tenant).collect();
    let (samples, workload) = (Samples::default(), Workload::new(Mix::default(), 1));
    let mut case = Case { samples, workload, tenants, windows: Vec::new(), placement };
    for number in 0..100 {
        let tenant = u32::try_from(number % 50).unwrap();
        let owner = case.owner(tenant);
        let (outcome, stamp) = (OK, case.samples.stamps.index(&owner));
        let begin = number * 1_000;
        case.samples.samples.push(Sample {
            id: number,
            intended: begin,
            launched: begin,
            begun: begin,
            ended: begin + 500,
            tenant,
            writes: number % 2 == 0,
            entry: 0,
            outcome,
            stamp,
            source: None,
        });
    }
    case
}

impl Case {
    fn owner(&self, tenant: u32) -> String {
        let id = TenantId::parse(self.tenants[tenant as usize].as_bytes()).unwrap();
        self.placement.stamp(self.placement.owner(&id, RegionIndex(0), 1).unwrap()).id.to_string()
    }

    /// What honest origins record.
    fn records(&self) -> Vec<(String, Entry)> {
        let entry = |sample: &Sample| {
            let tenant = self.tenants[sample.tenant as usize].clone();
            let upload = echo::digest(sample.id, &echo::upload(sample.id, self.workload.request(sample.id).upload));
            (self.owner(sample.tenant), Entry { id: sample.id, writes: sample.writes, upload, tenant })
        };
        self.samples.samples.iter().map(entry).collect()
    }

    fn fail(&mut self, at: usize, end: &End) {
        self.samples.samples[at].outcome = self.samples.outcome(end);
        self.samples.samples[at].stamp = 0;
    }

    fn judge(&self, records: &[(String, Entry)]) -> Judgement {
        let mut oracle = Oracle::new(&self.samples, &self.workload, &self.tenants, &self.windows);
        records.iter().for_each(|(stamp, entry)| oracle.record(stamp, entry));
        let epoch = Epoch { placement: Arc::clone(&self.placement), from: Instant::now(), until: None };
        // all clients enter by the first
        oracle.heard_all(Some(Routing::new(vec![epoch], Instant::now(), 1, vec![STAMPS[0].into()])));
        oracle.judge()
    }
}

/// Everything that must be 0, in the order of the design: lost, duplicated, cross-talk, misrouted, unexplained, invented.
fn counts(judgement: &Judgement) -> [u64; 6] {
    let Judgement { lost, duplicated, cross_talk, misrouted, unexplained, invented, .. } = judgement;
    [*lost, *duplicated, *cross_talk, *misrouted, *unexplained, *invented]
}

#[test]
fn an_honest_world_has_nothing_against_it() {
    let case = case();
    let judgement = case.judge(&case.records());
    assert_eq!(counts(&judgement), [0; 6], "{:?}", judgement.examples);
    assert_eq!((judgement.sent, judgement.answered, judgement.recorded), (100, 100, 100));
    assert!(judgement.both_ends && judgement.examples.is_empty());
}

#[test]
fn success_without_a_record_is_lost() {
    let case = case();
    let mut records = case.records();
    records.remove(17);
    let judgement = case.judge(&records);
    assert_eq!(counts(&judgement), [1, 0, 0, 0, 0, 0]);
    assert!(judgement.examples[0].starts_with("lost: GET 17 of tenant-0017"), "{:?}", judgement.examples);
    assert_eq!(counts(&case.judge(&[])), [100, 0, 0, 0, 0, 0], "all origins silent");
}

#[test]
fn a_request_that_writes_runs_once_and_one_that_reads_a_few_times_while_a_fault_is_under_way() {
    let mut case = case();
    let mut records = case.records();
    let (reads, writes) = (records[3].clone(), records[4].clone());
    records.extend([reads.clone(), writes]);
    assert_eq!(counts(&case.judge(&records)), [0, 2, 0, 0, 0, 0], "nothing was wrong");
    case.windows = vec![open("nothing", false)];
    assert_eq!(counts(&case.judge(&records)), [0, 1, 0, 0, 0, 0], "the write");
    records.extend([reads.clone(), reads.clone()]);
    assert_eq!(counts(&case.judge(&records)), [0, 1, 0, 0, 0, 0]);
    records.push(reads);
    let judgement = case.judge(&records);
    assert_eq!(counts(&judgement), [0, 2, 0, 0, 0, 0], "five times");
    assert_eq!((judgement.recorded, judgement.executions), (100, 105));
}

#[test]
fn a_request_that_writes_and_failed_must_not_run_twice_either() {
    let mut case = case();
    case.fail(4, &End::Broken("reset"));
    case.windows = vec![open("reset", false)];
    let mut records = case.records();
    records.push(records[4].clone());
    assert_eq!(counts(&case.judge(&records)), [0, 1, 0, 0, 0, 0]);
}

#[test]
fn an_answer_or_a_record_of_another_request_is_cross_talk() {
    let mut crossed = case();
    let records = crossed.records();
    crossed.fail(5, &End::CrossTalk);
    assert_eq!(counts(&crossed.judge(&records)), [0, 0, 1, 0, 0, 0]);

    let case = case();
    let mut foreign = case.records();
    foreign[6].1.tenant = "tenant-0009".into();
    foreign[7].1.writes = true;
    assert_eq!(counts(&case.judge(&foreign)), [0, 0, 2, 0, 0, 0]);
}

#[test]
fn an_upload_that_was_mixed_up_is_cross_talk_even_if_its_answer_never_came() {
    let mut case = case();
    let mut records = case.records();
    let of = |writes: bool| {
        case.samples.samples.iter().position(|sample| {
            let request = case.workload.request(sample.id);
            request.writes == writes && sample.id > 0
        })
    };
    let (writes, reads) = (of(true).unwrap(), of(false).unwrap());
    // another's upload in its name, and bytes behind a head that has none
    records[writes].1.upload = echo::digest(records[writes].1.id, &echo::upload(0, 256));
    records[reads].1.upload = echo::digest(records[reads].1.id, b"x");
    case.fail(writes, &End::Broken("reset"));
    case.windows = vec![open("reset", false)];
    let judgement = case.judge(&records);
    assert_eq!(counts(&judgement), [0, 0, 2, 0, 0, 0]);
    assert!(judgement.examples[0].ends_with("recorded with another upload than it had"), "{:?}", judgement.examples);
}

#[test]
fn a_request_that_is_mixed_up_in_every_way_counts_once() {
    let mut case = case();
    let mut records = case.records();
    records[8].1.tenant = "tenant-0009".into();
    records[8].1.upload = 0;
    case.fail(8, &End::CrossTalk);
    assert_eq!(counts(&case.judge(&records)), [0, 0, 1, 0, 0, 0]);
}

#[test]
fn a_stamp_that_no_table_named_is_misrouted_unless_a_fault_lets_others_serve() {
    let mut case = case();
    let mut records = case.records();
    let other = STAMPS.iter().find(|stamp| **stamp != records[8].0).unwrap().to_string();
    records[8].0.clone_from(&other);
    // an honest answer names who ran it
    case.samples.samples[8].stamp = case.samples.stamps.index(&other);
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 1, 0, 0]);
    case.windows = vec![open("nothing", true)];
    assert_eq!(counts(&case.judge(&records)), [0; 6], "the second of its hand");
    records[8].0 = "synaxis-weu-009".into();
    case.samples.samples[8].stamp = case.samples.stamps.index("synaxis-weu-009");
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 1, 0, 0], "no stamp of the table");
}

#[test]
fn every_stamp_that_ran_a_request_is_judged_whichever_is_heard_last() {
    let mut case = case();
    case.windows = vec![open("nothing", false)];
    for first in [true, false] {
        let mut records = case.records();
        let stray = STAMPS.iter().find(|stamp| **stamp != records[7].0).unwrap().to_string();
        let again = (stray, records[7].1.clone());
        if first {
            records.insert(0, again)
        } else {
            records.push(again)
        }
        assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 1, 0, 0], "a read that a wrong stamp ran as well");
    }
}

#[test]
fn an_answer_in_the_name_of_a_stamp_that_did_not_run_it_is_cross_talk() {
    let mut case = case();
    let records = case.records();
    let other = STAMPS.iter().find(|stamp| **stamp != records[8].0).unwrap();
    case.samples.samples[8].stamp = case.samples.stamps.index(other);
    assert_eq!(counts(&case.judge(&records)), [0, 0, 1, 0, 0, 0]);
}

#[test]
fn an_error_that_no_fault_declares_is_unexplained() {
    let mut case = case();
    case.fail(9, &End::Refused { status: 503, reason: Some("no_stamp".into()) });
    let records = case.records();
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 0, 1, 0]);
    case.windows = vec![open("503 no_stamp", false)];
    assert_eq!(counts(&case.judge(&records)), [0; 6]);
    case.windows[0].from = Duration::from_secs(5);
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 0, 1, 0], "before the fault");
}

#[test]
fn a_fault_of_a_stamp_explains_errors_of_its_own_tenants_and_of_who_enters_by_it() {
    let mut case = case();
    let refused = End::Refused { status: 502, reason: Some("upstream_reset".into()) };
    (0..100).for_each(|at| case.fail(at, &refused));
    let records = case.records();
    let own = |case: &Case, stamp| (0..100).filter(|number| case.owner(number % 50) == stamp).count() as u64;
    let [first, second] = STAMPS.map(|stamp| own(&case, stamp));
    assert!(first > 0 && second > 0);
    let mut unexplained = |concern| {
        case.windows = vec![Window { concern, ..open("502 *", false) }];
        case.judge(&records).unexplained
    };
    assert_eq!(unexplained(Concern::All), 0);
    assert_eq!(unexplained(Concern::Tenants(STAMPS[0].into())), second);
    assert_eq!(unexplained(Concern::Tenants(STAMPS[1].into())), first);
    assert_eq!(unexplained(Concern::Stamp(STAMPS[0].into())), 0, "everybody enters by it");
    assert_eq!(unexplained(Concern::Stamp(STAMPS[1].into())), first, "nobody enters by it");
    assert_eq!(unexplained(Concern::Stamp("synaxis-weu-009".into())), 100);
}

#[test]
fn what_parts_two_stamps_concerns_only_who_enters_by_one_for_a_tenant_of_the_other() {
    let mut case = case();
    let refused = End::Refused { status: 502, reason: Some("upstream_reset".into()) };
    (0..100).for_each(|at| case.fail(at, &refused));
    let records = case.records();
    let [first, second] = STAMPS.map(str::to_owned);
    let own = (0..100).filter(|number| case.owner(number % 50) == first).count() as u64;
    for concern in [Concern::Between(first.clone(), second.clone()), Concern::Between(second, first)] {
        // everybody enters by the first
        case.windows = vec![Window { concern, ..open("502 *", false) }];
        assert_eq!(case.judge(&records).unexplained, own);
    }
}

#[test]
fn a_fault_of_a_tenant_or_of_writes_explains_nobody_elses_errors() {
    let mut case = case();
    let refused = End::Refused { status: 503, reason: Some("concurrency".into()) };
    (0..100).for_each(|at| case.fail(at, &refused));
    let records = case.records();
    case.windows = vec![Window { tenant: Some(7), ..open("503 concurrency", false) }];
    assert_eq!(case.judge(&records).unexplained, 98, "a tenant of fifty has two of a hundred requests");
    case.windows = vec![Window { write_errors: vec!["503 *".into()], ..open("nothing", false) }];
    assert_eq!(case.judge(&records).unexplained, 50, "every other request writes");
}

#[test]
fn a_fault_of_a_tenant_lets_nobody_elses_reads_run_again() {
    let mut case = case();
    let mut records = case.records();
    // a read of the tenant 1
    records.extend_from_within(1..2);
    for (tenant, duplicated) in [(1, 0), (2, 1)] {
        case.windows = vec![Window { tenant: Some(tenant), ..open("nothing", false) }];
        assert_eq!(case.judge(&records).duplicated, duplicated, "{tenant}");
    }
}

#[test]
fn a_stamp_that_serves_for_a_dead_one_may_fail_as_declared_and_no_other_may() {
    let mut case = case();
    case.fail(8, &End::Broken("reset"));
    let owner = case.owner(8);
    let other = STAMPS.iter().find(|stamp| **stamp != owner).unwrap().to_string();
    let records = case.records();
    let own = Window { concern: Concern::Tenants(owner), ..open("nothing", true) };
    let others = Window { concern: Concern::Tenants(other), ..open("reset", false) };
    case.windows = vec![others];
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 0, 1, 0]);
    case.windows.push(own);
    assert_eq!(counts(&case.judge(&records)), [0; 6]);
}

#[test]
fn failover_lets_others_serve_the_tenants_of_the_stamp_that_it_names_and_no_others() {
    let mut case = case();
    let mut records = case.records();
    // it enters by the other one, which is of no account
    let [other, owner] = STAMPS.map(str::to_owned);
    let at = records.iter().position(|(stamp, _)| *stamp == owner).unwrap();
    let entered = STAMPS[0].to_owned();
    records[at].0.clone_from(&other);
    case.samples.samples[at].stamp = case.samples.stamps.index(&other);
    for (concern, misrouted) in [
        (Concern::All, 0),
        (Concern::Tenants(owner.clone()), 0),
        (Concern::Stamp(owner.clone()), 0),
        (Concern::Between(owner.clone(), entered), 0),
        (Concern::Between(owner, "synaxis-weu-009".into()), 1),
        (Concern::Tenants(other.clone()), 1),
        (Concern::Stamp(other), 1),
    ] {
        let words = format!("{concern:?}");
        case.windows = vec![Window { concern, ..open("nothing", true) }];
        assert_eq!(counts(&case.judge(&records)), [0, 0, 0, misrouted, 0, 0], "{words}");
    }
}

#[test]
fn without_tables_only_a_fault_that_concerns_all_explains_anything() {
    let mut case = case();
    case.fail(9, &End::Broken("reset"));
    case.windows = vec![open("reset", false)];
    let unexplained =
        |case: &Case| Oracle::new(&case.samples, &case.workload, &case.tenants, &case.windows).judge().unexplained;
    assert_eq!(unexplained(&case), 0);
    case.windows[0].concern = Concern::Stamp(case.owner(9));
    assert_eq!(unexplained(&case), 1);
}

#[test]
fn a_record_of_a_request_that_nobody_sent_is_invented() {
    let case = case();
    let mut records = case.records();
    records.push((STAMPS[0].into(), Entry { id: 100, writes: false, upload: 0, tenant: "tenant-0000".into() }));
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn without_records_only_the_clients_end_is_judged() {
    let case = case();
    let judgement = Oracle::new(&case.samples, &case.workload, &case.tenants, &case.windows).judge();
    assert_eq!(counts(&judgement), [0; 6]);
    assert!(!judgement.both_ends);
}

fn open(errors: &str, failover: bool) -> Window {
    let failover = failover.then_some(Duration::from_secs(9));
    Window {
        what: String::new(),
        concern: Concern::All,
        from: Duration::ZERO,
        done: Duration::ZERO,
        until: None,
        errors: vec![errors.into()],
        write_errors: Vec::new(),
        tenant: None,
        failover,
        failed: None,
    }
}
