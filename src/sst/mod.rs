//! One table: an immutable, sorted, checksummed file of entries with a filter, a fence index and a learned
//! index. Knows nothing of levels or versions.
//!
//! Writing (`builder`): 1. Entries come in order and fill a data block of two columns, keys and values
//! (`block`).
//! 2. A full block is compressed, checksummed and appended, and gets a line in the fence index
//! (`fence_index`); `block_writer` and `section_writer` bring it into the file.
//! 3. At the end follow the Bloom filter (`filter`), the learned index (`learned_index`) where it pays, the
//! fence index, range tombstones, properties and footer (`format`, `properties`), and a sync.
//!
//! Reading (`reader`, `iterator`): 1. The filter ends most lookups of absent keys. 2. The model predicts the
//! ordinal of the answer, so block and slot; the fence index does it where there is no model. 3. The block
//! comes from the cache or the device (`blocks`). 4. Keys around the slot prove the answer, or the fence
//! index finds it.
//!
//! Invariants: **T1** every byte of the file is under a checksum that is tied to the file's number and the
//! byte's offset. **T2** internal keys ascend strictly; the builder refuses others. **T3** (L1) an answer is
//! never taken from a model: it is proven by comparing keys. **T4** an open table never changes, so all reads
//! run without locks.

use crate::base::{Codec, InternalComparator, SliceTransform};
use crate::cache::{Buffer, Cache};
use std::sync::Arc;

pub mod block;
mod block_writer;
mod blocks;
pub mod builder;
pub mod fence_index;
pub mod filter;
pub mod format;
pub mod iterator;
mod key_memory;
pub mod learned_index;
mod model_stats;
pub mod properties;
pub mod reader;
mod section_writer;
#[cfg(test)]
mod tests;

pub use builder::TableBuilder;
pub use iterator::TableIterator;
pub use key_memory::SpareKeyMemory;
pub use model_stats::ModelStats;
pub use properties::{SegmentUse, TableProperties};
pub use reader::{EntryVisitor, Table};

/// How tables are written and read.
#[derive(Clone)]
pub struct TableOptions {
    /// Order of internal keys.
    pub order: InternalComparator,
    /// Uncompressed bytes of a data block.
    pub block_size: usize,
    /// Codec of data blocks.
    pub compression: Codec,
    /// Bits a key in the Bloom filter; fractions count. `None` = no filter.
    pub bloom_bits_per_key: Option<f64>,
    /// Whether whole keys go into the filter.
    pub whole_key_filtering: bool,
    /// Prefixes that go into the filter too.
    pub prefix_extractor: Option<Arc<dyn SliceTransform>>,
    /// Whether a learned index is built and used.
    pub learned_index: bool,
    /// Where uncompressed blocks are kept; `None` = nowhere.
    pub cache: Option<Arc<Cache>>,
    /// This database's number in the cache.
    pub cache_owner: u64,
}

/// How one read treats cache and checksums.
#[derive(Clone, Copy, Debug)]
pub struct TableRead {
    /// Whether blocks read are kept in the cache.
    pub fill_cache: bool,
    /// Whether reading from the device is allowed; if not, a miss is `Incomplete`.
    pub allow_io: bool,
    /// Bytes read ahead by a sequential iterator (compaction); 0 = adaptive.
    pub read_ahead: usize,
}

/// Keeps the bytes that `Table::get` shows alive after the call.
#[derive(Clone)]
pub struct Pin {
    /// The block.
    pub buffer: Buffer,
    /// Where in it the value stands.
    pub range: std::ops::Range<usize>,
}
