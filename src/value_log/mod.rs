//! Big values, each written once: segments, append queues, verified reads.
//!
//! 1. `append` compresses and checksums in the caller's thread, then takes a queue that is free; each queue has one
//!    segment open for append. The record is in the file when the pointer is returned.
//! 2. `sync` makes appended bytes durable before the log that points at them is synced (W1), and before a flush
//!    retires that log (W2).
//! 3. `read` checks every value against its pointer, its column family and its key, also those from the cache.
//! 4. `Copier` moves what is alive in a segment that is mostly dead to another one, and a `Relocation` says where to.
//!    It also takes values that lay inline, from compactions after the threshold was lowered.
//! 5. A segment that is sealed and that nobody holds any more is reported by `take_obsolete`.
//!
//! Invariants:
//! - V1 a segment has no holes: a record's offset is given out while the queue is locked, and a failed append ends
//!   the segment at the record before.
//! - V2 segments are appended to only by the open that created them (R4).
//! - V3 a segment's header and then its directory entry are durable before a pointer into it exists (R7). Leftovers
//!   of creating one are `NNNNNN.tmp`, which the open removes.
//! - V4 there is at most one `SegmentHandle` of a segment, ever: once it is gone, `hold` is `None` for good.

mod compress;
mod copier;
#[cfg(test)]
mod copier_tests;
#[cfg(test)]
mod crash_tests;
mod format;
mod reader;
mod relocation;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

pub use copier::{Copied, Copier};
pub use format::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
pub use relocation::Relocation;
pub use segments::{SegmentHandle, SegmentRef, database_of};

use crate::base::{Codec, Result, ValuePointer};
use crate::cache::{Buffer, Cache};
use crate::env::Env;
use parking_lot::Mutex;
use segments::Registry;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use writer::Queues;

/// How the value log works.
#[derive(Clone)]
pub struct ValueLogOptions {
    /// Where segments live.
    pub dir: PathBuf,
    /// The database's identity, in each segment's header.
    pub database: [u8; 16],
    /// Bytes at which a segment is sealed. A larger record has a segment of its own.
    pub max_segment_size: u64,
    /// Segments open for append at once.
    pub write_queues: usize,
    /// Codec for new values (`None` = raw).
    pub codec: Codec,
    /// Where values read are kept.
    pub cache: Option<Arc<Cache>>,
    /// This database's number in the cache.
    pub cache_owner: u64,
}

/// A value read: the bytes, kept alive without a copy.
#[derive(Clone, Debug)]
pub struct ValueBytes {
    /// What holds the bytes.
    pub buffer: Buffer,
    /// Where in it the value stands.
    pub range: std::ops::Range<usize>,
}

impl ValueBytes {
    /// The value.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// File number.
    pub number: u64,
    /// Bytes of the file.
    pub len: u64,
    /// Whether it is closed for appending.
    pub sealed: bool,
    /// Whether nobody holds it any more: its file is about to be removed.
    pub is_leaving: bool,
    /// Whether it was made for copies, in this open.
    pub for_copies: bool,
    /// Whether a compaction is writing values to it that lay inline before, and no table refers to them yet.
    pub is_arriving: bool,
    /// When it was created or, if it is older than this open, found: time since the environment's start.
    pub since: Duration,
}

/// Counts since open.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValueLogStats {
    /// Values appended.
    pub values_written: u64,
    /// Bytes appended, headers and keys included.
    pub bytes_written: u64,
    /// Bytes of values before compression.
    pub value_bytes: u64,
    /// fdatasync calls.
    pub syncs: u64,
    /// Values read from the device or page cache.
    pub values_read: u64,
    /// Bytes of records copied from one segment to another.
    pub copied_bytes: u64,
    /// Bytes of records that compactions wrote, of values that lay inline before.
    pub separated_bytes: u64,
}

/// The value log of one database. All methods may be called from any thread.
pub struct ValueLog {
    env: Arc<dyn Env>,
    options: ValueLogOptions,
    codec: AtomicU8,
    registry: Registry,
    queues: Queues,
    syncs: AtomicU64,
    values_read: AtomicU64,
    any_abandoned: AtomicBool,
    copied_bytes: AtomicU64,
    separated_bytes: AtomicU64,
    /// Of compactions that separated values: at most one, for the next compaction that does.
    idle_copier: Mutex<Option<Copier>>,
}

impl ValueLog {
    /// Opens the log; existing segments become sealed (R4), new ones take numbers from `next_file_number`.
    /// A segment of another database or of another number is a `Corruption` naming the file.
    pub fn open(
        env: Arc<dyn Env>,
        options: ValueLogOptions,
        next_file_number: Arc<AtomicU64>,
    ) -> Result<Arc<ValueLog>> {
        let registry = Registry::open(&*env, &options.dir, &options.database)?;
        let queues = Queues::new(options.write_queues, next_file_number);
        let codec = AtomicU8::new(options.codec as u8);
        let (syncs, values_read) = (AtomicU64::new(0), AtomicU64::new(0));
        let any_abandoned = AtomicBool::new(false);
        let (copied_bytes, separated_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Arc::new(ValueLog {
            env,
            options,
            codec,
            registry,
            queues,
            syncs,
            values_read,
            any_abandoned,
            copied_bytes,
            separated_bytes,
            idle_copier: Mutex::default(),
        }))
    }

    /// Appends one value. The bytes are in the file (page cache) when it returns. Compresses and checksums in the
    /// calling thread outside any lock. A failed append seals the segment; the next one goes to a new segment.
    pub fn append(&self, column_family: u32, key: &[u8], value: &[u8]) -> Result<(ValuePointer, SegmentRef)> {
        writer::append(self, column_family, key, value)
    }

    /// Makes everything appended before the call durable (W1, W2), in the named segments or in all. A failure is
    /// final for that segment: it is sealed, and every later sync that must cover it fails with subcode
    /// `SyncUnknown`. Numbers of segments that are gone are left out: nothing points into them.
    pub fn sync(&self, segments: Option<&[u64]>) -> Result<()> {
        writer::sync(self, segments)
    }

    /// Closes the segments that are open for append: the next values go to new ones.
    pub fn seal_open_segments(&self) {
        self.queues.seal_all();
        *self.idle_copier.lock() = None;
    }

    /// A copier for values that lie inline in tables. While it is in use, what it fills is not part of the space that
    /// garbage collection looks at.
    pub fn take_copier(&self) -> Copier {
        self.idle_copier.lock().take().unwrap_or_else(Copier::for_separation)
    }

    /// Keeps a copier of `take_copier` for the next one, with its open segment.
    pub fn give_back_copier(&self, copier: Copier) {
        // Another one's segment is sealed as it goes.
        let other = self.idle_copier.lock().replace(copier);
        drop(other);
    }

    /// Says that tables refer to what stands in these segments, or that nothing ever will.
    pub fn have_arrived(&self, segments: &[SegmentRef]) {
        for segment in segments.iter().filter_map(|segment| self.registry.get(segment.number())) {
            segment.set_arriving(false);
        }
    }

    /// (segment, durable up to) of every segment whose sync failed and whose tail has not been abandoned.
    pub fn failed_segments(&self) -> Vec<(u64, u64)> {
        self.registry.failed()
    }

    /// Whether `abandon_tail` was called for the segment.
    #[inline]
    pub fn is_abandoned(&self, segment: u64) -> bool {
        self.any_abandoned.load(Ordering::Acquire)
            && self.registry.get(segment).is_some_and(|segment| segment.file.is_abandoned())
    }

    /// Says that every value beyond what is durable in this failed segment has been written elsewhere (R6).
    pub fn abandon_tail(&self, segment: u64) {
        if let Some(segment) = self.registry.get(segment) {
            segment.file.abandon_tail();
            self.any_abandoned.store(true, Ordering::Release);
        }
    }

    /// (segment, durable up to) of every segment that is open or that has been synced since open, ascending.
    pub fn durable_marks(&self) -> Vec<(u64, u64)> {
        self.registry.durable_marks()
    }

    /// A hold on an existing segment; `None` if there is none of the number, or if the last hold of it has gone.
    /// During recovery keep the first hold of a segment until all its owners have taken theirs.
    pub fn hold(&self, segment: u64) -> Option<SegmentRef> {
        self.registry.hold(segment)
    }

    /// Reads and verifies the value of `key`: checksum, place, column family and key must all match, else
    /// `Corruption` naming segment and offset. `allow_io` false: a cache miss is `Incomplete`.
    pub fn read(
        &self,
        pointer: &ValuePointer,
        column_family: u32,
        key: &[u8],
        fill_cache: bool,
        allow_io: bool,
    ) -> Result<ValueBytes> {
        reader::read(self, pointer, column_family, key, fill_cache, allow_io)
    }

    /// Whether the record `pointer` names is whole and belongs to `key` (for recovery). Errors are I/O errors only.
    pub fn verify(&self, pointer: &ValuePointer, column_family: u32, key: &[u8]) -> Result<bool> {
        reader::verify(self, pointer, column_family, key)
    }

    /// Numbers of segments that nobody holds any more; each is reported once. The caller removes the files.
    pub fn take_obsolete(&self) -> Vec<u64> {
        self.registry.take_obsolete()
    }

    /// Segments found at open that nobody has held since, ascending: after recovery, nothing points into them.
    pub fn unheld_segments(&self) -> Vec<u64> {
        self.registry.unheld()
    }

    /// Segments found at open whose header is not whole, ascending: they were damaged. Their records verify by
    /// themselves. For the info log.
    pub fn damaged_headers(&self) -> Vec<u64> {
        self.registry.damaged_headers()
    }

    /// All segments, ascending.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.registry.infos()
    }

    /// Whether `take_obsolete` would give any.
    pub fn has_obsolete(&self) -> bool {
        self.registry.has_obsolete()
    }

    /// Removes a segment's file and closes its descriptor when the reads under way have finished. Gives the bytes it
    /// had. `Busy` if somebody holds the segment.
    pub fn remove(&self, segment: u64) -> Result<u64> {
        self.registry.remove(&*self.env, segment)
    }

    /// Counts.
    pub fn stats(&self) -> ValueLogStats {
        let mut stats = self.queues.stats();
        stats.syncs = self.syncs.load(Ordering::Relaxed);
        stats.values_read = self.values_read.load(Ordering::Relaxed);
        stats.copied_bytes = self.copied_bytes.load(Ordering::Relaxed);
        stats.separated_bytes = self.separated_bytes.load(Ordering::Relaxed);
        stats
    }

    /// Changes the codec for values appended from now on.
    pub fn set_codec(&self, codec: Codec) {
        self.codec.store(codec as u8, Ordering::Relaxed);
    }

    fn codec(&self) -> Codec {
        Codec::from_tag(self.codec.load(Ordering::Relaxed)).expect("only codecs are stored")
    }
}
