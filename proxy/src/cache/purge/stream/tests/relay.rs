//! Carries connections to a server while it is open; closing it ends those that there are.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        self,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

pub(super) struct Relay {
    pub(super) port: u16,
    is_open: Arc<AtomicBool>,
    ends: watch::Sender<()>,
    last_words: LastWords,
}

/// What ends the connection on which the server has said it, once.
type LastWords = Arc<Mutex<Option<&'static [u8]>>>;

/// What the server says, until it has said its last words.
async fn down(server: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, last_words: &LastWords) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        if client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        let mut words = last_words.lock().unwrap();
        let said = |words: &[u8]| buffer[..count].windows(words.len()).any(|part| part == words);
        if words.is_some_and(said) {
            *words = None;
            return;
        }
    }
}

impl Relay {
    pub(super) async fn to(server: u16) -> Self {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_open, ends) = (Arc::new(AtomicBool::new(true)), watch::Sender::new(()));
        let (open, end, last_words) = (Arc::clone(&is_open), ends.clone(), LastWords::default());
        let last = Arc::clone(&last_words);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !open.load(SeqCst) {
                    continue;
                }
                let (mut ended, last) = (end.subscribe(), Arc::clone(&last));
                tokio::spawn(async move {
                    let Ok(server) = net::TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                        () = down(&mut from_server, &mut to_client, &last) => {}
                        _ = ended.changed() => {}
                    }
                });
            }
        });
        Self { port, is_open, ends, last_words }
    }

    /// Nothing passes from now on.
    pub(super) async fn close(&self) {
        self.is_open.store(false, SeqCst);
        self.ends.send_replace(());
        while self.ends.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn open(&self) {
        self.is_open.store(true, SeqCst);
    }

    pub(super) fn ends_after(&self, words: &'static [u8]) {
        *self.last_words.lock().unwrap() = Some(words);
    }
}
