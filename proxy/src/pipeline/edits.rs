//! The header edits of a route, made once and by the stamp that serves: on the way to its app, and on its app's answer.
//!
//! Invariant: nothing that the proxy answers for is touched. The settings refuse such names, and an app's answer has lost
//! its hop-by-hop fields before it is edited, so that its `Connection` cannot name what an edit adds.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use synaxis_config::settings::HeaderEdits;

use crate::upstream::{framing, head::Head};

/// What a request had in the fields that were edited.
#[derive(Default)]
pub struct Before(Vec<(HeaderName, HeaderValue)>);

/// Edits a request for the app of this stamp. Returns what was there, for another stamp, should the app turn out not to
/// have seen it.
#[must_use]
pub fn request(edits: &HeaderEdits, head: &mut Head) -> Before {
    if edits.is_empty() {
        return Before::default();
    }
    let values = |name| head.headers.get_all(name).iter().map(move |value| (HeaderName::clone(name), value.clone()));
    let mut names: Vec<&HeaderName> = touched(edits).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names.dedup();
    let before = names.into_iter().flat_map(values).collect();
    apply(edits, &mut head.headers);
    Before(before)
}

/// Takes the edits of [`request`] back: each field has the values that it had, in their order.
pub fn take_back(edits: &HeaderEdits, before: Before, head: &mut Head) {
    for name in touched(edits) {
        head.headers.remove(name);
    }
    for (name, value) in before.0 {
        head.headers.append(name, value);
    }
}

fn touched(edits: &HeaderEdits) -> impl Iterator<Item = &HeaderName> {
    let written = edits.set.iter().chain(&edits.add).map(|(name, _)| name);
    edits.remove.iter().chain(written)
}

/// Edits the answer of the app of this stamp.
pub fn answer<B>(edits: &HeaderEdits, answer: &mut Response<B>) {
    if !edits.is_empty() {
        framing::answer(answer.headers_mut());
        apply(edits, answer.headers_mut());
    }
}

fn apply(edits: &HeaderEdits, headers: &mut HeaderMap) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_that_are_taken_back_leave_every_field_as_it_was() {
        let name = |text: &'static str| HeaderName::from_static(text);
        let field = |text, value| (name(text), HeaderValue::from_static(value));
        let edits = HeaderEdits {
            remove: vec![name("x-gone"), name("x-set")],
            set: vec![field("x-set", "new"), field("x-only-set", "new")],
            add: vec![field("x-set", "more"), field("x-kept", "more")],
        };
        let headers: HeaderMap = [
            field("x-gone", "1"),
            field("x-set", "old"),
            field("x-gone", "2"),
            field("x-kept", "was here"),
            field("host", "a"),
        ]
        .into_iter()
        .collect();
        let (method, uri) = (http::Method::GET, http::Uri::from_static("/"));
        let mut head = Head { method, uri, headers: headers.clone(), announced: false, websocket: false };
        let before = request(&edits, &mut head);
        assert_eq!(head.headers.get_all("x-set").iter().collect::<Vec<_>>(), ["new", "more"]);
        assert!(!head.headers.contains_key("x-gone") && head.headers.get_all("x-kept").iter().count() == 2);
        take_back(&edits, before, &mut head);
        assert_eq!(head.headers, headers);
        assert_eq!(head.headers.get_all("x-gone").iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
