//! Options that RocksDB does not have.

use super::super::boundary::{change, look, present_mut, quiet};
use super::super::constants::auradb_wal_sync_policy_t::*;
use super::auradb_options_t;
use crate::base::Error;
use crate::config::{MemtableImplementation, SyncPolicy};
use libc::{c_double, c_int, c_uchar};

/// Values of at least so many bytes are written once, to the value log, before the write-ahead log record; log,
/// memtables, tables and compactions carry a pointer. Those of short synced batches are moved there by the flush (see
/// `auradb_options_set_synced_separation_threshold`). 0 = all values, UINT64_MAX = none. For each column family.
/// Default 1024.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_separation_threshold(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.separation_threshold = v);
}

/// What `auradb_options_set_separation_threshold` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_separation_threshold(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.separation_threshold)
}

/// A batch of fewer bytes than this that is durable when its write returns (sync in the write options, or the WAL sync
/// policy of every write) keeps its values in the log and in memory: it waits for one sync of the device, not for two.
/// The flush moves those of at least separation_threshold bytes to the value log. They are written twice, so it pays
/// for short batches. Writes that are not synced, or not waited for, separate values at once, and all writes do with 0.
/// At most 1 GiB. For all column families. Default 131072.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_synced_separation_threshold(
    options: Option<&mut auradb_options_t>,
    v: u64,
) {
    change(options, |options| options.synced_separation_threshold = v);
}

/// What `auradb_options_set_synced_separation_threshold` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_synced_separation_threshold(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.synced_separation_threshold)
}

/// When the write-ahead log is synced by itself: `policy` is an `auradb_wal_sync_policy_t`, `n` its number of writes or
/// milliseconds (at least 1; ignored where there is none). A write with sync set is durable whatever the policy.
/// Anything else is ignored and noted (`auradb_last_error`). Default manual, as in RocksDB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_wal_sync_policy(
    options: Option<&mut auradb_options_t>,
    policy: c_int,
    n: u64,
) {
    const MANUAL: c_int = auradb_wal_sync_manual as c_int;
    const EVERY_WRITE: c_int = auradb_wal_sync_every_write as c_int;
    const EVERY_N_WRITES: c_int = auradb_wal_sync_every_n_writes as c_int;
    const EVERY_N_MS: c_int = auradb_wal_sync_every_n_ms as c_int;
    quiet(|| {
        present_mut(options)?.sync_policy = match (policy, n) {
            (MANUAL, _) => SyncPolicy::Manual,
            (EVERY_WRITE, _) => SyncPolicy::EveryWrite,
            (EVERY_N_WRITES, 1..) => SyncPolicy::EveryNWrites(n),
            (EVERY_N_MS, 1..) => SyncPolicy::EveryNMs(n),
            _ => {
                return Err(Error::invalid_argument(format!(
                    "there is no WAL sync policy {policy} with n = {n}"
                )));
            }
        };
        Ok(())
    });
}

/// What `auradb_options_set_wal_sync_policy` set: the `auradb_wal_sync_policy_t`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_wal_sync_policy(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| match options.sync_policy {
        SyncPolicy::Manual => auradb_wal_sync_manual as c_int,
        SyncPolicy::EveryWrite => auradb_wal_sync_every_write as c_int,
        SyncPolicy::EveryNWrites(_) => auradb_wal_sync_every_n_writes as c_int,
        SyncPolicy::EveryNMs(_) => auradb_wal_sync_every_n_ms as c_int,
    })
}

/// What `auradb_options_set_wal_sync_policy` set: the number of writes or milliseconds, 0 where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_wal_sync_policy_n(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| match options.sync_policy {
        SyncPolicy::EveryNWrites(n) | SyncPolicy::EveryNMs(n) => n,
        SyncPolicy::Manual | SyncPolicy::EveryWrite => 0,
    })
}

/// 1: a log thread syncs, with commits pipelined behind each other; 0: the committing thread syncs itself. A write is
/// acknowledged after its sync either way. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_async_writes(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.async_writes = v != 0);
}

/// What `auradb_options_set_async_writes` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_async_writes(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.async_writes))
}

/// 1: the log is appended to by copying into preallocated, mapped memory, where the file system allows it; 0: by
/// system calls. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_memory_mapped_wal(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.memory_mapped_wal = v != 0);
}

/// What `auradb_options_set_memory_mapped_wal` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_memory_mapped_wal(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.memory_mapped_wal))
}

/// Value-log segments open for append at once, each with its own lock. Default 4.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_value_log_write_queues(
    options: Option<&mut auradb_options_t>,
    v: usize,
) {
    change(options, |options| options.value_log_write_queues = v);
}

/// What `auradb_options_set_value_log_write_queues` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_value_log_write_queues(options: Option<&auradb_options_t>) -> usize {
    look(options, |options| options.value_log_write_queues)
}

/// The codec of separated values: an `auradb_compression_t`. A value that does not shrink is stored as it is.
/// Default lz4 (4).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_value_log_compression(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.value_log_compression = v);
}

/// What `auradb_options_set_value_log_compression` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_value_log_compression(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.value_log_compression)
}

/// Bytes at which a value-log segment is sealed and a new one starts. Default 256 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_value_log_segment_size(options: Option<&mut auradb_options_t>, v: u64) {
    change(options, |options| options.value_log_segment_size = v);
}

/// What `auradb_options_set_value_log_segment_size` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_value_log_segment_size(options: Option<&auradb_options_t>) -> u64 {
    look(options, |options| options.value_log_segment_size)
}

/// Bound of the value log's bytes over its live bytes, to which four segments come; what iterators and snapshots keep
/// is not counted. Writers of values are slowed, and at last wait, where garbage collection is behind. Less space costs
/// more copying. Above 1, at most 100: anything else is an error at open. Default 1.4.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_max_space_amp(options: Option<&mut auradb_options_t>, v: c_double) {
    change(options, |options| options.max_space_amp = v);
}

/// What `auradb_options_set_max_space_amp` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_max_space_amp(options: Option<&auradb_options_t>) -> c_double {
    look(options, |options| options.max_space_amp)
}

/// 1: garbage collection of the value log starts by itself; 0: only `auradb_collect_garbage` collects, and
/// `max_space_amp` is not held. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_value_log_garbage_collection(
    options: Option<&mut auradb_options_t>,
    v: c_uchar,
) {
    change(options, |options| options.value_log_garbage_collection = v != 0);
}

/// What `auradb_options_set_value_log_garbage_collection` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_value_log_garbage_collection(
    options: Option<&auradb_options_t>,
) -> c_uchar {
    look(options, |options| c_uchar::from(options.value_log_garbage_collection))
}

/// Whether tables get a learned index. Answers are the same without. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_learned_index(options: Option<&mut auradb_options_t>, v: c_uchar) {
    change(options, |options| options.learned_index = v != 0);
}

/// What `auradb_options_set_learned_index` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_learned_index(options: Option<&auradb_options_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.learned_index))
}

/// By the numbers of `auradb_memtable_kind_t`.
pub(super) const MEMTABLES: [MemtableImplementation; 3] =
    [MemtableImplementation::SkipList, MemtableImplementation::Art, MemtableImplementation::BTree];

/// The structure of memtables: an `auradb_memtable_kind_t`; for each column family. A number that is none is ignored
/// and noted (`auradb_last_error`). Default `auradb_memtable_art`, the fastest; a family with a comparator of its own
/// gets `auradb_memtable_btree` for it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_memtable_kind(options: Option<&mut auradb_options_t>, kind: c_int) {
    quiet(|| {
        let known = usize::try_from(kind).ok().and_then(|kind| MEMTABLES.get(kind));
        let Some(known) = known else {
            return Err(Error::invalid_argument(format!("there is no memtable kind {kind}")));
        };
        present_mut(options)?.memtable_kind = *known;
        Ok(())
    });
}

/// What `auradb_options_set_memtable_kind` set: the `auradb_memtable_kind_t`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_memtable_kind(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.memtable_kind as c_int)
}
