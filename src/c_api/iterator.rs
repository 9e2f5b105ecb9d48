//! Iterators.

use super::boundary::{
    array, bytes, destroy, fallible, give, guarded, guarded_on_db, lent, lent_mut, look, on_db, present,
    present_mut, put_out, quiet, report, start_of,
};
use super::column_family::auradb_column_family_handle_t;
use super::db::auradb_t;
use super::options::read::auradb_readoptions_t;
use crate::base::{Error, Result};
use crate::db::{ColumnFamily, DbIterator};
use libc::{c_char, c_uchar};
use std::ptr;

/// Moves over the entries of a column family, both ways. Used by one thread at a time. It shows the moment it was
/// created at, and keeps what it needs alive until it is destroyed.
pub struct auradb_iterator_t {
    /// The engine's iterator, or why there is none: it is never valid then.
    pub state: Result<DbIterator>,
}

/// Gives an iterator over the default column family, for `auradb_iter_destroy`; it is not positioned. Never NULL:
/// if it could not be made, it is not valid and `auradb_iter_get_error` tells why. Borrows the arguments; the
/// bounds in `options` are copied.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_iterator(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
) -> *mut auradb_iterator_t {
    give_iterator(db, options, db.map(|db| &db.default))
}

/// As `auradb_create_iterator`, over a column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_iterator_cf(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    column_family: Option<&auradb_column_family_handle_t>,
) -> *mut auradb_iterator_t {
    give_iterator(db, options, column_family.map(|handle| &handle.family))
}

fn give_iterator(
    db: Option<&auradb_t>,
    options: Option<&auradb_readoptions_t>,
    family: Option<&ColumnFamily>,
) -> *mut auradb_iterator_t {
    let state = guarded_on_db(db, |db| db.db.iterator(present(family)?, present(options)?.ready()?));
    if let Err(error) = &state {
        report(ptr::null_mut(), error);
    }
    give(auradb_iterator_t { state })
}

/// Fills `iterators` with one iterator for each of `size` column families, all at one moment; on failure with
/// NULL. Borrows the other arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_iterators(
    db: Option<&auradb_t>,
    opts: Option<&auradb_readoptions_t>,
    column_families: *const *mut auradb_column_family_handle_t,
    iterators: *mut *mut auradb_iterator_t,
    size: usize,
    errptr: *mut *mut c_char,
) {
    on_db(db, errptr, |db| {
        // SAFETY: C1.
        unsafe { array(iterators, size) }?;
        for index in 0..size {
            // SAFETY: C1, and checked not to be NULL.
            unsafe { iterators.add(index).write(ptr::null_mut()) };
        }
        // SAFETY: C1, C2.
        let made = unsafe { iterators_of(db, opts, array(column_families, size)?) }?;
        for (index, iterator) in made.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { iterators.add(index).write(give(auradb_iterator_t { state: Ok(iterator) })) };
        }
        Ok(())
    });
}

/// # Safety
/// C2 for the handles.
unsafe fn iterators_of(
    db: &auradb_t,
    options: Option<&auradb_readoptions_t>,
    handles: &[*mut auradb_column_family_handle_t],
) -> Result<Vec<DbIterator>> {
    // SAFETY: C2.
    let families: Result<Vec<_>> =
        handles.iter().map(|handle| unsafe { Ok(&lent(*handle)?.family) }).collect();
    db.db.iterators(&families?, present(options)?.ready()?)
}

/// Destroys an iterator. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_destroy(iter: Option<Box<auradb_iterator_t>>) {
    destroy(iter);
}

/// Whether the iterator stands on an entry (1) or not (0): before it was positioned, past either end, outside the
/// bounds, or after a failure, which `auradb_iter_get_error` tells.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_valid(iter: Option<&auradb_iterator_t>) -> c_uchar {
    look(iter, |iter| c_uchar::from(iter.state.as_ref().is_ok_and(DbIterator::valid)))
}

/// Moves an iterator. A panic makes it a failed one.
fn moved(iter: Option<&mut auradb_iterator_t>, how: impl FnOnce(&mut DbIterator) -> Result<()>) {
    quiet(|| {
        let iter = present_mut(iter)?;
        let Ok(inner) = &mut iter.state else { return Ok(()) };
        if let Err(error) = guarded(|| how(inner)) {
            report(ptr::null_mut(), &error);
            iter.state = Err(error);
        }
        Ok(())
    });
}

/// Moves to the first entry within the bounds.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_seek_to_first(iter: Option<&mut auradb_iterator_t>) {
    moved(iter, |iter| {
        iter.seek_to_first();
        Ok(())
    });
}

/// Moves to the last entry within the bounds.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_seek_to_last(iter: Option<&mut auradb_iterator_t>) {
    moved(iter, |iter| {
        iter.seek_to_last();
        Ok(())
    });
}

/// Moves to the first entry at or after `k`. Borrows `k`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_seek(iter: Option<&mut auradb_iterator_t>, k: *const c_char, klen: usize) {
    // SAFETY: C1.
    let target = unsafe { bytes(k, klen) };
    moved(iter, |iter| {
        iter.seek(target?);
        Ok(())
    });
}

/// Moves to the last entry at or before `k`. Borrows `k`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_seek_for_prev(
    iter: Option<&mut auradb_iterator_t>,
    k: *const c_char,
    klen: usize,
) {
    // SAFETY: C1.
    let target = unsafe { bytes(k, klen) };
    moved(iter, |iter| {
        iter.seek_for_prev(target?);
        Ok(())
    });
}

/// Moves one entry on. Nothing happens to an iterator that is not valid.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_next(iter: Option<&mut auradb_iterator_t>) {
    moved(iter, |iter| {
        if iter.valid() {
            iter.next();
        }
        Ok(())
    });
}

/// Moves one entry back. Nothing happens to an iterator that is not valid.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_prev(iter: Option<&mut auradb_iterator_t>) {
    moved(iter, |iter| {
        if iter.valid() {
            iter.prev();
        }
        Ok(())
    });
}

/// Lends the key the iterator stands on, `*klen` bytes, until the next move. NULL with 0 if it is not valid.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_key(iter: Option<&auradb_iterator_t>, klen: *mut usize) -> *const c_char {
    // SAFETY: C1.
    unsafe { put_out(klen, 0) };
    look(iter, |iter| match &iter.state {
        Ok(inner) if inner.valid() => {
            let key = inner.key();
            // SAFETY: C1.
            unsafe { put_out(klen, key.len()) };
            start_of(key)
        }
        _ => ptr::null(),
    })
}

/// Lends the value the iterator stands on, `*vlen` bytes, until the next move. NULL with 0 if it is not valid, or
/// if a large value could not be read: the iterator is not valid any more then, and has an error.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_value(iter: *const auradb_iterator_t, vlen: *mut usize) -> *const c_char {
    quiet(|| {
        // SAFETY: C1, and C2 with the one thread that uses the iterator: the value is read on first use.
        let iter = unsafe {
            put_out(vlen, 0);
            lent_mut(iter)
        }?;
        let Ok(inner) = &mut iter.state else { return Ok(ptr::null()) };
        if !inner.valid() {
            return Ok(ptr::null());
        }
        let value = inner.value();
        let (start, len) = (start_of(value), value.len());
        inner.status()?;
        // SAFETY: C1.
        unsafe { put_out(vlen, len) };
        Ok(start)
    })
}

/// Reports why the iterator is not valid, if that is a failure and not the end of the data.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_get_error(iter: Option<&auradb_iterator_t>, errptr: *mut *mut c_char) {
    fallible(errptr, || match &present(iter)?.state {
        Ok(inner) => inner.status(),
        Err(error) => Err(error.clone()),
    });
}

/// Makes the iterator show the latest state, dropping its snapshot if it had one; it is not positioned then.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_iter_refresh(iter: *const auradb_iterator_t, errptr: *mut *mut c_char) {
    fallible(errptr, || {
        // SAFETY: C2 with the one thread that uses the iterator.
        match &mut unsafe { lent_mut(iter) }?.state {
            Ok(inner) => inner.refresh(),
            Err(error) => Err(Error::clone(error)),
        }
    });
}
