//! One rule for every store: the same offers, the same verdicts, in Redis, in a folder and in memory.

use super::*;
use crate::fixture::Chance;

/// Three empty stores and what keeps them.
struct Three {
    stores: [Store; 3],
    server: Server,
    _folder: tempfile::TempDir,
}

impl Three {
    fn new() -> Self {
        let server = Server::on_free_port();
        let folder = tempfile::tempdir().unwrap();
        let file = Store::open(&format!("file:{}", folder.path().display()), "test").unwrap();
        let stores = [Store::open("memory:", "test").unwrap(), file, server.store()];
        Self { stores, server, _folder: folder }
    }
}

fn verdict(outcome: &Result<Published, PublishError>) -> String {
    match outcome {
        Ok(_) => "published".into(),
        Err(PublishError::Store(error)) => panic!("{error}"),
        Err(error) => format!("{error:?}"),
    }
}

/// A version near others, now and then of another term.
fn near(chance: &mut Chance, standing: Version) -> Version {
    let term = standing.term + u64::from(chance.next().is_multiple_of(8));
    Version::new(term, (standing.epoch + chance.next() % 4).saturating_sub(1))
}

#[tokio::test]
async fn whatever_is_offered_in_whatever_order_all_stores_say_the_same() {
    for seed in 1..=3 {
        let three = Three::new();
        let mut chance = Chance(seed);
        let mut verdicts = std::collections::BTreeMap::<String, usize>::new();
        for step in 0..150 {
            let heads = async |store: &Store| store.glance().await.map(|glance| (glance.head, glance.acked)).unwrap();
            let (head, acked) = heads(&three.stores[0]).await;
            for store in &three.stores[1..] {
                assert_eq!(heads(store).await, (head.clone(), acked), "seed {seed} step {step} {store:?}");
            }
            let standing = head.as_ref().map(|head| Head::parse(head).unwrap().version());
            let around = standing.unwrap_or(Version::new(1, 0));
            if chance.next().is_multiple_of(3) {
                let proxy = format!("p{}", chance.next() % 3);
                let format = if chance.next().is_multiple_of(16) { 0 } else { FORMAT };
                let applied = if chance.next().is_multiple_of(4) { near(&mut chance, around) } else { around };
                for store in &three.stores {
                    store.ack(&Ack { proxy: proxy.clone(), format, ..ack(applied) }).await.unwrap();
                }
                continue;
            }
            let mode = match chance.next() % 8 {
                0 => Mode::Init,
                1 => Mode::Recover,
                2 | 3 => Mode::NoProxies,
                _ => Mode::Ordinary,
            };
            let offered = match chance.next() % 4 {
                0 => near(&mut chance, around),
                _ if mode == Mode::Recover => around.max(acked).next_term(),
                _ => around.next(),
            };
            let expected = if chance.next().is_multiple_of(8) { Some(at(Version::new(7, 7)).head) } else { head };
            let bundle = at(offered);
            let mut said = Vec::new();
            for store in &three.stores {
                let outcome = store.publish(expected.as_ref(), &bundle, &entry(offered), mode).await;
                said.push(verdict(&outcome));
            }
            assert!(said.iter().all(|one| *one == said[0]), "seed {seed} step {step} {mode:?} {offered}: {said:?}");
            let kind = said[0].split([' ', '{']).next().unwrap_or_default().to_owned();
            *verdicts.entry(kind).or_default() += 1;
        }
        for kind in ["published", "Lost", "Behind", "Unconfirmed", "NeedsNewer", "Version"] {
            assert!(verdicts.contains_key(kind), "seed {seed} never met {kind}: {verdicts:?}");
        }
        let versions = async |store: &Store| -> Vec<Version> {
            store.history(LOG_MAX).await.unwrap().iter().map(|entry| entry.version).collect()
        };
        let history = versions(&three.stores[0]).await;
        assert!(!history.is_empty());
        for store in &three.stores[1..] {
            assert_eq!(versions(store).await, history, "{store:?}");
            for epoch in 0..160 {
                let past = three.stores[0].at_epoch(epoch).await.unwrap();
                assert_eq!(store.at_epoch(epoch).await.unwrap(), past, "{store:?} epoch {epoch}");
            }
        }
    }
}

#[tokio::test]
async fn of_many_writers_over_the_same_head_exactly_one_wins() {
    let three = Three::new();
    for store in &three.stores {
        put(store, None, Version::new(1, 1), Mode::Init).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..12 {
            let store = store.clone();
            writers.spawn(async move {
                let (fleet, version) = (fleet(), Version::new(1, 2));
                let mut table = fleet.table;
                (table.term, table.epoch) = (version.term, version.epoch);
                let bundle = Bundle::encode(&table, &fleet.tenants, &format!("writer-{writer}")).unwrap();
                let over = at(Version::new(1, 1)).head;
                store.publish(Some(&over), &bundle, &entry(version), Mode::Ordinary).await
            });
        }
        let outcomes = writers.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{store:?} {outcomes:?}");
        assert!(outcomes.iter().all(|one| matches!(one, Ok(_) | Err(PublishError::Lost))), "{store:?} {outcomes:?}");
        assert_eq!(store.history(100).await.unwrap().len(), 2, "{store:?}");
    }
}

#[tokio::test]
async fn a_recovery_does_not_go_over_a_head_that_it_has_not_seen() {
    let three = Three::new();
    for store in &three.stores {
        put(store, None, Version::new(1, 1), Mode::Init).await.unwrap();
        let lost = put(store, None, Version::new(2, 2), Mode::Recover).await;
        assert!(matches!(lost, Err(PublishError::Lost)), "{store:?} {lost:?}");
        put(store, Some(Version::new(1, 1)), Version::new(2, 2), Mode::Recover).await.unwrap();
    }
}

#[tokio::test]
async fn a_leap_of_epochs_leaves_no_old_tables_behind() {
    let three = Three::new();
    for store in &three.stores {
        put(store, None, Version::new(1, 1), Mode::Init).await.unwrap();
        for epoch in 2..=5 {
            put(store, Some(Version::new(1, epoch - 1)), Version::new(1, epoch), Mode::NoProxies).await.unwrap();
        }
        put(store, Some(Version::new(1, 5)), Version::new(2, 35), Mode::Recover).await.unwrap();
        for (epoch, kept) in [(1, false), (3, false), (4, true), (5, true), (35, true)] {
            assert_eq!(store.at_epoch(epoch).await.unwrap().is_some(), kept, "{store:?} epoch {epoch}");
        }
        put(store, Some(Version::new(2, 35)), Version::new(3, 3), Mode::Recover).await.unwrap();
        assert!(store.at_epoch(35).await.unwrap().is_none(), "{store:?}: a table of a later epoch is no past one");
    }
    let keys: Vec<String> = three.server.ask(&["KEYS", "*:table:*"]);
    assert_eq!(keys.len(), 2, "the table and its head: {keys:?}");
}

#[tokio::test]
async fn what_does_not_fit_together_or_counts_too_far_is_not_published() {
    let three = Three::new();
    let (one, two) = (at(Version::new(1, 1)), at(Version::new(1, 2)));
    let mixed = Bundle { table: two.table.clone(), ..one.clone() };
    let torn = Bundle { tenants: bytes::Bytes::from_static(b"{"), ..one };
    for store in &three.stores {
        for bundle in [mixed.clone(), torn.clone(), at(Version::new(COUNTER_MAX, 1)), at(Version::new(1, COUNTER_MAX))]
        {
            let outcome = store.publish(None, &bundle, &entry(Version::new(1, 1)), Mode::Init).await;
            assert!(matches!(outcome, Err(PublishError::Unsound(_))), "{store:?} {outcome:?}");
        }
        for applied in [Version::new(COUNTER_MAX, 1), Version::new(1, u64::MAX)] {
            assert!(store.ack(&ack(applied)).await.is_err(), "{store:?}: it would stop every writer for good");
        }
        let large = Ack { admin: "x".repeat(10_000), ..ack(Version::new(1, 1)) };
        assert!(store.ack(&large).await.is_err(), "{store:?}");
        let glance = store.glance().await.unwrap();
        assert_eq!((glance.head, glance.acked), (None, Version::default()), "{store:?}");
    }
}

#[tokio::test]
async fn a_store_that_lost_its_tables_but_not_its_acks_is_no_new_fleet() {
    let three = Three::new();
    for store in &three.stores {
        store.ack(&ack(Version::new(1, 9))).await.unwrap();
        let outcome = put(store, None, Version::new(1, 1), Mode::Init).await;
        assert!(matches!(outcome, Err(PublishError::Behind { .. })), "{store:?} {outcome:?}");
        put(store, None, Version::new(2, 10), Mode::Recover).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_reason_is_clipped_in_the_history() {
    let three = Three::new();
    for store in &three.stores {
        let long = LogEntry { why: "ä".repeat(1 << 20), ..entry(Version::new(1, 1)) };
        store.publish(None, &at(Version::new(1, 1)), &long, Mode::Init).await.unwrap();
        let history = store.history(1).await.unwrap();
        assert!(history[0].why.starts_with('ä') && history[0].why.len() <= 1_024, "{}", history[0].why.len());
    }
}
