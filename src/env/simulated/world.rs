//! The file system of a simulated environment: its state, the journal of how it came to be, and crash images.

use super::device::{Change, DeviceState, Directories, Entry, EntryChange, Inode, InodeId, Operation};
use super::image::{self, ImageKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything behind the lock of an environment.
pub(super) struct World {
    /// The state before the first journalled operation.
    base: Arc<DeviceState>,
    /// The state after the last one.
    now: Arc<DeviceState>,
    journal: Vec<Operation>,
    /// A state on the way: `base` and this many operations. Images at ascending points need only go forward.
    walker: (usize, Arc<DeviceState>),
    next_inode: InodeId,
    pub(super) locks: BTreeSet<PathBuf>,
}

/// What a path leads to.
pub(super) enum Found {
    File(InodeId),
    Directory,
    Nothing,
}

impl World {
    pub(super) fn new(state: DeviceState) -> World {
        let next_inode = state.inodes.keys().next_back().map_or(1, |last| last + 1);
        let base = Arc::new(state);
        World {
            now: base.clone(),
            walker: (0, base.clone()),
            base,
            journal: Vec::new(),
            next_inode,
            locks: BTreeSet::new(),
        }
    }

    /// Journals an operation and does it.
    pub(super) fn carry_out(&mut self, operation: Operation) {
        Arc::make_mut(&mut self.now).apply(&operation);
        self.journal.push(operation);
    }

    pub(super) fn journal_len(&self) -> usize {
        self.journal.len()
    }

    pub(super) fn new_inode(&mut self) -> InodeId {
        self.next_inode += 1;
        self.next_inode - 1
    }

    pub(super) fn inode(&self, id: InodeId) -> &Inode {
        &self.now.inodes[&id]
    }

    /// What programs see.
    pub(super) fn directories(&self) -> &Directories {
        &self.now.cached
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.directories().contains_key(path)
    }

    /// What the normalised `path` leads to, and the entry it is in an existing directory.
    pub(super) fn find(&self, path: &Path) -> (Found, Option<Entry>) {
        let entry = || {
            let name = path.file_name()?.to_str()?;
            let (directory, names) = self.directories().get_key_value(path.parent()?)?;
            Some((Entry { directory: directory.clone(), name: name.into() }, names.get(name).copied()))
        };
        let found = entry();
        match found {
            _ if self.is_directory(path) => (Found::Directory, found.map(|(entry, _)| entry)),
            Some((entry, Some(id))) => (Found::File(id), Some(entry)),
            Some((entry, None)) => (Found::Nothing, Some(entry)),
            None => (Found::Nothing, None),
        }
    }

    /// The image of `kind` at `at` operations.
    pub(super) fn image(&mut self, at: usize, kind: ImageKind, seed: u64) -> DeviceState {
        assert!(at <= self.journal.len(), "crash point {at} of a journal of {}", self.journal.len());
        if at == self.journal.len() {
            return image::make(&self.now, kind, seed);
        }
        if self.walker.0 > at {
            self.walker = (0, self.base.clone());
        }
        let (position, state) = &mut self.walker;
        if *position < at {
            let state = Arc::make_mut(state);
            self.journal[*position..at].iter().for_each(|operation| state.apply(operation));
            *position = at;
        }
        image::make(state, kind, seed)
    }

    /// What programs see now, as if all of it had been synced.
    pub(super) fn settled(&self) -> DeviceState {
        self.now.with(self.now.cached.clone(), |_, inode| Arc::new(Inode::settled(inode.cached.clone())))
    }

    /// The operation at `at` in words.
    pub(super) fn describe(&self, at: usize) -> String {
        let path = |entry: &Entry| entry.directory.join(&*entry.name).display().to_string();
        let file = |id: &InodeId| self.name_of(*id);
        match self.journal.get(at) {
            None => "the end of the journal".into(),
            Some(Operation::Entry(EntryChange::Link { entry, .. })) => format!("create {}", path(entry)),
            Some(Operation::Entry(EntryChange::Unlink { entry })) => format!("remove {}", path(entry)),
            Some(Operation::Entry(EntryChange::Move { from, to, .. })) => {
                format!("rename {} to {}", path(from), path(to))
            }
            Some(Operation::Change { inode, change: Change::Write { offset, bytes } }) => {
                format!("write {} bytes at {offset} of {}", bytes.len(), file(inode))
            }
            Some(Operation::Change { inode, change: Change::SetLen(len) }) => {
                format!("set the length of {} to {len}", file(inode))
            }
            Some(Operation::SyncData { inode }) => format!("sync {}", file(inode)),
            Some(Operation::SyncFirst { inode, len }) => {
                format!("sync the first {len} bytes of {}", file(inode))
            }
            Some(Operation::LoseUnsynced { inode }) => format!("failed sync of {}", file(inode)),
            Some(Operation::DropCache { inode }) => format!("drop the cache of {}", file(inode)),
            Some(Operation::SyncDirectory(directory)) => format!("sync directory {}", directory.display()),
            Some(Operation::CreateDirectory(directory)) => {
                format!("create directory {}", directory.display())
            }
            Some(Operation::RemoveDirectory(directory)) => {
                format!("remove directory {}", directory.display())
            }
            Some(Operation::RenameDirectory { from, to }) => {
                format!("rename directory {} to {}", from.display(), to.display())
            }
            Some(Operation::Put { entry, .. }) => format!("put {} there, durable", path(entry)),
        }
    }

    /// A name that the file has, or had when it was last named.
    fn name_of(&self, id: InodeId) -> String {
        let named = self.journal.iter().rev().find_map(|operation| match operation {
            Operation::Entry(EntryChange::Link { entry, inode })
            | Operation::Entry(EntryChange::Move { to: entry, inode, .. })
            | Operation::Put { entry, inode, .. }
                if *inode == id =>
            {
                Some(entry.directory.join(&*entry.name))
            }
            _ => None,
        });
        let known = || image::list(&self.base.cached).find(|(_, inode)| *inode == id).map(|(path, _)| path);
        named.or_else(known).map_or_else(|| format!("file {id}"), |path| path.display().to_string())
    }
}
