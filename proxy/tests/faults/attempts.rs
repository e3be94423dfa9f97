//! Which requests are tried again after which failure, how often, and how long that may take.

use std::{
    net::SocketAddr,
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
    ask, config, metric, once,
};
use crate::world::{Client, free_port, proxy, stop};

const RETRIES: &str = "retries_total{kind=\"app\",upstream=\"app\"}";

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// So many apps of which the first `failing` requests, whichever gets them, come to `fault`, and all others to 200.
fn apps(count: usize, failing: usize, fault: Do) -> Vec<App> {
    let left = Arc::new(AtomicUsize::new(failing));
    let start = |index: usize| {
        let left = Arc::clone(&left);
        App::start(&index.to_string(), move |_| {
            let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if fails { fault } else { Do::Answer(200) }
        })
    };
    (0..count).map(start).collect()
}

fn addresses(apps: &[App]) -> Vec<SocketAddr> {
    apps.iter().map(|app| app.address).collect()
}

fn seen(apps: &[App]) -> usize {
    apps.iter().map(App::count).sum()
}

#[test]
fn a_harmless_request_that_fails_is_tried_up_to_four_times_and_any_other_once() {
    const ALWAYS: usize = 1_000;
    // the fault, how often, what the client gets in the end, attempts of a harmless request
    for (fault, failing, status, attempts) in [
        (Do::Answer(503), ALWAYS, 503, 4),
        (Do::Answer(502), ALWAYS, 502, 4),
        (Do::Answer(504), ALWAYS, 504, 4),
        (Do::Reset, ALWAYS, 502, 4),
        (Do::Last(503), ALWAYS, 503, 4),
        (Do::Answer(503), 3, 200, 4),
        (Do::Reset, 3, 200, 4),
        (Do::Reset, 1, 200, 2),
        (Do::Answer(500), ALWAYS, 500, 1),
        (Do::Answer(429), ALWAYS, 429, 1),
        (Do::Cut, ALWAYS, 200, 1),
    ] {
        for endpoints in [1, 2] {
            for method in ["GET", "OPTIONS", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
                let apps = apps(endpoints, failing, fault);
                let proxy = proxy(&config(&addresses(&apps), CALM, EAGER));
                let mut client = Client::connect(proxy.edges[0]);
                let what = format!("{method}, {fault:?}, {failing} times, {endpoints} endpoints");
                let is_safe = matches!(method, "GET" | "OPTIONS" | "HEAD");
                let expected = if is_safe { attempts } else { 1 };
                client.send(
                    format!("{method} /?id=1 HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 0\r\n\r\n")
                        .as_bytes(),
                );
                match client.answer(method == "HEAD") {
                    Ok(_) if matches!(fault, Do::Cut) && method != "HEAD" => panic!("{what}: not cut"),
                    Err(_) if matches!(fault, Do::Cut) => {}
                    Err(error) => panic!("{what}: {error}"),
                    Ok(answer) => {
                        let end = match fault {
                            Do::Reset if !is_safe => 502,
                            Do::Answer(fault) if !is_safe => fault,
                            _ => status,
                        };
                        assert_eq!(answer.status, end, "{what}");
                        let ours = answer.header("x-synaxis-reason");
                        assert_eq!(
                            ours,
                            (matches!(fault, Do::Reset) && end == 502).then_some("upstream_reset"),
                            "{what}"
                        );
                    }
                }
                assert_eq!(seen(&apps), expected, "{what}");
                assert_eq!(metric(&proxy, RETRIES), (expected - 1) as f64, "{what}");
                stop(proxy);
            }
        }
    }
}

#[test]
fn an_endpoint_that_refuses_costs_no_request_as_long_as_another_one_is_there() {
    let app = App::start("app", |_| Do::Answer(200));
    let refusing = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // no budget at all: what was not sent needs none
    let retries = "[retries]\nbackoff = \"1m\"\nbackoff_max = \"1m\"\nbudget = 0.0\nbudget_min = 0\n";
    let proxy = proxy(&config(&[refusing, app.address], CALM, retries));
    let mut client = Client::connect(proxy.edges[0]);
    for index in 0..30 {
        let method = ["GET", "POST", "DELETE", "PUT"][index % 4];
        let body = vec![b'a' + (index % 26) as u8; index * 7_000 * usize::from(method != "GET")];
        let answer = ask(&mut client, method, "t", &format!("/?id={index}"), "", &body);
        assert_eq!(answer.status, 200, "{method} {index}: {}", answer.text());
        let seen = app.seen();
        assert_eq!((seen.len(), seen[index].id()), (index + 1, index.to_string()), "each once");
        assert!(seen[index].body == body, "{index}: another body");
    }
    assert!(metric(&proxy, RETRIES) >= 10.0);
    stop(proxy);
}

#[test]
fn where_everybody_refuses_the_client_is_told_that_nothing_was_sent() {
    for endpoints in [1, 2] {
        let refusing: Vec<SocketAddr> =
            (0..endpoints).map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
        let proxy = proxy(&config(&refusing, CALM, EAGER));
        for (method, retries) in [("POST", endpoints - 1), ("GET", 3)] {
            let before = metric(&proxy, RETRIES);
            let answer = once(&proxy, method, "t", "/");
            assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_connect"));
            assert_eq!(metric(&proxy, RETRIES) - before, f64::from(retries), "{method}, {endpoints} endpoints");
        }
        stop(proxy);
    }
}

/// A route with these limits of time in milliseconds.
fn timed(timeout: u64, attempt: u64, backoff: u64) -> String {
    format!(
        "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\ntimeout = \"{timeout}ms\"\n\
         attempt_timeout = \"{attempt}ms\"\n[retries]\nbackoff = \"{backoff}ms\"\nbudget_min = 100000\n\
         [timeouts]\nconnect = \"50ms\"\n"
    )
}

#[test]
fn a_request_that_nobody_answers_is_tried_once_more_and_only_where_another_endpoint_is_left() {
    // endpoints, method, how many requests hang, status, attempts, milliseconds at least and at most
    for (endpoints, method, failing, status, attempts, least, most) in [
        (1, "GET", 9, 504, 1, 600, 1_100),
        (2, "GET", 9, 504, 2, 600, 1_100),
        (3, "GET", 9, 504, 2, 600, 1_100),
        (2, "GET", 1, 200, 2, 150, 1_100),
        (2, "POST", 9, 504, 1, 600, 1_100),
    ] {
        let apps = apps(endpoints, failing, Do::Held(200));
        let proxy = proxy(&config(&addresses(&apps), CALM, &timed(600, 150, 5)));
        let began = Instant::now();
        let answer = once(&proxy, method, "t", "/");
        let took = began.elapsed();
        let what = format!("{method}, {endpoints} endpoints, {failing} hang: {took:?}");
        assert_eq!(answer.status, status, "{what}");
        if status == 504 {
            assert_eq!(answer.reason(), "upstream_timeout");
        }
        assert!(took >= millis(least) && took < millis(most), "{what}");
        assert_eq!(seen(&apps), attempts, "{what}");
        stop(proxy);
    }
}

#[test]
fn a_slow_answer_is_waited_for_where_nobody_else_could_give_it() {
    for (endpoints, method, attempts) in [(1, "GET", 1), (2, "POST", 1), (2, "GET", 2)] {
        let apps = apps(endpoints, 100, Do::Late(millis(300), 200));
        let proxy = proxy(&config(&addresses(&apps), CALM, &timed(1_500, 100, 5)));
        assert_eq!(once(&proxy, method, "t", "/").status, 200, "{method}, {endpoints} endpoints");
        assert_eq!(seen(&apps), attempts, "{method}, {endpoints} endpoints");
        stop(proxy);
    }
}

#[test]
fn a_slow_answer_is_waited_for_when_no_retry_could_be_paid_for() {
    let apps = apps(2, 100, Do::Late(millis(300), 200));
    let poor = timed(1_500, 100, 5).replace("budget_min = 100000", "budget = 0\nbudget_min = 0");
    let proxy = proxy(&config(&addresses(&apps), CALM, &poor));
    assert_eq!(once(&proxy, "GET", "t", "/").status, 200);
    assert_eq!(seen(&apps), 1, "it was not given up for an attempt that it could not have");
    stop(proxy);
}

#[test]
fn no_pause_before_a_retry_goes_beyond_the_end_of_the_request() {
    for endpoints in [1, 2] {
        let apps = apps(endpoints, 100, Do::Answer(503));
        let proxy = proxy(&config(&addresses(&apps), CALM, &timed(500, 400, 200)));
        let began = Instant::now();
        let answer = once(&proxy, "GET", "t", "/");
        // 200 ms, and then 400 would be too many
        assert_eq!((answer.status, answer.header("x-synaxis-reason"), seen(&apps)), (503, None, 2));
        assert!(began.elapsed() >= millis(180) && began.elapsed() < millis(1_000), "{:?}", began.elapsed());
        stop(proxy);
    }
}

#[test]
fn an_app_that_closes_idle_connections_just_when_they_are_used_costs_no_get_and_runs_no_post_twice() {
    const IDLE: Duration = Duration::from_millis(8);
    for endpoints in [1, 2] {
        let apps: Vec<App> =
            (0..endpoints).map(|index| App::on(0, &index.to_string(), IDLE, |_| Do::Answer(200))).collect();
        let proxy = proxy(&config(&addresses(&apps), CALM, EAGER));
        let edge = proxy.edges[0];
        let clients: Vec<_> = (0..4)
            .map(|number| {
                thread::spawn(move || {
                    let mut client = Client::connect(edge);
                    let mut failed = Vec::new();
                    for turn in 0..60_u64 {
                        // around the instant at which the app closes
                        thread::sleep(IDLE - millis(1) + Duration::from_micros(turn * 37 % 2_000));
                        let (method, id) = (["GET", "POST"][turn as usize % 2], format!("{number}-{turn}"));
                        let answer = ask(&mut client, method, "t", &format!("/?id={id}"), "", b"");
                        match answer.status {
                            200 => assert_eq!(answer.json()["target"], format!("/?id={id}")),
                            _ => {
                                assert_eq!((method, answer.reason().as_str()), ("POST", "upstream_reset"), "{id}");
                                failed.push(id);
                            }
                        }
                    }
                    failed
                })
            })
            .collect();
        let failed: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let mut ran: Vec<String> =
            apps.iter().flat_map(App::seen).filter(|seen| seen.method() == "POST").map(|seen| seen.id()).collect();
        ran.sort();
        let posts = ran.len();
        ran.dedup();
        assert_eq!(ran.len(), posts, "a POST ran twice");
        let answered = 4 * 30 - failed.len();
        assert!(ran.len() >= answered, "{answered} were answered and {} ran", ran.len());
        stop(proxy);
    }
}
