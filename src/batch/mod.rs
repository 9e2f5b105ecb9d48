//! Write batches: many operations applied at once, in RocksDB's public byte format.
//!
//! batch := sequence:u64 | count:u32 | record*       (little-endian)
//! record := tag:u8 [column family:varint32 when not the default] key:slice [value:slice]
//! Tags are RocksDB's (0x0 delete, 0x1 put, 0x2 merge, 0x3 log data, 0x4 0x5 0x6 the same with a column family,
//! 0x7 0x8 single delete, 0xe 0xf range delete, 0x10 0x11 pointer). Log data is not counted and takes no sequence.

use crate::base::Result;

/// Bytes before the first record.
pub const HEADER_LEN: usize = 12;

/// One record, as the bytes have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Store a value.
    Put { column_family: u32, key: &'a [u8], value: &'a [u8] },
    /// Store a value that lies in the value log (inside the engine only).
    Pointer { column_family: u32, key: &'a [u8], pointer: &'a [u8] },
    /// Delete a key.
    Delete { column_family: u32, key: &'a [u8] },
    /// Delete a key written once.
    SingleDelete { column_family: u32, key: &'a [u8] },
    /// Delete `[start, end)`.
    RangeDelete { column_family: u32, start: &'a [u8], end: &'a [u8] },
    /// Add an operand.
    Merge { column_family: u32, key: &'a [u8], operand: &'a [u8] },
    /// Bytes for the log alone.
    LogData(&'a [u8]),
}

/// A batch being built. Not thread-safe, as RocksDB's.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    _private: (),
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> WriteBatch {
        todo!()
    }
    /// A batch from bytes that `data` gave; malformed bytes are `Corruption`.
    pub fn from_data(data: &[u8]) -> Result<WriteBatch> {
        todo!()
    }
    /// The bytes.
    pub fn data(&self) -> &[u8] {
        todo!()
    }
    /// Counted records.
    pub fn count(&self) -> u32 {
        todo!()
    }
    /// True without counted records and log data.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        todo!()
    }
    /// Appends a put. Keys and values are limited to `u32::MAX` bytes less the overhead (`InvalidArgument`).
    pub fn put(&mut self, column_family: u32, key: &[u8], value: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends a delete.
    pub fn delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends a single delete.
    pub fn single_delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends a range delete.
    pub fn delete_range(&mut self, column_family: u32, start: &[u8], end: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends a merge operand.
    pub fn merge(&mut self, column_family: u32, key: &[u8], operand: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends bytes for the log alone.
    pub fn put_log_data(&mut self, bytes: &[u8]) -> Result<()> {
        todo!()
    }
    /// Appends a pointer record (engine only).
    pub fn put_pointer(&mut self, column_family: u32, key: &[u8], pointer: &[u8]) -> Result<()> {
        todo!()
    }
    /// Remembers this place.
    pub fn set_save_point(&mut self) {
        todo!()
    }
    /// Back to the last remembered place; `NotFound` without one.
    pub fn rollback_to_save_point(&mut self) -> Result<()> {
        todo!()
    }
    /// Forgets the last remembered place; `NotFound` without one.
    pub fn pop_save_point(&mut self) -> Result<()> {
        todo!()
    }
    /// The records in order.
    pub fn iter(&self) -> BatchIter<'_> {
        todo!()
    }
}

/// The records of a batch; the first malformed one is an `Err` and the last item.
pub struct BatchIter<'a> {
    rest: &'a [u8],
}

impl<'a> BatchIter<'a> {
    /// The records after the header of encoded batch bytes.
    pub fn over(data: &'a [u8]) -> Result<BatchIter<'a>> {
        todo!()
    }
}
