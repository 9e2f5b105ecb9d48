//! Big values, each written once: segments, append queues, verified reads.
//!
//! 1. `append` compresses and checksums in the caller's thread, then takes a queue that is free; each queue has one
//!    segment open for append. The record is in the file when the pointer is returned. A `ValueGroup` appends the
//!    values of a batch together: one call to the system for many of them.
//! 2. `sync` makes appended bytes durable before the log that points at them is synced (W1), and before a flush
//!    retires that log (W2).
//! 3. `read` checks every value against its pointer, its column family and its key, also those from the cache.
//! 4. `ReadAhead` reads what a scan will come to, many records with one call.
//! 5. `lifetimes` puts values that are likely to die together into segments of their own.
//! 6. `Copier` moves what is alive in a segment that is mostly dead to another one, and a `Relocation` says where to.
//!    It also takes values that lay inline: from flushes, those of batches that kept them, and from compactions after
//!    the threshold was lowered.
//! 7. Recovery asks of each value that a log names whether it is whole; `VerifyAhead` finds out before, in threads.
//! 8. A segment that is sealed and that nobody holds any more is reported by `take_obsolete`.
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
#[cfg(test)]
mod direct_tests;
mod format;
mod group;
#[cfg(test)]
mod group_tests;
mod lifetimes;
mod read_ahead;
#[cfg(test)]
mod read_ahead_tests;
mod reader;
mod relocation;
mod segments;
#[cfg(test)]
mod tests;
mod verify_ahead;
#[cfg(test)]
mod verify_ahead_tests;
mod writer;

pub use copier::{Copied, Copier, Origin};
pub use format::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
pub use group::ValueGroup;
pub(crate) use lifetimes::Lifetimes;
pub use read_ahead::ReadAhead;
pub use relocation::{Fate, Moves, Relocation};
pub use segments::{SegmentHandle, SegmentRef, database_of};
pub use verify_ahead::{LogPlace, VerifyAhead};

use crate::base::{Codec, Result, ValuePointer};
use crate::cache::{Buffer, Cache};
use crate::env::direct::DirectIo;
use crate::env::{Env, File};
use parking_lot::Mutex;
use segments::{Filler, Registry};
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
    /// What is read and written past the page cache.
    pub direct: Arc<DirectIo>,
}

impl ValueLogOptions {
    /// One queue, raw values, no cache, through the page cache.
    pub fn plain(dir: impl Into<PathBuf>, database: [u8; 16], max_segment_size: u64) -> ValueLogOptions {
        ValueLogOptions {
            dir: dir.into(),
            database,
            max_segment_size,
            write_queues: 1,
            codec: Codec::None,
            cache: None,
            cache_owner: 0,
            direct: Arc::default(),
        }
    }
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

/// What a segment was made for: values of a class are expected to die at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SegmentClass {
    /// New values of keys that were not written lately, or of which that is not known.
    New = 0,
    /// New values of keys that are written again now and then.
    Warm = 1,
    /// New values of keys that are written again often.
    Hot = 2,
    /// New values of keys that are written again most often.
    Hottest = 3,
    /// Copies of values that are not old.
    Copies = 4,
    /// Copies of values that have lived for some time.
    OldCopies = 5,
    /// Copies of values that have lived longer.
    OlderCopies = 6,
    /// Copies of values that have lived longest.
    OldestCopies = 7,
}

impl SegmentClass {
    /// All, by their tags.
    pub const ALL: [SegmentClass; 8] = [
        SegmentClass::New,
        SegmentClass::Warm,
        SegmentClass::Hot,
        SegmentClass::Hottest,
        SegmentClass::Copies,
        SegmentClass::OldCopies,
        SegmentClass::OlderCopies,
        SegmentClass::OldestCopies,
    ];

    /// Whether it is one of copies: no log points into its segments, nor into those of new values that flushes fill.
    pub fn is_copies(self) -> bool {
        self as u8 >= SegmentClass::Copies as u8
    }

    /// For texts.
    pub fn name(self) -> &'static str {
        match self {
            SegmentClass::New => "new",
            SegmentClass::Warm => "warm",
            SegmentClass::Hot => "hot",
            SegmentClass::Hottest => "hottest",
            SegmentClass::Copies => "copies",
            SegmentClass::OldCopies => "old copies",
            SegmentClass::OlderCopies => "older copies",
            SegmentClass::OldestCopies => "oldest copies",
        }
    }
}

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// File number.
    pub number: u64,
    /// Bytes of the file.
    pub len: u64,
    /// Those before what is arriving.
    pub arrived_len: u64,
    /// Whether it is closed for appending.
    pub sealed: bool,
    /// Whether nobody holds it any more: its file is about to be removed.
    pub is_leaving: bool,
    /// Whether a flush or a compaction is writing values to it that lay inline before, and no table refers to them yet.
    pub is_arriving: bool,
    /// What it was made for.
    pub class: SegmentClass,
    /// Bytes of new values since it was created. Of segments found at open, an estimate by their order.
    pub age: u64,
    /// Who holds it: tables, memtables, writes under way, the queue that appends to it.
    pub holders: usize,
    /// When it was created or, if it is older than this open, found: time since the environment's start.
    pub since: Duration,
}

/// Counts since open.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValueLogStats {
    /// New values written, by writers or by flushes.
    pub values_written: u64,
    /// Their bytes, headers and keys included.
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
    /// Bytes of records that flushes wrote; they count as written too.
    pub flushed_bytes: u64,
}

/// New values that flushes wrote.
#[derive(Default)]
struct Flushed {
    values: AtomicU64,
    value_bytes: AtomicU64,
    /// Of records.
    bytes: AtomicU64,
}

impl Flushed {
    fn count(&self, value_bytes: u64) {
        self.values.fetch_add(1, Ordering::Relaxed);
        self.value_bytes.fetch_add(value_bytes, Ordering::Relaxed);
    }
}

/// The value log of one database. All methods may be called from any thread.
pub struct ValueLog {
    env: Arc<dyn Env>,
    options: ValueLogOptions,
    codec: AtomicU8,
    registry: Registry,
    queues: Queues,
    lifetimes: Lifetimes,
    syncs: AtomicU64,
    values_read: AtomicU64,
    any_abandoned: AtomicBool,
    copied_bytes: AtomicU64,
    separated_bytes: AtomicU64,
    flushed: Flushed,
    /// Of flushes that separated values: at most one, for the next flush that does. The same of compactions.
    idle_of_flushes: Mutex<Option<Copier>>,
    idle_of_compactions: Mutex<Option<Copier>>,
}

impl ValueLog {
    /// Opens the log; existing segments become sealed (R4), new ones take numbers from `next_file_number`.
    /// A segment of another database or of another number is a `Corruption` naming the file.
    pub fn open(
        env: Arc<dyn Env>,
        options: ValueLogOptions,
        next_file_number: Arc<AtomicU64>,
    ) -> Result<Arc<ValueLog>> {
        let (registry, found) = Registry::open(&*env, &options.dir, &options.database)?;
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
            lifetimes: Lifetimes::new(found),
            syncs,
            values_read,
            any_abandoned,
            copied_bytes,
            separated_bytes,
            flushed: Flushed::default(),
            idle_of_flushes: Mutex::default(),
            idle_of_compactions: Mutex::default(),
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

    /// Has the system begin to write all that is not synced, without waiting; false if there is nothing. A hint.
    pub fn begin_sync(&self) -> bool {
        writer::begin_sync(self)
    }

    /// Closes the segments that are open for append: the next values go to new ones.
    pub fn seal_open_segments(&self) {
        self.queues.seal_all();
        *self.idle_of_flushes.lock() = None;
        *self.idle_of_compactions.lock() = None;
    }

    /// Closes those of them with values that nobody refers to any more, so that they can go before they are full.
    pub fn seal_unheld_segments(&self) {
        self.queues.seal_unheld();
        for idle in [&self.idle_of_flushes, &self.idle_of_compactions] {
            if let Some(copier) = &mut *idle.lock() {
                copier.close_unheld();
            }
        }
    }

    fn idle_copier(&self, origin: Origin) -> &Mutex<Option<Copier>> {
        match origin {
            Origin::Memtables => &self.idle_of_flushes,
            Origin::Tables | Origin::Segments => &self.idle_of_compactions,
        }
    }

    /// A copier for values that lie inline in tables or memtables. What it writes is not part of the space that garbage
    /// collection looks at until it has arrived.
    pub fn take_copier(&self, origin: Origin) -> Copier {
        debug_assert!(origin != Origin::Segments, "relocation has its own");
        let idle = self.idle_copier(origin).lock().take();
        idle.inspect(Copier::expect).unwrap_or_else(|| Copier::of(origin))
    }

    /// Keeps a copier of `take_copier` for the next one, with its open segment.
    pub fn give_back_copier(&self, mut copier: Copier) {
        copier.free_buffers();
        // Another one's segment is sealed as it goes.
        let other = self.idle_copier(copier.origin()).lock().replace(copier);
        drop(other);
    }

    /// Says that tables refer to what one copier for inline values wrote to these segments, which are those that its
    /// `finish` gave, or that nothing ever will.
    pub fn have_arrived(&self, segments: &[SegmentRef]) {
        for segment in segments.iter().filter_map(|segment| self.registry.get(segment.number())) {
            segment.has_arrived();
        }
    }

    /// Tells how many bytes and values are alive: values are put into classes by how long theirs live, relative to
    /// that. No bytes: one class of new values and one of copies. Segments of classes that fill slowly are closed.
    pub fn set_live(&self, bytes: u64, values: u64) {
        self.lifetimes.set_live(bytes, values);
        self.queues.seal_slow(&self.lifetimes);
        if let Some(copier) = &mut *self.idle_of_flushes.lock() {
            copier.close_slow(self);
        }
        let mut idle = self.idle_of_compactions.lock();
        if idle.as_ref().is_some_and(|copier| copier.is_stale(self)) {
            *idle = None;
        }
    }

    /// Whether there are classes.
    pub fn has_classes(&self) -> bool {
        self.lifetimes.turnover() > 0
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

    /// Whether the cache takes so many more bytes of values and pushes nothing out for them.
    pub fn cache_has_room(&self, bytes: u64) -> bool {
        self.options.cache.as_ref().is_some_and(|cache| {
            // Entries are spread over shards, which do not fill up evenly.
            let capacity = cache.capacity();
            cache.usage() + bytes <= capacity - capacity / 16
        })
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
        self.registry.infos(self.lifetimes.now())
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
        stats.flushed_bytes = self.flushed.bytes.load(Ordering::Relaxed);
        stats.values_written += self.flushed.values.load(Ordering::Relaxed);
        stats.value_bytes += self.flushed.value_bytes.load(Ordering::Relaxed);
        stats.bytes_written += stats.flushed_bytes;
        stats
    }

    /// Changes the codec for values appended from now on.
    pub fn set_codec(&self, codec: Codec) {
        self.codec.store(codec as u8, Ordering::Relaxed);
    }

    /// A new segment for values of `class`.
    fn create_segment(
        &self,
        class: SegmentClass,
        filler: Filler,
    ) -> Result<(Arc<segments::Segment>, SegmentRef)> {
        let (number, now) = (self.queues.next_number(), self.lifetimes.now());
        self.registry.create(&*self.env, number, &self.options.database, (class, filler), now)
    }

    /// What the bytes of `segment` before `end` are read through.
    #[inline]
    fn reader<'s>(&self, segment: &'s segments::Segment, end: u64) -> &'s Arc<dyn File> {
        segment.reader(&*self.env, &self.options.direct, end)
    }

    fn cache(&self) -> Option<&Cache> {
        self.options.cache.as_deref()
    }

    fn codec(&self) -> Codec {
        Codec::from_tag(self.codec.load(Ordering::Relaxed)).expect("only codecs are stored")
    }
}
