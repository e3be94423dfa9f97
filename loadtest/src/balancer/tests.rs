//! The promises of the balancer, kept before real sockets: clients block in the test's thread, backends in their own.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::Instant,
};

use super::*;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How a probe's time is cut short where a test waits for it.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);

/// What a test process says to `/readyz`.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Ready,
    Draining,
    /// As after SIGSTOP: the kernel takes the connection, nobody answers.
    Nothing,
}

/// A process behind the balancer. Its threads end with the test binary.
struct Process {
    backend: Backend,
    says: Arc<Mutex<Says>>,
    taken: Arc<AtomicUsize>,
}

impl Process {
    /// Ready, and doing this with every connection.
    fn start(serve: fn(&TcpStream) -> io::Result<()>) -> Self {
        let says = Arc::new(Mutex::new(Says::Ready));
        let heard = Arc::clone(&says);
        let readyz = listen(move |stream| {
            let says = *heard.lock().unwrap();
            if says == Says::Nothing {
                thread::sleep(PATIENCE);
            }
            answer(stream, if says == Says::Ready { "200 OK" } else { "503 Service Unavailable" })
        });
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let traffic = listen(move |stream| {
            count.fetch_add(1, Ordering::SeqCst);
            serve(stream)
        });
        Self { backend: Backend { traffic, readyz }, says, taken }
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// A listener with a thread for every connection.
fn listen(serve: impl Fn(&TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(&stream));
        }
    });
    address
}

/// Answers one probe.
fn answer(mut stream: &TcpStream, status: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"GET /readyz HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut { stream }, &mut stream).map(drop)
}

/// Says how many bytes came, once no more come.
fn measure(mut stream: &TcpStream) -> io::Result<()> {
    let bytes = io::copy(&mut stream, &mut io::sink())?;
    write!(stream, "{bytes} bytes")
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

async fn balance(processes: &[&Process]) -> Balancer {
    let settings = Settings { timeout: PROBE_TIMEOUT, ..Settings::default() };
    let balancer = Balancer::start(Settings { interval: Duration::from_millis(10), ..settings }).await.unwrap();
    balancer.set(processes.iter().map(|process| process.backend).collect());
    until("all are ready", || balancer.ready() == processes.len());
    balancer
}

fn connect(balancer: &Balancer) -> TcpStream {
    let stream = TcpStream::connect(balancer.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether an echo comes back.
fn echoes(mut stream: &TcpStream) -> io::Result<()> {
    let mut back = [0; 5];
    stream.write_all(b"hello")?;
    stream.read_exact(&mut back)?;
    assert_eq!(&back, b"hello");
    Ok(())
}

/// Everything until the FIN.
fn rest(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).map(|_| rest)
}

fn is_reset<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn new_connections_take_turns_over_the_ready_ones_only() {
    let (first, second) = (Process::start(echo), Process::start(echo));
    let balancer = balance(&[&first, &second]).await;
    let serve = |connections| (0..connections).for_each(|_| echoes(&connect(&balancer)).unwrap());
    serve(4);
    assert_eq!((first.taken(), second.taken()), (2, 2));
    second.say(Says::Draining);
    until("one is ready", || balancer.ready() == 1);
    serve(4);
    assert_eq!((first.taken(), second.taken()), (6, 2));
    second.say(Says::Ready);
    until("both are ready", || balancer.ready() == 2);
    serve(4);
    assert_eq!((first.taken(), second.taken()), (8, 4));
    assert_eq!(balancer.counts().passed, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_outlives_the_readiness_of_its_backend() {
    let process = Process::start(echo);
    let balancer = balance(&[&process]).await;
    let client = connect(&balancer);
    echoes(&client).unwrap();
    for says in [Says::Draining, Says::Nothing] {
        process.say(says);
        until("nobody is ready", || balancer.ready() == 0);
        echoes(&client).unwrap();
    }
    assert_eq!(balancer.counts().open, 1);
    drop(client);
    until("it has ended", || balancer.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stopped_process_is_not_ready_once_the_probe_has_timed_out() {
    let process = Process::start(echo);
    let balancer = balance(&[&process]).await;
    process.say(Says::Nothing);
    let begin = Instant::now();
    until("it is not ready", || balancer.ready() == 0);
    // the probe before may have been answered just then
    assert!(begin.elapsed() >= PROBE_TIMEOUT - Duration::from_millis(20), "{:?}", begin.elapsed());
    assert_eq!(balancer.counts().nobody_ready, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_ready_backend_clients_are_closed_and_counted() {
    let process = Process::start(echo);
    let balancer = balance(&[&process]).await;
    process.say(Says::Draining);
    until("nobody is ready", || balancer.ready() == 0);
    assert_eq!(rest(&connect(&balancer)).unwrap(), b"");
    assert_eq!(balancer.counts(), Counts { nobody_ready: 1, ..Counts::default() });
    assert_eq!(process.taken(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backend_that_refuses_resets_its_client_and_no_other_one_is_tried() {
    let (alive, dead) = (Process::start(echo), Process::start(echo));
    let balancer = balance(&[&alive]).await;
    balancer.set(vec![alive.backend, Backend { traffic: nowhere(), ..dead.backend }]);
    until("both are ready", || balancer.ready() == 2);
    let clients: Vec<TcpStream> = (0..4).map(|_| connect(&balancer)).collect();
    let reset = clients.iter().filter(|client| is_reset(&echoes(client))).count();
    assert_eq!((reset, alive.taken()), (2, 2));
    let counts = balancer.counts();
    assert_eq!((counts.passed, counts.not_taken, counts.open), (2, 2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_answer_comes_after_the_client_has_ended_its_half() {
    let balancer = balance(&[&Process::start(measure)]).await;
    let mut client = connect(&balancer);
    client.write_all(&[7; 100_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&client).unwrap(), b"100000 bytes");
    until("it has ended", || balancer.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn megabytes_pass_unchanged_in_both_directions_at_once() {
    let balancer = balance(&[&Process::start(echo)]).await;
    let client = connect(&balancer);
    let sent: Vec<u8> = (0..8_u32 << 20).map(|byte| (byte ^ (byte >> 8) ^ (byte >> 16)) as u8).collect();
    let came = thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        rest(&client).unwrap()
    });
    assert!(came == sent, "{} of {} bytes", came.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_by_the_backend_is_a_reset_for_the_client_after_what_came_before() {
    fn answer_and_reset(mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(&[7; 10_000])?;
        // to close with the upload unread is to reset
        stream.read_exact(&mut [0; 10])?;
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }
    let balancer = balance(&[&Process::start(answer_and_reset)]).await;
    let client = connect(&balancer);
    (&client).write_all(&[0; 20]).unwrap();
    let mut answer = [0; 10_000];
    (&client).read_exact(&mut answer).unwrap();
    assert_eq!(answer, [7; 10_000]);
    assert!(is_reset(&rest(&client)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_in_the_middle_of_an_upload_arrives_before_the_reset() {
    fn refuse(mut stream: &TcpStream) -> io::Result<()> {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(&[7; 10_000])
    }
    let balancer = balance(&[&Process::start(refuse)]).await;
    for _ in 0..20 {
        let client = connect(&balancer);
        let answer = thread::scope(|scope| {
            // ends with an error as soon as the client's kernel knows of the reset
            scope.spawn(|| while (&client).write_all(&[0; 4_096]).is_ok() {});
            let mut answer = [0; 10_000];
            (&client).read_exact(&mut answer).map(|()| answer)
        });
        assert_eq!(answer.unwrap(), [7; 10_000]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_by_the_client_is_a_reset_for_the_backend() {
    static ENDED_WITH: Mutex<Option<ErrorKind>> = Mutex::new(None);
    fn note(stream: &TcpStream) -> io::Result<()> {
        *ENDED_WITH.lock().unwrap() = echo(stream).err().map(|error| error.kind());
        Ok(())
    }
    let balancer = balance(&[&Process::start(note)]).await;
    let client = connect(&balancer);
    echoes(&client).unwrap();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the backend saw a reset", || *ENDED_WITH.lock().unwrap() == Some(ErrorKind::ConnectionReset));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_list_leaves_connections_and_known_backends_as_they_are() {
    let (old, kept, new) = (Process::start(echo), Process::start(echo), Process::start(echo));
    let balancer = balance(&[&old, &kept]).await;
    let clients = [connect(&balancer), connect(&balancer)];
    clients.iter().for_each(|client| echoes(client).unwrap());
    new.say(Says::Draining);
    balancer.set(vec![kept.backend, new.backend]);
    assert_eq!(balancer.ready(), 1, "the kept one, at once; the new one only when it says so");
    echoes(&connect(&balancer)).unwrap();
    new.say(Says::Ready);
    until("the new one is ready", || balancer.ready() == 2);
    (0..2).for_each(|_| echoes(&connect(&balancer)).unwrap());
    assert_eq!((old.taken(), kept.taken(), new.taken()), (1, 3, 1));
    clients.iter().for_each(|client| echoes(client).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_above_the_cap_are_closed_and_counted() {
    let process = Process::start(echo);
    let balancer = Balancer::start(Settings { connections_max: 1, ..Settings::default() }).await.unwrap();
    balancer.set(vec![process.backend]);
    until("it is ready", || balancer.ready() == 1);
    let client = connect(&balancer);
    echoes(&client).unwrap();
    assert_eq!(rest(&connect(&balancer)).unwrap(), b"");
    assert_eq!(balancer.counts(), Counts { passed: 1, above_cap: 1, open: 1, ..Counts::default() });
    drop(client);
    until("there is room again", || balancer.counts().open == 0);
    echoes(&connect(&balancer)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_ends_with_the_balancer() {
    let process = Process::start(echo);
    let balancer = balance(&[&process]).await;
    let (address, client) = (balancer.address(), connect(&balancer));
    echoes(&client).unwrap();
    drop(balancer);
    assert_eq!(rest(&client).unwrap(), b"");
    until("nobody listens", || TcpStream::connect(address).is_err());
}
