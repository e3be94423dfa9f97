//! What the processes of a stamp share: read before an app is asked, written when an answer is whole.
//!
//! Invariant: what is read was written under the whole key of this request; this process's own settings, purges and clock say
//! what it is good for; and it is kept where its own fields say, as if it had come from the app.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use synaxis_routing::{degradation::Level, id::TenantId};

use crate::{
    cache::{
        Cache,
        class::Class,
        entry::{Entry, Meta},
        freshness::{Ask, Millis, Names, Policy, Terms, Use, Vary, write_values},
        key::Key,
        l2::{
            L2,
            base::Base,
            codec::{Stored, Value},
        },
        purge::Verdict,
    },
    dataplane::worker::Worker,
    upstream::{framing, timer::Deadline},
};

/// For whom something is read.
pub(super) struct Reader<'a> {
    pub(super) class: &'a Arc<Class>,
    pub(super) policy: &'a Policy,
    pub(super) tenant: TenantId,
    /// Of the URL.
    pub(super) base: &'a Key,
    /// Fields of the request.
    pub(super) asked: &'a HeaderMap,
}

/// What there is.
#[derive(Default)]
pub(super) struct Read {
    /// What answers of the URL vary by.
    pub(super) base: Option<Base>,
    /// An answer that no purge forbids, and what it is good for.
    pub(super) entry: Option<(Arc<Entry>, Use)>,
}

/// Whether answers of a class are shared now: not at the level for a Redis that is down.
pub(super) fn is_used(worker: &Worker, class: &Class) -> bool {
    worker.shared.is_some() && class.shared.is_some() && worker.plane.degradation.now().level != Level::CacheDegraded
}

impl Reader<'_> {
    /// Reads what others have kept. Whatever is wrong with it or with the store: there is nothing.
    pub(super) async fn read(&self, worker: &Worker, ask: &Ask, deadline: &Deadline) -> Read {
        let (cache, began) = (&worker.plane.cache, Instant::now());
        // what others have purged is not known then
        let Some(link) = worker.shared.as_ref().filter(|_| !cache.purges.is_cut_off(began)) else {
            return Read::default();
        };
        let end = deadline.at().min(began + link.deadline());
        let left = || end.saturating_duration_since(Instant::now());
        let Ok((base, plain)) = link.base(self.base.as_bytes(), left()).await else { return Read::default() };
        let (key, stored) = match base.as_ref().and_then(|base| Names::of(base.names())) {
            None => (self.base.clone(), plain),
            Some(names) => {
                let key = self.base.variant(|bytes| write_values(&names, self.asked, bytes));
                let stored = link.value(key.as_bytes(), left()).await.ok().flatten();
                (key, stored)
            }
        };
        let Some(stored) = stored else { return Read { base, entry: None } };
        let now = worker.plane.clock.host(Instant::now());
        let entry = self.entry(stored, key, now);
        if entry.is_none() {
            link.refuse();
        }
        let judged = entry.and_then(|entry| judge(cache, &entry, ask, now).map(|used| (entry, used)));
        Read { base, entry: judged }
    }

    /// An entry of this process. `None`: it is none that this program writes.
    fn entry(&self, stored: Stored, key: Key, now: Millis) -> Option<Arc<Entry>> {
        let Stored { class, began, tags, terms, status, head: mut headers, body } = stored;
        let terms = Terms::decode(terms.as_ref().try_into().ok()?)?.bounded(self.policy, now)?;
        framing::answer(&mut headers);
        let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_sound = !status.is_informational() && (has_body || body.is_empty()) && *class == *self.class.name;
        let is_its_place = match Vary::of(&headers) {
            Vary::None => key == *self.base,
            Vary::Names(names) => key == self.base.variant(|bytes| write_values(&names, self.asked, bytes)),
            Vary::Any => false,
        };
        if !is_sound || !is_its_place {
            return None;
        }
        let terms = self.class.of_memory(terms, now);
        let identity = (key, self.tenant, Arc::clone(&self.class.name));
        let meta = Meta::new(identity, (status, headers), (terms, began, tags.into()));
        Some(Arc::new(Entry { meta: Arc::new(meta), body }))
    }
}

/// What one that others have kept is good for. `None`: for nothing.
fn judge(cache: &Cache, entry: &Entry, ask: &Ask, now: Millis) -> Option<Use> {
    let terms = entry.meta.terms;
    match entry.meta.verdict(&cache.purges) {
        Verdict::Valid => Some(terms.judge(ask, now)),
        // since when is not known here
        Verdict::Soft => Some(terms.stale_from(terms.received()).judge(ask, now)),
        Verdict::Hard => None,
    }
}

/// Writes an answer for others, soon; `terms` are those of what they share. `known` is what was read of the URL before.
pub(super) fn write(
    l2: &L2,
    class: &Class,
    entry: &Entry,
    (url, known): (&Key, Option<&Base>),
    terms: &Terms,
    now: Millis,
) {
    let meta = &*entry.meta;
    let life = Duration::from_millis(terms.kept_until().saturating_sub(now));
    let value = Value {
        key: meta.key.as_bytes(),
        class: &meta.class,
        began: meta.began,
        tags: &meta.tags,
        terms: &terms.encode(),
        status: meta.status,
        head: &meta.headers,
        body: &entry.body,
    };
    // what becomes of them is counted there
    let _ = l2.put(&value, life);
    let names: Vec<_> = match Vary::of(&meta.headers) {
        Vary::None if known.is_none_or(|known| known.names().is_empty()) => return,
        Vary::None | Vary::Any => Vec::new(),
        Vary::Names(names) => names.iter().cloned().collect(),
    };
    if let Some(base) = Base::new(names) {
        // others of its variants may be kept for longer than this one
        let _ = l2.put_base(url.as_bytes(), &base, life.max(class.longest));
    }
}
