//! Merging tables: observe -> choose -> plan -> run -> install -> record the outcome.
//!
//! `policy/` is pure (Observation -> Action); `plan` turns an action into inputs and checks it; `run` merges and
//! writes; the caller installs the edit.

use crate::base::extension::{CompactionFilter, CompactionFilterFactory, MergeOperator};
use crate::base::{InternalComparator, Result, SequenceNumber};
use crate::env::Env;
use crate::iterator::InternalIterator;
use crate::sst::TableOptions;
use crate::value_log::ValueLog;
use crate::version::{FileMeta, NewFile, Version, VersionEdit};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What a column family's compactions aim at.
#[derive(Clone, Debug)]
pub struct LevelOptions {
    /// Number of levels.
    pub levels: usize,
    /// Level-0 runs that start a compaction.
    pub level0_trigger: usize,
    /// Bytes of level 1.
    pub level1_bytes: u64,
    /// Size ratio between levels.
    pub ratio: f64,
    /// Bytes at which outputs are cut (level 1; times `target_multiplier` for each level below).
    pub target_file_size: u64,
    /// Growth of `target_file_size` a level.
    pub target_multiplier: u32,
    /// Value-log bytes referred to count this much in a level's score (0 = pointers' own bytes only).
    pub referenced_value_weight: f64,
}

/// What a compaction reads and where it writes.
pub struct CompactionPlan {
    /// The column family.
    pub column_family: u32,
    /// Inputs: (level, tables in order of the run), newest first.
    pub inputs: Vec<(usize, Vec<Arc<FileMeta>>)>,
    /// Where outputs go.
    pub output_level: usize,
    /// Move the single input down without reading it.
    pub trivial_move: bool,
    /// Nothing older than the inputs exists below the output level in their key range.
    pub bottommost: bool,
    /// A user asked for it.
    pub manual: bool,
    /// Every table of the column family takes part.
    pub full: bool,
    /// Why, for the info log.
    pub reason: String,
    // + RAII: being_compacted flags are set by the planner and cleared on drop
}

/// Everything a merge needs besides its inputs. Also used by flush.
#[derive(Clone)]
pub struct MergeContext {
    /// The outside.
    pub env: Arc<dyn Env>,
    /// Where outputs are written.
    pub sst_dir: PathBuf,
    /// Counter of file numbers.
    pub next_file_number: Arc<AtomicU64>,
    /// The column family.
    pub column_family: u32,
    /// Order of keys.
    pub order: InternalComparator,
    /// How outputs are written.
    pub table_options: TableOptions,
    /// Buffer for writing and read-ahead.
    pub io_buffer_size: usize,
    /// Sequence numbers that snapshots read at, ascending.
    pub snapshots: Vec<SequenceNumber>,
    /// Combines operands.
    pub merge_operator: Option<Arc<dyn MergeOperator>>,
    /// Judges values (compactions only).
    pub filter: Option<Arc<dyn CompactionFilter>>,
    /// Makes a filter for this compaction, when `filter` is none.
    pub filter_factory: Option<Arc<dyn CompactionFilterFactory>>,
    /// Where separated values are read when a filter or merge needs them.
    pub value_log: Arc<ValueLog>,
    /// Paces writing; `None` = unlimited.
    pub rate_limiter: Option<Arc<rate_limit::RateLimiter>>,
    /// Set to make the merge stop early with `ShutdownInProgress`.
    pub cancel: Arc<AtomicBool>,
    /// Counts.
    pub stats: Arc<CompactionStats>,
}

/// Counts since open, over all column families.
#[derive(Debug, Default)]
pub struct CompactionStats {
    /// Flushes done.
    pub flushes: AtomicU64,
    /// Bytes flushes wrote.
    pub flush_bytes: AtomicU64,
    /// Compactions run (trivial moves not counted).
    pub compactions: AtomicU64,
    /// Files moved down without reading.
    pub trivial_moves: AtomicU64,
    /// Bytes compactions read.
    pub read_bytes: AtomicU64,
    /// Bytes compactions wrote.
    pub write_bytes: AtomicU64,
    /// Entries compactions and flushes left out.
    pub dropped_entries: AtomicU64,
}

pub mod rate_limit {
    //! Paces background writing.
    /// A token bucket.
    pub struct RateLimiter {
        _private: (),
    }
}

/// The next compaction of this version that pays, if any.
pub fn pick(
    column_family: u32,
    version: &Arc<Version>,
    options: &LevelOptions,
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    todo!()
}

/// A plan for the part of `level` that meets `[begin, end]`, into `output_level` (manual compaction). `Busy` if a
/// running compaction has some of it.
pub fn plan_range(
    column_family: u32,
    version: &Arc<Version>,
    level: usize,
    output_level: usize,
    begin: Option<&[u8]>,
    end: Option<&[u8]>,
    order: &InternalComparator,
) -> Result<Option<CompactionPlan>> {
    todo!()
}

/// Runs a plan and gives the edit to install. On failure its outputs are removed.
pub fn run(
    plan: &CompactionPlan,
    version: &Arc<Version>,
    context: &MergeContext,
    options: &LevelOptions,
) -> Result<VersionEdit> {
    todo!()
}

/// Bytes that compactions are behind by (for stall control): what is above each level's target.
pub fn debt_bytes(version: &Version, options: &LevelOptions) -> u64 {
    todo!()
}
