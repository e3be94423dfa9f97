//! Routes on the wire: who takes a request, and what they change in it.

use std::io::{BufReader, Write};

use crate::world::{Client, Origin, Raw, alone, free_port, proxy, raw::head, stop};

#[test]
fn a_path_that_takes_other_methods_says_which_and_the_connection_goes_on() {
    let origin = Origin::start("app");
    let routes =
        "[[routes]]\nname = \"docs\"\npath_prefix = \"/docs\"\nmethods = [\"GET\", \"HEAD\"]\nupstream = \"app\"\n";
    let proxy = proxy(&alone(origin.address, routes));
    let mut client = Client::connect(proxy.edges[0]);
    let answer =
        client.exchange(b"PUT /docs HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (405, "method_not_allowed"));
    assert_eq!((answer.header("allow"), answer.header("connection")), (Some("GET, HEAD"), None));
    assert_eq!(client.get("t", "/nowhere").reason(), "route_unknown");
    assert_eq!(client.get("t", "/docs/%2e%2e/admin").reason(), "target_invalid");
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("t", "/docs/a%20b//c?x=/../y").json()["path"], "/docs/a%20b//c?x=/../y", "byte for byte");
    assert_eq!(origin.count(), 1);
    stop(proxy);
}

#[test]
fn no_route_is_chosen_by_a_field_that_the_next_hop_does_not_get() {
    let origin = Origin::start("app");
    let routes =
        "[[routes]]\nname = \"beta\"\npath_prefix = \"/\"\nheaders = [{ name = \"x-beta\" }]\nupstream = \"app\"\n";
    let proxy = proxy(&alone(origin.address, routes));
    let ask = |fields: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{fields}\r\n");
        Client::connect(proxy.edges[0]).exchange(request.as_bytes()).unwrap()
    };
    assert_eq!(ask("X-Beta: 1\r\n").status, 200);
    assert_eq!(ask("X-Beta: 1\r\nConnection: X-Beta\r\n").reason(), "route_unknown");
    assert_eq!(ask("X-Beta: 1\r\nConnection: close\r\nConnection: x-other, x-beta\r\n").reason(), "route_unknown");
    assert_eq!(origin.count(), 1);
    stop(proxy);
}

const EDITS: &str = r#"
[[routes]]
name = "edited"
path_prefix = "/edited"
upstream = "app"
[routes.request_headers]
remove = ["x-debug"]
set = { "x-api" = "2" }
add = { "accept-language" = "en", "x-named" = "ours" }
[routes.response_headers]
remove = ["content-type", "x-served"]
set = { "x-served" = "here" }
add = { "x-also" = "1" }
[[routes]]
name = "rest"
path_prefix = "/"
upstream = "app"
"#;

#[test]
fn a_route_edits_requests_and_answers_but_not_what_the_proxy_says_itself() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, EDITS));
    let mut client = Client::connect(proxy.edges[0]);
    let fields = "Host: a\r\nX-Tenant-Id: t\r\nX-Debug: 1\r\nX-Debug: 2\r\nX-Api: 1\r\nX-Api: 3\r\nAccept-Language: de\r\n\
                  Connection: keep-alive, X-Named\r\nX-Named: theirs\r\n";
    let answer = client.exchange(format!("GET /edited HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
    assert_eq!((answer.header("x-served"), answer.header("x-also")), (Some("here"), Some("1")));
    assert_eq!((answer.header("content-type"), answer.header("keep-alive")), (None, None));
    let plain = client.exchange(format!("GET /plain HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
    assert_eq!((plain.header("x-served"), plain.header("content-type")), (None, Some("application/json")));
    let seen = origin.seen();
    assert!(seen[0].all("x-debug").is_empty());
    assert_eq!((seen[0].all("x-api"), seen[0].all("accept-language")), (vec!["2"], vec!["de", "en"]));
    assert_eq!(seen[0].all("x-named"), ["ours"], "a client's Connection takes no field of ours away");
    assert_eq!((seen[1].all("x-debug"), seen[1].all("x-api")), (vec!["1", "2"], vec!["1", "3"]));
    let refused = Client::connect(proxy.edges[0]).get("t", "/edited/..");
    assert_eq!((refused.reason().as_str(), refused.header("x-served")), ("target_invalid", None));
    stop(proxy);
}

#[test]
fn a_request_is_edited_once_however_many_endpoints_are_tried() {
    let origin = Origin::start("app");
    let gone = format!("\"http://127.0.0.1:{}\", \"http://127.0.0.1:{}\", \"http://", free_port(), free_port());
    let settings = alone(origin.address, EDITS).replace("\"http://", &gone);
    let proxy = proxy(&settings);
    for _ in 0..3 {
        let answer = Client::connect(proxy.edges[0]).get("t", "/edited");
        assert_eq!(answer.headers.iter().filter(|(name, _)| name == "x-also").count(), 1);
    }
    for seen in origin.seen() {
        assert_eq!((seen.all("x-named"), seen.all("x-api")), (vec!["ours"], vec!["2"]), "{seen:?}");
    }
    stop(proxy);
}

#[test]
fn an_app_cannot_have_what_a_route_adds_taken_away() {
    let app = Raw::start(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while head(&mut reader).is_some() {
            let fields =
                "Connection: keep-alive, X-Served, X-Own\r\nX-Own: 1\r\nX-Synaxis-Served: 1\r\nContent-Length: 2";
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok");
        }
    });
    let proxy = proxy(&alone(app.address, EDITS));
    let mut client = Client::connect(proxy.edges[0]);
    for _ in 0..2 {
        let answer = client.get("t", "/edited");
        assert_eq!(
            (answer.text().as_str(), answer.header("x-served"), answer.header("x-own")),
            ("ok", Some("here"), None)
        );
        assert_eq!((answer.header("x-synaxis-served"), answer.header("connection")), (None, None));
    }
    stop(proxy);
}
