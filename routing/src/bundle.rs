//! The exact bytes of a routing table: head, stamps, tenants.
//!
//! A bundle is what is published, kept on disk and handed to peers, always byte for byte. Invariant: nothing is parsed
//! before its size was checked, and nothing is believed before both hashes were. Integrity is the SHA-256 of the
//! documents; agreement is the decision digest, which [`crate::sanity::admit`] recomputes.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    placement::Placement,
    sanity::Refusal,
    table::{Table, Tenants},
    version::Version,
};

mod envelope;
mod parse;
#[cfg(test)]
mod tests;

/// Largest head in bytes.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Largest stamps document in bytes: 1,000 stamps of a kilobyte, and their tombstones.
pub const TABLE_BYTES_MAX: usize = 4 << 20;

/// Largest tenants document in bytes: 100,000 tenants of 300 bytes.
pub const TENANTS_BYTES_MAX: usize = 32 << 20;

/// What the store's head says: which documents are current. JSON; unknown keys are refused except under `ext`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Lowest document format that a reader must understand.
    pub needs: u32,
    /// Term; see [`Version`].
    pub term: u64,
    /// Epoch; see [`Version`].
    pub epoch: u64,
    /// SHA-256 of the stamps document, 64 hexadecimal digits.
    pub table_hash: String,
    /// SHA-256 of the tenants document, 64 hexadecimal digits.
    pub tenants_hash: String,
    /// Decision digest, 16 hexadecimal digits; see [`crate::digest`].
    pub digest: String,
    /// Names this publication: a writer whose reply was lost recognises its own write.
    pub write_id: String,
    /// Room for extensions; never read.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub ext: Map<String, Value>,
}

impl Head {
    /// `(term, epoch)`.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version::new(self.term, self.epoch)
    }

    /// Parses strictly.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::NeedsNewer`] (also when a newer head has keys that are unknown here) and
    /// [`Refusal::Parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        parse::head(bytes)
    }
}

/// The exact bytes that are published, kept on disk and handed to peers. Cheap to clone. `Debug` shows sizes only,
/// because the table holds the seed.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The head document.
    pub head: Bytes,
    /// The stamps document.
    pub table: Bytes,
    /// The tenants document.
    pub tenants: Bytes,
}

/// A bundle, parsed and verified.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The head.
    pub head: Head,
    /// The stamps.
    pub table: Table,
    /// The listed tenants.
    pub tenants: Tenants,
}

impl Bundle {
    /// Writes the documents: sets the table's `tenants_hash`, serialises, hashes, and builds the placement once for the
    /// digest. `write_id` names the publication.
    ///
    /// # Errors
    /// Any [`Refusal`] that every reader would give: a table that nobody may apply is not written.
    pub fn encode(table: &Table, tenants: &Tenants, write_id: &str) -> Result<Self, Refusal> {
        let mut table = table.clone();
        let tenants_bytes = parse::write("tenants", tenants, TENANTS_BYTES_MAX)?;
        table.tenants_hash = sha256_hex(&tenants_bytes);
        let table_bytes = parse::write("table", &table, TABLE_BYTES_MAX)?;
        let placement = Placement::build(table.clone(), tenants.clone())?;
        let head = Head {
            needs: table.version,
            term: table.term,
            epoch: table.epoch,
            table_hash: sha256_hex(&table_bytes),
            tenants_hash: table.tenants_hash,
            digest: placement.digest().to_string(),
            write_id: write_id.to_owned(),
            ext: Map::new(),
        };
        let head = parse::write("head", &head, HEAD_BYTES_MAX)?;
        Ok(Self { head, table: table_bytes, tenants: tenants_bytes })
    }

    /// Parses strictly and verifies that head, table and tenants belong together.
    ///
    /// # Errors
    /// [`Refusal`]: too large, unparsable, newer than this reader, a hash that does not match, versions that differ.
    pub fn decode(&self) -> Result<Decoded, Refusal> {
        let (head, table) = self.decode_fleet()?;
        Ok(Decoded { head, table, tenants: parse::tenants(&self.tenants)? })
    }

    /// Everything but the parsing of the tenants, whose hash is verified all the same.
    pub(crate) fn decode_fleet(&self) -> Result<(Head, Table), Refusal> {
        let head = Head::parse(&self.head)?;
        parse::size("table", &self.table, TABLE_BYTES_MAX)?;
        parse::size("tenants", &self.tenants, TENANTS_BYTES_MAX)?;
        for (document, bytes, expected) in
            [("table", &self.table, &head.table_hash), ("tenants", &self.tenants, &head.tenants_hash)]
        {
            if sha256_hex(bytes) != *expected {
                return Err(Refusal::HashMismatch { document });
            }
        }
        let table = parse::table(&self.table)?;
        if table.tenants_hash != head.tenants_hash {
            return Err(Refusal::HashMismatch { document: "tenants" });
        }
        if table.version() != head.version() {
            return Err(Refusal::VersionMismatch { head: head.version(), table: table.version() });
        }
        Ok((head, table))
    }

    /// The listed tenants alone.
    pub(crate) fn decode_tenants(&self) -> Result<Tenants, Refusal> {
        parse::tenants(&self.tenants)
    }

    /// One self-checking envelope, for disk and peers.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        envelope::seal(self)
    }

    /// Opens an envelope. The documents inside are not parsed yet.
    ///
    /// # Errors
    /// [`Refusal::Envelope`] when it is cut short, too long or damaged, [`Refusal::TooLarge`] for a hostile size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        envelope::open(bytes)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, table, tenants) = (self.head.len(), self.table.len(), self.tenants.len());
        write!(f, "Bundle {{ head: {head} bytes, table: {table} bytes, tenants: {tenants} bytes }}")
    }
}

/// SHA-256 in 64 lower-case hexadecimal digits: how documents are named.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
