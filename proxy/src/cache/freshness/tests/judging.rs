//! What may be done with a stored answer, and when.

use super::{super::*, *};

/// The judgement `after` seconds behind [`NOW`], in one word with its numbers.
fn judged(request: &str, answer: &str, policy: &Policy, after: u64) -> String {
    let terms = terms(&get(""), 200, &format!("etag: \"v\"\n{answer}"), policy).unwrap();
    word(terms.judge(&get(request), NOW + after * 1000))
}

fn word(told: Use) -> String {
    match told {
        Use::Fresh { age, left } => format!("fresh {age} {left}"),
        Use::Stale { age, past } => format!("stale {age} {past}"),
        Use::WhileRevalidating { age, past } => format!("while {age} {past}"),
        Use::IfError { age, past } => format!("error {age} {past}"),
        Use::Validate => "validate".to_owned(),
    }
}

#[test]
fn an_answer_is_fresh_until_its_age_reaches_its_lifetime() {
    let check = |answer: &str, after: u64, expected: &str| {
        assert_eq!(judged("", answer, &PLAIN, after), expected, "{answer} after {after}");
    };
    check("cache-control: max-age=60", 0, "fresh 0 60");
    check("cache-control: max-age=60", 59, "fresh 59 1");
    check("cache-control: max-age=60", 60, "validate");
    check("cache-control: max-age=60\nage: 20", 0, "fresh 20 40");
    check("cache-control: max-age=60\nage: 20", 39, "fresh 59 1");
    check("cache-control: max-age=60\nage: 20", 40, "validate");
    check("cache-control: max-age=60\ndate: @-20", 0, "fresh 20 40");
    check("cache-control: max-age=60\ndate: @-20\nage: 30", 0, "fresh 30 30");
    check("cache-control: max-age=60\ndate: @-30\nage: 20", 0, "fresh 30 30");
    check("cache-control: max-age=60\ndate: @20", 0, "fresh 0 60");
    check("cache-control: no-cache, max-age=60", 0, "validate");
    check("", 0, "validate");
}

#[test]
fn the_age_field_is_read_as_it_should_be() {
    let check = |lines: &str, expected: u32| {
        let terms = terms(&get(""), 200, &format!("etag: \"v\"\n{lines}"), &PLAIN).unwrap();
        assert_eq!(terms.age(NOW), expected, "{lines}");
    };
    check("age: 7", 7);
    check("age: 7, 9", 7);
    check("age: 7\nage: 9", 7);
    check("age: x, 9", 0);
    check("age: x\nage: 9", 0);
    check("age: -7", 0);
    check("age: 7.5", 0);
    check("age: \"7\"", 0);
    check("age:", 0);
    check("age: 007", 7);
    check("age: 2147483648", SECONDS_MAX);
    check("age: 4294967296", SECONDS_MAX);
    check("age: 99999999999999999999999", SECONDS_MAX);
    check("age: 2147483647", 2_147_483_647);
    check("date: Thu, 01 Jan 1970 00:00:00 GMT", 1_784_000_000);
    check("date: @5", 0);
    check("date: yesterday", 0);
}

#[test]
fn the_time_on_the_way_is_age() {
    let answered = |asked: u64, received: u64, answer: &str| {
        let times = Times { asked, received };
        Terms::of(&get(""), times, StatusCode::OK, &fields(answer), &PLAIN).unwrap()
    };
    let answer = "cache-control: max-age=60\nage: 10\ndate: @-1";
    let slow = answered(NOW - 5000, NOW, answer);
    assert_eq!(word(slow.judge(&get(""), NOW)), "fresh 15 45");
    assert_eq!(word(slow.judge(&get(""), NOW + 45_000)), "validate");
    // the origin's second is no age, and clocks that disagree make none
    let quick = answered(NOW + 1, NOW + 999, "cache-control: max-age=60\ndate: @0");
    assert_eq!(quick.age(NOW + 999), 0);
    let backwards = answered(NOW + 5000, NOW, answer);
    assert_eq!(backwards.age(NOW), 10);
    assert_eq!(backwards.age(NOW - 60_000), 10);
}

#[test]
fn a_request_may_want_it_fresher() {
    let check = |request: &str, after: u64, expected: &str| {
        let request = format!("cache-control: {request}");
        assert_eq!(judged(&request, "cache-control: max-age=60", &PLAIN, after), expected, "{request} after {after}");
    };
    check("no-cache", 0, "validate");
    check("max-age=0", 0, "validate");
    check("max-age=10", 9, "fresh 9 51");
    check("max-age=10", 10, "validate");
    check("max-age=100", 59, "fresh 59 1");
    check("max-age=100", 60, "validate");
    check("min-fresh=10", 50, "fresh 50 10");
    check("min-fresh=10", 51, "validate");
    check("min-fresh=0", 59, "fresh 59 1");
    check("min-fresh=60", 0, "fresh 0 60");
    check("min-fresh=61", 0, "validate");
    check("max-age=10, min-fresh=55", 6, "validate");
    check("no-store", 5, "fresh 5 55");
    check("only-if-cached", 5, "fresh 5 55");
}

#[test]
fn a_request_may_take_it_stale() {
    let check = |request: &str, answer: &str, after: u64, expected: &str| {
        let (request, answer) = (format!("cache-control: {request}"), format!("cache-control: {answer}"));
        assert_eq!(judged(&request, &answer, &PLAIN, after), expected, "{request} | {answer} after {after}");
    };
    check("max-stale", "max-age=60", 5000, "stale 5000 4940");
    check("max-stale=10", "max-age=60", 70, "stale 70 10");
    check("max-stale=10", "max-age=60", 71, "validate");
    check("max-stale=0", "max-age=60", 61, "validate");
    check("max-stale", "max-age=60", 5, "fresh 5 55");
    check("max-stale, max-age=100", "max-age=60", 99, "stale 99 39");
    check("max-stale, max-age=100", "max-age=60", 100, "validate");
    check("max-stale, min-fresh=1", "max-age=60", 61, "validate");
    check("max-stale, no-cache", "max-age=60", 61, "validate");
    for strict in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        check("max-stale", &format!("max-age=60, {strict}"), 61, "validate");
    }
}

#[test]
fn an_origin_may_let_it_go_out_stale() {
    let check = |answer: &str, after: u64, expected: &str| {
        let answer = format!("cache-control: {answer}");
        assert_eq!(judged("", &answer, &PLAIN, after), expected, "{answer} after {after}");
    };
    check("max-age=60, stale-while-revalidate=10", 59, "fresh 59 1");
    check("max-age=60, stale-while-revalidate=10", 60, "while 60 0");
    check("max-age=60, stale-while-revalidate=10", 69, "while 69 9");
    check("max-age=60, stale-while-revalidate=10", 70, "validate");
    check("max-age=60, stale-if-error=10", 69, "error 69 9");
    check("max-age=60, stale-if-error=10", 70, "validate");
    check("max-age=60, stale-while-revalidate=10, stale-if-error=20", 69, "while 69 9");
    check("max-age=60, stale-while-revalidate=10, stale-if-error=20", 79, "error 79 19");
    check("max-age=60, stale-while-revalidate=10, stale-if-error=20", 80, "validate");
    check("max-age=0, stale-while-revalidate=10", 5, "while 5 5");
    check("max-age=60, stale-while-revalidate=x", 61, "validate");
    check("max-age=60, stale-while-revalidate", 61, "validate");
    check("max-age=60, stale-while-revalidate=5, stale-while-revalidate=9", 61, "validate");
    for strict in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        let answer = format!("max-age=60, stale-while-revalidate=10, stale-if-error=10, {strict}");
        check(&answer, 61, "validate");
    }
}

#[test]
fn a_request_that_wants_it_fresher_gets_nothing_stale() {
    let check = |request: &str, after: u64, expected: &str| {
        let answer = "cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=20";
        assert_eq!(judged(request, answer, &PLAIN, after), expected, "{request} after {after}");
    };
    check("cache-control: no-cache", 65, "validate");
    // but rather that than an error
    check("cache-control: max-age=0", 65, "error 65 5");
    check("cache-control: min-fresh=1", 65, "error 65 5");
    check("cache-control: max-age=5", 30, "error 30 0");
    check("cache-control: max-age=5", 80, "validate");
    check("cache-control: stale-if-error=1000", 1000, "error 1000 940");
    check("cache-control: stale-if-error=900", 1000, "validate");
}

#[test]
fn a_class_gives_stale_windows_to_what_has_been_fresh() {
    let with = Policy { stale_while_revalidate: 10, stale_if_error: 20, ..PLAIN };
    let check = |answer: &str, after: u64, expected: &str| {
        assert_eq!(judged("", answer, &with, after), expected, "{answer} after {after}");
    };
    check("cache-control: max-age=60", 65, "while 65 5");
    check("cache-control: max-age=60", 75, "error 75 15");
    check("cache-control: max-age=60", 80, "validate");
    check("cache-control: max-age=60, stale-while-revalidate=0", 65, "error 65 5");
    check("cache-control: max-age=60, stale-if-error=0", 75, "validate");
    check("cache-control: max-age=60, must-revalidate", 65, "validate");
    check("cache-control: max-age=0", 1, "validate");
    check("cache-control: max-age=x", 1, "validate");
    check("", 1, "validate");
    let bounded = Policy { stale_max: 5, ..with };
    let answer = "cache-control: max-age=60, stale-while-revalidate=1000, stale-if-error=1000";
    assert_eq!(judged("", answer, &bounded, 64), "while 64 4");
    assert_eq!(judged("", answer, &bounded, 65), "validate");
}

#[test]
fn an_entry_has_an_end() {
    let policy = Policy { lifetime_max: 100, stale_max: 50, ..PLAIN };
    let of = |answer: &str| terms(&get(""), 200, answer, &policy).unwrap();
    let any_time = get("cache-control: max-stale");
    let known = of("cache-control: max-age=60\netag: \"v\"");
    assert_eq!(known.kept_until(), NOW + 150_000);
    assert_eq!(word(known.judge(&any_time, NOW + 149_000)), "stale 149 89");
    assert_eq!(word(known.judge(&any_time, NOW + 150_000)), "validate");
    // without a validator it is of no use when nobody may get it
    assert_eq!(of("cache-control: max-age=60").kept_until(), NOW + 60_000);
    assert_eq!(of("cache-control: max-age=60, stale-if-error=20").kept_until(), NOW + 80_000);
    assert_eq!(of("cache-control: max-age=60, stale-if-error=20, must-revalidate").kept_until(), NOW + 60_000);

    let short = known.ending(NOW + 30_000);
    assert_eq!(short.kept_until(), NOW + 30_000);
    assert_eq!(word(short.judge(&get(""), NOW + 29_000)), "fresh 29 31");
    assert_eq!(word(short.judge(&any_time, NOW + 30_000)), "validate");
    assert_eq!(short.ending(NOW + 90_000), short);
}

#[test]
fn a_soft_purge_moves_the_windows_forward() {
    let answer = "cache-control: max-age=60, stale-while-revalidate=10, stale-if-error=20";
    let soft = terms(&get(""), 200, answer, &PLAIN).unwrap().stale_from(NOW + 30_000);
    let check = |after: u64, expected: &str| assert_eq!(word(soft.judge(&get(""), NOW + after * 1000)), expected);
    check(29, "fresh 29 1");
    check(30, "while 30 0");
    check(39, "while 39 9");
    check(40, "error 40 10");
    check(50, "validate");
    // what was stale before stays as stale
    assert_eq!(soft.stale_from(NOW + 50_000), soft);
    let strict = terms(&get(""), 200, "cache-control: s-maxage=60", &PLAIN).unwrap().stale_from(NOW);
    assert_eq!(word(strict.judge(&get("cache-control: max-stale"), NOW)), "validate");
}

#[test]
fn shortening_never_prolongs() {
    let terms = terms(&get(""), 200, "cache-control: max-age=60, stale-if-error=10\nage: 10", &PLAIN).unwrap();
    let left = |thousandths: u16| terms.shortened(thousandths).left(NOW);
    assert_eq!([0, 100, 500, 1000, 1001, u16::MAX].map(left), [50, 45, 25, 0, 0, 0]);
    assert_eq!(word(terms.shortened(1000).judge(&get(""), NOW + 9_999)), "error 19 9");
    assert_eq!(word(terms.shortened(1000).judge(&get(""), NOW + 10_000)), "validate");
    // a window that there is not does not open
    let terms = self::terms(&get(""), 200, "cache-control: max-age=60", &PLAIN).unwrap();
    assert_eq!(word(terms.shortened(100).judge(&get(""), NOW + 54_001)), "validate");
}

#[test]
fn what_another_process_has_written_lasts_no_longer_than_the_settings_here_let_it() {
    let answer = "etag: \"v\"\ncache-control: max-age=600, stale-while-revalidate=600";
    let theirs = terms(&get(""), 200, answer, &Policy { lifetime_max: 600, stale_max: 600, ..PLAIN }).unwrap();
    let ours = Policy { lifetime_max: 60, stale_max: 30, ..PLAIN };
    let bounded = theirs.bounded(&ours, NOW).unwrap();
    let check = |at: u64, expected: &str| assert_eq!(word(bounded.judge(&get(""), NOW + at * 1_000)), expected, "{at}");
    check(59, "fresh 59 1");
    check(60, "while 60 0");
    check(89, "while 89 29");
    check(90, "validate");
    assert_eq!(bounded.kept_until(), NOW + 90_000);
    assert_eq!(theirs.bounded(&Policy { lifetime_max: 600, stale_max: 600, ..PLAIN }, NOW), Some(theirs));
    // by so much clocks may differ, and no more
    assert!(theirs.bounded(&ours, NOW - 1_000).is_some() && theirs.bounded(&ours, NOW - 1_001).is_none());
    let worst = Terms::decode(&[[0xff; Terms::BYTES - 1].as_slice(), &[0]].concat().try_into().unwrap()).unwrap();
    assert_eq!(worst.bounded(&ours, NOW), None);
}

#[test]
fn terms_come_back_from_their_bytes() {
    for answer in ["", "cache-control: max-age=60, s-maxage=5", "cache-control: no-cache, stale-if-error=7\nage: 9"] {
        let terms = terms(&get(""), 200, &format!("etag: \"v\"\n{answer}"), &PLAIN).unwrap().ending(NOW + 77);
        assert_eq!(Terms::decode(&terms.encode()), Some(terms));
    }
    let mut bytes = [0; Terms::BYTES];
    bytes[Terms::BYTES - 1] = 8;
    assert_eq!(Terms::decode(&bytes), None);
    // whatever stands in a poisoned store, it can be judged
    for fill in [0, 1, 0x7f, 0xff] {
        let mut bytes = [fill; Terms::BYTES];
        bytes[Terms::BYTES - 1] = 0;
        let terms = Terms::decode(&bytes).unwrap();
        for now in [0, NOW, u64::MAX] {
            let _ =
                (terms.judge(&get("cache-control: max-stale=1"), now), terms.stale_from(now).shortened(100).left(now));
        }
    }
}
