//! A limits store that comes back with what it held some time ago: what it has forgotten passes again, and nothing more.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    crowd::{Load, Member, most},
    fleet::command,
};
use crate::world::{Client, Origin, Redis, alone, eventually};

/// Keeps what the store holds now, for [`restore`].
fn keep(redis: &Redis) {
    command(redis, &["SAVE"]);
    fs::copy(redis.folder().join("dump.rdb"), redis.folder().join("older.rdb")).unwrap();
}

/// Starts the store, which was killed, with what was kept.
fn restore(redis: &mut Redis) {
    fs::copy(redis.folder().join("older.rdb"), redis.folder().join("dump.rdb")).unwrap();
    redis.restart();
}

/// What the server has counted since its start: calls of the script, connections.
fn counted(connection: &mut redis::Connection) -> (f64, f64) {
    let mut number = |section: &str, name: &str| -> f64 {
        let text: String = redis::cmd("INFO").arg(section).query(connection).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        value.trim().split(',').next().unwrap().parse().unwrap()
    };
    (number("commandstats", "cmdstat_evalsha:calls="), number("stats", "total_connections_received:"))
}

/// Most calls of the script in a tenth of a second, over that many seconds, and connections since the server's start.
fn busiest(redis: &Redis, lasts: Duration) -> (f64, f64) {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let (began, mut before, mut most) = (Instant::now(), counted(&mut connection).0, 0.0_f64);
    while began.elapsed() < lasts {
        thread::sleep(Duration::from_millis(100));
        let now = counted(&mut connection).0;
        most = most.max(now - before);
        before = now;
    }
    (most, counted(&mut connection).1)
}

fn settings(app: &Origin, redis: &Redis, tier: &str) -> String {
    let store = format!("[limits_store]\nurl = \"{}\"\ndeadline = \"50ms\"\n", redis.url());
    alone(app.address, &format!("[tiers.starter]\n{tier}{store}"))
}

fn counted_by(members: &[Member], who: &str) -> bool {
    members.iter().all(|member| member.counted_by() == who)
}

#[test]
fn what_was_spent_since_the_copy_passes_again_and_nothing_more() {
    let (app, mut redis, folder) = (Origin::start("app"), Redis::start(), tempfile::tempdir().unwrap());
    // too few for leases, and nothing comes back
    let settings = settings(&app, &redis, "requests = \"300/h\"\nburst = 300\n");
    let members: Vec<Member> = (0..3).map(|index| Member::start(folder.path(), index, &settings)).collect();
    let ask = |count: usize| -> usize {
        let mut clients: Vec<Client> = members.iter().map(|member| Client::connect(member.edge)).collect();
        let statuses: Vec<u16> = (0..count).map(|turn| clients[turn % 3].get("acme", "/").status).collect();
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 200).count()
    };
    assert_eq!(ask(60), 60);
    keep(&redis);
    assert_eq!(ask(90), 90);
    redis.kill();
    eventually("everybody notices", || counted_by(&members, "share"));
    // each has one to begin with
    let alone = ask(30);
    assert!(alone <= 3, "{alone}");
    restore(&mut redis);
    eventually("everybody is back", || counted_by(&members, "store"));
    // debts are told by and by, at once to whom nobody waits for
    thread::sleep(Duration::from_millis(500));
    assert_eq!(ask(400), 300 - 60 - alone);
}

/// Enough for leases.
const REQUESTS: u32 = 1_000;
const BURST: u32 = 200;

#[test]
fn under_load_no_window_has_more_than_a_burst_above_what_is_told_and_processes_come_back_quietly() {
    let (app, mut redis, folder) = (Origin::start("app"), Redis::start(), tempfile::tempdir().unwrap());
    let settings = settings(&app, &redis, &format!("requests = \"{REQUESTS}/s\"\nburst = {BURST}\n"));
    let members: Vec<Member> = (0..4).map(|index| Member::start(folder.path(), index, &settings)).collect();
    let mut load = Load::new();
    members.iter().for_each(|member| load.client(member.edge, 200, Duration::from_millis(20)));
    // at its fullest, so that as much as can be is forgotten
    keep(&redis);
    let (usual, _) = busiest(&redis, Duration::from_millis(1_500));
    let leased = |member: &Member| member.limit("acme")["leased"].as_u64().unwrap() > 0;
    eventually("somebody holds a lease", || members.iter().any(leased));
    redis.kill();
    let gone = load.now();
    eventually("everybody notices", || counted_by(&members, "share"));
    // metrics are copied once a second
    eventually("metrics say so", || members.iter().all(|member| member.metric("ratelimit_store_away") == 1.0));
    restore(&mut redis);
    let back = load.now();
    let (afterwards, connections) = busiest(&redis, Duration::from_secs(3));
    eventually("everybody is back", || counted_by(&members, "store"));
    eventually("metrics say so", || members.iter().all(|member| member.metric("ratelimit_store_away") == 0.0));
    let told = members[0].metric("ratelimit_overshoot_bound{limit=\"tenant\"}");
    let outages: Vec<f64> = members.iter().map(|member| member.metric("ratelimit_store_outages_total")).collect();
    let (passed, asked) = load.end();
    let (worst, alone) = (most(&passed, 1.0), passed.iter().filter(|it| (gone..back).contains(&it.asked)).count());
    println!(
        "{asked} asked, {} passed, {alone} in {:.1} s without the store, worst window {worst} of {REQUESTS}; in a tenth of a \
         second {usual} calls before and {afterwards} after, {connections} connections, {outages:?} outages",
        passed.len(),
        back - gone
    );
    assert_eq!(outages, [1.0; 4]);
    assert!(told > 0.0 && worst as f64 <= f64::from(REQUESTS + BURST) + told, "{worst}, told {told}");
    // as much as each of four had served, and no less than half of it
    let due = f64::from(REQUESTS - BURST + 1) * (back - gone);
    assert!(alone as f64 >= due / 2.0, "{alone} of {due}");
    assert!(afterwards <= 2.0 * usual + 50.0, "{afterwards} calls in a tenth of a second, {usual} before");
    // each for itself and for its worker, one more where a first try came too early, and those of this test
    assert!(connections <= 4.0 * 3.0 + 3.0, "{connections}");
}
