//! Appends frames to a file without copying payloads.

use super::DurableFile;
use super::format::{self, HEADER_LEN, MAX_PAYLOAD_LEN};
use crate::base::{Error, Result};
use crate::env::File;
use std::io::IoSlice;
use std::sync::Arc;

/// Pieces of a frame, the header among them, that need no allocation.
const PARTS_ON_STACK: usize = 8;
/// What the page cache reads and writes at least.
const PAGE: u64 = 4096;
/// More than `zeros_behind` asks for.
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];
/// Pieces of zeros in one call.
const CLEARED_PIECES: usize = 16;

/// How a record gets into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the file likes it best.
    Any,
    /// So that a sync which is to follow has little to write (`File::write_for_sync`). In a file without other records
    /// zeros are then written up to `cleared`, so that later syncs find blocks that the file system has noted already.
    ForSync {
        /// Not past what the file may hold.
        cleared: u64,
    },
}

/// Appends records to a file. After a failed append or sync the writer is finished: part of a frame may be in the
/// file, so every later append is the same error.
pub struct RecordWriter {
    file: Arc<DurableFile>,
    number: u64,
    /// Not 0 where the file held other records before.
    salt: u64,
    /// Zeros follow each record up to here at most.
    clear_to: u64,
    /// Up to here zeros were written.
    cleared: u64,
    offset: u64,
    failure: Option<Error>,
}

impl RecordWriter {
    /// Appends to `file`, whose number is `number`, from `offset` on.
    pub fn new(file: Arc<dyn File>, number: u64, offset: u64) -> Self {
        let file = Arc::new(DurableFile::new(file, offset, 0));
        RecordWriter { file, number, salt: 0, clear_to: 0, cleared: 0, offset, failure: None }
    }

    /// Appends to `file` from its beginning, over `len` bytes of something else: zeros follow each record, so that the
    /// log ends there for who reads it.
    pub fn over(file: Arc<dyn File>, number: u64, len: u64) -> Self {
        let file = Arc::new(DurableFile::reused(file));
        RecordWriter { file, number, salt: 0, clear_to: len, cleared: 0, offset: 0, failure: None }
    }

    /// Binds the records from here on to `salt` too, so that none of those that stand there pass.
    pub fn bind_to(&mut self, salt: u64) {
        self.salt = salt;
    }

    /// Appends one record of `kind` (not 0) whose payload is the concatenation of `parts`. Returns the offset
    /// after it.
    #[inline]
    pub fn append(&mut self, kind: u8, parts: &[&[u8]]) -> Result<u64> {
        self.append_in(Way::Any, kind, parts)
    }

    /// As `append`, in a way of its own.
    #[inline]
    pub fn append_in(&mut self, way: Way, kind: u8, parts: &[&[u8]]) -> Result<u64> {
        assert!(kind != 0, "kind 0 marks the end of a log");
        if self.failure.is_some() || self.file.has_failed() {
            return Err(self.finished());
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length as u64 > MAX_PAYLOAD_LEN {
            return Err(Error::invalid_argument(format!(
                "a record of {length} bytes: the longest is {MAX_PAYLOAD_LEN}; write smaller batches"
            )));
        }
        let place = format::place(self.number, self.salt, self.offset);
        let header = format::encode_header(place, kind, length as u32, parts);
        let end = self.offset + (HEADER_LEN + length) as u64;
        let zeros = self.zeros_behind(way, end);
        if let Err(error) = self.write(way, &header, parts, &ZEROS[..zeros]) {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.offset = end;
        self.file.set_appended(self.offset);
        if let Way::ForSync { cleared } = way
            && self.clear_to == 0
            && self.cleared < end
        {
            self.clear(cleared);
        }
        Ok(self.offset)
    }

    /// How many zeros a record that ends at `end` takes behind it, where other records stand. For a sync, up to the end
    /// of the page: one that is not in memory need not be read before it is written to.
    #[inline]
    fn zeros_behind(&self, way: Way, end: u64) -> usize {
        let least = end + HEADER_LEN as u64;
        let to = if way == Way::Any { least } else { least.next_multiple_of(PAGE) };
        to.min(self.clear_to).saturating_sub(end) as usize
    }

    /// Writes zeros from the last record up to `to`. If that fails, syncs have more to note and nothing else.
    #[cold]
    fn clear(&mut self, to: u64) {
        let (file, end) = (self.file.file(), self.offset);
        let mut slices = [IoSlice::new(&[]); CLEARED_PIECES];
        let mut at = end;
        while at < to {
            let mut left = to - at;
            for slice in &mut slices {
                let len = left.min(ZEROS.len() as u64);
                *slice = IoSlice::new(&ZEROS[..len as usize]);
                left -= len;
            }
            if file.write_for_sync(at, &slices).is_err() {
                break;
            }
            at = to - left;
        }
        self.cleared = to.max(end);
    }

    #[inline]
    fn write(&self, way: Way, header: &[u8], parts: &[&[u8]], zeros: &[u8]) -> Result<()> {
        if parts.len() + 2 <= PARTS_ON_STACK {
            let mut slices = [IoSlice::new(&[]); PARTS_ON_STACK];
            slices[0] = IoSlice::new(header);
            for (slice, part) in slices[1..].iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
            }
            let last = parts.len() + 1;
            slices[last] = IoSlice::new(zeros);
            return self.write_slices(way, &slices[..last + usize::from(!zeros.is_empty())]);
        }
        let mut slices = Vec::with_capacity(parts.len() + 2);
        slices.push(IoSlice::new(header));
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        slices.push(IoSlice::new(zeros));
        self.write_slices(way, &slices)
    }

    #[inline]
    fn write_slices(&self, way: Way, slices: &[IoSlice<'_>]) -> Result<()> {
        let file = self.file.file();
        match way {
            Way::Any => file.write_at(self.offset, slices),
            Way::ForSync { .. } => file.write_for_sync(self.offset, slices),
        }
    }

    #[cold]
    fn finished(&self) -> Error {
        let failure = self.failure.clone().or_else(|| self.file.failure());
        failure.expect("called after a failure")
    }

    /// Makes every record appended so far durable. A failure is final.
    pub fn sync(&self) -> Result<()> {
        self.file.sync().map(|_| ())
    }

    /// The offset after the last record.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file's number.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The file, for syncing from another thread.
    #[inline]
    pub fn file(&self) -> &Arc<DurableFile> {
        &self.file
    }
}
