//! What is compiled before anything is measured: this checkout as it is shipped, and the Pingora program.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{ours::Build, process::bound};

/// Builds the proxy of this checkout as it is shipped.
pub(crate) fn checkout() -> anyhow::Result<Build> {
    let target = target()?;
    proxy(here(), &target)?;
    Ok(Build { name: "synaxis".into(), binary: target.join("dist/synaxis-proxy") })
}

/// Builds the proxy of a checkout as it is shipped, into a target folder.
pub(crate) fn proxy(checkout: &Path, target: &Path) -> anyhow::Result<()> {
    cargo(checkout, target, &["--profile", "dist", "-p", "synaxis-proxy"])
}

/// Builds the Pingora program, which is in no workspace, into a target folder of its own.
pub(crate) fn pingora() -> anyhow::Result<PathBuf> {
    let target = target()?.join("pingora");
    cargo(&pingora_folder(), &target, &["--release"])
        .context("Pingora cannot be built; its compression library needs cmake (on Debian: apt-get install cmake)")?;
    Ok(target.join("release/pingora-peer"))
}

/// The version that is locked.
pub(crate) fn pingora_version() -> Option<String> {
    locked(&fs::read_to_string(pingora_folder().join("Cargo.lock")).ok()?, "pingora")
}

/// The folder of this package.
pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The target folder: this program lies in one of its profiles.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).context("no target folder")?.to_owned())
}

fn pingora_folder() -> PathBuf {
    here().join("peers/pingora")
}

fn cargo(folder: &Path, target: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = bound(&cargo)
        .args(["build", "--locked"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .current_dir(folder)
        .status()
        .context("cargo build")?;
    anyhow::ensure!(status.success(), "cargo build --locked {} failed in {}", arguments.join(" "), folder.display());
    Ok(())
}

/// A package's version in a `Cargo.lock`.
fn locked(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let version = lock.lines().skip_while(|line| *line != name).nth(1)?;
    Some(version.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_version_is_not_that_of_a_longer_name() {
        let lock = "[[package]]\nname = \"pingora-core\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"pingora\"\nversion = \"0.9.1\"\n";
        assert_eq!(locked(lock, "pingora").as_deref(), Some("0.9.1"));
        assert_eq!(locked(lock, "ping"), None);
    }

    #[test]
    fn the_pingora_program_is_locked() {
        assert!(pingora_version().unwrap().starts_with("0.9."));
    }
}
