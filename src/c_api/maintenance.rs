//! Flush, compaction and garbage collection by hand.

use super::boundary::{array, count, lent, on_db, optional_bytes, present};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::maintenance::{auradb_compactoptions_t, auradb_flushoptions_t};
use crate::base::Result;
use crate::db::CompactRangeOptions;
use libc::{c_char, c_double, c_int, c_uchar};
use std::ptr;

/// Writes the memtable of the default column family to a table, and waits for it if `options` say so.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flush(
    db: Option<&auradb_t>,
    options: Option<&auradb_flushoptions_t>,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| db.db.flush(&[&db.default], present(options)?.wait));
}

/// As `auradb_flush`, of a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flush_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_flushoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| db.db.flush(&[&present(column_family)?.family], present(options)?.wait));
}

/// As `auradb_flush`, of several column families; in one step if atomic flush is set. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flush_cfs(
    db: Option<&auradb_t>,
    options: Option<&auradb_flushoptions_t>,
    column_family: *const *mut auradb_column_family_handle_t,
    num_column_families: c_int,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        let handles = unsafe { array(column_family, count(num_column_families)?) }?;
        // SAFETY: C2.
        let families: Result<Vec<_>> =
            handles.iter().map(|handle| unsafe { Ok(&lent(*handle)?.family) }).collect();
        db.db.flush(&families?, present(options)?.wait)
    });
}

/// Makes log bytes that are still buffered reach the system, and with `sync` not 0 the device: every write
/// acknowledged before this call survives a power loss then.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flush_wal(db: Option<&auradb_t>, sync: c_uchar, errptr: *mut *mut c_char) {
    on_db(db, errptr, |db| db.db.flush_wal(sync != 0));
}

/// Compacts the keys from `start_key` to `limit_key` of the default column family down to the last level that has
/// data, and waits for it; a NULL key is the first or the last one. Borrows all arguments. The signature has no
/// place for an error: `auradb_last_error` tells of it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compact_range(
    db: Option<&auradb_t>,
    start_key: *const c_char,
    start_key_len: usize,
    limit_key: *const c_char,
    limit_key_len: usize,
) {
    // SAFETY: C1.
    let keys =
        unsafe { (optional_bytes(start_key, start_key_len), optional_bytes(limit_key, limit_key_len)) };
    on_db(db, ptr::null_mut(), |db| {
        db.db.compact_range(&db.default, keys.0?, keys.1?, &CompactRangeOptions::default())
    });
}

/// As `auradb_compact_range`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compact_range_cf(
    db: Option<&auradb_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    start_key: *const c_char,
    start_key_len: usize,
    limit_key: *const c_char,
    limit_key_len: usize,
) {
    // SAFETY: C1.
    let keys =
        unsafe { (optional_bytes(start_key, start_key_len), optional_bytes(limit_key, limit_key_len)) };
    on_db(db, ptr::null_mut(), |db| {
        let family = &present(column_family)?.family;
        db.db.compact_range(family, keys.0?, keys.1?, &CompactRangeOptions::default())
    });
}

/// As `auradb_compact_range`, with options.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compact_range_opt(
    db: Option<&auradb_t>,
    opt: Option<&auradb_compactoptions_t>,
    start_key: *const c_char,
    start_key_len: usize,
    limit_key: *const c_char,
    limit_key_len: usize,
) {
    // SAFETY: C1.
    let keys =
        unsafe { (optional_bytes(start_key, start_key_len), optional_bytes(limit_key, limit_key_len)) };
    on_db(db, ptr::null_mut(), |db| {
        db.db.compact_range(&db.default, keys.0?, keys.1?, &present(opt)?.options())
    });
}

/// As `auradb_compact_range_opt`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compact_range_cf_opt(
    db: Option<&auradb_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    opt: Option<&auradb_compactoptions_t>,
    start_key: *const c_char,
    start_key_len: usize,
    limit_key: *const c_char,
    limit_key_len: usize,
) {
    // SAFETY: C1.
    let keys =
        unsafe { (optional_bytes(start_key, start_key_len), optional_bytes(limit_key, limit_key_len)) };
    on_db(db, ptr::null_mut(), |db| {
        db.db.compact_range(&present(column_family)?.family, keys.0?, keys.1?, &present(opt)?.options())
    });
}

/// Collects garbage of the value log now, and waits for it: flushes and compacts all column families, then copies what
/// is alive out of every segment of which at least the share `least_garbage` (0 to 1; 0.1 is sensible, 0 rewrites all
/// that is not wholly alive) is dead, and removes it. Gives the bytes of segment files removed. The engine collects
/// garbage by itself as `max_space_amp` asks; this is for the least space at a moment of the caller's choice. Segments
/// that iterators or snapshots still need stay until they are destroyed. `Invalid argument` if `least_garbage` is out
/// of range. May be called from any thread; reads and writes go on.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_collect_garbage(
    db: Option<&auradb_t>,
    least_garbage: c_double,
    errptr: *mut *mut c_char,
) -> u64 {
    on_db(db, errptr, |db| db.db.collect_garbage(least_garbage))
}

/// Reads every value of the value log that a key, or a snapshot's older version of one, refers to, checks it against
/// its checksum and its key, and gives how many there are. `Corruption` with file and offset of the first that is not
/// whole. Reads the whole value log: it takes as long as that. May be called from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_verify_value_log(db: Option<&auradb_t>, errptr: *mut *mut c_char) -> u64 {
    on_db(db, errptr, |db| db.db.verify_value_log())
}
