//! Options of memtables.

use super::super::boundary::{change, look};
use super::auradb_options_t;
use libc::c_int;

/// Bytes of a memtable at which it is sealed and flushed. A separated value counts with its pointer only.
/// Default 64 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_write_buffer_size(options: Option<&mut auradb_options_t>, v: usize) {
    change(options, |options| options.write_buffer_size = v);
}

/// What `auradb_options_set_write_buffer_size` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_write_buffer_size(options: Option<&auradb_options_t>) -> usize {
    look(options, |options| options.write_buffer_size)
}

/// Bytes of all memtables of the database together at which the largest is flushed; 0 = no such limit. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_db_write_buffer_size(options: Option<&mut auradb_options_t>, v: usize) {
    change(options, |options| options.db_write_buffer_size = v);
}

/// What `auradb_options_set_db_write_buffer_size` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_db_write_buffer_size(options: Option<&auradb_options_t>) -> usize {
    look(options, |options| options.db_write_buffer_size)
}

/// Writers wait when so many sealed memtables of a column family are not flushed yet; the active one is not counted
/// (RocksDB counts it). Numbers below 2 mean 2. Default 2.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_write_buffer_number(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.max_write_buffer_number = v);
}

/// What `auradb_options_set_max_write_buffer_number` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_write_buffer_number(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.max_write_buffer_number)
}
