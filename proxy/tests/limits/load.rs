//! Real processes at many times the limit, one of them killed and another started: what all of them let through together.

use std::{env, thread, time::Duration};

use super::crowd::{Load, Member, most};
use crate::world::{Origin, Redis, alone};

/// Requests in a window, and of them at once: enough for leases.
const REQUESTS: u32 = 1_000;
const WINDOW: f64 = 1.0;
const BURST: u32 = 200;
/// By so much the first and the last answer may come later than they were decided.
const LATE: f64 = 0.05;

/// How long requests come; `SYNAXIS_LIMITS_SECONDS` for the long form.
pub(super) fn lasts(short: u64) -> Duration {
    let seconds = env::var("SYNAXIS_LIMITS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(short))
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
    let (mut load, lasts, rest) = (Load::new(), lasts(5), Duration::from_millis(20));
    members.iter().for_each(|member| load.client(member.edge, 200, rest));
    thread::sleep(lasts / 3);
    // what its lease held is lost
    members[0].process.signal("KILL");
    let newcomer = Member::start(folder.path(), 4, &settings);
    load.client(newcomer.edge, 200, rest);
    members.push(newcomer);
    thread::sleep(lasts.saturating_sub(Duration::from_secs_f64(load.now())));
    let took = load.now();
    let (passed, asked) = load.end();
    let rate = f64::from(REQUESTS - BURST + 1) / WINDOW;
    let due = f64::from(BURST) + rate * took;
    let worst = most(&passed, WINDOW);
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
