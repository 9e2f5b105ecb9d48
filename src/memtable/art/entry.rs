//! Entries, and the chain of versions that one user key has.
//!
//! entry := [jump:ptr | depth:u32 | padding:u32] next:ptr | key_len:u32 | value_len:u32 | internal key | value
//! An entry's address is that of `next`. The bracketed part is there when the key had versions already; the top bit
//! of value_len tells. The internal key and the value lie together, so iterators lend them as they are.
//!
//! A chain goes from the newest version to the oldest by `next`. Jump pointers follow the skew-binary rule: an entry
//! on top of `n` jumps where `n`'s jump jumps if the last two jumps were equally far, else to `n`. So a search in a
//! chain of n versions that came in order takes O(log n) steps; versions that came out of order sit between, and
//! cost a step each when a search ends among them.
//!
//! Invariant R2: bytes, lengths and jump of an entry do not change once it is linked; `next` changes only to let a
//! version in between, so from any entry all older ones are reached for ever.

use super::link::Link;
use super::sync::{AtomicPtr, AtomicU32, Ordering};
use crate::base::key::{EntryKind, TRAILER_LEN};
use crate::memtable::arena::Arena;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// What stands before the bytes of an entry.
#[repr(C)]
struct Header {
    next: AtomicPtr<Header>,
    key_len: u32,
    /// With `HAS_JUMP`.
    value_len: u32,
}

/// What stands before the header of an entry whose key had versions already.
#[repr(C)]
struct Jump {
    target: AtomicPtr<Header>,
    /// Versions below it when it was linked.
    depth: AtomicU32,
}

const HEADER: usize = size_of::<Header>();
const JUMP: usize = size_of::<Jump>();
const HAS_JUMP: u32 = 1 << 31;
/// Entries start at multiples of it.
const ALIGNMENT: usize = align_of::<Header>();
const _: () = assert!(HEADER == 16 && JUMP == 16 && ALIGNMENT == 8);

/// An entry in the arena, which lives as long as the memtable.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    header: NonNull<Header>,
    memtable: PhantomData<&'a Header>,
}

impl<'a> Entry<'a> {
    /// Copies an entry into the arena, linked to nothing. `versioned` makes room for a jump.
    #[inline]
    pub(super) fn write(
        arena: &'a Arena,
        user_key: &[u8],
        trailer: u64,
        value: &[u8],
        versioned: bool,
    ) -> Entry<'a> {
        let key_len = user_key.len() + TRAILER_LEN;
        let lengths = (length(key_len), length(value.len()) | if versioned { HAS_JUMP } else { 0 });
        let before = if versioned { JUMP } else { 0 };
        let size = (before + HEADER + key_len + value.len()).next_multiple_of(ALIGNMENT);
        let piece = arena.allocate(size).as_ptr();
        // SAFETY: the piece has room for jump, header, user key, trailer and value in this order, is aligned since
        // this arena gives out nothing but multiples of ALIGNMENT, nobody else has it, and the arguments are not
        // in it.
        unsafe {
            if versioned {
                let jump = Jump { target: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) };
                piece.cast::<Jump>().write(jump);
            }
            let header = piece.add(before).cast::<Header>();
            let next = AtomicPtr::new(ptr::null_mut());
            header.write(Header { next, key_len: lengths.0, value_len: lengths.1 });
            let bytes = header.add(1).cast::<u8>();
            bytes.copy_from_nonoverlapping(user_key.as_ptr(), user_key.len());
            let packed = trailer.to_le_bytes();
            bytes.add(user_key.len()).copy_from_nonoverlapping(packed.as_ptr(), TRAILER_LEN);
            bytes.add(key_len).copy_from_nonoverlapping(value.as_ptr(), value.len());
            Entry { header: NonNull::new_unchecked(header), memtable: PhantomData }
        }
    }

    /// The entry at an address that `address` gave.
    ///
    /// # Safety
    /// The entry's memtable lives for `'a`.
    #[inline]
    pub(super) unsafe fn at(address: *mut u8) -> Option<Entry<'a>> {
        Some(Entry { header: NonNull::new(address.cast())?, memtable: PhantomData })
    }

    /// Where it is: a multiple of eight.
    #[inline]
    pub(super) fn address(self) -> *mut u8 {
        self.header.as_ptr().cast()
    }

    #[inline]
    pub(super) fn link(self) -> Link<'a> {
        Link::to_entry(self)
    }

    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: `write` put a header there, and the arena lives for 'a.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    fn bytes(self) -> *const u8 {
        // SAFETY: the bytes follow the header in the same piece.
        unsafe { self.header.as_ptr().add(1).cast::<u8>().cast_const() }
    }

    #[inline]
    pub(super) fn internal_key(self) -> &'a [u8] {
        // SAFETY: `write` put key_len bytes there, which never change (R2).
        unsafe { std::slice::from_raw_parts(self.bytes(), self.header().key_len as usize) }
    }

    #[inline]
    pub(super) fn user_key(self) -> &'a [u8] {
        // SAFETY: as above; key_len counts the trailer.
        unsafe { std::slice::from_raw_parts(self.bytes(), self.header().key_len as usize - TRAILER_LEN) }
    }

    #[inline]
    pub(super) fn value(self) -> &'a [u8] {
        let header = self.header();
        // SAFETY: the value follows the internal key.
        unsafe {
            let start = self.bytes().add(header.key_len as usize);
            std::slice::from_raw_parts(start, (header.value_len & !HAS_JUMP) as usize)
        }
    }

    /// sequence << 8 | kind: what the versions of a key are ordered by, the largest first.
    #[inline]
    pub(super) fn trailer(self) -> u64 {
        // SAFETY: the trailer is the end of the internal key.
        let packed = unsafe { self.bytes().add(self.header().key_len as usize - TRAILER_LEN) };
        // SAFETY: as above; eight bytes, not aligned.
        u64::from_le(unsafe { packed.cast::<u64>().read_unaligned() })
    }

    #[inline]
    pub(super) fn kind(self) -> EntryKind {
        EntryKind::from_tag(self.trailer() as u8).expect("insert wrote the kind")
    }

    /// The next older version.
    #[inline]
    pub(super) fn next(self) -> Option<Entry<'a>> {
        // SAFETY: null or an entry of the same memtable.
        unsafe { Entry::at(self.header().next.load(Ordering::Acquire).cast()) }
    }

    #[inline]
    fn jump_part(self) -> Option<&'a Jump> {
        if self.header().value_len & HAS_JUMP == 0 {
            return None;
        }
        // SAFETY: the flag says that `write` put a jump right before the header.
        Some(unsafe { &*self.header.as_ptr().cast::<Jump>().sub(1) })
    }

    /// Some older version, far enough away that log n jumps and steps reach any.
    #[inline]
    fn jump(self) -> Option<Entry<'a>> {
        // Relaxed: written before the entry was linked, which `next` or the slot published.
        // SAFETY: null or an entry of the same memtable.
        unsafe { Entry::at(self.jump_part()?.target.load(Ordering::Relaxed).cast()) }
    }

    fn depth(self) -> u32 {
        self.jump_part().map_or(0, |jump| jump.depth.load(Ordering::Relaxed))
    }

    /// The newest of the versions from here on that is not `passed`, and the steps it took; versions newer than a
    /// passed one are passed.
    pub(super) fn search(self, passed: impl Fn(Entry<'a>) -> bool) -> (Option<Entry<'a>>, usize) {
        let (mut entry, mut steps) = (self, 0);
        while passed(entry) {
            steps += 1;
            entry = match (entry.jump(), entry.next()) {
                (Some(far), _) if passed(far) => far,
                (_, Some(next)) => next,
                (_, None) => return (None, steps),
            };
        }
        (Some(entry), steps)
    }

    /// Puts `older` below this entry, which must not be linked yet.
    pub(super) fn stand_on(self, older: Option<Entry<'a>>) {
        let below = older.map_or(ptr::null_mut(), |older| older.header.as_ptr());
        self.header().next.store(below, Ordering::Relaxed);
        let (Some(jump), Some(older)) = (self.jump_part(), older) else { return };
        let middle = older.jump().unwrap_or(older);
        let far = middle.jump().unwrap_or(middle);
        let equally_far = older.depth() - middle.depth() == middle.depth() - far.depth();
        let target = if equally_far { far } else { older };
        jump.target.store(target.header.as_ptr(), Ordering::Relaxed);
        jump.depth.store(older.depth().saturating_add(1), Ordering::Relaxed);
    }
}

/// Lengths are checked where writes enter the engine: key and value together are shorter than 2 GiB.
fn length(len: usize) -> u32 {
    u32::try_from(len).ok().filter(|len| len & HAS_JUMP == 0).expect("keys and values are shorter than 2 GiB")
}

/// The newest version whose trailer is at most `bound`, in the chain that starts with `head`.
#[inline]
pub(super) fn at_or_before<'a>(head: Entry<'a>, bound: u64) -> Option<Entry<'a>> {
    if head.trailer() <= bound {
        return Some(head);
    }
    head.search(|entry| entry.trailer() > bound).0
}

/// The oldest version whose trailer is above `bound`.
pub(super) fn last_after<'a>(head: Entry<'a>, bound: u64) -> Option<Entry<'a>> {
    let mut entry = Some(head).filter(|head| head.trailer() > bound)?;
    loop {
        let after = |candidate: &Entry<'a>| candidate.trailer() > bound;
        match entry.jump().filter(after).or_else(|| entry.next().filter(after)) {
            Some(older) => entry = older,
            None => return Some(entry),
        }
    }
}

/// The oldest version.
#[inline]
pub(super) fn oldest<'a>(head: Entry<'a>) -> Entry<'a> {
    let mut entry = head;
    while let Some(older) = entry.jump().or_else(|| entry.next()) {
        entry = older;
    }
    entry
}

/// Links `entry` into the chain below `head`, which is newer.
pub(super) fn insert_below<'a>(head: Entry<'a>, entry: Entry<'a>) {
    let trailer = entry.trailer();
    let mut above = last_after(head, trailer).expect("the head is newer");
    loop {
        let below = above.next();
        match below {
            // Another thread was quicker.
            Some(newer) if newer.trailer() > trailer => above = newer,
            _ => {
                debug_assert!(
                    below.is_none_or(|b| b.trailer() != trailer),
                    "an internal key was added twice"
                );
                entry.stand_on(below);
                let expected = below.map_or(ptr::null_mut(), |below| below.header.as_ptr());
                let next = &above.header().next;
                // Release: whoever follows the pointer sees the entry's bytes.
                let linked = next.compare_exchange(
                    expected,
                    entry.header.as_ptr(),
                    Ordering::Release,
                    Ordering::Relaxed,
                );
                if linked.is_ok() {
                    return;
                }
            }
        }
    }
}
