//! One shard: entries, a policy, a limit. Everything here runs under the shard's lock.
//!
//! Buffers that leave are handed to the caller in `Evicted` and freed after the lock is let go.

use super::admission::Doorkeeper;
use super::arc::Adaptive;
use super::entries::{Entries, Node};
use super::lru::Lru;
use super::{Buffer, CacheKey, CacheStats, EntryClass, EvictionPolicy};
use crate::env::buffers::Bytes;
use std::sync::Arc;

/// Bytes charged for an entry besides its buffer: its node and its share of the hash table, twice, so that a ghost
/// for each entry is paid for; the buffer's header; and the headers of two allocations.
pub(super) const ENTRY_OVERHEAD: usize = 2 * (size_of::<Node>() + 8) + size_of::<Bytes>() + 2 * 8 + 2 * 8;

/// Buffers that were evicted. Most inserts evict at most one, which needs no allocation.
#[derive(Default)]
pub(super) struct Evicted {
    first: Option<Buffer>,
    more: Vec<Buffer>,
    count: u64,
}

impl Evicted {
    /// Takes the buffer of an evicted node.
    pub(super) fn add(&mut self, buffer: Option<Buffer>) {
        let Some(buffer) = buffer else { return };
        self.count += 1;
        if let Some(earlier) = self.first.replace(buffer) {
            self.more.push(earlier);
        }
    }
}

enum Policy {
    Lru(Lru),
    Adaptive(Adaptive),
}

/// A part of the cache with its share of the budget.
pub(super) struct Shard {
    entries: Entries,
    policy: Policy,
    doorkeeper: Doorkeeper,
    limit: usize,
    stats: CacheStats,
}

impl Shard {
    pub(super) fn new(policy: EvictionPolicy) -> Shard {
        let policy = match policy {
            EvictionPolicy::Lru => Policy::Lru(Lru::new()),
            EvictionPolicy::Arc => Policy::Adaptive(Adaptive::new()),
        };
        let (entries, doorkeeper, stats) = (Entries::new(), Doorkeeper::new(), CacheStats::default());
        Shard { entries, policy, doorkeeper, limit: 0, stats }
    }

    /// The buffer under `key`.
    #[inline]
    pub(super) fn get(&mut self, hash: u64, key: &CacheKey, class: EntryClass) -> Option<Buffer> {
        let found = self.entries.find(hash, key);
        let found = found.and_then(|index| Some((index, self.entries.node(index).buffer.clone()?)));
        let counter = match (class, found.is_some()) {
            (EntryClass::Data, true) => &mut self.stats.data_hits,
            (EntryClass::Data, false) => &mut self.stats.data_misses,
            (EntryClass::Value, true) => &mut self.stats.value_hits,
            (EntryClass::Value, false) => &mut self.stats.value_misses,
        };
        *counter += 1;
        let (index, buffer) = found?;
        self.hit(index);
        Some(buffer)
    }

    /// Keeps `buffer` if it fits into the shard and, being a value, is worth others' leaving.
    pub(super) fn insert(&mut self, hash: u64, key: CacheKey, class: EntryClass, buffer: &Buffer) -> Evicted {
        let charge = buffer.capacity() + ENTRY_OVERHEAD;
        let mut evicted = Evicted::default();
        if charge > self.limit {
            return evicted;
        }
        let found = self.entries.find(hash, &key);
        let others_must_leave = found.is_none() && self.bytes() + charge > self.limit;
        if class == EntryClass::Value && others_must_leave && !self.doorkeeper.admits(hash, self.limit) {
            self.stats.refusals += 1;
            return evicted;
        }
        self.stats.inserts += 1;
        match found {
            Some(index) if self.entries.node(index).buffer.is_none() => {
                self.readmit(index, buffer.clone(), charge, &mut evicted);
            }
            Some(index) if self.entries.node(index).charge == charge => {
                // Two readers missed at once. Their buffers hold the same; the newer one is in use for sure.
                evicted.first = self.entries.node_mut(index).buffer.replace(buffer.clone());
                self.hit(index);
            }
            Some(index) => {
                evicted.first = self.forget(index);
                self.admit(hash, key, buffer.clone(), charge, &mut evicted);
            }
            None => self.admit(hash, key, buffer.clone(), charge, &mut evicted),
        }
        self.stats.evictions += evicted.count;
        evicted
    }

    /// Forgets an entry and its ghost; gives the buffer.
    pub(super) fn remove(&mut self, hash: u64, key: &CacheKey) -> Option<Buffer> {
        self.entries.find(hash, key).and_then(|index| self.forget(index))
    }

    /// Changes the limit and evicts what is above it.
    pub(super) fn set_limit(&mut self, limit: usize) -> Evicted {
        self.limit = limit;
        let mut evicted = Evicted::default();
        match &mut self.policy {
            Policy::Lru(lru) => lru.shrink(&mut self.entries, limit, &mut evicted),
            Policy::Adaptive(adaptive) => adaptive.shrink(&mut self.entries, limit, &mut evicted),
        }
        self.stats.evictions += evicted.count;
        evicted
    }

    /// Bytes charged for cached entries.
    pub(super) fn bytes(&self) -> usize {
        match &self.policy {
            Policy::Lru(lru) => lru.bytes(),
            Policy::Adaptive(adaptive) => adaptive.bytes(),
        }
    }

    /// Bytes charged for cached entries that someone else holds too. Looks at every entry.
    pub(super) fn pinned_bytes(&self) -> usize {
        let held = |node: &&Node| node.buffer.as_ref().is_some_and(|buffer| Arc::strong_count(buffer) > 1);
        self.entries.iter().filter(held).map(|node| node.charge).sum()
    }

    pub(super) fn stats(&self) -> &CacheStats {
        &self.stats
    }

    #[inline]
    fn hit(&mut self, index: u32) {
        match &mut self.policy {
            Policy::Lru(lru) => lru.hit(&mut self.entries, index),
            Policy::Adaptive(adaptive) => adaptive.hit(&mut self.entries, index),
        }
    }

    fn admit(&mut self, hash: u64, key: CacheKey, buffer: Buffer, charge: usize, evicted: &mut Evicted) {
        let index = self.entries.add(hash, key, buffer, charge);
        match &mut self.policy {
            Policy::Lru(lru) => lru.admit(&mut self.entries, index, self.limit, evicted),
            Policy::Adaptive(adaptive) => adaptive.admit(&mut self.entries, index, self.limit, evicted),
        }
    }

    fn readmit(&mut self, index: u32, buffer: Buffer, charge: usize, evicted: &mut Evicted) {
        match &mut self.policy {
            Policy::Lru(_) => unreachable!("LRU keeps no ghosts"),
            Policy::Adaptive(adaptive) => {
                adaptive.readmit(&mut self.entries, index, (buffer, charge), self.limit, evicted);
            }
        }
    }

    fn forget(&mut self, index: u32) -> Option<Buffer> {
        match &mut self.policy {
            Policy::Lru(lru) => lru.remove(&mut self.entries, index),
            Policy::Adaptive(adaptive) => adaptive.remove(&mut self.entries, index),
        }
        self.entries.free(index)
    }

    /// Checks every invariant of entries and policy.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let listed = match &self.policy {
            Policy::Lru(lru) => lru.check(&self.entries, self.limit),
            Policy::Adaptive(adaptive) => adaptive.check(&self.entries, self.limit),
        };
        assert_eq!(listed, self.entries.in_use(), "E1");
        let cached = self.entries.iter().filter(|n| n.buffer.is_some()).map(|n| n.charge).sum::<usize>();
        assert_eq!(cached, self.bytes());
    }
}
