//! Options of a column family that can change while it is open. Names are RocksDB's.

use super::family::Family;
use super::options::ColumnFamilyOptions;
use super::state::Engine;
use crate::base::{Codec, Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Applies all changes or, if one of them is wrong, none.
pub(super) fn apply(engine: &Engine, family: &Arc<Family>, changes: &[(&str, &str)]) -> Result<()> {
    if changes.is_empty() {
        return Err(Error::invalid_argument("set_options: empty input: name at least one option"));
    }
    let mut changed = family.options.read().clone();
    let mut threshold = None;
    for (name, value) in changes {
        match *name {
            "separation_threshold" | "min_blob_size" => threshold = Some(number(name, value)?),
            _ => apply_one(&mut changed, name, value)?,
        }
    }
    super::open::check_family(&family.name, &changed)?;
    *family.options.write() = changed;
    if let Some(threshold) = threshold {
        family.threshold.store(threshold, Ordering::Relaxed);
    }
    if let Some(target) = engine.committer.lock().families.get_mut(&family.id) {
        target.seal_at = family.seal_at();
    }
    let mut state = engine.state.lock();
    state.look_for_compactions = true;
    engine.update_pressure();
    engine.wake_workers(&mut state);
    drop(state);
    engine.run_inline();
    Ok(())
}

fn apply_one(options: &mut ColumnFamilyOptions, name: &str, value: &str) -> Result<()> {
    match name {
        "write_buffer_size" => {
            options.memtable.max_size = number(name, value)?;
            options.memtable.flush_threshold = 1.0;
        }
        "max_write_buffer_number" => options.memtable.count = number(name, value)? as usize,
        "disable_auto_compactions" => options.disable_auto_compactions = boolean(name, value)?,
        "level0_file_num_compaction_trigger" => options.level0_trigger = number(name, value)? as usize,
        "level0_slowdown_writes_trigger" => options.level0_slowdown = number(name, value)? as usize,
        "level0_stop_writes_trigger" => options.level0_stop = number(name, value)? as usize,
        "target_file_size_base" => options.sst.target_file_size = number(name, value)?,
        "target_file_size_multiplier" => options.target_file_size_multiplier = number(name, value)? as u32,
        "max_bytes_for_level_base" => options.level1_bytes = number(name, value)?,
        "max_bytes_for_level_multiplier" => {
            options.level_size_ratio = value.trim().parse().map_err(|_| wrong(name, value, "a number"))?;
        }
        "compression" => options.sst.compression = codec(name, value)?,
        "bottommost_compression" => options.bottommost_compression = Some(codec(name, value)?),
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
        _ => Err(wrong(name, value, "one of kNoCompression, kSnappyCompression, kLZ4Compression, kZSTD")),
    }
}
