//! Indexed batches: batches that can be read, alone or on top of a database, before they are written.

use super::batch::iterate_default;
use super::boundary::{
    array, bytes, change, count, destroy, fallible, give, guarded, look, present, present_mut, put_out,
    quiet, seconds, start_of,
};
use super::column_family::auradb_column_family_handle_t;
use crate::base::{Error, Result};
use crate::batch::IndexedBatch;
use crate::db::SharedBatch;
use libc::{c_char, c_int, c_uchar, c_void};
use std::sync::Arc;

/// A batch with an index of its keys: what is in it can be read before it is written. Used by one thread at a time,
/// with the iterators over it; as a batch otherwise (see `auradb_writebatch_t`), also in how failures are remembered
/// and reported. Range deletions are read as they will be applied, which RocksDB does not offer. Keys have the order
/// of their column family as soon as a handle or database names it, and byte order before.
pub struct auradb_writebatch_wi_t {
    /// The batch.
    pub shared: SharedBatch,
    /// The first failure of a function that fills it.
    pub failure: Option<Error>,
}

/// Gives an empty indexed batch with room for `reserved_bytes`, for `auradb_writebatch_wi_destroy`. With
/// `overwrite_keys`
/// the index forgets what a later put or delete of the same key has made void, which saves memory where keys are
/// written again and again. All reads are the same, and the batch keeps every operation in any case.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_create(
    reserved_bytes: usize,
    overwrite_keys: c_uchar,
) -> *mut auradb_writebatch_wi_t {
    quiet(|| {
        if reserved_bytes > u32::MAX as usize {
            return Err(Error::invalid_argument(format!(
                "room for {reserved_bytes} bytes: a batch is below 4 GiB"
            )));
        }
        let batch = IndexedBatch::new(reserved_bytes, overwrite_keys != 0);
        Ok(give(auradb_writebatch_wi_t { shared: Arc::new(batch.into()), failure: None }))
    })
}

/// Destroys an indexed batch. Takes the handle; NULL is fine. Iterators over it keep what they need.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_destroy(b: Option<Box<auradb_writebatch_wi_t>>) {
    destroy(b);
}

/// Empties an indexed batch, and forgets its save points and failure.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_clear(b: Option<&mut auradb_writebatch_wi_t>) {
    change(b, |b| {
        b.shared.lock().clear();
        b.failure = None;
    });
}

/// The number of operations in an indexed batch, log data not counted, those made void by later ones counted.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_count(b: Option<&auradb_writebatch_wi_t>) -> c_int {
    look(b, |b| c_int::try_from(b.shared.lock().batch().count()).unwrap_or(c_int::MAX))
}

/// Adds to a batch, and remembers the first failure.
fn add(b: Option<&mut auradb_writebatch_wi_t>, what: impl FnOnce(&mut IndexedBatch) -> Result<()>) {
    quiet(|| {
        let b = present_mut(b)?;
        guarded(|| what(&mut b.shared.lock())).inspect_err(|error| {
            b.failure.get_or_insert_with(|| error.clone());
        })
    });
}

/// As `add`, to a column family.
fn add_to(
    b: Option<&mut auradb_writebatch_wi_t>,
    family: Option<&auradb_column_family_handle_t>,
    what: impl FnOnce(&mut IndexedBatch, u32) -> Result<()>,
) {
    add(b, |batch| {
        let family = &present(family)?.family;
        family.order_batch(batch);
        what(batch, family.id())
    });
}

/// The bytes of an array of slices, one after the other.
///
/// # Safety
/// C1 for both arrays and the bytes they describe.
unsafe fn joined(number: c_int, starts: *const *const c_char, sizes: *const usize) -> Result<Vec<u8>> {
    let number = count(number)?;
    // SAFETY: C1.
    let (starts, sizes) = unsafe { (array(starts, number)?, array(sizes, number)?) };
    let mut all =
        Vec::with_capacity(sizes.iter().fold(0usize, |sum, size| sum.saturating_add(*size)).min(1 << 20));
    for (start, size) in starts.iter().zip(sizes) {
        // SAFETY: C1 for each.
        all.extend_from_slice(unsafe { bytes(*start, *size) }?);
    }
    Ok(all)
}

/// Adds a put to the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_put(
    b: Option<&mut auradb_writebatch_wi_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.put(0, key?, value?));
}

/// Adds a put to a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_put_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add_to(b, column_family, |batch, id| batch.put(id, key?, value?));
}

/// Adds a put of a value that is there for `ttl_seconds` seconds from when the batch is written on, as
/// `auradb_writebatch_put_with_ttl`. Reads through the batch show it whatever the time.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_put_with_ttl(
    b: Option<&mut auradb_writebatch_wi_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
    ttl_seconds: i64,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.put_with_ttl(0, key?, value?, seconds(ttl_seconds)));
}

/// As `auradb_writebatch_wi_put_with_ttl`, to a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_put_with_ttl_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
    ttl_seconds: i64,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add_to(b, column_family, |batch, id| batch.put_with_ttl(id, key?, value?, seconds(ttl_seconds)));
}

/// Adds a put to the default column family. The key is the `num_keys` pieces one after the other, the value the
/// `num_values` pieces.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_putv(
    b: Option<&mut auradb_writebatch_wi_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    num_values: c_int,
    values_list: *const *const c_char,
    values_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe {
        (joined(num_keys, keys_list, keys_list_sizes), joined(num_values, values_list, values_list_sizes))
    };
    add(b, |batch| batch.put(0, &key?, &value?));
}

/// As `auradb_writebatch_wi_putv`, to a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_putv_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    num_values: c_int,
    values_list: *const *const c_char,
    values_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe {
        (joined(num_keys, keys_list, keys_list_sizes), joined(num_values, values_list, values_list_sizes))
    };
    add_to(b, column_family, |batch, id| batch.put(id, &key?, &value?));
}

/// Adds an operand for the merge operator of the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_merge(
    b: Option<&mut auradb_writebatch_wi_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.merge(0, key?, value?));
}

/// Adds an operand for the merge operator of a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_merge_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add_to(b, column_family, |batch, id| batch.merge(id, key?, value?));
}

/// As `auradb_writebatch_wi_merge`, key and operand in pieces (see `auradb_writebatch_wi_putv`).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_mergev(
    b: Option<&mut auradb_writebatch_wi_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    num_values: c_int,
    values_list: *const *const c_char,
    values_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe {
        (joined(num_keys, keys_list, keys_list_sizes), joined(num_values, values_list, values_list_sizes))
    };
    add(b, |batch| batch.merge(0, &key?, &value?));
}

/// As `auradb_writebatch_wi_mergev`, to a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_mergev_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    num_values: c_int,
    values_list: *const *const c_char,
    values_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe {
        (joined(num_keys, keys_list, keys_list_sizes), joined(num_values, values_list, values_list_sizes))
    };
    add_to(b, column_family, |batch, id| batch.merge(id, &key?, &value?));
}

/// Adds a delete from the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete(
    b: Option<&mut auradb_writebatch_wi_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.delete(0, key?));
}

/// Adds a delete from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add_to(b, column_family, |batch, id| batch.delete(id, key?));
}

/// As `auradb_writebatch_wi_delete`, the key in pieces (see `auradb_writebatch_wi_putv`).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_deletev(
    b: Option<&mut auradb_writebatch_wi_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let key = unsafe { joined(num_keys, keys_list, keys_list_sizes) };
    add(b, |batch| batch.delete(0, &key?));
}

/// As `auradb_writebatch_wi_deletev`, from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_deletev_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_keys: c_int,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let key = unsafe { joined(num_keys, keys_list, keys_list_sizes) };
    add_to(b, column_family, |batch, id| batch.delete(id, &key?));
}

/// Adds a single delete (see `auradb_singledelete`) from the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_singledelete(
    b: Option<&mut auradb_writebatch_wi_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.single_delete(0, key?));
}

/// Adds a single delete (see `auradb_singledelete`) from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_singledelete_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add_to(b, column_family, |batch, id| batch.single_delete(id, key?));
}

/// Adds a delete of all keys from `start_key` up to, not including, `end_key` from the default column family: those
/// in the
/// batch so far, and those in the database.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete_range(
    b: Option<&mut auradb_writebatch_wi_t>,
    start_key: *const c_char,
    start_key_len: usize,
    end_key: *const c_char,
    end_key_len: usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe { (bytes(start_key, start_key_len), bytes(end_key, end_key_len)) };
    add(b, |batch| batch.delete_range(0, start?, end?));
}

/// As `auradb_writebatch_wi_delete_range`, from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete_range_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    start_key: *const c_char,
    start_key_len: usize,
    end_key: *const c_char,
    end_key_len: usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe { (bytes(start_key, start_key_len), bytes(end_key, end_key_len)) };
    add_to(b, column_family, |batch, id| batch.delete_range(id, start?, end?));
}

/// As `auradb_writebatch_wi_delete_range`, each of both keys in `num_keys` pieces (see `auradb_writebatch_wi_putv`).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete_rangev(
    b: Option<&mut auradb_writebatch_wi_t>,
    num_keys: c_int,
    start_keys_list: *const *const c_char,
    start_keys_list_sizes: *const usize,
    end_keys_list: *const *const c_char,
    end_keys_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe {
        (
            joined(num_keys, start_keys_list, start_keys_list_sizes),
            joined(num_keys, end_keys_list, end_keys_list_sizes),
        )
    };
    add(b, |batch| batch.delete_range(0, &start?, &end?));
}

/// As `auradb_writebatch_wi_delete_rangev`, from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_delete_rangev_cf(
    b: Option<&mut auradb_writebatch_wi_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_keys: c_int,
    start_keys_list: *const *const c_char,
    start_keys_list_sizes: *const usize,
    end_keys_list: *const *const c_char,
    end_keys_list_sizes: *const usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe {
        (
            joined(num_keys, start_keys_list, start_keys_list_sizes),
            joined(num_keys, end_keys_list, end_keys_list_sizes),
        )
    };
    add_to(b, column_family, |batch, id| batch.delete_range(id, &start?, &end?));
}

/// Adds bytes that go to the write-ahead log alone: they change no key, and are not counted.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_put_log_data(
    b: Option<&mut auradb_writebatch_wi_t>,
    blob: *const c_char,
    len: usize,
) {
    // SAFETY: C1.
    let blob = unsafe { bytes(blob, len) };
    add(b, |batch| batch.put_log_data(blob?));
}

/// As `auradb_writebatch_iterate`, over an indexed batch as it is now: callbacks may change it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_iterate(
    b: *const auradb_writebatch_wi_t,
    state: *mut c_void,
    put: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            k: *const c_char,
            klen: usize,
            v: *const c_char,
            vlen: usize,
        ),
    >,
    deleted: Option<unsafe extern "C" fn(state: *mut c_void, k: *const c_char, klen: usize)>,
) {
    quiet(|| {
        // No reference to the handle is left when the callbacks run: they may make one to change it.
        let batch = {
            // SAFETY: C1: NULL or a live handle, which nobody changes before the callbacks run.
            let handle = unsafe { b.as_ref() };
            present(handle)?.shared.lock().batch().clone()
        };
        iterate_default(&batch, state, put, deleted)
    });
}

/// Lends the bytes of an indexed batch, `*size` of them, until it is changed (see `auradb_writebatch_data`).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_data(
    b: Option<&auradb_writebatch_wi_t>,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: C1.
    unsafe { put_out(size, 0) };
    look(b, |b| {
        let batch = b.shared.lock();
        let data = batch.batch().data();
        // SAFETY: C1.
        unsafe { put_out(size, data.len()) };
        start_of(data)
    })
}

/// Remembers this place, for `auradb_writebatch_wi_rollback_to_save_point`. Save points nest.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_set_save_point(b: Option<&mut auradb_writebatch_wi_t>) {
    change(b, |b| b.shared.lock().set_save_point());
}

/// Takes back everything since the last save point, and the save point. "NotFound: " if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_rollback_to_save_point(
    b: Option<&mut auradb_writebatch_wi_t>,
    errptr: *mut *mut c_char,
) {
    fallible(errptr, || present_mut(b)?.shared.lock().rollback_to_save_point());
}
