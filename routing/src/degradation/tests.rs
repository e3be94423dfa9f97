//! When an override holds, which one counts, and what no table may carry.

use serde_json::{Value, json};

use super::*;
use crate::{
    bundle::{Bundle, Head},
    endpoint::EndpointPolicy,
    fixture::{START, build, fleet, id},
    sanity::admit,
    table::{FORMAT, State, Table, Tenants},
};

const HOUR: Millis = 3_600_000;

fn hand(level: Level, since: Millis, lasts: Millis) -> Override {
    Override { level, since, until: since + lasts, reason: "the database moves".to_owned() }
}

/// Two stamps; the fleet read-only for an hour, the second stamp under maintenance for half an hour.
fn degraded() -> Table {
    let mut table = fleet(&[("weu", 2)]);
    let stamps = [(id("weu", 2), hand(Level::Maintenance, START, HOUR / 2))].into();
    table.degradation = Some(Degradation { fleet: Some(hand(Level::ReadOnly, START, HOUR)), stamps });
    table
}

#[test]
fn the_higher_of_fleet_and_stamp_holds_until_each_ends() {
    let table = degraded();
    let level = |stamp, now| table.degradation_of(&id("weu", stamp), now).map(|it| it.level);
    for (stamp, now, expected) in [
        (1, START, Some(Level::ReadOnly)),
        (2, START, Some(Level::Maintenance)),
        (2, START + HOUR / 2 - 1, Some(Level::Maintenance)),
        (2, START + HOUR / 2, Some(Level::ReadOnly)),
        (1, START + HOUR - 1, Some(Level::ReadOnly)),
        (1, START + HOUR, None),
        (2, Millis::MAX, None),
    ] {
        assert_eq!(level(stamp, now), expected, "weu-{stamp:03} after {} ms", now - START);
    }
    assert_eq!(table.degradation_of_fleet(START).map(|it| it.level), Some(Level::ReadOnly));
    assert_eq!(fleet(&[("weu", 2)]).degradation_of(&id("weu", 1), START), None);
}

#[test]
fn an_override_of_the_stamp_does_not_lower_the_fleets_and_equal_ones_are_the_fleets() {
    for (own, expected) in [(Level::Full, "fleet"), (Level::ReadOnly, "fleet"), (Level::Maintenance, "stamp")] {
        let mut fleet = hand(Level::ReadOnly, START, HOUR);
        fleet.reason = "fleet".to_owned();
        let own = Override { reason: "stamp".to_owned(), ..hand(own, START, HOUR) };
        let both = Degradation { fleet: Some(fleet), stamps: [(id("weu", 1), own)].into() };
        assert_eq!(both.of(&id("weu", 1), START).unwrap().reason, expected);
    }
}

#[test]
fn an_override_holds_for_a_day_and_a_moment_at_most_whatever_its_instants_say() {
    let early = hand(Level::Maintenance, START, HOUR);
    assert!(early.is_in_force(START - EDGE), "clocks differ a little");
    assert!(!early.is_in_force(START - EDGE - 1));
    for since in [0, START, Millis::MAX - LASTS_MAX] {
        let longest = hand(Level::Maintenance, since, LASTS_MAX);
        assert_eq!(longest.check(), Ok(()));
        assert!(!longest.is_in_force(since + LASTS_MAX));
        let first = since.saturating_sub(EDGE);
        assert!(longest.is_in_force(first) && (first == 0 || !longest.is_in_force(first - 1)));
    }
}

#[test]
fn levels_are_read_by_number_and_by_name_and_nothing_else_is() {
    for (number, level) in (0u8..).zip(LEVELS) {
        assert_eq!(number.to_string().parse(), Ok(level));
        assert_eq!(level.as_str().parse(), Ok(level));
        assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
        assert_eq!(serde_json::to_value(level).unwrap(), number);
    }
    for bad in ["", "5", "-1", "00", "4 ", "\u{664}", "maintenanc", "read_only", "ai-degraded\n", "0x1"] {
        assert_eq!(bad.parse::<Level>(), Err(InvalidLevel), "{bad:?}");
    }
}

#[test]
fn the_wire_form_is_fixed() {
    let table = degraded();
    assert_eq!(
        serde_json::to_value(&table).unwrap()["degradation"],
        json!({
            "fleet": { "level": 3, "since": START, "until": START + HOUR, "reason": "the database moves" },
            "stamps": { "synaxis-weu-002":
                { "level": 4, "since": START, "until": START + HOUR / 2, "reason": "the database moves" } },
        })
    );
    assert_eq!(
        table.degradation.unwrap().to_string(),
        "fleet read-only until 2026-01-10T00:06:40Z (the database moves), \
         synaxis-weu-002 maintenance until 2026-01-09T23:36:40Z (the database moves)"
    );
}

#[test]
fn an_override_needs_a_reader_that_knows_it_and_a_table_without_one_does_not() {
    let needs = |table: &Table| {
        let bundle = Bundle::encode(table, &Tenants::new(), "w").unwrap();
        Head::parse(&bundle.head).unwrap().needs
    };
    assert_eq!(FORMAT, 2);
    assert_eq!(needs(&degraded()), 2);
    let plain = Table { degradation: None, version: 1, ..degraded() };
    assert_eq!((plain.needs(), needs(&plain)), (1, 1));
    // a reader of format 1 would leave the override out: so nobody takes it
    let unsaid = Table { version: 1, ..degraded() };
    assert_eq!(Bundle::encode(&unsaid, &Tenants::new(), "w").unwrap_err().reason(), "degradation_invalid");
}

#[test]
fn the_digest_covers_what_is_decided_by_an_override_and_is_without_one_what_it_was() {
    let digest = |change: fn(&mut Degradation)| {
        let mut table = degraded();
        change(table.degradation.as_mut().unwrap());
        build(&table, &Tenants::new()).digest()
    };
    let same = digest(|_| {});
    assert_eq!(digest(|it| it.fleet.as_mut().unwrap().reason = "another".to_owned()), same, "a reason decides nothing");
    let changes: [fn(&mut Degradation); 6] = [
        |it| it.fleet = None,
        |it| it.stamps.clear(),
        |it| it.fleet.as_mut().unwrap().level = Level::Maintenance,
        |it| it.fleet.as_mut().unwrap().until += 1,
        |it| it.fleet.as_mut().unwrap().since += 1,
        |it| {
            let own = it.stamps.pop_first().unwrap().1;
            it.stamps.insert(id("weu", 1), own);
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert_ne!(digest(change), same, "change {at}");
    }
    let plain = build(&fleet(&[("weu", 2)]), &Tenants::new()).digest();
    assert_ne!(plain, same);
    assert_eq!((plain.to_string().as_str(), same.to_string().as_str()), GOLDEN_DIGESTS);
}

/// Of two stamps without and with overrides.
const GOLDEN_DIGESTS: (&str, &str) = ("727d2ee1c8140e4b", "280a86a6fd200540");

fn forged(degradation: &str) -> Bundle {
    let good = Bundle::encode(&degraded(), &Tenants::new(), "w").unwrap();
    let mut table: Value = serde_json::from_slice(&good.table).unwrap();
    table["degradation"] = json!("HERE");
    // as text: a document that repeats a key cannot be a value
    let table = serde_json::to_string(&table).unwrap().replace("\"HERE\"", degradation);
    let mut head = Head::parse(&good.head).unwrap();
    head.table_hash = crate::bundle::sha256_hex(table.as_bytes());
    Bundle { head: serde_json::to_vec(&head).unwrap().into(), table: table.into(), ..good }
}

#[test]
fn hostile_overrides_are_refused_by_name() {
    let at = START;
    let day = START + LASTS_MAX;
    let own = |inner: &str| format!(r#"{{"stamps":{{{inner}}}}}"#);
    let sound = format!(r#"{{"level":4,"since":{at},"until":{day}}}"#);
    let cases = [
        ("parse", "4".to_owned()),
        ("parse", "[1]".to_owned()),
        ("parse", r#"{"fleets":null}"#.to_owned()),
        ("parse", format!(r#"{{"fleet":{{"level":5,"since":{at},"until":{day}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":-1,"since":{at},"until":{day}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":260,"since":{at},"until":{day}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":"maintenance","since":{at},"until":{day}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":4,"since":{at}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":4,"since":{at},"until":null}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":4,"since":{at},"until":1e300}}}}"#)),
        ("parse", format!(r#"{{"fleet":{{"level":4,"level":0,"since":{at},"until":{day}}}}}"#)),
        ("parse", format!(r#"{{"fleet":{sound},"fleet":null}}"#)),
        ("parse", own(&format!(r#""synaxis-weu-001":{sound},"synaxis-weu-001":{sound}"#))),
        ("parse", own(&format!(r#""weu-001\n":{sound}"#))),
        ("degradation_invalid", own(&format!(r#""synaxis-weu-077":{sound}"#))),
        ("degradation_invalid", format!(r#"{{"fleet":{{"level":4,"since":{at},"until":{}}}}}"#, day + 1)),
        ("degradation_invalid", format!(r#"{{"fleet":{{"level":4,"since":{at},"until":{at}}}}}"#)),
        ("degradation_invalid", format!(r#"{{"fleet":{{"level":4,"since":{day},"until":{at}}}}}"#)),
        ("degradation_invalid", format!(r#"{{"fleet":{{"level":4,"since":0,"until":{}}}}}"#, u64::MAX)),
        (
            "degradation_invalid",
            format!(r#"{{"fleet":{{"level":4,"since":{at},"until":{day},"reason":"{}"}}}}"#, "x".repeat(201)),
        ),
        (
            "degradation_invalid",
            format!(r#"{{"fleet":{{"level":4,"since":{at},"until":{day},"reason":"\u001b[2J"}}}}"#),
        ),
        // what is sound in itself, but not what the publisher decided
        ("digest_mismatch", format!(r#"{{"fleet":{sound}}}"#)),
        ("digest_mismatch", "{}".to_owned()),
        ("digest_mismatch", "null".to_owned()),
    ];
    for (reason, degradation) in cases {
        let refusal = admit(&forged(&degradation), None, &EndpointPolicy::default()).unwrap_err();
        assert_eq!(refusal.reason(), reason, "{degradation}: {refusal}");
        let said = refusal.to_string();
        assert!(said.len() < 600 && !said.contains(['\n', '\u{1b}']), "{said:?}");
    }
    let longest = "\u{e9}".repeat(REASON_BYTES_MAX / 2);
    let mut table = degraded();
    table.degradation.as_mut().unwrap().fleet.as_mut().unwrap().reason = longest;
    assert!(Bundle::encode(&table, &Tenants::new(), "w").is_ok());
    table.stamps[1].state = State::Deleted;
    assert_eq!(Bundle::encode(&table, &Tenants::new(), "w").unwrap_err().reason(), "degradation_invalid");
}
