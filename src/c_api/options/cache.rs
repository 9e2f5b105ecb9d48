//! Caches, shared by databases.

use super::super::boundary::{change, destroy, give, look, quiet};
use super::auradb_options_t;
use crate::cache::{Cache, EvictionPolicy};
use libc::c_int;
use std::sync::Arc;

/// A cache of uncompressed blocks and values. May be used from any thread; any number of databases may share it.
pub struct auradb_cache_t {
    /// The engine's cache.
    pub shared: Arc<Cache>,
}

/// How a cache is made. Used by one thread at a time.
pub struct auradb_lru_cache_options_t {
    capacity: usize,
    shard_bits: c_int,
}

/// Gives cache options, for `auradb_lru_cache_options_destroy`: 32 MiB, shards chosen by the size.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_lru_cache_options_create() -> *mut auradb_lru_cache_options_t {
    quiet(|| Ok(give(auradb_lru_cache_options_t { capacity: 32 << 20, shard_bits: -1 })))
}

/// Destroys cache options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_lru_cache_options_destroy(options: Option<Box<auradb_lru_cache_options_t>>) {
    destroy(options);
}

/// Bytes of the cache. Default 32 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_lru_cache_options_set_capacity(
    options: Option<&mut auradb_lru_cache_options_t>,
    capacity: usize,
) {
    change(options, |options| options.capacity = capacity);
}

/// 2 to the power of this is the number of shards, each with a lock of its own; negative: chosen by the size.
/// Default -1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_lru_cache_options_set_num_shard_bits(
    options: Option<&mut auradb_lru_cache_options_t>,
    num_shard_bits: c_int,
) {
    change(options, |options| options.shard_bits = num_shard_bits);
}

/// Gives a cache of `capacity` bytes from which the least recently used entries leave first, for
/// `auradb_cache_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_create_lru(capacity: usize) -> *mut auradb_cache_t {
    quiet(|| Ok(give(auradb_cache_t { shared: Cache::new(capacity as u64, EvictionPolicy::Lru, -1) })))
}

/// As `auradb_cache_create_lru`, with options.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_create_lru_opts(
    options: Option<&auradb_lru_cache_options_t>,
) -> *mut auradb_cache_t {
    look(options, |options| {
        let shared = Cache::new(options.capacity as u64, EvictionPolicy::Lru, options.shard_bits);
        give(auradb_cache_t { shared })
    })
}

/// Gives values of the value log a cache of their own, with its own budget. Borrows `blob_cache`, which may be
/// destroyed at once, and which databases may share. NULL: they share the cache of blocks. Read from the options that
/// the database itself is opened with, not from those of column families. Default NULL.
///
/// A value is kept at once while there is room, and later when it is asked for the second time.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_blob_cache(
    options: Option<&mut auradb_options_t>,
    blob_cache: Option<&auradb_cache_t>,
) {
    change(options, |options| options.value_cache = blob_cache.map(|cache| cache.shared.clone()));
}

/// Destroys a handle. Takes it; NULL is fine. Databases that use the cache keep it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_destroy(cache: Option<Box<auradb_cache_t>>) {
    destroy(cache);
}

/// Changes the capacity; entries leave at once if it shrinks.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_set_capacity(cache: Option<&auradb_cache_t>, capacity: usize) {
    look(cache, |cache| cache.shared.set_capacity(capacity as u64));
}

/// The capacity in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_get_capacity(cache: Option<&auradb_cache_t>) -> usize {
    look(cache, |cache| cache.shared.capacity() as usize)
}

/// Bytes in use: entries, and what databases charge for their models and filters.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_get_usage(cache: Option<&auradb_cache_t>) -> usize {
    look(cache, |cache| cache.shared.usage() as usize)
}

/// Bytes in use that cannot leave now, as iterators, pinned values or databases hold them.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_cache_get_pinned_usage(cache: Option<&auradb_cache_t>) -> usize {
    look(cache, |cache| cache.shared.pinned_usage() as usize)
}
