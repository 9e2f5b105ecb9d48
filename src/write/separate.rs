//! Turns a caller's batch into what is logged: big values go to the value log, pointers take their place.
//!
//! Runs in the caller's thread outside every lock. A batch without a big value is borrowed as it is. Also checks
//! the batch's form, so that nothing malformed reaches the log.

use crate::base::{Error, Result};
use crate::batch::{BatchIter, HEADER_LEN, Record, WriteBatch};
use crate::memtable::write_buffer::Hold;
use crate::value_log::{SegmentRef, ValueLog};
use std::borrow::Cow;
use std::sync::Arc;

/// What a column family says of separation.
pub trait Thresholds {
    /// Values of the family of at least so many bytes are separated; `None` if there is no such family.
    fn threshold(&self, column_family: u32) -> Option<u64>;
}

/// A batch ready to commit.
pub struct Prepared<'a> {
    /// The bytes to log; the sequence field is filled in at commit.
    pub bytes: Cow<'a, [u8]>,
    /// Column families touched, each once.
    pub families: Vec<u32>,
    /// Holds on the segments that its pointers name, by number.
    pub holds: Vec<(u64, Hold)>,
    /// Counted records.
    pub count: u32,
}

/// Separates values of batches.
pub struct Separator {
    value_log: Arc<ValueLog>,
}

impl Separator {
    /// Over a value log.
    pub fn new(value_log: Arc<ValueLog>) -> Self {
        Separator { value_log }
    }

    /// Prepares a batch. On an error some values may have been appended already: they are garbage that nothing
    /// points to, and go with their segment.
    pub fn prepare<'a>(&self, batch: &'a WriteBatch, thresholds: &dyn Thresholds) -> Result<Prepared<'a>> {
        let data = batch.data();
        let (families, any_big) = survey(data, thresholds)?;
        if !any_big {
            return Ok(Prepared {
                bytes: Cow::Borrowed(data),
                families,
                holds: Vec::new(),
                count: batch.count(),
            });
        }
        let mut rewritten = WriteBatch::new();
        let mut holds = Vec::new();
        for record in BatchIter::over(data)? {
            match record? {
                Record::Put { column_family, key, value }
                    if thresholds.threshold(column_family).is_some_and(|t| value.len() as u64 >= t) =>
                {
                    let (encoded, segment) = self.append(column_family, key, value)?;
                    hold(&mut holds, segment);
                    rewritten.put_pointer(column_family, key, &encoded)?;
                }
                Record::Put { column_family, key, value } => rewritten.put(column_family, key, value)?,
                Record::Delete { column_family, key } => rewritten.delete(column_family, key)?,
                Record::SingleDelete { column_family, key } => rewritten.single_delete(column_family, key)?,
                Record::RangeDelete { column_family, start, end } => {
                    rewritten.delete_range(column_family, start, end)?;
                }
                Record::Merge { column_family, key, operand } => {
                    rewritten.merge(column_family, key, operand)?
                }
                Record::LogData(bytes) => rewritten.put_log_data(bytes)?,
                Record::Pointer { .. } => return Err(foreign_pointer()),
            }
        }
        let count = rewritten.count();
        Ok(Prepared { bytes: Cow::Owned(rewritten.data().to_vec()), families, holds, count })
    }

    fn append(&self, column_family: u32, key: &[u8], value: &[u8]) -> Result<(Vec<u8>, SegmentRef)> {
        let (pointer, segment) = self.value_log.append(column_family, key, value)?;
        let mut encoded = Vec::with_capacity(crate::base::ValuePointer::MAX_ENCODED_LEN);
        pointer.encode(&mut encoded);
        Ok((encoded, segment))
    }
}

fn hold(holds: &mut Vec<(u64, Hold)>, segment: SegmentRef) {
    let number = segment.number();
    if !holds.iter().any(|(held, _)| *held == number) {
        holds.push((number, segment));
    }
}

/// The families a batch touches, and whether a value of it is to be separated.
fn survey(data: &[u8], thresholds: &dyn Thresholds) -> Result<(Vec<u32>, bool)> {
    if data.len() < HEADER_LEN {
        return Err(Error::invalid_argument(
            "write batch: shorter than its header; build it with the batch functions",
        ));
    }
    let mut families: Vec<u32> = Vec::with_capacity(1);
    let mut last: Option<(u32, u64)> = None;
    let mut any_big = false;
    for record in BatchIter::over(data)? {
        let (column_family, value_len) = match record? {
            Record::Put { column_family, value, .. } => (column_family, Some(value.len() as u64)),
            Record::Delete { column_family, .. }
            | Record::SingleDelete { column_family, .. }
            | Record::RangeDelete { column_family, .. }
            | Record::Merge { column_family, .. } => (column_family, None),
            Record::LogData(_) => continue,
            Record::Pointer { .. } => return Err(foreign_pointer()),
        };
        let threshold = match last {
            Some((family, threshold)) if family == column_family => threshold,
            _ => {
                let threshold =
                    thresholds.threshold(column_family).ok_or_else(|| unknown_family(column_family))?;
                if !families.contains(&column_family) {
                    families.push(column_family);
                }
                last = Some((column_family, threshold));
                threshold
            }
        };
        any_big |= value_len.is_some_and(|len| len >= threshold);
    }
    Ok((families, any_big))
}

/// The error for a column family id that names none.
pub fn unknown_family(column_family: u32) -> Error {
    Error::invalid_argument(format!(
        "Invalid column family specified in write batch: no column family has the id {column_family}; it was \
         dropped or belongs to another database"
    ))
}

fn foreign_pointer() -> Error {
    Error::invalid_argument(
        "write batch: holds a value-log pointer; only the engine makes those: put the value itself",
    )
}
