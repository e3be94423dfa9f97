//! This proxy's configuration, alone or as one stamp of a fleet.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What is configured.
pub(crate) struct Synaxis<'a> {
    pub(crate) port: u16,
    pub(crate) admin: u16,
    pub(crate) origins: &'a [u16; 3],
    /// Idle upstream connections that are kept.
    pub(crate) pool: u32,
    pub(crate) extra: Extra<'a>,
}

/// What not every one does; by default nothing, and it is alone.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extra<'a> {
    pub(crate) access_log: Option<&'a Path>,
    /// Counts requests of tenants and of users, and refuses none.
    pub(crate) limits: bool,
    /// Keeps every answer that says for how long.
    pub(crate) cache: bool,
    /// `None`: alone.
    pub(crate) member: Option<&'a Member>,
}

/// Its place in a fleet.
pub(crate) struct Member {
    pub(crate) stamp: String,
    /// The port of its peer listener.
    pub(crate) peer: u16,
    /// The folder with the table.
    pub(crate) store: PathBuf,
}

/// More than anybody makes.
const LIMITS: &str = "[tiers.starter]\nrequests = \"100000000/s\"\n[user]\nsources = [{ header = \"x-user-id\" }]\n\
                      [[rate_limits]]\nname = \"user\"\nkey = [\"tenant\", \"user\"]\nquota = \"100000000/s\"\n\
                      [[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\nrate_limits = [\"user\"]\n";

const CACHE: &str = "[cache]\nmemory = \"256MiB\"\n[cache.classes.kept]\nttl = \"15m\"\n\
                     [[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\ncache = \"kept\"\n";

impl fmt::Display for Synaxis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<String> =
            self.origins.iter().map(|origin| format!("\"http://127.0.0.1:{origin}\"")).collect();
        let extra = &self.extra;
        let stamp = extra.member.map_or("synaxis-weu-001", |member| &member.stamp);
        let output = extra.access_log.map_or_else(|| "off".to_owned(), |path| path.display().to_string());
        write!(
            f,
            "[stamp]\nid = \"{stamp}\"\n[server]\nworkers = 1\n\
             [[listeners]]\nkind = \"edge\"\naddress = \"127.0.0.1:{}\"\ntrust_header = true\n\
             [admin]\naddress = \"127.0.0.1:{}\"\n[upstreams.app]\nendpoints = [{}]\nidle_max = {}\n\
             [access_log]\noutput = \"{output}\"\n[timeouts]\nidle = \"300s\"\n\
             [shutdown]\nlame_duck = \"0s\"\ndrain = \"1s\"\n",
            self.port,
            self.admin,
            endpoints.join(", "),
            self.pool
        )?;
        if extra.limits {
            f.write_str(LIMITS)?;
        }
        if extra.cache {
            f.write_str(CACHE)?;
        }
        let Some(member) = extra.member else { return Ok(()) };
        // the table is there before the proxy is and does not change: looking for news is to cost next to nothing
        write!(
            f,
            "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:{}\"\n\
             [routing]\nstore = \"file:{}\"\npoll = \"5s\"\nack = \"10s\"\n",
            member.peer,
            member.store.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_reads_what_is_written() {
        let member = Member { stamp: "synaxis-weu-0002".into(), peer: 82, store: PathBuf::from("/store") };
        let none = Extra::default();
        let all = [
            none,
            Extra { limits: true, ..none },
            Extra { cache: true, ..none },
            Extra { member: Some(&member), ..none },
        ];
        for extra in all {
            let text = Synaxis { port: 80, admin: 81, origins: &[1, 2, 3], pool: 256, extra };
            let loaded = synaxis_config::load(&text.to_string(), Path::new("test.toml"));
            assert!(loaded.is_ok(), "{text}");
        }
    }
}
