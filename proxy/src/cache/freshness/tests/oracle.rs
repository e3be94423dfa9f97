//! The same questions to another implementation, `http-cache-semantics`. It follows RFC 7234 and is simpler in places;
//! what is not asked here, because one of the two follows another text, is listed where messages are made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};
use proptest::{
    option, prop_assert, prop_assert_eq, proptest,
    sample::select,
    strategy::{Just, Strategy},
};

use super::{super::*, *};

const CLASS: Policy = Policy { heuristic: true, lifetime_max: SECONDS_MAX, stale_max: SECONDS_MAX, ..PLAIN };

/// Fields of an answer, and its status.
///
/// Not among them, with the section that we follow:
/// - statuses that only the other does not store: whatever is final and said to be fresh may be (RFC 9111 §3);
/// - `private` and `no-cache` with fields (§5.2.2.4, §5.2.2.7) and `must-understand` (§5.2.2.3), which it does not know;
/// - `proxy-revalidate`, which is for it never fresh (§5.2.2.8: never stale);
/// - `immutable`, which it takes for a day (RFC 8246 §2 says nothing of the kind);
/// - `Pragma` in an answer, which has no meaning (§5.4);
/// - `Set-Cookie` and `Vary: *`, which it stores as stale and we do not store;
/// - directives in capitals, with commas in quotes, without their argument, twice, or too large, which it does not read
///   (§5.2, §4.2.1, §1.2.2).
fn answer() -> impl Strategy<Value = (u16, String)> {
    let status =
        select(vec![200_u16, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 404, 405, 410, 414, 501, 101, 103]);
    let flags = ["public", "private", "no-store", "no-cache", "must-revalidate", "unknown=\"x\""];
    let flags = flags.map(|flag| option::weighted(0.15, Just(flag.to_owned())));
    let seconds = |name: &'static str| option::of((0_u32..200).prop_map(move |seconds| format!("{name}={seconds}")));
    let written = (flags, seconds("max-age"), option::weighted(0.2, seconds("s-maxage")));
    let directives = written.prop_map(|(flags, max_age, s_maxage)| {
        let all: Vec<_> = flags.into_iter().flatten().chain(max_age).chain(s_maxage.flatten()).collect();
        if all.is_empty() { String::new() } else { format!("cache-control: {}\n", all.join(", ")) }
    });
    let expires = option::weighted(0.3, -100_i64..300);
    let modified = option::weighted(0.3, -5000_i64..0);
    let dates = (option::of(0_i64..100), option::of(0_i64..100));
    (status, directives, expires, modified, dates).prop_map(|(status, directives, expires, modified, (sent, age))| {
        // it does not count the age that `Date` shows (§4.2.3), so that `Age` shows no less
        let age = age.max(sent.filter(|sent| *sent > 0));
        let line =
            |name: &str, value: Option<String>| value.map_or(String::new(), |value| format!("{name}: {value}\n"));
        let lines = [
            line("expires", expires.map(day)),
            line("last-modified", modified.map(day)),
            line("date", sent.map(|sent| day(-sent))),
            line("age", age.map(|age| age.to_string())),
        ];
        // with a tag: what serves nobody is not stored here
        (status, format!("etag: \"v\"\n{directives}{}", lines.concat()))
    })
}

/// Fields of a request. Not among them: `Pragma` beside `Cache-Control`, which it obeys (RFC 9111 §5.4 does not), and
/// `min-fresh=0` together with `max-stale`, which asks for two things.
fn request() -> impl Strategy<Value = String> {
    let seconds = |name: &'static str| option::weighted(0.3, (1_u32..200).prop_map(move |n| format!("{name}={n}")));
    let flag = |name: &'static str| option::weighted(0.1, Just(name.to_owned()));
    let all = (
        flag("no-cache"),
        flag("no-store"),
        seconds("max-age"),
        seconds("min-fresh"),
        seconds("max-stale"),
        flag("max-stale"),
    );
    let directives = all.prop_map(|(no_cache, no_store, max_age, min_fresh, max_stale, any_stale)| {
        let stale = max_stale.or(any_stale);
        let all: Vec<_> = [no_cache, no_store, max_age, min_fresh, stale].into_iter().flatten().collect();
        if all.is_empty() { String::new() } else { format!("cache-control: {}\n", all.join(", ")) }
    });
    (directives, option::weighted(0.2, Just("authorization: x\n")))
        .prop_map(|(directives, authorization)| format!("{directives}{}", authorization.unwrap_or_default()))
}

fn at(now: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(now)
}

fn request_of(lines: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = fields(lines);
    request
}

fn theirs(request: &str, status: u16, lines: &str) -> CachePolicy {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = fields(lines);
    CachePolicy::new_options(&request_of(request), &response, at(NOW), CacheOptions::default())
}

proptest! {
    #[test]
    fn both_store_the_same((status, answer) in answer(), request in request()) {
        let ours = terms(&get(&request), status, &answer, &CLASS);
        prop_assert_eq!(ours.is_ok(), theirs(&request, status, &answer).is_storable(), "{:?}", ours);
    }

    #[test]
    fn both_count_the_same((status, answer) in answer(), after in 0_u64..300_000) {
        let Ok(ours) = terms(&get(""), status, &answer, &CLASS) else { return Ok(()) };
        let theirs = theirs("", status, &answer);
        let now = NOW + after;
        prop_assert_eq!(u64::from(ours.age(now)), theirs.age(at(now)).as_secs());
        // to it an answer with no-cache is never fresh; here it has a lifetime that is not used
        if !answer.contains("no-cache") {
            prop_assert_eq!(ours.left(now).max(0).cast_unsigned(), theirs.time_to_live(at(now)).as_secs());
            prop_assert_eq!(matches!(ours.judge(&get(""), now), Use::Fresh { .. }), !theirs.is_stale(at(now)));
        }
    }

    #[test]
    fn both_answer_the_same((status, answer) in answer(), request in request(), after in 0_u64..300) {
        let Ok(ours) = terms(&get(""), status, &answer, &CLASS) else { return Ok(()) };
        // nothing is just at its limit
        let now = NOW + after * 1000 + 500;
        let asked = get(&request);
        // to it s-maxage and no-cache forbid no stale answer (RFC 9111 §4.2.4)
        if asked.max_stale.is_some() && (answer.contains("s-maxage") || answer.contains("no-cache")) {
            return Ok(());
        }
        let unasked = matches!(ours.judge(&asked, now), Use::Fresh { .. } | Use::Stale { .. });
        let before = theirs("", status, &answer).before_request(&request_of(&request), at(now));
        prop_assert_eq!(unasked, before.satisfies_without_revalidation(), "{:?}", ours.judge(&asked, now));
    }

    #[test]
    fn both_ask_the_origin_the_same(tag in option::of("(W/)?\"[a-z]{0,3}\""), modified in option::of(-500_i64..0)) {
        let lines = [tag.map(|tag| format!("etag: {tag}\n")), modified.map(|at| format!("last-modified: {}\n", day(at)))];
        let answer = format!("cache-control: max-age=0\n{}", lines.into_iter().flatten().collect::<String>());
        let mut ours = HeaderMap::new();
        let any = revalidate::ask(&fields(&answer), &mut ours);
        let BeforeRequest::Stale { request, .. } = theirs("", 200, &answer).before_request(&request_of(""), at(NOW)) else {
            panic!("fresh")
        };
        prop_assert_eq!(any, !request.headers.is_empty());
        prop_assert_eq!(ours, request.headers);
    }

    /// Not asked, by RFC 9111 §4.3.4: a strong tag in the 304 and the same as a weak one in the store, which it takes for
    /// the same; no validator in the 304 (see [`revalidate::verdict`]); a date where the store has a tag as well.
    #[test]
    fn both_know_their_304(old in "(W/)?\"[ab]\"", new in "(W/)?\"[ab]\"") {
        let (stored, answer) = (format!("cache-control: max-age=0\netag: {old}"), format!("etag: {new}"));
        if old.starts_with('W') && !new.starts_with('W') {
            return Ok(());
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = fields(&answer);
        let after = theirs("", 200, &stored).after_response(&request_of(""), &response, at(NOW));
        let ours = revalidate::verdict(&fields(&stored), &fields(&answer)) == revalidate::Verdict::Holds;
        prop_assert!(ours == matches!(after, http_cache_semantics::AfterResponse::NotModified(..)));
    }
}
