//! The column families that take writes, and where one batch goes.
//!
//! A database has few families and most batches touch one, so both are small sorted arrays, searched without
//! hashing and built without allocating in the common case.

use super::few::Few;
use super::separate::{Prepared, unknown_family};
use crate::base::{EntryKind, InternalComparator, Result, SequenceNumber};
use crate::batch::{BatchIter, Record};
use crate::memtable::write_buffer::WriteBuffer;
use std::sync::Arc;

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

/// The memtables one batch goes into, by family. They may be sealed meanwhile, but not flushed.
pub(super) struct Targets(Few<(u32, Arc<WriteBuffer>)>);

impl Targets {
    #[inline]
    fn get(&self, family: u32) -> Result<&WriteBuffer> {
        let found = self.0.iter().find(|(id, _)| *id == family);
        found.map(|(_, buffer)| &**buffer).ok_or_else(|| unknown_family(family))
    }

    /// Gives the memtables what the batch's entries depend on (B1), and the first sequence number that is in no log.
    #[inline]
    pub(super) fn hold(&self, prepared: &Prepared<'_>, unlogged: Option<SequenceNumber>) {
        if prepared.holds.is_empty() && unlogged.is_none() {
            return;
        }
        for family in prepared.families.iter() {
            let Ok(buffer) = self.get(*family) else { continue };
            for (number, hold) in prepared.holds.iter() {
                buffer.keep(*number, hold);
            }
            if let Some(first) = unlogged {
                buffer.note_unlogged(first);
            }
        }
    }

    /// Inserts a batch whose form was checked before it was logged.
    #[inline]
    pub(super) fn insert(&self, bytes: &[u8], first: SequenceNumber) -> Result<()> {
        let mut sequence = first;
        for record in BatchIter::over(bytes)? {
            let (family, kind, key, value) = match record? {
                Record::Put { column_family, key, value } => (column_family, EntryKind::Put, key, value),
                Record::Pointer { column_family, key, pointer } => {
                    (column_family, EntryKind::Pointer, key, pointer)
                }
                Record::Delete { column_family, key } => (column_family, EntryKind::Delete, key, &[][..]),
                Record::SingleDelete { column_family, key } => {
                    (column_family, EntryKind::SingleDelete, key, &[][..])
                }
                Record::Merge { column_family, key, operand } => {
                    (column_family, EntryKind::Merge, key, operand)
                }
                Record::RangeDelete { column_family, start, end } => {
                    self.get(column_family)?.delete_range(sequence, start, end);
                    sequence += 1;
                    continue;
                }
                Record::LogData(_) => continue,
            };
            self.get(family)?.insert(sequence, kind, key, value);
            sequence += 1;
        }
        Ok(())
    }
}
