//! The sections of the tree. Ranges are inclusive; `validate.rs` enforces them.

use super::words;
use crate::base::Codec;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// When the log is synced by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncPolicy {
    /// Before each write is acknowledged.
    EveryWrite,
    /// Before every n-th write is acknowledged. Range 1 to `u32::MAX`.
    EveryNWrites(u64),
    /// At least every so many milliseconds while there are unsynced writes. Range 1 to 3600000.
    EveryNMs(u64),
    /// Only when a write or the caller asks.
    Manual,
}

/// Knobs of the write-ahead log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// Directory of the log files. Default `<db>/wal`.
    pub wal_path: Option<PathBuf>,
    /// Bytes after which a new log file starts. Default 64 MiB. Range 4 KiB to 1 TiB.
    pub max_file_size: u64,
    /// True: a log thread syncs, with commits pipelined; false: the commit leader syncs inline. Default true.
    pub async_writes: bool,
    /// When the log is synced by itself. Default `EveryWrite`.
    pub sync_policy: SyncPolicy,
    /// Bytes of the mapped log made ready at once; a helper stays 1 to 128 of them ahead of the writer.
    /// Default 64 KiB. Range 4 KiB to 1 GiB.
    pub buffer_size: u64,
    /// Files of logs no longer needed that are kept to hold the next ones, each of `max_file_size` bytes; 0 = each log
    /// has a new file. Only mapped ones are kept. Default 1. Range 0 to 1024.
    pub recycled_files: usize,
}

/// Knobs of the value log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueLogConfig {
    /// Directory of the segments. Default `<db>/vlog`.
    pub vlog_path: Option<PathBuf>,
    /// Bytes after which a segment is sealed and a new one starts. Default 256 MiB. Range 4 KiB to 1 TiB.
    pub max_segment_size: u64,
    /// Values of at least so many bytes are separated; 0 = all, `u64::MAX` = none (written `"none"`).
    /// Default 1 KiB. Range 0 to `max_segment_size`, or none.
    #[serde(with = "words::threshold")]
    pub separation_threshold: u64,
    /// A batch of fewer bytes that is durable when its write returns keeps its values in the log, and the flush
    /// separates them; 0 = values are always separated before the log is written, and so they are where the batch does
    /// not fit into a log file of `wal.max_file_size`. Default 128 KiB. Range 0 to 1 GiB.
    pub synced_separation_threshold: u64,
    /// Segments open for append at once. Default 4. Range 1 to 64.
    pub write_queues: usize,
    /// Bytes of cached values; the same budget as `cache.vlog_cache_size`. Default 64 MiB. Range 1 B to 1 PiB.
    pub cache_size: u64,
    /// Whether values are compressed. Default true.
    pub compress_values: bool,
    /// The codec. Default Lz4.
    pub compression_algorithm: Codec,
    /// Bound of value-log bytes over live bytes, to which four segments come. Default 1.4. Above 1, at most 100.
    pub max_space_amp: f64,
    /// Whether garbage collection starts by itself. Without it the bound is not held. Default true.
    pub garbage_collection: bool,
    /// Seconds after which what is written without a TTL of its own expires. Default none. At least 1.
    pub ttl: Option<u64>,
}

/// The structure of a memtable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemtableImplementation {
    /// Concurrent skip list.
    SkipList,
    /// Adaptive radix tree, for byte order; a family with a comparator of its own gets a B+tree.
    Art,
    /// B+tree, for any order.
    BTree,
}

/// Knobs of memtables, for each column family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemtableConfig {
    /// Bytes of one memtable. Default 64 MiB. Range 4 KiB to 1 TiB.
    pub max_size: u64,
    /// Share of `max_size` at which a memtable is sealed, in (0, 1]. Default 0.8.
    pub flush_threshold: f64,
    /// The structure. Default SkipList.
    pub implementation: MemtableImplementation,
    /// Writers wait when so many sealed memtables of a column family are not flushed yet; the active one is not
    /// counted. Default 2. Range 2 to 1024.
    pub count: usize,
}

/// Knobs of tables, for each column family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SstConfig {
    /// Directory of the tables. Default `<db>/sst`.
    pub sst_path: Option<PathBuf>,
    /// Bytes at which output tables are cut. Default 64 MiB. Range 4 KiB to 1 TiB.
    pub target_file_size: u64,
    /// Uncompressed bytes of a data block. Default 64 KiB. Range 64 B to 16 MiB.
    pub block_size: usize,
    /// Whether tables get a Bloom filter. Default true.
    pub use_bloom_filters: bool,
    /// Bits a key; fractions count. Default 10.0. Above 0, at most 100.
    pub bloom_bits_per_key: f64,
    /// Ribbon filters instead of Bloom. Default false.
    pub use_ribbon_filters: bool,
    /// Codec of data blocks, kept raw where it does not pay. Default Lz4.
    pub compression: Codec,
}

/// How levels are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompactionStrategy {
    /// One run a level.
    Leveled,
    /// T runs a level.
    Tiered,
    /// 1..T runs, a number for each level.
    Flexible,
}

/// Knobs of compaction, for each column family but the threads and the rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactionConfig {
    /// How levels are kept. Default Leveled.
    pub strategy: CompactionStrategy,
    /// Concurrent compactions. Default 4. Range 1 to 256.
    pub max_threads: usize,
    /// MB (10^6 bytes) a second of background writing; flushes go first; none = unlimited (written `"none"`).
    /// Default 100. Range 1 to 1000000, or none.
    #[serde(with = "words::limit")]
    pub io_rate_limit: Option<u64>,
    /// Whether the agent decides. Default false until the agent exists (the specification says true).
    pub use_rl_agent: bool,
    /// What starts a compaction.
    pub triggers: CompactionTriggers,
}

/// What starts a compaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactionTriggers {
    /// Level-0 runs that start a compaction; slow-down and stop follow from it (x5, x9). Default 4. Range 1 to 10000.
    pub level0_files: usize,
    /// T: size ratio between levels. Default 10. Range 2 to 1000.
    pub level_size_ratio: f64,
    /// Above this write amplification the picker prefers cheaper merges. Default 5. Range 1 to 1000.
    pub write_amplification: f64,
}

/// Which cache entries leave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvictionPolicy {
    /// Least recently used.
    Lru,
    /// Adaptive replacement.
    Arc,
    /// Windowed tiny LFU.
    TinyLfu,
}

/// Knobs of caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Bytes of cached blocks, models and filters. Default 256 MiB. Range 1 B to 1 PiB.
    pub block_cache_size: u64,
    /// Bytes of cached values. Default 64 MiB. Range 1 B to 1 PiB.
    pub vlog_cache_size: u64,
    /// Which entries leave first. Default Arc.
    pub eviction_policy: EvictionPolicy,
    /// One pool of the sum, or two. Default true.
    pub unified_cache: bool,
}

/// The model of a learned index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelType {
    /// Linear segments with a bounded error.
    PiecewiseLinear,
    /// Recursive model index.
    Rmi,
    /// A tiny neural network.
    TinyNn,
}

/// What finds a key where a table has no useful model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FallbackMethod {
    /// Binary search over the fence index.
    BinarySearch,
    /// Fence pointers with interpolation.
    FencePointers,
    /// Filter, then scan.
    BloomScan,
}

/// Knobs of learned indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedIndexConfig {
    /// Whether tables get a model. Default true.
    pub enabled: bool,
    /// The model. Default PiecewiseLinear.
    pub model_type: ModelType,
    /// Operations between tuning rounds. Default 10000. At least 1.
    pub training_frequency: u64,
    /// Whether error bounds are tuned from measured lookups. Default false until the tuner exists (the
    /// specification says true).
    pub online_tuning: bool,
    /// What is used where a table has no model. Default BinarySearch.
    pub fallback_method: FallbackMethod,
}

/// Knobs of the compaction agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RlAgentConfig {
    /// Default false until the agent exists (the specification says true).
    pub enabled: bool,
    /// Step of an update, in (0, 1]. Default 0.01.
    pub learning_rate: f64,
    /// Epsilon, in [0, 1]. Default 0.1.
    pub exploration_rate: f64,
    /// Operations in a mission. Default 1000. At least 1.
    pub state_update_frequency: u64,
    /// Train from a recorded trace before serving. Default false.
    pub offline_training: bool,
    /// The trace. Default none.
    pub training_data_path: Option<PathBuf>,
}

/// Threads, buffers, I/O modes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerformanceConfig {
    /// Threads for parallel reads, recovery, prefetch. Default: cores (written `"cores"`). Range 1 to 65535.
    #[serde(with = "words::threads")]
    pub worker_threads: usize,
    /// Bytes of compaction read-ahead and write buffer. Default 1 MiB. Range 4 KiB to 1 GiB.
    pub io_buffer_size: usize,
    /// Both of the following. Default false.
    pub direct_io: bool,
    /// Tables and segments are read past the page cache (O_DIRECT), where the file system can. Default false.
    pub direct_reads: bool,
    /// Flushes, compactions and garbage collection write past the page cache, where the file system can. Values are
    /// still appended through it. Default false.
    pub direct_background_writes: bool,
    /// Mapped WAL tail: an append is a memory copy. Default true.
    pub memory_mapped: bool,
    /// Placement by NUMA node. Default false.
    pub numa_aware: bool,
}
