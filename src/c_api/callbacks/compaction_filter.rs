//! Compaction filters and their factories, by C functions.

use super::super::boundary::{change, destroy, give, look, quiet, start_of};
use super::{State, name_of, required};
use crate::base::extension::{CompactionFilter, CompactionFilterFactory, FilterContext, FilterDecision};
use libc::{c_char, c_int, c_uchar, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{ptr, slice};

/// Judges values in compactions. May be used from any thread.
pub struct auradb_compactionfilter_t {
    /// The engine's side.
    pub shared: Arc<CallbackFilter>,
}

/// What a factory is told about the compaction that wants a filter. Lent to the callback for the call only.
pub struct auradb_compactionfiltercontext_t {
    context: FilterContext,
}

/// Makes a filter for each compaction. May be used from any thread.
pub struct auradb_compactionfilterfactory_t {
    /// The engine's side.
    pub shared: Arc<dyn CompactionFilterFactory>,
}

type Filter = unsafe extern "C" fn(
    *mut c_void,
    c_int,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *mut *mut c_char,
    *mut usize,
    *mut c_uchar,
) -> c_uchar;

/// A filter over C functions.
pub struct CallbackFilter {
    state: State,
    name: String,
    filter: Filter,
    ignore_snapshots: AtomicBool,
}

impl CompactionFilter for CallbackFilter {
    fn name(&self) -> &str {
        &self.name
    }

    fn filter(&self, level: u32, key: &[u8], value: &[u8]) -> FilterDecision {
        let (mut new_value, mut new_len, mut changed) = (ptr::null_mut(), 0, 0);
        // SAFETY: C4; key and value are readable for the call.
        let remove = unsafe {
            (self.filter)(
                self.state.pointer,
                level as c_int,
                start_of(key),
                key.len(),
                start_of(value),
                value.len(),
                &mut new_value,
                &mut new_len,
                &mut changed,
            )
        };
        if remove != 0 {
            return FilterDecision::Remove;
        }
        if changed == 0 {
            return FilterDecision::Keep;
        }
        if new_value.is_null() {
            return FilterDecision::Change(Vec::new());
        }
        // SAFETY: C3: the new value stays readable until the next call, and is not the engine's to free.
        FilterDecision::Change(unsafe { slice::from_raw_parts(new_value.cast::<u8>(), new_len) }.to_vec())
    }

    fn ignore_snapshots(&self) -> bool {
        self.ignore_snapshots.load(Ordering::Relaxed)
    }
}

/// A filter that a factory made for one compaction.
struct OwnFilter(Arc<CallbackFilter>);

impl CompactionFilter for OwnFilter {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn filter(&self, level: u32, key: &[u8], value: &[u8]) -> FilterDecision {
        self.0.filter(level, key, value)
    }
    fn ignore_snapshots(&self) -> bool {
        self.0.ignore_snapshots()
    }
}

type Create = unsafe extern "C" fn(
    *mut c_void,
    *mut auradb_compactionfiltercontext_t,
) -> *mut auradb_compactionfilter_t;

struct CallbackFactory {
    state: State,
    name: String,
    create: Create,
}

impl CompactionFilterFactory for CallbackFactory {
    fn name(&self) -> &str {
        &self.name
    }
    fn create(&self, context: FilterContext) -> Option<Box<dyn CompactionFilter>> {
        let mut context = auradb_compactionfiltercontext_t { context };
        // SAFETY: C4; the context lives for the call.
        let handle = unsafe { (self.create)(self.state.pointer, &mut context) };
        // SAFETY: C2, C3: NULL, or a handle from `auradb_compactionfilter_create` that is the engine's now.
        let handle = unsafe { super::super::boundary::taken(handle) }?;
        Some(Box::new(OwnFilter(handle.shared)))
    }
}

/// Makes a compaction filter. `filter` is asked about each value that a compaction passes, `level` being where it
/// was: it returns not 0 to remove the entry, or 0 to keep it; in that case it may set `*value_changed` to 1 and
/// point `*new_value` to a new value of `*new_value_length` bytes, which is copied and never freed. `name` is for
/// messages. Filters do not run at flush. Takes `state`: `destructor` (may be NULL) is called with it once, when
/// nothing uses the filter any more. Gives a handle for `auradb_compactionfilter_destroy`; NULL, with `state` still
/// the caller's, if a callback is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfilter_create(
    state: *mut c_void,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
    filter: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            level: c_int,
            key: *const c_char,
            key_length: usize,
            existing_value: *const c_char,
            value_length: usize,
            new_value: *mut *mut c_char,
            new_value_length: *mut usize,
            value_changed: *mut c_uchar,
        ) -> c_uchar,
    >,
    name: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
) -> *mut auradb_compactionfilter_t {
    quiet(|| {
        let filter = required(filter, "filter")?;
        // SAFETY: C3.
        let name = unsafe { name_of(state, name) }?;
        let state = State::new(state, destructor);
        let ignore_snapshots = AtomicBool::new(true);
        let shared = Arc::new(CallbackFilter { state, name, filter, ignore_snapshots });
        Ok(give(auradb_compactionfilter_t { shared }))
    })
}

/// Whether the filter also judges values that a snapshot can still see. Default 1, as in RocksDB, where 0 is not
/// supported any more: a snapshot may see a filtered value vanish.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfilter_set_ignore_snapshots(
    filter: Option<&mut auradb_compactionfilter_t>,
    whether_ignore: c_uchar,
) {
    change(filter, |filter| filter.shared.ignore_snapshots.store(whether_ignore != 0, Ordering::Relaxed));
}

/// Destroys a handle. Takes it; NULL is fine. A database that uses the filter keeps it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfilter_destroy(filter: Option<Box<auradb_compactionfilter_t>>) {
    destroy(filter);
}

/// Whether all files of the column family take part in the compaction.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfiltercontext_is_full_compaction(
    context: Option<&auradb_compactionfiltercontext_t>,
) -> c_uchar {
    look(context, |context| c_uchar::from(context.context.is_full))
}

/// Whether a user asked for the compaction.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfiltercontext_is_manual_compaction(
    context: Option<&auradb_compactionfiltercontext_t>,
) -> c_uchar {
    look(context, |context| c_uchar::from(context.context.is_manual))
}

/// Makes a factory of compaction filters. `create_compaction_filter` gives a filter for one compaction, whose
/// handle the engine takes, or NULL for none. `name` is for messages. Takes `state`: `destructor` (may be NULL) is
/// called with it once, when nothing uses the factory any more. Gives a handle for
/// `auradb_options_set_compaction_filter_factory` or `auradb_compactionfilterfactory_destroy`; NULL, with `state`
/// still the caller's, if a callback is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfilterfactory_create(
    state: *mut c_void,
    destructor: Option<unsafe extern "C" fn(*mut c_void)>,
    create_compaction_filter: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            context: *mut auradb_compactionfiltercontext_t,
        ) -> *mut auradb_compactionfilter_t,
    >,
    name: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
) -> *mut auradb_compactionfilterfactory_t {
    quiet(|| {
        let create = required(create_compaction_filter, "create_compaction_filter")?;
        // SAFETY: C3.
        let name = unsafe { name_of(state, name) }?;
        let state = State::new(state, destructor);
        let shared = Arc::new(CallbackFactory { state, name, create });
        Ok(give(auradb_compactionfilterfactory_t { shared }))
    })
}

/// Destroys a handle that was not given to `auradb_options_set_compaction_filter_factory`. Takes it; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactionfilterfactory_destroy(
    factory: Option<Box<auradb_compactionfilterfactory_t>>,
) {
    destroy(factory);
}
