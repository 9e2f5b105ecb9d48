//! The bytes of a data block (its contents, before compression), and access by slot.
//!
//! ```text
//! contents := header | prefix | keys | values | key starts | value starts
//! header   := count:u32 | prefix_len:u32 | keys_len:u32 | values_len:u32 | key width:u8 | value width:u8
//! prefix   := the user-key bytes that all keys of the block begin with, once
//! keys     := (internal key without the prefix: rest of the user key | trailer:u64)*, in order, without gaps
//! values   := value*, in the same order, without gaps
//! starts   := nothing                          where width = 0: all elements of the column are equally long
//!           | (start:u16 or u32){count + 1}    where width = 2 or 4: offsets in the column; the last its length
//! ```
//!
//! There is nothing to decode from neighbours: slot i is found by a multiplication or by one read of two
//! starts. Header and prefix share a cache line. Keys stand together, so that a search touches few cache
//! lines, and keys and values of one length (fixed-size keys, counters, pointers of one size) need no starts
//! at all. With a comparator that is not bytewise the prefix is empty. `Block::check` validates all of this
//! once for each read from the device, and every access is bounds-checked besides; `Block::trust` re-reads
//! the header of a block that passed before (one from the cache).

use crate::base::coding::get_u32;
use crate::base::expiry::is_long_enough;
use crate::base::key::TRAILER_LEN;
use crate::base::{EntryKind, ParsedKey};
use crate::cache::Buffer;
use std::ops::Range;

/// Bytes of the header.
pub const HEADER_LEN: usize = 4 * 4 + 2;
const KEY_WIDTH_AT: usize = 16;
const VALUE_WIDTH_AT: usize = 17;
const _: () = assert!(HEADER_LEN == 18); // On disk: changing this is a new format version.

/// Elements of varying length, one after the other.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// Where the elements start in the block.
    at: usize,
    /// Bytes of all elements.
    len: usize,
    /// Where the starts are; unused for width 0.
    starts_at: usize,
    /// Length of every element, for width 0.
    stride: usize,
    /// Bytes of a start: 0, 2 or 4.
    width: u8,
}

impl Column {
    #[inline]
    fn range(&self, bytes: &[u8], slot: usize) -> Range<usize> {
        let (start, end) = match self.width {
            0 => {
                let start = slot * self.stride;
                (start, start + self.stride)
            }
            2 => {
                let at = self.starts_at + 2 * slot;
                let pair = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
                ((pair & 0xffff) as usize, (pair >> 16) as usize)
            }
            _ => {
                let at = self.starts_at + 4 * slot;
                let pair = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
                ((pair & 0xffff_ffff) as usize, (pair >> 32) as usize)
            }
        };
        self.at + start..self.at + end
    }

    fn starts_len(width: u8, count: usize) -> Option<usize> {
        match width {
            0 => Some(0),
            2 | 4 => count.checked_add(1)?.checked_mul(width.into()),
            _ => None,
        }
    }

    /// Elements must follow each other exactly and be at least `min_len` long.
    fn is_sound(&self, bytes: &[u8], count: usize, min_len: usize) -> bool {
        if self.width == 0 {
            return self.stride >= min_len && self.stride.checked_mul(count) == Some(self.len);
        }
        let mut end_before = self.at;
        for slot in 0..count {
            let range = self.range(bytes, slot);
            if range.start != end_before || range.end < range.start || range.end - range.start < min_len {
                return false;
            }
            end_before = range.end;
        }
        end_before == self.at + self.len
    }
}

/// A data block in memory. Cloning shares the bytes.
#[derive(Clone)]
pub struct Block {
    buffer: Buffer,
    count: usize,
    prefix_len: usize,
    keys: Column,
    values: Column,
}

impl Block {
    /// A block whose bytes passed `check` before; `None` if not even the header makes sense.
    pub fn trust(buffer: Buffer) -> Option<Block> {
        let bytes = buffer.as_slice();
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let field = |index: usize| get_u32(header, 4 * index).map(|field| field as usize);
        let (count, prefix_len, keys_len, values_len) = (field(0)?, field(1)?, field(2)?, field(3)?);
        let (key_width, value_width) = (header[KEY_WIDTH_AT], header[VALUE_WIDTH_AT]);
        let keys_at = HEADER_LEN.checked_add(prefix_len)?;
        let values_at = keys_at.checked_add(keys_len)?;
        let key_starts_at = values_at.checked_add(values_len)?;
        let value_starts_at = key_starts_at.checked_add(Column::starts_len(key_width, count)?)?;
        let end = value_starts_at.checked_add(Column::starts_len(value_width, count)?)?;
        if end != bytes.len() || count == 0 {
            return None;
        }
        let stride = |width: u8, len: usize| if width == 0 { len / count } else { 0 };
        let keys = Column {
            at: keys_at,
            len: keys_len,
            starts_at: key_starts_at,
            stride: stride(key_width, keys_len),
            width: key_width,
        };
        let values = Column {
            at: values_at,
            len: values_len,
            starts_at: value_starts_at,
            stride: stride(value_width, values_len),
            width: value_width,
        };
        Some(Block { buffer, count, prefix_len, keys, values })
    }

    /// A block just read from the device: everything that accesses rely on is validated. `None` if malformed.
    pub fn check(buffer: Buffer) -> Option<Block> {
        let block = Block::trust(buffer)?;
        let bytes = block.bytes();
        let sound = block.keys.is_sound(bytes, block.count, TRAILER_LEN)
            && block.values.is_sound(bytes, block.count, 0)
            && (0..block.count).all(|slot| {
                let kind = EntryKind::from_tag(bytes[block.key_range(slot).end - TRAILER_LEN]);
                kind.is_some_and(|kind| {
                    kind != EntryKind::RangeDelete
                        && (!kind.is_expiring() || is_long_enough(kind, block.value_range(slot).len()))
                })
            });
        sound.then_some(block)
    }

    /// All bytes of the block.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_slice()
    }

    /// What keeps the bytes alive.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Gives the bytes' owner back.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Entries; at least one.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The user-key bytes all keys begin with.
    #[inline]
    pub fn prefix(&self) -> &[u8] {
        &self.buffer[HEADER_LEN..HEADER_LEN + self.prefix_len]
    }

    /// Where the internal key of `slot`, without the prefix, stands.
    #[inline]
    pub fn key_range(&self, slot: usize) -> Range<usize> {
        self.keys.range(&self.buffer, slot)
    }

    /// Where the value of `slot` stands.
    #[inline]
    pub fn value_range(&self, slot: usize) -> Range<usize> {
        self.values.range(&self.buffer, slot)
    }

    /// The internal key of `slot` without the prefix: the rest of the user key, and the trailer.
    #[inline]
    pub fn key_suffix(&self, slot: usize) -> (&[u8], u64) {
        let (rest, trailer) =
            self.buffer[self.key_range(slot)].split_last_chunk::<TRAILER_LEN>().expect("keys have a trailer");
        (rest, u64::from_le_bytes(*trailer))
    }

    /// The value of `slot`.
    #[inline]
    pub fn value(&self, slot: usize) -> &[u8] {
        &self.buffer[self.value_range(slot)]
    }

    /// Puts the internal key of `slot` into `key`, replacing what was there.
    pub fn copy_key(&self, slot: usize, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(self.prefix());
        key.extend_from_slice(&self.buffer[self.key_range(slot)]);
    }

    /// Sequence and kind of `slot`, with `user_key` given by the caller who knows it; `None` for unknown
    /// kinds.
    #[inline]
    pub fn parse_with<'a>(&self, slot: usize, user_key: &'a [u8]) -> Option<ParsedKey<'a>> {
        let (_, trailer) = self.key_suffix(slot);
        Some(ParsedKey { user_key, sequence: trailer >> 8, kind: EntryKind::from_tag(trailer as u8)? })
    }
}
