//! Nodes: a version, fences, and arrays of codes and entries in order. Inner nodes have one child more than entries:
//! child i holds the keys from entry i - 1 to before entry i.
//!
//! The codes of a node lie in a row, so a search reads a few cache lines, which it asks for at once, and at most looks
//! at the few entries whose codes are equal to the code it looks for.
//!
//! Every field that changes is an atomic, changed under the lock (T1). What a reader makes of them before it asks the
//! version may be nonsense, but pointers are null or good for as long as the memtable lives.
//!
//! Invariant T4: a node's keys are from `low` (inclusive) to before `high`; `low` never changes, `high` only comes
//! closer, and what leaves goes to the node right of it. A leaf is never empty.

use super::super::arena::Arena;
use super::super::prefetch;
use super::super::sync::{AtomicPtr, AtomicU16, AtomicU64, Ordering, SMALL_NODES};
use super::entry::Entry;
use super::order::{KeyOrder, ONE_KEY};
use super::version::Version;
use std::array;
use std::ops::Range;
use std::ptr::{self, NonNull};

/// Entries in a node.
pub(super) const CAPACITY: usize = if SMALL_NODES { 4 } else { 64 };
/// So many inserts in a row beside each other are a run: more will come there.
const RUN: u16 = if SMALL_NODES { 2 } else { 8 };
/// Bytes asked for at once; the size of a node is a multiple of it.
const CACHE_LINE: usize = 64;
/// Codes in a cache line.
const CODES_IN_LINE: usize = 8;

type Children = [AtomicPtr<Node>; CAPACITY + 1];

/// A node; the first cache line tells the rest.
#[repr(C, align(64))]
pub(super) struct Node {
    pub(super) version: Version,
    count: AtomicU16,
    /// Of the codes; see `order`.
    skip: AtomicU16,
    /// Where the last insert went, and how many before it went beside each other.
    last: AtomicU16,
    run: AtomicU16,
    /// Null in leaves.
    children: *const Children,
    /// Null: no limit.
    low: *mut u8,
    high: AtomicPtr<u8>,
    /// The leaf right of a leaf.
    next: AtomicPtr<Node>,
    /// Codes of `low` and `high` without `skip`.
    low_code: u64,
    high_code: AtomicU64,
    codes: [AtomicU64; CAPACITY],
    entries: [AtomicPtr<u8>; CAPACITY],
}

const _: () = assert!(align_of::<Node>() == CACHE_LINE && size_of::<Node>().is_multiple_of(CACHE_LINE));

// SAFETY: what is no atomic does not change after the node was made; entries and nodes may be used by any thread.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

/// What a new node starts with.
pub(super) struct Fences<'a> {
    pub(super) low: Option<Entry<'a>>,
    pub(super) high: Option<Entry<'a>>,
    pub(super) next: *mut Node,
    pub(super) skip: u16,
}

/// Looks up what a pointer points to; null is none.
///
/// # Safety
/// The pointer is null or from `Node::address` of a node whose memtable lives for `'a`.
#[inline]
pub(super) unsafe fn node_at<'a>(address: *mut Node) -> Option<&'a Node> {
    // SAFETY: demanded of the caller; nodes change through atomics only.
    unsafe { address.as_ref() }
}

impl Node {
    /// An empty node that nobody else sees yet.
    pub(super) fn create<'a>(
        arena: &'a Arena,
        order: &impl KeyOrder,
        is_leaf: bool,
        fences: Fences<'a>,
    ) -> &'a Node {
        let code = |fence: Option<Entry<'a>>| fence.map_or(0, |entry| order.code(entry.internal_key(), 0));
        let address = |fence: Option<Entry<'a>>| fence.map_or(ptr::null_mut(), Entry::address);
        let children = if is_leaf {
            ptr::null()
        } else {
            let none = array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
            place::<Children>(arena, none).as_ptr().cast_const()
        };
        let node = place(
            arena,
            Node {
                version: Version::new(),
                count: AtomicU16::new(0),
                skip: AtomicU16::new(fences.skip),
                last: AtomicU16::new(0),
                run: AtomicU16::new(0),
                children,
                low: address(fences.low),
                high: AtomicPtr::new(address(fences.high)),
                next: AtomicPtr::new(fences.next),
                low_code: code(fences.low),
                high_code: AtomicU64::new(code(fences.high)),
                codes: array::from_fn(|_| AtomicU64::new(0)),
                entries: array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            },
        );
        // SAFETY: just written; lives as long as the arena.
        unsafe { node.as_ref() }
    }

    #[inline]
    pub(super) fn address(&self) -> *mut Node {
        ptr::from_ref(self).cast_mut()
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.count() == CAPACITY
    }

    #[inline]
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_null()
    }

    #[inline]
    pub(super) fn low(&self) -> Option<Entry<'_>> {
        // SAFETY: null or an entry of this memtable, which outlives its nodes' borrows.
        unsafe { Entry::at(self.low) }
    }

    #[inline]
    pub(super) fn high(&self) -> Option<Entry<'_>> {
        // SAFETY: as above.
        unsafe { Entry::at(self.high.load(Ordering::Acquire)) }
    }

    #[inline]
    pub(super) fn next(&self) -> Option<&Node> {
        // SAFETY: null or a node of this memtable.
        unsafe { node_at(self.next.load(Ordering::Acquire)) }
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        // SAFETY: null or an entry of this memtable.
        unsafe { Entry::at(self.entries.get(index)?.load(Ordering::Acquire)) }
    }

    /// The child at `index` of an inner node.
    #[inline]
    pub(super) fn child(&self, index: usize) -> Option<&Node> {
        // SAFETY: null or a node of this memtable.
        unsafe { node_at(self.children().get(index)?.load(Ordering::Acquire)) }
    }

    #[inline]
    fn children(&self) -> &Children {
        debug_assert!(!self.is_leaf());
        // SAFETY: only called for inner nodes, which were made with children.
        unsafe { &*self.children }
    }

    #[inline]
    fn code(&self, index: usize) -> u64 {
        debug_assert!(index < CAPACITY);
        // SAFETY: callers stay below a count, and no count exceeds CAPACITY: `insert` checks.
        unsafe { self.codes.get_unchecked(index) }.load(Ordering::Relaxed)
    }

    /// Asks for all cache lines of the codes at once.
    #[inline]
    pub(super) fn prefetch(&self) {
        for line in self.codes.chunks(CODES_IN_LINE) {
            prefetch(line.as_ptr().cast());
        }
    }

    /// Whether `key` belongs into this leaf. Mostly decided without a look at the fences.
    #[inline]
    pub(super) fn covers(&self, order: &impl KeyOrder, key: &[u8]) -> bool {
        let code = order.code(key, 0);
        let from_low = self.low().is_none_or(|low| {
            code > self.low_code || code == self.low_code && order.compare(low.internal_key(), key, 0).is_le()
        });
        from_low
            && self.high().is_none_or(|high| {
                let limit = self.high_code.load(Ordering::Relaxed);
                code < limit || code == limit && order.compare(key, high.internal_key(), 0).is_lt()
            })
    }

    /// How many entries are before `key`, or with `or_equal` not after it. None if the node changes meanwhile.
    #[inline]
    pub(super) fn rank(&self, order: &impl KeyOrder, key: &[u8], or_equal: bool) -> Option<usize> {
        let (count, skip) = (self.count(), self.skip.load(Ordering::Relaxed));
        let code = order.code(key, skip);
        let first = self.codes_before(0, count, |other| other < code);
        if first == count || self.code(first) != code {
            return Some(first);
        }
        let after = self.codes_before(first, count, |other| other <= code);
        if skip == ONE_KEY {
            return Some(if or_equal { after } else { first });
        }
        // In byte order mostly one entry; in a custom order all.
        let (mut from, mut to) = (first, after);
        while from < to {
            let middle = from.midpoint(to);
            let compared = order.compare(self.entry(middle)?.internal_key(), key, skip);
            if compared.is_lt() || or_equal && compared.is_eq() { from = middle + 1 } else { to = middle }
        }
        Some(from)
    }

    /// The first index from `from` to `count` whose code is not `before`; steps without branches.
    #[inline]
    fn codes_before(&self, from: usize, count: usize, before: impl Fn(u64) -> bool) -> usize {
        let (mut base, mut size) = (from, count.saturating_sub(from));
        while size > 1 {
            let half = size / 2;
            base += if before(self.code(base + half - 1)) { half } else { 0 };
            size -= half;
        }
        base + usize::from(size == 1 && before(self.code(base)))
    }

    /// As `rank`, quicker for keys after the last one. For keys that are not in the node.
    #[inline]
    pub(super) fn rank_of_new(&self, order: &impl KeyOrder, key: &[u8]) -> Option<usize> {
        let (count, skip) = (self.count(), self.skip.load(Ordering::Relaxed));
        if let Some(last) = count.checked_sub(1) {
            let (code, last_code) = (order.code(key, skip), self.code(last));
            if code > last_code
                || code == last_code && order.compare(self.entry(last)?.internal_key(), key, skip).is_lt()
            {
                return Some(count);
            }
        }
        self.rank(order, key, false)
    }

    /// Whether what comes to `index` is likely to be followed by more beside it: where to cut the full node.
    pub(super) fn is_in_run(&self, index: usize) -> bool {
        self.run.load(Ordering::Relaxed) >= RUN && self.is_beside_last(index)
    }

    #[inline]
    fn is_beside_last(&self, index: usize) -> bool {
        let last = self.last.load(Ordering::Relaxed) as usize;
        index == last || index == last + 1
    }

    /// Adds an entry, with the child right of it in inner nodes. Only under the lock or before others see the node.
    #[inline]
    pub(super) fn insert(&self, order: &impl KeyOrder, index: usize, entry: Entry<'_>, child: Option<&Node>) {
        let (count, skip) = (self.count(), self.skip.load(Ordering::Relaxed));
        assert!(index <= count && count < CAPACITY, "{index} of {count}");
        shift(&self.codes[index..=count], |to, from| {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        });
        self.codes[index].store(order.code(entry.internal_key(), skip), Ordering::Relaxed);
        // Release: whoever follows a pointer sees what it points to.
        shift(&self.entries[index..=count], |to, from| {
            to.store(from.load(Ordering::Relaxed), Ordering::Release);
        });
        self.entries[index].store(entry.address(), Ordering::Release);
        if let Some(child) = child {
            shift(&self.children()[index + 1..=count + 1], |to, from| {
                to.store(from.load(Ordering::Relaxed), Ordering::Release);
            });
            self.children()[index + 1].store(child.address(), Ordering::Release);
        }
        let run =
            if self.is_beside_last(index) { self.run.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.run.store(run, Ordering::Relaxed);
        self.last.store(index as u16, Ordering::Relaxed);
        self.count.store(count as u16 + 1, Ordering::Relaxed);
    }

    /// Sets the leftmost child of a new inner node.
    pub(super) fn set_first_child(&self, child: &Node) {
        self.children()[0].store(child.address(), Ordering::Release);
    }

    /// Copies the entries of `range` of another node, which is locked, and in inner nodes the children around them, to
    /// this new node.
    pub(super) fn copy_from(&self, order: &impl KeyOrder, other: &Node, range: Range<usize>) {
        let skip = self.skip.load(Ordering::Relaxed);
        let same_codes = skip == other.skip.load(Ordering::Relaxed);
        for (to, from) in range.clone().enumerate() {
            let entry = other.entry(from).expect("below the count of a locked node");
            let code = if same_codes { other.code(from) } else { order.code(entry.internal_key(), skip) };
            self.codes[to].store(code, Ordering::Relaxed);
            self.entries[to].store(entry.address(), Ordering::Release);
        }
        if !self.is_leaf() {
            for (to, from) in (range.start..=range.end).enumerate() {
                let child = other.children()[from].load(Ordering::Relaxed);
                self.children()[to].store(child, Ordering::Release);
            }
        }
        self.count.store(range.len() as u16, Ordering::Relaxed);
    }

    /// Keeps the first `count` entries and ends before `high`, where `next` starts. Only under the lock.
    pub(super) fn cut(&self, order: &impl KeyOrder, count: usize, high: Entry<'_>, next: &Node, skip: u16) {
        self.count.store(count as u16, Ordering::Relaxed);
        self.high.store(high.address(), Ordering::Release);
        self.high_code.store(order.code(high.internal_key(), 0), Ordering::Relaxed);
        if self.is_leaf() {
            self.next.store(next.address(), Ordering::Release);
        }
        if skip != self.skip.load(Ordering::Relaxed) {
            self.skip.store(skip, Ordering::Relaxed);
            for index in 0..count {
                let entry = self.entry(index).expect("below the count of a locked node");
                self.codes[index].store(order.code(entry.internal_key(), skip), Ordering::Relaxed);
            }
        }
    }

    /// The `skip` for a part of this node: another one only if it tells more keys apart, since it costs a look at
    /// each of them.
    pub(super) fn skip_for(
        &self,
        order: &impl KeyOrder,
        range: Range<usize>,
        low: Option<Entry<'_>>,
        high: Option<Entry<'_>>,
    ) -> u16 {
        let skip = self.skip.load(Ordering::Relaxed);
        let (Some(low), Some(high)) = (low, high) else { return skip };
        let pairs = range.len().saturating_sub(1);
        let alike = (range.start..range.start + pairs).filter(|&i| self.code(i) == self.code(i + 1)).count();
        if alike * 4 <= pairs && pairs > 1 {
            return skip;
        }
        order.skip(low.internal_key(), high.internal_key()).max(skip)
    }
}

/// Moves each but the last one on, last first.
#[inline]
fn shift<T>(places: &[T], copy: impl Fn(&T, &T)) {
    for index in (1..places.len()).rev() {
        copy(&places[index], &places[index - 1]);
    }
}

/// Moves a value to the arena, where it is never dropped.
fn place<T>(arena: &Arena, value: T) -> NonNull<T> {
    const { assert!(align_of::<T>() <= CACHE_LINE) };
    let piece = arena.allocate(size_of::<T>().next_multiple_of(CACHE_LINE)).cast::<T>();
    // SAFETY: the piece is large enough, nobody else has it, and all lengths asked of this arena are multiples of the
    // cache line, and so then are the addresses (A3).
    unsafe { piece.write(value) };
    piece
}
