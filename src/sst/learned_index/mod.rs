//! A model of where keys stand in a table: from the key to the ordinal of its entry, within a measured error.
//!
//! 1. While the table is built, `KeyCodeBuilder` remembers the bytes that tell keys apart.
//! 2. At the end each user key becomes a number (`KeyCode`), in the order of the keys but not one to one:
//!    versions of a key, and keys that differ only further on, share a code.
//! 3. Straight lines are fitted through (code, ordinal of the first entry with that code),
//!    `piecewise_linear`.
//! 4. The fit is tried on every code; the measured error is stored. A model that would not pay is dropped.
//!
//! Invariant L1: a prediction is a hint. The reader proves every answer with keys, so that a bad or damaged
//! model can cost time, never an answer. Works with byte order only.

pub mod format;
pub mod key_code;
pub mod piecewise_linear;

pub use key_code::{KeyCode, KeyCodeBuilder};
pub use piecewise_linear::PiecewiseLinear;

/// Tables with fewer entries are searched as quickly without a model.
const MIN_ENTRIES: u64 = 256;
/// Error bounds tried, tightest first.
const ERROR_BOUNDS: [u64; 3] = [8, 16, 32];
/// With at least this many entries a segment (a quarter byte an entry), an error bound is good enough.
const GOOD_ENTRIES_PER_SEGMENT: u64 = 96;
/// With fewer entries a segment than this even at the widest error bound, there is no model.
const MIN_ENTRIES_PER_SEGMENT: u64 = 16;
/// With fewer than one code for this many entries, there is no model: most lookups would end in ties.
const MAX_ENTRIES_PER_CODE: u64 = 2;
/// With a larger measured error there is no model.
const MAX_ERROR: u64 = 512;

/// Where the first entry at or after a key probably stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The best guess; may equal the number of entries.
    pub ordinal: u64,
    /// The lowest ordinal that the measured error allows.
    pub low: u64,
    /// The highest ordinal that the measured error allows.
    pub high: u64,
}

/// The learned index of a table.
#[derive(Debug, PartialEq)]
pub struct LearnedIndex {
    code: KeyCode,
    lines: PiecewiseLinear,
    /// How far the answer may be above the guess.
    under: u64,
    /// How far the answer may be below the guess.
    over: u64,
}

impl LearnedIndex {
    /// Learns from all keys of a table; `None` where a model does not pay.
    pub fn learn(keys: &mut KeyCodeBuilder) -> Option<LearnedIndex> {
        if keys.count() < MIN_ENTRIES {
            return None;
        }
        let (code, codes) = keys.finish()?;
        let entries = codes.count();
        if codes.different * MAX_ENTRIES_PER_CODE < entries {
            return None;
        }
        let mut chosen = None;
        for bound in ERROR_BOUNDS {
            let lines = PiecewiseLinear::fit(codes.points(), bound, entries);
            let segments = lines.segments() as u64;
            if segments * MIN_ENTRIES_PER_SEGMENT <= entries {
                chosen = Some(lines);
            }
            if segments * GOOD_ENTRIES_PER_SEGMENT <= entries {
                break;
            }
        }
        let lines = chosen?;
        let (under, over) = lines.errors(codes.points());
        (under.max(over) <= MAX_ERROR).then_some(LearnedIndex { code, lines, under, over })
    }

    /// Where the first entry at or after the newest version of `user_key` probably stands.
    #[inline]
    pub fn predict(&self, user_key: &[u8]) -> Prediction {
        let ordinal = match self.code.code(user_key) {
            Ok(code) => self.lines.predict(code),
            Err(outside) if outside.is_lt() => 0,
            Err(_) => self.lines.entries(),
        };
        // One more on either side: a key that is absent stands between two that were measured.
        let low = ordinal.saturating_sub(self.over.saturating_add(1));
        Prediction { ordinal, low, high: ordinal.saturating_add(self.under).saturating_add(1) }
    }

    /// Linear segments.
    pub fn segments(&self) -> usize {
        self.lines.segments()
    }

    /// The measured error bound in entries.
    pub fn error(&self) -> u64 {
        self.under.max(self.over)
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.code.memory_bytes() + self.lines.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
