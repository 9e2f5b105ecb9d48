//! Memory and ranges for files that are read and written past the page cache, which takes whole blocks only.
//!
//! Whoever reads wants some bytes from anywhere. `read_around` reads the blocks that these lie in and says where in the
//! buffer they are, so nothing is copied. For an ordinary file, whose blocks are of one byte, that is an ordinary read.

use super::paged::map;
use super::{File, ends_early};
use crate::base::Result;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;

/// What memory is aligned to at least, and what direct I/O is aligned to where nobody says otherwise.
pub const PAGE: usize = 4096;

/// The whole blocks around some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where they begin.
    pub from: u64,
    /// How many bytes of them come before those wanted.
    pub skipped: usize,
    /// Bytes of all blocks together.
    pub len: usize,
}

impl Span {
    /// The blocks of `alignment` bytes, a power of two, around `len` bytes at `offset`.
    #[inline]
    pub fn around(offset: u64, len: usize, alignment: usize) -> Span {
        let skipped = (offset & (alignment as u64 - 1)) as usize;
        Span { from: offset - skipped as u64, skipped, len: (skipped + len).next_multiple_of(alignment) }
    }
}

/// Memory for blocks, used again and again. It begins at a page, or at what a file asks for beyond that.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    capacity: usize,
    alignment: usize,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for AlignedBuffer {}
// SAFETY: a shared reference gives nothing but shared access to the bytes.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// No memory yet.
    pub const fn new() -> AlignedBuffer {
        AlignedBuffer { start: NonNull::dangling(), capacity: 0, alignment: PAGE }
    }

    /// Bytes of memory it holds.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The first `len` bytes, aligned to `alignment`, a power of two: what was in them or, of new memory, zeros.
    #[inline]
    pub fn take(&mut self, len: usize, alignment: usize) -> &mut [u8] {
        if len > self.capacity || alignment > self.alignment {
            self.grow(len, alignment);
        }
        // SAFETY: there are `capacity`, so at least `len`, initialised bytes from `start`, borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), len) }
    }

    /// All bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: there are `capacity` initialised bytes from `start`; nobody changes them while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.capacity) }
    }

    /// Gives memory back that is more than `most` bytes.
    #[inline]
    pub fn keep_at_most(&mut self, most: usize) {
        if self.capacity > most {
            *self = AlignedBuffer::new();
        }
    }

    #[cold]
    fn grow(&mut self, len: usize, alignment: usize) {
        let alignment = alignment.max(self.alignment);
        let capacity = len.max(self.capacity).max(1).next_multiple_of(PAGE);
        // First, so that there are never both.
        *self = AlignedBuffer::new();
        let layout = Layout::from_size_align(capacity, alignment).expect("no more than memory can hold");
        let start = if is_mapped(capacity, alignment) {
            let start = map(capacity);
            NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED)
        } else {
            // SAFETY: the layout is of at least a page.
            NonNull::new(unsafe { alloc_zeroed(layout) })
        };
        let Some(start) = start else { handle_alloc_error(layout) };
        *self = AlignedBuffer { start, capacity, alignment };
    }
}

/// Whether so much memory is a mapping of its own: what is read ahead of a scan or a compaction, which the C library's
/// allocator would keep (`paged`). Longer buffers are of single values, and come and go with each read.
const fn is_mapped(capacity: usize, alignment: usize) -> bool {
    const FROM: usize = 512 << 10;
    const TO: usize = (2 << 20) + 2 * PAGE;
    FROM <= capacity && capacity <= TO && alignment <= PAGE
}

impl Default for AlignedBuffer {
    fn default() -> Self {
        AlignedBuffer::new()
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if self.capacity > 0 {
            let layout = Layout::from_size_align(self.capacity, self.alignment).expect("as it was allocated");
            // SAFETY: `start` was mapped, or allocated with this layout, and is given back once.
            unsafe {
                match is_mapped(self.capacity, self.alignment) {
                    true => _ = libc::munmap(self.start.as_ptr().cast(), self.capacity),
                    false => dealloc(self.start.as_ptr(), layout),
                }
            }
        }
    }
}

/// Reads up to `len` bytes at `offset`, fewer only at the end of the file. Gives where in `buffer` they are.
#[inline]
pub fn read_around(
    file: &dyn File,
    offset: u64,
    len: usize,
    buffer: &mut AlignedBuffer,
) -> Result<Range<usize>> {
    let alignment = file.alignment();
    let span = Span::around(offset, len, alignment);
    let got = file.read_at(span.from, buffer.take(span.len, alignment))?;
    let end = got.min(span.skipped + len);
    Ok(span.skipped.min(end)..end)
}

/// Reads exactly `len` bytes at `offset`; a short file is a `Corruption` naming file and offset. Gives where in
/// `buffer` they are.
#[inline]
pub fn read_exact_around(
    file: &dyn File,
    offset: u64,
    len: usize,
    buffer: &mut AlignedBuffer,
) -> Result<Range<usize>> {
    let range = read_around(file, offset, len, buffer)?;
    if range.len() < len {
        return Err(ends_early(file.path(), offset, len, range.len()));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::super::simulated::SimEnv;
    use super::super::{Env, OpenMode};
    use super::*;
    use std::io::IoSlice;
    use std::path::Path;

    #[test]
    fn spans_are_whole_blocks_around_what_is_wanted() {
        assert_eq!(Span::around(7, 10, 1), Span { from: 7, skipped: 0, len: 10 });
        assert_eq!(Span::around(7, 10, 512), Span { from: 0, skipped: 7, len: 512 });
        assert_eq!(Span::around(512, 512, 512), Span { from: 512, skipped: 0, len: 512 });
        assert_eq!(Span::around(1023, 2, 512), Span { from: 512, skipped: 511, len: 1024 });
        assert_eq!(Span::around(4096, 0, 4096), Span { from: 4096, skipped: 0, len: 0 });
        let end = Span::around(u64::MAX, 1, 4096);
        assert_eq!((end.from, end.skipped, end.len), (u64::MAX - 4095, 4095, 4096));
    }

    #[test]
    fn buffers_are_aligned_and_keep_what_they_hold_until_they_grow() {
        let mut buffer = AlignedBuffer::new();
        assert!(buffer.as_slice().is_empty() && buffer.take(0, 512).is_empty());
        for (len, alignment) in [(1, 1), (5000, 512), (5000, 4096), (100, 65536), (200_000, 512)] {
            let bytes = buffer.take(len, alignment);
            assert_eq!((bytes.len(), bytes.as_ptr() as usize % alignment.max(PAGE)), (len, 0));
            bytes.fill(7);
            assert!(buffer.take(len, alignment).iter().all(|&byte| byte == 7));
        }
        assert_eq!(buffer.as_slice().len(), buffer.capacity());
        buffer.keep_at_most(buffer.capacity());
        assert!(buffer.capacity() >= 200_000);
        buffer.keep_at_most(1000);
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn what_is_read_is_the_same_past_the_page_cache() {
        let env = SimEnv::new(1);
        let path = Path::new("/a");
        let mut random = Random::new(1);
        let mut bytes = vec![0; 20_001];
        random.fill(&mut bytes);
        env.open(path, OpenMode::Create).unwrap().write_at(0, &[IoSlice::new(&bytes)]).unwrap();
        let mut buffer = AlignedBuffer::new();
        for alignment in [1, 512, 4096, 16384] {
            env.set_direct_alignment(alignment);
            let file = env.open(path, OpenMode::ReadDirect).unwrap();
            assert_eq!(file.alignment(), alignment);
            for round in 0..300 {
                let (offset, len) = (random.below(21_000) as usize, random.below(9000) as usize);
                let range = read_around(&*file, offset as u64, len, &mut buffer).unwrap();
                let end = (offset + len).min(bytes.len());
                assert_eq!(&buffer.as_slice()[range.clone()], &bytes[offset.min(end)..end], "round {round}");
                let exact = read_exact_around(&*file, offset as u64, len, &mut buffer);
                assert_eq!(exact.is_ok(), range.len() == len);
                if let Err(error) = exact {
                    assert!(error.is_corruption() && error.offset() == Some(offset as u64), "{error}");
                }
            }
        }
    }
}
