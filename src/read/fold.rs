//! From stored entries to the value a reader gets: pointers are resolved, merge operands applied.

use super::ReadMode;
use super::pinned::PinnedValue;
use crate::base::error::Subcode;
use crate::base::expiry::ExpiryClock;
use crate::base::extension::MergeOperator;
use crate::base::{Error, ErrorKind, Result, ValuePointer};
use crate::value_log::ValueLog;
use std::sync::Arc;

/// What is needed to turn entries into values.
#[derive(Clone)]
pub struct FoldContext {
    /// The column family read.
    pub column_family: u32,
    /// Where separated values lie.
    pub value_log: Arc<ValueLog>,
    /// Judges what has expired.
    pub clock: Arc<ExpiryClock>,
    /// Applies operands.
    pub merge_operator: Option<Arc<dyn MergeOperator>>,
}

impl FoldContext {
    /// The value that an encoded pointer stored under `key` names, verified.
    pub fn resolve(&self, key: &[u8], encoded: &[u8], mode: ReadMode) -> Result<PinnedValue> {
        let pointer = ValuePointer::decode(encoded).ok_or_else(|| {
            Error::new(
                ErrorKind::Corruption,
                format!(
                    "value pointer of key {:?} is malformed; restore from a backup",
                    key.escape_ascii().to_string()
                ),
            )
        })?;
        let value = self.value_log.read(&pointer, self.column_family, key, mode.fill_cache, mode.allow_io)?;
        Ok(PinnedValue::Separated(value))
    }

    /// `operands` (oldest first) applied to `base`.
    pub fn merge(&self, key: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        merge_with(self.merge_operator.as_deref(), key, base, operands)
    }
}

/// `operands` (oldest first) applied to `base` by an operator.
pub fn merge_with(
    operator: Option<&dyn MergeOperator>,
    key: &[u8],
    base: Option<&[u8]>,
    operands: &[&[u8]],
) -> Result<Vec<u8>> {
    let Some(operator) = operator else {
        return Err(Error::invalid_argument(
            "the key holds merge operands but the column family has no merge operator; open it with the operator \
             that wrote them",
        ));
    };
    operator.full_merge(key, base, operands).ok_or_else(|| {
        Error::new(ErrorKind::Corruption, format!("Merge operator failed: {}", operator.name()))
            .with_subcode(Subcode::Callback)
    })
}
