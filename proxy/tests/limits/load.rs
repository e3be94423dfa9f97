//! Real processes at three times the limit, one of them killed and another started: what all of them let through together.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::world::{Client, Origin, Process, Redis, alone, eventually};

/// Requests in a window, and of them at once: enough for leases.
const REQUESTS: u32 = 1_000;
const WINDOW: f64 = 1.0;
const BURST: u32 = 200;
/// By so much an answer may come later than it was decided; what the machine stands still longer says nothing of limits.
const LATE: f64 = 0.05;

/// How long requests come; `SYNAXIS_LIMITS_SECONDS` for the long form.
fn lasts() -> Duration {
    let seconds = env::var("SYNAXIS_LIMITS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

struct Member {
    process: Process,
    edge: SocketAddr,
}

impl Member {
    fn start(folder: &Path, index: usize, settings: &str) -> Self {
        let path: PathBuf = folder.join(format!("{index}.toml"));
        fs::write(&path, settings).unwrap();
        let (process, edge, admin) = Process::proxy_and_admin(&path);
        let counts = || {
            let page = Client::connect(admin).exchange(b"GET /limits/warm HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
            page.json()["limits"][0]["counted_by"] == "store"
        };
        eventually("the process has met the store", counts);
        // its worker connects by itself
        thread::sleep(Duration::from_millis(200));
        Self { process, edge }
    }
}

/// Asks as fast as answers come, in bursts with rests, until it is told to stop or its process is gone. When each request
/// that passed was answered, in seconds since `began`, and how many were asked.
fn load(edge: SocketAddr, began: Instant, stop: Arc<AtomicBool>) -> JoinHandle<(Vec<f64>, usize)> {
    thread::spawn(move || {
        let (mut passed, mut asked) = (Vec::new(), 0);
        let Ok(mut client) = Client::try_connect(edge) else { return (passed, asked) };
        while !stop.load(Relaxed) {
            for _ in 0..200 {
                let Ok(answer) = client.try_get("acme", "/") else { return (passed, asked) };
                assert!([200, 429].contains(&answer.status), "{}", answer.status);
                asked += 1;
                if answer.status == 200 {
                    passed.push(began.elapsed().as_secs_f64());
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        (passed, asked)
    })
}

/// Most that fell into a window of so many seconds.
fn most(sorted: &[f64], window: f64) -> usize {
    let mut first = 0;
    let counts = sorted.iter().enumerate().map(|(last, at)| {
        while sorted[first] <= at - window {
            first += 1;
        }
        last + 1 - first
    });
    counts.max().unwrap_or(0)
}

#[test]
fn four_processes_at_many_times_the_limit_let_no_more_through_than_one_would() {
    let (app, redis, folder) = (Origin::start("app"), Redis::start(), tempfile::tempdir().unwrap());
    let settings = alone(
        app.address,
        &format!(
            "[tiers.starter]\nrequests = \"{REQUESTS}/s\"\nburst = {BURST}\n[limits_store]\nurl = \"{}\"\ndeadline = \"50ms\"\n",
            redis.url()
        ),
    );
    let mut members: Vec<Member> = (0..4).map(|index| Member::start(folder.path(), index, &settings)).collect();
    let (began, stop, lasts) = (Instant::now(), Arc::new(AtomicBool::new(false)), lasts());
    let mut loads: Vec<_> = members.iter().map(|member| load(member.edge, began, Arc::clone(&stop))).collect();
    thread::sleep(lasts / 3);
    // what its lease held is lost
    members[0].process.signal("KILL");
    let newcomer = Member::start(folder.path(), 4, &settings);
    loads.push(load(newcomer.edge, began, Arc::clone(&stop)));
    members.push(newcomer);
    thread::sleep(lasts.saturating_sub(began.elapsed()));
    stop.store(true, Relaxed);
    let (mut passed, mut asked) = (Vec::new(), 0);
    for load in loads {
        let (times, count) = load.join().unwrap();
        passed.extend(times);
        asked += count;
    }
    let took = began.elapsed().as_secs_f64();
    passed.sort_by(f64::total_cmp);
    let rate = f64::from(REQUESTS - BURST + 1) / WINDOW;
    let due = f64::from(BURST) + rate * took;
    let worst = most(&passed, WINDOW - LATE);
    println!(
        "{asked} asked in {took:.1} s, {} passed ({:.1} % of what is due), worst window {worst} of {REQUESTS}",
        passed.len(),
        100.0 * passed.len() as f64 / due
    );
    assert!(asked as f64 > 1.5 * due, "too slow a machine to show anything: {asked} asked, {due} due");
    assert!(worst <= REQUESTS as usize, "{worst} in {WINDOW} s");
    // over all of the time the mean is as sharp as it can be, whatever is late at its ends
    assert!(passed.len() as f64 <= due + rate * LATE, "{} passed, {due} due", passed.len());
    assert!(passed.len() as f64 >= 0.85 * due, "{} passed, {due} due", passed.len());
}
