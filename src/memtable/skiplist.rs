//! The skip list memtable: crossbeam's lock-free map of small keys that point into an arena.
//!
//! 1. An insert copies the entry once into the arena: internal key | value. No allocation of its own but the node.
//! 2. The node's key is 24 bytes: where the entry is, its lengths, and eight bytes that decide most comparisons
//!    without touching the entry: in byte order the start of the user key, big-endian; in a custom order the
//!    comparator.
//! 3. A lookup makes such a key for the bytes it looks for, descends once and walks on from there.
//!
//! Invariant S1: an entry's bytes are written before its node is linked and never change after.
//! Invariant S2: nodes are never removed, so a position stays good for as long as the memtable lives.

use super::MemTable;
use super::arena::Arena;
use crate::base::Error;
use crate::base::InternalComparator;
use crate::base::key::{
    EntryKind, SequenceNumber, TRAILER_LEN, append_internal_key, key_trailer, trailer, user_key,
};
use crate::base::memory::allocation;
use crate::iterator::InternalIterator;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

/// Bytes of the leading part of a user key that is compared as a number.
const PREFIX_LEN: usize = 8;
/// Lookup keys up to this length are put together on the stack.
const STACK_KEY_LEN: usize = 128;
/// What a node takes in the mean, with what the allocator adds.
const NODE_BYTES: usize = mean_node_bytes();

/// A node has its key, a word of counts and a tower of pointers; half of all towers are one high, a quarter two, and so
/// on.
const fn mean_node_bytes() -> usize {
    let (mut sum, mut height) = (0u64, 1);
    while height <= 32 {
        let node = size_of::<NodeKey<Prefix>>() + size_of::<usize>() + height * size_of::<usize>();
        sum += (allocation(node) as u64) << (32 - height);
        height += 1;
    }
    (sum >> 32) as usize + 1
}

/// An empty skip list memtable.
pub(super) fn create(order: &InternalComparator) -> Arc<dyn MemTable> {
    if order.is_bytewise() {
        Arc::new(SkipListMemTable::<Prefix>::new(order))
    } else {
        Arc::new(SkipListMemTable::<Custom>::new(order))
    }
}

/// How node keys are ordered, and the eight bytes each node keeps for it.
trait KeyOrder: Copy + Send + Sync + 'static {
    /// The bytes to keep for `user_key`. `order` must outlive every node key made with it.
    fn of(user_key: &[u8], order: &InternalComparator) -> Self;
    /// The order of two node keys.
    fn compare(a: &NodeKey<Self>, b: &NodeKey<Self>) -> Ordering;
}

/// Byte order: the first eight bytes of the user key, zeros after a shorter one.
#[derive(Clone, Copy)]
struct Prefix(u64);

impl KeyOrder for Prefix {
    #[inline]
    fn of(user_key: &[u8], _order: &InternalComparator) -> Prefix {
        if let Some(start) = user_key.first_chunk::<PREFIX_LEN>() {
            return Prefix(u64::from_be_bytes(*start));
        }
        let mut start = [0; PREFIX_LEN];
        start[..user_key.len()].copy_from_slice(user_key);
        Prefix(u64::from_be_bytes(start))
    }

    #[inline]
    fn compare(a: &NodeKey<Prefix>, b: &NodeKey<Prefix>) -> Ordering {
        match a.order.0.cmp(&b.order.0) {
            Ordering::Equal => compare_equal_prefixes(a.internal_key(), b.internal_key()),
            decided => decided,
        }
    }
}

/// Compares internal keys whose user keys have equal prefixes, in byte order.
fn compare_equal_prefixes(a: &[u8], b: &[u8]) -> Ordering {
    let (user_a, user_b) = (user_key(a), user_key(b));
    // A key shorter than the prefix was filled up with zeros, so equal prefixes do not mean equal starts there.
    let compared = if user_a.len().min(user_b.len()) >= PREFIX_LEN { PREFIX_LEN } else { 0 };
    user_a[compared..].cmp(&user_b[compared..]).then_with(|| key_trailer(b).cmp(&key_trailer(a)))
}

/// A custom order: the memtable's comparator.
#[derive(Clone, Copy)]
struct Custom(*const InternalComparator);

// SAFETY: the pointer is to a comparator that may itself be shared between threads, and is only read.
unsafe impl Send for Custom {}
// SAFETY: as above.
unsafe impl Sync for Custom {}

impl KeyOrder for Custom {
    #[inline]
    fn of(_user_key: &[u8], order: &InternalComparator) -> Custom {
        Custom(order)
    }

    #[inline]
    fn compare(a: &NodeKey<Custom>, b: &NodeKey<Custom>) -> Ordering {
        // SAFETY: `of` demands that the comparator outlives the key.
        let order = unsafe { &*a.order.0 };
        order.compare(a.internal_key(), b.internal_key())
    }
}

/// What a node holds: where an entry is. Also made for bytes to look for, which then are borrowed by the caller.
struct NodeKey<O> {
    /// internal key | value
    entry: *const u8,
    key_len: u32,
    value_len: u32,
    order: O,
}

// SAFETY: the entry's bytes are never written again (S1), so any thread may read them.
unsafe impl<O: KeyOrder> Send for NodeKey<O> {}
// SAFETY: as above.
unsafe impl<O: KeyOrder> Sync for NodeKey<O> {}

impl<O: KeyOrder> NodeKey<O> {
    /// A key to look for. It must not outlive `internal_key`, which must be at least a trailer long.
    #[inline]
    fn for_lookup(internal_key: &[u8], order: &InternalComparator) -> NodeKey<O> {
        NodeKey {
            entry: internal_key.as_ptr(),
            key_len: length(internal_key.len()),
            value_len: 0,
            order: O::of(user_key(internal_key), order),
        }
    }

    #[inline]
    fn internal_key(&self) -> &[u8] {
        // SAFETY: `insert` and `for_lookup` make keys whose `entry` starts with `key_len` bytes of internal key,
        // alive for as long as the node (the arena goes last) or the lookup.
        unsafe { std::slice::from_raw_parts(self.entry, self.key_len as usize) }
    }

    #[inline]
    fn value(&self) -> &[u8] {
        // SAFETY: the value follows the internal key; a lookup key has none.
        unsafe { std::slice::from_raw_parts(self.entry.add(self.key_len as usize), self.value_len as usize) }
    }
}

/// Lengths are checked where writes enter the engine: keys and values are shorter than 4 GiB.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values are shorter than 4 GiB")
}

impl<O: KeyOrder> Ord for NodeKey<O> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        O::compare(self, other)
    }
}

impl<O: KeyOrder> PartialOrd for NodeKey<O> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: KeyOrder> PartialEq for NodeKey<O> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<O: KeyOrder> Eq for NodeKey<O> {}

/// A memtable of the order `O`. Fields are dropped in this order: nodes point to arena and comparator.
struct SkipListMemTable<O: KeyOrder> {
    map: SkipMap<NodeKey<O>, ()>,
    arena: Arena,
    /// Boxed: node keys of a custom order point to it while the memtable itself may move.
    order: Box<InternalComparator>,
}

impl<O: KeyOrder> SkipListMemTable<O> {
    fn new(order: &InternalComparator) -> Self {
        SkipListMemTable { map: SkipMap::new(), arena: Arena::new(), order: Box::new(order.clone()) }
    }

    /// Shows the entries of `lookup`'s user key at or after it until `visit` returns false.
    fn visit_versions(&self, lookup: &[u8], visit: &mut dyn FnMut(SequenceNumber, EntryKind, &[u8]) -> bool) {
        let target = NodeKey::for_lookup(lookup, &self.order);
        let Some(mut entry) = self.map.lower_bound(Bound::Included(&target)) else { return };
        loop {
            let found = entry.key();
            let key = found.internal_key();
            if self.order.compare_user(user_key(key), user_key(lookup)).is_ne() {
                return;
            }
            let packed = key_trailer(key);
            let kind = EntryKind::from_tag(packed as u8).expect("insert wrote the kind");
            if !visit(packed >> 8, kind, found.value()) || !entry.move_next() {
                return;
            }
        }
    }
}

impl<O: KeyOrder> MemTable for SkipListMemTable<O> {
    fn insert(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]) {
        let key_len = user_key.len() + TRAILER_LEN;
        let node_lengths = (length(key_len), length(value.len()));
        let entry = self.arena.allocate(key_len + value.len()).as_ptr();
        // SAFETY: the piece has room for user key, trailer and value in this order, nobody else has it, and the
        // arguments are not in it.
        unsafe {
            entry.copy_from_nonoverlapping(user_key.as_ptr(), user_key.len());
            let packed = trailer(sequence, kind).to_le_bytes();
            entry.add(user_key.len()).copy_from_nonoverlapping(packed.as_ptr(), TRAILER_LEN);
            entry.add(key_len).copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        let key = NodeKey {
            entry: entry.cast_const(),
            key_len: node_lengths.0,
            value_len: node_lengths.1,
            order: O::of(user_key, &self.order),
        };
        let linked = self.map.get_or_insert(key, ());
        debug_assert!(std::ptr::eq(linked.key().entry, entry), "an internal key was added twice");
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
        Box::new(SkipListIterator { position: None, memtable: self })
    }

    /// Exact for the arena (bytes handed out, not chunk capacity, so that it grows evenly), a mean for nodes.
    fn memory_bytes(&self) -> usize {
        self.arena.used_bytes() + self.map.len() * NODE_BYTES
    }

    fn allocated_bytes(&self) -> usize {
        self.arena.allocated_bytes() + self.map.len() * NODE_BYTES + allocation(size_of::<Self>())
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}

/// A position in a memtable.
struct SkipListIterator<O: KeyOrder> {
    /// Borrows from `memtable`, really, and must be dropped before it: it stands first.
    position: Option<Entry<'static, NodeKey<O>, ()>>,
    memtable: Arc<SkipListMemTable<O>>,
}

impl<O: KeyOrder> SkipListIterator<O> {
    /// The memtable's map, to make positions of.
    fn map(&self) -> &'static SkipMap<NodeKey<O>, ()> {
        // SAFETY: the map lives inside the Arc that this iterator holds, at a fixed address. What is borrowed from
        // it is kept in `position` alone, which never leaves the iterator and is dropped before the Arc; keys
        // and values are lent out only for a borrow of the iterator itself.
        unsafe { &*std::ptr::from_ref(&self.memtable.map) }
    }

    fn current(&self) -> &NodeKey<O> {
        self.position.as_ref().expect("only called when valid").key()
    }
}

impl<O: KeyOrder> InternalIterator for SkipListIterator<O> {
    fn valid(&self) -> bool {
        self.position.is_some()
    }

    fn seek_to_first(&mut self) {
        self.position = self.map().front();
    }

    fn seek_to_last(&mut self) {
        self.position = self.map().back();
    }

    fn seek(&mut self, target: &[u8]) {
        let target = NodeKey::for_lookup(target, &self.memtable.order);
        self.position = self.map().lower_bound(Bound::Included(&target));
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        let target = NodeKey::for_lookup(target, &self.memtable.order);
        self.position = self.map().upper_bound(Bound::Included(&target));
    }

    fn next(&mut self) {
        if !self.position.as_mut().expect("only called when valid").move_next() {
            self.position = None;
        }
    }

    fn prev(&mut self) {
        if !self.position.as_mut().expect("only called when valid").move_prev() {
            self.position = None;
        }
    }

    fn key(&self) -> &[u8] {
        self.current().internal_key()
    }

    fn value(&self) -> &[u8] {
        self.current().value()
    }

    fn error(&self) -> Option<&Error> {
        None
    }
}
