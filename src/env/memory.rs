//! What the operating system is told about memory.

use std::ptr::NonNull;

/// The size of a huge page, and what such memory is to be aligned to. One page-table entry for it all instead of 512:
/// that is a cache miss less for nearly each access to a random place.
pub const HUGE_PAGE: usize = 2 << 20;

/// Asks for huge pages under `len` bytes from `start`, the caller's own. A hint: it may have no effect, and changes
/// nothing that can be seen.
pub fn prefer_huge_pages(start: NonNull<u8>, len: usize) {
    // SAFETY: this advice leaves the contents of memory as they are, whatever the range; a bad one is refused.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
}

/// Makes `len` bytes from `start`, the caller's own, real memory at once: a page fault each would cost twice as much.
/// A hint, which changes nothing that can be seen; systems before Linux 5.14 do not know it.
pub fn populate(start: NonNull<u8>, len: usize) {
    // SAFETY: this advice leaves the contents of memory as they are, whatever the range; a bad one is refused.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
}
