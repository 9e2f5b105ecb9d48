//! Memory for what a builder gathers of every key until the end of its table, handed from one table to the next.
//!
//! That is 24 bytes a key. The C library's allocator takes so much from the system and gives it back with each table, so
//! each page would be faulted in and cleared anew, which costs a flush of small entries as much as sorting out what to
//! keep. Only one table's memory is kept, cut to `MAX_KEYS`: enough for two memtables of 64 MiB with entries of 100 bytes.

use parking_lot::Mutex;

/// Memory is kept for at most so many keys: 24 MiB.
const MAX_KEYS: usize = 1 << 20;

/// Memory with nothing in it.
#[derive(Default)]
pub(super) struct KeyMemory {
    /// For a filter's hashes.
    pub(super) hashes: Vec<u64>,
    /// For what a learned index learns from.
    pub(super) heads: Vec<u128>,
}

impl KeyMemory {
    fn bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>() + self.heads.capacity() * size_of::<u128>()
    }
}

/// Where builders leave their memory.
#[derive(Default)]
pub struct SpareKeyMemory(Mutex<KeyMemory>);

impl SpareKeyMemory {
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
        memory.hashes.shrink_to(MAX_KEYS);
        memory.heads.shrink_to(MAX_KEYS);
        let mut kept = self.0.lock();
        if memory.bytes() > kept.bytes() {
            std::mem::swap(&mut *kept, &mut memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_memory_is_kept_empty_and_bounded() {
        let memory =
            |hashes: usize, heads: usize| KeyMemory { hashes: vec![1; hashes], heads: vec![1; heads] };
        let spare = SpareKeyMemory::default();
        spare.give(memory(100, 50));
        spare.give(memory(10, 5));
        assert_eq!(spare.bytes(), 100 * 8 + 50 * 16);
        let KeyMemory { hashes, heads } = spare.take();
        assert!(hashes.is_empty() && heads.is_empty());
        assert_eq!((hashes.capacity(), heads.capacity(), spare.bytes()), (100, 50, 0));
        spare.give(memory(3 * MAX_KEYS, 2 * MAX_KEYS));
        assert_eq!(spare.bytes(), 24 * MAX_KEYS);
    }
}
