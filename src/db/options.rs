//! What a database, a column family, a read and a write can be told.

use crate::base::extension::{CompactionFilter, CompactionFilterFactory, Logger, MergeOperator};
use crate::base::{BytewiseComparator, Codec, Comparator, SequenceNumber, SliceTransform};
use crate::cache::Cache;
use crate::config::{Config, MemtableConfig, SstConfig};
use crate::env::Env;
use crate::memtable::budget::WriteBufferManager;
use crate::wal::RecoveryMode;
use std::sync::Arc;

/// How a database is opened. The knobs are in `config`; the rest is what a file cannot say.
#[derive(Clone)]
pub struct Options {
    /// The knobs. `config.db_path` is replaced by the path given to `open`.
    pub config: Config,
    /// Create the database if there is none. Default false.
    pub create_if_missing: bool,
    /// Refuse to open an existing database. Default false.
    pub error_if_exists: bool,
    /// Create the column families named at open that do not exist. Default false.
    pub create_missing_column_families: bool,
    /// What to do at a bad log frame. Default `PointInTime`.
    pub recovery_mode: RecoveryMode,
    /// The outside world; `None` = the operating system.
    pub env: Option<Arc<dyn Env>>,
    /// Receives log lines; `None` = the file `LOG` in the database directory.
    pub logger: Option<Arc<dyn Logger>>,
    /// A cache shared with other databases; `None` = an own one, as `config.cache` says.
    pub cache: Option<Arc<Cache>>,
    /// A cache of values of their own, which may be shared with other databases; `None` = they share `cache` if it is
    /// set, or else as `config.cache` says.
    pub value_cache: Option<Arc<Cache>>,
    /// Keep tables, logs and segments directly in the database directory, as RocksDB does, unless their paths are
    /// set in `config`. Default false: `wal/`, `vlog/`, `sst/`.
    pub flat_layout: bool,
    /// Bytes of all memtables together: above 7/8 of it, or above all of it with those being flushed, the largest is
    /// flushed; 0 = no limit of its own. Without effect if there is a `write_buffer_manager`.
    pub db_write_buffer_size: u64,
    /// Counts and caps the memtables of this database together with those of others; `None` = of this one alone.
    pub write_buffer_manager: Option<Arc<WriteBufferManager>>,
    /// Bytes of WAL files before the oldest memtables are flushed to free them; 0 = 4 x all memtable budgets.
    pub max_total_wal_size: u64,
    /// Flush all column families together, in one edit. Default false.
    pub atomic_flush: bool,
    /// Background flushes and compactions at once; 0 = `config.compaction.max_threads` compactions and a flush.
    pub max_background_jobs: usize,
    /// Levels of `nice(2)`, 0 to 19, by which the threads that flush, compact and collect garbage stand back behind
    /// the thread that opens the database, where both want the processor. Default 5. Linux only.
    pub background_nice: u8,
    /// Whenever so many bytes of a table have been written, the device is told to begin with them, so that the sync at
    /// its end has little to wait for; 0 = when the system likes. Default 1 MiB.
    pub bytes_per_sync: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            config: Config::default(),
            create_if_missing: false,
            error_if_exists: false,
            create_missing_column_families: false,
            recovery_mode: RecoveryMode::PointInTime,
            env: None,
            logger: None,
            cache: None,
            value_cache: None,
            flat_layout: false,
            db_write_buffer_size: 0,
            write_buffer_manager: None,
            max_total_wal_size: 0,
            atomic_flush: false,
            max_background_jobs: 0,
            background_nice: 5,
            bytes_per_sync: 1 << 20,
        }
    }
}

/// How a column family is kept.
#[derive(Clone)]
pub struct ColumnFamilyOptions {
    /// Order of keys.
    pub comparator: Arc<dyn Comparator>,
    /// Combines merge operands.
    pub merge_operator: Option<Arc<dyn MergeOperator>>,
    /// Judges values in compactions.
    pub compaction_filter: Option<Arc<dyn CompactionFilter>>,
    /// Makes a filter for each compaction; used when `compaction_filter` is none.
    pub compaction_filter_factory: Option<Arc<dyn CompactionFilterFactory>>,
    /// Prefixes for prefix filters and prefix scans.
    pub prefix_extractor: Option<Arc<dyn SliceTransform>>,
    /// Memtables.
    pub memtable: MemtableConfig,
    /// Tables (the path in it is ignored: it belongs to the database).
    pub sst: SstConfig,
    /// Whether whole keys go into the filters. Default true.
    pub whole_key_filtering: bool,
    /// Whether tables get a learned index. Default true.
    pub learned_index: bool,
    /// Values of at least so many bytes are separated; `None` = as `config.value_log.separation_threshold`.
    pub separation_threshold: Option<u64>,
    /// Seconds after which what is written from now on without a TTL of its own expires; 0 = never, `None` = as
    /// `config.value_log.ttl`.
    pub ttl: Option<u64>,
    /// Codec of each level's tables, where it differs from `sst.compression`; shorter lists repeat their last.
    pub compression_per_level: Vec<Codec>,
    /// Codec of the last level's tables, where it differs.
    pub bottommost_compression: Option<Codec>,
    /// Levels. Default 7.
    pub levels: usize,
    /// Level-0 runs that start a compaction. Default 4.
    pub level0_trigger: usize,
    /// Level-0 runs from which writers are slowed. Default 20.
    pub level0_slowdown: usize,
    /// Level-0 runs at which writers wait. Default 36.
    pub level0_stop: usize,
    /// Bytes of level 1. Default 256 MiB.
    pub level1_bytes: u64,
    /// Size ratio between levels. Default 10.
    pub level_size_ratio: f64,
    /// Growth of the target file size from level to level. Default 1.
    pub target_file_size_multiplier: u32,
    /// No compaction but manual ones. Default false.
    pub disable_auto_compactions: bool,
}

impl Default for ColumnFamilyOptions {
    fn default() -> Self {
        ColumnFamilyOptions::from_config(&Config::default())
    }
}

impl ColumnFamilyOptions {
    /// The options of a column family that follow from the knobs.
    pub fn from_config(config: &Config) -> Self {
        let triggers = &config.compaction.triggers;
        ColumnFamilyOptions {
            comparator: Arc::new(BytewiseComparator),
            merge_operator: None,
            compaction_filter: None,
            compaction_filter_factory: None,
            prefix_extractor: None,
            memtable: config.memtable.clone(),
            sst: config.sst.clone(),
            whole_key_filtering: true,
            learned_index: config.learned_index.enabled,
            separation_threshold: None,
            ttl: None,
            compression_per_level: Vec::new(),
            bottommost_compression: None,
            levels: 7,
            level0_trigger: triggers.level0_files,
            level0_slowdown: triggers.level0_files * 5,
            level0_stop: triggers.level0_files * 9,
            level1_bytes: 256 << 20,
            level_size_ratio: triggers.level_size_ratio,
            target_file_size_multiplier: 1,
            disable_auto_compactions: false,
        }
    }
}

/// How one read works.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Read as of this sequence number (of a live snapshot); `None` = latest.
    pub snapshot: Option<SequenceNumber>,
    /// Keep blocks and values read in the cache; of long scans only such values of the value log as push nothing out.
    /// Default true.
    pub fill_cache: bool,
    /// Read from the device if need be; false: what is not in memory is `Incomplete`. Default true.
    pub allow_io: bool,
    /// First key an iterator shows.
    pub lower_bound: Option<Vec<u8>>,
    /// First key an iterator no longer shows.
    pub upper_bound: Option<Vec<u8>>,
    /// Stop where the prefix of the sought key ends. Default false.
    pub prefix_same_as_start: bool,
    /// Makes `prefix_same_as_start` void: iterators see all keys in order. (Seeks use no prefix filters, so that
    /// without `prefix_same_as_start` they always do.) Default false.
    pub total_order_seek: bool,
    /// Show fresh writes: the iterator refreshes itself whenever it is positioned. Default false.
    pub tailing: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            snapshot: None,
            fill_cache: true,
            allow_io: true,
            lower_bound: None,
            upper_bound: None,
            prefix_same_as_start: false,
            total_order_seek: false,
            tailing: false,
        }
    }
}

/// How one write works.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Durable before it is acknowledged, whatever the sync policy.
    pub sync: bool,
    /// Not logged: lost at a crash unless flushed before.
    pub disable_wal: bool,
    /// Fail with `Incomplete` instead of waiting when writers are slowed or stopped.
    pub no_slowdown: bool,
}

/// How a range is compacted by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompactRangeOptions {
    /// Rewrite the bottommost level even without a filter.
    pub force_bottommost: bool,
}
