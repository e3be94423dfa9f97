//! The real binary as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synaxis-proxy"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// What the system grants a process.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// Open descriptors, soft and hard; a number that makes the proxy warn.
    pub descriptors: Option<u64>,
}

/// A running binary; killed when dropped.
pub struct Process {
    child: Child,
    /// Lines of its standard error and standard output, as they come.
    lines: Receiver<String>,
}

impl Process {
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(command(args))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn BufRead + Send>; 2] = [
            Box::new(BufReader::new(child.stdout.take().unwrap())),
            Box::new(BufReader::new(child.stderr.take().unwrap())),
        ];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        }
        Self { child, lines }
    }

    /// A proxy with this configuration, once it listens: its edge listener.
    pub fn proxy(config: &Path) -> (Self, SocketAddr) {
        let (process, edge, _) = Self::proxy_and_admin(config);
        (process, edge)
    }

    /// The same, with its admin listener.
    pub fn proxy_and_admin(config: &Path) -> (Self, SocketAddr, SocketAddr) {
        let process = Self::start(&["--log-format", "json", "run", "--config", config.to_str().unwrap()]);
        let listening = process.line(|line| line.contains("\"listening\""));
        let event: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let edges = event["fields"]["edges"].as_str().unwrap().trim_matches(['[', ']']).to_owned();
        let admin = event["fields"]["admin"].as_str().unwrap().parse().unwrap();
        (process, edges.parse().unwrap(), admin)
    }

    /// A proxy with this configuration under these limits, once it listens: its edge and its admin listener.
    pub fn front(config: &Path, limits: Limits) -> (Self, SocketAddr, SocketAddr) {
        let args = ["--log-format", "json", "run", "--config", config.to_str().unwrap()];
        let process = match limits.descriptors {
            None => Self::start(&args),
            Some(descriptors) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
                shell.arg(env!("CARGO_BIN_EXE_synaxis-proxy")).args(args).env_clear().stdin(Stdio::null());
                let process = Self::spawn(shell);
                process.line(|line| line.contains("fewer connections than server.connections_max"));
                process
            }
        };
        let listening = process.line(|line| line.contains("\"listening\""));
        let event: serde_json::Value = serde_json::from_str(&listening).unwrap();
        let address = |field: &str| event["fields"][field].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap();
        (process, address("edges"), address("admin"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line for which `wanted` holds.
    pub fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("only {seen:#?}"));
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }
    }

    /// The lines that nobody has asked for yet, up to its end.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the process does not end: {:#?}, {:#?}", self.threads(), self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has said that nobody has asked for yet.
    fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Its threads: name, state, where they sleep.
    fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let word = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let thread = |task: &Path| {
            let stat = word(task, "stat");
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
            format!("{} {state} {}", word(task, "comm").trim_end(), word(task, "wchan"))
        };
        tasks.flatten().map(|task| thread(&task.path())).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
