//! `with_*` methods: `with_<section>` on `Config`, `with_<field>` on each section.

use super::*;
use crate::base::Codec;

/// `name: field = type` gives a method `name(self, value: type) -> Self` that sets the field.
macro_rules! setters {
    ($section:ident { $($name:ident: $field:ident = $type:ty,)* }) => {
        impl $section {
            $(
                #[doc = concat!("The same with `", stringify!($field), "` set.")]
                #[must_use]
                pub fn $name(mut self, $field: $type) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}

/// The same for optional paths.
macro_rules! path_setters {
    ($($section:ident { $name:ident: $field:ident })*) => {
        $(
            impl $section {
                #[doc = concat!("The same with `", stringify!($field), "` set.")]
                #[must_use]
                pub fn $name(mut self, $field: impl Into<PathBuf>) -> Self {
                    self.$field = Some($field.into());
                    self
                }
            }
        )*
    };
}

path_setters! {
    WalConfig { with_wal_path: wal_path }
    ValueLogConfig { with_vlog_path: vlog_path }
    SstConfig { with_sst_path: sst_path }
    RlAgentConfig { with_training_data_path: training_data_path }
}

setters!(Config {
    with_db_path: db_path = impl Into<PathBuf>,
    with_wal: wal = WalConfig,
    with_value_log: value_log = ValueLogConfig,
    with_memtable: memtable = MemtableConfig,
    with_sst: sst = SstConfig,
    with_compaction: compaction = CompactionConfig,
    with_cache: cache = CacheConfig,
    with_learned_index: learned_index = LearnedIndexConfig,
    with_rl_agent: rl_agent = RlAgentConfig,
    with_performance: performance = PerformanceConfig,
});

setters!(WalConfig {
    with_max_file_size: max_file_size = u64,
    with_async_writes: async_writes = bool,
    with_sync_policy: sync_policy = SyncPolicy,
    with_buffer_size: buffer_size = u64,
    with_recycled_files: recycled_files = usize,
});

setters!(ValueLogConfig {
    with_max_segment_size: max_segment_size = u64,
    with_separation_threshold: separation_threshold = u64,
    with_synced_separation_threshold: synced_separation_threshold = u64,
    with_write_queues: write_queues = usize,
    with_cache_size: cache_size = u64,
    with_compress_values: compress_values = bool,
    with_compression_algorithm: compression_algorithm = Codec,
    with_max_space_amp: max_space_amp = f64,
    with_garbage_collection: garbage_collection = bool,
    with_ttl: ttl = Option<u64>,
});

setters!(MemtableConfig {
    with_max_size: max_size = u64,
    with_flush_threshold: flush_threshold = f64,
    with_implementation: implementation = MemtableImplementation,
    with_count: count = usize,
});

setters!(SstConfig {
    with_target_file_size: target_file_size = u64,
    with_block_size: block_size = usize,
    with_use_bloom_filters: use_bloom_filters = bool,
    with_bloom_bits_per_key: bloom_bits_per_key = f64,
    with_use_ribbon_filters: use_ribbon_filters = bool,
    with_compression: compression = Codec,
});

setters!(CompactionConfig {
    with_strategy: strategy = CompactionStrategy,
    with_max_threads: max_threads = usize,
    with_io_rate_limit: io_rate_limit = Option<u64>,
    with_use_rl_agent: use_rl_agent = bool,
    with_triggers: triggers = CompactionTriggers,
});

setters!(CompactionTriggers {
    with_level0_files: level0_files = usize,
    with_level_size_ratio: level_size_ratio = f64,
    with_write_amplification: write_amplification = f64,
});

setters!(CacheConfig {
    with_block_cache_size: block_cache_size = u64,
    with_vlog_cache_size: vlog_cache_size = u64,
    with_eviction_policy: eviction_policy = EvictionPolicy,
    with_unified_cache: unified_cache = bool,
});

setters!(LearnedIndexConfig {
    with_enabled: enabled = bool,
    with_model_type: model_type = ModelType,
    with_training_frequency: training_frequency = u64,
    with_online_tuning: online_tuning = bool,
    with_fallback_method: fallback_method = FallbackMethod,
});

setters!(RlAgentConfig {
    with_enabled: enabled = bool,
    with_learning_rate: learning_rate = f64,
    with_exploration_rate: exploration_rate = f64,
    with_state_update_frequency: state_update_frequency = u64,
    with_offline_training: offline_training = bool,
});

setters!(PerformanceConfig {
    with_worker_threads: worker_threads = usize,
    with_io_buffer_size: io_buffer_size = usize,
    with_direct_io: direct_io = bool,
    with_direct_reads: direct_reads = bool,
    with_direct_background_writes: direct_background_writes = bool,
    with_memory_mapped: memory_mapped = bool,
    with_numa_aware: numa_aware = bool,
});
