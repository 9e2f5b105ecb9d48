use super::*;
use crate::base::{Codec, ErrorKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every knob of the specification with its default there; paths follow `db_path` when null.
fn specification() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("db_path", json!("./auradb_data")),
        ("wal.wal_path", Value::Null),
        ("wal.max_file_size", json!(64 << 20)),
        ("wal.async_writes", json!(true)),
        ("wal.sync_policy", json!("EveryWrite")),
        ("wal.buffer_size", json!(64 << 10)),
        ("wal.recycled_files", json!(1)),
        ("value_log.vlog_path", Value::Null),
        ("value_log.max_segment_size", json!(256 << 20)),
        ("value_log.separation_threshold", json!(1 << 10)),
        ("value_log.synced_separation_threshold", json!(128 << 10)),
        ("value_log.write_queues", json!(4)),
        ("value_log.cache_size", json!(64 << 20)),
        ("value_log.compress_values", json!(true)),
        ("value_log.compression_algorithm", json!("Lz4")),
        ("value_log.max_space_amp", json!(1.4)),
        ("value_log.garbage_collection", json!(true)),
        ("value_log.ttl", Value::Null),
        ("memtable.max_size", json!(64 << 20)),
        ("memtable.flush_threshold", json!(0.8)),
        ("memtable.implementation", json!("SkipList")),
        ("memtable.count", json!(2)),
        ("sst.sst_path", Value::Null),
        ("sst.target_file_size", json!(64 << 20)),
        ("sst.block_size", json!(64 << 10)),
        ("sst.use_bloom_filters", json!(true)),
        ("sst.bloom_bits_per_key", json!(10.0)),
        ("sst.use_ribbon_filters", json!(false)),
        ("sst.compression", json!("Lz4")),
        ("compaction.strategy", json!("Leveled")),
        ("compaction.max_threads", json!(4)),
        ("compaction.io_rate_limit", json!(100)),
        ("compaction.use_rl_agent", json!(true)),
        ("compaction.triggers.level0_files", json!(4)),
        ("compaction.triggers.level_size_ratio", json!(10.0)),
        ("compaction.triggers.write_amplification", json!(5.0)),
        ("cache.block_cache_size", json!(256 << 20)),
        ("cache.vlog_cache_size", json!(64 << 20)),
        ("cache.eviction_policy", json!("Arc")),
        ("cache.unified_cache", json!(true)),
        ("learned_index.enabled", json!(true)),
        ("learned_index.model_type", json!("PiecewiseLinear")),
        ("learned_index.training_frequency", json!(10_000)),
        ("learned_index.online_tuning", json!(true)),
        ("learned_index.fallback_method", json!("BinarySearch")),
        ("rl_agent.enabled", json!(true)),
        ("rl_agent.learning_rate", json!(0.01)),
        ("rl_agent.exploration_rate", json!(0.1)),
        ("rl_agent.state_update_frequency", json!(1000)),
        ("rl_agent.offline_training", json!(false)),
        ("rl_agent.training_data_path", Value::Null),
        ("performance.worker_threads", json!("cores")),
        ("performance.io_buffer_size", json!(1 << 20)),
        ("performance.direct_io", json!(false)),
        ("performance.direct_reads", json!(false)),
        ("performance.direct_background_writes", json!(false)),
        ("performance.memory_mapped", json!(true)),
        ("performance.numa_aware", json!(false)),
    ])
}

fn leaves(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, field, into);
            }
        }
        _ => {
            into.insert(path.to_string(), value.clone());
        }
    }
}

#[test]
fn defaults_are_the_specification_but_for_what_comes_later() {
    let mut expected: BTreeMap<String, Value> =
        specification().into_iter().map(|(path, value)| (path.to_string(), value)).collect();
    for later in ["compaction.use_rl_agent", "learned_index.online_tuning", "rl_agent.enabled"] {
        assert_eq!(expected.insert(later.to_string(), json!(false)), Some(json!(true)));
    }
    let mut got = BTreeMap::new();
    leaves("", &serde_json::to_value(Config::default()).unwrap(), &mut got);
    assert_eq!(got, expected);
    Config::default().validate().unwrap();
}

type Change = fn(&mut Config);

fn after(change: Change) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn check_refusals(kind: ErrorKind, cases: &[(Change, &str)]) {
    for (change, expected) in cases {
        let error = after(*change).validate().expect_err(expected);
        assert_eq!((error.kind(), error.message()), (kind, *expected));
    }
}

#[test]
fn values_out_of_range_are_invalid_by_name() {
    check_refusals(
        ErrorKind::InvalidArgument,
        &[
            (|c| c.db_path = "".into(), "db_path: \"\" must not be empty"),
            (|c| c.wal.wal_path = Some("".into()), "wal.wal_path: \"\" must not be empty"),
            (|c| c.wal.max_file_size = 0, "wal.max_file_size: 0 must be at least 4096"),
            (
                |c| c.wal.max_file_size = 1 << 41,
                "wal.max_file_size: 2199023255552 must be at most 1099511627776",
            ),
            (|c| c.wal.buffer_size = 0, "wal.buffer_size: 0 must be at least 4096"),
            (|c| c.wal.buffer_size = 1 << 31, "wal.buffer_size: 2147483648 must be at most 1073741824"),
            (|c| c.wal.recycled_files = 2000, "wal.recycled_files: 2000 must be at most 1024"),
            (
                |c| c.wal.sync_policy = SyncPolicy::EveryNWrites(0),
                "wal.sync_policy: EveryNWrites(0) must be from 1 to 4294967295",
            ),
            (
                |c| c.wal.sync_policy = SyncPolicy::EveryNMs(0),
                "wal.sync_policy: EveryNMs(0) must be from 1 to 3600000",
            ),
            (
                |c| c.wal.sync_policy = SyncPolicy::EveryNMs(3_600_001),
                "wal.sync_policy: EveryNMs(3600001) must be from 1 to 3600000",
            ),
            (|c| c.value_log.vlog_path = Some("".into()), "value_log.vlog_path: \"\" must not be empty"),
            (|c| c.value_log.max_segment_size = 0, "value_log.max_segment_size: 0 must be at least 4096"),
            (
                |c| c.value_log.separation_threshold = (256 << 20) + 1,
                "value_log.separation_threshold: 268435457 must be at most value_log.max_segment_size, which is \
                 268435456, or none",
            ),
            (
                |c| c.value_log.synced_separation_threshold = (1 << 30) + 1,
                "value_log.synced_separation_threshold: 1073741825 must be at most 1073741824",
            ),
            (|c| c.value_log.write_queues = 0, "value_log.write_queues: 0 must be at least 1"),
            (|c| c.value_log.write_queues = 65, "value_log.write_queues: 65 must be at most 64"),
            (|c| c.value_log.cache_size = 0, "value_log.cache_size: 0 must be at least 1"),
            (
                |c| c.value_log.max_space_amp = 1.0,
                "value_log.max_space_amp: 1 must be above 1 and at most 100",
            ),
            (
                |c| c.value_log.max_space_amp = f64::NAN,
                "value_log.max_space_amp: NaN must be above 1 and at most 100",
            ),
            (|c| c.value_log.ttl = Some(0), "value_log.ttl: 0 must be at least 1"),
            (
                |c| {
                    c.value_log.cache_size = 7;
                    c.cache.vlog_cache_size = 8;
                },
                "value_log.cache_size: 7 contradicts cache.vlog_cache_size, which is 8: one budget, so set one of \
                 them",
            ),
            (|c| c.memtable.max_size = 0, "memtable.max_size: 0 must be at least 4096"),
            (
                |c| c.memtable.flush_threshold = 0.0,
                "memtable.flush_threshold: 0 must be above 0 and at most 1",
            ),
            (
                |c| c.memtable.flush_threshold = 1.5,
                "memtable.flush_threshold: 1.5 must be above 0 and at most 1",
            ),
            (
                |c| c.memtable.flush_threshold = f64::NAN,
                "memtable.flush_threshold: NaN must be above 0 and at most 1",
            ),
            (|c| c.memtable.count = 1, "memtable.count: 1 must be at least 2"),
            (|c| c.sst.sst_path = Some("".into()), "sst.sst_path: \"\" must not be empty"),
            (|c| c.sst.target_file_size = 0, "sst.target_file_size: 0 must be at least 4096"),
            (|c| c.sst.block_size = 0, "sst.block_size: 0 must be at least 64"),
            (|c| c.sst.block_size = 1 << 25, "sst.block_size: 33554432 must be at most 16777216"),
            (|c| c.sst.bloom_bits_per_key = 0.0, "sst.bloom_bits_per_key: 0 must be above 0 and at most 100"),
            (
                |c| c.sst.bloom_bits_per_key = f64::INFINITY,
                "sst.bloom_bits_per_key: inf must be above 0 and at most 100",
            ),
        ],
    );
}

#[test]
fn values_out_of_range_are_invalid_by_name_also_in_the_background() {
    check_refusals(
        ErrorKind::InvalidArgument,
        &[
            (|c| c.compaction.max_threads = 0, "compaction.max_threads: 0 must be at least 1"),
            (
                |c| c.compaction.io_rate_limit = Some(0),
                "compaction.io_rate_limit: 0 must be at least 1, or none for no limit",
            ),
            (
                |c| c.compaction.io_rate_limit = Some(u64::MAX),
                "compaction.io_rate_limit: 18446744073709551615 must be at most 1000000",
            ),
            (
                |c| c.compaction.triggers.level0_files = 0,
                "compaction.triggers.level0_files: 0 must be at least 1",
            ),
            (
                |c| c.compaction.triggers.level_size_ratio = 1.9,
                "compaction.triggers.level_size_ratio: 1.9 must be at least 2",
            ),
            (
                |c| c.compaction.triggers.level_size_ratio = f64::NAN,
                "compaction.triggers.level_size_ratio: NaN must be at least 2",
            ),
            (
                |c| c.compaction.triggers.write_amplification = 0.5,
                "compaction.triggers.write_amplification: 0.5 must be at least 1",
            ),
            (|c| c.cache.block_cache_size = 0, "cache.block_cache_size: 0 must be at least 1"),
            (|c| c.cache.vlog_cache_size = 0, "cache.vlog_cache_size: 0 must be at least 1"),
            (
                |c| c.learned_index.training_frequency = 0,
                "learned_index.training_frequency: 0 must be at least 1",
            ),
            (|c| c.rl_agent.learning_rate = 0.0, "rl_agent.learning_rate: 0 must be above 0 and at most 1"),
            (|c| c.rl_agent.exploration_rate = 2.0, "rl_agent.exploration_rate: 2 must be at most 1"),
            (
                |c| c.rl_agent.state_update_frequency = 0,
                "rl_agent.state_update_frequency: 0 must be at least 1",
            ),
            (
                |c| c.rl_agent.training_data_path = Some("".into()),
                "rl_agent.training_data_path: \"\" must not be empty",
            ),
            (|c| c.performance.worker_threads = 0, "performance.worker_threads: 0 must be at least 1"),
            (|c| c.performance.io_buffer_size = 0, "performance.io_buffer_size: 0 must be at least 4096"),
        ],
    );
}

#[test]
fn what_comes_later_is_not_implemented_by_name() {
    check_refusals(
        ErrorKind::NotImplemented,
        &[
            (
                |c| c.sst.use_ribbon_filters = true,
                "sst.use_ribbon_filters: true comes with a later version; use false",
            ),
            (
                |c| c.compaction.strategy = CompactionStrategy::Tiered,
                "compaction.strategy: Tiered comes with a later version; use Leveled",
            ),
            (
                |c| c.compaction.strategy = CompactionStrategy::Flexible,
                "compaction.strategy: Flexible comes with a later version; use Leveled",
            ),
            (
                |c| c.compaction.use_rl_agent = true,
                "compaction.use_rl_agent: true comes with a later version; use false",
            ),
            (
                |c| c.compaction.triggers.write_amplification = 6.0,
                "compaction.triggers.write_amplification: 6.0 comes with a later version; use 5.0",
            ),
            (
                |c| c.cache.eviction_policy = EvictionPolicy::TinyLfu,
                "cache.eviction_policy: TinyLfu comes with a later version; use Lru or Arc",
            ),
            (
                |c| c.learned_index.model_type = ModelType::Rmi,
                "learned_index.model_type: Rmi comes with a later version; use PiecewiseLinear",
            ),
            (
                |c| c.learned_index.model_type = ModelType::TinyNn,
                "learned_index.model_type: TinyNn comes with a later version; use PiecewiseLinear",
            ),
            (
                |c| c.learned_index.training_frequency = 5,
                "learned_index.training_frequency: 5 comes with a later version; use 10000",
            ),
            (
                |c| c.learned_index.online_tuning = true,
                "learned_index.online_tuning: true comes with a later version; use false",
            ),
            (
                |c| c.learned_index.fallback_method = FallbackMethod::BloomScan,
                "learned_index.fallback_method: BloomScan comes with a later version; use BinarySearch",
            ),
            (|c| c.rl_agent.enabled = true, "rl_agent.enabled: true comes with a later version; use false"),
            (
                |c| c.rl_agent.learning_rate = 0.5,
                "rl_agent.learning_rate: 0.5 comes with a later version; use 0.01",
            ),
            (
                |c| c.rl_agent.exploration_rate = 0.0,
                "rl_agent.exploration_rate: 0.0 comes with a later version; use 0.1",
            ),
            (
                |c| c.rl_agent.state_update_frequency = 5,
                "rl_agent.state_update_frequency: 5 comes with a later version; use 1000",
            ),
            (
                |c| c.rl_agent.offline_training = true,
                "rl_agent.offline_training: true comes with a later version; use false",
            ),
            (
                |c| c.rl_agent.training_data_path = Some("t".into()),
                "rl_agent.training_data_path: \"t\" comes with a later version; leave it out",
            ),
            (
                |c| c.performance.numa_aware = true,
                "performance.numa_aware: true comes with a later version; use false",
            ),
        ],
    );
    let cores = num_cpus::get();
    let performance = PerformanceConfig::default().with_worker_threads(cores + 1);
    let error = Config::default().with_performance(performance).validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Not implemented: performance.worker_threads: {} comes with a later version; \
             use {cores}, the number of cores",
            cores + 1
        )
    );
}

#[test]
fn a_wrong_value_is_called_wrong_before_an_early_one() {
    let config = after(|c| {
        c.compaction.strategy = CompactionStrategy::Tiered;
        c.performance.io_buffer_size = 1;
    });
    let text = config.validate().unwrap_err().to_string();
    assert_eq!(text, "Invalid argument: performance.io_buffer_size: 1 must be at least 4096");
}

/// Away from the default in everything that is supported, at the ends of the ranges.
fn customised() -> Config {
    Config::new("/data/db")
        .with_wal(
            WalConfig::default()
                .with_wal_path("/fast/wal")
                .with_max_file_size(4096)
                .with_async_writes(false)
                .with_sync_policy(SyncPolicy::EveryNWrites(5))
                .with_buffer_size(1 << 30)
                .with_recycled_files(0usize),
        )
        .with_value_log(
            ValueLogConfig::default()
                .with_vlog_path("/big/values")
                .with_max_segment_size(1 << 40)
                .with_separation_threshold(u64::MAX)
                .with_synced_separation_threshold(1u64 << 30)
                .with_write_queues(1)
                .with_cache_size(1)
                .with_compress_values(false)
                .with_compression_algorithm(Codec::Zstd)
                .with_max_space_amp(1.1)
                .with_garbage_collection(false)
                .with_ttl(None),
        )
        .with_memtable(
            MemtableConfig::default()
                .with_max_size(4096)
                .with_flush_threshold(1.0)
                .with_implementation(MemtableImplementation::Art)
                .with_count(3),
        )
        .with_sst(
            SstConfig::default()
                .with_sst_path("/tables")
                .with_target_file_size(4096)
                .with_block_size(64)
                .with_use_bloom_filters(false)
                .with_bloom_bits_per_key(0.5)
                .with_use_ribbon_filters(false)
                .with_compression(Codec::None),
        )
        .with_compaction(
            CompactionConfig::default()
                .with_strategy(CompactionStrategy::Leveled)
                .with_max_threads(1)
                .with_io_rate_limit(None)
                .with_use_rl_agent(false)
                .with_triggers(
                    CompactionTriggers::default()
                        .with_level0_files(1)
                        .with_level_size_ratio(2.0)
                        .with_write_amplification(5.0),
                ),
        )
        .with_cache(
            CacheConfig::default()
                .with_block_cache_size(1)
                .with_vlog_cache_size(1)
                .with_eviction_policy(EvictionPolicy::Lru)
                .with_unified_cache(false),
        )
        .with_learned_index(
            LearnedIndexConfig::default()
                .with_enabled(false)
                .with_model_type(ModelType::PiecewiseLinear)
                .with_training_frequency(10_000)
                .with_online_tuning(false)
                .with_fallback_method(FallbackMethod::BinarySearch),
        )
        .with_rl_agent(
            RlAgentConfig::default()
                .with_enabled(false)
                .with_learning_rate(0.01)
                .with_exploration_rate(0.1)
                .with_state_update_frequency(1000)
                .with_offline_training(false),
        )
        .with_performance(
            PerformanceConfig::default()
                .with_worker_threads(num_cpus::get())
                .with_io_buffer_size(4096)
                .with_direct_io(true)
                .with_direct_reads(true)
                .with_direct_background_writes(true)
                .with_memory_mapped(false)
                .with_numa_aware(false),
        )
}

#[test]
fn builders_set_what_they_name() {
    let config = customised();
    config.validate().unwrap();
    let mut got = BTreeMap::new();
    leaves("", &serde_json::to_value(&config).unwrap(), &mut got);
    let expected = [
        ("db_path", json!("/data/db")),
        ("wal.wal_path", json!("/fast/wal")),
        ("wal.max_file_size", json!(4096)),
        ("wal.async_writes", json!(false)),
        ("wal.sync_policy.EveryNWrites", json!(5)),
        ("wal.buffer_size", json!(1 << 30)),
        ("wal.recycled_files", json!(0)),
        ("value_log.vlog_path", json!("/big/values")),
        ("value_log.max_segment_size", json!(1u64 << 40)),
        ("value_log.separation_threshold", json!("none")),
        ("value_log.synced_separation_threshold", json!(1 << 30)),
        ("value_log.write_queues", json!(1)),
        ("value_log.cache_size", json!(1)),
        ("value_log.compress_values", json!(false)),
        ("value_log.compression_algorithm", json!("Zstd")),
        ("value_log.max_space_amp", json!(1.1)),
        ("value_log.garbage_collection", json!(false)),
        ("memtable.max_size", json!(4096)),
        ("memtable.flush_threshold", json!(1.0)),
        ("memtable.implementation", json!("Art")),
        ("memtable.count", json!(3)),
        ("sst.sst_path", json!("/tables")),
        ("sst.target_file_size", json!(4096)),
        ("sst.block_size", json!(64)),
        ("sst.use_bloom_filters", json!(false)),
        ("sst.bloom_bits_per_key", json!(0.5)),
        ("sst.compression", json!("None")),
        ("compaction.max_threads", json!(1)),
        ("compaction.io_rate_limit", json!("none")),
        ("compaction.triggers.level0_files", json!(1)),
        ("compaction.triggers.level_size_ratio", json!(2.0)),
        ("cache.block_cache_size", json!(1)),
        ("cache.vlog_cache_size", json!(1)),
        ("cache.eviction_policy", json!("Lru")),
        ("cache.unified_cache", json!(false)),
        ("learned_index.enabled", json!(false)),
        ("performance.io_buffer_size", json!(4096)),
        ("performance.direct_io", json!(true)),
        ("performance.direct_reads", json!(true)),
        ("performance.direct_background_writes", json!(true)),
        ("performance.memory_mapped", json!(false)),
    ];
    for (path, value) in &expected {
        assert_eq!(got.remove(*path).as_ref(), Some(value), "{path}");
    }
    let mut unchanged = BTreeMap::new();
    leaves("", &serde_json::to_value(Config::default()).unwrap(), &mut unchanged);
    for (path, value) in got {
        assert_eq!(Some(&value), unchanged.get(&path), "{path}");
    }
    let agent = RlAgentConfig::default().with_training_data_path("/trace");
    assert_eq!(agent.training_data_path.as_deref(), Some(Path::new("/trace")));
    assert_eq!(Config::default().with_db_path("/x").db_path, Path::new("/x"));
}

#[test]
fn json_and_toml_give_back_what_they_were_given() {
    let mut everything = customised();
    everything.value_log.ttl = Some(60);
    everything.rl_agent.training_data_path = Some("trace".into());
    everything.performance.worker_threads = num_cpus::get() + 3;
    let mut timed = Config::default();
    timed.wal.sync_policy = SyncPolicy::EveryNMs(20);
    for config in [Config::default(), customised(), everything, timed] {
        let text = serde_json::to_string_pretty(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config, "{text}");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
    }
}

#[test]
fn what_is_left_out_is_default_and_words_stand_for_numbers() {
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    let config: Config = toml::from_str(
        "db_path = \"/d\"\n[wal]\nsync_policy = { EveryNWrites = 5 }\n[value_log]\nseparation_threshold = \"none\"\n\
         [compaction]\nio_rate_limit = \"none\"\n[compaction.triggers]\nlevel_size_ratio = 8\n\
         [performance]\nworker_threads = \"cores\"\n",
    )
    .unwrap();
    assert_eq!(config.db_path, Path::new("/d"));
    assert_eq!(config.wal.sync_policy, SyncPolicy::EveryNWrites(5));
    assert_eq!(config.value_log.separation_threshold, u64::MAX);
    assert_eq!(config.compaction.io_rate_limit, None);
    assert_eq!(config.compaction.triggers.level_size_ratio, 8.0);
    assert_eq!(config.performance.worker_threads, num_cpus::get());
    let json =
        r#"{"value_log": {"separation_threshold": 18446744073709551615}, "wal": {"sync_policy": "Manual"}}"#;
    let config: Config = serde_json::from_str(json).unwrap();
    assert_eq!(config.value_log.separation_threshold, u64::MAX);
    assert_eq!(config.wal.sync_policy, SyncPolicy::Manual);
}

#[test]
fn one_knob_turns_all_direct_io_on() {
    for (both, reads, writes) in
        [(false, false, false), (false, true, false), (false, false, true), (true, false, false)]
    {
        let mut config = Config::default();
        config.performance.direct_io = both;
        config.performance.direct_reads = reads;
        config.performance.direct_background_writes = writes;
        config.validate().unwrap();
        assert_eq!(config.reads_are_direct(), both || reads);
        assert_eq!(config.background_writes_are_direct(), both || writes);
    }
}

#[test]
fn unknown_names_are_errors() {
    let sections = [
        "wal",
        "value_log",
        "memtable",
        "sst",
        "compaction",
        "cache",
        "learned_index",
        "rl_agent",
        "performance",
    ];
    for section in sections {
        let error =
            serde_json::from_str::<Config>(&format!("{{\"{section}\": {{\"no_such\": 1}}}}")).unwrap_err();
        assert!(error.to_string().contains("unknown field `no_such`"), "{error}");
        let error = toml::from_str::<Config>(&format!("[{section}]\nno_such = 1\n")).unwrap_err();
        assert!(error.to_string().contains("unknown field `no_such`"), "{error}");
    }
    for (text, says) in [
        (r#"{"no_such": 1}"#, "unknown field `no_such`"),
        (r#"{"compaction": {"triggers": {"no_such": 1}}}"#, "unknown field `no_such`"),
        (r#"{"wal": {"sync_policy": "Sometimes"}}"#, "unknown variant `Sometimes`"),
        (r#"{"sst": {"compression": "lz5"}}"#, "unknown variant `lz5`"),
        (r#"{"value_log": {"separation_threshold": "all"}}"#, "expected a whole number or \"none\""),
        (r#"{"value_log": {"separation_threshold": -1}}"#, "expected a whole number or \"none\""),
        (r#"{"performance": {"worker_threads": "many"}}"#, "expected a whole number or \"cores\""),
    ] {
        let error = serde_json::from_str::<Config>(text).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn directories_follow_the_database_unless_set() {
    let config = Config::new("/data/db");
    let dirs = [config.wal_dir(), config.vlog_dir(), config.sst_dir()];
    assert_eq!(dirs, [Path::new("/data/db/wal"), Path::new("/data/db/vlog"), Path::new("/data/db/sst")]);
    let config = customised().with_db_path("/elsewhere");
    let dirs = [config.wal_dir(), config.vlog_dir(), config.sst_dir()];
    assert_eq!(dirs, [Path::new("/fast/wal"), Path::new("/big/values"), Path::new("/tables")]);
}

#[test]
fn the_value_budget_is_whichever_was_set() {
    let default = Config::default();
    assert_eq!(default.value_cache_bytes(), 64 << 20);
    for (one, other, effective) in [(5, 64 << 20, 5), (64 << 20, 6, 6), (7, 7, 7)] {
        let mut config = default.clone();
        config.value_log.cache_size = one;
        config.cache.vlog_cache_size = other;
        config.validate().unwrap();
        assert_eq!(config.value_cache_bytes(), effective);
    }
}
