//! What all contestants proxy to: nginx with 1 KiB of JSON on three ports, beside the load generator on core 1.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{
    exchange::Client,
    process::{Server, free_port},
    settings, tools,
};

/// The core of origin and load generator.
pub(crate) const CORE: u8 = 1;

/// The running origin.
pub(crate) struct Origin {
    pub(crate) ports: [u16; 3],
    status: u16,
    _server: Server,
}

pub(crate) fn start(folder: &Path, connections: u32) -> anyhow::Result<Origin> {
    let (ports, status) = ([free_port()?, free_port()?, free_port()?], free_port()?);
    let path = folder.join("origin.conf");
    fs::write(&path, settings::origin(folder, &ports, status, connections))?;
    let words = [tools::program("nginx"), "-c".into(), path.display().to_string()];
    let server = Server::start(CORE, &words, ports[2], &folder.join("origin.log"))?;
    Ok(Origin { ports, status, _server: server })
}

impl Origin {
    /// Requests answered since the start.
    pub(crate) fn requests(&self) -> anyhow::Result<u64> {
        let text = Client::connect(self.status)?.get("/", "")?;
        requests(&text).with_context(|| format!("the origin said {text}"))
    }
}

/// The third of the three sums that nginx's status page shows.
fn requests(status: &str) -> Option<u64> {
    let sums = status.lines().skip_while(|line| !line.contains("requests")).nth(1)?;
    sums.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_requests_is_read() {
        let text =
            "Active connections: 291 \nserver accepts handled requests\n 16 15 31070465 \nReading: 6 Writing: 17\n";
        assert_eq!(requests(text), Some(31_070_465));
        assert_eq!(requests("Active connections: 1"), None);
    }
}
