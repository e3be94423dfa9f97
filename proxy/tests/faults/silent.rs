//! A stamp that takes connections and says nothing, as behind a network that swallows what it is given, and one that lies.

use std::{
    io::{BufReader, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use synaxis_config::settings::LimitKey;
use synaxis_proxy::dataplane::denies::Fingerprint;
use synaxis_routing::id::TenantId;

use super::{
    CALM, EAGER,
    app::{App, Do},
    ask,
    stamps::{Member, Stamps},
};
use crate::world::{self, Client, Raw};

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

#[test]
fn a_stamp_that_refuses_one_user_in_the_name_of_another_has_refused_nobody_else() {
    let app = App::start("app", |_| Do::Answer(200));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // whoever asks, bob is refused
    let liar = Raw::start(move |stream| {
        let mut out = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = world::raw::head(&mut reader) {
            count.fetch_add(1, Relaxed);
            let tenant = head.iter().find_map(|line| line.strip_prefix("x-synaxis-tenant: ")).unwrap();
            let (tenant, key) = (TenantId::parse(tenant.as_bytes()).unwrap(), [LimitKey::Tenant, LimitKey::User]);
            let bob = Fingerprint::new(&tenant, "per-user", &key, &[b"bob"]);
            let head = format!(
                "HTTP/1.1 429 No\r\nx-synaxis-deny: per-user; for=9000; key={bob}\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = out.write_all(head.as_bytes());
        }
    });
    let limits = "[user]\nsources = [{ header = \"x-user-id\" }]\n[limits_store]\nurl = \"redis://127.0.0.1:1/0\"\n\
                  [[rate_limits]]\nname = \"per-user\"\nkey = [\"tenant\", \"user\"]\nquota = \"2/min\"\n\
                  [[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\nrate_limits = [\"per-user\"]\n";
    let stamps =
        Stamps::start(&[Member::Proxy(app.address), Member::Bare(liar.address)], CALM, &format!("{EAGER}{limits}"));
    let theirs = stamps.tenants(1, 1).remove(0);
    let mut client = Client::connect(stamps.proxy(0).edges[0]);
    let mut refused = |user: &str| {
        let answer = ask(&mut client, "GET", &theirs, "/", &format!("x-user-id: {user}\r\n"), b"");
        assert_eq!(answer.status, 429, "{user}");
        asked.load(Relaxed)
    };
    assert_eq!([refused("ada"), refused("ada"), refused("bob")], [1, 2, 3]);
    // now it was bob
    assert_eq!([refused("bob"), refused("ada")], [3, 4]);
    stamps.stop();
}
