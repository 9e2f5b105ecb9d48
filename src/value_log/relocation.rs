//! Where the records of some segments have been copied to.
//!
//! Tables that refer to the old places are rewritten one by one, by whoever gets hold of them, and until the last one
//! is both places are valid: a record never changes. It lives in memory only. After a crash some tables refer to the
//! old places and some to the new ones, and what nothing refers to is swept.
//!
//! What was found to be garbage that no compaction has met yet has no new place: its entries become deletions. So do
//! those of values that have expired, whoever rewrites their table.
//!
//! There may be a million records. Of each, 32 bytes are remembered as it is copied (`Moves`), and 6 of an index from
//! places to them when all are; lengths are those of the old pointer, and the checksum follows from its own.

use super::SegmentRef;
use crate::base::checksum::{bind, unbind};
use crate::base::{SequenceNumber, ValuePointer};
use crate::env::paged::Paged;
use std::collections::BTreeSet;

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

/// A place in a victim, and what was found there.
#[derive(Clone, Copy)]
struct Entry<T> {
    offset: u64,
    /// Which victim, by number.
    victim: u32,
    found: T,
}

/// What was found by place. Places are looked up when all are in it.
struct Places<T: Copy> {
    entries: Paged<Entry<T>>,
    /// Open addressing: 0, or one more than a number of `entries`; half as many again as these.
    index: Paged<u32>,
}

impl<T: Copy> Places<T> {
    const NEW: Places<T> = Places { entries: Paged::new(), index: Paged::new() };

    fn slot(&self, victim: u32, offset: u64) -> usize {
        let mixed = (offset ^ u64::from(victim).rotate_right(16)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 32;
        ((mixed * self.index.len() as u64) >> 32) as usize
    }

    /// Indexes what was found.
    fn finish(&mut self) {
        self.index = Paged::filled(self.entries.len() + self.entries.len() / 2 + 1, 0);
        for (number, entry) in self.entries.iter().enumerate() {
            let mut slot = self.slot(entry.victim, entry.offset);
            while self.index[slot] != 0 {
                slot = if slot + 1 < self.index.len() { slot + 1 } else { 0 };
            }
            self.index[slot] = number as u32 + 1;
        }
    }

    /// What was found at a place.
    #[inline]
    fn get(&self, victim: u32, offset: u64) -> Option<T> {
        let mut slot = self.slot(victim, offset);
        while let number @ 1.. = self.index[slot] {
            let entry = &self.entries[number as usize - 1];
            if entry.victim == victim && entry.offset == offset {
                return Some(entry.found);
            }
            slot = if slot + 1 < self.index.len() { slot + 1 } else { 0 };
        }
        None
    }
}

/// Where a copy stands.
#[derive(Clone, Copy)]
struct CopyAt {
    offset: u64,
    /// Which of `Moves::targets`.
    target: u32,
    /// Of the record at its old place.
    checksum: u32,
}

/// What has been found in segments that are being emptied, as it is found.
pub struct Moves {
    victims: BTreeSet<u64>,
    /// The victims, so that each has a number.
    numbered: Vec<u64>,
    /// Segments that copies stand in.
    targets: Vec<u64>,
    moved: Places<CopyAt>,
    /// Sequence numbers of entries that are hidden for good.
    hidden: Places<SequenceNumber>,
    /// Segments with values that have expired.
    expired: BTreeSet<u64>,
    bytes: u64,
    hidden_bytes: u64,
}

impl Moves {
    /// Nothing yet, in these segments.
    pub fn out_of(victims: BTreeSet<u64>) -> Moves {
        Moves {
            numbered: victims.iter().copied().collect(),
            victims,
            targets: Vec::new(),
            moved: Places::NEW,
            hidden: Places::NEW,
            expired: BTreeSet::new(),
            bytes: 0,
            hidden_bytes: 0,
        }
    }

    #[inline]
    fn number(&self, segment: u64) -> Option<u32> {
        self.numbered.binary_search(&segment).ok().map(|number| number as u32)
    }

    /// Whether no more can be remembered; what else there is stays where it is.
    pub fn is_full(&self) -> bool {
        const MOST: usize = u32::MAX as usize / 2;
        self.moved.entries.len() >= MOST || self.hidden.entries.len() >= MOST
    }

    /// The record at `old`, in a victim, was copied to `new`.
    pub fn push(&mut self, old: &ValuePointer, new: &ValuePointer) {
        debug_assert_eq!(*new, moved_to(old, new.segment, new.offset), "a copy is the same record");
        let victim = self.number(old.segment).expect("only victims are emptied");
        let target = self.targets.iter().rposition(|target| *target == new.segment).unwrap_or_else(|| {
            self.targets.push(new.segment);
            self.targets.len() - 1
        });
        let found = CopyAt { offset: new.offset, target: target as u32, checksum: old.checksum };
        self.moved.entries.push(Entry { offset: old.offset, victim, found });
        self.bytes += u64::from(new.record_len);
    }

    /// The entry of `sequence` that points to `old`, in a victim, is hidden for good.
    pub fn push_hidden(&mut self, old: &ValuePointer, sequence: SequenceNumber) {
        let victim = self.number(old.segment).expect("only victims are emptied");
        self.hidden.entries.push(Entry { offset: old.offset, victim, found: sequence });
        self.hidden_bytes += u64::from(old.record_len);
    }

    /// There are values in `segment` that have expired.
    pub fn has_expired(&mut self, segment: u64) {
        self.expired.insert(segment);
    }

    /// Records copied.
    pub fn values(&self) -> u64 {
        self.moved.entries.len() as u64
    }

    /// Entries that are hidden for good.
    pub fn hidden(&self) -> usize {
        self.hidden.entries.len()
    }

    /// Bytes of the records of these.
    pub fn hidden_bytes(&self) -> u64 {
        self.hidden_bytes
    }
}

/// The pointer to a copy of the record at `old`.
#[inline]
fn moved_to(old: &ValuePointer, segment: u64, offset: u64) -> ValuePointer {
    let checksum = bind(unbind(old.checksum, old.segment, old.offset), segment, offset);
    ValuePointer { segment, offset, checksum, ..*old }
}

/// New places by old ones.
pub struct Relocation {
    moves: Moves,
    /// Victims in which something was found.
    emptied: BTreeSet<u64>,
    /// Keep the copies until tables refer to them.
    _holds: Vec<SegmentRef>,
}

impl Relocation {
    /// The copies of `moves` are durable in segments of `holds`.
    pub fn new(mut moves: Moves, holds: Vec<SegmentRef>) -> Relocation {
        moves.moved.finish();
        moves.hidden.finish();
        let moved = moves.moved.entries.iter().map(|entry| entry.victim);
        let hidden = moves.hidden.entries.iter().map(|entry| entry.victim);
        let mut met = vec![false; moves.numbered.len()];
        moved.chain(hidden).for_each(|victim| met[victim as usize] = true);
        let mut emptied = moves.expired.clone();
        emptied.extend(moves.numbered.iter().zip(met).filter(|(_, met)| *met).map(|(segment, _)| *segment));
        Relocation { moves, emptied, _holds: holds }
    }

    /// The segments that are being emptied.
    pub fn victims(&self) -> &BTreeSet<u64> {
        &self.moves.victims
    }

    /// Records copied.
    pub fn values(&self) -> u64 {
        self.moves.values()
    }

    /// Bytes copied.
    pub fn bytes(&self) -> u64 {
        self.moves.bytes
    }

    /// Whether something of `segment` was copied, or found to be hidden or expired.
    pub fn has_emptied(&self, segment: u64) -> bool {
        self.emptied.contains(&segment)
    }

    /// What becomes of the entry of `sequence` that stores the pointer `encoded`.
    #[inline]
    pub fn fate(&self, encoded: &[u8], sequence: SequenceNumber) -> Fate {
        let Some(old) = ValuePointer::decode(encoded) else { return Fate::Stays };
        let Some(victim) = self.moves.number(old.segment) else { return Fate::Stays };
        match self.moves.moved.get(victim, old.offset) {
            Some(copy) if copy.checksum == old.checksum => {
                Fate::Moved(moved_to(&old, self.moves.targets[copy.target as usize], copy.offset))
            }
            None if self.moves.hidden.get(victim, old.offset) == Some(sequence) => Fate::Hidden,
            _ => Fate::Stays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_found_again_by_its_place_alone() {
        for (seed, records) in [(1u64, 0u64), (2, 1), (3, 2), (4, 1000), (5, 40_000)] {
            let segments = [3u64, 9, 10, 1 << 40];
            let mut moves = Moves::out_of(segments.into());
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state >> 33
            };
            // Regular places, as values of one length have.
            let old = |n: u64| ValuePointer {
                segment: segments[n as usize % 4],
                offset: 64 + n / 4 * 1072,
                record_len: 1072,
                value_len: 2000,
                checksum: (n as u32).wrapping_mul(0x9e37_79b9),
            };
            let mut expected = Vec::new();
            let mut to = 4096;
            for n in 0..records {
                let pointer = old(n);
                expected.push(match random() % 3 {
                    0 => Fate::Stays,
                    1 => {
                        let new = moved_to(&pointer, 100 + to % 3, to);
                        to += 1072;
                        moves.push(&pointer, &new);
                        Fate::Moved(new)
                    }
                    _ => {
                        moves.push_hidden(&pointer, n);
                        Fate::Hidden
                    }
                });
            }
            let moved = expected.iter().filter(|fate| matches!(fate, Fate::Moved(_))).count();
            let relocation = Relocation::new(moves, Vec::new());
            assert_eq!((relocation.values(), relocation.bytes()), (moved as u64, 1072 * moved as u64));
            for (n, expected) in expected.iter().enumerate() {
                let pointer = old(n as u64);
                assert_eq!(
                    relocation.fate(&pointer.to_bytes(), n as u64),
                    *expected,
                    "seed {seed} record {n}"
                );
                let other_record = ValuePointer { checksum: !pointer.checksum, ..pointer };
                let other_place = ValuePointer { offset: pointer.offset + 1, ..pointer };
                let other_segment = ValuePointer { segment: 4, ..pointer };
                for other in [other_place, other_segment] {
                    assert_eq!(relocation.fate(&other.to_bytes(), n as u64), Fate::Stays);
                }
                if let Fate::Moved(_) = expected {
                    assert_eq!(relocation.fate(&other_record.to_bytes(), n as u64), Fate::Stays);
                } else {
                    assert_eq!(relocation.fate(&pointer.to_bytes(), n as u64 + 1), Fate::Stays);
                }
            }
            for (at, segment) in segments.into_iter().enumerate() {
                let met = expected.iter().skip(at).step_by(4).any(|fate| *fate != Fate::Stays);
                assert_eq!(relocation.has_emptied(segment), met, "segment {segment}");
            }
            assert!(!relocation.has_emptied(4));
        }
    }
}
