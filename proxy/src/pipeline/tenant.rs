//! Who is the tenant: exactly one valid field, believed only where the listener says so.

use http::HeaderMap;
use synaxis_config::settings::Tenant as Settings;
use synaxis_routing::id::TenantId;

use super::{local_reply::LocalReply, normalize::Survey, peer::Hop};

/// The tenant of a request. A forward names it in its own field, which the sender has already identified.
///
/// # Errors
/// `tenant_missing`, `tenant_invalid`, `tenant_ambiguous`.
pub fn identify(
    headers: &HeaderMap,
    settings: &Settings,
    survey: &Survey,
    hop: Option<&Hop>,
) -> Result<TenantId, LocalReply> {
    if let Some(hop) = hop {
        return Ok(hop.tenant);
    }
    if survey.tenant_fields > 1 {
        return Err(LocalReply::TenantAmbiguous);
    }
    let value = headers.get(&settings.header).ok_or(LocalReply::TenantMissing)?;
    TenantId::parse(value.as_bytes()).map_err(|_| LocalReply::TenantInvalid)
}
