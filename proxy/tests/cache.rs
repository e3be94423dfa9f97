//! Answers that are kept: who gets them, for how long, and that several who want one cause one request.

mod app;
mod collapse;
mod conformance;
mod failover;
mod memory;
mod purge;
mod purge_load;
mod shared;

use std::{net::SocketAddr, time::Duration};

use synaxis_proxy::server::Running;

use self::app::{App, Asked, Does, answer, ok};
use crate::world::{Answer, Client, alone, proxy, stop};

/// A proxy all of whose routes keep answers by one class of these keys.
fn caching(app: &App, class: &str) -> Running {
    caching_and(app, class, "")
}

fn caching_and(app: &App, class: &str, more: &str) -> Running {
    caching_with(app, class, more, &|server| server)
}

fn caching_with(app: &App, class: &str, more: &str, mend: &dyn Fn(String) -> String) -> Running {
    let route = "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\ncache = \"pages\"\n";
    let server = alone(app.address, &format!("{more}\n[cache.classes.pages]\n{class}\n{route}"));
    proxy(&mend(server.replace("workers = 1", "workers = 2")))
}

fn ask(edge: SocketAddr, tenant: &str, path: &str, fields: &str) -> Answer {
    ask_by("GET", edge, tenant, path, fields)
}

fn ask_by(method: &str, edge: SocketAddr, tenant: &str, path: &str, fields: &str) -> Answer {
    let mut client = Client::connect(edge);
    let request = format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\n{fields}\r\n");
    client.send(request.as_bytes());
    client.answer(method == "HEAD").unwrap()
}

fn get(edge: SocketAddr, path: &str) -> Answer {
    ask(edge, "acme", path, "")
}

/// What the field says of how it was found.
fn found(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or_else(|| panic!("no Cache-Status in {answer:?}"))
}

fn is_hit(answer: &Answer) -> bool {
    found(answer).contains("; hit")
}

fn metric(proxy: &Running, series: &str) -> f64 {
    let answer = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |count| count.parse().unwrap())
}

fn results(proxy: &Running, result: &str) -> f64 {
    metric(proxy, &format!("cache_requests_total{{class=\"pages\",result=\"{result}\"}}"))
}

/// Answers with the number of the request, for a minute.
fn minute(asked: &Asked) -> Does {
    Does::Sends(ok("Cache-Control: max-age=60\r\n", &format!("{} {}", asked.path(), asked.turn)))
}

#[test]
fn a_second_request_is_answered_from_memory() {
    let app = App::start(minute);
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let first = get(edge, "/a?b");
    assert_eq!((first.status, first.text().as_str(), first.header("age")), (200, "/a?b 0", None));
    assert!(found(&first).contains("fwd=uri-miss") && found(&first).contains("stored"), "{}", found(&first));
    let second = get(edge, "/a?b");
    assert_eq!((second.status, second.text().as_str(), second.header("age")), (200, "/a?b 0", Some("0")));
    assert!(is_hit(&second) && found(&second).contains("ttl="), "{}", found(&second));
    assert_eq!((second.header("content-length"), second.header("cache-control")), (Some("6"), Some("max-age=60")));
    for other in ["/a", "/a?B", "/a?b&", "/A?b", "//a?b"] {
        assert!(!is_hit(&get(edge, other)), "{other}");
    }
    assert_eq!(app.count(), 6);
    assert_eq!((results(&proxy, "hit"), results(&proxy, "miss")), (1.0, 6.0));
    stop(proxy);
}

#[test]
fn no_tenant_gets_what_another_asked_for() {
    let app = App::start(|asked| {
        let tenant = asked.field("x-tenant-id").unwrap();
        Does::Sends(ok("Cache-Control: public, max-age=60\r\nETag: \"same\"\r\n", &format!("of {tenant}")))
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    for _ in 0..3 {
        for tenant in ["acme", "acm", "acme1", "ACME", "other"] {
            let answer = ask(edge, tenant, "/x", "");
            assert_eq!(answer.text(), format!("of {tenant}"));
            // the copy of one is the copy of none of the others, whatever its tag
            assert_eq!(ask(edge, tenant, "/x", "If-None-Match: \"same\"\r\n").status, 304);
        }
    }
    assert_eq!(app.count(), 5);
    stop(proxy);
}

#[test]
fn no_byte_of_a_tenant_reaches_another_whatever_is_asked_at_a_time() {
    let app = App::start(|asked| {
        let (tenant, kind) = (asked.field("x-tenant-id").unwrap(), asked.field("x-kind").unwrap_or("-"));
        let said = match asked.turn % 7 {
            0 => "Cache-Control: no-store\r\n",
            1 => "Cache-Control: max-age=60\r\nAge: 59\r\nVary: X-Kind\r\nETag: \"x\"\r\n",
            2 => "Cache-Control: public, max-age=60\r\nVary: X-Kind\r\nETag: \"x\"\r\n",
            _ => "Cache-Control: public, max-age=60\r\nVary: X-Kind\r\n",
        };
        std::thread::sleep(Duration::from_millis((asked.turn % 5) as u64));
        match asked.turn % 11 {
            0 => Does::Sends(answer("500 Unexpected", "", "")),
            1 => Does::Closes(String::new()),
            _ => Does::Sends(ok(said, &format!("{tenant} {kind} {}", asked.path()).repeat(50))),
        }
    });
    let proxy = caching(&app, "stale_if_error = \"60s\"\nstale_while_revalidate = \"1s\"");
    let edge = proxy.edges[0];
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            scope.spawn(move || {
                let mut client = Client::connect(edge);
                let mut answered = 0;
                for turn in 0..150_usize {
                    let pick = (turn * 7 + thread * 13) % 97;
                    let tenant = ["acme", "acme-2", "other"][pick % 3];
                    let (path, kind) = (["/a", "/b?c", "/b"][pick % 2], ["x", "y"][pick / 50]);
                    let request = format!(
                        "GET {path} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\nX-Kind: {kind}\r\n\r\n"
                    );
                    let answer = client.exchange(request.as_bytes()).unwrap();
                    if answer.status == 200 {
                        answered += 1;
                        assert_eq!(answer.text(), format!("{tenant} {kind} {path}").repeat(50));
                    }
                }
                assert!(answered > 75, "{answered}");
            });
        }
    });
    assert!(results(&proxy, "hit") > 100.0, "{}", results(&proxy, "hit"));
    stop(proxy);
}

#[test]
fn a_user_with_his_credentials_has_answers_of_his_own() {
    let app = App::start(|asked| {
        let (user, token) = (asked.field("x-user-id").unwrap_or("-"), asked.field("authorization").unwrap_or("-"));
        Does::Sends(ok("Cache-Control: private, max-age=60\r\n", &format!("{user} {token}")))
    });
    let users = "[user]\nsources = [{ header = \"x-user-id\" }]\n";
    let proxy = caching_and(&app, "preset = \"permission\"", users);
    let edge = proxy.edges[0];
    let by = |fields: &str| ask(edge, "acme", "/rights", fields);
    for (user, token, hit) in [("ann", "A", false), ("ann", "A", true), ("bob", "A", false), ("ann", "B", false)] {
        let answer = by(&format!("X-User-Id: {user}\r\nAuthorization: {token}\r\n"));
        assert_eq!((answer.text(), is_hit(&answer)), (format!("{user} {token}"), hit));
    }
    // whose it is nobody knows
    for fields in ["", "X-User-Id: ann\r\nX-User-Id: bob\r\n", "X-User-Id:\r\n", "Authorization: A\r\n"] {
        for _ in 0..2 {
            let answer = by(fields);
            assert!(!is_hit(&answer) && found(&answer).contains("no-user"), "{}", found(&answer));
        }
    }
    stop(proxy);
}

#[test]
fn what_is_for_one_alone_is_not_kept() {
    for fields in [
        "Cache-Control: no-store\r\n",
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: max-age=60\r\nVary: *\r\n",
        "",
    ] {
        let app = App::start(move |_| Does::Sends(ok(fields, "x")));
        let proxy = caching(&app, "");
        let edge = proxy.edges[0];
        for _ in 0..3 {
            let answer = get(edge, "/");
            assert!(!is_hit(&answer) && answer.header("age").is_none(), "{fields}: {}", found(&answer));
        }
        assert_eq!(app.count(), 3, "{fields}");
        stop(proxy);
    }
    // an authorized request, and one with a cookie where the app says nothing about its answer
    let app = App::start(|asked| Does::Sends(ok("", &asked.turn.to_string())));
    let proxy = caching(&app, "preset = \"metadata\"");
    let edge = proxy.edges[0];
    for fields in ["Authorization: A\r\n", "Cookie: session=1\r\n"] {
        let path = format!("/{}", fields.len());
        assert!((0..2).all(|_| !is_hit(&ask(edge, "acme", &path, fields))), "{fields}");
    }
    assert!(!is_hit(&get(edge, "/plain")) && is_hit(&get(edge, "/plain")));
    stop(proxy);
}

#[test]
fn what_did_not_come_whole_is_not_kept() {
    let cut = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nonly this";
    let chunked = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    // where the end of the connection is the end of the answer, nobody can tell that it is whole
    let endless = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\nhello";
    for (number, text) in [cut, chunked, endless].into_iter().enumerate() {
        let app = App::start(move |asked| match asked.turn {
            0 | 1 => Does::Closes(text.to_owned()),
            _ => minute(asked),
        });
        let proxy = caching(&app, "");
        let edge = proxy.edges[0];
        for _ in 0..2 {
            let mut client = Client::connect(edge);
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n");
            let answer = client.answer(false);
            assert_eq!(answer.is_ok(), number == 2, "{number}: {answer:?}");
        }
        let mut answer = ask(edge, "acme", "/", "Host: a\r\n");
        assert_eq!(answer.status, 400, "two hosts");
        answer = Client::connect(edge).exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n").unwrap();
        assert_eq!((answer.text().as_str(), is_hit(&answer)), ("/ 2", false), "{number}");
        stop(proxy);
    }
}

#[test]
fn an_answer_in_pieces_is_kept_whole_and_one_that_is_too_large_only_passes() {
    let app = App::start(|asked| {
        let mut text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        let pieces = if asked.path() == "/large" { 100 } else { 3 };
        for number in 0..pieces {
            let piece = format!("{number:02}").repeat(500);
            text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        Does::Sends(text + "0\r\n\r\n")
    });
    let proxy = caching(&app, "body_bytes = \"64KiB\"");
    let edge = proxy.edges[0];
    let (first, second) = (get(edge, "/small"), get(edge, "/small"));
    assert_eq!((first.body.len(), is_hit(&second), &second.body), (3_000, true, &first.body));
    assert_eq!(second.header("content-length"), Some("3000"));
    for _ in 0..3 {
        let large = get(edge, "/large");
        assert_eq!((large.body.len(), is_hit(&large)), (100_000, false));
        assert!(large.text().ends_with("9999"));
    }
    assert_eq!(app.count(), 4);
    stop(proxy);
}

#[test]
fn a_kept_answer_is_given_in_part_as_its_head_or_as_a_word_that_it_holds() {
    let app = App::start(|_| {
        let fields = "Cache-Control: max-age=60\r\nETag: \"v1\"\r\nContent-Type: text/plain\r\nX-Mine: yes\r\n";
        Does::Sends(ok(fields, "0123456789"))
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    // the client's own copy is no reason to have less of it here
    assert_eq!(ask(edge, "acme", "/", "If-None-Match: \"v1\"\r\n").status, 304);
    assert_eq!(app.asked()[0].field("if-none-match"), None);
    let same = ask(edge, "acme", "/", "If-None-Match: \"v0\", W/\"v1\"\r\n");
    assert_eq!((same.status, same.header("etag"), same.header("content-length")), (304, Some("\"v1\""), None));
    let other = ask(edge, "acme", "/", "If-None-Match: \"v2\"\r\n");
    assert_eq!((other.status, other.text().as_str(), other.header("x-mine")), (200, "0123456789", Some("yes")));
    let part = ask(edge, "acme", "/", "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!((part.header("content-range"), part.header("content-length")), (Some("bytes 2-4/10"), Some("3")));
    let none = ask(edge, "acme", "/", "Range: bytes=10-\r\n");
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(ask(edge, "acme", "/", "Range: bytes=2-4\r\nIf-Range: \"v0\"\r\n").status, 200);
    let head = ask_by("HEAD", edge, "acme", "/", "");
    assert_eq!((head.status, head.header("content-length"), is_hit(&head)), (200, Some("10"), true));
    assert_eq!(app.count(), 1);
    // nothing is kept of a part or a head alone
    for (method, fields) in [("HEAD", ""), ("GET", "Range: bytes=0-1\r\n")] {
        let path = format!("/{method}");
        assert!(!is_hit(&ask_by(method, edge, "acme", &path, fields)), "{method}");
        assert!(!is_hit(&get(edge, &path)), "{method}");
    }
    stop(proxy);
}

#[test]
fn a_stale_answer_is_asked_about_and_lives_on_when_it_holds() {
    let app = App::start(|asked| match asked.field("if-none-match") {
        Some("\"v1\"") => {
            let fields = "Cache-Control: max-age=60\r\nETag: \"v1\"\r\nX-New: yes\r\n";
            Does::Sends(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"))
        }
        Some(_) => Does::Sends(answer("500 Unexpected", "", "")),
        None => Does::Sends(ok("Cache-Control: max-age=60\r\nAge: 100\r\nETag: \"v1\"\r\nX-Old: yes\r\n", "body")),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/").text(), "body");
    let again = ask(edge, "acme", "/", "If-None-Match: \"v0\"\r\n");
    assert_eq!((again.status, again.text().as_str()), (200, "body"), "what the client has is not what is kept");
    assert!(found(&again).contains("fwd=stale") && found(&again).contains("fwd-status=304"), "{}", found(&again));
    assert_eq!((again.header("x-new"), again.header("x-old")), (Some("yes"), Some("yes")));
    let third = get(edge, "/");
    assert!(is_hit(&third) && third.header("x-new") == Some("yes") && third.text() == "body", "{third:?}");
    assert_eq!(app.count(), 2);
    assert_eq!((results(&proxy, "revalidated"), results(&proxy, "hit")), (1.0, 1.0));
    stop(proxy);
}

#[test]
fn a_stale_answer_is_given_while_it_is_fetched_again_or_when_the_app_fails() {
    let app = App::start(|asked| {
        let fields = "Cache-Control: max-age=60\r\nAge: 61\r\n";
        match (asked.path(), asked.turn) {
            ("/error", 0) => Does::Sends(ok(fields, "old")),
            ("/error", _) => Does::Sends(answer("500 Unexpected", "", "broken")),
            (_, 0) => Does::Sends(ok(fields, "old")),
            _ => Does::Waits(ok("Cache-Control: max-age=60\r\n", "new")),
        }
    });
    let proxy = caching(&app, "stale_if_error = \"60s\"");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/error").text(), "old");
    let stale = get(edge, "/error");
    assert_eq!((stale.status, stale.text().as_str(), app.count()), (200, "old", 2));
    assert!(found(&stale).contains("fwd=stale") && found(&stale).contains("fwd-status=500"), "{}", found(&stale));
    assert_eq!(results(&proxy, "stale"), 1.0);
    stop(proxy);

    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: max-age=60\r\nAge: 61\r\n", "old")),
        _ => Does::Waits(ok("Cache-Control: max-age=60\r\n", "new")),
    });
    let proxy = caching(&app, "stale_while_revalidate = \"60s\"");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/").text(), "old");
    for _ in 0..5 {
        assert_eq!(get(edge, "/").text(), "old", "nobody waits");
    }
    crate::world::eventually("one fetches it", || app.count() == 2);
    app.open();
    crate::world::eventually("the new answer", || get(edge, "/").text() == "new");
    assert_eq!(app.count(), 2);
    stop(proxy);
}

#[test]
fn what_an_unsafe_request_may_have_changed_is_not_used_any_more() {
    let app = App::start(|asked| match asked.method() {
        "GET" => minute(asked),
        "POST" => Does::Sends(answer("201 Created", "Location: /other\r\nContent-Location: /third?x\r\n", "")),
        _ => Does::Sends(answer("403 Forbidden", "", "")),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    let paths = ["/a", "/a?x", "/other", "/third?x", "/fourth"];
    for path in paths {
        get(edge, path);
        assert!(is_hit(&get(edge, path)));
    }
    ask(edge, "other", "/a", "");
    assert_eq!(ask_by("DELETE", edge, "acme", "/a", "").status, 403);
    assert!(is_hit(&get(edge, "/a")), "nothing has changed");
    assert_eq!(ask_by("POST", edge, "acme", "/a", "Content-Length: 0\r\n").status, 201);
    assert_eq!(paths.map(|path| is_hit(&get(edge, path))), [false, true, false, false, true]);
    assert!(is_hit(&ask(edge, "other", "/a", "")), "another tenant's is another one");
    assert!(is_hit(&get(edge, "/a")));
    stop(proxy);
}

#[test]
fn what_a_request_may_have_changed_whose_answer_nobody_had_is_not_used_any_more() {
    let app = App::start(|asked| match (asked.method(), asked.path()) {
        ("GET", _) => minute(asked),
        (_, "/lost") => Does::Closes(String::new()),
        _ => Does::Waits(answer("204 No Content", "", "")),
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    for path in ["/left", "/lost", "/other"] {
        get(edge, path);
        assert!(is_hit(&get(edge, path)));
    }
    let mut client = Client::connect(edge);
    client.send(b"POST /left HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\nContent-Length: 0\r\n\r\n");
    crate::world::eventually("the app has it", || app.count() == 4);
    drop(client);
    crate::world::eventually("its client is gone", || metric(&proxy, "request_queue_length") == 0.0);
    assert!(!is_hit(&get(edge, "/left")));
    assert_eq!(ask_by("POST", edge, "acme", "/lost", "Content-Length: 0\r\n").status, 502);
    assert!(!is_hit(&get(edge, "/lost")) && is_hit(&get(edge, "/other")));
    app.open();
    stop(proxy);
}

#[test]
fn what_an_attempt_may_have_done_counts_whatever_the_next_one_is_answered() {
    let app = App::start(|asked| match (asked.method(), asked.path(), asked.turn % 2) {
        ("GET", ..) => minute(asked),
        (_, "/again", 1) => Does::Closes(String::new()),
        (_, "/again", _) => Does::Sends(answer("409 Conflict", "", "")),
        (_, "/gateway", _) => Does::Sends(answer("504 Gateway Timeout", "", "")),
        _ => Does::Sends(answer("409 Conflict", "", "")),
    });
    let proxy = caching_with(&app, "", "", &|server| {
        server.replace("cache = \"pages\"\n", "cache = \"pages\"\nidempotency_key = true\n")
    });
    let edge = proxy.edges[0];
    for (path, status, asked, hit) in
        [("/again", 409, 3, false), ("/gateway", 504, 2, false), ("/refused", 409, 2, true)]
    {
        let before = app.count();
        get(edge, path);
        let key = if path == "/again" { "Idempotency-Key: \"k\"\r\n" } else { "" };
        let done = ask_by("POST", edge, "acme", path, &format!("{key}Content-Length: 0\r\n"));
        assert_eq!((done.status, app.count() - before), (status, asked), "{path}");
        assert_eq!(is_hit(&get(edge, path)), hit, "{path}");
    }
    stop(proxy);
}

#[test]
fn what_a_limit_refuses_changes_nothing() {
    let app = App::start(minute);
    let limit = "[[rate_limits]]\nname = \"few\"\nkey = [\"tenant\"]\nquota = \"2/h\"\nburst = 2\nscope = \"local\"\n";
    let proxy = caching_with(&app, "", limit, &|server| {
        server.replace("cache = \"pages\"\n", "cache = \"pages\"\nrate_limits = [\"few\"]\n")
    });
    let edge = proxy.edges[0];
    assert!(!is_hit(&get(edge, "/")) && is_hit(&get(edge, "/")));
    for _ in 0..3 {
        assert_eq!(ask_by("POST", edge, "acme", "/", "Content-Length: 0\r\n").status, 429);
    }
    crate::world::eventually("it is counted", || metric(&proxy, "cache_entries") == 1.0);
    assert_eq!(metric(&proxy, "cache_purge_marks_total"), 0.0);
    stop(proxy);
}

#[test]
fn answers_that_depend_on_fields_are_told_apart_by_them() {
    let app = App::start(|asked| {
        let language = asked.field("accept-language").unwrap_or("-").to_owned();
        Does::Sends(ok("Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", &language))
    });
    let proxy = caching(&app, "");
    let edge = proxy.edges[0];
    for round in 0..3 {
        for language in ["en", "de", "en, de"] {
            let answer = ask(edge, "acme", "/", &format!("Accept-Language: {language}\r\n"));
            assert_eq!((answer.text().as_str(), is_hit(&answer)), (language, round > 0), "{language}");
        }
        assert_eq!(get(edge, "/").text(), "-");
    }
    assert_eq!(app.count(), 4);
    stop(proxy);
}

#[test]
fn a_limit_counts_hits_too_and_an_answer_says_so() {
    let app = App::start(minute);
    let proxy =
        caching_and(&app, "", "[tiers.starter]\nrequests = \"3/h\"\nburst = 3\n[rate_limiting]\nheaders = \"draft\"\n");
    let edge = proxy.edges[0];
    let statuses: Vec<u16> = (0..4).map(|_| get(edge, "/").status).collect();
    assert_eq!((statuses, app.count()), (vec![200, 200, 200, 429], 1));
    let left = ask(edge, "other", "/", "");
    assert_eq!(left.header("ratelimit-policy"), Some("\"tenant\";q=3;w=3600"));
    assert!(ask(edge, "other", "/", "").header("ratelimit").unwrap().contains("r=1"));
    stop(proxy);
}

#[test]
fn who_hangs_up_has_used_up_what_he_asked_for() {
    let app = App::start(|asked| Does::Waits(ok("Cache-Control: max-age=60\r\n", asked.path())));
    let proxy = caching_and(&app, "", "[tiers.starter]\nrequests = \"3/h\"\nburst = 3\n");
    let edge = proxy.edges[0];
    for number in 0..3 {
        let mut client = Client::connect(edge);
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n").as_bytes());
        crate::world::eventually("the app is asked", || app.count() == number + 1);
    }
    crate::world::eventually("they are gone", || metric(&proxy, "request_queue_length") == 0.0);
    assert_eq!(get(edge, "/4").status, 429);
    app.open();
    stop(proxy);
}

#[test]
fn what_one_route_keeps_no_other_route_gives() {
    let [app, beta] =
        ["app", "beta"].map(|name| App::start(move |_| Does::Sends(ok("Cache-Control: max-age=60\r\n", name))));
    let to_beta = format!(
        "[upstreams.beta]\nendpoints = [\"http://{}\"]\n[[routes]]\nname = \"beta\"\npath_prefix = \"/\"\nupstream = \"beta\"\n\
         cache = \"pages\"\nheaders = [{{ name = \"x-beta\" }}]\n",
        beta.address
    );
    let proxy = caching_and(&app, "", &to_beta);
    let edge = proxy.edges[0];
    for _ in 0..2 {
        assert_eq!(ask(edge, "acme", "/", "X-Beta: yes\r\n").text(), "beta");
        assert_eq!(get(edge, "/").text(), "app");
    }
    assert_eq!((app.count(), beta.count()), (1, 1));
    stop(proxy);
}

#[test]
fn what_a_user_is_answered_without_a_word_about_it_no_other_user_gets() {
    let app = App::start(|asked| Does::Sends(ok("", asked.field("x-user-id").unwrap_or("-"))));
    let users = "[user]\nsources = [{ header = \"x-user-id\" }]\n";
    let proxy = caching_and(&app, "preset = \"metadata\"", users);
    for user in ["ann", "bob"] {
        assert_eq!(ask(proxy.edges[0], "acme", "/me", &format!("X-User-Id: {user}\r\n")).text(), user);
    }
    assert!(!is_hit(&get(proxy.edges[0], "/me")) && is_hit(&get(proxy.edges[0], "/me")));
    stop(proxy);
}

#[test]
fn a_head_that_shows_that_an_answer_is_stale_has_all_of_it_fetched() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: max-age=60\r\nAge: 61\r\n", "old")),
        _ => Does::Sends(ok("Cache-Control: max-age=60\r\n", "new")),
    });
    let proxy = caching(&app, "stale_while_revalidate = \"60s\"");
    let edge = proxy.edges[0];
    get(edge, "/");
    assert_eq!(ask_by("HEAD", edge, "acme", "/", "").status, 200);
    crate::world::eventually("the new answer", || get(edge, "/").text() == "new");
    assert_eq!((app.count(), app.asked()[1].method()), (2, "GET"));
    stop(proxy);
}

#[test]
fn what_a_request_says_counts_where_the_class_lets_it() {
    for obeys in [true, false] {
        let app = App::start(minute);
        let proxy = caching(&app, &format!("request_directives = {obeys}"));
        let edge = proxy.edges[0];
        let only = ask(edge, "acme", "/", "Cache-Control: only-if-cached\r\n");
        assert_eq!(only.status, if obeys { 504 } else { 200 });
        if obeys {
            assert_eq!(only.reason(), "not_cached");
        }
        get(edge, "/");
        let again = ask(edge, "acme", "/", "Cache-Control: no-cache\r\n");
        assert_eq!(is_hit(&again), !obeys, "{}", found(&again));
        assert!(is_hit(&ask(edge, "acme", "/", "Cache-Control: only-if-cached\r\n")));
        stop(proxy);
    }
}

#[test]
fn an_answer_that_does_not_say_who_may_keep_it_is_for_one_alone_by_option() {
    let app = App::start(|asked| match asked.path() {
        "/said" => Does::Sends(ok("Cache-Control: public\r\n", "")),
        _ => Does::Sends(ok("", &asked.turn.to_string())),
    });
    let proxy = caching_and(&app, "preset = \"metadata\"", "[cache]\ndefault_no_store = true\n");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/said").header("cache-control"), Some("public"));
    for kept in [false, true] {
        let answer = get(edge, "/unsaid");
        assert_eq!((answer.header("cache-control"), is_hit(&answer)), (Some("private, no-store"), kept));
    }
    stop(proxy);
}

#[test]
fn routes_without_a_class_know_of_nothing() {
    let app = App::start(minute);
    let proxy = proxy(&alone(app.address, ""));
    for turn in 0..2 {
        let answer = get(proxy.edges[0], "/");
        assert_eq!((answer.text(), answer.header("cache-status")), (format!("/ {turn}"), None));
    }
    stop(proxy);
}

/// So long nobody waits for anything in these tests, unless the machine is stalled.
const SOON: Duration = Duration::from_secs(10);
