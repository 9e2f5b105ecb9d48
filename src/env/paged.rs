//! Lists of plain values that may become long and then go: what is known of each entry of a table being built, where
//! each copied value went.
//!
//! The C library's allocator answers the first large blocks with mappings of their own. When one is freed it takes
//! blocks of that size from its arenas from then on, one arena for a few threads, and does not give the system back
//! twice as much of each: with blocks of tens of MiB, made by one thread after the other, that becomes most of a
//! process's memory. A list here is a vector up to `MAPPED_FROM` bytes, and from there on a mapping, which grows
//! without a copy, counts only as far as it was written, and is gone when the list is.
//!
//! Invariant P1: `start` is valid for `capacity` values, of which the first `len` are initialised.

use std::alloc::{Layout, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Shorter lists are vectors, for which the allocator is quicker.
const MAPPED_FROM: usize = 128 << 10;
/// What is mapped is a multiple of this.
const PAGE: usize = 4096;
/// Room for at least so many values.
const FEWEST: usize = 64;

/// A list of values that need no destructor.
pub struct Paged<T: Copy> {
    start: NonNull<T>,
    len: usize,
    capacity: usize,
    /// Not 0: bytes of a mapping. 0: `start` and `capacity` are a vector's.
    mapped: usize,
}

// SAFETY: the memory belongs to this value alone, and so do the values.
unsafe impl<T: Copy + Send> Send for Paged<T> {}
// SAFETY: a shared reference gives nothing but shared access to the values.
unsafe impl<T: Copy + Sync> Sync for Paged<T> {}

impl<T: Copy> Paged<T> {
    /// An empty list, without memory.
    pub const fn new() -> Paged<T> {
        assert!(size_of::<T>() > 0 && align_of::<T>() <= PAGE);
        Paged { start: NonNull::dangling(), len: 0, capacity: 0, mapped: 0 }
    }

    /// An empty list with room for `capacity` values.
    pub fn with_capacity(capacity: usize) -> Paged<T> {
        let mut list = Paged::new();
        if capacity > 0 {
            list.grow(capacity);
        }
        list
    }

    /// `len` times `value`.
    pub fn filled(len: usize, value: T) -> Paged<T> {
        std::iter::repeat_n(value, len).collect()
    }

    /// Appends `value`.
    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len == self.capacity {
            self.grow(self.len + 1);
        }
        // SAFETY: `len` is below `capacity` (P1).
        unsafe { self.start.add(self.len).write(value) };
        self.len += 1;
    }

    /// Forgets the values, and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Values that there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `least` values, which are more than there is room for.
    #[cold]
    fn grow(&mut self, least: usize) {
        let capacity = least.max(self.capacity.saturating_mul(2)).max(FEWEST);
        let bytes = capacity.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize - PAGE);
        let bytes = bytes.expect("a list is shorter than the address space");
        if bytes < MAPPED_FROM {
            let mut vector = self.take_vector();
            vector.reserve_exact(capacity - vector.len());
            let mut vector = ManuallyDrop::new(vector);
            self.start = NonNull::new(vector.as_mut_ptr()).unwrap_or(NonNull::dangling());
            (self.len, self.capacity) = (vector.len(), vector.capacity());
            return;
        }
        let bytes = bytes.next_multiple_of(PAGE);
        let start = if self.mapped > 0 {
            // SAFETY: `start` is a mapping of `mapped` bytes that this list alone has; it is used under its new address
            // from here on. If that fails it stays as it was.
            unsafe { libc::mremap(self.start.as_ptr().cast(), self.mapped, bytes, libc::MREMAP_MAYMOVE) }
        } else {
            map(bytes)
        };
        let start = NonNull::new(start.cast::<T>()).filter(|_| start != libc::MAP_FAILED);
        let Some(start) = start else {
            handle_alloc_error(Layout::from_size_align(bytes, PAGE).expect("checked above"))
        };
        if self.mapped == 0 {
            // SAFETY: `len` values fit into either, and the mapping is new, so they do not overlap.
            unsafe { start.copy_from_nonoverlapping(self.start, self.len) };
            let len = self.len;
            drop(self.take_vector());
            self.len = len;
        }
        (self.start, self.capacity, self.mapped) = (start, bytes / size_of::<T>(), bytes);
    }

    /// The values as the vector they are; the list is empty then.
    fn take_vector(&mut self) -> Vec<T> {
        assert!(self.mapped == 0, "a mapping is no vector");
        let Paged { start, len, capacity, .. } = *ManuallyDrop::new(std::mem::take(self));
        // SAFETY: without a mapping these are the parts of a vector (an empty one at first), and they are used once.
        unsafe { Vec::from_raw_parts(start.as_ptr(), len, capacity) }
    }
}

/// Zeros, or `MAP_FAILED`.
pub(super) fn map(bytes: usize) -> *mut libc::c_void {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place that the system chooses touches nothing that exists.
    unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) }
}

impl<T: Copy> Drop for Paged<T> {
    fn drop(&mut self) {
        if self.mapped > 0 {
            // SAFETY: the mapping is this list's alone, and nobody borrows from it any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
        } else if self.capacity > 0 {
            drop(self.take_vector());
        }
    }
}

impl<T: Copy> Default for Paged<T> {
    fn default() -> Paged<T> {
        Paged::new()
    }
}

impl<T: Copy> Deref for Paged<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: P1, and nobody changes the values while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for Paged<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: P1, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> FromIterator<T> for Paged<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Paged<T> {
        let values = values.into_iter();
        let mut list = Paged::with_capacity(values.size_hint().0);
        values.for_each(|value| list.push(value));
        list
    }
}

impl<T: Copy + std::fmt::Debug> std::fmt::Debug for Paged<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_was_pushed_whatever_it_grows_to() {
        // Around the sizes where it becomes, and grows as, a mapping.
        for len in [0, 1, FEWEST, FEWEST + 1, 8191, 8192, 8193, 16_384, 40_000, 400_000] {
            let value = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut list = Paged::new();
            (0..len).for_each(|n| list.push(u128::from(value(n)) << 7));
            assert_eq!(list.len(), len);
            assert!(list.iter().enumerate().all(|(n, found)| *found == u128::from(value(n)) << 7), "{len}");
            assert_eq!(list.mapped > 0, list.capacity * 16 >= MAPPED_FROM, "{len}");
            list.iter_mut().for_each(|value| *value += 1);
            let others: Paged<u64> = (0..len).map(value).collect();
            assert!(list.iter().zip(&others[..]).all(|(a, b)| *a == (u128::from(*b) << 7) + 1), "{len}");
            assert_eq!(others.capacity, Paged::<u64>::with_capacity(len).capacity, "made at once");
            assert_eq!(&Paged::filled(len, 7u8)[..], vec![7u8; len]);
        }
    }

    #[test]
    fn a_list_may_go_on_in_another_thread() {
        let mut list: Paged<u32> = (0..100_000).collect();
        let list = std::thread::spawn(move || {
            list.push(100_000);
            list
        });
        let list = list.join().unwrap();
        assert!(list.iter().copied().eq(0..=100_000));
    }
}
