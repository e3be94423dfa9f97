use std::time::Duration;

use super::*;
use crate::{
    fleet::{
        cell::{Care, Take},
        script::{self, Answer},
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
