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
use std::sync::Arc;

pub const NONE: u64 = u64::MAX;

/// 4 KiB memtables, logs, segments and tables, 256-byte blocks; values of 24 bytes are separated.
pub fn tiny() -> Config {
    Config::default()
        .with_wal(WalConfig::default().with_max_file_size(8u64 << 10).with_buffer_size(4u64 << 10))
        .with_value_log(
            ValueLogConfig::default()
                .with_separation_threshold(24u64)
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

/// Settings where one thing is chosen and the rest is left to chance.
pub struct Arm {
    pub name: &'static str,
    pub fix: fn(&mut Config),
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

pub const ARMS: [Arm; 23] = [
    Arm { name: "any", fix: |_| {} },
    Arm { name: "all separated", fix: |config| config.value_log.separation_threshold = 0 },
    Arm { name: "separated from 24 bytes", fix: |config| config.value_log.separation_threshold = 24 },
    Arm { name: "separated from 1 KiB", fix: |config| config.value_log.separation_threshold = 1 << 10 },
    Arm { name: "none separated", fix: |config| config.value_log.separation_threshold = NONE },
    Arm { name: "values raw", fix: |config| config.value_log.compress_values = false },
    Arm { name: "values lz4", fix: |config| config.value_log.compression_algorithm = Codec::Lz4 },
    Arm { name: "values zstd", fix: |config| config.value_log.compression_algorithm = Codec::Zstd },
    Arm { name: "values snappy", fix: |config| config.value_log.compression_algorithm = Codec::Snappy },
    Arm { name: "tables raw", fix: |config| config.sst.compression = Codec::None },
    Arm { name: "tables zstd", fix: |config| config.sst.compression = Codec::Zstd },
    Arm { name: "tables snappy", fix: |config| config.sst.compression = Codec::Snappy },
    Arm { name: "no learned index", fix: |config| config.learned_index.enabled = false },
    Arm { name: "not mapped", fix: |config| config.performance.memory_mapped = false },
    Arm { name: "two caches", fix: |config| config.cache.unified_cache = false },
    Arm { name: "tiny caches", fix: |config| config.cache = tiny_caches(config.cache.unified_cache) },
    Arm { name: "manual sync", fix: |config| config.wal.sync_policy = SyncPolicy::Manual },
    Arm { name: "sync every 3 writes", fix: |config| config.wal.sync_policy = SyncPolicy::EveryNWrites(3) },
    Arm { name: "leader syncs", fix: |config| config.wal.async_writes = false },
    Arm {
        name: "radix tree memtables",
        fix: |config| config.memtable.implementation = MemtableImplementation::Art,
    },
    Arm { name: "memtables capped", fix: large_memtables },
    Arm { name: "memtables capped, writers wait", fix: large_memtables },
    Arm { name: "no filters", fix: |config| config.sst.use_bloom_filters = false },
];

fn tiny_caches(unified: bool) -> CacheConfig {
    let sizes = CacheConfig::default().with_block_cache_size(1000u64).with_vlog_cache_size(500u64);
    sizes.with_unified_cache(unified)
}

/// Knobs drawn at random, then `arm`'s choice.
pub fn draw(random: &mut Random, arm: &Arm) -> Config {
    let mut config = tiny();
    let codecs = [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    config.value_log.separation_threshold = random.pick(&[0, 24, 24, 200, 1 << 10, NONE]);
    config.value_log.compression_algorithm = random.pick(&codecs);
    config.value_log.max_segment_size = random.pick(&[4 << 10, 64 << 10]);
    config.value_log.write_queues = random.pick(&[1, 2, 4]);
    config.sst.compression = random.pick(&codecs);
    config.sst.block_size = random.pick(&[64, 256, 256, 4096]);
    config.sst.bloom_bits_per_key = random.pick(&[1.5, 10.0]);
    config.memtable.flush_threshold = random.pick(&[0.3, 0.8, 1.0]);
    config.memtable.implementation =
        random.pick(&[MemtableImplementation::SkipList, MemtableImplementation::Art]);
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
    config.cache.unified_cache = random.one_in(2);
    config.cache.eviction_policy = random.pick(&[EvictionPolicy::Lru, EvictionPolicy::Arc]);
    if random.one_in(4) {
        config.cache = tiny_caches(config.cache.unified_cache);
    }
    (arm.fix)(&mut config);
    config
}
