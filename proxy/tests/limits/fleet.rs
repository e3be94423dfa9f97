//! Limits that several processes count together in a real Redis, and what requests notice when it is gone, hung or wrong.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use synaxis_proxy::server::Running;

use super::{ask, crowd::Stalls, decisions, metric, of_user, route, statuses};
use crate::world::{Client, Origin, Redis, alone, eventually, proxy, stop};

fn store(redis: &Redis) -> String {
    format!("[limits_store]\nurl = \"{}\"\n", redis.url())
}

/// The same for tests that count exactly: a machine that stands still for some milliseconds decides nothing there.
pub(super) fn patient(redis: &Redis) -> String {
    format!("{}deadline = \"50ms\"\n", store(redis))
}

/// So many at once for each tenant, and nearly none later: too few for leases.
fn tier(requests: u32) -> String {
    format!("[tiers.starter]\nrequests = \"{requests}/h\"\nburst = {requests}\n")
}

/// Enough for leases.
const MANY: &str = "[tiers.starter]\nrequests = \"100000/min\"\nburst = 10000\n";

/// So many processes in front of one app, once they have met the store.
pub(super) fn processes(count: usize, app: &Origin, settings: &str) -> Vec<Running> {
    let running: Vec<Running> = (0..count).map(|_| proxy(&alone(app.address, settings))).collect();
    running.iter().for_each(until_here);
    running
}

/// A worker has its own connection, so it takes one request more than the process to know that the store is there.
fn until_here(proxy: &Running) {
    eventually("the store is there", || {
        let before = metric(proxy, "ratelimit_alone_total");
        ask(proxy.edges[0], "warm", "");
        // counters are copied once a second
        thread::sleep(Duration::from_millis(1_100));
        metric(proxy, "ratelimit_store_away") == 0.0 && metric(proxy, "ratelimit_alone_total") == before
    });
}

/// Of requests that came to the processes in turn, how many passed; nobody got anything but 200 and 429.
fn passed(edges: &[SocketAddr], tenant: &str, count: usize) -> usize {
    let mut clients: Vec<Client> = edges.iter().map(|edge| Client::connect(*edge)).collect();
    let statuses = (0..count).map(|turn| clients[turn % edges.len()].get(tenant, "/").status);
    let statuses: Vec<u16> = statuses.collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

/// The same at a pace that is far below anybody's share.
fn passed_slowly(edges: &[SocketAddr], tenant: &str, count: usize) -> usize {
    let pause = || thread::sleep(Duration::from_millis(3));
    (0..count).map(|turn| passed(&edges[turn % edges.len()..][..1], tenant, 1)).inspect(|_| pause()).sum()
}

/// Requests that waited longer than 5 ms for the store, by the proxy's own histogram.
fn waited_long(proxy: &Running) -> f64 {
    let within = metric(proxy, "ratelimit_wait_duration_seconds_bucket{le=\"0.005\"}");
    metric(proxy, "ratelimit_wait_duration_seconds_count") - within
}

#[test]
fn processes_of_a_region_share_one_quota_and_a_low_one_is_met_exactly() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    let running = processes(4, &app, &format!("{}{}", patient(&redis), tier(5)));
    let edges: Vec<SocketAddr> = running.iter().map(|proxy| proxy.edges[0]).collect();
    for tenant in ["a", "b", "c"] {
        assert_eq!(passed(&edges, tenant, 24), 5, "{tenant}");
    }
    let refused = ask(edges[3], "a", "");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tenant\";q=5;w=3600"));
    // a token comes back each hour; a window is some seconds longer for the store than for the client
    let retry: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_000..=3_640).contains(&retry), "{retry}");
    let row = limit(&running[0], "a");
    assert_eq!((row["scope"].as_str(), row["counted_by"].as_str()), (Some("fleet"), Some("store")));
    assert_eq!((row["remaining"].as_u64(), row["leased"].as_u64()), (Some(0), Some(0)));
    running.into_iter().for_each(stop);
}

#[test]
fn many_requests_cost_few_calls_of_the_store_and_what_is_leased_goes_back_at_the_end() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    let mut running = processes(2, &app, &format!("{}{MANY}", patient(&redis)));
    let before = metric(&running[0], "ratelimit_store_key_operations_total");
    let edge = running[0].edges[0];
    let began = Instant::now();
    assert_eq!(passed(&[edge], "acme", 3_000), 3_000);
    let took = began.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(1_100));
    let asked = metric(&running[0], "ratelimit_store_key_operations_total") - before;
    // at most some 20 reports on a lease in a second, and those that came first
    assert!(asked <= 60.0 + 60.0 * took, "{asked} in {took} s");
    // the other process would find a lease, if it were still held
    stop(running.remove(0));
    let key = "{synaxis:rl:acme}:tenant";
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let state: String = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
    let holders: Vec<&str> = state.split(' ').skip(5).collect();
    assert!(holders.chunks(7).all(|holder| holder[1] == "0"), "{state}");
    running.into_iter().for_each(stop);
}

#[test]
fn what_a_later_limit_refuses_gives_the_store_its_token_back() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    let limits = "[user]\nsources = [{ header = \"x-user-id\" }]\n[[rate_limits]]\nname = \"here\"\nkey = [\"tenant\", \"user\"]\n\
                  quota = \"1/h\"\nscope = \"local\"\n";
    let settings = format!("{}{}{limits}{}", patient(&redis), tier(4), route("\"here\""));
    let running = processes(1, &app, &settings);
    let edge = running[0].edges[0];
    assert_eq!(of_user(edge, "acme", "ada").status, 200);
    // that of the tier has let each of them pass before that of the user refused it
    for _ in 0..12 {
        assert_eq!(of_user(edge, "acme", "ada").status, 429);
        thread::sleep(Duration::from_millis(100));
    }
    // a token takes its time to go back
    for user in ["bob", "eve", "joe"] {
        eventually(user, || of_user(edge, "acme", user).status == 200);
    }
    assert_eq!(of_user(edge, "acme", "max").status, 429);
    running.into_iter().for_each(stop);
}

#[test]
fn without_a_store_from_the_start_requests_pass_by_this_processs_share() {
    let app = Origin::start("app");
    // nobody listens there
    let settings = "[limits_store]\nurl = \"redis://127.0.0.1:1/0\"\n";
    let alone = proxy(&alone(app.address, &format!("{settings}{}", tier(80))));
    let edge = alone.edges[0];
    let before = Instant::now();
    // an eighth of a fifth of the quota, at least one
    let passed = passed(&[edge], "acme", 40);
    assert!((1..=2).contains(&passed), "{passed}");
    assert!(before.elapsed() < Duration::from_secs(1), "nobody waits for what is known to be away");
    eventually("the store is told to be away", || metric(&alone, "ratelimit_store_away") == 1.0);
    assert_eq!(waited_long(&alone), 0.0);
    let row = limit(&alone, "acme");
    assert_eq!((row["counted_by"].as_str(), row["remaining"].as_u64()), (Some("share"), Some(0)), "{row}");
    stop(alone);
}

/// The first of a tenant's limits, as an operator is told.
fn limit(proxy: &Running, tenant: &str) -> serde_json::Value {
    let request = format!("GET /limits/{tenant} HTTP/1.1\r\nHost: admin\r\n\r\n");
    Client::connect(proxy.admin).exchange(request.as_bytes()).unwrap().json()["limits"][0].clone()
}

#[test]
fn an_operator_is_told_of_the_bucket_that_decides() {
    for (choice, counted_by) in [("share", "share"), ("closed", "nobody"), ("open", "nobody")] {
        let (app, mut redis) = (Origin::start("app"), Redis::start());
        let low = format!(
            "[[rate_limits]]\nname = \"low\"\nkey = [\"tenant\"]\nquota = \"100/h\"\nburst = 100\non_store_failure = \
             \"{choice}\"\n{}",
            route("\"low\"")
        );
        let running = processes(1, &app, &format!("{}{low}", patient(&redis)));
        let proxy = &running[0];
        let told = |tenant: &str| {
            let row = limit(proxy, tenant);
            (row["counted_by"].as_str().unwrap().to_owned(), row["remaining"].as_u64(), row["retry_seconds"].as_u64())
        };
        assert_eq!(passed(&proxy.edges, "acme", 10), 10);
        assert_eq!(told("acme"), ("store".to_owned(), Some(90), Some(0)));
        redis.kill();
        eventually("the process notices", || told("acme").0 == counted_by);
        let share = |remaining, retry| (counted_by.to_owned(), remaining, retry);
        if choice == "share" {
            // one to begin with, also for who has not been here yet
            assert_eq!([told("acme"), told("new")], [(); 2].map(|()| share(Some(1), Some(0))));
            assert_eq!(passed(&proxy.edges, "acme", 3), 1);
            let (_, remaining, retry) = told("acme");
            // it had all of what was spent lately, and the quota gives one an hour
            assert!(remaining == Some(0) && retry.is_some_and(|retry| (3_600..=5_000).contains(&retry)), "{retry:?}");
        } else {
            assert_eq!([told("acme"), told("new")], [(); 2].map(|()| share(None, None)));
        }
        redis.restart();
        eventually("the process is back", || told("acme").0 == "store");
        running.into_iter().for_each(stop);
    }
}

#[test]
fn what_happens_without_the_store_can_be_chosen() {
    let app = Origin::start("app");
    for (choice, expected) in [("open", [200; 6]), ("closed", [429; 6])] {
        let limit = format!(
            "[limits_store]\nurl = \"redis://127.0.0.1:1/0\"\n[[rate_limits]]\nname = \"low\"\nkey = [\"tenant\"]\nquota = \"3/h\"\n\
             on_store_failure = \"{choice}\"\n{}",
            route("\"low\"")
        );
        let alone = proxy(&alone(app.address, &limit));
        assert_eq!(statuses(6, || ask(alone.edges[0], "acme", "")), expected, "{choice}");
        stop(alone);
    }
}

/// What is done to a store, and undone.
struct Trouble {
    name: &'static str,
    begin: fn(&mut Redis),
    end: fn(&mut Redis),
}

pub(super) fn command(redis: &Redis, words: &[&str]) {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| _ = command.arg(*word));
    let _: redis::Value = command.query(&mut connection).unwrap();
}

fn signal(redis: &Redis, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &redis.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

const TROUBLES: [Trouble; 6] = [
    Trouble { name: "killed", begin: Redis::kill, end: Redis::restart },
    Trouble { name: "hung", begin: |redis| signal(redis, "STOP"), end: |redis| signal(redis, "CONT") },
    Trouble { name: "without its script", begin: |redis| command(redis, &["SCRIPT", "FLUSH"]), end: |_| {} },
    Trouble { name: "emptied", begin: |redis| command(redis, &["FLUSHALL"]), end: |_| {} },
    FULL,
    REPLICA,
];

const FULL: Trouble = Trouble {
    name: "out of memory",
    begin: |redis| command(redis, &["CONFIG", "SET", "maxmemory", "1"]),
    end: |redis| command(redis, &["CONFIG", "SET", "maxmemory", "0"]),
};

const REPLICA: Trouble = Trouble {
    name: "a replica",
    // of nobody who is there
    begin: |redis| command(redis, &["REPLICAOF", "127.0.0.1", "1"]),
    end: |redis| command(redis, &["REPLICAOF", "NO", "ONE"]),
};

#[test]
fn whatever_befalls_the_store_no_request_fails_by_it_and_it_is_used_again_afterwards() {
    for trouble in TROUBLES {
        let (app, mut redis) = (Origin::start("app"), Redis::start());
        let running = processes(2, &app, &format!("{}{MANY}", store(&redis)));
        let edges: Vec<SocketAddr> = running.iter().map(|proxy| proxy.edges[0]).collect();
        let stalls = Stalls::watch();
        assert_eq!(passed_slowly(&edges, "acme", 200), 200, "{}", trouble.name);
        (trouble.begin)(&mut redis);
        assert_eq!(passed_slowly(&edges, "acme", 200), 200, "{}", trouble.name);
        (trouble.end)(&mut redis);
        running.iter().for_each(until_here);
        assert_eq!(passed_slowly(&edges, "acme", 200), 200, "{}", trouble.name);
        let stalls = stalls.end();
        for proxy in &running {
            assert_eq!(decisions(proxy, "tenant", "refused"), 0.0, "{}", trouble.name);
            let long = waited_long(proxy);
            assert!(long <= 2.0 + stalls, "{}: {long}, {stalls} stalls", trouble.name);
        }
        running.into_iter().for_each(stop);
    }
}

#[test]
fn a_store_that_answers_and_cannot_count_is_away_once_and_until_it_can() {
    for trouble in [FULL, REPLICA] {
        let (app, mut redis) = (Origin::start("app"), Redis::start());
        let running = processes(2, &app, &format!("{}{}", patient(&redis), tier(1_000)));
        let edges: Vec<SocketAddr> = running.iter().map(|proxy| proxy.edges[0]).collect();
        (trouble.begin)(&mut redis);
        let began = Instant::now();
        // each decides by its share, of which a tenant has one token to begin with
        let mut tenants = 0;
        while began.elapsed() < Duration::from_secs(4) {
            let tenant = format!("t{tenants}");
            tenants += 1;
            let alone = passed(&edges, &tenant, 6);
            assert_eq!(alone, 2, "{}: {tenant}", trouble.name);
            thread::sleep(Duration::from_millis(20));
        }
        for proxy in &running {
            assert_eq!(metric(proxy, "ratelimit_store_away"), 1.0, "{}", trouble.name);
            let (outages, failures) =
                (metric(proxy, "ratelimit_store_outages_total"), metric(proxy, "ratelimit_store_failures_total"));
            // what was on its way by both of its connections
            assert!(outages == 1.0 && failures <= 3.0, "{}: {outages} {failures}", trouble.name);
        }
        (trouble.end)(&mut redis);
        running.iter().for_each(until_here);
        assert_eq!(passed(&edges, "later", 12), 12, "{}", trouble.name);
        running.into_iter().for_each(stop);
    }
}

#[test]
fn the_first_requests_of_a_process_wait_for_the_store_that_it_is_about_to_meet() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    for turn in 0..5 {
        let proxy = proxy(&alone(app.address, &format!("{}{}", patient(&redis), tier(3))));
        // at once, and all there is
        assert_eq!(passed(&proxy.edges, &format!("t{turn}"), 5), 3);
        thread::sleep(Duration::from_millis(1_100));
        assert_eq!(metric(&proxy, "ratelimit_alone_total"), 0.0);
        stop(proxy);
    }
}

#[test]
fn nobody_waits_for_a_store_that_becomes_slow_longer_than_the_deadline() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    let late = Arc::new(AtomicU64::new(0));
    let way = delayed(redis.port(), Arc::clone(&late));
    let settings = format!("[limits_store]\nurl = \"redis://127.0.0.1:{way}/0\"\n{}", tier(1_000));
    let proxy = proxy(&alone(app.address, &settings));
    until_here(&proxy);
    late.store(50, Relaxed);
    let stalls = Stalls::watch();
    for turn in 0..100 {
        let status = ask(proxy.edges[0], &format!("t{}", turn % 10), "").status;
        assert!([200, 429].contains(&status), "{status}");
        thread::sleep(Duration::from_millis(2));
    }
    let stalls = stalls.end();
    thread::sleep(Duration::from_millis(1_100));
    let waited = metric(&proxy, "ratelimit_wait_duration_seconds_count");
    assert!(waited >= 10.0 && metric(&proxy, "ratelimit_store_outages_total") >= 1.0, "{waited}");
    assert!(waited_long(&proxy) <= 2.0 + stalls, "{} of {waited}, {stalls} stalls", waited_long(&proxy));
    stop(proxy);
}

/// A way to a server on which every answer is so many milliseconds late.
fn delayed(port: u16, late: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let ways =
                [(near.try_clone().unwrap(), far.try_clone().unwrap(), None), (far, near, Some(Arc::clone(&late)))];
            for (mut from, mut to, late) in ways {
                thread::spawn(move || {
                    let mut bytes = [0; 65_536];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        thread::sleep(Duration::from_millis(late.as_ref().map_or(0, |late| late.load(Relaxed))));
                        if to.write_all(&bytes[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    own
}

#[test]
fn a_store_that_comes_with_a_reload_waits_for_a_restart_and_until_then_each_process_counts() {
    let app = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, alone(app.address, &tier(3))).unwrap();
    let proxy = super::follow(&path);
    let edge = proxy.edges[0];
    assert_eq!(ask(edge, "acme", "").status, 200);
    write_new(&path, &alone(app.address, &format!("[limits_store]\nurl = \"redis://127.0.0.1:1/0\"\n{}", tier(3))));
    eventually("the reload waits", || metric(&proxy, "config_restart_pending") == 1.0);
    // what was spent is spent, and nobody decides by a share
    assert_eq!(statuses(3, || ask(edge, "acme", "")), [200, 200, 429]);
    assert_eq!(metric(&proxy, "ratelimit_alone_total"), 0.0);
    stop(proxy);
}

fn write_new(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, path).unwrap();
}
