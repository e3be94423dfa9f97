//! A proxy under test: how it is started, and which row it is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{
    process::{Server, free_port},
    settings, tools,
};

/// The core of the proxy under test.
const CORE: u8 = 0;

/// A proxy under test. It runs only while it is measured.
pub(crate) struct Contestant {
    /// Its row.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) port: u16,
    /// How it is started.
    pub(crate) words: Vec<String>,
    log: PathBuf,
    ours: bool,
}

impl Contestant {
    pub(crate) fn nginx(folder: &Path, origins: &[u16; 3]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let path = folder.join("nginx.conf");
        fs::write(&path, settings::nginx_proxy(folder, port, origins))?;
        let words = vec![tools::program("nginx"), "-c".into(), path.display().to_string()];
        Ok(Self { name: "nginx".into(), port, words, log: folder.join("nginx.log"), ours: false })
    }

    pub(crate) fn haproxy(folder: &Path, origins: &[u16; 3]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let path = folder.join("haproxy.cfg");
        fs::write(&path, settings::haproxy(port, origins))?;
        let words = vec![tools::program("haproxy"), "-db".into(), "-f".into(), path.display().to_string()];
        Ok(Self { name: "HAProxy".into(), port, words, log: folder.join("haproxy.log"), ours: false })
    }

    pub(crate) fn synaxis(
        folder: &Path,
        origins: &[u16; 3],
        name: &str,
        binary: &Path,
        access_log: bool,
    ) -> anyhow::Result<Self> {
        let name = if access_log { format!("{name}, access log") } else { name.to_owned() };
        let port = free_port()?;
        let file = |ending: &str| folder.join(format!("synaxis-{port}.{ending}"));
        let output = if access_log { file("access.log").display().to_string() } else { "off".to_owned() };
        fs::write(file("toml"), settings::synaxis(port, free_port()?, origins, &output))?;
        let words = vec![
            binary.display().to_string(),
            "--log-level".into(),
            "warn".into(),
            "run".into(),
            "--config".into(),
            file("toml").display().to_string(),
        ];
        Ok(Self { name, port, words, log: file("log"), ours: true })
    }

    /// Whether it is a build of this project.
    pub(crate) const fn is_ours(&self) -> bool {
        self.ours
    }

    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        Server::start(CORE, &self.words, self.port, &self.log)
    }

    /// Starts it as the argument of another program.
    pub(crate) fn start_under(&self, before: &[String]) -> anyhow::Result<Server> {
        let words: Vec<String> = before.iter().chain(&self.words).cloned().collect();
        Server::start(CORE, &words, self.port, &self.log)
    }
}

/// Builds the proxy of this checkout as it is shipped.
pub(crate) fn build() -> anyhow::Result<(String, PathBuf)> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(cargo)
        .args(["build", "--locked", "--profile", "dist", "-p", "synaxis-proxy"])
        .current_dir(here)
        .status()
        .context("cargo build")?;
    anyhow::ensure!(status.success(), "cargo build --profile dist -p synaxis-proxy failed");
    // this program lies in the same target folder, one profile beside the other
    let own = env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("no target folder")?;
    Ok(("synaxis".to_owned(), target.join("dist/synaxis-proxy")))
}

/// `NAME=PATH`.
pub(crate) fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("say NAME=PATH")?;
    let path = PathBuf::from(path);
    if name.is_empty() || !path.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    Ok((name.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_needs_a_name_and_a_file() {
        assert!(named("old").is_err());
        assert!(named("old=/no/such/file").is_err());
        assert!(named("=/bin/sh").is_err());
        assert_eq!(named("old=/bin/sh").unwrap().0, "old");
    }
}
