//! What a request wants of the cache.
//!
//! Invariant: whose answer it would be is part of the key, and nobody is asked who that is but the request itself.

use std::sync::Arc;

use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE, HOST},
};

use crate::{
    cache::{
        class::Class,
        freshness::{Ask, Bypass, Millis, Policy, status::Forward},
        key::{Key, Parts, Private},
    },
    pipeline::candidates::{Errand, Load},
};

/// What a request wants of the cache.
pub(super) struct Want {
    pub(super) class: Arc<Class>,
    /// That of the class, less for a request that a cookie may have made one user's.
    pub(super) policy: Policy,
    pub(super) ask: Ask,
    pub(super) key: Key,
    pub(super) now: Millis,
    /// Whether other processes of the stamp are not heard.
    pub(super) cut_off: bool,
}

impl Errand<'_> {
    /// What a request wants of the cache; an error says why it has nothing to do with it.
    pub(super) fn want(&self, class: &Arc<Class>, load: &Load<'_>) -> Result<Want, (Forward, &'static str)> {
        let headers = &load.head.headers;
        let mut policy = class.policy;
        let user = self.snapshot.settings.user.as_ref();
        if !class.per_user
            && (headers.contains_key(COOKIE) || user.is_some_and(|user| headers.contains_key(&user.header)))
        {
            // of answers about which the app says nothing, nobody knows whether who asks has made them somebody's own
            (policy.default_lifetime, policy.heuristic) = (None, false);
        }
        let ask = Ask::of(&load.head.method, headers, &policy).map_err(|why| match why {
            Bypass::Method => (Forward::Method, why.token()),
            _ => (Forward::Bypass, why.token()),
        })?;
        if load.head.websocket {
            return Err((Forward::Bypass, Bypass::Upgrade.token()));
        }
        let private = match class.per_user {
            false => None,
            true => Some(self.private(headers).ok_or((Forward::Bypass, "no-user"))?),
        };
        let upstream = self.snapshot.settings.upstreams.get(self.route.upstream);
        let key = Key::of(&Parts {
            tenant: &self.tenant,
            class: &class.name,
            route: [&self.route.name, upstream.map_or("", |upstream| upstream.name.as_str())],
            scheme: "http",
            authority: headers.get(HOST).map_or(&[], |host| host.as_bytes()),
            target: load.head.uri.path_and_query().map_or("/", |target| target.as_str()),
            private,
        });
        let begins = self.begins(load);
        let (now, cut_off) = (self.worker.plane.clock.host(begins), self.cache().purges.is_cut_off(begins));
        Ok(Want { class: Arc::clone(class), policy, ask, key, now, cut_off })
    }

    /// The one user whose request it is.
    fn private<'a>(&self, headers: &'a HeaderMap) -> Option<Private<'a>> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|value| !value.is_empty() && values.next().is_none())
        };
        let user = one(&self.snapshot.settings.user.as_ref()?.header)?.as_bytes();
        let credentials = match headers.contains_key(AUTHORIZATION) {
            true => one(&AUTHORIZATION)?.as_bytes(),
            false => &[],
        };
        Some(Private { user, credentials })
    }
}
