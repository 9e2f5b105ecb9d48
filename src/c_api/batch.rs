//! Write batches. Their bytes are RocksDB's public format.

use super::boundary::{
    bytes, change, destroy, fallible, give, guarded, look, present, present_mut, put_out, quiet, report,
    seconds, start_of,
};
use super::column_family::auradb_column_family_handle_t;
use crate::base::{Error, Result};
use crate::batch::{Record, WriteBatch};
use libc::{c_char, c_int, c_void};
use std::ptr;

/// Operations to be applied at once by `auradb_write`. Used by one thread at a time. Keys and values are copied into
/// it; those of one operation are together at most 2 GiB less 64 bytes long, and a batch is below 4 GiB. Functions
/// that fill it have no place for an error: a failure is noted (`auradb_last_error`), remembered, and reported by
/// `auradb_write`, which writes nothing then.
pub struct auradb_writebatch_t {
    batch: WriteBatch,
    failure: Option<Error>,
}

impl auradb_writebatch_t {
    /// The batch, to add to it what fails on its own.
    pub fn batch_mut(&mut self) -> &mut WriteBatch {
        &mut self.batch
    }

    /// The batch, if all that was to go into it is there.
    pub fn complete(&self) -> Result<&WriteBatch> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None => Ok(&self.batch),
        }
    }
}

/// Gives an empty batch, for `auradb_writebatch_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_create() -> *mut auradb_writebatch_t {
    quiet(|| Ok(give(auradb_writebatch_t { batch: WriteBatch::new(), failure: None })))
}

/// Gives a batch from bytes that `auradb_writebatch_data` lent, for `auradb_writebatch_destroy`. Borrows them.
/// `auradb_write` reports "Corruption: " if they are malformed, "Invalid argument: " if an operation is too long.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_create_from(rep: *const c_char, size: usize) -> *mut auradb_writebatch_t {
    quiet(|| {
        // SAFETY: C1.
        let batch = unsafe { bytes(rep, size) }.and_then(WriteBatch::from_data);
        Ok(give(match batch {
            Ok(batch) => auradb_writebatch_t { batch, failure: None },
            Err(error) => {
                report(ptr::null_mut(), &error);
                auradb_writebatch_t { batch: WriteBatch::new(), failure: Some(error) }
            }
        }))
    })
}

/// Destroys a batch. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_destroy(b: Option<Box<auradb_writebatch_t>>) {
    destroy(b);
}

/// Empties a batch, and forgets its save points and failure.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_clear(b: Option<&mut auradb_writebatch_t>) {
    change(b, |b| {
        b.batch.clear();
        b.failure = None;
    });
}

/// The number of operations in a batch, log data not counted.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_count(b: Option<&auradb_writebatch_t>) -> c_int {
    look(b, |b| c_int::try_from(b.batch.count()).unwrap_or(c_int::MAX))
}

/// Adds to a batch, and remembers the first failure.
fn add(b: Option<&mut auradb_writebatch_t>, what: impl FnOnce(&mut WriteBatch) -> Result<()>) {
    quiet(|| {
        let b = present_mut(b)?;
        guarded(|| what(&mut b.batch)).inspect_err(|error| {
            b.failure.get_or_insert_with(|| error.clone());
        })
    });
}

fn id_of(family: Option<&auradb_column_family_handle_t>) -> Result<u32> {
    Ok(present(family)?.family.id())
}

/// Adds a put to the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_put(
    b: Option<&mut auradb_writebatch_t>,
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
pub extern "C" fn auradb_writebatch_put_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.put(id_of(column_family)?, key?, value?));
}

/// Adds a put of a value that is there for `ttl_seconds` seconds from when the batch is written on; 0 or less = for
/// ever, also in a database opened with a TTL. See `auradb_put_with_ttl`. In the bytes of the batch it has a tag of
/// its own, 0x40 (0x44 with a column family), which RocksDB does not know.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_put_with_ttl(
    b: Option<&mut auradb_writebatch_t>,
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

/// As `auradb_writebatch_put_with_ttl`, to a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_put_with_ttl_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
    ttl_seconds: i64,
) {
    // SAFETY: C1.
    let (key, value) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.put_with_ttl(id_of(column_family)?, key?, value?, seconds(ttl_seconds)));
}

/// Adds a delete from the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_delete(
    b: Option<&mut auradb_writebatch_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.delete(0, key?));
}

/// Adds a delete from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_delete_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.delete(id_of(column_family)?, key?));
}

/// Adds a single delete (see `auradb_singledelete`) from the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_singledelete(
    b: Option<&mut auradb_writebatch_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.single_delete(0, key?));
}

/// Adds a single delete (see `auradb_singledelete`) from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_singledelete_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let key = unsafe { bytes(key, klen) };
    add(b, |batch| batch.single_delete(id_of(column_family)?, key?));
}

/// Adds a delete of all keys from `start_key` up to, not including, `end_key` from the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_delete_range(
    b: Option<&mut auradb_writebatch_t>,
    start_key: *const c_char,
    start_key_len: usize,
    end_key: *const c_char,
    end_key_len: usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe { (bytes(start_key, start_key_len), bytes(end_key, end_key_len)) };
    add(b, |batch| batch.delete_range(0, start?, end?));
}

/// As `auradb_writebatch_delete_range`, from a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_delete_range_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    start_key: *const c_char,
    start_key_len: usize,
    end_key: *const c_char,
    end_key_len: usize,
) {
    // SAFETY: C1.
    let (start, end) = unsafe { (bytes(start_key, start_key_len), bytes(end_key, end_key_len)) };
    add(b, |batch| batch.delete_range(id_of(column_family)?, start?, end?));
}

/// Adds an operand for the merge operator of the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_merge(
    b: Option<&mut auradb_writebatch_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, operand) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.merge(0, key?, operand?));
}

/// Adds an operand for the merge operator of a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_merge_cf(
    b: Option<&mut auradb_writebatch_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    klen: usize,
    val: *const c_char,
    vlen: usize,
) {
    // SAFETY: C1.
    let (key, operand) = unsafe { (bytes(key, klen), bytes(val, vlen)) };
    add(b, |batch| batch.merge(id_of(column_family)?, key?, operand?));
}

/// Adds bytes that go to the write-ahead log alone: they change no key, and are not counted.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_put_log_data(
    b: Option<&mut auradb_writebatch_t>,
    blob: *const c_char,
    len: usize,
) {
    // SAFETY: C1.
    let blob = unsafe { bytes(blob, len) };
    add(b, |batch| batch.put_log_data(blob?));
}

/// Remembers this place, for `auradb_writebatch_rollback_to_save_point`. Save points nest.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_set_save_point(b: Option<&mut auradb_writebatch_t>) {
    change(b, |b| b.batch.set_save_point());
}

/// Takes back everything since the last save point, and the save point. "NotFound: " if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_rollback_to_save_point(
    b: Option<&mut auradb_writebatch_t>,
    errptr: *mut *mut c_char,
) {
    fallible(errptr, || present_mut(b)?.batch.rollback_to_save_point());
}

/// Forgets the last save point. "NotFound: " if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_pop_save_point(
    b: Option<&mut auradb_writebatch_t>,
    errptr: *mut *mut c_char,
) {
    fallible(errptr, || present_mut(b)?.batch.pop_save_point());
}

/// Calls `put` and `deleted` with `state` for the operations in order, as RocksDB does: those of the default column
/// family only; merges, single deletes and log data are passed over; an operation of another column family or a
/// range delete ends the walk. Keys and values are lent for the call. A NULL callback is not called.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_iterate(
    b: Option<&auradb_writebatch_t>,
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
    quiet(|| iterate_default(&present(b)?.batch, state, put, deleted));
}

/// Walks show a put with a TTL as a put.
fn without_ttl(record: Record<'_>) -> Record<'_> {
    match record {
        Record::PutWithTtl { column_family, key, value, .. } => Record::Put { column_family, key, value },
        other => other,
    }
}

type OnPut = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize);
type OnDelete = unsafe extern "C" fn(*mut c_void, *const c_char, usize);

/// What `auradb_writebatch_iterate` does.
pub fn iterate_default(
    batch: &WriteBatch,
    state: *mut c_void,
    put: Option<OnPut>,
    deleted: Option<OnDelete>,
) -> Result<()> {
    for record in batch.iter() {
        match without_ttl(record?) {
            // SAFETY: C4; key and value are readable for the call.
            Record::Put { column_family: 0, key, value } => unsafe {
                if let Some(put) = put {
                    put(state, start_of(key), key.len(), start_of(value), value.len());
                }
            },
            // SAFETY: C4; the key is readable for the call.
            Record::Delete { column_family: 0, key } => unsafe {
                if let Some(deleted) = deleted {
                    deleted(state, start_of(key), key.len());
                }
            },
            Record::Merge { column_family: 0, .. } | Record::SingleDelete { column_family: 0, .. } => {}
            Record::LogData(_) => {}
            _ => break,
        }
    }
    Ok(())
}

/// As `auradb_writebatch_iterate`, with all column families, their ids, and merges: `put_cf`, `deleted_cf` and
/// `merge_cf` are called in order; single deletes of the default column family and log data are passed over; a
/// single delete of another one, or a range delete, ends the walk.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_iterate_cf(
    b: Option<&auradb_writebatch_t>,
    state: *mut c_void,
    put_cf: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            cfid: u32,
            k: *const c_char,
            klen: usize,
            v: *const c_char,
            vlen: usize,
        ),
    >,
    deleted_cf: Option<unsafe extern "C" fn(state: *mut c_void, cfid: u32, k: *const c_char, klen: usize)>,
    merge_cf: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            cfid: u32,
            k: *const c_char,
            klen: usize,
            v: *const c_char,
            vlen: usize,
        ),
    >,
) {
    quiet(|| {
        for record in present(b)?.batch.iter() {
            match without_ttl(record?) {
                // SAFETY: C4; key and value are readable for the call.
                Record::Put { column_family, key, value } => unsafe {
                    if let Some(put) = put_cf {
                        put(state, column_family, start_of(key), key.len(), start_of(value), value.len());
                    }
                },
                // SAFETY: C4; the key is readable for the call.
                Record::Delete { column_family, key } => unsafe {
                    if let Some(deleted) = deleted_cf {
                        deleted(state, column_family, start_of(key), key.len());
                    }
                },
                // SAFETY: C4; key and operand are readable for the call.
                Record::Merge { column_family, key, operand } => unsafe {
                    if let Some(merge) = merge_cf {
                        merge(
                            state,
                            column_family,
                            start_of(key),
                            key.len(),
                            start_of(operand),
                            operand.len(),
                        );
                    }
                },
                Record::SingleDelete { column_family: 0, .. } | Record::LogData(_) => {}
                _ => break,
            }
        }
        Ok(())
    });
}

/// Lends the bytes of a batch, `*size` of them, until it is changed: an 8-byte sequence number, a 4-byte count, both
/// little-endian, and the operations.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_data(b: Option<&auradb_writebatch_t>, size: *mut usize) -> *const c_char {
    // SAFETY: C1.
    unsafe { put_out(size, 0) };
    look(b, |b| {
        let data = b.batch.data();
        // SAFETY: C1.
        unsafe { put_out(size, data.len()) };
        start_of(data)
    })
}
