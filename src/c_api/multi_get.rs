//! Reading several keys at one moment.

use super::boundary::{array, bytes, guarded_on_db, malloc_bytes, present, put_out, report};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::read::auradb_readoptions_t;
use super::read::{auradb_pinnableslice_t, pinned};
use crate::base::{Error, Result};
use crate::db::{ColumnFamily, PinnedValue};
use libc::c_char;
use std::ptr;

/// Reads `num_keys` keys of the default column family, all at one moment. For each key, `values_list[i]` and
/// `values_list_sizes[i]` give the value (free it with `auradb_free`), or NULL and 0 if there is none or reading
/// it failed; `errs[i]` gives an error text then, else NULL. Every element of the three is written, whatever
/// happens. Borrows the other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_multi_get(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    num_keys: usize,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    values_list: *mut *mut c_char,
    values_list_sizes: *mut usize,
    errs: *mut *mut c_char,
) {
    let family = db.map(|db| vec![&db.default; num_keys]);
    // SAFETY: C1.
    unsafe {
        let keys = keys(num_keys, keys_list, keys_list_sizes);
        let answers = read_all(db, options, num_keys, family.as_deref(), keys);
        give_copies(answers, values_list, values_list_sizes, errs);
    }
}

/// As `auradb_multi_get`, each key in its own column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_multi_get_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_families: *const *const auradb_column_family_handle_t,
    num_keys: usize,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    values_list: *mut *mut c_char,
    values_list_sizes: *mut usize,
    errs: *mut *mut c_char,
) {
    // SAFETY: C1, C2.
    unsafe {
        let families = families(column_families, num_keys);
        let keys = keys(num_keys, keys_list, keys_list_sizes);
        let answers = match families {
            Ok(families) => read_all(db, options, num_keys, Some(&families), keys),
            Err(error) => (0..num_keys).map(|_| Err(error.clone())).collect(),
        };
        give_copies(answers, values_list, values_list_sizes, errs);
    }
}

/// As `auradb_multi_get`, in one column family and without copying: `values[i]` gives a pinned value for
/// `auradb_pinnableslice_destroy`, or NULL. `sorted_input` tells that the keys are in order already; they need
/// not be.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_batched_multi_get_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
    num_keys: usize,
    keys_list: *const *const c_char,
    keys_list_sizes: *const usize,
    values: *mut *mut auradb_pinnableslice_t,
    errs: *mut *mut c_char,
    sorted_input: bool,
) {
    let _ = sorted_input;
    let families = column_family.map(|handle| vec![&handle.family; num_keys]);
    // SAFETY: C1.
    unsafe {
        let keys = keys(num_keys, keys_list, keys_list_sizes);
        let answers = read_all(db, options, num_keys, families.as_deref(), keys);
        for (index, answer) in answers.into_iter().enumerate() {
            let value = give_error(answer, at(errs, index)).flatten();
            put_out(at(values, index), pinned(value));
        }
    }
}

type Answers = Vec<Result<Option<PinnedValue>>>;

/// # Safety
/// C1 for both arrays and the keys they describe.
unsafe fn keys<'a>(number: usize, keys: *const *const c_char, sizes: *const usize) -> Result<Vec<&'a [u8]>> {
    // SAFETY: C1.
    let (keys, sizes) = unsafe { (array(keys, number)?, array(sizes, number)?) };
    // SAFETY: C1 for each key.
    keys.iter().zip(sizes).map(|(key, size)| unsafe { bytes(*key, *size) }).collect()
}

/// # Safety
/// C1 for the array, C2 for the handles in it.
unsafe fn families<'a>(
    handles: *const *const auradb_column_family_handle_t,
    number: usize,
) -> Result<Vec<&'a ColumnFamily>> {
    // SAFETY: C1.
    let handles = unsafe { array(handles, number) }?;
    // SAFETY: C2 for each handle.
    handles.iter().map(|handle| unsafe { Ok(&present(handle.as_ref())?.family) }).collect()
}

/// One answer for each key; the same failure for all of them if the call itself is wrong.
fn read_all(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    number: usize,
    families: Option<&[&ColumnFamily]>,
    keys: Result<Vec<&[u8]>>,
) -> Answers {
    let answers = guarded_on_db(db, |db| {
        let options = present(options)?.ready()?;
        let families = families.ok_or_else(|| Error::invalid_argument("the column family handle is NULL"))?;
        let pairs: Vec<_> = families.iter().copied().zip(keys?).collect();
        Ok(db.db.multi_get(&pairs, options))
    });
    answers.unwrap_or_else(|error| (0..number).map(|_| Err(error.clone())).collect())
}

/// # Safety
/// C1: each array is NULL or has an element for each answer.
unsafe fn give_copies(answers: Answers, values: *mut *mut c_char, sizes: *mut usize, errs: *mut *mut c_char) {
    for (index, answer) in answers.into_iter().enumerate() {
        let copy =
            answer.and_then(|value| value.map(|value| Ok((malloc_bytes(&value)?, value.len()))).transpose());
        // SAFETY: C1.
        unsafe {
            let copy = give_error(copy, at(errs, index)).flatten();
            put_out(at(values, index), copy.map_or(ptr::null_mut(), |(start, _)| start));
            put_out(at(sizes, index), copy.map_or(0, |(_, len)| len));
        }
    }
}

/// Stores NULL or the error's text: the element's old content means nothing.
///
/// # Safety
/// C1: `err` is NULL or writable.
unsafe fn give_error<T>(answer: Result<T>, err: *mut *mut c_char) -> Option<T> {
    // SAFETY: C1.
    unsafe { put_out(err, ptr::null_mut()) };
    answer.map_err(|error| report(err, &error)).ok()
}

/// The place of an element, NULL if there is no array.
fn at<T>(start: *mut T, index: usize) -> *mut T {
    if start.is_null() { start } else { start.wrapping_add(index) }
}
