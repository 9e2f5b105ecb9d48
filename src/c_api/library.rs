//! The library itself: memory and version.

use libc::{c_char, c_void};

/// Frees what a function gave: values, error texts, property texts, names. The same as `free`; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_free(memory: *mut c_void) {
    // SAFETY: C2: NULL, or malloc'ed by this library.
    unsafe { libc::free(memory) };
}

/// The library's version, such as "0.1.0". Lends it for as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
