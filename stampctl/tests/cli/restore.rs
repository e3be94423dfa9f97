//! A store that lost its table gets it back from a proxy or a file.

use std::time::Duration;

use synaxis_routing::version::Version;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::World;

/// An admin listener that serves these bytes at one path.
async fn serve(path: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap_or(0);
            let found = request[..n].starts_with(format!("GET {path} ").as_bytes());
            let (status, body) = if found { ("200 OK", &body[..]) } else { ("404 Not Found", &b""[..]) };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body).await;
        }
    });
    address.to_string()
}

/// The exact bytes of a world's current table.
fn envelope(world: &World) -> Vec<u8> {
    world.command().arg("export").output().unwrap().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_table_of_any_proxy_comes_back() {
    let world = World::redis().with(&["weu-001", "weu-002"]);
    let old = envelope(&world);
    world.run("weight weu-001 77").code(0);
    let new = envelope(&world);
    let lost = World::redis();
    let (behind, ahead) = (serve("/routing/table", old).await, serve("/synaxis/table", new).await);
    let garbage = serve("/routing/table", b"garbage".to_vec()).await;
    let recovered = lost
        .args(&["recover", "--from", &garbage, "--from", &behind, "--from", &ahead, "--from", "127.0.0.1:1"])
        .code(0);
    assert!(recovered.err.contains("envelope") && recovered.err.contains("cannot connect"), "{}", recovered.err);
    let version = world.version();
    assert_eq!(lost.version(), version.next_term());
    assert_eq!(lost.json("status weu-001")["weight"], 77);
    // the same tenants land on the same stamps
    let choice = |world: &World| world.json("explain acme")["choice"].clone();
    assert_eq!(choice(&lost), choice(&world));
    // nobody has applied it yet: a second recovery would go over the first
    lost.args(&["recover", "--from", &ahead]).code(5).says(&["2.", "which no proxy has applied"]);
    lost.args(&["recover", "--from", &garbage]).code(1).says(&["no proxy gave a table"]);
    lost.args(&["recover", "--from", "https://127.0.0.1:1"]).code(1).says(&["only http://"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_the_store_still_names_are_asked_by_themselves() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    let store = world.store();
    let old = store.glance().await.unwrap().head.unwrap();
    let admin = serve("/routing/table", envelope(&world)).await;
    let head = synaxis_routing::bundle::Head::parse(&old).unwrap();
    // the proxy confirmed a version that the store does not have any more
    let ack = synaxis_routing::ack::Ack {
        proxy: "survivor".into(),
        stamp: synaxis_routing::id::StampId::parse("synaxis-weu-001").unwrap(),
        build: "test".into(),
        format: 1,
        applied: Version::new(head.term, head.epoch + 3),
        digest: head.digest.clone(),
        connections: 0,
        in_flight: 0,
        requests_per_second: 0.0,
        admin,
        peer: Some("169.254.169.254:80".into()),
        at: crate::now(),
    };
    store.ack(&ack).await.unwrap();
    let started = std::time::Instant::now();
    let recovered = world.run("recover --timeout 300ms").code(3);
    assert!(recovered.out.contains("published"), "{}", recovered.out);
    assert!(!recovered.err.contains("169.254"), "{}", recovered.err);
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(world.version(), Version::new(head.term + 1, head.epoch + 4));
}

#[test]
fn a_file_restores_a_fleet_in_an_empty_store_and_over_a_newer_one() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.run("export table.bin").code(0);
    let file = world.folder.path().join("table.bin");
    let version = world.version();
    let empty = World::redis();
    empty.args(&["import", file.to_str().unwrap()]).code(0);
    assert_eq!(empty.version(), version.next_term());
    world.run("weight weu-001 5").code(0);
    world.run("import table.bin").code(0);
    assert_eq!(world.version(), version.next().next_term());
    assert_eq!(world.json("status weu-001")["weight"], 100);
}

#[test]
fn a_damaged_head_is_named_with_its_cure_and_can_be_overwritten_by_an_import() {
    let world = World::redis().with(&["weu-001", "weu-002"]);
    world.run("export table.bin").code(0);
    let redis = world._redis.as_ref().unwrap();
    redis.try_command("SET {synaxis:rt}:head garbage").unwrap();
    world.run("list").code(1).says(&["stampctl recover"]);
    world.run("weight weu-001 5").code(1).says(&["stampctl recover"]);
    world.run("import table.bin").code(0);
    assert_eq!(world.state("weu-001"), "active");
}
