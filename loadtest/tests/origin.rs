//! An origin asked without anything between: what it says is what it did.

use std::time::Duration;

use synaxis_loadtest::{
    echo,
    origin::{Error, Script, journal},
    world::{Binaries, Blueprint, Site, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::turn;

/// Asks the origin of a world of one stamp under each script in turn; `each` sees the script's place and what came back.
fn ask(request: &[u8], scripts: &[Script], mut each: impl FnMut(usize, &str)) -> Vec<journal::Entry> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let blueprint = Blueprint { stamps: 1, ..Blueprint::default() };
        let site = Site::new().unwrap();
        let world = World::start(&blueprint, &Binaries::beside().unwrap(), &site).await.unwrap();
        let origin = &world.stamps[0].origin;
        for (place, script) in scripts.iter().enumerate() {
            origin.set(script).await.unwrap();
            let mut stream = TcpStream::connect(origin.address()).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            // an answer that is cut ends with an error, and what came before it counts
            let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
            each(place, &String::from_utf8_lossy(&answer));
        }
        let mut entries = Vec::new();
        journal::read(origin.journal(), |entry| entries.push(entry)).unwrap();
        entries
    })
}

#[test]
fn every_answer_proves_whose_it_is_and_the_journal_says_the_same() {
    let _turn = turn();
    let upload = echo::upload(77, 3);
    let head = "POST /load HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Load-Id: 77\r\nX-Load-Bytes: 5\r\n\
                X-Tenant-Id: tenant-0042\r\nContent-Length: 3\r\n\r\n";
    let scripts = [
        Script::default(),
        Script { errors: Some(Error { status: 503, share: 1.0, tenant: None }), ..Script::default() },
        Script { cut: 1.0, ..Script::default() },
    ];
    let digest = echo::digest(77, &upload);
    let proof = [
        "x-load-id: 77\r\n".to_owned(),
        "x-load-tenant: tenant-0042\r\n".to_owned(),
        "x-load-stamp: synaxis-weu-001\r\n".to_owned(),
        format!("x-load-upload: {digest}\r\n"),
    ];
    let entries = ask(&[head.as_bytes(), &upload].concat(), &scripts, |place, answer| {
        let status = ["200", "503", "200"][place];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(proof.iter().all(|field| answer.contains(field)), "{answer}");
    });
    let entry = journal::Entry { id: 77, writes: true, upload: digest, tenant: "tenant-0042".into() };
    assert_eq!(entries, vec![entry; 3]);
}

#[test]
fn a_shared_resource_is_the_same_whoever_asks_and_says_nothing_of_who_did() {
    let _turn = turn();
    let scripts = [Script::default(), Script { cacheable: Some(7), ..Script::default() }];
    let body = echo::answer(echo::subject("tenant-0042", 3), 16);
    for id in ["77", "78"] {
        let head = format!(
            "GET /shared/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Load-Id: {id}\r\nX-Load-Bytes: 16\r\n\
             X-Tenant-Id: tenant-0042\r\n\r\n"
        );
        let entries = ask(head.as_bytes(), &scripts, |place, answer| {
            assert!(answer.contains("x-load-tenant: tenant-0042\r\n") && answer.contains("x-load-resource: 3\r\n"));
            assert!(!answer.contains("x-load-id") && !answer.contains(id), "{answer}");
            assert!(answer.ends_with(&*String::from_utf8_lossy(&body)), "{answer}");
            assert_eq!(answer.contains("cache-control: max-age=7\r\n"), place == 1, "{answer}");
            assert_eq!(answer.contains("cache-control"), place == 1, "{answer}");
        });
        assert!(entries.iter().all(|entry| entry.id.to_string() == id) && entries.len() == 2, "{entries:?}");
    }
}

#[test]
fn an_answer_that_is_sent_twice_comes_twice_and_is_one_request() {
    let _turn = turn();
    let request = b"GET /load HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Load-Id: 5\r\nX-Load-Bytes: 9\r\n\r\n";
    let entries = ask(request, &[Script { answer_twice: 1.0, ..Script::default() }], |_, answer| {
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
        assert_eq!(answer.matches("x-load-id: 5\r\n").count(), 2, "{answer}");
    });
    assert_eq!(entries.len(), 1);
}
