//! The header edits of a route, made once and by the stamp that serves: on the way to its app, and on its app's answer.
//!
//! Invariant: nothing that the proxy answers for is touched. The settings refuse such names, and an app's answer has lost
//! its hop-by-hop fields before it is edited, so that its `Connection` cannot name what an edit adds.

use http::{HeaderMap, Response};
use synaxis_config::settings::HeaderEdits;

use crate::upstream::{framing, head::Head};

/// Edits a request for the app of this stamp. Returns the fields as they were, for another stamp, should the app turn
/// out not to have seen it.
#[must_use]
pub fn request(edits: &HeaderEdits, head: &mut Head) -> Option<Box<HeaderMap>> {
    if edits.is_empty() {
        return None;
    }
    let before = Box::new(head.headers.clone());
    apply(edits, &mut head.headers);
    Some(before)
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
