//! Walks over copies of leaves: one leaf's entries are copied while its version holds, and then moving is counting.
//!
//! 1. Forward, the next leaf is the one that followed when the copy was made: whatever is split off either since then
//!    stays between the two, and is a neighbour of the first, whose entries the copy has.
//! 2. Backward, the leaf of keys right before the copied leaf's low fence is looked up from the root.
//! 3. At either end of the tree the position is looked up again if the leaf changed since, so that entries added
//!    there are found.
//!
//! Invariant T6: the copy has all entries of the leaf at one moment after the iterator was positioned, and the next
//! copy goes on where its fences end. So entries added before the positioning are met, in order, exactly once; those
//! added later may be.

use super::BTreeMemTable;
use super::entry::Entry;
use super::node::{CAPACITY, Node, node_at};
use super::order::KeyOrder;
use super::tree::Seen;
use crate::base::Error;
use crate::iterator::InternalIterator;
use std::ptr;
use std::sync::Arc;

/// Entries that are asked for before they are shown.
const AHEAD: usize = 8;

/// A position in a memtable.
pub(super) struct BTreeIterator<O> {
    memtable: Arc<BTreeMemTable<O>>,
    /// Where it stands in the copy; not below `count` if it is not valid.
    index: usize,
    count: usize,
    entries: [*mut u8; CAPACITY],
    /// What the copy is of.
    leaf: *mut Node,
    version: u64,
    low: *mut u8,
    next: *mut Node,
}

// SAFETY: the pointers are into the memtable, which any thread may use and which the iterator keeps alive.
unsafe impl<O: KeyOrder> Send for BTreeIterator<O> {}

impl<O: KeyOrder> BTreeIterator<O> {
    pub(super) fn new(memtable: Arc<BTreeMemTable<O>>) -> BTreeIterator<O> {
        BTreeIterator {
            memtable,
            index: 0,
            count: 0,
            entries: [ptr::null_mut(); CAPACITY],
            leaf: ptr::null_mut(),
            version: 0,
            low: ptr::null_mut(),
            next: ptr::null_mut(),
        }
    }

    /// The memtable, not borrowed from the iterator.
    fn table<'a>(&self) -> &'a BTreeMemTable<O> {
        // SAFETY: it lives inside the Arc that this iterator holds. Callers do not keep what they find there for
        // longer than a call.
        unsafe { &*Arc::as_ptr(&self.memtable) }
    }

    fn current(&self) -> Entry<'_> {
        debug_assert!(self.valid());
        // SAFETY: an entry of the memtable that this iterator keeps alive.
        unsafe { Entry::at(self.entries[self.index]) }.expect("only called when valid")
    }

    /// Asks for an entry of the copy.
    #[inline]
    fn prefetch(&self, index: usize) {
        if index < self.count {
            // SAFETY: as in `current`; below the count.
            let entry = unsafe { Entry::at(self.entries[index]) };
            entry.iter().for_each(|entry| entry.prefetch());
        }
    }

    /// Copies a leaf; false, and not valid, if it changed.
    fn copy(&mut self, leaf: Seen<'_>) -> bool {
        let count = leaf.node.count();
        for (index, place) in self.entries[..count].iter_mut().enumerate() {
            *place = leaf.node.entry(index).map_or(ptr::null_mut(), Entry::address);
        }
        self.leaf = leaf.node.address();
        self.version = leaf.version;
        self.low = leaf.node.low().map_or(ptr::null_mut(), Entry::address);
        self.next = leaf.node.next().map_or(ptr::null_mut(), Node::address);
        self.count = if leaf.is_still() { count } else { 0 };
        self.index = 0;
        self.count > 0
    }

    /// Stands at `index` of the copy.
    fn stand(&mut self, index: usize) {
        self.index = index;
        for ahead in index..index + AHEAD {
            self.prefetch(ahead);
        }
    }

    fn end(&mut self) {
        (self.index, self.count) = (0, 0);
    }

    /// To the first entry at or after `key`, or with `after_equal` after it.
    fn seek_from(&mut self, key: &[u8], after_equal: bool) {
        let tree = &self.table().tree;
        loop {
            let Some(leaf) = tree.leaf_of(key, true) else { return self.end() };
            let Some(index) = leaf.node.rank(&tree.order, key, after_equal) else { continue };
            if self.copy(leaf) {
                return if index < self.count { self.stand(index) } else { self.enter_next() };
            }
        }
    }

    /// To the last entry at or before `key`, or without `or_equal` before it.
    fn seek_back_from(&mut self, key: &[u8], or_equal: bool) {
        let tree = &self.table().tree;
        loop {
            let Some(leaf) = tree.leaf_of(key, or_equal) else { return self.end() };
            let Some(rank) = leaf.node.rank(&tree.order, key, or_equal) else { continue };
            if self.copy(leaf) {
                // Only the first leaf may have nothing before the key: others have their low fence.
                return if rank == 0 { self.end() } else { self.stand(rank - 1) };
            }
        }
    }

    /// To the first entry of the leaf after the copied one.
    fn enter_next(&mut self) {
        // SAFETY: null or a node of the memtable that this iterator keeps alive.
        let Some(next) = (unsafe { node_at(self.next) }) else { return self.end() };
        while !self.copy(Seen::new(next)) {}
        self.stand(0);
    }

    /// Whether the copied leaf changed since.
    fn is_stale(&self) -> bool {
        // SAFETY: null or a node of the memtable that this iterator keeps alive.
        unsafe { node_at(self.leaf) }.is_some_and(|leaf| !leaf.version.is_still(self.version))
    }

    /// The key it stands on, not borrowed from the iterator.
    fn current_key<'a>(&self) -> &'a [u8] {
        // SAFETY: an entry of the memtable, alive as in `table`.
        unsafe { Entry::at(self.entries[self.index]) }.expect("only called when valid").internal_key()
    }
}

impl<O: KeyOrder> InternalIterator for BTreeIterator<O> {
    #[inline]
    fn valid(&self) -> bool {
        self.index < self.count
    }

    fn seek_to_first(&mut self) {
        let tree = &self.table().tree;
        while let Some(leaf) = tree.first_leaf() {
            if self.copy(leaf) {
                return self.stand(0);
            }
        }
        self.end();
    }

    fn seek_to_last(&mut self) {
        let tree = &self.table().tree;
        while let Some(leaf) = tree.last_leaf() {
            if self.copy(leaf) {
                return self.stand(self.count - 1);
            }
        }
        self.end();
    }

    fn seek(&mut self, target: &[u8]) {
        self.seek_from(target, false);
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        self.seek_back_from(target, true);
    }

    fn next(&mut self) {
        debug_assert!(self.valid());
        if self.index + 1 < self.count {
            self.index += 1;
            self.prefetch(self.index + AHEAD);
        } else if !self.next.is_null() {
            self.enter_next();
        } else if self.is_stale() {
            self.seek_from(self.current_key(), true);
        } else {
            self.end();
        }
    }

    fn prev(&mut self) {
        debug_assert!(self.valid());
        if self.index > 0 {
            self.index -= 1;
        } else if !self.low.is_null() || self.is_stale() {
            self.seek_back_from(self.current_key(), false);
        } else {
            self.end();
        }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.current().internal_key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.current().value()
    }

    fn error(&self) -> Option<&Error> {
        None
    }
}
