//! What a policy sees and what it can choose. Policies are pure functions: no I/O, no clock, no lock.

pub mod leveled;

use super::LevelOptions;
use crate::version::{FileMeta, Version};
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
    pub fn of(version: &Version, options: &LevelOptions) -> Observation {
        let see = |number: usize| {
            let runs = version.runs(number);
            let mut seen = LevelSeen { runs: runs.len(), ..LevelSeen::default() };
            for file in runs.iter().flat_map(|run| &run.files) {
                seen.add(file, options.referenced_value_weight);
            }
            seen
        };
        let deepest = version.files().map(|(level, _)| level).max().unwrap_or(0);
        Observation {
            levels: (0..options.levels.max(deepest + 1).max(2)).map(see).collect(),
            level0_trigger: options.level0_trigger.max(1),
            level1_bytes: options.level1_bytes.max(1),
            ratio: options.ratio.max(2.0),
        }
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
