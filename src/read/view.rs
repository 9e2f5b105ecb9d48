//! What one read of a column family sees: its memtables and its version, unchanged for as long as they are held.

use super::ReadMode;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{InternalComparator, Result, SequenceNumber};
use crate::iterator::concat::{ConcatIterator, FileList};
use crate::iterator::{InternalIterator, merging};
use crate::memtable::write_buffer::WriteBuffer;
use crate::sst::TableRead;
use crate::version::Version;
use std::sync::Arc;

/// Memtables and tables of a column family at one moment. Immutable (its active memtable still takes writes, which
/// the reader's sequence number hides).
pub struct ReadView {
    /// Takes writes.
    pub active: Arc<WriteBuffer>,
    /// Waiting to be flushed, newest first.
    pub sealed: Vec<Arc<WriteBuffer>>,
    /// The tables.
    pub version: Arc<Version>,
}

impl ReadView {
    /// The memtables, newest first.
    pub fn buffers(&self) -> impl Iterator<Item = &Arc<WriteBuffer>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// A merged iterator over all point entries.
    pub fn iter(&self, order: &InternalComparator, mode: ReadMode) -> Box<dyn InternalIterator> {
        let read = TableRead { fill_cache: mode.fill_cache, allow_io: mode.allow_io, read_ahead: 0 };
        let mut children: Vec<Box<dyn InternalIterator>> = Vec::new();
        for buffer in self.buffers() {
            if !buffer.table().is_empty() || Arc::ptr_eq(buffer, &self.active) {
                children.push(Arc::clone(buffer.table()).iter());
            }
        }
        for (level, runs) in self.version.levels.iter().enumerate() {
            for (index, run) in runs.runs.iter().enumerate() {
                match run.files.as_slice() {
                    [] => {}
                    [file] => children.push(file.table.iter(read)),
                    _ => {
                        let files = RunFiles { version: Arc::clone(&self.version), level, run: index, read };
                        children.push(Box::new(ConcatIterator::new(files, order.clone())));
                    }
                }
            }
        }
        merging::merge(children, order)
    }

    /// All range deletions; `None` if there are none (the usual case, found without work).
    pub fn tombstones(&self, order: &InternalComparator) -> Option<Tombstones> {
        let mut lists: Vec<Arc<TombstoneList>> = Vec::new();
        for buffer in self.buffers().filter(|buffer| !buffer.deletions().is_empty()) {
            lists.extend(buffer.deletions().lists(order));
        }
        let with_any = self.version.files().filter(|(_, file)| file.properties.range_tombstones > 0);
        let of_tables: Vec<RangeTombstone> =
            with_any.flat_map(|(_, file)| file.table.range_tombstones().iter()).collect();
        if !of_tables.is_empty() {
            lists.push(Arc::new(TombstoneList::build(&of_tables, order)));
        }
        (!lists.is_empty()).then_some(Tombstones { lists })
    }
}

/// Range deletions of a view: those of each memtable in a few lists, those of all tables in one.
pub struct Tombstones {
    lists: Vec<Arc<TombstoneList>>,
}

impl Tombstones {
    /// The newest deletion of `user_key` visible at `snapshot`; 0 if none.
    pub fn covering_sequence(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        order: &InternalComparator,
    ) -> SequenceNumber {
        let lists = self.lists.iter();
        lists.map(|list| list.covering_sequence(user_key, snapshot, order)).max().unwrap_or(0)
    }
}

/// The files of one run, for the concatenating iterator.
struct RunFiles {
    version: Arc<Version>,
    level: usize,
    run: usize,
    read: TableRead,
}

impl RunFiles {
    fn files(&self) -> &[Arc<crate::version::FileMeta>] {
        &self.version.levels[self.level].runs[self.run].files
    }
}

impl FileList for RunFiles {
    fn len(&self) -> usize {
        self.files().len()
    }
    fn smallest(&self, index: usize) -> &[u8] {
        &self.files()[index].properties.smallest
    }
    fn largest(&self, index: usize) -> &[u8] {
        &self.files()[index].properties.largest
    }
    fn open(&self, index: usize) -> Result<Box<dyn InternalIterator>> {
        Ok(self.files()[index].table.iter(self.read))
    }
}
