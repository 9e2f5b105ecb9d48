//! Single writes and batches.

use super::batch::auradb_writebatch_t;
use super::boundary::{bytes, on_db, present, present_mut, seconds};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::write::auradb_writeoptions_t;
use crate::base::{Error, Result};
use libc::{c_char, c_void};
use std::ffi::{CStr, CString};
use std::ptr;

/// Stores `val` under `key` in the default column family. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_put(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| db.db.put(&db.default, key?, value?, &present(options)?.options));
}

/// Stores `val` under `key` in a column family. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_put_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| {
        db.db.put(&present(column_family)?.family, key?, value?, &present(options)?.options)
    });
}

/// As `auradb_put`, for `ttl_seconds` seconds from now on, or up to one more, never less; 0 or less = for ever, also in
/// a database opened with a TTL. From the second on at which it expires the key reads as if it were deleted: in gets,
/// iterators and snapshots, and older versions do not come back. Its space is freed by compactions that pass it, and
/// when all or half of a table has expired. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_put_with_ttl(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    ttl_seconds: i64,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| {
        let how = &present(options)?.options;
        db.db.put_with_ttl(&db.default, key?, value?, seconds(ttl_seconds), how)
    });
}

/// As `auradb_put_with_ttl`, in a column family. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_put_with_ttl_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    ttl_seconds: i64,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| {
        let (family, how) = (&present(column_family)?.family, &present(options)?.options);
        db.db.put_with_ttl(family, key?, value?, seconds(ttl_seconds), how)
    });
}

/// Deletes `key` from the default column family; its being absent is fine. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_delete(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| db.db.delete(&db.default, key?, &present(options)?.options));
}

/// Deletes `key` from a column family; its being absent is fine. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_delete_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| db.db.delete(&present(column_family)?.family, key?, &present(options)?.options));
}

/// Deletes `key`, which was put exactly once since it was last deleted, from the default column family; cheaper
/// than `auradb_delete`. What happens to a key put twice is undefined. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_singledelete(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| db.db.single_delete(&db.default, key?, &present(options)?.options));
}

/// As `auradb_singledelete`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_singledelete_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| {
        db.db.single_delete(&present(column_family)?.family, key?, &present(options)?.options)
    });
}

/// Deletes all keys from `start_key` up to, not including, `end_key` from a column family. "Invalid argument: "
/// if the end comes before the start. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_delete_range_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    start_key: *const c_char,
    start_key_len: usize,
    end_key: *const c_char,
    end_key_len: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (start, end) = unsafe { (bytes(start_key, start_key_len), bytes(end_key, end_key_len)) };
    on_db(db, errptr, |db| {
        db.db.delete_range(&present(column_family)?.family, start?, end?, &present(options)?.options)
    });
}

/// Adds `val` as an operand for the merge operator of the default column family. An error if it has none. Borrows
/// all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_merge(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, operand) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| db.db.merge(&db.default, key?, operand?, &present(options)?.options));
}

/// As `auradb_merge`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_merge_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let (key, operand) = unsafe { (bytes(key, keylen), bytes(val, vallen)) };
    on_db(db, errptr, |db| {
        db.db.merge(&present(column_family)?.family, key?, operand?, &present(options)?.options)
    });
}

/// Applies a batch: all of it or nothing, also across column families and after a crash. Borrows all arguments;
/// the batch is unchanged and can be written again. A failure that a function filling the batch could not report
/// is reported here, and nothing is written.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    batch: Option<&mut auradb_writebatch_t>,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        let batch = present_mut(batch)?.complete()?;
        db.db.write(batch, &present(options)?.options)
    });
}

/// Applies `batch` atomically without waiting for the device: readable when this returns (unless an earlier write with
/// `sync` is still on its way to the device, then together with that), durable later. Then `callback(argument, NULL)`
/// is called, or `callback(argument, message)` if it will never be known to be durable (a failed sync, or a close
/// before it). One sync serves all writes that wait, so many may be on their way. Borrows db, options and batch for
/// the call only; `argument` must stay good until the callback, `message` is lent for the callback. Callbacks come one
/// after another, those of one thread's writes in their order, in a thread of the database (or in the caller's): they
/// should be short, may read and write, and must not close the database. An empty batch asks about everything written
/// before it. `sync` of the options is implied, `disable_wal` refused. If `errptr` is set nothing was applied and
/// `callback` is never called.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_async(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    batch: Option<&mut auradb_writebatch_t>,
    callback: Option<unsafe extern "C" fn(argument: *mut c_void, error: *const c_char)>,
    argument: *mut c_void,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        let batch = present_mut(batch)?.complete()?;
        let call = callback.ok_or_else(|| {
            Error::invalid_argument("auradb_write_async: callback is NULL: give one, or use auradb_write")
        })?;
        let argument = Argument(argument);
        let tell = move |outcome: Result<()>| {
            let Argument(argument) = { argument };
            let message = outcome.err().map(|error| CString::new(error.to_string().replace('\0', " ")));
            let message = message.and_then(std::result::Result::ok);
            let message = message.as_deref().map_or(ptr::null(), CStr::as_ptr);
            // SAFETY: C4; the caller promised that callback and argument stay good until this call.
            unsafe { call(argument, message) }
        };
        db.db.write_async(batch, &present(options)?.options, Box::new(tell))
    });
}

/// What a caller wants back in his callback.
struct Argument(*mut c_void);

// SAFETY: never looked into here; the caller was told that the callback may come from another thread.
unsafe impl Send for Argument {}
