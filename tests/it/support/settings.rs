//! Small settings, so that little data makes several memtables, logs, segments, tables and levels.

use super::Random;
use super::reference::{Add, Append, ReverseComparator};
use auradb::base::Codec;
use auradb::config::{
    CacheConfig, CompactionConfig, CompactionTriggers, Config, EvictionPolicy, LearnedIndexConfig,
    MemtableConfig, MemtableImplementation, PerformanceConfig, SstConfig, SyncPolicy, ValueLogConfig,
    WalConfig,
};
use auradb::db::{ColumnFamilyOptions, Options, WriteBufferManager};
use auradb::env::Env;
use std::sync::{Arc, LazyLock};

pub const NONE: u64 = u64::MAX;

/// 4 KiB memtables, logs, segments and tables, 256-byte blocks; values of 24 bytes are separated, at once unless they
/// are in a synced batch of less than 100.
pub fn tiny() -> Config {
    Config::default()
        .with_wal(WalConfig::default().with_max_file_size(8u64 << 10).with_buffer_size(4u64 << 10))
        .with_value_log(
            ValueLogConfig::default()
                .with_separation_threshold(24u64)
                .with_synced_separation_threshold(100u64)
                .with_max_segment_size(4u64 << 10)
                .with_write_queues(2usize),
        )
        .with_memtable(MemtableConfig::default().with_max_size(4u64 << 10))
        .with_sst(SstConfig::default().with_target_file_size(4u64 << 10).with_block_size(256usize))
        .with_compaction(CompactionConfig::default().with_io_rate_limit(None).with_triggers(
            CompactionTriggers::default().with_level0_files(2usize).with_level_size_ratio(3.0),
        ))
        .with_cache(
            CacheConfig::default().with_block_cache_size(64u64 << 10).with_vlog_cache_size(16u64 << 10),
        )
        .with_performance(PerformanceConfig::default().with_io_buffer_size(4096usize))
}

/// Options of a database in `env` (`None`: the operating system) with these knobs.
pub fn options(env: Option<Arc<dyn Env>>, config: &Config) -> Options {
    Options {
        config: config.clone(),
        env,
        create_if_missing: true,
        create_missing_column_families: true,
        ..Options::default()
    }
}

/// A family that appends operands, with 4 KiB in level 1.
pub fn family(config: &Config) -> ColumnFamilyOptions {
    ColumnFamilyOptions {
        merge_operator: Some(Arc::new(Append { partial: true })),
        level1_bytes: 8 << 10,
        ..ColumnFamilyOptions::from_config(config)
    }
}

/// As `family`, adding operands up and running backwards if so wished.
pub fn special_family(config: &Config, adds: bool, reversed: bool, partial: bool) -> ColumnFamilyOptions {
    let mut options = family(config);
    options.merge_operator = if adds { Some(Arc::new(Add)) } else { Some(Arc::new(Append { partial })) };
    if reversed {
        options.comparator = Arc::new(ReverseComparator);
    }
    options
}

/// One way from a write to a table: the structure of memtables, how the log is written, and who syncs it.
#[derive(Clone, Copy)]
pub struct WritePath {
    pub name: &'static str,
    memtable: MemtableImplementation,
    mapped: bool,
    async_writes: bool,
}

impl WritePath {
    pub fn choose(&self, config: &mut Config) {
        config.memtable.implementation = self.memtable;
        config.performance.memory_mapped = self.mapped;
        config.wal.async_writes = self.async_writes;
    }
}

const fn path(
    name: &'static str,
    memtable: MemtableImplementation,
    mapped: bool,
    async_writes: bool,
) -> WritePath {
    WritePath { name, memtable, mapped, async_writes }
}

/// All of them.
pub const WRITE_PATHS: [WritePath; 12] = [
    path("skip list, mapped log, log thread syncs", MemtableImplementation::SkipList, true, true),
    path("skip list, mapped log, leader syncs", MemtableImplementation::SkipList, true, false),
    path("skip list, plain log, log thread syncs", MemtableImplementation::SkipList, false, true),
    path("skip list, plain log, leader syncs", MemtableImplementation::SkipList, false, false),
    path("radix tree, mapped log, log thread syncs", MemtableImplementation::Art, true, true),
    path("radix tree, mapped log, leader syncs", MemtableImplementation::Art, true, false),
    path("radix tree, plain log, log thread syncs", MemtableImplementation::Art, false, true),
    path("radix tree, plain log, leader syncs", MemtableImplementation::Art, false, false),
    path("B+tree, mapped log, log thread syncs", MemtableImplementation::BTree, true, true),
    path("B+tree, mapped log, leader syncs", MemtableImplementation::BTree, true, false),
    path("B+tree, plain log, log thread syncs", MemtableImplementation::BTree, false, true),
    path("B+tree, plain log, leader syncs", MemtableImplementation::BTree, false, false),
];

/// Settings where one thing is chosen and the rest is left to chance.
pub struct Arm {
    pub name: &'static str,
    fix: fn(&mut Config),
    path: Option<WritePath>,
}

impl Arm {
    /// What the arm chooses that is not in `Config`: how memtables are capped. A manager lives as long as an opening.
    pub fn budget(&self, options: Options) -> Options {
        let manager = |allow_stall| Some(WriteBufferManager::new(20 << 10, None, allow_stall));
        match self.name {
            "memtables capped" => Options { write_buffer_manager: manager(false), ..options },
            "memtables capped, writers wait" => Options { write_buffer_manager: manager(true), ..options },
            _ => options,
        }
    }
}

/// Four families of memtables that would never fill, under a cap that does.
fn large_memtables(config: &mut Config) {
    config.memtable.max_size = 1 << 20;
}

/// A name, and what is chosen.
type Choice = (&'static str, fn(&mut Config));

const CHOICES: [Choice; 23] = [
    ("any", |_| {}),
    ("all separated", |config| config.value_log.separation_threshold = 0),
    ("separated from 24 bytes", |config| config.value_log.separation_threshold = 24),
    ("separated from 1 KiB", |config| config.value_log.separation_threshold = 1 << 10),
    ("none separated", |config| config.value_log.separation_threshold = NONE),
    ("synced values kept", |config| {
        config.wal.sync_policy = SyncPolicy::EveryWrite;
        config.value_log.separation_threshold = 24;
        config.value_log.synced_separation_threshold = 1 << 30;
    }),
    ("no values kept", |config| config.value_log.synced_separation_threshold = 0),
    ("values raw", |config| config.value_log.compress_values = false),
    ("values lz4", |config| config.value_log.compression_algorithm = Codec::Lz4),
    ("values zstd", |config| config.value_log.compression_algorithm = Codec::Zstd),
    ("values snappy", |config| config.value_log.compression_algorithm = Codec::Snappy),
    ("tables raw", |config| config.sst.compression = Codec::None),
    ("tables zstd", |config| config.sst.compression = Codec::Zstd),
    ("tables snappy", |config| config.sst.compression = Codec::Snappy),
    ("no learned index", |config| config.learned_index.enabled = false),
    ("two caches", |config| config.cache.unified_cache = false),
    ("tiny caches", |config| config.cache = tiny_caches(config.cache.unified_cache)),
    ("manual sync", |config| config.wal.sync_policy = SyncPolicy::Manual),
    ("sync every 3 writes", |config| config.wal.sync_policy = SyncPolicy::EveryNWrites(3)),
    ("memtables capped", large_memtables),
    ("memtables capped, writers wait", large_memtables),
    ("direct I/O", |config| config.performance.direct_io = true),
    ("no filters", |config| config.sst.use_bloom_filters = false),
];

/// Every choice, and every write path.
pub static ARMS: LazyLock<Vec<Arm>> = LazyLock::new(|| {
    let choices = CHOICES.map(|(name, fix)| Arm { name, fix, path: None });
    let paths = WRITE_PATHS.map(|path| Arm { name: path.name, fix: |_| {}, path: Some(path) });
    choices.into_iter().chain(paths).collect()
});

fn tiny_caches(unified: bool) -> CacheConfig {
    let sizes = CacheConfig::default().with_block_cache_size(1000u64).with_vlog_cache_size(500u64);
    sizes.with_unified_cache(unified)
}

/// Knobs drawn at random, then `arm`'s choice.
pub fn draw(random: &mut Random, arm: &Arm) -> Config {
    let mut config = tiny();
    let codecs = [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    config.value_log.separation_threshold = random.pick(&[0, 24, 24, 200, 1 << 10, NONE]);
    config.value_log.synced_separation_threshold = random.pick(&[0, 100, 100, 600, 128 << 10]);
    config.value_log.compression_algorithm = random.pick(&codecs);
    config.value_log.max_segment_size = random.pick(&[4 << 10, 64 << 10]);
    config.value_log.write_queues = random.pick(&[1, 2, 4]);
    config.value_log.max_space_amp = random.pick(&[1.05, 1.4, 1.4, 3.0]);
    config.value_log.garbage_collection = !random.one_in(6);
    config.sst.compression = random.pick(&codecs);
    config.sst.block_size = random.pick(&[64, 256, 256, 4096]);
    config.sst.bloom_bits_per_key = random.pick(&[1.5, 10.0]);
    config.memtable.flush_threshold = random.pick(&[0.3, 0.8, 1.0]);
    config.memtable.implementation = random.pick(&[
        MemtableImplementation::SkipList,
        MemtableImplementation::Art,
        MemtableImplementation::BTree,
    ]);
    config.wal.max_file_size = random.pick(&[4 << 10, 64 << 10]);
    config.wal.async_writes = random.one_in(2);
    config.wal.sync_policy = random.pick(&[
        SyncPolicy::EveryWrite,
        SyncPolicy::EveryNWrites(5),
        SyncPolicy::EveryNMs(1),
        SyncPolicy::Manual,
    ]);
    config.compaction.triggers.level0_files = random.pick(&[1, 2, 4]);
    config.learned_index = LearnedIndexConfig::default().with_enabled(!random.one_in(3));
    config.performance.memory_mapped = !random.one_in(3);
    config.performance.direct_reads = random.one_in(3);
    config.performance.direct_background_writes = random.one_in(3);
    config.cache.unified_cache = random.one_in(2);
    config.cache.eviction_policy = random.pick(&[EvictionPolicy::Lru, EvictionPolicy::Arc]);
    if random.one_in(4) {
        config.cache = tiny_caches(config.cache.unified_cache);
    }
    (arm.fix)(&mut config);
    arm.path.iter().for_each(|path| path.choose(&mut config));
    config
}
