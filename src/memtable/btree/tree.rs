//! The tree: how to find the leaf of a key, and how entries get in.
//!
//! To go down (`descend`) a reader remembers a node's version, chooses a child, remembers the child's version, and
//! goes on if the node did not change: then the child was the right one at that moment, and every change to its
//! fences changes its version. If a version changed, it starts over.
//!
//! To insert, a writer goes down in the same way, finds the place in the leaf, turns the leaf's version into the lock
//! and puts the entry in. It splits full inner nodes on its way, so a leaf that must be split finds room in its parent:
//! parent and leaf are locked, in this order, and by version, so nobody waits holding a lock.
//! 1. Leaves are cut in the middle, or where a run of neighbours arrives, which leaves full leaves behind.
//! 2. What comes after all other entries of a full leaf gets a new leaf of its own, in runs and at the end.
//! 3. A leaf where a run arrives is remembered (`run_leaf`), and tried first as long as its fences admit the key.
//!
//! Invariant T5: a split changes the node, its new neighbour and their parent while node and parent are locked.

use super::super::arena::Arena;
use super::super::sync::{AtomicPtr, AtomicUsize, Ordering};
use super::entry::Entry;
use super::node::{CAPACITY, Fences, Node, node_at};
use super::order::KeyOrder;
use std::ptr;

/// A node and the version it is read under.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) node: &'a Node,
    pub(super) version: u64,
}

impl<'a> Seen<'a> {
    #[inline]
    pub(super) fn new(node: &'a Node) -> Seen<'a> {
        Seen { node, version: node.version.begin() }
    }

    /// Whether what was read of the node since is true.
    #[inline]
    pub(super) fn is_still(self) -> bool {
        self.node.version.is_still(self.version)
    }

    #[inline]
    fn lock(self) -> bool {
        self.node.version.lock(self.version)
    }

    #[inline]
    fn unlock(self) {
        self.node.version.unlock(self.version);
    }
}

/// A parent on the way down, and which child was chosen.
type Parent<'a> = Option<(Seen<'a>, usize)>;

/// What many threads change all the time, away from what they read.
#[repr(align(128))]
struct Apart<T>(T);

/// The tree; see the module's text.
pub(super) struct Tree<O> {
    /// Null before the first insert.
    root: AtomicPtr<Node>,
    run_leaf: AtomicPtr<Node>,
    pub(super) order: O,
    nodes: Arena,
    pub(super) entries: Arena,
    len: Apart<AtomicUsize>,
}

impl<O: KeyOrder> Tree<O> {
    pub(super) fn new(order: O) -> Tree<O> {
        Tree {
            root: AtomicPtr::new(ptr::null_mut()),
            run_leaf: AtomicPtr::new(ptr::null_mut()),
            order,
            nodes: Arena::new(),
            entries: Arena::new(),
            len: Apart(AtomicUsize::new(0)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.0.load(Ordering::Relaxed)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.used_bytes() + self.entries.used_bytes()
    }

    /// Bytes of memory taken from the system.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.nodes.allocated_bytes() + self.entries.allocated_bytes()
    }

    /// Where to start: the inner nodes' root, unless it was replaced at this moment; then none.
    #[inline]
    fn root(&self) -> Option<Seen<'_>> {
        let address = self.root.load(Ordering::Acquire);
        // SAFETY: null or a node of this tree.
        let root = Seen::new(unsafe { node_at(address) }?);
        // A root is replaced under its lock: if it is the root now, that changes the version.
        ptr::eq(self.root.load(Ordering::Acquire), address).then_some(root)
    }

    fn is_planted(&self) -> bool {
        !self.root.load(Ordering::Acquire).is_null()
    }

    /// The leaf that `choose` leads to; none if the tree is empty. `choose` gives the index of a child, or none to
    /// start
    /// over.
    #[inline]
    fn descend(&self, choose: impl Fn(&Node) -> Option<usize>) -> Option<Seen<'_>> {
        loop {
            if let Some(root) = self.root() {
                if let Some(leaf) = descend_from(root, &choose) {
                    return Some(leaf);
                }
            } else if !self.is_planted() {
                return None;
            }
        }
    }

    /// The leaf that `key` belongs into. If not `or_equal`, the leaf of keys right before `key`.
    #[inline]
    pub(super) fn leaf_of(&self, key: &[u8], or_equal: bool) -> Option<Seen<'_>> {
        self.descend(|node| node.rank(&self.order, key, or_equal))
    }

    pub(super) fn first_leaf(&self) -> Option<Seen<'_>> {
        self.descend(|_| Some(0))
    }

    pub(super) fn last_leaf(&self) -> Option<Seen<'_>> {
        self.descend(|node| Some(node.count()))
    }

    /// Adds an entry of this tree's arena.
    pub(super) fn insert(&self, entry: Entry<'_>) {
        if !self.insert_into_run(entry) {
            while !self.try_insert(entry) {}
        }
        self.len.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Tries the leaf where a run arrived lately.
    #[inline]
    fn insert_into_run(&self, entry: Entry<'_>) -> bool {
        // SAFETY: null or a node of this tree.
        let Some(leaf) = (unsafe { node_at(self.run_leaf.load(Ordering::Acquire)) }) else { return false };
        let leaf = Seen::new(leaf);
        let key = entry.internal_key();
        if leaf.node.is_full() || !leaf.node.covers(&self.order, key) {
            return false;
        }
        leaf.node.rank_of_new(&self.order, key).is_some_and(|index| self.put(leaf, index, entry))
    }

    /// Puts an entry into a leaf with room, if nothing changed there.
    #[inline]
    fn put(&self, leaf: Seen<'_>, index: usize, entry: Entry<'_>) -> bool {
        if !leaf.lock() {
            return false;
        }
        leaf.node.insert(&self.order, index, entry, None);
        leaf.unlock();
        true
    }

    /// Goes down and puts the entry in; false if it has to be tried again.
    fn try_insert(&self, entry: Entry<'_>) -> bool {
        let Some(mut seen) = self.root() else { return !self.is_planted() && self.plant(entry) };
        let key = entry.internal_key();
        let mut parent: Parent<'_> = None;
        while !seen.node.is_leaf() {
            let Some(index) = seen.node.rank(&self.order, key, true) else { return false };
            if seen.node.is_full() {
                self.split_inner(parent, seen, index);
                return false;
            }
            let Some(child) = step(seen, index) else { return false };
            parent = Some((seen, index));
            seen = child;
        }
        let Some(index) = seen.node.rank_of_new(&self.order, key) else { return false };
        if seen.node.is_full() {
            return self.split_leaf(parent, seen, index, entry);
        }
        let remember = seen.node.is_in_run(index);
        let done = self.put(seen, index, entry);
        if done && remember {
            self.remember_run(seen.node);
        }
        done
    }

    #[inline]
    fn remember_run(&self, leaf: &Node) {
        if !ptr::eq(self.run_leaf.load(Ordering::Relaxed), leaf) {
            self.run_leaf.store(leaf.address(), Ordering::Release);
        }
    }

    /// Makes the first leaf.
    #[cold]
    fn plant(&self, entry: Entry<'_>) -> bool {
        let fences = Fences { low: None, high: None, next: ptr::null_mut(), skip: 0 };
        let leaf = Node::create(&self.nodes, &self.order, true, fences);
        leaf.insert(&self.order, 0, entry, None);
        let planted =
            self.root.compare_exchange(ptr::null_mut(), leaf.address(), Ordering::Release, Ordering::Relaxed);
        planted.is_ok()
    }

    /// Splits a full leaf for `entry`, which belongs at `index`; true if that got it in.
    #[cold]
    fn split_leaf(&self, parent: Parent<'_>, leaf: Seen<'_>, index: usize, entry: Entry<'_>) -> bool {
        let node = leaf.node;
        let is_run = node.is_in_run(index);
        if index == CAPACITY && (is_run || node.high().is_none()) {
            let Some(right) = self.split(parent, leaf, CAPACITY, entry) else { return false };
            self.remember_run(right);
            return true;
        }
        let cut = if is_run { index.clamp(1, CAPACITY - 1) } else { CAPACITY / 2 };
        if let Some(first) = node.entry(cut) {
            self.split(parent, leaf, cut, first);
        }
        false
    }

    /// Splits a full inner node that a key goes through at `index`.
    #[cold]
    fn split_inner(&self, parent: Parent<'_>, inner: Seen<'_>, index: usize) {
        // Those at the right end grow there.
        let cut = if index == CAPACITY { CAPACITY - 1 } else { CAPACITY / 2 };
        if let Some(separator) = inner.node.entry(cut) {
            self.split(parent, inner, cut, separator);
        }
    }

    /// Cuts a full node: `cut` entries stay, the right node starts at `separator`, which is the entry at `cut`, or,
    /// where
    /// all entries stay, a new one that the right node then holds. None, and nothing done, if something changed.
    fn split<'a>(
        &'a self,
        parent: Parent<'_>,
        seen: Seen<'_>,
        cut: usize,
        separator: Entry<'a>,
    ) -> Option<&'a Node> {
        let Seen { node, version } = seen;
        // Inner nodes give the separator away.
        let moved = cut + usize::from(!node.is_leaf())..CAPACITY;
        // The order may be the caller's code: it is not called under locks.
        let skip_left = node.skip_for(&self.order, 0..cut, node.low(), Some(separator));
        let skip_right = node.skip_for(&self.order, moved.clone(), Some(separator), node.high());
        if let Some((parent, _)) = parent
            && !parent.lock()
        {
            return None;
        }
        if !seen.lock() {
            if let Some((parent, _)) = parent {
                parent.node.version.unlock_unchanged(parent.version);
            }
            return None;
        }
        let next = node.next().map_or(ptr::null_mut(), Node::address);
        // SAFETY: the entry belongs to this tree, whose arena lives as long as the tree is borrowed.
        let high = node.high().and_then(|high| unsafe { Entry::at(high.address()) });
        let fences = Fences { low: Some(separator), high, next, skip: skip_right };
        let right = Node::create(&self.nodes, &self.order, node.is_leaf(), fences);
        if cut == CAPACITY {
            right.insert(&self.order, 0, separator, None);
        } else {
            right.copy_from(&self.order, node, moved);
        }
        node.cut(&self.order, cut, separator, right, skip_left);
        match parent {
            Some((parent, index)) => {
                parent.node.insert(&self.order, index, separator, Some(right));
                node.version.unlock(version);
                parent.unlock();
            }
            None => {
                self.grow(node, separator, right);
                node.version.unlock(version);
            }
        }
        Some(right)
    }

    /// Puts a new root above the old one, which is locked, and its new neighbour.
    fn grow(&self, left: &Node, separator: Entry<'_>, right: &Node) {
        let fences = Fences { low: None, high: None, next: ptr::null_mut(), skip: 0 };
        let root = Node::create(&self.nodes, &self.order, false, fences);
        root.set_first_child(left);
        root.insert(&self.order, 0, separator, Some(right));
        debug_assert!(ptr::eq(self.root.load(Ordering::Relaxed), left));
        self.root.store(root.address(), Ordering::Release);
    }
}

/// Goes down from `seen`; none if something changed.
#[inline]
fn descend_from<'a>(mut seen: Seen<'a>, choose: &impl Fn(&Node) -> Option<usize>) -> Option<Seen<'a>> {
    while !seen.node.is_leaf() {
        seen = step(seen, choose(seen.node)?)?;
    }
    Some(seen)
}

/// The child at `index`, if that is true; none if something changed.
#[inline]
fn step(seen: Seen<'_>, index: usize) -> Option<Seen<'_>> {
    let child = seen.node.child(index)?;
    child.prefetch();
    let child = Seen::new(child);
    seen.is_still().then_some(child)
}
