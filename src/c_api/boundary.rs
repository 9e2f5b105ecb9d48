//! What every exported function passes through: panics caught, `errptr`, NULL checks, bytes in, malloc'ed bytes out.
//!
//! Everything given to C is malloc'ed or a handle: callers free with plain `free` or `auradb_free`, whatever
//! allocator Rust uses. Pointers given to C are never NULL where bytes exist, not even for empty bytes: foreign
//! runtimes build slices from them.

use super::db::auradb_t;
use super::last_error;
use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result};
use libc::{c_char, c_double, c_int, c_uchar};
use std::any::{Any, type_name};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{ptr, slice};

/// What a function returns when it failed.
pub trait Neutral {
    /// NULL, 0 or nothing.
    fn neutral() -> Self;
}
impl Neutral for () {
    fn neutral() {}
}
impl<T> Neutral for *mut T {
    fn neutral() -> Self {
        ptr::null_mut()
    }
}
impl<T> Neutral for *const T {
    fn neutral() -> Self {
        ptr::null()
    }
}
impl Neutral for bool {
    fn neutral() -> Self {
        false
    }
}
impl Neutral for c_uchar {
    fn neutral() -> Self {
        0
    }
}
impl Neutral for c_int {
    fn neutral() -> Self {
        0
    }
}
impl Neutral for u32 {
    fn neutral() -> Self {
        0
    }
}
impl Neutral for u64 {
    fn neutral() -> Self {
        0
    }
}
impl Neutral for usize {
    fn neutral() -> Self {
        0
    }
}
impl Neutral for c_double {
    fn neutral() -> Self {
        0.0
    }
}

/// Runs `body`; a failure or panic goes to `*errptr` and gives the neutral answer. Success leaves `*errptr` alone.
pub fn fallible<T: Neutral>(errptr: *mut *mut c_char, body: impl FnOnce() -> Result<T>) -> T {
    guarded(body).unwrap_or_else(|error| {
        report(errptr, &error);
        T::neutral()
    })
}

/// As `fallible` for a function of a database handle; a panic makes the database read-only.
pub fn on_db<T: Neutral>(
    db: Option<&auradb_t>,
    errptr: *mut *mut c_char,
    body: impl FnOnce(&auradb_t) -> Result<T>,
) -> T {
    fallible(errptr, || guarded_on_db(db, body))
}

/// As `guarded` for a function of a database handle; a panic makes the database read-only.
pub fn guarded_on_db<T>(db: Option<&auradb_t>, body: impl FnOnce(&auradb_t) -> Result<T>) -> Result<T> {
    let db = present(db)?;
    catch_unwind(AssertUnwindSafe(|| body(db))).unwrap_or_else(|panic| {
        let error = panic_error(panic.as_ref());
        db.db.report_panic(error.message());
        Err(error)
    })
}

/// As `fallible` where the C signature has no `errptr`: `auradb_last_error` alone tells of a failure.
pub fn quiet<T: Neutral>(body: impl FnOnce() -> Result<T>) -> T {
    fallible(ptr::null_mut(), body)
}

/// Looks into a handle; the neutral answer if it is NULL.
pub fn look<T, R: Neutral>(handle: Option<&T>, body: impl FnOnce(&T) -> R) -> R {
    quiet(|| Ok(body(present(handle)?)))
}

/// Changes what a handle holds; nothing if it is NULL.
pub fn change<T>(handle: Option<&mut T>, body: impl FnOnce(&mut T)) {
    quiet(|| {
        body(present_mut(handle)?);
        Ok(())
    });
}

/// A new handle for C.
pub fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Ends a handle; nothing for NULL.
pub fn destroy<T>(handle: Option<Box<T>>) {
    quiet(|| {
        drop(handle);
        Ok(())
    });
}

/// Runs `body`, turning a panic into an error.
pub fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panic_error(panic.as_ref())))
}

fn panic_error(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Internal, format!("a defect was caught ({text}); close the database and report it"))
        .with_subcode(Subcode::Panic)
}

/// Notes `error` as this thread's last one, and stores its text in `*errptr`, freeing the one that was there.
pub fn report(errptr: *mut *mut c_char, error: &Error) {
    last_error::note(error);
    if errptr.is_null() {
        return;
    }
    // SAFETY: C1: `errptr` is writable, and what it holds is NULL or malloc'ed.
    unsafe {
        libc::free((*errptr).cast());
        *errptr = malloc_text(&error.to_string());
    }
}

/// The referent of a handle, or an error that names its type.
pub fn present<T>(handle: Option<&T>) -> Result<&T> {
    handle.ok_or_else(null_handle::<T>)
}

/// As `present`, to change it.
pub fn present_mut<T>(handle: Option<&mut T>) -> Result<&mut T> {
    handle.ok_or_else(null_handle::<T>)
}

fn null_handle<T>() -> Error {
    let name = type_name::<T>().rsplit("::").next().unwrap_or("handle");
    Error::invalid_argument(format!("the {name} handle is NULL"))
}

/// Bytes the caller lends. NULL is empty if the length is 0.
///
/// # Safety
/// C1 for `(start, len)`.
#[inline]
pub unsafe fn bytes<'a>(start: *const c_char, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if start.is_null() || len > isize::MAX as usize {
        return Err(no_bytes(start, len));
    }
    // SAFETY: not NULL, not too long; readable by C1.
    Ok(unsafe { slice::from_raw_parts(start.cast(), len) })
}

#[cold]
fn no_bytes(start: *const c_char, len: usize) -> Error {
    Error::invalid_argument(format!("{start:?} cannot be the start of {len} bytes"))
}

/// As `bytes`, where NULL means that there are none.
///
/// # Safety
/// C1 for `(start, len)`.
pub unsafe fn optional_bytes<'a>(start: *const c_char, len: usize) -> Result<Option<&'a [u8]>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { bytes(start, len) }.map(Some)
}

/// An array the caller lends. NULL is empty if the count is 0.
///
/// # Safety
/// C1 for `(start, count)`.
pub unsafe fn array<'a, T>(start: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if start.is_null() || count > isize::MAX as usize / size_of::<T>() {
        return Err(Error::invalid_argument(format!("{start:?} cannot be an array of {count} elements")));
    }
    // SAFETY: not NULL, not too long; readable by C1.
    Ok(unsafe { slice::from_raw_parts(start, count) })
}

/// A count that C gives as an `int`.
pub fn count(number: c_int) -> Result<usize> {
    usize::try_from(number).map_err(|_| Error::invalid_argument(format!("a count of {number}")))
}

/// A NUL-terminated name the caller lends.
///
/// # Safety
/// C1: NULL or NUL-terminated.
pub unsafe fn text<'a>(start: *const c_char) -> Result<&'a str> {
    if start.is_null() {
        return Err(Error::invalid_argument("a name is NULL"));
    }
    // SAFETY: not NULL; terminated by C1.
    let name = unsafe { CStr::from_ptr(start) };
    name.to_str().map_err(|_| Error::invalid_argument(format!("the name {name:?} is not UTF-8")))
}

/// A NUL-terminated file name the caller lends; any bytes.
///
/// # Safety
/// C1: NULL or NUL-terminated.
pub unsafe fn path<'a>(start: *const c_char) -> Result<&'a Path> {
    use std::os::unix::ffi::OsStrExt;
    if start.is_null() {
        return Err(Error::invalid_argument("a path is NULL"));
    }
    // SAFETY: not NULL; terminated by C1.
    let name = unsafe { CStr::from_ptr(start) };
    Ok(Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())))
}

/// The handle of a pointer that C has as `const`.
///
/// # Safety
/// C2.
pub unsafe fn lent<'a, T>(handle: *const T) -> Result<&'a T> {
    // SAFETY: NULL or a live handle by C2.
    present(unsafe { handle.as_ref() })
}

/// As `lent`, for the one thread that uses it.
///
/// # Safety
/// C2; the handle was made by `give`.
pub unsafe fn lent_mut<'a, T>(handle: *const T) -> Result<&'a mut T> {
    // SAFETY: NULL or a live handle of this thread by C2.
    present_mut(unsafe { handle.cast_mut().as_mut() })
}

/// Takes back a handle that C has as `const`.
///
/// # Safety
/// C2; the handle was made by `give` and is not used again.
pub unsafe fn taken<T>(handle: *const T) -> Option<Box<T>> {
    // SAFETY: `give` made it from a box.
    (!handle.is_null()).then(|| unsafe { Box::from_raw(handle.cast_mut()) })
}

/// Stores an answer where the caller wants it, if anywhere.
///
/// # Safety
/// C1: `out` is NULL or writable.
pub unsafe fn put_out<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL; writable by C1.
        unsafe { out.write(value) };
    }
}

/// The start of bytes, for C: never NULL, and never a made-up address.
pub fn start_of(bytes: &[u8]) -> *const c_char {
    static EMPTY: [u8; 1] = [0];
    if bytes.is_empty() { EMPTY.as_ptr().cast() } else { bytes.as_ptr().cast() }
}

/// A malloc'ed copy of bytes.
pub fn malloc_bytes(bytes: &[u8]) -> Result<*mut c_char> {
    let copy = malloc_array::<u8>(bytes.len())?;
    // SAFETY: `copy` has room for all of them and is new.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) };
    Ok(copy.cast())
}

/// A malloc'ed array with room for `count` elements; not NULL even for none.
pub fn malloc_array<T>(count: usize) -> Result<*mut T> {
    let size = count.saturating_mul(size_of::<T>()).max(1);
    // SAFETY: malloc may be asked for any size.
    let memory = unsafe { libc::malloc(size) };
    if memory.is_null() {
        return Err(Error::new(ErrorKind::Aborted, format!("no memory for {size} bytes")));
    }
    Ok(memory.cast())
}

/// A malloc'ed copy of a text, NUL-terminated; NULL only if there is no memory.
pub fn malloc_text(text: &str) -> *mut c_char {
    let mut terminated: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
    terminated.push(0);
    malloc_bytes(&terminated).unwrap_or(ptr::null_mut())
}

/// A TTL of a caller's: 0 or less means for ever.
pub fn seconds(ttl: i64) -> u64 {
    u64::try_from(ttl).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_empty_only_with_length_zero() {
        // SAFETY: NULL is allowed, and nothing is read.
        unsafe {
            assert_eq!(bytes(ptr::null(), 0).unwrap(), b"");
            assert_eq!(bytes(ptr::null(), 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
            assert!(bytes(c"a".as_ptr(), usize::MAX).is_err());
            assert!(array::<u64>(ptr::null(), 3).is_err());
            assert!(text(ptr::null()).is_err());
        }
        assert!(!start_of(&[]).is_null());
    }

    #[test]
    fn success_leaves_the_old_error_and_failure_replaces_it() {
        let mut error: *mut c_char = ptr::null_mut();
        fallible(&mut error, || -> Result<()> { Err(Error::not_found("first")) });
        let first = error;
        fallible(&mut error, || Ok(()));
        assert_eq!(error, first);
        let answer = fallible(&mut error, || -> Result<u64> { panic!("on purpose") });
        assert_eq!(answer, 0);
        // SAFETY: the boundary stored a terminated text.
        let message = unsafe { CStr::from_ptr(error) }.to_str().unwrap();
        assert!(message.starts_with("Internal error: ") && message.contains("on purpose"), "{message}");
        // SAFETY: malloc'ed by the boundary.
        unsafe { libc::free(error.cast()) };
    }

    #[test]
    fn a_panic_in_a_call_of_a_database_makes_it_read_only() {
        use crate::db::{ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
        let env = crate::env::simulated::SimEnv::new(1);
        let options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
        let db = Db::open(&options, Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
        let handle = auradb_t { default: db.default_column_family(), db };
        let put = || handle.db.put(&handle.default, b"key", b"value", &WriteOptions::default());
        put().unwrap();

        // A failure is no panic.
        on_db(Some(&handle), ptr::null_mut(), |_| -> Result<()> { Err(Error::not_found("nothing")) });
        put().unwrap();

        let mut error: *mut c_char = ptr::null_mut();
        let answer = on_db(Some(&handle), &mut error, |_| -> Result<u64> { panic!("on purpose") });
        assert_eq!(answer, 0);
        // SAFETY: the boundary stored a terminated text.
        let message = unsafe { CStr::from_ptr(error) }.to_str().unwrap();
        assert!(message.starts_with("Internal error: ") && message.contains("on purpose"), "{message}");
        // SAFETY: malloc'ed by the boundary.
        unsafe { libc::free(error.cast()) };

        let failure = handle.db.health().failure.expect("the panic is on record");
        assert_eq!((failure.kind(), failure.subcode()), (ErrorKind::Internal, Subcode::Panic));
        let refused = put().unwrap_err();
        assert_eq!((refused.kind(), refused.subcode()), (ErrorKind::Internal, Subcode::ReadOnly));
        let value = handle.db.get(&handle.default, b"key", &ReadOptions::default()).unwrap();
        assert_eq!(value.as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn a_null_handle_is_an_error_that_names_its_type() {
        let error = present::<auradb_t>(None).err().unwrap();
        assert_eq!(error.to_string(), "Invalid argument: the auradb_t handle is NULL");
    }
}
