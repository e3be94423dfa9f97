//! What all contestants proxy to: nginx with 1 KiB of JSON on three ports, beside the load generator on core 1.

use std::{fs, path::Path};

use crate::{
    process::{Server, free_port},
    settings, tools,
};

/// The core of origin and load generator.
pub(crate) const CORE: u8 = 1;

/// The running origin.
pub(crate) struct Origin {
    pub(crate) ports: [u16; 3],
    _server: Server,
}

pub(crate) fn start(folder: &Path) -> anyhow::Result<Origin> {
    let ports = [free_port()?, free_port()?, free_port()?];
    let path = folder.join("origin.conf");
    fs::write(&path, settings::origin(folder, &ports))?;
    let words = [tools::program("nginx"), "-c".into(), path.display().to_string()];
    let server = Server::start(CORE, &words, ports[2], &folder.join("origin.log"))?;
    Ok(Origin { ports, _server: server })
}
