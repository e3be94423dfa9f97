//! Sections that stand for themselves: `[stamp]`, `[server]`, `[access_log]`, `[limits]`, `[timeouts]`, `[shutdown]`.

use std::{num::NonZero, path::PathBuf, thread, time::Duration};

use synaxis_routing::id::{Region, StampId};

use super::{HOUR, MILLISECOND, MINUTE, THREE_DAYS, path};
use crate::{
    print,
    section::Section,
    settings::{AccessLog, Limits, Output, Server, Shutdown, Stamp, Timeouts},
    suggest,
    value::{count, duration, share, size, text, text_shown},
};

/// Most worker threads.
const WORKERS_MAX: usize = 1024;
/// Most accepted connections.
const CONNECTIONS_MAX: usize = 4 << 20;
/// Less memory than this, and the proxy would refuse everything.
const MEMORY_LEAST: u64 = 16 << 20;
/// As many fields as the HTTP library takes.
const FIELDS_MAX: usize = 100;
/// Default cap of a request's body in bytes.
const BODY_BYTES: u64 = 1 << 30;
/// Most lines that wait for the writer of the access log.
const LOG_QUEUE_MAX: usize = 1 << 20;
/// Most that a body may be allowed: 1 TiB.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 40;
/// Default cap of a request target in bytes.
const URI_BYTES: usize = 8 << 10;

pub(super) fn stamp(section: Section<'_>) -> Option<Stamp> {
    let id = section
        .read(|s| {
            s.required(
                "id",
                "id = \"synaxis-weu-001\"",
                text(StampId::parse).like("^synaxis-[a-z0-9]{2,16}-[0-9]{3,6}$"),
            )
        })?
        .into_inner();
    let region = Region::parse(id.region()).ok()?;
    Some(Stamp { id, region })
}

pub(super) fn server(section: Section<'_>) -> Server {
    section.read(|s| Server {
        workers: s.optional("workers", count(1..=WORKERS_MAX)).map_or_else(cores, toml::Spanned::into_inner),
        connections_max: s.or("connections_max", 65_536, count(1..=CONNECTIONS_MAX)),
        peer_connections_max: s.or("peer_connections_max", 16_384, count(1..=CONNECTIONS_MAX)),
        connections_reserve: s.or("connections_reserve", 64, count(0..=4096)),
        connections_per_address: s
            .optional("connections_per_address", count(1..=CONNECTIONS_MAX))
            .map(toml::Spanned::into_inner),
        memory_high: s.optional("memory_high", size(MEMORY_LEAST..=u64::MAX)).map(toml::Spanned::into_inner),
    })
}

/// What the operating system lets this process use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX)
}

pub(super) fn access_log(section: Section<'_>) -> AccessLog {
    section.read(|s| AccessLog {
        output: s.or("output", Output::Stdout, text_shown(output, print::output)),
        sample: s.or("sample", 1.0, share()),
        queue: s.or("queue", 8192, count(1..=LOG_QUEUE_MAX)),
    })
}

fn output(written: &str) -> Result<Output, String> {
    match written {
        "stdout" => return Ok(Output::Stdout),
        "off" => return Ok(Output::Off),
        _ => {}
    }
    if written.contains('/') {
        return path(written).map(|path: PathBuf| Output::File(path)).map_err(str::to_owned);
    }
    // a file beside the working directory would hide a slip of the pen
    Err(match suggest::nearest(written, ["stdout", "off"].into_iter()) {
        Some(meant) => format!("no such choice; did you mean \"{meant}\"?"),
        None => "write \"stdout\", \"off\" or a path with a slash in it, such as \"./access.log\"".to_owned(),
    })
}

pub(super) fn limits(section: Section<'_>) -> Limits {
    section.read(|s| {
        let head_bytes = s.or("head_bytes", 32 << 10, size(1 << 10..=64 << 10));
        let uri = s.optional("uri_bytes", size(256..=64 << 10));
        if let Some(uri) = uri.as_ref().filter(|uri| *uri.get_ref() > head_bytes) {
            s.fault(&uri.span(), "`uri_bytes` in [limits]: it is part of the head and cannot exceed `head_bytes`");
        }
        let uri_bytes = uri.map_or(URI_BYTES.min(head_bytes), toml::Spanned::into_inner);
        Limits {
            head_bytes,
            uri_bytes,
            fields: s.or("fields", 100, count(8..=FIELDS_MAX)),
            body_bytes: s.or("body_bytes", BODY_BYTES, size(0..=BODY_BYTES_MAX)),
            upload_rate: s.or("upload_rate", 500, size(0..=1 << 30)),
            unsent_bytes: s.or("unsent_bytes", 128 << 10, size(16 << 10..=64 << 20)),
        }
    })
}

pub(super) fn timeouts(section: Section<'_>) -> Timeouts {
    let seconds = Duration::from_secs;
    section.read(|s| Timeouts {
        connect: s.or("connect", seconds(1), duration(MILLISECOND..=MINUTE)),
        head: s.or("head", seconds(10), duration(MILLISECOND..=HOUR)),
        first_byte: s.or("first_byte", seconds(5), duration(MILLISECOND..=HOUR)),
        upload_idle: s.or("upload_idle", seconds(15), duration(MILLISECOND..=HOUR)),
        upload_grace: s.or("upload_grace", seconds(10), duration(MILLISECOND..=HOUR)),
        body_idle: s.or("body_idle", seconds(30), duration(MILLISECOND..=HOUR)),
        write_stall: s.or("write_stall", seconds(30), duration(MILLISECOND..=HOUR)),
        tunnel_idle: s.or("tunnel_idle", seconds(300), duration(MILLISECOND..=THREE_DAYS)),
        linger: s.or("linger", seconds(1), duration(Duration::ZERO..=MINUTE)),
        idle: s.or("idle", seconds(120), duration(MILLISECOND..=THREE_DAYS)),
        upstream_idle: s.or("upstream_idle", seconds(60), duration(MILLISECOND..=THREE_DAYS)),
    })
}

pub(super) fn shutdown(section: Section<'_>) -> Shutdown {
    let seconds = Duration::from_secs;
    section.read(|s| Shutdown {
        lame_duck: s.or("lame_duck", seconds(20), duration(Duration::ZERO..=HOUR)),
        drain: s.or("drain", seconds(540), duration(Duration::ZERO..=THREE_DAYS)),
        flush: s.or("flush", seconds(10), duration(Duration::ZERO..=HOUR)),
        client_keepalive: s.or("client_keepalive", seconds(95), duration(Duration::ZERO..=HOUR)),
        tunnels: s.or("tunnels", seconds(60), duration(Duration::ZERO..=HOUR)),
    })
}
