//! The cases through a real proxy, with a real origin behind it: both read and write bytes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{
    all, checked,
    file::{self, Case, Class, Exchange, Filled, Gets},
    model::Answer,
};
use crate::{
    cache::app::{App, Asked, Does},
    world::{Client, alone, eventually, proxy, stop},
};

/// Cases at a time.
const THREADS: usize = 8;

const AUTHORITY: &str = "app.example";

/// What the origin does for the cases that are under way, by their paths.
type Scripts = Mutex<HashMap<String, Script>>;

/// The exchange that a case has come to.
struct Script {
    exchange: Exchange,
    number: usize,
    began: u64,
    seen: Vec<(Method, HeaderMap)>,
}

#[test]
fn a_proxy_fulfils_every_case() {
    let mut by_class: BTreeMap<String, Vec<(&str, Case)>> = BTreeMap::new();
    for (file, case) in all() {
        by_class.entry(case.class.clone()).or_default().push((file, case));
    }
    let classes = file::classes();
    let wrong: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> =
            by_class.iter().map(|(name, cases)| scope.spawn(|| class(&classes[name], name, cases))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs the cases of one class; says which went wrong.
fn class(class: &Class, name: &str, cases: &[(&str, Case)]) -> Vec<String> {
    let scripts: Arc<Scripts> = Arc::default();
    let theirs = Arc::clone(&scripts);
    let app = App::start(move |asked| does(asked, &theirs));
    let written: toml::Table = include_str!("classes.toml").parse().unwrap();
    let keys = toml::to_string(&written["cache"]["classes"][name]).unwrap();
    let user = if class.is_per_user() { "[user]\nsources = [{ header = \"x-user-id\" }]\n" } else { "" };
    let route = "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\ncache = \"it\"\n";
    let proxy = proxy(&alone(app.address, &format!("{user}[cache.classes.it]\n{keys}{route}")));
    let edge = proxy.edges[0];
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let Some((file, case)) = cases.get(number) else { return };
                    let Err(line) = run(case, edge, &format!("/{number}"), &scripts) else { continue };
                    wrong.lock().unwrap().push(format!("{file}: {} ({})\n    {line}", case.name, case.section));
                }
            });
        }
    });
    stop(proxy);
    wrong.into_inner().unwrap()
}

fn run(case: &Case, edge: SocketAddr, path: &str, scripts: &Scripts) -> Result<(), String> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let filled = Filled { began, path, authority: AUTHORITY };
    for (index, exchange) in case.exchanges.iter().enumerate() {
        thread::sleep(Duration::from_secs(exchange.wait_s));
        let script = Script { exchange: exchange.clone(), number: index + 1, began, seen: Vec::new() };
        scripts.lock().unwrap().insert(path.to_owned(), script);
        let answer = ask(edge, &request(exchange, &filled), exchange);
        if exchange.gets == Gets::Behind {
            eventually("the origin is asked", || !scripts.lock().unwrap()[path].seen.is_empty());
        }
        let seen = std::mem::take(&mut scripts.lock().unwrap().get_mut(path).unwrap().seen);
        checked(case, index, &filled, &seen, &answer)
            .map_err(|why| format!("exchange {}: {why}\n    {answer:?}\n    {seen:?}", index + 1))?;
        if exchange.gets == Gets::Behind && index + 1 < case.exchanges.len() {
            eventually("what was asked for behind is there", || {
                let answer = ask(edge, &request(exchange, &filled), exchange);
                !answer.headers["cache-status"].to_str().unwrap().contains("ttl=-")
            });
        }
    }
    Ok(())
}

fn request(exchange: &Exchange, filled: &Filled<'_>) -> String {
    let mut text = format!(
        "{} {}{} HTTP/1.1\r\nHost: {AUTHORITY}\r\nX-Tenant-Id: t\r\n",
        exchange.method, filled.path, exchange.path
    );
    if let Some(user) = &exchange.user {
        let _ = write!(text, "X-User-Id: {user}\r\n");
    }
    let mut length = 0;
    for line in &exchange.fields {
        let (name, value) = filled.line(line);
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text + "\r\n" + &"x".repeat(length)
}

fn ask(edge: SocketAddr, request: &str, exchange: &Exchange) -> Answer {
    let mut client = Client::connect(edge);
    client.send(request.as_bytes());
    let answer = client.answer(exchange.method == "HEAD").unwrap_or_else(|error| panic!("{error}: {request}"));
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Answer { status: StatusCode::from_u16(answer.status).unwrap(), headers, body: answer.body }
}

/// What the origin does.
fn does(asked: &Asked, scripts: &Scripts) -> Does {
    let path: String =
        asked.path().chars().enumerate().take_while(|(at, c)| *at == 0 || c.is_ascii_digit()).map(|(_, c)| c).collect();
    let mut scripts = scripts.lock().unwrap();
    let Some(script) = scripts.get_mut(&path) else { return Does::Closes(String::new()) };
    let mut headers = HeaderMap::new();
    for line in &asked.lines[1..] {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap());
    }
    script.seen.push((asked.method().parse().unwrap(), headers));
    let filled = Filled { began: script.began, path: &path, authority: AUTHORITY };
    match super::origin(&script.exchange, script.number, script.seen.len(), &filled) {
        None => Does::Closes(String::new()),
        Some(answer) => Does::Sends(written(&answer, asked.method() == "HEAD")),
    }
}

/// The bytes of an answer; it says how long it is unless it says so itself or has no body by its kind.
fn written(answer: &Answer, head: bool) -> String {
    let mut text = format!("HTTP/1.1 {} It\r\n", answer.status.as_u16());
    for (name, value) in &answer.headers {
        let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap());
    }
    let bodiless = head || matches!(answer.status.as_u16(), 204 | 304);
    if !bodiless {
        let _ = write!(text, "content-length: {}\r\n", answer.body.len());
    }
    text + "\r\n" + std::str::from_utf8(&answer.body).unwrap()
}
