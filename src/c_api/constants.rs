//! The numbers of the API. Those with a RocksDB twin have its name after the prefix, and its value.

#![allow(dead_code, reason = "C uses them, by the header")]

use crate::base::error::{ErrorKind, Subcode};

/// Codecs, for `auradb_options_set_compression` and its siblings. zlib, bz2 and xpress have numbers because
/// RocksDB has them; opening a database that names one of them fails with "Not implemented: ".
#[repr(C)]
pub enum auradb_compression_t {
    /// Stored as it is.
    auradb_no_compression = 0,
    /// Snappy.
    auradb_snappy_compression = 1,
    /// Not available.
    auradb_zlib_compression = 2,
    /// Not available.
    auradb_bz2_compression = 3,
    /// LZ4.
    auradb_lz4_compression = 4,
    /// The same as LZ4: this engine has one effort level.
    auradb_lz4hc_compression = 5,
    /// Not available.
    auradb_xpress_compression = 6,
    /// Zstandard.
    auradb_zstd_compression = 7,
}

/// How levels are kept, for `auradb_options_set_compaction_style`.
#[repr(C)]
pub enum auradb_compaction_style_t {
    /// One sorted run a level.
    auradb_level_compaction = 0,
    /// Several sorted runs a level. Not available in this version.
    auradb_universal_compaction = 1,
    /// Not available.
    auradb_fifo_compaction = 2,
}

/// What to do at a damaged record of the write-ahead log, for `auradb_options_set_wal_recovery_mode`.
#[repr(C)]
pub enum auradb_wal_recovery_mode_t {
    /// Accept a torn tail of the last file only.
    auradb_tolerate_corrupted_tail_records_recovery = 0,
    /// Any bad byte is an error.
    auradb_absolute_consistency_recovery = 1,
    /// Stop at the first bad record, unless it is known to have been durable.
    auradb_point_in_time_recovery = 2,
    /// Leave bad records out and go on.
    auradb_skip_any_corrupted_records_recovery = 3,
}

/// When the write-ahead log is synced by itself, for `auradb_options_set_wal_sync_policy`.
#[repr(C)]
pub enum auradb_wal_sync_policy_t {
    /// Only when a write (`auradb_writeoptions_set_sync`) or `auradb_flush_wal` asks.
    auradb_wal_sync_manual = 0,
    /// Before each write is acknowledged.
    auradb_wal_sync_every_write = 1,
    /// Before every n-th write is acknowledged.
    auradb_wal_sync_every_n_writes = 2,
    /// At least every n milliseconds while there are unsynced writes.
    auradb_wal_sync_every_n_ms = 3,
}

/// The structure of memtables, for `auradb_options_set_memtable_kind`. The same answers, at different costs.
#[repr(C)]
pub enum auradb_memtable_kind_t {
    /// A concurrent skip list.
    auradb_memtable_skip_list = 0,
    /// An adaptive radix tree: inserts and lookups are faster; its size depends on the keys, and may be somewhat above
    /// or below a skip list's. For byte order only: a column family with a comparator of its own gets a B+tree.
    auradb_memtable_art = 1,
    /// A B+tree, for any order.
    auradb_memtable_btree = 2,
}

/// What class of failure it was: the answer of `auradb_last_error`. Each has a fixed text that starts a message.
#[repr(C)]
pub enum auradb_code_t {
    /// No failure.
    auradb_code_ok = 0,
    /// "NotFound: "
    auradb_code_not_found = 1,
    /// "Corruption: "
    auradb_code_corruption = 2,
    /// "Not implemented: "
    auradb_code_not_implemented = 3,
    /// "Invalid argument: "
    auradb_code_invalid_argument = 4,
    /// "IO error: "
    auradb_code_io = 5,
    /// "Merge in progress: "
    auradb_code_merge_in_progress = 6,
    /// "Result incomplete: "
    auradb_code_incomplete = 7,
    /// "Shutdown in progress: "
    auradb_code_shutdown_in_progress = 8,
    /// "Operation timed out: "
    auradb_code_timed_out = 9,
    /// "Operation aborted: "
    auradb_code_aborted = 10,
    /// "Resource busy: "
    auradb_code_busy = 11,
    /// "Operation expired: "
    auradb_code_expired = 12,
    /// "Operation failed. Try again.: "
    auradb_code_try_again = 13,
    /// "Compaction too large: "
    auradb_code_compaction_too_large = 14,
    /// "Column family dropped: "
    auradb_code_column_family_dropped = 15,
    /// "Internal error: "
    auradb_code_internal = 16,
}

/// A finer reason inside a code, from `auradb_last_error`.
#[repr(C)]
pub enum auradb_subcode_t {
    /// Nothing finer is known.
    auradb_subcode_none = 0,
    /// The device is full.
    auradb_subcode_no_space = 1,
    /// Another process, or this one, has the database open.
    auradb_subcode_locked = 2,
    /// The database refuses writes after an earlier failure; `auradb_health` tells which.
    auradb_subcode_read_only = 3,
    /// A sync failed: whether the write is durable is not known until the next open.
    auradb_subcode_sync_unknown = 4,
    /// A file the database needs is not there.
    auradb_subcode_missing_file = 5,
    /// A file was written by a newer version.
    auradb_subcode_newer_format = 6,
    /// A callback reported failure.
    auradb_subcode_callback = 7,
    /// A defect of the engine was caught.
    auradb_subcode_panic = 8,
}

// The engine's numbers and the exported ones are the same.
const _: () = {
    use auradb_code_t::*;
    use auradb_subcode_t::*;
    assert!(ErrorKind::NotFound as i32 == auradb_code_not_found as i32);
    assert!(ErrorKind::Corruption as i32 == auradb_code_corruption as i32);
    assert!(ErrorKind::NotImplemented as i32 == auradb_code_not_implemented as i32);
    assert!(ErrorKind::InvalidArgument as i32 == auradb_code_invalid_argument as i32);
    assert!(ErrorKind::Io as i32 == auradb_code_io as i32);
    assert!(ErrorKind::MergeInProgress as i32 == auradb_code_merge_in_progress as i32);
    assert!(ErrorKind::Incomplete as i32 == auradb_code_incomplete as i32);
    assert!(ErrorKind::ShutdownInProgress as i32 == auradb_code_shutdown_in_progress as i32);
    assert!(ErrorKind::TimedOut as i32 == auradb_code_timed_out as i32);
    assert!(ErrorKind::Aborted as i32 == auradb_code_aborted as i32);
    assert!(ErrorKind::Busy as i32 == auradb_code_busy as i32);
    assert!(ErrorKind::Expired as i32 == auradb_code_expired as i32);
    assert!(ErrorKind::TryAgain as i32 == auradb_code_try_again as i32);
    assert!(ErrorKind::CompactionTooLarge as i32 == auradb_code_compaction_too_large as i32);
    assert!(ErrorKind::ColumnFamilyDropped as i32 == auradb_code_column_family_dropped as i32);
    assert!(ErrorKind::Internal as i32 == auradb_code_internal as i32);
    assert!(Subcode::NoSpace as i32 == auradb_subcode_no_space as i32);
    assert!(Subcode::Locked as i32 == auradb_subcode_locked as i32);
    assert!(Subcode::ReadOnly as i32 == auradb_subcode_read_only as i32);
    assert!(Subcode::SyncUnknown as i32 == auradb_subcode_sync_unknown as i32);
    assert!(Subcode::MissingFile as i32 == auradb_subcode_missing_file as i32);
    assert!(Subcode::NewerFormat as i32 == auradb_subcode_newer_format as i32);
    assert!(Subcode::Callback as i32 == auradb_subcode_callback as i32);
    assert!(Subcode::Panic as i32 == auradb_subcode_panic as i32);
};
