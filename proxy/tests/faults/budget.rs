//! What retries cost an app that fails every request.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    CALM,
    app::{App, Do},
    config, metric,
};
use crate::world::{Client, proxy, stop};

const RUN: Duration = Duration::from_millis(1_900);

#[test]
fn an_app_that_always_fails_gets_a_tenth_more_than_its_clients_ask_and_three_a_second() {
    let app = App::start("app", |_| Do::Answer(503));
    let proxy = proxy(&config(&[app.address], CALM, "[retries]\nbackoff = \"1ms\"\n"));
    let edge = proxy.edges[0];
    let began = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                let mut client = Client::connect(edge);
                let mut asked = 0_u32;
                while began.elapsed() < RUN {
                    let answer = client.get(&format!("tenant-{number}"), &format!("/?id={number}-{asked}"));
                    assert_eq!((answer.status, answer.header("x-synaxis-reason")), (503, None), "the app's own word");
                    asked += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                asked
            })
        })
        .collect();
    let asked: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    let got = app.count() as f64;
    let asked = f64::from(asked);
    // whole seconds count from their first instant, and the budget began a moment before the first request: 1.9 seconds of
    // load touch three seconds, and what it was given at its start is part of these
    let seconds = began.elapsed().as_secs_f64().ceil() + 1.0;
    assert!(asked >= 400.0, "{asked} requests are no load");
    assert!(got <= 1.1 * asked + 3.0 * seconds, "{got} of {asked} in {seconds} s");
    // it is used up, not less
    assert!(got >= 1.09 * asked, "{got} of {asked}");
    let labels = "{kind=\"app\",upstream=\"app\"}";
    assert_eq!(metric(&proxy, &format!("retries_total{labels}")), got - asked);
    // each request is denied one retry, unless it had three
    let denied = metric(&proxy, &format!("retries_denied_total{labels}"));
    assert!(denied <= asked && denied >= asked - (got - asked) / 3.0, "{denied} of {asked}");
    stop(proxy);
}

#[test]
fn what_an_upstream_may_be_asked_again_for_can_be_set_to_nothing() {
    let app = App::start("app", |_| Do::Reset);
    let proxy = proxy(&config(&[app.address], CALM, "[retries]\nbudget = 0.0\nbudget_min = 0\n"));
    for index in 0..20 {
        let answer = Client::connect(proxy.edges[0]).get("t", &format!("/?id={index}"));
        assert_eq!(answer.reason(), "upstream_reset");
    }
    assert_eq!(app.count(), 20);
    assert_eq!(metric(&proxy, "retries_denied_total{kind=\"app\",upstream=\"app\"}"), 20.0);
    stop(proxy);
}
