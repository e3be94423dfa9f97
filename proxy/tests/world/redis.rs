//! A redis-server of its own for one test: a free port, a temporary folder, killed by its handle.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{eventually, free_port};

pub struct Redis {
    child: Option<Child>,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let mut redis = Self { child: None, port: free_port(), folder: tempfile::tempdir().unwrap() };
        redis.restart();
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the process that runs.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Where it keeps what it is told to (`SAVE`), and from where it takes it when it starts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it (again), empty unless there is a dump in its folder: nothing is persisted by itself.
    pub fn restart(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs (Debian package redis-server)");
        self.child = Some(child);
        let port = self.port;
        eventually("redis-server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
