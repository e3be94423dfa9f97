//! The cache of new settings: classes change at once and are compared by name; the memory is as much as at the start.

use super::Found;
use crate::settings::{Cache, CacheClass, CacheStore, Settings};

pub(super) fn compare(running: &Settings, wanted: &mut Settings, found: &mut Found) {
    compare!(found, "cache", running.cache => wanted.cache, Cache {
        now: [tenant_share, collapse_wait, uncacheable, status, default_no_store],
        restart: [memory],
        apart: [classes, store]
    });
    match (&running.cache.store, &mut wanted.cache.store) {
        (Some(old), Some(new)) => {
            compare!(found, "cache.store", old => new, CacheStore {
                now: [],
                restart: [url, key_prefix, key, deadline, value_bytes, queue_max, queue_bytes],
                apart: []
            });
        }
        (None, None) => {}
        (old, new) => {
            found.pending.push("cache.store".into());
            new.clone_from(old);
        }
    }
    for old in &running.cache.classes {
        let section = format!("cache.classes.{}", old.name);
        match wanted.cache.classes.iter().find(|class| class.name == old.name) {
            Some(new) => compare!(found, section, old => new, CacheClass {
                now: [
                    preset, ttl, store_ttl, default_ttl, heuristic, stale_while_revalidate, stale_if_error, body_bytes, entries_max,
                    authorization, request_directives
                ],
                restart: [],
                apart: [name]
            }),
            None => found.applied.push(section),
        }
    }
    let is_new = |class: &&CacheClass| !running.cache.classes.iter().any(|old| old.name == class.name);
    let new = wanted.cache.classes.iter().filter(is_new);
    found.applied.extend(new.map(|class| format!("cache.classes.{}", class.name)));
}

/// The name of the class that a route asks for; a position means nothing when classes came or went.
pub(super) fn of_route(settings: &Settings, position: Option<usize>) -> Option<&str> {
    settings.cache.classes.get(position?).map(|class| class.name.as_str())
}
