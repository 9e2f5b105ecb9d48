//! Merging tables: observe -> choose -> plan -> run -> install -> record the outcome.
//!
//! `policy/` is pure (Observation -> Action); `plan` turns an action into inputs, checks and claims them; `run`
//! merges them through `shadowing` (what no snapshot can see is dropped) into `outputs` (tables cut at good
//! places, values inline or in the value log as the threshold says now: `placement`); the caller installs the edit.
//! `rate_limit` paces it all. `rewrite` copies one table as it is, but for pointers to values that were moved.
//!
//! Invariants:
//! - C1: a version of a key never moves below an older one: inputs hold every older table of the levels down to
//!   the output level that meets their range.
//! - C2: for every snapshot and the latest sequence number, what a read sees of a key is the same before and after.
//! - C3: a table is an input of at most one running compaction, and two running compactions with the same output
//!   level never have ranges that meet.

use crate::base::error::Subcode;
use crate::base::extension::{CompactionFilter, CompactionFilterFactory, MergeOperator};
use crate::base::{Error, ErrorKind, InternalComparator, Result, SequenceNumber};
use crate::env::Env;
use crate::env::direct::DirectIo;
use crate::sst::TableOptions;
use crate::value_log::{Origin, Relocation, SegmentRef, ValueLog};
use crate::version::{FileMeta, Version, VersionEdit};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) mod outputs;
mod placement;
pub mod plan;
pub mod policy;
pub mod rate_limit;
mod rewrite;
pub(crate) mod run;
#[cfg(test)]
mod run_tests;
pub mod shadowing;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_tests;
mod surroundings;
#[cfg(test)]
pub(crate) mod testing;

pub use plan::{expires_whole, only_deletes, plan_expired, plan_in_place, plan_needless, plan_range};
pub use rewrite::rewrite_in_place;

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
    /// Value-log bytes that entries of a level may hide in the levels below before they are compacted.
    pub hidden_value_budget: u64,
}

impl LevelOptions {
    /// Bytes at which outputs into `level` are cut.
    pub fn target_size(&self, level: usize) -> u64 {
        let growth = u64::from(self.target_multiplier.max(1)).saturating_pow(level.saturating_sub(1) as u32);
        self.target_file_size.saturating_mul(growth).max(1)
    }

    /// Bytes of the level below the output that one output may meet, so that compacting it later stays small.
    pub fn max_grandparent_bytes(&self, level: usize) -> u64 {
        self.target_size(level).saturating_mul(10)
    }
}

/// What a compaction reads and where it writes. As long as it lives its inputs are claimed (C3): hold it until
/// the edit is installed.
pub struct CompactionPlan {
    /// The column family.
    pub column_family: u32,
    /// Inputs: (level, tables in order of the run), newest first.
    pub inputs: Vec<(usize, Vec<Arc<FileMeta>>)>,
    /// Where outputs go.
    pub output_level: usize,
    /// Move the single input down without reading it.
    pub trivial_move: bool,
    /// Nothing of the inputs is needed any more: they go unread.
    pub discard: bool,
    /// Nothing older than the inputs exists below the output level in their key range.
    pub bottommost: bool,
    /// A user asked for it.
    pub manual: bool,
    /// Every table of the column family takes part.
    pub full: bool,
    /// Why, for the info log.
    pub reason: String,
    _claim: plan::Claim,
}

impl CompactionPlan {
    /// All inputs.
    pub fn files(&self) -> impl Iterator<Item = &Arc<FileMeta>> {
        self.inputs.iter().flat_map(|(_, files)| files)
    }

    /// Bytes of all inputs.
    pub fn input_bytes(&self) -> u64 {
        self.files().map(|file| file.properties.file_size).sum()
    }

    /// The uppermost input level.
    pub fn start_level(&self) -> usize {
        self.inputs.first().map_or(0, |&(level, _)| level)
    }
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
    /// What is written past the page cache.
    pub direct: Arc<DirectIo>,
    /// How many written bytes may wait for the sync at the end of a table; 0 = all.
    pub bytes_per_sync: u64,
    /// Sequence numbers that snapshots read at, ascending. Taken after the plan was made.
    pub snapshots: Vec<SequenceNumber>,
    /// The time, in seconds since 1970, at which it is judged what has expired.
    pub now: u64,
    /// Combines operands.
    pub merge_operator: Option<Arc<dyn MergeOperator>>,
    /// Judges values (compactions only).
    pub filter: Option<Arc<dyn CompactionFilter>>,
    /// Makes a filter for this compaction, when `filter` is none.
    pub filter_factory: Option<Arc<dyn CompactionFilterFactory>>,
    /// Where separated values are read when a filter or merge needs them.
    pub value_log: Arc<ValueLog>,
    /// Values that stand elsewhere now: pointers to them are replaced as they pass.
    pub relocation: Option<Arc<Relocation>>,
    /// Moves values into the value log or out of it as they pass (flushes only into it); `None` = they stay where they
    /// are.
    pub separation: Option<Arc<Separation>>,
    /// Paces writing; `None` = unlimited.
    pub rate_limiter: Option<Arc<rate_limit::RateLimiter>>,
    /// Set to make the merge stop early with `ShutdownInProgress`.
    pub cancel: Arc<AtomicBool>,
    /// Counts.
    pub stats: Arc<CompactionStats>,
}

/// Where the values of one merge belong. Keep it until the edit is installed.
pub struct Separation {
    /// Values of at least so many bytes belong into the value log, shorter ones into tables.
    threshold: u64,
    /// Tables for compactions, memtables for flushes.
    origin: Origin,
    value_log: Arc<ValueLog>,
    /// Keep what was written until tables refer to it.
    holds: Mutex<Vec<SegmentRef>>,
}

impl Separation {
    /// Of values from `origin`, by this threshold, into this value log.
    pub fn new(origin: Origin, threshold: u64, value_log: &Arc<ValueLog>) -> Separation {
        Separation { threshold, origin, value_log: Arc::clone(value_log), holds: Mutex::default() }
    }
}

impl Drop for Separation {
    fn drop(&mut self) {
        self.value_log.have_arrived(self.holds.get_mut());
    }
}

impl MergeContext {
    /// `ShutdownInProgress` once `cancel` is set.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        match self.cancel.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::ShutdownInProgress, "the merge was cancelled")),
            false => Ok(()),
        }
    }
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
    /// Tables that went unread, everything in them having expired.
    pub expired_tables: AtomicU64,
    /// Entries compactions and flushes left out.
    pub dropped_entries: AtomicU64,
    /// Values that compactions moved from tables to the value log, the threshold having been lowered.
    pub separated_values: AtomicU64,
    /// Values that flushes moved from memtables to the value log.
    pub flush_separated_values: AtomicU64,
    /// Values that compactions moved from the value log into tables, the threshold having been raised.
    pub inlined_values: AtomicU64,
}

/// The next compaction of this version that pays, if any. A version that is no longer the current one gives no
/// plan that could do harm: tables that are gone or moved cannot be claimed.
pub fn pick(
    column_family: u32,
    version: &Arc<Version>,
    options: &LevelOptions,
    order: &InternalComparator,
) -> Option<CompactionPlan> {
    let seen = policy::Observation::of(version, options, order);
    let actions = policy::leveled::choose(&seen);
    actions.into_iter().find_map(|action| plan::from_action(column_family, version, action, options, order))
}

/// Runs a plan and gives the edit to install. On failure its outputs are removed.
pub fn run(
    plan: &CompactionPlan,
    version: &Arc<Version>,
    context: &MergeContext,
    options: &LevelOptions,
) -> Result<VersionEdit> {
    run::run(plan, version, context, options)
}

/// Bytes that compactions are behind by (for stall control): what is above each level's target.
pub fn debt_bytes(version: &Version, options: &LevelOptions, order: &InternalComparator) -> u64 {
    policy::leveled::debt_bytes(&policy::Observation::of(version, options, order))
}

/// The error of a merge operator that gave no result.
pub(crate) fn merge_failed(name: &str, key: &[u8]) -> Error {
    let message = format!("Merge operator failed: {name} gave no result for key {}", key.escape_ascii());
    Error::new(ErrorKind::Corruption, message).with_subcode(Subcode::Callback)
}
