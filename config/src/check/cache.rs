//! Classes of the cache against users and the routes that ask for them.

use toml::Spanned;

use crate::{
    fault::Findings,
    settings::{CacheAuthorization, CacheClass, User},
    suggest,
    value::Shown,
    written::{self, CacheRead},
};

/// A class per user keeps nothing where users are not told apart.
pub(super) fn check(cache: &CacheRead, user: Option<&Spanned<User>>, findings: &Findings) {
    if user.is_some() {
        return;
    }
    for (class, places) in cache.cache.classes.iter().zip(&cache.places) {
        if class.authorization == CacheAuthorization::PerUser {
            let at = places.per_user.as_ref().filter(|written| !written.is_empty()).unwrap_or(&places.name);
            findings.fault(
                at,
                format!(
                    "the class {} of the cache keeps answers per user, and nothing says where the user stands; write sources \
                     = [{{ header = \"x-user-id\" }}] below a line [user]",
                    Shown(&class.name)
                ),
            );
        }
    }
}

/// Position of the class that a route asks for. `None` only when something was noted.
pub(super) fn of_route(route: &written::Route, classes: &[CacheClass], findings: &Findings) -> Option<Option<usize>> {
    let Some(name) = &route.cache else { return Some(None) };
    let position = classes.iter().position(|class| class.name == *name.get_ref());
    if position.is_none() {
        let known = classes.iter().map(|class| class.name.as_str());
        let cure = suggest::instead(name.get_ref(), known)
            .unwrap_or_else(|| "there are none; write ttl = \"60s\" below a line [cache.classes.pages]".to_owned());
        let message =
            format!("`cache` in [[routes]]: no [cache.classes.NAME] is called {}; {cure}", Shown(name.get_ref()));
        findings.fault(&name.span(), message);
        return None;
    }
    Some(position)
}
