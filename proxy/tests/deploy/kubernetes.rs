//! The manifest for Kubernetes agrees with the configuration that it carries.

use serde_json::Value;
use synaxis_config::{Settings, settings::ListenerKind};

use super::{ADMIN, TRUST, at, load, ports, read, text, yaml};
use crate::world::{Client, Origin, alone, eventually, proxy, stop};

const FILE: &str = "deploy/kubernetes/synaxis-proxy.yaml";

/// What a preStop may need.
const SPARE_SECONDS: u64 = 20;

fn of_kind(kind: &str) -> Value {
    let all = yaml(FILE);
    let mut found = all.iter().filter(|document| document["kind"] == kind);
    let document = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    document.clone()
}

fn pod() -> Value {
    at(&of_kind("Deployment"), "/spec/template").clone()
}

fn settings() -> Settings {
    load(FILE, text(&of_kind("ConfigMap"), "/data/proxy.toml"), &[TRUST, ADMIN])
}

#[test]
fn the_config_map_is_the_example() {
    assert_eq!(text(&of_kind("ConfigMap"), "/data/proxy.toml"), read("deploy/examples/front-door-aks.toml"));
}

#[test]
fn a_pod_has_the_time_that_its_shutdown_takes() {
    let shutdown = settings().shutdown;
    let grace = at(&pod(), "/spec/terminationGracePeriodSeconds").as_u64().unwrap();
    assert_eq!(grace, (shutdown.lame_duck + shutdown.drain + shutdown.flush).as_secs() + SPARE_SECONDS);
    assert!(grace < 600, "the cluster autoscaler waits no longer");
    // whoever sends connections here has seen that it is not ready before it stops to accept
    let readiness = at(&pod(), "/spec/containers/0/readinessProbe").clone();
    let seconds = |key: &str| readiness[key].as_u64().unwrap();
    let seen = (seconds("periodSeconds") + seconds("timeoutSeconds")) * seconds("failureThreshold");
    assert!(2 * seen <= shutdown.lame_duck.as_secs(), "{seen} s to see it");
}

#[test]
fn ports_and_addresses_agree() {
    let (settings, pod, service) = (settings(), pod(), of_kind("Service"));
    let ports_of = at(&pod, "/spec/containers/0/ports").as_array().unwrap();
    let port = |name: &str| {
        let found = ports_of.iter().find(|port| port["name"] == name).unwrap_or_else(|| panic!("no port {name}"));
        u16::try_from(found["containerPort"].as_u64().unwrap()).unwrap()
    };
    assert_eq!(ports(&settings, ListenerKind::Edge), [port(text(&service, "/spec/ports/0/targetPort"))]);
    assert_eq!(settings.admin.address.port(), port("admin"));
    assert!(settings.admin.address.ip().is_unspecified(), "the kubelet probes from outside the pod");
    assert_eq!(text(&pod, "/metadata/annotations/prometheus.io~1port"), port("admin").to_string());
    assert_eq!(at(&service, "/spec/ports").as_array().unwrap().len(), 1, "only the edge is offered");
    let cores = text(&pod, "/spec/containers/0/resources/limits/cpu");
    assert_eq!(settings.server.workers.to_string(), cores);
    let stamp = settings.stamp.id.to_string();
    assert_eq!(text(&service, "/metadata/annotations/service.beta.kubernetes.io~1azure-pls-name"), stamp);
    let labels = at(&pod, "/metadata/labels");
    for selector in [
        at(&service, "/spec/selector"),
        at(&of_kind("Deployment"), "/spec/selector/matchLabels"),
        at(&of_kind("PodDisruptionBudget"), "/spec/selector/matchLabels"),
    ] {
        assert_eq!(selector, labels);
    }
}

#[test]
fn every_probe_asks_for_what_the_admin_listener_answers() {
    let origin = Origin::start("app");
    let running = proxy(&alone(origin.address, ""));
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        Client::connect(running.admin).exchange(request.as_bytes()).unwrap().status
    };
    eventually("ready", || ask("/readyz") == 200);
    let pod = pod();
    for (probe, path) in [("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")] {
        let get = at(&pod, &format!("/spec/containers/0/{probe}Probe/httpGet")).clone();
        assert_eq!((get["path"].as_str(), get["port"].as_str()), (Some(path), Some("admin")), "{probe}");
        assert_eq!(ask(path), 200, "{path}");
    }
    assert_eq!(ask(text(&pod, "/metadata/annotations/prometheus.io~1path")), 200);
    stop(running);
}

#[test]
fn what_is_mounted_is_what_is_read_and_an_update_gets_through() {
    let (settings, pod) = (settings(), pod());
    assert!(!read(FILE).lines().any(|line| line.trim_start().starts_with("subPath")), "a subPath never changes");
    let container = at(&pod, "/spec/containers/0");
    let mounts = at(container, "/volumeMounts").as_array().unwrap();
    let mounted = |path: &str| {
        let folder = path.rsplit_once('/').unwrap().0;
        let found = mounts.iter().find(|mount| mount["mountPath"] == folder);
        found.unwrap_or_else(|| panic!("nothing is mounted at {folder}"))
    };
    let arguments: Vec<&str> = at(container, "/args").as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let config = mounted(arguments.iter().find(|argument| argument.starts_with('/')).unwrap());
    assert!(config["subPath"].is_null() && config["readOnly"] == true);
    assert!(mounted(super::SECRET)["subPath"].is_null());
    let snapshot = settings.routing.unwrap().snapshot.unwrap();
    let state = mounted(snapshot.to_str().unwrap());
    assert!(state["readOnly"].is_null(), "the snapshot must be written");
    let volumes = at(&pod, "/spec/volumes").as_array().unwrap();
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
}

#[test]
fn the_container_may_do_nothing_but_serve() {
    let pod = pod();
    for (path, expected) in [
        ("/spec/automountServiceAccountToken", Value::from(false)),
        ("/spec/securityContext/runAsNonRoot", Value::from(true)),
        ("/spec/securityContext/seccompProfile/type", Value::from("RuntimeDefault")),
        ("/spec/containers/0/securityContext/allowPrivilegeEscalation", Value::from(false)),
        ("/spec/containers/0/securityContext/readOnlyRootFilesystem", Value::from(true)),
        ("/spec/containers/0/securityContext/capabilities/drop", Value::from(vec!["ALL"])),
    ] {
        assert_eq!(at(&pod, path), &expected, "{path}");
    }
    let service = of_kind("Service");
    let internal = text(&service, "/metadata/annotations/service.beta.kubernetes.io~1azure-load-balancer-internal");
    assert_eq!(internal, "true", "whoever reaches the edge names the tenant");
}
