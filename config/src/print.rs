//! The settings as run, as a file that loads again to the same settings.
//!
//! Invariant: no secret is in it. What came from the environment stands there as `${NAME}`, what came from a file of a
//! secret as that file; a secret of the file itself as `***`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    settings::{Admin, Failover, HeaderEdits, Listener, ListenerKind, OnMissing, Output, Route, Routing, Settings},
    source::{Origin, Origins},
    units::{show_duration, show_size},
};

mod cache;
mod degradation;
mod rate_limits;
mod targets;

const NOT_SHOWN: &str = "***";

/// Settings as TOML, every default filled in. It loads again to equal settings where it says nothing of `***`.
#[must_use]
pub fn effective(settings: &Settings) -> String {
    let Settings {
        stamp,
        server,
        listeners,
        admin,
        routing,
        tenant,
        user,
        routes,
        tiers,
        rate_limits: limits_of_routes,
        rate_limiting,
        limits_store,
        cache,
        upstreams,
        peers,
        retries,
        dependencies,
        degradation,
        access_log,
        limits,
        timeouts,
        shutdown,
        origins,
    } = settings;
    let mut page = Page { text: String::new(), at: String::new(), origins };
    page.section("[stamp]", "stamp");
    page.key("id", json!(stamp.id.as_str()));
    page.section("[server]", "server");
    page.key("workers", json!(server.workers));
    page.key("connections_max", json!(server.connections_max));
    page.key("peer_connections_max", json!(server.peer_connections_max));
    page.key("connections_reserve", json!(server.connections_reserve));
    page.maybe("connections_per_address", server.connections_per_address.map(|most| json!(most)));
    page.maybe("memory_high", server.memory_high.map(size));
    for (index, one) in listeners.iter().enumerate() {
        listener(&mut page, index, one);
    }
    page.section("[admin]", "admin");
    let Admin { address, token, hosts } = admin;
    page.key("address", json!(address));
    match token {
        Some(_) => page.secret("token", "token_file", NOT_SHOWN),
        None => page.maybe("token", None),
    }
    page.list("hosts", hosts);
    if let Some(one) = routing {
        self::routing(&mut page, one);
    }
    page.section("[[tenant.sources]]", "tenant.sources.0");
    page.key("header", json!(tenant.header.as_str()));
    page.section("[tenant]", "tenant");
    page.key(
        "on_missing",
        json!(match tenant.on_missing {
            OnMissing::Reject => "reject",
        }),
    );
    page.maybe("tier", tenant.tier.and_then(|tier| tiers.get(tier)).map(|tier| json!(tier.name)));
    if let Some(user) = user {
        page.section("[[user.sources]]", "user.sources.0");
        page.key("header", json!(user.header.as_str()));
    }
    for (index, one) in routes.iter().enumerate() {
        route(&mut page, index, one, settings);
    }
    for one in tiers {
        rate_limits::tier(&mut page, one);
    }
    for (index, one) in limits_of_routes.iter().enumerate() {
        rate_limits::rate_limit(&mut page, index, one, tiers);
    }
    rate_limits::rate_limiting(&mut page, rate_limiting);
    if let Some(one) = limits_store {
        rate_limits::limits_store(&mut page, one);
    }
    cache::cache(&mut page, cache);
    for one in upstreams {
        targets::upstream(&mut page, one);
    }
    targets::peers(&mut page, peers);
    targets::retries(&mut page, retries);
    for one in dependencies {
        degradation::dependency(&mut page, one, upstreams);
    }
    degradation::degradation(&mut page, degradation);
    page.section("[access_log]", "access_log");
    page.key("output", json!(output(&access_log.output)));
    page.key("sample", json!(access_log.sample));
    page.key("queue", json!(access_log.queue));
    page.section("[limits]", "limits");
    page.key("head_bytes", size(limits.head_bytes as u64));
    page.key("uri_bytes", size(limits.uri_bytes as u64));
    page.key("fields", json!(limits.fields));
    page.key("body_bytes", size(limits.body_bytes));
    page.key("upload_rate", size(limits.upload_rate));
    page.key("unsent_bytes", size(limits.unsent_bytes as u64));
    page.section("[timeouts]", "timeouts");
    for (key, time) in [
        ("connect", timeouts.connect),
        ("head", timeouts.head),
        ("first_byte", timeouts.first_byte),
        ("upload_idle", timeouts.upload_idle),
        ("upload_grace", timeouts.upload_grace),
        ("body_idle", timeouts.body_idle),
        ("write_stall", timeouts.write_stall),
        ("tunnel_idle", timeouts.tunnel_idle),
        ("linger", timeouts.linger),
        ("idle", timeouts.idle),
        ("upstream_idle", timeouts.upstream_idle),
    ] {
        page.duration(key, time);
    }
    page.section("[shutdown]", "shutdown");
    page.duration("lame_duck", shutdown.lame_duck);
    page.duration("drain", shutdown.drain);
    page.duration("flush", shutdown.flush);
    page.duration("client_keepalive", shutdown.client_keepalive);
    page.duration("tunnels", shutdown.tunnels);
    page.text
}

fn listener(page: &mut Page<'_>, index: usize, one: &Listener) {
    let Listener { kind, address, trust_header, health_path } = one;
    page.section("[[listeners]]", &format!("listeners.{index}"));
    let is_edge = *kind == ListenerKind::Edge;
    page.key("kind", json!(if is_edge { "edge" } else { "peer" }));
    page.key("address", json!(address));
    if is_edge {
        page.key("trust_header", json!(trust_header));
        page.key("health_path", json!(health_path));
    }
}

fn routing(page: &mut Page<'_>, one: &Routing) {
    let Routing { store, key_prefix, snapshot, failover, bootstrap, endpoints, poll, ack } = one;
    page.section("[routing]", "routing");
    page.secret("store", "store_file", &store.to_string());
    page.key("key_prefix", json!(key_prefix));
    page.maybe("snapshot", snapshot.as_ref().map(|path| json!(path.to_string_lossy())));
    page.key(
        "failover",
        json!(match failover {
            Failover::NextRank => "next-rank",
            Failover::FailFast => "fail-fast",
        }),
    );
    page.list("bootstrap", bootstrap);
    page.duration("poll", *poll);
    page.duration("ack", *ack);
    page.section("[routing.endpoints]", "routing.endpoints");
    page.list("schemes", &endpoints.schemes);
    page.list("hosts", &endpoints.hosts);
    page.list("networks", &endpoints.networks);
    page.key("ports", json!(endpoints.ports));
}

fn route(page: &mut Page<'_>, index: usize, one: &Route, settings: &Settings) {
    let Route {
        name,
        host,
        path_prefix,
        methods,
        headers,
        upstream,
        timeout,
        attempt_timeout,
        total,
        idempotency_key,
        class,
        body_bytes,
        websocket,
        tier_limit,
        rate_limits,
        cache,
        request_headers,
        response_headers,
    } = one;
    let at = format!("routes.{index}");
    page.section("[[routes]]", &at);
    page.key("name", json!(name));
    page.maybe("host", host.as_ref().map(|host| json!(host.to_string())));
    page.key("path_prefix", json!(path_prefix));
    match methods.is_empty() {
        true => page.maybe("methods", None),
        false => page.list("methods", methods),
    }
    page.key("upstream", json!(settings.upstreams.get(*upstream).map_or("", |upstream| upstream.name.as_str())));
    page.duration("timeout", *timeout);
    page.duration("attempt_timeout", *attempt_timeout);
    page.maybe("total", total.map(|total| json!(show_duration(total))));
    page.key("idempotency_key", json!(idempotency_key));
    page.key("class", json!(class.as_str()));
    page.key("body_bytes", size(*body_bytes));
    page.key("websocket", json!(websocket));
    page.key("tier_limit", json!(tier_limit));
    let limits = rate_limits.iter().filter_map(|position| settings.rate_limits.get(*position));
    page.list("rate_limits", &limits.map(|limit| &limit.name).collect::<Vec<_>>());
    page.maybe("cache", cache.and_then(|class| settings.cache.classes.get(class)).map(|class| json!(class.name)));
    for (position, field) in headers.iter().enumerate() {
        page.section("[[routes.headers]]", &format!("{at}.headers.{position}"));
        page.key("name", json!(field.name.as_str()));
        match field.value {
            Some(_) => page.line(&format!("value = \"{NOT_SHOWN}\" # not shown, as it may be a secret")),
            None => page.maybe("value", None),
        }
    }
    for (key, edits) in [("request_headers", request_headers), ("response_headers", response_headers)] {
        let HeaderEdits { remove, set, add } = edits;
        page.section(&format!("[routes.{key}]"), &format!("{at}.{key}"));
        page.list("remove", remove);
        for (key, fields) in [("set", set), ("add", add)] {
            let fields: Vec<String> = fields.iter().map(|(name, _)| format!("\"{name}\" = \"{NOT_SHOWN}\"")).collect();
            match fields.is_empty() {
                true => page.line(&format!("{key} = {{}}")),
                false => page.line(&format!(
                    "{key} = {{ {} }} # values are not shown, as they may be secrets",
                    fields.join(", ")
                )),
            }
        }
    }
}

pub(crate) fn output(output: &Output) -> String {
    match output {
        Output::Stdout => "stdout".to_owned(),
        Output::Off => "off".to_owned(),
        Output::File(path) => path.to_string_lossy().into_owned(),
    }
}

fn size(bytes: u64) -> Value {
    match show_size(bytes) {
        plain if plain.bytes().all(|b| b.is_ascii_digit()) => json!(bytes),
        with_unit => json!(with_unit),
    }
}

/// A value as TOML on one line; `null`, which TOML does not have, is empty.
pub(crate) fn toml_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => toml::Value::try_from(value).map_or_else(|_| String::new(), |value| value.to_string()),
    }
}

struct Page<'s> {
    text: String,
    /// The place of the section that is written: `listeners.0`.
    at: String,
    origins: &'s Origins,
}

impl Page<'_> {
    fn section(&mut self, title: &str, at: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(title);
        at.clone_into(&mut self.at);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn key(&mut self, key: &str, value: Value) {
        let value = self.written(&format!("{}.{key}", self.at), value);
        self.line(&format!("{key} = {}", toml_text(&value)));
    }

    fn duration(&mut self, key: &str, duration: Duration) {
        self.key(key, json!(show_duration(duration)));
    }

    fn maybe(&mut self, key: &str, value: Option<Value>) {
        match value {
            Some(value) => self.key(key, value),
            None => self.line(&format!("# {key} is not set")),
        }
    }

    fn list<T: ToString>(&mut self, key: &str, entries: &[T]) {
        let place = |index| format!("{}.{key}.{index}", self.at);
        let entries = entries.iter().enumerate();
        let written: Value =
            entries.map(|(index, entry)| self.written(&place(index), json!(entry.to_string()))).collect();
        self.line(&format!("{key} = {}", toml_text(&written)));
    }

    fn secret(&mut self, key: &str, key_file: &str, shown: &str) {
        let (key, value, why) = match self.origins.of(&format!("{}.{key}", self.at)) {
            Some(Origin::File(path)) => (key_file, path.as_str(), ""),
            Some(Origin::Environment(written)) if is_reference(written) => (key, written.as_str(), ""),
            Some(Origin::Environment(_)) => (key, NOT_SHOWN, " # not shown: it is put together from the environment"),
            None if shown.contains(NOT_SHOWN) => (key, shown, " # *** stands for secrets, which are not shown"),
            None => (key, shown, ""),
        };
        self.line(&format!("{key} = {}{why}", toml_text(&json!(value))));
    }

    /// The value, or where it came from.
    fn written(&self, place: &str, value: Value) -> Value {
        match (self.origins.of(place), value) {
            (Some(Origin::Environment(written) | Origin::File(written)), _) => json!(written),
            (None, Value::String(text)) => json!(text.replace("${", "$${")),
            (None, value) => value,
        }
    }
}

/// Whether a text is one variable and nothing else.
fn is_reference(written: &str) -> bool {
    let name = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}
