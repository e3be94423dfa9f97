//! What a stamp says of itself: `health`, and `wait` for that or for a state of the table.
//!
//! Invariant: `x-synaxis-app` of its peer listener decides, never the status, and only when the stamp says the same state
//! as the table: what answers at an address need not be the stamp. Whatever answers costs at most [`BODY_MAX`] and the
//! timeout, and nothing of it is shown unread.

use std::time::{Duration, Instant};

use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use synaxis_routing::{
    endpoint::Scheme,
    id::StampId,
    table::{Stamp, State, Table},
};
use url::Url;

use crate::{
    args::{self, Goal},
    failure::Failure,
    fetch, names,
    output::{clean, columns},
    policy,
    session::Session,
    verbs::status::unknown,
};

/// Where a peer listener says how its stamp is.
const PATH: &str = "/health";
/// Its answer has no body; something else's may.
const BODY_MAX: usize = 64 << 10;
/// How long one answer may take at most: the time limit of the proxies' own probes.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a foreign value is repeated.
const SHOWN_MAX: usize = 40;

/// What the stamp says of its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum App {
    Ok,
    Bad,
    Unknown,
}

/// How a stamp is.
#[derive(Debug, Serialize)]
struct Health {
    id: StampId,
    /// Whether nothing is wrong with it.
    healthy: bool,
    /// Where it was asked.
    asked: String,
    /// Whether it answered at all.
    reachable: bool,
    /// What it says its state is; `null` when it says none.
    state: Option<State>,
    /// What the table says.
    table_state: State,
    app: App,
    /// Status of its answer.
    status: Option<u16>,
    /// How long it took, in milliseconds.
    took_ms: u64,
    /// What is wrong.
    problem: Option<String>,
    /// Whether asking again can tell anything else.
    #[serde(skip)]
    hopeless: bool,
}

pub(super) async fn health(session: &Session, said: &args::Health) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let (readable, _) = session.table().await?;
    let table = readable.fleet.table;
    let stamp = table.stamp(id.as_str()).ok_or_else(|| unknown(&id))?;
    let health = ask(stamp, &table, said.at.at.as_ref(), TIMEOUT.min(session.said.timeout)).await;
    session.format().print(&health, words)?;
    match health.problem {
        Some(problem) => Err(Failure::failed(format!("{id} is not healthy: {problem}"))),
        None => Ok(()),
    }
}

fn words(health: &Health) -> String {
    let state = health.state.map_or("none".to_owned(), |state| state.to_string());
    let app = match health.app {
        App::Ok => "ok",
        App::Bad => "bad",
        App::Unknown => "unknown",
    };
    let rows = [
        ("healthy", if health.healthy { "yes" } else { "no" }.to_owned()),
        ("reachable", if health.reachable { "yes" } else { "no" }.to_owned()),
        ("app", app.to_owned()),
        ("state", format!("{state} ({} in the table)", health.table_state)),
        ("asked", format!("{} ({} ms)", health.asked, health.took_ms)),
    ];
    columns(&[health.id.as_str(), ""], &rows.map(|(name, value)| vec![name.to_owned(), value]))
}

/// Asks the stamp at its endpoint, or where the operator says.
async fn ask(stamp: &Stamp, table: &Table, at: Option<&Url>, timeout: Duration) -> Health {
    let started = Instant::now();
    let asked = at.map_or(stamp.endpoint.clone(), ToString::to_string);
    let answer = match at {
        _ if stamp.state == State::Deleted => Err((true, "it is deleted".to_owned())),
        Some(url) => exchange(url.clone(), timeout).await,
        None => match tokio::time::timeout(timeout, policy::resolve(&stamp.endpoint, table)).await {
            Err(_) => Err((false, format!("its name is not found within {} ms", timeout.as_millis()))),
            Ok(Err(why)) => Err((false, why)),
            Ok(Ok((Scheme::Http, address))) => match Url::parse(&format!("http://{address}")) {
                Ok(url) => exchange(url, timeout.saturating_sub(started.elapsed())).await,
                Err(error) => Err((true, error.to_string())),
            },
            Ok(Ok((Scheme::Https, _))) => Err((
                true,
                "its endpoint wants mutual TLS, which is for proxies: ask its peer listener where that is plain, or through \
                 a port-forward, with --at http://127.0.0.1:PORT"
                    .to_owned(),
            )),
        },
    };
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut health = Health {
        id: stamp.id.clone(),
        healthy: false,
        asked,
        reachable: false,
        state: None,
        table_state: stamp.state,
        app: App::Unknown,
        status: None,
        took_ms,
        problem: None,
        hopeless: false,
    };
    match answer {
        Ok(answer) => judge(&answer, &mut health),
        Err((hopeless, why)) => (health.hopeless, health.problem) = (hopeless, Some(why)),
    }
    health.healthy = health.problem.is_none();
    health
}

/// The error says whether it will always be so.
async fn exchange(mut url: Url, timeout: Duration) -> Result<Response<bytes::Bytes>, (bool, String)> {
    if matches!(url.path(), "" | "/") {
        url.set_path(PATH);
    }
    let never = url.scheme() != "http";
    fetch::ask(&url, BODY_MAX, timeout).await.map_err(|why| (never, why))
}

/// Reads what a stamp says; the first thing that is wrong is the problem.
fn judge(answer: &Response<bytes::Bytes>, health: &mut Health) {
    health.reachable = true;
    health.status = Some(answer.status().as_u16());
    let (app, state) = (one(answer.headers(), "x-synaxis-app"), one(answer.headers(), "x-synaxis-state"));
    health.app = match app.as_deref() {
        Ok("ok") => App::Ok,
        Ok("bad") => App::Bad,
        _ => App::Unknown,
    };
    health.state = state.as_deref().ok().and_then(|state| state.parse().ok());
    let table = health.table_state;
    let status = answer.status();
    health.problem = match (status, state.as_deref(), health.state, app.as_deref()) {
        // a redirect is somebody else's
        (status, ..) if !matches!(status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE) => {
            Some(format!("it answered {status}, which no stamp does: is this its peer listener?"))
        }
        (_, Err(why), ..) => Some(format!("{why}: is this its peer listener?")),
        (_, Ok("unknown"), ..) => Some("it does not know its own stamp: it has no table, or another id".to_owned()),
        (_, Ok(state), None, _) => Some(format!("it says that its state is {state:?}, which is none")),
        (_, _, Some(state), _) if state != table => Some(format!(
            "it says that it is {state}, the table says {table}: it has not applied the table, or is another stamp"
        )),
        (.., Err(why)) => Some(format!("{why}, so nobody knows how its app is")),
        (.., Ok("ok")) => None,
        (.., Ok("bad")) => Some("its app is bad: its own probes of it fail".to_owned()),
        (.., Ok("unknown")) => Some("it does not know how its app is: nothing has been probed yet".to_owned()),
        (.., Ok(app)) => Some(format!("it says that its app is {app:?}, which is none of ok, bad, unknown")),
    };
}

/// The one value of a field, short and clean.
fn one(headers: &HeaderMap, name: &str) -> Result<String, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(clean(&String::from_utf8_lossy(value.as_bytes())).chars().take(SHOWN_MAX).collect()),
        (None, _) => Err(format!("its answer has no {name}")),
        (Some(_), Some(_)) => Err(format!("its answer has {name} more than once")),
    }
}

#[derive(Serialize)]
struct Reached {
    id: StampId,
    state: State,
    /// Whether that was asked, and is so.
    healthy: Option<bool>,
    version: String,
}

/// Waits until the table says a state, or the stamp that it is healthy.
pub(super) async fn wait(session: &Session, said: &args::Wait) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let started = Instant::now();
    let left = || session.said.timeout.saturating_sub(started.elapsed());
    loop {
        let (readable, _) = session.table().await?;
        let version = readable.fleet.version().to_string();
        let table = readable.fleet.table;
        let stamp = table.stamp(id.as_str()).ok_or_else(|| unknown(&id))?;
        let state = stamp.state;
        let (healthy, missing) = match said.goal {
            Goal::State(goal) if goal == state => (None, None),
            Goal::State(goal) => (None, Some((state == State::Deleted, format!("{id} is {state}, not {goal}")))),
            Goal::Healthy => {
                let limit = TIMEOUT.min(left()).max(crate::wait::POLL);
                let health = ask(stamp, &table, said.at.at.as_ref(), limit).await;
                let hopeless = health.hopeless;
                (Some(true), health.problem.map(|why| (hopeless, format!("{id} is not healthy: {why}"))))
            }
        };
        let Some((hopeless, missing)) = missing else {
            let reached = Reached { id, state, healthy, version };
            let also = if healthy.is_some() { " and healthy" } else { "" };
            return session.format().print(&reached, |r| format!("{} is {}{also} at {}", r.id, r.state, r.version));
        };
        if hopeless {
            let why = format!("{missing}; waiting does not change that");
            return Err(if state == State::Deleted { Failure::Forbidden(why) } else { Failure::Failed(why) });
        }
        if left().is_zero() {
            return Err(Failure::TimedOut(format!("after {} s {missing}", session.said.timeout.as_secs())));
        }
        tokio::time::sleep(crate::wait::POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a [u8])];

    /// What is wrong with an answer of an Active stamp.
    fn problem(status: u16, fields: Fields<'_>) -> Option<String> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        let mut health = Health {
            id: StampId::parse("synaxis-weu-001").unwrap(),
            healthy: false,
            asked: String::new(),
            reachable: false,
            state: None,
            table_state: State::Active,
            app: App::Unknown,
            status: None,
            took_ms: 0,
            problem: None,
            hopeless: false,
        };
        judge(&answer.body(bytes::Bytes::new()).unwrap(), &mut health);
        health.problem
    }

    #[test]
    fn the_app_decides_and_never_the_status() {
        for status in [200, 503] {
            assert_eq!(problem(status, &[("x-synaxis-state", b"active"), ("x-synaxis-app", b"ok")]), None);
            let bad = problem(status, &[("x-synaxis-state", b"active"), ("x-synaxis-app", b"bad")]);
            assert!(bad.unwrap().contains("app is bad"));
        }
    }

    #[test]
    fn what_no_stamp_says_is_named() {
        let long = [b'x'; 5_000];
        let cases: [(u16, Fields<'_>, &str); 10] = [
            (302, &[("x-synaxis-state", b"active"), ("x-synaxis-app", b"ok")], "302 Found"),
            (200, &[], "no x-synaxis-state"),
            (200, &[("x-synaxis-state", b"active")], "no x-synaxis-app"),
            (200, &[("x-synaxis-state", b"active"), ("x-synaxis-app", b"unknown")], "does not know how its app is"),
            (200, &[("x-synaxis-state", b"unknown"), ("x-synaxis-app", b"ok")], "does not know its own stamp"),
            (200, &[("x-synaxis-state", b"draining"), ("x-synaxis-app", b"ok")], "draining, the table says active"),
            (200, &[("x-synaxis-state", b"\xff"), ("x-synaxis-app", b"ok")], "which is none"),
            (200, &[("x-synaxis-state", &long), ("x-synaxis-app", b"ok")], "which is none"),
            (200, &[("x-synaxis-state", b"active"), ("x-synaxis-app", &long)], "none of ok, bad, unknown"),
            (200, &[("x-synaxis-state", b"active"), ("x-synaxis-state", b"active")], "more than once"),
        ];
        for (status, fields, expected) in cases {
            let problem = problem(status, fields).unwrap();
            assert!(problem.contains(expected) && problem.len() < 200, "{expected}: {problem}");
        }
    }
}
