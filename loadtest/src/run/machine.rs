//! What a run ran on.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Command,
    thread,
};

use anyhow::Context as _;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    report::{Binary, Machine},
    world::Binaries,
};

/// Bytes of a program that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// This machine.
pub(super) fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default();
    Machine {
        cores: thread::available_parallelism().map_or(1, Into::into),
        model: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        memory_mib: kib / 1_024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// The commit of the checkout around the programs, and which programs they are: those of a world, and this one.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn programs(of_world: Option<&Binaries>) -> anyhow::Result<(Option<String>, Vec<Binary>)> {
    let own = env::current_exe().context("this program's path")?;
    let mut binaries = Vec::new();
    if let Some(Binaries { proxy, loadtest }) = of_world {
        binaries = vec![binary("proxy", proxy, proxy)?, binary("app", loadtest, loadtest)?];
    }
    // the file may have been replaced since it was started
    binaries.push(binary("generator", &own, Path::new("/proc/self/exe"))?);
    Ok((commit(of_world.map_or(&own, |binaries| &binaries.proxy)), binaries))
}

fn binary(role: &str, path: &Path, bytes: &Path) -> anyhow::Result<Binary> {
    let mut hash = Xxh3::new();
    let file = fs::File::open(bytes).with_context(|| path.display().to_string())?;
    let mut file = BufReader::with_capacity(READ_BYTES, file);
    loop {
        let read = file.fill_buf().with_context(|| path.display().to_string())?;
        if read.is_empty() {
            break;
        }
        hash.update(read);
        let bytes = read.len();
        file.consume(bytes);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Binary { role: role.into(), file: name, xxh3: format!("{:016x}", hash.digest()) })
}

/// The commit of the checkout in which a program lies, with `+` when the work tree differs; `None` outside of one.
fn commit(program: &Path) -> Option<String> {
    let folder = program.parent()?;
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(words)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            binary("proxy", &path, &path).unwrap()
        };
        let long = vec![7; 3 * READ_BYTES + 1];
        let (one, same, other) = (of("one", &long), of("same", &long), of("other", &long[1..]));
        assert_eq!((one.file.as_str(), one.xxh3.len()), ("one", 16));
        assert_eq!(one.xxh3, format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&long)));
        assert!(one.xxh3 == same.xxh3 && one.xxh3 != other.xxh3);
    }
}
