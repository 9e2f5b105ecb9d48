//! Appends values through queues, and syncs segments.
//!
//! 1. Outside any lock: compress into the thread's buffer, checksum header, key and stored value.
//! 2. Take a queue of the value's class (`lifetimes`): the thread's own if it is free, else any free one, else wait
//!    for the own one.
//! 3. Under the queue's lock: find the offset, bind the checksum to it, write header, key and value with one call.
//!
//! Values of one batch take the same steps together (`group`).

use super::compress::with_compressed;
use super::format::{RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN};
use super::lifetimes::{Lifetimes, NEW_CLASSES, OPEN_PARTS};
use super::segments::{Filler, Segment, SegmentRef};
use super::{SegmentClass, ValueLog, ValueLogStats};
use crate::base::checksum::{bind, crc32_of, hash64};
use crate::base::{Codec, Error, Result, ValuePointer};
use parking_lot::{Mutex, MutexGuard};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The queues of a value log.
pub(super) struct Queues {
    /// As many of each class of new values, class by class.
    queues: Vec<PaddedQueue>,
    next_file_number: Arc<AtomicU64>,
}

/// A queue on cache lines of its own: its neighbours are locked by other threads.
#[repr(align(128))]
#[derive(Default)]
struct PaddedQueue(Mutex<Queue>);

#[derive(Default)]
pub(super) struct Queue {
    active: Option<Active>,
    values_written: u64,
    bytes_written: u64,
    value_bytes: u64,
}

/// The segment that a queue appends to.
pub(super) struct Active {
    pub segment: Arc<Segment>,
    handle: SegmentRef,
}

/// What a write appends to the active segment.
pub(super) struct Appended {
    /// Where it ends.
    pub end: u64,
    pub values: u64,
    pub value_bytes: u64,
}

/// A record whose place is not known yet.
pub(super) struct Record<'a> {
    header: [u8; RECORD_HEADER_LEN],
    crc: u32,
    key: &'a [u8],
    stored: &'a [u8],
    pub(super) len: u32,
    value_len: u32,
}

impl Queues {
    pub fn new(count: usize, next_file_number: Arc<AtomicU64>) -> Queues {
        let queues = (0..count.max(1) * NEW_CLASSES).map(|_| PaddedQueue::default()).collect();
        Queues { queues, next_file_number }
    }

    /// The number for a new segment.
    pub fn next_number(&self) -> u64 {
        self.next_file_number.fetch_add(1, Ordering::Relaxed)
    }

    pub fn take_one(&self, class: SegmentClass) -> MutexGuard<'_, Queue> {
        let count = self.queues.len() / NEW_CLASSES;
        let queues = &self.queues[class as usize * count..][..count];
        let own = thread_number() % count;
        let (before, from_own) = queues.split_at(own);
        let free = from_own.iter().chain(before).find_map(|queue| queue.0.try_lock());
        free.unwrap_or_else(|| queues[own].0.lock())
    }

    /// Closes open segments of classes that fill slowly, and all but those of new values where there are no classes.
    pub fn seal_slow(&self, lifetimes: &Lifetimes) {
        let (now, turnover) = (lifetimes.now(), lifetimes.turnover());
        let is_slow = |active: &Active| {
            let age = now.saturating_sub(active.segment.created_at);
            if turnover > 0 { age > turnover / OPEN_PARTS } else { active.segment.class != SegmentClass::New }
        };
        for queue in &self.queues {
            // Who appends to it does not make it wait.
            if let Some(mut queue) = queue.0.try_lock()
                && queue.active.as_ref().is_some_and(is_slow)
            {
                queue.seal();
            }
        }
    }

    fn retire(&self, number: u64) {
        for queue in &self.queues {
            let mut queue = queue.0.lock();
            if queue.active.as_ref().is_some_and(|active| active.segment.number == number) {
                queue.seal();
            }
        }
    }

    /// Closes open segments with values that nobody refers to any more.
    pub fn seal_unheld(&self) {
        for queue in &self.queues {
            // Who appends to it is about to refer to it.
            if let Some(mut queue) = queue.0.try_lock()
                && queue.active.as_ref().is_some_and(Active::is_unheld)
            {
                queue.seal();
            }
        }
    }

    pub fn seal_all(&self) {
        self.queues.iter().for_each(|queue| queue.0.lock().seal());
    }

    pub fn stats(&self) -> ValueLogStats {
        let mut stats = ValueLogStats::default();
        for queue in &self.queues {
            let queue = queue.0.lock();
            stats.values_written += queue.values_written;
            stats.bytes_written += queue.bytes_written;
            stats.value_bytes += queue.value_bytes;
        }
        stats
    }
}

/// A small number of the calling thread's own.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

pub(super) fn append(
    log: &ValueLog,
    column_family: u32,
    key: &[u8],
    value: &[u8],
) -> Result<(ValuePointer, SegmentRef)> {
    check_len(key, value)?;
    with_compressed(log.codec(), value, |stored, codec| {
        let record = Record::new(column_family, key, value.len() as u32, stored, codec);
        let hash = || hash64(key, u64::from(column_family));
        let class = log.lifetimes.class_of_new(u64::from(record.len), hash);
        log.queues.take_one(class).append(log, record, class)
    })
}

/// Refuses what no record can hold.
pub(super) fn check_len(key: &[u8], value: &[u8]) -> Result<()> {
    let longest =
        (RECORD_HEADER_LEN as u64).saturating_add(key.len() as u64).saturating_add(value.len() as u64);
    if longest > u64::from(u32::MAX) {
        return Err(Error::invalid_argument(format!(
            "a key and value of {longest} bytes: the longest are 4 GiB together; store the value in parts"
        )));
    }
    Ok(())
}

impl<'a> Record<'a> {
    /// The caller has checked that the lengths fit.
    pub(super) fn new(
        column_family: u32,
        key: &'a [u8],
        value_len: u32,
        stored: &'a [u8],
        codec: Codec,
    ) -> Record<'a> {
        let (key_len, stored_len) = (key.len() as u32, stored.len() as u32);
        let fields = RecordHeader { key_len, stored_len, value_len, column_family, codec };
        let header = fields.encode();
        let crc = crc32_of(&[&header[4..], key, stored]);
        Record { header, crc, key, stored, len: fields.record_len() as u32, value_len }
    }

    /// Binds it to its place; what points there.
    fn bind(&mut self, segment: u64, offset: u64) -> ValuePointer {
        let checksum = bind(self.crc, segment, offset);
        self.header[..4].copy_from_slice(&checksum.to_le_bytes());
        let Record { len: record_len, value_len, .. } = *self;
        ValuePointer { segment, offset, record_len, value_len, checksum }
    }

    /// Appends its bytes to `out`, as they stand at `offset` of `segment`.
    pub(super) fn put(mut self, out: &mut Vec<u8>, segment: u64, offset: u64) -> ValuePointer {
        let pointer = self.bind(segment, offset);
        out.extend_from_slice(&self.header);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.stored);
        pointer
    }
}

impl Queue {
    fn append(
        &mut self,
        log: &ValueLog,
        mut record: Record<'_>,
        class: SegmentClass,
    ) -> Result<(ValuePointer, SegmentRef)> {
        let Active { segment, .. } = self.segment_for(log, record.len, class)?;
        let pointer = record.bind(segment.number, segment.file.appended_len());
        let pieces = [IoSlice::new(&record.header), IoSlice::new(record.key), IoSlice::new(record.stored)];
        let value_bytes = u64::from(pointer.value_len);
        let handle = self.write(log, &pieces, Appended { end: pointer.end(), values: 1, value_bytes })?;
        Ok((pointer, handle))
    }

    /// The segment that takes a record of `len` bytes next: the active one, or a new one if that is full.
    pub fn segment_for(&mut self, log: &ValueLog, len: u32, class: SegmentClass) -> Result<&Active> {
        let max = log.options.max_segment_size;
        if self.active.as_ref().is_some_and(|active| !active.takes(len, max)) {
            self.seal();
        }
        match &mut self.active {
            Some(active) => Ok(active),
            none => {
                let (segment, handle) = log.create_segment(class, Filler::Queue)?;
                Ok(none.insert(Active { segment, handle }))
            }
        }
    }

    /// Writes records, which `segment_for` has found a place for, with one call. Gives a hold on their segment. After
    /// a failure the segment ends at the record before them (V1).
    pub fn write(
        &mut self,
        log: &ValueLog,
        pieces: &[IoSlice<'_>],
        appended: Appended,
    ) -> Result<SegmentRef> {
        let Active { segment, handle } = self.active.as_ref().expect("a place was found in it");
        let offset = segment.file.appended_len();
        if let Err(error) = segment.file.file().write_at(offset, pieces) {
            // Gives the space of torn records back where that works; nothing points at them.
            let _ = segment.file.file().truncate(offset);
            self.seal();
            return Err(error);
        }
        let handle = handle.clone();
        segment.file.set_appended(appended.end);
        self.values_written += appended.values;
        self.bytes_written += appended.end - offset;
        self.value_bytes += appended.value_bytes;
        if appended.end >= log.options.max_segment_size {
            self.seal();
        }
        Ok(handle)
    }

    /// Closes the active segment, if there is one. When nobody else holds it, it becomes obsolete.
    fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            active.segment.seal();
        }
    }
}

impl Active {
    /// Whether it has values, and nobody but the queue holds it.
    fn is_unheld(&self) -> bool {
        Arc::strong_count(&self.handle) == 1 && self.segment.file.appended_len() > SEGMENT_HEADER_LEN
    }

    /// Whether the segment takes a record of `len` bytes. An empty one takes any.
    fn takes(&self, len: u32, max: u64) -> bool {
        let end = self.segment.file.appended_len();
        !self.segment.file.has_failed() && (end == SEGMENT_HEADER_LEN || end + u64::from(len) <= max)
    }
}

/// Has the system begin to write what is not synced; false if there is nothing.
pub(super) fn begin_sync(log: &ValueLog) -> bool {
    log.registry.unsynced(None).iter().filter(|segment| segment.file.begin_sync()).count() > 0
}

pub(super) fn sync(log: &ValueLog, numbers: Option<&[u64]>) -> Result<()> {
    for segment in log.registry.unsynced(numbers) {
        match segment.file.sync() {
            Ok(true) => _ = log.syncs.fetch_add(1, Ordering::Relaxed),
            Ok(false) => {}
            Err(error) => {
                log.queues.retire(segment.number);
                return Err(error);
            }
        }
    }
    Ok(())
}
