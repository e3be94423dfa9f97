use std::mem::size_of;

use super::*;
use crate::key::Secret;

#[test]
fn a_million_keys_take_less_than_100_bytes_each() {
    let (secret, cells) = (Secret::new([5; 32]), Cells::new(Caps { keys_max: 2_000_000, ..Caps::default() }));
    let keys = Keys::new(&secret, "user");
    let wanted = Wanted { keys: &keys, shape: Shape { interval: 1, burst: 1 }, fresh: 0 };
    for tenant in 0..100_u32 {
        let tenant = secret.tenant(&tenant.to_string());
        for user in 0..10_000_u32 {
            assert!(cells.charge(keys.key(tenant, &[&user.to_le_bytes()]), &wanted, 0, |_, _| ()).is_some());
        }
    }
    assert_eq!(cells.counts(), Counts { keys: 1_000_000, shared: 0 });
    let place = size_of::<Option<(Key, Cell)>>();
    assert_eq!(place, 40);
    let bytes = |shard: &Locked<Shard>| size_of::<Locked<Shard>>() + shard.read().cells.places() * place + 16;
    let bytes: usize = cells.shards.iter().map(bytes).sum();
    assert!(bytes < 90_000_000, "{bytes}");
    // and they are given back when all are gone
    cells.sweep(SHARDS, 1);
    let left: usize = cells.shards.iter().map(|shard| shard.read().cells.places()).sum();
    assert_eq!(left, 0);
}
