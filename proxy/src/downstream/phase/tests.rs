//! Every phase has its limit and its word, on a clock that the test moves.

use std::{
    path::Path,
    task::{Context, Poll, Waker},
};

use tokio::io::AsyncWrite;

use super::*;
use crate::upstream::wire::Wire;

struct Bench {
    clock: CoarseClock,
    start: Instant,
    traffic: Arc<Traffic>,
    phase: Phase,
    settings: Settings,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let clock = CoarseClock::new(start);
        let traffic: Arc<Traffic> = Arc::default();
        let toml = "[stamp]\nid = \"synaxis-weu-001\"\n[[listeners]]\nkind = \"edge\"\naddress = \"127.0.0.1:0\"\ntrust_header = true\n\
            [upstreams.app]\nendpoints = [\"http://127.0.0.1:9\"]\n[limits]\nupload_rate = 100\n[timeouts]\nfirst_byte = \"1s\"\n\
            head = \"2s\"\nupload_idle = \"3s\"\nupload_grace = \"4s\"\nbody_idle = \"5s\"\nwrite_stall = \"6s\"\nidle = \"100s\"\n";
        let (settings, _) = synaxis_config::load(toml, Path::new("test.toml")).unwrap();
        let phase = Phase::new(Arc::clone(&traffic), clock.clone(), false);
        Self { clock, start, traffic, phase, settings }
    }

    /// The state at so many milliseconds after the start.
    fn at(&self, ms: u64) -> Option<Expired> {
        let now = self.start + Duration::from_millis(ms);
        self.clock.set(now);
        self.phase.overdue(now, &self.settings)
    }

    fn set(&self, ms: u64) {
        self.clock.set(self.start + Duration::from_millis(ms));
    }
}

#[test]
fn a_connection_that_says_nothing_has_the_time_to_its_first_byte() {
    let bench = Bench::new();
    assert_eq!((bench.at(1_000), bench.at(1_001)), (None, Some(Expired::FirstByte)));
}

#[test]
fn half_a_head_has_its_own_time_from_its_first_byte() {
    let bench = Bench::new();
    assert_eq!(bench.at(900), None);
    bench.traffic.count_read(10);
    assert_eq!((bench.at(950), bench.at(2_950)), (None, None));
    bench.traffic.count_read(1);
    assert_eq!(bench.at(2_951), Some(Expired::Head), "a byte now and then buys no time");
}

#[test]
fn a_connection_beyond_the_cap_has_a_second_for_its_whole_head() {
    let mut bench = Bench::new();
    bench.phase = Phase::new(Arc::clone(&bench.traffic), bench.clock.clone(), true);
    assert_eq!(bench.at(900), None);
    bench.traffic.count_read(10);
    assert_eq!((bench.at(1_000), bench.at(1_001)), (None, Some(Expired::Head)));
}

#[test]
fn before_the_head_of_an_answer_nobody_is_overdue() {
    let bench = Bench::new();
    bench.phase.next();
    bench.phase.begin();
    assert_eq!(bench.at(1_000_000), None, "the request's deadline watches");
    bench.phase.stream();
    assert_eq!((bench.at(1_005_000), bench.at(1_005_001)), (None, Some(Expired::AnswerIdle)));
    bench.traffic.count_read(1);
    assert_eq!(bench.at(1_005_002), None, "something moves");
}

#[test]
fn between_requests_it_is_idle() {
    let bench = Bench::new();
    bench.phase.next();
    bench.phase.begin();
    bench.set(10_000);
    bench.phase.end(1);
    assert_eq!((bench.at(110_000), bench.at(110_001)), (None, Some(Expired::Idle)));
}

#[test]
fn an_upload_that_is_waited_for_has_its_time_and_can_be_told_until_the_answers_head() {
    let bench = Bench::new();
    bench.phase.next();
    bench.phase.begin();
    let pace = bench.phase.upload();
    assert_eq!(bench.at(60_000), None, "nobody wants it yet");
    pace.want(Waker::noop());
    assert_eq!((bench.at(63_000), bench.at(63_001)), (None, Some(Expired::Body)));
    assert!(bench.phase.can_be_told(Expired::Body) && !bench.phase.can_be_told(Expired::AnswerIdle));
    bench.phase.give_up();
    assert_eq!(bench.at(64_000), None, "it is told once");
    bench.phase.stream();
    assert!(!bench.phase.can_be_told(Expired::Body));
}

#[test]
fn an_upload_that_trickles_is_given_up_after_its_grace() {
    let bench = Bench::new();
    bench.phase.next();
    bench.phase.begin();
    let pace = bench.phase.upload();
    pace.want(Waker::noop());
    // 50 bytes a second where 100 are asked for
    let mut end = None;
    for second in 1..10 {
        end = bench.at(second * 1_000 - 1).map(|why| (second, why)).or(end);
        bench.set(second * 1_000);
        pace.come(50);
        pace.want(Waker::noop());
    }
    assert_eq!(end.map(|(_, why)| why), Some(Expired::Body));
    let fine = Bench::new();
    fine.phase.next();
    fine.phase.begin();
    let pace = fine.phase.upload();
    pace.want(Waker::noop());
    for second in 1..10 {
        assert_eq!(fine.at(second * 1_000 - 1), None, "at second {second}");
        fine.set(second * 1_000);
        pace.come(150);
        pace.want(Waker::noop());
    }
}

#[test]
fn what_an_app_still_takes_of_an_earlier_upload_is_none_of_the_next_requests_business() {
    let bench = Bench::new();
    let first = bench.phase.next();
    bench.phase.begin();
    bench.phase.begin();
    let old = bench.phase.upload();
    bench.phase.stream();
    // its answer has ended and all of it has come, though the app has not taken it; the client asks again
    bench.phase.end(first);
    let second = bench.phase.next();
    bench.phase.begin();
    assert_eq!(bench.at(60_000), None, "the next request waits for its answer");
    let pace = bench.phase.upload();
    pace.want(Waker::noop());
    old.rest();
    old.end(false);
    bench.phase.end(first);
    assert!(bench.phase.is_busy());
    assert_eq!((bench.at(63_000), bench.at(63_001)), (None, Some(Expired::Body)));
    pace.come(1);
    pace.end(true);
    bench.phase.end(second);
    assert!(!bench.phase.is_busy());
    assert_eq!((bench.at(160_000), bench.at(163_002)), (None, Some(Expired::Idle)));
}

#[test]
fn time_in_which_the_app_does_not_read_counts_against_nobody() {
    let bench = Bench::new();
    bench.phase.next();
    bench.phase.begin();
    let pace = bench.phase.upload();
    for minute in 0..60 {
        // a byte a minute, at once when it is asked for
        bench.set(minute * 60_000);
        pace.want(Waker::noop());
        pace.come(1);
        assert_eq!(bench.at(minute * 60_000 + 59_999), None, "minute {minute}");
    }
}

#[test]
fn a_client_that_takes_nothing_is_stalled_and_not_the_app() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = std::pin::pin!(Wire::new(stream));
        let bench = Bench::new();
        let phase = Phase::new(wire.traffic(), bench.clock.clone(), false);
        let at = |ms| phase.overdue(bench.start + Duration::from_millis(ms), &bench.settings);
        phase.begin();
        phase.stream();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(written) = wire.as_mut().poll_write(&mut cx, &[0; 64 << 10]) {
            written.unwrap();
        }
        assert_eq!((at(10_000), at(16_000)), (None, None), "longer than an answer may stand still");
        assert_eq!(at(16_001), Some(Expired::WriteStall));
    });
}
