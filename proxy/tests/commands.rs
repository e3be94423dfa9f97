//! The commands beside `run`, each as a process: what it prints, how it ends, and what it makes of a bad counterpart.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::world::{Process, alone, free_port, process};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A configuration file whose admin listener is known before it runs.
fn written(folder: &tempfile::TempDir, shutdown: &str) -> (PathBuf, SocketAddr) {
    let admin: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let text = alone("127.0.0.1:9".parse().unwrap(), "")
        .replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\naddress = \"{admin}\""))
        .replace("lame_duck = \"50ms\"", shutdown);
    let path = folder.path().join("proxy.toml");
    fs::write(&path, text).unwrap();
    (path, admin)
}

/// Asks whoever listens there, and says how it ended and what was said.
fn health(address: &str) -> (Option<i32>, String) {
    let start = Instant::now();
    let output = process::run(&["healthcheck", "--address", address, "--timeout", "300ms"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(out(&output), "");
    (output.status.code(), err(&output))
}

/// Serves one connection with `serve`.
fn server(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    format!("http://{address}")
}

#[test]
fn the_health_of_a_running_proxy_is_asked_without_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let (config, admin) = written(&folder, "lame_duck = \"20s\"");
    let config = config.to_str().unwrap().to_owned();
    let by_config = || process::run(&["healthcheck", "--config", &config]);
    assert_eq!(by_config().status.code(), Some(1), "nobody listens yet");
    let (mut proxy, _) = Process::proxy(config.as_ref());
    let ready = by_config();
    assert_eq!((ready.status.code(), err(&ready)), (Some(0), String::new()));
    assert_eq!(health(&admin.to_string()), (Some(0), String::new()));
    proxy.signal("TERM");
    proxy.line(|line| line.contains("stopping"));
    let leaving = by_config();
    assert_eq!(leaving.status.code(), Some(1));
    assert!(err(&leaving).starts_with(&format!("not ready: http://{admin}/readyz: 503\n")), "{}", err(&leaving));
    assert!(err(&leaving).contains("shutting down"), "{}", err(&leaving));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
}

#[test]
fn whoever_answers_badly_is_not_ready_and_not_waited_for() {
    let (code, said) = health(&format!("127.0.0.1:{}", free_port()));
    assert!(code == Some(1) && said.contains("refused"), "{said}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = health(&silent.local_addr().unwrap().to_string());
    assert!(code == Some(1) && said.contains("no complete answer within 300 ms"), "{said}");
    // one byte at a time, without end
    let (code, said) = health(&server(|mut stream| {
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    }));
    assert!(code == Some(1) && said.contains("no complete answer within 300 ms"), "{said}");
    // as much as it takes
    let (code, said) = health(&server(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {}));
    assert!(code == Some(1) && said.contains("not HTTP"), "{said}");
    let (code, said) = health(&server(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n\x1b[2Jno");
    }));
    assert_eq!((code, said.lines().last()), (Some(1), Some("[2Jno")), "{said}");
}

#[test]
fn a_healthcheck_without_a_usable_address_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    fs::write(&path, alone("127.0.0.1:9".parse().unwrap(), "")).unwrap();
    for (args, code, words) in [
        (&["--config", path.to_str().unwrap()][..], 1, "write --address"),
        (&["--config", "/nowhere/x.toml"], 1, "cannot be opened"),
        (&["--address", "https://127.0.0.1:1"], 2, "http://IP:PORT"),
        (&["--address", "proxy.example:9901"], 2, "http://IP:PORT"),
        (&["--timeout", "0s"], 2, "allowed are 10ms to 1m"),
        (&["--timeout", "forever"], 2, "a duration is"),
    ] {
        let output = process::run(&[&["healthcheck"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(words), "{args:?}: {}", err(&output));
    }
}

#[test]
fn the_program_explains_itself() {
    let help = out(&process::run(&["--help"]));
    for word in ["Exit codes", "69", "78", "healthcheck", "completions", "logfmt"] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    let man = out(&process::run(&["man"]));
    assert!(man.contains(".TH synaxis-proxy 1") && man.contains("Exit codes"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        let completions = out(&process::run(&["completions", shell]));
        assert!(completions.contains("healthcheck"), "{shell}");
    }
    assert_eq!(process::run(&["completions", "cmd.exe"]).status.code(), Some(2));
}

#[test]
fn the_configuration_is_shown_with_its_defaults_and_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (config, admin) = written(&folder, "lame_duck = \"1ms\"");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str("[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n");
    text.push_str("[routing]\nstore = \"redis://:s3cret@127.0.0.1:1\"\n");
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let printed = out(&process::run(&["print-config", "--config", config]));
    for part in [&format!("address = \"{admin}\""), "store = \"redis://***@127.0.0.1:1\"", "tunnel_idle = \"5m\""] {
        assert!(printed.contains(part), "{part} is missing in {printed}");
    }
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(process::run(&["print-config", "--config", "/nowhere/x"]).status.code(), Some(78));
    let again = folder.path().join("again.toml");
    fs::write(&again, printed).unwrap();
    assert!(process::run(&["check", "--config", again.to_str().unwrap()]).status.success());

    let schema: serde_json::Value = serde_json::from_str(&out(&process::run(&["print-schema"]))).unwrap();
    assert_eq!(schema["properties"]["timeouts"]["properties"]["tunnel_idle"]["default"], "5m");
    assert!(out(&process::run(&["dump-defaults"])).contains("# tunnel_idle = \"5m\"\n"));
}

#[test]
fn events_are_written_as_pairs_too() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(&folder, "lame_duck = \"1ms\"");
    let mut proxy = Process::start(&["--log-format", "logfmt", "run", "--config", config.to_str().unwrap()]);
    let line = proxy.line(|line| line.contains("message=listening"));
    assert!(line.contains(" level=info ") && line.contains(" edges="), "{line}");
    proxy.signal("TERM");
    assert!(proxy.wait().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(&folder, "lame_duck = \"1ms\"");
    for args in [
        &["man"][..],
        &["dump-defaults"],
        &["print-schema"],
        &["completions", "bash"],
        &["check", "--config", config.to_str().unwrap()],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synaxis-proxy"));
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let words: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
        assert_eq!((child.wait().unwrap().code(), words), (Some(0), Vec::new()), "{args:?}");
    }
}
