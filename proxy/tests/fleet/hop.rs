//! The one hop between stamps, and the admin listener of a stamp in a fleet.

use synaxis_routing::{id::TenantId, table::PinMode};

use super::world::{World, stamp};
use crate::world::Client;

#[test]
fn the_peer_listener_serves_stamps_only_and_never_sends_on() {
    let world = World::start();
    let owners = world.owners(0);
    let peer = world.proxies[0].as_ref().unwrap().peers[0];
    let stranger = Client::connect(peer).get("acme", "/");
    assert_eq!((stranger.status, stranger.reason().as_str()), (400, "framing_invalid"));
    // a forward for a tenant that belongs elsewhere is served here all the same: this stamp is a candidate
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() != stamp(0).as_str()).unwrap().0;
    let epoch = world.current().0.version();
    let forward = format!(
        "GET /x HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {epoch}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: {elsewhere}\r\n\r\n",
        stamp(1)
    );
    let answer = Client::connect(peer).exchange(forward.as_bytes()).unwrap();
    assert_eq!(answer.json()["stamp"], stamp(0).as_str());
    world.stop();
}

#[test]
fn a_forward_carries_the_client_and_every_hop_signs_itself() {
    let world = World::start();
    let owners = world.owners(0);
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() == stamp(1).as_str()).unwrap().0;
    let request = format!(
        "GET /forwarded HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {elsewhere}\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Synaxis-Client: 6.6.6.6\r\nVia: 1.0 there\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
    );
    assert_eq!(world.edge(0).exchange(request.as_bytes()).unwrap().json()["stamp"], stamp(1).as_str());
    let seen = world.origins[1].seen().into_iter().find(|seen| seen.line.contains("/forwarded")).unwrap();
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"], "the client's word is not believed");
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("via"), ["1.0 there", "1.1 synaxis", "1.1 synaxis"]);
    assert!(seen.all("x-forwarded-host").is_empty() && seen.all("forwarded").is_empty());
    assert_eq!(seen.all("traceparent"), ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]);
    assert_eq!(seen.all("host"), ["app.example"]);
    assert_eq!(seen.all("x-tenant-id"), [elsewhere.as_str()]);
    assert!(!seen.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("x-synaxis-")), "{seen:?}");
    world.stop();
}

#[test]
fn an_answer_cut_at_the_owner_is_cut_at_the_entry_and_nothing_else_is() {
    let world = World::start();
    let owners = world.owners(0);
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() == stamp(2).as_str()).unwrap().0;
    let before = world.origins[2].count();
    let error = world.edge(0).try_get(elsewhere, "/cut").unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset), "{error}");
    let reset = world.edge(0).get(elsewhere, "/reset");
    // its app may have executed it: nobody else gets it
    assert_eq!((reset.status, reset.reason().as_str()), (502, "upstream_reset"));
    assert_eq!(world.origins[2].count() - before, 2);
    assert_eq!(world.owners(0), owners, "the connections between the stamps are clean");
    world.stop();
}

#[test]
fn the_admin_listener_says_how_things_stand() {
    let world = World::start();
    for (target, status, words) in [
        ("/livez", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/readyz?verbose", 200, "[+] table 1."),
        ("/version", 200, "synaxis-proxy"),
        ("/metrics", 200, "routing_epoch"),
        ("/stamps", 200, "synaxis-weu-003"),
        ("/routing", 200, "hrw-xxh3-v1"),
        ("/routing/explain?tenant=acme", 200, "acme"),
        ("/routing/explain?tenant=a%2Fb", 400, "tenant_invalid"),
        ("/routing/explain", 400, "tenant_invalid"),
        ("/routing/explain?tenant=acme&entry=nowhere", 400, "region_unknown"),
        ("/nothing", 404, "unknown"),
    ] {
        let answer = world.ask(0, target);
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.text().contains(words), "{target}: {}", answer.text());
        assert!(!answer.text().contains(&format!("{:016x}", 7)), "{target} shows the seed");
    }
    let write = Client::connect(world.proxies[0].as_ref().unwrap().admin)
        .exchange(b"POST /stamps HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(write.status, 405);
    world.stop();
}

#[test]
fn what_a_stamp_answers_itself_is_never_answered_to_a_forward() {
    let world = World::start();
    let owners = world.owners(0);
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() == stamp(1).as_str()).unwrap().0;
    let peer = world.proxies[1].as_ref().unwrap().peers[0];
    for path in ["/synaxis/table", "/health"] {
        let own = Client::connect(peer).exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(own.status, 200, "a peer asks for {path}");
        // the edge of another stamp: /health is its own, everything else is the tenant's
        let answer = world.edge(0).get(elsewhere, path);
        if path == "/health" {
            assert_eq!((answer.status, answer.header("x-synaxis-state")), (200, Some("active")));
        } else {
            assert_eq!(answer.json()["path"], path, "the table is no tenant's to read");
        }
        let forward = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: {elsewhere}\r\n\r\n",
            world.current().0.version(),
            stamp(0)
        );
        assert_eq!(Client::connect(peer).exchange(forward.as_bytes()).unwrap().json()["path"], path);
    }
    world.stop();
}

#[test]
fn a_forward_to_a_stamp_that_may_not_serve_it_is_sent_back_and_served_elsewhere() {
    let world = World::start();
    let pinned = TenantId::parse(b"pinned").unwrap();
    world.edit(|fleet, now| fleet.pin(pinned, &stamp(1), PinMode::Strict, now).unwrap());
    let version = world.current().0.version();
    let forward = |epoch: &str| {
        let peer = world.proxies[0].as_ref().unwrap().peers[0];
        let request = format!(
            "GET /x HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {epoch}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: pinned\r\n\r\n",
            stamp(2)
        );
        Client::connect(peer).exchange(request.as_bytes()).unwrap()
    };
    for epoch in [version.to_string(), "1.1".to_owned()] {
        let answer = forward(&epoch);
        assert_eq!((answer.status, answer.reason().as_str()), (421, "misdirected"));
        assert_eq!(answer.header("x-synaxis-processed"), Some("no"));
        assert_eq!(answer.header("x-synaxis-epoch"), Some(version.to_string().as_str()));
    }
    assert_eq!(world.origins[0].count(), 0, "its app has not seen it");
    // a sender with a newer table knows better
    let newer = forward(&format!("{}.{}", version.term, version.epoch + 1));
    assert_eq!(newer.json()["stamp"], stamp(0).as_str());
    for entry in 0..3 {
        assert_eq!(world.edge(entry).get("pinned", "/").json()["stamp"], stamp(1).as_str());
    }
    world.stop();
}
