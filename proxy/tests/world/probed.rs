//! Something that is asked whether it is well, and answers as the test says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Exactly these bytes, then it closes.
    Bytes(&'static str),
    /// The same after so many milliseconds.
    Late(&'static str, u64),
    /// A head that does not end.
    Endless,
    /// Nothing, and it stays.
    Nothing,
}

pub const GOOD: Says = Says::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
pub const BROKEN: Says = Says::Bytes("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
/// Everything that is no good answer.
pub const HOSTILE: [Says; 7] = [
    BROKEN,
    Says::Bytes(""),
    Says::Bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    Says::Bytes("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"),
    Says::Bytes("HTTP/1.1 200"),
    Says::Endless,
    Says::Nothing,
];

/// A listener that answers every connection the same.
pub struct Probed {
    pub address: SocketAddr,
    says: Arc<Mutex<Says>>,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Probed {
    pub fn start(says: Says) -> Self {
        Self::on(0, says)
    }

    pub fn on(port: u16, says: Says) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let probed = Self {
            address: listener.local_addr().unwrap(),
            says: Arc::new(Mutex::new(says)),
            heads: Arc::default(),
            stopped: Arc::default(),
        };
        let (says, heads, stopped) = (Arc::clone(&probed.says), Arc::clone(&probed.heads), Arc::clone(&probed.stopped));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (says, heads) = (*says.lock().unwrap(), Arc::clone(&heads));
                thread::spawn(move || answer(stream, says, &heads));
            }
        });
        probed
    }

    pub fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// The heads of requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, says: Says, heads: &Mutex<Vec<String>>) {
    let mut head = [0; 4096];
    let read = stream.read(&mut head).unwrap_or(0);
    heads.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
    match says {
        Says::Bytes(bytes) => _ = stream.write_all(bytes.as_bytes()),
        Says::Late(bytes, millis) => {
            thread::sleep(Duration::from_millis(millis));
            let _ = stream.write_all(bytes.as_bytes());
        }
        Says::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream
                .write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
                .is_ok()
            {}
        }
        Says::Nothing => {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.read(&mut head);
        }
    }
}
