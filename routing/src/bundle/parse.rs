//! Strict JSON in and out. serde_json refuses what is not JSON (NaN among it), trailing bytes and nesting beyond 128; the
//! types refuse unknown and repeated keys; this file refuses sizes and repeated tenants.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::Value;

use super::{HEAD_BYTES_MAX, Head};
use crate::{
    id::TenantId,
    sanity::Refusal,
    table::{FORMAT, TENANTS_MAX, Table, Tenant, Tenants},
};

/// Longest parser message that is kept: it may quote hostile text.
const MESSAGE_CHARS_MAX: usize = 200;

pub(super) fn size(what: &'static str, bytes: &[u8], max: usize) -> Result<(), Refusal> {
    if bytes.len() > max { Err(Refusal::TooLarge { what, bytes: bytes.len(), max }) } else { Ok(()) }
}

pub(super) fn write<T: Serialize>(document: &'static str, value: &T, max: usize) -> Result<Bytes, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| refusal(document, &error))?;
    size(document, &bytes, max)?;
    Ok(bytes.into())
}

pub(super) fn head(bytes: &[u8]) -> Result<Head, Refusal> {
    size("head", bytes, HEAD_BYTES_MAX)?;
    let head: Head = versioned("head", "needs", bytes)?;
    if head.needs > FORMAT {
        return Err(Refusal::NeedsNewer { needs: head.needs, reads: FORMAT });
    }
    Ok(head)
}

pub(super) fn table(bytes: &[u8]) -> Result<Table, Refusal> {
    versioned("table", "version", bytes)
}

/// Parses; what cannot be parsed because it is newer is refused as newer, whatever its other keys.
fn versioned<T: DeserializeOwned>(document: &'static str, key: &str, bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let value: Option<Value> = serde_json::from_slice(bytes).ok();
        match value.as_ref().and_then(|value| value.get(key)).and_then(Value::as_u64) {
            Some(needs) if needs > u64::from(FORMAT) => {
                Refusal::NeedsNewer { needs: u32::try_from(needs).unwrap_or(u32::MAX), reads: FORMAT }
            }
            _ => refusal(document, &error),
        }
    })
}

pub(super) fn tenants(bytes: &[u8]) -> Result<Tenants, Refusal> {
    let Listed(tenants) = serde_json::from_slice(bytes).map_err(|error| refusal("tenants", &error))?;
    Ok(tenants)
}

fn refusal(document: &'static str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let message = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    Refusal::Parse { document, message: message.take(MESSAGE_CHARS_MAX).collect() }
}

struct Listed(Tenants);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Tenants;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tenants")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tenants, A::Error> {
                let mut tenants = Tenants::new();
                while let Some((id, tenant)) = map.next_entry::<TenantId, Tenant>()? {
                    if tenants.len() == TENANTS_MAX {
                        return Err(de::Error::custom(format_args!("more than {TENANTS_MAX} tenants")));
                    }
                    // two spellings of one GUID are one tenant
                    if tenants.insert(id, tenant).is_some() {
                        return Err(de::Error::custom(format_args!("tenant {id} is listed twice")));
                    }
                }
                Ok(tenants)
            }
        }

        deserializer.deserialize_map(Unique).map(Self)
    }
}
