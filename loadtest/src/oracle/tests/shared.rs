//! Reads of shared resources, which may be answered without an origin having seen them.

use super::*;
use crate::{client::Source, workload::Shared};

/// Two reads of the one resource of each of fifty tenants: the first is asked of the app, the second comes from a cache.
fn shared() -> (Case, Vec<(String, Entry)>) {
    let mut case = case();
    let shared = Shared { share: 1.0, resources: 1, zipf: 0.0 };
    case.workload = Workload::new(Mix { reads: 1.0, shared, ..Mix::default() }, 1);
    for (at, sample) in case.samples.samples.iter_mut().enumerate() {
        sample.writes = false;
        sample.source = Some(if at < 50 { Source::App } else { Source::Memory });
    }
    let mut records = case.records();
    records.truncate(50);
    (case, records)
}

#[test]
fn a_shared_resource_needs_no_record_of_its_own_once_an_app_was_asked_for_it() {
    let (mut case, mut records) = shared();
    let judgement = case.judge(&records);
    assert_eq!(counts(&judgement), [0; 6], "{:?}", judgement.examples);
    assert_eq!((judgement.answered, judgement.recorded, judgement.executions), (100, 50, 50));
    // whatever the proxy says of who had it
    case.samples.samples[67].source = Some(Source::App);
    assert_eq!(counts(&case.judge(&records)), [0; 6]);
    let record = records.remove(17);
    assert_eq!(counts(&case.judge(&records)), [2, 0, 0, 0, 0, 0], "both reads of a resource that nobody was asked for");
    records.push(record);
    case.samples.samples[67].source = None;
    assert_eq!(counts(&case.judge(&records)), [1, 0, 0, 0, 0, 0], "one that is for no shared resource");
}

#[test]
fn a_request_for_a_shared_resource_that_ran_is_judged_as_every_other_one() {
    let (mut case, mut records) = shared();
    records.push(records[3].clone());
    assert_eq!(counts(&case.judge(&records)), [0, 1, 0, 0, 0, 0], "twice");
    records.pop();
    records[4].1.tenant = "tenant-0009".into();
    assert_eq!(counts(&case.judge(&records)), [0, 0, 1, 0, 0, 0], "in another tenant's name");
    records[4].1.tenant = "tenant-0004".into();
    case.fail(60, &End::CrossTalk);
    assert_eq!(counts(&case.judge(&records)), [0, 0, 1, 0, 0, 0], "answered with another's");
    case.fail(60, &End::Broken("reset"));
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn what_a_stamp_answered_is_given_only_while_it_owns_the_tenant() {
    let (mut case, records) = shared();
    let owner = case.owner(10);
    let other = STAMPS.iter().find(|stamp| **stamp != owner).unwrap();
    case.samples.samples[60].stamp = case.samples.stamps.index(other);
    let judgement = case.judge(&records);
    assert_eq!(counts(&judgement), [0, 0, 0, 1, 0, 0]);
    assert!(judgement.examples[0].ends_with(&format!("given what {other} had answered")), "{:?}", judgement.examples);
    case.windows = vec![open("nothing", true)];
    assert_eq!(counts(&case.judge(&records)), [0; 6], "the second of its hand");
    case.samples.samples[60].stamp = 0;
    assert_eq!(counts(&case.judge(&records)), [0, 0, 0, 1, 0, 0], "nobody's");
}
