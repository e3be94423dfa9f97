//! System calls per request, from `strace -c` around one measurement. Its times mean nothing, its counts do.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    contestant::Contestant,
    load::Load,
    process::{bound, signal},
};

/// How long strace gets to attach.
const ATTACH: Duration = Duration::from_millis(700);

/// One table of counts per request.
pub(crate) fn report(contestants: &[Contestant], load: &Load) -> anyhow::Result<String> {
    let mut text =
        String::from("## System calls per request\n\n| proxy | system calls/request | which |\n| --- | --- | --- |\n");
    let folder = tempfile::tempdir()?;
    for contestant in contestants {
        let servers = contestant.start()?;
        // threads and children are there once it has served
        let path = folder.path().join("counts");
        let mut tracer = attach(&servers.ids(), &path)?;
        thread::sleep(ATTACH);
        let seen = load.run(contestant.port)?;
        signal(tracer.id(), "INT")?;
        tracer.wait()?;
        let counts = counts(&fs::read_to_string(&path)?);
        anyhow::ensure!(!counts.is_empty(), "strace counted nothing");
        anyhow::ensure!(seen.requests > 0, "no request completed");
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let per_request = |count: u64| count as f64 / seen.requests as f64;
        let which: Vec<String> = counts
            .iter()
            .filter(|(_, count)| per_request(*count) >= 0.01)
            .map(|(name, count)| format!("{name} {:.2}", per_request(*count)))
            .collect();
        let _ = writeln!(text, "| {} | {:.2} | {} |", contestant.name, per_request(total), which.join(", "));
    }
    Ok(text)
}

fn attach(ids: &[u32], counts: &Path) -> anyhow::Result<Child> {
    let mut command = bound("strace");
    command.args(["-c", "-f", "-o"]).arg(counts);
    for id in ids {
        command.args(["-p", &id.to_string()]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("strace")
}

/// The rows of strace's summary, most frequent first.
fn counts(summary: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (share, name) = (words.first()?.parse::<f64>().ok()?, words.last()?);
        let count: u64 = words.get(3)?.parse().ok()?;
        (share.is_finite() && *name != "total").then(|| ((*name).to_owned(), count))
    };
    let mut counts: Vec<(String, u64)> = summary.lines().filter_map(row).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_without_its_total() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n \
                       55.00    0.005500           1      2000           writev\n \
                       45.00    0.004500           1      3000        12 recvfrom\n\
                       ------ ----------- ----------- --------- --------- ----------------\n\
                       100.00    0.010000           2      5000        12 total\n";
        assert_eq!(counts(summary), [("recvfrom".to_owned(), 3_000), ("writev".to_owned(), 2_000)]);
        assert!(counts("strace: attached").is_empty());
    }
}
