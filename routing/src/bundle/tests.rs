//! The wire format under fire.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    endpoint::EndpointPolicy,
    fixture::{chaos, fleet, tenant},
    sanity::admit,
};

fn bundle() -> Bundle {
    static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
        let rich = |(table, tenants): &(Table, Tenants)| {
            table.takers().count() > 3 && tenants.len() > 5 && table.degradation.is_some()
        };
        let (table, tenants) = (0..).map(chaos).find(rich).unwrap();
        Bundle::encode(&table, &tenants, "write-1").unwrap()
    });
    BUNDLE.clone()
}

fn reason(bundle: &Bundle) -> &'static str {
    bundle.decode().unwrap_err().reason()
}

/// Replaces a document and makes the hashes match again.
fn with(bundle: &Bundle, table: Option<Vec<u8>>, tenants: Option<Vec<u8>>) -> Bundle {
    let mut head = Head::parse(&bundle.head).unwrap();
    let mut forged = bundle.clone();
    if let Some(tenants) = tenants {
        head.tenants_hash = sha256_hex(&tenants);
        let mut table: Value = serde_json::from_slice(&bundle.table).unwrap();
        table["tenants_hash"] = json!(head.tenants_hash);
        forged.table = serde_json::to_vec(&table).unwrap().into();
        forged.tenants = tenants.into();
    }
    if let Some(table) = table {
        forged.table = table.into();
    }
    head.table_hash = sha256_hex(&forged.table);
    forged.head = serde_json::to_vec(&head).unwrap().into();
    forged
}

#[test]
fn documents_go_there_and_back() {
    for seed in 0..20 {
        let (mut table, tenants) = chaos(seed);
        let bundle = Bundle::encode(&table, &tenants, "write-1").unwrap();
        let opened = Bundle::from_bytes(&bundle.to_bytes()).unwrap();
        assert_eq!(opened, bundle);
        let decoded = opened.decode().unwrap();
        table.tenants_hash = sha256_hex(&bundle.tenants);
        assert_eq!((decoded.table, decoded.tenants), (table, tenants));
        assert_eq!(decoded.head.write_id, "write-1");
    }
}

#[test]
fn a_document_that_the_head_does_not_name_is_refused() {
    let (a, b) = (bundle(), Bundle::encode(&fleet(&[("weu", 2)]), &Tenants::new(), "w").unwrap());
    assert_eq!(reason(&Bundle { table: b.table.clone(), ..a.clone() }), "hash_mismatch");
    assert_eq!(reason(&Bundle { tenants: b.tenants.clone(), ..a.clone() }), "hash_mismatch");
    assert_eq!(reason(&Bundle { head: b.head.clone(), ..a.clone() }), "hash_mismatch");
    // the head names both, but the table was written for other tenants
    let mut head = Head::parse(&a.head).unwrap();
    head.tenants_hash = sha256_hex(&b.tenants);
    let head = serde_json::to_vec(&head).unwrap().into();
    assert_eq!(reason(&Bundle { head, tenants: b.tenants, ..a.clone() }), "hash_mismatch");
    let mut head = Head::parse(&a.head).unwrap();
    head.epoch += 1;
    assert_eq!(reason(&Bundle { head: serde_json::to_vec(&head).unwrap().into(), ..a }), "version_mismatch");
}

#[test]
fn hostile_json_is_refused_without_a_panic() {
    let good = bundle();
    let text = String::from_utf8(good.table.to_vec()).unwrap();
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let cases = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        deep.clone(),
        text.replacen('{', "{\"surprise\":1,", 1),
        text.replacen('{', "{\"term\":1,", 1),
        text.replacen("\"ext\":{}", &format!("\"ext\":{deep}"), 1),
        text.replacen("\"slots_log2\":16", "\"slots_log2\":NaN", 1),
        text.replacen("\"slots_log2\":16", "\"slots_log2\":16.0", 1),
        text.replacen("\"slots_log2\":16", "\"slots_log2\":-1", 1),
        text.replacen("\"slots_log2\":16", "\"slots_log2\":1e999", 1),
        text.replacen("\"version\":2", "\"version\":\"2\"", 1),
        format!("{text}x"),
        format!("\u{feff}{text}"),
        text[..text.len() / 2].to_owned(),
    ];
    for case in cases {
        assert_ne!(case, text);
        let message = with(&good, Some(case.clone().into_bytes()), None).decode().unwrap_err();
        assert_eq!(message.reason(), "parse", "{}", &case[..case.len().min(80)]);
        assert!(message.to_string().len() < 1_000);
    }
    let padded = text.replacen('{', "{ \n", 1); // other bytes, same table
    assert!(with(&good, Some(padded.into_bytes()), None).decode().is_ok());
}

#[test]
fn a_tenant_that_is_listed_twice_is_refused_also_in_another_spelling() {
    let good = bundle();
    for twice in [
        r#"{"acme":{},"acme":{}}"#,
        r#"{"6F9619FF-8B86-D011-B42D-00CF4FC964FF":{},"6f9619ff-8b86-d011-b42d-00cf4fc964ff":{}}"#,
        r#"{"acme":{"tier":"a","tier":"b"}}"#,
        r#"{"a b":{}}"#,
        r#"{"acme":{"colour":"red"}}"#,
        r#"{"acme":null}"#,
        "[]",
    ] {
        assert_eq!(reason(&with(&good, None, Some(twice.into()))), "parse", "{twice}");
    }
    let decoded = with(&good, None, Some(br#"{"acme":{}}"#.to_vec())).decode().unwrap();
    assert!(decoded.tenants.contains_key(&tenant("acme")));
}

#[test]
fn a_newer_format_is_named_as_newer_whatever_its_other_keys() {
    let good = bundle();
    let mut head: Value = serde_json::from_slice(&good.head).unwrap();
    head["needs"] = json!(3);
    let check = |head: &Value, reason: &str| {
        assert_eq!(Head::parse(&serde_json::to_vec(head).unwrap()).unwrap_err().reason(), reason, "{head}");
    };
    check(&head, "needs_newer");
    head["from_the_future"] = json!({});
    check(&head, "needs_newer");
    head["needs"] = json!(1);
    check(&head, "parse");
    head.as_object_mut().unwrap().remove("from_the_future");
    head["ext"] = json!({ "from_the_future": 1 });
    assert!(Head::parse(&serde_json::to_vec(&head).unwrap()).is_ok());
}

#[test]
fn hostile_sizes_are_refused_before_anything_is_parsed() {
    let good = bundle();
    let large = |bytes| Bytes::from(vec![b' '; bytes + 1]);
    assert_eq!(reason(&Bundle { head: large(HEAD_BYTES_MAX), ..good.clone() }), "too_large");
    assert_eq!(reason(&Bundle { table: large(TABLE_BYTES_MAX), ..good.clone() }), "too_large");
    assert_eq!(reason(&Bundle { tenants: large(TENANTS_BYTES_MAX), ..good.clone() }), "too_large");
    let sealed = Bundle { head: large(HEAD_BYTES_MAX), ..good }.to_bytes();
    assert_eq!(Bundle::from_bytes(&sealed).unwrap_err().reason(), "too_large");
}

#[test]
fn a_number_in_place_of_the_seed_is_not_repeated_in_the_message() {
    let good = bundle();
    let mut table: Value = serde_json::from_slice(&good.table).unwrap();
    table["seed"] = json!(123_456_789);
    let refusal = with(&good, Some(serde_json::to_vec(&table).unwrap()), None).decode().unwrap_err();
    assert!(!refusal.to_string().contains("123456789"), "{refusal}");
    assert!(!format!("{good:?}").contains("seed"));
}

#[test]
fn a_torn_or_rotten_envelope_is_found() {
    let sealed = bundle().to_bytes();
    for end in (0..sealed.len()).step_by(7).chain([sealed.len() - 1]) {
        assert_eq!(Bundle::from_bytes(&sealed[..end]).unwrap_err().reason(), "envelope", "{end}");
    }
    for at in (0..sealed.len()).step_by(11) {
        let mut rotten = sealed.to_vec();
        rotten[at] ^= 0x10;
        assert_eq!(Bundle::from_bytes(&rotten).unwrap_err().reason(), "envelope", "{at}");
    }
    // lengths that lie under a correct checksum
    for (at, value) in [(8, u32::MAX), (12, 1), (16, 1 << 30)] {
        let mut forged = sealed[..sealed.len() - 8].to_vec();
        forged[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let checksum = xxhash_rust::xxh3::xxh3_64(&forged);
        forged.extend_from_slice(&checksum.to_le_bytes());
        let refusal = Bundle::from_bytes(&forged).unwrap_err();
        assert!(matches!(refusal.reason(), "envelope" | "too_large"), "{refusal}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_never_a_bundle(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Bundle::from_bytes(&bytes).is_err());
        let wild: Bytes = bytes.into();
        let bundle = Bundle { head: wild.clone(), table: wild.clone(), tenants: wild };
        prop_assert!(admit(&bundle, None, &EndpointPolicy::default()).is_err());
    }

    #[test]
    fn a_mutation_of_one_byte_is_never_admitted(document in 0usize..3, at: prop::sample::Index, value: u8) {
        let good = bundle();
        let mut documents = [good.head.to_vec(), good.table.to_vec(), good.tenants.to_vec()];
        let place = at.index(documents[document].len());
        prop_assume!(documents[document][place] != value);
        documents[document][place] = value;
        let [head, table, tenants] = documents.map(Bytes::from);
        let verdict = admit(&Bundle { head, table, tenants }, None, &EndpointPolicy::default());
        // the name of a publication decides nothing; everything else is covered by a hash or the digest
        if let Ok(placement) = verdict {
            prop_assert_eq!(document, 0);
            prop_assert_eq!(placement.digest().to_string(), Head::parse(&good.head).unwrap().digest);
        }
    }

    #[test]
    fn a_mutated_table_with_matching_hashes_never_panics_and_keeps_its_promises(
        pointer: prop::sample::Index, value in values(),
    ) {
        let good = bundle();
        let mut table: Value = serde_json::from_slice(&good.table).unwrap();
        let mut pointers = Vec::new();
        collect(&table, String::new(), &mut pointers);
        *table.pointer_mut(&pointers[pointer.index(pointers.len())]).unwrap() = value;
        let forged = with(&good, Some(serde_json::to_vec(&table).unwrap()), None);
        // the digest stays the publisher's: what is admitted decides as the publisher did
        if let Ok(placement) = admit(&forged, None, &EndpointPolicy::default()) {
            prop_assert_eq!(placement.digest().to_string(), Head::parse(&good.head).unwrap().digest);
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..2_000).prop_map(Value::from),
        "[a-z0-9:/.-]{0,20}".prop_map(Value::from),
        Just(json!("active")),
        Just(json!("http://169.254.169.254:80")),
        Just(json!([])),
        Just(json!({})),
    ]
}

fn collect(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| collect(inner, format!("{at}/{key}"), into)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, inner)| collect(inner, format!("{at}/{n}"), into)),
        _ => {}
    }
    into.push(at);
}
