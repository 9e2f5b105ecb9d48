//! Values of one batch, appended together: one lock and one write for many of them.
//!
//! 1. `push`, outside every lock: header, key and the compressed value go into one buffer of the thread; a value that
//!    is stored as it is stays in the caller's memory. The checksum is made, and the class of the value found
//!    (`lifetimes`): values of a batch may belong to different segments.
//! 2. `append`, for each class that occurs: take a queue, as for a single value. Under its lock bind the checksums of
//!    as many records as the segment takes to their places, and write them with one call; then the next segment.
//! 3. A group that is full is appended before the next value is pushed: it holds a queue no longer than a value of
//!    `GROUP_BYTES` does, unless segments are shorter than that.
//!
//! The first value waits, untouched, for a second one. If none comes it is appended as a single value is. So is one
//! that fills a group by itself.
//!
//! When a write fails, none of the records in it count (V1) and the group fails as a whole: what was written of it
//! before, to other segments, is garbage that nothing points to.

use super::compress::compress_at;
use super::format::{RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN};
use super::writer::{self, Appended, check_len};
use super::{SegmentClass, SegmentRef, ValueLog};
use crate::base::checksum::{bind, crc32_of, hash64};
use crate::base::{Codec, Result, ValuePointer};
use std::cell::Cell;
use std::io::IoSlice;
use std::ops::Range;

/// Bytes of keys and values of a group, at most; a longer value is alone.
const GROUP_BYTES: usize = 256 << 10;
/// Values of a group, at most. Each takes two pieces of a write, of which the system takes 1024 in a call.
const GROUP_VALUES: usize = 512;
/// A shorter value is copied behind its key: a piece of its own would cost more.
const COPIED_BELOW: usize = 512;

thread_local! {
    /// What a group takes, and as much as a codec wants for its last value.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Values that are appended together. Used by one thread, for one batch at a time.
pub struct ValueGroup<'v> {
    /// A value that is alone so far.
    first: Option<Value<'v>>,
    /// Where the only value stands, after `append`.
    alone: Option<ValuePointer>,
    /// So many are expected, at most.
    most: usize,
    records: Vec<Record<'v>>,
    /// Bytes of keys and values.
    bytes: usize,
    /// Headers, keys and stored values, up to `used`; beyond that it holds anything.
    buffer: Vec<u8>,
    used: usize,
}

/// A value as it was given.
struct Value<'v> {
    column_family: u32,
    key: &'v [u8],
    value: &'v [u8],
}

/// A record of the group.
struct Record<'v> {
    /// What of it stands in the buffer.
    bytes: Range<usize>,
    /// The value, if it does not stand there.
    value: &'v [u8],
    class: SegmentClass,
    /// Complete once it was appended; until then without a place, and the checksum is not bound to one.
    pointer: ValuePointer,
}

impl<'v> ValueGroup<'v> {
    /// An empty group, for at most `most` values until it is dropped.
    pub fn new(most: usize) -> ValueGroup<'v> {
        let (records, buffer) = (Vec::new(), Vec::new());
        ValueGroup { first: None, alone: None, most, records, bytes: 0, buffer, used: 0 }
    }

    /// Whether a value of `len` bytes, with its key, belongs into the group. Into an empty one any does.
    pub fn takes(&self, len: usize) -> bool {
        self.bytes == 0
            || (self.bytes.saturating_add(len) <= GROUP_BYTES && self.records.len() < GROUP_VALUES)
    }

    /// Takes a value in. Nothing is written yet.
    pub fn push(&mut self, log: &ValueLog, column_family: u32, key: &'v [u8], value: &'v [u8]) -> Result<()> {
        check_len(key, value)?;
        debug_assert!(self.takes(key.len() + value.len()));
        // A value of no bytes counts too.
        self.bytes += RECORD_HEADER_LEN + key.len() + value.len();
        let value = Value { column_family, key, value };
        if self.records.is_empty() {
            let Some(first) = self.first.take() else {
                self.first = Some(value);
                return Ok(());
            };
            if self.buffer.is_empty() {
                self.buffer = BUFFER.take();
                self.records.reserve_exact(self.most.min(GROUP_VALUES));
            }
            self.encode(log, first);
        }
        self.encode(log, value);
        Ok(())
    }

    /// Appends all; `hold` gets a hold on each segment, more than once perhaps. `pointer` then tells the places, until
    /// `clear`.
    pub fn append(&mut self, log: &ValueLog, hold: &mut dyn FnMut(SegmentRef)) -> Result<()> {
        if let Some(Value { column_family, key, value }) = self.first.take() {
            let (pointer, segment) = writer::append(log, column_family, key, value)?;
            self.alone = Some(pointer);
            hold(segment);
            return Ok(());
        }
        let mut classes: u32 =
            self.records.iter().fold(0, |classes, record| classes | 1 << record.class as u32);
        while classes != 0 {
            let class = SegmentClass::ALL[classes.trailing_zeros() as usize];
            self.append_class(log, class, hold)?;
            classes &= classes - 1;
        }
        Ok(())
    }

    /// Where the value that was pushed as number `index` stands.
    pub fn pointer(&self, index: usize) -> ValuePointer {
        self.alone.unwrap_or_else(|| self.records[index].pointer)
    }

    /// Forgets the values.
    pub fn clear(&mut self) {
        (self.first, self.alone) = (None, None);
        self.records.clear();
        (self.bytes, self.used) = (0, 0);
    }

    /// Puts a record's bytes into the buffer, except for a long value that is stored as it is.
    fn encode(&mut self, log: &ValueLog, Value { column_family, key, value }: Value<'v>) {
        let start = self.used;
        let stored_at = start + RECORD_HEADER_LEN + key.len();
        if self.buffer.len() < stored_at + COPIED_BELOW {
            self.buffer.resize(stored_at + COPIED_BELOW, 0);
        }
        let codec = log.codec();
        let compressed = compress_at(codec, value, &mut self.buffer, stored_at);
        let is_copied = compressed.is_none() && value.len() < COPIED_BELOW;
        if is_copied {
            self.buffer[stored_at..stored_at + value.len()].copy_from_slice(value);
        }
        let apart: &[u8] = if compressed.is_some() || is_copied { &[] } else { value };
        let header = RecordHeader {
            key_len: key.len() as u32,
            stored_len: compressed.unwrap_or(value.len()) as u32,
            value_len: value.len() as u32,
            column_family,
            codec: if compressed.is_some() { codec } else { Codec::None },
        };
        self.buffer[start..start + RECORD_HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer[start + RECORD_HEADER_LEN..stored_at].copy_from_slice(key);
        let record_len = header.record_len() as u32;
        self.used = start + record_len as usize - apart.len();
        let checksum = crc32_of(&[&self.buffer[start + 4..self.used], apart]);
        let (segment, offset, value_len) = (0, 0, header.value_len);
        let pointer = ValuePointer { segment, offset, record_len, value_len, checksum };
        let hash = || hash64(key, u64::from(column_family));
        let class = log.lifetimes.class_of_new(u64::from(record_len), hash);
        self.records.push(Record { bytes: start..self.used, value: apart, class, pointer });
    }

    /// Appends the records of a class to one segment after the other.
    fn append_class(
        &mut self,
        log: &ValueLog,
        class: SegmentClass,
        hold: &mut dyn FnMut(SegmentRef),
    ) -> Result<()> {
        let mut queue = log.queues.take_one(class);
        let mut next = 0;
        while let Some(first) = self.records[next..].iter().find(|record| record.class == class) {
            let segment = &queue.segment_for(log, first.pointer.record_len, class)?.segment;
            let (number, start) = (segment.number, segment.file.appended_len());
            let (until, appended) = self.bind(next, class, number, start, log.options.max_segment_size);
            let pieces = self.pieces(next..until, class);
            hold(queue.write(log, &pieces, appended)?);
            next = until;
        }
        Ok(())
    }

    /// Binds the records of a class, from number `next` on, to places from `start` of a segment on: as many as it
    /// takes, of which the first is one. Gives the number of the first record that it does not take.
    fn bind(
        &mut self,
        next: usize,
        class: SegmentClass,
        segment: u64,
        start: u64,
        max: u64,
    ) -> (usize, Appended) {
        let mut appended = Appended { end: start, values: 0, value_bytes: 0 };
        for (index, record) in self.records.iter_mut().enumerate().skip(next) {
            if record.class != class {
                continue;
            }
            let (pointer, offset) = (&mut record.pointer, appended.end);
            let end = offset + u64::from(pointer.record_len);
            if appended.values > 0 && end > max {
                return (index, appended);
            }
            let checksum = bind(pointer.checksum, segment, offset);
            *pointer = ValuePointer { segment, offset, checksum, ..*pointer };
            self.buffer[record.bytes.start..][..4].copy_from_slice(&checksum.to_le_bytes());
            appended.end = end;
            appended.values += 1;
            appended.value_bytes += u64::from(pointer.value_len);
        }
        debug_assert!(start >= SEGMENT_HEADER_LEN && appended.values > 0);
        (self.records.len(), appended)
    }

    /// The bytes of the records of a class; what stands side by side in the buffer is one piece.
    fn pieces(&self, records: Range<usize>, class: SegmentClass) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(2 * records.len());
        let (mut start, mut end) = (0, 0);
        for record in self.records[records].iter().filter(|record| record.class == class) {
            if end != record.bytes.start {
                if start < end {
                    pieces.push(IoSlice::new(&self.buffer[start..end]));
                }
                start = record.bytes.start;
            }
            end = record.bytes.end;
            if !record.value.is_empty() {
                pieces.push(IoSlice::new(&self.buffer[start..end]));
                pieces.push(IoSlice::new(record.value));
                start = end;
            }
        }
        if start < end {
            pieces.push(IoSlice::new(&self.buffer[start..end]));
        }
        pieces
    }
}

impl Drop for ValueGroup<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if !buffer.is_empty() {
            // While the thread ends there may be nowhere to keep it.
            let _ = BUFFER.try_with(|kept| kept.set(buffer));
        }
    }
}
