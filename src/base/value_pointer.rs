//! Where a separated value lies in the value log, as carried by WAL, memtable and tables.
//!
//! pointer := segment:varint | offset:varint | record_len:varint | value_len:varint | checksum:u32
//! `record_len` counts the whole stored record (header, key, stored value); `value_len` is the value's length
//! before compression; `checksum` equals the record's own, so a pointer and a record that do not belong
//! together never pass.

use super::coding::Decoder;

/// The place and identity of one record in the value log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValuePointer {
    /// The segment's file number.
    pub segment: u64,
    /// Where the record starts in the segment.
    pub offset: u64,
    /// Bytes of the whole record on disk.
    pub record_len: u32,
    /// Bytes of the value as the caller wrote it.
    pub value_len: u32,
    /// The record's checksum, bound to segment and offset.
    pub checksum: u32,
}

impl ValuePointer {
    /// Longest encoding.
    pub const MAX_ENCODED_LEN: usize = 10 + 10 + 5 + 5 + 4;

    /// The first byte after the record.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.record_len)
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// The encoding, without allocation.
    pub fn to_bytes(&self) -> EncodedPointer {
        let mut encoded = EncodedPointer { bytes: [0; Self::MAX_ENCODED_LEN], len: 0 };
        encoded.push_varint(self.segment);
        encoded.push_varint(self.offset);
        encoded.push_varint(self.record_len.into());
        encoded.push_varint(self.value_len.into());
        encoded.push(self.checksum.to_le_bytes());
        encoded
    }

    /// Reads an encoding that fills `bytes` exactly; `None` if malformed.
    pub fn decode(bytes: &[u8]) -> Option<ValuePointer> {
        let mut decoder = Decoder::new(bytes);
        let pointer = ValuePointer {
            segment: decoder.varint()?,
            offset: decoder.varint()?,
            record_len: decoder.varint32()?,
            value_len: decoder.varint32()?,
            checksum: decoder.u32()?,
        };
        pointer.offset.checked_add(pointer.record_len.into())?;
        decoder.is_empty().then_some(pointer)
    }
}

/// An encoded pointer, in place.
#[derive(Clone, Copy, Debug)]
pub struct EncodedPointer {
    bytes: [u8; ValuePointer::MAX_ENCODED_LEN],
    len: usize,
}

impl EncodedPointer {
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push([value as u8 | 0x80]);
            value >>= 7;
        }
        self.push([value as u8]);
    }
}

impl std::ops::Deref for EncodedPointer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_malformed() {
        let pointer =
            ValuePointer { segment: 12, offset: 1 << 40, record_len: 70_000, value_len: 65_536, checksum: 7 };
        let mut bytes = Vec::new();
        pointer.encode(&mut bytes);
        assert_eq!(ValuePointer::decode(&bytes), Some(pointer));
        for len in 0..bytes.len() {
            assert_eq!(ValuePointer::decode(&bytes[..len]), None);
        }
        bytes.push(0);
        assert_eq!(ValuePointer::decode(&bytes), None);
    }
}
