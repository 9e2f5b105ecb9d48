//! The bytes of a segment file.
//!
//! segment := header record*
//! header  := magic:u64 | version:u32 | zero:u32 | database:[16] | segment:u64 | class:u8 | zero:[19] | checksum:u32
//! record  := checksum:u32 | key_len:u32 | stored_len:u32 | value_len:u32 | column_family:u32 | codec:u8 | zero:[3]
//!          | key | stored value
//!
//! - A record's checksum covers everything after itself and is bound to (segment, offset): bytes that were valid
//!   elsewhere never pass. It is also in the pointer, so a pointer and a record that do not belong together never
//!   pass either. The header's checksum covers what is before it and is bound to (segment, 0).
//! - `class` says what the segment was made for; 0 too where that was not written down.
//! - `codec` says how the stored value is compressed; `value_len` is its length before. Raw: both lengths equal.
//! - Records stand back to back: alignment would cost small values space, and gives large ones nothing.
//! - The key is stored so that garbage collection and repair can work without the tables.

use super::SegmentClass;
use crate::base::checksum::{bind, crc32};
use crate::base::coding::{get_u32, get_u64};
use crate::base::format_version::{CURRENT_FORMAT, FormatVersion};
use crate::base::{Codec, ValuePointer};

/// Bytes of a segment's header: where the first record starts.
pub const SEGMENT_HEADER_LEN: u64 = 64;
/// Bytes of a record before the key.
pub const RECORD_HEADER_LEN: usize = 24;

const MAGIC: u64 = u64::from_le_bytes(*b"AURAVLG\n");
const CLASS_AT: usize = 40;
const HEADER_CHECKSUM_AT: usize = SEGMENT_HEADER_LEN as usize - 4;

/// What a segment's header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    Known {
        database: [u8; 16],
        class: SegmentClass,
    },
    /// A whole header of another segment.
    OfSegment(u64),
    /// Written by a newer version of the engine.
    Newer(u32),
    /// Not whole.
    Damaged,
}

pub(super) fn encode_segment_header(
    database: &[u8; 16],
    segment: u64,
    class: SegmentClass,
) -> [u8; SEGMENT_HEADER_LEN as usize] {
    let mut bytes = [0; SEGMENT_HEADER_LEN as usize];
    bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&(CURRENT_FORMAT as u32).to_le_bytes());
    bytes[16..32].copy_from_slice(database);
    bytes[32..40].copy_from_slice(&segment.to_le_bytes());
    bytes[CLASS_AT] = class as u8;
    let checksum = bind(crc32(&bytes[..HEADER_CHECKSUM_AT]), segment, 0);
    bytes[HEADER_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn decode_segment_header(
    bytes: &[u8; SEGMENT_HEADER_LEN as usize],
    segment: u64,
) -> SegmentHeader {
    let number = get_u64(bytes, 32).unwrap_or(0);
    let checksum = bind(crc32(&bytes[..HEADER_CHECKSUM_AT]), number, 0);
    if get_u64(bytes, 0) != Some(MAGIC) || get_u32(bytes, HEADER_CHECKSUM_AT) != Some(checksum) {
        return SegmentHeader::Damaged;
    }
    let version = get_u32(bytes, 8).unwrap_or(0);
    if FormatVersion::from_number(version).is_none() {
        return SegmentHeader::Newer(version);
    }
    if number != segment {
        return SegmentHeader::OfSegment(number);
    }
    let mut database = [0; 16];
    database.copy_from_slice(&bytes[16..32]);
    let class = SegmentClass::ALL.get(usize::from(bytes[CLASS_AT])).copied();
    SegmentHeader::Known { database, class: class.unwrap_or(SegmentClass::New) }
}

/// The fields of a record's header after the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub key_len: u32,
    pub stored_len: u32,
    pub value_len: u32,
    pub column_family: u32,
    pub codec: Codec,
}

impl RecordHeader {
    /// The encoding; its first four bytes are for the checksum.
    pub fn encode(&self) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[4..8].copy_from_slice(&self.key_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.value_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.column_family.to_le_bytes());
        bytes[20] = self.codec as u8;
        bytes
    }

    /// The header at the start of a record; `None` if the bytes are too short or no header.
    pub fn decode(bytes: &[u8]) -> Option<RecordHeader> {
        let header = RecordHeader {
            key_len: get_u32(bytes, 4)?,
            stored_len: get_u32(bytes, 8)?,
            value_len: get_u32(bytes, 12)?,
            column_family: get_u32(bytes, 16)?,
            codec: Codec::from_tag(*bytes.get(20)?)?,
        };
        let zeros = bytes.get(21..RECORD_HEADER_LEN)? == [0; 3];
        let lengths = header.codec != Codec::None || header.stored_len == header.value_len;
        (zeros && lengths).then_some(header)
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> u64 {
        RECORD_HEADER_LEN as u64 + u64::from(self.key_len) + u64::from(self.stored_len)
    }
}

/// Checks a whole record against the pointer and the key it was reached by; says what is wrong.
pub(super) fn check_record(
    record: &[u8],
    pointer: &ValuePointer,
    column_family: u32,
    key: &[u8],
) -> Result<RecordHeader, String> {
    // The checksum first: if it holds, any other difference is a pointer to the wrong record, not rot.
    let stored = get_u32(record, 0).ok_or("the record is shorter than its header")?;
    let computed = bind(crc32(&record[4..]), pointer.segment, pointer.offset);
    if stored != computed || pointer.checksum != computed {
        let pointed = pointer.checksum;
        return Err(format!(
            "value checksum: got {stored:08x}, pointer says {pointed:08x}, expected {computed:08x}"
        ));
    }
    let header = RecordHeader::decode(record).ok_or("the record's header is malformed")?;
    if header.record_len() != record.len() as u64 || header.value_len != pointer.value_len {
        return Err(format!(
            "value lengths: got a record of {} and a value of {}, pointer says {} and {}",
            header.record_len(),
            header.value_len,
            pointer.record_len,
            pointer.value_len
        ));
    }
    check_owner(record, &header, column_family, key)?;
    Ok(header)
}

/// Checks that a record's column family and key are the ones asked for.
pub(super) fn check_owner(
    record: &[u8],
    header: &RecordHeader,
    column_family: u32,
    key: &[u8],
) -> Result<(), String> {
    if header.column_family != column_family {
        let got = header.column_family;
        return Err(format!("the value is of column family {got}, expected {column_family}"));
    }
    if record.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + header.key_len as usize) != Some(key) {
        return Err("the value belongs to another key".to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_headers_are_tied_to_their_number() {
        let database = *b"0123456789abcdef";
        let class = SegmentClass::OldCopies;
        let bytes = encode_segment_header(&database, 12, class);
        assert_eq!(decode_segment_header(&bytes, 12), SegmentHeader::Known { database, class });
        assert_eq!(decode_segment_header(&bytes, 13), SegmentHeader::OfSegment(12));
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 4;
            assert_eq!(decode_segment_header(&bad, 12), SegmentHeader::Damaged, "byte {at}");
        }
        let mut newer = bytes;
        newer[8] = 4;
        let checksum = bind(crc32(&newer[..60]), 12, 0);
        newer[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode_segment_header(&newer, 12), SegmentHeader::Newer(4));
    }

    #[test]
    fn record_headers_round_trip_and_refuse_what_was_never_written() {
        let header =
            RecordHeader { key_len: 3, stored_len: 70, value_len: 900, column_family: 7, codec: Codec::Zstd };
        let bytes = header.encode();
        assert_eq!(RecordHeader::decode(&bytes), Some(header));
        assert_eq!(header.record_len(), 97);
        for len in 0..bytes.len() {
            assert_eq!(RecordHeader::decode(&bytes[..len]), None);
        }
        for (at, value) in [(20, 9), (20, 0), (21, 1), (23, 1)] {
            let mut bad = bytes;
            bad[at] = value;
            assert_eq!(RecordHeader::decode(&bad), None);
        }
    }
}
