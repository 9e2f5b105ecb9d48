//! Every knob of the engine: one tree, with default, unit and range at each field.
//!
//! 1. `Config::default()` or `Config::new(path)`, then `with_<section>(section)`, and `with_<field>` on a section.
//! 2. `validate()` names the first bad knob by its path in the tree; opening a database calls it.
//! 3. Serde reads and writes the tree, in JSON and in TOML: what is left out is at its default, unknown names are
//!    errors, and what has no number is a word (`"none"`, `"cores"`; see `words.rs`).
//!
//! Invariant K1: every knob that `validate()` lets pass has an effect. One whose part of the engine comes later is
//! `NotImplemented` away from the value that the engine has today.
//!
//! ```
//! use auradb::config::{Config, SyncPolicy, ValueLogConfig, WalConfig};
//! let config = Config::new("/data/orders")
//!     .with_wal(WalConfig::default().with_wal_path("/fast/wal").with_sync_policy(SyncPolicy::EveryNMs(10)))
//!     .with_value_log(ValueLogConfig::default().with_separation_threshold(512));
//! config.validate().unwrap();
//! ```

use crate::base::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

mod builder;
mod defaults;
mod sections;
mod validate;
mod words;

#[cfg(test)]
mod tests;

pub use sections::{
    CacheConfig, CompactionConfig, CompactionStrategy, CompactionTriggers, EvictionPolicy, FallbackMethod,
    LearnedIndexConfig, MemtableConfig, MemtableImplementation, ModelType, PerformanceConfig, RlAgentConfig,
    SstConfig, SyncPolicy, ValueLogConfig, WalConfig,
};

/// The whole configuration of a database. `Config::default()` is durable on every write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the database lives. Default `./auradb_data`.
    pub db_path: PathBuf,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// The value log.
    pub value_log: ValueLogConfig,
    /// Memtables.
    pub memtable: MemtableConfig,
    /// Tables.
    pub sst: SstConfig,
    /// Compaction.
    pub compaction: CompactionConfig,
    /// Caches.
    pub cache: CacheConfig,
    /// Learned indexes.
    pub learned_index: LearnedIndexConfig,
    /// The compaction agent.
    pub rl_agent: RlAgentConfig,
    /// Threads, buffers, I/O modes.
    pub performance: PerformanceConfig,
}

impl Config {
    /// The default configuration of a database in `db_path`.
    pub fn new(db_path: impl Into<PathBuf>) -> Config {
        Config { db_path: db_path.into(), ..Config::default() }
    }

    /// Where the log files are: `wal.wal_path`, or `wal` below the database.
    pub fn wal_dir(&self) -> PathBuf {
        self.directory(&self.wal.wal_path, "wal")
    }

    /// Where the segments are: `value_log.vlog_path`, or `vlog` below the database.
    pub fn vlog_dir(&self) -> PathBuf {
        self.directory(&self.value_log.vlog_path, "vlog")
    }

    /// Where the tables are: `sst.sst_path`, or `sst` below the database.
    pub fn sst_dir(&self) -> PathBuf {
        self.directory(&self.sst.sst_path, "sst")
    }

    fn directory(&self, set: &Option<PathBuf>, below: &str) -> PathBuf {
        set.as_deref().map_or_else(|| self.db_path.join(below), Path::to_path_buf)
    }

    /// The budget for cached values, which has two names: the one that is away from its default counts.
    /// `validate()` refuses two that disagree.
    pub fn value_cache_bytes(&self) -> u64 {
        if self.cache.vlog_cache_size == CacheConfig::default().vlog_cache_size {
            self.value_log.cache_size
        } else {
            self.cache.vlog_cache_size
        }
    }

    /// Whether tables and segments are read past the page cache.
    pub fn reads_are_direct(&self) -> bool {
        self.performance.direct_io || self.performance.direct_reads
    }

    /// Whether background work writes past the page cache.
    pub fn background_writes_are_direct(&self) -> bool {
        self.performance.direct_io || self.performance.direct_background_writes
    }

    /// Checks every knob; the first bad one is an error of the form `<path.to.knob>: <value> <why>`, of kind
    /// `InvalidArgument`, or `NotImplemented` for what comes with a later version. Whether a path is a file, and
    /// whether it can be written, only the system knows: opening the database finds out.
    pub fn validate(&self) -> Result<()> {
        validate::ranges(self)?;
        validate::supported(self)
    }
}
