//! The cache of uncompressed blocks and values: sharded, charged in bytes, pinnable, with a strict budget.
//!
//! 1. A key's hash chooses a shard: a mutex around a slab of entries, a hash table and the policy's lists.
//! 2. An entry is charged its buffer's capacity and a fixed overhead; before it goes in, others leave until it fits.
//! 3. Reservations (memory of indexes, filters, models held elsewhere) take room from all shards evenly.
//! 4. A value that others would have to leave for is kept only if it was asked for before, not long ago: values are
//!    large, and one read once would cost the room of many blocks. While there is room, every value is kept.
//! 5. Buffers for values come from a pool, which gets them back when they leave the cache and their last reader.
//!
//! Invariant C1: entries and reservations together never exceed the capacity, unless reservations alone do (that
//! memory cannot be taken away; then nothing is cached).
//! An entry counts only while it is in the cache: eviction takes it out even if someone holds the buffer, whose
//! memory then is the holder's business.

use crate::env::buffers::{BufferPool, Bytes};
use parking_lot::{Mutex, MutexGuard};
use shard::{Evicted, Shard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod admission;
mod arc;
mod entries;
mod lru;
mod shard;
#[cfg(test)]
mod tests;

/// A shard chosen by capacity has at least so many bytes: small shards waste room on uneven hashes and refuse large
/// buffers.
const SMALLEST_SHARD: u64 = 4 << 20;
/// No more than two to this many shards are chosen by capacity.
const SHARD_BITS_BY_CAPACITY: i32 = 6;
/// No more than two to this many shards can be asked for.
const SHARD_BITS_MAX: i32 = 16;

/// Names a cached buffer: a file and an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Unique among all databases that share the cache (the owner takes it from `Cache::new_owner`).
    pub owner: u64,
    /// File number.
    pub file: u64,
    /// Offset of the block or record.
    pub offset: u64,
}

impl CacheKey {
    /// Spread over all 64 bits: the lower half chooses the hash chain, the upper the shard.
    #[inline]
    fn hash(&self) -> u64 {
        let mut hash =
            self.owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.file.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        hash = (hash ^ (hash >> 32) ^ self.offset).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^ (hash >> 32)
    }
}

/// Which entry leaves when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// Least recently used.
    Lru,
    /// Adaptive replacement: recency and frequency balanced by what was missed; scan resistant.
    Arc,
}

/// What goes to which statistics line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryClass {
    /// A data block of a table.
    Data,
    /// A value of the value log.
    Value,
}

/// Counts since creation, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups of blocks that hit.
    pub data_hits: u64,
    /// Lookups of blocks that missed.
    pub data_misses: u64,
    /// Lookups of values that hit.
    pub value_hits: u64,
    /// Lookups of values that missed.
    pub value_misses: u64,
    /// Entries inserted.
    pub inserts: u64,
    /// Entries evicted.
    pub evictions: u64,
    /// Values not kept, because they were asked for the first time and others would have had to leave.
    pub refusals: u64,
}

/// A cached (or just read) buffer, kept alive by whoever holds it. Holding one counts as pinned usage.
pub type Buffer = Arc<Bytes>;

/// A shared cache. Cheap to clone through `Arc`; all methods may be called from any thread.
pub struct Cache {
    shards: Box<[PaddedShard]>,
    budget: Mutex<Budget>,
    next_owner: AtomicU64,
    pool: Arc<BufferPool>,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
struct PaddedShard(Mutex<Shard>);

/// What may be used in all. Its lock is taken before those of shards.
struct Budget {
    capacity: u64,
    reserved: u64,
}

impl Cache {
    /// A cache of `capacity` bytes; 0 keeps nothing. `shard_bits` < 0 chooses by capacity.
    pub fn new(capacity: u64, policy: EvictionPolicy, shard_bits: i32) -> Arc<Cache> {
        let bits = if shard_bits < 0 {
            (capacity / SMALLEST_SHARD)
                .checked_ilog2()
                .map_or(0, |bits| (bits as i32).min(SHARD_BITS_BY_CAPACITY))
        } else {
            shard_bits.min(SHARD_BITS_MAX)
        };
        let shards = (0..1usize << bits).map(|_| PaddedShard(Mutex::new(Shard::new(policy)))).collect();
        let budget = Mutex::new(Budget { capacity: 0, reserved: 0 });
        let (next_owner, pool) = (AtomicU64::new(1), BufferPool::new(0));
        let cache = Arc::new(Cache { shards, budget, next_owner, pool });
        cache.set_capacity(capacity);
        cache
    }

    /// A number no other user of this cache has.
    pub fn new_owner(&self) -> u64 {
        self.next_owner.fetch_add(1, Ordering::Relaxed)
    }

    /// The buffer under `key`.
    #[inline]
    pub fn get(&self, key: CacheKey, class: EntryClass) -> Option<Buffer> {
        let hash = key.hash();
        self.shard(hash).get(hash, &key, class)
    }

    /// Memory for a value that is about to be read, with anything in it. It need not be inserted.
    #[inline]
    pub fn buffer(&self, len: usize) -> Bytes {
        self.pool.take(len)
    }

    /// As `buffer`, from an address that is a multiple of `alignment`, a power of two.
    #[inline]
    pub fn aligned_buffer(&self, len: usize, alignment: usize) -> Bytes {
        if alignment == 1 { self.pool.take(len) } else { self.pool.take_aligned(len, alignment) }
    }

    /// Keeps `buffer` under `key`, evicting others within the budget. A buffer larger than a shard is not kept, nor
    /// is a value for which others would have to leave, unless it was refused before, not long ago.
    pub fn insert(&self, key: CacheKey, class: EntryClass, buffer: &Buffer) {
        let hash = key.hash();
        let evicted = self.shard(hash).insert(hash, key, class, buffer);
        // Freed here, after the shard's lock.
        drop(evicted);
    }

    /// Forgets an entry.
    pub fn remove(&self, key: CacheKey) {
        let hash = key.hash();
        let buffer = self.shard(hash).remove(hash, &key);
        drop(buffer);
    }

    /// Charges memory held elsewhere (models, filters, indexes) against the budget; dropping the charge returns it.
    pub fn reserve(self: &Arc<Cache>, bytes: u64) -> Reservation {
        self.change_budget(|budget| budget.reserved += bytes);
        Reservation { cache: self.clone(), bytes }
    }

    /// Changes the budget; evicts at once if it shrinks.
    pub fn set_capacity(&self, capacity: u64) {
        self.change_budget(|budget| budget.capacity = capacity);
    }

    /// The budget in bytes.
    pub fn capacity(&self) -> u64 {
        self.budget.lock().capacity
    }

    /// Bytes in use: entries and reservations.
    pub fn usage(&self) -> u64 {
        // The budget's lock keeps the shards' limits as they are: the sum is within the budget at every moment (C1).
        let budget = self.budget.lock();
        budget.reserved + self.sum(|shard| shard.bytes() as u64)
    }

    /// Bytes of entries that someone outside the cache holds, and reservations. Looks at every entry.
    pub fn pinned_usage(&self) -> u64 {
        let budget = self.budget.lock();
        budget.reserved + self.sum(|shard| shard.pinned_bytes() as u64)
    }

    /// Counts.
    pub fn stats(&self) -> CacheStats {
        let mut total = CacheStats::default();
        for shard in &self.shards {
            let shard = shard.0.lock();
            let stats = shard.stats();
            total.data_hits += stats.data_hits;
            total.data_misses += stats.data_misses;
            total.value_hits += stats.value_hits;
            total.value_misses += stats.value_misses;
            total.inserts += stats.inserts;
            total.evictions += stats.evictions;
            total.refusals += stats.refusals;
        }
        total
    }

    #[inline]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The number of shards is a power of two.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards[index].0.lock()
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| of(&shard.0.lock())).sum()
    }

    /// Changes capacity or reservations and gives every shard its new limit.
    fn change_budget(&self, change: impl FnOnce(&mut Budget)) {
        let mut evicted: Vec<Evicted> = Vec::new();
        let mut budget = self.budget.lock();
        change(&mut budget);
        let room = budget.capacity.saturating_sub(budget.reserved);
        self.pool.set_limit(usize::try_from(room).unwrap_or(usize::MAX));
        let room = room / self.shards.len() as u64;
        let limit = usize::try_from(room).unwrap_or(usize::MAX).min(isize::MAX as usize / 4);
        evicted.extend(self.shards.iter().map(|shard| shard.0.lock().set_limit(limit)));
        drop(budget);
        // Freed here, after the locks.
        drop(evicted);
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Budget { capacity, reserved } = *self.budget.lock();
        write!(f, "Cache(capacity {capacity}, reserved {reserved}, {} shards)", self.shards.len())
    }
}

/// Bytes charged to a cache for as long as this lives.
#[derive(Debug)]
pub struct Reservation {
    cache: Arc<Cache>,
    bytes: u64,
}

impl Reservation {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.cache.change_budget(|budget| budget.reserved -= self.bytes);
    }
}
