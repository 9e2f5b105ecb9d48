//! Sealed memtables -> level-0 tables.

use crate::base::Result;
use crate::base::range_tombstone::RangeTombstone;
use crate::compaction::MergeContext;
use crate::iterator::InternalIterator;
use crate::version::NewFile;

/// Writes the merged entries of one or more sealed memtables as one level-0 run. Entries no snapshot sees are left
/// out, operands are combined where that is right (partial merge). `None` if nothing is left. The table is synced
/// and its directory too; the caller installs it (after W2: segments synced).
pub fn write_level0(
    entries: Box<dyn InternalIterator>,
    tombstones: &[RangeTombstone],
    context: &MergeContext,
) -> Result<Option<NewFile>> {
    todo!()
}
