//! The rules as tables: a message, and what follows from it. What is the same everywhere stands here.

mod hostile;
mod invalidating;
mod judging;
mod oracle;
mod replying;
mod requests;
mod storing;
mod telling;
mod validating;
mod varying;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{Ask, Authorization, Millis, Policy, Terms, Times, Unstorable, date};

/// A time in July of 2026, on a whole second.
const NOW: Millis = 1_784_000_000_000;

/// A class that adds nothing.
const PLAIN: Policy = Policy {
    default_lifetime: None,
    lifetime_max: 1_000_000,
    heuristic: false,
    stale_while_revalidate: 0,
    stale_if_error: 0,
    stale_max: 1_000_000,
    obey_requests: true,
    authorization: Authorization::Rfc,
};

const PER_USER: Policy = Policy { authorization: Authorization::PerUser, ..PLAIN };

/// Fields from lines of `name: value`. `@-60` in a value is the date 60 seconds before [`NOW`].
fn fields(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = dated(value.trim());
        headers.append(name.trim().parse::<HeaderName>().unwrap(), HeaderValue::from_str(&value).unwrap());
    }
    headers
}

fn dated(value: &str) -> String {
    let Some((before, after)) = value.split_once('@') else { return value.to_owned() };
    let end = after.find(|c: char| !c.is_ascii_digit() && c != '-' && c != '+').unwrap_or(after.len());
    // an `@` of another kind
    if end == 0 {
        return format!("{before}@{}", dated(after));
    }
    format!("{before}{}{}", day(after[..end].parse().unwrap()), dated(&after[end..]))
}

/// The date `offset` seconds from [`NOW`].
fn day(offset: i64) -> String {
    date::write(NOW.saturating_add_signed(offset * 1000)).to_str().unwrap().to_owned()
}

fn get(lines: &str) -> Ask {
    Ask::of(&Method::GET, &fields(lines), &PLAIN).unwrap()
}

/// The terms of an answer that took no time.
fn terms(ask: &Ask, status: u16, lines: &str, policy: &Policy) -> Result<Terms, Unstorable> {
    let times = Times { asked: NOW, received: NOW };
    Terms::of(ask, times, StatusCode::from_u16(status).unwrap(), &fields(lines), policy)
}
