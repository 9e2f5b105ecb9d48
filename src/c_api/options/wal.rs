//! Options of the write-ahead log.

use super::super::boundary::{change, look, put_out};
use super::auradb_options_t;
use libc::{c_char, c_int, c_uchar, size_t};
use std::ffi::CStr;

/// Bytes of log files at which the oldest memtables are flushed to free them; 0 = four times all memtables.
/// Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_total_wal_size(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.max_total_wal_size = v);
}

/// What `auradb_options_set_max_total_wal_size` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_total_wal_size(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.max_total_wal_size)
}

/// Bytes of a log file, at which a new one starts; a longer batch has a file of its own length. A mapped log takes them
/// on the device from its beginning, and so do the file made ahead of time and those kept for later logs
/// (`auradb_options_set_recycle_log_file_num`). Synced values are kept in the log only up to this length
/// (`auradb_options_set_synced_separation_threshold`). 4 KiB to 1 TiB. Default 64 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_wal_file_size(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.wal_file_size = v);
}

/// What `auradb_options_set_wal_file_size` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_wal_file_size(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.wal_file_size)
}

/// Log files that are kept when nothing in them is needed any more, to hold the next logs; 0 = each log has a new file.
/// A kept file takes as much space as a full log (`auradb_options_set_wal_file_size`) and saves the system the work of
/// allocating and zeroing one. Only mapped logs (`auradb_options_set_memory_mapped_wal`) are kept, 1024 at most, and
/// none after close. Every recovery mode is as safe as without. Default 1 (RocksDB's: 0).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_recycle_log_file_num(options: Option<&mut auradb_options_t>, v: size_t) {
    change(options, |options| options.recycle_log_file_num = v);
}

/// What `auradb_options_set_recycle_log_file_num` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_recycle_log_file_num(options: Option<&auradb_options_t>) -> size_t {
    look(options, |options| options.recycle_log_file_num)
}

/// What to do at a damaged log record: an `auradb_wal_recovery_mode_t`. Default point in time (2).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_wal_recovery_mode(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.wal_recovery_mode = v);
}

/// What `auradb_options_set_wal_recovery_mode` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_wal_recovery_mode(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.wal_recovery_mode)
}

/// Accepted and read back. In RocksDB it saves a system call at each write; here an append is a copy into mapped
/// memory already, so every write reaches the system before it is acknowledged, with this set or not. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_manual_wal_flush(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.manual_wal_flush = v != 0);
}

/// What `auradb_options_set_manual_wal_flush` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_manual_wal_flush(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.manual_wal_flush))
}

/// Sets the directory of the log files; an empty name or NULL is the database directory. Copies the name.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_wal_dir(options: Option<&mut auradb_options_t>, v: *const c_char) {
    // SAFETY: C1.
    let name = if v.is_null() { Default::default() } else { unsafe { CStr::from_ptr(v) }.to_owned() };
    change(options, |options| options.wal_dir = name);
}

/// Lends the directory of the log files, `*size` bytes and a NUL, until the options are changed or destroyed.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_wal_dir(
    options: Option<&auradb_options_t>,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: C1.
    unsafe { put_out(size, 0) };
    look(options, |options| {
        // SAFETY: C1.
        unsafe { put_out(size, options.wal_dir.as_bytes().len()) };
        options.wal_dir.as_ptr()
    })
}
