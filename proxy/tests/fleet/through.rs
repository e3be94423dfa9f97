//! What passes through two stamps: WebSockets, edits, limits.

use super::world::{World, stamp};
use crate::{
    websockets::{ask, eventually_metric},
    world::{Client, eventually},
};

/// A tenant that entry 0 forwards, and the index of its stamp.
fn elsewhere(world: &World) -> (String, usize) {
    let owners = world.owners(0);
    let (tenant, owner) = owners.into_iter().find(|(_, owner)| owner.as_str() != stamp(0).as_str()).unwrap();
    (tenant, (1..3).find(|index| stamp(*index).as_str() == owner).unwrap())
}

#[test]
fn a_websocket_passes_through_two_stamps() {
    let world = World::start();
    let (tenant, owner) = elsewhere(&world);
    let mut client = world.edge(0);
    let answer = client.exchange(ask(&tenant, "/websocket").as_bytes()).unwrap();
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("x-synaxis-")), "{answer:?}");
    for round in 0_u8..50 {
        client.send(&[0x82, 3, round, 1, 2]);
        assert_eq!(client.bytes(5).unwrap(), [0x82, 3, round, 1, 2]);
    }
    let seen = world.origins[owner].seen().into_iter().find(|seen| seen.line.contains("/websocket")).unwrap();
    assert_eq!((seen.all("upgrade"), seen.all("connection")), (vec!["websocket"], vec!["upgrade"]));
    assert!(!seen.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("x-synaxis-")), "{seen:?}");
    for index in [0, owner] {
        let admin = world.proxies[index].as_ref().unwrap().admin;
        eventually_metric(admin, "websockets", 1.0);
    }
    drop(client);
    for index in [0, owner] {
        eventually_metric(world.proxies[index].as_ref().unwrap().admin, "websockets", 0.0);
    }
    world.stop();
}

#[test]
fn both_stamps_of_a_websocket_tell_its_client_once_that_they_leave() {
    let world = World::start();
    let (tenant, _) = elsewhere(&world);
    let mut client = world.edge(0);
    assert_eq!(client.exchange(ask(&tenant, "/websocket").as_bytes()).unwrap().status, 101);
    world.running().for_each(synaxis_proxy::server::Running::stop);
    assert_eq!(client.bytes(4).unwrap(), [0x88, 2, 0x03, 0xE9]);
    client.send(&[0x88, 0x80, 1, 2, 3, 4]);
    assert!(client.is_closed());
    world.stop();
}

const EDITED: &str = r#"
[[routes]]
name = "edited"
path_prefix = "/"
upstream = "app"
body_bytes = 10
request_headers = { add = { "x-route" = "1" } }
response_headers = { add = { "x-served" = "1" } }
"#;

#[test]
fn a_forwarded_request_is_edited_where_it_is_served_and_only_there() {
    let world = World::start_with(EDITED);
    let (tenant, owner) = elsewhere(&world);
    let answer = world.edge(0).get(&tenant, "/edited");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "x-served").count(), 1, "{answer:?}");
    let seen = world.origins[owner].seen().into_iter().find(|seen| seen.line.contains("/edited")).unwrap();
    assert_eq!(seen.all("x-route"), ["1"]);
    let chunked = format!(
        "POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n"
    );
    let refused = world.edge(0).exchange(chunked.as_bytes()).unwrap();
    assert_eq!((refused.status, refused.header("x-served")), (413, None), "the entry's own word is not edited");
    // its app is gone and has not seen it: the next stamp edits it for its own
    world.origins[owner].stop();
    let mut client = world.edge(owner);
    eventually("another stamp serves it", || client.get(&tenant, "/moved").status == 200);
    let seen: Vec<_> = world.origins.iter().flat_map(|origin| origin.seen()).collect();
    assert_eq!(seen.iter().rfind(|seen| seen.line.contains("/moved")).unwrap().all("x-route"), ["1"]);
    let ours = Client::connect(world.proxies[0].as_ref().unwrap().edges[0]).get(&tenant, "/..");
    assert_eq!((ours.status, ours.header("x-served")), (400, None));
    world.stop();
}
