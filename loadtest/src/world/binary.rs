//! Where the programs of a world are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::process::is_program;

/// The programs of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// `synaxis-proxy`.
    pub proxy: PathBuf,
    /// `synaxis-loadtest`, which is also the origin.
    pub loadtest: PathBuf,
}

impl Binaries {
    /// Finds them beside this program, or beside the folder of this test.
    ///
    /// # Errors
    /// One is not there; says how to build it.
    pub fn beside() -> anyhow::Result<Self> {
        let own = env::current_exe().context("this program's path")?;
        Ok(Self { proxy: find(&own, "synaxis-proxy")?, loadtest: find(&own, "synaxis-loadtest")? })
    }

    /// The same with another proxy.
    ///
    /// # Errors
    /// The file cannot be executed.
    pub fn with_proxy(mut self, proxy: PathBuf) -> anyhow::Result<Self> {
        anyhow::ensure!(is_program(&proxy), "{} is no program", proxy.display());
        self.proxy = proxy;
        Ok(self)
    }
}

fn find(own: &Path, name: &str) -> anyhow::Result<PathBuf> {
    // tests lie one folder deeper
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| is_program(path));
    found.with_context(|| {
        let profile = own.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let profile = if profile == "release" { "--release".to_owned() } else { format!("--profile {profile}") };
        format!(
            "{name} is not beside {}; build it: cargo build {profile} -p synaxis-proxy -p synaxis-loadtest",
            own.display()
        )
    })
}
