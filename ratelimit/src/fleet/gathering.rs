//! When processes use a store again that was away: all at one instant, which the store keeps.
//!
//! Invariant: who comes back goes on by its share until the others have had time to find the store too, however they missed it.
//! One that had the whole quota while others live on their shares would let both pass. A store that comes and goes is looked for
//! so rarely that nobody waits for all.

use std::time::Duration;

use redis::{RedisError, aio::MultiplexedConnection};

use super::script;

/// Longest that anybody waits for the others: for their pauses, and for what they try in between.
const LONGEST: Duration = Duration::from_secs(3);
/// Longest of these pauses that is waited for.
const PAUSE_LONGEST: Duration = Duration::from_secs(2);
/// Shortest, whatever they have missed.
const SHORTEST: Duration = Duration::from_millis(250);

/// Where the store keeps the instant: a key that belongs to no tenant.
pub(super) fn key(prefix: &str) -> String {
    script::key(prefix, "", "gathering", &[])
}

/// In what time all others have looked for the store that were away for as long as this process, whose next pause is this and
/// whose last look that failed took so long: nothing where it is refused at once, a second where nothing comes back.
///
/// Pauses double, and each is by chance between half of what it is said to be and one and a half of it. After a time t the
/// longest that somebody may have before him is 3 t, the shortest that this process may be at 2/3 t.
pub(super) fn within(pause: Duration, look: Duration) -> Duration {
    ((pause * 9 / 2).clamp(SHORTEST, PAUSE_LONGEST) + look).min(LONGEST)
}

/// How long until it is used again. The first one who was away says when that is, `within` from now; who was not, with None,
/// waits for those who were.
///
/// # Errors
/// The connection is lost, or the server refuses.
pub(super) async fn left(
    connection: &mut MultiplexedConnection,
    key: &str,
    within: Option<Duration>,
) -> Result<Duration, RedisError> {
    let mut calls = redis::pipe();
    if let Some(within) = within {
        let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        calls.cmd("SET").arg(key).arg("").arg("NX").arg("PX").arg(milliseconds).ignore();
    }
    let (left,): (i64,) = calls.cmd("PTTL").arg(key).query_async(connection).await?;
    // negative: it is over, or not of our making; and a clock that was set back keeps nobody waiting
    Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::fleet::tests::{
        Server,
        process::{Process, eventually},
    };

    fn milliseconds((pause, look): (u64, u64)) -> u128 {
        within(Duration::from_millis(pause), Duration::from_millis(look)).as_millis()
    }

    #[test]
    fn the_longer_it_was_away_the_longer_others_may_take_to_find_it() {
        let refused = [50, 100, 400, 1_000, 10_000].map(|pause| milliseconds((pause, 0)));
        assert_eq!(refused, [250, 450, 1_800, 2_000, 2_000]);
        assert_eq!([(50, 1_000), (1_000, 1_000), (1_000, 5_000)].map(milliseconds), [1_250, 3_000, 3_000]);
    }

    #[tokio::test]
    async fn the_first_says_when_and_nobody_waits_for_what_is_not_ours() {
        let server = Server::start();
        let mut connection = server.client().get_multiplexed_async_connection().await.unwrap();
        let key = key("t");
        assert_eq!(key, "{t:rl:}:gathering");
        assert_eq!(left(&mut connection, &key, None).await.unwrap(), Duration::ZERO);
        let first = left(&mut connection, &key, Some(Duration::from_millis(900))).await.unwrap();
        let second = left(&mut connection, &key, Some(Duration::from_millis(300))).await.unwrap();
        let third = left(&mut connection, &key, None).await.unwrap();
        assert!(first.as_millis() > 600 && second.as_millis() > 600 && third.as_millis() > 600);
        for words in [&["SET", &key, "", "PX", "100000000"][..], &["SET", &key, "x"], &["RPUSH", &key, "a"]] {
            let _: u32 = server.ask(&["DEL", &key]);
            let _: redis::Value = server.ask(words);
            let left = left(&mut connection, &key, Some(Duration::from_millis(300))).await.unwrap();
            assert_eq!(left, if words.len() == 5 { LONGEST } else { Duration::ZERO }, "{words:?}");
        }
    }

    /// How many milliseconds after the first the last one uses the store again.
    async fn apart(processes: &[Process]) -> u128 {
        let mut first = None;
        eventually("all are back", || {
            let back = processes.iter().filter(|process| !process.store.is_away()).count();
            if back > 0 {
                first.get_or_insert_with(Instant::now);
            }
            back == processes.len()
        })
        .await;
        first.unwrap().elapsed().as_millis()
    }

    #[tokio::test]
    async fn who_has_begun_without_it_comes_back_with_the_others() {
        let mut server = Server::start();
        server.kill();
        let processes: Vec<Process> = (0..4).map(|_| Process::of(server.client(), 200, Instant::now())).collect();
        eventually("all miss it", || processes.iter().all(|process| process.store.trouble().is_some())).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.again();
        let apart = apart(&processes).await;
        assert!(apart < 150, "{apart} ms");
    }

    #[tokio::test]
    async fn all_come_back_at_one_instant_and_so_does_who_has_just_begun() {
        let mut server = Server::start();
        let mut processes = Vec::new();
        for _ in 0..4 {
            processes.push(Process::start(&server, 200, Instant::now()).await);
        }
        for outage in [0, 600, 2_500] {
            server.kill();
            eventually("all miss it", || processes.iter().all(|process| process.store.is_away())).await;
            // they look for it at other instants than the others, the longer it is away the more so
            tokio::time::sleep(Duration::from_millis(outage)).await;
            server.again();
            let found = || -> bool { server.ask(&["EXISTS", &key("t")]) };
            eventually("somebody finds it", found).await;
            processes.push(Process::of(server.client(), 200, Instant::now()));
            let apart = apart(&processes).await;
            assert!(apart < 150, "{apart} ms after {outage}");
        }
        assert!(processes[..4].iter().all(|process| process.store.outages() == 3));
    }
}
