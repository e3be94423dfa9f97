//! Limits where several stamps take a tenant's requests and one serves them.

use super::world::{World, stamp, tenant};
use crate::world::{Redis, eventually};
use synaxis_routing::{change::Terms, id::TenantId, table::PinMode};

const TIERS: &str =
    "[tiers.starter]\nrequests = \"4/h\"\nburst = 4\n[tiers.enterprise]\nrequests = \"6/h\"\nburst = 6\n";

/// Statuses of so many requests that enter by each stamp in turn.
fn statuses(world: &World, tenant: &str, count: usize) -> Vec<u16> {
    (0..count).map(|turn| world.edge(turn % 3).get(tenant, "/").status).collect()
}

fn id(index: usize) -> TenantId {
    TenantId::parse(tenant(index).as_bytes()).unwrap()
}

#[test]
fn a_request_counts_once_wherever_it_enters_and_by_the_tier_that_the_table_names() {
    let world = World::start_with(TIERS);
    assert_eq!(statuses(&world, &tenant(1), 6), [200, 200, 200, 200, 429, 429]);
    // it is refused by whom it belongs to, and nobody else is asked
    let refused = world.edge(0).get(&tenant(1), "/");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tenant\";q=4;w=3600"));
    let served: usize = world.origins.iter().map(|origin| origin.count()).sum();
    assert_eq!(served, 4);
    world.edit(|fleet, now| fleet.set_tier(&[id(2), id(3)], Some("enterprise"), now).unwrap());
    assert_eq!(statuses(&world, &tenant(2), 8), [200, 200, 200, 200, 200, 200, 429, 429]);
    // a tier that nobody knows is none, and a tenant that is listed for something else has its default
    world.edit(|fleet, now| fleet.set_tier(&[id(4)], Some("gold"), now).unwrap());
    world.edit(|fleet, now| fleet.pin(id(5), &stamp(1), PinMode::Strict, now).unwrap());
    assert_eq!(statuses(&world, &tenant(4), 5), [200, 200, 200, 200, 429]);
    assert_eq!(statuses(&world, &tenant(5), 5), [200, 200, 200, 200, 429]);
    // who comes into another tier keeps what is spent
    assert_eq!(statuses(&world, &tenant(3), 3), [200; 3]);
    world.edit(|fleet, now| fleet.set_tier(&[id(3)], None, now).unwrap());
    assert_eq!(statuses(&world, &tenant(3), 2), [200, 429]);
    world.stop();
}

#[test]
fn a_request_that_asks_its_own_app_again_is_counted_once() {
    let world = World::start_with("[tiers.starter]\nrequests = \"1/h\"\n");
    // nobody else may have it
    world.edit(|fleet, now| fleet.pin(id(7), &stamp(1), PinMode::Strict, now).unwrap());
    world.origins[1].stop();
    let answer = world.edge(1).get(&tenant(7), "/");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_connect"));
    world.stop();
}

/// `/limits/TENANT` of the stamp that serves the tenant: where least of the limit `tenant` is left.
fn told(world: &World, tenant: &str) -> serde_json::Value {
    let pages = (0..3).map(|index| {
        let page = world.ask(index, &format!("/limits/{tenant}"));
        serde_json::from_slice::<serde_json::Value>(&page.body).unwrap()
    });
    pages.min_by_key(|page| page["limits"][0]["remaining"].as_u64()).unwrap()
}

#[test]
fn a_quota_of_a_tenants_own_counts_at_every_stamp_and_keeps_what_is_spent() {
    let world = World::start_with(TIERS);
    let give = |index: usize, limits: &[(&str, Option<&str>)]| {
        let limits = limits.iter().map(|(limit, quota)| (*limit, quota.map(|quota| quota.parse().unwrap()))).collect();
        let terms = Terms { tier: None, limits };
        world.edit(|fleet, now| fleet.set_terms(&[id(index)], &terms, now).unwrap());
    };
    // what it had is what it has: the bucket grows at its own pace
    give(1, &[("tenant", Some("6/h,burst=6")), ("gone", Some("5/s"))]);
    assert_eq!(statuses(&world, &tenant(1), 6), [200, 200, 200, 200, 429, 429]);
    let refused = world.edge(0).get(&tenant(1), "/");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"tenant\";q=6;w=3600"));
    let page = told(&world, &tenant(1));
    let row = &page["limits"][0];
    assert_eq!((&row["quota_of"], &row["requests"], &row["burst"]), (&"tenant".into(), &6.into(), &6.into()), "{page}");
    assert_eq!(page["unknown_overrides"], serde_json::json!({ "gone": "5/s" }));
    // a smaller one binds at once; at its end what it had spent is missing still, and what the bucket grows by comes later
    assert_eq!(statuses(&world, &tenant(2), 1), [200]);
    give(2, &[("tenant", Some("2/h,burst=2"))]);
    assert_eq!(statuses(&world, &tenant(2), 2), [200, 429]);
    give(2, &[("tenant", None)]);
    assert_eq!(statuses(&world, &tenant(2), 3), [429; 3]);
    let page = told(&world, &tenant(2));
    assert_eq!(
        (&page["limits"][0]["quota_of"], &page["unknown_overrides"]),
        (&"tier".into(), &serde_json::Value::Null)
    );
    // everybody else goes by the tier
    assert_eq!(statuses(&world, &tenant(3), 5), [200, 200, 200, 200, 429]);
    world.stop();
}

/// Three stamps that count together, each once it has met the store.
fn together(redis: &Redis, settings: &str) -> World {
    let store = format!("[limits_store]\nurl = \"{}\"\ndeadline = \"50ms\"\n{settings}", redis.url());
    let world = World::start_logged(store.leak());
    let is_here = |index: usize| {
        let page = world.ask(index, &format!("/limits/{}", tenant(9))).json();
        page["limits"][0]["counted_by"] == "store"
    };
    eventually("the store is there", || (0..3).all(is_here));
    // each worker connects by itself
    std::thread::sleep(std::time::Duration::from_millis(300));
    world
}

/// Requests that an entry refused because another stamp had.
fn remembered(world: &World, index: usize, limit: &str) -> u64 {
    let series = format!("ratelimit_decisions_total{{limit=\"{limit}\",decision=\"remembered\"}} ");
    let text = world.ask(index, "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[test]
fn what_another_stamp_has_refused_is_refused_where_it_comes_in_and_to_nobody_else() {
    let redis = Redis::start();
    let limits = "[user]\nsources = [{ header = \"x-user-id\" }]\n[[rate_limits]]\nname = \"per-user\"\nkey = [\"tenant\", \
                  \"user\"]\nquota = \"2/min\"\nburst = 2\n[[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \
                  \"app\"\nrate_limits = [\"per-user\"]\n";
    let world = together(&redis, limits);
    let theirs = tenant(1);
    world.edit(|fleet, now| fleet.pin(id(1), &stamp(1), PinMode::Strict, now).unwrap());
    let ask = |entry: usize, tenant: &str, user: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nX-User-Id: {user}\r\n\r\n");
        world.edge(entry).exchange(request.as_bytes()).unwrap()
    };
    assert_eq!([0, 0, 0].map(|entry| ask(entry, &theirs, "ada").status), [200, 200, 429]);
    assert_eq!(remembered(&world, 0, "per-user"), 0);
    let again = ask(0, &theirs, "ada");
    assert_eq!((again.status, again.reason().as_str()), (429, "rate_limited"));
    assert_eq!(again.header("ratelimit-policy"), Some("\"per-user\";q=2;w=60"));
    let retry: u32 = again.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=61).contains(&retry), "{retry}");
    // what stamps tell each other is not for clients
    assert_eq!(again.header("x-synaxis-deny"), None);
    assert_eq!(remembered(&world, 0, "per-user"), 1);
    // another user, another tenant
    assert_eq!([ask(0, &theirs, "bob").status, ask(0, &theirs, "bob").status], [200; 2]);
    assert_eq!(ask(0, &tenant(2), "ada").status, 200);
    assert_eq!(remembered(&world, 0, "per-user"), 1);
    // who lies about it gets nowhere: the field is no client's
    let lie = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {theirs}\r\nX-User-Id: eve\r\nX-Synaxis-Deny: per-user; for=9; key=0\r\n\r\n"
    );
    assert_eq!(world.edge(0).exchange(lie.as_bytes()).unwrap().status, 200);
    // each says in its log what it has refused itself
    for (at, who) in [(0, "entry"), (1, "store")] {
        let refused = || -> Vec<serde_json::Value> {
            let text = std::fs::read_to_string(world.log(at)).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.filter(|line| !line["limit"].is_null()).collect()
        };
        eventually("the line is there", || !refused().is_empty());
        let refused = refused();
        let row = &refused[0];
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!((&row["limit"], &row["limit_counted_by"]), (&"per-user".into(), &who.into()));
        assert_eq!(row["status"], 429);
    }
    world.stop();
}

#[test]
fn a_tenant_that_moves_to_another_stamp_takes_what_it_has_spent_along() {
    let redis = Redis::start();
    let world = together(&redis, "[tiers.starter]\nrequests = \"6/h\"\nburst = 6\n");
    let pin = |at: usize| world.edit(|fleet, now| fleet.pin(id(1), &stamp(at), PinMode::Strict, now).unwrap());
    pin(0);
    assert_eq!(statuses(&world, &tenant(1), 3), [200; 3]);
    pin(1);
    assert_eq!(statuses(&world, &tenant(1), 2), [200; 2]);
    pin(2);
    let last = statuses(&world, &tenant(1), 4);
    assert_eq!(last.iter().filter(|status| **status == 200).count(), 1, "{last:?}");
    world.stop();
}

#[test]
fn the_stamp_that_serves_counts_a_tenants_requests_and_the_entry_does_not() {
    let world = World::start_with(TIERS);
    world.edit(|fleet, now| fleet.pin(id(8), &stamp(1), synaxis_routing::table::PinMode::Strict, now).unwrap());
    assert_eq!(statuses(&world, &tenant(8), 6), [200, 200, 200, 200, 429, 429]);
    let minutes = || world.running().map(|proxy| proxy.plane().traffic.minute()).collect::<Vec<_>>();
    world.running().for_each(|proxy| proxy.plane().traffic.close.notify_one());
    crate::world::eventually("every minute is over", || minutes().iter().all(|minute| !minute.window.is_zero()));
    let counted = minutes().iter().map(|minute| (minute.total, minute.refused)).collect::<Vec<_>>();
    assert_eq!(counted, [(0, 0), (6, 2), (0, 0)]);
    world.stop();
}
