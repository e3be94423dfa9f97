//! A hostile routing table sends nobody anywhere: no forbidden address is dialled, and no request goes round in circles.

use synaxis_routing::{id::TenantId, store::Mode, table::PinMode};

use super::pair::{Pair, Trap, stamp};
use crate::world::{Client, alone, eventually, free_port, proxy, stop};

#[test]
fn a_hostile_table_makes_the_proxy_dial_nobody() {
    let pair = Pair::start("");
    let trap = Trap::set();
    let port = trap.port();
    let (admin, edge) = (pair.proxies[0].admin, pair.proxies[0].edges[0]);
    let good = pair.current(0);
    let endpoints = [
        "https://169.254.169.254:8443".to_owned(),
        "http://169.254.169.254:80".to_owned(),
        "http://[::ffff:169.254.169.254]:80".to_owned(),
        "http://[fe80::1]:80".to_owned(),
        "http://[fd00:ec2::254]:80".to_owned(),
        "http://10.0.0.1:80".to_owned(),
        "http://224.0.0.1:80".to_owned(),
        "http://255.255.255.255:80".to_owned(),
        "https://metadata.google.internal:8443".to_owned(),
        format!("http://0.0.0.0:{port}"),
        format!("http://[::]:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://[::127.0.0.1]:{port}"),
        format!("http://[64:ff9b::7f00:1]:{port}"),
        format!("http://[2002:7f00:1::]:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://0x7f000001:{port}"),
        format!("http://0x7f.1:{port}"),
        format!("http://0177.0.0.1:{port}"),
        format!("http://127.1:{port}"),
        format!("http://127.0.0.1.:{port}"),
        format!("http://127.0.0.1:0{port}"),
        format!("http://user:pass@127.0.0.1:{port}"),
        format!("http://good.stamp.internal@127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/path"),
        format!("http://127.0.0.1:{port}?query"),
        format!("http://127.0.0.1:{port}#fragment"),
        format!("http://127.0.0.1:{port}\\@good.stamp.internal"),
        format!("http:127.0.0.1:{port}"),
        format!(" http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}\r\nX: y"),
        format!("HTTP://127.0.0.1:{port}"),
        format!("ftp://127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}"),
        "file:///etc/passwd".to_owned(),
        "http://127.0.0.1:0".to_owned(),
        String::new(),
        format!("http://{admin}"),
        format!("http://{edge}"),
    ];
    let mut client = Client::connect(edge);
    for (turn, endpoint) in endpoints.iter().enumerate() {
        let mut hostile = good.clone();
        hostile.table.epoch += 1 + turn as u64;
        pair.publish_endpoint(0, &hostile, endpoint);
        eventually(&format!("{endpoint:?} is refused"), || {
            pair.metric(0, "routing_refusals_total{reason=\"endpoint_forbidden\"}") == 1 + turn as u64
        });
        let version = pair.proxies[0].plane().snapshot.load().fleet.as_ref().unwrap().placement.version();
        assert_eq!(version, good.version(), "{endpoint:?} was applied");
        for tenant in 0..8 {
            assert_eq!(client.get(&format!("tenant-{tenant}"), "/").status, 200, "{endpoint:?}");
        }
        assert!(trap.caught().is_none(), "{endpoint:?} was dialled");
    }
    pair.stop();
}

#[test]
fn a_name_in_the_table_that_leads_to_an_own_listener_is_not_followed() {
    let pair = Pair::start("");
    let (admin, edge) = (pair.proxies[0].admin, pair.proxies[0].edges[0]);
    for own in [admin, edge] {
        // a name says nothing of its address, which is checked when it is dialled
        let mut hostile = pair.current(0);
        hostile.table.epoch += 1;
        hostile.table.stamps[1].endpoint = format!("http://localhost:{}", own.port());
        pair.publish(0, &hostile, Mode::NoProxies);
        pair.applied(0, &hostile);
        let mut client = Client::connect(edge);
        for tenant in 0..20 {
            // the next candidate serves what the owner cannot be reached for
            let answer = client.get(&format!("tenant-{tenant}"), "/metrics");
            assert_eq!(answer.status, 200);
            assert_eq!(answer.text(), format!("tenant-{tenant}|GET|/metrics ").repeat(3));
        }
    }
    assert!(pair.metric(0, "failovers_total") > 0);
    assert_eq!(pair.origins[1].count(), 0);
    pair.stop();
}

#[test]
fn an_app_that_is_an_own_listener_is_not_asked() {
    // an address is refused when the file is read; a name says nothing before it is dialled
    let port = free_port();
    let text = alone(([127, 0, 0, 1], port).into(), "").replace("http://127.0.0.1:", "http://localhost:");
    let proxy =
        proxy(&text.replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"127.0.0.1:{port}\"")));
    assert_eq!(proxy.admin.port(), port);
    for target in ["/config", "/routing/table", "/"] {
        let answer = Client::connect(proxy.edges[0]).get("acme", target);
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_connect"), "{target}");
    }
    stop(proxy);
}

#[test]
fn two_proxies_that_name_each_other_forward_once_at_most() {
    let pair = Pair::start("");
    let tenant = TenantId::parse(b"acme").unwrap();
    // each is told that the other one serves it, and nobody else
    for index in 0..2 {
        let pinned = pair.current(index).pin(tenant, &stamp(1 - index), PinMode::Strict, 1).unwrap().fleet;
        pair.publish(index, &pinned, Mode::NoProxies);
        pair.applied(index, &pinned);
    }
    for index in 0..2 {
        let before = [0, 1].map(|index| pair.metric(index, "forwarded_total"));
        let answer = Client::connect(pair.proxies[index].edges[0]).get("acme", "/");
        assert_eq!((answer.status, answer.reason().as_str()), (421, "misdirected"));
        let after = [0, 1].map(|index| pair.metric(index, "forwarded_total"));
        assert_eq!(
            (after[index] - before[index], after[1 - index] - before[1 - index]),
            (1, 0),
            "one hop and no second"
        );
    }
    // the one with the newer table is believed: still one hop
    let mut newer = pair.current(0);
    newer.table.epoch += 10;
    pair.publish(0, &newer, Mode::NoProxies);
    pair.applied(0, &newer);
    assert_eq!(Client::connect(pair.proxies[0].edges[0]).get("acme", "/newer").status, 200);
    assert_eq!((pair.origins[0].count(), pair.origins[1].count()), (0, 1));
    let version = newer.version();
    let forward = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {version}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: acme\r\n\r\n",
        stamp(1)
    );
    // and a forward is never sent on, whatever the receiver's own table says
    let before = pair.metric(0, "forwarded_total");
    let answer = Client::connect(pair.proxies[0].peers[0]).exchange(forward.as_bytes()).unwrap();
    assert_eq!((answer.status, pair.metric(0, "forwarded_total")), (421, before));
    pair.stop();
}
