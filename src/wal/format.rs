//! The bytes of a log file: records (see `record`) of four kinds.
//!
//! file   := header-record continuation-record? frame-record*
//! header := magic:u64 | version:u32 | database:[16] | number:u64 | has_previous:u8 | log:u64 | offset:u64   (kind 1)
//! continuation := log:u64 | offset:u64                                                                     (kind 4)
//! frame  := payload                                                                                        (kind 2)
//!         | mark payload                                                                                   (kind 3)
//! mark   := log:varint | offset:varint | count:varint | (segment - the one before:varint | durable:varint)*
//!
//! `has_previous` is 0 (no), 1 (`log`, `offset`: where it ended), 2 (the continuation says it) or 3 (as 2, and the file
//! held another log before: `log` is a random salt, never 0, that all records after the header are bound to).
//! The number in the header is the one all records of the file are bound to; it is stored too so that a file that
//! was renamed is told apart from one that was torn. Kinds and fields are part of the disk format.

use super::{DurableMark, Previous, WalHeader, WalPosition};
use crate::base::Result;
use crate::base::coding::{Decoder, put_u32, put_u64, put_varint};
use crate::base::file_name::{self, FileKind, path_of};
use crate::base::format_version::{CURRENT_FORMAT, FormatVersion};
use crate::env::{Env, OpenMode};
use crate::record::{ReadOutcome, RecordReader};
use std::path::Path;

/// The kind of the first record.
pub(super) const KIND_HEADER: u8 = 1;
/// The kind of a frame without a mark.
pub(super) const KIND_FRAME: u8 = 2;
/// The kind of a frame that begins with a mark.
pub(super) const KIND_FRAME_WITH_MARK: u8 = 3;
/// The kind of the record after the header of a file made ahead.
pub(super) const KIND_CONTINUATION: u8 = 4;

const MAGIC: u64 = u64::from_le_bytes(*b"AURAWAL\n");
/// Bytes of a header's payload.
pub(super) const HEADER_PAYLOAD_LEN: usize = 8 + 4 + 16 + 8 + 1 + 8 + 8;
const NUMBER_AT: usize = 8 + 4 + 16;

/// Where the first frame starts.
pub(super) const FIRST_FRAME: u64 = (crate::record::HEADER_LEN + HEADER_PAYLOAD_LEN) as u64;

/// What a header's payload says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodedHeader {
    /// With the salt of the records that follow, 0 for none.
    Known(WalHeader, u64),
    /// Written by a newer version of the engine.
    Newer(u32),
    /// Not a header.
    Malformed,
}

/// `salt` is 0 for a file of its own. One that held another log is always made ahead.
pub(super) fn encode_header(header: &WalHeader, salt: u64) -> Vec<u8> {
    assert!(salt == 0 || header.previous == Previous::ToldLater, "a used file is made ahead");
    let format = if salt == 0 { CURRENT_FORMAT } else { FormatVersion::V3 };
    let mut out = Vec::with_capacity(HEADER_PAYLOAD_LEN);
    put_u64(&mut out, MAGIC);
    put_u32(&mut out, format as u32);
    out.extend_from_slice(&header.database);
    put_u64(&mut out, header.number);
    let (has_previous, previous) = match header.previous {
        Previous::None => (0, WalPosition::default()),
        Previous::At(position) => (1, position),
        Previous::ToldLater if salt == 0 => (2, WalPosition::default()),
        Previous::ToldLater => (3, WalPosition { log: salt, offset: 0 }),
    };
    out.push(has_previous);
    put_u64(&mut out, previous.log);
    put_u64(&mut out, previous.offset);
    debug_assert_eq!(out.len(), HEADER_PAYLOAD_LEN);
    out
}

pub(super) fn decode_header(payload: &[u8]) -> DecodedHeader {
    let mut decoder = Decoder::new(payload);
    if decoder.u64() != Some(MAGIC) {
        return DecodedHeader::Malformed;
    }
    match decoder.u32() {
        Some(version) if FormatVersion::from_number(version).is_none() => {
            return DecodedHeader::Newer(version);
        }
        _ => {}
    }
    decode_fields(decoder)
        .map_or(DecodedHeader::Malformed, |(header, salt)| DecodedHeader::Known(header, salt))
}

fn decode_fields(mut decoder: Decoder<'_>) -> Option<(WalHeader, u64)> {
    let database = decoder.bytes(16)?.try_into().ok()?;
    let number = decoder.u64()?;
    let has_previous = decoder.u8()?;
    let previous = WalPosition { log: decoder.u64()?, offset: decoder.u64()? };
    let (previous, salt) = match has_previous {
        0 => (Previous::None, 0),
        1 => (Previous::At(previous), 0),
        2 => (Previous::ToldLater, 0),
        3 if previous.log != 0 => (Previous::ToldLater, previous.log),
        _ => return None,
    };
    decoder.is_empty().then_some((WalHeader { database, number, previous }, salt))
}

pub(super) fn encode_continuation(previous: WalPosition) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&previous.log.to_le_bytes());
    bytes[8..].copy_from_slice(&previous.offset.to_le_bytes());
    bytes
}

pub(super) fn decode_continuation(payload: &[u8]) -> Option<WalPosition> {
    let mut decoder = Decoder::new(payload);
    let position = WalPosition { log: decoder.u64()?, offset: decoder.u64()? };
    decoder.is_empty().then_some(position)
}

/// The number that a file's first bytes claim, whether or not they are whole.
pub(super) fn claimed_number(bytes: &[u8]) -> Option<u64> {
    let payload = bytes.get(crate::record::HEADER_LEN..)?;
    let magic = crate::base::coding::get_u64(payload, 0)?;
    (magic == MAGIC).then(|| crate::base::coding::get_u64(payload, NUMBER_AT)).flatten()
}

/// The identity of the database that the logs in `dir` belong to, from the first whole header; `None` if there is
/// none.
pub fn database_of(env: &dyn Env, dir: &Path) -> Result<Option<[u8; 16]>> {
    let names = if env.exists(dir) { env.list(dir)? } else { Vec::new() };
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| match file_name::parse(name) {
            Some(FileKind::Wal(number)) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    for number in numbers {
        let file = env.open(&path_of(dir, FileKind::Wal(number)), OpenMode::Read)?;
        let mut bytes = vec![0; FIRST_FRAME as usize];
        let got = file.read_at(0, &mut bytes)?;
        bytes.truncate(got);
        let mut reader = RecordReader::from_bytes(bytes, number, 0);
        if let ReadOutcome::Record { kind: KIND_HEADER, payload, .. } = reader.next()
            && let DecodedHeader::Known(header, _) = decode_header(payload)
        {
            return Ok(Some(header.database));
        }
    }
    Ok(None)
}

pub(super) fn encode_mark(mark: &DurableMark, out: &mut Vec<u8>) {
    put_varint(out, mark.wal.log);
    put_varint(out, mark.wal.offset);
    put_varint(out, mark.segments.len() as u64);
    let mut before = 0;
    for &(segment, durable) in &mark.segments {
        debug_assert!(segment >= before, "segments are ascending");
        put_varint(out, segment - before);
        put_varint(out, durable);
        before = segment;
    }
}

/// The mark at the start of `bytes`, and what follows it.
pub(super) fn decode_mark(bytes: &[u8]) -> Option<(DurableMark, &[u8])> {
    let mut decoder = Decoder::new(bytes);
    let wal = WalPosition { log: decoder.varint()?, offset: decoder.varint()? };
    let count = decoder.varint()?;
    // Two bytes a segment at least: a length that lies cannot make us allocate.
    if count > decoder.rest().len() as u64 / 2 {
        return None;
    }
    let mut segments = Vec::with_capacity(count as usize);
    let mut segment = 0u64;
    for _ in 0..count {
        segment = segment.checked_add(decoder.varint()?)?;
        segments.push((segment, decoder.varint()?));
    }
    Some((DurableMark { wal, segments }, decoder.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_refuse_every_cut() {
        let position = WalPosition { log: 4, offset: 1 << 33 };
        for previous in [Previous::None, Previous::At(position), Previous::ToldLater] {
            for salt in [0, u64::MAX] {
                if salt != 0 && previous != Previous::ToldLater {
                    continue;
                }
                let header = WalHeader { database: *b"0123456789abcdef", number: 9, previous };
                let bytes = encode_header(&header, salt);
                assert_eq!(bytes[8], if salt == 0 { 2 } else { 3 });
                assert_eq!(decode_header(&bytes), DecodedHeader::Known(header, salt));
                for len in 0..bytes.len() {
                    assert_eq!(decode_header(&bytes[..len]), DecodedHeader::Malformed);
                }
            }
        }
        let mut newer =
            encode_header(&WalHeader { database: [0; 16], number: 1, previous: Previous::None }, 0);
        newer[8] = 4;
        assert_eq!(decode_header(&newer), DecodedHeader::Newer(4));
    }

    #[test]
    fn continuations_round_trip_and_refuse_every_other_length() {
        let position = WalPosition { log: 4, offset: 1 << 33 };
        let bytes = encode_continuation(position);
        assert_eq!(decode_continuation(&bytes), Some(position));
        for len in 0..bytes.len() {
            assert_eq!(decode_continuation(&bytes[..len]), None);
        }
        assert_eq!(decode_continuation(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn marks_round_trip_and_never_panic() {
        let mark = DurableMark {
            wal: WalPosition { log: 3, offset: 70_000 },
            segments: vec![(5, 64), (6, u64::MAX), (900, 1 << 30)],
        };
        let mut bytes = Vec::new();
        encode_mark(&mark, &mut bytes);
        let len = bytes.len();
        bytes.extend_from_slice(b"payload");
        assert_eq!(decode_mark(&bytes), Some((mark, &b"payload"[..])));
        for cut in 0..len {
            assert_eq!(decode_mark(&bytes[..cut]), None);
        }
        for at in 0..len {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                decode_mark(&bad); // must return, whatever it says
            }
        }
    }
}
