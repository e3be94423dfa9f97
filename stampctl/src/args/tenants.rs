//! Tenants: pins, tiers and quotas; which are too much for their stamp, and which stamp one gets by its tier.

use std::str::FromStr;

use clap::{Args as Group, Subcommand};
use synaxis_routing::{
    change::{Refused, Size, tier::is_tier},
    id::TenantId,
    limits::{Quota, is_limit},
};

use super::{One, tenant};

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Pin a tenant to a stamp
    Pin(Pin),
    /// Take pins away
    Unpin(Unpin),
    /// Say which tier tenants are of, and which quotas of their own they have
    Set(Set),
    /// Give a tenant its tier, and a stamp that has room for one more of it
    Assign(Assign),
    /// Show the tenants that have made too much of their stamp's requests for a day
    Hot(Hot),
    /// Show the listed tenants (those that differ from the default)
    List(TenantList),
}

#[derive(Debug, Group)]
pub(crate) struct Pin {
    /// The tenant
    #[arg(value_parser = tenant)]
    pub(crate) tenant: TenantId,
    #[command(flatten)]
    pub(crate) stamp: One,
    /// That stamp or nobody (default)
    #[arg(long, conflicts_with = "preferred")]
    pub(crate) strict: bool,
    /// That stamp first, others while it does not serve
    #[arg(long)]
    pub(crate) preferred: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Unpin {
    /// The tenants
    #[arg(required = true, value_parser = tenant)]
    pub(crate) tenants: Vec<TenantId>,
}

#[derive(Debug, Group)]
pub(crate) struct Set {
    /// The tenants
    #[arg(required = true, value_parser = tenant)]
    pub(crate) tenants: Vec<TenantId>,
    /// A tier of the proxies' settings, `[tiers.NAME]`
    #[arg(long, value_name = "NAME", required_unless_present_any = ["no_tier", "limits", "no_limits"])]
    pub(crate) tier: Option<String>,
    /// None: they are limited like tenants that are not listed
    #[arg(long, conflicts_with = "tier")]
    pub(crate) no_tier: bool,
    /// A quota of their own for a limit of the proxies' settings, `[[rate_limits]]`, or for `tenant`, that of the tiers:
    /// per-user=500/min, or with how many may come at once: per-user=500/min,burst=20. May be repeated
    #[arg(long = "limit", value_name = "NAME=QUOTA", value_parser = limit)]
    pub(crate) limits: Vec<(String, Quota)>,
    /// No quota of their own for this limit: that of their tier or of the limit counts again. May be repeated
    #[arg(long = "no-limit", value_name = "NAME", value_parser = limit_name)]
    pub(crate) no_limits: Vec<String>,
}

#[derive(Debug, Group)]
pub(crate) struct TenantList {
    /// Only tenants pinned to this stamp
    #[arg(long, value_name = "ID")]
    pub(crate) stamp: Option<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Hot {
    /// Hours one after the other that must be above --enter
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=48))]
    pub(crate) hours: u32,
    /// Share of its stamp's requests above which an hour counts, per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) enter: u8,
    /// Share below which an hour ends it, per cent; at most --enter
    #[arg(long, value_name = "PERCENT", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) leave: u8,
    /// Requests a second that it makes at least, on average of those hours
    #[arg(long, value_name = "REQUESTS", default_value_t = 1.0, value_parser = floor)]
    pub(crate) floor: f64,
}

#[derive(Debug, Group)]
pub(crate) struct Assign {
    /// The tenant
    #[arg(value_parser = tenant)]
    pub(crate) tenant: TenantId,
    /// Its tier: starter, professional, enterprise, or one that --size names
    #[arg(long, value_name = "NAME")]
    pub(crate) tier: String,
    /// This stamp or none [default: the one with the fewest tenants of the tier]: synaxis-weu-003 or weu-003
    #[arg(long, value_name = "ID")]
    pub(crate) stamp: Option<String>,
    /// How many tenants of a tier a stamp takes, or own for a dedicated stamp each; may be repeated
    /// [default: starter=500, professional=100, enterprise=own]
    #[arg(long = "size", value_name = "TIER=N|own")]
    pub(crate) sizes: Vec<TierSize>,
    /// That stamp first, others while it does not serve; without it that stamp or nobody
    #[arg(long)]
    pub(crate) preferred: bool,
}

impl Assign {
    /// How many of its tier a stamp takes; `None` for a tier that nobody has named.
    pub(crate) fn size(&self) -> Option<Size> {
        let said = self.sizes.iter().rev().find(|size| size.tier == self.tier).map(|size| size.size);
        said.or(match self.tier.as_str() {
            "starter" => Some(Size::Shared(500)),
            "professional" => Some(Size::Shared(100)),
            "enterprise" => Some(Size::Own),
            _ => None,
        })
    }

    /// The stamp as an argument of its own is written.
    pub(crate) fn stamp(&self) -> Option<One> {
        self.stamp.clone().map(|id| One { id, region: None })
    }
}

/// `starter=500`, `enterprise=own`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TierSize {
    tier: String,
    size: Size,
}

impl FromStr for TierSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tier, size) = text.split_once('=').ok_or("a size is TIER=N or TIER=own")?;
        if !is_tier(tier) {
            return Err("the name of a tier is 1 to 32 of a-z 0-9 -".to_owned());
        }
        let number = || size.parse().ok().filter(|size| (1..=100_000).contains(size)).map(Size::Shared);
        let size = if size == "own" { Some(Size::Own) } else { number() };
        let size = size.ok_or("a stamp takes 1 to 100000 tenants of a tier, or own")?;
        Ok(Self { tier: tier.to_owned(), size })
    }
}

fn limit(text: &str) -> Result<(String, Quota), String> {
    let (name, quota) = text.split_once('=').ok_or("a limit is NAME=QUOTA, such as per-user=500/min")?;
    let quota = quota.parse::<Quota>().map_err(|error| error.to_string())?;
    Ok((limit_name(name)?, quota))
}

fn limit_name(text: &str) -> Result<String, String> {
    if is_limit(text) { Ok(text.to_owned()) } else { Err(Refused::InvalidLimit(text.to_owned()).to_string()) }
}

fn floor(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1e9).contains(number));
    number.ok_or_else(|| "requests a second, 0 or more".to_owned())
}
