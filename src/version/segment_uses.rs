//! What the tables of all current versions refer to in the value log, by segment.
//!
//! Each table's properties say what it refers to, so the sum needs no look at any entry: it grows with each table
//! that an edit adds and shrinks with each that an edit drops.

use super::file_meta::FileMeta;
use crate::sst::SegmentUse;
use std::collections::BTreeMap;

/// The sums by segment; none of a segment that nothing refers to.
#[derive(Default)]
pub(super) struct SegmentUses(pub(super) BTreeMap<u64, SegmentUse>);

impl SegmentUses {
    /// A table was added to a current version.
    pub(super) fn add(&mut self, file: &FileMeta) {
        for used in &file.properties.segments {
            let none = SegmentUse { segment: used.segment, bytes: 0, values: 0, end: 0 };
            let sum = self.0.entry(used.segment).or_insert(none);
            sum.bytes += used.bytes;
            sum.values += used.values;
            sum.end = sum.end.max(used.end);
        }
    }

    /// A table that was added is in no current version any more.
    pub(super) fn take_away(&mut self, file: &FileMeta) {
        for used in &file.properties.segments {
            let Some(sum) = self.0.get_mut(&used.segment) else {
                debug_assert!(false, "table {:06} was never counted", file.number);
                continue;
            };
            debug_assert!(sum.bytes >= used.bytes && sum.values >= used.values);
            sum.bytes = sum.bytes.saturating_sub(used.bytes);
            sum.values = sum.values.saturating_sub(used.values);
            if sum.values == 0 {
                self.0.remove(&used.segment);
            }
        }
    }
}
