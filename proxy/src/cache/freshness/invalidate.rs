//! Which stored answers an unsafe request spoils (RFC 9111 §4.4).

use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LOCATION, LOCATION},
};
use url::{Position, Url};

/// Longer references are not followed; a key that long is not stored.
const BYTES_MAX: usize = 8192;

/// Whether an answer with this status to this method spoils what is stored for the target: the method may change
/// something, and the origin says that it did.
#[must_use]
pub fn spoils(method: &Method, status: StatusCode) -> bool {
    !method.is_safe() && (status.is_success() || status.is_redirection())
}

/// The other targets that such an answer spoils: path and query of `Location` and `Content-Location`, where they are of
/// the same origin as the target `scheme://authority path_and_query`. At most two, none of them the target.
#[must_use]
pub fn others(scheme: &str, authority: &str, path_and_query: &str, answer: &HeaderMap) -> Vec<String> {
    let Ok(target) = Url::parse(&format!("{scheme}://{authority}{path_and_query}")) else { return Vec::new() };
    let mut others: Vec<String> = Vec::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        let mut lines = answer.get_all(name).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { continue };
        let reference = std::str::from_utf8(line.as_bytes()).ok().filter(|reference| reference.len() <= BYTES_MAX);
        let Some(other) = reference.and_then(|reference| target.join(reference).ok()) else { continue };
        // somebody else's resources are not this origin's to spoil
        if other.origin() != target.origin() {
            continue;
        }
        let path = &other[Position::BeforePath..Position::AfterQuery];
        if path != path_and_query && !others.iter().any(|known| known == path) {
            others.push(path.to_owned());
        }
    }
    others
}
