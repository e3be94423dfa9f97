//! Whatever bytes stand in the fields: nothing panics, and freshness that has gone does not come back.

use proptest::{
    collection::vec,
    num::{u16, u64},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    sample::select,
    strategy::{Just, Strategy},
};

use super::{super::*, *};

/// Every field that is read anywhere here.
const NAMES: [&str; 28] = [
    "accept",
    "accept-encoding",
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "pragma",
    "range",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "vary",
    "x",
];

/// What values are made of, beside any bytes: the pieces of those that mean something.
const PIECES: [&str; 40] = [
    "max-age",
    "s-maxage",
    "no-cache",
    "no-store",
    "private",
    "public",
    "must-revalidate",
    "must-understand",
    "stale-while-revalidate",
    "stale-if-error",
    "max-stale",
    "min-fresh",
    "only-if-cached",
    "=",
    "=\"",
    "\"",
    "\\",
    "\\\"",
    ",",
    ", ",
    ";",
    " ",
    "\t",
    "0",
    "1",
    "60",
    "-1",
    "2147483648",
    "99999999999999999999",
    "*",
    "W/",
    "\"a\"",
    "bytes=",
    "-",
    "x",
    "vary",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Wednesday, 01-Jan-70 00:00:00 GMT",
    "http://a/",
    "//",
];

fn value() -> impl Strategy<Value = HeaderValue> {
    let piece = prop_oneof![
        9 => select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(proptest::num::u8::ANY, 0..12),
        1 => Just(day(60).into_bytes()),
        1 => Just(day(-60).into_bytes()),
        1 => Just(day(0).into_bytes()),
    ];
    vec(piece, 0..9).prop_filter_map("no field can hold it", |pieces| HeaderValue::from_bytes(&pieces.concat()).ok())
}

fn message() -> impl Strategy<Value = HeaderMap> {
    vec((select(NAMES.to_vec()), value()), 0..14).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    })
}

fn class() -> impl Strategy<Value = Policy> {
    (proptest::bool::ANY, proptest::bool::ANY, proptest::bool::ANY, proptest::option::of(0_u32..99), 0_u32..99)
        .prop_map(|(heuristic, obey_requests, per_user, default_lifetime, stale)| Policy {
            default_lifetime,
            heuristic,
            obey_requests,
            stale_while_revalidate: stale,
            stale_if_error: stale / 2 * 3,
            authorization: if per_user { Authorization::PerUser } else { Authorization::Rfc },
            ..PLAIN
        })
}

/// What may be asked of a stored answer; without fields that forbid to store it.
fn stored() -> impl Strategy<Value = (Terms, Policy)> {
    let directive = prop_oneof![
        (0_u32..200).prop_map(|n| format!("max-age={n}")),
        (0_u32..200).prop_map(|n| format!("stale-while-revalidate={n}")),
        (0_u32..200).prop_map(|n| format!("stale-if-error={n}")),
        Just("must-revalidate".to_owned()),
    ];
    (vec(directive, 0..4), 0_u32..100, class()).prop_map(|(directives, age, class)| {
        let lines = format!("etag: \"v\"\nage: {age}\ncache-control: {}", directives.join(", "));
        (terms(&get(""), 200, &lines, &class).unwrap(), class)
    })
}

fn rank(told: Use) -> u8 {
    match told {
        Use::Fresh { .. } => 0,
        Use::Stale { .. } => 1,
        Use::WhileRevalidating { .. } => 2,
        Use::IfError { .. } => 3,
        Use::Validate => 4,
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        request in message(),
        answer in message(),
        other in message(),
        class in class(),
        status in 100_u16..1000,
        (asked, received, now) in (u64::ANY, u64::ANY, u64::ANY),
        thousandths in u16::ANY,
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let times = Times { asked, received };
        if let Ok(ask) = Ask::of(&Method::GET, &request, &class)
            && let Ok(terms) = Terms::of(&ask, times, status, &answer, &class)
        {
            let changed = terms.ending(now).stale_from(asked).shortened(thousandths);
            for terms in [terms, changed] {
                let _ = (terms.judge(&ask, now), terms.age(now), terms.left(now), terms.kept_until());
                prop_assert_eq!(Terms::decode(&terms.encode()), Some(terms));
            }
            prop_assert!(!answer.contains_key("set-cookie"));
        }
        let mut kept = answer.clone();
        keep(&mut kept, received, &class);
        prop_assert!(date::field(&kept, &http::header::DATE).at().is_some());
        let again = kept.clone();
        keep(&mut kept, received, &class);
        prop_assert_eq!(&kept, &again, "kept twice is kept once");
        let mut values = Vec::new();
        if let Vary::Names(names) = Vary::of(&answer) {
            write_values(&names, &request, &mut values);
            prop_assert_eq!(Names::read(&names.to_string()), Some(names));
        }
        let _ = (reply::conditional(&request, status, &answer, received), range::of(&request, &answer, now));
        let _ = (revalidate::verdict(&answer, &other), revalidate::head(&answer, now, status, &other));
        let _ = invalidate::others("https", "a.example", "/b", &answer);
        let mut asked_again = request;
        revalidate::ask(&answer, &mut asked_again);
        revalidate::merge(&mut kept, &other, received);
    }

    #[test]
    fn a_part_lies_within_the_answer(request in value(), length in 0_u64..100) {
        let headers = HeaderMap::from_iter([(http::header::RANGE, request)]);
        if let range::Range::Part { from, to } = range::of(&headers, &HeaderMap::new(), length) {
            prop_assert!(from <= to && to < length);
        }
    }

    #[test]
    fn what_has_become_stale_stays_so((terms, class) in stored(), request in message(), steps in vec(0_u64..50_000, 1..20)) {
        let Ok(ask) = Ask::of(&Method::GET, &request, &class) else { return Ok(()) };
        let (mut now, mut worst) = (NOW, 0);
        for step in steps {
            now += step;
            let told = rank(terms.judge(&ask, now));
            prop_assert!(told >= worst, "{told} after {worst} at {now}");
            worst = told;
        }
    }

    #[test]
    fn neither_a_purge_nor_an_end_nor_chance_makes_it_fresher(
        (terms, class) in stored(),
        (at, now) in (0_u64..400_000, 0_u64..400_000),
        thousandths in u16::ANY,
    ) {
        let ask = Ask::of(&Method::GET, &HeaderMap::new(), &class).unwrap();
        let now = NOW + now;
        let before = rank(terms.judge(&ask, now));
        for changed in [terms.ending(NOW + at), terms.stale_from(NOW + at), terms.shortened(thousandths)] {
            let fresh = |told: u8| told == 0;
            prop_assert!(fresh(before) || !fresh(rank(changed.judge(&ask, now))));
            prop_assert!(changed.kept_until() <= terms.kept_until());
        }
    }

    #[test]
    fn nobody_gets_it_unasked_when_its_time_is_over((terms, _) in stored(), request in message(), later in u64::ANY) {
        let class = PLAIN;
        let Ok(ask) = Ask::of(&Method::GET, &request, &class) else { return Ok(()) };
        let now = terms.kept_until().saturating_add(later);
        prop_assert_eq!(terms.judge(&ask, now), Use::Validate);
    }

    #[test]
    fn other_values_never_write_the_same(one in message(), other in message()) {
        let names = Names::read("accept,accept-encoding,cache-control,x").unwrap();
        let written = |headers: &HeaderMap| {
            let mut into = Vec::new();
            write_values(&names, headers, &mut into);
            into
        };
        let same = names.iter().all(|name| one.get_all(name).iter().eq(other.get_all(name).iter()));
        prop_assert!(!same || written(&one) == written(&other));
        // the plain field differs in its bytes or in nothing
        let plain = |headers: &HeaderMap| {
            let lines: Vec<&[u8]> = headers.get_all("x").iter().map(|line| line.as_bytes().trim_ascii()).collect();
            (headers.contains_key("x"), lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b','))
        };
        if written(&one) == written(&other) {
            prop_assert_eq!(plain(&one), plain(&other));
        }
    }
}
