//! Any order of fetches, purges, reads, holes, marks and time, against a list of what was said.

use proptest::prelude::*;

use super::{marked::arrive, *};

const AUTHORITIES: [&str; 2] = ["a", "b"];
const PATHS: [&str; 4] = ["/x", "/x/1", "/x/2", "/y"];
const TAGS: [&str; 3] = ["lead", "deal", "contact"];
const CLASSES: [&str; 2] = ["metadata", "formula"];
const LIFE: u64 = 64;

#[derive(Clone, Debug)]
enum Op {
    Fetch(Cached),
    Append(Purge),
    Read(usize),
    Hole(usize),
    Mark(Cached),
    Send { is_lost: bool },
    Time(u64),
}

fn tenants() -> impl Strategy<Value = TenantId> {
    prop::sample::select(vec![tenant("t0"), tenant("t1"), tenant("t2")])
}

fn cached() -> impl Strategy<Value = Cached> {
    let tags = prop::sample::subsequence(TAGS.to_vec(), 0..3);
    let places = (prop::sample::select(AUTHORITIES.to_vec()), prop::sample::select(PATHS.to_vec()));
    (tenants(), places, prop::sample::select(CLASSES.to_vec()), tags).prop_map(
        |(tenant, (authority, path), class, tags)| {
            let tags = tags.iter().map(|name| TagHash::of(&tag(name))).collect();
            Cached { tenant, class, authority, path: path.to_owned(), tags }
        },
    )
}

fn purge() -> impl Strategy<Value = Purge> {
    let authority = prop::sample::select(AUTHORITIES.to_vec());
    let scope = prop_oneof![
        6 => (tenants(), authority.clone(), prop::sample::select(PATHS.to_vec())).prop_map(|(tenant, authority, path)| {
            Scope::Key { tenant, authority: authority.into(), path: path.into() }
        }),
        3 => (tenants(), prop::option::of(authority), prop::sample::select(vec!["/", "/x", "/x/", "/y"])).prop_map(
            |(tenant, authority, path)| Scope::Prefix { tenant, authority: authority.map(Into::into), path: path.into() }
        ),
        3 => (tenants(), prop::sample::select(TAGS.to_vec()))
            .prop_map(|(tenant, name)| Scope::Tag { tenant, tag: tag(name) }),
        2 => tenants().prop_map(Scope::Tenant),
        1 => prop::sample::select(CLASSES.to_vec()).prop_map(|name| Scope::Class(name.into())),
        1 => Just(Scope::All),
    ];
    (scope, any::<bool>()).prop_map(|(scope, is_hard)| if is_hard { Purge::hard(scope) } else { Purge::soft(scope) })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => cached().prop_map(Op::Fetch),
        6 => purge().prop_map(Op::Append),
        6 => (1_usize..4).prop_map(Op::Read),
        1 => (1_usize..4).prop_map(Op::Hole),
        2 => cached().prop_map(Op::Mark),
        2 => any::<bool>().prop_map(|is_lost| Op::Send { is_lost }),
        2 => (1_u64..20).prop_map(Op::Time),
    ];
    prop::collection::vec(op, 1..80)
}

/// By the words of the scope, not by hashes.
fn covers(scope: &Scope, cached: &Cached) -> bool {
    if scope.tenant().is_some_and(|tenant| *tenant != cached.tenant) {
        return false;
    }
    match scope {
        Scope::Key { authority, path, .. } => **authority == *cached.authority && **path == *cached.path,
        Scope::Prefix { authority, path, .. } => {
            authority.as_deref().is_none_or(|authority| authority == cached.authority)
                && cached.path.starts_with(&**path)
        }
        Scope::Tag { tag, .. } => cached.tags.contains(&TagHash::of(tag)),
        Scope::Class(class) => **class == *cached.class,
        Scope::Tenant(_) | Scope::All => true,
    }
}

struct World {
    purges: Purges,
    start: Instant,
    second: u64,
    stream: Vec<(PurgeId, Purge)>,
    /// Of the stream: how many of it this process has read or knows to have missed.
    read: usize,
    /// What took effect, in whatever way.
    told: Vec<(PurgeId, Purge)>,
    /// Marked, and at which step.
    marks: Vec<(usize, Cached)>,
    /// Of those the ones that the stream has not got.
    awaited: Vec<Cached>,
    step: usize,
    /// When fetched, at which step, with what.
    entries: Vec<(u64, usize, PurgeId, Cached)>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let start = Instant::now();
        Self {
            purges: Purges::new(limits, start),
            start,
            second: 0,
            stream: Vec::new(),
            read: 0,
            told: Vec::new(),
            marks: Vec::new(),
            awaited: Vec::new(),
            step: 0,
            entries: Vec::new(),
        }
    }

    fn next_id(&self) -> PurgeId {
        self.stream.last().map_or(id(10), |(last, _)| id(last.to_bits() + 2))
    }

    fn play(&mut self, op: Op) {
        self.step += 1;
        match op {
            Op::Fetch(cached) => self.entries.push((self.second, self.step, self.purges.last(), cached)),
            Op::Append(purge) => self.stream.push((self.next_id(), purge)),
            Op::Read(count) => {
                let end = self.stream.len().min(self.read + count);
                let batch = &self.stream[self.read..end];
                self.told.extend_from_slice(batch);
                self.purges.apply(batch);
                self.read = end;
            }
            Op::Hole(count) => {
                if self.stream.len() <= self.read + count {
                    let anew = (self.next_id(), Purge::hard(Scope::All));
                    self.stream.push(anew);
                    self.read = self.stream.len() - 1;
                } else {
                    self.read += count;
                }
                // what is missing counts: nobody may use what it covers
                self.told.extend_from_slice(&self.stream[..=self.read]);
                self.purges.raise(self.stream[self.read].0);
                self.read += 1;
            }
            Op::Mark(cached) => {
                self.purges.mark_key(&cached.tenant, cached.authority, &cached.path);
                self.awaited.push(cached.clone());
                self.marks.push((self.step, cached));
            }
            Op::Send { is_lost } => {
                let number = self.next_id();
                if is_lost {
                    let scopes = self.purges.take(1_000);
                    for scope in scopes {
                        self.stream.push((self.next_id(), Purge::hard(scope.clone())));
                        self.purges.put_back(scope);
                    }
                    return;
                }
                // one id for all of them is as good as several
                arrive(&self.purges, number.to_bits());
                for Cached { tenant, authority, path, .. } in std::mem::take(&mut self.awaited) {
                    let scope = Scope::Key { tenant, authority: authority.into(), path: path.into() };
                    self.told.push((number, Purge::hard(scope.clone())));
                    self.stream.push((number, Purge::hard(scope)));
                }
            }
            Op::Time(seconds) => {
                self.second += seconds;
                let second = self.second;
                self.entries.retain(|(fetched, ..)| second - fetched <= LIFE);
                self.purges.tick(self.start + Duration::from_secs(second));
            }
        }
    }

    fn check(&self, is_exact: bool) -> Result<(), TestCaseError> {
        for (_, step, began, cached) in &self.entries {
            let told = self.told.iter().filter(|(id, purge)| id > began && covers(&purge.scope, cached));
            let said = told.map(|(_, purge)| if purge.kind == Kind::Hard { Verdict::Hard } else { Verdict::Soft });
            let mut expected = said.max().unwrap_or(Verdict::Valid);
            let is_marked = |(marked, other): &(usize, Cached)| {
                let same = |it: &Cached| (it.tenant, it.authority, it.path.clone());
                marked > step && same(other) == same(cached)
            };
            if self.marks.iter().any(is_marked) {
                expected = Verdict::Hard;
            }
            let verdict = self.purges.verdict(&cached.subject(), *began);
            prop_assert!(verdict >= expected, "{cached:?} of {began:?}: {verdict:?}, it must be {expected:?}");
            if is_exact && self.awaited.is_empty() && *began >= self.purges.floor() {
                prop_assert_eq!(verdict, expected, "{:?} of {:?}", cached, began);
            }
        }
        Ok(())
    }
}

fn run(limits: Limits, ops: Vec<Op>, is_exact: bool) -> Result<(), TestCaseError> {
    let mut world = World::new(limits);
    for op in ops {
        world.play(op);
        world.check(is_exact)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_entry_is_valid_after_a_later_purge_that_covers_it_and_every_other_is(ops in ops()) {
        run(Limits { entry_life: Duration::from_secs(LIFE), ..Limits::default() }, ops, true)?;
    }

    #[test]
    fn no_entry_is_valid_after_a_later_purge_that_covers_it_also_when_nothing_has_room(ops in ops()) {
        let life = Duration::from_secs(LIFE);
        let limits = Limits { marks_max: 3, tenants_max: 1, awaited_bytes_max: 300, entry_life: life };
        run(limits, ops, false)?;
    }
}

#[test]
fn readers_that_do_not_wait_see_every_purge_that_was_told() {
    use std::sync::atomic::AtomicBool;
    let limits = Limits { marks_max: 40, tenants_max: 8, ..Limits::default() };
    let (purges, told, is_over) = (known(limits), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=150_000_u64 {
                let name = format!("t{}", number % 12);
                let purge = match number % 50 {
                    0 => Purge::hard(Scope::Tenant(tenant(&name))),
                    _ => Purge::hard(key(&name, "a", &format!("/{}", number % 9))),
                };
                purges.apply(&[(id(number), purge)]);
                told.store(number, Release);
                if number % 37 == 0 {
                    purges.raise(id(number));
                }
            }
            is_over.store(true, Release);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Acquire) {
                    let number = told.load(Acquire);
                    if number == 0 {
                        continue;
                    }
                    let (name, path) = (format!("t{}", number % 12), format!("/{}", number % 9));
                    let verdict = purges.verdict(&Cached::of(&name, "a", &path, &[]).subject(), id(number - 1));
                    assert_eq!(verdict, Verdict::Hard, "purge {number}");
                }
            });
        }
    });
    assert!(purges.counts().overflows.load(Relaxed) > 100, "marks have moved under the readers");
}
