//! Four real processes at many times the limit, one of them killed and another started: what all of them let through together.

use std::{env, thread, time::Duration};

use super::crowd::{Load, Member, Stalls, most};
use crate::world::{Origin, Redis, alone};

/// By so much the first and the last answer may come later than they were decided.
const LATE: f64 = 0.05;
/// From here on there is time for windows of a minute.
const LONG: Duration = Duration::from_secs(120);

/// A quota, and how much of it passes at least.
struct Case {
    requests: u32,
    burst: u32,
    window: u32,
    part: f64,
}

/// How long requests come; `SYNAXIS_LIMITS_SECONDS` for the long form.
fn lasts(short: u64) -> Duration {
    let seconds = env::var("SYNAXIS_LIMITS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(short))
}

fn check(case: &Case, lasts: Duration) {
    let Case { requests, burst, window, part } = *case;
    let (app, redis, folder) = (Origin::start("app"), Redis::start(), tempfile::tempdir().unwrap());
    let settings = alone(
        app.address,
        &format!(
            "[tiers.starter]\nrequests = \"{requests}/{window}s\"\nburst = {burst}\n[limits_store]\nurl = \"{}\"\ndeadline = \
             \"50ms\"\n",
            redis.url()
        ),
    );
    let mut members: Vec<Member> = (0..4).map(|index| Member::start(folder.path(), index, &settings)).collect();
    let (mut load, rest, stalls) = (Load::new(), Duration::from_millis(20), Stalls::watch());
    members.iter().for_each(|member| load.client(member.edge, 200, rest));
    thread::sleep(lasts / 3);
    let mut late = members[0].late();
    // what its lease held is lost
    members[0].process.signal("KILL");
    let newcomer = Member::start(folder.path(), 4, &settings);
    load.client(newcomer.edge, 200, rest);
    members.push(newcomer);
    thread::sleep(lasts.saturating_sub(Duration::from_secs_f64(load.now())));
    let took = load.now();
    let (passed, asked) = load.end();
    let stalls = stalls.end();
    // metrics are copied once a second
    thread::sleep(Duration::from_millis(1_100));
    late += members[1..].iter().map(Member::late).sum::<usize>();
    let outages: f64 = members[1..].iter().map(|member| member.metric("ratelimit_store_outages_total")).sum();
    // the bound is of a store that answers in time: on a machine that stands still meanwhile it may not, and so many more pass
    let told = members[1].metric("ratelimit_overshoot_bound{limit=\"tenant\"}");
    let more = late.min(told as usize);
    let rate = f64::from(requests - burst + 1) / f64::from(window);
    let due = f64::from(burst) + rate * took;
    let worst = most(&passed, f64::from(window));
    println!(
        "{requests}/{window}s: {asked} asked in {took:.1} s, {} passed ({:.1} % of what is due), worst window {worst}, {late} without the \
         store",
        passed.len(),
        100.0 * passed.len() as f64 / due
    );
    assert!(asked as f64 > 1.5 * due, "too slow a machine to show anything: {asked} asked, {due} due");
    assert!(outages == 0.0 || stalls > 0.0, "{outages} outages of a store that was there");
    assert!(worst <= requests as usize + more, "{worst} in {window} s, {late} without the store");
    // over all of the time the mean is as sharp as it can be, whatever is late at its ends
    assert!(passed.len() as f64 <= due + rate * LATE + more as f64, "{} passed, {due} due", passed.len());
    // the one that is about to come back at the end does not count
    assert!(passed.len() as f64 >= part * due - 1.0, "{} passed, {due} due", passed.len());
}

#[test]
fn four_processes_at_many_times_the_limit_let_no_more_through_than_one_would() {
    // enough for leases
    check(&Case { requests: 1_000, burst: 200, window: 1, part: 0.85 }, lasts(5));
}

/// Quotas a minute, or in the short form in three seconds.
fn low(requests: u32, burst: u32) {
    let lasts = lasts(10);
    let window = if lasts >= LONG { 60 } else { 3 };
    check(&Case { requests, burst, window, part: 0.9 }, lasts);
}

#[test]
fn five_in_a_window_are_five_over_four_processes() {
    low(5, 1);
}

#[test]
fn five_hundred_in_a_window_are_never_more_over_four_processes() {
    low(500, 50);
}

#[test]
fn five_at_once_and_no_more_in_their_window_over_four_processes() {
    low(5, 5);
}
