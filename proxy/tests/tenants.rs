//! Which tenants make the most requests: who is counted where, what is said of them, and that it stays bounded.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use synaxis_proxy::server::Running;
use synaxis_routing::{
    id::{StampId, TenantId},
    traffic::{Traffic, hour_of},
};

use crate::world::{Client, Origin, Redis, alone, eventually, proxy, stop};

fn get(address: SocketAddr, target: &str, fields: &str) -> crate::world::Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    Client::connect(address).exchange(request.as_bytes()).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

fn ask(proxy: &Running, tenant: &str) -> u16 {
    get(proxy.edges[0], "/", &format!("X-Tenant-Id: {tenant}\r\n")).status
}

fn page(proxy: &Running) -> Value {
    get(proxy.admin, "/tenants/top", "").json()
}

/// Ends the minute and gives what it says once it holds so many requests.
fn minute(proxy: &Running, total: u64) -> Value {
    proxy.plane().traffic.close.notify_one();
    eventually("the minute is over", || page(proxy)["total"] == total);
    page(proxy)
}

/// The tenants of a metric.
fn labels(proxy: &Running, metric: &str) -> BTreeSet<String> {
    let text = get(proxy.admin, "/metrics", "").text();
    let series = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix("{tenant=\"")?.split_once('"'));
    series.map(|(tenant, _)| tenant.to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_busiest_tenants_are_told_with_their_refusals_apart() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(
        app.address,
        "[tiers.starter]\nrequests = \"5/h\"\nburst = 5\n[rate_limiting]\ntop_tenants = 2\n",
    ));
    assert_eq!(
        page(&proxy),
        serde_json::json!({"seconds": 0.0, "total": 0, "refused": 0, "tenants": [], "unlisted_max": 0})
    );
    assert_eq!(labels(&proxy, "tenant_requests_per_second"), names(&[]));
    for (tenant, count) in [("acme", 8), ("globex", 3), ("initech", 1)] {
        (0..count).for_each(|_| assert!([200, 429].contains(&ask(&proxy, tenant))));
    }
    // neither a probe nor what is refused before anybody's limits counts for a tenant
    get(proxy.edges[0], "/health", "X-Tenant-Id: acme\r\n");
    get(proxy.edges[0], "/", "X-Tenant-Id: a/b\r\n");
    let page = minute(&proxy, 12);
    let row = |at: usize, name: &str| page["tenants"][at][name].clone();
    assert_eq!((row(0, "tenant"), row(0, "requests"), row(0, "refused")), ("acme".into(), 8.into(), 3.into()));
    assert_eq!((row(0, "percent"), row(0, "error")), (66.67.into(), 0.into()));
    assert_eq!(
        (row(1, "tenant"), row(2, "tenant"), row(2, "percent")),
        ("globex".into(), "initech".into(), 8.33.into())
    );
    assert_eq!((&page["refused"], &page["unlisted_max"]), (&3.into(), &0.into()));
    assert_eq!(labels(&proxy, "tenant_requests_per_second"), names(&["(other)", "acme", "globex"]));
    assert_eq!(labels(&proxy, "tenant_refusals_per_second"), names(&["(other)", "acme", "globex"]));
    // who is no longer busy leaves no series behind, and what was counted is not counted again
    assert_eq!(ask(&proxy, "initech"), 200);
    let page = minute(&proxy, 1);
    assert_eq!((page["tenants"].as_array().unwrap().len(), &page["refused"]), (1, &0.into()));
    assert_eq!(labels(&proxy, "tenant_requests_per_second"), names(&["(other)", "initech"]));
    stop(proxy);
}

#[test]
fn invented_tenants_make_no_more_series_than_real_ones() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, "").replace("workers = 1", "workers = 2"));
    let mut client = Client::connect(proxy.edges[0]);
    for number in 0..600 {
        let tenant = if number % 4 == 0 { "busy".to_owned() } else { format!("invented-{number}") };
        let answer = client.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\n\r\n").as_bytes());
        assert_eq!(answer.unwrap().status, 200);
    }
    let page = minute(&proxy, 600);
    assert_eq!((&page["tenants"][0]["tenant"], page["tenants"].as_array().unwrap().len()), (&"busy".into(), 50));
    assert_eq!(labels(&proxy, "tenant_requests_per_second").len(), 11);
    stop(proxy);
}

#[test]
fn without_top_tenants_no_series_names_one() {
    let app = Origin::start("app");
    let proxy = proxy(&alone(app.address, "[rate_limiting]\ntop_tenants = 0\n"));
    assert_eq!(ask(&proxy, "acme"), 200);
    assert_eq!(minute(&proxy, 1)["tenants"][0]["tenant"], "acme");
    let metrics = get(proxy.admin, "/metrics", "").text();
    assert!(!metrics.contains("tenant=") && metrics.contains("http_server_requests_total"), "{metrics}");
    stop(proxy);
}

#[test]
fn what_was_served_is_added_up_in_the_limits_store_and_nobody_waits_for_it() {
    let (app, mut redis) = (Origin::start("app"), Redis::start());
    let limits = "[[rate_limits]]\nname = \"low\"\nkey = [\"tenant\"]\nquota = \"5/h\"\nburst = 5\nscope = \"local\"\n\
                  [[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \"app\"\nrate_limits = [\"low\"]\n";
    let store = format!("[limits_store]\nurl = \"{}\"\nkey_prefix = \"hot\"\n", redis.url());
    let one = proxy(&alone(app.address, &format!("{limits}{store}")));
    let two = proxy(&alone(app.address, &format!("{limits}{store}")));
    let traffic = Traffic::open(&redis.url(), "hot").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stamp = StampId::parse("synaxis-weu-001").unwrap();
    let now = || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let begins = hour_of(now());
    let known = || {
        let hours = runtime.block_on(traffic.hours(&stamp, begins..=hour_of(now()))).unwrap();
        let sum = |name: &str| hours.values().filter_map(|hour| hour.tenants.get(&tenant(name))).sum::<u64>();
        (hours.values().map(|hour| hour.total).sum::<u64>(), sum("acme"), sum("globex"))
    };
    (0..7).for_each(|_| _ = ask(&one, "acme"));
    (0..2).for_each(|_| assert_eq!(ask(&two, "globex"), 200));
    let refused = minute(&one, 7)["refused"].as_u64().unwrap();
    minute(&two, 2);
    eventually("both have added theirs", || known() == (9 - refused, 7 - refused, 2));
    // it is gone: the minute is lost, its requests are not
    redis.kill();
    assert_eq!(ask(&two, "initech"), 200);
    let began = Instant::now();
    minute(&two, 1);
    let dropped = || get(two.admin, "/metrics", "").text().contains("tenant_minutes_dropped_total 1\n");
    eventually("the minute is dropped", dropped);
    assert_eq!(ask(&two, "initech"), 200);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    redis.restart();
    minute(&two, 1);
    eventually("the next one is taken", || known() == (1, 0, 0));
    stop(one);
    stop(two);
}
