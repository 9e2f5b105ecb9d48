//! What the operating system is told about memory.

use std::ptr::NonNull;

/// The size of a huge page, and what such memory is to be aligned to. One page-table entry for it all instead of 512:
/// that is a cache miss less for nearly each access to a random place.
pub const HUGE_PAGE: usize = 2 << 20;

/// Zeros of the size and alignment of a huge page, in a mapping of their own: the C library's allocator would leave a
/// hole of nearly as much before them, and may keep them when they are given back. `None` if the system has no memory.
pub fn map_huge_page() -> Option<NonNull<u8>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place that the system chooses touches nothing that exists.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 2 * HUGE_PAGE, access, kind, -1, 0) };
    let mapped = NonNull::new(mapped.cast::<u8>()).filter(|_| mapped != libc::MAP_FAILED)?;
    let before = mapped.as_ptr().align_offset(HUGE_PAGE);
    // SAFETY: the parts before and behind the aligned one are of this mapping, which nobody else knows of.
    unsafe {
        let start = mapped.add(before);
        if before > 0 {
            libc::munmap(mapped.as_ptr().cast(), before);
        }
        libc::munmap(start.add(HUGE_PAGE).as_ptr().cast(), HUGE_PAGE - before);
        Some(start)
    }
}

/// Gives memory of `map_huge_page` back.
///
/// # Safety
/// `start` is what it gave, once, and nobody uses the memory any more.
pub unsafe fn unmap_huge_page(start: NonNull<u8>) {
    // SAFETY: passed on.
    unsafe { libc::munmap(start.as_ptr().cast(), HUGE_PAGE) };
}

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
