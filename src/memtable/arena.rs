//! The memory behind a memtable's entries: a bump allocator that only grows and is freed as a whole.
//!
//! 1. A piece is taken from the current chunk with one atomic add; no lock.
//! 2. When the chunk is full, one thread makes the next one under a lock. Chunks grow with the arena, from
//!    `SMALLEST_CHUNK` to `LARGEST_CHUNK`, so a tiny memtable stays tiny and a big one makes few system calls.
//! 3. Chunks of the largest size are huge pages where the system has them: a search in a big memtable is otherwise a
//!    TLB miss at each step. When an arena goes they are kept for the next one, up to `MAX_SPARE` or as many as living
//!    arenas have, for as long as any arena lives: fresh memory would cost a page fault and its clearing. A flush frees
//!    several memtables at once while writers fill others, which are freed next.
//!    Once an arena is past `FIRST_BORROWED`, its smaller chunks are cut from such spare ones too, if there are any.
//! 4. A piece that would take more than a quarter of the next chunk gets a chunk of its own, so little is left over.
//!
//! Invariant A1: pieces do not overlap, and a piece stays where it is until the arena is dropped.
//! Invariant A2: `used_bytes` exceeds the bytes asked for by less than a third, and one small chunk.
//! Invariant A3: while every length asked for is a multiple of one power of two up to `ALIGNMENT`, so is every piece's
//! address.

use crate::base::memory::allocation;
use crate::env::memory::{HUGE_PAGE, map_huge_page, prefer_huge_pages, unmap_huge_page};
use parking_lot::Mutex;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The first chunk.
const SMALLEST_CHUNK: usize = 4 << 10;
/// No shared chunk is larger: a huge page.
const LARGEST_CHUNK: usize = HUGE_PAGE;
/// Chunks of the largest size kept for later arenas even if living ones have fewer: together 64 MiB.
const MAX_SPARE: usize = 32;
/// From so many bytes on, chunks are cut from spare ones. What is smaller does not take a whole one from others.
const FIRST_BORROWED: usize = LARGEST_CHUNK / 2;
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
        let Some(bytes) = map_huge_page() else { handle_alloc_error(SpareChunk::LAYOUT) };
        prefer_huge_pages(bytes, LARGEST_CHUNK);
        SpareChunk(bytes)
    }

    fn free(self) {
        // SAFETY: mapped in `new`, and nobody else has it.
        unsafe { unmap_huge_page(self.0) }
    }
}

/// What arenas leave to each other.
struct Spare {
    chunks: Vec<SpareChunk>,
    /// Chunks of the same size that living arenas have.
    used: usize,
    arenas: usize,
}

impl Spare {
    /// The chunks that are too many.
    fn surplus(&mut self) -> Vec<SpareChunk> {
        let kept = if self.arenas == 0 { 0 } else { self.used.max(MAX_SPARE) };
        self.chunks.split_off(kept.min(self.chunks.len()))
    }
}

static SPARE: Mutex<Spare> = Mutex::new(Spare { chunks: Vec::new(), used: 0, arenas: 0 });

/// Bytes of spare chunks that arenas have borrowed and not cut yet.
static UNCUT: AtomicUsize = AtomicUsize::new(0);

/// Bytes that no arena uses, of the whole process: kept for the next one, or borrowed and not cut yet.
pub fn spare_bytes() -> usize {
    SPARE.lock().chunks.len() * LARGEST_CHUNK + UNCUT.load(Ordering::Relaxed)
}

/// Memory of the largest size that another arena left, with anything in it.
fn take_spare() -> Option<SpareChunk> {
    let mut spare = SPARE.lock();
    let chunk = spare.chunks.pop();
    spare.used += usize::from(chunk.is_some());
    chunk
}

/// As `take_spare`, or new memory.
fn take_spare_or_new() -> SpareChunk {
    take_spare().unwrap_or_else(|| {
        SPARE.lock().used += 1;
        SpareChunk::new()
    })
}

/// Keeps the memory for a later arena, and frees what is too much now.
fn give_spare(chunk: SpareChunk) {
    let mut spare = SPARE.lock();
    spare.used -= 1;
    spare.chunks.push(chunk);
    let surplus = spare.surplus();
    drop(spare);
    surplus.into_iter().for_each(SpareChunk::free);
}

/// Whose memory a chunk is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Its own.
    Allocated,
    /// Its own, of the largest size: it goes to later arenas.
    Spare,
    /// The arena's `Borrowed`.
    Borrowed,
}

/// One allocation that pieces are cut from, or a part of a spare one.
struct Chunk {
    bytes: NonNull<u8>,
    memory: Memory,
    capacity: usize,
    /// Bytes handed out; beyond `capacity` once a request did not fit.
    used: AtomicUsize,
    /// Bytes used of all shared chunks before this one.
    before: usize,
}

impl Chunk {
    /// With memory of its own.
    fn new(capacity: usize, used: usize, before: usize) -> Box<Chunk> {
        if capacity == LARGEST_CHUNK {
            let bytes = take_spare_or_new().0;
            return Chunk::over(bytes, Memory::Spare, capacity, used, before);
        }
        let layout = Chunk::layout(capacity);
        // SAFETY: the layout's size is not zero: every caller asks for at least one byte.
        let bytes = unsafe { alloc(layout) };
        let Some(bytes) = NonNull::new(bytes) else { handle_alloc_error(layout) };
        Chunk::over(bytes, Memory::Allocated, capacity, used, before)
    }

    fn over(bytes: NonNull<u8>, memory: Memory, capacity: usize, used: usize, before: usize) -> Box<Chunk> {
        Box::new(Chunk { bytes, memory, capacity, used: AtomicUsize::new(used), before })
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
        match self.memory {
            // SAFETY: allocated in `new` with the same layout; nobody uses a chunk after its arena is gone.
            Memory::Allocated => unsafe { dealloc(self.bytes.as_ptr(), Chunk::layout(self.capacity)) },
            Memory::Spare => give_spare(SpareChunk(self.bytes)),
            Memory::Borrowed => {}
        }
    }
}

/// Spare chunks that an arena cuts smaller ones from.
#[derive(Default)]
struct Borrowed {
    chunks: Vec<SpareChunk>,
    /// Bytes at the end of the last one that are not cut.
    left: usize,
    /// Bytes of all of them that are not cut: they count as spare ones.
    uncut: usize,
}

impl Borrowed {
    /// The memory for a chunk, `len` bytes, at most `LARGEST_CHUNK`; `None` if there is none to spare.
    fn take(&mut self, len: usize) -> Option<NonNull<u8>> {
        if self.left < len {
            self.chunks.push(take_spare()?);
            self.left = LARGEST_CHUNK;
            self.uncut += LARGEST_CHUNK;
            UNCUT.fetch_add(LARGEST_CHUNK, Ordering::Relaxed);
        }
        let start = LARGEST_CHUNK - self.left;
        self.left -= len;
        self.uncut -= len;
        UNCUT.fetch_sub(len, Ordering::Relaxed);
        // SAFETY: start + len <= LARGEST_CHUNK, the length of the last chunk.
        self.chunks.last().map(|chunk| unsafe { chunk.0.add(start) })
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
    /// The lock is held only to add a chunk.
    chunks: Mutex<Chunks>,
}

#[derive(Default)]
struct Chunks {
    /// Every chunk, as made by `Box::into_raw`.
    all: Vec<*mut Chunk>,
    borrowed: Borrowed,
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
            chunks: Mutex::default(),
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
        let borrows = shared && capacity < LARGEST_CHUNK && used >= FIRST_BORROWED;
        let borrowed = if borrows { chunks.borrowed.take(capacity) } else { None };
        let before = if shared { current.map_or(0, Chunk::close) } else { 0 };
        let chunk = match borrowed {
            Some(bytes) => Chunk::over(bytes, Memory::Borrowed, capacity, len, before),
            None => Chunk::new(if shared { capacity } else { len }, len, before),
        };
        let taken = allocation(chunk.capacity) + allocation(size_of::<Chunk>()) + size_of::<*mut Chunk>();
        self.allocated.fetch_add(taken, Ordering::Relaxed);
        let piece = chunk.bytes;
        let chunk = Box::into_raw(chunk);
        chunks.all.push(chunk);
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
        let Chunks { all, borrowed } = self.chunks.get_mut();
        for &chunk in all.iter() {
            // SAFETY: made by `Box::into_raw`, each pushed once; `&mut self` says that no one else is here.
            drop(unsafe { Box::from_raw(chunk) });
        }
        UNCUT.fetch_sub(borrowed.uncut, Ordering::Relaxed);
        borrowed.chunks.drain(..).for_each(give_spare);
        let mut spare = SPARE.lock();
        spare.arenas -= 1;
        let surplus = spare.surplus();
        drop(spare);
        surplus.into_iter().for_each(SpareChunk::free);
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
        let allocated: usize = arena.chunks.lock().all.iter().map(|&c| chunk_capacity(c)).sum();
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
            let chunks = arena.chunks.lock().all.iter().copied().filter(large).collect::<Vec<_>>();
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
        {
            let spare = SPARE.lock();
            assert!(spare.chunks.len() <= spare.used.max(MAX_SPARE));
        }
        let pieces: Vec<_> =
            (0..400).map(|round| (fill(&living, 100 << 10, round as u8), round as u8)).collect();
        let second = fill_large();
        assert!(addresses(&second).iter().all(|address| !addresses(&living).contains(address)));
        assert!(pieces.iter().all(|&(piece, mark)| is_filled(piece, 100 << 10, mark)));
    }

    #[test]
    fn chunks_cut_from_a_spare_one_lie_side_by_side() {
        let spare = SpareChunk::new();
        let start = spare.0.addr().get();
        UNCUT.fetch_add(LARGEST_CHUNK, Ordering::Relaxed);
        let mut borrowed = Borrowed { chunks: vec![spare], left: LARGEST_CHUNK, uncut: LARGEST_CHUNK };
        let mut offset = 0;
        for len in [64 << 10, 256 << 10, 1 << 20, 512 << 10, 192 << 10] {
            assert_eq!(borrowed.take(len).unwrap().addr().get(), start + offset);
            offset += len;
        }
        assert_eq!((offset, borrowed.left, borrowed.uncut), (LARGEST_CHUNK, 0, 0));
        borrowed.chunks.drain(..).for_each(SpareChunk::free);
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
