//! Raw bytes against one proxy: `vectors/*.toml` says what is sent and what must become of it, this runs it.
//!
//! Behind every vector the same connection carries one more request. It is served exactly when the vector says that the
//! connection goes on; whatever else the app parsed was smuggled. The app is a strict parser of its own
//! ([`Strict`](crate::world::Strict)), and after each vector a canary on another connection must get its own answer.

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::world::{
    Answer, Client, Strict, alone, proxy, stop,
    strict::{Framing, Parsed},
};

mod file;

use file::{Accepted, Outcome, Vector};

/// Fields that end at the proxy, whoever sends them.
const NEVER: [&str; 10] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "proxy-connection",
    "proxy-authorization",
    "forwarded",
];

#[test]
fn the_body_ends_where_it_ends_for_everybody() {
    check("framing", &file::load(include_str!("vectors/framing.toml")));
}

#[test]
fn chunks_are_chunks_for_everybody() {
    check("chunks", &file::load(include_str!("vectors/chunks.toml")));
}

#[test]
fn a_request_line_is_read_in_one_way_or_refused() {
    check("lines", &file::load(include_str!("vectors/lines.toml")));
}

#[test]
fn a_request_has_one_host_or_is_refused() {
    check("hosts", &file::load(include_str!("vectors/hosts.toml")));
}

#[test]
fn a_field_is_read_in_one_way_or_refused() {
    check("fields", &file::load(include_str!("vectors/fields.toml")));
}

#[test]
fn no_client_speaks_in_anybody_elses_name() {
    check("names", &file::load(include_str!("vectors/names.toml")));
}

#[test]
fn methods_versions_and_expectations_change_no_framing() {
    check("methods", &file::load(include_str!("vectors/methods.toml")));
}

#[test]
fn there_are_enough_vectors_and_each_says_something_else() {
    let all = all();
    assert!(all.len() >= 150, "{} vectors", all.len());
    for (index, vector) in all.iter().enumerate() {
        let twin = all[..index].iter().find(|other| other.name == vector.name || other.send == vector.send);
        assert!(twin.is_none(), "{:?} and {:?}", vector.name, twin.map(|twin| &twin.name));
    }
}

fn all() -> Vec<Vector> {
    let files = [
        include_str!("vectors/framing.toml"),
        include_str!("vectors/chunks.toml"),
        include_str!("vectors/lines.toml"),
        include_str!("vectors/hosts.toml"),
        include_str!("vectors/fields.toml"),
        include_str!("vectors/names.toml"),
        include_str!("vectors/methods.toml"),
    ];
    files.into_iter().flat_map(file::load).collect()
}

/// Runs the vectors of one family, of which there must be some.
pub(crate) fn family(name: &str, least: usize) {
    let members: Vec<Vector> = all().into_iter().filter(|vector| vector.family == name).collect();
    assert!(members.len() >= least, "{name} has {} vectors", members.len());
    check(name, &members);
}

/// Runs vectors against one proxy and one app.
fn check(topic: &str, vectors: &[Vector]) {
    let origin = Strict::start();
    let proxy = proxy(&alone(origin.address, ""));
    let mut failed = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        let before = origin.count();
        let expected = run(vector, number, proxy.edges[0]);
        let outcome = settled(&proxy).and(expected).and_then(|expected| compare(&expected, &origin.since(before)));
        if let Err(why) = outcome {
            failed.push(format!("{}\n  sent: {:?}\n  {why}", vector.name, vector.send.escape_ascii().to_string()));
        }
    }
    let metrics = proxy.plane().metrics.render();
    stop(proxy);
    assert!(failed.is_empty(), "{topic}: {} of {}\n{}", failed.len(), vectors.len(), failed.join("\n"));
    assert_eq!(origin.faults(), [""; 0], "{topic}: the proxy sent what is no clean HTTP");
    assert!(metrics.lines().any(|line| line == "panics_total 0"), "{topic}: {metrics}");
}

/// A request that the app must have parsed.
struct Expected {
    tenant: String,
    accepted: Accepted,
}

/// Sends one vector, the request behind it and a canary. Returns what the app must have parsed, in order.
fn run(vector: &Vector, number: usize, edge: SocketAddr) -> Result<Vec<Expected>, String> {
    let mut client = Client::connect(edge);
    let after = format!("/after-{number}");
    let behind = format!("GET {after} HTTP/1.1\r\nHost: after.example\r\nX-Tenant-Id: after\r\n\r\n");
    let sent = [vector.send.as_slice(), behind.as_bytes()].concat();
    // the proxy may have refused it and closed before all of it was taken
    let _ = client.stream().write_all(&sent);
    let mut expected = Vec::new();
    let goes_on = match &vector.outcome {
        Outcome::Accepted(accepted) => {
            let answer = answered(&mut client, accepted.method == "HEAD")?;
            let words = format!("t|{}|{} ", accepted.method, accepted.target).repeat(3);
            let whole = accepted.method == "HEAD" || answer.text() == words;
            if answer.status != 200 || !whole {
                return Err(format!("got: {answer:?}, {}", answer.text()));
            }
            expected.push(Expected { tenant: "t".into(), accepted: accepted.clone() });
            if let Some(status) = accepted.then {
                let answer = answered(&mut client, false)?;
                if (answer.status, answer.header("x-synaxis-reason")) != (status, None) {
                    return Err(format!("what is behind it got: {answer:?}, {}", answer.text()));
                }
            }
            !accepted.closes && accepted.then.is_none()
        }
        Outcome::Refused(refused) => {
            let answer = answered(&mut client, vector.send.starts_with(b"HEAD "))?;
            let reason = answer.header("x-synaxis-reason").unwrap_or("bare");
            if (answer.status, reason) != (refused.status, refused.reason.as_str()) {
                return Err(format!("got: {} {reason}: {}", answer.status, answer.text()));
            }
            !refused.closes
        }
        // the rest of it never comes
        Outcome::Starved => {
            let _ = client.stream().shutdown(std::net::Shutdown::Write);
            let rest = client.rest().ok_or("the connection is still open")?;
            let text = String::from_utf8_lossy(&rest);
            if text.contains(" 200 ") {
                return Err(format!("got: {text}"));
            }
            false
        }
        Outcome::Silent => false,
    };
    if goes_on {
        let answer = answered(&mut client, false)?;
        let words = format!("after|GET {after}").replace(' ', "|");
        if answer.status != 200 || answer.text() != format!("{words} ").repeat(3) {
            return Err(format!("the request behind it got: {answer:?}, {}", answer.text()));
        }
        expected.push(Expected { tenant: "after".into(), accepted: Accepted::get(&after, "after.example") });
        let _ = client.stream().shutdown(std::net::Shutdown::Write);
    }
    match client.rest().as_deref() {
        None => return Err("the connection is still open".into()),
        Some([]) => {}
        Some(more) => return Err(format!("one answer too many: {}", more.escape_ascii())),
    }
    let canary = format!("/canary-{number}");
    let answer = Client::connect(edge).get("canary", &canary);
    if answer.text() != format!("canary|GET|{canary} ").repeat(3) {
        return Err(format!("the canary got: {answer:?}, {}", answer.text()));
    }
    expected.push(Expected { tenant: "canary".into(), accepted: Accepted::get(&canary, "app.example") });
    Ok(expected)
}

fn answered(client: &mut Client, head_only: bool) -> Result<Answer, String> {
    loop {
        match client.answer(head_only) {
            Ok(answer) if answer.status == 100 => {}
            Ok(answer) => return Ok(answer),
            Err(error) => return Err(format!("got no answer: {error}")),
        }
    }
}

/// Waits until the proxy does nothing any more.
fn settled(proxy: &synaxis_proxy::server::Running) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(2);
    while proxy.plane().in_flight() > 0 {
        if Instant::now() > end {
            return Err("a request is still in flight".into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Holds what the app parsed against what it should have parsed.
fn compare(expected: &[Expected], parsed: &[Parsed]) -> Result<(), String> {
    let lines: Vec<String> = parsed.iter().map(|parsed| format!("{} {}", parsed.method, parsed.target)).collect();
    if expected.len() != parsed.len() {
        return Err(format!("the app parsed {lines:?} instead of {} requests", expected.len()));
    }
    for (Expected { tenant, accepted }, parsed) in expected.iter().zip(parsed) {
        let fails = |what: &str| Err(format!("{what}: the app parsed {parsed:?}"));
        if (&parsed.method, &parsed.target) != (&accepted.method, &accepted.target) {
            return fails("another request line");
        }
        if parsed.all("host") != [accepted.host.as_str()] || parsed.tenant() != *tenant {
            return fails("another Host or tenant");
        }
        if parsed.framing != framing(&accepted.framing) || parsed.body != accepted.body.as_bytes() {
            return fails("another framing or body");
        }
        if parsed.all("x-forwarded-for") != ["127.0.0.1"] || parsed.all("x-forwarded-proto") != ["http"] {
            return fails("it is not said where it came from");
        }
        let spoken = |name: &str| name.starts_with("x-synaxis-") || name.contains('_') || NEVER.contains(&name);
        let forwarded = |name: &str| name.starts_with("x-forwarded-") && !["for", "proto"].contains(&&name[12..]);
        if let Some((name, _)) = parsed.fields.iter().find(|(name, _)| spoken(name) || forwarded(name)) {
            return fails(&format!("{name} must not pass"));
        }
        if let Some(name) = accepted.absent.iter().find(|name| !parsed.all(name).is_empty()) {
            return fails(&format!("{name} must not pass"));
        }
        for (name, value) in &accepted.fields {
            let found: Vec<String> = parsed.fields.iter().filter(|(known, _)| known == name).map(escaped).collect();
            if found != [value.as_str()] {
                return fails(&format!("{name} must be {value}"));
            }
        }
    }
    Ok(())
}

fn escaped((_, value): &(String, Vec<u8>)) -> String {
    value.escape_ascii().to_string()
}

fn framing(text: &str) -> Framing {
    match text {
        "none" => Framing::None,
        "length" => Framing::Length,
        "chunked" => Framing::Chunked,
        _ => panic!("framing is none, length or chunked, not {text}"),
    }
}
