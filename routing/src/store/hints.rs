//! Word of changes. A hint may be lost; whoever needs certainty polls as well.

use std::{path::PathBuf, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use redis::aio::PubSub;
use tokio::{sync::watch, time::Interval};

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
    Redis { client: Box<redis::Client>, channel: String, state: State, pause: Duration },
    File { path: PathBuf, seen: Option<Vec<u8>>, ticks: Option<Interval> },
    Memory(watch::Receiver<u64>),
}

/// A subscription, or the try to open one. The try is kept over cancelled waits, its pause included.
enum State {
    Open(Box<PubSub>),
    Opening(BoxFuture<'static, Option<PubSub>>),
}

/// First pause before a subscription is tried again; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const FILE_POLL: Duration = Duration::from_millis(100);

impl Hints {
    pub(super) fn redis(client: redis::Client, channel: String) -> Self {
        let state = State::Opening(subscribe(client.clone(), channel.clone(), Duration::ZERO));
        Self(Kind::Redis { client: Box::new(client), channel, state, pause: PAUSE_MIN })
    }

    pub(super) fn file(path: PathBuf) -> Self {
        let seen = std::fs::read(&path).ok();
        Self(Kind::File { path, seen, ticks: None })
    }

    pub(super) fn memory(changes: watch::Receiver<u64>) -> Self {
        Self(Kind::Memory(changes))
    }

    /// The next hint. Waits for as long as there is none.
    pub async fn next(&mut self) -> Hint {
        match &mut self.0 {
            Kind::Redis { client, channel, state, pause } => loop {
                match state {
                    State::Open(pubsub) => {
                        if pubsub.on_message().next().await.is_some() {
                            return Hint::Changed;
                        }
                    }
                    State::Opening(opening) => {
                        if let Some(pubsub) = opening.await {
                            *state = State::Open(Box::new(pubsub));
                            *pause = PAUSE_MIN;
                            return Hint::Reconnected;
                        }
                    }
                }
                *state = State::Opening(subscribe((**client).clone(), channel.clone(), *pause));
                *pause = (*pause * 2).min(PAUSE_MAX);
            },
            Kind::File { path, seen, ticks } => loop {
                ticks.get_or_insert_with(|| tokio::time::interval(FILE_POLL)).tick().await;
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

/// One try after a pause.
fn subscribe(client: redis::Client, channel: String, pause: Duration) -> BoxFuture<'static, Option<PubSub>> {
    let subscribing = async move {
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(channel).await?;
        Ok::<_, redis::RedisError>(connection)
    };
    async move {
        tokio::time::sleep(pause).await;
        tokio::time::timeout(CONNECT_MAX, subscribing).await.ok()?.ok()
    }
    .boxed()
}
