//! The instrument sees what is planted: each lie ends in the right verdict.

use synaxis_loadtest::{
    report::{Report, Verdict},
    scenario::Scenario,
};

use crate::support::{Judged, against, run, run_and_listen, run_text, turn};

/// Names and measurements of the checks that were not passed.
fn missed(report: &Report) -> Vec<(&str, &str)> {
    let missed = report.checks.iter().filter(|check| !check.passed);
    missed.map(|check| (check.name.as_str(), check.measured.as_str())).collect()
}

/// A scenario of one stamp with an origin that behaves so, and a proxy that mends nothing of it.
fn lying(origin: &str, rate: u32, seconds: u32) -> String {
    format!(
        "name = \"planted\"\nabout = \"a lie\"\n[world]\nstamps = 1\norigin = {{ {origin} }}\n\
         proxy = \"[retries]\\nattempts_max = 1\"\n\
         [load]\narrival = \"constant\"\ntimeout = \"2s\"\nconnections = 16\n[[load.phases]]\nfor = \"{seconds}s\"\nrate = {rate}\n"
    )
}

fn lied_to(origin: &str, rate: u32, seconds: u32) -> Judged {
    run_text(&lying(origin, rate, seconds))
}

fn failed_with(report: &Report, wanted: [bool; 6]) {
    assert_eq!(report.verdict, Verdict::Failed, "{:?}", report.oracle);
    assert_eq!(against(report).map(|count| count > 0), wanted, "{:#?}", report.oracle);
    assert!(!report.oracle.examples.is_empty());
}

#[test]
fn one_request_in_ten_thousand_that_is_answered_and_forgotten_is_lost() {
    let _turn = turn();
    let report = lied_to("forget = 0.0001", 2_500, 10);
    failed_with(&report, [true, false, false, false, false, false]);
    assert!((1..=12).contains(&report.oracle.lost), "{}", report.oracle.lost);
    assert_eq!(report.oracle.sent, 25_000);
}

#[test]
fn a_write_that_runs_twice_is_duplicated() {
    let _turn = turn();
    let report = lied_to("execute_twice = 0.01", 500, 3);
    failed_with(&report, [false, true, false, false, false, false]);
    // one request in a hundred, and only those that write: one in five
    assert!((1..15).contains(&report.oracle.duplicated), "{}", report.oracle.duplicated);
}

#[test]
fn two_answers_that_are_swapped_are_cross_talk() {
    let _turn = turn();
    failed_with(&lied_to("swap = 0.005", 500, 3), [false, false, true, false, false, false]);
}

#[test]
fn an_upload_that_is_not_recorded_as_it_was_sent_is_cross_talk() {
    let _turn = turn();
    // the answer itself is in order
    let report = lied_to("misread = 0.02", 300, 2);
    failed_with(&report, [false, false, true, false, false, false]);
    assert_eq!(report.oracle.answered, 600);
}

#[test]
fn an_answer_that_never_comes_and_no_fault_declares_is_unexplained() {
    let _turn = turn();
    failed_with(&lied_to("hang = 0.005", 200, 3), [false, false, false, false, true, false]);
}

#[test]
fn a_reset_that_no_fault_declares_is_unexplained() {
    let _turn = turn();
    failed_with(&lied_to("reset = 0.01", 300, 3), [false, false, false, false, true, false]);
}

#[test]
fn a_stamp_that_misbehaves_while_another_is_dead_is_not_excused() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"two stamps, one fault that declares errors\"\n\
         [load]\nconnections = 16\nentries = [0]\n[[load.phases]]\nfor = \"3s\"\nrate = 300\n[workload]\nreads = 0.0\n\
         [expect]\nfailed = 1000\n\
         [[faults]]\nat = \"300ms\"\ndo = { app = { stamp = 1, script = { reset = 0.05 } } }\n\
         [[faults]]\nat = \"0s\"\ndo = { kill-stamp = { stamp = 2 } }\nerrors = [\"*\"]\nfailover = \"3s\"\n",
    );
    failed_with(&report, [false, false, false, false, true, false]);
    let of_the_app = |example: &String| example.contains("ended as 502 upstream_reset");
    assert!(report.oracle.examples.iter().all(of_the_app), "{:?}", report.oracle.examples);
}

#[test]
fn an_answer_sent_twice_reaches_nobody_else() {
    let _turn = turn();
    let (report, said) = run_and_listen(&lying("answer_twice = 0.02", 500, 3));
    // the proxy must not take the second one for the answer to the next request
    assert_eq!(report.verdict, Verdict::Passed, "{:#?} {:#?}", report.oracle, report.outcomes);
    let times = said.lines().filter(|line| *line == "sent twice").count();
    assert!((5..100).contains(&times), "one in fifty of 1,500: {times}");
}

#[test]
fn a_record_of_a_request_that_nobody_sent_is_invented() {
    let _turn = turn();
    let report = lied_to("invent = 0.01", 300, 2);
    failed_with(&report, [false, false, false, false, false, true]);
    assert_eq!(report.oracle.answered, 600);
}

#[test]
fn a_proxy_that_sends_to_a_wrong_stamps_app_misroutes() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"a lie\"\n[world]\ncrossed = 1\n[load]\nconnections = 16\n[[load.phases]]\nfor = \"2s\"\nrate = 300\n",
    );
    failed_with(&report, [false, false, false, true, false, false]);
}

#[test]
fn a_success_with_another_body_than_its_own_is_cross_talk() {
    let _turn = turn();
    // its fields are in order
    let report = lied_to("errors = { status = 200, share = 0.01 }", 300, 3);
    failed_with(&report, [false, false, true, false, false, false]);
}

/// A load of nothing but 600 reads of 40 shared resources of 20 tenants, by three stamps.
fn shared(world: &str, expect: &str) -> Judged {
    run_text(&format!(
        "name = \"planted\"\nabout = \"reads that others share\"\n[world]\n{world}\n\
         [load]\narrival = \"constant\"\nconnections = 16\n[[load.phases]]\nfor = \"2s\"\nrate = 300\n\
         [workload]\ntenants = 20\nreads = 1.0\nshared = {{ share = 1.0, resources = 2 }}\n[expect]\n{expect}"
    ))
}

#[test]
fn answers_that_are_kept_for_their_tenant_pass_and_are_counted_as_what_they_are() {
    let _turn = turn();
    let report = shared("cache = true", "hits_memory = 0.5\nhits = 1.0");
    assert_eq!(against(&report), [0; 6], "{:#?}", report.oracle);
    let found = report.shared.unwrap();
    assert_eq!((found.requests, report.oracle.answered), (600, 600));
    // whoever is no hit has asked the app or waited for one who did
    let asked = found.asked.unwrap();
    // by whichever of them it is asked for, a resource is one
    assert!((1..=60).contains(&asked) && found.memory > 400, "{found:?}");
    assert_eq!(found.requests, found.memory + found.store + found.collapsed + asked, "{found:?}");
    let checks = missed(&report);
    let [("hits in memory or store", measured)] = checks[..] else { panic!("{checks:?}") };
    assert!(measured.ends_with(" % of 600"), "{measured}");
    let report = shared("cache = false", "");
    assert_eq!(report.verdict, Verdict::Passed, "{:#?}", report.checks);
    let found = report.shared.unwrap();
    assert_eq!((found.asked, found.memory + found.store + found.collapsed), (Some(600), 0));
}

#[test]
fn a_shared_resource_of_another_tenant_or_place_is_cross_talk_whether_it_is_kept_or_not() {
    let _turn = turn();
    for lie in ["cross", "mislay"] {
        for cache in [true, false] {
            let report = shared(&format!("cache = {cache}\norigin = {{ {lie} = 0.3 }}"), "");
            failed_with(&report, [false, false, true, false, false, false]);
        }
    }
}

#[test]
fn what_a_cache_has_kept_of_a_lie_is_found_in_every_answer() {
    let _turn = turn();
    for lie in ["cross", "mislay"] {
        let report = shared(&format!("cache = true\norigin = {{ {lie} = 1.0 }}"), "");
        failed_with(&report, [false, false, true, false, false, false]);
        assert_eq!((report.oracle.sent, report.oracle.cross_talk), (600, 600), "{lie}");
        assert!(report.oracle.recorded <= 60, "{lie}: {} of 40 resources", report.oracle.recorded);
    }
}

#[test]
fn a_shared_resource_that_is_kept_of_a_wrong_stamps_app_is_misrouted_with_every_answer() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"a lie\"\n[world]\nstamps = 2\ncrossed = 1\ncache = true\n[load]\nconnections = 16\n\
         [[load.phases]]\nfor = \"2s\"\nrate = 300\n[workload]\ntenants = 20\nreads = 1.0\nshared = { share = 1.0, resources = 2 }\n",
    );
    failed_with(&report, [false, false, false, true, false, false]);
    assert!(report.oracle.misrouted > report.oracle.recorded, "{:#?}", report.oracle);
}

#[test]
fn a_generator_that_is_never_idle_makes_the_run_void() {
    let _turn = turn();
    // that nearly all of it waits in vain for one connection is declared before it begins, so nothing else speaks against the run
    let scenario = Scenario::parse(
        "name = \"planted\"\nabout = \"too much for one thread\"\n[world]\nstamps = 1\n[load]\nthreads = 1\n\
         connections = 1\nlag_max = \"1m\"\ntimeout = \"1ms\"\n[[load.phases]]\nfor = \"1s\"\nrate = 0\n[[load.phases]]\nfor = \"2s\"\nrate = 1_000_000\nburst = { every = \"100ms\", requests = 100_000 }\n\
         [[faults]]\nat = \"0s\"\ndo = \"calm\"\nerrors = [\"backlog\", \"timeout\"]\n\
         [expect]\nfailed = 1_000_000_000\nin_time = 0.0\n",
    );
    let report = run(&scenario.unwrap());
    assert_eq!(report.verdict, Verdict::Void, "{:#?}", report.oracle);
    assert!(report.void.iter().all(|reason| reason.contains("measured then is itself")), "{:?}", report.void);
}

#[test]
fn a_system_that_takes_in_more_than_it_answers_fails() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"too slow\"\n[world]\nstamps = 1\norigin = { latency = \"100ms\" }\n[load]\nthreads = 1\n\
         connections = 2\n[[load.phases]]\nfor = \"2s\"\nrate = 60\n[expect]\nin_time = 0.98\n",
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let missed: Vec<&str> =
        report.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    assert_eq!(missed, ["answered in time"], "{:?}", report.rate);
    assert!(report.queue.p50 > 100.0, "requests waited for a connection: {:?}", report.queue);
}

#[test]
fn a_share_that_is_missed_fails() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"too much\"\n[load]\nconnections = 8\n[[load.phases]]\nfor = \"2s\"\nrate = 200\n\
         [[expect.shares]]\nstamp = 0\nfrom = \"0s\"\nuntil = \"2s\"\nleast = 0.9\n[expect]\np50 = \"1ns\"\n",
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let names: Vec<&str> = missed(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["p50", "share of synaxis-weu-001 from 0ns to 2s"]);
}

#[test]
fn a_fault_that_is_done_after_the_load_has_proved_nothing() {
    let _turn = turn();
    let report = run_text(
        "name = \"planted\"\nabout = \"too late\"\n\
         [world]\nstamps = 1\nprocesses = 2\nbalancers = true\nproxy = \"[shutdown]\\nlame_duck = \\\"700ms\\\"\\nclient_keepalive = \\\"700ms\\\"\"\n\
         [load]\nconnections = 8\n[[load.phases]]\nfor = \"1500ms\"\nrate = 200\n\
         [[faults]]\nat = \"1s\"\ndo = { rolling-restart = {} }\n",
    );
    assert_eq!(report.verdict, Verdict::Failed, "{:#?}", report.oracle);
    let checks = missed(&report);
    let [("rolling restart of every stamp", how)] = checks[..] else { panic!("{checks:?}") };
    assert!(how.starts_with("ended ") && how.ends_with(" s after the load"), "{how}");
}

/// Slow heads against a proxy with this time limit for them.
fn slow_heads(limit: &str) -> Judged {
    run_text(&format!(
        "name = \"planted\"\nabout = \"slow heads\"\n\
         [world]\nstamps = 1\nproxy = \"[timeouts]\\nhead = \\\"{limit}\\\"\"\n\
         [load]\nconnections = 8\n[[load.phases]]\nfor = \"2500ms\"\nrate = 200\n\
         [[faults]]\nat = \"100ms\"\nfor = \"1700ms\"\ndo = {{ slow-clients = {{ clients = 20, at = \"head\" }} }}\n"
    ))
}

#[test]
fn slow_clients_that_are_turned_away_at_the_door_are_no_slow_clients() {
    let _turn = turn();
    let report = slow_heads("200ms");
    assert_eq!(report.verdict, Verdict::Failed, "{:#?}", report.oracle);
    let checks = missed(&report);
    let [("20 clients send their head slowly", how)] = checks[..] else { panic!("{checks:?}") };
    assert!(how.ends_with(" of 20 slow clients held a connection at the same time"), "{how}");
}

#[test]
fn slow_clients_that_a_server_closes_later_are_counted() {
    let _turn = turn();
    let report = slow_heads("1s");
    assert_eq!(report.verdict, Verdict::Passed, "{:#?}", report.checks);
    // such as `20 connections closed by a server, 1.0 to 1.1 s old`; some of them may still be open on a busy machine
    let what = &report.faults[0].what;
    let counted = what.rsplit_once(": ").and_then(|(_, told)| told.split_once(" connections closed by a server, "));
    let (count, ages) = counted.unwrap_or_else(|| panic!("{what}"));
    let most: f64 = ages.strip_suffix(" s old").unwrap().split_once(" to ").unwrap().1.parse().unwrap();
    assert!((1..=20).contains(&count.parse::<u32>().unwrap()) && (0.8..1.8).contains(&most), "{what}");
}
