//! Who is the tenant: exactly one valid field, believed only where the listener says so.

use synaxis_routing::id::TenantId;

use super::{local_reply::LocalReply, normalize::TenantField, peer::Hop};

/// The tenant of a request. A forward names it in its own field, which the sender has already identified.
///
/// # Errors
/// `tenant_missing`, `tenant_invalid`, `tenant_ambiguous`.
pub fn identify(field: &TenantField, hop: Option<&Hop>) -> Result<TenantId, LocalReply> {
    match (hop, field) {
        (Some(hop), _) => Ok(hop.tenant),
        (None, TenantField::Missing) => Err(LocalReply::TenantMissing),
        (None, TenantField::Many) => Err(LocalReply::TenantAmbiguous),
        (None, TenantField::One(value)) => TenantId::parse(value.as_bytes()).map_err(|_| LocalReply::TenantInvalid),
    }
}
