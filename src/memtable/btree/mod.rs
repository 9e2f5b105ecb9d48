//! The B+tree memtable: wide nodes that keep eight bytes of each key in a row, for few cache misses.
//!
//! 1. An insert copies the entry once into an arena (`entry`), finds its leaf and puts a pointer there (`tree`).
//! 2. A node (`node`) decides nearly all comparisons by codes of eight bytes (`order`), which lie together; an entry is
//!    looked at where codes are equal. So a lookup misses the cache about once in the last inner node, once in the
//!    leaf and once in the entry.
//! 3. Ascending and other neighbouring keys go to the leaf of the last one without a way down.
//! 4. An iterator (`iterator`) copies a leaf's pointers and walks over the copy.
//!
//! Many threads may insert and read at once. Readers take no lock: they check versions (`version`) and start over if a
//! writer came between. Writers lock the leaf they change, and when they split it, its parent.
//!
//! Nodes and entries come from arenas of their own and live as long as the memtable, so no pointer ever goes stale.
//! Invariants: T1 in `version`, T2 in `entry`, T3 in `order`, T4 in `node`, T5 in `tree`, T6 in `iterator`.

use super::MemTable;
use crate::base::InternalComparator;
use crate::base::key::{EntryKind, SequenceNumber, TRAILER_LEN, append_internal_key, key_trailer, trailer};
use crate::iterator::InternalIterator;
use entry::{Entry, kind};
use order::{ByteOrder, KeyOrder};
use std::sync::Arc;
use tree::{Seen, Tree};

mod entry;
mod iterator;
mod node;
mod order;
mod tree;
mod version;

/// Lookup keys up to this length are put together on the stack.
const STACK_KEY_LEN: usize = 128;

/// An empty B+tree memtable.
pub(super) fn create(order: &InternalComparator) -> Arc<dyn MemTable> {
    if order.is_bytewise() {
        Arc::new(BTreeMemTable { tree: Tree::new(ByteOrder) })
    } else {
        Arc::new(BTreeMemTable { tree: Tree::new(order.clone()) })
    }
}

/// A memtable of the order `O`.
struct BTreeMemTable<O> {
    tree: Tree<O>,
}

/// An entry, and where it was found.
struct Found<'a> {
    leaf: Seen<'a>,
    index: usize,
    entry: Entry<'a>,
}

impl<O: KeyOrder> BTreeMemTable<O> {
    /// Shows the entries of `lookup`'s user key at or after it until `visit` returns false.
    #[inline]
    fn visit_versions(&self, lookup: &[u8], visit: &mut dyn FnMut(SequenceNumber, EntryKind, &[u8]) -> bool) {
        let mut found = self.first_from(lookup, false);
        while let Some(current) = found {
            let key = current.entry.internal_key();
            if !self.tree.order.is_same_user_key(key, lookup) {
                return;
            }
            let packed = key_trailer(key);
            if !visit(packed >> 8, kind(packed), current.entry.value()) {
                return;
            }
            found = self.after(current);
        }
    }

    /// The first entry at or after `key`, or with `after_equal` after it.
    #[inline]
    fn first_from(&self, key: &[u8], after_equal: bool) -> Option<Found<'_>> {
        loop {
            let leaf = self.tree.leaf_of(key, true)?;
            let Some(index) = leaf.node.rank(&self.tree.order, key, after_equal) else { continue };
            if index < leaf.node.count() {
                let entry = leaf.node.entry(index);
                if leaf.is_still() {
                    return entry.map(|entry| Found { leaf, index, entry });
                }
                continue;
            }
            let next = leaf.node.next();
            if leaf.is_still() {
                return next.and_then(first_of);
            }
        }
    }

    #[inline]
    fn after<'a>(&'a self, found: Found<'a>) -> Option<Found<'a>> {
        let Found { leaf, index, entry } = found;
        if index + 1 < leaf.node.count() {
            let next = leaf.node.entry(index + 1);
            if leaf.is_still() {
                return next.map(|entry| Found { leaf, index: index + 1, entry });
            }
        }
        self.first_from(entry.internal_key(), true)
    }
}

/// The first entry of a leaf.
fn first_of(leaf: &node::Node) -> Option<Found<'_>> {
    loop {
        let leaf = Seen::new(leaf);
        let entry = leaf.node.entry(0);
        if leaf.is_still() {
            return entry.map(|entry| Found { leaf, index: 0, entry });
        }
    }
}

impl<O: KeyOrder> MemTable for BTreeMemTable<O> {
    fn insert(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]) {
        let entry = Entry::write(&self.tree.entries, user_key, trailer(sequence, kind), value);
        self.tree.insert(entry);
    }

    fn get(
        &self,
        user_key: &[u8],
        snapshot: SequenceNumber,
        visit: &mut dyn FnMut(SequenceNumber, EntryKind, &[u8]) -> bool,
    ) {
        let len = user_key.len() + TRAILER_LEN;
        if len <= STACK_KEY_LEN {
            let mut lookup = [0; STACK_KEY_LEN];
            lookup[..user_key.len()].copy_from_slice(user_key);
            lookup[user_key.len()..len].copy_from_slice(&trailer(snapshot, EntryKind::SEEK).to_le_bytes());
            self.visit_versions(&lookup[..len], visit);
        } else {
            let mut lookup = Vec::with_capacity(len);
            append_internal_key(&mut lookup, user_key, snapshot, EntryKind::SEEK);
            self.visit_versions(&lookup, visit);
        }
    }

    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator> {
        Box::new(iterator::BTreeIterator::new(self))
    }

    fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes()
    }

    fn allocated_bytes(&self) -> usize {
        self.tree.allocated_bytes() + size_of::<Self>()
    }

    fn len(&self) -> usize {
        self.tree.len()
    }
}
