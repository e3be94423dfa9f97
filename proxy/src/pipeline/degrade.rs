//! What a level of degradation takes away from one request.
//!
//! Invariant: the level that counts is that of the stamp that serves. Whoever sends a request on refuses nothing by its own,
//! except in maintenance of the whole fleet, when nobody serves.

use http::{HeaderMap, HeaderValue, Method, Response, header::ACCEPT};
use synaxis_config::settings::{Degradation, Route, RouteClass};
use synaxis_routing::degradation::Level;

use super::{
    Answer,
    local_reply::{LocalReply, Maintenance},
    peer,
};
use crate::{
    dataplane::{
        DataPlane,
        degradation::{Published, Standing},
    },
    telemetry::record::Record,
    upstream::head::Head,
};

/// Where a request comes in, whoever will serve it.
///
/// # Errors
/// `maintenance` of the whole fleet.
pub fn check_fleet(
    plane: &DataPlane,
    settings: &Degradation,
    headers: &HeaderMap,
    record: &mut Record,
) -> Result<(), LocalReply> {
    let Standing { level, fleet_wide } = plane.degradation.now();
    if level < Level::Maintenance || !fleet_wide {
        return Ok(());
    }
    record.degradation = Some(level);
    Err(maintenance(plane, settings, true, headers))
}

/// Where a request would be handed to the app.
///
/// # Errors
/// `ai_degraded`, `read_only`, `maintenance`. Of these only `maintenance` of this stamp alone leaves the request to others:
/// [`Shape::unprocessed`](super::local_reply::Shape::unprocessed).
pub fn check(
    plane: &DataPlane,
    settings: &Degradation,
    route: &Route,
    head: &Head,
    record: &mut Record,
) -> Result<(), LocalReply> {
    let standing = plane.degradation.now();
    record.degradation = Some(standing.level);
    match taken_away(standing.level, route.class, &head.method) {
        None => Ok(()),
        Some(Level::AiDegraded) => Err(LocalReply::AiDegraded(seconds(settings))),
        Some(Level::ReadOnly) => Err(LocalReply::ReadOnly(seconds(settings))),
        Some(_) => Err(maintenance(plane, settings, standing.fleet_wide, &head.headers)),
    }
}

/// The lowest level that refuses such a request, if this one does.
fn taken_away(level: Level, class: RouteClass, method: &Method) -> Option<Level> {
    // RFC 9110 §9.2.1, without TRACE, which is never served
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match level {
        Level::Full => None,
        Level::Maintenance => Some(Level::Maintenance),
        _ if class == RouteClass::Ai => Some(Level::AiDegraded),
        Level::ReadOnly if !safe => Some(Level::ReadOnly),
        _ => None,
    }
}

/// The answer of a stamp in maintenance, for this client.
#[must_use]
pub fn maintenance(plane: &DataPlane, settings: &Degradation, fleet_wide: bool, headers: &HeaderMap) -> LocalReply {
    let page = wants_page(headers).then(|| Published::page(&plane.degradation));
    LocalReply::Maintenance(Maintenance { retry_after: seconds(settings), fleet_wide, page })
}

/// Whether another stamp answers that it is in maintenance.
#[must_use]
pub fn is_maintenance<B>(answer: &Response<B>) -> bool {
    answer.headers().get(peer::REASON).is_some_and(|reason| reason.as_bytes() == b"maintenance")
}

fn seconds(settings: &Degradation) -> u32 {
    u32::try_from(settings.retry_after.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// Whether a client asks for HTML by name, as browsers do and programs do not (RFC 9110 §12.5.1).
fn wants_page(headers: &HeaderMap) -> bool {
    let ranges =
        headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
    ranges.into_iter().any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        html && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// What `x-synaxis-degradation` says: the level of whoever has served or refused, here or at another stamp.
#[must_use]
pub fn told(settings: &Degradation, outcome: &Result<Answer, LocalReply>, record: &Record) -> Option<HeaderValue> {
    match (record.degradation, outcome) {
        (Some(level), _) => settings.header.then(|| HeaderValue::from_static(level.as_str())),
        // nothing was decided here, so this is another stamp's answer
        (None, Ok(Answer::Upstream(answer))) => answer.headers().get(peer::DEGRADATION).cloned(),
        (None, Ok(Answer::Switched(switched))) => switched.answer.headers().get(peer::DEGRADATION).cloned(),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use synaxis_routing::degradation::LEVELS;

    use super::*;

    #[test]
    fn each_level_takes_away_what_those_below_it_do_and_something_more() {
        use RouteClass::{Ai, Core};
        let refused = |class, method| LEVELS.map(|level| taken_away(level, class, &method).map_or(0, u8::from));
        assert_eq!(refused(Core, Method::GET), [0, 0, 0, 0, 4]);
        assert_eq!(refused(Core, Method::HEAD), [0, 0, 0, 0, 4]);
        assert_eq!(refused(Core, Method::OPTIONS), [0, 0, 0, 0, 4]);
        for unsafe_ in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"PURGE").unwrap()]
        {
            assert_eq!(refused(Core, unsafe_.clone()), [0, 0, 0, 3, 4], "{unsafe_}");
            assert_eq!(refused(Ai, unsafe_), [0, 1, 1, 1, 4]);
        }
        assert_eq!(refused(Ai, Method::GET), [0, 1, 1, 1, 4]);
    }

    #[test]
    fn a_page_is_for_whoever_asks_for_html_by_name() {
        for (accept, expected) in [
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"][..], true),
            (&["application/json", "TEXT/HTML ; q=0.1"], true),
            (&["application/json, text/html;level=1;q=1"], true),
            (&[], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["application/json"], false),
            (&["text/html;q=0"], false),
            (&["text/html; q=0.000"], false),
            (&["text/html;q=x"], false),
            (&["text/html;q=NaN"], false),
            (&["text/htmlx", ",,;;,", "x;text/html"], false),
        ] {
            let mut headers = HeaderMap::new();
            accept.iter().for_each(|value| _ = headers.append(ACCEPT, HeaderValue::from_static(value)));
            assert_eq!(wants_page(&headers), expected, "{accept:?}");
        }
    }
}
