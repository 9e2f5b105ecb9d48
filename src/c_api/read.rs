//! Reading one key: copied, pinned, or only asked for.

use super::boundary::{bytes, destroy, give, malloc_bytes, on_db, present, put_out, start_of};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::read::auradb_readoptions_t;
use crate::base::Result;
use crate::db::{ColumnFamily, PinnedValue};
use libc::{c_char, c_uchar};
use std::ptr;

/// A value read without a copy. It stays as it is, whatever is written meanwhile, until it is destroyed.
pub struct auradb_pinnableslice_t {
    /// The engine's value.
    pub value: PinnedValue,
}

/// Gives the value of `key` in the default column family, `*vallen` bytes, to be freed with `auradb_free`; NULL
/// with `*vallen` 0 if there is none. A present empty value is not NULL. Borrows the other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: C1.
    let (key, ()) = unsafe { (bytes(key, keylen), put_out(vallen, 0)) };
    let found = on_db(db, errptr, |db| copied(db, &db.default, options, key?));
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

/// As `auradb_get`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_cf(
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
    let found = on_db(db, errptr, |db| copied(db, &present(column_family)?.family, options, key?));
    // SAFETY: C1.
    unsafe { found.out(vallen) }
}

/// A malloc'ed copy of a value; NULL = none.
pub struct Copied {
    pub start: *mut c_char,
    pub len: usize,
}

impl super::boundary::Neutral for Copied {
    fn neutral() -> Self {
        Copied { start: ptr::null_mut(), len: 0 }
    }
}

impl Copied {
    /// # Safety
    /// C1: `len` is NULL or writable.
    pub unsafe fn out(self, len: *mut usize) -> *mut c_char {
        // SAFETY: passed on.
        unsafe { put_out(len, self.len) };
        self.start
    }
}

fn copied(
    db: &auradb_t,
    family: &ColumnFamily,
    options: Option<&auradb_readoptions_t>,
    key: &[u8],
) -> Result<Copied> {
    match db.db.get(family, key, present(options)?.ready()?)? {
        Some(value) => Ok(Copied { start: malloc_bytes(&value)?, len: value.len() }),
        None => Ok(Copied { start: ptr::null_mut(), len: 0 }),
    }
}

/// Gives the value of `key` in the default column family without copying it, for `auradb_pinnableslice_destroy`;
/// NULL if there is none. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_pinned(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) -> *mut auradb_pinnableslice_t {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| Ok(pinned(db.db.get(&db.default, key?, present(options)?.ready()?)?)))
}

/// As `auradb_get_pinned`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_pinned_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) -> *mut auradb_pinnableslice_t {
    // SAFETY: C1.
    let key = unsafe { bytes(key, keylen) };
    on_db(db, errptr, |db| {
        Ok(pinned(db.db.get(&present(column_family)?.family, key?, present(options)?.ready()?)?))
    })
}

/// A handle for a value that was found.
pub fn pinned(value: Option<PinnedValue>) -> *mut auradb_pinnableslice_t {
    value.map_or(ptr::null_mut(), |value| give(auradb_pinnableslice_t { value }))
}

/// Destroys a pinned value. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_pinnableslice_destroy(v: Option<Box<auradb_pinnableslice_t>>) {
    destroy(v);
}

/// Lends the bytes of a pinned value, `*vlen` of them, until it is destroyed. NULL with 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_pinnableslice_value(
    t: Option<&auradb_pinnableslice_t>,
    vlen: *mut usize,
) -> *const c_char {
    let value = t.map(|pinned| &*pinned.value);
    // SAFETY: C1.
    unsafe { put_out(vlen, value.map_or(0, <[u8]>::len)) };
    value.map_or(ptr::null(), start_of)
}

/// Returns 0 only if `key` is certainly absent from the default column family; never reads from the device. If
/// the value was at hand, `*value_found` becomes 1 and `*value` gives it, `*val_len` bytes, to be freed with
/// `auradb_free`; otherwise `*value_found` becomes 0. The outputs may be NULL, and there are no timestamps: that
/// argument is ignored. A failure counts as "may exist". Borrows the other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_key_may_exist(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    key: *const c_char,
    key_len: usize,
    value: *mut *mut c_char,
    val_len: *mut usize,
    timestamp: *const c_char,
    timestamp_len: usize,
    value_found: *mut c_uchar,
) -> c_uchar {
    let _ = (timestamp, timestamp_len);
    let family = db.map(|db| &db.default);
    // SAFETY: C1.
    unsafe { may_exist(db, family, options, bytes(key, key_len), value, val_len, value_found) }
}

/// As `auradb_key_may_exist`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_key_may_exist_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    key: *const c_char,
    key_len: usize,
    value: *mut *mut c_char,
    val_len: *mut usize,
    timestamp: *const c_char,
    timestamp_len: usize,
    value_found: *mut c_uchar,
) -> c_uchar {
    let _ = (timestamp, timestamp_len);
    let family = column_family.map(|handle| &handle.family);
    // SAFETY: C1.
    unsafe { may_exist(db, family, options, bytes(key, key_len), value, val_len, value_found) }
}

/// # Safety
/// C1: the outputs are NULL or writable.
unsafe fn may_exist(
    db: Option<&auradb_t>,
    family: Option<&ColumnFamily>,
    options: Option<&auradb_readoptions_t>,
    key: Result<&[u8]>,
    value: *mut *mut c_char,
    val_len: *mut usize,
    value_found: *mut c_uchar,
) -> c_uchar {
    // SAFETY: C1.
    unsafe { put_out(value_found, 0) };
    let mut may_exist = true;
    on_db(db, ptr::null_mut(), |db| {
        let options = present(options)?.ready()?;
        let (may, found) = db.db.key_may_exist(present(family)?, key?, options);
        may_exist = may;
        if let Some(found) = found.filter(|_| !value_found.is_null() && !value.is_null()) {
            // SAFETY: C1.
            unsafe {
                put_out(value, malloc_bytes(&found)?);
                put_out(val_len, found.len());
                put_out(value_found, 1);
            }
        }
        Ok(())
    });
    c_uchar::from(may_exist)
}
