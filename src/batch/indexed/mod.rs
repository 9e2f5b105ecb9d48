//! A batch that can be read before it is written: the bytes of a `WriteBatch`, with an index of its keys.
//!
//! 1. Each operation is appended to the batch, and its place entered in the index of its column family (`index.rs`).
//! 2. A lookup walks a key's records from the newest to the first that decides: a value, a deletion, or a range
//!    deletion that is newer than what is left. Merge operands are collected on the way.
//! 3. What the batch leaves open (`Base::Unknown`) is for the database to say. Iterators over both are in `db/`.
//!
//! Keys are ordered by the comparator of their family, which `set_order` names; byte order until then. An index is made
//! anew when that changes and after a rollback.

mod index;
#[cfg(test)]
mod tests;

pub use index::Position;

use super::{BatchIter, Record, WriteBatch};
use crate::base::range_tombstone::{RangeTombstone, Span, TombstoneList, newest};
use crate::base::{InternalComparator, Result};
use index::KeyIndex;
use std::cell::OnceCell;
use std::sync::Arc;

/// What a batch says of a key: operands, to be applied to a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Merge operands, oldest first.
    pub operands: Vec<&'a [u8]>,
    /// What they are applied to.
    pub base: Base<'a>,
}

/// What a key is before the merge operands of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base<'a> {
    /// What it is in the database.
    #[default]
    Unknown,
    /// Deleted by the batch.
    Deleted,
    /// Put by the batch.
    Value(&'a [u8]),
}

/// A range deletion of the batch, where it is the newest.
#[derive(Clone, Copy, Debug)]
pub struct DeletedRange<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The first key behind it.
    pub end: &'a [u8],
}

/// A batch with an index. Not thread-safe.
pub struct IndexedBatch {
    batch: WriteBatch,
    overwrite: bool,
    families: Vec<FamilyIndex>,
    /// How often it changed.
    changes: u64,
}

/// One column family of a batch. Sequence numbers are the places of records in the bytes.
struct FamilyIndex {
    column_family: u32,
    keys: KeyIndex,
    deletions: Vec<RangeTombstone>,
    /// The newest of `deletions`, key by key; made by the first reader after a change.
    cut: OnceCell<TombstoneList>,
}

impl FamilyIndex {
    fn new(column_family: u32, order: InternalComparator) -> FamilyIndex {
        let keys = KeyIndex::new(order);
        FamilyIndex { column_family, keys, deletions: Vec::new(), cut: OnceCell::new() }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.deletions.clear();
        self.cut.take();
    }

    fn cut(&self) -> Option<&TombstoneList> {
        if self.deletions.is_empty() {
            return None;
        }
        let order = self.keys.order();
        Some(self.cut.get_or_init(|| {
            let spans: Vec<Span<'_>> = self.deletions.iter().map(RangeTombstone::span).collect();
            TombstoneList::build(&newest(&spans, order), order)
        }))
    }
}

impl IndexedBatch {
    /// An empty one with room for `bytes` encoded bytes. With `overwrite`, the index forgets what a put or delete of
    /// the
    /// same key has made void, which saves memory where keys are written again and again; all reads are the same. The
    /// batch itself keeps every operation in any case.
    pub fn new(bytes: usize, overwrite: bool) -> IndexedBatch {
        let batch = WriteBatch::with_capacity(bytes);
        IndexedBatch { batch, overwrite, families: Vec::new(), changes: 0 }
    }

    /// The batch, to be written.
    pub fn batch(&self) -> &WriteBatch {
        &self.batch
    }

    /// A number that is another one after every change.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Updates of keys that the index remembers.
    pub fn indexed_updates(&self) -> usize {
        self.families.iter().map(|family| family.keys.updates()).sum()
    }

    /// Names the order of a column family's keys.
    pub fn set_order(&mut self, column_family: u32, order: &InternalComparator) {
        match self.families.iter_mut().find(|family| family.column_family == column_family) {
            Some(family) if same_order(family.keys.order(), order) => {}
            Some(family) => {
                *family = FamilyIndex::new(column_family, order.clone());
                self.index_again();
            }
            None => self.families.push(FamilyIndex::new(column_family, order.clone())),
        }
    }

    /// Appends operations: whatever `build` does to the batch.
    fn append(&mut self, build: impl FnOnce(&mut WriteBatch) -> Result<()>) -> Result<()> {
        let from = self.batch.data().len();
        let outcome = build(&mut self.batch);
        self.index_from(from);
        outcome
    }

    /// Stores a value.
    pub fn put(&mut self, column_family: u32, key: &[u8], value: &[u8]) -> Result<()> {
        self.append(|batch| batch.put(column_family, key, value))
    }

    /// Stores a value for `ttl` seconds from when the batch is written on; 0 = for ever.
    pub fn put_with_ttl(&mut self, column_family: u32, key: &[u8], value: &[u8], ttl: u64) -> Result<()> {
        self.append(|batch| batch.put_with_ttl(column_family, key, value, ttl))
    }

    /// Adds a merge operand.
    pub fn merge(&mut self, column_family: u32, key: &[u8], operand: &[u8]) -> Result<()> {
        self.append(|batch| batch.merge(column_family, key, operand))
    }

    /// Deletes a key.
    pub fn delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        self.append(|batch| batch.delete(column_family, key))
    }

    /// Deletes a key written once.
    pub fn single_delete(&mut self, column_family: u32, key: &[u8]) -> Result<()> {
        self.append(|batch| batch.single_delete(column_family, key))
    }

    /// Deletes `[start, end)`, in the batch too; an end that is not above the start deletes nothing.
    pub fn delete_range(&mut self, column_family: u32, start: &[u8], end: &[u8]) -> Result<()> {
        self.append(|batch| batch.delete_range(column_family, start, end))
    }

    /// Appends bytes for the log alone.
    pub fn put_log_data(&mut self, bytes: &[u8]) -> Result<()> {
        self.append(|batch| batch.put_log_data(bytes))
    }

    /// Forgets everything, keeping the memory and the orders.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.index_again();
    }

    /// Remembers this place.
    pub fn set_save_point(&mut self) {
        self.batch.set_save_point();
    }

    /// Back to the last remembered place, which is forgotten; `NotFound` without one.
    pub fn rollback_to_save_point(&mut self) -> Result<()> {
        let len = self.batch.data().len();
        self.batch.rollback_to_save_point()?;
        if self.batch.data().len() != len {
            self.index_again();
        }
        Ok(())
    }

    /// Forgets the last remembered place; `NotFound` without one.
    pub fn pop_save_point(&mut self) -> Result<()> {
        self.batch.pop_save_point()
    }

    fn index_again(&mut self) {
        self.families.iter_mut().for_each(FamilyIndex::clear);
        self.index_from(super::HEADER_LEN);
    }

    /// Enters the records from byte `from` on.
    fn index_from(&mut self, from: usize) {
        self.changes += 1;
        let data = self.batch.data();
        let mut records = BatchIter::from_offset(data, from);
        let mut at = from;
        while let Some(record) = records.next() {
            let record = record.expect("B1: the batch is well formed");
            let replaces = self.overwrite && !matches!(record, Record::Merge { .. });
            match record {
                Record::Put { column_family, key, .. }
                | Record::Pointer { column_family, key, .. }
                | Record::PutWithTtl { column_family, key, .. }
                | Record::Expiring { column_family, key, .. }
                | Record::Merge { column_family, key, .. }
                | Record::Delete { column_family, key }
                | Record::SingleDelete { column_family, key } => {
                    let start = key.as_ptr().addr() - data.as_ptr().addr();
                    let place = (start, start + key.len());
                    family_of(&mut self.families, column_family).keys.insert(data, place, at, replaces);
                }
                Record::RangeDelete { column_family, start, end } => {
                    let family = family_of(&mut self.families, column_family);
                    let (start, end) = (start.to_vec(), end.to_vec());
                    family.deletions.push(RangeTombstone { start, end, sequence: at as u64 });
                    family.cut.take();
                }
                Record::LogData(_) => {}
            }
            at = records.offset();
        }
    }

    #[inline]
    fn family(&self, column_family: u32) -> Option<&FamilyIndex> {
        self.families.iter().find(|family| family.column_family == column_family)
    }

    /// What the batch says of a key.
    pub fn look_up(&self, column_family: u32, key: &[u8]) -> Answer<'_> {
        let Some(family) = self.family(column_family) else { return Answer::default() };
        let position = family.keys.find(self.batch.data(), key);
        self.answer(family, key, position)
    }

    /// What the batch says of the key at `position`, which is one of the family.
    pub fn answer_at(&self, column_family: u32, position: Position) -> Answer<'_> {
        let Some(family) = self.family(column_family) else { return Answer::default() };
        self.answer(family, family.keys.key(self.batch.data(), position), Some(position))
    }

    fn answer(&self, family: &FamilyIndex, key: &[u8], position: Option<Position>) -> Answer<'_> {
        let covering = family
            .cut()
            .map_or(0, |deletions| deletions.covering_sequence(key, u64::MAX, family.keys.order()));
        let mut answer = Answer::default();
        for at in position.into_iter().flat_map(|position| family.keys.records(position)) {
            if (at as u64) < covering {
                break;
            }
            let record = BatchIter::from_offset(self.batch.data(), at).next();
            match record.and_then(Result::ok).expect("B1: the batch is well formed") {
                Record::Merge { operand, .. } => answer.operands.push(operand),
                // Its time begins when the batch is written.
                Record::Put { value, .. } | Record::PutWithTtl { value, .. } => {
                    answer.base = Base::Value(value);
                    break;
                }
                _ => {
                    answer.base = Base::Deleted;
                    break;
                }
            }
        }
        answer.operands.reverse();
        if covering > 0 && answer.base == Base::Unknown {
            answer.base = Base::Deleted;
        }
        answer
    }

    /// The range deletion that covers `key` of the database, if there is one.
    pub fn deleted_range(&self, column_family: u32, key: &[u8]) -> Option<DeletedRange<'_>> {
        let family = self.family(column_family)?;
        let (start, end) = family.cut()?.covering_stretch(key, family.keys.order())?;
        Some(DeletedRange { start, end })
    }

    /// The key at a position.
    pub fn key(&self, column_family: u32, position: Position) -> &[u8] {
        self.family(column_family).map_or(&[], |family| family.keys.key(self.batch.data(), position))
    }

    /// The first key.
    pub fn first(&self, column_family: u32) -> Option<Position> {
        self.family(column_family)?.keys.first()
    }

    /// The last key.
    pub fn last(&self, column_family: u32) -> Option<Position> {
        self.family(column_family)?.keys.last()
    }

    /// The first key at or after `key`.
    pub fn at_or_after(&self, column_family: u32, key: &[u8]) -> Option<Position> {
        self.family(column_family)?.keys.at_or_after(self.batch.data(), key)
    }

    /// The first key after `key`.
    pub fn after(&self, column_family: u32, key: &[u8]) -> Option<Position> {
        self.family(column_family)?.keys.after(self.batch.data(), key)
    }

    /// The last key at or before `key`.
    pub fn at_or_before(&self, column_family: u32, key: &[u8]) -> Option<Position> {
        self.family(column_family)?.keys.at_or_before(self.batch.data(), key)
    }

    /// The last key before `key`.
    pub fn before(&self, column_family: u32, key: &[u8]) -> Option<Position> {
        self.family(column_family)?.keys.last_before(self.batch.data(), key)
    }

    /// The key behind a position.
    pub fn next(&self, column_family: u32, position: Position) -> Option<Position> {
        self.family(column_family)?.keys.next(position)
    }
}

fn family_of(families: &mut Vec<FamilyIndex>, column_family: u32) -> &mut FamilyIndex {
    let known = families.iter().position(|family| family.column_family == column_family);
    let at = known.unwrap_or_else(|| {
        families.push(FamilyIndex::new(column_family, InternalComparator::default()));
        families.len() - 1
    });
    &mut families[at]
}

fn same_order(a: &InternalComparator, b: &InternalComparator) -> bool {
    (a.is_bytewise() && b.is_bytewise())
        || Arc::ptr_eq(a.user(), b.user())
        || a.user().name() == b.user().name()
}
