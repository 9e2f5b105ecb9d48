//! Writes values for whoever rewrites tables: copies of live records out of segments that are mostly dead, and values
//! that lay inline until now. They go into segments of their own.
//!
//! 1. A record is read behind those copied before, in one buffer, and verified against its pointer, its column
//!    family and its key. The stored value is taken as it is: nothing is decompressed.
//! 2. Its checksum is bound to the new place. A full buffer is written with one call.
//! 3. The new pointers may be shown once `finish` has written and synced everything (W2).
//!
//! What survives a segment's cleaning is likely to live on, so it is kept apart from new values: the copies' segment
//! stays open from one job to the next. Logs never point into such segments, so a log's sync does not cover them.
//! Compactions that separate values have copiers of their own, which they take from the value log and give back.

use super::ValueLog;
use super::compress::with_compressed;
use super::format::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use super::reader::read_raw;
use super::segments::{Segment, SegmentRef};
use super::writer::{Record, check_len};
use crate::base::checksum::{bind, unbind};
use crate::base::{Result, ValuePointer};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of copies that are gathered before they are written. A larger record is written alone.
const WRITE_BYTES: usize = 1 << 20;

/// Writes copies, one after another. One thread at a time.
#[derive(Default)]
pub struct Copier {
    active: Option<Active>,
    /// Records that are not written yet; they follow what the segment holds.
    buffer: Vec<u8>,
    /// Segments that were filled since the last `finish`.
    filled: Vec<SegmentRef>,
    /// It writes values that have no other copy in the value log.
    separates: bool,
}

struct Active {
    segment: Arc<Segment>,
    handle: SegmentRef,
}

/// What became of a record that was to be copied.
#[derive(Debug)]
pub enum Copied {
    /// It stands here too; not to be shown before `finish`.
    To(ValuePointer),
    /// It could not be read or does not verify, as the text says: it stays where it is.
    Damaged(String),
}

impl Copier {
    /// One for values that lie inline in tables.
    pub(super) fn for_separation() -> Copier {
        let mut copier = Copier::default();
        copier.separates = true;
        copier
    }

    /// Writes a value that lay inline until now. The pointer is not to be shown before `finish`.
    pub fn append(
        &mut self,
        log: &ValueLog,
        column_family: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<ValuePointer> {
        check_len(key, value)?;
        with_compressed(log.codec(), value, |stored, codec| {
            let record = Record::new(column_family, key, value.len() as u32, stored, codec);
            self.make_room(log, u64::from(record.len))?;
            let active = self.active.as_ref().expect("there is room in it");
            let offset = active.segment.file.appended_len() + self.buffer.len() as u64;
            let pointer = record.put(&mut self.buffer, active.segment.number, offset);
            if self.buffer.len() >= WRITE_BYTES {
                self.write(log)?;
            }
            Ok(pointer)
        })
    }

    /// Copies the record of `key` that `pointer` names.
    pub fn copy(
        &mut self,
        log: &ValueLog,
        pointer: &ValuePointer,
        column_family: u32,
        key: &[u8],
    ) -> Result<Copied> {
        let record_len = pointer.record_len as usize;
        if record_len < RECORD_HEADER_LEN {
            return Ok(Copied::Damaged("the pointer names less than a record's header".into()));
        }
        self.make_room(log, u64::from(pointer.record_len))?;
        let start = self.buffer.len();
        if let Err(what) = read_raw(log, pointer, column_family, key, &mut self.buffer) {
            self.buffer.truncate(start);
            return Ok(Copied::Damaged(what));
        }
        let active = self.active.as_ref().expect("there is room in it");
        let offset = active.segment.file.appended_len() + start as u64;
        let crc = unbind(pointer.checksum, pointer.segment, pointer.offset);
        let checksum = bind(crc, active.segment.number, offset);
        self.buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        let copy = ValuePointer { segment: active.segment.number, offset, checksum, ..*pointer };
        if self.buffer.len() >= WRITE_BYTES {
            self.write(log)?;
        }
        Ok(Copied::To(copy))
    }

    /// Writes and syncs everything copied since the last call. The segments it stands in, held: keep them until what
    /// points into them holds them too.
    pub fn finish(&mut self, log: &ValueLog) -> Result<Vec<SegmentRef>> {
        let outcome = self.write(log).and_then(|()| {
            let mut held = self.filled.clone();
            held.extend(self.active.as_ref().map(|active| active.handle.clone()));
            let numbers: Vec<u64> = held.iter().map(|handle| handle.number()).collect();
            log.sync(Some(&numbers)).map(|()| held)
        });
        match &outcome {
            Ok(_) => self.filled.clear(),
            Err(_) => self.give_up(),
        }
        outcome
    }

    /// Sees to it that the active segment takes a record of `len` bytes. An empty one takes any.
    fn make_room(&mut self, log: &ValueLog, len: u64) -> Result<()> {
        let max = log.options.max_segment_size;
        if let Some(active) = &self.active {
            let end = active.segment.file.appended_len() + self.buffer.len() as u64;
            if end == SEGMENT_HEADER_LEN || end + len <= max {
                return Ok(());
            }
            self.write(log)?;
            let full = self.seal();
            self.filled.extend(full);
        }
        let number = log.queues.next_number();
        let (segment, handle) = log.registry.create_for_copies(&*log.env, number, &log.options.database)?;
        segment.set_arriving(self.separates);
        self.active = Some(Active { segment, handle });
        Ok(())
    }

    fn write(&mut self, log: &ValueLog) -> Result<()> {
        let Some(active) = self.active.as_ref().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let (file, offset) = (active.segment.file.file(), active.segment.file.appended_len());
        if let Err(error) = file.write_at(offset, &[IoSlice::new(&self.buffer)]) {
            // Gives the space of torn records back where that works; nothing points at them (V1).
            let _ = file.truncate(offset);
            self.give_up();
            return Err(error);
        }
        active.segment.file.set_appended(offset + self.buffer.len() as u64);
        let written = if self.separates { &log.separated_bytes } else { &log.copied_bytes };
        written.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        self.buffer.clear();
        Ok(())
    }

    /// Closes the active segment.
    fn seal(&mut self) -> Option<SegmentRef> {
        let active = self.active.take()?;
        active.segment.seal();
        Some(active.handle)
    }

    /// After a failure: nothing that was not finished will be pointed at.
    fn give_up(&mut self) {
        self.seal();
        self.filled.clear();
        self.buffer.clear();
    }

    /// Closes the segment that is open for copies; nothing may be waiting to be finished.
    pub fn close_segment(&mut self) {
        debug_assert!(self.buffer.is_empty() && self.filled.is_empty());
        self.seal();
    }

    /// Lets go of what was copied since the last `finish`, whatever it was.
    pub fn abandon(&mut self) {
        self.give_up();
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.seal();
    }
}
