//! The promises of the chaos proxy, kept before real sockets: clients and targets block in threads of the test. Times
//! have a lower bound that only the toxic explains, and an upper one that only a fault exceeds.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Instant,
};

use super::*;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence lasts until a test believes it.
const SILENCE: Duration = Duration::from_millis(150);
const MS: Duration = Duration::from_millis(1);

/// A target whose connections the test holds in its hand.
struct Target {
    address: SocketAddr,
    accepted: mpsc::Receiver<TcpStream>,
}

impl Target {
    /// Its thread ends with the first connection that the test does not want any more.
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = mpsc::channel();
        thread::spawn(move || listener.incoming().flatten().try_for_each(|stream| sender.send(patient(stream))));
        Self { address, accepted }
    }

    fn accept(&self) -> TcpStream {
        self.accepted.recv_timeout(PATIENCE).unwrap()
    }
}

/// No wait lasts for ever.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn connect(chaos: &Chaos) -> TcpStream {
    patient(TcpStream::connect(chaos.address()).unwrap())
}

/// A proxy, and the two ends of a connection through it.
async fn pair() -> (Chaos, Target, TcpStream, TcpStream) {
    let target = Target::start();
    let chaos = Chaos::start(target.address).await.unwrap();
    let client = connect(&chaos);
    let server = target.accept();
    (chaos, target, client, server)
}

/// Sends this and waits until it is there; the time that it took.
fn pass(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    let mut came = vec![0; bytes.len()];
    thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).unwrap());
        to.read_exact(&mut came).unwrap();
    });
    assert!(came == bytes, "{} bytes arrive changed", bytes.len());
    begin.elapsed()
}

/// Everything until the FIN.
fn rest(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).map(|_| rest)
}

/// Whether exactly this comes next.
fn comes(mut stream: &TcpStream, expected: &[u8]) -> bool {
    let mut came = vec![0; expected.len()];
    stream.read_exact(&mut came).is_ok() && came == expected
}

/// Whether nothing comes for a while, neither bytes nor an end.
fn is_silent(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

fn is_reset(mut stream: &TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::sleep(2 * MS);
    }
}

/// Bytes of which none repeats where a chunk could be lost, doubled or moved.
fn pattern(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|byte| (byte ^ (byte >> 8) ^ (byte >> 16)) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_toxics_it_is_a_wire() {
    let (chaos, _target, client, server) = pair().await;
    pass(&client, &server, &pattern(4 << 20));
    pass(&server, &client, &pattern(4 << 20));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&server).unwrap(), b"");
    pass(&server, &client, b"the other half is still open");
    assert_eq!(chaos.counts().open, 1);
    drop(server);
    assert_eq!(rest(&client).unwrap(), b"");
    until("it has ended", || chaos.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn latency_is_for_its_direction_only_and_goes_at_once() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Up, Toxics { latency: 200 * MS, ..Toxics::default() });
    let (up, down) = (pass(&client, &server, b"up"), pass(&server, &client, b"down"));
    assert!(up >= 200 * MS && up < 2_000 * MS, "{up:?}");
    assert!(down < 150 * MS, "{down:?}");
    chaos.set(Direction::Up, Toxics { latency: Duration::from_secs(3_600), ..Toxics::default() });
    (&client).write_all(b"late").unwrap();
    assert!(is_silent(&server));
    chaos.clear();
    assert!(comes(&server, b"late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn latency_costs_no_throughput() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Up, Toxics { latency: 100 * MS, ..Toxics::default() });
    // 256 chunks, one after the other, would take 25 s
    let took = pass(&client, &server, &pattern(4 << 20));
    assert!(took >= 100 * MS && took < 4_000 * MS, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn jitter_spreads_the_delay() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Down, Toxics { latency: 20 * MS, jitter: 40 * MS, ..Toxics::default() });
    let took: Vec<Duration> = (0..25).map(|_| pass(&server, &client, b"?")).collect();
    let (least, mean) = (took.iter().min().unwrap(), took.iter().sum::<Duration>() / 25);
    // evenly from 20 to 60 ms: the mean is 40 ms, the least of 25 is above 30 ms once in a thousand times
    assert!(*least >= 20 * MS && *least < 32 * MS, "{least:?}");
    assert!(mean >= *least + 8 * MS, "{mean:?} with {least:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bandwidth_is_what_was_asked_for() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Both, Toxics { bandwidth: Some(256 << 10), ..Toxics::default() });
    let took = pass(&client, &server, &pattern(128 << 10));
    assert!(took >= 450 * MS && took < 2_000 * MS, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slices_come_one_by_one() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Up, Toxics { slice: Some(Slice { bytes: 10, pause: 20 * MS }), ..Toxics::default() });
    let begin = Instant::now();
    (&client).write_all(&pattern(100)).unwrap();
    let mut first = [0; 100];
    let bytes = (&server).read(&mut first).unwrap();
    assert!(bytes < 100 && bytes % 10 == 0, "{bytes}");
    (&server).read_exact(&mut first[bytes..]).unwrap();
    assert_eq!(first[..], pattern(100));
    assert!(begin.elapsed() >= 180 * MS, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_closes_the_connection_after_exactly_so_many_bytes() {
    let (chaos, _target, client, server) = pair().await;
    pass(&server, &client, b"before it was set");
    chaos.set(Direction::Down, Toxics { limit: Some(1_000), ..Toxics::default() });
    (&server).write_all(&pattern(5_000)).unwrap();
    assert_eq!(rest(&client).unwrap(), pattern(1_000));
    assert_eq!(rest(&server).unwrap(), b"", "both sides are told");
    drop((client, server));
    until("it has ended", || chaos.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_reader_gets_all_up_to_the_limit_while_it_uploads_itself() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Down, Toxics { limit: Some(300_000), ..Toxics::default() });
    let sent = pattern(400_000);
    thread::scope(|scope| {
        // nobody reads the upload, and a socket that is closed over unread bytes throws away what it has still to send
        scope.spawn(|| (&client).write_all(&vec![0; 16 << 20]));
        thread::sleep(50 * MS);
        (&server).write_all(&sent).unwrap();
        thread::sleep(100 * MS);
        assert!(rest(&client).unwrap() == sent[..300_000]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_reader_gets_everything_after_the_proxy_has_closed() {
    let (_chaos, _target, client, server) = pair().await;
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&server).unwrap(), b"");
    let sent = pattern(300_000);
    (&server).write_all(&sent).unwrap();
    drop(server);
    thread::sleep(100 * MS);
    assert!(rest(&client).unwrap() == sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_close_delays_the_fin_and_nothing_else() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Down, Toxics { slow_close: 250 * MS, ..Toxics::default() });
    let begin = Instant::now();
    assert!(pass(&server, &client, b"bytes") < 200 * MS);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&client).unwrap(), b"");
    assert!(begin.elapsed() >= 250 * MS && begin.elapsed() < 2_000 * MS, "{:?}", begin.elapsed());
    pass(&client, &server, b"the other half is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reset_after_counts_from_the_setting_or_from_the_begin() {
    let (chaos, target, client, server) = pair().await;
    thread::sleep(100 * MS);
    let mut begin = Instant::now();
    chaos.set(Direction::Up, Toxics { reset_after: Some(200 * MS), ..Toxics::default() });
    pass(&client, &server, b"until then it is a wire");
    assert!(is_reset(&client) && is_reset(&server));
    assert!(begin.elapsed() >= 200 * MS && begin.elapsed() < 2_000 * MS, "{:?}", begin.elapsed());
    begin = Instant::now();
    let (client, server) = (connect(&chaos), target.accept());
    assert!(is_reset(&client) && is_reset(&server));
    assert!(begin.elapsed() >= 190 * MS && begin.elapsed() < 2_000 * MS, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hang_cuts_one_way_and_its_end_releases_everything_in_order() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Down, Toxics { hang: true, ..Toxics::default() });
    pass(&client, &server, b"the other way is open");
    let sent = pattern(8 << 20);
    thread::scope(|scope| {
        // more than fits on the way, so that the sender has to wait as well
        scope.spawn(|| (&server).write_all(&sent).unwrap());
        scope.spawn(|| {
            assert!(is_silent(&client));
            chaos.clear();
            let mut came = vec![0; sent.len()];
            (&client).read_exact(&mut came).unwrap();
            assert!(came == sent, "something was lost or moved");
        });
    });
    pass(&server, &client, b"and goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hang_holds_what_was_already_on_its_way() {
    let (chaos, _target, client, server) = pair().await;
    chaos.set(Direction::Up, Toxics { latency: 100 * MS, ..Toxics::default() });
    (&client).write_all(b"late").unwrap();
    thread::sleep(30 * MS);
    chaos.set(Direction::Up, Toxics { hang: true, ..Toxics::default() });
    assert!(is_silent(&server));
    chaos.clear();
    assert!(comes(&server, b"late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hang_holds_ends_as_well() {
    let (chaos, target, client, server) = pair().await;
    chaos.set(Direction::Down, Toxics { hang: true, ..Toxics::default() });
    drop(server);
    assert!(is_silent(&client), "no FIN");
    // the server's kernel answers with an RST, which the second write meets
    for _ in 0..2 {
        (&client).write_all(b"anybody there?").unwrap();
        assert!(is_silent(&client), "no RST");
    }
    let (other, resets) = (connect(&chaos), target.accept());
    reset(&SockRef::from(&resets));
    drop(resets);
    assert!(is_silent(&other), "no RST");
    assert_eq!(chaos.counts().open, 2);
    chaos.clear();
    assert_eq!(rest(&client).unwrap(), b"", "the FIN came first");
    assert!(is_reset(&other));
    until("both have ended", || chaos.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hang_towards_the_target_holds_new_connections_before_it() {
    let target = Target::start();
    let chaos = Chaos::start(target.address).await.unwrap();
    chaos.set(Direction::Up, Toxics { hang: true, ..Toxics::default() });
    let client = connect(&chaos);
    (&client).write_all(b"hello").unwrap();
    assert!(target.accepted.recv_timeout(SILENCE).is_err());
    chaos.clear();
    assert!(comes(&target.accept(), b"hello"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hang_takes_in_a_bounded_number_of_bytes() {
    let (chaos, _target, client, _server) = pair().await;
    chaos.set(Direction::Up, Toxics { hang: true, ..Toxics::default() });
    client.set_write_timeout(Some(SILENCE)).unwrap();
    let chunk = vec![0; 64 << 10];
    let taken = (0..2_048).take_while(|_| (&client).write_all(&chunk).is_ok()).count() * chunk.len();
    // the queue holds 1 MiB, the kernel's socket buffers hold up to 36 MiB where they may grow most
    assert!((1 << 20..64 << 20).contains(&taken), "{taken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reset_passes_as_a_reset_in_both_directions() {
    let (chaos, target, client, server) = pair().await;
    reset(&SockRef::from(&client));
    drop(client);
    assert!(is_reset(&server));
    let (client, server) = (connect(&chaos), target.accept());
    pass(&server, &client, b"first");
    reset(&SockRef::from(&server));
    drop(server);
    assert!(is_reset(&client));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_has_gone_resets_a_server_that_goes_on_writing() {
    let (chaos, _target, client, server) = pair().await;
    drop(client);
    assert_eq!(rest(&server).unwrap(), b"");
    until("the server is told", || (&server).write_all(b"still there?").is_err());
    until("it has ended", || chaos.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_resets_every_connection_that_was_open_and_no_later_one() {
    let (chaos, target, client, server) = pair().await;
    chaos.cut();
    assert!(is_reset(&client) && is_reset(&server));
    for _ in 0..200 {
        // accepted by the kernel, and perhaps by the proxy
        let client = connect(&chaos);
        chaos.cut();
        assert!(is_reset(&client));
    }
    let client = connect(&chaos);
    (&client).write_all(b"hello").unwrap();
    let served = || target.accepted.try_iter().any(|server| comes(&server, b"hello"));
    until("the one after the cut is served", served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_does_not_listen_resets_the_client() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let chaos = Chaos::start(nobody).await.unwrap();
    assert!(is_reset(&connect(&chaos)));
    until("it has ended", || chaos.counts().open == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_byte_is_lost_changed_or_moved_while_toxics_come_and_go() {
    let (chaos, _target, client, server) = pair().await;
    let sent = pattern(6 << 20);
    let rough = Toxics {
        latency: 3 * MS,
        jitter: 10 * MS,
        bandwidth: Some(8 << 20),
        slice: Some(Slice { bytes: 1_000, pause: Duration::ZERO }),
        ..Toxics::default()
    };
    chaos.set(Direction::Both, rough.clone());
    thread::scope(|scope| {
        let passing = [(&client, &server), (&server, &client)].map(|(from, to)| scope.spawn(|| pass(from, to, &sent)));
        for turn in 0.. {
            if passing.iter().all(|pass| pass.is_finished()) {
                break;
            }
            thread::sleep(15 * MS);
            chaos.set(Direction::Both, Toxics { hang: turn % 3 == 0, ..rough.clone() });
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_ends_with_the_proxy() {
    let (chaos, _target, client, server) = pair().await;
    let address = chaos.address();
    drop(chaos);
    assert!(is_reset(&client) && is_reset(&server));
    until("nobody listens", || TcpStream::connect(address).is_err());
}
