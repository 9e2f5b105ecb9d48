//! Merge operators, by C functions.

use super::super::boundary::{destroy, give, quiet, start_of};
use super::{State, name_of, required};
use crate::base::extension::MergeOperator;
use libc::{c_char, c_int, c_uchar, c_void};
use std::sync::Arc;
use std::{ptr, slice};

/// Combines operands with a value. May be used from any thread.
pub struct auradb_mergeoperator_t {
    /// The engine's side.
    pub shared: Arc<dyn MergeOperator>,
}

type FullMerge = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    c_int,
    *mut c_uchar,
    *mut usize,
) -> *mut c_char;

type PartialMerge = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    c_int,
    *mut c_uchar,
    *mut usize,
) -> *mut c_char;

type DeleteValue = unsafe extern "C" fn(*mut c_void, *const c_char, usize);

struct CallbackMergeOperator {
    state: State,
    name: String,
    full_merge: FullMerge,
    partial_merge: Option<PartialMerge>,
    delete_value: Option<DeleteValue>,
}

/// Operands as C wants them.
struct Operands {
    starts: Vec<*const c_char>,
    lens: Vec<usize>,
}

impl Operands {
    fn new(operands: &[&[u8]]) -> Operands {
        Operands {
            starts: operands.iter().map(|operand| start_of(operand)).collect(),
            lens: operands.iter().map(|operand| operand.len()).collect(),
        }
    }
}

impl CallbackMergeOperator {
    /// Copies a result and gives it back to its owner; `None` unless the callback succeeded.
    ///
    /// # Safety
    /// C3: `result` is NULL or `len` readable bytes that `delete_value` or `free` releases.
    unsafe fn finish(&self, result: *mut c_char, len: usize, success: c_uchar) -> Option<Vec<u8>> {
        if result.is_null() {
            return (success != 0 && len == 0).then(Vec::new);
        }
        // SAFETY: C3. The length of a failed result need not be set, and is not used.
        let copy =
            (success != 0).then(|| unsafe { slice::from_raw_parts(result.cast::<u8>(), len) }.to_vec());
        // SAFETY: C3; nothing uses the result any more.
        unsafe {
            match self.delete_value {
                Some(delete_value) => delete_value(self.state.pointer, result, len),
                None => libc::free(result.cast()),
            }
        }
        copy
    }
}

impl MergeOperator for CallbackMergeOperator {
    fn name(&self) -> &str {
        &self.name
    }

    fn full_merge(&self, key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        let Operands { starts, lens } = Operands::new(operands);
        let (mut success, mut len) = (0, 0);
        // SAFETY: C4; all bytes are readable for the call; a missing value is NULL, an empty one is not.
        unsafe {
            let result = (self.full_merge)(
                self.state.pointer,
                start_of(key),
                key.len(),
                existing.map_or(ptr::null(), start_of),
                existing.map_or(0, <[u8]>::len),
                starts.as_ptr(),
                lens.as_ptr(),
                starts.len() as c_int,
                &mut success,
                &mut len,
            );
            self.finish(result, len, success)
        }
    }

    fn partial_merge(&self, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        let partial_merge = self.partial_merge?;
        let Operands { starts, lens } = Operands::new(operands);
        let (mut success, mut len) = (0, 0);
        // SAFETY: C4; all bytes are readable for the call.
        unsafe {
            let result = partial_merge(
                self.state.pointer,
                start_of(key),
                key.len(),
                starts.as_ptr(),
                lens.as_ptr(),
                starts.len() as c_int,
                &mut success,
                &mut len,
            );
            self.finish(result, len, success)
        }
    }
}

/// Makes a merge operator.
///
/// `full_merge` gives the value of `key` after `num_operands` operands, oldest first, are applied to
/// `existing_value` (NULL if there is none; an empty value is not NULL), with `*new_value_length`, and sets
/// `*success` to 1; or sets it to 0, and reading the key is an error then. `partial_merge` (may be NULL) gives one
/// operand equal to all of those given, or sets `*success` to 0 if they do not combine. A result is copied, then
/// released by `delete_value`, or by `free` if that is NULL. `name` is for messages.
///
/// Takes `state`: `destructor` (may be NULL) is called with it once, when nothing uses the operator any more. Gives
/// a handle for `auradb_options_set_merge_operator` or `auradb_mergeoperator_destroy`; NULL, with `state` still the
/// caller's, if `full_merge` or `name` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_mergeoperator_create(
    state: *mut c_void,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
    full_merge: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            key: *const c_char,
            key_length: usize,
            existing_value: *const c_char,
            existing_value_length: usize,
            operands_list: *const *const c_char,
            operands_list_length: *const usize,
            num_operands: c_int,
            success: *mut c_uchar,
            new_value_length: *mut usize,
        ) -> *mut c_char,
    >,
    partial_merge: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            key: *const c_char,
            key_length: usize,
            operands_list: *const *const c_char,
            operands_list_length: *const usize,
            num_operands: c_int,
            success: *mut c_uchar,
            new_value_length: *mut usize,
        ) -> *mut c_char,
    >,
    delete_value: Option<unsafe extern "C" fn(state: *mut c_void, value: *const c_char, value_length: usize)>,
    name: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
) -> *mut auradb_mergeoperator_t {
    quiet(|| {
        let full_merge = required(full_merge, "full_merge")?;
        // SAFETY: C3.
        let name = unsafe { name_of(state, name) }?;
        let state = State::new(state, destructor);
        let shared = CallbackMergeOperator { state, name, full_merge, partial_merge, delete_value };
        Ok(give(auradb_mergeoperator_t { shared: Arc::new(shared) }))
    })
}

/// Destroys a handle that was not given to `auradb_options_set_merge_operator`. Takes it; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_mergeoperator_destroy(merge_operator: Option<Box<auradb_mergeoperator_t>>) {
    destroy(merge_operator);
}
