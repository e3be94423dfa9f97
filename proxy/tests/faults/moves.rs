//! What another stamp takes over when the owner of a tenant cannot serve it, and what it is told.

use std::{
    io::{BufReader, Read},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    CALM, EAGER,
    app::{App, Do},
    ask, in_flight, metric, once,
    stamps::{Member, Stamps},
};
use crate::world::{Client, Raw, eventually, free_port, raw::head};

const EDITS: &str = r#"
[[routes]]
name = "edited"
path_prefix = "/"
upstream = "app"
[routes.request_headers]
remove = ["x-debug"]
set = { "x-api" = "2" }
add = { "accept-language" = "en", "x-named" = "ours" }
"#;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

#[test]
fn while_the_owners_breaker_is_open_the_next_stamp_serves_every_method_and_the_tenants_come_back_unharmed() {
    let mut owner = App::on(free_port(), "owner", Duration::from_secs(20), |_| Do::Answer(200));
    let next = App::start("next", |_| Do::Answer(200));
    let upstream = "outliers = { failures = 100000 }\nrecovery = \"300ms\"\n\
                    breaker = { failures = 3, window = \"10s\", open = \"300ms\", trials = 2 }\n";
    let stamps = Stamps::start(&[Member::Proxy(owner.address), Member::Proxy(next.address)], upstream, EAGER);
    let tenants = stamps.tenants(0, 20);
    let mut sent = 0;
    // each method of each tenant by each entry; who answered
    let mut round = || {
        let mut by = Vec::new();
        for entry in 0..2 {
            let mut client = Client::connect(stamps.proxy(entry).edges[0]);
            for (index, tenant) in tenants.iter().enumerate() {
                let method = METHODS[index % METHODS.len()];
                let body = if method == "GET" { Vec::new() } else { vec![b'x'; index * 3_000] };
                let answer = ask(&mut client, method, tenant, &format!("/?id={sent}"), "", &body);
                assert_eq!(answer.status, 200, "{method} {tenant} by {entry}: {}", answer.text());
                assert_eq!(answer.json()["size"], body.len());
                by.push(answer.json()["app"].as_str().unwrap().to_owned());
                sent += 1;
            }
        }
        by
    };
    assert!(round().iter().all(|app| app == "owner"));
    let before = owner.seen();
    owner.kill();
    for _ in 0..3 {
        assert!(round().iter().all(|app| app == "next"));
    }
    let state = "breaker_state{kind=\"app\",upstream=\"app\"}";
    assert!(metric(stamps.proxy(0), state) >= 1.0, "its breaker is not closed");

    let again = App::on(owner.address.port(), "owner", Duration::from_secs(20), |_| Do::Answer(200));
    eventually("all are back", || round().iter().all(|app| app == "owner"));
    assert_eq!(metric(stamps.proxy(0), state), 0.0);
    let mut ran: Vec<String> =
        [before, next.seen(), again.seen()].concat().iter().map(super::app::Request::id).collect();
    ran.sort();
    ran.dedup();
    assert_eq!((ran.len(), next.count() + again.count() + owner.count()), (sent, sent), "each ran once");
    stamps.stop();
}

#[test]
fn a_request_that_moves_to_another_stamp_has_its_routes_edits_once_and_no_field_of_stamps() {
    let app = App::start("next", |_| Do::Answer(200));
    let refusing = ([127, 0, 0, 1], free_port()).into();
    let stamps =
        Stamps::start(&[Member::Proxy(refusing), Member::Proxy(app.address)], CALM, &format!("{EDITS}{EAGER}"));
    let tenants = stamps.tenants(0, 5);
    let mut heads = Vec::new();
    for entry in 0..2 {
        for tenant in &tenants {
            for method in ["GET", "POST"] {
                let fields = "X-Debug: 1\r\nX-Api: theirs\r\nX-Named: theirs\r\nX-Secret: one\r\nX-Secret: two\r\n";
                let mut client = Client::connect(stamps.proxy(entry).edges[0]);
                let from = app.count();
                assert_eq!(ask(&mut client, method, tenant, "/?id=1", fields, b"").status, 200, "by {entry}");
                let seen = &app.seen()[from..];
                assert_eq!(seen.len(), 1);
                for (name, values) in [
                    ("x-debug", &[][..]),
                    ("x-api", &["2"]),
                    ("x-named", &["theirs", "ours"]),
                    ("accept-language", &["en"]),
                    ("x-secret", &["one", "two"]),
                    ("x-tenant-id", &[tenant]),
                    ("host", &["app.example"]),
                ] {
                    assert_eq!(seen[0].all(name), values, "{name} of {method} by {entry}");
                }
                let internal: Vec<String> =
                    seen[0].lines().into_iter().filter(|line| line.starts_with("x-synaxis")).collect();
                assert_eq!(internal, [""; 0], "by {entry}");
                heads.push(seen[0].lines().len());
            }
        }
    }
    assert!(heads.len() == 20);
    stamps.stop();
}

/// An app that takes one request, and is gone.
fn dying() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        head(&mut reader);
        drop(listener);
    });
    address
}

#[test]
fn what_an_app_may_have_run_before_it_died_goes_to_another_stamp_only_if_that_is_harmless() {
    let keyed = EDITS.replace("upstream = \"app\"", "upstream = \"app\"\nidempotency_key = true");
    for (method, fields, status) in [
        ("GET", "", 200),
        ("OPTIONS", "", 200),
        ("POST", "", 502),
        ("POST", "Idempotency-Key: k\r\n", 502),
        ("DELETE", "Idempotency-Key: k\r\n", 502),
    ] {
        // by its own edge, and by the other stamp's
        for entry in 0..2 {
            let next = App::start("next", |_| Do::Answer(200));
            let members = [Member::Proxy(dying()), Member::Proxy(next.address)];
            let stamps = Stamps::start(&members, CALM, &format!("{keyed}{EAGER}"));
            let mut client = Client::connect(stamps.proxy(entry).edges[0]);
            let answer = ask(&mut client, method, &stamps.tenants(0, 1)[0], "/?id=1", fields, b"");
            assert_eq!(answer.status, status, "{method} {fields} by {entry}: {}", answer.text());
            let seen = next.seen();
            assert_eq!(seen.len(), usize::from(status == 200), "{method} {fields} by {entry}");
            for seen in seen {
                assert_eq!(
                    (seen.all("x-named"), seen.all("accept-language")),
                    (vec!["ours".into()], vec!["en".into()])
                );
            }
            if status == 502 {
                assert_eq!(answer.reason(), "upstream_reset", "it may have been executed");
            }
            stamps.stop();
        }
    }
}

#[test]
fn what_a_full_owner_refuses_moves_on_with_its_body_unless_a_part_of_that_is_gone() {
    let owner = App::start("owner", |_| Do::Held(200));
    let next = App::start("next", |_| Do::Answer(200));
    let upstream = format!("{CALM}in_flight_max = 2\ntenant_share_max = 1.0\n");
    let stamps = Stamps::start(&[Member::Proxy(owner.address), Member::Proxy(next.address)], &upstream, EAGER);
    let tenants = stamps.tenants(0, 4);
    let held: Vec<_> = (0..2)
        .map(|index| {
            let (edge, tenant) = (stamps.proxy(index).edges[0], tenants[index].clone());
            thread::spawn(move || Client::connect(edge).get(&tenant, "/held"))
        })
        .collect();
    eventually("it is full", || owner.count() == 2);
    for entry in 0..2 {
        for (index, method) in METHODS.into_iter().enumerate() {
            let body = vec![b'a' + index as u8; if method == "GET" { 0 } else { index * 10_000 }];
            let mut client = Client::connect(stamps.proxy(entry).edges[0]);
            let began = Instant::now();
            let answer = ask(&mut client, method, &tenants[2], "/", "", &body);
            assert_eq!(answer.status, 200, "{method} by {entry}: {}", answer.text());
            assert!(began.elapsed() < Duration::from_millis(300), "{:?} is not at once", began.elapsed());
            assert!(next.seen().last().unwrap().body == body);
        }
    }
    assert_eq!((owner.count(), next.count()), (2, 10));
    // by the other entry the owner is asked with a part of the body; the owner's own entry asks itself first
    let large = vec![b'l'; 1 << 20];
    let mut client = Client::connect(stamps.proxy(1).edges[0]);
    let answer = ask(&mut client, "POST", &tenants[2], "/", "", &large);
    assert_eq!((answer.status, answer.reason().as_str(), next.count()), (503, "not_replayable", 10));
    let mut client = Client::connect(stamps.proxy(0).edges[0]);
    assert_eq!(ask(&mut client, "POST", &tenants[2], "/", "", &large).status, 200);
    assert!(next.seen().last().unwrap().body == large);
    owner.release();
    for answer in held {
        assert_eq!(answer.join().unwrap().json()["app"], "owner");
    }
    for index in 0..2 {
        eventually("nothing is in flight", || in_flight(stamps.proxy(index)) == 0);
    }
    stamps.stop();
}

#[test]
fn a_tenant_that_has_its_share_at_the_owner_does_not_walk_through_the_fleet() {
    let owner = App::start("owner", |_| Do::Held(200));
    let next = App::start("next", |_| Do::Answer(200));
    let upstream = format!("{CALM}in_flight_max = 20\ntenant_share_max = 0.1\n");
    let stamps = Stamps::start(&[Member::Proxy(owner.address), Member::Proxy(next.address)], &upstream, EAGER);
    let tenants = stamps.tenants(0, 2);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (edge, tenant) = (stamps.proxy(1).edges[0], tenants[0].clone());
            thread::spawn(move || Client::connect(edge).get(&tenant, "/held"))
        })
        .collect();
    eventually("it has its share", || owner.count() == 2);
    for entry in 0..2 {
        let answer = once(stamps.proxy(entry), "GET", &tenants[0], "/");
        assert_eq!((answer.status, answer.reason().as_str()), (503, "concurrency"), "by {entry}");
    }
    assert_eq!((owner.count(), next.count()), (2, 0));
    owner.release();
    for answer in held {
        assert_eq!(answer.join().unwrap().status, 200);
    }
    stamps.stop();
}

#[test]
fn a_peer_that_swallows_everything_holds_no_more_than_its_cap_and_slows_nobody_else() {
    const CAP: usize = 6;
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let hole = Raw::start(move |stream| {
        let mut reader = BufReader::new(stream);
        let Some(lines) = head(&mut reader) else { return };
        if !lines[0].contains("/health") {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _ = reader.read_to_end(&mut Vec::new());
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let app = App::start("app", |_| Do::Answer(200));
    let more = format!(
        "{EAGER}[timeouts]\nconnect = \"100ms\"\n[peers]\nin_flight_max = {CAP}\ntenant_share_max = 1.0\n\
         breaker = {{ failures = 100000 }}\n[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\n\
         timeout = \"900ms\"\nattempt_timeout = \"400ms\"\n"
    );
    let stamps = Stamps::start(&[Member::Proxy(app.address), Member::Bare(hole.address)], CALM, &more);
    let edge = stamps.proxy(0).edges[0];
    let began = Instant::now();
    let theirs: Vec<_> = stamps
        .tenants(1, 30)
        .into_iter()
        .enumerate()
        .map(|(index, tenant)| {
            thread::spawn(move || {
                let mut client = Client::connect(edge);
                (0..3)
                    .map(|turn| {
                        let method = ["GET", "POST"][(index + turn) % 2];
                        let answer = ask(&mut client, method, &tenant, &format!("/?id={index}-{turn}"), "", b"");
                        match answer.status {
                            200 => true,
                            _ => {
                                // whatever has been sent there may have been executed
                                assert_eq!((method, answer.reason().as_str()), ("POST", "upstream_timeout"));
                                false
                            }
                        }
                    })
                    .filter(|is_answered| !is_answered)
                    .count()
            })
        })
        .collect();
    eventually("it is full", || inside.load(Ordering::SeqCst) == CAP);
    let mut client = Client::connect(edge);
    let mut slowest = Duration::ZERO;
    for tenant in stamps.tenants(0, 200) {
        let began = Instant::now();
        assert_eq!(client.get(&tenant, "/ours").status, 200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_millis(350), "one of the others waited for {slowest:?}");
    // nobody has been given up yet; later, a place is free before the other end hears of it
    while began.elapsed() < Duration::from_millis(350) {
        assert!(most.load(Ordering::SeqCst) <= CAP);
        thread::sleep(Duration::from_millis(10));
    }
    let lost: usize = theirs.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(lost < 30, "{lost} of 90 were lost: more than were in there at a time");
    assert!(most.load(Ordering::SeqCst) <= 2 * CAP);
    let mut ran: Vec<String> = app.seen().iter().map(super::app::Request::id).filter(|id| !id.is_empty()).collect();
    let count = ran.len();
    ran.sort();
    ran.dedup();
    assert_eq!((ran.len(), count), (90 - lost, 90 - lost), "each ran once, unless the client was told otherwise");
    let guard =
        || stamps.proxy(0).plane().snapshot.load().fleet.as_ref().unwrap().peers[1].as_ref().unwrap().guard.clone();
    eventually("every place is free again", || {
        guard().admission.in_flight() == 0 && inside.load(Ordering::SeqCst) == 0
    });
    stamps.stop();
}
