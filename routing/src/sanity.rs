//! The one gate through which every table goes, whatever it came from: store, peer or disk.
//!
//! Invariant: a [`Placement`] that [`admit`] returns is newer than the current one, is what its publisher decided (hashes
//! and decision digest), is well-formed, dials only where the policy allows, and did not lose its stamps by accident.
//! Everything else is a [`Refusal`]: the current table stays (static stability).

use std::sync::Arc;

use crate::{
    bundle::{Bundle, Head},
    digest::Digest,
    endpoint::{EndpointError, EndpointPolicy},
    id::{Region, StampId, TenantId},
    limits::InvalidLimit,
    placement::Placement,
    table::{State, Table, Tenants},
    version::Version,
};

mod check;
#[cfg(test)]
mod tests;

pub use check::check;

/// Most regions of a table.
pub const REGIONS_MAX: usize = 64;

/// Most stamps that may share a placement key, tombstones aside: the replaced one and its replacement.
pub const SHARED_KEY_MAX: usize = 2;

/// Why a table is not applied. Ordered by what an operator looks at: version, bytes, content, loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not newer than what is applied.
    #[error(
        "table {offered} is not newer than the applied {applied}: nothing to do, unless the store went back in time"
    )]
    Stale {
        /// Version offered.
        offered: Version,
        /// Version applied.
        applied: Version,
    },
    /// The same version with other decisions.
    #[error(
        "two different tables carry version {version} (digest {offered} offered, {applied} applied): the applied one stays; publish a new epoch"
    )]
    DigestConflict {
        /// The version both carry.
        version: Version,
        /// Digest offered.
        offered: String,
        /// Digest applied.
        applied: String,
    },
    /// Larger than any valid document.
    #[error("the {what} has {bytes} bytes; at most {max} are read")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The envelope of a file or a peer's answer is damaged.
    #[error("the envelope is damaged: {0}; fetch the table again")]
    Envelope(&'static str),
    /// Not the JSON this reader knows.
    #[error("the {document} does not parse: {message}")]
    Parse {
        /// Which document.
        document: &'static str,
        /// The parser's words, shortened.
        message: String,
    },
    /// Written for newer readers.
    #[error("the table needs a reader of format {needs}, this one reads up to {reads}: upgrade this proxy")]
    NeedsNewer {
        /// Format needed.
        needs: u32,
        /// Format read here.
        reads: u32,
    },
    /// A document is not the one that the head names.
    #[error("the {document} document is not the one the head names (SHA-256 differs): fetch it again")]
    HashMismatch {
        /// Which document.
        document: &'static str,
    },
    /// Head and table disagree on the version.
    #[error("the head says {head}, its table says {table}")]
    VersionMismatch {
        /// Version in the head.
        head: Version,
        /// Version in the table.
        table: Version,
    },
    /// This build decides otherwise than the publisher's.
    #[error(
        "this build computes decision digest {built}, the publisher's computed {head}: compare the versions of both programs"
    )]
    DigestMismatch {
        /// Digest in the head.
        head: String,
        /// Digest computed here.
        built: Digest,
    },
    /// An algorithm that is not known here.
    #[error("placement algorithm {0:?} is not known here: upgrade this proxy")]
    AlgorithmUnknown(String),
    /// A number of slots that is not supported.
    #[error("slots_log2 is {0}; 16 and 20 are supported")]
    SlotsUnknown(u8),
    /// Too many of something.
    #[error("{count} {what}; at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A region is listed twice.
    #[error("region {0} is listed twice")]
    RegionDuplicate(Region),
    /// A region that the table does not list.
    #[error("{whose} names region {region}, which the table does not list")]
    RegionUnknown {
        /// A stamp or a tenant.
        whose: String,
        /// The region.
        region: Region,
    },
    /// Two stamps with one id.
    #[error("stamp {0} is listed twice")]
    StampIdDuplicate(StampId),
    /// An id that was used before.
    #[error("stamp {0} is on the retired list; ids are never used again")]
    StampIdRetired(StampId),
    /// Too many stamps share a placement key.
    #[error("{count} stamps share placement key {key}; a replaced stamp and its replacement may")]
    PlacementKeyShared {
        /// The key.
        key: StampId,
        /// How many stamps.
        count: usize,
    },
    /// A weight above 1,000.
    #[error("stamp {stamp} has weight {weight}; 0 to 1000 is allowed")]
    WeightInvalid {
        /// The stamp.
        stamp: StampId,
        /// Its weight.
        weight: u16,
    },
    /// A ramp outside its bounds.
    #[error("the ramp of stamp {0} is outside its bounds: from and to 0 to 1000 per mille, seconds up to 604800")]
    RampInvalid(StampId),
    /// An override of the level of degradation outside its bounds.
    #[error("the degradation of {whose} is refused: {why}")]
    DegradationInvalid {
        /// `the fleet` or a stamp.
        whose: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An endpoint that this proxy must not dial.
    #[error("the endpoint of stamp {stamp} is refused: {error}")]
    EndpointForbidden {
        /// The stamp.
        stamp: StampId,
        /// What is wrong.
        error: EndpointError,
    },
    /// A pin to a stamp that is not there.
    #[error("tenant {tenant} is pinned to {stamp}, which does not exist or is deleted")]
    PinUnknown {
        /// The tenant.
        tenant: Box<TenantId>,
        /// The stamp.
        stamp: StampId,
    },
    /// A strict pin that residency forbids.
    #[error("tenant {tenant} is strictly pinned to {stamp}, which lies outside its regions")]
    PinOutsideRegions {
        /// The tenant.
        tenant: Box<TenantId>,
        /// The stamp.
        stamp: StampId,
    },
    /// A tenant's regions cannot be followed.
    #[error("the regions of tenant {tenant} cannot be followed: {why}")]
    TenantRegions {
        /// The tenant.
        tenant: Box<TenantId>,
        /// What is wrong.
        why: &'static str,
    },
    /// A quota of a tenant's own cannot be followed.
    #[error("the limits of tenant {tenant} cannot be followed: {why}")]
    TenantLimits {
        /// The tenant.
        tenant: Box<TenantId>,
        /// Which limit, and what is wrong.
        why: InvalidLimit,
    },
    /// Lost too many stamps at once.
    #[error(
        "{takers} stamps take slots where {previous} did; fewer than {least} needs \"forced\" with a reason (stampctl --force-shrink)"
    )]
    Shrink {
        /// Stamps that take slots.
        takers: u32,
        /// How many did before.
        previous: u32,
        /// The least that needs no reason.
        least: u32,
    },
    /// Lost all stamps.
    #[error("no stamp takes slots although one did before: only recover or import may publish this")]
    NoTakers,
}

impl Refusal {
    /// A stable token, for metrics, logs and readiness.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale",
            Self::DigestConflict { .. } => "digest_conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Envelope(_) => "envelope",
            Self::Parse { .. } => "parse",
            Self::NeedsNewer { .. } => "needs_newer",
            Self::HashMismatch { .. } => "hash_mismatch",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::DigestMismatch { .. } => "digest_mismatch",
            Self::AlgorithmUnknown(_) => "algorithm_unknown",
            Self::SlotsUnknown(_) => "slots_unknown",
            Self::TooMany { .. } => "too_many",
            Self::RegionDuplicate(_) => "region_duplicate",
            Self::RegionUnknown { .. } => "region_unknown",
            Self::StampIdDuplicate(_) => "stamp_id_duplicate",
            Self::StampIdRetired(_) => "stamp_id_retired",
            Self::PlacementKeyShared { .. } => "placement_key_shared",
            Self::WeightInvalid { .. } => "weight_invalid",
            Self::RampInvalid(_) => "ramp_invalid",
            Self::DegradationInvalid { .. } => "degradation_invalid",
            Self::EndpointForbidden { .. } => "endpoint_forbidden",
            Self::PinUnknown { .. } => "pin_unknown",
            Self::PinOutsideRegions { .. } => "pin_outside_regions",
            Self::TenantRegions { .. } => "tenant_regions",
            Self::TenantLimits { .. } => "tenant_limits",
            Self::Shrink { .. } => "shrink",
            Self::NoTakers => "no_takers",
        }
    }

    /// Whether the offer is merely what is applied already, or older: the ordinary answer to a second look.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }
}

/// What is applied when a table is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its version.
    pub version: Version,
    /// Its decision digest.
    pub digest: Digest,
    /// Whether any table applied so far had a stamp that takes slots.
    pub had_taker: bool,
}

/// Admits a table or says why not. See the module for what an admitted table has proven.
///
/// # Errors
/// [`Refusal`]; the current table stays.
pub fn admit(bundle: &Bundle, current: Option<&Current>, policy: &EndpointPolicy) -> Result<Placement, Refusal> {
    admit_beside(bundle, current, policy, None)
}

/// [`admit`], reusing the parsed tenants of the applied table when the tenants document is byte for byte the same:
/// with 100,000 tenants that is most of the work.
///
/// # Errors
/// As [`admit`].
pub fn admit_beside(
    bundle: &Bundle,
    current: Option<&Current>,
    policy: &EndpointPolicy,
    applied: Option<(&Bundle, &Placement)>,
) -> Result<Placement, Refusal> {
    let head = Head::parse(&bundle.head)?;
    if let Some(current) = current {
        is_newer(&head, current)?;
    }
    let (head, table) = bundle.decode_fleet()?;
    let tenants: Arc<Tenants> = match applied {
        Some((before, placement)) if before.tenants == bundle.tenants => placement.tenants_shared(),
        _ => Arc::new(bundle.decode_tenants()?),
    };
    check(&table, &tenants)?;
    check_endpoints(&table, policy)?;
    check_loss(&table, current)?;
    let placement = Placement::build_checked(table, tenants);
    let built = placement.digest();
    if built.to_string() != head.digest {
        return Err(Refusal::DigestMismatch { head: head.digest, built });
    }
    Ok(placement)
}

fn is_newer(head: &Head, current: &Current) -> Result<(), Refusal> {
    let (offered, applied) = (head.version(), current.version);
    if offered > applied {
        return Ok(());
    }
    let digest = current.digest.to_string();
    if offered == applied && head.digest != digest {
        return Err(Refusal::DigestConflict { version: applied, offered: head.digest.clone(), applied: digest });
    }
    Err(Refusal::Stale { offered, applied })
}

/// Tombstones are never dialled, and a stamp that is being created may not have its address yet.
fn check_endpoints(table: &Table, policy: &EndpointPolicy) -> Result<(), Refusal> {
    for stamp in &table.stamps {
        let unborn = stamp.state == State::Creating && stamp.endpoint.is_empty();
        if stamp.state == State::Deleted || unborn {
            continue;
        }
        policy
            .check_url(&stamp.endpoint)
            .map_err(|error| Refusal::EndpointForbidden { stamp: stamp.id.clone(), error })?;
    }
    Ok(())
}

/// The least number of takers that may follow `previous` of them without a reason: at most 30 % fewer, one always.
#[must_use]
pub fn takers_min(previous: u32) -> u32 {
    let loss = u64::from(previous) * 30 / 100;
    previous - u32::try_from(loss.max(1)).unwrap_or(u32::MAX).min(previous)
}

/// Measures against what the table says stood before it, never against what this proxy happened to hold: a proxy that
/// slept through ten careful epochs must accept the eleventh.
fn check_loss(table: &Table, current: Option<&Current>) -> Result<(), Refusal> {
    let takers = u32::try_from(table.takers().count()).unwrap_or(u32::MAX);
    let previous = table.previous.takers;
    let restored = current.is_some_and(|current| table.term > current.version.term);
    let had_taker = previous > 0 || current.is_some_and(|current| current.had_taker);
    if takers == 0 && had_taker && !restored {
        return Err(Refusal::NoTakers);
    }
    let least = takers_min(previous);
    let forced = table.forced.as_deref().is_some_and(|reason| !reason.trim().is_empty());
    if takers < least && !forced {
        return Err(Refusal::Shrink { takers, previous, least });
    }
    Ok(())
}
