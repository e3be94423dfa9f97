//! How many requests an app gets at a time, whose they are, and that every place comes back.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use synaxis_proxy::server::Running;

use super::{
    CALM, EAGER,
    app::{App, Do},
    config, in_flight, metric, once,
};
use crate::world::{Answer, Client, eventually, proxy, stop};

/// By the target: `/held` waits, `/cut` breaks off, `/stuck` goes silent, `/reset` gives none, `/ws` is a WebSocket.
fn app() -> App {
    App::start("app", |request| match request.target().as_str() {
        "/held" => Do::Held(200),
        "/cut" => Do::Cut,
        "/stuck" => Do::Stuck,
        "/reset" => Do::Reset,
        "/ws" => Do::WebSocket,
        _ => Do::Answer(200),
    })
}

fn places(count: u32, share: &str) -> String {
    format!("{CALM}in_flight_max = {count}\ntenant_share_max = {share}\n")
}

/// A request of a thread of its own.
fn begin(proxy: &Running, tenant: &str, target: &'static str) -> JoinHandle<Answer> {
    let (edge, tenant) = (proxy.edges[0], tenant.to_owned());
    thread::spawn(move || Client::connect(edge).get(&tenant, target))
}

fn busy(proxy: &Running, method: &str, tenant: &str) {
    let began = Instant::now();
    let answer = once(proxy, method, tenant, "/held");
    assert_eq!((answer.status, answer.reason().as_str()), (503, "concurrency"), "{method} {tenant}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(began.elapsed() < Duration::from_millis(300), "{:?} is not at once", began.elapsed());
}

fn refused(proxy: &Running, rule: &str) -> f64 {
    metric(proxy, &format!("upstream_refused_total{{kind=\"app\",upstream=\"app\",rule=\"{rule}\"}}"))
}

#[test]
fn one_request_more_than_there_are_places_is_refused_at_once_and_none_waits() {
    let app = app();
    let proxy = proxy(&config(&[app.address], &places(4, "1.0"), EAGER));
    let held: Vec<_> = (0..4).map(|index| begin(&proxy, &format!("tenant-{index}"), "/held")).collect();
    eventually("all places are taken", || app.count() == 4);
    for method in ["GET", "POST", "PUT"] {
        busy(&proxy, method, "tenant-0");
        busy(&proxy, method, "another");
    }
    assert_eq!((app.count(), in_flight(&proxy), refused(&proxy, "full")), (4, 4, 6.0));
    app.release();
    for answer in held {
        assert_eq!(answer.join().unwrap().status, 200);
    }
    eventually("nothing is in flight", || in_flight(&proxy) == 0);
    assert_eq!(once(&proxy, "GET", "another", "/").status, 200);
    stop(proxy);
}

#[test]
fn a_noisy_tenant_leaves_the_others_their_fifth() {
    let app = app();
    let proxy = proxy(&config(&[app.address], &places(20, "0.8"), EAGER));
    let noisy: Vec<_> = (0..40).map(|_| begin(&proxy, "noisy", "/held")).collect();
    eventually("it has all that it may have", || refused(&proxy, "tenant_share") == 24.0 && app.count() == 16);
    assert_eq!(in_flight(&proxy), 16);
    let others: Vec<_> = (0..4).map(|index| begin(&proxy, &format!("tenant-{index}"), "/held")).collect();
    eventually("all others are served", || app.count() == 20);
    busy(&proxy, "GET", "noisy");
    busy(&proxy, "GET", "one-too-many");
    app.release();
    for other in others {
        assert_eq!(other.join().unwrap().status, 200);
    }
    let (served, denied): (Vec<_>, Vec<_>) =
        noisy.into_iter().map(|answer| answer.join().unwrap()).partition(|answer| answer.status == 200);
    assert_eq!((served.len(), denied.len()), (16, 24));
    assert!(denied.iter().all(|answer| answer.reason() == "concurrency"));
    eventually("nothing is in flight", || in_flight(&proxy) == 0);
    stop(proxy);
}

#[test]
fn every_place_comes_back_however_its_request_ends() {
    let mut app = app();
    let proxy = proxy(&config(&[app.address], &places(8, "1.0"), "[retries]\nattempts_max = 2\nbackoff = \"1ms\"\n"));
    let edge = proxy.edges[0];
    let get = |target: &str| {
        let mut client = Client::connect(edge);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n").as_bytes());
        client
    };
    let none_is_left = |what: &str| eventually(what, || in_flight(&proxy) == 0);

    // clients go away before and in the middle of an answer
    for target in ["/held", "/stuck"] {
        let clients: Vec<Client> = (0..7).map(|_| get(target)).collect();
        eventually("they are in flight", || in_flight(&proxy) == 7);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(in_flight(&proxy), 7, "{target}: held as long as the answer lasts");
        drop(clients);
        none_is_left(target);
    }
    // in the middle of an upload
    for _ in 0..7 {
        Client::connect(edge)
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 1000\r\n\r\nhalf of it");
    }
    none_is_left("uploads");
    // the app fails
    for target in ["/reset", "/cut"] {
        for _ in 0..10 {
            let _ = get(target).answer(false);
        }
        none_is_left(target);
    }
    // WebSockets, ended by the client and by the app
    for ended_by_client in [true, false] {
        let sockets: Vec<Client> = (0..7)
            .map(|_| {
                let mut client = Client::connect(edge);
                client.send(
                    b"GET /ws HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                );
                assert_eq!(client.answer(true).unwrap().status, 101);
                client
            })
            .collect();
        none_is_left("a WebSocket is no request in flight");
        if !ended_by_client {
            app.break_all();
        }
        drop(sockets);
        eventually("the tunnels have ended", || metric(&proxy, "websockets") == 0.0);
        assert_eq!(in_flight(&proxy), 0, "and nothing is given back twice");
    }
    // the app dies with requests in flight, and nobody can be connected to
    let held: Vec<_> = (0..7).map(|_| begin(&proxy, "t", "/held")).collect();
    eventually("they are in flight", || in_flight(&proxy) == 7);
    app.kill();
    for answer in held {
        assert_eq!(answer.join().unwrap().status, 502);
    }
    none_is_left("the app is dead");
    assert_eq!(once(&proxy, "GET", "t", "/").reason(), "upstream_connect");
    none_is_left("nobody was asked");
    assert_eq!(proxy.plane().snapshot.load().apps[0].guard.admission.tenants(), 0);
    stop(proxy);
}
