//! What can be run, what cannot and why, and what short forms and flags change.

use super::*;
use crate::arrival::Burst;

const SMALL: &str = "name = \"a\"\nabout = \"b\"\n[[load.phases]]\nfor = \"10s\"\nrate = 100\n";

#[test]
fn every_shipped_scenario_can_be_run_in_both_forms() {
    for (name, text) in SHIPPED {
        let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(scenario.name, *name);
        let short = scenario.shortened();
        assert_eq!(short.check(), Vec::<String>::new(), "{name}");
        assert!(short.length() <= Duration::from_secs(15), "{name} takes {:?} in its short form", short.length());
    }
}

#[test]
fn what_is_wrong_is_named_all_at_once() {
    for (more, words) in [
        ("colour = 1", &["colour"][..]),
        ("[workload]\ntenants = 0\nreads = 2", &["tenants", "reads"]),
        ("[world]\nstamps = 0\nprocesses = 2", &["stamps", "balancers"]),
        ("[world]\norigin = { latency = 5 }", &["string"]),
        ("[expect]\np99 = \"fast\"", &["fast"]),
        ("[short]\ntime = 0.0", &["short.time"]),
        ("[[faults]]\nat = \"1s\"\ndo = { kill-stamp = { stamp = 7 } }", &["7"]),
        ("[[faults]]\nat = \"1m\"\ndo = \"redis-kill\"", &["after the load"]),
        ("[[faults]]\nat = \"1s\"\ndo = \"explode\"", &["explode"]),
        ("[[faults]]\nat = \"1s\"\ndo = { partition = { stamp = 0 } }", &["world.network = \"namespaces\""]),
        ("[[faults]]\nat = \"1s\"\ndo = { heal = { stamp = 0, from = 1 } }", &["world.network = \"namespaces\""]),
        ("[[faults]]\nat = \"1s\"\ndo = { partition = { from = 1 } }", &["missing field `stamp`"]),
        ("[world]\nchaos = [\"dependencies\"]", &["needs world.dependency"]),
        (
            "[[faults]]\nat = \"1s\"\ndo = { degrade = { stamp = 3, level = \"tired\" } }",
            &["names the stamp 3", "level of degradation \"tired\""],
        ),
        ("[[faults]]\nat = \"1s\"\ndo = { level = { level = \"auto\" } }", &["level of degradation \"auto\""]),
        ("[[faults]]\nat = \"1s\"\ndo = { degrade = { stamp = 0 } }", &["missing field `level`"]),
        ("[[faults]]\nat = \"1s\"\ndo = { cut = { wire = \"dependencies\" } }", &["world.chaos to name dependencies"]),
        ("[world]\nnetwork = \"lan\"", &["lan", "namespaces"]),
        ("[world]\nnetwork = \"namespaces\"\nbalancers = true", &["goes without both"]),
        ("[world]\nnetwork = \"namespaces\"\nchaos = [\"redis\"]", &["goes without both"]),
        (
            "[world]\nnetwork = \"namespaces\"\n[[faults]]\nat = \"1s\"\ndo = { partition = { stamp = 3 } }",
            &["names the stamp 3"],
        ),
        (
            "[world]\nnetwork = \"namespaces\"\n[[faults]]\nat = \"1s\"\ndo = { partition = { stamp = 0, from = 3 } }",
            &["`from` another one's position"],
        ),
        (
            "[world]\nnetwork = \"namespaces\"\n[[faults]]\nat = \"1s\"\ndo = { heal = { stamp = 1, from = 1 } }",
            &["`from` another one's position"],
        ),
        (
            "[[faults]]\nat = \"1s\"\ndo = { slow-clients = { clients = 0, at = \"head\" } }",
            &["clients is 1 to", "slow-clients need `for`"],
        ),
        (
            "[[faults]]\nat = \"1s\"\nfor = \"9s\"\ndo = { slow-clients = { clients = 1, at = \"head\" } }",
            &["slow-clients at 1s must go before the load ends"],
        ),
        ("[[faults]]\nat = \"1s\"\ntenant = 1000\ndo = \"nothing\"", &["names the tenant 1000"]),
        ("[[load.phases]]\nfor = \"1s\"\nrate = 1\nnoisy = 1.5", &["a phase's `noisy` is"]),
        (
            "[expect]\nunmoved = [{ stamp = 3, since = \"2s\", from = \"2s\", until = \"3s\", times = 0.5 }]",
            &["expect.unmoved: a stamp's", "times is", "since comes"],
        ),
        (
            "[expect]\noutcomes = [{ outcome = \"ok\", tenant = 1000, from = \"3s\", until = \"3s\", least = 2.0 }]",
            &["expect.outcomes: a tenant's", "from comes"],
        ),
        (
            "[workload]\nshared = { share = 1.1, resources = 0, zipf = nan }",
            &["workload.shared.share is", "shared.resources is", "shared.zipf is"],
        ),
        ("[workload]\nshared = { share = 0.5, resources = -1 }", &["resources", "u32"]),
        ("[workload]\nshared = 0.5", &["struct Shared"]),
        ("[workload]\nshared = { part = 0.5 }", &["part"]),
        ("[world]\ncache = \"metadata\"", &["boolean"]),
        (
            "[world]\ncache = true\nproxy = \"[cache]\\nstatus = false\"",
            &["world.proxy goes without `routes` and `cache`"],
        ),
        (
            "[world]\ncache = true\nproxy = \"[[routes]]\\nname = \\\"a\\\"\"",
            &["world.proxy goes without `routes` and `cache`"],
        ),
        ("[world]\ncache = true\nproxy = \"no TOML\"", &["world.proxy goes without"]),
        ("[expect]\nhits = 0.5", &["workload.shared.share", "world.cache = true"]),
        ("[expect]\nhits_memory = 0.5\n[world]\ncache = true", &["workload.shared.share"]),
        (
            "[expect]\nhits = 1.5\nhits_memory = -0.1\n[world]\ncache = true\n[workload]\nshared = { share = 0.5 }",
            &["expect.hits_memory and expect.hits are shares"],
        ),
        ("[expect]\nhits = nan\n[world]\ncache = true", &["expect.hits_memory and expect.hits are shares"]),
        ("[workload]\nwebsockets = 0.1\n[load]\necho = false", &["WebSocket", "load.echo"]),
        ("[world]\nstamps = 1\ncrossed = 0", &["world.crossed needs another stamp"]),
        ("[world]\nstamps = 1\n[[faults]]\nat = \"1s\"\ndo = { table = { lie = \"shrunk\" } }", &["`shrunk`"]),
        ("targets = [\"127.0.0.1:80\"]\n[[faults]]\nat = \"1s\"\ndo = \"redis-kill\"", &["targets"]),
    ] {
        // a key of the top level must stand before the first table
        let text = if more.starts_with('[') { format!("{SMALL}{more}") } else { format!("{more}\n{SMALL}") };
        let (head, tail) = more.split_once("\n[[").unwrap_or((more, ""));
        let text = if more.starts_with("targets") { format!("{head}\n{SMALL}[[{tail}") } else { text };
        let error = format!("{:#}", Scenario::parse(&text).unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)), "{more}: {error}");
    }
    assert!(Scenario::parse(SMALL).is_ok());
    assert!(Scenario::load("no-such-scenario").is_err());
}

#[test]
fn a_scenario_is_read_back_as_it_was_written() {
    for (name, text) in SHIPPED {
        let scenario = Scenario::parse(text).unwrap();
        for scenario in [scenario.clone(), scenario.shortened().at_rate(1_234.5).unwrap()] {
            let text = scenario.text().unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(Scenario::parse(&text).unwrap(), scenario, "{name}");
        }
    }
    let odd = "targets = [\"127.0.0.1:80\", \"[::1]:80\"]\nseed = 9223372036854775807\n".to_owned() + SMALL;
    let odd = Scenario::parse(&odd).unwrap();
    assert_eq!(Scenario::parse(&odd.text().unwrap()).unwrap(), odd);
    assert!(Scenario { seed: 1 << 63, ..odd }.sound().is_err());
}

#[test]
fn kept_connections_are_there_unless_no_request_takes_one() {
    let none = SMALL.replace("[[load", "[load]\nconnections = 0\n[[load");
    for (mix, sound) in [
        ("", false),
        ("http2 = 0.99", false),
        ("new_connections = 0.5\nwebsockets = 0.4", false),
        ("http2 = 1.0", true),
        ("new_connections = 0.5\nwebsockets = 0.5", true),
        ("new_connections = 0.5\nhttp2 = 1.0", true),
    ] {
        assert_eq!(Scenario::parse(&format!("{none}[workload]\n{mix}\n")).is_ok(), sound, "{mix}");
    }
}

#[test]
fn what_would_take_too_much_memory_or_too_long_is_refused() {
    for (text, words) in [
        (SMALL.replace("rate = 100", "rate = 1e6").replace("10s", "51s"), "51000000 requests"),
        (SMALL.replace("rate = 100", "rate = 0\nto = 1e6").replace("10s", "101s"), "50500000 requests"),
        (format!("{SMALL}burst = {{ every = \"1ms\", requests = 100000 }}\n"), "999901000 requests"),
        (format!("{SMALL}burst = {{ every = \"2 days\", requests = 1 }}\n"), "`every`"),
        (
            format!("{SMALL}[[load.phases]]\nfor = \"500000000000y\"\nrate = 0\n").replace("10s", "500000000000y"),
            "a day",
        ),
        (format!("{SMALL}[[faults]]\nat = \"1s\"\nfor = \"25h\"\ndo = \"redis-kill\"\n"), "`for`"),
        (format!("{SMALL}[[faults]]\nat = \"1s\"\nfailover = \"2 days\"\ndo = \"redis-kill\"\n"), "`failover`"),
        (format!("{SMALL}[[faults]]\nat = \"1s\"\ndo = {{ drain = {{ stamp = 1, ramp = \"2 days\" }} }}\n"), "`ramp`"),
    ] {
        let error = format!("{:#}", Scenario::parse(&text).unwrap_err());
        assert!(error.contains(words), "{text}: {error}");
    }
    assert!(Scenario::parse(&SMALL.replace("rate = 100", "rate = 1e6").replace("10s", "50s")).is_ok());
}

#[test]
fn exactly_as_many_connections_are_opened_as_it_says() {
    let with = |load: &str| Scenario::parse(&SMALL.replace("[[load", &format!("[load]\n{load}\n[[load")));
    let cores = |cores: usize| NonZeroUsize::new(cores).unwrap();
    // three stamps are three entries, and a thread has a connection to each
    for (load, machine, threads) in [
        ("connections = 64", 2, 2),
        ("connections = 64", 64, 21),
        ("connections = 5", 2, 1),
        ("connections = 5\nentries = [1]", 64, 5),
        ("connections = 12\nthreads = 4", 2, 4),
    ] {
        assert_eq!(with(load).unwrap().threads(cores(machine)), cores(threads), "{load}");
    }
    for load in ["connections = 2", "connections = 11\nthreads = 4"] {
        assert!(with(load).unwrap_err().to_string().contains("one for each entry and thread"), "{load}");
    }
    let http2 = format!("{SMALL}[workload]\nhttp2 = 0.5\n");
    assert_eq!(Scenario::parse(&http2).unwrap().threads(cores(64)), cores(5));
    assert!(Scenario::parse(&http2.replace("[[load", "[load]\nhttp2_connections = 2\n[[load")).is_err());
}

const SHARED: &str = "[[expect.shares]]\nstamp = 2\nfrom = \"0s\"\nuntil = \"9s\"\nleast = 0.2\n";

#[test]
fn shares_of_a_fleet_of_another_size_are_dropped_and_that_is_said() {
    let scenario = Scenario::parse(&format!("{SMALL}{SHARED}")).unwrap();
    for (stamps, shares, notes) in [(None, 1, 0), (Some(3), 1, 0), (Some(2), 0, 1), (Some(5), 0, 1)] {
        let flags = Flags { stamps, ..Flags::default() };
        let (changed, said) = flags.apply(scenario.clone()).unwrap();
        assert_eq!((changed.expect.shares.len(), said.len()), (shares, notes), "{stamps:?}");
        assert!(said.iter().all(|note| note.contains("expect.shares") && note.contains("of 3 stamps")), "{said:?}");
    }
    // a fault or an entry without its stamp is another matter
    for more in ["[[faults]]\nat = \"1s\"\ndo = { kill-stamp = { stamp = 2 } }\n", "[load]\nentries = [2]\n"] {
        let text = if more.contains("entries") {
            SMALL.replace("[[load", &format!("{more}[[load"))
        } else {
            format!("{SMALL}{more}")
        };
        let scenario = Scenario::parse(&text).unwrap();
        assert!(Flags { stamps: Some(2), ..Flags::default() }.apply(scenario).is_err(), "{more}");
    }
}

#[test]
fn targets_take_what_is_a_worlds_away_and_that_is_said() {
    let faulty = format!("{SMALL}{SHARED}[[faults]]\nat = \"1s\"\ndo = \"redis-kill\"\n");
    let flags = Flags { targets: vec!["127.0.0.1:80".parse().unwrap()], no_echo: true, ..Flags::default() };
    let (changed, notes) = flags.apply(Scenario::parse(&faulty).unwrap()).unwrap();
    assert!(changed.faults.is_empty() && changed.expect.shares.is_empty() && !changed.load.echo);
    assert_eq!(notes, ["--target takes the faults, expect.shares away: they are a world's"]);
    assert_eq!(flags.apply(Scenario::parse(SMALL).unwrap()).unwrap().1, Vec::<String>::new());
}

#[test]
fn a_short_form_is_held_to_some_hits_and_targets_to_none() {
    let text =
        "[world]\ncache = true\n[workload]\nshared = { share = 0.5 }\n[expect]\nhits_memory = 0.05\nhits = 0.9\n";
    let scenario = Scenario::parse(&format!("{SMALL}{text}")).unwrap();
    let short = scenario.clone().shortened().expect;
    assert_eq!((short.hits_memory, short.hits), (Some(0.05), Some(0.1)));
    let flags = Flags { targets: vec!["127.0.0.1:80".parse().unwrap()], ..Flags::default() };
    let (changed, notes) = flags.apply(scenario).unwrap();
    assert_eq!((changed.expect.hits_memory, changed.expect.hits), (None, None));
    assert_eq!(notes, ["--target takes expected hits away: they are a world's"]);
}

#[test]
fn a_short_form_keeps_its_proportions() {
    let text = format!(
        "{SMALL}burst = {{ every = \"1s\", requests = 50 }}\n[[faults]]\nat = \"5s\"\nfor = \"2s\"\ndo = \"redis-kill\"\n"
    );
    let long = Scenario::parse(&text).unwrap();
    let short = long.clone().shortened();
    assert_eq!(short.length(), Duration::from_secs(2));
    assert_eq!((short.faults[0].at, short.faults[0].lasts), (Duration::from_secs(1), Some(Duration::from_millis(400))));
    assert!((short.load.phases[0].rate - 25.0).abs() < 1e-9);
    // 50 a second become 12.5 a second
    let burst = |requests, millis| Some(Burst { every: Duration::from_millis(millis), requests });
    assert_eq!(short.load.phases[0].burst, burst(3, 200));
    assert_eq!(long.clone().at_rate(300.0).unwrap().load.phases[0].burst, burst(150, 1_000));
    assert_eq!(long.at_rate(1.0).unwrap().load.phases[0].burst, burst(1, 1_000));
}

#[test]
fn connections_that_were_asked_for_are_there_in_the_short_form_too() {
    let scenario = Scenario::parse(SMALL).unwrap();
    let connections = |flags: Flags| flags.apply(scenario.clone()).unwrap().0.load.connections;
    assert_eq!(connections(Flags { short: true, ..Flags::default() }), 32);
    assert_eq!(connections(Flags { short: true, connections: Some(100), ..Flags::default() }), 100);
}
