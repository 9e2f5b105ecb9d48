//! One table: an immutable, sorted, checksummed file of entries with a filter, a fence index and a learned index.
//! Knows nothing of levels or versions.

use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{Codec, InternalComparator, ParsedKey, Result, SliceTransform};
use crate::cache::{Buffer, Cache};
use crate::env::File;
use crate::iterator::InternalIterator;
use std::sync::Arc;

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

/// Facts about a table, written into it and into the manifest's file metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableProperties {
    /// Bytes of the file.
    pub file_size: u64,
    /// Point entries.
    pub entries: u64,
    /// Point deletions among them (Delete and SingleDelete).
    pub deletions: u64,
    /// Merge operands among them.
    pub merges: u64,
    /// Range tombstones.
    pub range_tombstones: u64,
    /// Bytes of all internal keys.
    pub raw_key_bytes: u64,
    /// Bytes of all stored values.
    pub raw_value_bytes: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Bytes of data blocks as stored.
    pub data_bytes: u64,
    /// Bytes of the fence index as stored.
    pub index_bytes: u64,
    /// Bytes of the filter as stored.
    pub filter_bytes: u64,
    /// Bytes of the learned index as stored (0 = none).
    pub model_bytes: u64,
    /// Linear segments of the learned index.
    pub model_segments: u64,
    /// The learned index's measured error bound, in entries.
    pub model_error: u64,
    /// Smallest internal key of points and tombstones; empty if the table is empty.
    pub smallest: Vec<u8>,
    /// Largest internal key; a tombstone's exclusive end `e` counts as (e, MAX_SEQUENCE, RangeDelete), which
    /// sorts before every real entry of `e`.
    pub largest: Vec<u8>,
    /// Smallest sequence number in the table.
    pub smallest_sequence: u64,
    /// Largest sequence number in the table.
    pub largest_sequence: u64,
    /// Value-log bytes (whole records) that this table's pointers refer to, by segment, ascending.
    pub segments: Vec<SegmentUse>,
}

/// How much of a value-log segment a table refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment's file number.
    pub segment: u64,
    /// Sum of `record_len` of the pointers.
    pub bytes: u64,
    /// How many pointers.
    pub values: u64,
    /// The highest `ValuePointer::end` among them: the segment must be at least this long.
    pub end: u64,
}

/// Writes a table to a file opened with `Create`. Keys must come in strictly ascending internal order.
pub struct TableBuilder {
    _private: (),
}

impl TableBuilder {
    /// A builder that writes to `file` from offset 0, `io_buffer_size` bytes at a time.
    pub fn new(
        file: Arc<dyn File>,
        number: u64,
        options: TableOptions,
        io_buffer_size: usize,
    ) -> TableBuilder {
        todo!()
    }
    /// Adds a point entry. `Pointer` entries' values are encoded `ValuePointer`s and are counted by segment.
    pub fn add(&mut self, internal_key: &[u8], value: &[u8]) -> Result<()> {
        todo!()
    }
    /// Adds a range tombstone, in any order relative to points.
    pub fn add_range_tombstone(&mut self, tombstone: &RangeTombstone) -> Result<()> {
        todo!()
    }
    /// Bytes the file would have if finished now.
    pub fn estimated_size(&self) -> u64 {
        todo!()
    }
    /// Point entries and tombstones added.
    pub fn entries(&self) -> u64 {
        todo!()
    }
    /// Writes filter, indexes, properties and footer, and syncs the file.
    pub fn finish(self) -> Result<TableProperties> {
        todo!()
    }
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

/// An open table. Lookups and iterators may run in any number of threads at once.
pub struct Table {
    _private: (),
}

impl Table {
    /// Opens and checks footer, properties, indexes and filter. `size` is the manifest's word on the length.
    pub fn open(file: Arc<dyn File>, number: u64, size: u64, options: TableOptions) -> Result<Arc<Table>> {
        todo!()
    }
    /// False only if no version of `user_key` is in the table.
    pub fn may_contain(&self, user_key: &[u8]) -> bool {
        todo!()
    }
    /// False only if no key with the same prefix as `user_key` is in the table.
    pub fn may_contain_prefix(&self, user_key: &[u8]) -> bool {
        todo!()
    }
    /// Shows the versions of one user key at or after the internal key `lookup`, newest first, until `visit`
    /// returns false. `visit` gets the entry, its stored value and what keeps that value alive. Consults the
    /// filter first.
    pub fn get(
        self: &Arc<Self>,
        lookup: &[u8],
        read: TableRead,
        visit: &mut dyn FnMut(ParsedKey<'_>, &[u8], &dyn Fn() -> Pin) -> bool,
    ) -> Result<()> {
        todo!()
    }
    /// An iterator over the points.
    pub fn iter(self: &Arc<Self>, read: TableRead) -> Box<dyn InternalIterator> {
        todo!()
    }
    /// The range tombstones.
    pub fn range_tombstones(&self) -> &TombstoneList {
        todo!()
    }
    /// The properties.
    pub fn properties(&self) -> &TableProperties {
        todo!()
    }
    /// About where in the file an internal key would be.
    pub fn approximate_offset(&self, internal_key: &[u8]) -> u64 {
        todo!()
    }
    /// Memory held for as long as the table is open: indexes, filter, model.
    pub fn memory_bytes(&self) -> usize {
        todo!()
    }
    /// Reads every block and checks every checksum and the order of keys.
    pub fn verify(self: &Arc<Self>) -> Result<()> {
        todo!()
    }
}
