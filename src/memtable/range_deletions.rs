//! The range tombstones of one memtable.
//!
//! Writers append tombstones as they come. The first reader after an append cuts them into a `TombstoneList` and
//! keeps it; later readers share that list until the next append.
//!
//! Invariant D1: a reader that sees `is_empty` false gets a list with every tombstone whose `add` returned before.

use crate::base::InternalComparator;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes a tombstone takes besides its keys.
const TOMBSTONE_OVERHEAD: usize = size_of::<RangeTombstone>();

/// A concurrent holder of range tombstones. Memtables without any (nearly all) pay one atomic load a read.
#[derive(Default)]
pub struct RangeDeletions {
    count: AtomicUsize,
    memory_bytes: AtomicUsize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    tombstones: Vec<RangeTombstone>,
    /// `tombstones`, cut; `None` after an append.
    list: Option<Arc<TombstoneList>>,
}

impl RangeDeletions {
    /// An empty holder.
    pub fn new() -> RangeDeletions {
        RangeDeletions::default()
    }

    /// Adds a tombstone.
    pub fn add(&self, tombstone: RangeTombstone) {
        let bytes = TOMBSTONE_OVERHEAD + tombstone.start.len() + tombstone.end.len();
        self.memory_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut state = self.state.write();
        state.tombstones.push(tombstone);
        state.list = None;
        self.count.store(state.tombstones.len(), Ordering::Release);
    }

    /// True before the first `add`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Tombstones added so far.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Bytes of memory the tombstones take; the list made of them is not counted.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// All tombstones added so far, ready for lookups. `order` must be the same in every call.
    pub fn list(&self, order: &InternalComparator) -> Arc<TombstoneList> {
        if let Some(list) = &self.state.read().list {
            return list.clone();
        }
        let mut state = self.state.write();
        let State { tombstones, list } = &mut *state;
        list.get_or_insert_with(|| Arc::new(TombstoneList::build(tombstones, order))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: &[u8], end: &[u8], sequence: u64) -> RangeTombstone {
        RangeTombstone { start: start.to_vec(), end: end.to_vec(), sequence }
    }

    #[test]
    fn lists_are_shared_until_the_next_addition() {
        let order = InternalComparator::default();
        let deletions = RangeDeletions::new();
        assert!(deletions.is_empty() && deletions.list(&order).is_empty());
        deletions.add(tombstone(b"b", b"d", 5));
        assert_eq!((deletions.is_empty(), deletions.count()), (false, 1));
        let first = deletions.list(&order);
        assert!(Arc::ptr_eq(&first, &deletions.list(&order)));
        deletions.add(tombstone(b"c", b"f", 9));
        let second = deletions.list(&order);
        assert_eq!(first.covering_sequence(b"c", 100, &order), 5, "a list once given does not change");
        assert_eq!(second.covering_sequence(b"c", 100, &order), 9);
        assert_eq!(second.covering_sequence(b"c", 8, &order), 5);
        assert_eq!(second.covering_sequence(b"e", 8, &order), 0);
        assert_eq!(deletions.memory_bytes(), 2 * TOMBSTONE_OVERHEAD + 4);
    }

    #[test]
    fn readers_see_every_addition_that_finished() {
        let order = InternalComparator::default();
        let deletions = RangeDeletions::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=200).for_each(|sequence| deletions.add(tombstone(b"a", b"z", sequence))));
            loop {
                let added = deletions.count() as u64;
                let seen = deletions.list(&order).covering_sequence(b"m", 1000, &order);
                assert!(seen >= added, "D1: {added} were added, the list knows {seen}");
                if added == 200 {
                    break;
                }
            }
        });
    }
}
