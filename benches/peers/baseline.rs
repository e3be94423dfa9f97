//! An older commit to compare with: checked out aside, built into a target folder that is kept for the next run.
//!
//! Invariant: the checkout aside is gone when the build has ended, however it ended; [`crate::interrupt`] removes it when
//! somebody stops this program.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{build, ours::Build};

/// Builds a commit's proxy as it is shipped.
pub(crate) fn build(scratch: &Path, revision: &str) -> anyhow::Result<Build> {
    let repository = build::here();
    let commit = commit(repository, revision)?;
    let target = build::target()?.join(format!("baseline-{commit}"));
    let checkout = Checkout::aside(repository, scratch, &commit)?;
    build::proxy(&checkout.place, &target)?;
    let name = if revision.starts_with(&commit) { commit } else { format!("{revision} ({commit})") };
    Ok(Build { name, binary: target.join("dist/synaxis-proxy") })
}

/// Removes the checkout aside, if there is one.
pub(crate) fn remove(scratch: &Path) {
    drop(Checkout { repository: build::here().to_owned(), place: place(scratch) });
}

/// The short name of a commit.
fn commit(repository: &Path, revision: &str) -> anyhow::Result<String> {
    let wanted = format!("{revision}^{{commit}}");
    git(repository, &["rev-parse", "--verify", "--short=10", "--end-of-options", &wanted])
        .with_context(|| format!("--baseline: {revision} is no commit of this repository"))
}

/// A checkout aside. Goes with its handle.
struct Checkout {
    repository: PathBuf,
    place: PathBuf,
}

impl Checkout {
    fn aside(repository: &Path, scratch: &Path, commit: &str) -> anyhow::Result<Self> {
        // the handle first: an attempt that fails half-way leaves something too
        let checkout = Self { repository: repository.to_owned(), place: place(scratch) };
        git(repository, &["worktree", "add", "--detach", &checkout.place.display().to_string(), commit])?;
        Ok(checkout)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if self.place.exists() {
            let _ = git(&self.repository, &["worktree", "remove", "--force", &self.place.display().to_string()]);
        }
    }
}

fn place(scratch: &Path) -> PathBuf {
    scratch.join("baseline")
}

/// What git says.
fn git(repository: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(repository).output().context("git")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    anyhow::ensure!(output.status.success(), "git {}: {}", arguments.join(" "), text(&output.stderr));
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet"]).unwrap();
        let author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
        let commit = ["commit", "--quiet", "--allow-empty", "--message", "first"];
        git(folder.path(), &[&author[..], &commit[..]].concat()).unwrap();
        folder
    }

    #[test]
    fn a_checkout_aside_goes_with_its_handle() {
        let (repository, scratch) = (repository(), tempfile::tempdir().unwrap());
        let commit = commit(repository.path(), "HEAD").unwrap();
        let worktrees = || git(repository.path(), &["worktree", "list"]).unwrap().lines().count();
        let checkout = Checkout::aside(repository.path(), scratch.path(), &commit).unwrap();
        assert!(checkout.place.exists());
        assert_eq!(worktrees(), 2);
        drop(checkout);
        assert!(!place(scratch.path()).exists());
        assert_eq!(worktrees(), 1);
    }

    #[test]
    fn what_is_no_commit_is_refused() {
        let repository = repository();
        assert_eq!(commit(repository.path(), "HEAD").unwrap().len(), 10);
        for revision in ["no-such-revision-anywhere", "--help"] {
            let error = commit(repository.path(), revision).unwrap_err().to_string();
            assert!(error.contains(revision), "{error}");
        }
    }
}
