//! A way to a server that can be cut: what is on it ends, and nobody gets through until it is mended.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::free_port;

pub struct Cable {
    pub port: u16,
    to: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    open: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Cable {
    /// From a free port to this server, which need not be there yet.
    pub fn to(port: u16) -> Self {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let mut cable = Self { port: free_port(), to, streams: Arc::default(), open: None };
        cable.mend();
        cable
    }

    pub fn cut(&mut self) {
        let Some((ends, accepting)) = self.open.take() else { return };
        ends.store(true, Ordering::SeqCst);
        accepting.join().unwrap();
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&mut self) {
        if self.open.is_some() {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let (end, to, streams) = (Arc::clone(&ends), self.to, Arc::clone(&self.streams));
        let accepting = thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((near, _)) => {
                        let Ok(far) = TcpStream::connect(to) else { continue };
                        near.set_nonblocking(false).unwrap();
                        for stream in [&near, &far] {
                            let _ = stream.set_nodelay(true);
                            streams.lock().unwrap().push(stream.try_clone().unwrap());
                        }
                        pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                        pass(far, near);
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        self.open = Some((ends, accepting));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut();
    }
}
