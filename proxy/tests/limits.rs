//! How many requests may come: of a tenant, a user, an address; what the others and the app notice of it; and that no
//! token is lost to a request that was refused for another reason.

pub(crate) mod crowd;
mod fleet;
mod hostile;
mod load;
mod restored;

use std::{fs, net::SocketAddr, path::Path, thread, time::Duration};

use synaxis_proxy::{
    control::config_file::{ConfigFile, Times},
    server::{self, Running},
};

use crate::world::{Answer, Client, Origin, alone, eventually, proxy, stop};

/// A proxy that takes on what changes in its file.
fn follow(path: &Path) -> Running {
    let (mut file, settings, _) = ConfigFile::load(path).unwrap_or_else(|faults| panic!("{faults}"));
    file.times =
        Times { quiet: Duration::from_millis(20), most: Duration::from_millis(200), poll: Duration::from_secs(60) };
    server::run_from(file, settings, None).unwrap()
}

/// One route that asks for these limits.
fn route(limits: &str) -> String {
    format!("[[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \"app\"\nrate_limits = [{limits}]\n")
}

/// Two at once for each user, and one more every 59 seconds.
const PER_USER: &str = "[user]\nsources = [{ header = \"x-user-id\" }]\n\
                        [[rate_limits]]\nname = \"per-user\"\nkey = [\"tenant\", \"user\"]\nquota = \"2/min\"\nburst = 2\n";

/// So many at once for each tenant, and nearly none later.
fn tier(requests: u32) -> String {
    format!("[tiers.starter]\nrequests = \"{requests}/h\"\nburst = {requests}\n")
}

fn ask(edge: SocketAddr, tenant: &str, fields: &str) -> Answer {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\n{fields}\r\n");
    Client::connect(edge).exchange(request.as_bytes()).unwrap()
}

fn of_user(edge: SocketAddr, tenant: &str, user: &str) -> Answer {
    ask(edge, tenant, &format!("X-User-Id: {user}\r\n"))
}

/// Statuses of so many requests, one after the other.
fn statuses(count: usize, mut ask: impl FnMut() -> Answer) -> Vec<u16> {
    (0..count).map(|_| ask().status).collect()
}

fn metric(proxy: &Running, series: &str) -> f64 {
    let answer = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |count| count.parse().unwrap())
}

fn decisions(proxy: &Running, limit: &str, decision: &str) -> f64 {
    metric(proxy, &format!("ratelimit_decisions_total{{limit=\"{limit}\",decision=\"{decision}\"}}"))
}

#[test]
fn a_tenant_gets_its_tiers_quota_and_the_next_request_is_told_when_to_come_again() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, &tier(5)));
    let edge = proxy.edges[0];
    assert_eq!(statuses(5, || ask(edge, "acme", "")), [200; 5]);
    let refused = ask(edge, "acme", "");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    assert_eq!(refused.json()["status"], 429);
    assert!(refused.json()["detail"].as_str().unwrap().contains("\"tenant\""), "{}", refused.text());
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tenant\";q=5;w=3600"));
    // one comes back in an hour: five at once are all there is
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_590..=3_600).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), Some(format!("\"tenant\";r=0;t={wait}").as_str()));
    assert_eq!(refused.header("x-ratelimit-limit"), None);
    assert_eq!(refused.header("connection"), None, "a client that waits keeps its connection");
    // another tenant has a bucket of its own, and no refusal has reached the app
    assert_eq!(ask(edge, "other", "").status, 200);
    assert_eq!(app.count(), 6);
    assert_eq!((decisions(&proxy, "tenant", "allowed"), decisions(&proxy, "tenant", "refused")), (6.0, 1.0));
    assert_eq!(metric(&proxy, "local_replies_total{reason=\"rate_limited\"}"), 1.0);
    stop(proxy);
}

#[test]
fn a_low_quota_without_a_burst_gives_one_request_at_a_time() {
    let app = Origin::start("app");
    let limit = "[[rate_limits]]\nname = \"slow\"\nkey = [\"tenant\"]\nquota = \"5/min\"\nburst = 1\n";
    let proxy = proxy(&alone(app.address, &format!("{limit}{}", route("\"slow\""))));
    let edge = proxy.edges[0];
    assert_eq!(statuses(2, || ask(edge, "acme", "")), [200, 429]);
    assert_eq!(ask(edge, "acme", "").header("retry-after"), Some("12"));
    stop(proxy);
}

#[test]
fn what_one_limit_refuses_costs_nothing_of_another() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, &format!("{}{PER_USER}{}", tier(6), route("\"per-user\""))));
    let edge = proxy.edges[0];
    assert_eq!(statuses(2, || of_user(edge, "acme", "ann")), [200; 2]);
    for _ in 0..20 {
        let refused = of_user(edge, "acme", "ann");
        assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, Some("\"per-user\";q=2;w=60")));
    }
    // the same user of another tenant is another user
    assert_eq!(of_user(edge, "other", "ann").status, 200);
    // the tenant still has what ann did not get
    assert_eq!(statuses(2, || of_user(edge, "acme", "bob")), [200; 2]);
    assert_eq!(statuses(2, || of_user(edge, "acme", "cat")), [200; 2]);
    let refused = of_user(edge, "acme", "dan");
    assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, Some("\"tenant\";q=6;w=3600")));
    stop(proxy);
}

#[test]
fn requests_without_a_user_or_with_several_share_one_bucket() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, &format!("{PER_USER}{}", route("\"per-user\""))));
    let edge = proxy.edges[0];
    assert_eq!(ask(edge, "acme", "").status, 200);
    assert_eq!(ask(edge, "acme", "X-User-Id: a\r\nX-User-Id: b\r\n").status, 200);
    assert_eq!(ask(edge, "acme", "X-User-Id: c\r\nX-User-Id: d\r\n").status, 429);
    assert_eq!(ask(edge, "acme", "X-User-Id:\r\n").status, 429);
    // all of a value counts, such as that of two tokens that begin alike
    let of_long = |end: &str| of_user(edge, "acme", &format!("{}{end}", "y".repeat(2_000))).status;
    assert_eq!([of_long("a"), of_long("a"), of_long("a"), of_long("b")], [200, 200, 429, 200]);
    // whatever else a user is called, it is one user
    for hostile in ["a:b", "{acme}", "\"", "%0d%0a", "\u{e4}", &"x".repeat(5_000)] {
        assert_eq!(statuses(3, || of_user(edge, "acme", hostile)), [200, 200, 429], "{hostile}");
    }
    stop(proxy);
}

#[test]
fn a_request_that_finds_no_place_at_the_app_has_used_up_nothing() {
    let app = Origin::start("app");
    let config = alone(app.address, &tier(3)).replace("breaker = ", "in_flight_max = 1\nbreaker = ");
    let proxy = proxy(&config);
    let edge = proxy.edges[0];
    let held = thread::spawn(move || Client::connect(edge).get("acme", "/slow"));
    eventually("it is with the app", || app.count() == 1);
    for _ in 0..10 {
        let busy = ask(edge, "acme", "");
        assert_eq!((busy.status, busy.reason().as_str()), (503, "concurrency"));
    }
    app.release();
    assert_eq!(held.join().unwrap().status, 200);
    assert_eq!(statuses(3, || ask(edge, "acme", "")), [200, 200, 429]);
    stop(proxy);
}

#[test]
fn a_shadow_refuses_nobody_and_a_candidate_only_counts() {
    let app = Origin::start("app");
    let limits = "[[rate_limits]]\nname = \"shadow\"\nkey = [\"tenant\"]\nquota = \"2/min\"\nburst = 2\nmode = \"shadow\"\n\
                  [[rate_limits]]\nname = \"real\"\nkey = [\"tenant\"]\nquota = \"4/min\"\nburst = 4\ncandidate = \"3/min\"\ncandidate_burst = 3\n";
    let proxy = proxy(&alone(app.address, &format!("{limits}{}", route("\"shadow\", \"real\""))));
    let edge = proxy.edges[0];
    assert_eq!(statuses(5, || ask(edge, "acme", "")), [200, 200, 200, 200, 429]);
    assert_eq!(decisions(&proxy, "shadow", "shadow_refused"), 3.0);
    assert_eq!((decisions(&proxy, "shadow", "allowed"), decisions(&proxy, "shadow", "refused")), (2.0, 0.0));
    assert_eq!((decisions(&proxy, "real", "allowed"), decisions(&proxy, "real", "refused")), (4.0, 1.0));
    assert_eq!(decisions(&proxy, "real", "candidate_refused"), 2.0);
    stop(proxy);
}

#[test]
fn answers_tell_of_the_tightest_limit_if_the_settings_want_that() {
    let app = Origin::start("app");
    let told = "[rate_limiting]\nheaders = \"draft\"\nlegacy_headers = true\n";
    let proxy = proxy(&alone(app.address, &format!("{told}{}{PER_USER}{}", tier(100), route("\"per-user\""))));
    let answer = of_user(proxy.edges[0], "acme", "ann");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit-policy"), Some("\"per-user\";q=2;w=60"));
    assert_eq!(answer.header("ratelimit"), Some("\"per-user\";r=1;t=60"));
    assert_eq!(answer.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(answer.header("x-ratelimit-reset"), Some("60"));
    stop(proxy);
}

#[test]
fn probes_count_for_nobody_and_an_upload_that_is_refused_ends_its_connection() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, &tier(1)));
    let edge = proxy.edges[0];
    let probe =
        || Client::connect(edge).exchange(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n").unwrap();
    assert_eq!(statuses(20, probe), [200; 20]);
    assert_eq!(statuses(2, || ask(edge, "acme", "")), [200, 429]);
    let mut client = Client::connect(edge);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\nContent-Length: 100000\r\n\r\na part of it");
    let refused = client.answer(false).unwrap();
    assert_eq!((refused.status, refused.header("connection")), (429, Some("close")));
    assert_eq!(app.count(), 1);
    stop(proxy);
}

#[test]
fn a_shadow_tells_nobody_of_itself_and_an_app_that_tells_of_limits_has_the_word() {
    let app = Origin::start("app");
    let limits = "[rate_limiting]\nheaders = \"draft\"\n\
                  [[rate_limits]]\nname = \"shadow\"\nkey = [\"tenant\"]\nquota = \"2/min\"\nburst = 2\nmode = \"shadow\"\n\
                  [[rate_limits]]\nname = \"real\"\nkey = [\"tenant\"]\nquota = \"60/min\"\nburst = 60\n";
    let told = "[[routes]]\nname = \"told\"\npath_prefix = \"/told\"\nupstream = \"app\"\nrate_limits = [\"real\"]\n\
                [routes.response_headers]\nset = { ratelimit = '\"app\";r=0;t=60' }\n";
    let proxy = proxy(&alone(app.address, &format!("{limits}{told}{}", route("\"shadow\", \"real\""))));
    let edge = proxy.edges[0];
    for left in (50..60).rev() {
        let answer = ask(edge, "acme", "");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"real\";q=60;w=60"));
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"real\";r={left};")), "{left}");
    }
    let answer = Client::connect(edge).get("acme", "/told");
    assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), (Some("\"app\";r=0;t=60"), None));
    stop(proxy);
}

#[test]
fn what_is_refused_costs_nothing_of_a_candidate_either() {
    let app = Origin::start("app");
    let wide = "[[rate_limits]]\nname = \"wide\"\nkey = [\"tenant\"]\nquota = \"100/h\"\nburst = 100\n\
                candidate = \"5/h\"\ncandidate_burst = 5\n";
    let proxy = proxy(&alone(app.address, &format!("{wide}{PER_USER}{}", route("\"wide\", \"per-user\""))));
    let edge = proxy.edges[0];
    assert_eq!(statuses(50, || of_user(edge, "acme", "ann")).iter().filter(|status| **status == 200).count(), 2);
    assert_eq!(decisions(&proxy, "wide", "candidate_refused"), 0.0);
    assert_eq!((decisions(&proxy, "wide", "allowed"), decisions(&proxy, "per-user", "allowed")), (2.0, 2.0));
    assert_eq!(statuses(2, || of_user(edge, "acme", "bob")), [200; 2]);
    assert_eq!(statuses(2, || of_user(edge, "acme", "cat")), [200; 2]);
    assert_eq!(decisions(&proxy, "wide", "candidate_refused"), 1.0, "the sixth");
    stop(proxy);
}

/// Rewrites the file and waits until it is applied.
fn reload(proxy: &Running, path: &std::path::Path, text: &str) {
    let before = metric(proxy, "config_reloads_total{result=\"applied\"}");
    fs::write(path, text).unwrap();
    eventually("it is applied", || metric(proxy, "config_reloads_total{result=\"applied\"}") > before);
}

#[test]
fn a_reload_gives_nobody_a_fresh_bucket() {
    let app = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let text = |quota: u32, more: &str| alone(app.address, &format!("{}{more}", tier(quota)));
    fs::write(&path, text(4, "")).unwrap();
    let proxy = follow(&path);
    let edge = proxy.edges[0];
    assert_eq!(statuses(4, || ask(edge, "acme", "")), [200; 4]);
    // something else changes, the order of the tiers too
    let another =
        alone(app.address, &format!("[tiers.another]\nrequests = \"9/h\"\n{}[timeouts]\nconnect = \"2s\"\n", tier(4)));
    reload(&proxy, &path, &another);
    assert_eq!(ask(edge, "acme", "").status, 429);
    assert_eq!(ask(edge, "other", "").status, 200);
    // a larger quota fills at its own pace, for who was not there yet too
    reload(&proxy, &path, &text(6, ""));
    assert_eq!(ask(edge, "acme", "").status, 429);
    assert_eq!(statuses(5, || ask(edge, "late", "")), [200, 200, 200, 200, 429]);
    // fewer are fewer at once
    reload(&proxy, &path, &text(2, ""));
    assert_eq!(ask(edge, "acme", "").status, 429);
    assert_eq!(statuses(3, || ask(edge, "new", "")), [200, 200, 429]);
    stop(proxy);
}
