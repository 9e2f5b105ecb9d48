//! Sealed memtables -> level-0 tables.
//!
//! 1. Go through the merged entries key by key (`compaction::shadowing`): versions no snapshot can see are left
//!    out, operands are combined where that is right. Deletions stay: older versions lie in the tables below.
//! 2. Values that lie inline and are long enough go to the value log (`compaction::placement`): those of synced batches
//!    that kept them.
//! 3. Write one table, with the range tombstones, one a stripe. 4. Sync those values, the table and its directory. The
//!    caller installs it, after W2: every segment that the table points into is synced first.

use crate::base::Result;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::compaction::MergeContext;
use crate::compaction::outputs::{Cuts, Outputs};
use crate::compaction::rate_limit::Priority;
use crate::compaction::run::write;
use crate::compaction::shadowing::{LoggedValues, MayExist, Rules, Shadowing};
use crate::iterator::InternalIterator;
use crate::version::NewFile;
use std::sync::atomic::Ordering;

#[cfg(test)]
mod tests;

/// Writes the merged entries of one or more sealed memtables as one level-0 run. Entries no snapshot sees are left
/// out, operands are combined where that is right (partial merge). `None` if nothing is left. The table is synced
/// and its directory too; the caller installs it (after W2: segments synced).
pub fn write_level0(
    entries: Box<dyn InternalIterator>,
    tombstones: &[RangeTombstone],
    context: &MergeContext,
) -> Result<Option<NewFile>> {
    context.check_cancel()?;
    let tombstones = TombstoneList::build(tombstones, &context.order);
    let values = LoggedValues { log: &context.value_log, column_family: context.column_family };
    let rules = Rules {
        order: &context.order,
        snapshots: &context.snapshots,
        now: context.now,
        tombstones: &tombstones,
        merge_operator: context.merge_operator.as_deref(),
        filter: None,
        level: 0,
        values: &values,
    };
    let kept = rules.needed_tombstones(|_| true);
    let outputs = Outputs::new(context, 0, Priority::Flush, Cuts::none(), kept);
    let file = write(Shadowing::new(entries, rules, Box::new(MayExist)), outputs, &context.stats)?.pop();
    context.stats.flushes.fetch_add(1, Ordering::Relaxed);
    if let Some(file) = &file {
        context.stats.flush_bytes.fetch_add(file.properties.file_size, Ordering::Relaxed);
    }
    Ok(file)
}
