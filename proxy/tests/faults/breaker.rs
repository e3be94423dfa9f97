//! When an app is left alone, for whom, and how it gets its requests back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use synaxis_proxy::server::Running;

use super::{
    app::{App, Do},
    config, metric, once,
};
use crate::world::{Client, eventually, free_port, proxy, stop};

const STATE: &str = "breaker_state{kind=\"app\",upstream=\"app\"}";
const ONCE: &str = "[retries]\nattempts_max = 1\n";

fn upstream(failures: u32, open: &str, trials: u32) -> String {
    format!(
        "outliers = {{ failures = 100000 }}\nrecovery = \"0s\"\n\
         breaker = {{ failures = {failures}, window = \"10s\", open = \"{open}\", trials = {trials} }}\n"
    )
}

fn transitions(proxy: &Running, kind: &str, to: &str) -> f64 {
    metric(proxy, &format!("{kind}transitions_total{{kind=\"app\",upstream=\"app\",to=\"{to}\"}}"))
}

/// An app that answers 503 as long as the flag is up.
fn failing() -> (App, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&fails);
    (App::start("app", move |_| Do::Answer(if flag.load(Ordering::SeqCst) { 503 } else { 200 })), fails)
}

fn refused(proxy: &Running, method: &str, tenant: &str, seconds: std::ops::RangeInclusive<u32>) {
    let answer = once(proxy, method, tenant, "/");
    assert_eq!((answer.status, answer.reason().as_str()), (503, "breaker_open"), "{method} {tenant}");
    let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds.contains(&after), "Retry-After: {after}");
}

#[test]
fn a_breaker_opens_by_its_numbers_refuses_tries_and_closes() {
    let (app, fails) = failing();
    let proxy = proxy(&config(&[app.address], &upstream(8, "300ms", 2), ONCE));
    let fail = |tenant: usize| {
        let answer = once(&proxy, "GET", &format!("tenant-{tenant}"), "/");
        assert_eq!((answer.status, answer.header("x-synaxis-reason")), (503, None), "the app's own word");
    };
    (0..8).for_each(fail);
    assert_eq!((app.count(), metric(&proxy, STATE)), (8, 2.0));
    for method in ["GET", "POST", "DELETE"] {
        refused(&proxy, method, "tenant-1", 1..=1);
        refused(&proxy, method, "another", 1..=1);
    }
    assert_eq!(app.count(), 8, "what is refused is not sent");

    // half-open: two tenants' trials fail, and it opens for twice as long
    thread::sleep(Duration::from_millis(340));
    (20..22).for_each(fail);
    let reopened = Instant::now();
    refused(&proxy, "GET", "tenant-30", 1..=1);
    assert_eq!((app.count(), metric(&proxy, STATE)), (10, 2.0));
    assert_eq!(transitions(&proxy, "breaker_", "open"), 2.0);

    fails.store(false, Ordering::SeqCst);
    thread::sleep(Duration::from_millis(450).saturating_sub(reopened.elapsed()));
    refused(&proxy, "GET", "tenant-30", 1..=1);
    thread::sleep(Duration::from_millis(680).saturating_sub(reopened.elapsed()));
    assert_eq!(once(&proxy, "POST", "tenant-31", "/").status, 200);
    assert_eq!(metric(&proxy, STATE), 1.0, "one success of two");
    assert_eq!(once(&proxy, "GET", "tenant-32", "/").status, 200);
    assert_eq!(metric(&proxy, STATE), 0.0);
    for tenant in 0..40 {
        assert_eq!(once(&proxy, "GET", &format!("tenant-{tenant}"), "/").status, 200);
    }
    assert_eq!(transitions(&proxy, "breaker_", "half_open"), 2.0);
    assert_eq!(transitions(&proxy, "breaker_", "closed"), 1.0);
    let labels = "{kind=\"app\",upstream=\"app\",rule=\"breaker\"}";
    assert_eq!(metric(&proxy, &format!("upstream_refused_total{labels}")), 8.0);
    stop(proxy);
}

#[test]
fn an_open_breaker_says_when_asking_again_makes_sense() {
    let (app, _fails) = failing();
    let proxy = proxy(&config(&[app.address], &upstream(6, "5s", 1), ONCE));
    for tenant in 0..6 {
        once(&proxy, "GET", &format!("tenant-{tenant}"), "/");
    }
    // a tenth more by chance
    refused(&proxy, "GET", "t", 5..=6);
    stop(proxy);
}

#[test]
fn an_app_that_refuses_connections_needs_no_second_tenant_to_be_left_alone_and_is_found_again() {
    let port = free_port();
    let proxy = proxy(&config(&[([127, 0, 0, 1], port).into()], &upstream(5, "200ms", 1), ONCE));
    for _ in 0..5 {
        assert_eq!(once(&proxy, "POST", "only", "/").reason(), "upstream_connect");
    }
    refused(&proxy, "POST", "only", 1..=1);
    thread::sleep(Duration::from_millis(230));
    assert_eq!(once(&proxy, "POST", "only", "/").reason(), "upstream_connect", "a trial");
    refused(&proxy, "POST", "only", 1..=1);
    let app = App::on(port, "app", Duration::from_secs(20), |_| Do::Answer(200));
    thread::sleep(Duration::from_millis(450));
    for _ in 0..10 {
        assert_eq!(once(&proxy, "POST", "only", "/").status, 200);
    }
    assert_eq!((app.count(), metric(&proxy, STATE)), (10, 0.0));
    stop(proxy);
}

#[test]
fn a_tenant_whose_every_request_fails_is_refused_itself_and_nobody_else_notices() {
    let poison = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&poison);
    let app = App::start("app", move |request| {
        let fails = request.all("x-tenant-id") == ["poison"] && flag.load(Ordering::SeqCst);
        Do::Answer(if fails { 503 } else { 200 })
    });
    let proxy = proxy(&config(&[app.address], &upstream(5, "400ms", 1), ONCE));
    let edge = proxy.edges[0];
    let ended = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..4)
        .map(|thread| {
            let ended = Arc::clone(&ended);
            thread::spawn(move || {
                let mut client = Client::connect(edge);
                let mut turn = 0;
                while !ended.load(Ordering::SeqCst) {
                    let answer = client.get(&format!("tenant-{thread}-{}", turn % 5), "/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    turn += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                turn
            })
        })
        .collect();
    let began = Instant::now();
    let (mut failed, mut denied) = (0, 0);
    while began.elapsed() < Duration::from_millis(1_000) {
        let answer = once(&proxy, "GET", "poison", "/");
        assert_eq!(answer.status, 503);
        if answer.header("x-synaxis-reason").is_some() {
            assert_eq!(answer.reason(), "breaker_open");
            assert!(answer.header("retry-after").is_some());
            denied += 1;
        } else {
            failed += 1;
            assert!(failed > 5 || denied == 0, "refused after {failed}");
        }
    }
    // five, and a trial each time its own breaker has been open for long enough
    assert!((5..=8).contains(&failed) && denied > 20, "{failed} failed, {denied} were refused");
    assert_eq!((metric(&proxy, STATE), transitions(&proxy, "breaker_", "open")), (0.0, 0.0));
    assert!(transitions(&proxy, "tenant_breaker_", "open") >= 1.0);
    poison.store(false, Ordering::SeqCst);
    eventually("it is served again", || once(&proxy, "GET", "poison", "/").status == 200);
    for _ in 0..10 {
        assert_eq!(once(&proxy, "GET", "poison", "/").status, 200);
    }
    ended.store(true, Ordering::SeqCst);
    for other in others {
        assert!(other.join().unwrap() > 100);
    }
    stop(proxy);
}

#[test]
fn what_a_tenant_does_wrong_and_clients_that_go_away_open_nothing() {
    let app = App::start("app", |request| match request.all("x-tenant-id")[0].as_str() {
        "gone" => Do::Held(200),
        _ => Do::Answer(429),
    });
    let proxy = proxy(&config(&[app.address], &upstream(3, "10s", 1), ONCE));
    for index in 0..20 {
        assert_eq!(once(&proxy, "GET", &format!("tenant-{index}"), "/").status, 429);
        let mut client = Client::connect(proxy.edges[0]);
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: gone\r\nContent-Length: 0\r\n\r\n");
        eventually("it has arrived", || app.count() == 2 * index + 2);
    }
    eventually("nothing is in flight", || super::in_flight(&proxy) == 0);
    assert_eq!(transitions(&proxy, "breaker_", "open") + transitions(&proxy, "tenant_breaker_", "open"), 0.0);
    stop(proxy);
}
