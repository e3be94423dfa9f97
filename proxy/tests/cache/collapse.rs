//! Several who want the same answer at a time.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{App, Does, SOON, answer, ask, caching, found, get, is_hit, metric, minute, ok, results};
use crate::world::{Client, eventually, stop};

#[test]
fn a_crowd_on_a_cold_key_causes_one_request() {
    const CROWD: usize = 1_000;
    let app = App::start(|_| Does::Waits(ok("Cache-Control: max-age=60\r\n", &"x".repeat(100_000))));
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                let mut client = Client::connect(edge);
                client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\n\r\n");
                scope.spawn(move || client.answer(false).unwrap())
            })
            .collect();
        eventually("all are there", || metric(&proxy, "request_queue_length") >= CROWD as f64);
        app.open();
        for client in crowd {
            let answer = client.join().unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 100_000));
        }
    });
    assert_eq!(app.count(), 1);
    assert_eq!((results(&proxy, "miss"), results(&proxy, "collapsed") + results(&proxy, "hit")), (1.0, 999.0));
    stop(proxy);
}

#[test]
fn who_has_credentials_waits_for_nobody_once_it_is_known_that_each_has_his_own() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: max-age=60\r\n", "first")),
        _ => Does::Waits(ok("Cache-Control: max-age=60\r\n", "later")),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let first = ask(edge, "acme", "/", "Authorization: Bearer A\r\n");
    assert!(found(&first).contains("authorization"), "{}", found(&first));
    let mut clients: Vec<Client> = (0..5)
        .map(|index| {
            let mut client = Client::connect(edge);
            let fields = format!("Host: app.example\r\nX-Tenant-Id: acme\r\nAuthorization: Bearer {index}\r\n");
            client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes());
            client
        })
        .collect();
    eventually("all are at the app", || app.count() == 6);
    app.open();
    for client in &mut clients {
        assert_eq!(client.answer(false).unwrap().text(), "later");
    }
    // of those without credentials nothing else is known, and what they have is everybody's
    assert!(!is_hit(&get(edge, "/")) && is_hit(&get(edge, "/")));
    assert!(is_hit(&ask(edge, "acme", "/", "Authorization: Bearer A\r\n")));
    stop(proxy);
}

#[test]
fn those_who_come_while_it_comes_read_it_as_it_comes() {
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello";
    let app = App::start(move |_| Does::Halts(head.to_owned(), "world".to_owned()));
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let mut clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::connect(edge);
            client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\n\r\n");
            client
        })
        .collect();
    for client in &mut clients {
        let mut text = String::new();
        while !text.ends_with("hello") {
            text.push_str(&String::from_utf8(client.bytes(1).unwrap()).unwrap());
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    app.open();
    assert!(clients.iter_mut().all(|client| client.bytes(5).unwrap() == b"world"));
    assert_eq!(app.count(), 1);
    stop(proxy);
}

#[test]
fn a_fetch_goes_on_when_whoever_began_it_is_gone() {
    let app = App::start(|_| Does::Waits(ok("Cache-Control: max-age=60\r\n", "here")));
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let mut first = Client::connect(edge);
    first.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\n\r\n");
    eventually("the app is asked", || app.count() == 1);
    drop(first);
    let second = thread::spawn(move || get(edge, "/"));
    thread::sleep(Duration::from_millis(100));
    app.open();
    let second = second.join().unwrap();
    assert_eq!((second.text().as_str(), app.count()), ("here", 1));
    assert!(is_hit(&get(edge, "/")));
    stop(proxy);
}

#[test]
fn one_of_those_who_wait_for_a_slow_fetch_goes_itself() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Waits(ok("Cache-Control: max-age=60\r\n", "slow")),
        _ => minute(asked),
    });
    let proxy = caching(&app, "");
    stop(proxy);
    let proxy = super::caching_and(&app, "", "[cache]\ncollapse_wait = \"1s\"\n");
    let edge = proxy.edges[0];
    let slow = thread::spawn(move || get(edge, "/"));
    eventually("the app is asked", || app.count() == 1);
    let began = Instant::now();
    let answers: Vec<_> = (0..20).map(|_| thread::spawn(move || get(edge, "/").text())).collect();
    let texts: Vec<String> = answers.into_iter().map(|answer| answer.join().unwrap()).collect();
    assert!(began.elapsed() < SOON && texts.iter().all(|text| text == "/ 1"), "{texts:?}");
    assert_eq!(app.count(), 2, "one of twenty");
    assert!(metric(&proxy, "cache_slow_fetches_total") >= 1.0);
    app.open();
    assert_eq!(slow.join().unwrap().text(), "slow");
    stop(proxy);
}

#[test]
fn a_fetch_that_fails_sends_nobody_but_the_next() {
    const CROWD: usize = 50;
    let app = App::start(|asked| match asked.turn {
        0..20 => Does::Sends(answer("500 Unexpected", "", "")),
        _ => minute(asked),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let together = Barrier::new(CROWD);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asking = (0..CROWD).map(|_| {
            scope.spawn(|| {
                let mut client = Client::connect(edge);
                together.wait();
                client.get("acme", "/").status
            })
        });
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let failed = statuses.iter().filter(|status| **status == 500).count();
    assert_eq!((failed, app.count()), (20, 21), "each failure is one request's, and one goes after it");
    stop(proxy);
}

#[test]
fn nobody_waits_twice_for_what_is_not_kept() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: no-store\r\n", "mine")),
        _ => Does::Waits(ok("Cache-Control: no-store\r\n", "mine")),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    assert!(found(&get(edge, "/")).contains("no-store"));
    let asking: Vec<_> = (0..10).map(|_| thread::spawn(move || ask(edge, "acme", "/", "").text())).collect();
    eventually("all ask at once", || app.count() == 11);
    app.open();
    assert!(asking.into_iter().all(|asked| asked.join().unwrap() == "mine"));
    stop(proxy);
}

#[test]
fn those_who_want_what_has_to_be_asked_about_each_time_do_not_queue() {
    const CROWD: usize = 30;
    let app = App::start(|_| {
        thread::sleep(Duration::from_millis(100));
        Does::Sends(ok("Cache-Control: no-cache\r\nETag: \"v\"\r\n", "x"))
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let began = Instant::now();
    let asking: Vec<_> = (0..CROWD).map(|_| thread::spawn(move || get(edge, "/").status)).collect();
    assert!(asking.into_iter().all(|asked| asked.join().unwrap() == 200));
    // one after the other they would take three seconds
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    stop(proxy);
}
