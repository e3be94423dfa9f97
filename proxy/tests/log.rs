//! The access log: one JSON object a request, whatever the request says.

use std::{fs, path::Path};

use serde_json::Value;

use crate::world::{Client, Origin, Redis, alone, eventually, proxy, stop};

/// The lines of the log, once there are `count`.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    eventually("the lines are written", || read().lines().count() >= count);
    read().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn every_request_is_one_line_and_no_client_can_write_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::start("app");
    let settings = alone(origin.address, "").replace("\"off\"", &format!("{:?}", path.display().to_string()));
    let proxy = proxy(&settings);
    let mut client = Client::connect(proxy.edges[0]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let good = format!(
        "GET /fine?secret=1 HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
    );
    assert_eq!(client.exchange(good.as_bytes()).unwrap().status, 200);
    // quotes, a line break of Unicode, bytes that are no text, a trace id that is none, a huge path
    let hostile: &[&[u8]] = &[
        b"GET /%22,%22status%22:1 HTTP/1.1\r\nHost: a\"b\r\nX-Tenant-Id: acme\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xe2\x80\xa8\xff\r\nX-Tenant-Id: acme\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: \xff\"}\r\ntraceparent: 00-\"-1-1\r\n\r\n",
    ];
    for request in hostile {
        let answer = Client::connect(proxy.edges[0]).exchange(request).unwrap();
        assert_eq!(answer.status, 400);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", "p".repeat(4_000));
    assert_eq!(Client::connect(proxy.edges[0]).exchange(long.as_bytes()).unwrap().status, 200);

    let lines = lines(&path, 5);
    assert_eq!(lines.len(), 5);
    let first = &lines[0];
    assert_eq!((&first["status"], &first["method"], &first["path"]), (&200.into(), &"GET".into(), &"/fine".into()));
    assert_eq!((&first["tenant"], &first["host"], &first["trace_id"]), (&"acme".into(), &"a".into(), &trace.into()));
    assert_eq!((&first["client"], &first["listener"], &first["hop"]), (&"127.0.0.1".into(), &"edge".into(), &0.into()));
    assert_eq!((&first["stamp"], &first["attempts"]), (&"synaxis-weu-001".into(), &1.into()));
    assert!(first["duration_ms"].as_f64().unwrap() >= first["ttfb_ms"].as_f64().unwrap());
    assert!(first["bytes"].as_u64().unwrap() > 10 && first["ts"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(!first.to_string().contains("secret"), "queries carry secrets");
    for (line, reason) in lines[1..4].iter().zip(["host_invalid", "host_invalid", "tenant_invalid"]) {
        assert_eq!((&line["status"], &line["reason"]), (&400.into(), &reason.into()), "{line}");
        assert_eq!((&line["tenant"], &line["trace_id"]), (&Value::Null, &Value::Null), "{line}");
    }
    assert!(lines[4]["path"].as_str().unwrap().len() <= 1_024);
    for _ in 0..200 {
        assert_eq!(client.get("acme", "/tail").status, 200);
    }
    stop(proxy);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 205, "the last lines are written before the end");
}

#[test]
fn a_line_names_the_limit_that_refused_and_who_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (origin, mut redis) = (Origin::start("app"), Redis::start());
    let limits = format!(
        "[limits_store]\nurl = \"{}\"\ndeadline = \"50ms\"\n[tiers.starter]\nrequests = \"3/h\"\nburst = 3\n\
         [user]\nsources = [{{ header = \"x-user-id\" }}]\n\
         [[rate_limits]]\nname = \"here\"\nkey = [\"tenant\", \"user\"]\nquota = \"1/h\"\nscope = \"local\"\n\
         [[rate_limits]]\nname = \"strict\"\nkey = [\"tenant\"]\nquota = \"9/h\"\nburst = 9\non_store_failure = \"closed\"\n\
         [[rate_limits]]\nname = \"tried\"\nkey = [\"tenant\"]\nquota = \"1/h\"\nmode = \"shadow\"\nscope = \"local\"\n\
         [[routes]]\nname = \"strict\"\npath_prefix = \"/strict\"\nupstream = \"app\"\nrate_limits = [\"strict\"]\n\
         [[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \"app\"\nrate_limits = [\"here\", \"tried\"]\n",
        redis.url()
    );
    let settings = alone(origin.address, &limits).replace("\"off\"", &format!("{:?}", path.display().to_string()));
    let proxy = proxy(&settings);
    let mut client = Client::connect(proxy.edges[0]);
    let mut ask = |path: &str, tenant: &str, user: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nX-User-Id: {user}\r\n\r\n");
        client.exchange(request.as_bytes()).unwrap().status
    };
    let asked =
        [ask("/", "a", "ann"), ask("/", "a", "ann"), ask("/", "a", "bob"), ask("/", "a", "cat"), ask("/", "a", "dan")];
    assert_eq!(asked, [200, 429, 200, 200, 429]);
    redis.kill();
    let asked = [ask("/", "b", "ann"), ask("/", "b", "bob"), ask("/strict", "c", "ann"), ask("/nowhere", "b@", "x")];
    assert_eq!(asked, [200, 429, 429, 400]);
    let lines = lines(&path, 9);
    let said: Vec<_> = lines.iter().map(|line| (line["limit"].as_str(), line["limit_counted_by"].as_str())).collect();
    let (none, here, store) = ((None, None), (Some("here"), Some("process")), (Some("tenant"), Some("store")));
    let (share, nobody) = ((Some("tenant"), Some("share")), (Some("strict"), Some("nobody")));
    assert_eq!(said, [none, here, none, none, store, none, share, nobody, none], "{lines:#?}");
    stop(proxy);
}
