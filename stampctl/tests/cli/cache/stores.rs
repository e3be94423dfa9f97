//! Where the store is said, and stores that are away, closed, slow or forgetful.

use std::{
    io::Read as _,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use super::{Stamp, listed, reads};
use crate::{Ran, World, redis::Redis};

const SECRET: &str = "hunter2";

fn never_shown(ran: Ran) -> Ran {
    assert!(!format!("{}{}", ran.out, ran.err).contains(SECRET), "{ran:?}");
    ran
}

/// How long something took that must end by itself.
#[track_caller]
fn soon(ran: impl FnOnce() -> Ran) -> Ran {
    let began = Instant::now();
    let ran = ran();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}: {ran:?}", began.elapsed());
    ran
}

#[test]
fn a_store_that_is_not_said_or_is_none_is_wrong_usage() {
    let world = World::file();
    world.run("cache purge --all").code(2).says(&["--cache-store", "--proxy-config", "SYNAXIS_CACHE_STORE"]);
    for url in ["", "file:/tmp", "memory:", "gopher://me:hunter2@x", "redis://:hunter2@", "127.0.0.1:6379"] {
        never_shown(world.args(&["cache", "purge", "--all", "--cache-store", url]).code(2));
    }
    for line in ["cache", "cache purge", "cache flush", "plan cache purge --all"] {
        world.run(line).code(2);
    }
}

#[test]
fn the_store_is_that_of_the_flag_the_proxys_file_the_environment_or_the_own_file() {
    let (world, stamps) = (World::file(), [(); 4].map(|()| Redis::start()));
    let urls = stamps.each_ref().map(Redis::url);
    let write = |name: &str, text: &str| std::fs::write(world.folder.path().join(name), text).unwrap();
    let proxy = |store: &str| {
        format!(
            "[stamp]\nid = \"synaxis-weu-001\"\n[[listeners]]\nkind = \"edge\"\naddress = \"127.0.0.1:8080\"\ntrust_header = true\n\
             [upstreams.app]\nendpoints = [\"http://127.0.0.1:9001\"]\n{store}"
        )
    };
    write("url", &format!("{}\n", urls[1]));
    let classes = "[cache.classes.pages]\npreset = \"metadata\"\n";
    write("proxy.toml", &proxy(&format!("{classes}[cache.store]\nurl_file = \"./url\"\nkey_prefix = \"stamp-1\"\n")));
    write("alone.toml", &proxy(""));
    write("faulty.toml", &proxy("[cache.store]\nurl = \"redis://me:hunter2@127.0.0.1:1/x y\"\n"));
    write("own.toml", &format!("cache_store = \"{}\"\ncache_key_prefix = \"own\"\n", urls[3]));
    let purges = |index: usize, prefix: &str, args: &str| {
        let before = stamps[index].try_command(&format!("XLEN {{{prefix}:cache}}:purges")).unwrap();
        let mut command = world.command();
        command.args(["cache", "purge"]).args(args.split(' '));
        if index < 3 {
            command.env("SYNAXIS_CACHE_STORE", &urls[2]);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        let after = stamps[index].try_command(&format!("XLEN {{{prefix}:cache}}:purges")).unwrap();
        assert_ne!(before, after, "{args}: {output:?}");
    };
    let both = format!("--all --cache-store {} --proxy-config proxy.toml --config own.toml", urls[0]);
    purges(0, "stamp-1", &both);
    purges(0, "other", &format!("{both} --cache-key-prefix other"));
    purges(1, "stamp-1", "--class pages --proxy-config proxy.toml --config own.toml");
    purges(2, "own", "--all --config own.toml");
    purges(2, "synaxis", "--all");
    purges(3, "own", "--all --config own.toml");
    world.run("cache purge --class page --proxy-config proxy.toml").code(4).says(&["no class page", "pages"]);
    world.run("cache purge --all --proxy-config alone.toml").code(2).says(&["no [cache.store]", "/cache/purge"]);
    never_shown(world.run("cache purge --all --proxy-config faulty.toml").code(2).says(&["faulty.toml:"]));
    for file in ["none.toml", "url", "."] {
        world.run(&format!("cache purge --all --proxy-config {file}")).code(2);
    }
}

#[test]
fn a_store_that_is_away_or_closed_is_told_from_one_that_may_have_it() {
    let world = World::file();
    let purge =
        |url: &str| soon(|| never_shown(world.args(&["cache", "purge", "--all", "--wait", "--cache-store", url])));
    purge("redis://127.0.0.1:1").code(1).says(&["127.0.0.1:1", "nothing was purged"]);
    // it takes connections and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("redis://:{SECRET}@{}", silent.local_addr().unwrap());
    purge(&silent).code(1).says(&["nothing was purged"]);
    let redis = Redis::start();
    redis.try_command("CONFIG SET requirepass right").unwrap();
    let with = |password: &str| redis.url().replace("://", &format!("://{password}@"));
    purge(&with(&format!(":{SECRET}"))).code(1).says(&["nothing was purged"]);
    purge(&with(&format!("me:{SECRET}"))).code(1).says(&["nothing was purged"]);
    purge(&redis.url()).code(1).says(&["purge again"]);
    // what answers is no Redis
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://:{SECRET}@{}", other.local_addr().unwrap());
    let talks = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[2J");
    });
    let ran = purge(&url).code(1).says(&["nothing was purged"]);
    assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    talks.join().unwrap();
}

/// Runs this as soon as the store has a purge.
fn once_written(stamp: &Stamp, timeout: &str, then: impl FnOnce() + Send) -> Ran {
    let url = stamp.redis.url();
    std::thread::scope(|scope| {
        let before = stamp.redis.try_command("XLEN {synaxis:cache}:purges").unwrap();
        let world = &stamp.world;
        let ran = scope.spawn(move || {
            let args = ["cache", "purge", "--all", "--wait", "--timeout", timeout, "-o", "json", "--cache-store", &url];
            world.args(&args)
        });
        let end = Instant::now() + Duration::from_secs(10);
        while stamp.redis.try_command("XLEN {synaxis:cache}:purges").unwrap() == before {
            assert!(Instant::now() < end, "no purge");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        then();
        soon(|| ran.join().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_after_it_has_the_purge_is_not_said_to_have_none() {
    let stamp = Stamp::start();
    let player = reads(&stamp, "one", Duration::from_secs(60));
    listed(&stamp, 1);
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &stamp.redis.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    let fails = |then: &(dyn Fn() + Sync)| {
        let ran = once_written(&stamp, "1s", then);
        assert!(ran.json()["id"].is_string() && ran.json()["everywhere"] == false, "{ran:?}");
        ran
    };
    fails(&|| signal("-STOP")).code(3).says(&["is in the store", "who has it is not known"]);
    signal("-CONT");
    fails(&|| drop(stamp.redis.try_command("FLUSHALL"))).code(1).says(&["has lost purge", "purge again"]);
    stamp.redis.try_command("XADD {synaxis:cache}:purges * x y").unwrap();
    fails(&|| signal("-KILL")).code(3).says(&["is in the store", "who has it is not known"]);
    player.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_moment_is_asked_again() {
    let stamp = Stamp::start();
    let player = reads(&stamp, "one", Duration::from_millis(1_500));
    listed(&stamp, 1);
    let clients = || {
        let list = stamp.redis.try_command("CLIENT LIST").unwrap();
        let rows = list.split('\n').filter(|row| row.contains("cmd=eval"));
        rows.filter_map(|row| row.split_once("id=")?.1.split(' ').next()?.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let mut killed = 0;
    let ran = once_written(&stamp, "10s", || {
        // who waits asks all the time; the player sleeps, and what it asked last was for the stream
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            for id in clients() {
                stamp.redis.try_command(&format!("CLIENT KILL ID {id}")).unwrap();
                killed += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(killed > 1, "nothing was cut");
    assert_eq!(ran.code(0).json()["everywhere"], true);
    player.abort();
}
