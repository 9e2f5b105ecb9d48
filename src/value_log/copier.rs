//! Writes values for whoever rewrites tables: copies of live records out of segments that are mostly dead, and values
//! that lay inline until now. They go into segments of their own.
//!
//! 1. A record is read behind those of its class that were copied before, in one buffer, and verified against its
//!    pointer, its column family and its key. The stored value is taken as it is: nothing is decompressed.
//! 2. Its checksum is bound to the new place. A full buffer is written with one call or, where that is wanted, past the
//!    page cache, but for the ends that do not fill a page.
//! 3. The new pointers may be shown once `finish` has written and synced everything (W2).
//!
//! What survives a segment's cleaning is likely to live on, so it is kept apart from new values, and what has lived
//! long from what has not (`lifetimes`): there is one segment for each class of copies, open from one job to the next.
//! One that a quarter of a turnover was not enough to fill is closed as it is. Logs never point into such segments, so
//! a log's sync does not cover them. Compactions and flushes that separate values have copiers of their own, which they
//! take from the value log and give back. What they write arrives when their tables are installed, and counts as part
//! of the space from then on.
//!
//! What a flush separates is new, though no log points to it: it advances the clock of bytes and has the classes of new
//! values, in segments of its own. What a compaction separates is old, and does neither.

use super::compress::with_compressed;
use super::format::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use super::lifetimes::{COPY_CLASSES, NEW_CLASSES, OPEN_PARTS};
use super::reader::read_raw;
use super::segments::{Filler, Segment, SegmentRef};
use super::writer::{Record, check_len};
use super::{SegmentClass, ValueLog};
use crate::base::checksum::{bind, hash64, unbind};
use crate::base::{Result, ValuePointer};
use crate::env::File;
use crate::env::aligned::AlignedBuffer;
use crate::env::direct::write_around;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of copies that are gathered before they are written. A larger record is written alone.
const WRITE_BYTES: usize = 1 << 20;

/// One for each class of copies, or of new values.
const STREAMS: usize = COPY_CLASSES;
const _: () = assert!(NEW_CLASSES == STREAMS && SegmentClass::Copies as usize == STREAMS);

/// Where a copier's values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Other segments: copies.
    #[default]
    Segments,
    /// Tables, in which they lay inline: compactions write them.
    Tables,
    /// Memtables, in which they lay inline: flushes write them, and they are new.
    Memtables,
}

/// Writes copies, one after another. One thread at a time.
#[derive(Default)]
pub struct Copier {
    origin: Origin,
    /// By class.
    streams: [Stream; STREAMS],
    /// Segments that were filled since the last `finish`.
    filled: Vec<SegmentRef>,
    /// Memory for writes past the page cache.
    staging: AlignedBuffer,
}

/// Copies of one class.
#[derive(Default)]
struct Stream {
    active: Option<Active>,
    /// Records that are not written yet; they follow what the segment holds.
    buffer: Vec<u8>,
}

struct Active {
    segment: Arc<Segment>,
    handle: SegmentRef,
    /// For writes past the page cache.
    direct: Option<Arc<dyn File>>,
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
    pub(super) fn of(origin: Origin) -> Copier {
        let mut copier = Copier::default();
        copier.origin = origin;
        copier
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
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
        let outcome = with_compressed(log.codec(), value, |stored, codec| {
            let record = Record::new(column_family, key, value.len() as u32, stored, codec);
            let class = match self.origin {
                Origin::Memtables => {
                    let hash = || hash64(key, u64::from(column_family));
                    log.lifetimes.class_of_new(u64::from(record.len), hash)
                }
                Origin::Tables | Origin::Segments => SegmentClass::Copies,
            };
            let (origin, (stream, staging)) = (self.origin, self.stream(class));
            let full = stream.make_room(log, origin, class, u64::from(record.len), staging)?;
            let pointer = stream.append(log, origin, record, staging);
            self.filled.extend(full);
            pointer
        });
        match &outcome {
            Err(_) => self.give_up(log),
            Ok(_) if self.origin == Origin::Memtables => log.flushed.count(value.len() as u64),
            Ok(_) => {}
        }
        outcome
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
        let birth = log.registry.get(pointer.segment).map_or(log.lifetimes.now(), |from| from.birth());
        let class = log.lifetimes.class_of_copy(birth);
        let (origin, (stream, staging)) = (self.origin, self.stream(class));
        match stream.make_room(log, origin, class, u64::from(pointer.record_len), staging) {
            Ok(full) => self.filled.extend(full),
            Err(error) => {
                self.give_up(log);
                return Err(error);
            }
        }
        let (stream, staging) = self.stream(class);
        let start = stream.buffer.len();
        if let Err(what) = read_raw(log, pointer, column_family, key, &mut stream.buffer) {
            stream.buffer.truncate(start);
            return Ok(Copied::Damaged(what));
        }
        let copy = stream.bind(pointer, start, birth);
        if stream.buffer.len() >= WRITE_BYTES
            && let Err(error) = stream.write(log, origin, staging)
        {
            self.give_up(log);
            return Err(error);
        }
        Ok(Copied::To(copy))
    }

    fn stream(&mut self, class: SegmentClass) -> (&mut Stream, &mut AlignedBuffer) {
        (&mut self.streams[class as usize % STREAMS], &mut self.staging)
    }

    /// Writes and syncs everything copied since the last call. The segments it stands in, held: keep them until what
    /// points into them holds them too.
    pub fn finish(&mut self, log: &ValueLog) -> Result<Vec<SegmentRef>> {
        let (origin, staging) = (self.origin, &mut self.staging);
        let written = self.streams.iter_mut().try_for_each(|stream| stream.write(log, origin, staging));
        let outcome = written.and_then(|()| {
            let mut held = self.filled.clone();
            held.extend(
                self.streams.iter().filter_map(|stream| Some(stream.active.as_ref()?.handle.clone())),
            );
            let numbers: Vec<u64> = held.iter().map(|handle| handle.number()).collect();
            log.sync(Some(&numbers)).map(|()| held)
        });
        match &outcome {
            Ok(_) => self.filled.clear(),
            Err(_) => self.give_up(log),
        }
        outcome
    }

    /// Has the system begin to write what is not synced, without waiting. A hint: `finish` waits for less then, and
    /// those who sync meanwhile wait behind less.
    pub fn begin_sync(&self) {
        let open = self.streams.iter().filter_map(|stream| stream.active.as_ref());
        open.for_each(|active| _ = active.segment.file.begin_sync());
    }

    /// For one that was idle: what it goes on to write has to arrive like the rest.
    pub(super) fn expect(&self) {
        let open = self.streams.iter().filter_map(|stream| stream.active.as_ref());
        open.for_each(|active| active.segment.expect());
    }

    /// Whether it has a segment that is open for so long that the garbage in it should not wait for it to be filled.
    pub(super) fn is_stale(&self, log: &ValueLog) -> bool {
        let longest = (log.lifetimes.turnover() / OPEN_PARTS).max(log.options.max_segment_size);
        let mut open = self.streams.iter().filter_map(|stream| stream.active.as_ref());
        open.any(|active| log.lifetimes.now().saturating_sub(active.segment.created_at) > longest)
    }

    /// After a failure: nothing that was not finished will be pointed at.
    fn give_up(&mut self, log: &ValueLog) {
        for stream in &mut self.streams {
            self.filled.extend(stream.seal());
            stream.buffer.clear();
        }
        if self.origin != Origin::Segments {
            log.have_arrived(&self.filled);
        }
        self.filled.clear();
    }

    /// Gives the memory back that copies wait in. Nothing may be waiting to be finished.
    pub(super) fn free_buffers(&mut self) {
        debug_assert!(self.streams.iter().all(|stream| stream.buffer.is_empty()));
        self.streams.iter_mut().for_each(|stream| stream.buffer = Vec::new());
        self.staging = AlignedBuffer::default();
    }

    /// Closes the segments that are open for copies; nothing may be waiting to be finished.
    pub fn close_segments(&mut self) {
        debug_assert!(self.filled.is_empty() && self.streams.iter().all(|stream| stream.buffer.is_empty()));
        self.streams.iter_mut().for_each(|stream| _ = stream.seal());
    }

    /// Closes open segments with copies that nobody refers to any more. Nothing may be waiting to be finished.
    pub fn close_unheld(&mut self) {
        for stream in &mut self.streams {
            let is_unheld = stream.active.as_ref().is_some_and(|active| {
                Arc::strong_count(&active.handle) == 1
                    && active.segment.file.appended_len() > SEGMENT_HEADER_LEN
            });
            if is_unheld {
                stream.seal();
            }
        }
    }

    /// Closes the segments of classes that fill slowly, and all but those of the first one where there are no classes.
    /// Nothing may be waiting to be finished.
    pub fn close_slow(&mut self, log: &ValueLog) {
        let (now, turnover) = (log.lifetimes.now(), log.lifetimes.turnover());
        for stream in &mut self.streams {
            let is_slow = stream.active.as_ref().is_some_and(|active| match turnover {
                0 => !matches!(active.segment.class, SegmentClass::Copies | SegmentClass::New),
                _ => now.saturating_sub(active.segment.created_at) > turnover / OPEN_PARTS,
            });
            if is_slow {
                stream.seal();
            }
        }
    }

    /// Lets go of what was copied since the last `finish`, whatever it was.
    pub fn abandon(&mut self, log: &ValueLog) {
        self.give_up(log);
    }
}

impl Stream {
    /// Sees to it that the active segment takes a record of `len` bytes; an empty one takes any. Gives the one that it
    /// took the place of.
    fn make_room(
        &mut self,
        log: &ValueLog,
        origin: Origin,
        class: SegmentClass,
        len: u64,
        staging: &mut AlignedBuffer,
    ) -> Result<Option<SegmentRef>> {
        if let Some(active) = &self.active {
            let end = active.segment.file.appended_len() + self.buffer.len() as u64;
            if end == SEGMENT_HEADER_LEN || end + len <= log.options.max_segment_size {
                return Ok(None);
            }
            self.write(log, origin, staging)?;
        }
        // First: what fails has to know of the one that was open.
        let (segment, handle) = log.create_segment(class, Filler::Copier)?;
        let full = self.seal();
        if origin != Origin::Segments {
            segment.expect();
        }
        let direct = log.options.direct.open_for_writing(&*log.env, segment.file.file().path());
        self.active = Some(Active { segment, handle, direct });
        Ok(full)
    }

    /// Takes a new record, for which there is room.
    fn append(
        &mut self,
        log: &ValueLog,
        origin: Origin,
        record: Record<'_>,
        staging: &mut AlignedBuffer,
    ) -> Result<ValuePointer> {
        let segment = &self.active.as_ref().expect("there is room in it").segment;
        let offset = segment.file.appended_len() + self.buffer.len() as u64;
        let pointer = record.put(&mut self.buffer, segment.number, offset);
        if self.buffer.len() >= WRITE_BYTES {
            self.write(log, origin, staging)?;
        }
        Ok(pointer)
    }

    /// Binds the record from `start` of the buffer to its new place. Gives the pointer to it.
    fn bind(&mut self, pointer: &ValuePointer, start: usize, birth: u64) -> ValuePointer {
        let segment = &self.active.as_ref().expect("there is room in it").segment;
        let offset = segment.file.appended_len() + start as u64;
        let crc = unbind(pointer.checksum, pointer.segment, pointer.offset);
        let checksum = bind(crc, segment.number, offset);
        self.buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        // The mean over the bytes so far.
        let share = f64::from(pointer.record_len)
            / (offset - SEGMENT_HEADER_LEN + u64::from(pointer.record_len)) as f64;
        let mean = segment.birth() as f64;
        segment.set_birth((mean + (birth as f64 - mean) * share) as u64);
        ValuePointer { segment: segment.number, offset, checksum, ..*pointer }
    }

    fn write(&mut self, log: &ValueLog, origin: Origin, staging: &mut AlignedBuffer) -> Result<()> {
        let Some(active) = self.active.as_ref().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let (file, offset) = (active.segment.file.file(), active.segment.file.appended_len());
        let outcome = match &active.direct {
            Some(direct) => write_around(&**file, &**direct, offset, &self.buffer, staging),
            None => file.write_at(offset, &[IoSlice::new(&self.buffer)]),
        };
        if let Err(error) = outcome {
            // Gives the space of torn records back where that works; nothing points at them (V1).
            let _ = file.truncate(offset);
            return Err(error);
        }
        active.segment.file.set_appended(offset + self.buffer.len() as u64);
        let written = match origin {
            Origin::Segments => &log.copied_bytes,
            Origin::Tables => &log.separated_bytes,
            Origin::Memtables => &log.flushed.bytes,
        };
        written.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        if self.buffer.capacity() > 2 * WRITE_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        Ok(())
    }

    /// Closes the active segment.
    fn seal(&mut self) -> Option<SegmentRef> {
        let active = self.active.take()?;
        active.segment.seal();
        Some(active.handle)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.streams.iter_mut().for_each(|stream| _ = stream.seal());
    }
}
