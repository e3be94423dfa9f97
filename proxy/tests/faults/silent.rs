//! A stamp that takes connections and says nothing, as behind a network that swallows what it is given.

use std::{io::Read as _, thread, time::Duration};

use super::{
    CALM, EAGER,
    app::{App, Do},
    ask,
    stamps::{Member, Stamps},
};
use crate::world::{Client, Raw};

/// An attempt is given up long before its request.
const ROUTE: &str = "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\n\
                     timeout = \"2s\"\nattempt_timeout = \"150ms\"\n";

/// A proxy in front of an app, and the silent stamp.
fn beside_a_silent_one(more: &str) -> (App, Raw, Stamps) {
    let app = App::start("app", |_| Do::Answer(200));
    let silent = Raw::start(|mut stream| _ = stream.read_to_end(&mut Vec::new()));
    let stamps = Stamps::start(
        &[Member::Proxy(app.address), Member::Bare(silent.address)],
        CALM,
        &format!("{EAGER}{ROUTE}{more}"),
    );
    (app, silent, stamps)
}

#[test]
fn who_asks_there_again_and_again_is_answered_by_another_stamp_each_time() {
    let (_app, _silent, stamps) = beside_a_silent_one("");
    let tenant = stamps.tenants(1, 1).remove(0);
    let mut client = Client::connect(stamps.proxy(0).edges[0]);
    // more than the failures that open a breaker
    for turn in 0..12 {
        let answer = ask(&mut client, "GET", &tenant, "/", "", b"");
        assert_eq!(answer.status, 200, "request {turn}: {answer:?}");
    }
    stamps.stop();
}

#[test]
fn a_request_that_comes_to_this_stamp_late_is_limited_by_the_instant_at_which_it_comes() {
    // one bucket for all tenants of the route, full again within 110 ms
    let limit =
        "rate_limits = [\"all\"]\n[[rate_limits]]\nname = \"all\"\nkey = [\"route\"]\nquota = \"100/s\"\nburst = 10\n";
    let (_app, _silent, stamps) = beside_a_silent_one(limit);
    let (own, theirs) = (stamps.tenants(0, 1).remove(0), stamps.tenants(1, 1).remove(0));
    let edge = stamps.proxy(0).edges[0];
    for turn in 0..8 {
        let theirs = theirs.clone();
        let late = thread::spawn(move || ask(&mut Client::connect(edge), "GET", &theirs, "/", "", b"").status);
        thread::sleep(Duration::from_millis(130));
        assert_eq!(ask(&mut Client::connect(edge), "GET", &own, "/", "", b"").status, 200, "{turn}");
        assert_eq!(late.join().unwrap(), 200, "{turn}");
    }
    stamps.stop();
}
