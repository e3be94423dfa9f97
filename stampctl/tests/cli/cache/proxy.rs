//! Two real proxies of a stamp: what is purged is asked of the app again.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use synaxis_proxy::server::{self, Running};

use super::Stamp;

/// An app that numbers its answers, which may be kept for a minute.
fn app() -> SocketAddr {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let body = TURN.fetch_add(1, Ordering::SeqCst).to_string();
                        let head = format!("cache-control: max-age=60\r\ncontent-length: {}", body.len());
                        let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
                    }
                }
            });
        }
    });
    address
}

fn get(edge: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: A.example\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn what_is_purged_no_proxy_gives_any_more() {
    let (stamp, app) = (Stamp::start(), app());
    let file = stamp.world.folder.path().join("proxy.toml");
    let text = format!(
        "[stamp]\nid = \"synaxis-weu-001\"\n[server]\nworkers = 1\n[[listeners]]\nkind = \"edge\"\naddress = \"127.0.0.1:0\"\n\
         trust_header = true\n[admin]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nendpoints = [\"http://{app}\"]\n[access_log]\n\
         output = \"off\"\n[cache.classes.pages]\npreset = \"metadata\"\n[cache.store]\nurl = \"{}\"\n[[routes]]\nname = \"all\"\n\
         path_prefix = \"/\"\nupstream = \"app\"\ncache = \"pages\"\n",
        stamp.redis.url()
    );
    std::fs::write(&file, &text).unwrap();
    let (settings, _) = synaxis_config::load(&text, Path::new("test.toml")).unwrap();
    let proxies: Vec<Running> = (0..2).map(|_| server::run(settings.clone()).unwrap()).collect();
    super::listed(&stamp, 2);
    for (words, is_purged) in [
        ("https://a.example/x --tenant acme", true),
        ("--prefix /x --tenant acme", true),
        ("--tenant acme", true),
        ("--class pages", true),
        ("--all", true),
        ("a.example/x --tenant other", false),
        ("a.example/ --tenant acme", false),
    ] {
        let before: Vec<String> = proxies.iter().map(|proxy| get(proxy.edges[0], "/x")).collect();
        let ran = stamp.world.run(&format!("cache purge {words} --wait --proxy-config proxy.toml")).code(0);
        assert!(ran.out.contains("2 of 2 processes have it"), "{}", ran.out);
        for (proxy, before) in proxies.iter().zip(before) {
            assert_eq!(get(proxy.edges[0], "/x") != before, is_purged, "{words}");
        }
    }
    let began = Instant::now();
    proxies.iter().for_each(Running::cut);
    proxies.into_iter().for_each(Running::wait);
    assert!(began.elapsed() < Duration::from_secs(10));
}
