//! Names to addresses.
//!
//! Invariant: whoever asks for names, the threads that wait for a resolver are few, and files and tables always find one
//! that does not.

use std::{
    cell::OnceCell,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use tokio::sync::Semaphore;

use crate::tasks;

/// Most lookups under way for one thread. A resolver that is away keeps each for as long as its own time limits say, long
/// after whoever asked has given up.
pub const LOOKUPS_MAX: usize = 256;

thread_local! {
    /// Of this thread, because so are the threads that it waits for.
    static PLACES: OnceCell<Arc<Semaphore>> = const { OnceCell::new() };
}

/// All addresses of a name, in the resolver's order. Waits while too many others are being looked up.
///
/// # Errors
/// The resolver knows none, or cannot be asked.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    look_up(move |host: &str| Ok((host, port).to_socket_addrs()?.collect()), host).await
}

async fn look_up(
    ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    host: &str,
) -> io::Result<Vec<SocketAddr>> {
    let places = PLACES.with(|places| Arc::clone(places.get_or_init(|| Arc::new(Semaphore::new(LOOKUPS_MAX)))));
    let place = places.acquire_owned().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let asked = tasks::spawn_blocking(move || {
        let found = ask(&host);
        // not before: giving up does not end the wait for the resolver
        drop(place);
        found
    });
    asked.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_name_has_its_addresses_or_an_error() {
        let found = resolve("127.0.0.1", 80).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
        assert!(resolve("no such name", 80).await.is_err());
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_leaves_threads_for_other_work() {
        let (resume, hang) = mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        let short = Duration::from_millis(50);
        for _ in 0..LOOKUPS_MAX {
            let hang = Arc::clone(&hang);
            let asked = look_up(
                move |_| {
                    hang.lock().map(|hang| _ = hang.recv()).map(|()| Vec::new()).map_err(|_| io::Error::other("x"))
                },
                "h",
            );
            assert!(timeout(Duration::from_millis(1), asked).await.is_err(), "it hangs");
        }
        // given up by all who asked, and still under way: the next one waits for a place, other work does not
        assert!(timeout(short, resolve("127.0.0.1", 80)).await.is_err());
        assert_eq!(timeout(Duration::from_secs(5), tasks::spawn_blocking(|| 7)).await.unwrap().unwrap(), 7);
        drop(resume);
        assert!(timeout(Duration::from_secs(5), resolve("127.0.0.1", 80)).await.unwrap().is_ok());
    }
}
