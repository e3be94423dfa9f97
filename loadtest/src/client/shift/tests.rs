//! One thread against servers that do not behave.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    num::NonZeroUsize,
};

use bytes::Bytes;

use super::*;
use crate::{
    arrival::{Phase, Process, Schedule},
    client,
    workload::Mix,
};

const LIMIT: Duration = Duration::from_millis(200);
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn plan(entry: SocketAddr, mix: Mix) -> Plan {
    let phase = Phase { duration: Duration::from_secs(1), rate: 1.0, to: None, burst: None, noisy: 0.0 };
    Plan {
        schedule: Schedule::new(Process::Constant, vec![phase], 1),
        tenants: client::tenants(mix.tenants),
        workload: Workload::new(mix, 1),
        entries: vec![entry],
        connections: 1,
        http2_connections: 1,
        timeout: LIMIT,
        threads: NonZeroUsize::MIN,
        echo: false,
    }
}

/// Launches `count` requests at once and polls them beside `meanwhile` until that ends; what is left then is dropped.
fn launched(plan: &Plan, count: u64, meanwhile: impl AsyncFnOnce(&Shift)) -> Samples {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let shift = Rc::new(Shift::new(plan, 0, 1, Arc::new(Live::default())));
    local.block_on(&runtime, async {
        (0..count).for_each(|number| shift.launch(number, Duration::ZERO, &plan.workload));
        meanwhile(&shift).await;
    });
    drop(local);
    shift.pools.iter().for_each(|pool| pool.give_up());
    let mut samples = shift.samples.take();
    samples.samples.sort_unstable_by_key(|sample| sample.id);
    samples
}

/// Returns once every request has ended.
async fn ended(shift: &Shift) {
    while shift.outstanding.get() > 0 {
        tokio::task::yield_now().await;
    }
}

fn outcomes(samples: &Samples) -> Vec<&str> {
    samples.samples.iter().map(|sample| samples.outcomes.name(sample.outcome)).collect()
}

/// Connections are established, and nobody ever accepts them.
fn silent() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_request_that_is_dropped_leaves_a_sample_on_every_carrier() {
    let server = silent();
    for mix in [
        Mix::default(),
        Mix { new_connections: 1.0, ..Mix::default() },
        Mix { websockets: 1.0, ..Mix::default() },
        Mix { http2: 1.0, ..Mix::default() },
    ] {
        let plan = Plan { timeout: PATIENCE, ..plan(server.local_addr().unwrap(), mix) };
        let samples = launched(&plan, 3, async |_| tokio::time::sleep(LIMIT / 2).await);
        let wanted: &[&str] = match plan.workload.request(0).carrier {
            Carrier::Kept => &["abandoned", "backlog", "backlog"],
            _ => &["abandoned"; 3],
        };
        assert_eq!(outcomes(&samples), wanted);
        assert!(samples.samples.iter().map(|sample| sample.id).eq(0..3));
    }
}

#[test]
fn a_request_waits_for_a_connection_no_longer_than_its_time_limit() {
    let server = silent();
    let plan = plan(server.local_addr().unwrap(), Mix::default());
    let samples = launched(&plan, 4, async |shift| {
        tokio::select! {
            _ = async { tokio::join!(shift.sweep(), shift.watch()) } => {}
            () = ended(shift) => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
    });
    // the one on the connection has had its time too when the others give up, so none of them gets it
    assert_eq!(outcomes(&samples), ["timeout", "backlog", "backlog", "backlog"]);
    for sample in &samples.samples[1..] {
        let waited = Duration::from_micros(sample.ended - sample.launched);
        assert!(waited >= LIMIT && waited < PATIENCE / 2, "{waited:?}");
    }
}

#[test]
fn a_load_without_kept_connections_opens_none() {
    let server = silent();
    let plan = Plan { connections: 0, ..plan(server.local_addr().unwrap(), Mix { http2: 1.0, ..Mix::default() }) };
    assert_eq!(Shift::new(&plan, 0, 1, Arc::new(Live::default())).pools[0].size, 0);
    let plan = Plan { connections: 1, ..plan };
    assert_eq!(
        Shift::new(&plan, 3, 4, Arc::new(Live::default())).pools[0].size,
        1,
        "every thread sends to every entry"
    );
}

/// Refuses a WebSocket with these fields; `TENANT` stands for the one that asked.
fn turned_away(fields: &str) -> (String, String) {
    let listener = silent();
    let address = listener.local_addr().unwrap();
    let fields = fields.to_owned();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let heads = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let heads = heads.map(|line| line.to_ascii_lowercase()).take_while(|line| !line.is_empty());
        let tenants: Vec<String> =
            heads.filter_map(|line| Some(line.strip_prefix("x-tenant-id: ")?.to_owned())).collect();
        let fields = fields.replace("TENANT", &tenants[0]);
        let head = format!("HTTP/1.1 503 Service Unavailable\r\n{fields}content-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    });
    let plan = Plan { timeout: PATIENCE, ..plan(address, Mix { websockets: 1.0, ..Mix::default() }) };
    let samples = launched(&plan, 1, async |shift| ended(shift).await);
    server.join().unwrap();
    (outcomes(&samples)[0].to_owned(), samples.stamps.name(samples.samples[0].stamp).to_owned())
}

#[test]
fn a_refused_websocket_that_carries_anothers_proof_is_cross_talk() {
    for (fields, end, stamp) in [
        ("", "503", ""),
        ("x-synaxis-reason: no_stamp\r\n", "503 no_stamp", ""),
        ("x-load-id: 0\r\nx-load-tenant: TENANT\r\nx-load-stamp: a\r\n", "503", "a"),
        ("x-load-id: 1\r\nx-load-tenant: TENANT\r\nx-load-stamp: a\r\n", "cross_talk", "a"),
        ("x-load-id: 0\r\nx-load-tenant: other\r\nx-load-stamp: a\r\n", "cross_talk", "a"),
    ] {
        assert_eq!(turned_away(fields), (end.to_owned(), stamp.to_owned()), "{fields}");
    }
}

/// Serves HTTP/2; `answers` says of the n-th request whether it is answered or refused.
async fn refusing(listener: tokio::net::TcpListener, answers: impl Fn(u32) -> bool) {
    let mut count = 0;
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            count += 1;
            if answers(count) {
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(Bytes::new(), true).unwrap();
            } else {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
    }
}

fn refused(answers: impl Fn(u32) -> bool) -> Samples {
    let listener = silent();
    listener.set_nonblocking(true).unwrap();
    let plan = plan(listener.local_addr().unwrap(), Mix { http2: 1.0, ..Mix::default() });
    launched(&plan, 1, async |shift| {
        let server = refusing(tokio::net::TcpListener::from_std(listener).unwrap(), answers);
        tokio::select! {
            () = server => {}
            () = ended(shift) => {}
        }
    })
}

#[test]
fn a_stream_that_the_server_refused_is_sent_again_and_not_for_ever() {
    assert_eq!(outcomes(&refused(|count| count == 3)), ["ok"]);
    assert_eq!(outcomes(&refused(|_| false)), ["closed"]);
}
