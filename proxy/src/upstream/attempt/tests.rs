//! What is known of a request that failed: sockets of the test's own, broken where it hurts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    pin::Pin,
    rc::Rc,
    thread,
};

use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use synaxis_config::settings::HttpEndpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{
    body::{Ends, Watcher, pace::Pace},
    upstream::{
        target::Targets,
        timer::{CoarseClock, Timer},
    },
};

struct Bench {
    listener: TcpListener,
    target: Arc<Target>,
    pools: Pools,
    metrics: Metrics,
    policy: EndpointPolicy,
    timer: Timer,
}

impl Bench {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = HttpEndpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        Self {
            target: Targets::default().app("app", &endpoint),
            listener,
            pools: Pools::new(CoarseClock::new(Instant::now())),
            metrics: Metrics::new().unwrap(),
            policy: EndpointPolicy::default(),
            timer: Timer::default(),
        }
    }

    /// Puts a connection into the pool; both of its ends.
    async fn pooled(&self) -> (TcpStream, TcpStream) {
        self.pooled_beside(0).await
    }

    /// The same when so many are there already.
    async fn pooled_beside(&self, others: usize) -> (TcpStream, TcpStream) {
        let ours = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = self.listener.accept().unwrap();
        let kept = ours.try_clone().unwrap();
        ours.set_nonblocking(true).unwrap();
        let wire = Wire::new(tokio::net::TcpStream::from_std(ours).unwrap());
        let mut link = Link::handshake(Arc::clone(&self.target), wire, Instant::now()).await.unwrap();
        // a dispatcher is ready for its first request once it has been polled
        poll_fn(|cx| {
            let _ = link.drive(cx);
            link.sender.poll_ready(cx)
        })
        .await
        .unwrap();
        self.pools.checkin(link, 256);
        assert_eq!(self.pools.len(), others + 1);
        (kept, theirs)
    }

    /// Answers the next connection's request and returns its head.
    fn answer_next(&self) -> thread::JoinHandle<Vec<String>> {
        let listener = self.listener.try_clone().unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let lines = (&mut reader).lines().map(|line| line.unwrap()).take_while(|line| !line.is_empty()).collect();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            lines
        })
    }

    fn means(&self) -> Means<'_> {
        Means {
            pools: &self.pools,
            metrics: &self.metrics,
            policy: &self.policy,
            connect: Duration::from_secs(1),
            idle_max: 256,
            is_followed: &|| true,
        }
    }

    async fn send(&self, head: &mut Head) -> Result<Response<Download>, Failed> {
        let deadline = self.timer.deadline(Instant::now(), Duration::from_secs(10));
        send(&self.means(), &self.target, head, &Upload::default(), &deadline).await
    }
}

fn head() -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("a"));
    headers.insert("x-request", HeaderValue::from_static("42"));
    Head { method: Method::POST, uri: Uri::from_static("/pay?once"), headers, announced: false, websocket: false }
}

fn on_a_worker<F: Future>(future: F) -> F::Output {
    let options = tokio::runtime::LocalOptions::default();
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap().block_on(future)
}

#[test]
fn a_request_whose_first_write_the_kernel_refused_goes_out_whole_on_a_new_connection() {
    on_a_worker(async {
        let bench = Bench::new();
        let (ours, _theirs) = bench.pooled().await;
        ours.shutdown(Shutdown::Write).unwrap();
        let app = bench.answer_next();
        let mut head = head();
        let answer = bench.send(&mut head).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut lines = app.join().unwrap();
        lines.sort();
        assert_eq!(lines, ["POST /pay?once HTTP/1.1", "host: a", "x-request: 42"]);
    });
}

/// One exchange over a pooled connection, which goes back into the pool.
async fn exchange_once(bench: &Bench, theirs: &TcpStream) {
    let mut app = theirs.try_clone().unwrap();
    let app = thread::spawn(move || {
        let lines = BufReader::new(app.try_clone().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.take_while(|line| !line.is_empty()).count(), 3);
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let mut body = bench.send(&mut head()).await.unwrap().into_body();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame.unwrap();
    }
    app.join().unwrap();
}

#[test]
fn a_pooled_connection_that_the_app_has_closed_is_replaced() {
    on_a_worker(async {
        let bench = Bench::new();
        let (_ours, theirs) = bench.pooled().await;
        exchange_once(&bench, &theirs).await;
        assert_eq!(bench.pools.len(), 1);
        // in peace, as a server that restarts does; nobody looks at the connection meanwhile
        theirs.shutdown(Shutdown::Both).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let app = bench.answer_next();
        assert_eq!(bench.send(&mut head()).await.unwrap().status(), 200);
        assert_eq!(app.join().unwrap()[0], "POST /pay?once HTTP/1.1");
    });
}

#[test]
fn any_number_of_closed_connections_in_the_pool_costs_no_request() {
    on_a_worker(async {
        let bench = Bench::new();
        let mut ends = Vec::new();
        for _ in 0..200 {
            let (ours, theirs) = bench.pooled_beside(ends.len()).await;
            // the one put in last is taken first
            exchange_once(&bench, &theirs).await;
            ends.push((ours, theirs));
        }
        assert_eq!(bench.pools.len(), 200);
        ends.iter().for_each(|(_, theirs)| theirs.shutdown(Shutdown::Both).unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let app = bench.answer_next();
        assert_eq!(bench.send(&mut head()).await.unwrap().status(), 200);
        app.join().unwrap();
        assert!(bench.pools.is_empty());
    });
}

#[test]
fn a_peer_that_demands_tls_gets_nothing_in_the_clear() {
    on_a_worker(async {
        let mut bench = Bench::new();
        let endpoint = format!("https://{}", bench.listener.local_addr().unwrap());
        let endpoint = synaxis_routing::endpoint::Endpoint::parse(&endpoint).unwrap();
        let stamp = synaxis_routing::id::StampId::parse("synaxis-weu-001").unwrap();
        bench.target = Targets::default().peer(&stamp, &endpoint);
        let failed = bench.send(&mut head()).await.map(|answer| answer.status()).unwrap_err();
        assert!(matches!(failed.cause, Cause::Connect(ConnectError::NoTls(..))), "{failed:?}");
        assert_eq!(failed.sent, Sent::No, "the next candidate may have it");
        bench.listener.set_nonblocking(true).unwrap();
        assert!(bench.listener.accept().is_err(), "nobody connected");
    });
}

#[test]
fn a_request_of_which_a_byte_went_out_is_never_sent_again() {
    on_a_worker(async {
        let bench = Bench::new();
        let (_ours, theirs) = bench.pooled().await;
        let reset = thread::spawn(move || {
            let mut reader = BufReader::new(theirs);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line
        });
        let failed = bench.send(&mut head()).await.map(|answer| answer.status()).unwrap_err();
        assert_eq!(failed.sent, Sent::Maybe, "{failed:?}");
        assert!(matches!(failed.cause, Cause::Reset(_)), "{failed:?}");
        assert_eq!(reset.join().unwrap(), "POST /pay?once HTTP/1.1\r\n");
        bench.listener.set_nonblocking(true).unwrap();
        assert!(bench.listener.accept().is_err(), "no second connection came");
    });
}

#[test]
fn nobody_listening_means_nothing_was_sent_and_the_head_is_whole() {
    on_a_worker(async {
        let mut bench = Bench::new();
        let gone = bench.listener.local_addr().unwrap();
        bench.listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut head = head();
        let failed = bench.send(&mut head).await.map(|answer| answer.status()).unwrap_err();
        assert_eq!(failed.sent, Sent::No);
        assert!(failed.cause.to_string().contains(&gone.to_string()), "{failed:?}");
        assert_eq!((head.headers.len(), head.uri.path()), (2, "/pay"));
    });
}

#[test]
fn an_early_answer_that_is_not_used_leaves_the_rest_of_the_upload_to_others() {
    on_a_worker(async {
        let bench = Rc::new(Bench::new());
        // an app that answers as soon as it has a head, and then tells what else came
        let listener = bench.listener.try_clone().unwrap();
        let app = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let head = (&mut reader).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).count();
            reader.get_mut().write_all(b"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n").unwrap();
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest);
            (head, rest)
        });
        // a client whose body comes later
        let (mut client, server) = tokio::io::duplex(1_024);
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await.unwrap();
        let refused = Rc::new(tokio::sync::Notify::new());
        let told = Rc::clone(&refused);
        let service = service_fn(move |request: Request<Incoming>| {
            let (bench, told) = (Rc::clone(&bench), Rc::clone(&told));
            async move {
                let upload = {
                    let pace = Rc::new(Pace::new(CoarseClock::new(Instant::now())));
                    Upload::new(request.into_body(), || pace, || Watcher::new(Rc::new(Nobody), 0))
                };
                let deadline = bench.timer.deadline(Instant::now(), Duration::from_secs(10));
                let answer = send(&bench.means(), &bench.target, &mut head(), &upload, &deadline).await.unwrap();
                assert_eq!(answer.status(), 421);
                drop(answer);
                told.notify_one();
                // whoever has the upload now gets all of it
                let mut body = std::pin::pin!(upload.body());
                let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), "later");
                Ok::<_, std::convert::Infallible>(Response::new(String::new()))
            }
        });
        let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let client = async {
            refused.notified().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.write_all(b"later").await.unwrap();
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
        };
        let both = async {
            tokio::select! {
                _ = server => panic!("the connection ended"),
                () = client => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("the upload went elsewhere");
        assert_eq!(app.join().unwrap(), (4, Vec::new()), "the app that said no got some of it");
    });
}

/// Watches nothing.
struct Nobody;

impl Ends for Nobody {
    fn end(&self, _: u64) {}
}
