//! The memory behind a memtable's entries: a bump allocator that only grows and is freed as a whole.
//!
//! 1. A piece is taken from the current chunk with one atomic add; no lock.
//! 2. When the chunk is full, one thread makes the next one under a lock. Chunks grow with the arena, from
//!    `SMALLEST_CHUNK` to `LARGEST_CHUNK`, so a tiny memtable stays tiny and a big one makes few system calls.
//! 3. Chunks of the largest size are huge pages where the system has them: a search in a big memtable is otherwise a
//!    TLB miss at each step. When an arena goes they are kept for the next one, up to `MAX_SPARE`, for as long as any
//!    arena lives: fresh memory would cost a page fault and its clearing.
//! 4. A piece that would take more than a quarter of the next chunk gets a chunk of its own, so little is left over.
//!
//! Invariant A1: pieces do not overlap, and a piece stays where it is until the arena is dropped.
//! Invariant A2: `used_bytes` exceeds the bytes asked for by less than a third, and one small chunk.
//! Invariant A3: while every length asked for is a multiple of one power of two up to `ALIGNMENT`, so is every piece's
//! address.

use crate::base::memory::allocation;
use crate::env::memory::{HUGE_PAGE, prefer_huge_pages};
use parking_lot::Mutex;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The first chunk.
const SMALLEST_CHUNK: usize = 4 << 10;
/// No shared chunk is larger: a huge page.
const LARGEST_CHUNK: usize = HUGE_PAGE;
/// Chunks of the largest size kept for later arenas: together 64 MiB.
const MAX_SPARE: usize = 32;
/// Until chunks are huge pages, what is allocated ahead is at most this part of what is used.
const GROWTH: usize = 32;
/// At least so many pieces fit into a shared chunk; larger pieces get a chunk of their own.
const PIECES_IN_CHUNK: usize = 4;

/// What every chunk's address is a multiple of at least: a cache line.
const ALIGNMENT: usize = 64;

/// Memory of a chunk of the largest size that nobody uses.
struct SpareChunk(NonNull<u8>);

// SAFETY: the memory belongs to whoever holds this.
unsafe impl Send for SpareChunk {}

impl SpareChunk {
    const LAYOUT: Layout = match Layout::from_size_align(LARGEST_CHUNK, LARGEST_CHUNK) {
        Ok(layout) => layout,
        Err(_) => panic!("a chunk's size is a power of two"),
    };

    fn new() -> SpareChunk {
        // SAFETY: the size is not zero.
        let bytes = unsafe { alloc(SpareChunk::LAYOUT) };
        let Some(bytes) = NonNull::new(bytes) else { handle_alloc_error(SpareChunk::LAYOUT) };
        prefer_huge_pages(bytes, LARGEST_CHUNK);
        SpareChunk(bytes)
    }

    fn free(self) {
        // SAFETY: allocated in `new` with the same layout, and nobody else has it.
        unsafe { dealloc(self.0.as_ptr(), SpareChunk::LAYOUT) }
    }
}

/// What arenas leave to each other.
struct Spare {
    chunks: Vec<SpareChunk>,
    arenas: usize,
}

static SPARE: Mutex<Spare> = Mutex::new(Spare { chunks: Vec::new(), arenas: 0 });

/// Memory of the largest size, with anything in it.
fn take_spare() -> SpareChunk {
    let spare = SPARE.lock().chunks.pop();
    spare.unwrap_or_else(SpareChunk::new)
}

/// Keeps the memory for a later arena, or frees it.
fn give_spare(chunk: SpareChunk) {
    let mut spare = SPARE.lock();
    if spare.chunks.len() < MAX_SPARE {
        return spare.chunks.push(chunk);
    }
    drop(spare);
    chunk.free();
}

/// One allocation that pieces are cut from.
struct Chunk {
    bytes: NonNull<u8>,
    capacity: usize,
    /// Bytes handed out; beyond `capacity` once a request did not fit.
    used: AtomicUsize,
    /// Bytes used of all shared chunks before this one.
    before: usize,
}

impl Chunk {
    fn new(capacity: usize, used: usize, before: usize) -> Box<Chunk> {
        if capacity == LARGEST_CHUNK {
            let bytes = take_spare().0;
            return Box::new(Chunk { bytes, capacity, used: AtomicUsize::new(used), before });
        }
        let layout = Chunk::layout(capacity);
        // SAFETY: the layout's size is not zero: every caller asks for at least one byte.
        let bytes = unsafe { alloc(layout) };
        let Some(bytes) = NonNull::new(bytes) else { handle_alloc_error(layout) };
        Box::new(Chunk { bytes, capacity, used: AtomicUsize::new(used), before })
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGNMENT).expect("an entry fits the address space")
    }

    /// Whether pieces of `len` bytes may come from this chunk, if there is room.
    #[inline]
    fn is_for(&self, len: usize) -> bool {
        len <= self.capacity / PIECES_IN_CHUNK
    }

    /// Bytes used of this chunk and those before it.
    fn used_so_far(&self) -> usize {
        self.before + self.used.load(Ordering::Relaxed).min(self.capacity)
    }

    /// Hands out no more, and gives the bytes used up to here.
    fn close(&self) -> usize {
        self.before + self.used.swap(self.capacity, Ordering::Relaxed).min(self.capacity)
    }

    /// The next `len` bytes, if there is room.
    #[inline]
    fn take(&self, len: usize) -> Option<NonNull<u8>> {
        let start = self.used.fetch_add(len, Ordering::Relaxed);
        if start.checked_add(len)? > self.capacity {
            return None;
        }
        // SAFETY: start + len <= capacity, so the result is inside the allocation.
        Some(unsafe { self.bytes.add(start) })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.capacity == LARGEST_CHUNK {
            return give_spare(SpareChunk(self.bytes));
        }
        // SAFETY: allocated in `new` with the same layout; nobody uses a chunk after its arena is gone.
        unsafe { dealloc(self.bytes.as_ptr(), Chunk::layout(self.capacity)) }
    }
}

/// A bump allocator for bytes; see the module's text.
pub(super) struct Arena {
    /// The chunk that pieces come from; null before the first piece.
    current: AtomicPtr<Chunk>,
    /// Bytes in chunks of their own.
    own_chunk_bytes: AtomicUsize,
    /// Bytes of memory that all chunks and their headers take.
    allocated: AtomicUsize,
    /// Every chunk, as made by `Box::into_raw`; the lock is held only to add one.
    chunks: Mutex<Vec<*mut Chunk>>,
}

// SAFETY: the raw pointers are to chunks that the arena owns; chunks are changed only through their atomics.
unsafe impl Send for Arena {}
// SAFETY: as above; pieces are disjoint (A1), so two threads never get the same bytes to write.
unsafe impl Sync for Arena {}

impl Arena {
    pub(super) fn new() -> Arena {
        SPARE.lock().arenas += 1;
        Arena {
            current: AtomicPtr::new(ptr::null_mut()),
            own_chunk_bytes: AtomicUsize::new(0),
            allocated: AtomicUsize::new(0),
            chunks: Mutex::new(Vec::new()),
        }
    }

    /// `len` uninitialised bytes, valid until the arena is dropped; aligned as A3 says. `len` must not be 0.
    #[inline]
    pub(super) fn allocate(&self, len: usize) -> NonNull<u8> {
        debug_assert!(len > 0);
        match self.current_chunk().filter(|c| c.is_for(len)).and_then(|c| c.take(len)) {
            Some(piece) => piece,
            None => self.allocate_slow(len),
        }
    }

    /// Bytes in use, with what was left over at the ends of full chunks.
    pub(super) fn used_bytes(&self) -> usize {
        let shared = self.current_chunk().map_or(0, Chunk::used_so_far);
        shared + self.own_chunk_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory taken from the system, with what is allocated ahead.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    #[inline]
    fn current_chunk(&self) -> Option<&Chunk> {
        // SAFETY: null or a chunk of `self.chunks`, which live until the arena is dropped. Release in
        // `allocate_slow` and Acquire here make its fields visible.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    #[cold]
    fn allocate_slow(&self, len: usize) -> NonNull<u8> {
        let mut chunks = self.chunks.lock();
        let current = self.current_chunk();
        // Another thread may have made a new chunk while this one waited for the lock.
        if let Some(piece) = current.filter(|c| c.is_for(len)).and_then(|c| c.take(len)) {
            return piece;
        }
        let used = self.used_bytes();
        let ahead = (used / GROWTH).max(SMALLEST_CHUNK);
        // A huge page is resident as a whole once it is touched, so it is no promise that memory stays unused.
        let capacity = if used >= 8 * LARGEST_CHUNK { LARGEST_CHUNK } else { 1usize << ahead.ilog2() };
        let shared = len <= capacity / PIECES_IN_CHUNK;
        let chunk = if shared {
            Chunk::new(capacity, len, current.map_or(0, Chunk::close))
        } else {
            Chunk::new(len, len, 0)
        };
        let taken = allocation(chunk.capacity) + allocation(size_of::<Chunk>()) + size_of::<*mut Chunk>();
        self.allocated.fetch_add(taken, Ordering::Relaxed);
        let piece = chunk.bytes;
        let chunk = Box::into_raw(chunk);
        chunks.push(chunk);
        if shared {
            self.current.store(chunk, Ordering::Release);
        } else {
            self.own_chunk_bytes.fetch_add(len, Ordering::Relaxed);
        }
        piece
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for &chunk in self.chunks.get_mut().iter() {
            // SAFETY: made by `Box::into_raw`, each pushed once; `&mut self` says that no one else is here.
            drop(unsafe { Box::from_raw(chunk) });
        }
        let mut spare = SPARE.lock();
        spare.arenas -= 1;
        let unused = if spare.arenas == 0 { std::mem::take(&mut spare.chunks) } else { Vec::new() };
        drop(spare);
        unused.into_iter().for_each(SpareChunk::free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `len` bytes of `mark` into a fresh piece.
    fn fill(arena: &Arena, len: usize, mark: u8) -> NonNull<u8> {
        let piece = arena.allocate(len);
        // SAFETY: the piece has `len` bytes and nobody else has it.
        unsafe { piece.as_ptr().write_bytes(mark, len) };
        piece
    }

    fn is_filled(piece: NonNull<u8>, len: usize, mark: u8) -> bool {
        // SAFETY: written by `fill`; the caller's arena is alive.
        unsafe { std::slice::from_raw_parts(piece.as_ptr(), len) }.iter().all(|&b| b == mark)
    }

    #[test]
    fn pieces_of_all_sizes_keep_their_bytes() {
        let arena = Arena::new();
        assert_eq!(arena.used_bytes(), 0);
        let sizes = [1, 7, 100, 1023, 1024, 1025, 4096, 300 << 10, 3 << 20];
        let mut pieces = Vec::new();
        let (mut asked, mut used) = (0, 0);
        for round in 0..40usize {
            let len = sizes[round * 7 % sizes.len()];
            pieces.push((fill(&arena, len, round as u8), len, round as u8));
            asked += len;
            assert!(arena.used_bytes() >= used.max(asked), "A2: {used} then {}", arena.used_bytes());
            used = arena.used_bytes();
        }
        assert!(used < asked + asked / 3 + SMALLEST_CHUNK);
        assert!(pieces.iter().all(|&(piece, len, mark)| is_filled(piece, len, mark)));
    }

    #[test]
    fn pieces_are_aligned_as_their_lengths_are() {
        for alignment in [8, ALIGNMENT] {
            let arena = Arena::new();
            for round in 0..3000usize {
                let len = alignment * (1 + round * 13 % if round % 100 == 0 { 3000 } else { 40 });
                assert_eq!(fill(&arena, len, 1).addr().get() % alignment, 0, "A3: {len} of {alignment}");
            }
        }
    }

    #[test]
    fn small_arenas_stay_small() {
        let arena = Arena::new();
        for _ in 0..100 {
            arena.allocate(30);
        }
        assert_eq!(arena.used_bytes(), 3000);
        let allocated: usize = arena.chunks.lock().iter().map(|&c| chunk_capacity(c)).sum();
        assert_eq!(allocated, SMALLEST_CHUNK);
    }

    #[test]
    fn little_is_allocated_ahead() {
        for len in [10, 100, 1000] {
            let arena = Arena::new();
            for _ in 0..(8 << 20) / len {
                arena.allocate(len);
                let (used, allocated) = (arena.used_bytes(), arena.allocated_bytes());
                assert!(allocated >= used, "{allocated} for {used}");
                assert!(allocated <= used + used / 4 + 2 * SMALLEST_CHUNK, "{allocated} for {used}");
            }
        }
    }

    fn chunk_capacity(chunk: *mut Chunk) -> usize {
        // SAFETY: a chunk of a live arena.
        unsafe { (*chunk).capacity }
    }

    #[test]
    fn large_chunks_go_from_arena_to_arena() {
        let addresses = |arena: &Arena| {
            let large = |&chunk: &*mut Chunk| chunk_capacity(chunk) == LARGEST_CHUNK;
            let chunks = arena.chunks.lock().iter().copied().filter(large).collect::<Vec<_>>();
            // SAFETY: chunks of a live arena.
            chunks.into_iter().map(|chunk| unsafe { (*chunk).bytes.addr().get() }).collect::<Vec<_>>()
        };
        let living = Arena::new();
        let fill_large = || {
            let arena = Arena::new();
            (0..400).for_each(|round| {
                fill(&arena, 100 << 10, round as u8);
            });
            arena
        };
        let first = fill_large();
        let used = addresses(&first);
        assert!(used.len() > 5 && used.iter().all(|address| address % LARGEST_CHUNK == 0));
        drop(first);
        // Other tests take and give chunks meanwhile, but never more than there are.
        assert!(SPARE.lock().chunks.len() <= MAX_SPARE);
        let pieces: Vec<_> =
            (0..400).map(|round| (fill(&living, 100 << 10, round as u8), round as u8)).collect();
        let second = fill_large();
        assert!(addresses(&second).iter().all(|address| !addresses(&living).contains(address)));
        assert!(pieces.iter().all(|&(piece, mark)| is_filled(piece, 100 << 10, mark)));
    }

    #[test]
    fn threads_never_share_bytes() {
        let arena = &Arena::new();
        let fill_many = |mark: u8| {
            let lengths = (0..5000usize).map(|round| 1 + (round * 31 + mark as usize) % 400);
            lengths.map(|len| (fill(arena, len, mark).as_ptr() as usize, len)).collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|mark| (mark, scope.spawn(move || fill_many(mark)))).collect();
            let filled: Vec<_> =
                workers.into_iter().map(|(mark, worker)| (mark, worker.join().unwrap())).collect();
            for (mark, pieces) in filled {
                for (address, len) in pieces {
                    assert!(is_filled(NonNull::new(address as *mut u8).unwrap(), len, mark));
                }
            }
        });
    }
}
