//! Three small stamps with their real ingress proxies in one process, over a table in a temporary folder.

mod app;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::Context;
use synaxis_routing::{
    bundle::Bundle,
    change::{Fleet, Register},
    id::{Region, StampId},
    store::{LogEntry, Mode, Store},
    table::{Scope, Seed},
};

use crate::server::{self, Running};

/// Where the edges listen when these ports are free.
const EDGES: [u16; 3] = [8081, 8082, 8083];

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// When a port, the folder or a thread cannot be had.
pub fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let store = format!("file:{}", folder.path().join("store").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ids: Vec<StampId> =
        (1..=3).map(|number| StampId::parse(&format!("synaxis-weu-00{number}"))).collect::<Result<_, _>>()?;
    let peers = (0..3).map(|_| free_port(0)).collect::<anyhow::Result<Vec<u16>>>()?;
    runtime.block_on(publish(&store, &ids, &peers))?;

    let mut running: Vec<Running> = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let app = app::start(id.as_str())?;
        let settings = settings(id, free_port(EDGES[index])?, peers[index], &store, app);
        let (settings, _) =
            synaxis_config::load(&settings, Path::new("demo.toml")).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        running.push(server::run(settings)?);
    }
    ready(&running)?;
    print(&running, &store);
    runtime.block_on(tokio::signal::ctrl_c())?;
    for proxy in &running {
        proxy.cut();
    }
    running.into_iter().for_each(Running::wait);
    Ok(())
}

/// Waits until every proxy has a table: what is printed must work.
fn ready(running: &[Running]) -> anyhow::Result<()> {
    let started = Instant::now();
    while !running.iter().all(|proxy| proxy.plane().snapshot.load().fleet.is_some()) {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(10), "a proxy has no routing table after 10 s");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// `wanted`, if it is free, else any port that is.
fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}

async fn publish(store: &str, ids: &[StampId], peers: &[u16]) -> anyhow::Result<()> {
    let now = u64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?;
    let seed = Seed(now.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut fleet = Fleet::blank(vec![Region::parse("weu")?], Scope::Region, seed, 16)?;
    for (id, port) in ids.iter().zip(peers) {
        let endpoint = format!("http://127.0.0.1:{port}");
        let new = Register { id: id.clone(), endpoint, weight: 100, dedicated: false, labels: BTreeMap::new() };
        fleet = fleet.register(new, now)?.fleet.activate(id, 0, now)?.fleet;
    }
    let bundle = Bundle::encode(&fleet.table, &fleet.tenants, "demo")?;
    let entry = LogEntry {
        at: now,
        who: "demo".into(),
        what: "three stamps".into(),
        why: "demo".into(),
        version: fleet.version(),
    };
    Store::open(store, "synaxis")?.publish(None, &bundle, &entry, Mode::Init).await?;
    Ok(())
}

fn settings(id: &StampId, edge: u16, peer: u16, store: &str, app: std::net::SocketAddr) -> String {
    format!(
        r#"
[stamp]
id = "{id}"
[server]
workers = 1
[[listeners]]
kind = "edge"
address = "127.0.0.1:{edge}"
trust_header = true
[[listeners]]
kind = "peer"
address = "127.0.0.1:{peer}"
[admin]
address = "127.0.0.1:0"
[routing]
store = "{store}"
[upstreams.app]
endpoints = ["http://{app}"]
[access_log]
output = "off"
"#
    )
}

fn print(running: &[Running], store: &str) {
    println!("Three stamps are up. The same tenant lands on the same stamp, whichever entry you take:\n");
    for tenant in ["acme", "globex", "initech"] {
        for proxy in running {
            for edge in &proxy.edges {
                println!("  curl -s -H 'X-Tenant-Id: {tenant}' http://{edge}/hello");
            }
        }
    }
    println!("\nDrain a stamp and watch its tenants, and only those, move:\n");
    println!("  stampctl --store {store} drain weu-002 --ramp 60s --below-minimum --yes");
    println!("  stampctl --store {store} list");
    println!("  (stampctl: cargo run --release --bin stampctl -- …)\n");
    for proxy in running {
        println!("  curl -s 'http://{}/routing/explain?tenant=acme'", proxy.admin);
    }
    println!("\nCtrl-C ends it.");
}
