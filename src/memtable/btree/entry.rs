//! Entries: key_len:u32 | value_len:u32 | internal key | value, in the arena, not aligned, in the byte order of the
//! machine. The internal key and the value lie together, so iterators lend them as they are.
//!
//! Invariant T2: an entry's bytes are written before a node points to it and never change after.

use super::super::arena::Arena;
use super::super::prefetch;
use crate::base::key::{EntryKind, TRAILER_LEN};
use std::marker::PhantomData;
use std::ptr::NonNull;

const LENGTH: usize = size_of::<u32>();
const HEADER: usize = 2 * LENGTH;

/// An entry of a memtable that lives for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    start: NonNull<u8>,
    memtable: PhantomData<&'a u8>,
}

// SAFETY: the bytes are never written again (T2), so any thread may read them.
unsafe impl Send for Entry<'_> {}

impl<'a> Entry<'a> {
    /// Copies an entry into the arena.
    #[inline]
    pub(super) fn write(arena: &'a Arena, user_key: &[u8], trailer: u64, value: &[u8]) -> Entry<'a> {
        let key_len = user_key.len() + TRAILER_LEN;
        let lengths = (length(key_len), length(value.len()));
        let start = arena.allocate(HEADER + key_len + value.len());
        // SAFETY: the piece has room for the lengths, user key, trailer and value in this order, nobody else has it,
        // and the arguments are not in it.
        unsafe {
            start.cast::<u32>().write_unaligned(lengths.0);
            start.add(LENGTH).cast::<u32>().write_unaligned(lengths.1);
            let bytes = start.add(HEADER).as_ptr();
            bytes.copy_from_nonoverlapping(user_key.as_ptr(), user_key.len());
            let packed = trailer.to_le_bytes();
            bytes.add(user_key.len()).copy_from_nonoverlapping(packed.as_ptr(), TRAILER_LEN);
            bytes.add(key_len).copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        Entry { start, memtable: PhantomData }
    }

    /// The entry at an address that `address` gave; none for null.
    ///
    /// # Safety
    /// The entry's memtable lives for `'a`.
    #[inline]
    pub(super) unsafe fn at(address: *mut u8) -> Option<Entry<'a>> {
        Some(Entry { start: NonNull::new(address)?, memtable: PhantomData })
    }

    #[inline]
    pub(super) fn address(self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn lengths(self) -> (usize, usize) {
        // SAFETY: `write` put two lengths there.
        let (key, value) = unsafe {
            (self.start.cast::<u32>().read_unaligned(), self.start.add(LENGTH).cast::<u32>().read_unaligned())
        };
        (key as usize, value as usize)
    }

    #[inline]
    pub(super) fn internal_key(self) -> &'a [u8] {
        // SAFETY: `write` put so many bytes there, which never change (T2) and live for 'a.
        unsafe { std::slice::from_raw_parts(self.start.add(HEADER).as_ptr(), self.lengths().0) }
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        let (key_len, value_len) = self.lengths();
        // SAFETY: as above; the value follows the internal key.
        unsafe { std::slice::from_raw_parts(self.start.add(HEADER + key_len).as_ptr(), value_len) }
    }

    /// Asks for the cache line where the entry starts.
    #[inline]
    pub(super) fn prefetch(self) {
        prefetch(self.start.as_ptr());
    }
}

/// The kind in a trailer that `insert` packed.
#[inline]
pub(super) fn kind(trailer: u64) -> EntryKind {
    EntryKind::from_tag(trailer as u8).expect("insert wrote the kind")
}

/// Lengths are checked where writes enter the engine: keys and values are shorter than 4 GiB.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values are shorter than 4 GiB")
}
