//! What the parts cost on their own: a lookup, a rebuild of the table, the stages of the request path, an upstream's guard,
//! a rate limit that its process counts alone or with others.
//!
//! Absolute times depend on the machine; compare two commits on the same one (`--save-baseline`, `--baseline`).

#![expect(clippy::unwrap_used, reason = "every input is made here")]

use criterion::{Criterion, criterion_group, criterion_main};

mod fleet;
mod guard;
mod lease;
mod lookup;
mod ratelimit;
mod rebuild;
mod stages;
mod top;

fn all(criterion: &mut Criterion) {
    lookup::measure(criterion);
    rebuild::measure(criterion);
    stages::measure(criterion);
    guard::measure(criterion);
    ratelimit::measure(criterion);
    lease::measure(criterion);
    top::measure(criterion);
}

criterion_group!(micro, all);
criterion_main!(micro);
