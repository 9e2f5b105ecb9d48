//! C function pointers as the engine's traits: comparator, merge operator, compaction filter, slice transform, logger.
//!
//! A handle shares the object behind it with the options and databases that use it. When the last user goes, the
//! destructor is called with the state, exactly once. So the caller may destroy a handle that was only borrowed at
//! any time. Callbacks run on the engine's threads too, several at once, and must not unwind (rules C3, C4).

pub mod compaction_filter;
pub mod comparator;
pub mod logger;
pub mod merge_operator;
pub mod slice_transform;
pub mod uint64_add;

use crate::base::{Error, Result};
use libc::{c_char, c_void};
use std::ffi::CStr;

/// Ends a callback's state.
pub type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;
/// Names what the state stands for.
pub type Name = Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>;

/// The state of callbacks, and what ends it.
pub struct State {
    /// What the callbacks get as their first argument.
    pub pointer: *mut c_void,
    destructor: Destructor,
}

// SAFETY: C4: the caller promises that its state may be used from any thread.
unsafe impl Send for State {}
// SAFETY: C4: and from several at once.
unsafe impl Sync for State {}

impl State {
    /// Takes a state.
    pub fn new(pointer: *mut c_void, destructor: Destructor) -> State {
        State { pointer, destructor }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(destructor) = self.destructor {
            // SAFETY: C4: the state is the destructor's, and nothing uses it any more.
            unsafe { destructor(self.pointer) };
        }
    }
}

/// The callback, or an error that says which one is NULL.
pub fn required<F>(callback: Option<F>, what: &str) -> Result<F> {
    callback.ok_or_else(|| Error::invalid_argument(format!("the {what} callback is NULL")))
}

/// What a name callback says.
///
/// # Safety
/// C3: the callback returns NULL or a NUL-terminated text.
pub unsafe fn name_of(state: *mut c_void, name: Name) -> Result<String> {
    let name = required(name, "name")?;
    // SAFETY: C3.
    let start = unsafe { name(state) };
    if start.is_null() {
        return Err(Error::invalid_argument("the name callback returned NULL"));
    }
    // SAFETY: not NULL; terminated by C3.
    Ok(unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned())
}
