//! What an app is told at every attempt: the head of this request, and no byte of any other.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    CALM, EAGER,
    app::{App, Do, Request},
    config,
};
use crate::world::{Client, proxy, stop};

const EDITS: &str = r#"
[[routes]]
name = "edited"
path_prefix = "/"
upstream = "app"
timeout = "10s"
idempotency_key = true
[routes.request_headers]
remove = ["x-debug"]
set = { "x-api" = "2" }
add = { "accept-language" = "en", "x-named" = "ours" }
"#;

const THREADS: usize = 6;
const TURNS: usize = 250;

/// A linear congruential generator (Knuth, MMIX): good enough to mix.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// One request of a tenant, whose every field tells whose it is.
struct Asked {
    id: String,
    tenant: String,
    /// Name and value, one character a byte, as they go out.
    fields: Vec<(String, String)>,
    method: &'static str,
    body: Vec<u8>,
    chunked: bool,
}

impl Asked {
    fn random(thread: usize, turn: usize, chance: &mut Chance) -> Self {
        let (tenant, id) = (format!("tenant-{}", chance.below(12)), format!("{thread}-{turn}"));
        let mark = format!("{tenant}.{id}.");
        let mut fields = vec![("authorization".to_owned(), format!("Bearer {mark}token"))];
        for number in 0..chance.below(12) {
            // names that tenants share, names of one tenant only, and names of one request only
            let name = match chance.below(4) {
                0 => "cookie".to_owned(),
                1 => format!("x-{tenant}"),
                2 => format!("x-{tenant}-{id}-{number}"),
                _ => "x-trace".to_owned(),
            };
            let length = [0, 10, 200, 2_000, 5_000][chance.below(5)];
            let odd = ["", "caf\u{e9} ", "a,b;\"c\" "][chance.below(3)];
            fields.push((name, format!("{mark}{odd}{}", "v".repeat(length))));
        }
        if chance.below(3) == 0 {
            fields.push(("x-debug".into(), format!("{mark}gone")));
            fields.push(("x-api".into(), format!("{mark}theirs")));
            fields.push(("x-named".into(), format!("{mark}theirs")));
        }
        let method = ["GET", "GET", "OPTIONS", "POST", "PUT"][chance.below(5)];
        let body = if matches!(method, "POST" | "PUT") {
            fields.push(("idempotency-key".into(), format!("{mark}key")));
            mark.bytes().cycle().take(chance.below(3) * 20_000).collect()
        } else {
            Vec::new()
        };
        Self { id, tenant, fields, method, body, chunked: chance.below(2) == 0 }
    }

    fn target(&self) -> String {
        format!("/{}?id={}", self.tenant, self.id)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: app.example\r\n", self.method, self.target());
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "X-Tenant-Id: {}\r\n", self.tenant).unwrap();
        let has_body = matches!(self.method, "POST" | "PUT");
        let mut body = self.body.clone();
        if has_body && self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
            body.clear();
            for piece in self.body.chunks(8_000) {
                write!(body, "{:x}\r\n", piece.len()).unwrap();
                body.extend_from_slice(piece);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
        } else if has_body {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        // one character a byte, beyond ASCII, too
        head.chars().map(|char| u32::from(char) as u8).chain(body).collect()
    }

    /// What must reach the app of each field: in order, with the route's edits, once.
    fn expected(&self) -> HashMap<String, Vec<String>> {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in &self.fields {
            all.entry(name.clone()).or_default().push(value.trim_end().to_owned());
        }
        all.remove("x-debug");
        all.insert("x-api".into(), vec!["2".into()]);
        all.entry("x-named".into()).or_default().push("ours".into());
        all.insert("accept-language".into(), vec!["en".into()]);
        all.insert("host".into(), vec!["app.example".into()]);
        all.insert("x-tenant-id".into(), vec![self.tenant.clone()]);
        all
    }

    /// Compares it with what an app saw.
    fn check(&self, seen: &Request) {
        let id = &self.id;
        assert_eq!((seen.method().as_str(), seen.target()), (self.method, self.target()), "{id}");
        let expected = self.expected();
        for (name, values) in &expected {
            assert_eq!(&seen.all(name), values, "{id}: {name}");
        }
        // and nothing that nobody sent or the proxy does not add itself
        let ours = ["via", "content-length", "transfer-encoding", "forwarded", "x-request-id", "traceparent"];
        for line in seen.lines().iter().skip(1) {
            let name = line.split(':').next().unwrap();
            let known = expected.contains_key(name) || ours.contains(&name) || name.starts_with("x-forwarded-");
            assert!(known, "{id}: who sent {line}?");
            if let Some((_, rest)) = line.split_once("tenant-").filter(|_| name != "x-tenant-id") {
                let whose = format!("tenant-{}", rest.split(|char: char| !char.is_ascii_digit()).next().unwrap());
                assert_eq!(whose, self.tenant, "{id}: {line}");
            }
        }
        assert!(seen.body == self.body, "{id}: another body");
    }
}

/// Misbehaves at random, but lets a request pass in the end.
fn moody(name: &str, seed: u64, times: &Arc<std::sync::Mutex<HashMap<String, usize>>>) -> App {
    let (turn, times) = (AtomicUsize::new(0), Arc::clone(times));
    App::start(name, move |request| {
        let mut times = times.lock().unwrap();
        let time = times.entry(request.id()).or_default();
        *time += 1;
        let last = *time == 4;
        drop(times);
        let mut chance = Chance(seed.wrapping_add(turn.fetch_add(1, Ordering::SeqCst) as u64 * 0x9e37_79b9));
        chance.below(2);
        match chance.below(8) {
            _ if last => Do::Answer(200),
            0 => Do::Answer(503),
            1 => Do::Reset,
            2 => Do::Last(502),
            3 => Do::Last(200),
            _ => Do::Answer(200),
        }
    })
}

#[test]
fn no_attempt_ever_has_a_byte_of_another_tenants_request_and_edits_are_made_once() {
    const SEED: u64 = 20_260;
    let times = Arc::default();
    let apps: Arc<Vec<App>> = Arc::new((0..2).map(|index| moody("app", SEED + index, &times)).collect());
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    let retries = EAGER.replace("5ms", "1ms");
    let proxy = proxy(&config(&addresses, CALM, &format!("{EDITS}{retries}")));
    let edge = proxy.edges[0];
    let ended = Arc::new(AtomicBool::new(false));
    let killer = {
        let (apps, ended) = (Arc::clone(&apps), Arc::clone(&ended));
        thread::spawn(move || {
            for turn in 0.. {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
                apps[turn % 2].break_all();
            }
        })
    };
    let clients: Vec<_> = (0..THREADS)
        .map(|thread| {
            thread::spawn(move || {
                let mut chance = Chance(SEED + 100 + thread as u64);
                let mut client = Client::connect(edge);
                let mut asked = Vec::new();
                let mut answered = 0;
                for turn in 0..TURNS {
                    let request = Asked::random(thread, turn, &mut chance);
                    // many tenants on each of the client's connections, too
                    let answer = client.exchange(&request.bytes());
                    match answer {
                        Ok(answer) if answer.status == 200 => {
                            let told = answer.json();
                            assert_eq!(told["target"], request.target(), "another request's answer");
                            assert_eq!(told["tenant"], request.tenant.as_str(), "another tenant's answer");
                            assert_eq!(told["size"], request.body.len());
                            answered += 1;
                        }
                        Ok(answer) if answer.header("connection") != Some("close") => {}
                        _ => client = Client::connect(edge),
                    }
                    asked.push(request);
                }
                (asked, answered)
            })
        })
        .collect();
    let outcomes: Vec<(Vec<Asked>, usize)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    ended.store(true, Ordering::SeqCst);
    killer.join().unwrap();

    let mut seen: HashMap<String, Vec<Request>> = HashMap::new();
    for request in apps.iter().flat_map(App::seen) {
        seen.entry(request.id()).or_default().push(request);
    }
    let mut retried = 0;
    let answered: usize = outcomes.iter().map(|(_, answered)| answered).sum();
    for asked in outcomes.iter().flat_map(|(asked, _)| asked) {
        let attempts = seen.remove(&asked.id).unwrap_or_default();
        assert!(attempts.len() <= 4, "{} ran {} times", asked.id, attempts.len());
        retried += usize::from(attempts.len() > 1);
        let heads: HashSet<&[u8]> = attempts.iter().map(|attempt| &attempt.head[..]).collect();
        assert!(
            heads.len() <= 1,
            "{}: heads differ: {:?}",
            asked.id,
            attempts.iter().map(Request::lines).collect::<Vec<_>>()
        );
        for attempt in &attempts {
            asked.check(attempt);
        }
    }
    assert!(seen.is_empty(), "nobody sent {:?}", seen.keys());
    assert!(retried > THREADS * TURNS / 4, "only {retried} were tried again (seed {SEED})");
    assert!(answered > THREADS * TURNS * 9 / 10, "only {answered} were answered (seed {SEED})");
    stop(proxy);
}

#[test]
fn a_head_that_was_answered_after_another_tenants_on_the_same_connection_is_sent_again_as_it_was() {
    // one connection at a time, so that every head follows another tenant's on it
    let app =
        App::start("app", |request| if request.id().ends_with("-twice") { Do::Answer(503) } else { Do::Answer(200) });
    let proxy = proxy(&config(&[app.address], CALM, &format!("{EDITS}{}", EAGER.replace("5ms", "1ms"))));
    let mut client = Client::connect(proxy.edges[0]);
    let mut chance = Chance(7);
    for turn in 0..100 {
        let mut request = Asked::random(0, turn, &mut chance);
        request.id = format!("{}-{}", request.id, ["once", "twice"][turn % 2]);
        let from = app.count();
        assert_eq!(client.exchange(&request.bytes()).unwrap().status, [200, 503][turn % 2]);
        let attempts = &app.seen()[from..];
        assert_eq!(attempts.len(), [1, 4][turn % 2]);
        for attempt in attempts {
            assert!(attempt.head == attempts[0].head, "another head: {:?} {:?}", attempt.lines(), attempts[0].lines());
            request.check(attempt);
        }
    }
    stop(proxy);
}
