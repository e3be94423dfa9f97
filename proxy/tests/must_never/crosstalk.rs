//! Not a byte of one tenant reaches another: many tenants over shared client connections, shared pools and the hop between
//! stamps, pipelined, while the app misbehaves in every way it knows.

use std::{net::SocketAddr, thread, time::Duration};

use super::pair::Pair;
use crate::world::{Answer, Client, Strict, alone, eventually, proxy, stop};

/// Requests that one batch pipelines on one connection.
const BATCH: usize = 8;
const BATCHES: usize = 60;
const CLIENTS: usize = 6;

/// What is asked for; the third says whether an answer other than the app's own may come.
const ASKED: [(&str, &str, bool); 15] = [
    ("GET", "/plain", false),
    ("GET", "/plain?again", false),
    ("GET", "/interim", false),
    ("GET", "/surplus", false),
    ("GET", "/long", false),
    ("GET", "/bye", false),
    ("HEAD", "/headbody", false),
    ("GET", "/204body", false),
    ("GET", "/304body", false),
    ("POST", "/early", false),
    ("POST", "/plain", false),
    ("GET", "/cut", true),
    ("GET", "/reset", true),
    ("GET", "/twolengths", true),
    ("GET", "/obsfold", true),
];

struct Wanted {
    tenant: String,
    method: &'static str,
    target: &'static str,
    fails: bool,
}

impl Wanted {
    fn some(random: &mut u64) -> Self {
        // xorshift64 (Marsaglia 2003)
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let (method, target, fails) = ASKED[(*random >> 8) as usize % ASKED.len()];
        Self { tenant: format!("tenant-{}", *random % 97), method, target, fails }
    }

    fn bytes(&self) -> String {
        let body = self.words();
        let body =
            if self.method == "POST" { format!("Content-Length: {}\r\n\r\n{body}", body.len()) } else { "\r\n".into() };
        format!("{} {} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {}\r\n{body}", self.method, self.target, self.tenant)
    }

    fn words(&self) -> String {
        format!("{}|{}|{} ", self.tenant, self.method, self.target).repeat(3)
    }

    /// Whether an answer is this one's own.
    fn owns(&self, answer: &Answer) -> Result<(), String> {
        let whose = answer.header("x-whose").is_none_or(|whose| whose == self.tenant);
        let text = answer.text();
        let bodiless = self.method == "HEAD" || matches!(answer.status, 204 | 304);
        let right = match answer.status {
            200 if bodiless => text.is_empty(),
            200 => text.trim_end() == self.words().trim_end(),
            204 => self.target == "/204body" && text.is_empty(),
            304 => self.target == "/304body" && text.is_empty(),
            502 => self.fails && answer.header("x-synaxis-reason").is_some() && !text.contains("tenant-"),
            _ => false,
        };
        if whose && right { Ok(()) } else { Err(format!("{} asked and got {answer:?}: {text}", self.bytes())) }
    }
}

/// One client's batches; returns how many answers it held against what it asked.
fn visit(edges: &[SocketAddr], seed: u64) -> Result<usize, String> {
    let (mut random, mut answered) = (seed | 1, 0);
    for batch in 0..BATCHES {
        let mut client = Client::connect(edges[batch % edges.len()]);
        for _ in 0..3 {
            let wanted: Vec<Wanted> = (0..BATCH).map(|_| Wanted::some(&mut random)).collect();
            client.send(wanted.iter().map(Wanted::bytes).collect::<String>().as_bytes());
            let mut broken = false;
            for wanted in &wanted {
                match client.answer(wanted.method == "HEAD") {
                    Ok(answer) => wanted.owns(&answer)?,
                    // an answer that its app cut is cut here, and with it whatever was asked behind it
                    Err(_) if wanted.target == "/cut" => {
                        broken = true;
                        break;
                    }
                    Err(error) => return Err(format!("{}: {error}", wanted.bytes())),
                }
                answered += 1;
            }
            if broken {
                break;
            }
        }
    }
    Ok(answered)
}

#[test]
fn no_byte_of_one_tenant_reaches_another() {
    let pair = Pair::start("");
    let edges: Vec<SocketAddr> = pair.proxies.iter().map(|proxy| proxy.edges[0]).collect();
    let mut answered = 0;
    let seed = 0x5EED;
    thread::scope(|scope| {
        let edges = &edges;
        let clients = (0..CLIENTS as u64).map(|client| scope.spawn(move || visit(edges, seed + client * 7919)));
        for client in clients.collect::<Vec<_>>() {
            answered += client.join().unwrap().unwrap_or_else(|why| panic!("seed {seed:#x}: {why}"));
        }
    });
    assert!(answered > CLIENTS * BATCHES * BATCH / 2, "most were answered");
    assert!((0..2).all(|index| pair.metric(index, "forwarded_total") > 100), "half of them took the hop");
    pair.stop();
}

#[test]
fn what_an_app_sends_unasked_on_an_idle_connection_is_nobodys_answer() {
    let origin = Strict::start();
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    for turn in 0..10 {
        let first = Wanted { tenant: format!("first-{turn}"), method: "GET", target: "/late", fails: false };
        client.send(first.bytes().as_bytes());
        first.owns(&client.answer(false).unwrap()).unwrap();
        // the surplus answer is there before the connection is used again, soon and after it is no longer trusted
        thread::sleep(Duration::from_millis(if turn % 2 == 0 { 10 } else { 150 }));
        let second = Wanted { tenant: format!("second-{turn}"), method: "GET", target: "/plain", fails: false };
        client.send(second.bytes().as_bytes());
        second.owns(&client.answer(false).unwrap()).unwrap();
    }
    eventually("every connection with something left over is gone", || origin.count() == 20);
    stop(proxy);
}
