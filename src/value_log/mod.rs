//! Big values, each written once: segments, append queues, verified reads.

use crate::base::{Codec, Result, ValuePointer};
use crate::cache::{Buffer, Cache};
use crate::env::Env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How the value log works.
#[derive(Clone)]
pub struct ValueLogOptions {
    /// Where segments live.
    pub dir: PathBuf,
    /// The database's identity, in each segment's header.
    pub database: [u8; 16],
    /// Bytes at which a segment is sealed.
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

/// Keeps a segment's file from being removed. Held by memtables, table metadata and writes in flight.
/// When the last one of a sealed segment goes, the segment's number is queued for removal.
pub struct SegmentHandle {
    _private: (),
}
/// A shared hold on a segment.
pub type SegmentRef = Arc<SegmentHandle>;

impl SegmentHandle {
    /// The segment's file number.
    pub fn number(&self) -> u64 {
        todo!()
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

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// File number.
    pub number: u64,
    /// Bytes of the file.
    pub len: u64,
    /// Whether it is closed for appending.
    pub sealed: bool,
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
}

/// The value log of one database. All methods may be called from any thread.
pub struct ValueLog {
    _private: (),
}

impl ValueLog {
    /// Opens the log; existing segments become sealed (R4), new ones take numbers from `next_file_number`.
    pub fn open(
        env: Arc<dyn Env>,
        options: ValueLogOptions,
        next_file_number: Arc<AtomicU64>,
    ) -> Result<Arc<ValueLog>> {
        todo!()
    }
    /// Appends one value. The bytes are in the file (page cache) when it returns. Compresses and checksums in the
    /// calling thread outside any lock. A failed append seals the segment; the next one goes to a new segment.
    pub fn append(&self, column_family: u32, key: &[u8], value: &[u8]) -> Result<(ValuePointer, SegmentRef)> {
        todo!()
    }
    /// Makes everything appended before the call durable (W1, W2), in the named segments or in all. A failure is
    /// final for that segment: it is sealed, and every later sync that must cover it fails.
    pub fn sync(&self, segments: Option<&[u64]>) -> Result<()> {
        todo!()
    }
    /// (segment, durable up to) of every segment that is open or that has been synced since open, ascending.
    pub fn durable_marks(&self) -> Vec<(u64, u64)> {
        todo!()
    }
    /// A hold on an existing segment; `None` if there is none of the number.
    pub fn hold(&self, segment: u64) -> Option<SegmentRef> {
        todo!()
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
        todo!()
    }
    /// Whether the record `pointer` names is whole and belongs to `key` (for recovery). Errors are I/O errors only.
    pub fn verify(&self, pointer: &ValuePointer, column_family: u32, key: &[u8]) -> Result<bool> {
        todo!()
    }
    /// Numbers of segments that nobody holds any more; each is reported once. The caller removes the files.
    pub fn take_obsolete(&self) -> Vec<u64> {
        todo!()
    }
    /// All segments, ascending.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        todo!()
    }
    /// Removes a segment's file and closes its descriptor.
    pub fn remove(&self, segment: u64) -> Result<()> {
        todo!()
    }
    /// Counts.
    pub fn stats(&self) -> ValueLogStats {
        todo!()
    }
    /// Changes the codec for values appended from now on.
    pub fn set_codec(&self, codec: Codec) {
        todo!()
    }
}
