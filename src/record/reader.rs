//! Walks the frames of a file, and finds frames beyond a bad place.

use super::format::{self, HEADER_LEN, Header};
use crate::base::{Error, Result};
use crate::env::{Env, OpenMode};
use std::cell::Cell;
use std::path::Path;

/// What stands at the reader's place.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome<'a> {
    /// A valid record; the reader has moved past it.
    Record {
        /// Where its frame starts.
        offset: u64,
        /// Where the next frame starts.
        end: u64,
        /// The kind it was appended with.
        kind: u8,
        /// The payload.
        payload: &'a [u8],
    },
    /// The end of the log: the end of the file, or a header of zeros. Whether the rest is all zeros too,
    /// `non_zero_bytes_after` tells: a page that never reached the device reads as zeros as well.
    End {
        /// Where the next frame would start.
        offset: u64,
    },
    /// Bytes that are no frame: a torn tail or rot. The reader stays where it is.
    Bad {
        /// Where they start.
        offset: u64,
        /// What is wrong with them.
        reason: String,
    },
}

/// Reads the records of one file, whose bytes it holds.
pub struct RecordReader {
    number: u64,
    /// Where `bytes` starts in the file.
    start: u64,
    bytes: Vec<u8>,
    at: usize,
    /// Payload bytes that looking for frames may still checksum in vain: bounds the work on hostile bytes.
    search_budget: Cell<u64>,
}

impl RecordReader {
    /// Reads the file at `path`, whose number is `number`, from `start` up to `limit` or its end. What is read is
    /// on the device: the file is synced and its cached pages are dropped first (R5).
    pub fn open(env: &dyn Env, path: &Path, number: u64, start: u64, limit: Option<u64>) -> Result<Self> {
        let file = env.open(path, OpenMode::Read)?;
        file.sync_data()?;
        file.drop_cache();
        let end = file.len()?.min(limit.unwrap_or(u64::MAX));
        let len = end.saturating_sub(start);
        let len = usize::try_from(len).map_err(|_| {
            Error::corruption(path, start, format!("{len} bytes of log do not fit in memory"))
        })?;
        let mut bytes = vec![0; len];
        file.read_exact_at(start, &mut bytes)?;
        Ok(RecordReader::from_bytes(bytes, number, start))
    }

    /// Reads records from `bytes`, which stand at `start` of the file `number`.
    pub fn from_bytes(bytes: Vec<u8>, number: u64, start: u64) -> Self {
        let search_budget = Cell::new(8 * bytes.len() as u64 + (1 << 20));
        RecordReader { number, start, bytes, at: 0, search_budget }
    }

    /// The record at the reader's place; moves past it if it is valid.
    #[allow(clippy::should_implement_trait)] // It lends from itself, which `Iterator` cannot.
    pub fn next(&mut self) -> ReadOutcome<'_> {
        let at = self.at;
        let offset = self.start + at as u64;
        match self.check(at) {
            Checked::Frame(end) => {
                self.at = end;
                ReadOutcome::Record {
                    offset,
                    end: self.start + end as u64,
                    kind: self.bytes[at + 8],
                    payload: &self.bytes[at + HEADER_LEN..end],
                }
            }
            Checked::End => ReadOutcome::End { offset },
            Checked::Bad(reason) => ReadOutcome::Bad { offset, reason },
        }
    }

    /// The valid record whose frame starts at `offset`, if there is one: its kind, its payload, and where the next
    /// frame starts. The reader stays where it is.
    pub fn peek(&self, offset: u64) -> Option<(u8, &[u8], u64)> {
        let at = self.index(offset);
        match self.check(at) {
            Checked::Frame(end) => {
                Some((self.bytes[at + 8], &self.bytes[at + HEADER_LEN..end], self.start + end as u64))
            }
            Checked::End | Checked::Bad(_) => None,
        }
    }

    /// Where the reader is.
    pub fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Where the next valid frame starts, looking at every byte after `offset`.
    pub fn next_valid_after(&self, offset: u64) -> Option<u64> {
        let mut at = self.index(offset.saturating_add(1));
        let end = self.len_without_zeros();
        while at < end {
            // There may be many zeros: where sixteen stand, the next eight places all have the kind 0.
            if self.bytes[at..].first_chunk::<16>() == Some(&[0; 16]) {
                at += 8;
                continue;
            }
            if self.is_frame(at) {
                return Some(self.start + at as u64);
            }
            at += 1;
        }
        None
    }

    /// Bytes from `offset` to the last one that is not zero.
    pub fn non_zero_bytes_after(&self, offset: u64) -> u64 {
        self.len_without_zeros().saturating_sub(self.index(offset)) as u64
    }

    /// Moves to `offset`, where a frame starts.
    pub fn seek(&mut self, offset: u64) {
        self.at = self.index(offset);
    }

    /// The bytes held, from `start` on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(self.start))
            .map_or(self.bytes.len(), |at| at.min(self.bytes.len()))
    }

    fn len_without_zeros(&self) -> usize {
        let mut end = self.bytes.len();
        while end >= 64 && self.bytes[end - 64..end] == [0; 64] {
            end -= 64;
        }
        self.bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
    }

    fn header(&self, at: usize) -> Option<Header> {
        self.bytes.get(at..)?.first_chunk::<HEADER_LEN>().map(Header::decode)
    }

    /// What stands at `at`, with a reason in words.
    fn check(&self, at: usize) -> Checked {
        let Some(header) = self.header(at) else {
            let rest = &self.bytes[at..];
            return match rest.iter().all(|&byte| byte == 0) {
                true => Checked::End,
                false => Checked::Bad(format!("{} bytes are left, less than a record's header", rest.len())),
            };
        };
        if header.is_zero() {
            return Checked::End;
        }
        let place = format::place(self.number, self.start + at as u64);
        if !header.guard_holds(place) {
            return Checked::Bad("not a record's header at this place of this file".into());
        }
        let left = self.bytes.len() - at - HEADER_LEN;
        if header.length as usize > left {
            return Checked::Bad(format!("record length: got {}, {left} bytes are left", header.length));
        }
        let end = at + HEADER_LEN + header.length as usize;
        let expected = format::frame_checksum(place, &self.bytes[at + 4..end]);
        if expected != header.checksum {
            let got = header.checksum;
            return Checked::Bad(format!("record checksum: got {got:08x}, expected {expected:08x}"));
        }
        Checked::Frame(end)
    }

    /// Whether a valid frame starts at `at`; as `check`, but cheap where there is none.
    fn is_frame(&self, at: usize) -> bool {
        let Some(header) = self.header(at) else { return false };
        if header.kind == 0 || header.length as usize > self.bytes.len() - at - HEADER_LEN {
            return false;
        }
        let place = format::place(self.number, self.start + at as u64);
        if !header.guard_holds(place) {
            return false;
        }
        let Some(budget) = self.search_budget.get().checked_sub(header.length.into()) else { return false };
        let end = at + HEADER_LEN + header.length as usize;
        let valid = format::frame_checksum(place, &self.bytes[at + 4..end]) == header.checksum;
        if !valid {
            self.search_budget.set(budget);
        }
        valid
    }
}

enum Checked {
    /// A valid frame up to here.
    Frame(usize),
    End,
    Bad(String),
}
