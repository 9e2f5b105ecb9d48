//! A batch with pointers in place of some of its puts.

use super::WriteBatch;
use super::format::{self, encode};
use crate::base::ValuePointer;
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

    /// A pointer record takes the place of the put at bytes `put` of the source. From front to back.
    pub fn replace(&mut self, put: Range<usize>, column_family: u32, key: &[u8], pointer: &ValuePointer) {
        debug_assert!(self.copied <= put.start && put.end <= self.source.len());
        self.target.extend_from_slice(&self.source[self.copied..put.start]);
        self.copied = put.end;
        encode(
            self.target,
            (format::POINTER, format::POINTER_WITH_ID),
            column_family,
            key,
            Some(&pointer.to_bytes()),
        );
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
