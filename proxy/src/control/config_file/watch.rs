//! Which changes on disk can change what a file says: those of the file's own name, and of every symbolic link on the
//! way to it.
//!
//! Invariant: folders are watched, never files. An editor renames a new file over the old one, and a ConfigMap of
//! Kubernetes renames a new `..data` link over the old one; a watch on the file itself would stay with what is gone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{
    Config, Event, EventKind, INotifyWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// Links followed on the way to a file; as many as Linux follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Watches the folders that matter for some files.
pub(super) struct Watch {
    watcher: Option<INotifyWatcher>,
    /// Watched folders by real path, with their inodes: a folder that was made anew needs a new watch.
    folders: BTreeMap<PathBuf, u64>,
    names: Arc<Mutex<BTreeSet<PathBuf>>>,
    warned: bool,
}

impl Watch {
    /// Watches nothing yet; `touched` is told of every change that matters.
    pub(super) fn new(touched: Arc<Notify>) -> Self {
        let names: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let known = Arc::clone(&names);
        let handler = move |event: notify::Result<Event>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // an error may have swallowed an event
            if event.map_or(true, |event| matters(&event, &known)) {
                touched.notify_one();
            }
        };
        let mut watch = Self { watcher: None, folders: BTreeMap::new(), names, warned: false };
        match INotifyWatcher::new(handler, Config::default()) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.warn(&error),
        }
        watch
    }

    /// Watches what matters for these files as the disk is now.
    pub(super) fn aim(&mut self, files: &[PathBuf]) {
        let names: BTreeSet<PathBuf> = files.iter().flat_map(|file| names(file)).collect();
        let inode = |folder: &Path| fs::metadata(folder).ok().map(|about| about.ino());
        let wanted: BTreeMap<PathBuf, u64> = names
            .iter()
            .filter_map(|name| name.parent())
            .filter_map(|folder| Some((folder.to_owned(), inode(folder)?)))
            .collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let Some(watcher) = &mut self.watcher else { return };
        self.folders.retain(|folder, inode| {
            let stays = wanted.get(folder) == Some(inode);
            if !stays {
                // it may be gone already, and its watch with it
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        let mut failed = None;
        for (folder, inode) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder, inode);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            self.warn(&error);
        }
    }

    /// Once: from then on the poll has to do.
    fn warn(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "the configuration's folder cannot be watched; a change is seen by the poll or SIGHUP");
        }
    }
}

/// Reading changes nothing, and a folder may hold other, busier files.
fn matters(event: &Event, names: &BTreeSet<PathBuf>) -> bool {
    let read = match event.kind {
        EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
        _ => false,
    };
    event.need_rescan() || (!read && event.paths.iter().any(|path| names.contains(path)))
}

/// The real names on the way to a file: each link that is followed, then the file itself, which need not exist.
fn names(file: &Path) -> Vec<PathBuf> {
    let parts = |path: &Path| -> Vec<OsString> { path.components().map(|part| part.as_os_str().to_owned()).collect() };
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut rest: VecDeque<OsString> = parts(&absolute).into();
    let (mut here, mut names) = (PathBuf::new(), Vec::new());
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                here.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            // a root replaces what was before
            Some(_) => here.push(&part),
        }
        if let Ok(target) = fs::read_link(&here) {
            names.push(here.clone());
            if names.len() > LINKS_MAX {
                return names;
            }
            here.pop();
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
        }
    }
    names.push(here);
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_matters_and_the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("map/..one")).unwrap();
        fs::write(root.join("map/..one/proxy.toml"), "x").unwrap();
        symlink("..one", root.join("map/..data")).unwrap();
        symlink("..data/proxy.toml", root.join("map/proxy.toml")).unwrap();
        symlink(root.join("map"), root.join("current")).unwrap();
        let inside = |names: Vec<PathBuf>| -> Vec<String> {
            names.iter().map(|name| name.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            inside(names(&root.join("current/./proxy.toml"))),
            ["current", "map/proxy.toml", "map/..data", "map/..one/proxy.toml"]
        );
        assert_eq!(inside(names(&root.join("map/../map/gone.toml"))), ["map/gone.toml"]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert_eq!(names(&folder.path().join("a")).len(), LINKS_MAX + 1);
    }

    #[test]
    fn reading_and_other_files_do_not_matter() {
        let names = BTreeSet::from([PathBuf::from("/etc/proxy.toml")]);
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        use notify::event::{CreateKind, ModifyKind};
        for (kind, path, expected) in [
            (EventKind::Modify(ModifyKind::Any), "/etc/proxy.toml", true),
            (EventKind::Create(CreateKind::File), "/etc/proxy.toml", true),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), "/etc/proxy.toml", true),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), "/etc/proxy.toml", false),
            (EventKind::Modify(ModifyKind::Any), "/etc/other.log", false),
        ] {
            assert_eq!(matters(&event(kind, path), &names), expected, "{kind:?} {path}");
        }
    }
}
