//! What a request pays for a limit that processes count together and whose key this one holds a lease of: its cell is found,
//! and a token taken, with one key and with a million; or a refusal is remembered. The store is not asked.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::Criterion;
use synaxis_ratelimit::{
    cells::Caps,
    fleet::{
        cell::Take,
        cells::{Cells, Whose},
        plan::Plan,
        script,
    },
    key::{Keys, Secret},
    quota::Quota,
};

use crate::ratelimit::{STRIDE, beside, key};

/// What the script returns when it grants a full lease, and when it refuses for a minute.
const GRANTED: [u64; 6] = [1_790_000_000_000_000, 0, 0, 4_095, 0, 1_000_000];
const REFUSED: [u64; 6] = [1_790_000_000_000_000, 0, 0, 0, 60_000_000, 1_000_000];
/// Takes after which a lease is filled up.
const HALF: u64 = 2_048;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fleet limit");
    let keys = Keys::new(&Secret::new([7; 32]), "user");
    let plan = Arc::new(Plan::new(&Quota::new(1_000_000, Duration::from_secs(60), None).unwrap(), 8));
    assert!(plan.is_leased());
    let text = |_: Whose| script::key("synaxis", "tenant-1234", "user", &[b"user-123456"]);
    for number in [1, 1_000_000_u64] {
        let cells = Cells::new(Caps { keys_max: 2_000_000, ..Caps::default() });
        let cell = |number| cells.get(key(number), &keys, &plan, SECOND, text);
        let all = |reply: &[u64]| (0..number).for_each(|number| cell(number).replay(&plan, reply, SECOND).unwrap());
        all(&GRANTED);
        assert_eq!(cells.counts().shared, 0);
        let (mut at, mut taken) = (0, 0);
        group.bench_function(format!("taken, {number} keys"), |bencher| {
            bencher.iter(|| {
                at = (at + STRIDE) % number;
                let cell = cell(at);
                taken += 1;
                if taken % (HALF * number) == 0 {
                    all(&GRANTED);
                }
                match cell.take(&plan, black_box(SECOND)) {
                    Take::Taken(taken) => taken,
                    other => panic!("{other:?}"),
                }
            });
        });
        beside(&mut group, number);
        let refusing = Cells::new(Caps { keys_max: 2_000_000, ..Caps::default() });
        let cell = |number| refusing.get(key(number), &keys, &plan, SECOND, text);
        (0..number).for_each(|number| cell(number).replay(&plan, &REFUSED, SECOND).unwrap());
        group.bench_function(format!("a remembered refusal, {number} keys"), |bencher| {
            bencher.iter(|| {
                at = (at + STRIDE) % number;
                match cell(at).take(&plan, black_box(SECOND)) {
                    Take::Denied(standing) => standing,
                    other => panic!("{other:?}"),
                }
            });
        });
    }
    group.finish();
}
