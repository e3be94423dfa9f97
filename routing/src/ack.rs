//! What each proxy tells the store: which table it has applied and how busy it is.

use serde::{Deserialize, Serialize};

use crate::{id::StampId, table::Millis, version::Version};

/// An ack younger than this is of a live proxy, in milliseconds.
pub const LIVE: Millis = 15_000;

/// Acks older than this are pruned by the next publication, in milliseconds.
pub const KEPT: Millis = 300_000;

/// Most acks that a store keeps and that are read.
pub const ACKS_MAX: usize = 10_000;

/// Largest ack in bytes of JSON.
pub const ACK_BYTES_MAX: usize = 4 << 10;

/// One proxy's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// The process; unique.
    pub proxy: String,
    /// Its stamp.
    pub stamp: StampId,
    /// Its build.
    pub build: String,
    /// Newest document format that it reads.
    pub format: u32,
    /// The table that it has applied.
    pub applied: Version,
    /// Decision digest of that table.
    pub digest: String,
    /// Open downstream connections.
    pub connections: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests a second since its last ack.
    pub requests_per_second: f64,
    /// Its admin listener.
    pub admin: String,
    /// Its peer listener.
    pub peer: Option<String>,
    /// When the store took it, on the store's clock; what the sender writes here does not count.
    pub at: Millis,
}

impl Ack {
    /// Whether the proxy is alive at `now` on the store's clock.
    #[must_use]
    pub const fn is_live(&self, now: Millis) -> bool {
        now.saturating_sub(self.at) < LIVE
    }

    /// Its JSON.
    ///
    /// # Errors
    /// Why no store should take it: a version beyond [`crate::version::COUNTER_MAX`] would stop every writer for good, and one larger
    /// than [`ACK_BYTES_MAX`] would be read by everybody.
    pub fn encode(&self) -> Result<String, String> {
        if !self.applied.is_countable() {
            return Err(format!("an ack of {} is out of range", self.applied));
        }
        let json = serde_json::to_string(self).map_err(|error| error.to_string())?;
        if json.len() > ACK_BYTES_MAX {
            return Err(format!("an ack of {} bytes is larger than {ACK_BYTES_MAX}", json.len()));
        }
        Ok(json)
    }
}
