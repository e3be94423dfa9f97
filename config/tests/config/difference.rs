//! What a running process makes of new settings: which keys change at once, which wait for a restart.

use std::path::Path;

use synaxis_config::{
    difference::{Reload, reload},
    settings::{Quotas, Settings, Watched},
};

const FULL: &str = include_str!("../../examples/full.toml");

fn load(text: &str) -> Settings {
    synaxis_config::load(text, Path::new("test.toml")).unwrap_or_else(|faults| panic!("{faults}\n{text}")).0
}

/// The full example, then the same with `old` replaced by `new`.
fn changed(old: &str, new: &str) -> (Settings, Settings, Reload) {
    assert!(FULL.contains(old), "the example has no {old:?}");
    let (running, wanted) = (load(FULL), load(&FULL.replacen(old, new, 1)));
    let outcome = reload(&running, wanted.clone());
    (running, wanted, outcome)
}

#[test]
fn the_same_settings_change_nothing() {
    let settings = load(FULL);
    let outcome = reload(&settings, settings.clone());
    assert_eq!(outcome, Reload { settings, applied: Vec::new(), pending: Vec::new() });
}

#[test]
fn what_can_change_changes_at_once_and_is_named() {
    for (old, new, keys) in [
        ("connections_max = 65536", "connections_max = 100", &["server.connections_max"][..]),
        ("peer_connections_max = 16384", "peer_connections_max = 9", &["server.peer_connections_max"]),
        ("connections_reserve = 64", "connections_reserve = 1", &["server.connections_reserve"]),
        ("connections_per_address = 1000", "connections_per_address = 9", &["server.connections_per_address"]),
        ("memory_high = \"1GiB\"", "memory_high = \"2GiB\"", &["server.memory_high"]),
        ("health_path = \"/health\"", "health_path = \"/up\"", &["listeners.0.health_path"]),
        ("failover = \"next-rank\"", "failover = \"fail-fast\"", &["routing.failover"]),
        ("127.0.0.1:8444", "127.0.0.1:8445", &["routing.bootstrap"]),
        ("poll = \"1s\"", "poll = \"2s\"", &["routing.poll"]),
        ("ack = \"5s\"", "ack = \"6s\"", &["routing.ack"]),
        ("header = \"x-tenant-id\"", "header = \"x-customer\"", &["tenant.sources"]),
        ("path_prefix = \"/api\"", "path_prefix = \"/v2\"", &["routes.api.path_prefix"]),
        ("*.example.com", "*.example.org", &["routes.api.host"]),
        ("methods = [\"GET\", \"HEAD\", \"POST\"]", "methods = [\"GET\"]", &["routes.api.methods"]),
        ("value = \"2\" }", "value = \"3\" }", &["routes.api.headers"]),
        ("timeout = \"25s\"", "timeout = \"9s\"", &["routes.api.timeout"]),
        ("attempt_timeout = \"8s\"", "attempt_timeout = \"7s\"", &["routes.api.attempt_timeout"]),
        ("total = \"10m\"", "total = \"9m\"", &["routes.api.total"]),
        ("idempotency_key = false", "idempotency_key = true", &["routes.api.idempotency_key"]),
        ("class = \"core\"", "class = \"ai\"", &["routes.api.class"]),
        ("body_bytes = \"10MiB\"", "body_bytes = \"9MiB\"", &["routes.api.body_bytes"]),
        ("websocket = true", "websocket = false", &["routes.api.websocket"]),
        ("tier_limit = true", "tier_limit = false", &["routes.api.tier_limit"]),
        ("[\"per-user\", \"per-address\"]", "[\"per-user\"]", &["routes.api.rate_limits"]),
        ("[\"per-user\", \"per-address\"]", "[\"per-address\", \"per-user\"]", &["routes.api.rate_limits"]),
        ("cache = \"definitions\"", "", &["routes.api.cache"]),
        ("tenant_share = 0.25", "tenant_share = 0.5", &["cache.tenant_share"]),
        ("collapse_wait = \"5s\"", "collapse_wait = \"6s\"", &["cache.collapse_wait"]),
        ("ttl = \"60s\"  ", "ttl = \"61s\"  ", &["cache.classes.definitions.ttl"]),
        ("store_ttl = \"5m\"", "store_ttl = \"0s\"", &["cache.classes.definitions.store_ttl"]),
        ("authorization = \"rfc\"", "authorization = \"per-user\"", &["cache.classes.definitions.authorization"]),
        ("[cache.classes.definitions]", "[cache.classes.x]\n[cache.classes.definitions]", &["cache.classes.x"]),
        ("tier = \"starter\"", "tier = \"enterprise\"", &["tenant.tier"]),
        ("header = \"x-user-id\"", "header = \"x-person\"", &["user.sources"]),
        ("requests = \"500/min\"", "requests = \"600/min\"", &["tiers.starter.requests"]),
        ("burst = 50 ", "burst = 60 ", &["tiers.starter.requests"]),
        ("requests = \"unlimited\"", "requests = \"1/s\"", &["tiers.enterprise.requests"]),
        ("\"tenant\", \"user\"]", "\"tenant\", \"route\", \"user\"]", &["rate_limits.per-user.key"]),
        ("burst = 200 }", "burst = 100 }", &["rate_limits.per-user.quota"]),
        ("starter = \"100/min\"", "starter = \"unlimited\"", &["rate_limits.per-user.quota"]),
        ("candidate = \"400/min\"", "candidate = \"400/h\"", &["rate_limits.per-user.candidate"]),
        ("candidate_burst = 40", "candidate_burst = 4", &["rate_limits.per-user.candidate"]),
        ("mode = \"enforce\"", "mode = \"shadow\"", &["rate_limits.per-user.mode"]),
        ("on_store_failure = \"share\"", "on_store_failure = \"open\"", &["rate_limits.per-user.scope"]),
        ("quota = \"50/s\"", "quota = \"60/s\"", &["rate_limits.per-address.quota"]),
        (
            "name = \"per-address\"",
            "name = \"more\"\nkey = [\"route\"]\nquota = \"1/s\"\n[[rate_limits]]\nname = \"per-address\"",
            &["rate_limits.more"],
        ),
        ("denies_max = 10000", "denies_max = 0", &["limits_store.denies_max"]),
        ("headers = \"none\"", "headers = \"draft\"", &["rate_limiting.headers"]),
        ("legacy_headers = false", "legacy_headers = true", &["rate_limiting.legacy_headers"]),
        ("top_tenants = 10", "top_tenants = 0", &["rate_limiting.top_tenants"]),
        ("processes_max = 8", "processes_max = 9", &["limits_store.processes_max"]),
        ("remove = [\"x-debug\"]", "remove = []", &["routes.api.request_headers"]),
        ("31536000", "1", &["routes.api.response_headers"]),
        ("upstream = \"site\"", "upstream = \"app\"", &["routes.rest.upstream"]),
        ("name = \"rest\"", "name = \"all\"", &["routes.rest", "routes.all"]),
        ("127.0.0.1:9002", "127.0.0.1:9004", &["upstreams.app.endpoints"]),
        ("idle_max = 256", "idle_max = 2", &["upstreams.app.idle_max"]),
        (
            "[upstreams.site]",
            "[upstreams.more]\nendpoints = [\"http://127.0.0.1:1\"]\n[upstreams.site]",
            &["upstreams.more"],
        ),
        ("in_flight_max = 1024", "in_flight_max = 64", &["upstreams.app.in_flight_max"]),
        ("tenant_share_max = 0.75", "tenant_share_max = 0.5", &["upstreams.app.tenant_share_max"]),
        ("recovery = \"30s\"", "recovery = \"3s\"", &["upstreams.app.recovery"]),
        ("\npath = \"/health\"", "\npath = \"/up\"", &["upstreams.app.health_check"]),
        ("open = \"30s\"", "open = \"3s\"", &["upstreams.app.breaker"]),
        ("ejection = \"30s\"", "ejection = \"3s\"", &["upstreams.app.outliers"]),
        ("[peers]\nin_flight_max = 1024", "[peers]\nin_flight_max = 64", &["peers.in_flight_max"]),
        ("health_check = { interval = \"30s\"", "health_check = { interval = \"20s\"", &["peers.health_check"]),
        ("breaker = { preset = \"default\"", "breaker = { preset = \"llm\"", &["peers.breaker"]),
        ("attempts_max = 4", "attempts_max = 1", &["retries.attempts_max"]),
        ("replay_bytes = \"64KiB\"", "replay_bytes = 0", &["retries.replay_bytes"]),
        ("tcp://127.0.0.1:5432", "tcp://127.0.0.1:5433", &["dependencies.metadata-db.probe"]),
        ("latency_max = \"10ms\"", "latency_max = \"5ms\"", &["dependencies.metadata-db.latency_max"]),
        ("interval = \"5s\"", "interval = \"4s\"", &["dependencies.metadata-db.interval"]),
        ("on_failure = \"read-only\"", "on_failure = \"ai-degraded\"", &["dependencies.metadata-db.on_failure"]),
        ("upstream = \"site\"                   #", "upstream = \"app\" #", &["dependencies.llm.upstream"]),
        ("upstream = \"site\"                   #", "probe = \"tcp://[::1]:1\" #", &["dependencies.llm.probe"]),
        ("[dependencies.llm]", "[dependencies.ai]", &["dependencies.llm", "dependencies.ai"]),
        ("leave = \"10s\"", "leave = \"1s\"", &["degradation.leave"]),
        ("header = false", "header = true", &["degradation.header"]),
        ("/maintenance.html", "/closed.html", &["degradation.page"]),
        ("sample = 1.0", "sample = 0.5", &["access_log.sample"]),
        ("# token = \"${ADMIN_TOKEN}\"", "token = \"0123456789abcdef\"", &["admin.token"]),
        ("admin.example.com", "ops.example.com", &["admin.hosts"]),
        ("fields = 100", "fields = 10", &["limits.fields"]),
        ("connect = \"1s\"", "connect = \"2s\"", &["timeouts.connect"]),
        ("lame_duck = \"20s\"", "lame_duck = \"2s\"", &["shutdown.lame_duck"]),
        ("client_keepalive = \"95s\"", "client_keepalive = \"1s\"", &["shutdown.client_keepalive"]),
        ("tunnels = \"60s\"", "tunnels = \"6s\"", &["shutdown.tunnels"]),
    ] {
        let (_, wanted, outcome) = changed(old, new);
        assert_eq!(outcome.applied, keys, "{new}");
        assert_eq!(outcome.pending, [""; 0], "{new}");
        assert_eq!(outcome.settings, wanted, "{new}");
    }
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    for (old, new, key) in [
        ("synaxis-weu-001", "synaxis-neu-001", "stamp.id"),
        ("workers = 4", "workers = 5", "server.workers"),
        ("6379/3", "6379/4", "cache.store.url"),
        ("# key = \"${CACHE_KEY}\"", "key = \"0123456789abcdef0123456789abcdef\"", "cache.store.key"),
        ("\"5ms\"                    # a request waits so long for it b", "\"6ms\" # b", "cache.store.deadline"),
        ("value_bytes = \"1MiB\"", "value_bytes = \"2MiB\"", "cache.store.value_bytes"),
        ("queue_max = 4096 ", "queue_max = 1 ", "cache.store.queue_max"),
        ("queue_bytes = \"32MiB\"", "queue_bytes = \"1MiB\"", "cache.store.queue_bytes"),
        ("memory = \"256MiB\"", "memory = \"128MiB\"", "cache.memory"),
        ("127.0.0.1:8080", "127.0.0.1:8081", "listeners.0.address"),
        ("127.0.0.1:8443", "127.0.0.1:8442", "listeners.1.address"),
        ("127.0.0.1:9901", "127.0.0.1:9902", "admin.address"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/2", "routing.store"),
        ("key_prefix = \"synaxis\"", "key_prefix = \"other\"", "routing.key_prefix"),
        ("/var/lib/synaxis/routing.json", "/var/lib/synaxis/other.json", "routing.snapshot"),
        ("ports = [8443]", "ports = [8444]", "routing.endpoints"),
        ("keys_max = 1000000", "keys_max = 100000", "rate_limiting.keys_max"),
        ("tenant_keys_max = 20000", "tenant_keys_max = 10", "rate_limiting.tenant_keys_max"),
        ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/3", "limits_store.url"),
        ("deadline = \"5ms\"", "deadline = \"6ms\"", "limits_store.deadline"),
        ("output = \"stdout\"", "output = \"off\"", "access_log.output"),
        ("queue = 8192", "queue = 1", "access_log.queue"),
    ] {
        let (running, _, outcome) = changed(old, new);
        assert_eq!(outcome.applied, [""; 0], "{new}");
        assert_eq!(outcome.pending, [key], "{new}");
        assert_eq!(outcome.settings, running, "{new}");
    }
}

#[test]
fn any_port_is_the_port_that_it_has() {
    for listener in ["127.0.0.1:8080", "127.0.0.1:8443", "127.0.0.1:9901"] {
        let (running, _, outcome) = changed(listener, "127.0.0.1:0");
        assert_eq!(outcome, Reload { settings: running, applied: Vec::new(), pending: Vec::new() });
    }
    assert_eq!(changed("127.0.0.1:8080", "127.0.0.2:0").2.pending, ["listeners.0.address"]);
}

#[test]
fn what_can_change_changes_although_its_neighbour_waits() {
    let (running, mut wanted) = (load(FULL), load(&FULL.replace("workers = 4", "workers = 5")));
    wanted.limits.fields = 7;
    let outcome = reload(&running, wanted);
    assert_eq!((outcome.applied, outcome.pending), (vec!["limits.fields".into()], vec!["server.workers".into()]));
    assert_eq!((outcome.settings.server.workers, outcome.settings.limits.fields), (4, 7));
}

#[test]
fn routing_neither_comes_nor_goes_and_listeners_neither() {
    let with = load(FULL);
    let mut without = with.clone();
    without.routing = None;
    without.listeners.truncate(1);
    for (running, wanted) in [(&with, &without), (&without, &with)] {
        let outcome = reload(running, wanted.clone());
        assert_eq!(outcome.pending, ["listeners", "routing"]);
        assert_eq!(outcome.settings, *running);
    }
}

#[test]
fn an_edge_listener_never_gets_what_was_meant_for_a_peer() {
    let running = load(FULL);
    let mut wanted = running.clone();
    wanted.listeners.reverse();
    let outcome = reload(&running, wanted);
    assert_eq!(outcome.settings.listeners, running.listeners);
    assert_eq!(outcome.applied, [""; 0]);
    assert_eq!(outcome.pending, ["listeners.0.kind", "listeners.0.address", "listeners.1.kind", "listeners.1.address"]);
}

#[test]
fn the_header_of_users_comes_and_goes_and_a_store_of_limits_with_a_restart() {
    let with = load(FULL);
    let mut without = with.clone();
    without.limits_store = None;
    without.user = None;
    for (running, wanted) in [(&with, &without), (&without, &with)] {
        let outcome = reload(running, wanted.clone());
        assert_eq!((outcome.applied, outcome.pending), (vec!["user".to_owned()], vec!["limits_store".to_owned()]));
        assert_eq!(outcome.settings.limits_store, running.limits_store);
    }
}

#[test]
fn another_order_of_tiers_or_limits_is_no_change_and_one_that_comes_or_goes_is() {
    let running = load(FULL);
    let mut wanted = running.clone();
    wanted.tiers.reverse();
    wanted.tenant.tier = wanted.tenant.tier.map(|tier| 1 - tier);
    wanted.rate_limits.reverse();
    for limit in &mut wanted.rate_limits {
        if let Quotas::PerTier(quotas) = &mut limit.quota {
            quotas.reverse();
        }
    }
    wanted.routes.iter_mut().flat_map(|route| &mut route.rate_limits).for_each(|limit| *limit = 1 - *limit);
    assert_eq!(reload(&running, wanted.clone()).applied, [""; 0]);
    wanted.routes[0].rate_limits.reverse();
    assert_eq!(reload(&running, wanted).applied, ["routes.api.rate_limits"]);

    let more = FULL.replace("enterprise = {", "gold = \"1/s\", enterprise = {");
    let wanted = load(&more.replace("[tiers.enterprise]", "[tiers.gold]\nrequests = \"1/s\"\n[tiers.enterprise]"));
    let names = ["tiers.gold", "rate_limits.per-user.quota"];
    assert_eq!(reload(&running, wanted.clone()).applied, names);
    assert_eq!(reload(&wanted, running).applied, names);
}

#[test]
fn another_order_of_routes_is_a_change_and_another_order_of_upstreams_or_dependencies_is_none() {
    let running = load(FULL);
    let mut wanted = running.clone();
    wanted.routes.reverse();
    assert_eq!(reload(&running, wanted).applied, ["routes"]);
    let mut wanted = running.clone();
    wanted.upstreams.reverse();
    wanted.routes.iter_mut().for_each(|route| route.upstream = 1 - route.upstream);
    for dependency in &mut wanted.dependencies {
        if let Watched::Breaker(position) = &mut dependency.watched {
            *position = 1 - *position;
        }
    }
    wanted.dependencies.reverse();
    assert_eq!(reload(&running, wanted).applied, [""; 0]);
}

#[test]
fn no_value_is_ever_named() {
    let (_, _, outcome) = changed("redis://127.0.0.1:6379/0", "redis://user:hunter2@127.0.0.1:6379/0");
    assert!(!format!("{:?}", outcome.pending).contains("hunter2"));
}
