//! Where the records of some segments have been copied to.
//!
//! Tables that refer to the old places are rewritten one by one, by whoever gets hold of them, and until the last one
//! is both places are valid: a record never changes. It lives in memory only. After a crash some tables refer to the
//! old places and some to the new ones, and what nothing refers to is swept.

use super::SegmentRef;
use crate::base::ValuePointer;
use std::collections::{BTreeSet, HashMap};

/// New places by old ones.
pub struct Relocation {
    victims: BTreeSet<u64>,
    moved: HashMap<(u64, u64), (u32, ValuePointer)>,
    bytes: u64,
    /// Keep the copies until tables refer to them.
    _holds: Vec<SegmentRef>,
}

impl Relocation {
    /// Of the segments `victims`; `moved` are (old, new) pointers, the new ones durable in segments of `holds`.
    pub fn new(
        victims: BTreeSet<u64>,
        moved: impl IntoIterator<Item = (ValuePointer, ValuePointer)>,
        holds: Vec<SegmentRef>,
    ) -> Relocation {
        let moved: HashMap<_, _> =
            moved.into_iter().map(|(old, new)| ((old.segment, old.offset), (old.checksum, new))).collect();
        let bytes = moved.values().map(|(_, new)| u64::from(new.record_len)).sum();
        Relocation { victims, moved, bytes, _holds: holds }
    }

    /// The segments that are being emptied.
    pub fn victims(&self) -> &BTreeSet<u64> {
        &self.victims
    }

    /// Records copied.
    pub fn values(&self) -> u64 {
        self.moved.len() as u64
    }

    /// Bytes copied.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether something of `segment` was copied.
    pub fn has_moved_from(&self, segment: u64) -> bool {
        self.moved.keys().any(|(from, _)| *from == segment)
    }

    /// The new place of what `encoded` points to; `None` if that was not moved.
    #[inline]
    pub fn moved(&self, encoded: &[u8]) -> Option<ValuePointer> {
        let pointer = ValuePointer::decode(encoded)?;
        if !self.victims.contains(&pointer.segment) {
            return None;
        }
        let (checksum, new) = self.moved.get(&(pointer.segment, pointer.offset))?;
        (*checksum == pointer.checksum).then_some(*new)
    }
}
