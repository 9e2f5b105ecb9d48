//! Column families and their handles.

use super::boundary::{
    array, count, destroy, fallible, give, look, malloc_array, malloc_bytes, malloc_text, on_db, present,
    put_out, quiet, seconds, text,
};
use super::db::auradb_t;
use super::options::auradb_options_t;
use crate::base::Result;
use crate::db::{ColumnFamily, Db};
use libc::{c_char, c_int, c_void};
use std::{ptr, slice};

/// A column family of an open database. May be used from any thread, and from several at once. A dropped family
/// stays readable through its handles; its files go with the last of them.
pub struct auradb_column_family_handle_t {
    /// The engine's handle.
    pub family: ColumnFamily,
}

/// Opens a database with `open`, and fills the caller's array with a handle for each family.
///
/// # Safety
/// C1: `out` has `number` elements.
pub unsafe fn give_families(
    out: *mut *mut auradb_column_family_handle_t,
    number: usize,
    open: impl FnOnce() -> Result<(Db, Vec<ColumnFamily>)>,
) -> Result<Db> {
    // SAFETY: C1.
    unsafe { array(out, number) }?;
    for index in 0..number {
        // SAFETY: C1, and checked not to be NULL.
        unsafe { out.add(index).write(ptr::null_mut()) };
    }
    let (db, families) = open()?;
    for (index, family) in families.into_iter().take(number).enumerate() {
        // SAFETY: as above.
        unsafe { out.add(index).write(give(auradb_column_family_handle_t { family })) };
    }
    Ok(db)
}

/// Names of the column families of the database in directory `name`, open or closed. Gives an array of `*lencf`
/// names for `auradb_list_column_families_destroy`; after an error too, with none in it. Borrows the arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_list_column_families(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    lencf: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut *mut c_char {
    let mut names = Vec::new();
    fallible(errptr, || {
        // SAFETY: C1.
        let path = unsafe { super::boundary::path(name) }?;
        names = Db::list_column_families(&present(options)?.database_options(&[])?, path)?;
        Ok(())
    });
    // SAFETY: C1.
    unsafe { put_out(lencf, names.len()) };
    quiet(|| {
        let list = malloc_array::<*mut c_char>(names.len())?;
        for (index, name) in names.iter().enumerate() {
            // SAFETY: the array has room for all names.
            unsafe { list.add(index).write(malloc_text(name)) };
        }
        Ok(list)
    })
}

/// Frees what `auradb_list_column_families` gave.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_list_column_families_destroy(list: *mut *mut c_char, len: usize) {
    if list.is_null() {
        return;
    }
    // SAFETY: C2: the list and its names were malloc'ed by `auradb_list_column_families`.
    unsafe {
        slice::from_raw_parts(list, len).iter().for_each(|name| libc::free(*name as *mut c_void));
        libc::free(list.cast());
    }
}

/// Creates a column family. Borrows the arguments. Gives a handle for `auradb_column_family_handle_destroy`, or
/// NULL with an error: "Invalid argument: " if one of this name exists.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_column_family(
    db: Option<&auradb_t>,
    column_family_options: Option<&auradb_options_t>,
    column_family_name: *const c_char,
    errptr: *mut *mut c_char,
) -> *mut auradb_column_family_handle_t {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        let name = unsafe { text(column_family_name) }?;
        let options = present(column_family_options)?.column_family_options()?;
        let family = db.db.create_column_family(&options, name)?;
        Ok(give(auradb_column_family_handle_t { family }))
    })
}

/// As `auradb_create_column_family`, with a TTL as of `auradb_open_with_ttl`. Borrows the arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_column_family_with_ttl(
    db: Option<&auradb_t>,
    column_family_options: Option<&auradb_options_t>,
    column_family_name: *const c_char,
    ttl: c_int,
    errptr: *mut *mut c_char,
) -> *mut auradb_column_family_handle_t {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        let name = unsafe { text(column_family_name) }?;
        let mut options = present(column_family_options)?.column_family_options()?;
        options.ttl = Some(seconds(ttl.into()));
        let family = db.db.create_column_family(&options, name)?;
        Ok(give(auradb_column_family_handle_t { family }))
    })
}

/// Creates several column families with the same options, in order, up to the first that fails. Borrows the
/// arguments. Gives an array of `*lencfs` handles, those that were created, after an error too; free the array
/// with `auradb_create_column_families_destroy` and each handle with `auradb_column_family_handle_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_column_families(
    db: Option<&auradb_t>,
    column_family_options: Option<&auradb_options_t>,
    num_column_families: c_int,
    column_family_names: *const *const c_char,
    lencfs: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut *mut auradb_column_family_handle_t {
    let mut made = Vec::new();
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        let names = unsafe { array(column_family_names, count(num_column_families)?) }?;
        let options = present(column_family_options)?.column_family_options()?;
        for name in names {
            // SAFETY: C1.
            let name = unsafe { text(*name) }?;
            made.push(db.db.create_column_family(&options, name)?);
        }
        Ok(())
    });
    // SAFETY: C1.
    unsafe { put_out(lencfs, made.len()) };
    quiet(|| {
        let list = malloc_array::<*mut auradb_column_family_handle_t>(made.len())?;
        for (index, family) in made.into_iter().enumerate() {
            // SAFETY: the array has room for all handles.
            unsafe { list.add(index).write(give(auradb_column_family_handle_t { family })) };
        }
        Ok(list)
    })
}

/// Frees the array that `auradb_create_column_families` gave, not the handles in it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_column_families_destroy(list: *mut *mut auradb_column_family_handle_t) {
    // SAFETY: C2: NULL, or malloc'ed by `auradb_create_column_families`.
    unsafe { libc::free(list.cast()) };
}

/// Drops a column family. Its handles and iterators go on reading it. Borrows the handle: destroy it as well.
/// "Invalid argument: " for the default column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_drop_column_family(
    db: Option<&auradb_t>,
    handle: Option<&auradb_column_family_handle_t>,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| db.db.drop_column_family(&present(handle)?.family));
}

/// Gives a new handle of the default column family, for `auradb_column_family_handle_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_default_column_family_handle(
    db: Option<&auradb_t>,
) -> *mut auradb_column_family_handle_t {
    on_db(db, ptr::null_mut(), |db| Ok(give(auradb_column_family_handle_t { family: db.default.clone() })))
}

/// Destroys a handle; the column family stays. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_column_family_handle_destroy(handle: Option<Box<auradb_column_family_handle_t>>) {
    destroy(handle);
}

/// The id of a column family: 0 for the default one.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_column_family_handle_get_id(handle: Option<&auradb_column_family_handle_t>) -> u32 {
    look(handle, |handle| handle.family.id())
}

/// Gives the name of a column family, `*name_len` bytes; free it with `auradb_free`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_column_family_handle_get_name(
    handle: Option<&auradb_column_family_handle_t>,
    name_len: *mut usize,
) -> *mut c_char {
    quiet(|| {
        let name = present(handle)?.family.name();
        // SAFETY: C1.
        unsafe { put_out(name_len, name.len()) };
        malloc_bytes(name.as_bytes())
    })
}
