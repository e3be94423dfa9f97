//! A stamp that is drained and leaves while its tenants ask for more than their limits let them have.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use synaxis_routing::{
    change::{Drain, Guards, Overrides},
    id::TenantId,
};

use super::world::{TENANTS, World, stamp, tenant};
use crate::{
    limits::crowd::{Passed, most},
    world::{Client, Origin, eventually, stop},
};

/// One store for the table and for the limits. The first tier is asked for token by token, the second is leased.
const SETTINGS: &str = "[tiers.starter]\nrequests = \"100/s\"\nburst = 20\n[tiers.enterprise]\nrequests = \"400/s\"\nburst = 160\n\
                        [limits_store]\nurl = \"STORE\"\ndeadline = \"50ms\"\n";
/// Requests in a second and of them at once, by tier.
const STARTER: (u32, u32) = (100, 20);
const ENTERPRISE: (u32, u32) = (400, 160);
/// Tenants of the stamp that goes, of each tier, that ask for as much as they can.
const GREEDY: usize = 2;
/// Other tenants, also of other stamps, that ask far less often than they may.
const MODEST: usize = 60;

/// What became of a request.
struct Asked {
    id: String,
    tenant: usize,
    status: u16,
    /// Who served it.
    stamp: String,
    when: Passed,
}

fn ask(client: &mut Client, began: Instant, tenant_index: usize, id: String) -> Asked {
    let asked = began.elapsed().as_secs_f64();
    let answer = client.get(&tenant(tenant_index), &id);
    let when = Passed { asked, answered: began.elapsed().as_secs_f64() };
    let mut stamp = String::new();
    if answer.status == 200 {
        assert_eq!(answer.json()["path"], id.as_str(), "another request's answer");
        answer.json()["stamp"].as_str().unwrap().clone_into(&mut stamp);
    } else {
        assert_eq!((answer.status, answer.reason().as_str()), (429, "rate_limited"), "{}", answer.text());
    }
    Asked { id, tenant: tenant_index, status: answer.status, stamp, when }
}

/// Asks in the name of each of these tenants in turn until it is told to stop.
fn client(edge: SocketAddr, name: String, tenants: Vec<usize>, rest: Duration, began: Instant) -> Running {
    let stop = Arc::<AtomicBool>::default();
    let told = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let (mut client, mut all) = (Client::connect(edge), Vec::new());
        for (turn, tenant) in tenants.iter().cycle().enumerate() {
            if told.load(Relaxed) {
                break;
            }
            all.push(ask(&mut client, began, *tenant, format!("/load?id={name}-{turn}")));
            thread::sleep(rest);
        }
        all
    });
    Running { stop, thread }
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Asked>>,
}

impl Running {
    fn end(self) -> Vec<Asked> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_stamp_that_is_drained_at_many_times_its_tenants_limits_loses_no_request_and_lets_no_more_through() {
    let mut world = World::start_with(SETTINGS);
    let before = world.placed(0);
    let of_the_third: Vec<usize> =
        (0..TENANTS).filter(|index| before[&tenant(*index)] == stamp(2).as_str()).take(2 * GREEDY).collect();
    let (rich, poor) = of_the_third.split_at(GREEDY);
    let ids: Vec<TenantId> = rich.iter().map(|index| TenantId::parse(tenant(*index).as_bytes()).unwrap()).collect();
    world.edit(|fleet, now| fleet.set_tier(&ids, Some("enterprise"), now).unwrap());
    let counts = |index: usize| world.ask(index, "/limits/warm").json()["limits"][0]["counted_by"] == "store";
    eventually("the store is there", || (0..3).all(counts));
    thread::sleep(Duration::from_millis(300));

    let began = Instant::now();
    let modest: Vec<usize> = (0..TENANTS).filter(|index| !of_the_third.contains(index)).take(MODEST).collect();
    let edge = |index: usize| world.proxies[index].as_ref().unwrap().edges[0];
    let greedy = |name: &str, entry: usize| {
        client(edge(entry), format!("{name}{entry}"), of_the_third.clone(), Duration::ZERO, began)
    };
    let modest =
        |entry: usize| client(edge(entry), format!("m{entry}"), modest.clone(), Duration::from_millis(5), began);
    let staying: Vec<Running> =
        (0..2).flat_map(|entry| [greedy("a", entry), greedy("b", entry), modest(entry)]).collect();
    let leaving = [greedy("a", 2), modest(2)];
    thread::sleep(Duration::from_millis(1_500));
    let drain =
        Drain { ramp_seconds: 2, overrides: Overrides { below_minimum: true, last: false }, ..Drain::default() };
    world.edit(|fleet, now| fleet.drain(&stamp(2), drain, &Guards::default(), now).unwrap());
    eventually("the stamp has nothing left", || {
        world.placed(0).values().all(|owner| owner.as_str() != stamp(2).as_str())
    });
    thread::sleep(Duration::from_millis(500));
    let mut all: Vec<Asked> = leaving.into_iter().flat_map(Running::end).collect();
    stop(world.proxies[2].take().unwrap());
    thread::sleep(Duration::from_millis(1_500));
    let took = began.elapsed().as_secs_f64();
    all.extend(staying.into_iter().flat_map(Running::end));
    both_ends(&world, &all);

    // who is modest is never refused, wherever he goes
    assert!(all.iter().all(|it| it.status == 200 || of_the_third.contains(&it.tenant)));
    for (tenants, (requests, burst)) in [(rich, ENTERPRISE), (poor, STARTER)] {
        for tenant in tenants {
            let of_tenant = || all.iter().filter(|it| it.tenant == *tenant);
            let mut passed: Vec<Passed> = of_tenant().filter(|it| it.status == 200).map(|it| it.when).collect();
            passed.sort_by(|a, b| a.asked.total_cmp(&b.asked));
            let stamps: HashSet<&str> =
                of_tenant().map(|it| it.stamp.as_str()).filter(|stamp| !stamp.is_empty()).collect();
            let (worst, asked) = (most(&passed, 1.0), of_tenant().count());
            let due = f64::from(burst) + f64::from(requests - burst + 1) * took;
            println!(
                "tenant {tenant}: {asked} asked, {} passed ({:.1} % of what is due), worst window {worst} of {requests}, {stamps:?}",
                passed.len(),
                100.0 * passed.len() as f64 / due
            );
            assert!(asked as f64 > 1.5 * due, "too slow a machine to show anything: {asked} asked, {due} due");
            assert!(worst <= requests as usize, "{worst} in a second");
            // and is refused because he has used it up
            assert!(
                passed.len() as f64 >= 0.85 * due && passed.len() as f64 <= due + 10.0,
                "{} of {due}",
                passed.len()
            );
            assert!(stamps.len() == 2 && stamps.contains(stamp(2).as_str()), "{stamps:?}");
        }
    }
    world.stop();
}

/// What passed reached one app, once; what was refused none; and nothing else reached any.
fn both_ends(world: &World, all: &[Asked]) {
    let mut arrived: HashMap<String, (usize, String)> = HashMap::new();
    for (index, origin) in world.origins.iter().enumerate() {
        for seen in Origin::seen(origin) {
            let target = seen.line.split(' ').nth(1).unwrap().to_owned();
            arrived.entry(target).or_insert((0, stamp(index).to_string())).0 += 1;
        }
    }
    for asked in all {
        match (asked.status, arrived.remove(&asked.id)) {
            (200, Some((1, at))) if at == asked.stamp => {}
            (429, None) => {}
            (status, found) => panic!("{} got {status} and ran as {found:?}", asked.id),
        }
    }
    assert!(arrived.is_empty(), "nobody sent {arrived:?}");
}
