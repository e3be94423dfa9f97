//! Word of changes. A hint may be lost; whoever needs certainty polls as well.

use std::{path::PathBuf, time::Duration};

use futures_util::StreamExt;
use tokio::sync::watch;

/// What a hint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something was published.
    Changed,
    /// The subscription began (again): anything may have been missed.
    Reconnected,
}

/// A subscription. Reconnects by itself; [`Hints::next`] may be cancelled at any time.
pub struct Hints(Kind);

enum Kind {
    Redis { client: Box<redis::Client>, channel: String, pubsub: Option<Box<redis::aio::PubSub>>, pause: Duration },
    File { path: PathBuf, seen: Option<Vec<u8>> },
    Memory(watch::Receiver<u64>),
}

/// First pause before a subscription is tried again; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const FILE_POLL: Duration = Duration::from_millis(100);

impl Hints {
    pub(super) fn redis(client: redis::Client, channel: String) -> Self {
        Self(Kind::Redis { client: Box::new(client), channel, pubsub: None, pause: Duration::ZERO })
    }

    pub(super) fn file(path: PathBuf) -> Self {
        let seen = std::fs::read(&path).ok();
        Self(Kind::File { path, seen })
    }

    pub(super) fn memory(changes: watch::Receiver<u64>) -> Self {
        Self(Kind::Memory(changes))
    }

    /// The next hint. Waits for as long as there is none.
    pub async fn next(&mut self) -> Hint {
        match &mut self.0 {
            Kind::Redis { client, channel, pubsub, pause } => loop {
                if let Some(connection) = pubsub {
                    let message = connection.on_message().next().await;
                    if message.is_some() {
                        return Hint::Changed;
                    }
                    *pubsub = None;
                }
                // taken before the wait, so that a cancelled wait still counts as one
                let wait = *pause;
                *pause = (*pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                tokio::time::sleep(wait).await;
                let subscribe = async {
                    let mut connection = client.get_async_pubsub().await?;
                    connection.subscribe(channel.as_str()).await?;
                    Ok::<_, redis::RedisError>(connection)
                };
                if let Ok(Ok(connection)) = tokio::time::timeout(CONNECT_MAX, subscribe).await {
                    *pubsub = Some(Box::new(connection));
                    *pause = PAUSE_MIN;
                    return Hint::Reconnected;
                }
            },
            Kind::File { path, seen } => loop {
                tokio::time::sleep(FILE_POLL).await;
                let now = tokio::fs::read(&path).await.ok();
                if now != *seen {
                    *seen = now;
                    return Hint::Changed;
                }
            },
            Kind::Memory(changes) => {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                Hint::Changed
            }
        }
    }
}
