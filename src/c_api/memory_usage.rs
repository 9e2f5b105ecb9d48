//! How much memory databases and caches hold together.

use super::boundary::{destroy, fallible, give, look, present, present_mut, quiet};
use super::db::auradb_t;
use super::options::cache::auradb_cache_t;
use crate::cache::Cache;
use crate::db::{MemoryConsumer, MemoryUsage};
use libc::c_char;
use std::sync::Arc;

/// Databases and caches whose memory is asked for. Used by one thread at a time.
#[derive(Default)]
pub struct auradb_memory_consumers_t {
    databases: Vec<MemoryConsumer>,
    caches: Vec<Arc<Cache>>,
}

/// Bytes of memory at one moment. Does not change; may be read from any thread.
pub struct auradb_memory_usage_t {
    databases: MemoryUsage,
    caches: u64,
}

/// Gives an empty set, for `auradb_memory_consumers_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_memory_consumers_create() -> *mut auradb_memory_consumers_t {
    quiet(|| Ok(give(auradb_memory_consumers_t::default())))
}

/// Adds a database; it counts once, however often it is added. Borrows the handle: the database may be closed before
/// the set is destroyed, and counts until then.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_memory_consumers_add_db(
    consumers: Option<&mut auradb_memory_consumers_t>,
    db: Option<&auradb_t>,
) {
    quiet(|| {
        let (consumers, added) = (present_mut(consumers)?, present(db)?.db.memory_consumer());
        if !consumers.databases.iter().any(|held| held.is_same(&added)) {
            consumers.databases.push(added);
        }
        Ok(())
    });
}

/// Adds a cache; it counts once, however often it is added. Borrows the handle, and keeps the cache.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_memory_consumers_add_cache(
    consumers: Option<&mut auradb_memory_consumers_t>,
    cache: Option<&auradb_cache_t>,
) {
    quiet(|| {
        let (consumers, added) = (present_mut(consumers)?, &present(cache)?.shared);
        if !consumers.caches.iter().any(|held| Arc::ptr_eq(held, added)) {
            consumers.caches.push(Arc::clone(added));
        }
        Ok(())
    });
}

/// Destroys a set. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_memory_consumers_destroy(consumers: Option<Box<auradb_memory_consumers_t>>) {
    destroy(consumers);
}

/// Gives what the databases and caches of a set hold now, for `auradb_approximate_memory_usage_destroy`. Borrows the
/// set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_create(
    consumers: Option<&auradb_memory_consumers_t>,
    errptr: *mut *mut c_char,
) -> *mut auradb_memory_usage_t {
    fallible(errptr, || {
        let consumers = present(consumers)?;
        let mut databases = MemoryUsage::default();
        for consumer in &consumers.databases {
            let usage = consumer.memory_usage();
            databases.memtables += usage.memtables;
            databases.memtables_unflushed += usage.memtables_unflushed;
            databases.table_readers += usage.table_readers;
        }
        let caches = consumers.caches.iter().map(|cache| cache.usage()).sum();
        Ok(give(auradb_memory_usage_t { databases, caches }))
    })
}

/// Destroys what `auradb_approximate_memory_usage_create` gave. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_destroy(usage: Option<Box<auradb_memory_usage_t>>) {
    destroy(usage);
}

/// Bytes of all memtables, also of flushed ones that iterators hold: what the allocator set aside for them.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_get_mem_table_total(
    memory_usage: Option<&auradb_memory_usage_t>,
) -> u64 {
    look(memory_usage, |usage| usage.databases.memtables)
}

/// Bytes of the memtables that are not flushed.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_get_mem_table_unflushed(
    memory_usage: Option<&auradb_memory_usage_t>,
) -> u64 {
    look(memory_usage, |usage| usage.databases.memtables_unflushed)
}

/// Bytes of indexes, filters and models of open tables. They are charged to the databases' caches, so
/// `auradb_approximate_memory_usage_get_cache_total` has them too if those were added.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_get_mem_table_readers_total(
    memory_usage: Option<&auradb_memory_usage_t>,
) -> u64 {
    look(memory_usage, |usage| usage.databases.table_readers)
}

/// Bytes in use of the caches that were added: entries, and what databases charge them for open tables and memtables.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_approximate_memory_usage_get_cache_total(
    memory_usage: Option<&auradb_memory_usage_t>,
) -> u64 {
    look(memory_usage, |usage| usage.caches)
}
