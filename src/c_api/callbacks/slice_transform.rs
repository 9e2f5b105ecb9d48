//! Prefix extractors: fixed length, none, or by C functions.

use super::super::boundary::{destroy, give, quiet, start_of};
use super::{State, name_of, required};
use crate::base::SliceTransform;
use libc::{c_char, c_uchar, c_void};
use std::slice;
use std::sync::Arc;

/// Maps keys to prefixes. May be used from any thread.
pub struct auradb_slicetransform_t {
    /// The engine's side.
    pub shared: Arc<dyn SliceTransform>,
}

/// The first `len` bytes of keys that have so many.
pub struct FixedPrefix {
    len: usize,
    name: String,
}

impl FixedPrefix {
    /// Prefixes of `len` bytes.
    pub fn new(len: usize) -> FixedPrefix {
        FixedPrefix { len, name: format!("rocksdb.FixedPrefix.{len}") }
    }
}

impl SliceTransform for FixedPrefix {
    fn name(&self) -> &str {
        &self.name
    }
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        &key[..self.len.min(key.len())]
    }
    fn in_domain(&self, key: &[u8]) -> bool {
        key.len() >= self.len
    }
}

/// The whole key.
pub struct NoTransform;

impl SliceTransform for NoTransform {
    fn name(&self) -> &str {
        "rocksdb.Noop"
    }
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key
    }
    fn in_domain(&self, _key: &[u8]) -> bool {
        true
    }
}

type Transform = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut usize) -> *mut c_char;
type InDomain = unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> c_uchar;

struct CallbackTransform {
    state: State,
    name: String,
    transform: Transform,
    in_domain: InDomain,
}

impl SliceTransform for CallbackTransform {
    fn name(&self) -> &str {
        &self.name
    }
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: C4; the key is readable for the call.
        let start = unsafe { (self.transform)(self.state.pointer, start_of(key), key.len(), &mut len) };
        if start.is_null() || len == 0 {
            return &[];
        }
        // SAFETY: C3: the prefix lies in the key or in memory that stays.
        unsafe { slice::from_raw_parts(start.cast(), len) }
    }
    fn in_domain(&self, key: &[u8]) -> bool {
        // SAFETY: C4; the key is readable for the call.
        unsafe { (self.in_domain)(self.state.pointer, start_of(key), key.len()) != 0 }
    }
}

/// Makes a prefix extractor. `transform` returns the prefix of `key`, `*dst_length` bytes that lie in the key or in
/// memory that stays, never freed; it is called only for keys of which `in_domain` says not 0. `name` is stored
/// with tables. Takes `state`: `destructor` (may be NULL) is called with it once, when nothing uses it any more.
/// Gives a handle for `auradb_options_set_prefix_extractor` or `auradb_slicetransform_destroy`; NULL, with `state`
/// still the caller's, if a callback is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_slicetransform_create(
    state: *mut c_void,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
    transform: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            key: *const c_char,
            length: usize,
            dst_length: *mut usize,
        ) -> *mut c_char,
    >,
    in_domain: Option<unsafe extern "C" fn(state: *mut c_void, key: *const c_char, length: usize) -> c_uchar>,
    name: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
) -> *mut auradb_slicetransform_t {
    quiet(|| {
        let (transform, in_domain) = (required(transform, "transform")?, required(in_domain, "in_domain")?);
        // SAFETY: C3.
        let name = unsafe { name_of(state, name) }?;
        let state = State::new(state, destructor);
        let shared = Arc::new(CallbackTransform { state, name, transform, in_domain });
        Ok(give(auradb_slicetransform_t { shared }))
    })
}

/// Gives an extractor of the first `prefix_len` bytes; shorter keys have no prefix.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_slicetransform_create_fixed_prefix(
    prefix_len: usize,
) -> *mut auradb_slicetransform_t {
    quiet(|| Ok(give(auradb_slicetransform_t { shared: Arc::new(FixedPrefix::new(prefix_len)) })))
}

/// Gives an extractor whose prefix is the whole key.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_slicetransform_create_noop() -> *mut auradb_slicetransform_t {
    quiet(|| Ok(give(auradb_slicetransform_t { shared: Arc::new(NoTransform) })))
}

/// Destroys a handle that was not given to `auradb_options_set_prefix_extractor`. Takes it; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_slicetransform_destroy(st: Option<Box<auradb_slicetransform_t>>) {
    destroy(st);
}
