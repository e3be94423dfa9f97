//! `cache purge`: what is written into a stamp's store, who is waited for, and what is said when it goes wrong.

mod proxy;
mod stores;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synaxis_routing::{
    id::TenantId,
    purge::{Entry, Kind, Link, Passed, Purge, PurgeId, PurgeStore, Scope, Tag},
};

use crate::{Ran, World, redis::Redis};

/// A stamp's cache store, and what an operator has at hand.
struct Stamp {
    world: World,
    redis: Redis,
}

impl Stamp {
    fn start() -> Self {
        Self { world: World::file(), redis: Redis::start() }
    }

    /// `stampctl cache purge` of this store.
    fn args(&self, args: &[&str]) -> Ran {
        let url = self.redis.url();
        self.world.args(&[&["cache", "purge", "--cache-store", &url][..], args].concat())
    }

    fn run(&self, line: &str) -> Ran {
        self.args(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn store(&self) -> PurgeStore {
        PurgeStore::open(&self.redis.url(), "synaxis").unwrap()
    }

    /// Everything that was written so far.
    async fn written(&self) -> Vec<Entry> {
        let mut link = self.store().connect().await.unwrap();
        link.read(PurgeId::ZERO, 1_000, Duration::from_millis(1)).await.unwrap()
    }

    /// As if the list of processes had been there for long.
    fn list_is_old(&self) {
        self.redis.try_command("HSET {synaxis:cache}:readers \"\" @1").unwrap();
    }
}

/// A process says what it has passed. The stream has that purge.
async fn says(link: &mut Link, process: &str, id: PurgeId) {
    assert!(link.check(id, Some(Passed { process, id, prunes: false })).await.unwrap().is_anchored);
}

/// A process that reads what is purged, and says so after this pause, as long as the returned task lives.
fn reads(stamp: &Stamp, process: &'static str, pause: Duration) -> tokio::task::JoinHandle<()> {
    let store = stamp.store();
    tokio::spawn(async move {
        let mut link = store.connect().await.unwrap();
        let mut last = link.append(&[Purge::hard(Scope::Class("none".into()))]).await.unwrap()[0];
        loop {
            says(&mut link, process, last).await;
            if let Some(entry) = link.read(last, 100, Duration::from_millis(100)).await.unwrap().last() {
                last = entry.id;
                tokio::time::sleep(pause).await;
            }
        }
    })
}

/// Until so many processes are on the list.
fn listed(stamp: &Stamp, count: usize) {
    let started = Instant::now();
    let words = format!("{count} process{} it", if count == 1 { " reads" } else { "es read" });
    while !stamp.run("--all --dry-run").code(0).out.contains(&words) {
        assert!(started.elapsed() < Duration::from_secs(15), "never: {words}");
    }
    stamp.list_is_old();
}

fn names(report: &Value, of: &str) -> Vec<String> {
    let rows = report[of].as_array().unwrap().iter();
    rows.map(|row| row.as_str().or(row["process"].as_str()).unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_what_is_written_and_told() {
    let stamp = Stamp::start();
    let tenant = TenantId::parse(b"acme").unwrap();
    let key = |authority: &str, path: &str| Scope::Key { tenant, authority: authority.into(), path: path.into() };
    let prefix = |authority: Option<&str>, path: &str| Scope::Prefix {
        tenant,
        authority: authority.map(Into::into),
        path: path.into(),
    };
    let cases = [
        ("a.example/x?y=%2F --tenant acme", key("a.example", "/x?y=%2F"), "a.example/x?y=%2F of tenant acme"),
        ("https://A.example:8443/x --tenant acme", key("a.example:8443", "/x"), "a.example:8443/x of tenant acme"),
        ("/x --host A.example --tenant acme", key("a.example", "/x"), "a.example/x of tenant acme"),
        ("--prefix /x/ --tenant acme", prefix(None, "/x/"), "everything of tenant acme that begins with /x/"),
        (
            "--prefix /x --host a --tenant acme",
            prefix(Some("a"), "/x"),
            "everything of tenant acme that begins with a/x",
        ),
        ("--prefix a/x --tenant acme", prefix(Some("a"), "/x"), "everything of tenant acme that begins with a/x"),
        (
            "--tag order-17 --tenant acme",
            Scope::Tag { tenant, tag: Tag::parse(b"order-17").unwrap() },
            "everything of tenant acme with tag order-17",
        ),
        ("--tenant acme", Scope::Tenant(tenant), "everything of tenant acme"),
        ("--class pages", Scope::Class("pages".into()), "everything of class pages, of all tenants"),
        ("--all", Scope::All, "everything, of all tenants"),
    ];
    for (line, scope, words) in cases {
        for (flag, kind) in [("", Kind::Hard), (" --soft", Kind::Soft)] {
            let report = stamp.run(&format!("{line}{flag} -o json")).code(0).json();
            let last = stamp.written().await.pop().unwrap();
            assert_eq!(last.reading.purge, Purge { scope: scope.clone(), kind }, "{line}");
            assert_eq!((&report["id"], &report["what"]), (&json!(last.id.to_string()), &json!(words)), "{line}");
            assert_eq!((&report["soft"], &report["everywhere"]), (&json!(kind == Kind::Soft), &json!(null)), "{line}");
        }
    }
    assert_eq!(stamp.written().await.len(), 20);
    let report = stamp.run("https://A.example/x --tenant acme -o json").code(0).json();
    for (field, value) in [("scope", "key"), ("tenant", "acme"), ("host", "a.example"), ("path", "/x")] {
        assert_eq!(report[field], value);
    }
    assert_eq!(
        (&report["tag"], &report["class"], &report["key_prefix"]),
        (&json!(null), &json!(null), &json!("synaxis"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_every_process_has_it_and_says_how_long_it_took() {
    let stamp = Stamp::start();
    let players =
        [reads(&stamp, "weu-001/quick", Duration::ZERO), reads(&stamp, "weu-001/slow", Duration::from_millis(400))];
    listed(&stamp, 2);
    let text = stamp.run("--tenant acme").code(0).out;
    assert!(text.contains("2 processes read it; --wait says when all have it"), "{text}");
    for _ in 0..3 {
        let report = stamp.run("--tenant acme --wait -o json").code(0).json();
        assert_eq!(report["everywhere"], true, "{report}");
        assert_eq!(names(&report, "passed"), ["weu-001/quick", "weu-001/slow"]);
        assert!((400..5_000).contains(&report["took_ms"].as_u64().unwrap()), "{report}");
    }
    let text = stamp.run("a.example/x --tenant acme --wait").code(0).out;
    let id = stamp.written().await.pop().unwrap().id;
    for words in [
        &*format!("purge {id}: purged a.example/x of tenant acme, by 127.0.0.1:"),
        "everywhere after ",
        "2 of 2 processes have it",
        "weu-001/quick  yes",
        "weu-001/slow   yes",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    players.iter().for_each(|player| player.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_got_it_is_named_and_the_wait_ends() {
    let stamp = Stamp::start();
    let stuck = stamp.store().purge(&Purge::hard(Scope::All)).await.unwrap();
    let mut link = stamp.store().connect().await.unwrap();
    says(&mut link, "stuck\u{1b}[2J\nx", stuck).await;
    let player = reads(&stamp, "quick", Duration::ZERO);
    listed(&stamp, 2);
    let began = Instant::now();
    let ran = stamp.run("--all --wait --timeout 700ms -o json").code(3);
    assert!((700..5_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let report = ran.json();
    assert_eq!((&report["everywhere"], &report["passed"]), (&json!(false), &json!(["quick"])));
    assert_eq!(names(&report, "missing"), ["stuck?[2J?x"]);
    assert_eq!(report["missing"][0]["passed"], stuck.to_string());
    let id = report["id"].as_str().unwrap();
    ran.says(&[
        &format!("purge {id} is in the store, but after 700 ms 1 of 2 processes have not said that they have it"),
        "stuck?[2J?x",
    ]);
    let ran = stamp.run("--all --wait --timeout 0s").code(3);
    assert!(!format!("{}{}", ran.out, ran.err).contains('\u{1b}'), "{ran:?}");
    assert!(ran.out.contains(&format!("stuck?[2J?x  NO, it is at {stuck}, silent for ")), "{ran:?}");
    player.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reads_or_too_few_may_be_listed_nothing_is_proven() {
    let stamp = Stamp::start();
    let alone = "no process reads purges there: is it the [cache.store] of the stamp's proxies, and its key_prefix?";
    stamp.run("--all").code(0).says(&["warning: ", alone]);
    stamp.run("--all --wait --timeout 200ms").code(3).says(&[alone]);
    let player = reads(&stamp, "first", Duration::ZERO);
    let ran = stamp.run("--all --wait --timeout 1s").code(3);
    ran.says(&["list of processes is too young"]);
    // below another prefix it is another stamp's
    listed(&stamp, 1);
    stamp.run("--all --wait --timeout 5s").code(0);
    stamp.run("--all --wait --timeout 200ms --cache-key-prefix other").code(3).says(&[alone]);
    player.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let stamp = Stamp::start();
    let text = stamp.run("--all --soft --dry-run").code(0).out;
    assert!(text.contains("everything, of all tenants would be made stale") && text.contains("no process"), "{text}");
    let report = stamp.run("--tenant acme --wait --dry-run -o json").code(0).json();
    assert_eq!((&report["id"], &report["dry_run"]), (&json!(null), &json!(true)));
    assert_eq!(stamp.written().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_mean_no_purge_write_none() {
    let stamp = Stamp::start();
    let (path, host) = (format!("/{}", "x".repeat(8 << 10)), "a".repeat(262));
    let (prefix, tag, long) = (format!("/{}", "x".repeat(1 << 10)), "x".repeat(65), "/".repeat(100_000));
    for words in [
        // nothing, or half of it
        &[][..],
        &["--soft"],
        &["--wait"],
        &["--host", "a"],
        &["a.example/x"],
        &["--prefix", "/x"],
        &["--tag", "x"],
        &["/x", "--tenant", "acme"],
        &["a.example", "--tenant", "acme"],
        // an empty variable of a script is not everything of the tenant
        &["", "--tenant", "acme"],
        &["--prefix", "", "--tenant", "acme"],
        &["--tag", "", "--tenant", "acme"],
        &["--tenant", ""],
        &["--class", ""],
        &["/x", "--tenant", "acme", "--host", ""],
        // against each other
        &["--all", "--tenant", "acme"],
        &["--all", "--class", "pages"],
        &["--class", "pages", "--tenant", "acme"],
        &["--all", "--host", "a"],
        &["--tenant", "acme", "--host", "a"],
        &["--tenant", "acme", "--tag", "x", "--host", "a"],
        &["--tenant", "acme", "--tag", "x", "--prefix", "/x"],
        &["--tenant", "acme", "a/x", "--prefix", "/x"],
        &["--tenant", "acme", "a/x", "--host", "a"],
        &["--tenant", "acme", "a/x", "b/x"],
        &["--tenant", "acme", "--tenant", "other"],
        &["--all", "--wait", "--no-wait"],
        &["--all", "--timeout", "soon"],
        // too long
        &[&path, "--host", "a", "--tenant", "acme"],
        &["/x", "--host", &host, "--tenant", "acme"],
        &["--prefix", &prefix, "--tenant", "acme"],
        &["--tag", &tag, "--tenant", "acme"],
        &["--class", &tag],
        &[&long, "--tenant", "acme"],
        &["--tenant", &host],
        // what no request carries
        &["a/x\u{1b}[2J", "--tenant", "acme"],
        &["a\u{202e}/x", "--tenant", "acme"],
        &["a/é", "--tenant", "acme"],
        &["a/x#y", "--tenant", "acme"],
        &["me@a/x", "--tenant", "acme"],
        &["--prefix", "/x\ry", "--tenant", "acme"],
        &["--tag", "a,b", "--tenant", "acme"],
        &["--tag", "\u{7}", "--tenant", "acme"],
        &["--class", "\u{1b}[2J"],
        &["--all", "--cache-key-prefix", "a b"],
        &["--all", "--cache-key-prefix", ""],
    ] {
        let ran = stamp.args(words).code(2);
        let is_clean = !ran.err.contains(['\u{1b}', '\u{202e}', '\r', '\u{7}']);
        assert!(is_clean && ran.out.is_empty() && !ran.err.is_empty(), "{words:.40?}: {:?}", ran.err);
        assert!(
            ran.err.len() < 2_000 || words.iter().any(|word| *word == host),
            "{words:.40?}: {} bytes",
            ran.err.len()
        );
    }
    assert_eq!(stamp.written().await, []);
    // what just fits does
    stamp.args(&[&path[..8 << 10], "--host", &host[..261], "--tenant", "acme"]).code(0);
    stamp.args(&["--prefix", &prefix[..1 << 10], "--tenant", "acme"]).code(0);
    stamp.args(&["--tag", &tag[..64], "--tenant", "acme"]).code(0);
    assert!(stamp.written().await.iter().all(|entry| entry.reading.is_understood));
}
