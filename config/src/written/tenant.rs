//! `[tenant]`: how a request names its tenant. This version knows the header only.

use http::{HeaderName, header};

use super::headers;
use crate::{
    section::Section,
    settings::{OnMissing, Tenant},
    value::{Wrong, choice, text},
};

/// The header unless another one is written.
const DEFAULT: HeaderName = HeaderName::from_static("x-tenant-id");

/// Sources that are named in the documentation and do not exist yet.
const LATER: [&str; 5] = ["jwt_claim", "api_key", "client_certificate", "host_label", "path_segment"];

/// Most sources that are read, so that every one's faults can be told.
const SOURCES_MAX: usize = 16;

const ONE_SOURCE: &str =
    "`sources` in [tenant]: this version takes exactly one source; write [{ header = \"x-tenant-id\" }]";

pub(super) fn tenant(section: Section<'_>) -> Tenant {
    section.read(|s| {
        let mut headers = Vec::new();
        if let Some(sources) = s.sections("sources", SOURCES_MAX) {
            if sources.len() != 1 {
                let at = sources.get(1).map_or_else(|| s.span(), Section::span);
                s.fault(&at, ONE_SOURCE);
            }
            headers.extend(sources.into_iter().map(source));
        }
        let header = headers.into_iter().next().flatten().unwrap_or(DEFAULT);
        let on_missing = s.or("on_missing", OnMissing::Reject, choice(&[("reject", OnMissing::Reject)]));
        Tenant { header, on_missing }
    })
}

fn source(section: Section<'_>) -> Option<HeaderName> {
    section.read(|s| {
        let mut later = false;
        for key in LATER {
            later |= s.refuse(key, "this kind of source does not exist in this version; there is only `header`");
        }
        if later {
            return s.optional("header", text(header_name)).map(toml::Spanned::into_inner);
        }
        s.required("header", "header = \"x-tenant-id\"", text(header_name)).map(toml::Spanned::into_inner)
    })
}

/// A field that the proxy neither strips, nor rewrites, nor needs for itself.
fn header_name(written: &str) -> Result<HeaderName, Wrong> {
    let name = headers::name(written)?;
    let text = name.as_str();
    if headers::steers(&name) {
        return Err("this field steers the connection and never reaches the app".to_owned());
    }
    if [header::AUTHORIZATION, header::COOKIE].contains(&name) {
        return Err("this field holds credentials and is no tenant id".to_owned());
    }
    if text.starts_with("x-synaxis-") {
        return Err("fields that begin with x-synaxis- are the proxy's own and are stripped from requests".to_owned());
    }
    if text.contains('_') {
        return Err("fields with an underscore are dropped from requests; write a hyphen".to_owned());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_carry_a_tenant_is_refused() {
        assert_eq!(header_name("X-Tenant-Id").unwrap(), DEFAULT);
        for bad in [
            "",
            "x tenant",
            "x-tenant-id:",
            "Host",
            "connection",
            "Content-Length",
            "Transfer-Encoding",
            "proxy-authorization",
            "Authorization",
            "cookie",
            "X-Synaxis-Tenant",
            "x_tenant_id",
            "x-ténant",
            "keep-alive",
        ] {
            assert!(header_name(bad).is_err(), "{bad:?}");
        }
    }
}
