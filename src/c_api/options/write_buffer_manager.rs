//! Write buffer managers, shared by databases.

use super::super::boundary::{change, destroy, give, look, present, quiet};
use super::auradb_options_t;
use super::cache::auradb_cache_t;
use crate::db::WriteBufferManager;
use std::sync::Arc;

/// Counts and caps the memory of the memtables of any number of databases. May be used from any thread.
pub struct auradb_write_buffer_manager_t {
    shared: Arc<WriteBufferManager>,
}

/// Gives a manager, for `auradb_write_buffer_manager_destroy`, that caps all memtables of the databases it is set for
/// at `buffer_size` bytes; 0 = it only counts them.
/// - The largest memtable is flushed, in whichever database it is, when those that take writes have more than 7/8 of
///   `buffer_size`, or at least half of it while all together, with those being flushed, have reached it.
/// - With `allow_stall`, writers wait while memtables that are not flushed have reached `buffer_size`. Not waited for
///   are memtables of a database that failed, and flushed ones that readers hold.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_create(
    buffer_size: usize,
    allow_stall: bool,
) -> *mut auradb_write_buffer_manager_t {
    quiet(|| {
        let shared = WriteBufferManager::new(buffer_size as u64, None, allow_stall);
        Ok(give(auradb_write_buffer_manager_t { shared }))
    })
}

/// As `auradb_write_buffer_manager_create`; memtables are charged to `cache`, in units of 256 KiB, so that it holds so
/// much less. Borrows the cache's handle. Returns NULL if that is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_create_with_cache(
    buffer_size: usize,
    cache: Option<&auradb_cache_t>,
    allow_stall: bool,
) -> *mut auradb_write_buffer_manager_t {
    quiet(|| {
        let cache = Arc::clone(&present(cache)?.shared);
        let shared = WriteBufferManager::new(buffer_size as u64, Some(cache), allow_stall);
        Ok(give(auradb_write_buffer_manager_t { shared }))
    })
}

/// Destroys a handle. Takes it; NULL is fine. Databases and options that use the manager keep it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_destroy(wbm: Option<Box<auradb_write_buffer_manager_t>>) {
    destroy(wbm);
}

/// Whether there is a cap.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_enabled(wbm: Option<&auradb_write_buffer_manager_t>) -> bool {
    look(wbm, |wbm| wbm.shared.enabled())
}

/// Whether memtables are charged to a cache.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_cost_to_cache(
    wbm: Option<&auradb_write_buffer_manager_t>,
) -> bool {
    look(wbm, |wbm| wbm.shared.cost_to_cache())
}

/// Bytes of memory of all memtables, also of flushed ones that iterators hold. Right to 1 KiB a memtable, without a cap
/// too.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_memory_usage(
    wbm: Option<&auradb_write_buffer_manager_t>,
) -> usize {
    look(wbm, |wbm| wbm.shared.memory_usage() as usize)
}

/// Bytes of memory of the memtables that take writes and whose flush was not asked for.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_mutable_memtable_memory_usage(
    wbm: Option<&auradb_write_buffer_manager_t>,
) -> usize {
    look(wbm, |wbm| wbm.shared.mutable_memory_usage() as usize)
}

/// Bytes that the cache is charged for memtables: `auradb_write_buffer_manager_memory_usage` rounded up to 256 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_dummy_entries_in_cache_usage(
    wbm: Option<&auradb_write_buffer_manager_t>,
) -> usize {
    look(wbm, |wbm| wbm.shared.charged_to_cache() as usize)
}

/// The cap in bytes; 0 = none.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_buffer_size(
    wbm: Option<&auradb_write_buffer_manager_t>,
) -> usize {
    look(wbm, |wbm| wbm.shared.buffer_size() as usize)
}

/// Changes the cap. With a lower one flushes begin with the next write; with a higher one waiting writers go on.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_set_buffer_size(
    wbm: Option<&auradb_write_buffer_manager_t>,
    new_size: usize,
) {
    look(wbm, |wbm| wbm.shared.set_buffer_size(new_size as u64));
}

/// Makes writers wait above the cap, or no longer: those that wait go on at once.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_write_buffer_manager_set_allow_stall(
    wbm: Option<&auradb_write_buffer_manager_t>,
    new_allow_stall: bool,
) {
    look(wbm, |wbm| wbm.shared.set_allow_stall(new_allow_stall));
}

/// The manager that counts and caps the memtables; shared with all databases opened with it. Borrows the handle.
/// `auradb_options_set_db_write_buffer_size` has no effect then. NULL: a manager of the database's own. Default NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_write_buffer_manager(
    options: Option<&mut auradb_options_t>,
    wbm: Option<&auradb_write_buffer_manager_t>,
) {
    change(options, |options| options.write_buffer_manager = wbm.map(|wbm| Arc::clone(&wbm.shared)));
}
