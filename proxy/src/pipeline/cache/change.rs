//! What an unsafe request takes out of use (RFC 9111 §4.4).
//!
//! Invariant: what an app may have changed is not given any more, also when its answer never came or nobody was left to have
//! it: only an answer of failure, or none because nothing was sent, leaves things as they are.

use http::{Method, StatusCode, header::HOST};

use crate::{
    cache::freshness::invalidate,
    pipeline::{
        candidates::{Errand, Load},
        local_reply::LocalReply,
        visit::Outcome,
    },
};

/// What a request may change. Dropped before its end is known, it has.
pub(super) struct Change<'a> {
    errand: &'a Errand<'a>,
    method: Method,
    authority: String,
    path: String,
    is_over: bool,
}

impl<'a> Change<'a> {
    pub(super) fn of(errand: &'a Errand<'a>, load: &Load<'_>) -> Self {
        let host = load.head.headers.get(HOST).map_or(&[][..], |host| host.as_bytes());
        Self {
            errand,
            method: load.head.method.clone(),
            authority: String::from_utf8_lossy(host).to_ascii_lowercase(),
            path: load.head.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned()),
            is_over: false,
        }
    }

    /// What became of the request.
    pub(super) fn ends(mut self, outcome: &Result<Outcome, LocalReply>, load: &Load<'_>) {
        self.is_over = match outcome {
            Ok(Outcome::Answered(answer)) if invalidate::spoils(&self.method, answer.status()) => {
                self.mark(&self.path);
                for other in invalidate::others("http", &self.authority, &self.path, answer.headers()) {
                    self.mark(&other);
                }
                self.errand.tell_owners();
                true
            }
            // an attempt before this one may have been done, or somebody in front of the app has lost the answer
            Ok(Outcome::Answered(answer)) => !load.may_have_run && !is_unknown(answer.status()),
            Ok(Outcome::Untouched(..)) => !load.may_have_run,
            Ok(Outcome::Spoilt(..)) => false,
            Err(_) => !load.entered,
        };
    }

    fn mark(&self, path: &str) {
        self.errand.worker.plane.cache.purges.mark_key(&self.errand.tenant, &self.authority, path);
    }
}

/// Whether a status says that nobody knows what became of a request.
fn is_unknown(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.mark(&self.path);
            self.errand.tell_owners();
        }
    }
}
