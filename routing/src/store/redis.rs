//! A store in Redis. All keys share one hash tag; every call has a deadline; whatever is read is hostile.
//!
//! A connection is opened when one is needed and dropped with its first error, so that a server that comes back is found
//! by the next call. Callers that wait for the same connection share its failure.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, RedisError, Script, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::sync::Mutex;

use super::{
    EPOCHS_KEPT, Glance, Hints, LOG_MAX, LogEntry, Mode, PublishError, Published, StoreError,
    rule::{self, Offer},
};
use crate::{
    ack::{ACKS_MAX, Ack, KEPT, LIVE},
    bundle::{Bundle, HEAD_BYTES_MAX, Head, TABLE_BYTES_MAX, TENANTS_BYTES_MAX},
    failover::{NOTICES_MAX, Notice, PAGE_MAX, Page, Place, WORD_BYTES_MAX},
    id::StampId,
    redis_client,
    version::{COUNTER_MAX, Version},
};

/// Longest that opening a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest that one call may take.
const CALL_MAX: Duration = Duration::from_secs(2);
/// How long a connection is silent before the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// The store.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    /// Host and port, without credentials.
    at: String,
    stem: String,
    connection: Mutex<Connection>,
    publish: Script,
    ack: Script,
    read_notices: Script,
}

/// The open connection, or how the last try to open one ended.
#[derive(Default)]
struct Connection {
    open: Option<MultiplexedConnection>,
    failed: Option<(Instant, String)>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.0.at).finish()
    }
}

impl Redis {
    pub(super) fn new(url: &str, key_prefix: &str) -> Result<Self, StoreError> {
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
            .set_user_timeout(USER_TIMEOUT);
        let client = redis_client::of(url, tcp).map_err(|why| StoreError::Url(why.to_string()))?;
        let at = redis_client::address(&client);
        Ok(Self(Arc::new(Inner {
            client,
            at,
            stem: format!("{{{key_prefix}:rt}}"),
            connection: Mutex::default(),
            publish: Script::new(include_str!("publish.lua")),
            ack: Script::new(include_str!("ack.lua")),
            read_notices: Script::new(include_str!("read_notices.lua")),
        })))
    }

    pub(super) fn hints(&self) -> Hints {
        Hints::redis(self.0.client.clone(), self.key("epoch"))
    }

    pub(super) fn notice_hints(&self, stamp: &StampId) -> Hints {
        Hints::redis(self.0.client.clone(), self.noticed(stamp))
    }

    /// The channel of notices for a stamp.
    fn noticed(&self, stamp: &StampId) -> String {
        self.key(&format!("notices:{stamp}"))
    }

    pub(super) async fn notify(&self, notices: &[Notice]) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        for notice in notices {
            pipe.cmd("XADD").arg(self.key("notices")).arg("MAXLEN").arg("~").arg(NOTICES_MAX).arg("*");
            pipe.arg("stamp").arg(notice.stamp.as_str()).arg("tenant").arg(notice.word()).ignore();
        }
        let stamps: BTreeSet<&StampId> = notices.iter().map(|notice| &notice.stamp).collect();
        for stamp in stamps {
            pipe.cmd("PUBLISH").arg(self.noticed(stamp)).arg("").ignore();
        }
        self.call(async |mut connection| pipe.query_async(&mut connection).await).await
    }

    pub(super) async fn notices(&self, stamp: &StampId, after: Option<&Place>) -> Result<Page, StoreError> {
        let mut invocation = self.0.read_notices.prepare_invoke();
        let (run, id) = after.map_or(("", ""), |place| (place.run.as_str(), place.id.as_str()));
        invocation.key(self.key("notices")).arg(run).arg(id).arg(stamp.as_str()).arg(PAGE_MAX).arg(WORD_BYTES_MAX);
        let reply: Vec<Vec<u8>> =
            self.call(async |mut connection| invocation.invoke_async(&mut connection).await).await?;
        let text = |index: usize| reply.get(index).and_then(|word| str::from_utf8(word).ok()).unwrap_or_default();
        let strange = || self.content("notices that are not understood".into());
        let mut page = Page::blank(Place::of(text(1), text(2)).ok_or_else(strange)?, text(0) == "gap");
        let looked_at: usize = text(3).parse().map_err(|_| strange())?;
        page.is_end = looked_at < PAGE_MAX;
        page.not_understood = text(4).parse().map_err(|_| strange())?;
        reply.iter().skip(5).for_each(|word| page.take(word));
        Ok(page)
    }

    pub(super) async fn glance(&self) -> Result<Glance, StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("GETRANGE").arg(self.key("head")).arg(0).arg(HEAD_BYTES_MAX);
        pipe.cmd("GETRANGE").arg(self.key("acked")).arg(0).arg(64);
        pipe.cmd("TIME");
        let (head, acked, (seconds, micros)): (Vec<u8>, Vec<u8>, (u64, u64)) =
            self.call(async |mut connection| pipe.query_async(&mut connection).await).await?;
        let acked: Option<Version> = std::str::from_utf8(&acked).ok().and_then(|text| text.parse().ok());
        let acked = acked.filter(|acked| acked.is_countable()).unwrap_or_default();
        let now = Some(seconds.saturating_mul(1_000).saturating_add(micros / 1_000));
        Ok(Glance { head: (!head.is_empty()).then(|| Bytes::from(head)), acked, now })
    }

    pub(super) async fn documents(
        &self,
        epoch: u64,
        hash: &str,
        known: Option<Bytes>,
    ) -> Result<(Bytes, Bytes), StoreError> {
        let table = self.document(&format!("table:{epoch}"), TABLE_BYTES_MAX).await?;
        let tenants = match known {
            Some(bytes) => bytes,
            None => self.document(&format!("tenants:{}", self.hash(hash)?), TENANTS_BYTES_MAX).await?,
        };
        Ok((table, tenants))
    }

    /// A hash becomes part of a key, so it must be one.
    fn hash<'a>(&self, hash: &'a str) -> Result<&'a str, StoreError> {
        let sound = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        sound.then_some(hash).ok_or_else(|| self.content("a head whose tenants hash is none".into()))
    }

    /// One document, at most `bytes_max` long.
    async fn document(&self, name: &str, bytes_max: usize) -> Result<Bytes, StoreError> {
        let bytes: Vec<u8> = self.command(redis::cmd("GETRANGE").arg(self.key(name)).arg(0).arg(bytes_max)).await?;
        if bytes.is_empty() {
            return Err(self.content(format!("{name} is missing")));
        }
        if bytes.len() > bytes_max {
            return Err(self.content(format!("{name} is larger than {bytes_max} bytes")));
        }
        Ok(Bytes::from(bytes))
    }

    pub(super) async fn publish(&self, offer: &Offer) -> Result<Published, PublishError> {
        let head = &offer.head;
        let mode = match offer.mode {
            Mode::Ordinary => "ordinary",
            Mode::NoProxies => "no-proxies",
            Mode::Init => "init",
            Mode::Recover => "recover",
        };
        let entry = serde_json::to_string(&offer.entry).map_err(|error| PublishError::Unsound(error.to_string()))?;
        let mut invocation = self.0.publish.prepare_invoke();
        invocation
            .key(self.key("head"))
            .key(self.key(&format!("table:{}", head.epoch)))
            .key(self.key(&format!("tenants:{}", self.hash(&head.tenants_hash)?)))
            .key(self.key("log"))
            .key(self.key("acks"))
            .key(self.key("acked"))
            .arg(offer.expected.as_deref().unwrap_or_default())
            .arg(&offer.bundle.head[..])
            .arg(&offer.bundle.table[..])
            .arg(&offer.bundle.tenants[..])
            .arg(mode)
            .arg(head.term)
            .arg(head.epoch)
            .arg(head.needs)
            .arg(entry)
            .arg(LIVE)
            .arg(KEPT)
            .arg(LOG_MAX)
            .arg(EPOCHS_KEPT)
            .arg(self.key("epoch"))
            .arg(&self.0.stem)
            .arg(HEAD_BYTES_MAX)
            .arg(COUNTER_MAX);
        let outcome: Result<Vec<String>, StoreError> =
            self.call(async |mut connection| invocation.invoke_async(&mut connection).await).await;
        let reply = match outcome {
            Ok(reply) => reply,
            // the reply may be what was lost, not the publication
            Err(error) => match self.glance().await {
                Ok(Glance { head: Some(bytes), .. }) if bytes == offer.bundle.head => vec!["OK".into()],
                _ => return Err(error.into()),
            },
        };
        self.verdict(&reply, head)?;
        let unlogged = reply.get(1).filter(|why| !why.is_empty());
        let unlogged = unlogged.map(|why| format!("published, but the history could not be written: {why}"));
        Ok(Published { warning: unlogged.or(self.replicated().await) })
    }

    fn verdict(&self, reply: &[String], offered: &Head) -> Result<(), PublishError> {
        let text = |index: usize| reply.get(index).map(String::as_str).unwrap_or_default();
        let version = |index: usize| text(index).parse::<Version>().unwrap_or_default();
        match text(0) {
            "OK" => Ok(()),
            "LOST" => Err(PublishError::Lost),
            "BEHIND" => Err(PublishError::Behind { head: version(1), acked: version(2) }),
            "UNCONFIRMED" => Err(PublishError::Unconfirmed { head: version(1) }),
            "NEEDSINIT" => Err(PublishError::NeedsInit),
            "NEEDSNEWER" => Err(PublishError::NeedsNewer {
                proxy: text(1).to_owned(),
                reads: text(2).parse().unwrap_or_default(),
                needs: offered.needs,
            }),
            "VERSION" => Err(PublishError::Version { offered: offered.version(), over: version(1) }),
            other => Err(self.content(format!("a reply that is not understood: {other:.64}")).into()),
        }
    }

    /// Waits for one replica, if there is any; a missing one is a warning.
    async fn replicated(&self) -> Option<String> {
        let role: String = self.command(redis::cmd("INFO").arg("replication")).await.ok()?;
        let connected =
            role.lines().find_map(|line| line.strip_prefix("connected_slaves:"))?.trim().parse::<u32>().ok()?;
        if connected == 0 {
            return None;
        }
        let confirmed: Result<u32, StoreError> = self.command(redis::cmd("WAIT").arg(1).arg(1_000)).await;
        (confirmed.unwrap_or(0) == 0).then(|| "no replica has confirmed the table yet".to_owned())
    }

    pub(super) async fn at_epoch(&self, epoch: u64) -> Result<Option<Bundle>, StoreError> {
        let name = format!("table:{epoch}:head");
        let bytes: Vec<u8> =
            self.command(redis::cmd("GETRANGE").arg(self.key(&name)).arg(0).arg(HEAD_BYTES_MAX)).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let bytes = Bytes::from(bytes);
        let head = Head::parse(&bytes).map_err(|refusal| self.content(refusal.to_string()))?;
        let (table, tenants) = self.documents(epoch, &head.tenants_hash, None).await?;
        Ok(Some(Bundle { head: bytes, table, tenants }))
    }

    pub(super) async fn history(&self, count: usize) -> Result<Vec<LogEntry>, StoreError> {
        type Entries = Vec<(String, std::collections::HashMap<String, String>)>;
        let command = redis::cmd("XREVRANGE").arg(self.key("log")).arg("+").arg("-").arg("COUNT").arg(count).to_owned();
        let entries: Entries = self.command(&command).await?;
        let read = |fields: &std::collections::HashMap<String, String>| {
            let mut entry: LogEntry = serde_json::from_str(fields.get("entry")?).ok()?;
            entry.at = fields.get("at").and_then(|at| at.parse().ok()).unwrap_or(entry.at);
            Some(entry)
        };
        Ok(entries.iter().filter_map(|(_, fields)| read(fields)).collect())
    }

    pub(super) async fn ack(&self, ack: &Ack) -> Result<(), StoreError> {
        let json = ack.encode().map_err(|why| self.content(why))?;
        let mut invocation = self.0.ack.prepare_invoke();
        invocation
            .key(self.key("acks"))
            .key(self.key("acked"))
            .arg(&ack.proxy)
            .arg(json)
            .arg(ack.applied.term)
            .arg(ack.applied.epoch)
            .arg(ACKS_MAX)
            .arg(KEPT)
            .arg(COUNTER_MAX);
        let outcome: String = self.call(async |mut connection| invocation.invoke_async(&mut connection).await).await?;
        if outcome.is_empty() { Ok(()) } else { Err(self.content(rule::full())) }
    }

    pub(super) async fn acks(&self) -> Result<Vec<Ack>, StoreError> {
        let count: usize = self.command(redis::cmd("HLEN").arg(self.key("acks"))).await?;
        if count > ACKS_MAX {
            return Err(self.content(format!("{count} acks, more than {ACKS_MAX}")));
        }
        let values: Vec<Vec<u8>> = self.command(redis::cmd("HVALS").arg(self.key("acks"))).await?;
        Ok(values.iter().filter_map(|value| serde_json::from_slice(value).ok()).collect())
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.0.stem)
    }

    fn content(&self, why: String) -> StoreError {
        StoreError::Content { at: self.0.at.clone(), why }
    }

    fn away(&self, why: impl fmt::Display) -> StoreError {
        StoreError::Away { at: self.0.at.clone(), why: why.to_string() }
    }

    async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.call(async |mut connection| command.query_async(&mut connection).await).await
    }

    /// One call within its time limit, on the open connection or a new one.
    async fn call<T>(
        &self,
        run: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let connection = self.connection().await?;
        let outcome = tokio::time::timeout(CALL_MAX, run(connection)).await;
        let failed = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if is_content(&error) => {
                return Err(self.content(format!("{error}; its keys are {}:*", self.0.stem)));
            }
            Ok(Err(error)) => self.away(error),
            Err(_) => self.away(format_args!("no answer within {CALL_MAX:?}")),
        };
        // a server that lost its role or its mind may have a better one behind the same name
        self.0.connection.lock().await.open = None;
        Err(failed)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let began = Instant::now();
        let mut held = self.0.connection.lock().await;
        if let Some(connection) = &held.open {
            return Ok(connection.clone());
        }
        if let Some((_, why)) = held.failed.as_ref().filter(|(when, _)| *when >= began) {
            return Err(self.away(why));
        }
        let opening = redis_client::connect(&self.0.client);
        let why = match tokio::time::timeout(CONNECT_MAX, opening).await {
            Ok(Ok(connection)) => return Ok(held.open.insert(connection).clone()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {CONNECT_MAX:?}"),
        };
        held.failed = Some((Instant::now(), why.clone()));
        Err(self.away(why))
    }
}

/// Whether the server works and what it holds is the fault.
fn is_content(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || matches!(error.kind(), ErrorKind::UnexpectedReturnType)
}
