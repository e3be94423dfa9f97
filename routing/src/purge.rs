//! Purges of a stamp's response caches: what one covers, its number, and how it is written into the stamp's Redis.
//!
//! Every purge is an entry of one capped stream; its [`PurgeId`] only grows. All processes of the stamp read the stream in
//! order, so that "this process has passed that id" says that nothing which the purge covers is served by it any more.
//!
//! Invariant: an entry that is not understood purges more than was meant, never less: [`Purge::read`].

use std::{fmt, num::ParseIntError, str::FromStr};

use arrayvec::ArrayString;

use crate::id::TenantId;

mod store;
#[cfg(test)]
mod tests;

pub use store::{
    Ends, Entry, Invalidations, Link, Missing, PROCESS_BYTES_MAX, Passed, PurgeStore, Run, SILENT_MAX, STREAM_MAX,
    StoreError, Waited, client,
};

/// Longest tag in bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// Longest authority in bytes: a host name, a colon and a port.
pub const AUTHORITY_BYTES_MAX: usize = 255 + 6;
/// Longest path with its query in bytes.
pub const PATH_BYTES_MAX: usize = 8 << 10;
/// Longest path prefix in bytes.
pub const PREFIX_BYTES_MAX: usize = 1 << 10;
/// Longest name of a class in bytes.
pub const CLASS_BYTES_MAX: usize = 64;

/// Number of a purge: the id of its entry in the stream, 42 bits of milliseconds (until the year 2109) above 22 bits of sequence.
///
/// A store that writes others (its clock is decades wrong, or more than four million purges came while its clock stood
/// still) cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurgeId(u64);

const SEQUENCE_BITS: u32 = 22;
const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;
const MILLIS_MAX: u64 = u64::MAX >> SEQUENCE_BITS;

impl PurgeId {
    /// Before every purge.
    pub const ZERO: Self = Self(0);

    /// From the two halves of a stream id; `None`: they do not fit.
    #[must_use]
    pub const fn new(millis: u64, sequence: u64) -> Option<Self> {
        if millis > MILLIS_MAX || sequence > SEQUENCE_MAX {
            return None;
        }
        Some(Self(millis << SEQUENCE_BITS | sequence))
    }

    /// Milliseconds since the Unix epoch, on the store's clock when it wrote the purge.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 >> SEQUENCE_BITS
    }

    /// The following id.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// As one number of the same order.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id of [`to_bits`](Self::to_bits).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for PurgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis(), self.0 & SEQUENCE_MAX)
    }
}

/// Text that is no id of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a purge looks like 1700000000000-0")]
pub struct InvalidId;

impl FromStr for PurgeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (millis, sequence) = text.split_once('-').ok_or(InvalidId)?;
        let number = |digits: &str| digits.parse::<u64>().map_err(|_: ParseIntError| InvalidId);
        Self::new(number(millis)?, number(sequence)?).ok_or(InvalidId)
    }
}

/// A tag of responses, such as the seeds' `object`: 1–64 visible ASCII bytes without commas.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(ArrayString<TAG_BYTES_MAX>);

/// Text that is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to 64 visible ASCII characters without spaces and commas")]
pub struct InvalidTag;

impl Tag {
    /// Validates.
    ///
    /// # Errors
    /// [`InvalidTag`] for everything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidTag> {
        if bytes.is_empty() || !bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',') {
            return Err(InvalidTag);
        }
        let text = str::from_utf8(bytes).map_err(|_| InvalidTag)?;
        ArrayString::from(text).map(Self).map_err(|_| InvalidTag)
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

/// What a purge covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One resource of a tenant: all its variants, methods and schemes.
    Key {
        /// Whose.
        tenant: TenantId,
        /// Host, and port where the request names one, in lower case.
        authority: Box<str>,
        /// Path and query as requested.
        path: Box<str>,
    },
    /// Everything of a tenant whose path and query begin with these bytes.
    Prefix {
        /// Whose.
        tenant: TenantId,
        /// Only of this host; `None`: of every one.
        authority: Option<Box<str>>,
        /// The beginning.
        path: Box<str>,
    },
    /// Everything of a tenant.
    Tenant(TenantId),
    /// Everything of a tenant that has the tag.
    Tag {
        /// Whose.
        tenant: TenantId,
        /// The tag.
        tag: Tag,
    },
    /// Everything of a class, of every tenant.
    Class(Box<str>),
    /// Everything.
    All,
}

impl Scope {
    /// Whose entries are covered; `None`: everybody's.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Key { tenant, .. } | Self::Prefix { tenant, .. } | Self::Tag { tenant, .. } => Some(tenant),
            Self::Tenant(tenant) => Some(tenant),
            Self::Class(_) | Self::All => None,
        }
    }
}

/// How a purge takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Stale from now on: stale-while-revalidate and stale-if-error may still use it.
    Soft,
    /// Not used again for anything, nor are its validators.
    #[default]
    Hard,
}

/// One purge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purge {
    /// What it covers.
    pub scope: Scope,
    /// How.
    pub kind: Kind,
}

/// A purge that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPurge {
    /// The host is empty or too long.
    #[error("an authority is 1 to 261 bytes")]
    Authority,
    /// The path is too long, or does not begin with a slash.
    #[error("a path begins with / and has at most 8192 bytes, a prefix of paths at most 1024")]
    Path,
    /// The name of the class is empty or too long.
    #[error("a class is 1 to 64 bytes")]
    Class,
}

/// An entry's fields, as written: every entry has all of them, in this order.
pub const FIELDS: [&str; 5] = ["kind", "scope", "tenant", "authority", "value"];

impl Purge {
    /// A hard purge.
    #[must_use]
    pub const fn hard(scope: Scope) -> Self {
        Self { scope, kind: Kind::Hard }
    }

    /// A soft purge.
    #[must_use]
    pub const fn soft(scope: Scope) -> Self {
        Self { scope, kind: Kind::Soft }
    }

    /// The values of [`FIELDS`].
    ///
    /// # Errors
    /// [`InvalidPurge`]: something is longer than readers would take.
    pub fn values(&self) -> Result<[&str; 5], InvalidPurge> {
        let is_authority = |text: &str| (1..=AUTHORITY_BYTES_MAX).contains(&text.len());
        let is_path = |text: &str, most: usize| text.starts_with('/') && text.len() <= most;
        let kind = match self.kind {
            Kind::Hard => "hard",
            Kind::Soft => "soft",
        };
        let [scope, tenant, authority, value] = match &self.scope {
            Scope::Key { authority, .. } if !is_authority(authority) => return Err(InvalidPurge::Authority),
            Scope::Key { path, .. } if !is_path(path, PATH_BYTES_MAX) => return Err(InvalidPurge::Path),
            Scope::Key { tenant, authority, path } => ["key", tenant.as_str(), authority, path],
            Scope::Prefix { authority: Some(authority), .. } if !is_authority(authority) => {
                return Err(InvalidPurge::Authority);
            }
            Scope::Prefix { path, .. } if !is_path(path, PREFIX_BYTES_MAX) => return Err(InvalidPurge::Path),
            Scope::Prefix { tenant, authority, path } => {
                ["prefix", tenant.as_str(), authority.as_deref().unwrap_or_default(), path]
            }
            Scope::Tenant(tenant) => ["tenant", tenant.as_str(), "", ""],
            Scope::Tag { tenant, tag } => ["tag", tenant.as_str(), "", tag.as_str()],
            Scope::Class(class) if !(1..=CLASS_BYTES_MAX).contains(&class.len()) => return Err(InvalidPurge::Class),
            Scope::Class(class) => ["class", "", "", class],
            Scope::All => ["all", "", "", ""],
        };
        Ok([kind, scope, tenant, authority, value])
    }

    /// What the fields of an entry say, in pairs of name and value.
    ///
    /// Where they are not understood, everything of the tenant is purged, or everything: another build may have written
    /// them, and a purge that is dropped would never be noticed.
    #[must_use]
    pub fn read(fields: &[Vec<u8>]) -> Reading {
        let (pairs, rest) = fields.as_chunks::<2>();
        let value = |name: &str| {
            let found = pairs.iter().find(|[key, _]| key == name.as_bytes());
            found.and_then(|[_, value]| str::from_utf8(value).ok())
        };
        let tenant = value("tenant").and_then(|text| TenantId::parse(text.as_bytes()).ok());
        let purge = || {
            let kind = match value("kind")? {
                "hard" => Kind::Hard,
                "soft" => Kind::Soft,
                _ => return None,
            };
            let (authority, text) = (value("authority")?, value("value")?);
            let scope = match value("scope")? {
                "key" => Scope::Key { tenant: tenant?, authority: authority.into(), path: text.into() },
                "prefix" => {
                    let authority = (!authority.is_empty()).then(|| authority.into());
                    Scope::Prefix { tenant: tenant?, authority, path: text.into() }
                }
                "tenant" => Scope::Tenant(tenant?),
                "tag" => Scope::Tag { tenant: tenant?, tag: Tag::parse(text.as_bytes()).ok()? },
                "class" => Scope::Class(text.into()),
                "all" => Scope::All,
                _ => return None,
            };
            let purge = Self { scope, kind };
            (rest.is_empty() && pairs.len() == FIELDS.len() && purge.values().is_ok()).then_some(purge)
        };
        match purge() {
            Some(purge) => Reading { purge, is_understood: true },
            None => Reading { purge: Self::hard(tenant.map_or(Scope::All, Scope::Tenant)), is_understood: false },
        }
    }
}

/// What an entry purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// This.
    pub purge: Purge,
    /// It says so. Otherwise it is not understood, and this is wider than what it may mean.
    pub is_understood: bool,
}
