//! Where the records of some segments have been copied to.
//!
//! Tables that refer to the old places are rewritten one by one, by whoever gets hold of them, and until the last one
//! is both places are valid: a record never changes. It lives in memory only. After a crash some tables refer to the
//! old places and some to the new ones, and what nothing refers to is swept.
//!
//! What was found to be garbage that no compaction has met yet has no new place: its entries become deletions. So do
//! those of values that have expired, whoever rewrites their table.

use super::SegmentRef;
use crate::base::{SequenceNumber, ValuePointer};
use std::collections::{BTreeSet, HashMap};

/// What becomes of an entry that points to a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It stays as it is.
    Stays,
    /// Its value stands there now.
    Moved(ValuePointer),
    /// Nobody can read it any more, in this table or any other: a deletion reads the same.
    Hidden,
}

/// New places by old ones.
pub struct Relocation {
    victims: BTreeSet<u64>,
    moved: HashMap<(u64, u64), (u32, ValuePointer)>,
    /// Sequence numbers of entries that are hidden for good, by the places they point to.
    hidden: HashMap<(u64, u64), SequenceNumber>,
    /// Segments with values that have expired.
    expired: BTreeSet<u64>,
    bytes: u64,
    /// Keep the copies until tables refer to them.
    _holds: Vec<SegmentRef>,
}

impl Relocation {
    /// Of the segments `victims`; `moved` are (old, new) pointers, the new ones durable in segments of `holds`;
    /// `hidden` are pointers of entries of these sequence numbers that are hidden for good; in the segments `expired`
    /// there are values that have expired.
    pub fn new(
        victims: BTreeSet<u64>,
        moved: impl IntoIterator<Item = (ValuePointer, ValuePointer)>,
        hidden: impl IntoIterator<Item = (ValuePointer, SequenceNumber)>,
        expired: BTreeSet<u64>,
        holds: Vec<SegmentRef>,
    ) -> Relocation {
        let moved: HashMap<_, _> =
            moved.into_iter().map(|(old, new)| ((old.segment, old.offset), (old.checksum, new))).collect();
        let bytes = moved.values().map(|(_, new)| u64::from(new.record_len)).sum();
        let place = |(pointer, sequence): (ValuePointer, _)| ((pointer.segment, pointer.offset), sequence);
        let hidden = hidden.into_iter().map(place).collect();
        Relocation { victims, moved, hidden, expired, bytes, _holds: holds }
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

    /// Whether something of `segment` was copied, or found to be hidden or expired.
    pub fn has_emptied(&self, segment: u64) -> bool {
        self.expired.contains(&segment)
            || self.moved.keys().chain(self.hidden.keys()).any(|(from, _)| *from == segment)
    }

    /// What becomes of the entry of `sequence` that stores the pointer `encoded`.
    #[inline]
    pub fn fate(&self, encoded: &[u8], sequence: SequenceNumber) -> Fate {
        let Some(pointer) = ValuePointer::decode(encoded).filter(|p| self.victims.contains(&p.segment))
        else {
            return Fate::Stays;
        };
        let place = (pointer.segment, pointer.offset);
        match self.moved.get(&place) {
            Some((checksum, new)) if *checksum == pointer.checksum => Fate::Moved(*new),
            None if self.hidden.get(&place) == Some(&sequence) => Fate::Hidden,
            _ => Fate::Stays,
        }
    }
}
