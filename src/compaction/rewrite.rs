//! Copies one table as it is, with new pointers to values that were moved, and deletions in the place of what has
//! expired: that reads the same, and needs no value.
//!
//! Same keys, same sequence numbers, same place: for every read and every later merge the copy is the table. So
//! nothing depends on snapshots, on other tables or on what was written meanwhile.

use super::outputs::{Cuts, Outputs};
use super::rate_limit::Priority;
use super::shadowing::Keeper;
use super::{CompactionPlan, MergeContext};
use crate::base::expiry::seen_at;
use crate::base::key::{key_sequence, user_key};
use crate::base::{EntryKind, Error, ErrorKind, InternalKey, ParsedKey, Result};
use crate::sst::{TableProperties, TableRead};
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
        let (key, stored) = (entries.key(), entries.value());
        outputs.begin_key(user_key(key))?;
        match ParsedKey::parse(key) {
            Some(entry)
                if entry.kind.is_expiring()
                    && seen_at(entry.kind, stored, context.now).0 == EntryKind::Delete =>
            {
                let deletion = InternalKey::new(entry.user_key, entry.sequence, EntryKind::Delete);
                outputs.add(deletion.as_bytes(), &[])?;
            }
            _ => outputs.add(key, stored)?,
        }
        entries.next();
    }
    if let Some(error) = entries.error() {
        return Err(error.clone());
    }
    let mut added = outputs.finish()?;
    for output in &mut added {
        output.run = file.run;
        let (got, expected) = (&output.properties, &file.properties);
        // The kinds may differ.
        let place = |key: &[u8]| (user_key(key).to_vec(), key_sequence(key));
        let bounds = |of: &TableProperties| (of.entries, place(&of.smallest), place(&of.largest));
        if bounds(got) != bounds(expected) {
            let message = format!("the copy of table {:06} differs from it", file.number);
            return Err(Error::new(ErrorKind::Internal, message));
        }
    }
    let removed = vec![(level as u32, file.number)];
    Ok(VersionEdit { column_family: plan.column_family, removed, added, ..VersionEdit::default() })
}
