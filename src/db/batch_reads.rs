//! Point reads of a batch that has not been written, alone or on top of the database.

use super::{ColumnFamily, Db, PinnedValue, ReadOptions};
use crate::base::extension::MergeOperator;
use crate::base::{Error, ErrorKind, InternalComparator, Result};
use crate::batch::IndexedBatch;
use crate::batch::indexed::Base;
use crate::read::fold::merge_with;
use parking_lot::Mutex;
use std::sync::Arc;

/// An indexed batch and the iterators over it share it. The lock is never held while the user's code runs, but for
/// comparators, which must not use the batch.
pub type SharedBatch = Arc<Mutex<IndexedBatch>>;

/// What a batch says of a key, copied: merge operators, which are the user's code, run without the lock.
struct Said {
    operands: Vec<Vec<u8>>,
    base: Option<Option<Vec<u8>>>,
}

impl Said {
    fn of(batch: &SharedBatch, column_family: u32, order: Option<&InternalComparator>, key: &[u8]) -> Said {
        let mut batch = batch.lock();
        if let Some(order) = order {
            batch.set_order(column_family, order);
        }
        let answer = batch.look_up(column_family, key);
        let base = match answer.base {
            Base::Unknown => None,
            Base::Deleted => Some(None),
            Base::Value(value) => Some(Some(value.to_vec())),
        };
        Said { operands: answer.operands.iter().map(|operand| operand.to_vec()).collect(), base }
    }

    fn operands(&self) -> Vec<&[u8]> {
        self.operands.iter().map(Vec::as_slice).collect()
    }
}

/// The value of `key` by the batch alone; `None` if the batch says nothing of it or deletes it. `MergeInProgress` if
/// the batch has merge operands for it, but what they are applied to is in the database.
fn get_alone(said: &Said, key: &[u8], operator: Option<&dyn MergeOperator>) -> Result<Option<Vec<u8>>> {
    match &said.base {
        _ if said.operands.is_empty() => Ok(said.base.clone().flatten()),
        Some(base) => merge_with(operator, key, base.as_deref(), &said.operands()).map(Some),
        None => Err(Error::new(
            ErrorKind::MergeInProgress,
            "the batch has merge operands of the key but no value; read from batch and database",
        )),
    }
}

/// The value of `key` in the default column family by the batch alone; merge operands are applied by `operator`.
pub fn get_from_batch(
    batch: &SharedBatch,
    key: &[u8],
    operator: Option<&dyn MergeOperator>,
) -> Result<Option<Vec<u8>>> {
    get_alone(&Said::of(batch, 0, None, key), key, operator)
}

impl ColumnFamily {
    /// The value of `key` by the batch alone; see `get_from_batch`.
    pub fn get_from_batch(&self, batch: &SharedBatch, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let family = &self.family;
        let said = Said::of(batch, family.id, Some(&family.order), key);
        get_alone(&said, key, family.fold.merge_operator.as_deref())
    }

    /// Orders the family's keys in `batch` as the family does. Reads of batch and database do so by themselves.
    pub fn order_batch(&self, batch: &mut IndexedBatch) {
        batch.set_order(self.family.id, &self.family.order);
    }
}

impl Db {
    /// The value that `key` would have if the batch were written.
    pub fn get_with_batch(
        &self,
        batch: &SharedBatch,
        family: &ColumnFamily,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<PinnedValue>> {
        self.engine().check_open()?;
        let own = self.own(family)?;
        let said = Said::of(batch, own.id, Some(&own.order), key);
        let existing = match &said.base {
            None => self.get(family, key, options)?,
            Some(value) => value.clone().map(PinnedValue::Owned),
        };
        if said.operands.is_empty() {
            return Ok(existing);
        }
        let merged = own.fold.merge(key, existing.as_deref(), &said.operands())?;
        Ok(Some(PinnedValue::Owned(merged)))
    }
}
