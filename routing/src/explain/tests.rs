//! Promises of explanations.

use super::*;
use crate::{
    fixture::{ENTRY, START, build, chaos, fleet, id, pinned, plain, ramp, sample, tenant},
    table::Tenants,
};

#[test]
fn an_explanation_tells_what_the_data_plane_does() {
    for seed in 0..40 {
        let (table, tenants) = chaos(seed);
        let placement = build(&table, &tenants);
        for tenant in sample(&tenants, 40) {
            let explanation = explain(&placement, &tenant, ENTRY, START);
            let owner = placement.owner(&tenant, ENTRY, START).map(|index| placement.stamp(index).id.clone());
            assert_eq!(explanation.choice, owner, "seed {seed}");
            assert_eq!(explanation.hand.is_empty(), explanation.refusal.is_some());
            assert!(explanation.why.contains(tenant.as_str()));
            if let Some(owner) = owner {
                assert!(explanation.why.contains(&format!("{owner} serves it")), "{}", explanation.why);
            }
            for candidate in explanation.hand.iter().filter(|candidate| candidate.role != "pin") {
                let ranks = explanation.regions.iter().flat_map(|region| &region.ranks);
                let shown = ranks.filter(|rank| rank.stamp == candidate.stamp && rank.rank <= 8);
                assert!(shown.clone().all(|rank| rank.holds == Some(candidate.holds)), "seed {seed}: {explanation}");
            }
        }
    }
}

#[test]
fn the_story_names_the_pin_the_drain_and_the_next_ones() {
    let mut table = fleet(&[("weu", 4)]);
    table.stamps[1].state = State::Draining;
    table.stamps[1].ramp = ramp(1_000, 0, START);
    let tenants: Tenants = [
        (tenant("strict"), pinned(&id("weu", 3), PinMode::Strict)),
        (tenant("left"), pinned(&id("weu", 2), PinMode::Preferred)),
    ]
    .into();
    let placement = build(&table, &tenants);
    let why = |name: &str, now| explain(&placement, &tenant(name), ENTRY, now).why;
    assert!(
        why("strict", START).contains("synaxis-weu-003 serves it: it is strictly pinned to it. If it cannot: nobody.")
    );
    assert!(why("left", START).contains("synaxis-weu-002 serves it: it is pinned to it."));
    let later = why("left", START + 300_000);
    assert!(later.contains("Its pin synaxis-weu-002 has released it."), "{later}");
    let text = explain(&placement, &tenant("acme"), ENTRY, START + 150_000).to_string();
    assert!(text.contains("region weu (4 stamps take slots)") && text.contains("share 50.0 %"), "{text}");
    assert!(text.contains("share 50.0 %, on its way to 0 % for 150 s more"), "{text}");
}

#[test]
fn every_step_has_its_words() {
    let mut table = fleet(&[("weu", 2), ("eus", 2), ("sea", 2)]);
    table.stamps[0].ramp = ramp(0, 1_000, START);
    let at_home = crate::table::Tenant { home: Some(table.regions[2].clone()), ..Default::default() };
    let bound = crate::table::Tenant { regions: Some(table.regions[1..].to_vec()), ..Default::default() };
    let tenants: Tenants = [(tenant("home"), at_home), (tenant("bound"), bound)].into();
    let placement = build(&table, &tenants);
    let order = |name: &str, entry| -> Vec<(String, &'static str)> {
        let explanation = explain(&placement, &tenant(name), RegionIndex(entry), START);
        explanation.regions.iter().map(|region| (region.region.as_ref().unwrap().to_string(), region.why)).collect()
    };
    let named = |expected: [(&str, &'static str); 3]| expected.map(|(region, why)| (region.to_owned(), why)).to_vec();
    let (here, next) = ("the request arrives there", "next in the table's order");
    assert_eq!(order("acme", 1), named([("eus", here), ("weu", next), ("sea", next)]));
    assert_eq!(order("home", 1), named([("sea", "the tenant's home"), ("weu", next), ("eus", next)]));
    let own = "next of the tenant's own regions";
    assert_eq!(order("bound", 0)[..], [("eus".to_owned(), own), ("sea".to_owned(), own)]);
    let text = explain(&placement, &tenant("bound"), ENTRY, START).to_string();
    for expected in [
        "asked for a request that arrives in weu, at table 1.1",
        "may be served in eus, sea only",
        "candidates, in order of choice\n  1. synaxis-eus-00",
        "choice: synaxis-eus-00",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json = serde_json::to_value(explain(&placement, &tenant("acme"), ENTRY, START + 100_000)).unwrap();
    let ranks = json["regions"][0]["ranks"].as_array().unwrap();
    let coming = ranks.iter().find(|rank| rank["stamp"] == "synaxis-weu-001").unwrap();
    assert_eq!(coming["ramp"], serde_json::json!({ "to": 1_000, "ends_at": START + 300_000 }));
    table.scope = Scope::Fleet;
    let worldwide = explain(&plain(&table), &tenant("acme"), ENTRY, START);
    assert!(worldwide.to_string().contains("fleet (6 stamps take slots): under scope fleet"), "{worldwide}");
}

#[test]
fn an_explanation_of_nobody_says_what_to_do_and_serialises() {
    let explanation = explain(&plain(&fleet(&[])), &tenant("acme"), ENTRY, START);
    assert!(explanation.why.ends_with("nobody serves it: no stamp takes slots: activate one."), "{}", explanation.why);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["refusal"], "no_stamp");
    assert_eq!(json["epoch"], "1.1");
}

#[test]
fn the_seed_is_not_in_an_explanation() {
    let placement = plain(&fleet(&[("weu", 2)]));
    let explanation = explain(&placement, &tenant("acme"), ENTRY, START);
    let json = serde_json::to_string(&explanation).unwrap();
    assert!(!json.contains("5eed5eed") && !explanation.to_string().contains("5eed5eed"));
}
