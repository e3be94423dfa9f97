//! What a purge covers, as it was said.
//!
//! Invariant: a key has the bytes that requests carry: nothing is decoded, completed or put in another order.

use synaxis_routing::{
    id::TenantId,
    purge::{PATH_BYTES_MAX, Scope, Tag},
};

use crate::{args, failure::Failure, output::clean};

/// How much of a wrong word is repeated.
const SHOWN_MAX: usize = 80;

/// The scope that was said; the arguments have seen to it that there is one.
pub(super) fn scope(said: &args::Purge) -> Result<Scope, Failure> {
    if let Some(class) = &said.class {
        return word("--class", class).map(|class| Scope::Class(class.into()));
    }
    if said.all {
        return Ok(Scope::All);
    }
    let tenant: TenantId = said.tenant.ok_or_else(|| Failure::Usage("--tenant: say whose".to_owned()))?;
    if let Some(key) = &said.key {
        let (authority, path) = target("KEY", key, said.host.as_deref())?;
        let authority = authority
            .ok_or_else(|| Failure::Usage(format!("KEY {}: of which host? Say HOST{0}, or --host HOST", shown(key))))?;
        return Ok(Scope::Key { tenant, authority, path });
    }
    if let Some(prefix) = &said.prefix {
        let (authority, path) = target("--prefix", prefix, said.host.as_deref())?;
        return Ok(Scope::Prefix { tenant, authority, path });
    }
    if let Some(tag) = &said.tag {
        let tag =
            Tag::parse(tag.as_bytes()).map_err(|error| Failure::Usage(format!("--tag {:?}: {error}", shown(tag))))?;
        return Ok(Scope::Tag { tenant, tag });
    }
    Ok(Scope::Tenant(tenant))
}

/// `/PATH`, `HOST/PATH`, `http://HOST/PATH`: its host in lower case, if it has one or one was said, and its path with the query.
fn target(name: &str, text: &str, host: Option<&str>) -> Result<(Option<Box<str>>, Box<str>), Failure> {
    let wrong = |why: &str| Err(Failure::Usage(format!("{name} {:?}: {why}", shown(text))));
    if text.len() > 2 * PATH_BYTES_MAX {
        return wrong("it is longer than any URL that a proxy takes");
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(slash) = rest.unwrap_or(text).find('/') else {
        return wrong("write the path too, such as a.example/orders/17, or a.example/ for the first page");
    };
    let (named, path) = rest.unwrap_or(text).split_at(slash);
    if named.ends_with(':') {
        return wrong("a URL begins with http:// or https://");
    }
    if path.contains('#') {
        return wrong("what follows # never reaches a server");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("requests carry visible ASCII only; percent-encode the rest as they do");
    }
    let host = match (named, host) {
        ("", None) if rest.is_none() => None,
        ("", Some(host)) if rest.is_none() => Some(host),
        (_, Some(_)) => return wrong("with --host it is the path alone"),
        (named, None) => Some(named),
    };
    Ok((host.map(authority).transpose()?, path.into()))
}

/// A host as requests name it.
fn authority(text: &str) -> Result<Box<str>, Failure> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_host) {
        let why = "a host is a name or an address, with its port if requests name one";
        return Err(Failure::Usage(format!("{:?}: {why}", shown(text))));
    }
    Ok(text.to_ascii_lowercase().into())
}

fn word<'a>(name: &str, text: &'a str) -> Result<&'a str, Failure> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then_some(text).ok_or_else(|| Failure::Usage(format!("{name} {:?}: it is no name", shown(text))))
}

/// The beginning of what was said, on one line.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", clean(&cut).replace('\n', "?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, host: Option<&str>) -> Option<(Option<String>, String)> {
        target("KEY", text, host).ok().map(|(host, path)| (host.map(Into::into), path.into()))
    }

    #[test]
    fn a_url_is_taken_apart_and_nothing_of_it_is_changed() {
        for (text, host, expected) in [
            ("a.example/x", None, (Some("a.example"), "/x")),
            ("A.Example:8443/X?y=%2f&Z=//", None, (Some("a.example:8443"), "/X?y=%2f&Z=//")),
            ("https://a.example/x/../y", None, (Some("a.example"), "/x/../y")),
            ("HTTP://a.example:80/", None, (Some("a.example:80"), "/")),
            ("[::1]:80/x", None, (Some("[::1]:80"), "/x")),
            ("/x?u=http://b/", None, (None, "/x?u=http://b/")),
            ("/x", Some("A.example"), (Some("a.example"), "/x")),
            ("//x", Some("a"), (Some("a"), "//x")),
        ] {
            let (authority, path) = expected;
            assert_eq!(of(text, host), Some((authority.map(Into::into), path.into())), "{text}");
        }
        for (text, host) in [
            ("", None),
            ("acme", None),
            ("https://a.example", None),
            ("https:///x", None),
            ("https:///x", Some("a")),
            ("ftp://a.example/x", None),
            ("me@a.example/x", None),
            ("a b/x", None),
            ("a/x y", None),
            ("a/x\n", None),
            ("a/\u{1b}[2J", None),
            ("a/é", None),
            ("a/x#y", None),
            ("a?x", None),
            ("a/x", Some("a")),
            ("/x", Some("")),
            ("/x", Some("a/b")),
            ("/x", Some("a\u{202e}")),
            (&"/".repeat(2 * PATH_BYTES_MAX + 1), None),
        ] {
            assert_eq!(of(text, host), None, "{text:.40?} {host:?}");
        }
    }

    #[test]
    fn what_is_repeated_of_a_word_is_short_and_stays_on_its_line() {
        assert_eq!(shown("a\nb\u{1b}c"), "a?b?c");
        assert_eq!(shown(&"é".repeat(81)).chars().count(), 81);
    }
}
