//! The client against an origin without a proxy between them.

use std::time::Duration;

use synaxis_loadtest::{
    arrival::{Phase, Process, Schedule},
    client::{self, Client, Plan, Samples},
    oracle::Oracle,
    origin::{
        Script,
        journal::{self, Entry},
    },
    report::Judgement,
    workload::{Carrier, Mix, Shared, Workload},
    world::{Binaries, Blueprint, Site, World},
};

use crate::support::{counts, turn};

fn plan(entry: std::net::SocketAddr, rate: f64, mix: Mix) -> Plan {
    let phase = Phase { duration: Duration::from_secs(2), rate, to: None, burst: None, noisy: 0.0 };
    Plan {
        schedule: Schedule::new(Process::Constant, vec![phase], 5),
        tenants: client::tenants(mix.tenants),
        workload: Workload::new(mix, 5),
        entries: vec![entry],
        connections: 8,
        http2_connections: 2,
        timeout: Duration::from_secs(5),
        threads: std::num::NonZeroUsize::MIN,
        echo: true,
    }
}

/// Loads the origin of a world of one stamp; `act` happens meanwhile. Returns what it recorded, too.
fn followed(script: &Script, rate: f64, mix: Mix, act: impl AsyncFnOnce(&World)) -> (Samples, Vec<Entry>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let blueprint = Blueprint { stamps: 1, origin: script.clone(), ..Blueprint::default() };
        let site = Site::new().unwrap();
        let world = World::start(&blueprint, &Binaries::beside().unwrap(), &site).await.unwrap();
        let plan = plan(world.stamps[0].origin.address(), rate, mix);
        let client = tokio::task::spawn_blocking(move || Client::start(&plan)).await.unwrap().unwrap();
        let waiting = tokio::task::spawn_blocking(move || client.wait());
        act(&world).await;
        let samples = waiting.await.unwrap().unwrap();
        let mut entries = Vec::new();
        journal::read(world.stamps[0].origin.journal(), |entry| entries.push(entry)).unwrap();
        (samples, entries)
    })
}

fn load(script: &Script, rate: f64, mix: Mix, act: impl AsyncFnOnce(&World)) -> Samples {
    followed(script, rate, mix, act).0
}

/// What the oracle says of a load of 600 requests.
fn judged(script: &Script, mix: Mix) -> (Samples, Judgement) {
    let (workload, tenants) = (Workload::new(mix.clone(), 5), client::tenants(mix.tenants));
    let (samples, entries) = followed(script, 300.0, mix, async |_| {});
    let mut oracle = Oracle::new(&samples, &workload, &tenants, &[]);
    entries.iter().for_each(|entry| oracle.record("synaxis-weu-001", entry));
    oracle.heard_all(None);
    let judgement = oracle.judge();
    (samples, judgement)
}

fn outcomes(samples: &Samples) -> Vec<&str> {
    let mut names: Vec<&str> = samples.samples.iter().map(|sample| samples.outcomes.name(sample.outcome)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn sorted(mut micros: Vec<u64>) -> Vec<u64> {
    micros.sort_unstable();
    micros
}

#[test]
fn every_carrier_carries() {
    let _turn = turn();
    let shared = Shared { share: 0.5, ..Shared::default() };
    let mix = Mix { new_connections: 0.2, websockets: 0.2, http2: 0.5, shared, ..Mix::default() };
    let workload = Workload::new(mix.clone(), 5);
    let (samples, judgement) = judged(&Script::default(), mix);
    assert_eq!(outcomes(&samples), ["ok"]);
    assert_eq!(counts(&judgement), [0; 6], "{:?}", judgement.examples);
    assert_eq!((judgement.sent, judgement.answered, judgement.recorded), (600, 600, 600));
    let drawn = |carrier| (0..600).filter(|number| workload.request(*number).carrier == carrier).count();
    let all = [Carrier::Kept, Carrier::Http2, Carrier::New, Carrier::WebSocket].map(drawn);
    assert!(all.iter().all(|count| *count > 50), "{all:?}");
    // every id once, in order
    assert!(samples.samples.iter().map(|sample| sample.id).eq(0..600));
}

#[test]
fn more_than_was_asked_for_is_seen_on_a_connection_that_is_kept_and_on_one_that_is_not() {
    let _turn = turn();
    for mix in [Mix::default(), Mix { new_connections: 1.0, ..Mix::default() }] {
        let samples = load(&Script { answer_twice: 1.0, ..Script::default() }, 40.0, mix, async |_| {});
        // on a connection that is used again at once the second answer is taken for the next request's
        let seen = samples.surplus.len()
            + samples.samples.iter().filter(|s| samples.outcomes.name(s.outcome) == "cross_talk").count();
        assert!(seen >= 60, "{seen} of 80");
    }
    let samples = load(&Script::default(), 40.0, Mix { new_connections: 0.5, ..Mix::default() }, async |_| {});
    assert_eq!(samples.surplus, []);
}

#[test]
fn latency_counts_what_the_server_takes() {
    let _turn = turn();
    let script = Script { latency: Duration::from_millis(30), ..Script::default() };
    let samples = load(&script, 100.0, Mix::default(), async |_| {});
    let latencies = sorted(samples.samples.iter().map(|sample| sample.ended - sample.intended).collect());
    assert!(latencies[0] >= 30_000, "{latencies:?}");
}

#[test]
fn a_server_that_stands_still_does_not_slow_the_schedule() {
    let _turn = turn();
    let samples = load(&Script::default(), 200.0, Mix::default(), async |world| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.stamps[0].origin.signal(rustix::process::Signal::STOP).await.unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
        world.stamps[0].origin.signal(rustix::process::Signal::CONT).await.unwrap();
    });
    assert_eq!(outcomes(&samples), ["ok"]);
    // 800 ms of 2 s: the requests that were to begin meanwhile waited, on average for half of it
    let waited = samples.samples.iter().filter(|sample| sample.ended - sample.intended > 100_000).count();
    assert!(waited >= 100, "{waited}: coordinated omission would show only those on a connection, 8");
    let late = samples.samples.iter().filter(|sample| sample.launched - sample.intended > 100_000).count();
    assert!(late < waited / 2, "{late} of {waited}: the generator itself did not stand still");
}

#[test]
fn what_goes_wrong_is_named() {
    let _turn = turn();
    for (script, wanted) in [
        (Script { cut: 1.0, ..Script::default() }, "cut"),
        (Script { reset: 1.0, ..Script::default() }, "reset"),
        (
            Script {
                errors: Some(synaxis_loadtest::origin::Error { status: 503, share: 1.0, tenant: None }),
                ..Script::default()
            },
            "503",
        ),
    ] {
        let samples = load(&Script::default(), 50.0, Mix::default(), async |world| {
            world.stamps[0].origin.set(&script).await.unwrap();
        });
        let failed: Vec<&str> = outcomes(&samples).into_iter().filter(|name| *name != "ok").collect();
        assert_eq!(failed, [wanted]);
    }
}

#[test]
fn what_an_origin_does_wrong_is_found_on_every_carrier() {
    let _turn = turn();
    let script = Script {
        forget: 0.03,
        execute_twice: 0.06,
        misread: 0.03,
        swap: 0.03,
        invent: 0.03,
        reset: 0.03,
        ..Script::default()
    };
    let mix = Mix { reads: 0.5, ..Mix::default() };
    for (name, mix) in [
        ("kept", mix.clone()),
        ("new", Mix { new_connections: 1.0, ..mix.clone() }),
        ("http2", Mix { http2: 1.0, ..mix.clone() }),
        ("websocket", Mix { websockets: 1.0, ..mix }),
    ] {
        let (samples, judgement) = judged(&script, mix);
        let found = counts(&judgement).map(|count| count > 0);
        // no table says where a request may run
        assert_eq!(found, [true, true, true, false, true, true], "{name}: {judgement:#?}");
        let swapped = |sample: &&client::Sample| samples.outcomes.name(sample.outcome) == "cross_talk";
        let seen = u64::try_from(samples.samples.iter().filter(swapped).count()).unwrap();
        assert!((1..judgement.cross_talk).contains(&seen), "{name}: {seen} by the client, the others by the records");
    }
}
