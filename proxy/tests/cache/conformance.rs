//! What HTTP demands of a cache, as data: `conformance/*.toml` says what is asked, what the origin would say, and what
//! the client gets.

mod file;
mod model;
mod served;

use std::collections::BTreeSet;

use file::{Case, Class, Exchange, Filled, Gets};
use http::{HeaderMap, Method, StatusCode};
use model::{Answer, Model, Request};
use synaxis_proxy::cache::freshness::{Authorization, Millis, Policy};

const FILES: [(&str, &str); 11] = [
    ("storing", include_str!("conformance/storing.toml")),
    ("fresh", include_str!("conformance/fresh.toml")),
    ("stale", include_str!("conformance/stale.toml")),
    ("requests", include_str!("conformance/requests.toml")),
    ("vary", include_str!("conformance/vary.toml")),
    ("validation", include_str!("conformance/validation.toml")),
    ("conditions", include_str!("conformance/conditions.toml")),
    ("ranges", include_str!("conformance/ranges.toml")),
    ("methods", include_str!("conformance/methods.toml")),
    ("invalidation", include_str!("conformance/invalidation.toml")),
    ("telling", include_str!("conformance/telling.toml")),
];

/// A time in July of 2026, on a whole second.
const NOW: Millis = 1_784_000_000_000;

const AUTHORITY: &str = "a.example";

/// Fields that make a request conditional.
const CONDITIONS: [&str; 5] = ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];

fn all() -> impl Iterator<Item = (&'static str, Case)> {
    FILES.into_iter().flat_map(|(name, toml)| file::cases(toml).into_iter().map(move |case| (name, case)))
}

#[test]
fn every_case_has_a_sentence_of_its_own_and_a_section() {
    let mut names = BTreeSet::new();
    for (file, case) in all() {
        assert!(case.section.starts_with("RFC ") && case.section.contains('§'), "{file}: {}", case.name);
        assert!(!case.exchanges.is_empty(), "{file}: {}", case.name);
        assert!(names.insert(case.name.clone()), "{file}: {} stands there twice", case.name);
    }
    assert!(names.len() >= 500, "only {} cases", names.len());
}

#[test]
fn waiting_is_rare() {
    let waits: Vec<u64> = all().flat_map(|(_, case)| case.exchanges).map(|exchange| exchange.wait_s).collect();
    assert!(waits.iter().all(|wait| *wait <= 2) && waits.iter().sum::<u64>() <= 10, "{waits:?}");
}

#[test]
fn the_semantics_fulfil_every_case() {
    let classes = file::classes();
    let mut wrong = Vec::new();
    // on the second, within it, and where the next one begins while the origin answers
    for offset in [0, 500, 998] {
        for (file, case) in all() {
            let class = classes.get(&case.class).unwrap_or_else(|| panic!("{}: no such class", case.name));
            if let Err(why) = run(&case, class, NOW + offset) {
                wrong.push(format!("{file}: {} ({})\n    {why}", case.name, case.section));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn policy(class: &Class) -> Policy {
    let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap();
    Policy {
        default_lifetime: Some(seconds(class.default_ttl)).filter(|seconds| *seconds > 0),
        lifetime_max: seconds(class.ttl),
        heuristic: class.heuristic,
        stale_while_revalidate: seconds(class.stale_while_revalidate),
        stale_if_error: seconds(class.stale_if_error),
        stale_max: seconds(class.ttl.max(class.stale_while_revalidate).max(class.stale_if_error)),
        obey_requests: class.request_directives,
        authorization: if class.is_per_user() { Authorization::PerUser } else { Authorization::Rfc },
    }
}

fn run(case: &Case, class: &Class, now: Millis) -> Result<(), String> {
    let mut model = Model::new(policy(class), class.is_per_user(), now);
    let filled = Filled { began: now / 1000, path: "/case", authority: AUTHORITY };
    for (index, exchange) in case.exchanges.iter().enumerate() {
        model.now += exchange.wait_s * 1000;
        let target = format!("/case{}", exchange.path);
        let request = Request {
            user: exchange.user.as_deref(),
            method: exchange.method.parse().unwrap(),
            authority: AUTHORITY,
            target: &target,
            headers: headers(&filled, &exchange.fields),
        };
        let mut seen = Vec::new();
        let answer = model.serve(&request, &mut |method: &Method, headers: &HeaderMap| {
            seen.push((method.clone(), headers.clone()));
            origin(exchange, index + 1, seen.len(), &filled)
        });
        checked(case, index, &filled, &seen, &answer)
            .map_err(|why| format!("exchange {}: {why}\n    {answer:?}\n    {seen:?}", index + 1))?;
        model.now += 1;
    }
    Ok(())
}

fn headers(filled: &Filled<'_>, lines: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = filled.line(line);
        headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn origin(exchange: &Exchange, number: usize, times: usize, filled: &Filled<'_>) -> Option<Answer> {
    if exchange.fails {
        return None;
    }
    let (status, lines, body) = match &exchange.again {
        Some(again) if times > 1 => (again.status, &again.answer, again.body.clone()),
        _ => (exchange.origin_status(), &exchange.answer, exchange.origin_body(number)),
    };
    let body = if exchange.method == "HEAD" { Vec::new() } else { body.into_bytes() };
    Some(Answer { status: StatusCode::from_u16(status).unwrap(), headers: headers(filled, lines), body })
}

/// What the origin has seen and what the client has got.
fn checked(
    case: &Case,
    index: usize,
    filled: &Filled<'_>,
    seen: &[(Method, HeaderMap)],
    answer: &Answer,
) -> Result<(), String> {
    let exchange = &case.exchanges[index];
    asked(exchange, filled, seen)?;
    let source = match exchange.gets {
        Gets::Origin | Gets::Failure | Gets::Nothing => index,
        _ => exchange.of - 1,
    };
    let (status, body) = case.exchanges[source].last(source + 1);
    let status = exchange.client.unwrap_or(status);
    if answer.status.as_u16() != status {
        return Err(format!("status {} instead of {status}", answer.status));
    }
    let body = match (&exchange.part, status) {
        (Some(part), _) => {
            let (from, to) = part.split_once('-').unwrap();
            body[from.parse().unwrap()..=to.parse().unwrap()].to_owned()
        }
        (None, 304) => String::new(),
        // made here, and not the origin's
        (None, 416) if exchange.gets != Gets::Origin => String::new(),
        (None, _) if exchange.method == "HEAD" => String::new(),
        (None, _) => body,
    };
    if !matches!(exchange.gets, Gets::Failure | Gets::Nothing) && answer.body != body.as_bytes() {
        return Err(format!("body {:?} instead of {body:?}", String::from_utf8_lossy(&answer.body)));
    }
    got(exchange, filled, &answer.headers)
}

fn asked(exchange: &Exchange, filled: &Filled<'_>, seen: &[(Method, HeaderMap)]) -> Result<(), String> {
    let expected = match exchange.gets {
        Gets::Store | Gets::Nothing => 0,
        _ => 1 + usize::from(exchange.again.is_some()),
    };
    // what fails may be tried again
    let tried = (exchange.fails || exchange.origin_status() >= 500) && seen.len() > expected && expected > 0;
    if seen.len() != expected && !tried {
        return Err(format!("the origin was asked {} times instead of {expected}", seen.len()));
    }
    let Some((_, first)) = seen.first() else { return Ok(()) };
    present(filled, first, &exchange.saw).map_err(|why| format!("the origin: {why}"))?;
    absent(filled, first, &exchange.unseen).map_err(|why| format!("the origin: {why}"))?;
    let own = headers(filled, &exchange.fields);
    let conditional = |name: &&&str| first.contains_key(**name) && !own.contains_key(**name);
    if exchange.gets == Gets::Origin
        && exchange.saw.is_empty()
        && let Some(name) = CONDITIONS.iter().find(conditional)
    {
        return Err(format!("the origin: {name}, which nobody sent"));
    }
    let validating = first.contains_key("if-none-match") || first.contains_key("if-modified-since");
    if exchange.gets == Gets::Validated && !validating {
        return Err("the origin: no condition".to_owned());
    }
    Ok(())
}

fn got(exchange: &Exchange, filled: &Filled<'_>, headers: &HeaderMap) -> Result<(), String> {
    present(filled, headers, &exchange.has)?;
    absent(filled, headers, &exchange.lacks)?;
    let age = headers.get("age").and_then(|age| age.to_str().ok()?.parse::<u32>().ok());
    if exchange.gets == Gets::Store && age.is_none() {
        return Err("no Age".to_owned());
    }
    if let Some(least) = exchange.age
        && !age.is_some_and(|age| (least..least + 60).contains(&age))
    {
        return Err(format!("Age {age:?} instead of {least}"));
    }
    let told = headers.get("cache-status").map_or("", |told| told.to_str().unwrap());
    let words = told.rsplit(", ").next().into_iter().flat_map(|member| member.split("; "));
    let missing = exchange.told.iter().find(|told| !words.clone().any(|word| word.starts_with(told.as_str())));
    missing.map_or(Ok(()), |missing| Err(format!("Cache-Status: {told} without {missing}")))
}

fn present(filled: &Filled<'_>, headers: &HeaderMap, lines: &[String]) -> Result<(), String> {
    lines.iter().find(|line| !found(filled, headers, line)).map_or(Ok(()), |line| Err(format!("no {line}")))
}

fn absent(filled: &Filled<'_>, headers: &HeaderMap, lines: &[String]) -> Result<(), String> {
    lines.iter().find(|line| found(filled, headers, line)).map_or(Ok(()), |line| Err(format!("there is {line}")))
}

/// Whether the field is there, or that line of it.
fn found(filled: &Filled<'_>, headers: &HeaderMap, line: &str) -> bool {
    let (name, value) = filled.line(line);
    headers.get_all(&name).iter().any(|found| !line.contains(':') || found.as_bytes() == value.as_bytes())
}
