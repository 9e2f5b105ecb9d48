//! Memory for what a builder gathers of every key until the end of its table, handed from one table to the next.
//!
//! That is 24 bytes a key. Such lists are mappings (`env::paged`), which go with their table, so each page would be
//! faulted in and cleared anew: a twentieth of the time that writing and flushing small entries takes. One table's
//! memory is kept for all databases of the process, and none above `MAX_KEPT`: enough for two memtables of 64 MiB with
//! entries of 100 bytes.

use crate::env::paged::Paged;
use parking_lot::Mutex;

/// More bytes than this are not kept: the memory of 1,048,576 keys.
const MAX_KEPT: usize = 24 << 20;

/// Memory with nothing in it.
#[derive(Default)]
pub(super) struct KeyMemory {
    /// For a filter's hashes.
    pub(super) hashes: Paged<u64>,
    /// For what a learned index learns from.
    pub(super) heads: Paged<u128>,
}

impl KeyMemory {
    const NONE: KeyMemory = KeyMemory { hashes: Paged::new(), heads: Paged::new() };

    fn bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>() + self.heads.capacity() * size_of::<u128>()
    }
}

/// Where builders leave their memory.
pub struct SpareKeyMemory(Mutex<KeyMemory>);

static OF_PROCESS: SpareKeyMemory = SpareKeyMemory::new();

impl SpareKeyMemory {
    const fn new() -> SpareKeyMemory {
        SpareKeyMemory(Mutex::new(KeyMemory::NONE))
    }

    /// The one for all tables that are flushed.
    pub fn of_process() -> &'static SpareKeyMemory {
        &OF_PROCESS
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.0.lock().bytes()
    }

    /// What is kept, if anything.
    pub(super) fn take(&self) -> KeyMemory {
        std::mem::take(&mut self.0.lock())
    }

    /// Keeps the larger of `memory` and what is kept.
    pub(super) fn give(&self, mut memory: KeyMemory) {
        memory.hashes.clear();
        memory.heads.clear();
        let mut kept = self.0.lock();
        if (kept.bytes() + 1..=MAX_KEPT).contains(&memory.bytes()) {
            std::mem::swap(&mut *kept, &mut memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_memory_below_the_bound_is_kept_empty() {
        let memory = |hashes: usize, heads: usize| KeyMemory {
            hashes: Paged::filled(hashes, 1),
            heads: Paged::filled(heads, 1),
        };
        let spare = SpareKeyMemory::new();
        let larger = memory(100, 70);
        let bytes = larger.bytes();
        spare.give(larger);
        spare.give(memory(10, 5));
        spare.give(memory(0, MAX_KEPT / 16 + 1));
        assert_eq!(spare.bytes(), bytes);
        let KeyMemory { hashes, heads } = spare.take();
        assert!(hashes.is_empty() && heads.is_empty() && hashes.capacity() >= 100 && heads.capacity() >= 70);
        assert_eq!(spare.bytes(), 0);
    }
}
