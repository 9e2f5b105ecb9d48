//! From the C options to the engine's.

use super::super::constants::{auradb_compaction_style_t, auradb_compression_t};
use super::{COMPRESSION_UNSET, auradb_options_t};
use crate::base::{Codec, Error, Result};
use crate::cache::{Cache, EvictionPolicy};
use crate::config::{CompactionStrategy, Config};
use crate::db::{ColumnFamilyOptions, Options};
use crate::wal::RecoveryMode;
use libc::c_int;
use std::path::PathBuf;
use std::sync::Arc;

const FIFO: c_int = auradb_compaction_style_t::auradb_fifo_compaction as c_int;
const UNIVERSAL: c_int = auradb_compaction_style_t::auradb_universal_compaction as c_int;
const LEVEL: c_int = auradb_compaction_style_t::auradb_level_compaction as c_int;

/// The codec of RocksDB's number.
pub fn codec(number: c_int) -> Result<Codec> {
    use auradb_compression_t::*;
    const LZ4HC: c_int = auradb_lz4hc_compression as c_int;
    const ZLIB: c_int = auradb_zlib_compression as c_int;
    const BZ2: c_int = auradb_bz2_compression as c_int;
    const XPRESS: c_int = auradb_xpress_compression as c_int;
    let missing = match number {
        LZ4HC => return Ok(Codec::Lz4),
        ZLIB => "zlib",
        BZ2 => "bzip2",
        XPRESS => "xpress",
        _ => {
            let found = u8::try_from(number).ok().and_then(Codec::from_tag);
            return found
                .ok_or_else(|| Error::invalid_argument(format!("no compression has the number {number}")));
        }
    };
    Err(Error::not_implemented(format!(
        "{missing} compression (number {number}) is not in this library; choose none, snappy, lz4 or zstd"
    )))
}

/// A C number where the engine needs one of at least `least`.
fn at_least(name: &str, number: c_int, least: usize) -> Result<usize> {
    usize::try_from(number)
        .ok()
        .filter(|number| *number >= least)
        .ok_or_else(|| Error::invalid_argument(format!("{name} is {number}; it must be at least {least}")))
}

/// A number of runs that slows or stops writers; negative = never.
fn limit(number: c_int) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Numbers below these are raised to them, as RocksDB does.
const LEAST_WRITE_BUFFER: u64 = 64 << 10;
const LEAST_FILE_SIZE: u64 = 4 << 10;
const LEAST_MEMTABLES: c_int = 2;

impl auradb_options_t {
    /// How the engine opens the database. One cache serves it all: that of these options, or else the first that
    /// the column families' options name.
    pub fn database_options(&self, families: &[&auradb_options_t]) -> Result<Options> {
        Ok(Options {
            config: self.config()?,
            create_if_missing: self.create_if_missing,
            error_if_exists: self.error_if_exists,
            create_missing_column_families: self.create_missing_column_families,
            recovery_mode: self.recovery_mode()?,
            env: self.env.clone(),
            logger: self.logger.clone(),
            cache: self.cache(families),
            value_cache: self.value_cache.clone(),
            flat_layout: true,
            db_write_buffer_size: self.db_write_buffer_size as u64,
            write_buffer_manager: self.write_buffer_manager.clone(),
            max_total_wal_size: self.max_total_wal_size,
            atomic_flush: self.atomic_flush,
            max_background_jobs: self.max_background_jobs.max(1) as usize,
            background_nice: self.background_nice.clamp(0, 19) as u8,
            bytes_per_sync: self.bytes_per_sync,
        })
    }

    /// How the engine keeps a column family.
    pub fn column_family_options(&self) -> Result<ColumnFamilyOptions> {
        let mut options = ColumnFamilyOptions::from_config(&self.config()?);
        if let Some(comparator) = &self.comparator {
            options.comparator = comparator.clone();
        }
        options.merge_operator = self.merge_operator.clone();
        options.compaction_filter = self.compaction_filter.clone();
        options.compaction_filter_factory = self.compaction_filter_factory.clone();
        options.prefix_extractor = self.prefix_extractor.clone();
        options.whole_key_filtering = self.table.whole_key_filtering;
        options.learned_index = self.learned_index;
        options.separation_threshold = Some(self.separation_threshold);
        let per_level: Result<Vec<_>> =
            self.compression_per_level.iter().map(|number| codec(*number)).collect();
        options.compression_per_level = per_level?;
        if self.bottommost_compression != COMPRESSION_UNSET {
            options.bottommost_compression = Some(codec(self.bottommost_compression)?);
        }
        options.levels = self.levels()?;
        options.level0_trigger = self.level0_trigger();
        options.level0_slowdown = limit(self.level0_slowdown).max(options.level0_trigger);
        options.level0_stop = limit(self.level0_stop).max(options.level0_slowdown);
        options.level1_bytes = self.level1_bytes;
        options.level_size_ratio = self.level_size_ratio;
        options.target_file_size_multiplier =
            at_least("target_file_size_multiplier", self.target_file_size_multiplier, 1)? as u32;
        options.disable_auto_compactions = self.disable_auto_compactions;
        Ok(options)
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::default();
        config.wal.sync_policy = self.sync_policy;
        config.wal.async_writes = self.async_writes;
        config.wal.max_file_size = self.wal_file_size;
        config.wal.recycled_files = self.recycle_log_file_num.min(1024);
        config.wal.wal_path = (!self.wal_dir.is_empty()).then(|| self.wal_path());
        config.performance.memory_mapped = self.memory_mapped_wal;
        config.performance.direct_reads = self.direct_reads;
        config.performance.direct_background_writes = self.direct_background_writes;
        config.value_log.separation_threshold = self.separation_threshold;
        config.value_log.synced_separation_threshold = self.synced_separation_threshold;
        config.value_log.write_queues = self.value_log_write_queues;
        config.value_log.max_segment_size = self.value_log_segment_size;
        config.value_log.max_space_amp = self.max_space_amp;
        config.value_log.garbage_collection = self.value_log_garbage_collection;
        config.value_log.compression_algorithm = codec(self.value_log_compression)?;
        config.value_log.compress_values = config.value_log.compression_algorithm != Codec::None;
        config.memtable.max_size = (self.write_buffer_size as u64).max(LEAST_WRITE_BUFFER);
        config.memtable.flush_threshold = 1.0;
        config.memtable.implementation = self.memtable_kind;
        config.memtable.count = self.max_write_buffer_number.max(LEAST_MEMTABLES) as usize;
        config.sst.target_file_size = self.target_file_size.max(LEAST_FILE_SIZE);
        config.sst.compression = codec(self.compression)?;
        self.table.apply(&mut config);
        config.compaction.strategy = self.strategy()?;
        config.compaction.io_rate_limit = None;
        config.compaction.triggers.level0_files = self.level0_trigger();
        config.compaction.triggers.level_size_ratio = self.level_size_ratio;
        config.learned_index.enabled = self.learned_index;
        Ok(config)
    }

    /// The bounds are the engine's (`db::open::check_family`); the name is the one the caller used.
    fn levels(&self) -> Result<usize> {
        let levels = usize::try_from(self.levels).ok().filter(|levels| (2..=64).contains(levels));
        levels.ok_or_else(|| {
            Error::invalid_argument(format!("num_levels is {}; it must be from 2 to 64", self.levels))
        })
    }

    fn level0_trigger(&self) -> usize {
        usize::try_from(self.level0_trigger).unwrap_or(1).max(1)
    }

    fn wal_path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(self.wal_dir.as_bytes()))
    }

    fn strategy(&self) -> Result<CompactionStrategy> {
        match self.compaction_style {
            LEVEL => Ok(CompactionStrategy::Leveled),
            UNIVERSAL => Ok(CompactionStrategy::Tiered),
            FIFO => Err(Error::not_implemented("FIFO compaction; choose level or universal compaction")),
            other => Err(Error::invalid_argument(format!("no compaction style has the number {other}"))),
        }
    }

    fn recovery_mode(&self) -> Result<RecoveryMode> {
        Ok(match self.wal_recovery_mode {
            0 => RecoveryMode::TolerateCorruptedTail,
            1 => RecoveryMode::AbsoluteConsistency,
            2 => RecoveryMode::PointInTime,
            3 => RecoveryMode::SkipCorrupted,
            other => {
                return Err(Error::invalid_argument(format!("no WAL recovery mode has the number {other}")));
            }
        })
    }

    fn cache(&self, families: &[&auradb_options_t]) -> Option<Arc<Cache>> {
        let all = || std::iter::once(self).chain(families.iter().copied());
        let shared = all().find_map(|options| options.table.block_cache.clone());
        let none = || all().any(|options| options.table.no_block_cache);
        shared.or_else(|| none().then(|| Cache::new(0, EvictionPolicy::Lru, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    #[test]
    fn defaults_are_rocksdbs() {
        let options = auradb_options_t::default();
        let config = options.config().unwrap();
        assert_eq!(config.wal.sync_policy, crate::config::SyncPolicy::Manual);
        assert_eq!((config.sst.block_size, config.sst.use_bloom_filters), (4096, false));
        assert_eq!((config.sst.compression, config.compaction.io_rate_limit), (Codec::Snappy, None));
        let family = options.column_family_options().unwrap();
        assert_eq!((family.level0_trigger, family.level0_slowdown, family.level0_stop), (4, 20, 36));
        assert_eq!((family.level1_bytes, family.levels), (256 << 20, 7));
        assert_eq!(family.separation_threshold, Some(1024));
        assert!(family.bottommost_compression.is_none() && family.learned_index);
    }

    #[test]
    fn codecs_that_are_not_there_are_named() {
        assert_eq!(codec(5).unwrap(), Codec::Lz4);
        for (number, name) in [(2, "zlib"), (3, "bzip2"), (6, "xpress")] {
            let error = codec(number).unwrap_err();
            assert!(error.kind() == ErrorKind::NotImplemented && error.message().contains(name), "{error}");
        }
        assert_eq!(codec(99).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn nonsense_is_refused_with_the_options_name() {
        for levels in [-1, 0, 1, 65] {
            let options = auradb_options_t { levels, ..Default::default() };
            let error = options.column_family_options().err().unwrap();
            assert_eq!(error.message(), format!("num_levels is {levels}; it must be from 2 to 64"));
        }
        for levels in [2, 64] {
            let options = auradb_options_t { levels, ..Default::default() };
            assert_eq!(options.column_family_options().unwrap().levels, levels as usize);
        }
        let options = auradb_options_t { compaction_style: 2, ..Default::default() };
        assert_eq!(options.database_options(&[]).err().unwrap().kind(), ErrorKind::NotImplemented);
    }
}
