//! Reads values and checks that they are the ones asked for.
//!
//! What is cached is the record with its value uncompressed: header, key, value. So a hit is checked against
//! pointer, column family and key just as a read is (R9), and a raw value is cached and returned without a copy.
//!
//! Past the page cache whole blocks are read. A long raw record stays where it was read, with the rest of its first and
//! last block around it; a short one is copied out, as the cache would be full of such rests.

use super::format::{self, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN};
use super::segments::Segment;
use super::{ValueBytes, ValueLog};
use crate::base::coding::get_u32;
use crate::base::compression::decompress_into;
use crate::base::error::{ErrorKind, Subcode};
use crate::base::{Codec, Error, Result, ValuePointer};
use crate::cache::{Cache, CacheKey, EntryClass};
use crate::env::File;
use crate::env::aligned::{AlignedBuffer, Span, read_around};
use crate::env::buffers::{Bytes, unpooled};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A thread's buffer for compressed records is given back to the allocator above this size.
const SCRATCH_KEPT: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<AlignedBuffer> = const { Cell::new(AlignedBuffer::new()) };
}

/// A record stays in the blocks it was read with if these are at most an eighth longer.
const MOST_WASTED: usize = 8;

/// Why a record could not be read.
pub(super) enum Failure {
    /// The operating system's refusal.
    Io(Error),
    /// The bytes are not the record.
    Mismatch(String),
}

pub(super) fn read(
    log: &ValueLog,
    pointer: &ValuePointer,
    column_family: u32,
    key: &[u8],
    fill_cache: bool,
    allow_io: bool,
) -> Result<ValueBytes> {
    if let Some(value) = cached(log, pointer, column_family, key) {
        return Ok(value);
    }
    if !allow_io {
        return Err(Error::new(ErrorKind::Incomplete, "the value is not cached and I/O was not allowed"));
    }
    let Some(segment) = log.registry.get(pointer.segment) else {
        let path = log.registry.path(pointer.segment);
        return Err(
            corruption(&path, pointer, "the segment does not exist").with_subcode(Subcode::MissingFile)
        );
    };
    log.values_read.fetch_add(1, Ordering::Relaxed);
    let path = segment.file.file().path();
    let failed = |failure| match failure {
        Failure::Io(error) => error.at(path, pointer.offset),
        Failure::Mismatch(what) => corruption(path, pointer, &what),
    };
    let start = RECORD_HEADER_LEN + key.len();
    let is_raw = pointer.record_len as usize == start + pointer.value_len as usize;
    check_reach(&segment, pointer).map_err(failed)?;
    let file = log.reader(&segment, pointer.end());
    let wanted = Wanted { segment: &segment, file: &**file, pointer, column_family, key };
    let record = match is_raw && keeps_its_blocks(pointer, file.alignment()) {
        true => wanted.read_to_keep(log.cache()),
        false => wanted.read_through_scratch(log.cache()),
    };
    let (record, codec) = record.map_err(failed)?;
    if is_raw && codec != Codec::None {
        return Err(corruption(path, pointer, "the record's codec does not fit its lengths"));
    }
    let range = start..record.len();
    let buffer = Arc::new(record);
    if fill_cache && let Some(cache) = log.cache() {
        cache.insert(cache_key(log, pointer), EntryClass::Value, &buffer);
    }
    Ok(ValueBytes { buffer, range })
}

/// The value if it is in the cache.
pub(super) fn cached(
    log: &ValueLog,
    pointer: &ValuePointer,
    column_family: u32,
    key: &[u8],
) -> Option<ValueBytes> {
    let buffer = log.cache()?.get(cache_key(log, pointer), EntryClass::Value)?;
    let range = range_in_cached(&buffer, pointer, column_family, key)?;
    Some(ValueBytes { buffer, range })
}

/// Puts a record that was checked into the cache, as `read` does, and gives the value; `None` if it does not
/// decompress.
pub(super) fn keep(
    log: &ValueLog,
    pointer: &ValuePointer,
    record: &[u8],
    header: &RecordHeader,
) -> Option<ValueBytes> {
    let whole = uncompressed(log.cache(), record, header)?;
    let range = RECORD_HEADER_LEN + header.key_len as usize..whole.len();
    let buffer = Arc::new(whole);
    if let Some(cache) = log.cache() {
        cache.insert(cache_key(log, pointer), EntryClass::Value, &buffer);
    }
    Some(ValueBytes { buffer, range })
}

fn cache_key(log: &ValueLog, pointer: &ValuePointer) -> CacheKey {
    CacheKey { owner: log.options.cache_owner, file: pointer.segment, offset: pointer.offset }
}

pub(super) fn verify(log: &ValueLog, pointer: &ValuePointer, column_family: u32, key: &[u8]) -> Result<bool> {
    let Some(segment) = log.registry.get(pointer.segment) else { return Ok(false) };
    settle(log, &segment, pointer.offset)?;
    // Through the page cache, which reads ahead.
    let outcome = check_reach(&segment, pointer).and_then(|()| {
        let file = &**segment.file.file();
        let wanted = Wanted { segment: &segment, file, pointer, column_family, key };
        wanted.with_scratch(|_, _| Ok(()))
    });
    match outcome {
        Ok(()) => Ok(true),
        Err(Failure::Mismatch(_)) => Ok(false),
        Err(Failure::Io(error)) => Err(error.at(segment.file.file().path(), pointer.offset)),
    }
}

/// Makes what an earlier open left in a segment durable, and has it read from the device: what recovery accepts must
/// be what a power loss would leave (R5). Once for each segment; whoever comes meanwhile waits. A sync before, as by a
/// flush in the midst of a replay, does not take its place: the page cache may still hold what one that failed lost.
pub(super) fn settle(log: &ValueLog, segment: &Segment, first: u64) -> Result<()> {
    let mut settled = segment.settled.lock();
    if *settled {
        return Ok(());
    }
    if segment.file.sync()? {
        log.syncs.fetch_add(1, Ordering::Relaxed);
    }
    let file = segment.file.file();
    file.drop_cache();
    *settled = true;
    // Who waits can begin to read while the rest is announced.
    drop(settled);
    // Replay goes on to its end, as a rule: large reads, and while records before are checked.
    file.will_need(first, segment.file.appended_len().saturating_sub(first));
    Ok(())
}

/// Appends the stored record to `out` as it is, verified; on failure says what is wrong, and `out` may have grown.
pub(super) fn read_raw(
    log: &ValueLog,
    pointer: &ValuePointer,
    column_family: u32,
    key: &[u8],
    out: &mut Vec<u8>,
) -> std::result::Result<(), String> {
    let segment = log.registry.get(pointer.segment).ok_or("the segment does not exist")?;
    let said = |failure| match failure {
        Failure::Io(error) => Error::to_string(&error),
        Failure::Mismatch(what) => what,
    };
    check_reach(&segment, pointer).map_err(said)?;
    let file = &**log.reader(&segment, pointer.end());
    let wanted = Wanted { segment: &segment, file, pointer, column_family, key };
    if file.alignment() == 1 {
        let start = out.len();
        out.resize(start + pointer.record_len as usize, 0);
        return wanted.twice(|| wanted.read_into(&mut out[start..]).map(|_| ())).map_err(said);
    }
    let copy = |record: &[u8], _: &RecordHeader| {
        out.extend_from_slice(record);
        Ok(())
    };
    wanted.with_scratch(copy).map_err(said)
}

#[cold]
fn corruption(path: &std::path::Path, pointer: &ValuePointer, what: &str) -> Error {
    let len = pointer.record_len;
    let message =
        format!("{what} (a record of {len} bytes); restore from a backup, or delete or overwrite the key");
    Error::corruption(path, pointer.offset, message)
}

/// Where the value stands in a cached record, if it is the one asked for.
#[inline]
fn range_in_cached(
    cached: &[u8],
    pointer: &ValuePointer,
    column_family: u32,
    key: &[u8],
) -> Option<Range<usize>> {
    let header = RecordHeader::decode(cached)?;
    let start = RECORD_HEADER_LEN + header.key_len as usize;
    let same = get_u32(cached, 0) == Some(pointer.checksum)
        && header.value_len == pointer.value_len
        && cached.len() == start + header.value_len as usize
        && format::check_owner(cached, &header, column_family, key).is_ok();
    same.then_some(start..cached.len())
}

pub(super) fn check_reach(segment: &Segment, pointer: &ValuePointer) -> std::result::Result<(), Failure> {
    let (end, len) = (pointer.end(), segment.file.appended_len());
    if pointer.offset < SEGMENT_HEADER_LEN || end > len || (pointer.record_len as usize) < RECORD_HEADER_LEN {
        return Err(Failure::Mismatch(format!(
            "the pointer leads out of the segment: to {end} of {len} bytes"
        )));
    }
    Ok(())
}

/// Whether a raw record is kept in the blocks of `alignment` bytes that it is read with.
#[inline]
fn keeps_its_blocks(pointer: &ValuePointer, alignment: usize) -> bool {
    let len = pointer.record_len as usize;
    Span::around(pointer.offset, len, alignment).len - len <= len / MOST_WASTED
}

/// A record that is to be read, within its segment's reach, and through which file.
struct Wanted<'a> {
    segment: &'a Segment,
    file: &'a dyn File,
    pointer: &'a ValuePointer,
    column_family: u32,
    key: &'a [u8],
}

impl Wanted<'_> {
    /// On any failure once more from the device, past the page cache.
    fn twice<T>(
        &self,
        mut read: impl FnMut() -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        read().or_else(|_| {
            self.segment.file.file().drop_cache();
            read()
        })
    }

    fn check(&self, record: &[u8]) -> std::result::Result<RecordHeader, Failure> {
        if record.len() < self.pointer.record_len as usize {
            let got = record.len();
            return Err(Failure::Mismatch(format!("the segment ends after {got} bytes of the record")));
        }
        format::check_record(record, self.pointer, self.column_family, self.key).map_err(Failure::Mismatch)
    }

    /// Reads a record through a file that takes any length.
    fn read_into(&self, record: &mut [u8]) -> std::result::Result<RecordHeader, Failure> {
        let got = self.file.read_at(self.pointer.offset, record).map_err(Failure::Io)?;
        self.check(&record[..got])
    }

    /// Reads a raw record, twice if need be, into memory that can be kept.
    fn read_to_keep(&self, cache: Option<&Cache>) -> std::result::Result<(Bytes, Codec), Failure> {
        let len = self.pointer.record_len as usize;
        let alignment = self.file.alignment();
        let span = Span::around(self.pointer.offset, len, alignment);
        let mut blocks = memory(cache, span.len, alignment);
        let header = self.twice(|| {
            let got = self.file.read_at(span.from, &mut blocks).map_err(Failure::Io)?;
            let end = got.min(span.skipped + len);
            self.check(&blocks[span.skipped.min(end)..end])
        })?;
        Ok((blocks.narrow(span.skipped..span.skipped + len), header.codec))
    }

    /// Reads a record, twice if need be, into the thread's buffer, which needs no allocation and no zeroing once it
    /// has grown, and from there uncompressed into memory that can be kept. Gives what the codec was.
    fn read_through_scratch(&self, cache: Option<&Cache>) -> std::result::Result<(Bytes, Codec), Failure> {
        self.with_scratch(|record, header| {
            let what = "the value does not decompress, though its checksum is right";
            let whole = uncompressed(cache, record, header).ok_or_else(|| Failure::Mismatch(what.into()))?;
            Ok((whole, header.codec))
        })
    }

    /// Shows a record that was read, twice if need be, into the thread's buffer.
    fn with_scratch<T>(
        &self,
        show: impl FnOnce(&[u8], &RecordHeader) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        let (offset, len) = (self.pointer.offset, self.pointer.record_len as usize);
        let mut scratch = SCRATCH.take();
        let read = self.twice(|| {
            let range = read_around(self.file, offset, len, &mut scratch).map_err(Failure::Io)?;
            let header = self.check(&scratch.as_slice()[range.clone()])?;
            Ok((range, header))
        });
        let outcome = read.and_then(|(range, header)| show(&scratch.as_slice()[range], &header));
        scratch.keep_at_most(SCRATCH_KEPT);
        SCRATCH.set(scratch);
        outcome
    }
}

/// Memory for what is read, with anything in it.
#[inline]
fn memory(cache: Option<&Cache>, len: usize, alignment: usize) -> Bytes {
    match cache {
        Some(cache) => cache.aligned_buffer(len, alignment),
        None => unpooled(len, alignment),
    }
}

/// The record with its value uncompressed; `None` if that fails.
fn uncompressed(cache: Option<&Cache>, record: &[u8], header: &RecordHeader) -> Option<Bytes> {
    let start = RECORD_HEADER_LEN + header.key_len as usize;
    let mut whole = memory(cache, start.checked_add(header.value_len as usize)?, 1);
    whole[..start].copy_from_slice(&record[..start]);
    decompress_into(header.codec, &record[start..], &mut whole[start..]).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::checksum::{bind, crc32_of};
    use crate::base::compression::compress;

    #[test]
    fn a_cached_record_passes_for_its_own_pointer_and_key_only() {
        let value = b"value ".repeat(100);
        for codec in [Codec::None, Codec::Lz4] {
            let stored = compress(codec, &value).unwrap_or(value.clone());
            let (key_len, stored_len, value_len) = (3, stored.len() as u32, value.len() as u32);
            let header = RecordHeader { key_len, stored_len, value_len, column_family: 7, codec };
            let mut record = header.encode().to_vec();
            let checksum = bind(crc32_of(&[&record[4..], b"key", &stored]), 5, 64);
            record[..4].copy_from_slice(&checksum.to_le_bytes());
            record.extend_from_slice(b"key");
            record.extend_from_slice(&stored);
            let record_len = record.len() as u32;
            let pointer = ValuePointer { segment: 5, offset: 64, record_len, value_len, checksum };
            assert_eq!(format::check_record(&record, &pointer, 7, b"key"), Ok(header));
            let cached = uncompressed(None, &record, &header).unwrap();
            let range = range_in_cached(&cached, &pointer, 7, b"key").unwrap();
            assert_eq!(cached[range], value);
            let others = [
                ValuePointer { checksum: checksum ^ 1, ..pointer },
                ValuePointer { value_len: value_len - 1, ..pointer },
            ];
            assert!(others.iter().all(|other| range_in_cached(&cached, other, 7, b"key").is_none()));
            assert!(range_in_cached(&cached, &pointer, 8, b"key").is_none());
            assert!(range_in_cached(&cached, &pointer, 7, b"kez").is_none());
            for len in 0..cached.len() {
                assert!(range_in_cached(&cached[..len], &pointer, 7, b"key").is_none());
            }
        }
    }
}
