//! Options of writes.

use super::super::boundary::{change, destroy, give, look, quiet};
use crate::db::WriteOptions;
use libc::{c_int, c_uchar};

/// How writes work. Used by one thread at a time while it is changed; any number of threads may write with it.
pub struct auradb_writeoptions_t {
    /// The engine's options.
    pub options: WriteOptions,
}

/// Gives write options, for `auradb_writeoptions_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_create() -> *mut auradb_writeoptions_t {
    quiet(|| Ok(give(auradb_writeoptions_t { options: WriteOptions::default() })))
}

/// Destroys write options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_destroy(options: Option<Box<auradb_writeoptions_t>>) {
    destroy(options);
}

/// Whether a write survives a power loss once it is acknowledged. Without, it survives the death of the process.
/// Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_set_sync(options: Option<&mut auradb_writeoptions_t>, v: c_uchar) {
    change(options, |options| options.options.sync = v != 0);
}

/// What `auradb_writeoptions_set_sync` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_get_sync(options: Option<&auradb_writeoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.sync))
}

/// Whether a write is left out of the log: it is lost with the process unless it was flushed. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_disable_WAL(
    options: Option<&mut auradb_writeoptions_t>,
    disable: c_int,
) {
    change(options, |options| options.options.disable_wal = disable != 0);
}

/// What `auradb_writeoptions_disable_WAL` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_get_disable_WAL(options: Option<&auradb_writeoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.disable_wal))
}

/// Whether a write fails with "Result incomplete: " instead of waiting when writers are slowed or stopped. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_set_no_slowdown(
    options: Option<&mut auradb_writeoptions_t>,
    v: c_uchar,
) {
    change(options, |options| options.options.no_slowdown = v != 0);
}

/// What `auradb_writeoptions_set_no_slowdown` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writeoptions_get_no_slowdown(options: Option<&auradb_writeoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.no_slowdown))
}
