//! Whatever a sender writes about framing and about its connection, the next hop reads one framing: the body's.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// Fields that one connection must not hand to the next, and fields that look like them.
const NAMES: [&str; 25] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxyish",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "http2-settings",
    "expect",
    "host",
    "authorization",
    "cookie",
    "set-cookie",
    "content-type",
    "x-tenant-id",
    "x-synaxis-hop",
    "x-synaxis-reason",
    "x-forwarded-for",
    "x-private",
    "accept",
    "kept",
    "hop",
];

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
];

const PROTECTED: [&str; 8] = [
    "content-length",
    "transfer-encoding",
    "host",
    "authorization",
    "cookie",
    "x-tenant-id",
    "x-forwarded-for",
    "x-synaxis-",
];

fn value() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&NAMES[..]).prop_map(str::to_owned);
    let option = prop_oneof![
        6 => name,
        2 => Just("close".to_owned()),
        2 => Just("Keep-Alive".to_owned()),
        1 => Just(String::new()),
        1 => Just("no token".to_owned()),
        1 => Just("X-PRIVATE".to_owned()),
    ];
    prop_oneof![
        3 => prop::collection::vec(option, 0..4).prop_map(|options| options.join(" ,\t")),
        1 => Just("chunked".to_owned()),
        1 => Just("gzip, chunked".to_owned()),
        1 => Just("5".to_owned()),
        1 => Just("+5".to_owned()),
        1 => "[ -~]{0,20}",
    ]
}

fn head() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((prop::sample::select(&NAMES[..]), value()), 0..14).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        headers
    })
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![Just(Length::None), any::<u64>().prop_map(Length::Exact), Just(Length::Unknown)]
}

/// What the fields of one name say, in order.
fn all(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// The options of every `Connection` field, in lower case.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let fields = headers.get_all("connection").iter();
    fields
        .flat_map(|field| field.to_str().unwrap().split(','))
        .map(|option| option.trim_matches([' ', '\t']).to_ascii_lowercase())
        .filter(|option| !option.is_empty())
        .collect()
}

/// The head as it goes over the wire, read back by the parser of the next hop.
fn over_the_wire(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut bytes = b"POST / HTTP/1.1\r\n".to_vec();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(&bytes).unwrap().is_complete());
    request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_forwarded_request_has_one_framing_and_nothing_of_its_last_connection(headers in head(), length in length()) {
        let mut sent = headers.clone();
        let options = nominated(&headers);
        let forbidden = options.iter().any(|option| {
            HeaderName::from_bytes(option.as_bytes()).is_err()
                || PROTECTED.iter().any(|name| option == name || (name.ends_with('-') && option.starts_with(name)))
        });
        let outcome = egress(&mut sent, length, &TENANT);
        prop_assert_eq!(outcome.is_err(), forbidden, "{:?}", headers);
        if forbidden {
            return Ok(());
        }
        let wire = over_the_wire(&sent);
        let values = |name: &str| {
            wire.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let (lengths, codings): (Vec<Vec<u8>>, Vec<Vec<u8>>) = match length {
            Length::None => (vec![], vec![]),
            Length::Exact(bytes) => (vec![bytes.to_string().into_bytes()], vec![]),
            Length::Unknown => (vec![], vec![b"chunked".to_vec()]),
        };
        prop_assert_eq!(values("content-length"), lengths);
        prop_assert_eq!(values("transfer-encoding"), codings);
        for name in NAMES {
            let leaves = HOP_BY_HOP.contains(&name) || options.iter().any(|option| option == name);
            if leaves {
                prop_assert!(values(name).is_empty(), "{} stayed", name);
            } else if !matches!(name, "content-length" | "transfer-encoding") {
                prop_assert_eq!(all(&sent, name), all(&headers, name), "{} changed", name);
            }
        }
    }

    #[test]
    fn an_answer_brings_down_nothing_of_its_last_connection(headers in head()) {
        let mut sent = headers.clone();
        let told = answer(&mut sent);
        let options = nominated(&headers);
        prop_assert_eq!(told, headers.contains_key("content-length"));
        for name in NAMES {
            let keeps = matches!(name, "content-length" | "content-type" | "set-cookie");
            let nominated = !keeps && options.iter().any(|option| option == name);
            let internal = name.starts_with(INTERNAL) && name != "x-synaxis-reason";
            if HOP_BY_HOP.contains(&name) || name == "transfer-encoding" || nominated || internal {
                prop_assert!(!sent.contains_key(name), "{} stayed", name);
            } else if name == "x-synaxis-reason" {
                prop_assert_eq!(sent.get(name), headers.get(name));
            } else {
                prop_assert_eq!(all(&sent, name), all(&headers, name), "{} changed", name);
            }
        }
    }
}

#[test]
fn a_length_that_lies_is_replaced_by_the_bodys() {
    let mut headers = HeaderMap::new();
    headers.append("content-length", HeaderValue::from_static("999"));
    headers.append("content-length", HeaderValue::from_static("0"));
    headers.append("transfer-encoding", HeaderValue::from_static("identity"));
    egress(&mut headers, Length::Exact(5), &TENANT).unwrap();
    assert_eq!(all(&headers, "content-length"), [b"5"]);
    assert!(!headers.contains_key("transfer-encoding"));
}

#[test]
fn names_of_tenants_and_of_the_internal_fields_may_not_be_nominated_in_any_case() {
    for option in ["x-tenant-id", "X-Tenant-Id", "x-synaxis-hop", "Host", "X-AZURE-FDID", "Via"] {
        let mut headers = HeaderMap::new();
        headers.append("connection", HeaderValue::from_static("close"));
        headers.append("connection", HeaderValue::from_str(option).unwrap());
        let error = egress(&mut headers, Length::None, &TENANT).unwrap_err();
        assert!(error.to_string().contains(&option.to_ascii_lowercase()), "{error}");
    }
}

#[test]
fn a_length_is_left_alone_only_if_we_would_write_it_so() {
    let says = |fields: &[&'static str], bytes| {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("content-length", HeaderValue::from_static(field));
        }
        says_length(&headers, bytes)
    };
    assert!(says(&["0"], 0) && says(&["5"], 5) && says(&["18446744073709551615"], u64::MAX));
    for (fields, bytes) in [
        (&[][..], 0),
        (&[""], 0),
        (&["5", "5"], 5),
        (&["5, 5"], 5),
        (&["05"], 5),
        (&["00"], 0),
        (&["+5"], 5),
        (&["5 "], 5),
        (&["6"], 5),
        (&["18446744073709551616"], 0),
    ] {
        assert!(!says(fields, bytes), "{fields:?}");
    }
}

#[test]
fn what_describes_a_missing_body_is_one_number_or_nothing() {
    for (fields, kept) in [
        (&["5"][..], Some("5")),
        (&["5", "5"], Some("5")),
        (&["5", "6"], None),
        (&["5, 5"], None),
        (&["abc"], None),
        (&[""], None),
        (&[], None),
    ] {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("content-length", HeaderValue::from_static(field));
        }
        one_length(&mut headers);
        assert_eq!(headers.get("content-length").map(|value| value.to_str().unwrap()), kept, "{fields:?}");
        assert!(headers.get_all("content-length").iter().count() <= 1);
    }
}
