//! Where fresh writes live until they are flushed. One trait, several structures.
//!
//! `skiplist` is the reference structure, `art` the adaptive radix tree, `btree` the B+tree; entries live in an
//! `arena`. Range tombstones do not go into the map of point entries: `RangeDeletions` holds those of one memtable
//! beside it.

use crate::base::InternalComparator;
use crate::base::key::{EntryKind, SequenceNumber};
use crate::iterator::InternalIterator;
use std::sync::Arc;

mod arena;
mod art;
mod btree;
pub mod budget;
#[cfg(test)]
mod budget_tests;
mod range_deletions;
pub mod skiplist;
mod sync;
#[cfg(test)]
mod tests;
pub mod write_buffer;

pub use range_deletions::RangeDeletions;

/// An ordered, concurrent, insert-only map of internal keys to values; memory comes from an arena and goes with it.
/// Inserts and reads may run in any number of threads at once.
pub trait MemTable: Send + Sync {
    /// Adds an entry. (user_key, sequence, kind) is never added twice.
    fn insert(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]);
    /// Shows the entries of `user_key` with sequence <= `snapshot`, newest first, until `visit` returns false.
    fn get(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        visit: &mut dyn FnMut(SequenceNumber, EntryKind, &[u8]) -> bool,
    );
    /// An iterator over all entries, also those inserted after it was made; keeps the memtable alive.
    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator>;
    /// Bytes of memory in use: what entries and nodes take. Grows evenly, so that memtables are sealed by it.
    fn memory_bytes(&self) -> usize;
    /// Bytes of memory taken from the system, within 5 % once there are 64 KiB: with what the allocator adds and what
    /// is allocated ahead. This is what users are shown and what budgets count.
    fn allocated_bytes(&self) -> usize {
        self.memory_bytes()
    }
    /// Entries added so far.
    fn len(&self) -> usize;
    /// True before the first insert.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which structure a memtable uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// A concurrent skip list.
    SkipList,
    /// An adaptive radix tree; for orders other than byte order it is a skip list instead.
    Art,
    /// A B+tree.
    BTree,
}

/// An empty memtable.
pub fn create(structure: Structure, order: &InternalComparator) -> Arc<dyn MemTable> {
    match structure {
        Structure::Art if order.is_bytewise() => art::create(),
        Structure::BTree => btree::create(order),
        Structure::SkipList | Structure::Art => skiplist::create(order),
    }
}

/// Asks the processor to bring the cache line at `address` near; a hint, whatever the address is.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
