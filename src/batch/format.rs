//! The bytes of a write batch, which are RocksDB's and public: clients in other languages read and build them.
//!
//! batch  := sequence:u64 | count:u32 | record*                                     (little-endian)
//! record := tag:u8 [column family:varint32] body          (the id only under the tags of the right column)
//! slice  := length:varint32 | bytes
//!
//! | record        | default | with id | body                | counted |
//! |---------------|---------|---------|---------------------|---------|
//! | delete        | 0x0     | 0x4     | key:slice           | yes     |
//! | put           | 0x1     | 0x5     | key:slice value:slice | yes   |
//! | merge         | 0x2     | 0x6     | key:slice operand:slice | yes |
//! | single delete | 0x7     | 0x8     | key:slice           | yes     |
//! | range delete  | 0xf     | 0xe     | start:slice end:slice | yes   |
//! | pointer       | 0x11    | 0x10    | key:slice pointer:slice | yes |
//! | put with a TTL | 0x40   | 0x44    | key:slice value:slice, the value after ttl:u64 | yes |
//! | expiring put  | 0x41    | 0x45    | key:slice value:slice, the value after expiry:u64 | yes |
//! | expiring merge | 0x42   | 0x46    | key:slice operand:slice, the operand after expiry:u64 | yes |
//! | expiring pointer | 0x51 | 0x50    | key:slice pointer:slice, the pointer after expiry:u64 | yes |
//! | log data      | 0x3     | -       | bytes:slice         | no      |
//! | no-op         | 0xd     | -       | -                   | no      |
//!
//! Counted records take one sequence number each, in order. A writer uses the default tag for column family 0;
//! a reader takes either. A TTL is seconds from when the batch is written on, 0 for ever; such puts are in callers'
//! batches only. When one is written it becomes an expiring record, with seconds since 1970, or a plain one; pointers
//! and expiring records are the engine's own. No-ops are placeholders of RocksDB's transactions: read and passed over,
//! never written.

use crate::base::coding::{Decoder, get_u32, get_u64, put_slice, put_u64, put_varint};
use crate::base::expiry::{EXPIRY_LEN, is_long_enough, pointer_of};
use crate::base::key::MAX_SEQUENCE;
use crate::base::{EntryKind, Error, ErrorKind, Result, SequenceNumber};
use std::iter::FusedIterator;
use std::ops::Range;

/// Where the sequence number of the first counted record stands.
pub(super) const SEQUENCE: Range<usize> = 0..8;
/// Where the number of counted records stands.
pub(super) const COUNT: Range<usize> = SEQUENCE.end..SEQUENCE.end + 4;
/// Bytes before the first record.
pub const HEADER_LEN: usize = COUNT.end;
const _: () = assert!(HEADER_LEN == 12); // Public: changing this breaks every client that reads batches.

pub(super) const DELETE: u8 = 0x0;
pub(super) const PUT: u8 = 0x1;
pub(super) const MERGE: u8 = 0x2;
pub(super) const LOG_DATA: u8 = 0x3;
pub(super) const DELETE_WITH_ID: u8 = 0x4;
pub(super) const PUT_WITH_ID: u8 = 0x5;
pub(super) const MERGE_WITH_ID: u8 = 0x6;
pub(super) const SINGLE_DELETE: u8 = 0x7;
pub(super) const SINGLE_DELETE_WITH_ID: u8 = 0x8;
const NO_OP: u8 = 0xd;
pub(super) const RANGE_DELETE_WITH_ID: u8 = 0xe;
pub(super) const RANGE_DELETE: u8 = 0xf;
pub(super) const POINTER_WITH_ID: u8 = 0x10;
pub(super) const POINTER: u8 = 0x11;
pub(super) const TTL_PUT: u8 = 0x40;
pub(super) const TTL_PUT_WITH_ID: u8 = 0x44;
const EXPIRING_PUT: u8 = 0x41;
const EXPIRING_PUT_WITH_ID: u8 = 0x45;
const EXPIRING_MERGE: u8 = 0x42;
const EXPIRING_MERGE_WITH_ID: u8 = 0x46;
const EXPIRING_POINTER: u8 = 0x51;
const EXPIRING_POINTER_WITH_ID: u8 = 0x50;

/// One record, as the bytes have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Store a value.
    Put {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
        /// What to store.
        value: &'a [u8],
    },
    /// Store a value that lies in the value log (inside the engine only).
    Pointer {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
        /// An encoded `ValuePointer`.
        pointer: &'a [u8],
    },
    /// Delete a key.
    Delete {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
    },
    /// Delete a key written once.
    SingleDelete {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
    },
    /// Delete `[start, end)`.
    RangeDelete {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The first key that goes.
        start: &'a [u8],
        /// The first key that stays.
        end: &'a [u8],
    },
    /// Add an operand.
    Merge {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
        /// What the merge operator is given.
        operand: &'a [u8],
    },
    /// Store a value for some time (from callers only).
    PutWithTtl {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// The key.
        key: &'a [u8],
        /// What to store.
        value: &'a [u8],
        /// For how many seconds from when the batch is written on; 0 = for ever.
        ttl: u64,
    },
    /// An entry that expires (inside the engine only).
    Expiring {
        /// Where; 0 is the default column family.
        column_family: u32,
        /// One of the kinds that expire.
        kind: EntryKind,
        /// The key.
        key: &'a [u8],
        /// The expiry, and what is stored.
        stored: &'a [u8],
    },
    /// Bytes for the log alone.
    LogData(&'a [u8]),
}

/// What a record does when it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied<'a> {
    /// An entry: family, kind, key, and what it stores.
    Entry(u32, EntryKind, &'a [u8], &'a [u8]),
    /// A range of a family, from the first key that goes to the first that stays.
    RangeDelete(u32, &'a [u8], &'a [u8]),
    /// Nothing.
    Nothing,
}

impl<'a> Record<'a> {
    /// What a record of a logged batch does. A put with a TTL does not belong there: `Corruption`.
    #[inline]
    pub fn applied(&self) -> Result<Applied<'a>> {
        Ok(match *self {
            Record::Put { column_family, key, value } => {
                Applied::Entry(column_family, EntryKind::Put, key, value)
            }
            Record::Pointer { column_family, key, pointer } => {
                Applied::Entry(column_family, EntryKind::Pointer, key, pointer)
            }
            Record::Delete { column_family, key } => {
                Applied::Entry(column_family, EntryKind::Delete, key, &[])
            }
            Record::SingleDelete { column_family, key } => {
                Applied::Entry(column_family, EntryKind::SingleDelete, key, &[])
            }
            Record::Merge { column_family, key, operand } => {
                Applied::Entry(column_family, EntryKind::Merge, key, operand)
            }
            Record::Expiring { column_family, kind, key, stored } => {
                Applied::Entry(column_family, kind, key, stored)
            }
            Record::RangeDelete { column_family, start, end } => {
                Applied::RangeDelete(column_family, start, end)
            }
            Record::LogData(_) => Applied::Nothing,
            Record::PutWithTtl { .. } => {
                return Err(malformed(
                    "a put with a TTL in place of one with an expiry; it was never written",
                ));
            }
        })
    }

    /// The family, the key and the encoded pointer of a record that has one.
    #[inline]
    pub fn pointer(&self) -> Option<(u32, &'a [u8], &'a [u8])> {
        match *self {
            Record::Pointer { column_family, key, pointer } => Some((column_family, key, pointer)),
            Record::Expiring { column_family, kind, key, stored } => {
                pointer_of(kind, stored).map(|pointer| (column_family, key, pointer))
            }
            _ => None,
        }
    }

    /// True if the record is in the batch's count and takes a sequence number.
    #[inline]
    pub fn is_counted(&self) -> bool {
        !matches!(self, Record::LogData(_))
    }
}

/// Most bytes around key and value in a record: tag, column family, two lengths.
const RECORD_OVERHEAD: usize = 1 + 5 + 5 + 5;

/// Appends one record, under the first tag in the default column family and under the second in another: at most one
/// growth of the buffer, each byte of key and value copied once.
#[inline]
pub(super) fn encode(
    out: &mut Vec<u8>,
    tags: (u8, u8),
    column_family: u32,
    key: &[u8],
    value: Option<&[u8]>,
) {
    out.reserve(RECORD_OVERHEAD + key.len() + value.map_or(0, <[u8]>::len));
    encode_key(out, tags, column_family, key);
    if let Some(value) = value {
        put_slice(out, value);
    }
}

#[inline]
fn encode_key(out: &mut Vec<u8>, (tag, tag_with_id): (u8, u8), column_family: u32, key: &[u8]) {
    if column_family == 0 {
        out.push(tag);
    } else {
        out.push(tag_with_id);
        put_varint(out, column_family.into());
    }
    put_slice(out, key);
}

/// Appends a record whose value stands after eight bytes: a TTL or an expiry.
pub(super) fn encode_timed(
    out: &mut Vec<u8>,
    tags: (u8, u8),
    column_family: u32,
    key: &[u8],
    seconds: u64,
    value: &[u8],
) {
    out.reserve(RECORD_OVERHEAD + EXPIRY_LEN + key.len() + value.len());
    encode_key(out, tags, column_family, key);
    put_varint(out, (EXPIRY_LEN + value.len()) as u64);
    put_u64(out, seconds);
    out.extend_from_slice(value);
}

/// The tags of an entry of `kind` that is stored.
#[inline]
pub(super) fn tags_of(kind: EntryKind) -> (u8, u8) {
    match kind {
        EntryKind::Put => (PUT, PUT_WITH_ID),
        EntryKind::Merge => (MERGE, MERGE_WITH_ID),
        EntryKind::Pointer => (POINTER, POINTER_WITH_ID),
        EntryKind::ExpiringPut => (EXPIRING_PUT, EXPIRING_PUT_WITH_ID),
        EntryKind::ExpiringMerge => (EXPIRING_MERGE, EXPIRING_MERGE_WITH_ID),
        EntryKind::ExpiringPointer => (EXPIRING_POINTER, EXPIRING_POINTER_WITH_ID),
        EntryKind::Delete => (DELETE, DELETE_WITH_ID),
        EntryKind::SingleDelete => (SINGLE_DELETE, SINGLE_DELETE_WITH_ID),
        EntryKind::RangeDelete => (RANGE_DELETE, RANGE_DELETE_WITH_ID),
    }
}

/// Sequence number and count from the header of encoded batch bytes.
pub fn decode_header(data: &[u8]) -> Result<(SequenceNumber, u32)> {
    let (Some(sequence), Some(count)) = (get_u64(data, SEQUENCE.start), get_u32(data, COUNT.start)) else {
        let got = data.len();
        return Err(malformed(format!("got {got} bytes, expected at least the {HEADER_LEN} of the header")));
    };
    if sequence > MAX_SEQUENCE {
        return Err(malformed(format!("sequence number: got {sequence}, expected at most {MAX_SEQUENCE}")));
    }
    Ok((sequence, count))
}

/// Checks that `data` is a whole batch: the header, every record, and that the count is that of the records.
pub fn verify(data: &[u8]) -> Result<()> {
    let (_, expected) = decode_header(data)?;
    let mut counted = 0u64;
    for record in BatchIter::over(data)? {
        counted += u64::from(record?.is_counted());
    }
    if counted != u64::from(expected) {
        return Err(malformed(format!(
            "count in the header: got {expected}, expected {counted}, the records there"
        )));
    }
    Ok(())
}

/// The error for bytes that are no batch. They came from a caller or a log frame whose file the caller adds.
pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corruption, format!("write batch: {what}"))
}

/// The records of a batch; the first malformed one is an `Err` and the last item.
#[derive(Clone, Debug)]
pub struct BatchIter<'a> {
    rest: Decoder<'a>,
    total_len: usize,
}

impl<'a> BatchIter<'a> {
    /// The records after the header of encoded batch bytes. Neither the header's values nor the count are
    /// checked: `decode_header` and `verify` do that.
    #[inline]
    pub fn over(data: &'a [u8]) -> Result<BatchIter<'a>> {
        match data.get(HEADER_LEN..) {
            Some(records) => Ok(BatchIter { rest: Decoder::new(records), total_len: data.len() }),
            None => Err(decode_header(data).expect_err("shorter than a header")),
        }
    }

    /// The records of bytes that are known to have a header.
    #[inline]
    pub(super) fn after_header(data: &'a [u8]) -> BatchIter<'a> {
        BatchIter { rest: Decoder::new(&data[HEADER_LEN..]), total_len: data.len() }
    }

    /// The records from a byte on where a record starts, or the end.
    #[inline]
    pub(super) fn from_offset(data: &'a [u8], offset: usize) -> BatchIter<'a> {
        BatchIter { rest: Decoder::new(&data[offset..]), total_len: data.len() }
    }

    /// Byte of the batch at which the next record starts; after the last one, the batch's length.
    #[inline]
    pub fn offset(&self) -> usize {
        self.total_len - self.rest.rest().len()
    }

    /// The next record if it is what most are, a put into the default column family: small enough to stand where the
    /// records are gone through, so that none passes through memory.
    #[inline]
    fn next_put(&mut self) -> Option<Record<'a>> {
        let mut rest = self.rest.clone();
        if rest.u8()? != PUT {
            return None;
        }
        let (key, value) = (slice(&mut rest).ok()?, slice(&mut rest).ok()?);
        self.rest = rest;
        Some(Record::Put { column_family: 0, key, value })
    }

    fn next_of_any(&mut self) -> Option<Result<Record<'a>>> {
        loop {
            let offset = self.offset();
            let tag = self.rest.u8()?;
            if tag == NO_OP {
                continue;
            }
            return match decode_record(tag, &mut self.rest) {
                Ok(record) => Some(Ok(record)),
                Err(Damage::UnknownTag) => self.fail(offset, format_args!("unknown tag 0x{tag:x}")),
                Err(Damage::CutShort) => {
                    self.fail(offset, format_args!("record of tag 0x{tag:x} with a bad or cut-short field"))
                }
            };
        }
    }

    #[cold]
    fn fail(&mut self, offset: usize, what: impl std::fmt::Display) -> Option<Result<Record<'a>>> {
        self.rest = Decoder::new(&[]);
        Some(Err(malformed(format!("{what} at byte {offset} of {}", self.total_len))))
    }
}

impl<'a> Iterator for BatchIter<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Record<'a>>> {
        match self.next_put() {
            Some(put) => Some(Ok(put)),
            None => self.next_of_any(),
        }
    }
}

impl FusedIterator for BatchIter<'_> {}

enum Damage {
    UnknownTag,
    CutShort,
}

#[inline]
fn decode_record<'a>(tag: u8, rest: &mut Decoder<'a>) -> std::result::Result<Record<'a>, Damage> {
    let column_family = match tag {
        DELETE | PUT | MERGE | SINGLE_DELETE | RANGE_DELETE | POINTER | LOG_DATA => 0,
        TTL_PUT | EXPIRING_PUT | EXPIRING_MERGE | EXPIRING_POINTER => 0,
        TTL_PUT_WITH_ID | EXPIRING_PUT_WITH_ID | EXPIRING_MERGE_WITH_ID | EXPIRING_POINTER_WITH_ID => {
            rest.varint32().ok_or(Damage::CutShort)?
        }
        DELETE_WITH_ID
        | PUT_WITH_ID
        | MERGE_WITH_ID
        | SINGLE_DELETE_WITH_ID
        | RANGE_DELETE_WITH_ID
        | POINTER_WITH_ID => rest.varint32().ok_or(Damage::CutShort)?,
        _ => return Err(Damage::UnknownTag),
    };
    let key = slice(rest)?;
    Ok(match tag {
        PUT | PUT_WITH_ID => Record::Put { column_family, key, value: slice(rest)? },
        DELETE | DELETE_WITH_ID => Record::Delete { column_family, key },
        SINGLE_DELETE | SINGLE_DELETE_WITH_ID => Record::SingleDelete { column_family, key },
        MERGE | MERGE_WITH_ID => Record::Merge { column_family, key, operand: slice(rest)? },
        RANGE_DELETE | RANGE_DELETE_WITH_ID => {
            Record::RangeDelete { column_family, start: key, end: slice(rest)? }
        }
        POINTER | POINTER_WITH_ID => Record::Pointer { column_family, key, pointer: slice(rest)? },
        LOG_DATA => Record::LogData(key),
        TTL_PUT | TTL_PUT_WITH_ID => {
            let (ttl, value) = slice(rest)?.split_first_chunk().ok_or(Damage::CutShort)?;
            Record::PutWithTtl { column_family, key, value, ttl: u64::from_le_bytes(*ttl) }
        }
        EXPIRING_PUT | EXPIRING_PUT_WITH_ID => expiring(column_family, EntryKind::ExpiringPut, key, rest)?,
        EXPIRING_MERGE | EXPIRING_MERGE_WITH_ID => {
            expiring(column_family, EntryKind::ExpiringMerge, key, rest)?
        }
        EXPIRING_POINTER | EXPIRING_POINTER_WITH_ID => {
            expiring(column_family, EntryKind::ExpiringPointer, key, rest)?
        }
        _ => return Err(Damage::UnknownTag),
    })
}

fn expiring<'a>(
    column_family: u32,
    kind: EntryKind,
    key: &'a [u8],
    rest: &mut Decoder<'a>,
) -> std::result::Result<Record<'a>, Damage> {
    let stored = slice(rest)?;
    if !is_long_enough(kind, stored.len()) {
        return Err(Damage::CutShort);
    }
    Ok(Record::Expiring { column_family, kind, key, stored })
}

/// A slice whose length fits 32 bits, as the format has it.
#[inline]
fn slice<'a>(rest: &mut Decoder<'a>) -> std::result::Result<&'a [u8], Damage> {
    let len = rest.varint32().ok_or(Damage::CutShort)?;
    rest.bytes(len as usize).ok_or(Damage::CutShort)
}
