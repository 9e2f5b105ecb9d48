//! Many operations or keys in one call and one flat buffer.

use super::batch::auradb_writebatch_t;
use super::boundary::{array, bytes, malloc_array, on_db, present, put_out};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::read::auradb_readoptions_t;
use super::options::write::auradb_writeoptions_t;
use crate::base::{Error, Result};
use crate::batch::{PackedKeys, PackedOperations};
use crate::db::{ColumnFamily, Db};
use libc::c_char;
use std::ptr;

/// What a packed operation does (an addition of AuraDB). No operation is 0.
#[repr(C)]
#[allow(dead_code, reason = "C uses them, by the header")]
pub enum auradb_packed_kind_t {
    /// Stores the value under the key.
    auradb_packed_put = 1,
    /// Deletes the key. No value.
    auradb_packed_delete = 2,
    /// Deletes the key, which was put once (see `auradb_singledelete`). No value.
    auradb_packed_singledelete = 3,
    /// The value is an operand for the merge operator.
    auradb_packed_merge = 4,
    /// Deletes from the key up to, not including, the value, which is a key too.
    auradb_packed_delete_range = 5,
    /// The key is bytes that go to the write-ahead log alone (see `auradb_writebatch_put_log_data`). No value.
    auradb_packed_log_data = 6,
}

/// Applies many operations in one call: all of them or none, as `auradb_write` does with a batch (an addition of
/// AuraDB, for languages whose calls of C are expensive). `data` holds `len` bytes of operations, one after the other
/// without padding. Each is three 32-bit numbers, little-endian, then the key, then the value:
///
///   kind + 256 * family | key length | value length | key | value
///
/// `kind` is an `auradb_packed_kind_t`. `family` is an index into `column_families`, an array of
/// `num_column_families` handles; if that is NULL, 0 means the default column family. In Go:
///
///   func put(buf []byte, key, value string) []byte {
///           buf = binary.LittleEndian.AppendUint32(buf, C.auradb_packed_put)
///           buf = binary.LittleEndian.AppendUint32(buf, uint32(len(key)))
///           buf = binary.LittleEndian.AppendUint32(buf, uint32(len(value)))
///           return append(append(buf, key...), value...)
///   }
///
/// and in Python: `buf += struct.pack("<III", 1, len(key), len(value)) + key + value`. Borrows all arguments. A
/// malformed operation is "Invalid argument: " with its number and the byte it starts at, and nothing is applied.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_packed(
    db: Option<&auradb_t>,
    options: Option<&auradb_writeoptions_t>,
    column_families: *const *const auradb_column_family_handle_t,
    num_column_families: usize,
    data: *const c_char,
    len: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let data = unsafe { bytes(data, len) };
    on_db(db, errptr, |db| {
        // SAFETY: C1, C2.
        let families = unsafe { Families::new(column_families, num_column_families) }?;
        let family_at = |index| families.at(index, Some(&db.default));
        db.db.write_packed(data?, &family_at, &present(options)?.options)
    });
}

/// Adds packed operations (see `auradb_write_packed`) to a batch: all of them, or none after an error. Borrows the
/// arguments, and copies the operations.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_writebatch_append_packed(
    b: Option<&mut auradb_writebatch_t>,
    column_families: *const *const auradb_column_family_handle_t,
    num_column_families: usize,
    data: *const c_char,
    len: usize,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    let data = unsafe { bytes(data, len) };
    super::boundary::fallible(errptr, || {
        let batch = super::boundary::present_mut(b)?.batch_mut();
        // SAFETY: C1, C2.
        let families = unsafe { Families::new(column_families, num_column_families) }?;
        let id_at = |index| match (index, families.0) {
            (0, None) => Ok(0),
            _ => Ok(families.at(index, None)?.id()),
        };
        batch.append_packed(PackedOperations::new(data?, &id_at))
    });
}

/// Reads many keys in one call, all at one moment (an addition of AuraDB). `keys` holds `len` bytes of keys, one after
/// the other without padding: two 32-bit numbers, little-endian, and the bytes of the key:
///
///   family | key length | key
///
/// `family` is an index into `column_families`, as for `auradb_write_packed`. Gives `*answer_len` bytes, to be freed
/// with `auradb_free`, with an answer for each key in the same order: a 32-bit length, and that many bytes of the
/// value;
/// the length 0xffffffff alone if there is no value. If a key is malformed or one value cannot be read, that is the
/// error of the call, which names the key; NULL is given then, with `*answer_len` 0. Borrows the other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_multi_get_packed(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_families: *const *const auradb_column_family_handle_t,
    num_column_families: usize,
    keys: *const c_char,
    len: usize,
    answer_len: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: C1.
    let (keys, ()) = unsafe { (bytes(keys, len), put_out(answer_len, 0)) };
    on_db(db, errptr, |db| {
        // SAFETY: C1, C2.
        let families = unsafe { Families::new(column_families, num_column_families) }?;
        let mut wanted = Vec::new();
        for key in PackedKeys::new(keys?) {
            let (family, key) = key?;
            wanted.push((families.at(family, Some(&db.default))?, key));
        }
        let (start, len) = read_packed(&db.db, &wanted, present(options)?)?;
        // SAFETY: C1.
        unsafe { put_out(answer_len, len) };
        Ok(start)
    })
}

/// The answers in one malloc'ed buffer, and its length.
fn read_packed(
    db: &Db,
    wanted: &[(&ColumnFamily, &[u8])],
    options: &auradb_readoptions_t,
) -> Result<(*mut c_char, usize)> {
    let mut values = Vec::with_capacity(wanted.len());
    let mut len = 0;
    for (number, answer) in db.multi_get(wanted, options.ready()?).into_iter().enumerate() {
        let value = answer.map_err(|error| error.context(format_args!("packed keys: key {number}")))?;
        let value_len = value.as_ref().map_or(0, |value| value.len());
        if value_len >= u32::MAX as usize {
            return Err(Error::invalid_argument(format!(
                "packed keys: key {number}: a merged value of {value_len} bytes; read it with auradb_get"
            )));
        }
        len += 4 + value_len;
        values.push(value);
    }
    let start: *mut u8 = malloc_array(len)?;
    let mut at = 0;
    let mut write = |bytes: &[u8]| {
        // SAFETY: `len` is the sum of all lengths written.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(at), bytes.len()) };
        at += bytes.len();
    };
    for value in &values {
        // Checked above: no length is that of an absent one.
        let len = value.as_ref().map_or(u32::MAX, |value| value.len() as u32);
        write(&len.to_le_bytes());
        write(value.as_deref().unwrap_or(&[]));
    }
    Ok((start.cast(), len))
}

/// The caller's column families; `None` = the default one alone.
struct Families<'a>(Option<&'a [*const auradb_column_family_handle_t]>);

impl<'a> Families<'a> {
    /// # Safety
    /// C1 for the array, C2 for the handles in it.
    unsafe fn new(
        handles: *const *const auradb_column_family_handle_t,
        number: usize,
    ) -> Result<Families<'a>> {
        if handles.is_null() {
            return Ok(Families(None));
        }
        // SAFETY: C1.
        Ok(Families(Some(unsafe { array(handles, number) }?)))
    }

    fn at(&self, index: usize, default: Option<&'a ColumnFamily>) -> Result<&'a ColumnFamily> {
        match (self.0, default) {
            (None, Some(default)) if index == 0 => Ok(default),
            (handles, _) => {
                let handles = handles.unwrap_or(&[]);
                let Some(handle) = handles.get(index) else { return Err(no_such_family(index, handles)) };
                // SAFETY: C2; `new` was promised it.
                Ok(&present(unsafe { handle.as_ref() })?.family)
            }
        }
    }
}

#[cold]
fn no_such_family(index: usize, handles: &[*const auradb_column_family_handle_t]) -> Error {
    let count = handles.len();
    Error::invalid_argument(format!(
        "column family index {index}: the array of column families has {count} (if it is NULL, only index 0 is valid)"
    ))
}
