//! A batch with pointers in place of some of its values, and with times at which some of its entries expire.

use super::WriteBatch;
use super::format::{encode, encode_timed, tags_of};
use crate::base::EntryKind;
use std::ops::Range;

/// Writes a batch anew, in one pass and in a buffer that the caller keeps for the next one: runs of records that stay
/// are copied as they are. Nothing is copied before the first pointer.
pub struct Rewrite<'a> {
    source: &'a [u8],
    target: &'a mut Vec<u8>,
    /// How much of `source` is in `target`, or replaced there.
    copied: usize,
}

impl<'a> Rewrite<'a> {
    /// Of `source`, in `buffer`, whose content goes.
    pub fn new(source: &'a WriteBatch, buffer: &'a mut Vec<u8>) -> Rewrite<'a> {
        buffer.clear();
        Rewrite { source: source.data(), target: buffer, copied: 0 }
    }

    /// An entry of `kind` takes the place of the record at bytes `record` of the source. From front to back.
    pub fn replace(
        &mut self,
        record: Range<usize>,
        column_family: u32,
        kind: EntryKind,
        key: &[u8],
        expiry: Option<u64>,
        stored: &[u8],
    ) {
        debug_assert!(self.copied <= record.start && record.end <= self.source.len());
        self.target.extend_from_slice(&self.source[self.copied..record.start]);
        self.copied = record.end;
        match expiry {
            None => encode(self.target, tags_of(kind), column_family, key, Some(stored)),
            Some(expiry) => {
                encode_timed(self.target, tags_of(kind.expiring()), column_family, key, expiry, stored);
            }
        }
    }

    /// The bytes of the whole batch: the source's own if nothing was replaced.
    pub fn finish(self) -> &'a [u8] {
        if self.copied == 0 {
            return self.source;
        }
        self.target.extend_from_slice(&self.source[self.copied..]);
        self.target
    }
}
