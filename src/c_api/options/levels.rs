//! Options of levels and compaction.

use super::super::boundary::{change, look};
use super::auradb_options_t;
use libc::{c_double, c_int, c_uchar};

/// The number of levels. Default 7.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_num_levels(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.levels = v);
}

/// What `auradb_options_set_num_levels` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_num_levels(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.levels)
}

/// Runs of level 0 that start a compaction. Default 4.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_level0_file_num_compaction_trigger(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.level0_trigger = v);
}

/// What `auradb_options_set_level0_file_num_compaction_trigger` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_level0_file_num_compaction_trigger(
    options: Option<&auradb_options_t>,
) -> c_int {
    look(options, |options| options.level0_trigger)
}

/// Runs of level 0 from which writers are slowed. Default 20.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_level0_slowdown_writes_trigger(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.level0_slowdown = v);
}

/// What `auradb_options_set_level0_slowdown_writes_trigger` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_level0_slowdown_writes_trigger(
    options: Option<&auradb_options_t>,
) -> c_int {
    look(options, |options| options.level0_slowdown)
}

/// Runs of level 0 at which writers wait. Default 36.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_level0_stop_writes_trigger(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.level0_stop = v);
}

/// What `auradb_options_set_level0_stop_writes_trigger` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_level0_stop_writes_trigger(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.level0_stop)
}

/// Bytes at which tables of level 1 are cut. Default 64 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_target_file_size_base(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.target_file_size = v);
}

/// What `auradb_options_set_target_file_size_base` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_target_file_size_base(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.target_file_size)
}

/// Growth of the table size from level to level. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_target_file_size_multiplier(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.target_file_size_multiplier = v);
}

/// What `auradb_options_set_target_file_size_multiplier` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_target_file_size_multiplier(
    options: Option<&auradb_options_t>,
) -> c_int {
    look(options, |options| options.target_file_size_multiplier)
}

/// Bytes of level 1. Default 256 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_bytes_for_level_base(
    options: Option<&mut auradb_options_t>,
    v: u64,
) {
    change(options, |options| options.level1_bytes = v);
}

/// What `auradb_options_set_max_bytes_for_level_base` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_bytes_for_level_base(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.level1_bytes)
}

/// Size ratio between levels. Default 10.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_bytes_for_level_multiplier(
    options: Option<&mut auradb_options_t>,
    v: c_double,
) {
    change(options, |options| options.level_size_ratio = v);
}

/// What `auradb_options_set_max_bytes_for_level_multiplier` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_bytes_for_level_multiplier(
    options: Option<&auradb_options_t>,
) -> c_double {
    look(options, |options| options.level_size_ratio)
}

/// Compact only when asked. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_disable_auto_compactions(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.disable_auto_compactions = v != 0);
}

/// What `auradb_options_set_disable_auto_compactions` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_disable_auto_compactions(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.disable_auto_compactions))
}

/// How levels are kept: an `auradb_compaction_style_t`. Opening fails with "Not implemented: " for
/// one that is not available. Default level (0).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compaction_style(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.compaction_style = v);
}

/// What `auradb_options_set_compaction_style` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_compaction_style(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.compaction_style)
}
