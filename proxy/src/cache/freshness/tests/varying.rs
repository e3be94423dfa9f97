//! Which requests share an answer.

use super::{super::*, *};

fn names(lines: &str) -> String {
    match Vary::of(&fields(lines)) {
        Vary::None => "none".to_owned(),
        Vary::Any => "any".to_owned(),
        Vary::Names(names) => names.to_string(),
    }
}

#[test]
fn vary_is_a_sorted_list_of_names() {
    let check = |lines: &str, expected: &str| assert_eq!(names(lines), expected, "{lines}");
    check("", "none");
    check("vary:", "none");
    check("vary: , ,", "none");
    check("vary: Accept", "accept");
    check("vary: b, A ,a,  B", "a,b");
    check("vary: b\nvary: a, c", "a,b,c");
    check("vary: *", "any");
    check("vary: a\nvary: *", "any");
    check("vary: a b", "any");
    check("vary: \"a\"", "any");
    check("vary: a;b", "any");
    let many = |count: usize| (0..count).map(|n| format!("n{n:02}")).collect::<Vec<_>>().join(",");
    check(&format!("vary: {}", many(16)), &many(16));
    check(&format!("vary: {},n00", many(16)), &many(16));
    check(&format!("vary: {}", many(17)), "any");
    check(&format!("vary: {}", "x".repeat(512)), &"x".repeat(512));
    check(&format!("vary: {}", "x".repeat(513)), "any");
    check(&format!("vary: {},b", "x".repeat(512)), "any");
}

#[test]
fn names_come_back_from_their_text() {
    for lines in ["vary: accept", "vary: x-a, accept, b"] {
        let Vary::Names(names) = Vary::of(&fields(lines)) else { panic!("{lines}") };
        assert_eq!(Names::read(&names.to_string()), Some(names));
    }
    for broken in ["", ",", "a,,b", "*", "a,*", "a b", &"x,".repeat(400), &"x".repeat(600)] {
        assert_eq!(Names::read(broken), None, "{broken}");
    }
    assert_eq!(Names::read("b,a,b").unwrap().to_string(), "a,b");
}

fn values(names: &str, request: &str) -> Vec<u8> {
    let mut into = b"before".to_vec();
    write_values(&Names::read(names).unwrap(), &fields(request), &mut into);
    assert!(into.starts_with(b"before"));
    into
}

#[test]
fn the_same_values_are_written_the_same() {
    let same = |names: &str, one: &str, other: &str| {
        assert_eq!(values(names, one), values(names, other), "{names}: {one} | {other}");
    };
    same("x", "y: 1", "");
    same("x", "x: 1", "x:   1  \ny: 2");
    same("x", "x: 1\nx: 2", "x: 1,2");
    same("a,b", "b: 2\na: 1", "a: 1\nb: 2");
    same("accept-encoding", "accept-encoding: gzip, br", "accept-encoding: gzip ,, BR");
    same("accept-encoding", "accept-encoding: gzip\naccept-encoding: br", "accept-encoding: gzip,br");
    same("accept-language", "accept-language: DE, en;q=0.5", "accept-language: de,en;q=0.5");
    same("accept", "accept: a/b, c/d", "accept: a/b,c/d");
}

#[test]
fn other_values_are_written_otherwise() {
    let other = |names: &str, one: &str, other: &str| {
        assert_ne!(values(names, one), values(names, other), "{names}: {one} | {other}");
    };
    other("x", "x:", "");
    other("x", "x: a", "x: A");
    other("x", "x: 1,2", "x: 1, 2");
    other("x", "x: 1  2", "x: 1 2");
    other("accept", "accept: a/b;p=\"x, y\"", "accept: a/b;p=\"x,y\"");
    other("accept", "accept: a/B", "accept: a/b");
    other("accept-encoding", "accept-encoding: gzip,br", "accept-encoding: br,gzip");
    other("a,b", "a: 1", "b: 1");
    other("a,b", "a: 1\nb: 2", "a: 2\nb: 1");
    other("a,b", "a: x\nb:", "a:\nb: x");
    assert_ne!(values("a", "a: 1"), values("b", "b: 1"));
    assert_ne!(values("a,b", "a: 1\nb: 1"), values("ab", "ab: 11"));
}
