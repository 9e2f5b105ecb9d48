//! What a user of the engine plugs in: merge operators, compaction filters, loggers.
//!
//! All are called from background threads as well as from the caller's, possibly at the same time, and must
//! not unwind. The C layer implements them over function pointers.

use std::fmt;

/// Combines operands with a base value.
pub trait MergeOperator: Send + Sync {
    /// Its name, stored in the database.
    fn name(&self) -> &str;
    /// The value of `key` after `operands` (oldest first) are applied to `existing`; `None` means it failed.
    fn full_merge(&self, key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>>;
    /// One operand equal to all of `operands` (oldest first, at least two), or `None` when they don't combine.
    fn partial_merge(&self, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>>;
}

/// What a compaction filter says of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterDecision {
    /// The entry stays.
    Keep,
    /// The entry goes, as if deleted.
    Remove,
    /// The entry stays with another value.
    Change(Vec<u8>),
}

/// Judges each value that a compaction passes.
pub trait CompactionFilter: Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &str;
    /// The verdict on one entry, `level` being where the compaction reads it.
    fn filter(&self, level: u32, key: &[u8], value: &[u8]) -> FilterDecision;
    /// Whether entries that a snapshot can still see are judged too.
    fn ignore_snapshots(&self) -> bool {
        true
    }
}

/// What a filter factory is told about the compaction that wants a filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilterContext {
    /// Whether every file of the column family takes part.
    pub is_full: bool,
    /// Whether a user asked for the compaction.
    pub is_manual: bool,
    /// The column family compacted.
    pub column_family: u32,
}

/// Makes a filter for each compaction.
pub trait CompactionFilterFactory: Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &str;
    /// A filter for one compaction, or none.
    fn create(&self, context: FilterContext) -> Option<Box<dyn CompactionFilter>>;
}

/// How important a log line is. The numbers are RocksDB's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// For the engine's developers.
    Debug = 0,
    /// What the engine does: flushes, compactions, recovery.
    Info = 1,
    /// Something is not as it should be, and was handled.
    Warn = 2,
    /// An operation failed.
    Error = 3,
    /// The database cannot go on.
    Fatal = 4,
    /// Always written: the settings at open.
    Header = 5,
}

/// Receives log lines.
pub trait Logger: Send + Sync {
    /// Lines below this level need not be made.
    fn level(&self) -> LogLevel;
    /// One line, without a newline at its end.
    fn log(&self, level: LogLevel, line: fmt::Arguments<'_>);
}

/// Writes a line at `level` if the logger wants it.
pub fn log_to(logger: &dyn Logger, level: LogLevel, line: fmt::Arguments<'_>) {
    if level >= logger.level() {
        logger.log(level, line);
    }
}
