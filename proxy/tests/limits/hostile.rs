//! What a client can write into the limits store: whole values in keys of its own tenant, whatever it calls itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    fleet::{command, patient, processes},
    route,
};
use crate::world::{Client, Origin, Redis, stop};

const LIMITS: &str = "[user]\nsources = [{ header = \"x-user-id\" }]\n[[rate_limits]]\nname = \"per-user\"\nkey = [\"tenant\", \
                      \"user\", \"header:x-org\"]\nquota = \"2/h\"\nburst = 2\n";

/// A request of this user and organization, byte by byte.
fn ask(edge: SocketAddr, tenant: &[u8], user: &[u8], org: &[u8]) -> u16 {
    let fields: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: ",
        tenant,
        b"\r\nX-User-Id: ",
        user,
        b"\r\nX-Org: ",
        org,
        b"\r\n\r\n",
    ];
    Client::connect(edge).exchange(&fields.concat()).unwrap().status
}

/// What the server was told, by its own word: the client (`lua` for the script itself) and the words of a command.
type Told = (String, Vec<Vec<u8>>);

/// Listens until `QUIT`, a command of the test, is seen.
fn monitor(redis: &Redis) -> JoinHandle<Vec<Told>> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"MONITOR\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "+OK");
    thread::spawn(move || {
        let told = lines.map(|line| read(&line.unwrap()));
        told.take_while(|(_, words)| words != &[b"ECHO".to_vec(), b"the end".to_vec()]).collect()
    })
}

/// `+TIME [DATABASE CLIENT] "WORD" "WORD"`, in which `"`, `\` and what cannot be printed are escaped.
fn read(line: &str) -> Told {
    let (head, rest) = line.split_once("] ").unwrap_or_else(|| panic!("{line}"));
    let client = head.rsplit(' ').next().unwrap().to_owned();
    let (mut words, mut bytes) = (Vec::new(), rest.bytes());
    while let Some(quote) = bytes.next() {
        if quote == b' ' {
            continue;
        }
        assert_eq!(quote, b'"', "{line}");
        let mut word = Vec::new();
        loop {
            match bytes.next().unwrap() {
                b'"' => break,
                b'\\' => word.push(match bytes.next().unwrap() {
                    b'x' => {
                        let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => other,
                }),
                byte => word.push(byte),
            }
        }
        words.push(word);
    }
    (client, words)
}

#[test]
fn whatever_a_client_calls_itself_only_whole_values_in_keys_of_its_tenant_reach_the_store() {
    let (app, redis) = (Origin::start("app"), Redis::start());
    let told = monitor(&redis);
    command(&redis, &["SET", "canary", "alive"]);
    let running = processes(1, &app, &format!("{}{LIMITS}{}", patient(&redis), route("\"per-user\"")));
    let edge = running[0].edges[0];
    let long = vec![b'x'; 8_000];
    let longer = [&long[..], b"y"].concat();
    let users: [&[u8]; 18] = [
        b"ada",
        b"*3\\r\\n$3\\r\\nDEL",
        b"%0d%0a*1%0d%0a$8%0d%0aFLUSHALL%0d%0a",
        b"'); redis.call('FLUSHALL') --",
        b"\"",
        b"\\",
        b"}{",
        b"}:tenant",
        b"a}:b{",
        b"{synaxis:rl:other}:per-user:ada",
        b"a b\tc",
        b"*",
        b"=91c9568c40c8d8d1f7a1bd029d124994",
        b"%00",
        b"\xff\xfe\x80",
        "\u{2028}\u{e9}".as_bytes(),
        &long,
        &longer,
    ];
    let tenants: [&[u8]; 3] = [b"acme", b"other", b"a.b_c-D"];
    for tenant in tenants {
        for user in users {
            let statuses = [(); 3].map(|()| ask(edge, tenant, user, b"o"));
            // the app of this test reads text only
            let passed = if std::str::from_utf8(user).is_ok() { 200 } else { 502 };
            assert_eq!(statuses, [passed, passed, 429], "{:?}", String::from_utf8_lossy(user));
        }
        // parts do not flow into each other
        for (user, org) in
            [(&b"u:v"[..], &b"w"[..]), (b"u", b"v:w"), (b"u%3Av", b"w"), (b"", b"u:v:w"), (b"u:v:w", b"")]
        {
            let statuses = [(); 3].map(|()| ask(edge, tenant, user, org));
            assert_eq!(statuses, [200, 200, 429], "{user:?} {org:?}");
        }
    }
    // what is no HTTP, and who can be no tenant, gets nowhere near
    for user in [&b"nul\0"[..], b"line\r\nfeed", b"line\nfeed\n"] {
        assert_eq!(ask(edge, b"acme", user, b"o"), 400, "{:?}", String::from_utf8_lossy(user));
    }
    for tenant in [&b"}{"[..], b"a}:b", b"a b", b"a:b", b"*3", b"\"", b"%0d%0a", b"\xff", &[b'x'; 200], b"{acme}"] {
        assert_eq!(ask(edge, tenant, b"ada", b"o"), 400, "{:?}", String::from_utf8_lossy(tenant));
    }
    running.into_iter().for_each(stop);
    command(&redis, &["ECHO", "the end"]);
    check(&told.join().unwrap(), tenants.len() * (users.len() + 5));
}

/// Everything that was told: commands of ours with whole arguments, and so many keys of users.
fn check(told: &[Told], users: usize) {
    let text = |word: &[u8]| String::from_utf8(word.to_vec()).unwrap();
    let (mut commands, mut keys) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    for (client, words) in told {
        let shown = || words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>();
        let name = text(&words[0]).to_uppercase();
        *commands.entry(format!("{}{name}", if client == "lua" { "lua " } else { "" })).or_default() += 1;
        match (client.as_str(), name.as_str()) {
            ("lua", "TIME") => assert_eq!(words.len(), 1),
            ("lua", "GETRANGE") => assert_eq!((words.len(), keys.contains(&words[1])), (4, true), "{:?}", shown()),
            ("lua", "SET") => assert_eq!((words.len(), keys.contains(&words[1])), (5, true), "{:?}", shown()),
            (_, "EVALSHA") => {
                let count: usize = text(&words[2]).parse().unwrap();
                assert!(words[1].len() == 40 && words.len() == 3 + count + 2 + 12 * count, "{:?}", shown());
                let tag = |key: &[u8]| text(key).split_once('}').unwrap().0.to_owned();
                assert!(words[3..3 + count].iter().all(|key| tag(key) == tag(&words[3])), "{:?}", shown());
                keys.extend(words[3..3 + count].iter().cloned());
                let holder = text(&words[3 + count]);
                assert!(holder.len() == 16 && holder.bytes().all(|byte| byte.is_ascii_hexdigit()), "{:?}", shown());
                let numbers = words[4 + count..].iter().all(|word| word.iter().all(u8::is_ascii_digit));
                assert!(numbers, "{:?}", shown());
            }
            (_, "SCRIPT") => {
                assert_eq!((words.len(), text(&words[1]).as_str()), (3, "LOAD"));
                assert!(words[2] == synaxis_ratelimit::fleet::script::SOURCE.as_bytes(), "{:?}", shown());
            }
            (_, "CLIENT") => assert_eq!(text(&words[1]), "SETINFO"),
            (_, "SELECT" | "PING") => {}
            (_, "PTTL") => assert_eq!(words[1..], [b"{synaxis:rl:}:gathering".to_vec()]),
            // the test's own
            (_, "SET") => assert_eq!(words[1..], [b"canary".to_vec(), b"alive".to_vec()]),
            _ => panic!("{:?}", shown()),
        }
    }
    println!("{commands:?}, {} keys", keys.len());
    assert!(commands["EVALSHA"] >= 3 * users / 2 && commands["lua SET"] > 0);
    let inert = |byte: &u8| byte.is_ascii_alphanumeric() || b"{}:%=-._~".contains(byte);
    let of_users: Vec<String> = keys.iter().map(|key| text(key)).filter(|key| key.contains("}:per-user:")).collect();
    assert!(of_users.iter().all(|key| key.len() < 200 && key.as_bytes().iter().all(inert)), "{of_users:?}");
    let tag = |key: &str| key.split_once('}').unwrap().0.to_owned();
    let mut tags: BTreeSet<String> = of_users.iter().map(|key| tag(key)).collect();
    // that of the request by which the test has seen that the store is there
    assert!(tags.remove("{synaxis:rl:warm"));
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["{synaxis:rl:a.b_c-D", "{synaxis:rl:acme", "{synaxis:rl:other"]);
    assert_eq!(of_users.iter().filter(|key| !key.contains(":rl:warm}")).count(), users);
    // one tag a key, and beside those of users only that by which processes look for the store
    assert!(of_users.iter().all(|key| key.matches(['{', '}']).count() == 2), "{of_users:?}");
    let others: Vec<String> = keys.iter().map(|key| text(key)).filter(|key| !key.contains("}:per-user:")).collect();
    assert_eq!(others, ["{synaxis:rl:}::*"]);
}
