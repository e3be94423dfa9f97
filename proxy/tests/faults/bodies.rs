//! What another attempt gets of a body.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    CALM, EAGER,
    app::{App, Do},
    config, metric,
};
use crate::world::{Answer, Client, proxy, stop};

const REPLAY: usize = 64 << 10;

const KEYED: &str = "[[routes]]\nname = \"keyed\"\npath_prefix = \"/keyed\"\nupstream = \"app\"\nidempotency_key = true\n\
                     [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nupstream = \"app\"\n";

/// An app whose first request comes to `fault`.
fn app(fault: Do) -> App {
    let fails = AtomicBool::new(true);
    App::start("app", move |_| if fails.swap(false, Ordering::SeqCst) { fault } else { Do::Answer(200) })
}

/// Sends a body in pieces, so that an attempt takes it in several.
fn send(client: &mut Client, method: &str, target: &str, field: &str, body: &[u8], chunked: bool) -> Answer {
    let framing =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {}", body.len()) };
    client.send(
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{field}{framing}\r\n\r\n").as_bytes(),
    );
    for piece in body.chunks(7_001) {
        let sent = if chunked {
            [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
        } else {
            piece.to_vec()
        };
        client.send(&sent);
    }
    if chunked {
        client.send(b"0\r\n\r\n");
    }
    client.answer(false).unwrap()
}

fn noise(length: usize) -> Vec<u8> {
    // Knuth's constant: no piece of it is like another
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_body_that_is_small_enough_is_sent_again_byte_for_byte_and_a_larger_one_never() {
    for fault in [Do::Reset, Do::Answer(503), Do::Last(503)] {
        for chunked in [false, true] {
            for length in [0, 1, 7_001, 40_000, REPLAY - 1, REPLAY, REPLAY + 1, 300_000] {
                for method in ["POST", "GET"] {
                    let (app, body) = (app(fault), noise(length));
                    let proxy = proxy(&config(&[app.address], CALM, &format!("{KEYED}{EAGER}")));
                    let mut client = Client::connect(proxy.edges[0]);
                    let what = format!("{method}, {fault:?}, {length} bytes, chunked: {chunked}");
                    let answer = send(&mut client, method, "/keyed?id=1", "Idempotency-Key: k\r\n", &body, chunked);
                    let seen = app.seen();
                    assert!(seen.iter().all(|seen| seen.body == body), "{what}: another body");
                    if length <= REPLAY {
                        assert_eq!((answer.status, seen.len()), (200, 2), "{what}: {}", answer.text());
                        assert!(seen[0].head == seen[1].head, "{what}: another head");
                    } else {
                        let expected = if matches!(fault, Do::Reset) { (502, 1) } else { (503, 1) };
                        assert_eq!((answer.status, seen.len()), expected, "{what}: {}", answer.text());
                        let ours = answer.header("x-synaxis-reason");
                        assert_eq!(ours, matches!(fault, Do::Reset).then_some("upstream_reset"), "{what}");
                    }
                    stop(proxy);
                }
            }
        }
    }
}

#[test]
fn a_key_makes_a_post_repeatable_only_where_its_route_says_so() {
    for (target, field, attempts) in [
        ("/keyed", "Idempotency-Key: k\r\n", 2),
        ("/keyed", "", 1),
        ("/keyed", "X-Idempotency-Key: k\r\n", 1),
        ("/keyed", "Idempotency-Key: k\r\nConnection: Idempotency-Key\r\n", 1),
        ("/other", "Idempotency-Key: k\r\n", 1),
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for fault in [Do::Reset, Do::Answer(503)] {
                let app = app(fault);
                let proxy = proxy(&config(&[app.address], CALM, &format!("{KEYED}{EAGER}")));
                let answer = send(&mut Client::connect(proxy.edges[0]), method, target, field, b"once", false);
                assert_eq!(app.count(), attempts, "{method} {target} {field} {fault:?}: {}", answer.text());
                assert_eq!(answer.status == 200, attempts == 2);
                stop(proxy);
            }
        }
    }
}

#[test]
fn what_is_kept_of_bodies_can_be_turned_off() {
    let app = app(Do::Reset);
    let retries = format!("{KEYED}{EAGER}replay_bytes = 0\n");
    let proxy = proxy(&config(&[app.address], CALM, &retries));
    let mut client = Client::connect(proxy.edges[0]);
    let answer = send(&mut client, "PUT", "/keyed", "Idempotency-Key: k\r\n", b"x", false);
    assert_eq!((answer.reason().as_str(), app.count()), ("upstream_reset", 1));
    stop(proxy);
}

#[test]
fn an_upload_that_breaks_off_is_not_completed_by_another_attempt() {
    let reset = Arc::new(AtomicBool::new(true));
    let fault = Arc::clone(&reset);
    let app = App::start("app", move |_| if fault.swap(false, Ordering::SeqCst) { Do::Reset } else { Do::Answer(200) });
    let proxy = proxy(&config(&[app.address], CALM, &format!("{KEYED}{EAGER}")));
    for chunked in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 10\r\n\r\nhello"] {
        let mut client = Client::connect(proxy.edges[0]);
        client.send(
            format!("PUT /keyed HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nIdempotency-Key: k\r\n{chunked}").as_bytes(),
        );
        std::thread::sleep(std::time::Duration::from_millis(30));
        drop(client);
    }
    crate::world::eventually("nothing is in flight", || super::in_flight(&proxy) == 0);
    assert_eq!((app.count(), metric(&proxy, "retries_total{kind=\"app\",upstream=\"app\"}")), (0, 0.0));
    stop(proxy);
}
