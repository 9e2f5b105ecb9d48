//! Options handles. `auradb_options_t` starts with RocksDB's defaults and becomes the engine's options at open.

// In the order of the header.
pub mod database;

pub mod memtable;
pub mod wal;

pub mod levels;

pub mod compression;
pub mod extension;

pub mod auradb;
pub mod table;

pub mod cache;
pub mod write_buffer_manager;

pub mod read;
pub mod write;

pub mod maintenance;

pub mod convert;
pub mod parse;

use super::boundary::{destroy, give, look, present, quiet, text};
use crate::base::extension::{CompactionFilter, CompactionFilterFactory, Logger, MergeOperator};
use crate::base::{Comparator, Result, SliceTransform};
use crate::cache::Cache;
use crate::config::{Config, MemtableImplementation, SyncPolicy};
use crate::db::WriteBufferManager;
use crate::env::Env;
use libc::{c_char, c_int};
use std::ffi::CString;
use std::sync::Arc;
use table::TableOptions;

/// How a database and its column families are opened. Used by one thread at a time. `auradb_open` copies it, so it may
/// be changed or destroyed at once. The defaults are RocksDB's.
#[derive(Clone)]
pub struct auradb_options_t {
    create_if_missing: bool,
    create_missing_column_families: bool,
    error_if_exists: bool,
    paranoid_checks: bool,
    env: Option<Arc<dyn Env>>,
    logger: Option<Arc<dyn Logger>>,
    log_level: c_int,
    max_open_files: c_int,
    max_background_jobs: c_int,
    background_nice: c_int,
    bytes_per_sync: u64,
    use_fsync: bool,
    direct_reads: bool,
    direct_background_writes: bool,
    atomic_flush: bool,

    write_buffer_size: usize,
    db_write_buffer_size: usize,
    write_buffer_manager: Option<Arc<WriteBufferManager>>,
    max_write_buffer_number: c_int,

    max_total_wal_size: u64,
    wal_file_size: u64,
    recycle_log_file_num: usize,
    wal_dir: CString,
    wal_recovery_mode: c_int,
    manual_wal_flush: bool,

    levels: c_int,
    level0_trigger: c_int,
    level0_slowdown: c_int,
    level0_stop: c_int,
    target_file_size: u64,
    target_file_size_multiplier: c_int,
    level1_bytes: u64,
    level_size_ratio: f64,
    disable_auto_compactions: bool,
    compaction_style: c_int,

    compression: c_int,
    compression_per_level: Vec<c_int>,
    bottommost_compression: c_int,

    comparator: Option<Arc<dyn Comparator>>,
    merge_operator: Option<Arc<dyn MergeOperator>>,
    compaction_filter: Option<Arc<dyn CompactionFilter>>,
    compaction_filter_factory: Option<Arc<dyn CompactionFilterFactory>>,
    prefix_extractor: Option<Arc<dyn SliceTransform>>,
    table: TableOptions,

    separation_threshold: u64,
    synced_separation_threshold: u64,
    sync_policy: SyncPolicy,
    async_writes: bool,
    memory_mapped_wal: bool,
    value_log_write_queues: usize,
    value_log_compression: c_int,
    value_cache: Option<Arc<Cache>>,
    value_log_segment_size: u64,
    max_space_amp: f64,
    value_log_garbage_collection: bool,
    learned_index: bool,
    memtable_kind: MemtableImplementation,
}

const MIB: u64 = 1 << 20;

/// RocksDB's number for "as the other levels".
const COMPRESSION_UNSET: c_int = 0xff;

impl Default for auradb_options_t {
    fn default() -> Self {
        let config = Config::default();
        auradb_options_t {
            create_if_missing: false,
            create_missing_column_families: false,
            error_if_exists: false,
            paranoid_checks: true,
            env: None,
            logger: None,
            log_level: 1,
            max_open_files: -1,
            max_background_jobs: 2,
            background_nice: 5,
            bytes_per_sync: 1 << 20,
            use_fsync: false,
            direct_reads: false,
            direct_background_writes: false,
            atomic_flush: false,
            write_buffer_size: 64 << 20,
            db_write_buffer_size: 0,
            write_buffer_manager: None,
            max_write_buffer_number: 2,
            max_total_wal_size: 0,
            wal_file_size: config.wal.max_file_size,
            recycle_log_file_num: config.wal.recycled_files,
            wal_dir: CString::default(),
            wal_recovery_mode: 2,
            manual_wal_flush: false,
            levels: 7,
            level0_trigger: 4,
            level0_slowdown: 20,
            level0_stop: 36,
            target_file_size: 64 * MIB,
            target_file_size_multiplier: 1,
            level1_bytes: 256 * MIB,
            level_size_ratio: 10.0,
            disable_auto_compactions: false,
            compaction_style: 0,
            compression: 1,
            compression_per_level: Vec::new(),
            bottommost_compression: COMPRESSION_UNSET,
            comparator: None,
            merge_operator: None,
            compaction_filter: None,
            compaction_filter_factory: None,
            prefix_extractor: None,
            table: TableOptions::default(),
            separation_threshold: config.value_log.separation_threshold,
            synced_separation_threshold: config.value_log.synced_separation_threshold,
            sync_policy: SyncPolicy::Manual,
            async_writes: config.wal.async_writes,
            memory_mapped_wal: config.performance.memory_mapped,
            value_log_write_queues: config.value_log.write_queues,
            value_log_compression: config.value_log.compression_algorithm as c_int,
            value_cache: None,
            value_log_segment_size: config.value_log.max_segment_size,
            max_space_amp: config.value_log.max_space_amp,
            value_log_garbage_collection: config.value_log.garbage_collection,
            learned_index: config.learned_index.enabled,
            memtable_kind: MemtableImplementation::Art,
        }
    }
}

/// Gives options with RocksDB's defaults, for `auradb_options_destroy`. What RocksDB does not have starts as AuraDB
/// has it: values of at least 1 KiB go to the value log, tables have a learned index, memtables are radix trees.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_create() -> *mut auradb_options_t {
    quiet(|| Ok(give(auradb_options_t::default())))
}

/// Gives a copy of options, for `auradb_options_destroy`. Comparators, merge operators, filters, caches and loggers
/// are shared with the original.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_create_copy(options: Option<&auradb_options_t>) -> *mut auradb_options_t {
    look(options, |options| give(options.clone()))
}

/// Destroys options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_destroy(options: Option<Box<auradb_options_t>>) {
    destroy(options);
}

/// Stores in `new_options` a copy of `base_options` changed by `opts_str`, "name=value;name=value". Names are
/// those of RocksDB's options file (write_buffer_size, compression, block_based_table_factory={block_size=8K}, ...)
/// and of AuraDB's own setters (auradb.separation_threshold; "auradb." may be left out). Numbers may end in K, M, G
/// or T.
/// "Invalid argument: " for an unknown name or a bad value; `new_options` is unchanged then. Both handles may be
/// the same. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_options_from_string(
    base_options: *const auradb_options_t,
    opts_str: *const c_char,
    new_options: *mut auradb_options_t,
    errptr: *mut *mut c_char,
) {
    super::boundary::fallible(errptr, || -> Result<()> {
        // SAFETY: C2; no reference to one handle lives when the other is changed, as they may be the same.
        let mut options = present(unsafe { base_options.as_ref() })?.clone();
        // SAFETY: C1.
        options.change_by_string(unsafe { text(opts_str) }?)?;
        // SAFETY: C2.
        *unsafe { super::boundary::lent_mut(new_options) }? = options;
        Ok(())
    });
}
