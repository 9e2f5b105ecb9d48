//! Memory for large buffers that come and go: values just read, values cached.
//!
//! The C library's allocator takes such buffers from the system and gives them back again and again; each page is
//! then faulted in and cleared anew, which costs several times the reading of the value itself. A pool keeps the
//! memory, in huge pages where the system has them.
//!
//! 1. Memory is mapped in chunks, each divided into units; a bitmap says which are free.
//! 2. `take` finds the first free run of units in the chunk that last gave or got one, then in the others, then makes
//!    a chunk. So a buffer that was just dropped, still in the processor's cache, is the next to be handed out.
//! 3. A chunk becomes real memory from its beginning, in extents: a huge page at a time, all at once. Where that is
//!    slow (the system has to make room for a huge page, or a hypervisor to find memory), ordinary pages are used for
//!    a while, some at a time.
//! 4. Short buffers are slots of slabs (`slabs`), which are runs of units. Threads use different ones.
//! 5. What the pool does not do comes from the heap: very short buffers, very long ones, and those above its limit.
//! 6. A chunk that has become free is kept for what comes; a second one is given back to the system.
//!
//! Invariants:
//! - U1 the units or the slot of a buffer are marked as taken from `take` until it is dropped, so no two overlap. The
//!   locks of slabs are taken without that of the chunks.
//! - U2 a chunk with a taken unit stays mapped: buffers hold the pool, and only a free chunk is let go.
//! - U3 every byte of a buffer is initialised: fresh memory is zero, memory used before holds what was there.

mod slabs;

use super::memory::{HUGE_PAGE, populate, prefer_huge_pages};
use memmap2::MmapMut;
use parking_lot::Mutex;
use slabs::{SHORTEST_SLOT, SLAB, SlabRun, Slabs};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Shorter buffers are slots, which waste less.
const SHORTEST: usize = 4000;
/// Longer buffers come from the heap: at least seven of the longest fit into a chunk.
const LONGEST: usize = CHUNK / 7 / UNIT * UNIT;
/// What is handed out is a multiple of so many bytes: a value of 4 KiB wastes at most an eighth.
const UNIT: usize = 512;
/// Bytes of a chunk.
const CHUNK: usize = 4 * HUGE_PAGE;
const UNITS: usize = CHUNK / UNIT;
const WORDS: usize = UNITS / 64;
/// Sets of slabs: with fewer threads than this, each has its own.
const STRIPES: usize = 8;
/// Bytes of an extent of ordinary pages.
const ORDINARY: usize = 256 << 10;
/// Making a huge page real takes 200 us or so, as much in ordinary pages 640. What takes longer than this is slow.
const SLOW: Duration = Duration::from_micros(800);
/// So many extents are of ordinary pages after a huge page was slow: 64 MiB.
const ORDINARY_EXTENTS: usize = 256;

/// Bytes that one owner may change, from the heap or from a pool.
pub struct Bytes {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
    /// Bytes of the memory before `start`.
    skipped: usize,
    /// `None`: they are a vector's.
    home: Option<Home>,
}

struct Home {
    pool: Arc<BufferPool>,
    place: Place,
}

/// Which part of the pool.
#[derive(Clone, Copy)]
enum Place {
    Units { chunk: u32, unit: u32 },
    Slot { stripe: u8, slot: u8, slab: u32 },
}

// SAFETY: the memory belongs to this value alone (U1, or as a vector's), and the pool is behind a lock.
unsafe impl Send for Bytes {}
// SAFETY: a shared reference gives nothing but shared access to the bytes.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// What they take of memory.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `start` is valid for `len` bytes until `self` is dropped (U1, U2, or as a vector's), they are
        // initialised (U3), and nobody changes them while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Leaves out what is before and after `range`. The memory is kept, so `capacity` stays.
    #[inline]
    pub fn narrow(mut self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} bytes", self.len);
        // SAFETY: not behind the end of the bytes.
        self.start = unsafe { self.start.add(range.start) };
        self.skipped += range.start;
        self.len = range.len();
        self
    }

    /// As a vector, without a copy; narrowed bytes and a pool's go back where they came from, and `None` is given.
    pub fn into_vec(self) -> Option<Vec<u8>> {
        if self.home.is_some() || self.skipped > 0 {
            return None;
        }
        let bytes = ManuallyDrop::new(self);
        // SAFETY: without a home these are the parts of the vector that `from` took, and they are used once.
        Some(unsafe { Vec::from_raw_parts(bytes.start.as_ptr(), bytes.len, bytes.capacity) })
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(vector: Vec<u8>) -> Bytes {
        let mut vector = ManuallyDrop::new(vector);
        let (len, capacity) = (vector.len(), vector.capacity());
        let start = NonNull::new(vector.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Bytes { start, len, capacity, skipped: 0, home: None }
    }
}

impl Deref for Bytes {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for Bytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        match &self.home {
            Some(Home { pool, place: Place::Units { chunk, unit } }) => {
                pool.give_units(*chunk, *unit, self.capacity / UNIT);
            }
            Some(Home { pool, place: Place::Slot { stripe, slot, slab } }) => {
                let unused = pool.stripes[usize::from(*stripe)].lock().give(*slab, *slot);
                pool.give_slab(unused);
            }
            // SAFETY: without a home this is the memory of the vector that `from` took: it began `skipped` before.
            None => unsafe {
                drop(Vec::from_raw_parts(self.start.as_ptr().sub(self.skipped), 0, self.capacity));
            },
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({} of {})", self.len, self.capacity)
    }
}

/// `len` bytes of the heap, zeros, from an address that is a multiple of `alignment`, a power of two.
pub fn unpooled(len: usize, alignment: usize) -> Bytes {
    let bytes = Bytes::from(vec![0; len + alignment - 1]);
    let skipped = bytes.as_ptr().align_offset(alignment);
    bytes.narrow(skipped..skipped + len)
}

/// Memory for large buffers. May be used from any thread.
pub struct BufferPool {
    state: Mutex<State>,
    stripes: [Mutex<Slabs>; STRIPES],
}

impl BufferPool {
    /// A pool that maps at most about `limit` bytes, rounded up to a chunk and an eighth more.
    pub fn new(limit: usize) -> Arc<BufferPool> {
        let pool = BufferPool { state: Mutex::default(), stripes: Default::default() };
        pool.set_limit(limit);
        Arc::new(pool)
    }

    /// Changes the limit for what is mapped from now on.
    pub fn set_limit(&self, limit: usize) {
        // An eighth for holes between buffers of different lengths.
        self.state.lock().most_chunks = limit.saturating_add(limit / 8).div_ceil(CHUNK);
    }

    /// `len` bytes with anything in them.
    pub fn take(self: &Arc<BufferPool>, len: usize) -> Bytes {
        let taken = match len {
            SHORTEST_SLOT..SHORTEST => self.take_slot(len),
            SHORTEST..=LONGEST => self.take_units(len),
            _ => None,
        };
        taken.unwrap_or_else(|| Bytes::from(vec![0; len]))
    }

    fn take_units(self: &Arc<BufferPool>, len: usize) -> Option<Bytes> {
        let run = self.take_run(len.div_ceil(UNIT))?;
        let place = Place::Units { chunk: run.chunk as u32, unit: run.unit as u32 };
        let home = Some(Home { pool: self.clone(), place });
        Some(Bytes { start: run.start, len, capacity: len.next_multiple_of(UNIT), skipped: 0, home })
    }

    fn take_slot(self: &Arc<BufferPool>, len: usize) -> Option<Bytes> {
        let stripe = stripe();
        let slabs = &self.stripes[stripe];
        let taken = slabs.lock().take(len);
        let slot = match taken {
            Some(slot) => slot,
            None => {
                let run = self.take_run(SLAB / UNIT)?;
                let run = SlabRun { start: run.start, chunk: run.chunk as u32, unit: run.unit as u32 };
                let (slot, unused) = slabs.lock().add(run, len);
                self.give_slab(unused);
                slot?
            }
        };
        let place = Place::Slot { stripe: stripe as u8, slot: slot.slot, slab: slot.slab };
        let home = Some(Home { pool: self.clone(), place });
        Some(Bytes { start: slot.start, len, capacity: slot.capacity, skipped: 0, home })
    }

    /// A run of `units` that are real memory.
    fn take_run(&self, units: usize) -> Option<Run> {
        let mut run = self.state.lock().take(units)?;
        if let Some(extent) = run.extent.take()
            && !extent.make_real()
        {
            self.state.lock().ordinary_left = ORDINARY_EXTENTS;
        }
        Some(run)
    }

    /// As `take`, from an address that is a multiple of `alignment`, a power of two.
    pub fn take_aligned(self: &Arc<BufferPool>, len: usize, alignment: usize) -> Bytes {
        let rest = alignment.saturating_sub(UNIT);
        if (SHORTEST..=LONGEST).contains(&(len + rest)) {
            let bytes = self.take(len + rest);
            let skipped = bytes.as_ptr().align_offset(alignment);
            if skipped <= rest {
                return bytes.narrow(skipped..skipped + len);
            }
        }
        unpooled(len, alignment)
    }

    fn give_units(&self, chunk: u32, unit: u32, units: usize) {
        let freed = self.state.lock().give(chunk as usize, unit as usize, units);
        drop(freed); // unmapped after the lock
    }

    fn give_slab(&self, run: Option<SlabRun>) {
        if let Some(run) = run {
            self.give_units(run.chunk, run.unit, SLAB / UNIT);
        }
    }

    /// Bytes of address space that are mapped for chunks; of them at most as many are memory.
    pub fn mapped_bytes(&self) -> usize {
        self.state.lock().chunks.iter().flatten().count() * CHUNK
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        // Nobody holds a buffer: what is left of slabs are the empty ones.
        for stripe in &mut self.stripes {
            if let Some(run) = stripe.get_mut().take_empty() {
                drop(self.state.get_mut().give(run.chunk as usize, run.unit as usize, SLAB / UNIT));
            }
        }
    }
}

impl std::fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufferPool({} bytes mapped)", self.mapped_bytes())
    }
}

/// Which slabs this thread takes slots of. Threads take turns.
#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

#[derive(Default)]
struct State {
    chunks: Vec<Option<Chunk>>,
    /// For each chunk: no free run is longer. 0 where there is no chunk.
    longest: Vec<u16>,
    most_chunks: usize,
    /// The chunk that last gave or got a run.
    last: usize,
    /// Extents that are to be of ordinary pages.
    ordinary_left: usize,
}

/// Units that were free.
struct Run {
    start: NonNull<u8>,
    chunk: usize,
    unit: usize,
    /// What is to be made real first, outside the lock.
    extent: Option<Extent>,
}

/// A part of a chunk that nobody has used.
struct Extent {
    start: NonNull<u8>,
    len: usize,
    is_huge: bool,
}

impl Extent {
    /// False if it was slow for huge pages. The caller has taken a part of it, so it stays mapped (U2).
    #[cold]
    #[allow(clippy::disallowed_methods)] // the environment's own look at its clock
    fn make_real(&self) -> bool {
        let before = Instant::now();
        if self.is_huge {
            prefer_huge_pages(self.start, self.len);
        }
        populate(self.start, self.len);
        !self.is_huge || before.elapsed() <= SLOW * (self.len / HUGE_PAGE) as u32
    }
}

struct Chunk {
    /// A chunk and the rest of a huge page, so that one can begin at a huge page.
    mapping: MmapMut,
    start: NonNull<u8>,
    /// A set bit is a taken unit.
    taken: Box<[u64; WORDS]>,
    units_taken: usize,
    /// Bytes from the start that are real, or that somebody is making so.
    real: usize,
}

// SAFETY: `start` points into `mapping`, which may move between threads.
unsafe impl Send for Chunk {}

impl State {
    /// A run of `units`, now taken.
    fn take(&mut self, units: usize) -> Option<Run> {
        let (before, from_last) = (0..self.last, self.last..self.longest.len());
        for number in from_last.chain(before) {
            if usize::from(self.longest[number]) < units {
                continue;
            }
            let chunk = self.chunks[number].as_mut()?;
            match chunk.find(units) {
                Ok(unit) => return Some(self.take_at(number, unit, units)),
                Err(longest) => self.longest[number] = longest as u16,
            }
        }
        let number = self.add_chunk()?;
        Some(self.take_at(number, 0, units))
    }

    fn take_at(&mut self, number: usize, unit: usize, units: usize) -> Run {
        self.last = number;
        let chunk = self.chunks[number].as_mut().expect("the caller found it");
        chunk.mark(unit, units, true);
        let extent = chunk.grow_to((unit + units) * UNIT, self.ordinary_left > 0);
        if extent.is_some() {
            self.ordinary_left = self.ordinary_left.saturating_sub(1);
        }
        // SAFETY: the run is inside the chunk.
        Run { start: unsafe { chunk.start.add(unit * UNIT) }, chunk: number, unit, extent }
    }

    fn add_chunk(&mut self) -> Option<usize> {
        if self.chunks.iter().flatten().count() >= self.most_chunks {
            return None;
        }
        let chunk = Chunk::new()?;
        let number = self.chunks.iter().position(Option::is_none).unwrap_or(self.chunks.len());
        if number == self.chunks.len() {
            self.chunks.push(None);
            self.longest.push(0);
        }
        self.chunks[number] = Some(chunk);
        self.longest[number] = UNITS as u16;
        Some(number)
    }

    /// Takes a run back; gives a chunk that is not needed any more.
    fn give(&mut self, number: usize, unit: usize, units: usize) -> Option<Chunk> {
        let chunk = self.chunks[number].as_mut().expect("U2");
        chunk.mark(unit, units, false);
        // At most: the next search that fails says how long it is.
        self.longest[number] = UNITS as u16;
        let is_free = chunk.units_taken == 0;
        self.last = number;
        let free = |other: &&Option<Chunk>| other.as_ref().is_some_and(|chunk| chunk.units_taken == 0);
        if is_free && self.chunks.iter().filter(free).count() > 1 {
            self.longest[number] = 0;
            return self.chunks[number].take();
        }
        None
    }
}

impl Chunk {
    /// `None` if the system gives no memory.
    fn new() -> Option<Chunk> {
        let mut mapping = MmapMut::map_anon(CHUNK + HUGE_PAGE).ok()?;
        let skipped = mapping.as_ptr().align_offset(HUGE_PAGE);
        let start = NonNull::from(&mut mapping[skipped..skipped + CHUNK]).cast::<u8>();
        Some(Chunk { mapping, start, taken: Box::new([0; WORDS]), units_taken: 0, real: 0 })
    }

    /// What has to be made real before the bytes up to `end` are used.
    #[inline]
    fn grow_to(&mut self, end: usize, ordinary: bool) -> Option<Extent> {
        if end <= self.real {
            return None;
        }
        let from = self.real;
        // The rest of a huge page that has begun with ordinary ones goes on with them.
        let is_huge = !ordinary && from.is_multiple_of(HUGE_PAGE);
        self.real = end.next_multiple_of(if is_huge { HUGE_PAGE } else { ORDINARY });
        // SAFETY: `from` is inside the chunk.
        Some(Extent { start: unsafe { self.start.add(from) }, len: self.real - from, is_huge })
    }

    /// The first unit of the first free run of `units`; if there is none, the length of the longest.
    fn find(&self, units: usize) -> Result<usize, usize> {
        let (mut run, mut longest) = (0, 0);
        for (number, &word) in self.taken.iter().enumerate() {
            let mut at = 0;
            while at < 64 {
                let rest = word >> at;
                // Beyond the word's end come zeros of the shift, which are no free units.
                let free = (rest.trailing_zeros() as usize).min(64 - at);
                run += free;
                at += free;
                if run >= units {
                    return Ok(number * 64 + at - run);
                }
                if at < 64 {
                    longest = longest.max(run);
                    run = 0;
                    at += (word >> at).trailing_ones() as usize;
                }
            }
        }
        Err(longest.max(run))
    }

    fn mark(&mut self, unit: usize, units: usize, taken: bool) {
        let (mut at, end) = (unit, unit + units);
        while at < end {
            let len = (64 - at % 64).min(end - at);
            let mask = (u64::MAX >> (64 - len)) << (at % 64);
            let word = &mut self.taken[at / 64];
            debug_assert_eq!(*word & mask, if taken { 0 } else { mask }, "U1");
            *word ^= mask;
            at += len;
        }
        self.units_taken = if taken { self.units_taken + units } else { self.units_taken - units };
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        debug_assert_eq!(self.units_taken, 0, "U2");
        debug_assert!(self.mapping.len() >= CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((self.0 >> 33) as usize) % bound
        }
    }

    #[test]
    fn vectors_come_back_as_they_were() {
        for vector in [Vec::new(), Vec::with_capacity(10), vec![1, 2, 3], vec![7; 100_000]] {
            let (at, capacity) = (vector.as_ptr(), vector.capacity());
            let mut bytes = Bytes::from(vector.clone());
            assert_eq!((&bytes[..], bytes.len()), (&vector[..], vector.len()));
            bytes.fill(9);
            assert!(bytes.iter().all(|&byte| byte == 9));
            drop(bytes);
            let bytes = Bytes::from(vector);
            assert_eq!(bytes.capacity(), capacity);
            let vector = bytes.into_vec().unwrap();
            assert_eq!((vector.as_ptr(), vector.capacity()), (at, capacity));
        }
    }

    #[test]
    fn narrowed_bytes_keep_their_memory() {
        let pool = BufferPool::new(1);
        for mut bytes in [Bytes::from((0..=255).collect::<Vec<u8>>().repeat(20)), pool.take(5120)] {
            let (capacity, is_pooled) = (bytes.capacity(), bytes.home.is_some());
            bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
            let bytes = bytes.narrow(0..5120).narrow(10..600).narrow(5..8);
            assert_eq!((&bytes[..], bytes.len(), bytes.capacity()), (&[15, 16, 17][..], 3, capacity));
            let empty = bytes.narrow(3..3);
            assert!(empty.is_empty() && empty.home.is_some() == is_pooled && empty.into_vec().is_none());
        }
        assert_eq!(
            pool.state.lock().chunks.iter().flatten().map(|chunk| chunk.units_taken).sum::<usize>(),
            0
        );
        let vector = Bytes::from(vec![1, 2, 3]).narrow(0..2).into_vec();
        assert_eq!(vector, Some(vec![1, 2]));
    }

    #[test]
    #[should_panic(expected = "0..4 of 3 bytes")]
    fn bytes_cannot_be_made_longer() {
        drop(Bytes::from(vec![1, 2, 3]).narrow(0..4));
    }

    #[test]
    fn aligned_bytes_are_aligned_wherever_they_come_from() {
        for limit in [0, CHUNK, 4 * CHUNK] {
            let pool = BufferPool::new(limit);
            let mut held = Vec::new();
            let mut random = Random(limit as u64);
            for _ in 0..200 {
                let len = [1, 511, SHORTEST, 5000, 70_000, LONGEST, LONGEST + 1][random.below(7)];
                let alignment = [1, 512, 4096, 16384][random.below(4)];
                let mut bytes = pool.take_aligned(len, alignment);
                assert_eq!((bytes.len(), bytes.as_ptr() as usize % alignment), (len, 0));
                bytes.fill(1);
                held.push(bytes);
                if held.len() > 40 {
                    held.swap_remove(random.below(40));
                }
            }
        }
    }

    #[test]
    fn very_short_long_and_late_buffers_are_the_heaps() {
        let pool = BufferPool::new(1);
        assert!(pool.take(SHORTEST_SLOT - 1).home.is_none() && pool.take(LONGEST + 1).home.is_none());
        assert_eq!(pool.mapped_bytes(), 0);
        let all: Vec<Bytes> = (0..8).map(|_| pool.take(LONGEST)).collect();
        assert_eq!(all.iter().filter(|bytes| bytes.home.is_some()).count(), 7);
        assert!(all.iter().all(|bytes| bytes.len() == LONGEST));
        assert_eq!(pool.mapped_bytes(), CHUNK);
        // No room is left for a slab either.
        assert!(pool.take(SHORTEST_SLOT).home.is_none());
        let none = BufferPool::new(0);
        assert!(none.take(SHORTEST).home.is_none() && none.take(SHORTEST - 1).home.is_none());
    }

    #[test]
    fn the_memory_just_dropped_is_the_next_to_be_used() {
        let pool = BufferPool::new(3 * CHUNK);
        let kept: Vec<Bytes> = (0..200).map(|_| pool.take(65_600)).collect();
        assert_eq!(pool.mapped_bytes(), 2 * CHUNK);
        let bytes = pool.take(65_600);
        let at = bytes.as_ptr();
        drop(bytes);
        assert_eq!(pool.take(65_000).as_ptr(), at);
        drop(kept);
        // One free chunk is kept.
        assert_eq!(pool.mapped_bytes(), CHUNK);
        assert!(pool.take(5000).into_vec().is_none());
    }

    #[test]
    fn buffers_never_overlap_and_free_memory_is_found() {
        for seed in 0..20u64 {
            let mut random = Random(seed);
            let pool = BufferPool::new(2 * CHUNK);
            let mut held: Vec<(Bytes, u8)> = Vec::new();
            for step in 0..600 {
                if random.below(5) < 3 {
                    let len = match random.below(4) {
                        3 => SHORTEST_SLOT + random.below(SHORTEST),
                        0 => SHORTEST + random.below(5000),
                        1 => 65_536 + random.below(100),
                        _ => LONGEST - random.below(LONGEST / 2),
                    };
                    let mut bytes = pool.take(len);
                    assert_eq!(bytes.len(), len, "seed {seed} step {step}");
                    bytes.fill(step as u8);
                    held.push((bytes, step as u8));
                } else if !held.is_empty() {
                    let (bytes, fill) = held.swap_remove(random.below(held.len()));
                    assert!(bytes.iter().all(|&byte| byte == fill), "seed {seed} step {step}");
                }
            }
            let in_pool = |held: &[(Bytes, u8)]| -> usize {
                let in_units = |bytes: &&(Bytes, u8)| {
                    bytes.0.home.as_ref().is_some_and(|home| matches!(home.place, Place::Units { .. }))
                };
                held.iter().filter(in_units).map(|(bytes, _)| bytes.capacity()).sum()
            };
            let taken = |pool: &BufferPool| -> usize {
                pool.state.lock().chunks.iter().flatten().map(|chunk| chunk.units_taken * UNIT).sum()
            };
            let in_slabs = taken(&pool) - in_pool(&held);
            assert!(in_slabs.is_multiple_of(SLAB), "seed {seed}: {in_slabs}");
            assert!(pool.mapped_bytes() <= 3 * CHUNK, "seed {seed}: an eighth and rounding");
            for (bytes, fill) in held.drain(..) {
                assert!(bytes.iter().all(|&byte| byte == fill), "seed {seed}");
            }
            let kept = pool.stripes[stripe()].lock().take_empty();
            pool.give_slab(kept);
            assert_eq!(taken(&pool), 0);
            let whole = pool.state.lock().take(UNITS).map(|run| (run.chunk, run.unit));
            let (chunk, unit) = whole.expect("all is free");
            assert_eq!(unit, 0);
            drop(pool.state.lock().give(chunk, 0, UNITS));
        }
    }

    #[test]
    fn short_buffers_share_slabs_and_the_one_just_dropped_is_used_again() {
        let pool = BufferPool::new(CHUNK);
        let mut held: Vec<Bytes> = (0..300).map(|_| pool.take(1064)).collect();
        assert!(held.iter().all(|bytes| (1064..1100).contains(&bytes.capacity()) && bytes.home.is_some()));
        let taken = |pool: &BufferPool| pool.state.lock().chunks[0].as_ref().unwrap().units_taken * UNIT;
        assert_eq!(taken(&pool), 10 * SLAB);
        for (fill, bytes) in held.iter_mut().enumerate() {
            bytes.fill(fill as u8);
        }
        assert!(held.iter().enumerate().all(|(fill, bytes)| bytes.iter().all(|&byte| byte == fill as u8)));
        let last = held.pop().unwrap();
        let at = last.as_ptr();
        drop(last);
        assert_eq!(pool.take(1060).as_ptr(), at);
        drop(held);
        assert_eq!(taken(&pool), SLAB, "one is kept");
    }

    #[test]
    fn a_search_finds_the_first_run_or_the_longest() {
        let mut chunk = Chunk::new().unwrap();
        assert_eq!(chunk.find(UNITS), Ok(0));
        chunk.mark(0, 60, true);
        chunk.mark(63, 70, true);
        chunk.mark(200, UNITS - 200, true);
        assert_eq!((chunk.find(3), chunk.find(4), chunk.find(67)), (Ok(60), Ok(133), Ok(133)));
        assert_eq!(chunk.find(68), Err(67));
        chunk.mark(60, 3, true);
        chunk.mark(133, 67, true);
        assert_eq!(chunk.find(1), Err(0));
        chunk.mark(UNITS - 1, 1, false);
        assert_eq!(chunk.find(1), Ok(UNITS - 1));
        chunk.mark(UNITS - 1, 1, true);
        chunk.mark(0, UNITS, false);
    }

    #[test]
    fn a_chunk_becomes_real_by_extents() {
        let mut chunk = Chunk::new().unwrap();
        let mut grow = |end, ordinary| {
            let extent = chunk.grow_to(end, ordinary)?;
            Some((extent.start.as_ptr() as usize - chunk.start.as_ptr() as usize, extent.len, extent.is_huge))
        };
        assert_eq!(grow(1, false), Some((0, HUGE_PAGE, true)));
        assert_eq!(grow(HUGE_PAGE, false), None);
        assert_eq!(grow(HUGE_PAGE + 1, true), Some((HUGE_PAGE, ORDINARY, false)));
        assert_eq!(grow(HUGE_PAGE + ORDINARY + 1, false), Some((HUGE_PAGE + ORDINARY, ORDINARY, false)));
        let rest = HUGE_PAGE + 2 * ORDINARY;
        assert_eq!(grow(3 * HUGE_PAGE, true), Some((rest, 3 * HUGE_PAGE - rest, false)));
        assert_eq!(grow(CHUNK, false), Some((3 * HUGE_PAGE, HUGE_PAGE, true)));
        assert_eq!(grow(CHUNK, true), None);
    }

    #[test]
    fn threads_share_a_pool() {
        let pool = BufferPool::new(CHUNK);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let pool = &pool;
                scope.spawn(move || {
                    let mut random = Random(u64::from(thread));
                    for _ in 0..2000 {
                        let short = random.below(2) == 0;
                        let len = if short { 1000 } else { SHORTEST }
                            + random.below(if short { 2000 } else { 70_000 });
                        let mut bytes = pool.take(len);
                        bytes[..100].fill(thread);
                        assert!(bytes[..100].iter().all(|&byte| byte == thread));
                    }
                });
            }
        });
    }
}
