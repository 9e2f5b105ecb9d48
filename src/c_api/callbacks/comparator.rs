//! The order of keys, by a C function.

use super::super::boundary::{destroy, give, quiet, start_of};
use super::{State, name_of, required};
use crate::base::Comparator;
use libc::{c_char, c_int, c_void};
use std::cmp::Ordering;
use std::sync::Arc;

/// An order of keys. May be used from any thread.
pub struct auradb_comparator_t {
    /// The engine's side.
    pub shared: Arc<dyn Comparator>,
}

type Compare = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> c_int;

struct CallbackComparator {
    state: State,
    name: String,
    compare: Compare,
}

impl Comparator for CallbackComparator {
    fn name(&self) -> &str {
        &self.name
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        // SAFETY: C4; both keys are readable for the call.
        unsafe { (self.compare)(self.state.pointer, start_of(a), a.len(), start_of(b), b.len()) }.cmp(&0)
    }
}

/// Makes an order of keys. `compare` returns less than, equal to, or more than 0 as `a` comes before, with, or after
/// `b`: a total order that never changes. `name` is stored in the database, which opens only with an order of the
/// same name. Takes `state`: `destructor` (may be NULL) is called with it once, when the handle is destroyed and no
/// database uses it. Gives a handle for `auradb_comparator_destroy`; NULL, with `state` still the caller's, if a
/// callback is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_comparator_create(
    state: *mut c_void,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
    compare: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            a: *const c_char,
            alen: usize,
            b: *const c_char,
            blen: usize,
        ) -> c_int,
    >,
    name: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
) -> *mut auradb_comparator_t {
    quiet(|| {
        let compare = required(compare, "compare")?;
        // SAFETY: C3.
        let name = unsafe { name_of(state, name) }?;
        let state = State::new(state, destructor);
        Ok(give(auradb_comparator_t { shared: Arc::new(CallbackComparator { state, name, compare }) }))
    })
}

/// Destroys a handle. Takes it; NULL is fine. A database that uses the order keeps it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_comparator_destroy(cmp: Option<Box<auradb_comparator_t>>) {
    destroy(cmp);
}
