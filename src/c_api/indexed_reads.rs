//! Reads of indexed batches, alone and on top of a database, and their write.

use super::boundary::{
    bytes, fallible, give, guarded, malloc_bytes, on_db, present, present_mut, put_out, report,
};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::indexed_batch::auradb_writebatch_wi_t;
use super::iterator::auradb_iterator_t;
use super::options::auradb_options_t;
use super::options::read::auradb_readoptions_t;
use super::options::write::auradb_writeoptions_t;
use super::read::{Copied, auradb_pinnableslice_t, pinned};
use crate::base::{Error, Result};
use crate::db::{ColumnFamily, DbIterator, PinnedValue, get_from_batch};
use libc::c_char;
use std::ptr;

/// Gives the value of `key` in the default column family by the batch alone, `*vallen` bytes, to be freed with
/// `auradb_free`; NULL with `*vallen` 0 if the batch says nothing of the key or deletes it. Merge operands are applied
/// by the merge operator of `options`; "Merge in progress: " if what they are applied to is not in the batch. Borrows
/// the arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_from_batch(
    wbwi: Option<&auradb_writebatch_wi_t>,
    options: Option<&auradb_options_t>,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: C1.
    let (key, ()) = unsafe { (bytes(key, keylen), put_out(vallen, 0)) };
    let found = fallible(errptr, || {
        let operator = present(options)?.merge_operator();
        copied(get_from_batch(&present(wbwi)?.shared, key?, operator.as_deref())?.as_deref())
    });
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

/// As `auradb_writebatch_wi_get_from_batch`, in a column family and with its merge operator; `options` is not looked
/// at.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_from_batch_cf(
    wbwi: Option<&auradb_writebatch_wi_t>,
    options: Option<&auradb_options_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    let _ = options;
    // SAFETY: C1.
    let (key, ()) = unsafe { (bytes(key, keylen), put_out(vallen, 0)) };
    let found = fallible(errptr, || {
        let family = &present(column_family)?.family;
        copied(family.get_from_batch(&present(wbwi)?.shared, key?)?.as_deref())
    });
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

fn copied(value: Option<&[u8]>) -> Result<Copied> {
    match value {
        Some(value) => Ok(Copied { start: malloc_bytes(value)?, len: value.len() }),
        None => Ok(Copied { start: ptr::null_mut(), len: 0 }),
    }
}

/// The value that `key` would have if the batch were written.
fn get_with(
    db: &auradb_t,
    wbwi: Option<&auradb_writebatch_wi_t>,
    options: Option<&auradb_readoptions_t>,
    family: &ColumnFamily,
    key: &[u8],
) -> Result<Option<PinnedValue>> {
    db.db.get_with_batch(&present(wbwi)?.shared, family, key, present(options)?.ready()?)
}

/// Gives the value that `key` of the default column family would have if the batch were written, `*vallen` bytes, to be
/// freed with `auradb_free`; NULL with `*vallen` 0 if it would have none. Borrows the arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_from_batch_and_db(
    wbwi: Option<&auradb_writebatch_wi_t>,
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: C1.
    let (key, ()) = unsafe { (bytes(key, keylen), put_out(vallen, 0)) };
    let found = on_db(db, errptr, |db| copied(get_with(db, wbwi, options, &db.default, key?)?.as_deref()));
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

/// As `auradb_writebatch_wi_get_from_batch_and_db`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_from_batch_and_db_cf(
    wbwi: Option<&auradb_writebatch_wi_t>,
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: C1.
    let (key, ()) = unsafe { (bytes(key, keylen), put_out(vallen, 0)) };
    let found = on_db(db, errptr, |db| {
        copied(get_with(db, wbwi, options, &present(column_family)?.family, key?)?.as_deref())
    });
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

/// As `auradb_writebatch_wi_get_from_batch_and_db`, without copying a value of the database: gives a pinned value for
/// `auradb_pinnableslice_destroy`, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_pinned_from_batch_and_db(
    wbwi: Option<&auradb_writebatch_wi_t>,
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) -> *mut auradb_pinnableslice_t {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| Ok(pinned(get_with(db, wbwi, options, &db.default, key?)?)))
}

/// As `auradb_writebatch_wi_get_pinned_from_batch_and_db`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_get_pinned_from_batch_and_db_cf(
    wbwi: Option<&auradb_writebatch_wi_t>,
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) -> *mut auradb_pinnableslice_t {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| Ok(pinned(get_with(db, wbwi, options, &present(column_family)?.family, key?)?)))
}

/// As `auradb_write`, for an indexed batch, which is unchanged and can be written again.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_writebatch_wi(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        let wbwi = present_mut(wbwi)?;
        if let Some(error) = &wbwi.failure {
            return Err(error.clone());
        }
        db.db.write(wbwi.shared.lock().batch(), &present(options)?.options)
    });
}

/// Gives an iterator that shows what `base_iterator` would show if the batch were written, for `auradb_iter_destroy`;
/// it is not positioned. It has the column family, the bounds and the moment of `base_iterator`, which it takes, also
/// when it fails. Later changes of the batch are seen from the next move on. Never NULL: if it could not be made, it is
/// not valid and `auradb_iter_get_error` tells why.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_create_iterator_with_base(
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    base_iterator: Option<Box<auradb_iterator_t>>,
) -> *mut auradb_iterator_t {
    with_base(wbwi, base_iterator, None, None)
}

/// As `auradb_writebatch_wi_create_iterator_with_base`; the bounds in `options`, which are copied, hold besides those
/// of
/// `base_iterator`. NULL is as no bounds.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_create_iterator_with_base_readopts(
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    base_iterator: Option<Box<auradb_iterator_t>>,
    options: Option<&auradb_readoptions_t>,
) -> *mut auradb_iterator_t {
    with_base(wbwi, base_iterator, None, options)
}

/// As `auradb_writebatch_wi_create_iterator_with_base`, where `base_iterator` is one of `column_family`; an error if
/// it is
/// one of another.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_create_iterator_with_base_cf(
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    base_iterator: Option<Box<auradb_iterator_t>>,
    cf: Option<&auradb_column_family_handle_t>,
) -> *mut auradb_iterator_t {
    with_base(wbwi, base_iterator, Some(cf), None)
}

/// As `auradb_writebatch_wi_create_iterator_with_base_cf`, with the bounds in `options` (see
/// `auradb_writebatch_wi_create_iterator_with_base_readopts`).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_wi_create_iterator_with_base_cf_readopts(
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    base_iterator: Option<Box<auradb_iterator_t>>,
    cf: Option<&auradb_column_family_handle_t>,
    options: Option<&auradb_readoptions_t>,
) -> *mut auradb_iterator_t {
    with_base(wbwi, base_iterator, Some(cf), options)
}

/// `family` is given where the function has such an argument.
fn with_base(
    wbwi: Option<&mut auradb_writebatch_wi_t>,
    base: Option<Box<auradb_iterator_t>>,
    family: Option<Option<&auradb_column_family_handle_t>>,
    options: Option<&auradb_readoptions_t>,
) -> *mut auradb_iterator_t {
    let state = guarded(|| {
        let base = base.ok_or_else(|| Error::invalid_argument("the auradb_iterator_t handle is NULL"))?;
        let base: DbIterator = base.state?;
        let options = options.map(auradb_readoptions_t::ready).transpose()?;
        if let Some(family) = family {
            let family = &present(family)?.family;
            if family.id() != base.column_family() {
                return Err(Error::invalid_argument(format!(
                    "the iterator is over the column family of the id {}, the handle is that of {}, {}",
                    base.column_family(),
                    family.id(),
                    family.name()
                )));
            }
        }
        base.with_batch(&present_mut(wbwi)?.shared, options)
    });
    if let Err(error) = &state {
        report(ptr::null_mut(), error);
    }
    give(auradb_iterator_t { state })
}
