//! What is refused, and that nothing else is.

use super::*;
use crate::{
    fixture::{build, chaos, fleet, id, pinned, ramp, region, stamp, tenant},
    limits::{LIMIT_QUOTAS_MAX, TenantLimits},
    table::{PinMode, Tenant},
};

fn policy() -> EndpointPolicy {
    EndpointPolicy::default()
}

fn healthy() -> (Table, Tenants) {
    let mut table = fleet(&[("weu", 6), ("eus", 4)]);
    (table.term, table.epoch) = (3, 100);
    table.previous.takers = 10;
    let strict = Tenant { regions: Some(vec![region("weu")]), ..pinned(&id("weu", 2), PinMode::Strict) };
    (table, [(tenant("acme"), strict)].into())
}

fn limits(document: &str) -> TenantLimits {
    serde_json::from_str(document).unwrap()
}

fn current() -> Current {
    let (mut table, tenants) = healthy();
    table.epoch = 99;
    let placement = build(&table, &tenants);
    Current { version: placement.version(), digest: placement.digest(), had_taker: true }
}

/// Writes documents that a careful writer would not: correct hashes, no check of the content.
fn forge(table: &Table, tenants: &Tenants, digest: &str) -> Bundle {
    let mut table = table.clone();
    let tenants = serde_json::to_vec(tenants).unwrap();
    table.tenants_hash = crate::bundle::sha256_hex(&tenants);
    let bytes = serde_json::to_vec(&table).unwrap();
    let head = Head {
        needs: 1,
        term: table.term,
        epoch: table.epoch,
        table_hash: crate::bundle::sha256_hex(&bytes),
        tenants_hash: table.tenants_hash,
        digest: digest.to_owned(),
        write_id: "w".to_owned(),
        ext: serde_json::Map::new(),
    };
    Bundle { head: serde_json::to_vec(&head).unwrap().into(), table: bytes.into(), tenants: tenants.into() }
}

#[test]
fn a_newer_table_of_the_same_fleet_is_admitted() {
    let (table, tenants) = healthy();
    let bundle = Bundle::encode(&table, &tenants, "w1").unwrap();
    let placement = admit(&bundle, Some(&current()), &policy()).unwrap();
    assert_eq!(placement.version(), Version::new(3, 100));
    assert_eq!(placement.tenants(), &tenants);
    assert!(admit(&bundle, None, &policy()).is_ok(), "also by a proxy that holds nothing");
}

#[test]
fn the_tenants_are_reused_only_when_their_bytes_are_the_same() {
    let (mut table, mut tenants) = healthy();
    let first = Bundle::encode(&table, &tenants, "w1").unwrap();
    let applied = admit(&first, None, &policy()).unwrap();
    let now = Current { version: applied.version(), digest: applied.digest(), had_taker: true };
    table.epoch += 1;
    let same = Bundle::encode(&table, &tenants, "w2").unwrap();
    let second = admit_beside(&same, Some(&now), &policy(), Some((&first, &applied))).unwrap();
    assert!(Arc::ptr_eq(&second.tenants_shared(), &applied.tenants_shared()));
    tenants.insert(tenant("beta"), pinned(&id("eus", 1), PinMode::Preferred));
    let other = Bundle::encode(&table, &tenants, "w3").unwrap();
    let third = admit_beside(&other, Some(&now), &policy(), Some((&first, &applied))).unwrap();
    assert_eq!(third.tenants(), &tenants);
}

#[test]
fn only_a_greater_version_is_admitted_and_a_second_opinion_on_the_same_one_is_a_conflict() {
    let (table, tenants) = healthy();
    let bundle = Bundle::encode(&table, &tenants, "w1").unwrap();
    let digest = build(&table, &tenants).digest();
    let check = |term, epoch, digest, expected: Option<&str>| {
        let current = Current { version: Version::new(term, epoch), digest, had_taker: true };
        let got = admit(&bundle, Some(&current), &policy()).err();
        assert_eq!(got.as_ref().map(Refusal::reason), expected, "{term}.{epoch}");
    };
    check(3, 99, Digest(1), None);
    check(2, 500, Digest(1), None);
    check(3, 100, digest, Some("stale"));
    check(3, 101, digest, Some("stale"));
    check(4, 1, digest, Some("stale"));
    check(3, 100, Digest(1), Some("digest_conflict"));
}

#[test]
fn what_a_table_must_not_be_is_refused_by_reader_and_writer() {
    type Change = fn(&mut Table, &mut Tenants);
    let cases: [(&str, Change); 24] = [
        ("needs_newer", |t, _| t.version = 3),
        ("parse", |t, _| t.version = 0),
        ("algorithm_unknown", |t, _| t.algorithm = "hrw-md5".to_owned()),
        ("slots_unknown", |t, _| t.slots_log2 = 17),
        ("slots_unknown", |t, _| t.slots_log2 = 255),
        ("too_many", |t, _| t.regions = (0..65).map(|n| region(&format!("r{n:02}"))).collect()),
        ("too_many", |t, _| t.stamps = (0..1_001).map(|n| stamp("weu", n, State::Deleted)).collect()),
        ("region_duplicate", |t, _| t.regions.push(region("weu"))),
        ("region_unknown", |t, _| t.stamps[0].region = region("mars")),
        ("region_unknown", |_, l| l.get_mut(&tenant("acme")).unwrap().regions = Some(vec![region("mars")])),
        ("region_unknown", |_, l| {
            drop(l.insert(tenant("x"), Tenant { home: Some(region("mars")), ..Tenant::default() }))
        }),
        ("stamp_id_duplicate", |t, _| t.stamps[1].id = t.stamps[0].id.clone()),
        ("stamp_id_retired", |t, _| t.retired.push(id("weu", 3))),
        ("placement_key_shared", |t, _| t.stamps[..3].iter_mut().for_each(|s| s.placement_key = id("weu", 1))),
        ("weight_invalid", |t, _| t.stamps[0].weight = 1_001),
        ("ramp_invalid", |t, _| t.stamps[0].ramp = ramp(1_001, 0, 0)),
        ("ramp_invalid", |t, _| t.stamps[0].ramp = ramp(0, 1_001, 0)),
        ("ramp_invalid", |t, _| {
            t.stamps[0].ramp = ramp(0, 1_000, 0).map(|r| crate::table::Ramp { seconds: 7 * 86_400 + 1, ..r });
        }),
        ("endpoint_forbidden", |t, _| t.stamps[0].endpoint = "https://weu-001.stamp.internal:8443/x".to_owned()),
        ("endpoint_forbidden", |t, _| t.stamps[0].endpoint = String::new()),
        ("pin_unknown", |_, l| drop(l.insert(tenant("x"), pinned(&id("weu", 77), PinMode::Preferred)))),
        ("pin_unknown", |t, _| t.stamps[1].state = State::Deleted),
        ("pin_outside_regions", |_, l| l.get_mut(&tenant("acme")).unwrap().pin = Some(id("eus", 1))),
        ("tenant_regions", |_, l| l.get_mut(&tenant("acme")).unwrap().home = Some(region("eus"))),
    ];
    for (at, (reason, change)) in cases.into_iter().enumerate() {
        let (mut table, mut tenants) = healthy();
        change(&mut table, &mut tenants);
        let read = admit(&forge(&table, &tenants, "0000000000000000"), Some(&current()), &policy()).unwrap_err();
        assert_eq!(read.reason(), reason, "case {at}: {read}");
        assert_eq!(Bundle::encode(&table, &tenants, "w").unwrap_err().reason(), reason, "case {at}");
        assert!(!read.to_string().contains("5eed5eed"), "the seed is secret");
    }
    for regions in [vec![], vec![region("weu"), region("weu")]] {
        let (table, mut tenants) = healthy();
        tenants.insert(tenant("x"), Tenant { regions: Some(regions), ..Tenant::default() });
        assert_eq!(Bundle::encode(&table, &tenants, "w").unwrap_err().reason(), "tenant_regions");
    }
}

#[test]
fn quotas_of_tenants_that_cannot_be_followed_are_refused_by_reader_and_writer_and_named() {
    let refused = |document: &str| {
        let (table, mut tenants) = healthy();
        tenants.get_mut(&tenant("acme")).unwrap().limits = limits(document);
        let written = Bundle::encode(&table, &tenants, "w").unwrap_err();
        let read = admit(&forge(&table, &tenants, "0"), Some(&current()), &policy()).unwrap_err();
        assert_eq!((&written, written.reason()), (&read, "tenant_limits"), "{document}");
        read.to_string()
    };
    assert_eq!(
        refused(r#"{"ok":"5/s","per-user":"5/s,burst=6"}"#),
        "the limits of tenant acme cannot be followed: \"per-user\": the burst of this quota is 1 to 5: what may come at once \
         is part of what may come in a window"
    );
    for document in [r#"{"per-user":5}"#, r#"{"Per User":"5/s"}"#, r#"{"per-user":"1e400/s"}"#] {
        assert!(refused(document).contains("tenant acme"), "{document}");
    }
    let many: Vec<String> = (0..17).map(|at| format!("\"a{at}\":\"5/s\"")).collect();
    assert!(refused(&format!("{{{}}}", many.join(","))).contains("there are 17; at most 16"));
}

#[test]
fn a_table_has_so_many_different_quotas_of_tenants_and_no_more() {
    let (table, mut tenants) = healthy();
    let give = |tenants: &mut Tenants, name: usize, requests: usize| {
        let entry = tenants.entry(tenant(&format!("t{name}"))).or_default();
        entry.limits = limits(&format!("{{\"per-user\":\"{requests}/s\"}}"));
    };
    let said = |tenants: &Tenants| Bundle::encode(&table, tenants, "w").err().map(|refusal| refusal.reason());
    (1..=LIMIT_QUOTAS_MAX).for_each(|at| give(&mut tenants, at, at));
    // the same quota is one, whoever has it
    give(&mut tenants, 0, 1);
    assert_eq!(said(&tenants), None);
    give(&mut tenants, 0, LIMIT_QUOTAS_MAX + 1);
    assert_eq!(said(&tenants), Some("too_many"));
}

#[test]
fn tombstones_and_unborn_stamps_need_no_endpoint_and_a_replaced_key_may_be_shared() {
    let (mut table, tenants) = healthy();
    table.stamps.push(stamp("weu", 50, State::Deleted));
    table.stamps.push(stamp("weu", 51, State::Creating));
    table.stamps.push(stamp("weu", 52, State::Deleted));
    for stamp in &mut table.stamps[10..] {
        stamp.endpoint = String::new();
        stamp.placement_key = id("weu", 1);
    }
    table.stamps[10].endpoint = "http://169.254.169.254".to_owned(); // never dialled
    assert!(admit(&Bundle::encode(&table, &tenants, "w").unwrap(), None, &policy()).is_ok());
}

#[test]
fn an_endpoint_that_the_policy_does_not_allow_is_refused() {
    for endpoint in ["https://169.254.169.254:8443", "https://evil.example:8443", "http://127.0.0.1:8443"] {
        let (mut table, tenants) = healthy();
        table.stamps[3].endpoint = endpoint.to_owned();
        let bundle = Bundle::encode(&table, &tenants, "w").unwrap();
        assert_eq!(admit(&bundle, None, &policy()).unwrap_err().reason(), "endpoint_forbidden", "{endpoint}");
    }
}

#[test]
fn a_table_may_lose_a_third_of_its_stamps_at_most_unless_somebody_gave_a_reason() {
    for (previous, least) in
        [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (6, 5), (7, 5), (10, 7), (100, 70), (u32::MAX, 3_006_477_107)]
    {
        assert_eq!(takers_min(previous), least, "{previous}");
    }
    let check = |previous: u32, gone: usize, forced: Option<&str>, expected: Option<&str>| {
        let (mut table, tenants) = healthy();
        table.previous.takers = previous;
        table.forced = forced.map(str::to_owned);
        table.stamps[..].iter_mut().rev().take(gone).for_each(|stamp| stamp.state = State::Ready);
        let bundle = Bundle::encode(&table, &tenants, "w").unwrap();
        let got = admit(&bundle, Some(&current()), &policy()).err();
        assert_eq!(got.as_ref().map(Refusal::reason), expected, "{previous} {gone} {forced:?}");
    };
    check(10, 3, None, None);
    check(10, 4, None, Some("shrink"));
    check(10, 4, Some(" "), Some("shrink"));
    check(10, 4, Some("region lost"), None);
    check(10, 9, Some("region lost"), None);
    check(0, 9, None, None); // the yardstick is what the table says stood before it
}

#[test]
fn a_table_without_stamps_after_one_with_stamps_needs_a_new_term() {
    let check = |term: u64, previous: u32, had_taker: bool, expected: Option<&str>| {
        let (mut table, tenants) = healthy();
        table.term = term;
        table.previous.takers = previous;
        table.forced = Some("maintenance".to_owned());
        table.stamps.iter_mut().for_each(|stamp| stamp.state = State::Ready);
        let bundle = Bundle::encode(&table, &tenants, "w").unwrap();
        let got = admit(&bundle, Some(&Current { had_taker, ..current() }), &policy()).err();
        assert_eq!(got.as_ref().map(Refusal::reason), expected, "term {term} previous {previous}");
        if term == 3 {
            let fresh = admit(&bundle, None, &policy()).err();
            assert_eq!(fresh.is_some(), previous > 0, "a proxy that starts asks its peers instead");
        }
    };
    check(3, 10, true, Some("no_takers"));
    check(3, 0, true, Some("no_takers"));
    check(3, 0, false, None); // a new fleet
    check(4, 10, true, None);
}

#[test]
fn another_decision_than_the_publishers_is_refused() {
    let (table, tenants) = healthy();
    let refusal = admit(&forge(&table, &tenants, "0000000000000000"), None, &policy()).unwrap_err();
    assert_eq!(refusal.reason(), "digest_mismatch");
}

#[test]
fn the_digest_depends_on_every_decision_and_on_nothing_else() {
    let (table, tenants) = healthy();
    let digest = |change: &dyn Fn(&mut Table, &mut Tenants)| {
        let (mut table, mut tenants) = (table.clone(), tenants.clone());
        change(&mut table, &mut tenants);
        build(&table, &tenants).digest()
    };
    let calm = digest(&|_, _| {});
    type Change = fn(&mut Table, &mut Tenants);
    let same: [Change; 5] = [
        |t, _| (t.term, t.epoch) = (9, 9),
        |t, _| t.stamps.reverse(),
        |t, _| t.stamps[0].since = 5,
        |_, l| drop(l.insert(tenant("tier"), Tenant { tier: Some("starter".to_owned()), ..Tenant::default() })),
        |_, l| l.get_mut(&tenant("acme")).unwrap().limits = limits(r#"{"per-user":"5/s"}"#),
    ];
    for (at, change) in same.iter().enumerate() {
        assert_eq!(digest(change), calm, "{at}");
    }
    let other: [Change; 12] = [
        |t, _| t.seed = crate::table::Seed(7),
        |t, _| t.scope = crate::table::Scope::Fleet,
        |t, _| t.regions.reverse(),
        |t, _| t.stamps[0].weight = 99,
        |t, _| t.stamps[0].state = State::Draining,
        |t, _| t.stamps[0].dedicated = true,
        |t, _| t.stamps[0].ramp = ramp(0, 1_000, 5),
        |t, _| t.stamps[0].endpoint = "https://weu-009.stamp.internal:8443".to_owned(),
        |t, _| t.stamps[1].placement_key = id("weu", 1),
        |_, l| l.get_mut(&tenant("acme")).unwrap().pin_mode = Some(PinMode::Preferred),
        |_, l| l.get_mut(&tenant("acme")).unwrap().regions = None,
        |_, l| l.clear(),
    ];
    let mut seen = vec![calm];
    for (at, change) in other.iter().enumerate() {
        let digest = digest(change);
        assert!(!seen.contains(&digest), "{at}");
        seen.push(digest);
    }
    assert_eq!(calm.to_string().parse(), Ok(calm));
    assert!("0123".parse::<Digest>().is_err() && "000000000000000G".parse::<Digest>().is_err());
}

#[test]
fn whatever_a_writer_encodes_a_reader_admits() {
    for seed in 0..20 {
        let (table, tenants) = chaos(seed);
        let bundle = Bundle::encode(&table, &tenants, "w").unwrap();
        let placement = admit(&bundle, None, &policy()).unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}"));
        assert_eq!(placement.digest(), build(&table, &tenants).digest());
    }
}
