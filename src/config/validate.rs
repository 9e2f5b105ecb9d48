//! The rules of `Config::validate()`. First every range, then what this version does not have yet, so that a wrong
//! value is called wrong even where no value but one is supported.

use super::*;
use crate::base::Error;
use std::fmt::{Debug, Display};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Everything that is wrong in any version.
pub(super) fn ranges(config: &Config) -> Result<()> {
    directory("db_path", &config.db_path)?;
    wal(&config.wal)?;
    value_log(&config.value_log)?;
    memtable(&config.memtable)?;
    sst(&config.sst)?;
    compaction(&config.compaction)?;
    cache(config)?;
    learning(&config.learned_index, &config.rl_agent)?;
    let performance = &config.performance;
    within("performance.worker_threads", performance.worker_threads, 1, 65_535)?;
    within("performance.io_buffer_size", performance.io_buffer_size as u64, 4 * KIB, GIB)
}

fn wal(wal: &WalConfig) -> Result<()> {
    optional_directory("wal.wal_path", &wal.wal_path)?;
    within("wal.max_file_size", wal.max_file_size, 4 * KIB, TIB)?;
    within("wal.buffer_size", wal.buffer_size, 4 * KIB, GIB)?;
    within("wal.recycled_files", wal.recycled_files as u64, 0, 1024)?;
    let (count, most) = match wal.sync_policy {
        SyncPolicy::EveryNWrites(writes) => (writes, u32::MAX.into()),
        SyncPolicy::EveryNMs(milliseconds) => (milliseconds, 3_600_000),
        SyncPolicy::EveryWrite | SyncPolicy::Manual => return Ok(()),
    };
    if (1..=most).contains(&count) {
        return Ok(());
    }
    invalid(
        "wal.sync_policy",
        format_args!("{:?}", wal.sync_policy),
        format_args!("must be from 1 to {most}"),
    )
}

fn value_log(value_log: &ValueLogConfig) -> Result<()> {
    optional_directory("value_log.vlog_path", &value_log.vlog_path)?;
    within("value_log.max_segment_size", value_log.max_segment_size, 4 * KIB, TIB)?;
    let (threshold, segment) = (value_log.separation_threshold, value_log.max_segment_size);
    if threshold > segment && threshold != u64::MAX {
        let why = format!("must be at most value_log.max_segment_size, which is {segment}, or none");
        return invalid("value_log.separation_threshold", threshold, why);
    }
    within("value_log.synced_separation_threshold", value_log.synced_separation_threshold, 0, GIB)?;
    within("value_log.write_queues", value_log.write_queues, 1, 64)?;
    within("value_log.cache_size", value_log.cache_size, 1, 1024 * TIB)?;
    let bound = value_log.max_space_amp;
    if !(bound > 1.0 && bound <= 100.0) {
        return invalid("value_log.max_space_amp", bound, "must be above 1 and at most 100");
    }
    within("value_log.ttl", value_log.ttl.unwrap_or(1), 1, i64::MAX as u64)
}

fn memtable(memtable: &MemtableConfig) -> Result<()> {
    within("memtable.max_size", memtable.max_size, 4 * KIB, TIB)?;
    share("memtable.flush_threshold", memtable.flush_threshold)?;
    within("memtable.count", memtable.count, 2, 1024)
}

fn sst(sst: &SstConfig) -> Result<()> {
    optional_directory("sst.sst_path", &sst.sst_path)?;
    within("sst.target_file_size", sst.target_file_size, 4 * KIB, TIB)?;
    within("sst.block_size", sst.block_size as u64, 64, 16 * MIB)?;
    let bits = sst.bloom_bits_per_key;
    if !(bits > 0.0 && bits <= 100.0) {
        return invalid("sst.bloom_bits_per_key", bits, "must be above 0 and at most 100");
    }
    Ok(())
}

fn compaction(compaction: &CompactionConfig) -> Result<()> {
    within("compaction.max_threads", compaction.max_threads, 1, 256)?;
    if compaction.io_rate_limit == Some(0) {
        return invalid("compaction.io_rate_limit", 0, "must be at least 1, or none for no limit");
    }
    within("compaction.io_rate_limit", compaction.io_rate_limit.unwrap_or(1), 1, 1_000_000)?;
    let triggers = &compaction.triggers;
    within("compaction.triggers.level0_files", triggers.level0_files, 1, 10_000)?;
    within("compaction.triggers.level_size_ratio", triggers.level_size_ratio, 2.0, 1000.0)?;
    within("compaction.triggers.write_amplification", triggers.write_amplification, 1.0, 1000.0)
}

fn cache(config: &Config) -> Result<()> {
    let cache = &config.cache;
    within("cache.block_cache_size", cache.block_cache_size, 1, 1024 * TIB)?;
    within("cache.vlog_cache_size", cache.vlog_cache_size, 1, 1024 * TIB)?;
    let (one, other) = (config.value_log.cache_size, cache.vlog_cache_size);
    let both_set =
        one != ValueLogConfig::default().cache_size && other != CacheConfig::default().vlog_cache_size;
    if both_set && one != other {
        let why =
            format!("contradicts cache.vlog_cache_size, which is {other}: one budget, so set one of them");
        return invalid("value_log.cache_size", one, why);
    }
    Ok(())
}

fn learning(index: &LearnedIndexConfig, agent: &RlAgentConfig) -> Result<()> {
    within("learned_index.training_frequency", index.training_frequency, 1, i64::MAX as u64)?;
    share("rl_agent.learning_rate", agent.learning_rate)?;
    within("rl_agent.exploration_rate", agent.exploration_rate, 0.0, 1.0)?;
    within("rl_agent.state_update_frequency", agent.state_update_frequency, 1, i64::MAX as u64)?;
    optional_directory("rl_agent.training_data_path", &agent.training_data_path)
}

/// What this version does not do yet (K1).
pub(super) fn supported(config: &Config) -> Result<()> {
    let default = Config::default();
    same("sst.use_ribbon_filters", &config.sst.use_ribbon_filters, &default.sst.use_ribbon_filters)?;
    only("compaction.strategy", &config.compaction.strategy, &[CompactionStrategy::Leveled])?;
    let (seen, known) = (&config.compaction, &default.compaction);
    same("compaction.use_rl_agent", &seen.use_rl_agent, &known.use_rl_agent)?;
    let (seen, known) = (&seen.triggers, &known.triggers);
    same("compaction.triggers.write_amplification", &seen.write_amplification, &known.write_amplification)?;
    only(
        "cache.eviction_policy",
        &config.cache.eviction_policy,
        &[EvictionPolicy::Lru, EvictionPolicy::Arc],
    )?;
    supported_learning(config, &default)?;
    let (seen, known) = (&config.performance, &default.performance);
    same("performance.numa_aware", &seen.numa_aware, &known.numa_aware)?;
    if seen.worker_threads != known.worker_threads {
        let cores = format!("use {}, the number of cores", known.worker_threads);
        return later("performance.worker_threads", seen.worker_threads, cores);
    }
    Ok(())
}

fn supported_learning(config: &Config, default: &Config) -> Result<()> {
    let (seen, known) = (&config.learned_index, &default.learned_index);
    only("learned_index.model_type", &seen.model_type, &[ModelType::PiecewiseLinear])?;
    same("learned_index.training_frequency", &seen.training_frequency, &known.training_frequency)?;
    same("learned_index.online_tuning", &seen.online_tuning, &known.online_tuning)?;
    only("learned_index.fallback_method", &seen.fallback_method, &[FallbackMethod::BinarySearch])?;
    let (seen, known) = (&config.rl_agent, &default.rl_agent);
    same("rl_agent.enabled", &seen.enabled, &known.enabled)?;
    same("rl_agent.learning_rate", &seen.learning_rate, &known.learning_rate)?;
    same("rl_agent.exploration_rate", &seen.exploration_rate, &known.exploration_rate)?;
    same("rl_agent.state_update_frequency", &seen.state_update_frequency, &known.state_update_frequency)?;
    same("rl_agent.offline_training", &seen.offline_training, &known.offline_training)?;
    unset("rl_agent.training_data_path", &seen.training_data_path)
}

/// `least <= value <= most`; a NaN is neither.
fn within<T: PartialOrd + Display>(knob: &str, value: T, least: T, most: T) -> Result<()> {
    if value > most {
        return invalid(knob, value, format_args!("must be at most {most}"));
    }
    if value >= least {
        return Ok(());
    }
    invalid(knob, value, format_args!("must be at least {least}"))
}

/// In (0, 1].
fn share(knob: &str, value: f64) -> Result<()> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    invalid(knob, value, "must be above 0 and at most 1")
}

fn directory(knob: &str, path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return invalid(knob, "\"\"", "must not be empty");
    }
    Ok(())
}

fn optional_directory(knob: &str, path: &Option<PathBuf>) -> Result<()> {
    path.as_deref().map_or(Ok(()), |path| directory(knob, path))
}

fn same<T: PartialEq + Debug>(knob: &str, value: &T, default: &T) -> Result<()> {
    if value == default {
        Ok(())
    } else {
        later(knob, format_args!("{value:?}"), format_args!("use {default:?}"))
    }
}

fn only<T: PartialEq + Debug>(knob: &str, value: &T, choices: &[T]) -> Result<()> {
    if choices.contains(value) {
        return Ok(());
    }
    let choices: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    later(knob, format_args!("{value:?}"), format_args!("use {}", choices.join(" or ")))
}

fn unset<T: Debug>(knob: &str, value: &Option<T>) -> Result<()> {
    match value {
        None => Ok(()),
        Some(value) => later(knob, format_args!("{value:?}"), "leave it out"),
    }
}

fn invalid(knob: &str, value: impl Display, why: impl Display) -> Result<()> {
    Err(Error::invalid_argument(format!("{knob}: {value} {why}")))
}

fn later(knob: &str, value: impl Display, instead: impl Display) -> Result<()> {
    Err(Error::not_implemented(format!("{knob}: {value} comes with a later version; {instead}")))
}
