//! Health checks: who is asked, what becomes of the answers, and what the stamp says of itself.

use std::{net::SocketAddr, path::Path, time::Instant};

use synaxis_proxy::{
    control::config_file::ConfigFile,
    server::{self, Running},
};
use synaxis_routing::{
    bundle::Bundle,
    change::{Drain, Fleet, Guards},
    id::StampId,
    store::{LogEntry, Mode, Store},
};

use crate::world::{
    Answer, Client, Origin, Redis, alone, eventually, free_port,
    probed::{BROKEN, GOOD, HOSTILE, Probed, Says},
    proxy, stop, table,
};

const CHECK: &str = "[upstreams.app.health_check]\npath = \"/up\"\ninterval = \"100ms\"\ntimeout = \"80ms\"\n";
const PEER: &str = "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n";

/// A proxy before these endpoints.
fn before(endpoints: &[&Probed], more: &str) -> String {
    let listed: Vec<String> = endpoints.iter().map(|app| format!("\"http://{}\"", app.address)).collect();
    let first = endpoints[0].address;
    alone(first, more).replace(&format!("[\"http://{first}\"]"), &format!("[{}]", listed.join(", ")))
}

fn ask(address: SocketAddr, target: &str) -> Answer {
    Client::connect(address).exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap()
}

/// What the stamp says of its app, and with which status.
fn says(address: SocketAddr) -> (u16, String) {
    let answer = ask(address, "/health");
    assert_eq!(answer.header("x-synaxis-state"), Some("active"));
    (answer.status, answer.header("x-synaxis-app").unwrap().to_owned())
}

/// Which endpoints get traffic.
fn serving(proxy: &Running) -> Vec<usize> {
    let plane = proxy.plane();
    let snapshot = plane.snapshot.load();
    let (app, now) = (&snapshot.apps[0], plane.clock.uptime(Instant::now()));
    (0..app.targets.len()).filter(|place| app.health.serves(*place, now, &app.health_limits)).collect()
}

fn metric(proxy: &Running, line: &str) -> bool {
    ask(proxy.admin, "/metrics").text().lines().any(|known| known == line)
}

#[test]
fn an_endpoint_that_fails_its_checks_is_out_and_one_that_passes_is_enough_for_the_stamp() {
    let (one, two) = (Probed::start(GOOD), Probed::start(GOOD));
    let proxy = proxy(&before(&[&one, &two], &format!("{CHECK}{PEER}")));
    let (edge, peer) = (proxy.edges[0], proxy.peers[0]);
    let become_ = |app: &str, edge_status, peer_status| {
        eventually(app, || says(edge) == (edge_status, app.to_owned()));
        assert_eq!(says(peer), (peer_status, app.to_owned()));
    };
    become_("ok", 200, 200);
    assert_eq!(serving(&proxy), [0, 1]);
    one.say(BROKEN);
    eventually("the first is out", || serving(&proxy) == [1]);
    assert_eq!((says(edge), says(peer)), ((200, "ok".into()), (200, "ok".into())));
    assert!(metric(&proxy, "health_checked{kind=\"app\"} 2") && metric(&proxy, "health_passing{kind=\"app\"} 1"));
    two.say(BROKEN);
    // edge traffic is not the way to tell: another process of this stamp may see it otherwise
    become_("bad", 200, 503);
    assert_eq!(serving(&proxy), [0, 1], "as none passes, all are tried");
    one.say(GOOD);
    become_("ok", 200, 200);
    eventually("the first serves alone", || serving(&proxy) == [0]);
    let head = Client::connect(edge).exchange(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.header("x-synaxis-app"), Some("ok"));
    stop(proxy);
}

#[test]
fn a_health_check_is_a_get_of_nobody_in_particular() {
    let app = Probed::start(GOOD);
    let proxy = proxy(&before(&[&app], CHECK));
    eventually("three checks", || app.heads().len() >= 3);
    for head in app.heads() {
        assert!(head.starts_with("GET /up HTTP/1.1\r\n"), "{head}");
        let fields = head.to_ascii_lowercase();
        assert!(fields.contains(&format!("\r\nhost: {}\r\n", app.address)), "{head}");
        assert!(fields.contains("\r\nuser-agent: synaxis-proxy/") && !fields.contains("x-"), "{head}");
    }
    stop(proxy);
}

#[test]
fn without_checks_or_before_they_have_answered_nobody_knows_how_the_app_is() {
    let app = Probed::start(BROKEN);
    let unchecked = proxy(&before(&[&app], ""));
    eventually("a table", || ask(unchecked.edges[0], "/health").status == 200);
    assert_eq!(says(unchecked.edges[0]), (200, "unknown".into()));
    assert!(app.heads().is_empty(), "nobody asks");
    stop(unchecked);
    app.say(Says::Nothing);
    let check = CHECK.replace("100ms", "20s").replace("80ms", "10s");
    let waiting = proxy(&before(&[&app], &check));
    eventually("a check", || !app.heads().is_empty());
    assert_eq!(says(waiting.edges[0]), (200, "unknown".into()));
    stop(waiting);
}

#[test]
fn whatever_an_endpoint_answers_it_is_out_in_time_and_back_when_it_is_good() {
    let (good, bad) = (Probed::start(GOOD), Probed::start(GOOD));
    let proxy = proxy(&before(&[&good, &bad], CHECK));
    for hostile in HOSTILE {
        bad.say(hostile);
        eventually("it is out", || serving(&proxy) == [0]);
        bad.say(GOOD);
        eventually("it is back", || serving(&proxy) == [0, 1]);
    }
    assert_eq!(says(proxy.edges[0]), (200, "ok".into()));
    stop(proxy);
}

#[test]
fn a_reload_takes_effect_on_who_is_asked_and_forgets_what_nobody_asks() {
    let (good, bad) = (Probed::start(GOOD), Probed::start(BROKEN));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let write = |more: &str| std::fs::write(&path, before(&[&good, &bad], more)).unwrap();
    write("");
    let (file, settings, _) = ConfigFile::load(Path::new(&path)).unwrap();
    let proxy = server::run_from(file, settings, None).unwrap();
    write(CHECK);
    proxy.reload();
    eventually("the second is out", || serving(&proxy) == [0]);
    write(&CHECK.replace("/up", "/other"));
    proxy.reload();
    eventually("another path", || bad.heads().iter().any(|head| head.starts_with("GET /other ")));
    assert_eq!(serving(&proxy), [0], "what the checks said stays");
    write("");
    proxy.reload();
    eventually("all serve", || serving(&proxy) == [0, 1]);
    assert_eq!(says(proxy.edges[0]), (200, "unknown".into()));
    let asked = bad.heads().len();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(bad.heads().len() <= asked + 1, "nobody asks any more");
    stop(proxy);
}

fn stamp(number: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{number:03}")).unwrap()
}

fn publish(redis: &Redis, fleet: &Fleet, mode: Mode) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&redis.url(), "synaxis").unwrap();
        let expected = store.glance().await.unwrap().head;
        let bundle = Bundle::encode(&fleet.table, &fleet.tenants, &fleet.version().to_string()).unwrap();
        let entry =
            LogEntry { at: 0, who: "test".into(), what: "change".into(), why: String::new(), version: fleet.version() };
        store.publish(expected.as_ref(), &bundle, &entry, mode).await.unwrap();
    });
}

/// A proxy of the first stamp whose other stamps are these.
fn among(redis: &Redis, peers: &[u16], probing: &str) -> (Running, Fleet, Origin) {
    let (origin, own) = (Origin::start("app"), free_port());
    let stamps: Vec<(StampId, u16)> =
        std::iter::once(own).chain(peers.iter().copied()).enumerate().map(|(i, port)| (stamp(i + 1), port)).collect();
    let fleet = table::active(&stamps);
    publish(redis, &fleet, Mode::Init);
    let more = format!(
        "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:{own}\"\n[routing]\nstore = \"{}\"\npoll = \"100ms\"\n[peers.health_check]\n{probing}\n",
        redis.url()
    );
    (proxy(&alone(origin.address, &more)), fleet, origin)
}

/// Numbers of the stamps that are unwell as this proxy sees it.
fn unwell(proxy: &Running) -> Vec<usize> {
    let snapshot = proxy.plane().snapshot.load();
    let Some(fleet) = &snapshot.fleet else { return Vec::new() };
    let peers = fleet.peers.iter().enumerate();
    peers.filter(|(_, peer)| peer.as_ref().unwrap().guard.is_unwell()).map(|(index, _)| index + 1).collect()
}

#[test]
fn a_stamp_that_does_not_answer_well_or_says_so_itself_is_unwell_until_it_does() {
    let redis = Redis::start();
    let stamps = [Probed::start(GOOD), Probed::start(GOOD)];
    let ports = stamps.each_ref().map(|stamp| stamp.address.port());
    let (proxy, ..) = among(&redis, &ports, "interval = \"100ms\"\ntimeout = \"80ms\"");
    eventually("both pass", || metric(&proxy, "health_passing{kind=\"peer\"} 2"));
    assert!(stamps[0].heads()[0].starts_with("GET /health HTTP/1.1\r\n"));
    let says_bad = Says::Bytes("HTTP/1.1 200 OK\r\nx-synaxis-app: bad\r\ncontent-length: 0\r\n\r\n");
    for hostile in HOSTILE.into_iter().chain([says_bad]) {
        stamps[0].say(hostile);
        eventually("it is unwell", || unwell(&proxy) == [2]);
        stamps[0].say(GOOD);
        eventually("it is well", || unwell(&proxy).is_empty());
    }
    stamps[0].say(Says::Bytes("HTTP/1.1 200 OK\r\nx-synaxis-app: unknown\r\ncontent-length: 0\r\n\r\n"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(unwell(&proxy).is_empty(), "who has no checks may be well");
    stop(proxy);
}

#[test]
fn when_most_other_stamps_look_bad_none_is_unwell() {
    let redis = Redis::start();
    let stamps = [GOOD; 4].map(Probed::start);
    let ports = stamps.each_ref().map(|stamp| stamp.address.port());
    let (proxy, ..) = among(&redis, &ports, "interval = \"100ms\"\ntimeout = \"80ms\"");
    eventually("all pass", || metric(&proxy, "health_passing{kind=\"peer\"} 4"));
    stamps[1].say(BROKEN);
    stamps[2].say(BROKEN);
    eventually("two are unwell", || unwell(&proxy) == [3, 4]);
    stamps[3].say(BROKEN);
    eventually("none is", || unwell(&proxy).is_empty());
    assert!(metric(&proxy, "health_passing{kind=\"peer\"} 1"));
    stamps[3].say(GOOD);
    eventually("two are unwell again", || unwell(&proxy) == [3, 4]);
    stop(proxy);
}

#[test]
fn a_stamp_that_becomes_active_is_asked_at_once() {
    let redis = Redis::start();
    let (port, others) = (free_port(), [GOOD; 2].map(Probed::start));
    let ports = [port, others[0].address.port(), others[1].address.port()];
    let (proxy, fleet, _origin) = among(&redis, &ports, "interval = \"10m\"\nhealthy = 1");
    eventually("it is unwell, as nobody listens", || unwell(&proxy) == [2]);
    let fleet = fleet.drain(&stamp(2), Drain::default(), &Guards::default(), 2).unwrap().fleet;
    publish(&redis, &fleet, Mode::NoProxies);
    let draining = fleet.version();
    eventually("it drains", || {
        let snapshot = proxy.plane().snapshot.load();
        snapshot.fleet.as_ref().is_some_and(|fleet| fleet.placement.version() == draining)
    });
    let now = Probed::on(port, GOOD);
    publish(&redis, &fleet.activate(&stamp(2), 0, 3).unwrap().fleet, Mode::NoProxies);
    eventually("it is well, long before its turn", || unwell(&proxy).is_empty());
    assert_eq!(now.heads().len(), 1);
    stop(proxy);
}
