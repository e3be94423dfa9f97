use std::{mem::size_of, time::Duration};

use super::*;
use crate::{
    fleet::{
        cell::{Care, Take},
        script::{self, Answer},
        tests::Chance,
    },
    key::Secret,
    quota::Quota,
};

const SECOND: u64 = 1_000_000_000;

fn plan(requests: u32, burst: u32) -> Arc<Plan> {
    Arc::new(Plan::new(&Quota::new(requests, Duration::from_secs(60), Some(burst)).unwrap(), 8))
}

struct World {
    secret: Secret,
    keys: Keys,
    cells: Cells,
    plan: Arc<Plan>,
}

impl World {
    fn new(caps: Caps) -> Self {
        let secret = Secret::new([5; 32]);
        let keys = Keys::new(&secret, "user");
        Self { secret, keys, cells: Cells::new(caps), plan: plan(10_000, 1_000) }
    }

    fn get(&self, tenant: &str, user: &str, now: u64) -> Arc<Cell> {
        let key = self.keys.key(self.secret.tenant(tenant), &[user.as_bytes()]);
        self.cells.get(key, &self.keys, &self.plan, now, |whose| match whose {
            Whose::Own => script::key("t", tenant, "user", &[user.as_bytes()]),
            Whose::Tenant => script::shared_key("t", tenant, "user"),
            Whose::Limit => script::shared_key("t", "", "user"),
        })
    }

    fn lease(&self, cell: &Cell, tokens: u32, now: u64) {
        let (ask, report) = cell.ask_care(&self.plan, Care::Refill, now);
        let answer = Answer { granted: tokens, ..Answer::default() };
        cell.answered(&self.plan, ask, report, answer, now, now);
    }
}

#[test]
fn made_up_users_share_a_cell_and_take_nobodys() {
    let world = World::new(Caps { keys_max: 64, tenant_keys_max: 3 });
    let first = world.get("acme", "u-0", 0);
    for user in 1..50 {
        let _ = world.get("acme", &format!("u-{user}"), 0);
    }
    assert!(Arc::ptr_eq(&first, &world.get("acme", "u-0", 0)));
    let (a, b) = (world.get("acme", "u-48", 0), world.get("acme", "u-49", 0));
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(a.key(), "{t:rl:acme}:user:*");
    assert_eq!(world.cells.counts(), Counts { keys: 4, shared: 49 });
    assert_eq!(world.get("globex", "u-0", 0).key(), "{t:rl:globex}:user:u-0");
    for tenant in 0..200 {
        let _ = world.get(&format!("t-{tenant}"), "u", 0);
    }
    assert_eq!(world.cells.counts().keys, 64);
    let (a, b) = (world.get("t-198", "u", 0), world.get("t-199", "v", 0));
    assert!(Arc::ptr_eq(&a, &b) && a.key() == "{t:rl:}:user:*");
    assert!(Arc::ptr_eq(&first, &world.get("acme", "u-0", 0)));
}

/// Bytes of a cell with its counts, of its name and of its place, as an allocator has them: in steps of 16, and as many for itself.
fn bytes(cells: &Cells, name: usize) -> usize {
    let heap = |bytes: usize| bytes.next_multiple_of(16) + 16;
    let shard = |shard: &Locked<Shard>| {
        size_of::<Locked<Shard>>() + heap(shard.read().places() * size_of::<Option<(Key, (Arc<Cell>, Charged))>>())
    };
    let places: usize = cells.shards.iter().map(shard).sum();
    places + cells.counts().keys * (heap(16 + size_of::<Cell>()) + heap(name))
}

#[test]
fn a_million_keys_take_less_than_320_bytes_each() {
    let mut world = World::new(Caps { keys_max: 2_000_000, ..Caps::default() });
    world.plan = plan(500, 50);
    let mut name = 0;
    for tenant in 0..100 {
        let tenant = format!("tenant-{tenant:04}");
        for user in 0..10_000 {
            name = world.get(&tenant, &format!("user-{user:06}"), 0).key().len();
        }
    }
    assert_eq!(world.cells.counts(), Counts { keys: 1_000_000, shared: 0 });
    assert_eq!(name, "{t:rl:tenant-0001}:user:user-000001".len());
    let bytes = bytes(&world.cells, name);
    assert!(bytes < 320_000_000, "{bytes}");
    // and they are given back when all are gone
    world.cells.sweep(Cells::SHARDS, 11 * SECOND);
    assert!(world.cells.shards.iter().all(|shard| shard.read().places() == 0));
}

#[test]
fn a_million_made_up_tenants_and_users_take_bounded_memory_and_nobodys_lease() {
    let caps = Caps { keys_max: 40_000, tenant_keys_max: 2_000 };
    let (world, mut chance) = (World::new(caps), Chance::seeded());
    let real: Vec<(String, String)> =
        (0..500).map(|number| (format!("t-{}", number % 5), format!("u-{number}"))).collect();
    let cells: Vec<Arc<Cell>> = real.iter().map(|(tenant, user)| world.get(tenant, user, 0)).collect();
    for second in 0..20 {
        let now = second * SECOND;
        for cell in &cells {
            world.lease(cell, 9, now);
        }
        for at in 0..50_000 {
            let (made_up, tenant) = (chance.below(u64::MAX), format!("t-{}", chance.below(5)));
            let (tenant, user) = match at % 3 {
                0 => (tenant, format!("x-{made_up}")),
                1 => (format!("x-{made_up}"), "u".to_owned()),
                _ => (format!("x-{made_up}"), format!("x-{made_up}")),
            };
            let _ = world.get(&tenant, &user, now);
        }
        world.cells.sweep(Cells::SHARDS / 4, now);
        assert!(world.cells.counts().keys <= caps.keys_max, "{:?}", world.cells.counts());
        let bytes = bytes(&world.cells, 64);
        assert!(bytes <= caps.keys_max * 400, "{bytes}");
        for ((tenant, user), cell) in real.iter().zip(&cells) {
            assert!(Arc::ptr_eq(cell, &world.get(tenant, user, now)), "{user} of {tenant}");
            assert!(matches!(cell.take(&world.plan, now), Take::Taken(_)));
        }
    }
    assert!(world.cells.counts().shared > 900_000, "{:?}", world.cells.counts());
}

#[test]
fn a_cell_goes_when_it_is_idle_and_nothing_is_forgotten_with_it() {
    let world = World::new(Caps::default());
    let sweep = |now| {
        world.cells.sweep(Cells::SHARDS, now);
        world.cells.counts().keys
    };
    drop(world.get("acme", "idle", 0));
    let held = world.get("acme", "held", 0);
    let owing = world.get("acme", "owing", 0);
    assert!(owing.share(&world.plan, 0).is_ok());
    drop(owing);
    let refused = world.get("acme", "refused", 0);
    let (ask, report) = refused.ask(&world.plan, 1, 0);
    // remembered for 10 s at most
    refused.answered(&world.plan, ask, report, Answer { missing: 60_000_000, ..Answer::default() }, 0, 5 * SECOND);
    drop(refused);
    assert_eq!(sweep(10 * SECOND), 4);
    assert_eq!(sweep(10 * SECOND + 1), 3);
    drop(held);
    assert_eq!(sweep(11 * SECOND), 2);
    // what it owes is told: only the refusal is left, and in the end not even that
    let owing = world.get("acme", "owing", 0);
    let (ask, _) = owing.ask_care(&world.plan, Care::Settle, 0);
    assert_eq!(ask.debit, 1);
    drop(owing);
    assert_eq!(sweep(11 * SECOND), 1);
    assert_eq!(sweep(61 * SECOND), 0);
}

#[test]
fn a_changed_quota_finds_the_lease_and_forgets_the_refusal() {
    let mut world = World::new(Caps::default());
    let cell = world.get("acme", "u", 0);
    world.lease(&cell, 5, 0);
    world.plan = plan(500, 50);
    let same = world.get("acme", "u", 1);
    assert!(Arc::ptr_eq(&cell, &same) && *same.plan() == *world.plan);
    for _ in 0..5 {
        assert!(matches!(same.take(&world.plan, 1), Take::Taken(_)));
    }
    let (ask, report) = same.ask(&world.plan, 1, 1);
    assert_eq!(report, None, "it is counted token by token now");
    same.answered(&world.plan, ask, report, Answer { missing: 60_000_000, ..Answer::default() }, 1, 1);
    assert!(matches!(same.take(&world.plan, 2), Take::Denied(_)));
    world.plan = plan(600, 50);
    assert!(matches!(world.get("acme", "u", 2).take(&world.plan, 2), Take::Empty));
}
