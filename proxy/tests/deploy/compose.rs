//! The three stamps of the compose file fit together, and Prometheus asks all of them.

use std::collections::BTreeSet;

use serde_json::Value;
use synaxis_config::{Settings, settings::ListenerKind};

use super::{TRUST, at, load, ports, read, text, yaml};

/// A world to play with leaves at once.
const HASTY: [&str; 2] = ["`lame_duck` in [shutdown] is below 5s", "`client_keepalive` in [shutdown] is below 95s"];

const FILE: &str = "deploy/compose.yaml";

fn compose() -> Value {
    yaml(FILE).remove(0)
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Each proxy's service and the settings that its command names.
fn stamps(compose: &Value) -> Vec<(&Value, Settings)> {
    let services = at(compose, "/services").as_object().unwrap();
    let proxies = services.iter().filter(|(name, _)| name.starts_with("proxy-"));
    let stamps: Vec<_> = proxies
        .map(|(name, service)| {
            let command = words(&service["command"]);
            let file = command.last().unwrap().strip_prefix("/etc/synaxis/").unwrap();
            assert_eq!(command[..2], ["run", "--config"], "{name}");
            assert_eq!(text(service, "/environment/SYNAXIS_CONFIG"), *command.last().unwrap(), "the health check's");
            (service, load(file, &read(&format!("deploy/compose/{file}")), &[TRUST, HASTY[0], HASTY[1]]))
        })
        .collect();
    assert_eq!(stamps.len(), 3);
    stamps
}

#[test]
fn every_service_stands_on_the_same_loopback() {
    let compose = compose();
    for (name, service) in at(&compose, "/services").as_object().unwrap() {
        let expected = if name == "loopback" { None } else { Some("service:loopback") };
        assert_eq!(service["network_mode"].as_str(), expected, "{name}");
        assert_eq!(
            service["ports"].is_null(),
            name != "loopback",
            "{name}: only the holder of the namespace has ports"
        );
    }
    let published = words(at(&compose, "/services/loopback/ports"));
    assert!(published.iter().all(|port| port.starts_with("127.0.0.1:")), "{published:?}");
    for (_, settings) in stamps(&compose) {
        let [edge] = ports(&settings, ListenerKind::Edge)[..] else { panic!("not one edge") };
        assert!(published.contains(&format!("127.0.0.1:{edge}:{edge}").as_str()), "{edge} is not published");
    }
}

#[test]
fn no_two_stamps_share_an_id_a_port_or_a_folder() {
    let compose = compose();
    let stamps = stamps(&compose);
    let mut taken = BTreeSet::new();
    for (service, settings) in &stamps {
        let ports = settings.listeners.iter().map(|listener| listener.address.port());
        for port in ports.chain([settings.admin.address.port()]) {
            assert!(taken.insert(port.to_string()), "port {port} twice");
        }
        assert!(taken.insert(settings.stamp.id.to_string()) && settings.admin.address.ip().is_loopback());
        let [config, state] = words(&service["volumes"])[..] else { panic!("{service}") };
        assert_eq!(config, "./compose:/etc/synaxis:ro");
        let (volume, folder) = state.split_once(':').unwrap();
        assert!(taken.insert(volume.to_owned()), "{volume} twice");
        let snapshot = settings.routing.as_ref().unwrap().snapshot.clone().unwrap();
        assert_eq!(snapshot.parent().unwrap().to_str(), Some(folder));
    }
}

#[test]
fn every_stamp_has_its_app_its_store_and_the_time_to_leave() {
    let compose = compose();
    for (service, settings) in stamps(&compose) {
        let number = settings.stamp.id.as_str().rsplit_once("-00").unwrap().1.to_owned();
        let command = at(&compose, &format!("/services/app-{number}/command")).to_string();
        assert!(command.contains(&format!("-p {} ", settings.upstreams[0].endpoints[0])), "{command}");
        assert!(command.contains(&format!("echo weu-00{number} ")), "{command}");
        let store = settings.routing.as_ref().unwrap().store.expose().to_owned();
        assert_eq!(text(&compose, "/services/stampctl/environment/SYNAXIS_ROUTING_STORE"), store);
        let grace: u64 = text(service, "/stop_grace_period").trim_end_matches('s').parse().unwrap();
        let shutdown = settings.shutdown;
        assert!(grace > (shutdown.lame_duck + shutdown.drain + shutdown.flush).as_secs());
    }
}

#[test]
fn prometheus_asks_every_stamp() {
    let compose = compose();
    let prometheus = yaml("deploy/prometheus/prometheus.yml").remove(0);
    let job = at(&prometheus, "/scrape_configs/0");
    assert_eq!(text(job, "/metrics_path"), "/metrics");
    let asked: BTreeSet<(String, String)> = at(job, "/static_configs")
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (text(entry, "/targets/0").to_owned(), text(entry, "/labels/stamp").to_owned()))
        .collect();
    let there = stamps(&compose).into_iter().map(|(_, s)| (s.admin.address.to_string(), s.stamp.id.to_string()));
    assert_eq!(asked, there.collect());
}
