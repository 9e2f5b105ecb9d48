//! Options by name: "name=value;name=value", with the names of RocksDB's options file.

use super::super::callbacks::slice_transform::{FixedPrefix, NoTransform};
use super::super::callbacks::uint64_add::Uint64Add;
use super::auradb::MEMTABLES;
use super::auradb_options_t;
use super::table::{TableOptions, sane_bits};
use crate::base::{BytewiseComparator, Error, Result};
use libc::c_int;
use std::ffi::CString;
use std::sync::Arc;

impl auradb_options_t {
    /// Changes the options named; on an error some may be changed.
    pub fn change_by_string(&mut self, settings: &str) -> Result<()> {
        for (name, value) in pairs(settings)? {
            self.change_by_name(name, value)?;
        }
        Ok(())
    }

    fn change_by_name(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "create_if_missing" => self.create_if_missing = boolean(name, value)?,
            "create_missing_column_families" => self.create_missing_column_families = boolean(name, value)?,
            "error_if_exists" => self.error_if_exists = boolean(name, value)?,
            "paranoid_checks" => self.paranoid_checks = boolean(name, value)?,
            "use_fsync" => self.use_fsync = boolean(name, value)?,
            "use_direct_reads" => self.direct_reads = boolean(name, value)?,
            "use_direct_io_for_flush_and_compaction" => self.direct_background_writes = boolean(name, value)?,
            "atomic_flush" => self.atomic_flush = boolean(name, value)?,
            "manual_wal_flush" => self.manual_wal_flush = boolean(name, value)?,
            "disable_auto_compactions" => self.disable_auto_compactions = boolean(name, value)?,
            "max_open_files" => self.max_open_files = integer(name, value)?,
            "max_background_jobs" => self.max_background_jobs = integer(name, value)?,
            "max_write_buffer_number" => self.max_write_buffer_number = integer(name, value)?,
            "num_levels" => self.levels = integer(name, value)?,
            "level0_file_num_compaction_trigger" => self.level0_trigger = integer(name, value)?,
            "level0_slowdown_writes_trigger" => self.level0_slowdown = integer(name, value)?,
            "level0_stop_writes_trigger" => self.level0_stop = integer(name, value)?,
            "target_file_size_multiplier" => self.target_file_size_multiplier = integer(name, value)?,
            "write_buffer_size" => self.write_buffer_size = size(name, value)? as usize,
            "db_write_buffer_size" => self.db_write_buffer_size = size(name, value)? as usize,
            "bytes_per_sync" => self.bytes_per_sync = size(name, value)?,
            "max_total_wal_size" => self.max_total_wal_size = size(name, value)?,
            "wal_file_size" => self.wal_file_size = size(name, value)?,
            "recycle_log_file_num" => self.recycle_log_file_num = size(name, value)? as usize,
            "target_file_size_base" => self.target_file_size = size(name, value)?,
            "max_bytes_for_level_base" => self.level1_bytes = size(name, value)?,
            "max_bytes_for_level_multiplier" => self.level_size_ratio = real(name, value)?,
            "wal_dir" => self.wal_dir = CString::new(value).map_err(|_| bad(name, value))?,
            "info_log_level" => self.log_level = one_of(name, value, LOG_LEVELS)?,
            "wal_recovery_mode" => self.wal_recovery_mode = one_of(name, value, RECOVERY_MODES)?,
            "compaction_style" => self.compaction_style = one_of(name, value, STYLES)?,
            "compression" => self.compression = one_of(name, value, CODECS)?,
            "bottommost_compression" => self.bottommost_compression = one_of(name, value, CODECS)?,
            "compression_per_level" => self.compression_per_level = codecs(name, value)?,
            "comparator" => self.change_comparator(value)?,
            "merge_operator" => self.change_merge_operator(value)?,
            "prefix_extractor" => self.change_prefix_extractor(value)?,
            "block_based_table_factory" | "table_factory.BlockBasedTable" => self.table.change(value)?,
            _ => return self.change_own(name, value),
        }
        Ok(())
    }

    /// AuraDB's own options; `auradb.` before the name may be left out.
    fn change_own(&mut self, name: &str, value: &str) -> Result<()> {
        match name.strip_prefix("auradb.").unwrap_or(name) {
            "separation_threshold" => self.separation_threshold = size(name, value)?,
            "synced_separation_threshold" => self.synced_separation_threshold = size(name, value)?,
            "async_writes" => self.async_writes = boolean(name, value)?,
            "memory_mapped_wal" => self.memory_mapped_wal = boolean(name, value)?,
            "value_log_write_queues" => self.value_log_write_queues = size(name, value)? as usize,
            "value_log_compression" => self.value_log_compression = one_of(name, value, CODECS)?,
            "value_log_segment_size" => self.value_log_segment_size = size(name, value)?,
            "background_nice" => self.background_nice = integer(name, value)?,
            "max_space_amp" => self.max_space_amp = real(name, value)?,
            "value_log_garbage_collection" => self.value_log_garbage_collection = boolean(name, value)?,
            "learned_index" => self.learned_index = boolean(name, value)?,
            "memtable_kind" => self.memtable_kind = MEMTABLES[one_of(name, value, MEMTABLE_NAMES)? as usize],
            _ => return Err(Error::invalid_argument(format!("there is no option \"{name}\""))),
        }
        Ok(())
    }

    fn change_comparator(&mut self, value: &str) -> Result<()> {
        if value != "leveldb.BytewiseComparator" {
            return Err(bad("comparator", value));
        }
        self.comparator = Some(Arc::new(BytewiseComparator));
        Ok(())
    }

    fn change_merge_operator(&mut self, value: &str) -> Result<()> {
        self.merge_operator = match value {
            "nullptr" => None,
            "uint64add" | "UInt64AddOperator" => Some(Arc::new(Uint64Add)),
            _ => return Err(bad("merge_operator", value)),
        };
        Ok(())
    }

    fn change_prefix_extractor(&mut self, value: &str) -> Result<()> {
        let len = value.strip_prefix("fixed:").or_else(|| value.strip_prefix("rocksdb.FixedPrefix."));
        self.prefix_extractor = match (value, len.map(str::parse)) {
            ("nullptr", _) => None,
            ("rocksdb.Noop", _) => Some(Arc::new(NoTransform)),
            (_, Some(Ok(len))) => Some(Arc::new(FixedPrefix::new(len))),
            _ => return Err(bad("prefix_extractor", value)),
        };
        Ok(())
    }
}

impl TableOptions {
    fn change(&mut self, settings: &str) -> Result<()> {
        for (name, value) in pairs(settings)? {
            match name {
                "block_size" => self.block_size = size(name, value)? as usize,
                "whole_key_filtering" => self.whole_key_filtering = boolean(name, value)?,
                "no_block_cache" => self.no_block_cache = boolean(name, value)?,
                "filter_policy" => self.bloom_bits_per_key = filter(value)?,
                _ => return Err(Error::invalid_argument(format!("there is no table option \"{name}\""))),
            }
        }
        Ok(())
    }
}

const CODECS: &[(&str, c_int)] = &[
    ("kNoCompression", 0),
    ("kSnappyCompression", 1),
    ("kZlibCompression", 2),
    ("kBZip2Compression", 3),
    ("kLZ4Compression", 4),
    ("kLZ4HCCompression", 5),
    ("kXpressCompression", 6),
    ("kZSTD", 7),
    ("kDisableCompressionOption", 255),
];
const MEMTABLE_NAMES: &[(&str, c_int)] = &[("skip_list", 0), ("art", 1), ("btree", 2)];
const STYLES: &[(&str, c_int)] =
    &[("kCompactionStyleLevel", 0), ("kCompactionStyleUniversal", 1), ("kCompactionStyleFIFO", 2)];
const RECOVERY_MODES: &[(&str, c_int)] = &[
    ("kTolerateCorruptedTailRecords", 0),
    ("kAbsoluteConsistency", 1),
    ("kPointInTimeRecovery", 2),
    ("kSkipAnyCorruptedRecords", 3),
];
const LOG_LEVELS: &[(&str, c_int)] = &[
    ("DEBUG_LEVEL", 0),
    ("INFO_LEVEL", 1),
    ("WARN_LEVEL", 2),
    ("ERROR_LEVEL", 3),
    ("FATAL_LEVEL", 4),
    ("HEADER_LEVEL", 5),
];

/// Names and values; a value in braces may hold `;` and `=`, and loses the braces.
fn pairs(settings: &str) -> Result<Vec<(&str, &str)>> {
    let mut pairs = Vec::new();
    let mut rest = settings.trim();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or_else(|| Error::invalid_argument(format!("\"{rest}\" is not name=value")))?;
        let end = value_end(after)?;
        let value = after[..end].trim();
        let inside = value.strip_prefix('{').and_then(|value| value.strip_suffix('}'));
        pairs.push((name.trim(), inside.unwrap_or(value).trim()));
        rest = after[end..].strip_prefix(';').unwrap_or_default().trim();
    }
    Ok(pairs)
}

/// Where a value ends: at the first `;` outside braces, or with the text.
fn value_end(text: &str) -> Result<usize> {
    let mut depth = 0i32;
    for (at, letter) in text.char_indices() {
        match letter {
            ';' if depth == 0 => return Ok(at),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            break;
        }
    }
    if depth == 0 {
        Ok(text.len())
    } else {
        Err(Error::invalid_argument(format!("unbalanced braces in \"{text}\"")))
    }
}

fn bad(name: &str, value: &str) -> Error {
    Error::invalid_argument(format!("the option {name} cannot be \"{value}\""))
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad(name, value)),
    }
}

/// A number with an optional unit of bytes.
fn size(name: &str, value: &str) -> Result<u64> {
    let (digits, shift) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&value[..at], 10),
        Some((at, 'm' | 'M')) => (&value[..at], 20),
        Some((at, 'g' | 'G')) => (&value[..at], 30),
        Some((at, 't' | 'T')) => (&value[..at], 40),
        _ => (value, 0),
    };
    let number: u64 = digits.parse().map_err(|_| bad(name, value))?;
    number.checked_mul(1 << shift).ok_or_else(|| bad(name, value))
}

fn integer(name: &str, value: &str) -> Result<c_int> {
    if let Ok(number) = value.parse() {
        return Ok(number);
    }
    c_int::try_from(size(name, value)?).map_err(|_| bad(name, value))
}

fn real(name: &str, value: &str) -> Result<f64> {
    value.parse().map_err(|_| bad(name, value))
}

fn one_of(name: &str, value: &str, known: &[(&str, c_int)]) -> Result<c_int> {
    known.iter().find(|(word, _)| *word == value).map(|(_, number)| *number).ok_or_else(|| bad(name, value))
}

fn codecs(name: &str, value: &str) -> Result<Vec<c_int>> {
    value.split(':').filter(|word| !word.is_empty()).map(|word| one_of(name, word, CODECS)).collect()
}

/// RocksDB's words for filters: "bloomfilter:10:false", "rocksdb.BuiltinBloomFilter", "nullptr".
fn filter(value: &str) -> Result<Option<f64>> {
    if matches!(value, "nullptr" | "") {
        return Ok(None);
    }
    let mut words = value.split(':');
    match (words.next(), words.next().map(str::parse::<f64>)) {
        (Some("bloomfilter" | "rocksdb.internal.BloomFilter"), Some(Ok(bits))) => Ok(sane_bits(bits)),
        _ => Err(bad("filter_policy", value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(settings: &str) -> Result<auradb_options_t> {
        let mut options = auradb_options_t::default();
        options.change_by_string(settings).map(|()| options)
    }

    #[test]
    fn every_kind_of_value_is_understood() {
        let options = changed(
            "create_if_missing=true; write_buffer_size=8M;max_open_files=-1;num_levels = 5;\
             max_bytes_for_level_multiplier=7.5;compression=kZSTD;compression_per_level=kNoCompression:kZSTD;\
             prefix_extractor=fixed:4;merge_operator=uint64add;wal_dir=/x;auradb.separation_threshold=4K;\
             block_based_table_factory={block_size=16K;filter_policy=bloomfilter:12:false};",
        )
        .unwrap();
        assert!(options.create_if_missing);
        assert_eq!((options.write_buffer_size, options.levels), (8 << 20, 5));
        assert_eq!((options.level_size_ratio, options.compression), (7.5, 7));
        assert_eq!(options.compression_per_level, [0, 7]);
        assert_eq!(options.prefix_extractor.unwrap().name(), "rocksdb.FixedPrefix.4");
        assert_eq!(options.merge_operator.unwrap().name(), "UInt64AddOperator");
        assert_eq!((options.wal_dir.to_str(), options.separation_threshold), (Ok("/x"), 4096));
        assert_eq!((options.table.block_size, options.table.bloom_bits_per_key), (16 << 10, Some(12.0)));
        assert!(changed("").is_ok() && changed(" ; ").is_err());
        // The prefix of own names may be left out, as in `set_options`.
        assert_eq!(changed("separation_threshold=5K").unwrap().separation_threshold, 5120);
        assert_eq!(changed("synced_separation_threshold=9K").unwrap().synced_separation_threshold, 9216);
        let options = changed(
            "auradb.max_space_amp=1.25;value_log_garbage_collection=false;background_nice=3;\
                     bytes_per_sync=512K",
        )
        .unwrap();
        assert_eq!((options.max_space_amp, options.value_log_garbage_collection), (1.25, false));
        assert_eq!((options.background_nice, options.bytes_per_sync), (3, 512 << 10));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (settings, word) in [
            ("abc", "abc"),
            ("no_such_option=1", "no_such_option"),
            ("num_levels=many", "many"),
            ("write_buffer_size=-1", "-1"),
            ("write_buffer_size=99999999999T", "99999999999T"),
            ("write_buffer_size=\u{e9}", "\u{e9}"),
            ("compression=kGzip", "kGzip"),
            ("block_based_table_factory={block_size=1", "brace"),
            ("block_based_table_factory={block=1}", "block"),
        ] {
            let error = changed(settings).err().unwrap().to_string();
            assert!(error.starts_with("Invalid argument: ") && error.contains(word), "{settings}: {error}");
        }
    }
}
