//! Options of a column family that can change while it is open, by name and text.
//!
//! Names and values are those that `auradb_get_options_from_string` takes, with the same meaning (limits that make no
//! sense together are raised in the same way): RocksDB's, and `separation_threshold`, with or without `auradb.`
//! before it; and `auradb.ttl`, with it only, for RocksDB's `ttl` is something else.

use super::family::Family;
use super::open::update_limits;
use super::options::ColumnFamilyOptions;
use super::state::Engine;
use crate::base::{Codec, Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sizes below these, the least that `Config` takes, are raised to them.
const LEAST_WRITE_BUFFER: u64 = 4 << 10;
const LEAST_FILE_SIZE: u64 = 4 << 10;

/// Applies all changes or, if one of them is wrong, none.
pub(super) fn apply(engine: &Engine, family: &Arc<Family>, changes: &[(&str, &str)]) -> Result<()> {
    if changes.is_empty() {
        return Err(Error::invalid_argument("set_options: empty input: name at least one option"));
    }
    // Locked from here on: of two changes at once neither is lost.
    let mut options = family.options.write();
    let mut changed = options.clone();
    let (mut threshold, mut ttl) = (None, None);
    for (name, value) in changes {
        match *name {
            "auradb.separation_threshold" | "separation_threshold" => {
                threshold = Some(size_or_none(name, value)?)
            }
            // Plain digits: a suffix would be taken for minutes where it means 2^20.
            "auradb.ttl" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                ttl = Some(number(name, value)?)
            }
            _ => apply_one(&mut changed, name, value)?,
        }
    }
    raise_limits(&mut changed);
    super::open::check_family(&family.name, &changed)?;
    *options = changed;
    if let Some(threshold) = threshold {
        family.threshold.store(threshold, Ordering::Relaxed);
    }
    if let Some(ttl) = ttl {
        family.ttl.store(ttl, Ordering::Relaxed);
    }
    drop(options);
    let mut commit = engine.committer.lock();
    if let Some(target) = commit.families.get_mut(family.id) {
        target.seal_at = family.seal_at();
    }
    update_limits(engine);
    drop(commit);
    let mut state = engine.state.lock();
    state.look_for_compactions = true;
    state.expiry_due = Some(0);
    engine.update_pressure(&mut state);
    engine.wake_workers(&mut state);
    drop(state);
    engine.run_inline();
    Ok(())
}

/// Raises limits under which writers would wait for ever.
fn raise_limits(options: &mut ColumnFamilyOptions) {
    options.memtable.count = options.memtable.count.max(2);
    options.level0_trigger = options.level0_trigger.max(1);
    options.level0_slowdown = options.level0_slowdown.max(options.level0_trigger);
    options.level0_stop = options.level0_stop.max(options.level0_slowdown);
}

fn apply_one(options: &mut ColumnFamilyOptions, name: &str, value: &str) -> Result<()> {
    match name {
        "write_buffer_size" => {
            options.memtable.max_size = number(name, value)?.max(LEAST_WRITE_BUFFER);
            options.memtable.flush_threshold = 1.0;
        }
        "max_write_buffer_number" => options.memtable.count = number(name, value)? as usize,
        "disable_auto_compactions" => options.disable_auto_compactions = boolean(name, value)?,
        "level0_file_num_compaction_trigger" => options.level0_trigger = number(name, value)? as usize,
        "level0_slowdown_writes_trigger" => options.level0_slowdown = limit(name, value)?,
        "level0_stop_writes_trigger" => options.level0_stop = limit(name, value)?,
        "target_file_size_base" => {
            options.sst.target_file_size = number(name, value)?.max(LEAST_FILE_SIZE);
        }
        "target_file_size_multiplier" => {
            let multiplier = u32::try_from(number(name, value)?).ok().filter(|multiplier| *multiplier > 0);
            options.target_file_size_multiplier =
                multiplier.ok_or_else(|| wrong(name, value, "a whole number from 1 to 4294967295"))?;
        }
        "max_bytes_for_level_base" => options.level1_bytes = number(name, value)?,
        "max_bytes_for_level_multiplier" => {
            options.level_size_ratio = value.trim().parse().map_err(|_| wrong(name, value, "a number"))?;
        }
        "compression" => options.sst.compression = codec(name, value)?,
        "bottommost_compression" if value.trim() == "kDisableCompressionOption" => {
            options.bottommost_compression = None;
        }
        "bottommost_compression" => options.bottommost_compression = Some(codec(name, value)?),
        "compression_per_level" => {
            let words = value.split(':').filter(|word| !word.trim().is_empty());
            options.compression_per_level = words.map(|word| codec(name, word)).collect::<Result<_>>()?;
        }
        _ => {
            return Err(Error::invalid_argument(format!(
                "set_options: Unrecognized option {name}: it does not exist or cannot change while the database is open"
            )));
        }
    }
    Ok(())
}

fn wrong(name: &str, value: &str, expected: &str) -> Error {
    Error::invalid_argument(format!("set_options: {name}: {value:?} is not {expected}"))
}

/// A whole number, with RocksDB's suffixes k, m, g, t.
fn number(name: &str, value: &str) -> Result<u64> {
    let text = value.trim();
    let (digits, shift) = match text.bytes().last().map(|last| last.to_ascii_lowercase()) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        Some(b't') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| wrong(name, value, "a whole number"))
}

/// A whole number, or "none" for more than any.
fn size_or_none(name: &str, value: &str) -> Result<u64> {
    if value.trim() == "none" { Ok(u64::MAX) } else { number(name, value) }
}

/// A number of runs that slows or stops writers; negative = never.
fn limit(name: &str, value: &str) -> Result<usize> {
    match value.trim().parse::<i64>() {
        Ok(negative) if negative < 0 => Ok(usize::MAX),
        _ => number(name, value).map(|runs| runs as usize),
    }
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(wrong(name, value, "true or false")),
    }
}

fn codec(name: &str, value: &str) -> Result<Codec> {
    match value.trim() {
        "kNoCompression" => Ok(Codec::None),
        "kSnappyCompression" => Ok(Codec::Snappy),
        "kLZ4Compression" | "kLZ4HCCompression" => Ok(Codec::Lz4),
        "kZSTD" => Ok(Codec::Zstd),
        "kZlibCompression" | "kBZip2Compression" | "kXpressCompression" => {
            Err(Error::not_implemented(format!(
                "set_options: {name}: {} is not in this library; choose none, snappy, lz4 or zstd",
                value.trim()
            )))
        }
        _ => Err(wrong(name, value, "one of kNoCompression, kSnappyCompression, kLZ4Compression, kZSTD")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;
    use crate::db::{Db, Options};
    use crate::env::simulated::SimEnv;
    use std::path::Path;

    fn open() -> Db {
        let options = Options { create_if_missing: true, env: Some(SimEnv::new(1)), ..Options::default() };
        Db::open(&options, Path::new("/db"), &ColumnFamilyOptions::default()).unwrap()
    }

    #[test]
    fn own_names_are_taken_with_and_without_the_prefix() {
        let db = open();
        let family = db.default_column_family();
        for (name, value, expected) in
            [("separation_threshold", "300", 300), ("auradb.separation_threshold", "2k", 2048)]
        {
            db.set_options(&family, &[(name, value)]).unwrap();
            assert_eq!(family.family.threshold.load(Ordering::Relaxed), expected, "{name}");
        }
    }

    #[test]
    fn limits_that_would_stop_writers_for_ever_are_raised() {
        let db = open();
        let family = db.default_column_family();
        let changes = [
            ("max_write_buffer_number", "0"),
            ("write_buffer_size", "1"),
            ("level0_file_num_compaction_trigger", "6"),
            ("level0_slowdown_writes_trigger", "2"),
            ("level0_stop_writes_trigger", "-1"),
            ("compression_per_level", "kNoCompression:kZSTD"),
            ("bottommost_compression", "kDisableCompressionOption"),
        ];
        db.set_options(&family, &changes).unwrap();
        let options = family.family.options.read();
        assert_eq!((options.memtable.count, options.memtable.max_size), (2, LEAST_WRITE_BUFFER));
        assert_eq!(
            (options.level0_trigger, options.level0_slowdown, options.level0_stop),
            (6, 6, usize::MAX)
        );
        assert_eq!(options.compression_per_level, [Codec::None, Codec::Zstd]);
        assert_eq!(options.bottommost_compression, None);
    }

    /// Each thread changes an option of its own and must find it as it left it.
    #[test]
    fn changes_at_once_are_all_kept() {
        let db = open();
        let family = db.default_column_family();
        let together = std::sync::Barrier::new(2);
        let change = |name: &'static str, kept: fn(&ColumnFamilyOptions) -> usize| {
            let mut lost = Vec::new();
            for value in 2..60usize {
                // Begun together and said often, so that there is time between reading and storing.
                together.wait();
                let text = value.to_string();
                db.set_options(&family, &vec![(name, text.as_str()); 20_000]).unwrap();
                if kept(&family.family.options.read()) != value {
                    lost.push((name, value));
                }
            }
            lost
        };
        let lost = std::thread::scope(|scope| {
            let other = scope.spawn(|| change("max_write_buffer_number", |options| options.memtable.count));
            let mut lost = change("level0_file_num_compaction_trigger", |options| options.level0_trigger);
            lost.extend(other.join().expect("the thread lives"));
            lost
        });
        assert!(lost.is_empty(), "lost: {lost:?}");
    }

    #[test]
    fn the_bound_on_all_logs_follows_the_memtables() {
        let db = open();
        let family = db.default_column_family();
        let bound = || db.engine().committer.settings().max_total_size.load(Ordering::Relaxed);
        for (size, number) in [("100m", "2"), ("500m", "3"), ("200m", "4")] {
            db.set_options(&family, &[("write_buffer_size", size), ("max_write_buffer_number", number)])
                .unwrap();
            let megabytes: u64 = size.trim_end_matches('m').parse().unwrap();
            assert_eq!(bound(), 4 * number.parse::<u64>().unwrap() * (megabytes << 20));
        }
        let options = Options {
            create_if_missing: true,
            env: Some(SimEnv::new(1)),
            max_total_wal_size: 12345,
            ..Options::default()
        };
        let db = Db::open(&options, Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
        db.set_options(&db.default_column_family(), &[("write_buffer_size", "500m")]).unwrap();
        let set = db.engine().committer.settings().max_total_size.load(Ordering::Relaxed);
        assert_eq!(set, 12345, "what was set stays");
    }

    #[test]
    fn one_wrong_change_leaves_all_as_it_was() {
        let db = open();
        let family = db.default_column_family();
        let before = family.family.threshold.load(Ordering::Relaxed);
        for (name, value, kind) in [
            ("num_levels", "5", ErrorKind::InvalidArgument),
            ("target_file_size_multiplier", "0", ErrorKind::InvalidArgument),
            ("target_file_size_multiplier", "4294967296", ErrorKind::InvalidArgument),
            ("level0_stop_writes_trigger", "-x", ErrorKind::InvalidArgument),
            ("max_bytes_for_level_multiplier", "1", ErrorKind::InvalidArgument),
            ("compression", "kZlibCompression", ErrorKind::NotImplemented),
        ] {
            let changes = [("separation_threshold", "7"), (name, value)];
            assert_eq!(db.set_options(&family, &changes).unwrap_err().kind(), kind, "{name}={value}");
        }
        assert_eq!(family.family.threshold.load(Ordering::Relaxed), before);
    }
}
