//! The default of every knob, in one place.

use super::*;
use crate::base::Codec;

const MIB: u64 = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Config {
            db_path: "./auradb_data".into(),
            wal: WalConfig::default(),
            value_log: ValueLogConfig::default(),
            memtable: MemtableConfig::default(),
            sst: SstConfig::default(),
            compaction: CompactionConfig::default(),
            cache: CacheConfig::default(),
            learned_index: LearnedIndexConfig::default(),
            rl_agent: RlAgentConfig::default(),
            performance: PerformanceConfig::default(),
        }
    }
}

impl Default for WalConfig {
    fn default() -> Self {
        WalConfig {
            wal_path: None,
            max_file_size: 64 * MIB,
            async_writes: true,
            sync_policy: SyncPolicy::EveryWrite,
            buffer_size: 64 << 10,
            recycled_files: 1,
        }
    }
}

impl Default for ValueLogConfig {
    fn default() -> Self {
        ValueLogConfig {
            vlog_path: None,
            max_segment_size: 256 * MIB,
            separation_threshold: 1 << 10,
            synced_separation_threshold: 128 << 10,
            write_queues: 4,
            cache_size: 64 * MIB,
            compress_values: true,
            compression_algorithm: Codec::Lz4,
            max_space_amp: 1.4,
            garbage_collection: true,
            ttl: None,
        }
    }
}

impl Default for MemtableConfig {
    fn default() -> Self {
        MemtableConfig {
            max_size: 64 * MIB,
            flush_threshold: 0.8,
            implementation: MemtableImplementation::SkipList,
            count: 2,
        }
    }
}

impl Default for SstConfig {
    fn default() -> Self {
        SstConfig {
            sst_path: None,
            target_file_size: 64 * MIB,
            block_size: 64 << 10,
            use_bloom_filters: true,
            bloom_bits_per_key: 10.0,
            use_ribbon_filters: false,
            compression: Codec::Lz4,
        }
    }
}

impl Default for CompactionConfig {
    fn default() -> Self {
        CompactionConfig {
            strategy: CompactionStrategy::Leveled,
            max_threads: 4,
            io_rate_limit: Some(100),
            use_rl_agent: false,
            triggers: CompactionTriggers::default(),
        }
    }
}

impl Default for CompactionTriggers {
    fn default() -> Self {
        CompactionTriggers { level0_files: 4, level_size_ratio: 10.0, write_amplification: 5.0 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            block_cache_size: 256 * MIB,
            vlog_cache_size: 64 * MIB,
            eviction_policy: EvictionPolicy::Arc,
            unified_cache: true,
        }
    }
}

impl Default for LearnedIndexConfig {
    fn default() -> Self {
        LearnedIndexConfig {
            enabled: true,
            model_type: ModelType::PiecewiseLinear,
            training_frequency: 10_000,
            online_tuning: false,
            fallback_method: FallbackMethod::BinarySearch,
        }
    }
}

impl Default for RlAgentConfig {
    fn default() -> Self {
        RlAgentConfig {
            enabled: false,
            learning_rate: 0.01,
            exploration_rate: 0.1,
            state_update_frequency: 1000,
            offline_training: false,
            training_data_path: None,
        }
    }
}

impl Default for PerformanceConfig {
    fn default() -> Self {
        PerformanceConfig {
            worker_threads: num_cpus::get(),
            io_buffer_size: 1 << 20,
            direct_io: false,
            direct_reads: false,
            direct_background_writes: false,
            memory_mapped: true,
            numa_aware: false,
        }
    }
}
