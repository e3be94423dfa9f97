//! Keeps what has been fetched, and shares it while it comes.
//!
//! Invariant: what is kept was whole before anybody has heard its end, and stands where the next request like it looks.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use synaxis_routing::{id::TenantId, purge::PurgeId};
use tokio::{sync::oneshot, time::timeout};

use super::{
    fetch::{Led, send},
    shared,
};
use crate::{
    body::Download,
    cache::{
        Cache,
        class::Class,
        collapse::{Come, Lead},
        entry::{Entry, Meta},
        fill::{Fill, Writer},
        freshness::{
            self, Ask, Millis, Policy, Terms, Times, Use, Vary,
            revalidate::{self, HeadSays},
            write_values,
        },
        key::Key,
        l2::base::Base,
        purge::{Tag, TagHash},
        store::Full,
    },
    pipeline::visit::Outcome,
    telemetry::cache::CacheMetrics,
    upstream::framing,
};

/// How long it is worth its place.
fn life(terms: &Terms, now: Millis) -> Duration {
    Duration::from_millis(terms.kept_until().saturating_sub(now))
}

pub(super) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// An answer that comes to be kept.
pub(super) struct Comes {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The same as they came, for the one who leads.
    pub(super) received: HeaderMap,
    pub(super) terms: Terms,
    pub(super) body: Download,
}

/// Where it is kept.
pub(super) struct Keys {
    pub(super) base: Key,
    pub(super) place: u128,
    pub(super) key: Key,
    pub(super) tenant: TenantId,
}

/// How it was fetched.
pub(super) struct Fetched {
    pub(super) class: Arc<Class>,
    pub(super) policy: Policy,
    pub(super) ask: Ask,
    pub(super) times: Times,
    pub(super) began: PurgeId,
    /// Whether other processes may have it.
    pub(super) shares: bool,
    /// What they know of the URL.
    pub(super) known: Option<Base>,
}

impl Fetched {
    /// What an answer to HEAD says of the kept answer to GET (RFC 9111 §4.3.5).
    pub(super) fn head(&self, cache: &Cache, place: u128, entry: &Arc<Entry>, answer: &Response<Download>) {
        let (old, length) = (&*entry.meta, entry.body.len() as u64);
        match revalidate::head(&old.headers, length, answer.status(), answer.headers()) {
            HeadSays::Nothing => {}
            HeadSays::Changed => forget(cache, place, old),
            HeadSays::Holds => match self.merged(old, answer.headers()) {
                // by other fields it would be in the wrong place
                Some(merged) if Vary::of(&merged.0) == Vary::of(&old.headers) => {
                    self.keep(cache, place, &self.renewed(entry, old.key.clone(), merged));
                }
                _ => forget(cache, place, old),
            },
        }
    }

    /// The fields of what is kept with what a later answer says of it. `None`: it is not to be kept any more.
    fn merged(&self, old: &Meta, answer: &HeaderMap) -> Option<(HeaderMap, Terms)> {
        let mut headers = old.headers.clone();
        revalidate::merge(&mut headers, answer, self.times.received);
        // as one to GET: what has come is about that
        let ask = Ask { head: false, ..self.ask };
        let terms = Terms::of(&ask, self.times, old.status, &headers, &self.policy).ok()?;
        freshness::keep(&mut headers, self.times.received, &self.policy);
        framing::answer(&mut headers);
        Some((headers, terms))
    }

    /// A kept answer with other fields.
    fn renewed(&self, entry: &Entry, key: Key, (mut headers, terms): (HeaderMap, Terms)) -> Arc<Entry> {
        let old = &*entry.meta;
        let identity = (key, old.tenant, Arc::clone(&old.class));
        let tags = tags_of(&mut headers);
        let tags = if tags.is_empty() { old.tags.clone() } else { tags };
        let meta = Meta::new(identity, (old.status, headers), (terms, self.began, tags));
        Arc::new(Entry { meta: Arc::new(meta), body: entry.body.clone() })
    }

    /// Whether an answer may be used without asking, as it came.
    fn is_fresh(&self, terms: &Terms) -> bool {
        matches!(terms.judge(&self.ask, self.times.received), Use::Fresh { .. })
    }

    /// Finds the place of an answer with these fields to a request with those.
    fn place(&self, cache: &Cache, keys: &mut Keys, headers: &HeaderMap, asked: &HeaderMap, life: Duration) {
        match Vary::of(headers) {
            // also where answers have depended on fields before
            Vary::None => (keys.key, keys.place) = (keys.base.clone(), keys.base.place(cache.seed)),
            Vary::Names(names) => {
                keys.key = keys.base.variant(|bytes| write_values(&names, asked, bytes));
                keys.place = keys.key.place(cache.seed);
                let base = (keys.base.clone(), keys.tenant);
                cache.store.vary(keys.base.place(cache.seed), base, names, life, &self.class.room);
            }
            Vary::Any => {}
        }
    }

    /// The app says that a kept answer still holds.
    pub(super) fn holds(
        &self,
        cache: &Cache,
        mut keys: Keys,
        entry: &Arc<Entry>,
        answer: Response<Download>,
        (asked, lead): (&HeaderMap, &mut Lead),
    ) -> Led {
        let old = &*entry.meta;
        let merged = self.merged(old, answer.headers());
        let Some((headers, terms)) = merged else {
            // for this client alone
            let mut headers = old.headers.clone();
            revalidate::merge(&mut headers, answer.headers(), self.times.received);
            framing::answer(&mut headers);
            Outcome::Answered(answer).discard();
            forget(cache, keys.place, old);
            lead.tell(Come::Refused);
            return Led::Holds(self.renewed(entry, old.key.clone(), (headers, old.terms)), false);
        };
        Outcome::Answered(answer).discard();
        let shared = terms;
        let terms = self.class.of_memory(terms, self.times.received);
        self.place(cache, &mut keys, &headers, asked, life(&terms, self.times.received));
        let entry = self.renewed(entry, keys.key, (headers, terms));
        if lead.is_current() {
            self.keep(cache, keys.place, &entry);
            self.share(cache, &keys.base, &entry, &shared);
        }
        lead.is_variant(keys.place);
        lead.tell(if self.is_fresh(&terms) { Come::Kept(Arc::clone(&entry)) } else { Come::Refused });
        Led::Holds(entry, true)
    }

    /// Another process has it: it is kept here as well.
    pub(super) fn takes(
        &self,
        cache: &Cache,
        mut keys: Keys,
        entry: Arc<Entry>,
        (asked, lead): (&HeaderMap, &mut Lead),
    ) -> Led {
        let life = life(&entry.meta.terms, self.times.received);
        self.place(cache, &mut keys, &entry.meta.headers, asked, life);
        if lead.is_current() {
            self.keep(cache, keys.place, &entry);
        }
        lead.is_variant(keys.place);
        lead.tell(Come::Kept(Arc::clone(&entry)));
        Led::Shared(entry)
    }

    /// Takes it in, for everybody at once, and keeps it if it is whole in the end.
    pub(super) async fn comes(
        &self,
        cache: &Cache,
        mut keys: Keys,
        comes: Comes,
        (mut lead, tell): (Lead, Option<oneshot::Sender<Led>>),
        (asked, idle): (&HeaderMap, Duration),
        metrics: &CacheMetrics,
    ) {
        let Comes { status, mut headers, mut received, terms: shared, mut body } = comes;
        let terms = self.class.of_memory(shared, self.times.received);
        framing::answer(&mut received);
        self.place(cache, &mut keys, &headers, asked, life(&terms, self.times.received));
        lead.is_variant(keys.place);
        let Keys { base, place, key, tenant } = keys;
        let tags = tags_of(&mut headers);
        TAG_FIELDS.iter().for_each(|name| _ = received.remove(*name));
        let length = body.size_hint().exact();
        // several read only what there is room for from the beginning: what is passed on has one reader
        let is_small = length.is_none_or(|length| length <= self.class.body_bytes);
        let fits = is_small && length.is_none_or(|length| cache.room.take(length));
        let taken = if fits { length.unwrap_or_default() } else { 0 };
        // what nobody may use without asking is nobody else's
        let is_fresh = self.is_fresh(&terms);
        let meta = Arc::new(Meta::new(
            (key, tenant, Arc::clone(&self.class.name)),
            (status, headers),
            (terms, self.began, tags),
        ));
        let (writer, fill) = Fill::new(length, taken, &cache.room);
        let Some(reader) = fill.read() else { return };
        if !fits {
            writer.pass_on();
            self.pass(cache, (place, &meta), is_small, &lead);
        } else if !is_fresh {
            lead.tell(Come::Refused);
        } else if length.is_some() {
            lead.tell(Come::Shared(Arc::clone(&meta), Arc::clone(&fill)));
        }
        let led = Led::Comes(Arc::clone(&meta), received, reader, fits);
        if body.is_end_stream() {
            self.end(cache, (&base, place), (meta, &shared), (&lead, writer), metrics);
            return send(tell, led);
        }
        drop(fill);
        send(tell, led);
        let mut passing = !fits;
        loop {
            let Ok(frame) = timeout(idle, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await else { return };
            let piece = match frame {
                None => break,
                Some(Err(_)) => return,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => piece,
                    // trailers are not kept
                    Err(_) => continue,
                },
            };
            let is_last = body.is_end_stream();
            let has_room = if is_last { writer.push_last(piece) } else { writer.push(piece) };
            if !passing && (!has_room || writer.bytes() > self.class.body_bytes) {
                passing = true;
                writer.pass_on();
                self.pass(cache, (place, &meta), writer.bytes() <= self.class.body_bytes, &lead);
            }
            if is_last {
                break;
            }
            if passing && writer.room().await.is_err() {
                return;
            }
        }
        self.end(cache, (&base, place), (meta, &shared), (&lead, writer), metrics);
    }

    /// It is whole. It is kept before anybody hears of that: who has had it finds it.
    fn end(
        &self,
        cache: &Cache,
        (base, place): (&Key, u128),
        (meta, shared): (Arc<Meta>, &Terms),
        (lead, writer): (&Lead, Writer),
        metrics: &CacheMetrics,
    ) {
        let whole = writer.whole();
        if let Some(body) = whole.clone() {
            let entry = Arc::new(Entry { meta, body });
            // one that has been succeeded for being slow does not take the place of what is newer
            let kept = if lead.is_current() {
                self.share(cache, base, &entry, shared);
                self.keep(cache, place, &entry)
            } else {
                None
            };
            match kept {
                Some(Full::Tenant) => metrics.full[0].increment(1),
                Some(Full::Class) => metrics.full[1].increment(1),
                None => {}
            }
            if self.is_fresh(&entry.meta.terms) {
                lead.tell(Come::Kept(entry));
            }
        }
        writer.finish(whole);
    }

    /// It is not to be kept: nobody waits for it any more. That it is too large is remembered; that there is no room for it
    /// now is not.
    fn pass(&self, cache: &Cache, (place, meta): (u128, &Meta), is_small: bool, lead: &Lead) {
        if !is_small {
            let until = self.times.received + millis(self.class.uncacheable);
            let whose = (meta.key.clone(), meta.tenant);
            cache.store.pass(place, whose, until, self.class.uncacheable, &self.class.room);
        }
        lead.tell(Come::Refused);
    }

    fn share(&self, cache: &Cache, url: &Key, entry: &Entry, terms: &Terms) {
        if let Some(l2) = cache.l2.as_ref().filter(|_| self.shares) {
            shared::write(l2, &self.class, entry, (url, self.known.as_ref()), terms, self.times.received);
        }
    }

    fn keep(&self, cache: &Cache, place: u128, entry: &Arc<Entry>) -> Option<Full> {
        let life = life(&entry.meta.terms, self.times.received);
        cache.store.keep(place, Arc::clone(entry), life, &self.class.room).err()
    }
}

/// It is not to be used any more, here nor, where they share it, by others.
fn forget(cache: &Cache, place: u128, old: &Meta) {
    cache.store.forget(place);
    if cache.l2.is_some() {
        cache.purges.mark_key(&old.tenant, old.key.authority(), old.key.target());
    }
}

/// What an answer may be purged by; the fields that say it are for caches, and leave.
fn tags_of(headers: &mut HeaderMap) -> Box<[TagHash]> {
    let mut tags = Vec::new();
    for name in TAG_FIELDS {
        for value in headers.get_all(name) {
            let words = value.as_bytes().split(|byte| matches!(byte, b' ' | b',' | b'\t'));
            let words = words.filter_map(|word| Tag::parse(word).ok());
            tags.extend(words.take(TAGS_MAX - tags.len()).map(|tag| TagHash::of(&tag)));
        }
        headers.remove(name);
    }
    tags.into()
}

/// Where an app says what an answer may be purged by.
const TAG_FIELDS: [&str; 2] = ["surrogate-key", "cache-tag"];
/// Most tags of one answer.
const TAGS_MAX: usize = 32;
