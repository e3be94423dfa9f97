//! Quotas of tenants' own, as tables and settings come and go.

use std::path::Path;

use synaxis_ratelimit::local::Limiter;

use super::*;

const SECOND: u64 = 1_000_000_000;
const HEAD: &str = r#"
[stamp]
id = "synaxis-weu-001"
[[listeners]]
kind = "edge"
address = "127.0.0.1:8080"
trust_header = true
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
[user]
sources = [{ header = "x-user-id" }]
[tiers.starter]
requests = "4/h"
burst = 4
[tiers.gold]
requests = "unlimited"
"#;
const LIMITS: &str = r#"
[[rate_limits]]
name = "per-user"
key = ["tenant", "user"]
quota = "5/h"
burst = 5
[[rate_limits]]
name = "per-ip"
key = ["client_ip"]
quota = "9/h"
"#;

/// A process with its settings and its table.
struct Process {
    metrics: Metrics,
    buckets: Buckets,
    settings: Settings,
    limits: Limits,
    tenants: Option<Arc<Tenants>>,
    now: u64,
}

impl Process {
    fn start() -> Self {
        let (settings, metrics) = (settings(LIMITS), Metrics::new().unwrap());
        let buckets = Buckets::new([7; 32], &settings, None);
        let limits = Limits::new(&settings, None, (&buckets, &metrics), SECOND);
        Self { metrics, buckets, settings, limits, tenants: None, now: SECOND }
    }

    fn reload(&mut self, more: &str) {
        self.settings = settings(more);
        self.limits = Limits::new(&self.settings, Some(&self.limits), (&self.buckets, &self.metrics), self.now);
        self.settle();
    }

    /// Another table, in which these tenants are listed.
    fn table(&mut self, tenants: &str) {
        self.tenants = Some(Arc::new(serde_json::from_str(tenants).unwrap()));
        self.settle();
    }

    fn settle(&mut self) {
        self.limits = self.limits.with_tenants(&self.settings, self.tenants.as_ref(), self.now);
    }

    fn bound(&self, limit: &str, tenant: &str) -> Option<(&Limit, &Bound)> {
        let limit = self.limits.all().iter().find(|known| *known.name == *limit).unwrap();
        Some((limit, limit.bound(self.limits.terms(&id(tenant)))?))
    }

    fn limiter(&self, limit: &str, tenant: &str) -> *const Limiter {
        Arc::as_ptr(here(self.bound(limit, tenant).unwrap().1))
    }

    /// How many of so many requests of one user pass now.
    fn passed(&self, limit: &str, tenant: &str, count: usize) -> usize {
        let Some((limit, bound)) = self.bound(limit, tenant) else { return count };
        let parts: &[&[u8]] = if limit.key.contains(&LimitKey::User) { &[b"ada"] } else { &[] };
        let key = limit.keys.key(limit.holder(self.buckets.secret.tenant(tenant)), parts);
        (0..count).filter(|_| here(bound).decide(key, self.now).is_allowed()).count()
    }

    fn quota(&self, limit: &str, tenant: &str) -> Option<(String, QuotaOf)> {
        let (limit, bound) = self.bound(limit, tenant)?;
        Some((bound.quota().to_string(), limit.quota_of(self.limits.terms(&id(tenant)))))
    }
}

fn here(bound: &Bound) -> &Arc<Limiter> {
    let Counting::Here(limiter) = &bound.counting else { panic!("the fleet counts") };
    limiter
}

fn settings(more: &str) -> Settings {
    synaxis_config::load(&format!("{HEAD}{more}"), Path::new("test.toml")).unwrap_or_else(|faults| panic!("{faults}")).0
}

fn id(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

fn of(quota: &str, whose: QuotaOf) -> Option<(String, QuotaOf)> {
    Some((quota.to_owned(), whose))
}

#[test]
fn a_quota_of_a_tenants_own_stands_in_place_of_its_tiers_and_of_the_limits() {
    let mut process = Process::start();
    process.table(
        r#"{"acme":{"limits":{"tenant":"6/h,burst=6","per-user":"7/h,burst=7","per-ip":"1/h","gone":"1/h"}},
            "rich":{"tier":"gold","limits":{"tenant":"3/h,burst=3"}},"free":{"tier":"gold"}}"#,
    );
    assert_eq!(process.quota("tenant", "acme"), of("6/h,burst=6", QuotaOf::Tenant));
    assert_eq!(process.quota("per-user", "acme"), of("7/h,burst=7", QuotaOf::Tenant));
    assert_eq!(process.quota("tenant", "other"), of("4/h,burst=4", QuotaOf::Tier));
    assert_eq!(process.quota("per-user", "other"), of("5/h,burst=5", QuotaOf::Limit));
    // also where its tier has any number
    assert_eq!(process.quota("tenant", "rich"), of("3/h,burst=3", QuotaOf::Tenant));
    assert_eq!(process.quota("tenant", "free"), None);
    // who is counted together with others has no quota of its own
    assert_eq!(process.quota("per-ip", "acme"), of("9/h", QuotaOf::Limit));
    assert!(process.limits.takes_quotas("per-user") && process.limits.takes_quotas("tenant"));
    assert!(!process.limits.takes_quotas("per-ip") && !process.limits.takes_quotas("gone"));
    // what a process begins with is full
    assert_eq!([process.passed("tenant", "acme", 9), process.passed("per-user", "acme", 9)], [6, 7]);
    assert_eq!([process.passed("tenant", "rich", 9), process.passed("tenant", "other", 9)], [3, 4]);
}

#[test]
fn what_is_spent_stays_spent_when_a_quota_comes_changes_and_goes() {
    let mut process = Process::start();
    process.table("{}");
    assert_eq!(process.passed("tenant", "acme", 3), 3);
    process.table(r#"{"acme":{"limits":{"tenant":"6/h,burst=6"}}}"#);
    // one was left; what the bucket has grown by comes at its own pace
    assert_eq!(process.passed("tenant", "acme", 9), 1);
    process.table(r#"{"acme":{"limits":{"tenant":"8/h,burst=2"}}}"#);
    assert_eq!(process.passed("tenant", "acme", 9), 0);
    process.table("{}");
    assert_eq!(
        (process.quota("tenant", "acme"), process.passed("tenant", "acme", 9)),
        (of("4/h,burst=4", QuotaOf::Tier), 0)
    );
}

#[test]
fn nobody_gets_a_fresh_bucket_who_has_no_cell_because_it_was_full() {
    let mut process = Process::start();
    process.table("{}");
    // it comes: four were there, and two are missing
    process.table(r#"{"acme":{"limits":{"tenant":"6/h,burst=6","per-user":"2/h,burst=2"}}}"#);
    assert_eq!(process.passed("tenant", "acme", 9), 4);
    // another tenant comes to it when the first one has all of it
    process.now += 7 * 3_600 * SECOND;
    process.table(
        r#"{"acme":{"limits":{"tenant":"6/h,burst=6","per-user":"2/h,burst=2"}},"other":{"limits":{"tenant":"6/h,burst=6"}}}"#,
    );
    assert_eq!([process.passed("tenant", "acme", 9), process.passed("tenant", "other", 9)], [6, 4]);
    // it goes
    process.table(r#"{"acme":{"limits":{"tenant":"6/h,burst=6"}}}"#);
    assert_eq!(process.quota("per-user", "acme"), of("5/h,burst=5", QuotaOf::Limit));
    assert_eq!([process.passed("per-user", "acme", 9), process.passed("per-user", "other", 9)], [2, 5]);
    // and with all that the tenant was listed for
    process.now += 24 * 3_600 * SECOND;
    process.buckets.cells.sweep(Cells::SHARDS, process.now);
    process.table(r#"{"acme":{"limits":{"per-user":"1/h"}}}"#);
    process.table("{}");
    assert_eq!(process.passed("per-user", "acme", 9), 1);
    // until it has come back
    process.now += 24 * 3_600 * SECOND;
    process.table(r#"{"other":{}}"#);
    assert_eq!(process.limiter("per-user", "acme"), process.limiter("per-user", "other"));
}

#[test]
fn tenants_with_the_same_quota_share_a_limiter() {
    let mut process = Process::start();
    let listed = |quota: fn(usize) -> usize| -> String {
        let entry = |at| format!("\"t{at}\":{{\"limits\":{{\"per-user\":\"{}/h\"}}}}", quota(at));
        format!("{{{}}}", (0..1_000).map(entry).collect::<Vec<_>>().join(","))
    };
    let limiters = |process: &Process| -> usize {
        let all = (0..1_000).map(|at| process.limiter("per-user", &format!("t{at}")));
        all.collect::<std::collections::HashSet<_>>().len()
    };
    process.table(&listed(|at| 10 + at % 3));
    assert_eq!(limiters(&process), 3);
    // by the one that counted before, while that tells: 0 of 10, 1 of 11, 2 of 12
    process.table(&listed(|at| 1_000 + at % 2));
    assert_eq!(limiters(&process), 6);
    process.now += 24 * 3_600 * SECOND;
    process.table(&listed(|at| if at == 0 { 7 } else { 1_000 + at % 2 }));
    assert_eq!(limiters(&process), 3);
}

#[test]
fn the_same_table_and_settings_make_nothing_anew_and_a_reload_keeps_what_counts() {
    let mut process = Process::start();
    process.table(r#"{"acme":{"limits":{"per-user":"7/h,burst=7"}}}"#);
    let before = process.limiter("per-user", "acme");
    assert_eq!(process.passed("per-user", "acme", 3), 3);
    process.settle();
    assert_eq!(process.limiter("per-user", "acme"), before);
    // limits change places, and one of them its own quota
    process.reload(
        "[[rate_limits]]\nname = \"first\"\nkey = [\"tenant\"]\nquota = \"1/h\"\n[[rate_limits]]\nname = \"per-user\"\nkey = \
         [\"tenant\", \"user\"]\nquota = \"50/h\"\n",
    );
    assert_eq!(
        (process.limiter("per-user", "acme"), process.quota("first", "acme")),
        (before, of("1/h", QuotaOf::Limit))
    );
    assert_eq!(process.passed("per-user", "acme", 9), 4);
    // a limit that goes and comes back, with the table as it is
    process.reload("");
    process.reload(LIMITS);
    assert_eq!(process.quota("per-user", "acme"), of("7/h,burst=7", QuotaOf::Tenant));
    assert_eq!(process.passed("per-user", "acme", 9), 0);
}
