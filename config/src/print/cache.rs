//! `[cache]` and `[cache.classes.NAME]` of the effective settings.

use serde_json::json;

use super::{NOT_SHOWN, Page, size};
use crate::{
    settings::{Cache, CacheClass, CacheStore},
    units::show_duration,
};

pub(super) fn cache(page: &mut Page<'_>, one: &Cache) {
    let Cache { memory, tenant_share, collapse_wait, uncacheable, status, default_no_store, classes, store } = one;
    page.section("[cache]", "cache");
    page.key("memory", size(*memory));
    page.key("tenant_share", json!(tenant_share));
    page.duration("collapse_wait", *collapse_wait);
    page.duration("uncacheable", *uncacheable);
    page.key("status", json!(status));
    page.key("default_no_store", json!(default_no_store));
    if let Some(CacheStore { url, key_prefix, key, deadline, value_bytes, queue_max, queue_bytes }) = store {
        page.section("[cache.store]", "cache.store");
        page.secret("url", "url_file", &url.to_string());
        page.key("key_prefix", json!(key_prefix));
        match key {
            Some(_) => page.secret("key", "key_file", NOT_SHOWN),
            None => page.maybe("key", None),
        }
        page.duration("deadline", *deadline);
        page.key("value_bytes", size(*value_bytes));
        page.key("queue_max", json!(queue_max));
        page.key("queue_bytes", size(*queue_bytes));
    }
    for one in classes {
        class(page, one);
    }
}

fn class(page: &mut Page<'_>, one: &CacheClass) {
    let CacheClass {
        name,
        preset,
        ttl,
        store_ttl,
        default_ttl,
        heuristic,
        stale_while_revalidate,
        stale_if_error,
        body_bytes,
        entries_max,
        authorization,
        request_directives,
    } = one;
    let path = format!("cache.classes.{name}");
    page.section(&format!("[{path}]"), &path);
    page.key("preset", json!(preset.as_str()));
    page.duration("ttl", *ttl);
    page.duration("store_ttl", *store_ttl);
    page.maybe("default_ttl", default_ttl.map(|ttl| json!(show_duration(ttl))));
    page.key("heuristic", json!(heuristic));
    page.duration("stale_while_revalidate", *stale_while_revalidate);
    page.duration("stale_if_error", *stale_if_error);
    page.key("body_bytes", size(*body_bytes));
    page.maybe("entries_max", entries_max.map(|most| json!(most)));
    page.key("authorization", json!(authorization.as_str()));
    page.key("request_directives", json!(request_directives));
}
