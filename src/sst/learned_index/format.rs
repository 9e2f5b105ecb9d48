//! The bytes of a learned index.
//!
//! ```text
//! contents  := kind:u8 (1 = piecewise linear) | shared prefix:slice
//!            | alphabet:u64{4} | positions:u8 | (low:u8 | high:u8 | zero:u8 (0 or 1)){positions}
//!            | entries:varint | under:varint | over:varint
//!            | segments:varint | (start:u64 | slope:f64 | ordinal:u64){segments}
//! ```
//!
//! `alphabet` has a bit for each byte value above zero that occurs after the prefix (bit b % 64 of word b / 64).
//! `positions` are the byte positions after the prefix that make a key's code, and which ranks in the alphabet, from
//! one, occur there (see `key_code`). `under` and `over` are the measured errors: how far an entry may stand above and below the guess.

use super::LearnedIndex;
use super::key_code::{Alphabet, KeyCode, MAX_POSITIONS, Position};
use super::piecewise_linear::{PiecewiseLinear, Segment};
use crate::base::coding::{Decoder, put_slice, put_u64, put_varint};

const KIND_PIECEWISE_LINEAR: u8 = 1;
const SEGMENT_LEN: usize = 8 + 8 + 8;

impl LearnedIndex {
    /// Appends the contents.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(KIND_PIECEWISE_LINEAR);
        put_slice(out, self.code.prefix());
        self.code.alphabet().bits.iter().for_each(|&word| put_u64(out, word));
        out.push(self.code.positions().len() as u8);
        for position in self.code.positions() {
            out.extend_from_slice(&[position.low, position.high, position.zero.into()]);
        }
        put_varint(out, self.lines.entries());
        put_varint(out, self.under);
        put_varint(out, self.over);
        put_varint(out, self.lines.segments() as u64);
        for segment in self.lines.iter() {
            put_u64(out, segment.start);
            put_u64(out, segment.slope.to_bits());
            put_u64(out, segment.ordinal);
        }
    }

    /// Reads the contents; `None` if malformed or not made for a table of `entries`.
    pub fn decode(contents: &[u8], entries: u64) -> Option<LearnedIndex> {
        let mut decoder = Decoder::new(contents);
        if decoder.u8()? != KIND_PIECEWISE_LINEAR {
            return None;
        }
        let prefix = decoder.slice()?.to_vec();
        let alphabet = Alphabet::new([decoder.u64()?, decoder.u64()?, decoder.u64()?, decoder.u64()?]);
        let count = usize::from(decoder.u8()?);
        if count > MAX_POSITIONS {
            return None;
        }
        let mut positions = Vec::with_capacity(count);
        for _ in 0..count {
            let (low, high) = (decoder.u8()?, decoder.u8()?);
            positions.push(Position::new(low, high, decoder.u8().filter(|&zero| zero <= 1)? == 1));
        }
        let code = KeyCode::new(prefix, alphabet, positions)?;
        if decoder.varint()? != entries {
            return None;
        }
        let (under, over) = (decoder.varint()?, decoder.varint()?);
        let segments = usize::try_from(decoder.varint()?).ok()?;
        if segments.checked_mul(SEGMENT_LEN) != Some(decoder.rest().len()) {
            return None;
        }
        let number =
            |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let segments = decoder.rest().chunks_exact(SEGMENT_LEN).map(|bytes| Segment {
            start: number(bytes, 0),
            slope: f64::from_bits(number(bytes, 8)),
            ordinal: number(bytes, 16),
        });
        let lines = PiecewiseLinear::from_segments(segments, entries)?;
        Some(LearnedIndex { code, lines, under, over })
    }
}
