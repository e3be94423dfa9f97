//! The app of a stamp: it answers what it is asked, records who asked, and misbehaves as its script says.
//!
//! Invariant: a request is in the journal before the first byte of its answer leaves, and the kernel holds it: an origin
//! that is killed has forgotten nothing. The one exception is the lie that a script asks for by name.

use std::{
    cell::RefCell,
    io::{self, BufRead as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::server::conn::auto;
use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng as _};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::watch,
    task::LocalSet,
};

mod behaviour;
pub mod journal;
mod script;
mod service;
mod websocket;
mod wire;

pub use script::{Error, Script, Trickle};

use journal::Journal;
use service::Service;
use wire::Wire;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4_096;
/// A pause after an accept error, so that a process without descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How an origin is started.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The stamp in whose name it answers.
    #[arg(long)]
    pub stamp: String,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The file to which it appends what it is asked.
    #[arg(long)]
    pub journal: PathBuf,
    /// Seed of what it does by chance.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Runs an origin until its standard input ends. Prints `listening ADDRESS`; every line of standard input is a script as
/// JSON and answered with `script` once it holds; every answer that was sent twice is told with `sent twice`.
///
/// # Errors
/// The address or the journal cannot be had, or a line is no script.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    LocalSet::new().block_on(&runtime, async {
        let listener = listen(arguments.listen)?;
        println!("listening {}", listener.local_addr()?);
        let (scripts, script) = watch::channel(Script::default());
        let ended = follow(scripts);
        let service = Rc::new(Service {
            stamp: arguments.stamp.clone(),
            journal: RefCell::new(Journal::append_to(&arguments.journal)?),
            rng: RefCell::new(Xoshiro256PlusPlus::seed_from_u64(arguments.seed)),
            script: script.clone(),
            previous: RefCell::default(),
        });
        tokio::select! {
            result = accept(&listener, &service, script) => result,
            result = ended => result.unwrap_or(Ok(())),
        }
    })
}

/// Follows standard input on a thread of its own. Its end is the end of whoever started this process.
fn follow(scripts: watch::Sender<Script>) -> tokio::sync::oneshot::Receiver<anyhow::Result<()>> {
    let (end, ended) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let result = io::stdin().lock().lines().try_for_each(|line| {
            let line = line.context("standard input")?;
            let script = serde_json::from_str(&line).with_context(|| format!("{line} is no script"))?;
            scripts.send_replace(script);
            println!("script");
            io::stdout().flush().context("standard output")
        });
        let _ = end.send(result);
    });
    ended
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // its port is in the configuration of a proxy: the next process takes it over
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().with_context(|| format!("cannot listen on {address}"))
}

async fn accept(listener: &TcpListener, service: &Rc<Service>, script: watch::Receiver<Script>) -> anyhow::Result<()> {
    loop {
        match listener.accept().await {
            // without lingering the close is a reset, as from a port on which nobody listens
            Ok((stream, _)) if script.borrow().refuse => {
                drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)))
            }
            Ok((stream, _)) => serve(stream, Rc::clone(service)),
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve(stream: TcpStream, service: Rc<Service>) {
    // a connection that is gone already ends with its first read
    let _ = stream.set_nodelay(true);
    tokio::task::spawn_local(async move {
        let (wire, tricks) = Wire::new(stream);
        let answer = service_fn(move |request| Rc::clone(&service).answer(request, tricks.clone()));
        let server = auto::Builder::new(Here);
        // the client sees what became of it; this end has nothing to say
        let _ = server.serve_connection_with_upgrades(wire, answer).await;
    });
}

/// Runs what a connection spawns on this thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
