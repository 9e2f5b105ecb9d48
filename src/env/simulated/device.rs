//! What a simulated machine holds at one moment: what programs see (the cache) and what a power loss leaves (the
//! device), and how each operation changes both.
//!
//! Invariants:
//! - D1: the same operations in the same order give the same state; the running environment and the maker of crash
//!   images share `apply`.
//! - D2: unless `diverged`, an inode's `cached` is its `durable` with all of `unsynced` applied.
//! - D3: `cached` entries are the `durable` ones with all of `unsynced` applied.
//!
//! Simplification: making, renaming and removing a *directory* is durable at once. Entries of files are not.

use super::content::Content;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// A file's number. Never used twice.
pub(super) type InodeId = u64;

/// Names of files in each directory. A directory exists if it is a key.
pub(super) type Directories = BTreeMap<Arc<Path>, BTreeMap<Arc<str>, InodeId>>;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) directory: Arc<Path>,
    pub(super) name: Arc<str>,
}

/// A change of a file's bytes.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

/// A change of a directory's entries of files.
#[derive(Clone)]
pub(super) enum EntryChange {
    Link { entry: Entry, inode: InodeId },
    Unlink { entry: Entry },
    Move { from: Entry, to: Entry, inode: InodeId },
}

/// One journalled operation.
#[derive(Clone)]
pub(super) enum Operation {
    Entry(EntryChange),
    Change {
        inode: InodeId,
        change: Change,
    },
    SyncData {
        inode: InodeId,
    },
    /// The first bytes only.
    SyncFirst {
        inode: InodeId,
        len: u64,
    },
    /// A sync failed: the unsynced bytes count as clean but are not on the device.
    LoseUnsynced {
        inode: InodeId,
    },
    /// Forget cached bytes that are not what the device holds.
    DropCache {
        inode: InodeId,
    },
    SyncDirectory(Arc<Path>),
    CreateDirectory(Arc<Path>),
    RemoveDirectory(Arc<Path>),
    RenameDirectory {
        from: Arc<Path>,
        to: Arc<Path>,
    },
    /// A test puts a file there. It is durable at once, and so is what was done to the directory before.
    Put {
        entry: Entry,
        inode: InodeId,
        content: Arc<Content>,
    },
}

/// A file.
#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What programs read.
    pub(super) cached: Arc<Content>,
    /// What the device holds for certain.
    pub(super) durable: Arc<Content>,
    /// What was done since, in order; any part of it may be on the device.
    pub(super) unsynced: Vec<Change>,
    /// A failed sync left bytes in the cache that no later sync writes.
    pub(super) diverged: bool,
}

impl Change {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Change::Write { offset, bytes } => content.write_at(*offset, bytes),
            Change::SetLen(len) => content.set_len(*len),
        }
    }
}

impl EntryChange {
    /// Carries the change out as far as the directories concerned exist.
    pub(super) fn apply(&self, directories: &mut Directories) {
        match self {
            EntryChange::Link { entry, inode } => link(directories, entry, *inode),
            EntryChange::Unlink { entry } => unlink(directories, entry),
            EntryChange::Move { from, to, inode } => {
                unlink(directories, from);
                link(directories, to, *inode);
            }
        }
    }

    /// The entry that the change makes or, if it makes none, removes.
    pub(super) fn entry(&self) -> &Entry {
        match self {
            EntryChange::Link { entry, .. } | EntryChange::Unlink { entry } => entry,
            EntryChange::Move { to, .. } => to,
        }
    }

    fn touches(&self, directory: &Path) -> bool {
        match self {
            EntryChange::Link { entry, .. } | EntryChange::Unlink { entry } => &*entry.directory == directory,
            EntryChange::Move { from, to, .. } => {
                &*from.directory == directory || &*to.directory == directory
            }
        }
    }

    fn entries_mut(&mut self) -> Vec<&mut Entry> {
        match self {
            EntryChange::Link { entry, .. } | EntryChange::Unlink { entry } => vec![entry],
            EntryChange::Move { from, to, .. } => vec![from, to],
        }
    }
}

fn link(directories: &mut Directories, entry: &Entry, inode: InodeId) {
    if let Some(names) = directories.get_mut(&entry.directory) {
        names.insert(entry.name.clone(), inode);
    }
}

fn unlink(directories: &mut Directories, entry: &Entry) {
    if let Some(names) = directories.get_mut(&entry.directory) {
        names.remove(&entry.name);
    }
}

impl Inode {
    /// An inode whose bytes are all on the device.
    pub(super) fn settled(content: Arc<Content>) -> Inode {
        Inode { cached: content.clone(), durable: content, unsynced: Vec::new(), diverged: false }
    }

    /// What the device holds once all that is unsynced is written.
    pub(super) fn written_out(&self) -> Arc<Content> {
        if !self.diverged {
            return self.cached.clone(); // D2
        }
        if self.unsynced.is_empty() {
            return self.durable.clone();
        }
        let mut content = (*self.durable).clone();
        self.unsynced.iter().for_each(|change| change.apply(&mut content));
        Arc::new(content)
    }

    fn change(&mut self, change: Change) {
        change.apply(Arc::make_mut(&mut self.cached));
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.durable = self.written_out();
        self.unsynced.clear();
    }

    /// What lies beyond `len` stays as it is. Lengths cannot be told apart from the bytes before and after them, so
    /// where one is unsynced everything is synced.
    fn sync_first(&mut self, len: u64) {
        if self.diverged || self.unsynced.iter().any(|change| matches!(change, Change::SetLen(_))) {
            return self.sync();
        }
        let durable = Arc::make_mut(&mut self.durable);
        self.unsynced.retain_mut(|change| {
            let Change::Write { offset, bytes } = change else { unreachable!("looked for above") };
            let within = len.saturating_sub(*offset).min(bytes.len() as u64) as usize;
            if within == 0 {
                return true;
            }
            durable.write_at(*offset, &bytes[..within]);
            *offset += within as u64;
            *bytes = bytes[within..].into();
            !bytes.is_empty()
        });
    }

    fn lose_unsynced(&mut self) {
        self.diverged |= !self.unsynced.is_empty();
        self.unsynced.clear();
    }

    /// The length stays as the cache has it: it belongs to the inode, not to its pages.
    fn drop_cache(&mut self) {
        if self.diverged {
            let len = self.cached.len();
            let mut content = (*self.written_out()).clone();
            self.diverged = content.len() != len;
            content.set_len(len);
            self.cached = Arc::new(content);
        }
    }
}

/// Everything the machine holds.
#[derive(Clone)]
pub(super) struct DeviceState {
    /// All files ever made, also removed ones (open handles, and garbage for images).
    pub(super) inodes: BTreeMap<InodeId, Arc<Inode>>,
    /// What programs see.
    pub(super) cached: Directories,
    /// What the device holds for certain.
    pub(super) durable: Directories,
    /// What was done to entries since, in order.
    pub(super) unsynced: Vec<EntryChange>,
}

impl DeviceState {
    /// An empty file system: the root directory.
    pub(super) fn empty() -> DeviceState {
        let root: Directories = [(Arc::from(Path::new("/")), BTreeMap::new())].into();
        DeviceState { inodes: BTreeMap::new(), cached: root.clone(), durable: root, unsynced: Vec::new() }
    }

    /// A device whose files are reached by `directories`, with what `choose` says of each.
    pub(super) fn with(
        &self,
        directories: Directories,
        mut choose: impl FnMut(InodeId, &Arc<Inode>) -> Arc<Inode>,
    ) -> DeviceState {
        let reached: BTreeSet<InodeId> =
            directories.values().flat_map(|names| names.values().copied()).collect();
        let inodes = reached.into_iter().map(|id| (id, choose(id, &self.inodes[&id]))).collect();
        DeviceState { inodes, cached: directories.clone(), durable: directories, unsynced: Vec::new() }
    }

    /// The state after `operation`, which was legal when it was journalled.
    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Entry(change) => {
                if let EntryChange::Link { inode, .. } = change {
                    self.inodes.entry(*inode).or_default();
                }
                change.apply(&mut self.cached);
                self.unsynced.push(change.clone());
            }
            Operation::Change { inode, change } => self.inode_mut(*inode).change(change.clone()),
            Operation::SyncData { inode } => self.inode_mut(*inode).sync(),
            Operation::SyncFirst { inode, len } => self.inode_mut(*inode).sync_first(*len),
            Operation::LoseUnsynced { inode } => self.inode_mut(*inode).lose_unsynced(),
            Operation::DropCache { inode } => self.inode_mut(*inode).drop_cache(),
            Operation::SyncDirectory(directory) => self.sync_directory(directory),
            Operation::CreateDirectory(directory) => {
                self.cached.entry(directory.clone()).or_default();
                self.durable.entry(directory.clone()).or_default();
            }
            Operation::RemoveDirectory(directory) => {
                self.sync_directory(directory);
                self.cached.remove(directory);
                self.durable.remove(directory);
            }
            Operation::RenameDirectory { from, to } => self.rename_directory(from, to),
            Operation::Put { entry, inode, content } => {
                self.sync_directory(&entry.directory);
                self.inodes.insert(*inode, Arc::new(Inode::settled(content.clone())));
                link(&mut self.cached, entry, *inode);
                link(&mut self.durable, entry, *inode);
            }
        }
    }

    fn inode_mut(&mut self, inode: InodeId) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&inode).expect("an operation names a file that was made before"))
    }

    /// A move is atomic, so the other directory of one is synced too (else a removal that came before the move
    /// could become durable after it and take the moved file away).
    fn sync_directory(&mut self, directory: &Arc<Path>) {
        let mut directories = BTreeSet::from([directory.clone()]);
        loop {
            let before = directories.len();
            for change in &self.unsynced {
                if let EntryChange::Move { from, to, .. } = change
                    && (directories.contains(&from.directory) || directories.contains(&to.directory))
                {
                    directories.extend([from.directory.clone(), to.directory.clone()]);
                }
            }
            if directories.len() == before {
                break;
            }
        }
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let synced = directories.iter().any(|directory| change.touches(directory));
            if synced {
                change.apply(durable);
            }
            !synced
        });
    }

    fn rename_directory(&mut self, from: &Path, to: &Path) {
        let renamed = |path: &Path| -> Option<Arc<Path>> {
            let below = path.strip_prefix(from).ok()?;
            Some(if below.as_os_str().is_empty() { to.into() } else { to.join(below).into() })
        };
        for directories in [&mut self.cached, &mut self.durable] {
            let old: Vec<Arc<Path>> =
                directories.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in old {
                if let (Some(names), Some(new)) = (directories.remove(&path), renamed(&path)) {
                    directories.insert(new, names);
                }
            }
        }
        for entry in self.unsynced.iter_mut().flat_map(EntryChange::entries_mut) {
            if let Some(new) = renamed(&entry.directory) {
                entry.directory = new;
            }
        }
    }
}
