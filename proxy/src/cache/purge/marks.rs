//! The purges of one tenant.
//!
//! Invariant: a purge that was told is covered by a mark, by the tenant's own, or by the floor.

use std::collections::HashMap;

use super::{Kind, PurgeId, Scope, Subject, TagHash, Verdict, key_hash};

/// Prefixes of a tenant that are looked through one by one; beyond it the tenant is purged.
pub(super) const PREFIXES_MAX: usize = 64;

/// The last purges of one target; ZERO: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    hard: PurgeId,
    soft: PurgeId,
}

impl Mark {
    pub(super) fn of(kind: Kind, id: PurgeId) -> Self {
        match kind {
            Kind::Hard => Self { hard: id, soft: PurgeId::ZERO },
            Kind::Soft => Self { hard: PurgeId::ZERO, soft: id },
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }

    pub(super) fn verdict(self, began: PurgeId) -> Verdict {
        if began < self.hard {
            Verdict::Hard
        } else if began < self.soft {
            Verdict::Soft
        } else {
            Verdict::Valid
        }
    }

    pub(super) fn newest(self) -> PurgeId {
        self.hard.max(self.soft)
    }
}

/// Purges of this process's own that are not in the stream yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Awaited {
    /// To be sent.
    pub(super) waits: bool,
    /// On its way.
    pub(super) sent: bool,
}

impl Awaited {
    pub(super) fn is_any(self) -> bool {
        self.waits || self.sent
    }
}

struct Prefix {
    authority: Option<Box<str>>,
    path: Box<str>,
    mark: Mark,
}

/// What is purged of a tenant.
#[derive(Default)]
pub(super) struct Marks {
    whole: Mark,
    /// Keys and tags, by their hash.
    named: HashMap<u64, Mark>,
    prefixes: Vec<Prefix>,
    /// Keys and tags that the stream has not got yet.
    pub(super) awaited: HashMap<u64, Awaited>,
    /// The same of the tenant as a whole.
    pub(super) awaited_whole: Awaited,
}

impl Marks {
    /// How much it takes of the bound on all tenants.
    pub(super) fn len(&self) -> usize {
        self.named.len() + self.prefixes.len()
    }

    pub(super) fn verdict(&self, subject: &Subject<'_>, began: PurgeId) -> Verdict {
        let mut verdict = self.whole.verdict(began);
        if self.awaited_whole.is_any() {
            verdict = Verdict::Hard;
        }
        if verdict == Verdict::Hard || (self.len() == 0 && self.awaited.is_empty()) {
            return verdict;
        }
        let names = subject.tags.iter().map(|tag| tag.to_bits());
        for name in names.chain([key_hash(subject.authority, subject.path)]) {
            if self.awaited.contains_key(&name) {
                return Verdict::Hard;
            }
            if let Some(mark) = self.named.get(&name) {
                verdict = verdict.max(mark.verdict(began));
            }
        }
        let covers = |prefix: &&Prefix| {
            let is_host = prefix.authority.as_deref().is_none_or(|authority| authority == subject.authority);
            is_host && subject.path.as_bytes().starts_with(prefix.path.as_bytes())
        };
        let prefixes = self.prefixes.iter().filter(covers).map(|prefix| prefix.mark.verdict(began));
        verdict.max(prefixes.max().unwrap_or(Verdict::Valid))
    }

    /// A purge of one of its scopes. False: there were too many prefixes, and it has become one of the tenant.
    pub(super) fn apply(&mut self, scope: &Scope, mark: Mark) -> bool {
        // all of it is covered by a later one
        if mark.newest() <= self.whole.hard {
            return true;
        }
        match scope {
            Scope::Prefix { authority, path, .. } => {
                let same = |known: &&mut Prefix| known.authority == *authority && known.path == *path;
                if let Some(known) = self.prefixes.iter_mut().find(same) {
                    known.mark.join(mark);
                } else if self.prefixes.len() < PREFIXES_MAX {
                    self.prefixes.push(Prefix { authority: authority.clone(), path: path.clone(), mark });
                } else {
                    self.whole.join(mark);
                    self.widen();
                    return false;
                }
            }
            Scope::Key { .. } | Scope::Tag { .. } => {
                if let Some(name) = name(scope) {
                    self.named.entry(name).or_default().join(mark);
                }
            }
            Scope::Tenant(_) | Scope::Class(_) | Scope::All => {
                self.whole.join(mark);
                self.forget(self.whole.hard);
            }
        }
        true
    }

    /// Becomes a purge of everything that it has.
    pub(super) fn widen(&mut self) {
        let marks = self.named.values().copied().chain(self.prefixes.iter().map(|prefix| prefix.mark));
        marks.for_each(|mark| self.whole.join(mark));
        self.named = HashMap::new();
        self.prefixes = Vec::new();
    }

    /// Drops marks up to `id`, which something else covers.
    pub(super) fn forget(&mut self, id: PurgeId) {
        self.named.retain(|_, mark| mark.newest() > id);
        self.prefixes.retain(|prefix| prefix.mark.newest() > id);
        if self.named.capacity() > 64 && self.named.len() < self.named.capacity() / 4 {
            self.named.shrink_to_fit();
        }
    }

    /// The newest purge of anything of it.
    pub(super) fn newest(&self) -> PurgeId {
        let prefixes = self.prefixes.iter().map(|prefix| prefix.mark.newest());
        let marks = self.named.values().map(|mark| mark.newest()).chain(prefixes);
        marks.fold(self.whole.newest(), PurgeId::max)
    }

    /// Whether it says nothing of entries that are not older than `floor`.
    pub(super) fn is_void(&self, floor: PurgeId) -> bool {
        let is_awaited = self.awaited_whole.is_any() || !self.awaited.is_empty();
        self.len() == 0 && !is_awaited && self.whole.newest() <= floor
    }
}

/// The name of a key or tag among its tenant's marks.
pub(super) fn name(scope: &Scope) -> Option<u64> {
    match scope {
        Scope::Key { authority, path, .. } => Some(key_hash(authority, path)),
        Scope::Tag { tag, .. } => Some(TagHash::of(tag).to_bits()),
        _ => None,
    }
}
