//! This proxy as a contestant: alone, with its access log, twice in a row, or as one of many stamps.

use std::fs;

use crate::{
    contestant::{Contestant, Kind, Process},
    fleet, kept,
    peer::POOL,
    process::free_port,
    scene::Scene,
    settings::synaxis::{Extra, Member, Synaxis},
};

/// A build of this project.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) name: String,
    pub(crate) binary: std::path::PathBuf,
}

impl Build {
    /// Alone in its fleet, so that every request takes the whole way through tenant, table and route.
    pub(crate) fn alone(&self, scene: &Scene, kind: Kind, pool: u32) -> anyhow::Result<Contestant> {
        let port = free_port()?;
        let log = (kind == Kind::Logging).then(|| scene.folder.join(format!("synaxis-{port}.access.log")));
        let extra = Extra { access_log: log.as_deref(), limits: kind == Kind::Limited, ..Extra::default() };
        let process = self.process(scene, (port, pool), &extra)?;
        let name = match kind {
            Kind::Logging => format!("{}, access log", self.name),
            Kind::Limited => format!("{}, limits", self.name),
            _ => self.name.clone(),
        };
        Ok(Contestant::new(name, kind, vec![process]))
    }

    /// Alone, and keeps the answers of [`kept`].
    pub(crate) fn keeping(&self, scene: &Scene, kind: Kind, pool: u32) -> anyhow::Result<Contestant> {
        let process = self.process(scene, (free_port()?, pool), &Extra { cache: true, ..Extra::default() })?;
        Ok(Contestant::new(&self.name, kind, vec![process]).with(kept::keys()))
    }

    /// Two proxies: the entry owns nothing, so that it hands every request to the other one.
    pub(crate) fn forwarded(&self, scene: &Scene) -> anyhow::Result<Contestant> {
        let peers = [free_port()?, free_port()?];
        let store = scene.folder.join(format!("store-{}", peers[0]));
        let stamps = fleet::publish_pair(&store, peers)?;
        let mut processes = Vec::new();
        for (stamp, peer) in stamps.iter().zip(peers) {
            let member = Member { stamp: stamp.to_string(), peer, store: store.clone() };
            let extra = Extra { member: Some(&member), ..Extra::default() };
            processes.push(self.process(scene, (free_port()?, POOL), &extra)?);
        }
        Ok(Contestant::new(format!("{}, forwarded", self.name), Kind::Forwarded, processes))
    }

    /// One of so many Active stamps, and some tenants that are its own.
    pub(crate) fn among(&self, scene: &Scene, stamps: u32) -> anyhow::Result<(Contestant, Vec<String>)> {
        let peer = free_port()?;
        let store = scene.folder.join(format!("store-{peer}"));
        let (stamp, tenants) = fleet::publish_many(&store, peer, stamps)?;
        let member = Member { stamp: stamp.to_string(), peer, store };
        let extra = Extra { member: Some(&member), ..Extra::default() };
        let process = self.process(scene, (free_port()?, POOL), &extra)?;
        let mut contestant = Contestant::new(&self.name, Kind::Ours, vec![process]);
        contestant.tenant.clone_from(&tenants[0]);
        Ok((contestant, tenants))
    }

    fn process(&self, scene: &Scene, (port, pool): (u16, u32), extra: &Extra<'_>) -> anyhow::Result<Process> {
        let file = |ending: &str| scene.folder.join(format!("synaxis-{port}.{ending}"));
        let settings = Synaxis { port, admin: free_port()?, origins: &scene.origins, pool, extra: *extra };
        fs::write(file("toml"), settings.to_string())?;
        let binary = self.binary.display().to_string();
        let rest = ["--log-level", "warn", "run", "--config"].map(str::to_owned);
        let words = std::iter::once(binary).chain(rest).chain([file("toml").display().to_string()]).collect();
        Ok(Process { words, port, log: file("log") })
    }
}
