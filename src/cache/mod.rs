//! The cache of uncompressed blocks and values: sharded, charged in bytes, pinnable, with a strict budget.

use crate::base::Result;
use std::sync::Arc;

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
}

/// A shared cache. Cheap to clone through `Arc`; all methods may be called from any thread.
pub struct Cache {
    _private: (),
}

/// A cached (or just read) buffer, kept alive by whoever holds it. Holding one counts as pinned usage.
pub type Buffer = Arc<Vec<u8>>;

impl Cache {
    /// A cache of `capacity` bytes. `shard_bits` < 0 chooses by capacity.
    pub fn new(capacity: u64, policy: EvictionPolicy, shard_bits: i32) -> Arc<Cache> {
        todo!()
    }
    /// A number no other user of this cache has.
    pub fn new_owner(&self) -> u64 {
        todo!()
    }
    /// The buffer under `key`.
    pub fn get(&self, key: CacheKey, class: EntryClass) -> Option<Buffer> {
        todo!()
    }
    /// Keeps `buffer` under `key`, evicting others within the budget. A buffer larger than a shard is not kept.
    pub fn insert(&self, key: CacheKey, class: EntryClass, buffer: &Buffer) {
        todo!()
    }
    /// Forgets an entry.
    pub fn remove(&self, key: CacheKey) {
        todo!()
    }
    /// Charges memory held elsewhere (models, filters, indexes) against the budget; dropping the charge returns it.
    pub fn reserve(self: &Arc<Cache>, bytes: u64) -> Reservation {
        todo!()
    }
    /// Changes the budget; evicts at once if it shrinks.
    pub fn set_capacity(&self, capacity: u64) {
        todo!()
    }
    /// The budget in bytes.
    pub fn capacity(&self) -> u64 {
        todo!()
    }
    /// Bytes in use: entries and reservations.
    pub fn usage(&self) -> u64 {
        todo!()
    }
    /// Bytes of entries that someone outside the cache holds, and reservations.
    pub fn pinned_usage(&self) -> u64 {
        todo!()
    }
    /// Counts.
    pub fn stats(&self) -> CacheStats {
        todo!()
    }
}

/// Bytes charged to a cache for as long as this lives.
pub struct Reservation {
    _private: (),
}
