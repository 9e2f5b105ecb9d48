//! The last failure of each thread, in full: what the text in `errptr` alone cannot say.

use super::boundary::{put_out, quiet};
use crate::base::Error;
use libc::{c_char, c_int};
use std::cell::RefCell;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

struct LastError {
    error: Error,
    file: Option<CString>,
    message: CString,
}

thread_local! {
    static LAST: RefCell<Option<LastError>> = const { RefCell::new(None) };
}

fn terminated(bytes: &[u8]) -> CString {
    CString::new(bytes.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>()).unwrap_or_default()
}

/// Remembers a failure for this thread.
pub fn note(error: &Error) {
    let last = LastError {
        error: error.clone(),
        file: error.file().map(|file| terminated(file.as_os_str().as_bytes())),
        message: terminated(error.to_string().as_bytes()),
    };
    // A thread that is ending has no place to remember: then nobody can ask either.
    let _ = LAST.try_with(|cell| cell.replace(Some(last)));
}

/// Returns the code (`auradb_code_t`) of the last call that failed on this thread, `auradb_code_ok` if none did.
/// Calls that succeed do not change it; functions without an `errptr` set it too.
///
/// `subcode` receives an `auradb_subcode_t`; `system_errno` the operating system's number or 0; `offset` the
/// byte offset in the file concerned or UINT64_MAX; `file` its path or NULL; `message` the text that `errptr` gets.
/// Any of them may be NULL. Lends `file` and `message` until the next call that fails on this thread.
/// In Go, lock the goroutine to its thread around the failing call and this one.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_last_error(
    subcode: *mut c_int,
    system_errno: *mut c_int,
    offset: *mut u64,
    file: *mut *const c_char,
    message: *mut *const c_char,
) -> c_int {
    quiet(|| {
        Ok(LAST.with_borrow(|last| {
            let error = last.as_ref().map(|last| &last.error);
            let file_start =
                last.as_ref().and_then(|last| last.file.as_ref()).map_or(ptr::null(), |f| f.as_ptr());
            // SAFETY: C1: each is NULL or writable.
            unsafe {
                put_out(subcode, error.map_or(0, |error| error.subcode() as c_int));
                put_out(system_errno, error.and_then(Error::errno).unwrap_or(0));
                put_out(offset, error.and_then(Error::offset).unwrap_or(u64::MAX));
                put_out(file, file_start);
                put_out(message, last.as_ref().map_or(ptr::null(), |last| last.message.as_ptr()));
            }
            error.map_or(0, |error| error.kind() as c_int)
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::path::Path;

    #[test]
    fn every_part_of_an_error_arrives() {
        note(&Error::corruption(Path::new("000007.sst"), 4096, "bad block"));
        let (mut subcode, mut number, mut offset) = (9, 9, 9);
        let (mut file, mut message) = (ptr::null(), ptr::null());
        let code = auradb_last_error(&mut subcode, &mut number, &mut offset, &mut file, &mut message);
        assert_eq!((code, subcode, number, offset), (2, 0, 0, 4096));
        // SAFETY: both are lent until this thread's next failure.
        let (file, message) = unsafe { (CStr::from_ptr(file), CStr::from_ptr(message)) };
        assert_eq!(file.to_str().unwrap(), "000007.sst");
        assert_eq!(message.to_str().unwrap(), "Corruption: 000007.sst @ 4096: bad block");
        std::thread::spawn(|| {
            let none = ptr::null_mut();
            assert_eq!(auradb_last_error(none, none, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()), 0);
        })
        .join()
        .unwrap();
    }
}
