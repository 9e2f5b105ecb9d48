//! Write batches: many operations applied at once, in RocksDB's public byte format (`format.rs` has the bytes).
//!
//! 1. Each operation is encoded at once at the end of one growing buffer; the buffer is the batch.
//! 2. The writer stamps the sequence number into the header and hands the same bytes to the log.
//! 3. The memtable is filled from the bytes through `BatchIter`.
//!
//! `packed` reads the flat buffers of callers whose calls are expensive; `Rewrite` puts pointers in the place of
//! values;
//! `indexed` is a batch that can be read before it is written.
//!
//! Invariant B1: the buffer is a whole, well-formed batch after every call, also after one that failed, and its
//! count is that of its counted records. Bytes from outside pass `verify` before they become a `WriteBatch`.
//! The comparator is not known here: that a range delete's start is not above its end is checked when applied.

use crate::base::coding::get_u64;
use crate::base::expiry::split;
use crate::base::{EntryKind, Error, Result, SequenceNumber};

mod format;
pub mod indexed;
mod packed;
mod packed_keys;
#[cfg(test)]
mod packed_tests;
mod rewrite;
#[cfg(test)]
mod tests;

pub use format::{Applied, BatchIter, HEADER_LEN, Record, decode_header, verify};
pub use indexed::IndexedBatch;
pub use packed::{FamilyAt, PackedKind, PackedOperations};
pub use packed_keys::PackedKeys;
pub use rewrite::Rewrite;

/// The most bytes a record's key and value may have together, whatever its kind: what a table takes of an entry
/// (2 GiB), less room for what the engine puts around them. A larger entry would be acknowledged and could then
/// never be flushed.
pub const MAX_RECORD_BYTES: u64 = (2 << 30) - 64;

/// A batch being built. Not thread-safe, as RocksDB's.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// Header and records: the public bytes.
    bytes: Vec<u8>,
    contents: Contents,
    save_points: Vec<SavePoint>,
}

/// Which kinds of records a batch has, so that the writer need not walk the bytes to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Contents {
    merge: bool,
    range_delete: bool,
    pointer: bool,
    expiring: bool,
}

impl Contents {
    fn of(tag: u8) -> Contents {
        Contents {
            merge: tag == format::MERGE,
            range_delete: tag == format::RANGE_DELETE,
            pointer: tag == format::POINTER,
            expiring: false,
        }
    }

    fn add(&mut self, other: Contents) {
        self.merge |= other.merge;
        self.range_delete |= other.range_delete;
        self.pointer |= other.pointer;
        self.expiring |= other.expiring;
    }
}

#[derive(Clone, Copy, Debug)]
struct SavePoint {
    len: usize,
    count: u32,
    contents: Contents,
}

impl Default for WriteBatch {
    fn default() -> Self {
        WriteBatch::new()
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> WriteBatch {
        WriteBatch::with_capacity(HEADER_LEN)
    }

    /// An empty batch with room for `bytes` encoded bytes.
    pub fn with_capacity(bytes: usize) -> WriteBatch {
        let mut buffer = Vec::with_capacity(bytes.max(HEADER_LEN));
        buffer.resize(HEADER_LEN, 0);
        WriteBatch { bytes: buffer, contents: Contents::default(), save_points: Vec::new() }
    }

    /// A batch from bytes that `data` gave; malformed bytes are `Corruption`, and so are pointer records, which
    /// only the engine may write. A record above `MAX_RECORD_BYTES` is `InvalidArgument`.
    pub fn from_data(data: &[u8]) -> Result<WriteBatch> {
        check_records(data, MAX_RECORD_BYTES)?;
        let batch = WriteBatch::from_log_data(data)?;
        if batch.contents.pointer {
            return Err(format::malformed("has a value-log pointer, which only the engine may write"));
        }
        if batch.contents.expiring {
            return Err(format::malformed("has an expiry, which only the engine may write: put with a TTL"));
        }
        Ok(batch)
    }

    /// A batch from bytes that the engine wrote, where pointer records are welcome.
    pub fn from_log_data(data: &[u8]) -> Result<WriteBatch> {
        verify(data)?;
        let mut contents = Contents::default();
        for record in BatchIter::over(data)? {
            match record? {
                Record::Merge { .. } => contents.merge = true,
                Record::RangeDelete { .. } => contents.range_delete = true,
                Record::Pointer { .. } => contents.pointer = true,
                Record::Expiring { kind, .. } => {
                    contents.expiring = true;
                    contents.merge |= kind == EntryKind::ExpiringMerge;
                    contents.pointer |= kind == EntryKind::ExpiringPointer;
                }
                Record::Put { .. }
                | Record::PutWithTtl { .. }
                | Record::Delete { .. }
                | Record::SingleDelete { .. }
                | Record::LogData(_) => {}
            }
        }
        Ok(WriteBatch { bytes: data.to_vec(), contents, save_points: Vec::new() })
    }

    /// The bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes the batch takes in the log.
    #[inline]
    pub fn approximate_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The sequence number of the first counted record; 0 until the writer sets it.
    #[inline]
    pub fn sequence(&self) -> SequenceNumber {
        get_u64(&self.bytes, format::SEQUENCE.start).expect("B1: the header is there")
    }

    /// Stamps the sequence number of the first counted record.
    #[inline]
    pub fn set_sequence(&mut self, sequence: SequenceNumber) {
        debug_assert!(sequence <= crate::base::key::MAX_SEQUENCE);
        self.bytes[format::SEQUENCE].copy_from_slice(&sequence.to_le_bytes());
    }

    /// Counted records.
    #[inline]
    pub fn count(&self) -> u32 {
        u32::from_le_bytes(self.bytes[format::COUNT].try_into().expect("four bytes"))
    }

    #[inline]
    fn set_count(&mut self, count: u32) {
        self.bytes[format::COUNT].copy_from_slice(&count.to_le_bytes());
    }

    /// True without counted records and log data.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    /// True if there is a merge record.
    #[inline]
    pub fn has_merge(&self) -> bool {
        self.contents.merge
    }

    /// True if there is a range delete.
    #[inline]
    pub fn has_range_delete(&self) -> bool {
        self.contents.range_delete
    }

    /// True if there is a pointer record.
    #[inline]
    pub fn has_pointer(&self) -> bool {
        self.contents.pointer
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEADER_LEN);
        self.bytes.fill(0);
        self.contents = Contents::default();
        self.save_points.clear();
    }

    /// Appends a put. Key and value together are limited to `MAX_RECORD_BYTES` (`InvalidArgument`), as in every record.
    #[inline]
    pub fn put(&mut self, column_family: u32, key: &[u8], value: &[u8]) -> Result<()> {
        self.append(format::PUT, format::PUT_WITH_ID, column_family, key, Some(value))
    }

    /// Appends a put of a value that is there for `ttl` seconds from when the batch is written on; 0 = for ever,
    /// whatever the column family's TTL.
    pub fn put_with_ttl(&mut self, column_family: u32, key: &[u8], value: &[u8], ttl: u64) -> Result<()> {
        let tags = (format::TTL_PUT, format::TTL_PUT_WITH_ID);
        self.append_timed(tags, column_family, key, ttl, value)
    }

    /// Appends an entry of a kind that is stored, as the engine logs it: with an expiry, if it has one.
    #[inline]
    pub fn put_entry(
        &mut self,
        column_family: u32,
        kind: EntryKind,
        key: &[u8],
        expiry: Option<u64>,
        stored: &[u8],
    ) -> Result<()> {
        let Some(expiry) = expiry else {
            let (tag, tag_with_id) = format::tags_of(kind);
            return self.append(tag, tag_with_id, column_family, key, Some(stored));
        };
        self.contents.expiring = true;
        self.contents.merge |= kind == EntryKind::Merge;
        self.contents.pointer |= kind == EntryKind::Pointer;
        self.append_timed(format::tags_of(kind.expiring()), column_family, key, expiry, stored)
    }

    fn append_timed(
        &mut self,
        tags: (u8, u8),
        column_family: u32,
        key: &[u8],
        seconds: u64,
        value: &[u8],
    ) -> Result<()> {
        check_lengths(key.len(), value.len())?;
        let count = self.count().checked_add(1).ok_or_else(too_many)?;
        format::encode_timed(&mut self.bytes, tags, column_family, key, seconds, value);
        self.set_count(count);
        Ok(())
    }

    /// Appends a delete.
    #[inline]
    pub fn delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        self.append(format::DELETE, format::DELETE_WITH_ID, column_family, key, None)
    }

    /// Appends a single delete.
    #[inline]
    pub fn single_delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        self.append(format::SINGLE_DELETE, format::SINGLE_DELETE_WITH_ID, column_family, key, None)
    }

    /// Appends a range delete. Which of `start` and `end` comes first is for the applier to judge.
    #[inline]
    pub fn delete_range(&mut self, column_family: u32, start: &[u8], end: &[u8]) -> Result<()> {
        self.append(format::RANGE_DELETE, format::RANGE_DELETE_WITH_ID, column_family, start, Some(end))
    }

    /// Appends a merge operand.
    #[inline]
    pub fn merge(&mut self, column_family: u32, key: &[u8], operand: &[u8]) -> Result<()> {
        self.append(format::MERGE, format::MERGE_WITH_ID, column_family, key, Some(operand))
    }

    /// Appends bytes for the log alone: not counted, no sequence number.
    pub fn put_log_data(&mut self, bytes: &[u8]) -> Result<()> {
        check_lengths(bytes.len(), 0)?;
        format::encode(&mut self.bytes, (format::LOG_DATA, format::LOG_DATA), 0, bytes, None);
        Ok(())
    }

    /// Appends a pointer record (engine only).
    #[inline]
    pub fn put_pointer(&mut self, column_family: u32, key: &[u8], pointer: &[u8]) -> Result<()> {
        self.append(format::POINTER, format::POINTER_WITH_ID, column_family, key, Some(pointer))
    }

    /// Appends a record taken from another batch.
    pub fn append_record(&mut self, record: Record<'_>) -> Result<()> {
        match record {
            Record::Put { column_family, key, value } => self.put(column_family, key, value),
            Record::Pointer { column_family, key, pointer } => self.put_pointer(column_family, key, pointer),
            Record::Delete { column_family, key } => self.delete(column_family, key),
            Record::SingleDelete { column_family, key } => self.single_delete(column_family, key),
            Record::RangeDelete { column_family, start, end } => self.delete_range(column_family, start, end),
            Record::Merge { column_family, key, operand } => self.merge(column_family, key, operand),
            Record::PutWithTtl { column_family, key, value, ttl } => {
                self.put_with_ttl(column_family, key, value, ttl)
            }
            Record::Expiring { column_family, kind, key, stored } => {
                let (expiry, stored) = split(kind, stored);
                self.put_entry(column_family, kind.lasting(), key, expiry, stored)
            }
            Record::LogData(bytes) => self.put_log_data(bytes),
        }
    }

    /// Appends all records of `other`, in one copy. Its sequence number and save points play no part.
    pub fn append_batch(&mut self, other: &WriteBatch) -> Result<()> {
        let count = self.count().checked_add(other.count()).ok_or_else(too_many)?;
        self.bytes.extend_from_slice(&other.bytes[HEADER_LEN..]);
        self.set_count(count);
        self.contents.add(other.contents);
        Ok(())
    }

    /// Appends packed operations, all or, on an error, none.
    pub fn append_packed(&mut self, operations: PackedOperations<'_>) -> Result<()> {
        let mut counted = 0u64;
        for record in operations.clone() {
            counted += u64::from(record?.is_counted());
        }
        if u64::from(self.count()) + counted > u32::MAX.into() {
            return Err(too_many());
        }
        self.bytes.reserve(operations.data().len());
        for record in operations {
            self.append_record(record?)?;
        }
        Ok(())
    }

    /// Makes room for `bytes` encoded bytes more.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Remembers this place.
    pub fn set_save_point(&mut self) {
        let here = SavePoint { len: self.bytes.len(), count: self.count(), contents: self.contents };
        self.save_points.push(here);
    }

    /// Back to the last remembered place, which is forgotten; `NotFound` without one.
    pub fn rollback_to_save_point(&mut self) -> Result<()> {
        let place = self.save_points.pop().ok_or_else(no_save_point)?;
        self.bytes.truncate(place.len);
        self.set_count(place.count);
        self.contents = place.contents;
        Ok(())
    }

    /// Forgets the last remembered place; `NotFound` without one.
    pub fn pop_save_point(&mut self) -> Result<()> {
        self.save_points.pop().map(|_| ()).ok_or_else(no_save_point)
    }

    /// The records in order.
    #[inline]
    pub fn iter(&self) -> BatchIter<'_> {
        BatchIter::after_header(&self.bytes)
    }

    /// Appends a counted record; on failure the batch is as before (B1).
    #[inline]
    fn append(&mut self, tag: u8, tag_with_id: u8, id: u32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        check_lengths(key.len(), value.map_or(0, <[u8]>::len))?;
        let count = self.count().checked_add(1).ok_or_else(too_many)?;
        format::encode(&mut self.bytes, (tag, tag_with_id), id, key, value);
        self.set_count(count);
        self.contents.add(Contents::of(tag));
        Ok(())
    }
}

impl<'a> IntoIterator for &'a WriteBatch {
    type Item = Result<Record<'a>>;
    type IntoIter = BatchIter<'a>;

    fn into_iter(self) -> BatchIter<'a> {
        self.iter()
    }
}

/// `InvalidArgument` if a key and its value (operand, end of a range) are together longer than `MAX_RECORD_BYTES`.
#[inline]
pub fn check_lengths(key_len: usize, value_len: usize) -> Result<()> {
    check_lengths_against(key_len, value_len, MAX_RECORD_BYTES)
}

#[inline]
fn check_lengths_against(key_len: usize, value_len: usize, limit: u64) -> Result<()> {
    if (key_len as u64).saturating_add(value_len as u64) <= limit {
        Ok(())
    } else {
        Err(too_large(key_len, value_len, limit))
    }
}

/// Checks the lengths of every record of encoded batch bytes.
fn check_records(data: &[u8], limit: u64) -> Result<()> {
    for record in BatchIter::over(data)? {
        let (key, value): (&[u8], &[u8]) = match record? {
            Record::Put { key, value, .. } => (key, value),
            Record::Pointer { key, pointer, .. } => (key, pointer),
            Record::PutWithTtl { key, value, .. } => (key, value),
            Record::Expiring { kind, key, stored, .. } => (key, split(kind, stored).1),
            Record::Merge { key, operand, .. } => (key, operand),
            Record::RangeDelete { start, end, .. } => (start, end),
            Record::Delete { key, .. } | Record::SingleDelete { key, .. } => (key, &[]),
            Record::LogData(bytes) => (bytes, &[]),
        };
        check_lengths_against(key.len(), value.len(), limit)?;
    }
    Ok(())
}

#[cold]
fn too_large(key_len: usize, value_len: usize, limit: u64) -> Error {
    Error::invalid_argument(format!(
        "key of {key_len} bytes and value of {value_len} bytes: a record holds at most {limit} bytes of both"
    ))
}

#[cold]
fn too_many() -> Error {
    Error::invalid_argument(format!("write batch: more than {} records; split the batch", u32::MAX))
}

#[cold]
fn no_save_point() -> Error {
    Error::not_found("write batch: no save point is set")
}
