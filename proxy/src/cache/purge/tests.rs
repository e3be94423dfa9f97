//! What is purged, and what is not.

use super::*;

mod bounds;
mod model;

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    Tag::parse(name.as_bytes()).unwrap()
}

pub(super) fn id(number: u64) -> PurgeId {
    PurgeId::from_bits(number)
}

pub(super) fn key(name: &str, authority: &str, path: &str) -> Scope {
    Scope::Key { tenant: tenant(name), authority: authority.into(), path: path.into() }
}

pub(super) fn prefix(name: &str, authority: Option<&str>, path: &str) -> Scope {
    Scope::Prefix { tenant: tenant(name), authority: authority.map(Into::into), path: path.into() }
}

/// An entry that owns its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cached {
    pub(super) tenant: TenantId,
    pub(super) class: &'static str,
    pub(super) authority: &'static str,
    pub(super) path: String,
    pub(super) tags: Vec<TagHash>,
}

impl Cached {
    pub(super) fn of(name: &str, authority: &'static str, path: &str, tags: &[&str]) -> Self {
        let tags = tags.iter().map(|name| TagHash::of(&tag(name))).collect();
        Self { tenant: tenant(name), class: "metadata", authority, path: path.to_owned(), tags }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        let Self { tenant, class, authority, path, tags } = self;
        Subject { tenant, class, authority, path, tags }
    }
}

pub(super) fn known(limits: Limits) -> Purges {
    Purges::new(limits, Instant::now())
}

/// The verdict of each kind of purge on an entry from before it.
#[track_caller]
fn check(scope: &Scope, cached: &Cached, covered: bool) {
    for (kind, verdict) in [(Kind::Hard, Verdict::Hard), (Kind::Soft, Verdict::Soft)] {
        let purges = known(Limits::default());
        purges.apply(&[(id(7), Purge { scope: scope.clone(), kind })]);
        let expected = if covered { verdict } else { Verdict::Valid };
        assert_eq!(purges.verdict(&cached.subject(), id(6)), expected, "{kind:?} {scope:?} of {cached:?}");
        assert_eq!(purges.verdict(&cached.subject(), id(7)), Verdict::Valid, "what is fetched after {scope:?} is new");
    }
}

#[test]
fn a_purge_covers_its_scope_and_nothing_else() {
    let cached = Cached::of("acme", "app.example", "/leads/1?q=a", &["lead", "contact"]);
    let covers: [(Scope, bool); 18] = [
        (key("acme", "app.example", "/leads/1?q=a"), true),
        (key("acme", "app.example", "/leads/1"), false),
        (key("acme", "other.example", "/leads/1?q=a"), false),
        (key("other", "app.example", "/leads/1?q=a"), false),
        (prefix("acme", None, "/leads/"), true),
        (prefix("acme", Some("app.example"), "/leads/1?"), true),
        (prefix("acme", Some("other.example"), "/leads/"), false),
        (prefix("acme", None, "/leads/2"), false),
        (prefix("other", None, "/"), false),
        (Scope::Tenant(tenant("acme")), true),
        (Scope::Tenant(tenant("acm")), false),
        (Scope::Tag { tenant: tenant("acme"), tag: tag("contact") }, true),
        (Scope::Tag { tenant: tenant("acme"), tag: tag("deal") }, false),
        (Scope::Tag { tenant: tenant("other"), tag: tag("lead") }, false),
        (Scope::Class("metadata".into()), true),
        (Scope::Class("formula".into()), false),
        (Scope::All, true),
        (prefix("acme", None, "/"), true),
    ];
    for (scope, covered) in covers {
        check(&scope, &cached, covered);
    }
}

#[test]
fn the_stronger_of_two_purges_counts_whichever_comes_first() {
    let cached = Cached::of("acme", "a", "/x", &["lead"]);
    let scopes = [
        key("acme", "a", "/x"),
        prefix("acme", None, "/"),
        Scope::Tenant(tenant("acme")),
        Scope::Tag { tenant: tenant("acme"), tag: tag("lead") },
        Scope::Class("metadata".into()),
        Scope::All,
    ];
    for one in &scopes {
        for other in &scopes {
            for (first, second) in [(Kind::Hard, Kind::Soft), (Kind::Soft, Kind::Hard)] {
                let purges = known(Limits::default());
                purges.apply(&[
                    (id(5), Purge { scope: one.clone(), kind: first }),
                    (id(6), Purge { scope: other.clone(), kind: second }),
                ]);
                let said = |began| purges.verdict(&cached.subject(), id(began));
                assert_eq!(said(4), Verdict::Hard, "{one:?} {first:?}, {other:?} {second:?}");
                let after = if second == Kind::Hard { Verdict::Hard } else { Verdict::Soft };
                assert_eq!(said(5), after, "{one:?} {first:?}, {other:?} {second:?}");
                assert_eq!(said(6), Verdict::Valid);
            }
        }
    }
}

#[test]
fn an_entry_of_a_process_that_is_ahead_is_not_valid_yet() {
    let (purges, cached) = (known(Limits::default()), Cached::of("acme", "a", "/x", &[]));
    assert_eq!(purges.verdict(&cached.subject(), id(1)), Verdict::Hard);
    purges.apply(&[(id(1), Purge::hard(key("acme", "a", "/y")))]);
    assert_eq!(purges.verdict(&cached.subject(), id(1)), Verdict::Valid);
    assert_eq!(purges.verdict(&cached.subject(), PurgeId::from_bits(u64::MAX)), Verdict::Hard);
}

#[test]
fn the_version_changes_with_everything_that_may_change_a_verdict() {
    let purges = known(Limits::default());
    let mut version = purges.version();
    assert_ne!(version, 0, "an entry that was never checked has version 0");
    let mut changed = |what: &str| {
        let before = std::mem::replace(&mut version, purges.version());
        assert_ne!(before, version, "{what}");
    };
    purges.apply(&[(id(5), Purge::hard(key("acme", "a", "/x")))]);
    changed("a purge");
    purges.mark_key(&tenant("acme"), "a", "/y");
    changed("a mark");
    purges.raise(id(9));
    changed("the floor");
}

#[test]
fn the_floor_is_below_everything_that_is_valid() {
    let (purges, cached) = (known(Limits::default()), Cached::of("acme", "a", "/x", &[]));
    purges.apply(&[(id(3), Purge::hard(key("acme", "a", "/x"))), (id(9), Purge::soft(key("acme", "a", "/x")))]);
    purges.raise(id(8));
    let said = |began| purges.verdict(&cached.subject(), id(began));
    assert_eq!([said(2), said(7), said(8), said(9)], [Verdict::Hard, Verdict::Hard, Verdict::Soft, Verdict::Valid]);
    assert_eq!((purges.floor(), purges.last()), (id(8), id(9)));
    purges.raise(id(4));
    assert_eq!(purges.floor(), id(8), "it never falls");
    assert_eq!(purges.held().marks, 1, "the soft one is above the floor");
    purges.raise(id(9));
    assert_eq!((purges.held().marks, purges.held().tenants), (0, 0), "nothing is kept that the floor says");
}

#[test]
fn a_process_without_a_stream_numbers_its_own_purges_and_is_never_cut_off() {
    let now = Instant::now();
    let (purges, cached) = (Purges::alone(Limits::default(), now), Cached::of("acme", "a", "/x", &["lead"]));
    let began = purges.last();
    assert!(!purges.is_cut_off(now + Duration::from_secs(100)));
    purges.mark_key(&cached.tenant, "a", "/x");
    assert_eq!(purges.verdict(&cached.subject(), began), Verdict::Hard);
    let began = purges.last();
    assert_eq!(purges.verdict(&cached.subject(), began), Verdict::Valid, "what is fetched after it is valid at once");
    let purged = purges.purge_alone(&Purge::soft(Scope::Tag { tenant: cached.tenant, tag: tag("lead") }));
    assert_eq!(purged, Some(purges.last()));
    assert_eq!(purges.verdict(&cached.subject(), began), Verdict::Soft);
    assert_eq!(known(Limits::default()).purge_alone(&Purge::hard(Scope::All)), None, "that is the stream's to number");
}

#[test]
fn a_process_is_cut_off_until_it_has_heard_and_three_seconds_after() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let purges = Purges::new(Limits::default(), start);
    assert!(purges.is_cut_off(at(0)), "it has never heard");
    purges.heard(at(0));
    assert!(!purges.is_cut_off(at(0)));
    assert!(!purges.is_cut_off(at(3_000)));
    assert!(purges.is_cut_off(at(3_001)));
    purges.heard(at(5_000));
    purges.heard(at(4_000));
    assert!(!purges.is_cut_off(at(8_000)), "an older answer changes nothing");
    assert_eq!(purges.silent_for(at(8_000)), Some(Duration::from_secs(3)));
}

mod marked {
    use super::*;

    fn setup() -> (Purges, Cached) {
        (known(Limits::default()), Cached::of("acme", "a", "/x", &["lead"]))
    }

    pub(crate) fn arrive(purges: &Purges, number: u64) -> usize {
        let scopes = purges.take(1_000);
        let count = scopes.len();
        purges.arrived(&scopes.into_iter().map(|scope| (id(number), Purge::hard(scope))).collect::<Vec<_>>());
        count
    }

    #[test]
    fn a_marked_target_is_out_of_use_until_the_stream_has_it() {
        for by_tag in [false, true] {
            let (purges, cached) = setup();
            purges.apply(&[(id(5), Purge::hard(key("other", "a", "/x")))]);
            if by_tag {
                purges.mark_tag(&cached.tenant, tag("lead"));
            } else {
                purges.mark_key(&cached.tenant, "a", "/x");
            }
            assert_eq!(purges.verdict(&cached.subject(), id(5)), Verdict::Hard, "also what is fetched in between");
            let other = Cached::of("acme", "a", "/y", &["deal"]);
            assert_eq!(purges.verdict(&other.subject(), id(5)), Verdict::Valid);
            assert_eq!(arrive(&purges, 6), 1);
            assert_eq!(purges.verdict(&cached.subject(), id(5)), Verdict::Hard, "it is a purge like others now");
            purges.apply(&[(id(6), Purge::hard(key("acme", "a", "/x")))]);
            assert_eq!(purges.verdict(&cached.subject(), id(6)), Verdict::Valid);
            assert_eq!(purges.held().awaited_bytes, 0);
        }
    }

    #[test]
    fn many_marks_of_one_target_are_one_purge() {
        let (purges, cached) = setup();
        for _ in 0..100 {
            purges.mark_key(&cached.tenant, "a", "/x");
        }
        assert_eq!(arrive(&purges, 6), 1);
        assert_eq!(purges.held().awaited_bytes, 0);
        assert_eq!(arrive(&purges, 7), 0);
    }

    #[test]
    fn a_target_that_is_marked_while_its_purge_is_on_its_way_gets_another_one() {
        let (purges, cached) = setup();
        purges.mark_key(&cached.tenant, "a", "/x");
        let sent = purges.take(10);
        purges.mark_key(&cached.tenant, "a", "/x");
        purges.apply(&[(id(6), Purge::hard(sent[0].clone()))]);
        purges.arrived(&[(id(6), Purge::hard(sent[0].clone()))]);
        assert_eq!(purges.verdict(&cached.subject(), id(6)), Verdict::Hard, "the second one is not in the stream");
        assert_eq!(arrive(&purges, 7), 1);
        purges.apply(&[(id(7), Purge::hard(sent[0].clone()))]);
        assert_eq!(purges.verdict(&cached.subject(), id(7)), Verdict::Valid);
        assert_eq!(purges.held().awaited_bytes, 0);
    }

    #[test]
    fn a_purge_whose_answer_is_lost_is_sent_again() {
        let (purges, cached) = setup();
        for marked_meanwhile in [false, true] {
            purges.mark_key(&cached.tenant, "a", "/x");
            let sent = purges.take(10);
            if marked_meanwhile {
                purges.mark_key(&cached.tenant, "a", "/x");
            }
            purges.put_back(sent[0].clone());
            assert_eq!(purges.verdict(&cached.subject(), purges.last()), Verdict::Hard);
            assert_eq!(arrive(&purges, 6), 1, "once");
            purges.apply(&[(id(6), Purge::hard(sent[0].clone()))]);
            assert_eq!(purges.verdict(&cached.subject(), id(6)), Verdict::Valid);
            assert_eq!(purges.held().awaited_bytes, 0);
        }
    }
}
