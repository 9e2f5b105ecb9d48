//! Copies one table as it is, with new pointers to values that were moved.
//!
//! Same keys, same sequence numbers, same place: for every read and every later merge the copy is the table. So
//! nothing depends on snapshots, on other tables or on what was written meanwhile.

use super::outputs::{Cuts, Outputs};
use super::rate_limit::Priority;
use super::shadowing::Keeper;
use super::{CompactionPlan, MergeContext};
use crate::base::key::user_key;
use crate::base::{Error, ErrorKind, Result};
use crate::sst::TableRead;
use crate::version::VersionEdit;

/// Rewrites the one input of a plan by `plan_in_place`, pointers replaced as `context.relocation` says, and gives the
/// edit to install. On failure its output is removed.
pub fn rewrite_in_place(plan: &CompactionPlan, context: &MergeContext) -> Result<VersionEdit> {
    context.check_cancel()?;
    let Some(file) = plan.files().next() else {
        return Err(Error::new(ErrorKind::Internal, "a table to rewrite was not named"));
    };
    let level = plan.output_level;
    let tombstones = file.table.range_tombstones().iter().collect();
    let mut outputs = Outputs::new(context, level, Priority::Compaction, Cuts::none(), tombstones);
    let read = TableRead { fill_cache: false, allow_io: true, read_ahead: context.io_buffer_size };
    let mut entries = file.table.iter(read);
    entries.seek_to_first();
    while entries.valid() {
        outputs.begin_key(user_key(entries.key()))?;
        outputs.add(entries.key(), entries.value())?;
        entries.next();
    }
    if let Some(error) = entries.error() {
        return Err(error.clone());
    }
    let mut added = outputs.finish()?;
    for output in &mut added {
        output.run = file.run;
        let (got, expected) = (&output.properties, &file.properties);
        if (got.entries, &got.smallest, &got.largest)
            != (expected.entries, &expected.smallest, &expected.largest)
        {
            let message = format!("the copy of table {:06} differs from it", file.number);
            return Err(Error::new(ErrorKind::Internal, message));
        }
    }
    let removed = vec![(level as u32, file.number)];
    Ok(VersionEdit { column_family: plan.column_family, removed, added, ..VersionEdit::default() })
}
