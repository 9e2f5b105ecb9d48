//! Properties and sizes.

use super::boundary::{array, bytes, count, malloc_text, on_db, present, put_out, text};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use crate::base::{Error, Result};
use crate::db::ColumnFamily;
use libc::{c_char, c_int};
use std::ptr;

/// Gives a property of the database and its default column family as text, for `auradb_free`; NULL if there is no
/// such property. Names start with "rocksdb." as in RocksDB ("rocksdb.stats", "rocksdb.estimate-num-keys") or
/// with "auradb." ("auradb.summary", "auradb.levels", "auradb.value-log").
#[unsafe(no_mangle)]
pub extern "C" fn auradb_property_value(db: Option<&auradb_t>, propname: *const c_char) -> *mut c_char {
    // SAFETY: C1.
    unsafe { property_text(db, db.map(|db| &db.default), propname) }
}

/// As `auradb_property_value`, of a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_property_value_cf(
    db: Option<&auradb_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    propname: *const c_char,
) -> *mut c_char {
    // SAFETY: C1.
    unsafe { property_text(db, column_family.map(|handle| &handle.family), propname) }
}

/// # Safety
/// C1: the name is NULL or NUL-terminated.
unsafe fn property_text(
    db: Option<&auradb_t>,
    family: Option<&ColumnFamily>,
    name: *const c_char,
) -> *mut c_char {
    on_db(db, ptr::null_mut(), |db| {
        // SAFETY: C1.
        let name = unsafe { text(name) }?;
        let value = db.db.property(present(family)?, name);
        Ok(value.map_or(ptr::null_mut(), |value| malloc_text(&value)))
    })
}

/// Stores a property that is a number in `*out_val`. Returns 0, or -1 if there is no such property.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_property_int(
    db: Option<&auradb_t>,
    propname: *const c_char,
    out_val: *mut u64,
) -> c_int {
    // SAFETY: C1.
    unsafe { property_number(db, db.map(|db| &db.default), propname, out_val) }
}

/// As `auradb_property_int`, of a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_property_int_cf(
    db: Option<&auradb_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    propname: *const c_char,
    out_val: *mut u64,
) -> c_int {
    // SAFETY: C1.
    unsafe { property_number(db, column_family.map(|handle| &handle.family), propname, out_val) }
}

/// # Safety
/// C1: the name is NULL or NUL-terminated, `out` NULL or writable.
unsafe fn property_number(
    db: Option<&auradb_t>,
    family: Option<&ColumnFamily>,
    name: *const c_char,
    out: *mut u64,
) -> c_int {
    let mut found = None;
    on_db(db, ptr::null_mut(), |db| {
        // SAFETY: C1.
        let name = unsafe { text(name) }?;
        found = db.db.property_int(present(family)?, name);
        Ok(())
    });
    if let Some(number) = found {
        // SAFETY: C1.
        unsafe { put_out(out, number) };
    }
    if found.is_some() { 0 } else { -1 }
}

/// Stores in `sizes[i]` about how many bytes of tables lie between `range_start_key[i]` and, not including,
/// `range_limit_key[i]` in the default column family; memtables do not count. On failure all are 0. Borrows the
/// other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_sizes(
    db: Option<&auradb_t>,
    num_ranges: c_int,
    range_start_key: *const *const c_char,
    range_start_key_len: *const usize,
    range_limit_key: *const *const c_char,
    range_limit_key_len: *const usize,
    sizes: *mut u64,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        unsafe {
            let starts = Keys { starts: range_start_key, lens: range_start_key_len };
            let limits = Keys { starts: range_limit_key, lens: range_limit_key_len };
            store_sizes(db, &db.default, num_ranges, starts, limits, sizes)
        }
    });
}

/// As `auradb_approximate_sizes`, in a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_sizes_cf(
    db: Option<&auradb_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_ranges: c_int,
    range_start_key: *const *const c_char,
    range_start_key_len: *const usize,
    range_limit_key: *const *const c_char,
    range_limit_key_len: *const usize,
    sizes: *mut u64,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        unsafe {
            let starts = Keys { starts: range_start_key, lens: range_start_key_len };
            let limits = Keys { starts: range_limit_key, lens: range_limit_key_len };
            store_sizes(db, &present(column_family)?.family, num_ranges, starts, limits, sizes)
        }
    });
}

/// Keys as C gives them: an array of starts and one of lengths.
struct Keys {
    starts: *const *const c_char,
    lens: *const usize,
}

impl Keys {
    /// # Safety
    /// C1 for both arrays and the keys they describe.
    unsafe fn read<'a>(&self, number: usize) -> Result<Vec<&'a [u8]>> {
        // SAFETY: C1.
        let (starts, lens) = unsafe { (array(self.starts, number)?, array(self.lens, number)?) };
        // SAFETY: C1 for each key.
        starts.iter().zip(lens).map(|(start, len)| unsafe { bytes(*start, *len) }).collect()
    }
}

/// # Safety
/// C1 for all arrays.
unsafe fn store_sizes(
    db: &auradb_t,
    family: &ColumnFamily,
    number: c_int,
    starts: Keys,
    limits: Keys,
    sizes: *mut u64,
) -> Result<()> {
    let number = count(number)?;
    if sizes.is_null() && number > 0 {
        return Err(Error::invalid_argument("there is no array for the sizes"));
    }
    for index in 0..number {
        // SAFETY: C1, and checked not to be NULL.
        unsafe { sizes.add(index).write(0) };
    }
    // SAFETY: C1.
    let ranges: Vec<_> = unsafe { starts.read(number)?.into_iter().zip(limits.read(number)?).collect() };
    let answers = db.db.approximate_sizes(family, &ranges, false)?;
    for (index, size) in answers.into_iter().enumerate().take(number) {
        // SAFETY: as above.
        unsafe { sizes.add(index).write(size) };
    }
    Ok(())
}
