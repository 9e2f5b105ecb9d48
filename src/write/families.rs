//! The column families that take writes, and where one batch goes.
//!
//! A database has few families and most batches touch one, so both are small sorted arrays, searched without
//! hashing and built without allocating in the common case.

use super::few::Few;
use super::separate::{Prepared, unknown_family};
use crate::base::{EntryKind, InternalComparator, Result, SequenceNumber};
use crate::batch::{Applied, BatchIter};
use crate::memtable::write_buffer::WriteBuffer;
use std::sync::Arc;

/// A memtable hears at least of every so many entries.
const TOLD_EVERY: SequenceNumber = 32;

/// Where a column family's writes go.
pub struct FamilyTarget {
    /// The memtable that takes writes.
    pub active: Arc<WriteBuffer>,
    /// Bytes at which it is sealed.
    pub seal_at: u64,
    /// Order of its keys.
    pub order: InternalComparator,
    /// Whether it has a merge operator.
    pub can_merge: bool,
}

/// Column families by id.
#[derive(Default)]
pub struct Families(Vec<(u32, FamilyTarget)>);

impl Families {
    #[inline]
    fn place(&self, id: u32) -> std::result::Result<usize, usize> {
        // The default family is the first.
        match self.0.first() {
            Some((first, _)) if *first == id => Ok(0),
            _ => self.0.binary_search_by_key(&id, |(other, _)| *other),
        }
    }

    /// The family of this id.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&FamilyTarget> {
        self.place(id).ok().map(|at| &self.0[at].1)
    }

    /// The family of this id, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut FamilyTarget> {
        self.place(id).ok().map(|at| &mut self.0[at].1)
    }

    /// Adds or replaces a family.
    pub fn insert(&mut self, id: u32, target: FamilyTarget) {
        match self.place(id) {
            Ok(at) => self.0[at].1 = target,
            Err(at) => self.0.insert(at, (id, target)),
        }
    }

    /// Takes a family out.
    pub fn remove(&mut self, id: u32) -> Option<FamilyTarget> {
        self.place(id).ok().map(|at| self.0.remove(at).1)
    }

    /// All families, by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &FamilyTarget)> {
        self.0.iter().map(|(id, target)| (*id, target))
    }

    /// The memtables that a batch over the families `ids` goes into.
    #[inline]
    pub(super) fn targets(&self, ids: &[u32]) -> Result<Targets> {
        let mut targets = Few::None;
        for id in ids {
            let target = self.get(*id).ok_or_else(|| unknown_family(*id))?;
            targets.push((*id, Arc::clone(&target.active)));
        }
        Ok(Targets(targets))
    }
}

/// The memtables one batch goes into, by family. They are not sealed before the batch is in (W6).
pub(super) struct Targets(Few<(u32, Arc<WriteBuffer>)>);

impl Targets {
    #[inline]
    fn get(&self, family: u32) -> Result<&WriteBuffer> {
        let found = self.0.iter().find(|(id, _)| *id == family);
        found.map(|(_, buffer)| &**buffer).ok_or_else(|| unknown_family(family))
    }

    /// Tells the memtables that `first` and what follows is in no log. Under the commit lock, so that nobody takes it
    /// for durable meanwhile.
    pub(super) fn note_unlogged(&self, first: SequenceNumber) {
        self.0.iter().for_each(|(_, buffer)| buffer.note_unlogged(first));
    }

    /// Gives the memtables what the batch's entries depend on (B1).
    #[inline]
    pub(super) fn hold(&self, prepared: &Prepared<'_>) {
        if prepared.holds.is_empty() {
            return;
        }
        for family in prepared.families.iter() {
            let Ok(buffer) = self.get(*family) else { continue };
            for (number, hold) in prepared.holds.iter() {
                buffer.keep(*number, hold);
            }
        }
    }

    /// Inserts a batch whose form was checked before it was logged.
    #[inline]
    pub(super) fn insert(&self, bytes: &[u8], first: SequenceNumber) -> Result<()> {
        let mut sequence = first;
        let mut run: Option<Run<'_>> = None;
        for record in BatchIter::over(bytes)? {
            match record?.applied()? {
                Applied::Entry(family, kind, key, stored) => match &mut run {
                    Some(run) if run.family == family => run.insert(sequence, kind, key, stored),
                    _ => {
                        let buffer = self.get(family)?;
                        buffer.insert(sequence, kind, key, stored);
                        let ended = run.replace(Run { family, buffer, last: sequence });
                        ended.into_iter().for_each(Run::end);
                    }
                },
                Applied::RangeDelete(family, start, end) => {
                    self.get(family)?.delete_range(sequence, start, end);
                }
                Applied::Nothing => continue,
            }
            sequence += 1;
        }
        run.into_iter().for_each(Run::end);
        Ok(())
    }
}

/// Entries of one family that follow each other in a batch. Their memtable is told of the first and the last one, and
/// of some in between, for it takes note of how it has grown then.
struct Run<'a> {
    family: u32,
    buffer: &'a WriteBuffer,
    last: SequenceNumber,
}

impl Run<'_> {
    #[inline]
    fn insert(&mut self, sequence: SequenceNumber, kind: EntryKind, key: &[u8], stored: &[u8]) {
        self.buffer.insert_of_run(sequence, kind, key, stored);
        self.last = sequence;
        if sequence.is_multiple_of(TOLD_EVERY) {
            self.buffer.span(sequence);
        }
    }

    #[inline]
    fn end(self) {
        self.buffer.span(self.last);
    }
}
