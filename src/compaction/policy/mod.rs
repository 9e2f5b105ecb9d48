//! What a policy sees and what it can choose. Policies are pure functions: no I/O, no clock, no lock.

pub mod leveled;

use super::LevelOptions;
use crate::base::InternalComparator;
use crate::base::key::MAX_SEQUENCE;
use crate::version::{FileMeta, KeyRange, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is to be seen of one level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LevelSeen {
    /// Sorted runs.
    pub runs: usize,
    /// Tables.
    pub files: usize,
    /// Bytes of tables.
    pub bytes: u64,
    /// Bytes of tables plus the weighted value-log bytes that they refer to.
    pub weighted_bytes: u64,
    /// The part of `weighted_bytes` that no running compaction takes away.
    pub idle_bytes: u64,
    /// Whether some table of the level is being compacted.
    pub busy: bool,
    /// Value-log bytes that entries of the level may hide below it, at most: each of its values may replace one, and
    /// each of its deletions delete some. Without tables that a running compaction takes away.
    pub hidden_bytes: u64,
}

/// What is to be seen of a column family, with what its options aim at.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The levels, 0 first; as many as the options say, or the version has tables in.
    pub levels: Vec<LevelSeen>,
    /// Level-0 runs that start a compaction.
    pub level0_trigger: usize,
    /// Bytes of the first level below 0 that is in use.
    pub level1_bytes: u64,
    /// Size ratio between levels.
    pub ratio: f64,
    /// `hidden_bytes` that a level may have.
    pub hidden_value_budget: u64,
}

/// What a policy chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// The level that has too much.
    pub level: usize,
    /// Where it goes.
    pub output_level: usize,
    /// How urgent it is; 1 = just due.
    pub score: f64,
}

/// A table's bytes plus the weighted value-log bytes it refers to: as long as a stale pointer stays, so does its
/// value, so a table with large values behind it is worth compacting early.
pub fn weighted_bytes(file: &FileMeta, weight: f64) -> u64 {
    let values = if weight > 0.0 { (file.referenced_bytes() as f64 * weight) as u64 } else { 0 };
    file.properties.file_size.saturating_add(values)
}

impl Observation {
    /// What is to be seen of `version`.
    pub fn of(version: &Version, options: &LevelOptions, order: &InternalComparator) -> Observation {
        let hidden = HiddenBytes::new(version, order);
        let see = |number: usize| {
            let runs = version.runs(number);
            let mut seen = LevelSeen { runs: runs.len(), ..LevelSeen::default() };
            for file in runs.iter().flat_map(|run| &run.files) {
                seen.add(file, options.referenced_value_weight);
                if !file.being_compacted.load(Ordering::Acquire) {
                    seen.hidden_bytes += hidden.by(number, file);
                }
            }
            seen
        };
        let deepest = hidden.deepest;
        Observation {
            levels: (0..options.levels.max(deepest + 1).max(2)).map(see).collect(),
            level0_trigger: options.level0_trigger.max(1),
            level1_bytes: options.level1_bytes.max(1),
            ratio: options.ratio.max(2.0),
            hidden_value_budget: options.hidden_value_budget.max(1),
        }
    }
}

/// Range tombstones of a table that are looked at one by one.
const TOMBSTONES_SEEN: usize = 32;

/// Estimates how many value-log bytes entries hide in the levels below them: garbage that is not known as such until
/// a compaction meets both.
pub struct HiddenBytes<'a> {
    version: &'a Version,
    order: &'a InternalComparator,
    /// The deepest level that holds anything.
    deepest: usize,
    mean_value: u64,
}

impl<'a> HiddenBytes<'a> {
    /// In `version`.
    pub fn new(version: &'a Version, order: &'a InternalComparator) -> HiddenBytes<'a> {
        let deepest = version.files().map(|(level, _)| level).max().unwrap_or(0);
        let (bytes, entries) = version.files().fold((0, 0), |sum: (u64, u64), (_, file)| {
            let values = file.properties.entries.saturating_sub(file.properties.deletions);
            (sum.0.saturating_add(file.referenced_bytes()), sum.1.saturating_add(values))
        });
        HiddenBytes { version, order, deepest, mean_value: bytes / entries.max(1) }
    }

    /// Bytes of value log behind an entry that is no deletion, on average.
    pub fn mean_value(&self) -> u64 {
        self.mean_value
    }

    /// By the entries of one table.
    pub fn by(&self, level: usize, file: &FileMeta) -> u64 {
        if level >= self.deepest && (level > 0 || self.version.level0_runs() < 2) {
            return 0;
        }
        let deleted = file.properties.deletions.saturating_mul(self.mean_value);
        let ranges = if file.properties.range_tombstones > 0 { self.by_ranges(level, file) } else { 0 };
        file.referenced_bytes().saturating_add(deleted).saturating_add(ranges)
    }

    /// By a table's range tombstones: all that tables below refer to which lie inside, half where they reach out.
    fn by_ranges(&self, level: usize, file: &FileMeta) -> u64 {
        let mut bytes: u64 = 0;
        let list = file.table.range_tombstones();
        let deleted = (0..list.stretches()).filter(|&stretch| list.newest_of(stretch, MAX_SEQUENCE) > 0);
        for stretch in deleted.take(TOMBSTONES_SEEN) {
            let (start, end) = (list.edge(stretch).to_vec(), list.edge(stretch + 1).to_vec());
            let range = KeyRange { start, end, end_is_exclusive: true };
            for below in level + 1..=self.deepest {
                for met in self.version.meeting(below, &range, self.order) {
                    let inside = self.order.compare_user(&range.start, met.smallest_user()).is_le()
                        && met.ends_before(&range.end, self.order);
                    bytes += if inside { met.referenced_bytes() } else { met.referenced_bytes() / 2 };
                }
            }
        }
        bytes
    }
}

impl LevelSeen {
    fn add(&mut self, file: &Arc<FileMeta>, weight: f64) {
        let weighted = weighted_bytes(file, weight);
        self.files += 1;
        self.bytes += file.properties.file_size;
        self.weighted_bytes += weighted;
        if file.being_compacted.load(Ordering::Acquire) {
            self.busy = true;
        } else {
            self.idle_bytes += weighted;
        }
    }
}
