//! Connections have caps: in all, with a reserve for probes, and per address; and memory has a mark.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::world::{Client, Origin, alone, eventually, proxy, stop};

fn metrics(admin: SocketAddr) -> String {
    Client::connect(admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text()
}

/// Whether the proxy has closed a connection without a word.
fn is_refused(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn beyond_the_cap_a_probe_gets_its_answer_and_everybody_else_one_refusal() {
    let origin = Origin::start("app");
    let caps = "workers = 1\nconnections_max = 2\nconnections_reserve = 2";
    let proxy = proxy(&alone(origin.address, "").replace("workers = 1", caps));
    let edge = proxy.edges[0];
    let mut ordinary: Vec<Client> = (0..2).map(|_| Client::connect(edge)).collect();
    assert!(ordinary.iter_mut().all(|client| client.get("t", "/").status == 200));

    let mut third = Client::connect(edge);
    let refused = third.get("t", "/");
    assert_eq!((refused.status, refused.reason().as_str()), (503, "overload"));
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert!(third.is_closed());
    let mut probe = Client::connect(edge);
    let health = probe.exchange(b"GET /health HTTP/1.1\r\nHost: probe\r\n\r\n").unwrap();
    assert_eq!((health.status, health.header("connection")), (200, Some("close")));
    assert!(probe.is_closed());
    eventually("the reserve is free again", || proxy.plane().connections() == 2);

    let (silent, started) = ([Client::connect(edge), Client::connect(edge)], Instant::now());
    eventually("the reserve is taken", || proxy.plane().connections() == 4);
    assert!(is_refused(TcpStream::connect(edge).unwrap()), "nothing is left");
    eventually("who says nothing has a second", || proxy.plane().connections() == 2);
    assert!((900..2_500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    drop(silent);
    let text = metrics(proxy.admin);
    for series in [
        "connections_refused_total{reason=\"cap\"} 1",
        "connections_max 2",
        "local_replies_total{reason=\"overload\"} 1",
        "connections_expired_total{reason=\"first_byte_timeout\"} 2",
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }

    ordinary.pop();
    eventually("one has left", || proxy.plane().connections() == 1);
    assert_eq!(Client::connect(edge).get("t", "/").status, 200);
    assert_eq!(ordinary[0].get("t", "/").status, 200, "who was there stays");
    stop(proxy);
}

fn connect_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn one_address_cannot_take_every_connection_and_other_stamps_are_not_counted() {
    let origin = Origin::start("app");
    let listener = "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n";
    let settings = alone(origin.address, listener).replace("workers = 1", "workers = 1\nconnections_per_address = 2");
    let proxy = proxy(&settings);
    let edge = proxy.edges[0];
    let mut first = Client::connect(edge);
    let second = Client::connect(edge);
    assert_eq!(first.get("t", "/").status, 200);
    eventually("both are in", || proxy.plane().connections() == 2);
    assert!(is_refused(TcpStream::connect(edge).unwrap()));
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), edge);
    let peers: Vec<Client> = (0..4).map(|_| Client::connect(proxy.peers[0])).collect();
    eventually("others are in", || proxy.plane().connections() == 7);
    assert!(metrics(proxy.admin).contains("connections_refused_total{reason=\"address\"} 1"));
    drop((second, other, peers));
    eventually("they have left", || proxy.plane().connections() == 1);
    assert_eq!(Client::connect(edge).get("t", "/").status, 200, "a place that is left is free");
    stop(proxy);
}

#[test]
fn a_flood_at_the_edge_leaves_other_stamps_their_places_and_they_leave_clients_theirs() {
    let origin = Origin::start("app");
    let listener = "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n";
    let caps = "workers = 1\nconnections_max = 2\npeer_connections_max = 3\nconnections_reserve = 0";
    let proxy = proxy(&alone(origin.address, listener).replace("workers = 1", caps));
    let (edge, peer) = (proxy.edges[0], proxy.peers[0]);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(edge)).collect();
    assert!(clients.iter_mut().all(|client| client.get("t", "/").status == 200));
    assert!(is_refused(TcpStream::connect(edge).unwrap()));
    let probe = b"GET /health HTTP/1.1\r\nHost: probe\r\n\r\n";
    let mut peers: Vec<Client> = (0..3).map(|_| Client::connect(peer)).collect();
    assert!(peers.iter_mut().all(|peer| peer.exchange(probe).is_ok()));
    assert!(is_refused(TcpStream::connect(peer).unwrap()));
    clients.pop();
    eventually("one has left", || proxy.plane().connections() == 4);
    assert!(is_refused(TcpStream::connect(peer).unwrap()), "a client's place is for clients");
    assert_eq!(Client::connect(edge).get("t", "/").status, 200);
    peers.pop();
    eventually("a peer has left", || {
        metrics(proxy.admin).contains("\npeer_connections_max 3\n") && proxy.plane().connections() <= 4
    });
    assert!(Client::connect(peer).exchange(probe).is_ok(), "a place that is left is free");
    stop(proxy);
}

#[test]
fn above_its_memory_mark_a_proxy_refuses_all_but_probes_and_says_so() {
    let origin = Origin::start("app");
    // less than any process of ours has
    let mark = "workers = 1\nmemory_high = \"16MiB\"";
    let proxy = proxy(&alone(origin.address, "").replace("workers = 1", mark));
    let text = || metrics(proxy.admin);
    let ballast = vec![1_u8; 24 << 20];
    eventually("the mark is passed", || text().contains("\nmemory_overload 1\n"));
    assert!(ballast.iter().all(|byte| *byte == 1));
    let mut client = Client::connect(proxy.edges[0]);
    let refused = client.get("t", "/");
    assert_eq!((refused.status, refused.reason().as_str()), (503, "overload"));
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert!(client.is_closed());
    let mut probe = Client::connect(proxy.edges[0]);
    assert_eq!(probe.exchange(b"GET /health HTTP/1.1\r\nHost: probe\r\n\r\n").unwrap().status, 200);
    let ready = Client::connect(proxy.admin).exchange(b"GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(ready.text().contains("[-] memory is above server.memory_high"), "{}", ready.text());
    assert!(text().contains("local_replies_total{reason=\"overload\"} 1"));
    assert_eq!(origin.count(), 0);
    stop(proxy);
}
