//! `[tenant]` and `[user]`: how a request names its tenant and its user. This version knows headers only.

use http::{HeaderName, header};
use toml::Spanned;

use super::headers;
use crate::{
    section::Section,
    settings::{OnMissing, User},
    value::{Wrong, choice, text},
};

/// The tenant's header unless another one is written.
const TENANT: &str = "x-tenant-id";
/// The user's.
const USER: &str = "x-user-id";

/// Sources that are named in the documentation and do not exist yet.
const LATER: [&str; 5] = ["jwt_claim", "api_key", "client_certificate", "host_label", "path_segment"];

/// Most sources that are read, so that every one's faults can be told.
const SOURCES_MAX: usize = 16;

/// `[tenant]` as written.
pub(crate) struct Tenant {
    pub(crate) header: HeaderName,
    pub(crate) on_missing: OnMissing,
    pub(crate) tier: Option<Spanned<String>>,
}

pub(super) fn tenant(section: Section<'_>) -> Tenant {
    section.read(|s| Tenant {
        header: sources(s, "tenant", TENANT).into_inner(),
        on_missing: s.or("on_missing", OnMissing::Reject, choice(&[("reject", OnMissing::Reject)])),
        tier: s.optional("tier", text(|written| Ok::<_, String>(written.to_owned()))),
    })
}

/// `None`: the section is not written, and users are not told apart.
pub(super) fn user(section: Section<'_>) -> Option<Spanned<User>> {
    let section = section.if_written()?;
    let header = section.read(|s| sources(s, "user", USER));
    Some(Spanned::new(header.span(), User { header: header.into_inner() }))
}

/// The header that says who it is, and where that is written.
fn sources(s: &mut Section<'_>, who: &str, default: &'static str) -> Spanned<HeaderName> {
    let mut headers = Vec::new();
    if let Some(sources) = s.sections("sources", SOURCES_MAX) {
        if sources.len() != 1 {
            let at = sources.get(1).map_or_else(|| s.span(), Section::span);
            s.fault(
                &at,
                format!(
                    "`sources` in [{who}]: this version takes exactly one source; write [{{ header = \"{default}\" }}]"
                ),
            );
        }
        headers.extend(sources.into_iter().map(|section| source(section, default)));
    }
    let written = headers.into_iter().next().flatten();
    written.unwrap_or_else(|| Spanned::new(s.span(), HeaderName::from_static(default)))
}

fn source(section: Section<'_>, default: &str) -> Option<Spanned<HeaderName>> {
    section.read(|s| {
        let mut later = false;
        for key in LATER {
            later |= s.refuse(key, "this kind of source does not exist in this version; there is only `header`");
        }
        if later {
            return s.optional("header", text(header_name));
        }
        s.required("header", &format!("header = \"{default}\""), text(header_name))
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
        return Err("this field holds credentials and is no id".to_owned());
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
    fn a_field_that_cannot_carry_an_id_is_refused() {
        assert_eq!(header_name("X-Tenant-Id").unwrap(), TENANT);
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
