//! Options of the whole database.

use super::super::boundary::{change, look};
use super::super::env::auradb_env_t;
use super::auradb_options_t;
use libc::{c_int, c_uchar};

/// Create the database if there is none. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_create_if_missing(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.create_if_missing = v != 0);
}

/// What `auradb_options_set_create_if_missing` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_create_if_missing(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.create_if_missing))
}

/// Create the column families named at open that do not exist. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_create_missing_column_families(
    options: Option<&mut auradb_options_t>,
    v: c_uchar,
) {
    change(options, |options| options.create_missing_column_families = v != 0);
}

/// What `auradb_options_set_create_missing_column_families` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_create_missing_column_families(
    options: Option<&auradb_options_t>,
) -> c_uchar {
    look(options, |options| c_uchar::from(options.create_missing_column_families))
}

/// Refuse to open a database that exists. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_error_if_exists(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.error_if_exists = v != 0);
}

/// What `auradb_options_set_error_if_exists` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_error_if_exists(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.error_if_exists))
}

/// Accepted and read back. This engine always verifies all it reads: checksums bind every block, log record and
/// separated value to its file and place, so there is nothing to switch off. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_paranoid_checks(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.paranoid_checks = v != 0);
}

/// What `auradb_options_set_paranoid_checks` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_paranoid_checks(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.paranoid_checks))
}

/// Accepted and read back. This engine keeps the tables of the current version open, as RocksDB does with -1, its
/// default. Default -1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_open_files(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.max_open_files = v);
}

/// What `auradb_options_set_max_open_files` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_open_files(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.max_open_files)
}

/// The number of flushes and compactions at once; less than 1 counts as 1. Default 2.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_background_jobs(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.max_background_jobs = v);
}

/// What `auradb_options_set_max_background_jobs` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_background_jobs(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.max_background_jobs)
}

/// Levels of `nice(2)` by which the threads that flush, compact and collect garbage stand back behind the thread that
/// opens the database, where both want the processor: reads and writes go first, and writers wait for memory sooner.
/// Less than 0 counts as 0, more than 19 as 19. On a machine whose processors others of the same control group keep
/// busy all the time, 0 keeps them from starving this database's flushes. Linux only. Default 5.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_background_nice(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.background_nice = v);
}

/// What `auradb_options_set_background_nice` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_background_nice(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.background_nice)
}

/// Whenever so many bytes of a table have been written, has the system begin to write them to the device
/// (`sync_file_range`), so that the sync at the table's end has little left to wait for. 0 leaves it to the system, as
/// RocksDB does by default. Default 1 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_bytes_per_sync(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.bytes_per_sync = v);
}

/// What `auradb_options_set_bytes_per_sync` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_bytes_per_sync(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.bytes_per_sync)
}

/// Accepted and read back. This engine syncs with fdatasync, which makes the file length durable too, and syncs the
/// directory after each creation: fsync would add nothing but the modification time. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_use_fsync(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.use_fsync = v != 0);
}

/// What `auradb_options_set_use_fsync` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_use_fsync(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| c_int::from(options.use_fsync))
}

/// Read tables and value-log segments past the page cache (O_DIRECT), for reads, iterators and compactions alike: no
/// memory but this database's caches holds what is read, and each miss of them is a read of the device. Values that no
/// sync has covered yet are read through the page cache all the same: they are in it. A file system that does not have
/// it is noted in the information log, and all works as without; the property "auradb.direct-io" tells. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_use_direct_reads(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.direct_reads = v != 0);
}

/// What `auradb_options_set_use_direct_reads` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_use_direct_reads(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.direct_reads))
}

/// Write past the page cache (O_DIRECT) what flushes, compactions and the garbage collection of values write, so that
/// they push out of it nothing that others read. Writers still append to the log and to the value log through it. What
/// compactions read is the business of `auradb_options_set_use_direct_reads`. A file system that does not have it is
/// noted in the information log, and all works as without; the property "auradb.direct-io" tells. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_use_direct_io_for_flush_and_compaction(
    options: Option<&mut auradb_options_t>,
    v: c_uchar,
) {
    change(options, |options| options.direct_background_writes = v != 0);
}

/// What `auradb_options_set_use_direct_io_for_flush_and_compaction` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_use_direct_io_for_flush_and_compaction(
    options: Option<&auradb_options_t>,
) -> c_uchar {
    look(options, |options| c_uchar::from(options.direct_background_writes))
}

/// Flush all column families together, in one step. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_atomic_flush(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.atomic_flush = v != 0);
}

/// What `auradb_options_set_atomic_flush` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_atomic_flush(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.atomic_flush))
}

/// Accepted and read back: 0 debug, 1 info, 2 warn, 3 error, 4 fatal, 5 header. The LOG file is written at level
/// info; a logger has a level of its own. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_info_log_level(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.log_level = v);
}

/// What `auradb_options_set_info_log_level` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_info_log_level(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.log_level)
}

/// Sets the number of background jobs for a machine that gives the database `total_threads` threads.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_increase_parallelism(
    options: Option<&mut auradb_options_t>,
    total_threads: c_int,
) {
    change(options, |options| options.max_background_jobs = total_threads);
}

/// Sets the outside world. Borrows `env`; the handle may be destroyed at once. NULL changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_env(options: Option<&mut auradb_options_t>, env: Option<&auradb_env_t>) {
    if let Some(env) = env {
        change(options, |options| options.env = Some(env.env.clone()));
    }
}
