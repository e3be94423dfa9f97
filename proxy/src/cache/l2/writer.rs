//! Writes what waits, and finds out when a store that went away is back.
//!
//! Invariant: one batch is on its way, and no reader waits for it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use tokio::time::{sleep, timeout};

use super::{L2, Write};

/// Values of a batch, and bytes after which no more are added.
const BATCH_MAX: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
/// Longest that a batch may take.
const WRITE_MAX: Duration = Duration::from_millis(500);
/// Longest that opening a connection may take, the name of the server included.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest that a connection that was not used for a while may take to answer.
const PING_MAX: Duration = Duration::from_millis(500);
/// How often it is used at least.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether the store is back: doubled each time, half of it by chance.
const PROBE_MIN: Duration = Duration::from_millis(50);
const PROBE_MAX: Duration = Duration::from_secs(1);
/// Answers in time, one after the other, by which it is back.
const PROBES: usize = 2;
/// Longest that a process waits, by chance, before it uses a store that is back: they do not all come at once.
const RETURN_MAX: Duration = Duration::from_millis(300);

pub(super) async fn connect(client: &Client) -> Option<MultiplexedConnection> {
    // the waits are ours: the whole handshake counts, not each of its parts
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    timeout(CONNECT_MAX, client.get_multiplexed_async_connection_with_config(&config)).await.ok()?.ok()
}

pub(super) async fn ping(mut connection: MultiplexedConnection) -> bool {
    timeout(PING_MAX, redis::cmd("PING").query_async::<String>(&mut connection)).await.is_ok_and(|pong| pong.is_ok())
}

impl L2 {
    /// Writes what waits and looks after the store, for ever: to be run once, on the store's thread.
    pub async fn run(self: Arc<Self>) {
        let mut first = true;
        loop {
            let connection = self.reach().await;
            if !first {
                sleep(self.by_chance(RETURN_MAX)).await;
            }
            first = false;
            self.empty();
            self.timeouts.store(0, Relaxed);
            self.away.store(false, Relaxed);
            self.changed.notify_waiters();
            self.serve(connection).await;
            tracing::warn!("the cache store is away; responses are only kept in memory");
        }
    }

    /// Waits until the store answers in time.
    async fn reach(&self) -> MultiplexedConnection {
        let mut pause = PROBE_MIN;
        loop {
            if let Some(mut connection) = connect(&self.client).await {
                let probe = async {
                    for _ in 0..PROBES {
                        let ping = redis::cmd("PING");
                        let pong = ping.query_async::<String>(&mut connection);
                        timeout(self.patience(self.limits.deadline), pong).await.ok()?.ok()?;
                    }
                    Some(())
                };
                if probe.await.is_some() {
                    return connection;
                }
            }
            sleep(pause / 2 + self.by_chance(pause / 2)).await;
            pause = (pause * 2).min(PROBE_MAX);
        }
    }

    /// Until the store goes away.
    async fn serve(&self, mut connection: MultiplexedConnection) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_away() {
                return;
            }
            let batch = self.batch();
            if batch.is_empty() {
                tokio::select! {
                    () = self.came.notified() => {}
                    () = changed => {}
                    () = sleep(IDLE_MAX) => if !ping(connection.clone()).await {
                        return self.failed();
                    }
                }
                continue;
            }
            match timeout(WRITE_MAX, write(&mut connection, &batch)).await {
                Ok(Ok(refused)) => {
                    self.counts.refused.fetch_add(refused, Relaxed);
                    self.counts.written.fetch_add(batch.len() as u64 - refused, Relaxed);
                }
                Ok(Err(_)) | Err(_) => {
                    self.counts.dropped.fetch_add(batch.len() as u64, Relaxed);
                    return self.failed();
                }
            }
        }
    }

    fn batch(&self) -> Vec<Write> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut queue = self.queue();
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES {
            let Some(write) = queue.writes.pop_front() else { break };
            queue.bytes -= write.bytes.len();
            bytes += write.bytes.len();
            batch.push(write);
        }
        batch
    }
}

/// How many the server has refused.
async fn write(connection: &mut MultiplexedConnection, batch: &[Write]) -> RedisResult<u64> {
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    for Write { name, bytes, life } in batch {
        pipe.cmd("SET").arg(&*name.text).arg(&bytes[..]).arg("PX").arg(life.as_millis() as u64);
    }
    let answers: Vec<RedisResult<redis::Value>> = pipe.query_async(connection).await?;
    Ok(answers.iter().filter(|answer| answer.is_err()).count() as u64)
}
