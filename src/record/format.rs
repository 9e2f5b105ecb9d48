//! The bytes of a frame.
//!
//! frame  := checksum:u32 | length:u32 | kind:u8 | guard:u24 | payload      (little-endian, `length` payload bytes)
//!
//! - `checksum` covers everything after itself and is bound to the place: (file number, offset of the frame).
//! - `guard` is a hash of length, kind and place. Looking for frames among garbage, it rejects all but one in sixteen
//!   million false candidates before a payload is touched.
//! - In a file that held other frames before, a salt is part of the place, and checksum and guard are bound to
//!   different bits of it. Then a whole old frame, where it always stood, passes with a chance of 2^-56; without it
//!   both depend on the same 32 bits, and it would be 2^-32, too much for a file with a million of them.
//! - `kind` is never 0, so a header of zeros is no frame: it is the end of the log.
//!
//! Frames stand back to back without alignment or blocks: padding would cost an average small record 3 %, while the
//! guard makes the scan for a later frame about a nanosecond a byte, and that scan runs only after a crash.

use crate::base::checksum;

/// Bytes before the payload. On disk: changing this is a new `FormatVersion`.
pub const HEADER_LEN: usize = 12;

/// The longest payload.
pub const MAX_PAYLOAD_LEN: u64 = u32::MAX as u64 - HEADER_LEN as u64;

/// The header of a frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub checksum: u32,
    pub length: u32,
    pub kind: u8,
    pub guard: u32,
}

/// Hashes of where a frame stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    checksum: u32,
    guard: u32,
}

/// The place at `offset` of the file `number`. `salt` is not 0 where the file held other frames before.
#[inline]
pub(super) fn place(number: u64, salt: u64, offset: u64) -> Place {
    if salt == 0 {
        let place = checksum::bind(0, number, offset);
        return Place { checksum: place, guard: place };
    }
    let place = checksum::salted_place(salt, number, offset);
    Place { checksum: (place >> 32) as u32, guard: place as u32 }
}

#[inline]
fn guard(place: Place, length: u32, kind: u8) -> u32 {
    let mixed = (u64::from(kind) << 32 | u64::from(length)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) as u32 ^ place.guard) >> 8
}

/// The header of the frame of `kind` whose payload is the concatenation of `parts`, `length` bytes in all.
#[inline]
pub(super) fn encode_header(place: Place, kind: u8, length: u32, parts: &[&[u8]]) -> [u8; HEADER_LEN] {
    debug_assert!(kind != 0);
    let mut bytes = [0; HEADER_LEN];
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..12].copy_from_slice(&(u32::from(kind) | guard(place, length, kind) << 8).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[4..]);
    for part in parts {
        hasher.update(part);
    }
    bytes[..4].copy_from_slice(&(hasher.finalize() ^ place.checksum).to_le_bytes());
    bytes
}

impl Header {
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Header {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Header { checksum: word(0), length: word(4), kind: bytes[8], guard: word(8) >> 8 }
    }

    pub fn is_zero(&self) -> bool {
        *self == Header { checksum: 0, length: 0, kind: 0, guard: 0 }
    }

    /// Whether length, kind and place belong together.
    #[inline]
    pub fn guard_holds(&self, place: Place) -> bool {
        self.kind != 0 && self.guard == guard(place, self.length, self.kind)
    }
}

/// The checksum of the frame whose bytes after the checksum field are `covered`.
pub(super) fn frame_checksum(place: Place, covered: &[u8]) -> u32 {
    checksum::crc32(covered) ^ place.checksum
}
