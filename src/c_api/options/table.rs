//! Options of tables, and filter policies.

use super::super::boundary::{change, destroy, give, quiet};
use super::auradb_options_t;
use super::cache::auradb_cache_t;
use crate::cache::Cache;
use crate::config::Config;
use libc::{c_char, c_double, c_int, c_uchar};
use std::sync::Arc;

/// How tables are built and cached. Used by one thread at a time.
pub struct auradb_block_based_table_options_t {
    options: TableOptions,
}

/// Which filter tables get. May be used from any thread.
pub struct auradb_filterpolicy_t {
    bits_per_key: Option<f64>,
}

/// The table options inside `auradb_options_t`.
#[derive(Clone)]
pub struct TableOptions {
    /// Uncompressed bytes of a data block.
    pub block_size: usize,
    /// Bits a key of the Bloom filter; none = no filter.
    pub bloom_bits_per_key: Option<f64>,
    /// The cache shared with others.
    pub block_cache: Option<Arc<Cache>>,
    /// No cache at all.
    pub no_block_cache: bool,
    /// Whole keys go into the filter.
    pub whole_key_filtering: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            block_size: 4096,
            bloom_bits_per_key: None,
            block_cache: None,
            no_block_cache: false,
            whole_key_filtering: true,
        }
    }
}

impl TableOptions {
    /// Puts what the knobs can say into them. The cache is RocksDB's 32 MiB where none is shared.
    pub fn apply(&self, config: &mut Config) {
        config.sst.block_size = self.block_size.clamp(64, 16 << 20);
        config.sst.use_bloom_filters = self.bloom_bits_per_key.is_some();
        if let Some(bits) = self.bloom_bits_per_key {
            config.sst.bloom_bits_per_key = bits;
        }
        config.cache.block_cache_size = 32 << 20;
    }
}

/// Gives table options, for `auradb_block_based_options_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_create() -> *mut auradb_block_based_table_options_t {
    quiet(|| Ok(give(auradb_block_based_table_options_t { options: TableOptions::default() })))
}

/// Destroys table options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_destroy(
    options: Option<Box<auradb_block_based_table_options_t>>,
) {
    destroy(options);
}

/// Sets the table options of `opt`. Borrows `table_options`: they are copied. NULL changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_block_based_table_factory(
    opt: Option<&mut auradb_options_t>,
    table_options: Option<&auradb_block_based_table_options_t>,
) {
    if let Some(table_options) = table_options {
        change(opt, |opt| opt.table = table_options.options.clone());
    }
}

/// Sets the filter. Takes `filter_policy`. NULL takes the filter away. Default: no filter.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_filter_policy(
    options: Option<&mut auradb_block_based_table_options_t>,
    filter_policy: Option<Box<auradb_filterpolicy_t>>,
) {
    change(options, |options| {
        options.options.bloom_bits_per_key = filter_policy.and_then(|policy| policy.bits_per_key);
    });
}

/// Sets the cache of blocks and values. Borrows `block_cache`, which may be destroyed at once. NULL changes nothing. A
/// database has one cache: that of its own options, or else the first that its column families' options name.
/// Default: one of 32 MiB for each database.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_block_cache(
    options: Option<&mut auradb_block_based_table_options_t>,
    block_cache: Option<&auradb_cache_t>,
) {
    if let Some(cache) = block_cache {
        change(options, |options| options.options.block_cache = Some(cache.shared.clone()));
    }
}

/// Keep no blocks and values in a cache of the engine, unless a cache is set. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_no_block_cache(
    options: Option<&mut auradb_block_based_table_options_t>,
    no_block_cache: c_uchar,
) {
    change(options, |options| options.options.no_block_cache = no_block_cache != 0);
}

/// Uncompressed bytes of a data block. Default 4096.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_block_size(
    options: Option<&mut auradb_block_based_table_options_t>,
    block_size: usize,
) {
    change(options, |options| options.options.block_size = block_size);
}

/// Whether whole keys go into the filter, and not prefixes only. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_whole_key_filtering(
    options: Option<&mut auradb_block_based_table_options_t>,
    v: c_uchar,
) {
    change(options, |options| options.options.whole_key_filtering = v != 0);
}

/// Accepted. This engine's blocks have an array of entry offsets instead of restart points, so that each entry is
/// reached directly: there is no interval to choose.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_block_restart_interval(
    options: Option<&mut auradb_block_based_table_options_t>,
    block_restart_interval: c_int,
) {
    let _ = block_restart_interval;
    change(options, |_| {});
}

/// Accepted. This engine keeps models and filters of open tables in memory and charges them to the cache's budget, as
/// RocksDB does with 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_cache_index_and_filter_blocks(
    options: Option<&mut auradb_block_based_table_options_t>,
    v: c_uchar,
) {
    let _ = v;
    change(options, |_| {});
}

/// Accepted. This engine's tables have one kind of checksum, which cannot be switched off.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_block_based_options_set_checksum(
    options: Option<&mut auradb_block_based_table_options_t>,
    v: c_char,
) {
    let _ = v;
    change(options, |_| {});
}

/// A policy, with RocksDB's limits: below half a bit there is no filter; otherwise from 1 to 100 bits.
fn bloom(bits_per_key: c_double) -> *mut auradb_filterpolicy_t {
    let bits_per_key = sane_bits(bits_per_key);
    quiet(|| Ok(give(auradb_filterpolicy_t { bits_per_key })))
}

/// Bits a key within RocksDB's limits; none = no filter.
pub fn sane_bits(bits_per_key: f64) -> Option<f64> {
    (bits_per_key >= 0.5).then(|| bits_per_key.clamp(1.0, 100.0))
}

/// Gives a Bloom filter of `bits_per_key` bits (10 gives about 1 % false positives), for
/// `auradb_block_based_options_set_filter_policy` or `auradb_filterpolicy_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_filterpolicy_create_bloom(bits_per_key: c_double) -> *mut auradb_filterpolicy_t {
    bloom(bits_per_key)
}

/// The same as `auradb_filterpolicy_create_bloom`: a filter covers a whole table.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_filterpolicy_create_bloom_full(
    bits_per_key: c_double,
) -> *mut auradb_filterpolicy_t {
    bloom(bits_per_key)
}

/// Destroys a filter policy that was not given to table options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_filterpolicy_destroy(filter_policy: Option<Box<auradb_filterpolicy_t>>) {
    destroy(filter_policy);
}
