//! What unsafe requests spoil.

use super::{
    super::invalidate::{others, spoils},
    *,
};

#[test]
fn an_unsafe_method_spoils_when_the_origin_did_it() {
    for status in 100..=999 {
        let code = StatusCode::from_u16(status).unwrap();
        for method in ["POST", "PUT", "DELETE", "PATCH", "PURGE", "MKCOL", "get"] {
            let method: Method = method.parse().unwrap();
            assert_eq!(spoils(&method, code), (200..400).contains(&status), "{method} {status}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(!spoils(&method.parse().unwrap(), code), "{method} {status}");
        }
    }
}

#[test]
fn it_spoils_where_the_answer_points_within_the_same_origin() {
    let check = |answer: &str, expected: &[&str]| {
        assert_eq!(others("http", "a.example:8080", "/b/c?d=1", &fields(answer)), expected, "{answer}");
    };
    check("", &[]);
    check("location: /x", &["/x"]);
    check("location: x?y=z", &["/b/x?y=z"]);
    check("location: ../x", &["/x"]);
    check("location: ?q", &["/b/c?q"]);
    check("location: /x#part", &["/x"]);
    check("location: http://a.example:8080/x", &["/x"]);
    check("location: http://A.EXAMPLE:8080/x", &["/x"]);
    check("location: //a.example:8080/x", &["/x"]);
    check("location: http://a.example:8080", &["/"]);
    check("content-location: /x\nlocation: /y", &["/y", "/x"]);
    check("content-location: /x\nlocation: /x", &["/x"]);
    check("location: /b/c?d=1", &[]);
    check("location: #part", &[]);
    // others' resources
    check("location: http://a.example/x", &[]);
    check("location: https://a.example:8080/x", &[]);
    check("location: http://b.example:8080/x", &[]);
    check("location: http://a.example:8080.evil/x", &[]);
    check("location: http://a.example:8080@evil/x", &[]);
    check("location: //evil/x", &[]);
    check("location: \\\\evil\\x", &[]);
    check("location: data:text/plain,x", &[]);
    check("location: javascript:x", &[]);
    check("location: /x\nlocation: /y", &[]);
    check("location: http://[", &[]);
    let longest = format!("/{}", "x".repeat(8191));
    check(&format!("location: {longest}"), &[&longest]);
    check(&format!("location: {longest}x"), &[]);
}

#[test]
fn default_ports_are_the_same_origin() {
    let check = |scheme: &str, authority: &str, location: &str, expected: &[&str]| {
        assert_eq!(others(scheme, authority, "/", &fields(&format!("location: {location}"))), expected, "{location}");
    };
    check("http", "a", "http://a:80/x", &["/x"]);
    check("https", "a:443", "https://a/x", &["/x"]);
    check("https", "a", "http://a/x", &[]);
    check("http", "a:443", "https://a/x", &[]);
    check("http", "not a host", "/x", &[]);
    check("http", "", "/x", &[]);
}
