//! Who is answered what. The rest of the admin listener is tested over HTTP.

use std::path::Path;

use super::*;
use crate::server;

const SETTINGS: &str = r#"
[stamp]
id = "synaxis-weu-001"
[[listeners]]
kind = "edge"
address = "127.0.0.1:0"
trust_header = true
[admin]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["http://127.0.0.1:1"]
[access_log]
output = "off"
"#;

#[test]
fn off_loopback_only_probes_metrics_and_the_version_are_answered() {
    let (settings, _) = synaxis_config::load(SETTINGS, Path::new("test.toml")).unwrap();
    let running = server::run(settings).unwrap();
    let (plane, status) = (Arc::clone(running.plane()), Arc::clone(running.status()));
    let desk = Desk::new(View { plane, status, started: Instant::now(), logs: None });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |peer: &str, target: &str| {
        let request = Request::get(target).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        runtime.block_on(answer(&desk, peer.parse().unwrap(), request)).status().as_u16()
    };
    for target in ["/livez", "/readyz", "/healthz", "/metrics", "/version"] {
        assert_eq!(ask("203.0.113.9:5000", target), 200, "{target}");
    }
    let rest = [
        "/",
        "/upstreams",
        "/loglevel",
        "/config",
        "/degradation",
        "/drain",
        "/routing",
        "/routing/table",
        "/routing/explain?tenant=acme",
        "/stamps",
        "/tenants/top",
        "/nothing",
    ];
    for target in rest {
        for stranger in ["203.0.113.9:5000", "[2001:db8::1]:5000", "[::ffff:203.0.113.9]:5000", "0.0.0.0:1"] {
            assert_eq!(ask(stranger, target), 403, "{target} from {stranger}");
        }
        for local in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert_ne!(ask(local, target), 403, "{target} from {local}");
        }
    }
    running.cut();
    running.wait();
}

#[test]
fn a_worker_that_stands_still_is_stuck_and_one_that_has_ended_is_not() {
    let (settings, _) = synaxis_config::load(SETTINGS, Path::new("test.toml")).unwrap();
    let running = server::run(settings).unwrap();
    let plane = Arc::clone(running.plane());
    running.cut();
    running.wait();
    let pulse = Pulse::new(&plane);
    let then = Instant::now() + Duration::from_secs(60);
    let sampled = |ticks: usize| {
        plane.workers.iter().for_each(|load| load.ticks.store(ticks, std::sync::atomic::Ordering::Relaxed));
        pulse.sample(&plane, Instant::now());
        probes::livez(&pulse, then).status().as_u16()
    };
    assert_eq!(sampled(5), 503);
    assert_eq!(sampled(crate::dataplane::ENDED), 200);
}
