//! Links between nodes and entries: a pointer and, in its low bits, what is at the other end.
//!
//! | bits | |
//! |---|---|
//! | 0..3 | 0 an entry (or null), 1 to 4 a node of 4, 16, 48, 256 children |
//! | 3 | of a node: it branches at the byte right after its parent's, so nobody need look at its header to go on |

use super::entry::Entry;
use super::node::{Header, Node4, Node16, Node48, Node256};
use super::sync::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::ptr;

const KIND: usize = 7;
const DIRECT: usize = 8;
const TAGS: usize = KIND | DIRECT;

/// The number of a kind of node in links.
pub(super) mod kind {
    pub(crate) const NODE4: usize = 1;
    pub(crate) const NODE16: usize = 2;
    pub(crate) const NODE48: usize = 3;
    pub(crate) const NODE256: usize = 4;
}

/// Null, or a link to something that lives as long as the memtable, borrowed for `'a`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link<'a> {
    tagged: *mut u8,
    memtable: PhantomData<&'a Header>,
}

/// What a link leads to.
pub(super) enum Target<'a> {
    /// Null, or an entry.
    NoNode,
    Node4(&'a Node4),
    Node16(&'a Node16),
    Node48(&'a Node48),
    Node256(&'a Node256),
}

impl<'a> Link<'a> {
    pub(super) const NULL: Link<'static> = Link { tagged: ptr::null_mut(), memtable: PhantomData };

    #[inline]
    pub(super) fn to_entry(entry: Entry<'a>) -> Link<'a> {
        Link { tagged: entry.address(), memtable: PhantomData }
    }

    /// A link to a node of a kind in `kind`.
    #[inline]
    pub(super) fn to_node<T>(node: &'a T, kind: usize) -> Link<'a> {
        let tagged = ptr::from_ref(node).cast_mut().cast::<u8>().map_addr(|address| address | kind);
        Link { tagged, memtable: PhantomData }
    }

    /// The same link, with the mark that says whether the node branches right after its parent.
    #[inline]
    pub(super) fn with_direct(self, direct: bool) -> Link<'a> {
        let mark = if direct { DIRECT } else { 0 };
        Link { tagged: self.tagged.map_addr(|address| address & !DIRECT | mark), memtable: PhantomData }
    }

    #[inline]
    pub(super) fn is_null(self) -> bool {
        self.tagged.is_null()
    }

    /// Of a node: whether it branches right after its parent.
    #[inline]
    pub(super) fn is_direct(self) -> bool {
        self.tagged.addr() & DIRECT != 0
    }

    #[inline]
    pub(super) fn is_node(self) -> bool {
        self.tagged.addr() & KIND != 0
    }

    #[inline]
    pub(super) fn is_node256(self) -> bool {
        self.tagged.addr() & KIND == kind::NODE256
    }

    /// The entry; the link must be one to an entry, and not null.
    #[inline]
    pub(super) fn entry(self) -> Option<Entry<'a>> {
        debug_assert!(!self.is_node());
        // SAFETY: made by `to_entry`, or null; the memtable lives for 'a.
        unsafe { Entry::at(self.tagged) }
    }

    /// The untagged address of a node.
    #[inline]
    fn node(self) -> *mut u8 {
        self.tagged.map_addr(|address| address & !TAGS)
    }

    /// The header of a node; the link must be one to a node.
    #[inline]
    pub(super) fn header(self) -> &'a Header {
        debug_assert!(self.is_node());
        // SAFETY: every kind of node starts with a header, and lives as long as the memtable.
        unsafe { &*self.node().cast() }
    }

    #[inline]
    pub(super) fn target(self) -> Target<'a> {
        let node = self.node();
        // SAFETY: `to_node` was given a reference of the type that the tag names; nodes live as long as the memtable.
        unsafe {
            match self.tagged.addr() & KIND {
                kind::NODE4 => Target::Node4(&*node.cast()),
                kind::NODE16 => Target::Node16(&*node.cast()),
                kind::NODE48 => Target::Node48(&*node.cast()),
                kind::NODE256 => Target::Node256(&*node.cast()),
                _ => Target::NoNode,
            }
        }
    }

    /// Brings what a reader of an entry needs into the cache: header, key and the start of the value.
    #[inline]
    pub(super) fn prefetch(self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.node().cast_const().cast::<i8>();
            // SAFETY: a prefetch is a hint and reads nothing, whatever the address.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start);
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64));
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(128));
            }
        }
    }
}

/// A place in a node (or the root) that holds a link. Zero bytes are an empty one.
#[repr(transparent)]
pub(super) struct Slot(AtomicPtr<u8>);

impl Slot {
    pub(super) const fn empty() -> Slot {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// Invariant R1: whoever loads a link sees everything written to what it leads to before it was stored.
    #[inline]
    pub(super) fn load(&self) -> Link<'_> {
        Link { tagged: self.0.load(Ordering::Acquire), memtable: PhantomData }
    }

    /// What is linked must live as long as the slot: both are the memtable's.
    #[inline]
    pub(super) fn store(&self, link: Link<'_>) {
        self.0.store(link.tagged, Ordering::Release);
    }

    /// Stores `new` if the slot holds `expected`.
    #[inline]
    pub(super) fn exchange(&self, expected: Link<'_>, new: Link<'_>) -> bool {
        self.0.compare_exchange(expected.tagged, new.tagged, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}
