//! Limits, tiers and their store: what follows from what is written, and what does from what is not.

use std::{fs, path::Path, time::Duration};

use synaxis_config::{
    Environment, Settings, load, load_with,
    print::effective,
    settings::{
        LimitFields, LimitKey, LimitMode, LimitScope, LimitsStore, OnStoreFailure, Quotas, RateLimiting, StoreUrl, User,
    },
};
use synaxis_ratelimit::quota::Quota;

const MINIMAL: &str = include_str!("../../examples/minimal.toml");
const FULL: &str = include_str!("../../examples/full.toml");
const STORE: &str = "[limits_store]\nurl = 'redis://127.0.0.1:6379/2'\n";
const SHARE: LimitScope = LimitScope::Fleet { on_store_failure: OnStoreFailure::Share };

fn quota(requests: u32, seconds: u64, burst: u32) -> Quota {
    Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap_or_else(|error| panic!("{error}"))
}

/// The smallest file and some more, with what is said of it.
fn loaded(more: &str) -> (Settings, Vec<String>) {
    let text = format!("{MINIMAL}\n{more}");
    let (settings, warnings) = load(&text, Path::new("f.toml")).unwrap_or_else(|faults| panic!("{faults}\n{more}"));
    (settings, warnings.into_iter().map(|warning| warning.message).collect())
}

fn settings(more: &str) -> Settings {
    loaded(more).0
}

/// A file with one limit of these keys, which the only route asks for.
fn limit(keys: &str) -> String {
    let route = "[[routes]]\nname = 'all'\npath_prefix = '/'\nupstream = 'app'\nrate_limits = ['a']\n";
    format!("{route}[[rate_limits]]\nname = 'a'\n{keys}\n")
}

#[test]
fn without_limits_nothing_is_limited_and_users_are_not_told_apart() {
    let (settings, warnings) = loaded("");
    assert_eq!((settings.tiers.len(), settings.rate_limits.len(), warnings.len()), (0, 0, 0));
    assert_eq!((&settings.user, &settings.limits_store, settings.tenant.tier), (&None, &None, None));
    assert_eq!((settings.tenant_limit(), settings.tier(Some("starter"))), (None, None));
    assert!(settings.routes[0].tier_limit && settings.routes[0].rate_limits.is_empty());
    let common = RateLimiting {
        keys_max: 1_000_000,
        tenant_keys_max: 20_000,
        headers: LimitFields::None,
        legacy_headers: false,
        top_tenants: 10,
    };
    assert_eq!(settings.rate_limiting, common);
    assert_eq!(self::settings("[rate_limiting]\nkeys_max = 2000").rate_limiting.tenant_keys_max, 2000);
}

#[test]
fn the_full_file_says_what_is_counted_and_by_whom() {
    let settings = load(FULL, Path::new("f.toml")).unwrap_or_else(|faults| panic!("{faults}")).0;
    let [starter, enterprise] = settings.tiers.as_slice() else { panic!("{:?}", settings.tiers) };
    assert_eq!((starter.name.as_str(), starter.requests), ("starter", Some(quota(500, 60, 50))));
    assert_eq!((enterprise.name.as_str(), enterprise.requests), ("enterprise", None));
    let [user, address] = settings.rate_limits.as_slice() else { panic!("{:?}", settings.rate_limits) };
    assert_eq!((user.name.as_str(), user.key.as_slice()), ("per-user", &[LimitKey::Tenant, LimitKey::User][..]));
    assert_eq!(user.quota, Quotas::PerTier(vec![Some(quota(100, 60, 10)), Some(quota(1000, 60, 200))]));
    assert_eq!(user.candidate, Some(Quotas::Same(quota(400, 60, 40))));
    assert_eq!((user.mode, user.scope), (LimitMode::Enforce, SHARE));
    assert_eq!((address.key.as_slice(), address.scope), (&[LimitKey::ClientIp][..], LimitScope::Local));
    assert_eq!((&address.quota, &address.candidate), (&Quotas::Same(quota(50, 1, 50)), &None));
    assert_eq!(settings.routes[0].rate_limits, [0, 1]);
    assert_eq!(settings.user, Some(User { header: "x-user-id".parse().unwrap() }));
    let store = LimitsStore {
        url: StoreUrl::parse("redis://127.0.0.1:6379/2").unwrap(),
        key_prefix: "synaxis".to_owned(),
        processes_max: 8,
        deadline: Duration::from_millis(5),
        denies_max: 10_000,
    };
    assert_eq!(settings.limits_store, Some(store));
    let tenant = settings.tenant_limit().unwrap();
    assert_eq!((tenant.name.as_str(), tenant.key.as_slice(), tenant.scope), ("tenant", &[LimitKey::Tenant][..], SHARE));
    assert_eq!([Some(0), Some(1), None].map(|tier| tenant.quota.of(tier)), [starter.requests, None, None]);
}

#[test]
fn a_tenant_without_a_known_tier_has_that_of_the_file_or_starter() {
    let tiers = |names: [&str; 2]| names.map(|name| format!("[tiers.{name}]\nrequests = '5/s'\n")).concat();
    for (tenant, names, expected, warnings) in [
        ("", ["free", "starter"], Some(1), 0),
        ("[tenant]\ntier = 'free'\n", ["free", "starter"], Some(0), 0),
        ("[tenant]\ntier = 'paid'\n", ["free", "paid"], Some(1), 0),
        ("", ["free", "paid"], None, 1),
    ] {
        let (settings, said) = loaded(&format!("{tenant}{}", tiers(names)));
        assert_eq!(settings.tenant.tier, expected, "{tenant}{names:?}");
        assert_eq!([None, Some("gold")].map(|tier| settings.tier(tier)), [expected; 2]);
        assert_eq!(settings.tier(Some("free")), Some(0));
        assert_eq!(said.len(), warnings, "{said:?}");
    }
}

#[test]
fn the_fleet_counts_what_it_can_unless_told_otherwise() {
    for (store, keys, expected) in [
        ("", "key = ['tenant']", LimitScope::Local),
        ("", "key = ['tenant']\nscope = 'local'", LimitScope::Local),
        (STORE, "key = ['tenant']", SHARE),
        (STORE, "key = ['tenant']\nscope = 'fleet'", SHARE),
        (
            STORE,
            "key = ['route', 'tenant']\non_store_failure = 'open'",
            LimitScope::Fleet { on_store_failure: OnStoreFailure::Open },
        ),
        (STORE, "key = ['tenant']\nscope = 'local'", LimitScope::Local),
        (STORE, "key = ['client_ip', 'header:X-A']", LimitScope::Local),
    ] {
        let settings = settings(&format!("{}{store}", limit(&format!("{keys}\nquota = '10/s'"))));
        assert_eq!(settings.rate_limits[0].scope, expected, "{store}{keys}");
    }
    let tiers = "[tiers.starter]\nrequests = '5/s'\n";
    for (store, expected) in [("", LimitScope::Local), (STORE, SHARE)] {
        assert_eq!(settings(&format!("{tiers}{store}")).tenant_limit().unwrap().scope, expected);
    }
    assert_eq!(settings(&tiers.replace("5/s", "unlimited")).tenant_limit(), None);
}

#[test]
fn a_burst_is_a_tenth_unless_written() {
    for (keys, expected) in [
        ("quota = '500/min'", Quotas::Same(quota(500, 60, 50))),
        ("quota = '5/min'", Quotas::Same(quota(5, 60, 1))),
        ("quota = '10/30s'\nburst = 10", Quotas::Same(quota(10, 30, 10))),
        (
            "quota = { b = '1/d', a = { quota = '100/h' } }",
            Quotas::PerTier(vec![Some(quota(100, 3600, 10)), Some(quota(1, 86_400, 1))]),
        ),
        (
            "[rate_limits.quota]\na = 'unlimited'\n[rate_limits.quota.b]\nquota = '9/s'\nburst = 3",
            Quotas::PerTier(vec![None, Some(quota(9, 1, 3))]),
        ),
    ] {
        let tiers = "[tiers.a]\nrequests = '1/s'\n[tiers.b]\nrequests = '1/s'\n[tenant]\ntier = 'a'\n";
        for (key, burst) in [("quota", "burst"), ("candidate", "candidate_burst")] {
            let keys = match key {
                "quota" => keys.to_owned(),
                _ => {
                    let keys =
                        keys.replacen("quota", key, 1).replace("[rate_limits.quota.b]", "[rate_limits.candidate.b]");
                    format!("quota = '1/s'\n{}", keys.replace("\nburst = 10", &format!("\n{burst} = 10")))
                }
            };
            let settings = settings(&format!("{tiers}{}", limit(&format!("key = ['tenant']\n{keys}"))));
            let one = &settings.rate_limits[0];
            let read = if key == "quota" { Some(&one.quota) } else { one.candidate.as_ref() };
            assert_eq!(read, Some(&expected), "{keys}");
        }
    }
}

#[test]
fn what_is_printed_of_limits_loads_again_to_the_same() {
    let tiers = "[tiers.a]\nrequests = '7/90s'\nburst = 7\n[tiers.b]\nrequests = 'unlimited'\n";
    let table = "key = ['tenant', 'header:X-A']\ncandidate = { a = 'unlimited', b = { quota = '8/d', burst = 8 } }";
    for text in [
        format!("{tiers}{}", limit(&format!("{table}\nquota = {{ b = '3/1500ms', a = '1/h' }}\nmode = 'shadow'"))),
        format!(
            "{tiers}[tenant]\ntier = 'b'\n[user]\n{STORE}{}",
            limit("key = ['user', 'tenant']\nquota = '6/s'\non_store_failure = 'open'")
        ),
        format!("{STORE}{}", limit("key = ['tenant']\nquota = '6/s'\nscope = 'local'")),
        "[rate_limiting]\nheaders = 'draft'\nlegacy_headers = true\ntenant_keys_max = 1\ntop_tenants = 0\n".to_owned(),
    ] {
        let before = settings(&text);
        let printed = effective(&before);
        let after = load(&printed, Path::new("f.toml")).unwrap_or_else(|faults| panic!("{faults}\n{printed}")).0;
        assert_eq!(after, before, "{printed}");
    }
}

#[test]
fn what_came_from_the_environment_is_printed_as_where_it_came_from() {
    let text = format!(
        "{MINIMAL}\n{}[tiers.a]\nrequests = '${{QUOTA}}'\n[tiers.b]\nrequests = '${{FREE}}'\n[tenant]\ntier = '${{TIER}}'\n",
        limit(
            "key = ['tenant']\nquota = { a = { quota = '${QUOTA}', burst = 2 }, b = '${QUOTA}' }\ncandidate = '${QUOTA}'"
        )
    );
    let environment: Environment = [("QUOTA", "77/min"), ("FREE", "unlimited"), ("TIER", "a")].into_iter().collect();
    let loaded = load_with(&text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
    let printed = effective(&loaded.settings);
    assert_eq!(loaded.settings.tiers[0].requests, Some(quota(77, 60, 7)));
    for line in [
        "requests = \"${QUOTA}\"\nburst = 7",
        "requests = \"${FREE}\"\n# burst is not set",
        "tier = \"${TIER}\"",
        "quota = { a = { quota = \"${QUOTA}\", burst = 2 }, b = { quota = \"${QUOTA}\", burst = 7 } }",
        "candidate = \"${QUOTA}\"\ncandidate_burst = 7",
    ] {
        assert!(printed.contains(line), "{line} is missing in {printed}");
    }
    assert!(!printed.contains("77"), "{printed}");
    let again = load_with(&printed, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(effective(&again.settings), printed);
}

#[test]
fn the_store_of_limits_may_hold_a_password_that_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits-url");
    fs::write(&path, "rediss://:s3cret@h:1/0\n").unwrap();
    let environment: Environment = [("URL", "rediss://:s3cret@h:1/0"), ("PASSWORD", "s3cret")].into_iter().collect();
    let file = format!("url_file = \"{}\"", path.display());
    let url = "url = \"redis://127.0.0.1:6379/2\"";
    for (written, shown) in [
        (file.as_str(), file.as_str()),
        ("url = \"${URL}\"", "url = \"${URL}\""),
        ("url = \"rediss://:${PASSWORD}@h:1/0\"", "url = \"***\" # not shown"),
        ("url = \"rediss://:s3cret@h:1/0\"", "url = \"rediss://***@h:1/0\" # ***"),
    ] {
        assert!(FULL.contains(url));
        let text = FULL.replacen(url, written, 1);
        let loaded = load_with(&text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
        let store = loaded.settings.limits_store.as_ref().unwrap();
        assert_eq!(store.url.expose(), "rediss://:s3cret@h:1/0");
        assert_eq!(loaded.files.contains(&path), written == file, "{written}");
        let said = format!("{} {loaded:?} {store:?}", effective(&loaded.settings));
        assert!(said.contains(shown) && !said.contains("s3cret"), "{said}");
    }
    for wrong in ["memory:", "file:/s3cret", "http://:s3cret@h:1", "redis://:s3cret#x@h:1", "s3cret"] {
        fs::write(&path, wrong).unwrap();
        let faults = load_with(&FULL.replacen(url, &file, 1), Path::new("f.toml"), &environment).unwrap_err();
        let (said, expected) = (faults.to_string(), format!("[limits_store]: what {} holds: ", path.display()));
        assert!(said.contains(&expected) && said.lines().count() == 1 && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_name_from_the_environment_is_no_suggestion() {
    let environment: Environment = [("NAME", "s3cret")].into_iter().collect();
    for asked in ["s3cre", "other"] {
        let text = format!("{MINIMAL}\n{}", limit("key = ['tenant']\nquota = '1/s'"));
        let text = text.replace("['a']", &format!("['{asked}']")).replace("name = 'a'\nkey", "name = '${NAME}'\nkey");
        let said = load_with(&text, Path::new("f.toml"), &environment).unwrap_err().to_string();
        assert!(said.contains("`rate_limits` in [[routes]]: no limit") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn as_many_tiers_and_limits_as_are_allowed_load_soon() {
    let names: Vec<String> = (0..16).map(|i| format!("t{i}")).collect();
    let tiers: String = names.iter().map(|name| format!("[tiers.{name}]\nrequests = '9/s'\n")).collect();
    let table =
        names.iter().map(|name| format!("{name} = {{ quota = '9/s', burst = 2 }}")).collect::<Vec<_>>().join(", ");
    let one = |i: usize| format!("[[rate_limits]]\nname = 'l{i}'\nkey = ['tenant']\nquota = {{ {table} }}\n");
    let limits: String = (0..32).map(one).collect();
    let asked = (24..32).map(|i| format!("'l{i}'")).collect::<Vec<_>>().join(", ");
    let route = |i: usize| {
        format!("[[routes]]\nname = 'r{i}'\npath_prefix = '/{i}'\nupstream = 'app'\nrate_limits = [{asked}]\n")
    };
    let routes: String = (0..1024).map(route).collect();
    let start = std::time::Instant::now();
    let settings = settings(&format!("{tiers}{limits}{routes}"));
    assert_eq!(settings.routes[1023].rate_limits, (24..32).collect::<Vec<_>>());
    assert_eq!(settings.rate_limits[31].quota.of(Some(15)), Some(quota(9, 1, 2)));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
