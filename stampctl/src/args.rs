//! What can be said on the command line.
//!
//! Invariant: everything is checked for form here (durations, ids, numbers); what a verb means is in its own file.

use std::{path::PathBuf, time::Duration};

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use synaxis_routing::{
    change::PlanId,
    id::{Region, TenantId},
    table::State,
};

use crate::{duration, names, output::Format};

mod cache;
mod life;
mod tenants;
#[cfg(test)]
mod tests;

pub(crate) use cache::{Cache, CacheStore, Purge};
pub(crate) use life::{Below, Degrade, Delete, Drain, Goal, Health, Isolate, Ramped, Standby, Wait, Weight};
pub(crate) use tenants::{Assign, Hot, Pin, Set, Tenant, TenantList};

/// Operates a fleet of stamps: its routing table, its tenants' pins.
///
/// Every changing verb shows the difference, publishes only if nobody else published in between, and waits until every
/// live proxy has applied it.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 published but the wait timed out, 4 not found, 5 forbidden by the state
/// machine or a guard, 6 lost a race (repeat).
#[derive(Debug, Parser)]
#[command(name = "stampctl", version, max_term_width = 120)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Something about the fleet, or about this program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Verb(Verb),
    /// Answers that the processes of a stamp keep
    #[command(subcommand)]
    Cache(Cache),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff): stampctl man | man -l -
    Man,
}

/// What every verb understands.
#[derive(Debug, Group)]
pub(crate) struct Global {
    /// Store of the routing table: redis://HOST:PORT, rediss://HOST:PORT, file:DIRECTORY
    #[arg(long, global = true, value_name = "URL", env = "SYNAXIS_ROUTING_STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// Store in which proxies count requests by tenant, for `plan` and `tenant hot`: redis://HOST:PORT, rediss://HOST:PORT
    #[arg(long, global = true, value_name = "URL", env = "SYNAXIS_LIMITS_STORE", hide_env_values = true)]
    pub(crate) limits_store: Option<String>,
    /// Prefix of that store's keys [default: synaxis]
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) limits_key_prefix: Option<String>,
    /// Prefix of the routing table's keys [default: synaxis]
    #[arg(long, global = true, value_name = "PREFIX")]
    pub(crate) key_prefix: Option<String>,
    /// TOML file with store, key_prefix, limits_store, cache_store and [guards]
    #[arg(long, global = true, value_name = "FILE", env = "SYNAXIS_STAMPCTL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// How the result is written
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Do everything but publish
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Ask nothing
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Publish although no live proxy confirms the current table
    #[arg(long, global = true)]
    pub(crate) no_proxies: bool,
    /// Return after publishing, without waiting for the proxies
    #[arg(long, global = true)]
    pub(crate) no_wait: bool,
    /// How long to wait for the proxies
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Reason, kept in the history
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    pub(crate) because: String,
    /// Name kept in the history [default: USER@HOST]
    #[arg(long = "as", global = true, value_name = "NAME", env = "SYNAXIS_OPERATOR")]
    pub(crate) who: Option<String>,
    /// Publish although more than 30 % of the stamps that take slots go at once; kept in the table with this reason
    #[arg(long, global = true, value_name = "REASON")]
    pub(crate) force_shrink: Option<String>,
    /// Largest share of a region's slots that may move with the publication itself instead of over a ramp
    /// [default: 15; of isolate: 100]
    #[arg(long, global = true, value_name = "PERCENT", env = "SYNAXIS_MAX_MOVED",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) max_moved: Option<u8>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(flatten)]
    Change(Change),
    /// Show what a changing command would do: the difference, and which tenants would move from where to where
    Plan(Planned),
    /// Publish what was planned, if nothing has changed since
    Apply(Applied),
    /// Show all stamps
    List(List),
    /// Show everything about one stamp
    Status(One),
    /// Ask a stamp itself whether its app is well. Exit code 0: it is, 1: it is not, or nobody answers
    Health(Health),
    /// Wait until a stamp is in a state, or healthy
    Wait(Wait),
    /// Say in words which stamp serves a tenant, and why
    Explain(Explain),
    /// Show who changed what
    History(History),
    /// Write the current table into a file; it holds the seed, keep it secret
    Export(Export),
    /// Show the current version and which proxies have it
    Epoch(Epoch),
}

/// What changes the table.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Create an empty table in an empty store
    Init(Init),
    /// Add a stamp to the table, in state creating: it takes nothing yet
    Register(Register),
    /// Bring a stamp in, from creating or ready; cancels a drain
    Activate(Ramped),
    /// Let a stamp give its tenants away, gradually, and finish what it has
    Drain(Drain),
    /// Emergency: take a stamp out at once, without a ramp, below the minimum, with strict pins left behind
    Isolate(Isolate),
    /// End a drain: the stamp takes back what it gave away
    CancelDrain(Ramped),
    /// Mark a drained stamp as warm standby (state ready)
    Standby(Standby),
    /// Delete a stamp that is creating, ready or failed; a draining one with --force. Its id is never used again
    Delete(Delete),
    /// Set a stamp's share of slots relative to the others
    Weight(Weight),
    /// Let the fleet or a stamp do less than it could, for a while: 1 ai-degraded, 2 cache-degraded, 3 read-only,
    /// 4 maintenance
    Degrade(Degrade),
    /// Pins: which stamp serves a tenant, whatever the hash says
    #[command(subcommand)]
    Tenant(Tenant),
    /// Publish the content of an earlier epoch as a new one (the last 32 are kept)
    Rollback(Rollback),
    /// Put back the newest table that a proxy still has, after the store lost it
    Recover(Recover),
    /// Publish a table from a file: of export, or of a proxy's snapshot
    Import(Import),
}

#[derive(Debug, Group)]
pub(crate) struct Planned {
    #[command(subcommand)]
    pub(crate) change: Change,
}

#[derive(Debug, Group)]
pub(crate) struct Applied {
    /// What `plan` printed: TERM.EPOCH-DIGEST
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PlanId,
    #[command(subcommand)]
    pub(crate) change: Change,
}

/// One stamp.
#[derive(Debug, Group)]
pub(crate) struct One {
    /// synaxis-weu-003, weu-003, or 003 with --region
    pub(crate) id: String,
    /// Region of a bare number, long or short
    #[arg(long, value_parser = names::region)]
    pub(crate) region: Option<Region>,
}

#[derive(Debug, Group)]
pub(crate) struct Fresh {
    /// Regions, in the order in which they stand in for each other: weu,eus,sea
    #[arg(long, value_delimiter = ',', value_parser = names::region)]
    pub(crate) regions: Vec<Region>,
    /// Whether a tenant has one stamp in each region or one in the fleet
    #[arg(long, value_enum, default_value_t)]
    pub(crate) scope: Scope,
    /// log2 of the number of slots: 16, or 20 for fleets of more than 100 stamps; never changes
    #[arg(long, default_value_t = 16)]
    pub(crate) slots_log2: u8,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Scope {
    /// One stamp in every region in which the tenant is used
    #[default]
    Region,
    /// One stamp worldwide
    Fleet,
}

#[derive(Debug, Group)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) fresh: Fresh,
}

#[derive(Debug, Group)]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// Peer listener of the stamp: https://HOST:PORT (http:// on loopback)
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: String,
    /// Share of slots relative to the others, 0-1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) weight: u16,
    /// Serve only tenants that are pinned to it
    #[arg(long)]
    pub(crate) dedicated: bool,
    /// Free label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Let its region join the table, as the last one in the order
    #[arg(long)]
    pub(crate) new_region: bool,
    /// Create the table first if the store has none (with --regions, or the stamp's own region)
    #[arg(long)]
    pub(crate) init: bool,
    #[command(flatten)]
    pub(crate) fresh: Fresh,
}

#[derive(Debug, Group)]
pub(crate) struct List {
    /// Only stamps in this state
    #[arg(long)]
    pub(crate) state: Option<State>,
    /// Only stamps of this region, long or short
    #[arg(long, value_parser = names::region)]
    pub(crate) region: Option<Region>,
}

#[derive(Debug, Group)]
pub(crate) struct Explain {
    /// The tenant
    #[arg(value_parser = tenant)]
    pub(crate) tenant: TenantId,
    /// Region in which the request arrives, long or short [default: the table's first]
    #[arg(long, value_parser = names::region)]
    pub(crate) entry_region: Option<Region>,
}

#[derive(Debug, Group)]
pub(crate) struct History {
    /// How many entries, newest first
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) count: u16,
}

#[derive(Debug, Group)]
pub(crate) struct Rollback {
    /// The epoch whose content comes back
    pub(crate) epoch: u64,
    /// Let no Active stamp remain at all
    #[arg(long)]
    pub(crate) last: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Recover {
    /// Admin listener of a proxy (http://127.0.0.1:9901) or a URL that serves a table; may be repeated. Without it, the
    /// addresses that proxies left in the store
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(crate) from: Vec<url::Url>,
    /// Also put it over a newer table in the store that no proxy has applied, because they refuse it
    #[arg(long)]
    pub(crate) over_newer: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Export {
    /// The file; standard output without one
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Import {
    /// The file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Group)]
pub(crate) struct Epoch {
    /// Wait until every live proxy has the current table
    #[arg(long)]
    pub(crate) wait: bool,
}

fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn url(text: &str) -> Result<url::Url, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&text).map_err(|error| error.to_string())?;
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    // it stands in the history for good
    if bare { Ok(url) } else { Err("it carries a user, a query or a fragment, which could be a secret".to_owned()) }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
