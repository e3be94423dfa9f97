//! Hostile endpoints.

use super::*;

fn strict() -> EndpointPolicy {
    EndpointPolicy::default()
}

fn with_networks() -> EndpointPolicy {
    EndpointPolicy {
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        schemes: vec![Scheme::Https, Scheme::Http],
        ..strict()
    }
}

fn on_loopback() -> EndpointPolicy {
    EndpointPolicy {
        own: vec![
            "127.0.0.1:8080".parse().unwrap(),
            "0.0.0.0:9090".parse().unwrap(),
            "127.0.0.1:8443".parse().unwrap(),
        ],
        own_peers: vec!["127.0.0.1:8443".parse().unwrap()],
        loopback_peers: true,
        ..strict()
    }
}

#[test]
fn a_stamp_behind_its_internal_name_is_accepted() {
    let endpoint = strict().check_url("https://weu-001.stamp.internal:8443").unwrap();
    assert_eq!(
        (endpoint.scheme, endpoint.host.as_str(), endpoint.port),
        (Scheme::Https, "weu-001.stamp.internal", 8443)
    );
    assert_eq!(endpoint.to_string(), "https://weu-001.stamp.internal:8443");
}

#[test]
fn whatever_is_not_scheme_host_and_port_is_malformed() {
    let long = format!("https://{}.stamp.internal:8443", "a".repeat(300));
    for text in [
        "",
        "weu-001.stamp.internal:8443",
        "ftp://weu-001.stamp.internal:8443",
        "HTTPS://weu-001.stamp.internal:8443",
        "https:weu-001.stamp.internal:8443",
        "https:///weu-001.stamp.internal:8443",
        "https://user@weu-001.stamp.internal:8443",
        "https://user:pass@weu-001.stamp.internal:8443",
        "https://weu-001.stamp.internal:8443/",
        "https://weu-001.stamp.internal:8443/path",
        "https://weu-001.stamp.internal:8443?q",
        "https://weu-001.stamp.internal:8443#f",
        "https://weu-001.stamp.internal\\@evil:8443",
        "https://weu-001.stamp.internal:8443\n",
        " https://weu-001.stamp.internal:8443",
        "https://weu-001%2estamp.internal:8443",
        "https://weu-001.stamp.internal:0",
        "https://weu-001.stamp.internal:99999",
        "https://weu-001.stamp.internal:-1",
        "https://:8443",
        "https://１２７.0.0.1:8443",
        "https://[fe80::1%25eth0]:8443",
        "https://[::1:8443",
        &long,
    ] {
        let error = Endpoint::parse(text).unwrap_err();
        assert!(matches!(error, EndpointError::Malformed(_) | EndpointError::Spelling { .. }), "{text:?}: {error:?}");
    }
}

#[test]
fn a_second_spelling_of_an_address_is_refused() {
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.01",
        "169.254.43518",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
    ] {
        let text = format!("https://{host}:8443");
        let error = Endpoint::parse(&text).unwrap_err();
        assert!(matches!(error, EndpointError::Spelling { .. } | EndpointError::Malformed(_)), "{text}: {error:?}");
    }
    for port in ["08443", "+8443", ""] {
        assert!(Endpoint::parse(&format!("https://weu-001.stamp.internal:{port}")).is_err(), "{port:?}");
    }
}

#[test]
fn some_addresses_are_never_dialled_whatever_the_policy() {
    for address in [
        "169.254.169.254",
        "169.254.0.1",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "ff02::1",
        "fe80::1",
        "febf::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::10.0.0.1",
        "::2",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:0:1::1",
    ] {
        let ip: IpAddr = address.parse().unwrap();
        for policy in [with_networks(), on_loopback()] {
            let verdict = policy.check_address(SocketAddr::new(ip, PORT));
            assert!(matches!(verdict, Err(EndpointError::Forbidden { .. })), "{address}: {verdict:?}");
            let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            assert!(policy.check_url(&format!("https://{host}:8443")).is_err(), "{address}");
        }
    }
}

#[test]
fn names_ports_and_schemes_stand_on_the_list_or_are_refused() {
    let check = |policy: &EndpointPolicy, text: &str, expected: EndpointError| {
        assert_eq!(policy.check_url(text).unwrap_err(), expected, "{text}");
    };
    let host = |name: &str| EndpointError::Host(name.to_owned());
    check(&strict(), "https://evil.example:8443", host("evil.example"));
    check(&strict(), "https://stamp.internal:8443", host("stamp.internal"));
    check(&strict(), "https://.stamp.internal.evil.example:8443", host(".stamp.internal.evil.example"));
    check(&strict(), "https://xstamp.internal:8443", host("xstamp.internal"));
    check(&strict(), "https://weu-001.stamp.internal.:8443", host("weu-001.stamp.internal."));
    check(&strict(), "https://weu-001.stamp.internal", EndpointError::Port(443));
    check(&strict(), "https://weu-001.stamp.internal:8444", EndpointError::Port(8444));
    check(&strict(), "http://weu-001.stamp.internal:8443", EndpointError::Scheme(Scheme::Http));
    check(&with_networks(), "http://weu-001.stamp.internal:8443", EndpointError::Scheme(Scheme::Http));
    check(&strict(), "https://10.1.2.3:8443", EndpointError::Network("10.1.2.3".parse().unwrap()));
    check(&strict(), "https://localhost:8443", EndpointError::Loopback);
    check(&strict(), "https://127.0.0.1:8443", EndpointError::Loopback);
    check(&strict(), "https://[::1]:8443", EndpointError::Loopback);
    assert!(with_networks().check_url("https://10.1.2.3:8443").is_ok());
    assert!(with_networks().check_url("https://[fd12:3456::1]:8443").is_ok());
}

#[test]
fn a_name_that_resolves_outside_the_networks_is_refused_at_connect() {
    let policy = EndpointPolicy { networks: vec!["10.0.0.0/8".parse().unwrap()], ..strict() };
    assert!(policy.check_url("https://weu-001.stamp.internal:8443").is_ok());
    assert!(policy.check_address("10.9.9.9:8443".parse().unwrap()).is_ok());
    let outside: SocketAddr = "93.184.216.34:8443".parse().unwrap();
    assert_eq!(policy.check_address(outside), Err(EndpointError::Network(outside.ip())));
    assert_eq!(policy.check_address("127.0.0.1:8443".parse().unwrap()), Err(EndpointError::Loopback));
}

#[test]
fn with_peers_on_loopback_only_our_other_listeners_are_refused() {
    let policy = on_loopback();
    for ok in ["http://127.0.0.1:8443", "http://127.0.0.1:40001", "https://[::1]:40001", "http://localhost:40001"] {
        assert!(policy.check_url(ok).is_ok(), "{ok}");
    }
    for own in ["127.0.0.1:8080", "127.0.0.1:9090", "127.8.8.8:9090", "[::1]:9090"] {
        let address: SocketAddr = own.parse().unwrap();
        assert_eq!(policy.check_address(address), Err(EndpointError::Own(address)), "{own}");
        assert!(policy.check_url(&format!("http://{address}")).is_err(), "{own}");
    }
    assert!(matches!(
        policy.check_url("http://10.0.0.1:8443"),
        Err(EndpointError::Network(_) | EndpointError::Scheme(_))
    ));
}
