//! Identifiers: tenants, stamps, regions. Parsed once at the border, trusted afterwards.
//!
//! Nothing is hashed, keyed, logged or labelled before it went through one of these.

use std::{fmt, ops::Deref, sync::Arc};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Longest tenant id in bytes.
pub const TENANT_BYTES_MAX: usize = 128;

/// A tenant: 1–128 bytes of `A–Z a–z 0–9 . _ -`; a GUID in its 36-byte form is folded to lower case.
///
/// Lives on the stack, so that identifying a tenant allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(ArrayString<TENANT_BYTES_MAX>);

/// Bytes that are no tenant id. Deliberately says nothing of the offending value: it is hostile and may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant id is 1 to 128 bytes of A-Z a-z 0-9 . _ -")]
pub struct InvalidTenant;

/// The bytes of a tenant id.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        byte += 1;
    }
    allowed
};

impl TenantId {
    /// Validates and folds.
    ///
    /// # Errors
    /// [`InvalidTenant`] when the value is empty, longer than 128 bytes or holds any other byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidTenant> {
        if bytes.is_empty() || bytes.len() > TENANT_BYTES_MAX || !bytes.iter().all(|b| ALLOWED[usize::from(*b)]) {
            return Err(InvalidTenant);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidTenant)?;
        let mut id = ArrayString::from(text).map_err(|_| InvalidTenant)?;
        if is_guid(bytes) {
            id.make_ascii_lowercase();
        }
        Ok(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// RFC 9562 §4 text form: 8-4-4-4-12 hexadecimal digits.
fn is_guid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

impl Serialize for TenantId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).map_err(de::Error::custom)
    }
}

/// A stamp: `synaxis-REGION-NNN`, region 2–16 lower-case letters or digits starting with a letter, number 3–6 digits.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StampId {
    text: Arc<str>,
    region_end: u8,
}

/// Text that is no stamp id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stamp id is synaxis-REGION-NNN, such as synaxis-weu-001 (region: 2-16 of a-z 0-9, number: 3-6 digits)")]
pub struct InvalidStamp;

const PREFIX: &str = "synaxis-";

impl StampId {
    /// Validates the long form. The short forms of the command line (`weu-003`) are `stampctl`'s business.
    ///
    /// # Errors
    /// [`InvalidStamp`] for everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidStamp> {
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidStamp)?;
        let (region, number) = rest.split_once('-').ok_or(InvalidStamp)?;
        Region::parse(region).map_err(|_| InvalidStamp)?;
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        if !digits || !(3..=6).contains(&number.len()) {
            return Err(InvalidStamp);
        }
        let region_end = u8::try_from(PREFIX.len() + region.len()).map_err(|_| InvalidStamp)?;
        Ok(Self { text: text.into(), region_end })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The region inside the id: `weu` of `synaxis-weu-001`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.text[PREFIX.len()..usize::from(self.region_end)]
    }
}

impl fmt::Display for StampId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StampId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for StampId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StampId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A region's short name: 2–16 of `a–z 0–9`, starting with a letter (`weu`). Regions are data, not an enum.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Region(Arc<str>);

/// Text that is no region name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is 2 to 16 of a-z 0-9 and starts with a letter, such as weu")]
pub struct InvalidRegion;

impl Region {
    /// Validates.
    ///
    /// # Errors
    /// [`InvalidRegion`] for everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidRegion> {
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if letters && starts && (2..=16).contains(&text.len()) { Ok(Self(text.into())) } else { Err(InvalidRegion) }
    }
}

impl Deref for Region {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_folded_and_other_ids_keep_their_case() {
        let folded = TenantId::parse(b"6F9619FF-8B86-D011-B42D-00CF4FC964FF").unwrap();
        assert_eq!(folded.as_str(), "6f9619ff-8b86-d011-b42d-00cf4fc964ff");
        assert_eq!(TenantId::parse(b"Acme-Corp.EU_1").unwrap().as_str(), "Acme-Corp.EU_1");
    }

    #[test]
    fn anything_else_is_no_tenant() {
        let long = vec![b'a'; 129];
        for bad in [&b""[..], b" ", b"a b", b"a/b", b"a\r\nb", b"a\0", "ä".as_bytes(), b"\xff", b"a,b", b"{a}", &long]
        {
            assert_eq!(TenantId::parse(bad), Err(InvalidTenant), "{bad:?}");
        }
        assert!(TenantId::parse(&[b'a'; 128]).is_ok());
    }

    #[test]
    fn a_stamp_names_its_region() {
        let stamp = StampId::parse("synaxis-weu-001").unwrap();
        assert_eq!(stamp.region(), "weu");
        for bad in [
            "",
            "weu-001",
            "synaxis-weu-01",
            "synaxis-weu-1234567",
            "synaxis-WEU-001",
            "synaxis--001",
            "synaxis-w-001",
            "synaxis-weu-00a",
            "synaxis-weu-001 ",
            "synaxis-1eu-001",
        ] {
            assert_eq!(StampId::parse(bad), Err(InvalidStamp), "{bad:?}");
        }
    }
}
