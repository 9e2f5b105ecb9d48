/*
 * AuraDB: a key-value storage engine. This header is generated from src/c_api; do not edit it.
 *
 * Names after the prefix, argument order, ownership and message prefixes are those of RocksDB's C API: a program is
 * ported by renaming rocksdb_ to auradb_. What AuraDB adds is marked in its description.
 */

#ifndef AURADB_H
#define AURADB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Conventions
 *
 * Ownership. Four words say who frees what, everywhere below:
 *   borrows  the callee uses it during the call only, or copies it; the caller may free it at once.
 *   takes    the callee frees it, now or later; the caller must not use it again.
 *   gives    the caller frees it: handles with their own _destroy function, bytes and texts with auradb_free
 *            (the same as free).
 *   lends    the callee keeps it; the caller may read it until the time that is named.
 *
 * Errors. A function that can fail has a last argument errptr. Before the call *errptr is NULL or a malloc'ed text;
 * success leaves it alone, failure frees it and stores a new text, to be freed with auradb_free. A text starts with
 * its kind ("NotFound: ", "Corruption: ", "Invalid argument: ", "IO error: ", "Resource busy: ", ...), which will not
 * change; the rest is for people. errptr may be NULL. auradb_last_error has the failure in full, also that of functions
 * without an errptr. Out arguments are written in any case, and may be NULL.
 *
 * NULL. A NULL handle is an error ("Invalid argument: "), or nothing happens where a function cannot report it;
 * _destroy functions do nothing for NULL. Bytes may be NULL if their length is 0.
 *
 * Bytes. Keys and values are any bytes, with a length; no NUL is needed, and none is added. A value that is there
 * but empty is a non-NULL pointer with length 0. Booleans are unsigned char: 0 is false, all else true.
 *
 * Threads. Databases, column family handles, snapshots, caches and callback objects may be used by any number of
 * threads at once. Iterators, batches and options are used by one thread at a time. Callbacks are called from the
 * engine's threads too, several at once, and must not throw.
 *
 * Lifetime. auradb_close takes the database's handle: no call may use it afterwards. Iterators, snapshots, pinned
 * values and column family handles may be destroyed before or after that, and stay valid until they are: an
 * iterator goes on showing its moment (only auradb_iter_refresh gives "Shutdown in progress: "), a pinned value
 * keeps its bytes. They keep memory and open files, so destroying them first is tidier. After fork, the child must not
 * use handles of its parent.
 *
 * Durability. A write that was acknowledged survives the death of the process; it survives a power loss if sync was
 * set (auradb_writeoptions_set_sync), or a sync policy did so (auradb_options_set_wal_sync_policy).
 */


// Codecs, for `auradb_options_set_compression` and its siblings. zlib, bz2 and xpress have numbers because
// RocksDB has them; opening a database that names one of them fails with "Not implemented: ".
typedef enum {
  // Stored as it is.
  auradb_no_compression = 0,
  // Snappy.
  auradb_snappy_compression = 1,
  // Not available.
  auradb_zlib_compression = 2,
  // Not available.
  auradb_bz2_compression = 3,
  // LZ4.
  auradb_lz4_compression = 4,
  // The same as LZ4: this engine has one effort level.
  auradb_lz4hc_compression = 5,
  // Not available.
  auradb_xpress_compression = 6,
  // Zstandard.
  auradb_zstd_compression = 7,
} auradb_compression_t;

// How levels are kept, for `auradb_options_set_compaction_style`.
typedef enum {
  // One sorted run a level.
  auradb_level_compaction = 0,
  // Several sorted runs a level. Not available in this version.
  auradb_universal_compaction = 1,
  // Not available.
  auradb_fifo_compaction = 2,
} auradb_compaction_style_t;

// What to do at a damaged record of the write-ahead log, for `auradb_options_set_wal_recovery_mode`.
typedef enum {
  // Accept a torn tail of the last file only.
  auradb_tolerate_corrupted_tail_records_recovery = 0,
  // Any bad byte is an error.
  auradb_absolute_consistency_recovery = 1,
  // Stop at the first bad record, unless it is known to have been durable.
  auradb_point_in_time_recovery = 2,
  // Leave bad records out and go on.
  auradb_skip_any_corrupted_records_recovery = 3,
} auradb_wal_recovery_mode_t;

// When the write-ahead log is synced by itself, for `auradb_options_set_wal_sync_policy`.
typedef enum {
  // Only when a write (`auradb_writeoptions_set_sync`) or `auradb_flush_wal` asks.
  auradb_wal_sync_manual = 0,
  // Before each write is acknowledged.
  auradb_wal_sync_every_write = 1,
  // Before every n-th write is acknowledged.
  auradb_wal_sync_every_n_writes = 2,
  // At least every n milliseconds while there are unsynced writes.
  auradb_wal_sync_every_n_ms = 3,
} auradb_wal_sync_policy_t;

// The structure of memtables, for `auradb_options_set_memtable_kind`. The same answers, at different costs.
typedef enum {
  // A concurrent skip list.
  auradb_memtable_skip_list = 0,
  // An adaptive radix tree: inserts and lookups are faster; its size depends on the keys, and may be somewhat above
  // or below a skip list's. For byte order only: a column family with a comparator of its own gets a B+tree.
  auradb_memtable_art = 1,
  // A B+tree, for any order.
  auradb_memtable_btree = 2,
} auradb_memtable_kind_t;

// What class of failure it was: the answer of `auradb_last_error`. Each has a fixed text that starts a message.
typedef enum {
  // No failure.
  auradb_code_ok = 0,
  // "NotFound: "
  auradb_code_not_found = 1,
  // "Corruption: "
  auradb_code_corruption = 2,
  // "Not implemented: "
  auradb_code_not_implemented = 3,
  // "Invalid argument: "
  auradb_code_invalid_argument = 4,
  // "IO error: "
  auradb_code_io = 5,
  // "Merge in progress: "
  auradb_code_merge_in_progress = 6,
  // "Result incomplete: "
  auradb_code_incomplete = 7,
  // "Shutdown in progress: "
  auradb_code_shutdown_in_progress = 8,
  // "Operation timed out: "
  auradb_code_timed_out = 9,
  // "Operation aborted: "
  auradb_code_aborted = 10,
  // "Resource busy: "
  auradb_code_busy = 11,
  // "Operation expired: "
  auradb_code_expired = 12,
  // "Operation failed. Try again.: "
  auradb_code_try_again = 13,
  // "Compaction too large: "
  auradb_code_compaction_too_large = 14,
  // "Column family dropped: "
  auradb_code_column_family_dropped = 15,
  // "Internal error: "
  auradb_code_internal = 16,
} auradb_code_t;

// A finer reason inside a code, from `auradb_last_error`.
typedef enum {
  // Nothing finer is known.
  auradb_subcode_none = 0,
  // The device is full.
  auradb_subcode_no_space = 1,
  // Another process, or this one, has the database open.
  auradb_subcode_locked = 2,
  // The database refuses writes after an earlier failure; `auradb_health` tells which.
  auradb_subcode_read_only = 3,
  // A sync failed: whether the write is durable is not known until the next open.
  auradb_subcode_sync_unknown = 4,
  // A file the database needs is not there.
  auradb_subcode_missing_file = 5,
  // A file was written by a newer version.
  auradb_subcode_newer_format = 6,
  // A callback reported failure.
  auradb_subcode_callback = 7,
  // A defect of the engine was caught.
  auradb_subcode_panic = 8,
} auradb_subcode_t;

// What a packed operation does (an addition of AuraDB). No operation is 0.
typedef enum {
  // Stores the value under the key.
  auradb_packed_put = 1,
  // Deletes the key. No value.
  auradb_packed_delete = 2,
  // Deletes the key, which was put once (see `auradb_singledelete`). No value.
  auradb_packed_singledelete = 3,
  // The value is an operand for the merge operator.
  auradb_packed_merge = 4,
  // Deletes from the key up to, not including, the value, which is a key too.
  auradb_packed_delete_range = 5,
  // The key is bytes that go to the write-ahead log alone (see `auradb_writebatch_put_log_data`). No value.
  auradb_packed_log_data = 6,
} auradb_packed_kind_t;

// How tables are built and cached. Used by one thread at a time.
typedef struct auradb_block_based_table_options_t auradb_block_based_table_options_t;

// A cache of uncompressed blocks and values. May be used from any thread; any number of databases may share it.
typedef struct auradb_cache_t auradb_cache_t;

// A column family of an open database. May be used from any thread, and from several at once. A dropped family
// stays readable through its handles; its files go with the last of them.
typedef struct auradb_column_family_handle_t auradb_column_family_handle_t;

// Judges values in compactions. May be used from any thread.
typedef struct auradb_compactionfilter_t auradb_compactionfilter_t;

// What a factory is told about the compaction that wants a filter. Lent to the callback for the call only.
typedef struct auradb_compactionfiltercontext_t auradb_compactionfiltercontext_t;

// Makes a filter for each compaction. May be used from any thread.
typedef struct auradb_compactionfilterfactory_t auradb_compactionfilterfactory_t;

// How a range is compacted. Used by one thread at a time while it is changed.
typedef struct auradb_compactoptions_t auradb_compactoptions_t;

// An order of keys. May be used from any thread.
typedef struct auradb_comparator_t auradb_comparator_t;

// The outside world. There is one in a process; handles are references to it, usable from any thread.
typedef struct auradb_env_t auradb_env_t;

// Which filter tables get. May be used from any thread.
typedef struct auradb_filterpolicy_t auradb_filterpolicy_t;

// How a flush works. Used by one thread at a time while it is changed.
typedef struct auradb_flushoptions_t auradb_flushoptions_t;

// Moves over the entries of a column family, both ways. Used by one thread at a time. It shows the moment it was
// created at, and keeps what it needs alive until it is destroyed.
typedef struct auradb_iterator_t auradb_iterator_t;

// Receives the log lines of databases. May be used from any thread.
typedef struct auradb_logger_t auradb_logger_t;

// How a cache is made. Used by one thread at a time.
typedef struct auradb_lru_cache_options_t auradb_lru_cache_options_t;

// Databases and caches whose memory is asked for. Used by one thread at a time.
typedef struct auradb_memory_consumers_t auradb_memory_consumers_t;

// Bytes of memory at one moment. Does not change; may be read from any thread.
typedef struct auradb_memory_usage_t auradb_memory_usage_t;

// Combines operands with a value. May be used from any thread.
typedef struct auradb_mergeoperator_t auradb_mergeoperator_t;

// How a database and its column families are opened. Used by one thread at a time. `auradb_open` copies it, so it may
// be changed or destroyed at once. The defaults are RocksDB's.
typedef struct auradb_options_t auradb_options_t;

// A value read without a copy. It stays as it is, whatever is written meanwhile, until it is destroyed.
typedef struct auradb_pinnableslice_t auradb_pinnableslice_t;

// How reads work. Used by one thread at a time while it is changed; any number of threads may read with it.
typedef struct auradb_readoptions_t auradb_readoptions_t;

// Maps keys to prefixes. May be used from any thread.
typedef struct auradb_slicetransform_t auradb_slicetransform_t;

// A moment of a database that reads can name (`auradb_readoptions_set_snapshot`).
typedef struct auradb_snapshot_t auradb_snapshot_t;

// An open database. May be used from any thread, and from several at once.
typedef struct auradb_t auradb_t;

// Counts and caps the memory of the memtables of any number of databases. May be used from any thread.
typedef struct auradb_write_buffer_manager_t auradb_write_buffer_manager_t;

// Operations to be applied at once by `auradb_write`. Used by one thread at a time. Keys and values are copied into
// it; those of one operation are together at most 2 GiB less 64 bytes long, and a batch is below 4 GiB. Functions
// that fill it have no place for an error: a failure is noted (`auradb_last_error`), remembered, and reported by
// `auradb_write`, which writes nothing then.
typedef struct auradb_writebatch_t auradb_writebatch_t;

// A batch with an index of its keys: what is in it can be read before it is written. Used by one thread at a time,
// with the iterators over it; as a batch otherwise (see `auradb_writebatch_t`), also in how failures are remembered
// and reported. Range deletions are read as they will be applied, which RocksDB does not offer. Keys have the order
// of their column family as soon as a handle or database names it, and byte order before.
typedef struct auradb_writebatch_wi_t auradb_writebatch_wi_t;

// How writes work. Used by one thread at a time while it is changed; any number of threads may write with it.
typedef struct auradb_writeoptions_t auradb_writeoptions_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Frees what a function gave: values, error texts, property texts, names. The same as `free`; NULL is fine.
void auradb_free(void *memory);

// The library's version, such as "0.1.0". Lends it for as long as the library is loaded.
const char *auradb_version(void);

// Returns the code (`auradb_code_t`) of the last call that failed on this thread, `auradb_code_ok` if none did.
// Calls that succeed do not change it; functions without an `errptr` set it too.
//
// `subcode` receives an `auradb_subcode_t`; `system_errno` the operating system's number or 0; `offset` the
// byte offset in the file concerned or UINT64_MAX; `file` its path or NULL; `message` the text that `errptr` gets.
// Any of them may be NULL. Lends `file` and `message` until the next call that fails on this thread.
// In Go, lock the goroutine to its thread around the failing call and this one.
int auradb_last_error(int *subcode, int *system_errno, uint64_t *offset, const char **file, const char **message);

// Opens the database in directory `name`, which may have the default column family only. Borrows `options`: they
// are copied. Gives a handle for `auradb_close`, or NULL with an error: "Invalid argument: " if there is no
// database and `create_if_missing` is not set, if other column families exist, or if the comparator is another
// than the one the database was made with; "IO error: " if the database is open already.
auradb_t *auradb_open(const auradb_options_t *options, const char *name, char **errptr);

// As `auradb_open`, and everything that is written to the default column family from now on without a TTL of its
// own, merge operands too, expires `ttl` seconds after it was written; 0 or less = never. Each entry keeps the time
// it was given: what lies in the database already does not change by another TTL at the next open, nor by opening
// without one. (RocksDB stores the time of writing and adds the TTL of the day; this database judges by the entry
// alone.) Expired keys are absent for all reads at once, not only after a compaction. Borrows `options`.
auradb_t *auradb_open_with_ttl(const auradb_options_t *options, const char *name, int ttl, char **errptr);

// Opens a database for reading its default column family; nothing at all is written, and any number of readers
// may do so. Borrows `options`. Fails if a write-ahead log exists and `error_if_wal_file_exists` is not 0.
// Gives a handle for `auradb_close`.
auradb_t *auradb_open_for_read_only(const auradb_options_t *options,
                                    const char *name,
                                    unsigned char error_if_wal_file_exists,
                                    char **errptr);

// Opens a database with its column families: all that exist must be named, among them "default", each with its
// options (`create_missing_column_families` creates those that do not exist). Borrows all arguments. Gives a
// handle for `auradb_close`, and fills `column_family_handles` with one for each name, in order, to be destroyed
// before the database is closed. On failure gives NULL and fills them with NULL.
auradb_t *auradb_open_column_families(const auradb_options_t *options,
                                      const char *name,
                                      int num_column_families,
                                      const char *const *column_family_names,
                                      const auradb_options_t *const *column_family_options,
                                      auradb_column_family_handle_t **column_family_handles,
                                      char **errptr);

// As `auradb_open_column_families`, each family with its TTL of `ttls`, which has `num_column_families` elements; see
// `auradb_open_with_ttl`. Borrows all arguments.
auradb_t *auradb_open_column_families_with_ttl(const auradb_options_t *options,
                                               const char *name,
                                               int num_column_families,
                                               const char *const *column_family_names,
                                               const auradb_options_t *const *column_family_options,
                                               auradb_column_family_handle_t **column_family_handles,
                                               const int *ttls,
                                               char **errptr);

// As `auradb_open_column_families`, for reading: nothing is written. Families not named are left out.
auradb_t *auradb_open_for_read_only_column_families(const auradb_options_t *options,
                                                    const char *name,
                                                    int num_column_families,
                                                    const char *const *column_family_names,
                                                    const auradb_options_t *const *column_family_options,
                                                    auradb_column_family_handle_t **column_family_handles,
                                                    unsigned char error_if_wal_file_exists,
                                                    char **errptr);

// Closes a database. Takes the handle: no call may use it afterwards, and none may be running in another thread.
// NULL is fine. Background work is stopped and the logs are sealed; memtables are not flushed: the log has them.
// Iterators, snapshots, pinned values and column family handles stay valid until they are destroyed: an iterator
// goes on showing its moment (only `auradb_iter_refresh` gives "Shutdown in progress: "), a pinned value keeps its
// bytes. The database can be opened again meanwhile; memory and files that they need are freed with the last of
// them. A failure to seal the logs loses nothing that was durable; `auradb_last_error` tells of it.
void auradb_close(auradb_t *db);

// Removes a closed database: its own files; foreign files and the directories that hold them stay. There being
// none is fine. "IO error: " if it is open. Borrows all arguments.
void auradb_destroy_db(const auradb_options_t *options, const char *name, char **errptr);

// Rebuilds the manifest of a damaged, closed database from the tables and logs that are readable; damaged tables are
// set aside. Some data may be lost; what was readable is kept. Borrows all arguments.
void auradb_repair_db(const auradb_options_t *options, const char *name, char **errptr);

// The sequence number of the latest write; 0 in a new database. Each record of a batch takes one.
uint64_t auradb_get_latest_sequence_number(const auradb_t *db);

// Changes options of the default column family of an open database: `count` names and values, as in
// `auradb_get_options_from_string`. These can change: write_buffer_size, max_write_buffer_number,
// disable_auto_compactions, level0_file_num_compaction_trigger, level0_slowdown_writes_trigger,
// level0_stop_writes_trigger, target_file_size_base, target_file_size_multiplier, max_bytes_for_level_base,
// max_bytes_for_level_multiplier, compression, compression_per_level, bottommost_compression and
// auradb.separation_threshold ("none": no value is separated), auradb.ttl (see `auradb_open_with_ttl`). "Invalid
// argument: " for another name, a bad value, or none at all; nothing is changed then. New writes follow a new
// separation_threshold at once; values that lie in tables or in the value log already are moved by the compactions
// that pass them, all of them by `auradb_compact_range_opt` with a forced bottommost level. Borrows all arguments.
void auradb_set_options(const auradb_t *db,
                        int count,
                        const char *const *keys,
                        const char *const *values,
                        char **errptr);

// As `auradb_set_options`, for one column family.
void auradb_set_options_cf(const auradb_t *db,
                           const auradb_column_family_handle_t *handle,
                           int count,
                           const char *const *keys,
                           const char *const *values,
                           char **errptr);

// Names of the column families of the database in directory `name`, open or closed. Gives an array of `*lencf`
// names for `auradb_list_column_families_destroy`; after an error too, with none in it. Borrows the arguments.
char **auradb_list_column_families(const auradb_options_t *options, const char *name, size_t *lencf, char **errptr);

// Frees what `auradb_list_column_families` gave.
void auradb_list_column_families_destroy(char **list, size_t len);

// Creates a column family. Borrows the arguments. Gives a handle for `auradb_column_family_handle_destroy`, or
// NULL with an error: "Invalid argument: " if one of this name exists.
auradb_column_family_handle_t *auradb_create_column_family(const auradb_t *db,
                                                           const auradb_options_t *column_family_options,
                                                           const char *column_family_name,
                                                           char **errptr);

// As `auradb_create_column_family`, with a TTL as of `auradb_open_with_ttl`. Borrows the arguments.
auradb_column_family_handle_t *auradb_create_column_family_with_ttl(const auradb_t *db,
                                                                    const auradb_options_t *column_family_options,
                                                                    const char *column_family_name,
                                                                    int ttl,
                                                                    char **errptr);

// Creates several column families with the same options, in order, up to the first that fails. Borrows the
// arguments. Gives an array of `*lencfs` handles, those that were created, after an error too; free the array
// with `auradb_create_column_families_destroy` and each handle with `auradb_column_family_handle_destroy`.
auradb_column_family_handle_t **auradb_create_column_families(const auradb_t *db,
                                                              const auradb_options_t *column_family_options,
                                                              int num_column_families,
                                                              const char *const *column_family_names,
                                                              size_t *lencfs,
                                                              char **errptr);

// Frees the array that `auradb_create_column_families` gave, not the handles in it.
void auradb_create_column_families_destroy(auradb_column_family_handle_t **list);

// Drops a column family. Its handles and iterators go on reading it. Borrows the handle: destroy it as well.
// "Invalid argument: " for the default column family.
void auradb_drop_column_family(const auradb_t *db, const auradb_column_family_handle_t *handle, char **errptr);

// Gives a new handle of the default column family, for `auradb_column_family_handle_destroy`.
auradb_column_family_handle_t *auradb_get_default_column_family_handle(const auradb_t *db);

// Destroys a handle; the column family stays. Takes the handle; NULL is fine.
void auradb_column_family_handle_destroy(auradb_column_family_handle_t *handle);

// The id of a column family: 0 for the default one.
uint32_t auradb_column_family_handle_get_id(const auradb_column_family_handle_t *handle);

// Gives the name of a column family, `*name_len` bytes; free it with `auradb_free`.
char *auradb_column_family_handle_get_name(const auradb_column_family_handle_t *handle, size_t *name_len);

// Stores `val` under `key` in the default column family. Borrows all arguments.
void auradb_put(const auradb_t *db,
                const auradb_writeoptions_t *options,
                const char *key,
                size_t keylen,
                const char *val,
                size_t vallen,
                char **errptr);

// Stores `val` under `key` in a column family. Borrows all arguments.
void auradb_put_cf(const auradb_t *db,
                   const auradb_writeoptions_t *options,
                   const auradb_column_family_handle_t *column_family,
                   const char *key,
                   size_t keylen,
                   const char *val,
                   size_t vallen,
                   char **errptr);

// As `auradb_put`, for `ttl_seconds` seconds from now on, or up to one more, never less; 0 or less = for ever, also in
// a database opened with a TTL. From the second on at which it expires the key reads as if it were deleted: in gets,
// iterators and snapshots, and older versions do not come back. Its space is freed by compactions that pass it, and
// when all or half of a table has expired. Borrows all arguments.
void auradb_put_with_ttl(const auradb_t *db,
                         const auradb_writeoptions_t *options,
                         const char *key,
                         size_t keylen,
                         const char *val,
                         size_t vallen,
                         int64_t ttl_seconds,
                         char **errptr);

// As `auradb_put_with_ttl`, in a column family. Borrows all arguments.
void auradb_put_with_ttl_cf(const auradb_t *db,
                            const auradb_writeoptions_t *options,
                            const auradb_column_family_handle_t *column_family,
                            const char *key,
                            size_t keylen,
                            const char *val,
                            size_t vallen,
                            int64_t ttl_seconds,
                            char **errptr);

// Deletes `key` from the default column family; its being absent is fine. Borrows all arguments.
void auradb_delete(const auradb_t *db,
                   const auradb_writeoptions_t *options,
                   const char *key,
                   size_t keylen,
                   char **errptr);

// Deletes `key` from a column family; its being absent is fine. Borrows all arguments.
void auradb_delete_cf(const auradb_t *db,
                      const auradb_writeoptions_t *options,
                      const auradb_column_family_handle_t *column_family,
                      const char *key,
                      size_t keylen,
                      char **errptr);

// Deletes `key`, which was put exactly once since it was last deleted, from the default column family; cheaper
// than `auradb_delete`. What happens to a key put twice is undefined. Borrows all arguments.
void auradb_singledelete(const auradb_t *db,
                         const auradb_writeoptions_t *options,
                         const char *key,
                         size_t keylen,
                         char **errptr);

// As `auradb_singledelete`, in a column family.
void auradb_singledelete_cf(const auradb_t *db,
                            const auradb_writeoptions_t *options,
                            const auradb_column_family_handle_t *column_family,
                            const char *key,
                            size_t keylen,
                            char **errptr);

// Deletes all keys from `start_key` up to, not including, `end_key` from a column family. "Invalid argument: "
// if the end comes before the start. Borrows all arguments.
void auradb_delete_range_cf(const auradb_t *db,
                            const auradb_writeoptions_t *options,
                            const auradb_column_family_handle_t *column_family,
                            const char *start_key,
                            size_t start_key_len,
                            const char *end_key,
                            size_t end_key_len,
                            char **errptr);

// Adds `val` as an operand for the merge operator of the default column family. An error if it has none. Borrows
// all arguments.
void auradb_merge(const auradb_t *db,
                  const auradb_writeoptions_t *options,
                  const char *key,
                  size_t keylen,
                  const char *val,
                  size_t vallen,
                  char **errptr);

// As `auradb_merge`, in a column family.
void auradb_merge_cf(const auradb_t *db,
                     const auradb_writeoptions_t *options,
                     const auradb_column_family_handle_t *column_family,
                     const char *key,
                     size_t keylen,
                     const char *val,
                     size_t vallen,
                     char **errptr);

// Applies a batch: all of it or nothing, also across column families and after a crash. Borrows all arguments;
// the batch is unchanged and can be written again. A failure that a function filling the batch could not report
// is reported here, and nothing is written.
void auradb_write(const auradb_t *db, const auradb_writeoptions_t *options, auradb_writebatch_t *batch, char **errptr);

// Applies `batch` atomically without waiting for the device: readable when this returns (unless an earlier write with
// `sync` is still on its way to the device, then together with that), durable later. Then `callback(argument, NULL)`
// is called, or `callback(argument, message)` if it will never be known to be durable (a failed sync, or a close
// before it). One sync serves all writes that wait, so many may be on their way. Borrows db, options and batch for
// the call only; `argument` must stay good until the callback, `message` is lent for the callback. Callbacks come one
// after another, those of one thread's writes in their order, in a thread of the database (or in the caller's): they
// should be short, may read and write, and must not close the database. An empty batch asks about everything written
// before it. `sync` of the options is implied, `disable_wal` refused. If `errptr` is set nothing was applied and
// `callback` is never called.
void auradb_write_async(const auradb_t *db,
                        const auradb_writeoptions_t *options,
                        auradb_writebatch_t *batch,
                        void (*callback)(void *argument, const char *error),
                        void *argument,
                        char **errptr);

// Gives an empty batch, for `auradb_writebatch_destroy`.
auradb_writebatch_t *auradb_writebatch_create(void);

// Gives a batch from bytes that `auradb_writebatch_data` lent, for `auradb_writebatch_destroy`. Borrows them.
// `auradb_write` reports "Corruption: " if they are malformed, "Invalid argument: " if an operation is too long.
auradb_writebatch_t *auradb_writebatch_create_from(const char *rep, size_t size);

// Destroys a batch. Takes the handle; NULL is fine.
void auradb_writebatch_destroy(auradb_writebatch_t *b);

// Empties a batch, and forgets its save points and failure.
void auradb_writebatch_clear(auradb_writebatch_t *b);

// The number of operations in a batch, log data not counted.
int auradb_writebatch_count(const auradb_writebatch_t *b);

// Adds a put to the default column family.
void auradb_writebatch_put(auradb_writebatch_t *b, const char *key, size_t klen, const char *val, size_t vlen);

// Adds a put to a column family.
void auradb_writebatch_put_cf(auradb_writebatch_t *b,
                              const auradb_column_family_handle_t *column_family,
                              const char *key,
                              size_t klen,
                              const char *val,
                              size_t vlen);

// Adds a put of a value that is there for `ttl_seconds` seconds from when the batch is written on; 0 or less = for
// ever, also in a database opened with a TTL. See `auradb_put_with_ttl`. In the bytes of the batch it has a tag of
// its own, 0x40 (0x44 with a column family), which RocksDB does not know.
void auradb_writebatch_put_with_ttl(auradb_writebatch_t *b,
                                    const char *key,
                                    size_t klen,
                                    const char *val,
                                    size_t vlen,
                                    int64_t ttl_seconds);

// As `auradb_writebatch_put_with_ttl`, to a column family.
void auradb_writebatch_put_with_ttl_cf(auradb_writebatch_t *b,
                                       const auradb_column_family_handle_t *column_family,
                                       const char *key,
                                       size_t klen,
                                       const char *val,
                                       size_t vlen,
                                       int64_t ttl_seconds);

// Adds a delete from the default column family.
void auradb_writebatch_delete(auradb_writebatch_t *b, const char *key, size_t klen);

// Adds a delete from a column family.
void auradb_writebatch_delete_cf(auradb_writebatch_t *b,
                                 const auradb_column_family_handle_t *column_family,
                                 const char *key,
                                 size_t klen);

// Adds a single delete (see `auradb_singledelete`) from the default column family.
void auradb_writebatch_singledelete(auradb_writebatch_t *b, const char *key, size_t klen);

// Adds a single delete (see `auradb_singledelete`) from a column family.
void auradb_writebatch_singledelete_cf(auradb_writebatch_t *b,
                                       const auradb_column_family_handle_t *column_family,
                                       const char *key,
                                       size_t klen);

// Adds a delete of all keys from `start_key` up to, not including, `end_key` from the default column family.
void auradb_writebatch_delete_range(auradb_writebatch_t *b,
                                    const char *start_key,
                                    size_t start_key_len,
                                    const char *end_key,
                                    size_t end_key_len);

// As `auradb_writebatch_delete_range`, from a column family.
void auradb_writebatch_delete_range_cf(auradb_writebatch_t *b,
                                       const auradb_column_family_handle_t *column_family,
                                       const char *start_key,
                                       size_t start_key_len,
                                       const char *end_key,
                                       size_t end_key_len);

// Adds an operand for the merge operator of the default column family.
void auradb_writebatch_merge(auradb_writebatch_t *b, const char *key, size_t klen, const char *val, size_t vlen);

// Adds an operand for the merge operator of a column family.
void auradb_writebatch_merge_cf(auradb_writebatch_t *b,
                                const auradb_column_family_handle_t *column_family,
                                const char *key,
                                size_t klen,
                                const char *val,
                                size_t vlen);

// Adds bytes that go to the write-ahead log alone: they change no key, and are not counted.
void auradb_writebatch_put_log_data(auradb_writebatch_t *b, const char *blob, size_t len);

// Remembers this place, for `auradb_writebatch_rollback_to_save_point`. Save points nest.
void auradb_writebatch_set_save_point(auradb_writebatch_t *b);

// Takes back everything since the last save point, and the save point. "NotFound: " if there is none.
void auradb_writebatch_rollback_to_save_point(auradb_writebatch_t *b, char **errptr);

// Forgets the last save point. "NotFound: " if there is none.
void auradb_writebatch_pop_save_point(auradb_writebatch_t *b, char **errptr);

// Calls `put` and `deleted` with `state` for the operations in order, as RocksDB does: those of the default column
// family only; merges, single deletes and log data are passed over; an operation of another column family or a
// range delete ends the walk. Keys and values are lent for the call. A NULL callback is not called.
void auradb_writebatch_iterate(const auradb_writebatch_t *b,
                               void *state,
                               void (*put)(void *state, const char *k, size_t klen, const char *v, size_t vlen),
                               void (*deleted)(void *state, const char *k, size_t klen));

// As `auradb_writebatch_iterate`, with all column families, their ids, and merges: `put_cf`, `deleted_cf` and
// `merge_cf` are called in order; single deletes of the default column family and log data are passed over; a
// single delete of another one, or a range delete, ends the walk.
void auradb_writebatch_iterate_cf(const auradb_writebatch_t *b,
                                  void *state,
                                  void (*put_cf)(void *state,
                                                 uint32_t cfid,
                                                 const char *k,
                                                 size_t klen,
                                                 const char *v,
                                                 size_t vlen),
                                  void (*deleted_cf)(void *state, uint32_t cfid, const char *k, size_t klen),
                                  void (*merge_cf)(void *state,
                                                   uint32_t cfid,
                                                   const char *k,
                                                   size_t klen,
                                                   const char *v,
                                                   size_t vlen));

// Lends the bytes of a batch, `*size` of them, until it is changed: an 8-byte sequence number, a 4-byte count, both
// little-endian, and the operations.
const char *auradb_writebatch_data(const auradb_writebatch_t *b, size_t *size);

// Gives the value of `key` in the default column family, `*vallen` bytes, to be freed with `auradb_free`; NULL
// with `*vallen` 0 if there is none. A present empty value is not NULL. Borrows the other arguments.
char *auradb_get(const auradb_t *db,
                 const auradb_readoptions_t *options,
                 const char *key,
                 size_t keylen,
                 size_t *vallen,
                 char **errptr);

// As `auradb_get`, in a column family.
char *auradb_get_cf(const auradb_t *db,
                    const auradb_readoptions_t *options,
                    const auradb_column_family_handle_t *column_family,
                    const char *key,
                    size_t keylen,
                    size_t *vallen,
                    char **errptr);

// Gives the value of `key` in the default column family without copying it, for `auradb_pinnableslice_destroy`;
// NULL if there is none. Borrows all arguments.
auradb_pinnableslice_t *auradb_get_pinned(const auradb_t *db,
                                          const auradb_readoptions_t *options,
                                          const char *key,
                                          size_t keylen,
                                          char **errptr);

// As `auradb_get_pinned`, in a column family.
auradb_pinnableslice_t *auradb_get_pinned_cf(const auradb_t *db,
                                             const auradb_readoptions_t *options,
                                             const auradb_column_family_handle_t *column_family,
                                             const char *key,
                                             size_t keylen,
                                             char **errptr);

// Destroys a pinned value. Takes the handle; NULL is fine.
void auradb_pinnableslice_destroy(auradb_pinnableslice_t *v);

// Lends the bytes of a pinned value, `*vlen` of them, until it is destroyed. NULL with 0 for NULL.
const char *auradb_pinnableslice_value(const auradb_pinnableslice_t *t, size_t *vlen);

// Returns 0 only if `key` is certainly absent from the default column family; never reads from the device. If
// the value was at hand, `*value_found` becomes 1 and `*value` gives it, `*val_len` bytes, to be freed with
// `auradb_free`; otherwise `*value_found` becomes 0. The outputs may be NULL, and there are no timestamps: that
// argument is ignored. A failure counts as "may exist". Borrows the other arguments.
unsigned char auradb_key_may_exist(const auradb_t *db,
                                   const auradb_readoptions_t *options,
                                   const char *key,
                                   size_t key_len,
                                   char **value,
                                   size_t *val_len,
                                   const char *timestamp,
                                   size_t timestamp_len,
                                   unsigned char *value_found);

// As `auradb_key_may_exist`, in a column family.
unsigned char auradb_key_may_exist_cf(const auradb_t *db,
                                      const auradb_readoptions_t *options,
                                      const auradb_column_family_handle_t *column_family,
                                      const char *key,
                                      size_t key_len,
                                      char **value,
                                      size_t *val_len,
                                      const char *timestamp,
                                      size_t timestamp_len,
                                      unsigned char *value_found);

// Reads `num_keys` keys of the default column family, all at one moment. For each key, `values_list[i]` and
// `values_list_sizes[i]` give the value (free it with `auradb_free`), or NULL and 0 if there is none or reading
// it failed; `errs[i]` gives an error text then, else NULL. Every element of the three is written, whatever
// happens. Borrows the other arguments.
void auradb_multi_get(const auradb_t *db,
                      const auradb_readoptions_t *options,
                      size_t num_keys,
                      const char *const *keys_list,
                      const size_t *keys_list_sizes,
                      char **values_list,
                      size_t *values_list_sizes,
                      char **errs);

// As `auradb_multi_get`, each key in its own column family.
void auradb_multi_get_cf(const auradb_t *db,
                         const auradb_readoptions_t *options,
                         const auradb_column_family_handle_t *const *column_families,
                         size_t num_keys,
                         const char *const *keys_list,
                         const size_t *keys_list_sizes,
                         char **values_list,
                         size_t *values_list_sizes,
                         char **errs);

// As `auradb_multi_get`, in one column family and without copying: `values[i]` gives a pinned value for
// `auradb_pinnableslice_destroy`, or NULL. `sorted_input` tells that the keys are in order already; they need
// not be.
void auradb_batched_multi_get_cf(const auradb_t *db,
                                 const auradb_readoptions_t *options,
                                 const auradb_column_family_handle_t *column_family,
                                 size_t num_keys,
                                 const char *const *keys_list,
                                 const size_t *keys_list_sizes,
                                 auradb_pinnableslice_t **values,
                                 char **errs,
                                 bool sorted_input);

// Applies many operations in one call: all of them or none, as `auradb_write` does with a batch (an addition of
// AuraDB, for languages whose calls of C are expensive). `data` holds `len` bytes of operations, one after the other
// without padding. Each is three 32-bit numbers, little-endian, then the key, then the value:
//
//   kind + 256 * family | key length | value length | key | value
//
// `kind` is an `auradb_packed_kind_t`. `family` is an index into `column_families`, an array of
// `num_column_families` handles; if that is NULL, 0 means the default column family. In Go:
//
//   func put(buf []byte, key, value string) []byte {
//           buf = binary.LittleEndian.AppendUint32(buf, C.auradb_packed_put)
//           buf = binary.LittleEndian.AppendUint32(buf, uint32(len(key)))
//           buf = binary.LittleEndian.AppendUint32(buf, uint32(len(value)))
//           return append(append(buf, key...), value...)
//   }
//
// and in Python: `buf += struct.pack("<III", 1, len(key), len(value)) + key + value`. Borrows all arguments. A
// malformed operation is "Invalid argument: " with its number and the byte it starts at, and nothing is applied.
void auradb_write_packed(const auradb_t *db,
                         const auradb_writeoptions_t *options,
                         const auradb_column_family_handle_t *const *column_families,
                         size_t num_column_families,
                         const char *data,
                         size_t len,
                         char **errptr);

// Adds packed operations (see `auradb_write_packed`) to a batch: all of them, or none after an error. Borrows the
// arguments, and copies the operations.
void auradb_writebatch_append_packed(auradb_writebatch_t *b,
                                     const auradb_column_family_handle_t *const *column_families,
                                     size_t num_column_families,
                                     const char *data,
                                     size_t len,
                                     char **errptr);

// Reads many keys in one call, all at one moment (an addition of AuraDB). `keys` holds `len` bytes of keys, one after
// the other without padding: two 32-bit numbers, little-endian, and the bytes of the key:
//
//   family | key length | key
//
// `family` is an index into `column_families`, as for `auradb_write_packed`. Gives `*answer_len` bytes, to be freed
// with `auradb_free`, with an answer for each key in the same order: a 32-bit length, and that many bytes of the
// value;
// the length 0xffffffff alone if there is no value. If a key is malformed or one value cannot be read, that is the
// error of the call, which names the key; NULL is given then, with `*answer_len` 0. Borrows the other arguments.
char *auradb_multi_get_packed(const auradb_t *db,
                              const auradb_readoptions_t *options,
                              const auradb_column_family_handle_t *const *column_families,
                              size_t num_column_families,
                              const char *keys,
                              size_t len,
                              size_t *answer_len,
                              char **errptr);

// Gives an iterator over the default column family, for `auradb_iter_destroy`; it is not positioned. Never NULL:
// if it could not be made, it is not valid and `auradb_iter_get_error` tells why. Borrows the arguments; the
// bounds in `options` are copied.
auradb_iterator_t *auradb_create_iterator(const auradb_t *db, const auradb_readoptions_t *options);

// As `auradb_create_iterator`, over a column family.
auradb_iterator_t *auradb_create_iterator_cf(const auradb_t *db,
                                             const auradb_readoptions_t *options,
                                             const auradb_column_family_handle_t *column_family);

// Fills `iterators` with one iterator for each of `size` column families, all at one moment; on failure with
// NULL. Borrows the other arguments.
void auradb_create_iterators(const auradb_t *db,
                             const auradb_readoptions_t *opts,
                             auradb_column_family_handle_t *const *column_families,
                             auradb_iterator_t **iterators,
                             size_t size,
                             char **errptr);

// Destroys an iterator. Takes the handle; NULL is fine.
void auradb_iter_destroy(auradb_iterator_t *iter);

// Whether the iterator stands on an entry (1) or not (0): before it was positioned, past either end, outside the
// bounds, or after a failure, which `auradb_iter_get_error` tells.
unsigned char auradb_iter_valid(const auradb_iterator_t *iter);

// Moves to the first entry within the bounds.
void auradb_iter_seek_to_first(auradb_iterator_t *iter);

// Moves to the last entry within the bounds.
void auradb_iter_seek_to_last(auradb_iterator_t *iter);

// Moves to the first entry at or after `k`. Borrows `k`.
void auradb_iter_seek(auradb_iterator_t *iter, const char *k, size_t klen);

// Moves to the last entry at or before `k`. Borrows `k`.
void auradb_iter_seek_for_prev(auradb_iterator_t *iter, const char *k, size_t klen);

// Moves one entry on. Nothing happens to an iterator that is not valid.
void auradb_iter_next(auradb_iterator_t *iter);

// Moves one entry back. Nothing happens to an iterator that is not valid.
void auradb_iter_prev(auradb_iterator_t *iter);

// Lends the key the iterator stands on, `*klen` bytes, until the next move. NULL with 0 if it is not valid.
const char *auradb_iter_key(const auradb_iterator_t *iter, size_t *klen);

// Lends the value the iterator stands on, `*vlen` bytes, until the next move. NULL with 0 if it is not valid, or
// if a large value could not be read: the iterator is not valid any more then, and has an error.
const char *auradb_iter_value(const auradb_iterator_t *iter, size_t *vlen);

// Reports why the iterator is not valid, if that is a failure and not the end of the data.
void auradb_iter_get_error(const auradb_iterator_t *iter, char **errptr);

// Makes the iterator show the latest state, dropping its snapshot if it had one; it is not positioned then.
void auradb_iter_refresh(const auradb_iterator_t *iter, char **errptr);

// Gives an empty indexed batch with room for `reserved_bytes`, for `auradb_writebatch_wi_destroy`. With
// `overwrite_keys`
// the index forgets what a later put or delete of the same key has made void, which saves memory where keys are
// written again and again. All reads are the same, and the batch keeps every operation in any case.
auradb_writebatch_wi_t *auradb_writebatch_wi_create(size_t reserved_bytes, unsigned char overwrite_keys);

// Destroys an indexed batch. Takes the handle; NULL is fine. Iterators over it keep what they need.
void auradb_writebatch_wi_destroy(auradb_writebatch_wi_t *b);

// Empties an indexed batch, and forgets its save points and failure.
void auradb_writebatch_wi_clear(auradb_writebatch_wi_t *b);

// The number of operations in an indexed batch, log data not counted, those made void by later ones counted.
int auradb_writebatch_wi_count(const auradb_writebatch_wi_t *b);

// Adds a put to the default column family.
void auradb_writebatch_wi_put(auradb_writebatch_wi_t *b, const char *key, size_t klen, const char *val, size_t vlen);

// Adds a put to a column family.
void auradb_writebatch_wi_put_cf(auradb_writebatch_wi_t *b,
                                 const auradb_column_family_handle_t *column_family,
                                 const char *key,
                                 size_t klen,
                                 const char *val,
                                 size_t vlen);

// Adds a put of a value that is there for `ttl_seconds` seconds from when the batch is written on, as
// `auradb_writebatch_put_with_ttl`. Reads through the batch show it whatever the time.
void auradb_writebatch_wi_put_with_ttl(auradb_writebatch_wi_t *b,
                                       const char *key,
                                       size_t klen,
                                       const char *val,
                                       size_t vlen,
                                       int64_t ttl_seconds);

// As `auradb_writebatch_wi_put_with_ttl`, to a column family.
void auradb_writebatch_wi_put_with_ttl_cf(auradb_writebatch_wi_t *b,
                                          const auradb_column_family_handle_t *column_family,
                                          const char *key,
                                          size_t klen,
                                          const char *val,
                                          size_t vlen,
                                          int64_t ttl_seconds);

// Adds a put to the default column family. The key is the `num_keys` pieces one after the other, the value the
// `num_values` pieces.
void auradb_writebatch_wi_putv(auradb_writebatch_wi_t *b,
                               int num_keys,
                               const char *const *keys_list,
                               const size_t *keys_list_sizes,
                               int num_values,
                               const char *const *values_list,
                               const size_t *values_list_sizes);

// As `auradb_writebatch_wi_putv`, to a column family.
void auradb_writebatch_wi_putv_cf(auradb_writebatch_wi_t *b,
                                  const auradb_column_family_handle_t *column_family,
                                  int num_keys,
                                  const char *const *keys_list,
                                  const size_t *keys_list_sizes,
                                  int num_values,
                                  const char *const *values_list,
                                  const size_t *values_list_sizes);

// Adds an operand for the merge operator of the default column family.
void auradb_writebatch_wi_merge(auradb_writebatch_wi_t *b, const char *key, size_t klen, const char *val, size_t vlen);

// Adds an operand for the merge operator of a column family.
void auradb_writebatch_wi_merge_cf(auradb_writebatch_wi_t *b,
                                   const auradb_column_family_handle_t *column_family,
                                   const char *key,
                                   size_t klen,
                                   const char *val,
                                   size_t vlen);

// As `auradb_writebatch_wi_merge`, key and operand in pieces (see `auradb_writebatch_wi_putv`).
void auradb_writebatch_wi_mergev(auradb_writebatch_wi_t *b,
                                 int num_keys,
                                 const char *const *keys_list,
                                 const size_t *keys_list_sizes,
                                 int num_values,
                                 const char *const *values_list,
                                 const size_t *values_list_sizes);

// As `auradb_writebatch_wi_mergev`, to a column family.
void auradb_writebatch_wi_mergev_cf(auradb_writebatch_wi_t *b,
                                    const auradb_column_family_handle_t *column_family,
                                    int num_keys,
                                    const char *const *keys_list,
                                    const size_t *keys_list_sizes,
                                    int num_values,
                                    const char *const *values_list,
                                    const size_t *values_list_sizes);

// Adds a delete from the default column family.
void auradb_writebatch_wi_delete(auradb_writebatch_wi_t *b, const char *key, size_t klen);

// Adds a delete from a column family.
void auradb_writebatch_wi_delete_cf(auradb_writebatch_wi_t *b,
                                    const auradb_column_family_handle_t *column_family,
                                    const char *key,
                                    size_t klen);

// As `auradb_writebatch_wi_delete`, the key in pieces (see `auradb_writebatch_wi_putv`).
void auradb_writebatch_wi_deletev(auradb_writebatch_wi_t *b,
                                  int num_keys,
                                  const char *const *keys_list,
                                  const size_t *keys_list_sizes);

// As `auradb_writebatch_wi_deletev`, from a column family.
void auradb_writebatch_wi_deletev_cf(auradb_writebatch_wi_t *b,
                                     const auradb_column_family_handle_t *column_family,
                                     int num_keys,
                                     const char *const *keys_list,
                                     const size_t *keys_list_sizes);

// Adds a single delete (see `auradb_singledelete`) from the default column family.
void auradb_writebatch_wi_singledelete(auradb_writebatch_wi_t *b, const char *key, size_t klen);

// Adds a single delete (see `auradb_singledelete`) from a column family.
void auradb_writebatch_wi_singledelete_cf(auradb_writebatch_wi_t *b,
                                          const auradb_column_family_handle_t *column_family,
                                          const char *key,
                                          size_t klen);

// Adds a delete of all keys from `start_key` up to, not including, `end_key` from the default column family: those
// in the
// batch so far, and those in the database.
void auradb_writebatch_wi_delete_range(auradb_writebatch_wi_t *b,
                                       const char *start_key,
                                       size_t start_key_len,
                                       const char *end_key,
                                       size_t end_key_len);

// As `auradb_writebatch_wi_delete_range`, from a column family.
void auradb_writebatch_wi_delete_range_cf(auradb_writebatch_wi_t *b,
                                          const auradb_column_family_handle_t *column_family,
                                          const char *start_key,
                                          size_t start_key_len,
                                          const char *end_key,
                                          size_t end_key_len);

// As `auradb_writebatch_wi_delete_range`, each of both keys in `num_keys` pieces (see `auradb_writebatch_wi_putv`).
void auradb_writebatch_wi_delete_rangev(auradb_writebatch_wi_t *b,
                                        int num_keys,
                                        const char *const *start_keys_list,
                                        const size_t *start_keys_list_sizes,
                                        const char *const *end_keys_list,
                                        const size_t *end_keys_list_sizes);

// As `auradb_writebatch_wi_delete_rangev`, from a column family.
void auradb_writebatch_wi_delete_rangev_cf(auradb_writebatch_wi_t *b,
                                           const auradb_column_family_handle_t *column_family,
                                           int num_keys,
                                           const char *const *start_keys_list,
                                           const size_t *start_keys_list_sizes,
                                           const char *const *end_keys_list,
                                           const size_t *end_keys_list_sizes);

// Adds bytes that go to the write-ahead log alone: they change no key, and are not counted.
void auradb_writebatch_wi_put_log_data(auradb_writebatch_wi_t *b, const char *blob, size_t len);

// As `auradb_writebatch_iterate`, over an indexed batch as it is now: callbacks may change it.
void auradb_writebatch_wi_iterate(const auradb_writebatch_wi_t *b,
                                  void *state,
                                  void (*put)(void *state, const char *k, size_t klen, const char *v, size_t vlen),
                                  void (*deleted)(void *state, const char *k, size_t klen));

// Lends the bytes of an indexed batch, `*size` of them, until it is changed (see `auradb_writebatch_data`).
const char *auradb_writebatch_wi_data(const auradb_writebatch_wi_t *b, size_t *size);

// Remembers this place, for `auradb_writebatch_wi_rollback_to_save_point`. Save points nest.
void auradb_writebatch_wi_set_save_point(auradb_writebatch_wi_t *b);

// Takes back everything since the last save point, and the save point. "NotFound: " if there is none.
void auradb_writebatch_wi_rollback_to_save_point(auradb_writebatch_wi_t *b, char **errptr);

// Gives the value of `key` in the default column family by the batch alone, `*vallen` bytes, to be freed with
// `auradb_free`; NULL with `*vallen` 0 if the batch says nothing of the key or deletes it. Merge operands are applied
// by the merge operator of `options`; "Merge in progress: " if what they are applied to is not in the batch. Borrows
// the arguments.
char *auradb_writebatch_wi_get_from_batch(const auradb_writebatch_wi_t *wbwi,
                                          const auradb_options_t *options,
                                          const char *key,
                                          size_t keylen,
                                          size_t *vallen,
                                          char **errptr);

// As `auradb_writebatch_wi_get_from_batch`, in a column family and with its merge operator; `options` is not looked
// at.
char *auradb_writebatch_wi_get_from_batch_cf(const auradb_writebatch_wi_t *wbwi,
                                             const auradb_options_t *options,
                                             const auradb_column_family_handle_t *column_family,
                                             const char *key,
                                             size_t keylen,
                                             size_t *vallen,
                                             char **errptr);

// Gives the value that `key` of the default column family would have if the batch were written, `*vallen` bytes, to be
// freed with `auradb_free`; NULL with `*vallen` 0 if it would have none. Borrows the arguments.
char *auradb_writebatch_wi_get_from_batch_and_db(const auradb_writebatch_wi_t *wbwi,
                                                 const auradb_t *db,
                                                 const auradb_readoptions_t *options,
                                                 const char *key,
                                                 size_t keylen,
                                                 size_t *vallen,
                                                 char **errptr);

// As `auradb_writebatch_wi_get_from_batch_and_db`, in a column family.
char *auradb_writebatch_wi_get_from_batch_and_db_cf(const auradb_writebatch_wi_t *wbwi,
                                                    const auradb_t *db,
                                                    const auradb_readoptions_t *options,
                                                    const auradb_column_family_handle_t *column_family,
                                                    const char *key,
                                                    size_t keylen,
                                                    size_t *vallen,
                                                    char **errptr);

// As `auradb_writebatch_wi_get_from_batch_and_db`, without copying a value of the database: gives a pinned value for
// `auradb_pinnableslice_destroy`, or NULL.
auradb_pinnableslice_t *auradb_writebatch_wi_get_pinned_from_batch_and_db(const auradb_writebatch_wi_t *wbwi,
                                                                          const auradb_t *db,
                                                                          const auradb_readoptions_t *options,
                                                                          const char *key,
                                                                          size_t keylen,
                                                                          char **errptr);

// As `auradb_writebatch_wi_get_pinned_from_batch_and_db`, in a column family.
auradb_pinnableslice_t *auradb_writebatch_wi_get_pinned_from_batch_and_db_cf(const auradb_writebatch_wi_t *wbwi,
                                                                             const auradb_t *db,
                                                                             const auradb_readoptions_t *options,
                                                                             const auradb_column_family_handle_t *column_family,
                                                                             const char *key,
                                                                             size_t keylen,
                                                                             char **errptr);

// As `auradb_write`, for an indexed batch, which is unchanged and can be written again. What the write calls
// (comparators, the info log) must not use the batch nor iterators over it meanwhile: they would wait for ever.
void auradb_write_writebatch_wi(const auradb_t *db,
                                const auradb_writeoptions_t *options,
                                auradb_writebatch_wi_t *wbwi,
                                char **errptr);

// Gives an iterator that shows what `base_iterator` would show if the batch were written, for `auradb_iter_destroy`;
// it is not positioned. It has the column family, the bounds and the moment of `base_iterator`, which it takes, also
// when it fails. Later changes of the batch are seen from the next move on. Never NULL: if it could not be made, it is
// not valid and `auradb_iter_get_error` tells why.
auradb_iterator_t *auradb_writebatch_wi_create_iterator_with_base(auradb_writebatch_wi_t *wbwi,
                                                                  auradb_iterator_t *base_iterator);

// As `auradb_writebatch_wi_create_iterator_with_base`; the bounds in `options`, which are copied, hold besides those
// of
// `base_iterator`. NULL is as no bounds.
auradb_iterator_t *auradb_writebatch_wi_create_iterator_with_base_readopts(auradb_writebatch_wi_t *wbwi,
                                                                           auradb_iterator_t *base_iterator,
                                                                           const auradb_readoptions_t *options);

// As `auradb_writebatch_wi_create_iterator_with_base`, where `base_iterator` is one of `column_family`; an error if
// it is
// one of another.
auradb_iterator_t *auradb_writebatch_wi_create_iterator_with_base_cf(auradb_writebatch_wi_t *wbwi,
                                                                     auradb_iterator_t *base_iterator,
                                                                     const auradb_column_family_handle_t *cf);

// As `auradb_writebatch_wi_create_iterator_with_base_cf`, with the bounds in `options` (see
// `auradb_writebatch_wi_create_iterator_with_base_readopts`).
auradb_iterator_t *auradb_writebatch_wi_create_iterator_with_base_cf_readopts(auradb_writebatch_wi_t *wbwi,
                                                                              auradb_iterator_t *base_iterator,
                                                                              const auradb_column_family_handle_t *cf,
                                                                              const auradb_readoptions_t *options);

// Gives the state of the database now, for `auradb_release_snapshot`. NULL only for NULL.
const auradb_snapshot_t *auradb_create_snapshot(const auradb_t *db);

// Releases a snapshot, so that what only it could see may go. Takes the snapshot; NULL is fine. `db` is not
// needed and may be NULL or closed.
void auradb_release_snapshot(const auradb_t *db, const auradb_snapshot_t *snapshot);

// The sequence number a snapshot was taken at.
uint64_t auradb_snapshot_get_sequence_number(const auradb_snapshot_t *snapshot);

// Writes the memtable of the default column family to a table, and waits for it if `options` say so.
void auradb_flush(const auradb_t *db, const auradb_flushoptions_t *options, char **errptr);

// As `auradb_flush`, of a column family.
void auradb_flush_cf(const auradb_t *db,
                     const auradb_flushoptions_t *options,
                     const auradb_column_family_handle_t *column_family,
                     char **errptr);

// As `auradb_flush`, of several column families; in one step if atomic flush is set. Borrows all arguments.
void auradb_flush_cfs(const auradb_t *db,
                      const auradb_flushoptions_t *options,
                      auradb_column_family_handle_t *const *column_family,
                      int num_column_families,
                      char **errptr);

// Makes log bytes that are still buffered reach the system, and with `sync` not 0 the device: every write
// acknowledged before this call survives a power loss then.
void auradb_flush_wal(const auradb_t *db, unsigned char sync, char **errptr);

// Compacts the keys from `start_key` to `limit_key` of the default column family down to the last level that has
// data, and waits for it; a NULL key is the first or the last one. Borrows all arguments. The signature has no
// place for an error: `auradb_last_error` tells of it.
void auradb_compact_range(const auradb_t *db,
                          const char *start_key,
                          size_t start_key_len,
                          const char *limit_key,
                          size_t limit_key_len);

// As `auradb_compact_range`, in a column family.
void auradb_compact_range_cf(const auradb_t *db,
                             const auradb_column_family_handle_t *column_family,
                             const char *start_key,
                             size_t start_key_len,
                             const char *limit_key,
                             size_t limit_key_len);

// As `auradb_compact_range`, with options.
void auradb_compact_range_opt(const auradb_t *db,
                              const auradb_compactoptions_t *opt,
                              const char *start_key,
                              size_t start_key_len,
                              const char *limit_key,
                              size_t limit_key_len);

// As `auradb_compact_range_opt`, in a column family.
void auradb_compact_range_cf_opt(const auradb_t *db,
                                 const auradb_column_family_handle_t *column_family,
                                 const auradb_compactoptions_t *opt,
                                 const char *start_key,
                                 size_t start_key_len,
                                 const char *limit_key,
                                 size_t limit_key_len);

// Collects garbage of the value log now, and waits for it: flushes and compacts all column families, then copies what
// is alive out of every segment of which at least the share `least_garbage` (0 to 1; 0.1 is sensible, 0 rewrites all
// that is not wholly alive) is dead, and removes it. Gives the bytes of segment files removed. The engine collects
// garbage by itself as `max_space_amp` asks; this is for the least space at a moment of the caller's choice. Segments
// that iterators or snapshots still need stay until they are destroyed. `Invalid argument` if `least_garbage` is out
// of range. May be called from any thread; reads and writes go on.
uint64_t auradb_collect_garbage(const auradb_t *db, double least_garbage, char **errptr);

// Reads every value of the value log that a key, or a snapshot's older version of one, refers to, checks it against
// its checksum and its key, and gives how many there are. `Corruption` with file and offset of the first that is not
// whole. Reads the whole value log: it takes as long as that. May be called from any thread.
uint64_t auradb_verify_value_log(const auradb_t *db, char **errptr);

// Gives a property of the database and its default column family as text, for `auradb_free`; NULL if there is no
// such property. Names start with "rocksdb." as in RocksDB ("rocksdb.stats", "rocksdb.estimate-num-keys") or
// with "auradb." ("auradb.summary", "auradb.levels", "auradb.value-log").
char *auradb_property_value(const auradb_t *db, const char *propname);

// As `auradb_property_value`, of a column family.
char *auradb_property_value_cf(const auradb_t *db,
                               const auradb_column_family_handle_t *column_family,
                               const char *propname);

// Stores a property that is a number in `*out_val`. Returns 0, or -1 if there is no such property.
int auradb_property_int(const auradb_t *db, const char *propname, uint64_t *out_val);

// As `auradb_property_int`, of a column family.
int auradb_property_int_cf(const auradb_t *db,
                           const auradb_column_family_handle_t *column_family,
                           const char *propname,
                           uint64_t *out_val);

// Stores in `sizes[i]` about how many bytes of tables lie between `range_start_key[i]` and, not including,
// `range_limit_key[i]` in the default column family; memtables do not count. On failure all are 0. Borrows the
// other arguments.
void auradb_approximate_sizes(const auradb_t *db,
                              int num_ranges,
                              const char *const *range_start_key,
                              const size_t *range_start_key_len,
                              const char *const *range_limit_key,
                              const size_t *range_limit_key_len,
                              uint64_t *sizes,
                              char **errptr);

// As `auradb_approximate_sizes`, in a column family.
void auradb_approximate_sizes_cf(const auradb_t *db,
                                 const auradb_column_family_handle_t *column_family,
                                 int num_ranges,
                                 const char *const *range_start_key,
                                 const size_t *range_start_key_len,
                                 const char *const *range_limit_key,
                                 const size_t *range_limit_key_len,
                                 uint64_t *sizes,
                                 char **errptr);

// Returns 1 if the database is healthy, 0 if a failure made it read-only (or `db` is NULL). Reads go on then;
// after the cause is repaired, `auradb_resume` or a new open lets writes go on.
//
// `refused_writes` receives the number of writes refused since; `failure` gives the failure's text, or NULL if
// healthy; `recovery_report` gives what recovery dropped or repaired at open, or NULL if nothing. Free both with
// `auradb_free`. Any of the three may be NULL.
unsigned char auradb_health(const auradb_t *db, uint64_t *refused_writes, char **failure, char **recovery_report);

// Lets a database that a failure made read-only write again, with new files, after the cause was repaired (space
// was freed, say). Fine if it is healthy. The error if going on is not possible: close and reopen then.
void auradb_resume(const auradb_t *db, char **errptr);

// The sequence number up to which every write survives a power loss. `auradb_flush_wal` with sync raises it to
// the latest.
uint64_t auradb_durable_sequence(const auradb_t *db);

// Gives an empty set, for `auradb_memory_consumers_destroy`.
auradb_memory_consumers_t *auradb_memory_consumers_create(void);

// Adds a database; it counts once, however often it is added. Borrows the handle: the database may be closed before
// the set is destroyed, and counts until then.
void auradb_memory_consumers_add_db(auradb_memory_consumers_t *consumers, const auradb_t *db);

// Adds a cache; it counts once, however often it is added. Borrows the handle, and keeps the cache.
void auradb_memory_consumers_add_cache(auradb_memory_consumers_t *consumers, const auradb_cache_t *cache);

// Destroys a set. Takes the handle; NULL is fine.
void auradb_memory_consumers_destroy(auradb_memory_consumers_t *consumers);

// Gives what the databases and caches of a set hold now, for `auradb_approximate_memory_usage_destroy`. Borrows the
// set.
auradb_memory_usage_t *auradb_approximate_memory_usage_create(const auradb_memory_consumers_t *consumers,
                                                              char **errptr);

// Destroys what `auradb_approximate_memory_usage_create` gave. Takes the handle; NULL is fine.
void auradb_approximate_memory_usage_destroy(auradb_memory_usage_t *usage);

// Bytes of all memtables, also of flushed ones that iterators hold: what the allocator set aside for them.
uint64_t auradb_approximate_memory_usage_get_mem_table_total(const auradb_memory_usage_t *memory_usage);

// Bytes of the memtables that are not flushed.
uint64_t auradb_approximate_memory_usage_get_mem_table_unflushed(const auradb_memory_usage_t *memory_usage);

// Bytes of indexes, filters and models of open tables. They are charged to the databases' caches, so
// `auradb_approximate_memory_usage_get_cache_total` has them too if those were added.
uint64_t auradb_approximate_memory_usage_get_mem_table_readers_total(const auradb_memory_usage_t *memory_usage);

// Bytes in use of the caches that were added: entries, and what databases charge them for open tables and memtables.
uint64_t auradb_approximate_memory_usage_get_cache_total(const auradb_memory_usage_t *memory_usage);

// Gives options with RocksDB's defaults, for `auradb_options_destroy`. What RocksDB does not have starts as AuraDB
// has it: values of at least 1 KiB go to the value log, tables have a learned index, memtables are radix trees.
auradb_options_t *auradb_options_create(void);

// Gives a copy of options, for `auradb_options_destroy`. Comparators, merge operators, filters, caches and loggers
// are shared with the original.
auradb_options_t *auradb_options_create_copy(const auradb_options_t *options);

// Destroys options. Takes the handle; NULL is fine.
void auradb_options_destroy(auradb_options_t *options);

// Stores in `new_options` a copy of `base_options` changed by `opts_str`, "name=value;name=value". Names are
// those of RocksDB's options file (write_buffer_size, compression, block_based_table_factory={block_size=8K}, ...)
// and of AuraDB's own setters (auradb.separation_threshold; "auradb." may be left out). Numbers may end in K, M, G
// or T.
// "Invalid argument: " for an unknown name or a bad value; `new_options` is unchanged then. Both handles may be
// the same. Borrows all arguments.
void auradb_get_options_from_string(const auradb_options_t *base_options,
                                    const char *opts_str,
                                    auradb_options_t *new_options,
                                    char **errptr);

// Create the database if there is none. Default 0.
void auradb_options_set_create_if_missing(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_create_if_missing` set.
unsigned char auradb_options_get_create_if_missing(const auradb_options_t *options);

// Create the column families named at open that do not exist. Default 0.
void auradb_options_set_create_missing_column_families(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_create_missing_column_families` set.
unsigned char auradb_options_get_create_missing_column_families(const auradb_options_t *options);

// Refuse to open a database that exists. Default 0.
void auradb_options_set_error_if_exists(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_error_if_exists` set.
unsigned char auradb_options_get_error_if_exists(const auradb_options_t *options);

// Accepted and read back. This engine always verifies all it reads: checksums bind every block, log record and
// separated value to its file and place, so there is nothing to switch off. Default 1.
void auradb_options_set_paranoid_checks(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_paranoid_checks` set.
unsigned char auradb_options_get_paranoid_checks(const auradb_options_t *options);

// Accepted and read back. This engine keeps the tables of the current version open, as RocksDB does with -1, its
// default. Default -1.
void auradb_options_set_max_open_files(auradb_options_t *options, int v);

// What `auradb_options_set_max_open_files` set.
int auradb_options_get_max_open_files(const auradb_options_t *options);

// The number of flushes and compactions at once; less than 1 counts as 1. Default 2.
void auradb_options_set_max_background_jobs(auradb_options_t *options, int v);

// What `auradb_options_set_max_background_jobs` set.
int auradb_options_get_max_background_jobs(const auradb_options_t *options);

// Levels of `nice(2)` by which the threads that flush, compact and collect garbage stand back behind the thread that
// opens the database, where both want the processor: reads and writes go first, and writers wait for memory sooner.
// Less than 0 counts as 0, more than 19 as 19. On a machine whose processors others of the same control group keep
// busy all the time, 0 keeps them from starving this database's flushes. Linux only. Default 5.
void auradb_options_set_background_nice(auradb_options_t *options, int v);

// What `auradb_options_set_background_nice` set.
int auradb_options_get_background_nice(const auradb_options_t *options);

// Whenever so many bytes of a table have been written, has the system begin to write them to the device
// (`sync_file_range`), so that the sync at the table's end has little left to wait for. 0 leaves it to the system, as
// RocksDB does by default. Default 1 MiB.
void auradb_options_set_bytes_per_sync(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_bytes_per_sync` set.
uint64_t auradb_options_get_bytes_per_sync(const auradb_options_t *options);

// Accepted and read back. This engine syncs with fdatasync, which makes the file length durable too, and syncs the
// directory after each creation: fsync would add nothing but the modification time. Default 0.
void auradb_options_set_use_fsync(auradb_options_t *options, int v);

// What `auradb_options_set_use_fsync` set.
int auradb_options_get_use_fsync(const auradb_options_t *options);

// Read tables and value-log segments past the page cache (O_DIRECT), for reads, iterators and compactions alike: no
// memory but this database's caches holds what is read, and each miss of them is a read of the device. Values that no
// sync has covered yet are read through the page cache all the same: they are in it. A file system that does not have
// it is noted in the information log, and all works as without; the property "auradb.direct-io" tells. Default 0.
void auradb_options_set_use_direct_reads(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_use_direct_reads` set.
unsigned char auradb_options_get_use_direct_reads(const auradb_options_t *options);

// Write past the page cache (O_DIRECT) what flushes, compactions and the garbage collection of values write, so that
// they push out of it nothing that others read. Writers still append to the log and to the value log through it. What
// compactions read is the business of `auradb_options_set_use_direct_reads`. A file system that does not have it is
// noted in the information log, and all works as without; the property "auradb.direct-io" tells. Default 0.
void auradb_options_set_use_direct_io_for_flush_and_compaction(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_use_direct_io_for_flush_and_compaction` set.
unsigned char auradb_options_get_use_direct_io_for_flush_and_compaction(const auradb_options_t *options);

// Flush all column families together, in one step. Default 0.
void auradb_options_set_atomic_flush(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_atomic_flush` set.
unsigned char auradb_options_get_atomic_flush(const auradb_options_t *options);

// Accepted and read back: 0 debug, 1 info, 2 warn, 3 error, 4 fatal, 5 header. The LOG file is written at level
// info; a logger has a level of its own. Default 1.
void auradb_options_set_info_log_level(auradb_options_t *options, int v);

// What `auradb_options_set_info_log_level` set.
int auradb_options_get_info_log_level(const auradb_options_t *options);

// Sets the number of background jobs for a machine that gives the database `total_threads` threads.
void auradb_options_increase_parallelism(auradb_options_t *options, int total_threads);

// Sets the outside world. Borrows `env`; the handle may be destroyed at once. NULL changes nothing.
void auradb_options_set_env(auradb_options_t *options, const auradb_env_t *env);

// Bytes of a memtable at which it is sealed and flushed. A separated value counts with its pointer only.
// Default 64 MiB.
void auradb_options_set_write_buffer_size(auradb_options_t *options, size_t v);

// What `auradb_options_set_write_buffer_size` set.
size_t auradb_options_get_write_buffer_size(const auradb_options_t *options);

// Bytes of all memtables of the database together at which the largest is flushed; 0 = no such limit. Default 0.
void auradb_options_set_db_write_buffer_size(auradb_options_t *options, size_t v);

// What `auradb_options_set_db_write_buffer_size` set.
size_t auradb_options_get_db_write_buffer_size(const auradb_options_t *options);

// Writers wait when so many sealed memtables of a column family are not flushed yet; the active one is not counted
// (RocksDB counts it). Numbers below 2 mean 2. Default 2.
void auradb_options_set_max_write_buffer_number(auradb_options_t *options, int v);

// What `auradb_options_set_max_write_buffer_number` set.
int auradb_options_get_max_write_buffer_number(const auradb_options_t *options);

// Bytes of log files at which the oldest memtables are flushed to free them; 0 = four times all memtables.
// Default 0.
void auradb_options_set_max_total_wal_size(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_max_total_wal_size` set.
uint64_t auradb_options_get_max_total_wal_size(const auradb_options_t *options);

// Bytes of a log file, at which a new one starts; a longer batch has a file of its own length. A mapped log takes them
// on the device from its beginning, and so do the file made ahead of time and those kept for later logs
// (`auradb_options_set_recycle_log_file_num`). Synced values are kept in the log only up to this length
// (`auradb_options_set_synced_separation_threshold`). 4 KiB to 1 TiB. Default 64 MiB.
void auradb_options_set_wal_file_size(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_wal_file_size` set.
uint64_t auradb_options_get_wal_file_size(const auradb_options_t *options);

// Log files that are kept when nothing in them is needed any more, to hold the next logs; 0 = each log has a new file.
// A kept file takes as much space as a full log (`auradb_options_set_wal_file_size`) and saves the system the work of
// allocating and zeroing one. Only mapped logs (`auradb_options_set_memory_mapped_wal`) are kept, 1024 at most, and
// none after close. Every recovery mode is as safe as without. Default 1 (RocksDB's: 0).
void auradb_options_set_recycle_log_file_num(auradb_options_t *options, size_t v);

// What `auradb_options_set_recycle_log_file_num` set.
size_t auradb_options_get_recycle_log_file_num(const auradb_options_t *options);

// What to do at a damaged log record: an `auradb_wal_recovery_mode_t`. Default point in time (2).
void auradb_options_set_wal_recovery_mode(auradb_options_t *options, int v);

// What `auradb_options_set_wal_recovery_mode` set.
int auradb_options_get_wal_recovery_mode(const auradb_options_t *options);

// Accepted and read back. In RocksDB it saves a system call at each write; here an append is a copy into mapped
// memory already, so every write reaches the system before it is acknowledged, with this set or not. Default 0.
void auradb_options_set_manual_wal_flush(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_manual_wal_flush` set.
unsigned char auradb_options_get_manual_wal_flush(const auradb_options_t *options);

// Sets the directory of the log files; an empty name or NULL is the database directory. Copies the name.
void auradb_options_set_wal_dir(auradb_options_t *options, const char *v);

// Lends the directory of the log files, `*size` bytes and a NUL, until the options are changed or destroyed.
const char *auradb_options_get_wal_dir(const auradb_options_t *options, size_t *size);

// The number of levels. Default 7.
void auradb_options_set_num_levels(auradb_options_t *options, int v);

// What `auradb_options_set_num_levels` set.
int auradb_options_get_num_levels(const auradb_options_t *options);

// Runs of level 0 that start a compaction. Default 4.
void auradb_options_set_level0_file_num_compaction_trigger(auradb_options_t *options, int v);

// What `auradb_options_set_level0_file_num_compaction_trigger` set.
int auradb_options_get_level0_file_num_compaction_trigger(const auradb_options_t *options);

// Runs of level 0 from which writers are slowed. Default 20.
void auradb_options_set_level0_slowdown_writes_trigger(auradb_options_t *options, int v);

// What `auradb_options_set_level0_slowdown_writes_trigger` set.
int auradb_options_get_level0_slowdown_writes_trigger(const auradb_options_t *options);

// Runs of level 0 at which writers wait. Default 36.
void auradb_options_set_level0_stop_writes_trigger(auradb_options_t *options, int v);

// What `auradb_options_set_level0_stop_writes_trigger` set.
int auradb_options_get_level0_stop_writes_trigger(const auradb_options_t *options);

// Bytes at which tables of level 1 are cut. Default 64 MiB.
void auradb_options_set_target_file_size_base(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_target_file_size_base` set.
uint64_t auradb_options_get_target_file_size_base(const auradb_options_t *options);

// Growth of the table size from level to level. Default 1.
void auradb_options_set_target_file_size_multiplier(auradb_options_t *options, int v);

// What `auradb_options_set_target_file_size_multiplier` set.
int auradb_options_get_target_file_size_multiplier(const auradb_options_t *options);

// Bytes of level 1. Default 256 MiB.
void auradb_options_set_max_bytes_for_level_base(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_max_bytes_for_level_base` set.
uint64_t auradb_options_get_max_bytes_for_level_base(const auradb_options_t *options);

// Size ratio between levels. Default 10.
void auradb_options_set_max_bytes_for_level_multiplier(auradb_options_t *options, double v);

// What `auradb_options_set_max_bytes_for_level_multiplier` set.
double auradb_options_get_max_bytes_for_level_multiplier(const auradb_options_t *options);

// Compact only when asked. Default 0.
void auradb_options_set_disable_auto_compactions(auradb_options_t *options, int v);

// What `auradb_options_set_disable_auto_compactions` set.
unsigned char auradb_options_get_disable_auto_compactions(const auradb_options_t *options);

// How levels are kept: an `auradb_compaction_style_t`. Opening fails with "Not implemented: " for
// one that is not available. Default level (0).
void auradb_options_set_compaction_style(auradb_options_t *options, int v);

// What `auradb_options_set_compaction_style` set.
int auradb_options_get_compaction_style(const auradb_options_t *options);

// The codec of tables: an `auradb_compression_t`. Opening fails with "Not implemented: " for one that is not
// available. Default snappy (1).
void auradb_options_set_compression(auradb_options_t *options, int v);

// What `auradb_options_set_compression` set.
int auradb_options_get_compression(const auradb_options_t *options);

// The codec of the last level: an `auradb_compression_t`, or 255 for the same as the others. Default 255.
void auradb_options_set_bottommost_compression(auradb_options_t *options, int v);

// What `auradb_options_set_bottommost_compression` set.
int auradb_options_get_bottommost_compression(const auradb_options_t *options);

// Sets the codec of each level, `num_levels` of `auradb_compression_t`; deeper levels have the last one's. None at all
// goes back to `auradb_options_set_compression`. Borrows the array.
void auradb_options_set_compression_per_level(auradb_options_t *options, const int *level_values, size_t num_levels);

// Accepted. The codecs here have one effort level each (zstd's is 3) and no dictionaries, so window bits, level,
// strategy and dictionary size have nothing to change.
void auradb_options_set_compression_options(auradb_options_t *options,
                                            int w_bits,
                                            int level,
                                            int strategy,
                                            int max_dict_bytes);

// Sets the order of keys. Borrows `v`: destroy it as well. NULL changes nothing. Default: plain byte order, whose
// name is "leveldb.BytewiseComparator".
void auradb_options_set_comparator(auradb_options_t *options, const auradb_comparator_t *v);

// Sets the merge operator. Takes `v`, which is destroyed when nothing uses it any more. NULL takes the operator
// away.
void auradb_options_set_merge_operator(auradb_options_t *options, auradb_mergeoperator_t *v);

// Sets a merge operator that adds 64-bit little-endian integers.
void auradb_options_set_uint64add_merge_operator(auradb_options_t *options);

// Sets the compaction filter. Borrows `v`: destroy it as well. NULL takes the filter away.
void auradb_options_set_compaction_filter(auradb_options_t *options, const auradb_compactionfilter_t *v);

// Sets a factory of compaction filters, used where no compaction filter is set. Takes `v`, which is destroyed when
// nothing uses it any more. NULL takes the factory away.
void auradb_options_set_compaction_filter_factory(auradb_options_t *options, auradb_compactionfilterfactory_t *v);

// Sets the prefix extractor, for prefix filters and prefix scans. Takes `v`, which is destroyed when nothing uses it
// any more. NULL takes the extractor away.
void auradb_options_set_prefix_extractor(auradb_options_t *options, auradb_slicetransform_t *v);

// Sets where log lines go; by default to the file LOG in the database directory. Borrows `v`, which may be
// destroyed at once. NULL changes nothing.
void auradb_options_set_info_log(auradb_options_t *options, const auradb_logger_t *v);

// Values of at least so many bytes are written once, to the value log, before the write-ahead log record; log,
// memtables, tables and compactions carry a pointer. Those of short synced batches are moved there by the flush (see
// `auradb_options_set_synced_separation_threshold`). 0 = all values, UINT64_MAX = none. For each column family.
// Default 1024.
void auradb_options_set_separation_threshold(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_separation_threshold` set.
uint64_t auradb_options_get_separation_threshold(const auradb_options_t *options);

// A batch of fewer bytes than this that is durable when its write returns (sync in the write options, or the WAL sync
// policy of every write) keeps its values in the log and in memory: it waits for one sync of the device, not for two.
// The flush moves those of at least separation_threshold bytes to the value log. They are written twice, so it pays
// for short batches. Writes that are not synced, or not waited for, separate values at once, and all writes do with 0.
// At most 1 GiB. For all column families. Default 131072.
void auradb_options_set_synced_separation_threshold(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_synced_separation_threshold` set.
uint64_t auradb_options_get_synced_separation_threshold(const auradb_options_t *options);

// When the write-ahead log is synced by itself: `policy` is an `auradb_wal_sync_policy_t`, `n` its number of writes or
// milliseconds (at least 1; ignored where there is none). A write with sync set is durable whatever the policy.
// Anything else is ignored and noted (`auradb_last_error`). Default manual, as in RocksDB.
void auradb_options_set_wal_sync_policy(auradb_options_t *options, int policy, uint64_t n);

// What `auradb_options_set_wal_sync_policy` set: the `auradb_wal_sync_policy_t`.
int auradb_options_get_wal_sync_policy(const auradb_options_t *options);

// What `auradb_options_set_wal_sync_policy` set: the number of writes or milliseconds, 0 where there is none.
uint64_t auradb_options_get_wal_sync_policy_n(const auradb_options_t *options);

// 1: a log thread syncs, with commits pipelined behind each other; 0: the committing thread syncs itself. A write is
// acknowledged after its sync either way. Default 1.
void auradb_options_set_async_writes(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_async_writes` set.
unsigned char auradb_options_get_async_writes(const auradb_options_t *options);

// 1: the log is appended to by copying into preallocated, mapped memory, where the file system allows it; 0: by
// system calls. Default 1.
void auradb_options_set_memory_mapped_wal(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_memory_mapped_wal` set.
unsigned char auradb_options_get_memory_mapped_wal(const auradb_options_t *options);

// Value-log segments open for append at once, each with its own lock. Default 4.
void auradb_options_set_value_log_write_queues(auradb_options_t *options, size_t v);

// What `auradb_options_set_value_log_write_queues` set.
size_t auradb_options_get_value_log_write_queues(const auradb_options_t *options);

// The codec of separated values: an `auradb_compression_t`. A value that does not shrink is stored as it is.
// Default lz4 (4).
void auradb_options_set_value_log_compression(auradb_options_t *options, int v);

// What `auradb_options_set_value_log_compression` set.
int auradb_options_get_value_log_compression(const auradb_options_t *options);

// Bytes at which a value-log segment is sealed and a new one starts. Default 256 MiB.
void auradb_options_set_value_log_segment_size(auradb_options_t *options, uint64_t v);

// What `auradb_options_set_value_log_segment_size` set.
uint64_t auradb_options_get_value_log_segment_size(const auradb_options_t *options);

// Bound of the value log's bytes over its live bytes, to which four segments come; what iterators and snapshots keep
// is not counted. Writers of values are slowed, and at last wait, where garbage collection is behind. Less space costs
// more copying. Above 1, at most 100: anything else is an error at open. Default 1.4.
void auradb_options_set_max_space_amp(auradb_options_t *options, double v);

// What `auradb_options_set_max_space_amp` set.
double auradb_options_get_max_space_amp(const auradb_options_t *options);

// 1: garbage collection of the value log starts by itself; 0: only `auradb_collect_garbage` collects, and
// `max_space_amp` is not held. Default 1.
void auradb_options_set_value_log_garbage_collection(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_value_log_garbage_collection` set.
unsigned char auradb_options_get_value_log_garbage_collection(const auradb_options_t *options);

// Whether tables get a learned index. Answers are the same without. Default 1.
void auradb_options_set_learned_index(auradb_options_t *options, unsigned char v);

// What `auradb_options_set_learned_index` set.
unsigned char auradb_options_get_learned_index(const auradb_options_t *options);

// The structure of memtables: an `auradb_memtable_kind_t`; for each column family. A number that is none is ignored
// and noted (`auradb_last_error`). Default `auradb_memtable_art`, the fastest; a family with a comparator of its own
// gets `auradb_memtable_btree` for it.
void auradb_options_set_memtable_kind(auradb_options_t *options, int kind);

// What `auradb_options_set_memtable_kind` set: the `auradb_memtable_kind_t`.
int auradb_options_get_memtable_kind(const auradb_options_t *options);

// Gives table options, for `auradb_block_based_options_destroy`.
auradb_block_based_table_options_t *auradb_block_based_options_create(void);

// Destroys table options. Takes the handle; NULL is fine.
void auradb_block_based_options_destroy(auradb_block_based_table_options_t *options);

// Sets the table options of `opt`. Borrows `table_options`: they are copied. NULL changes nothing.
void auradb_options_set_block_based_table_factory(auradb_options_t *opt,
                                                  const auradb_block_based_table_options_t *table_options);

// Sets the filter. Takes `filter_policy`. NULL takes the filter away. Default: no filter.
void auradb_block_based_options_set_filter_policy(auradb_block_based_table_options_t *options,
                                                  auradb_filterpolicy_t *filter_policy);

// Sets the cache of blocks and values. Borrows `block_cache`, which may be destroyed at once. NULL changes nothing. A
// database has one cache: that of its own options, or else the first that its column families' options name.
// Default: one of 32 MiB for each database.
void auradb_block_based_options_set_block_cache(auradb_block_based_table_options_t *options,
                                                const auradb_cache_t *block_cache);

// Keep no blocks and values in a cache of the engine, unless a cache is set. Default 0.
void auradb_block_based_options_set_no_block_cache(auradb_block_based_table_options_t *options,
                                                   unsigned char no_block_cache);

// Uncompressed bytes of a data block. Default 4096.
void auradb_block_based_options_set_block_size(auradb_block_based_table_options_t *options, size_t block_size);

// Whether whole keys go into the filter, and not prefixes only. Default 1.
void auradb_block_based_options_set_whole_key_filtering(auradb_block_based_table_options_t *options, unsigned char v);

// Accepted. This engine's blocks have an array of entry offsets instead of restart points, so that each entry is
// reached directly: there is no interval to choose.
void auradb_block_based_options_set_block_restart_interval(auradb_block_based_table_options_t *options,
                                                           int block_restart_interval);

// Accepted. This engine keeps models and filters of open tables in memory and charges them to the cache's budget, as
// RocksDB does with 1.
void auradb_block_based_options_set_cache_index_and_filter_blocks(auradb_block_based_table_options_t *options,
                                                                  unsigned char v);

// Accepted. This engine's tables have one kind of checksum, which cannot be switched off.
void auradb_block_based_options_set_checksum(auradb_block_based_table_options_t *options, char v);

// Gives a Bloom filter of `bits_per_key` bits (10 gives about 1 % false positives), for
// `auradb_block_based_options_set_filter_policy` or `auradb_filterpolicy_destroy`.
auradb_filterpolicy_t *auradb_filterpolicy_create_bloom(double bits_per_key);

// The same as `auradb_filterpolicy_create_bloom`: a filter covers a whole table.
auradb_filterpolicy_t *auradb_filterpolicy_create_bloom_full(double bits_per_key);

// Destroys a filter policy that was not given to table options. Takes the handle; NULL is fine.
void auradb_filterpolicy_destroy(auradb_filterpolicy_t *filter_policy);

// Gives cache options, for `auradb_lru_cache_options_destroy`: 32 MiB, shards chosen by the size.
auradb_lru_cache_options_t *auradb_lru_cache_options_create(void);

// Destroys cache options. Takes the handle; NULL is fine.
void auradb_lru_cache_options_destroy(auradb_lru_cache_options_t *options);

// Bytes of the cache. Default 32 MiB.
void auradb_lru_cache_options_set_capacity(auradb_lru_cache_options_t *options, size_t capacity);

// 2 to the power of this is the number of shards, each with a lock of its own; negative: chosen by the size.
// Default -1.
void auradb_lru_cache_options_set_num_shard_bits(auradb_lru_cache_options_t *options, int num_shard_bits);

// Gives a cache of `capacity` bytes from which the least recently used entries leave first, for
// `auradb_cache_destroy`.
auradb_cache_t *auradb_cache_create_lru(size_t capacity);

// As `auradb_cache_create_lru`, with options.
auradb_cache_t *auradb_cache_create_lru_opts(const auradb_lru_cache_options_t *options);

// Gives values of the value log a cache of their own, with its own budget. Borrows `blob_cache`, which may be
// destroyed at once, and which databases may share. NULL: they share the cache of blocks. Read from the options
// that the database itself is opened with, not from those of column families. Default NULL.
//
// A value is kept at once while there is room, and later when it is asked for the second time.
void auradb_options_set_blob_cache(auradb_options_t *options, const auradb_cache_t *blob_cache);

// Destroys a handle. Takes it; NULL is fine. Databases that use the cache keep it.
void auradb_cache_destroy(auradb_cache_t *cache);

// Changes the capacity; entries leave at once if it shrinks.
void auradb_cache_set_capacity(const auradb_cache_t *cache, size_t capacity);

// The capacity in bytes.
size_t auradb_cache_get_capacity(const auradb_cache_t *cache);

// Bytes in use: entries, and what databases charge for their models and filters.
size_t auradb_cache_get_usage(const auradb_cache_t *cache);

// Bytes in use that cannot leave now, as iterators, pinned values or databases hold them.
size_t auradb_cache_get_pinned_usage(const auradb_cache_t *cache);

// Gives a manager, for `auradb_write_buffer_manager_destroy`, that caps all memtables of the databases it is set for
// at `buffer_size` bytes; 0 = it only counts them.
// - The largest memtable is flushed, in whichever database it is, when those that take writes have more than 7/8 of
//   `buffer_size`, or at least half of it while all together, with those being flushed, have reached it.
// - With `allow_stall`, writers wait while memtables that are not flushed have reached `buffer_size`. Not waited for
//   are memtables of a database that failed, and flushed ones that readers hold.
auradb_write_buffer_manager_t *auradb_write_buffer_manager_create(size_t buffer_size, bool allow_stall);

// As `auradb_write_buffer_manager_create`; memtables are charged to `cache`, in units of 256 KiB, so that it holds so
// much less. Borrows the cache's handle. Returns NULL if that is NULL.
auradb_write_buffer_manager_t *auradb_write_buffer_manager_create_with_cache(size_t buffer_size,
                                                                             const auradb_cache_t *cache,
                                                                             bool allow_stall);

// Destroys a handle. Takes it; NULL is fine. Databases and options that use the manager keep it.
void auradb_write_buffer_manager_destroy(auradb_write_buffer_manager_t *wbm);

// Whether there is a cap.
bool auradb_write_buffer_manager_enabled(const auradb_write_buffer_manager_t *wbm);

// Whether memtables are charged to a cache.
bool auradb_write_buffer_manager_cost_to_cache(const auradb_write_buffer_manager_t *wbm);

// Bytes of memory of all memtables, also of flushed ones that iterators hold. Right to 1 KiB a memtable, without a cap
// too.
size_t auradb_write_buffer_manager_memory_usage(const auradb_write_buffer_manager_t *wbm);

// Bytes of memory of the memtables that take writes and whose flush was not asked for.
size_t auradb_write_buffer_manager_mutable_memtable_memory_usage(const auradb_write_buffer_manager_t *wbm);

// Bytes that the cache is charged for memtables: `auradb_write_buffer_manager_memory_usage` rounded up to 256 KiB.
size_t auradb_write_buffer_manager_dummy_entries_in_cache_usage(const auradb_write_buffer_manager_t *wbm);

// The cap in bytes; 0 = none.
size_t auradb_write_buffer_manager_buffer_size(const auradb_write_buffer_manager_t *wbm);

// Changes the cap. With a lower one flushes begin with the next write; with a higher one waiting writers go on.
void auradb_write_buffer_manager_set_buffer_size(const auradb_write_buffer_manager_t *wbm, size_t new_size);

// Makes writers wait above the cap, or no longer: those that wait go on at once.
void auradb_write_buffer_manager_set_allow_stall(const auradb_write_buffer_manager_t *wbm, bool new_allow_stall);

// The manager that counts and caps the memtables; shared with all databases opened with it. Borrows the handle.
// `auradb_options_set_db_write_buffer_size` has no effect then. NULL: a manager of the database's own. Default NULL.
void auradb_options_set_write_buffer_manager(auradb_options_t *options, const auradb_write_buffer_manager_t *wbm);

// Gives read options, for `auradb_readoptions_destroy`.
auradb_readoptions_t *auradb_readoptions_create(void);

// Destroys read options. Takes the handle; NULL is fine.
void auradb_readoptions_destroy(auradb_readoptions_t *options);

// Reads as of a snapshot, which must not be released before the last read; NULL = the latest state. Borrows the
// snapshot.
void auradb_readoptions_set_snapshot(auradb_readoptions_t *options, const auradb_snapshot_t *snapshot);

// The first key that iterators no longer show; NULL = none. Copies the key.
void auradb_readoptions_set_iterate_upper_bound(auradb_readoptions_t *options, const char *key, size_t keylen);

// The first key that iterators show; NULL = none. Copies the key.
void auradb_readoptions_set_iterate_lower_bound(auradb_readoptions_t *options, const char *key, size_t keylen);

// Where reads may look: 0 everywhere, 1 in memory only: what is not there is "Result incomplete: ". Reads with
// another number fail with "Not implemented: ". Default 0.
void auradb_readoptions_set_read_tier(auradb_readoptions_t *options, int v);

// What `auradb_readoptions_set_read_tier` set.
int auradb_readoptions_get_read_tier(const auradb_readoptions_t *options);

// Accepted and read back. This engine verifies whatever it reads from the device, always. Default 1.
void auradb_readoptions_set_verify_checksums(auradb_readoptions_t *options, unsigned char v);

// What `auradb_readoptions_set_verify_checksums` set.
unsigned char auradb_readoptions_get_verify_checksums(const auradb_readoptions_t *options);

// Whether what was read is kept in the cache. Default 1. An iterator that has read the values of a hundred entries
// in a row keeps only such values of the value log as push nothing out.
void auradb_readoptions_set_fill_cache(auradb_readoptions_t *options, unsigned char v);

// What `auradb_readoptions_set_fill_cache` set.
unsigned char auradb_readoptions_get_fill_cache(const auradb_readoptions_t *options);

// Whether an iterator shows fresh writes: it looks for them whenever it is positioned. Default 0.
void auradb_readoptions_set_tailing(auradb_readoptions_t *options, unsigned char v);

// What `auradb_readoptions_set_tailing` set.
unsigned char auradb_readoptions_get_tailing(const auradb_readoptions_t *options);

// Whether an iterator goes on past the prefix it was positioned with even if `prefix_same_as_start` is set.
// Without `prefix_same_as_start` every seek sees all keys in order, whatever this says. Default 0.
void auradb_readoptions_set_total_order_seek(auradb_readoptions_t *options, unsigned char v);

// What `auradb_readoptions_set_total_order_seek` set.
unsigned char auradb_readoptions_get_total_order_seek(const auradb_readoptions_t *options);

// Whether an iterator stops where the prefix of the key it was positioned with ends. Default 0.
void auradb_readoptions_set_prefix_same_as_start(auradb_readoptions_t *options, unsigned char v);

// What `auradb_readoptions_set_prefix_same_as_start` set.
unsigned char auradb_readoptions_get_prefix_same_as_start(const auradb_readoptions_t *options);

// Gives write options, for `auradb_writeoptions_destroy`.
auradb_writeoptions_t *auradb_writeoptions_create(void);

// Destroys write options. Takes the handle; NULL is fine.
void auradb_writeoptions_destroy(auradb_writeoptions_t *options);

// Whether a write survives a power loss once it is acknowledged. Without, it survives the death of the process.
// Default 0.
void auradb_writeoptions_set_sync(auradb_writeoptions_t *options, unsigned char v);

// What `auradb_writeoptions_set_sync` set.
unsigned char auradb_writeoptions_get_sync(const auradb_writeoptions_t *options);

// Whether a write is left out of the log: it is lost with the process unless it was flushed. Default 0.
void auradb_writeoptions_disable_WAL(auradb_writeoptions_t *options, int disable);

// What `auradb_writeoptions_disable_WAL` set.
unsigned char auradb_writeoptions_get_disable_WAL(const auradb_writeoptions_t *options);

// Whether a write fails with "Result incomplete: " instead of waiting when writers are slowed or stopped. Default 0.
void auradb_writeoptions_set_no_slowdown(auradb_writeoptions_t *options, unsigned char v);

// What `auradb_writeoptions_set_no_slowdown` set.
unsigned char auradb_writeoptions_get_no_slowdown(const auradb_writeoptions_t *options);

// Gives flush options, for `auradb_flushoptions_destroy`.
auradb_flushoptions_t *auradb_flushoptions_create(void);

// Destroys flush options. Takes the handle; NULL is fine.
void auradb_flushoptions_destroy(auradb_flushoptions_t *options);

// Whether a flush returns only when the tables are there. Default 1.
void auradb_flushoptions_set_wait(auradb_flushoptions_t *options, unsigned char v);

// What `auradb_flushoptions_set_wait` set.
unsigned char auradb_flushoptions_get_wait(const auradb_flushoptions_t *options);

// Gives compaction options, for `auradb_compactoptions_destroy`.
auradb_compactoptions_t *auradb_compactoptions_create(void);

// Destroys compaction options. Takes the handle; NULL is fine.
void auradb_compactoptions_destroy(auradb_compactoptions_t *options);

// Whether the bottommost level is rewritten: 0 no, 1 if there is a compaction filter, 2 or 3 always. 0 counts as 1
// here: a filter always sees every key of the range. Default 1.
void auradb_compactoptions_set_bottommost_level_compaction(auradb_compactoptions_t *options, unsigned char v);

// What `auradb_compactoptions_set_bottommost_level_compaction` set.
unsigned char auradb_compactoptions_get_bottommost_level_compaction(const auradb_compactoptions_t *options);

// Makes an order of keys. `compare` returns less than, equal to, or more than 0 as `a` comes before, with, or after
// `b`: a total order that never changes. `name` is stored in the database, which opens only with an order of the
// same name. Takes `state`: `destructor` (may be NULL) is called with it once, when the handle is destroyed and no
// database uses it. Gives a handle for `auradb_comparator_destroy`; NULL, with `state` still the caller's, if a
// callback is NULL.
auradb_comparator_t *auradb_comparator_create(void *state,
                                              void (*destructor)(void*),
                                              int (*compare)(void *state,
                                                             const char *a,
                                                             size_t alen,
                                                             const char *b,
                                                             size_t blen),
                                              const char *(*name)(void*));

// Destroys a handle. Takes it; NULL is fine. A database that uses the order keeps it.
void auradb_comparator_destroy(auradb_comparator_t *cmp);

// Makes a merge operator.
//
// `full_merge` gives the value of `key` after `num_operands` operands, oldest first, are applied to
// `existing_value` (NULL if there is none; an empty value is not NULL), with `*new_value_length`, and sets
// `*success` to 1; or sets it to 0, and reading the key is an error then. `partial_merge` (may be NULL) gives one
// operand equal to all of those given, or sets `*success` to 0 if they do not combine. A result is copied, then
// released by `delete_value`, or by `free` if that is NULL. `name` is for messages.
//
// Takes `state`: `destructor` (may be NULL) is called with it once, when nothing uses the operator any more. Gives
// a handle for `auradb_options_set_merge_operator` or `auradb_mergeoperator_destroy`; NULL, with `state` still the
// caller's, if `full_merge` or `name` is NULL.
auradb_mergeoperator_t *auradb_mergeoperator_create(void *state,
                                                    void (*destructor)(void*),
                                                    char *(*full_merge)(void *state,
                                                                        const char *key,
                                                                        size_t key_length,
                                                                        const char *existing_value,
                                                                        size_t existing_value_length,
                                                                        const char *const *operands_list,
                                                                        const size_t *operands_list_length,
                                                                        int num_operands,
                                                                        unsigned char *success,
                                                                        size_t *new_value_length),
                                                    char *(*partial_merge)(void *state,
                                                                           const char *key,
                                                                           size_t key_length,
                                                                           const char *const *operands_list,
                                                                           const size_t *operands_list_length,
                                                                           int num_operands,
                                                                           unsigned char *success,
                                                                           size_t *new_value_length),
                                                    void (*delete_value)(void *state,
                                                                         const char *value,
                                                                         size_t value_length),
                                                    const char *(*name)(void*));

// Destroys a handle that was not given to `auradb_options_set_merge_operator`. Takes it; NULL is fine.
void auradb_mergeoperator_destroy(auradb_mergeoperator_t *merge_operator);

// Makes a compaction filter. `filter` is asked about each value that a compaction passes, `level` being where it
// was: it returns not 0 to remove the entry, or 0 to keep it; in that case it may set `*value_changed` to 1 and
// point `*new_value` to a new value of `*new_value_length` bytes, which is copied and never freed. `name` is for
// messages. Filters do not run at flush. Takes `state`: `destructor` (may be NULL) is called with it once, when
// nothing uses the filter any more. Gives a handle for `auradb_compactionfilter_destroy`; NULL, with `state` still
// the caller's, if a callback is NULL.
auradb_compactionfilter_t *auradb_compactionfilter_create(void *state,
                                                          void (*destructor)(void*),
                                                          unsigned char (*filter)(void *state,
                                                                                  int level,
                                                                                  const char *key,
                                                                                  size_t key_length,
                                                                                  const char *existing_value,
                                                                                  size_t value_length,
                                                                                  char **new_value,
                                                                                  size_t *new_value_length,
                                                                                  unsigned char *value_changed),
                                                          const char *(*name)(void*));

// Whether the filter also judges values that a snapshot can still see. Default 1, as in RocksDB, where 0 is not
// supported any more: a snapshot may see a filtered value vanish.
void auradb_compactionfilter_set_ignore_snapshots(auradb_compactionfilter_t *filter, unsigned char whether_ignore);

// Destroys a handle. Takes it; NULL is fine. A database that uses the filter keeps it.
void auradb_compactionfilter_destroy(auradb_compactionfilter_t *filter);

// Whether all files of the column family take part in the compaction.
unsigned char auradb_compactionfiltercontext_is_full_compaction(const auradb_compactionfiltercontext_t *context);

// Whether a user asked for the compaction.
unsigned char auradb_compactionfiltercontext_is_manual_compaction(const auradb_compactionfiltercontext_t *context);

// Makes a factory of compaction filters. `create_compaction_filter` gives a filter for one compaction, whose
// handle the engine takes, or NULL for none. `name` is for messages. Takes `state`: `destructor` (may be NULL) is
// called with it once, when nothing uses the factory any more. Gives a handle for
// `auradb_options_set_compaction_filter_factory` or `auradb_compactionfilterfactory_destroy`; NULL, with `state`
// still the caller's, if a callback is NULL.
auradb_compactionfilterfactory_t *auradb_compactionfilterfactory_create(void *state,
                                                                        void (*destructor)(void*),
                                                                        auradb_compactionfilter_t *(*create_compaction_filter)(void *state,
                                                                                                                               auradb_compactionfiltercontext_t *context),
                                                                        const char *(*name)(void*));

// Destroys a handle that was not given to `auradb_options_set_compaction_filter_factory`. Takes it; NULL is fine.
void auradb_compactionfilterfactory_destroy(auradb_compactionfilterfactory_t *factory);

// Makes a prefix extractor. `transform` returns the prefix of `key`, `*dst_length` bytes that lie in the key or in
// memory that stays, never freed; it is called only for keys of which `in_domain` says not 0. `name` is stored
// with tables. Takes `state`: `destructor` (may be NULL) is called with it once, when nothing uses it any more.
// Gives a handle for `auradb_options_set_prefix_extractor` or `auradb_slicetransform_destroy`; NULL, with `state`
// still the caller's, if a callback is NULL.
auradb_slicetransform_t *auradb_slicetransform_create(void *state,
                                                      void (*destructor)(void*),
                                                      char *(*transform)(void *state,
                                                                         const char *key,
                                                                         size_t length,
                                                                         size_t *dst_length),
                                                      unsigned char (*in_domain)(void *state,
                                                                                 const char *key,
                                                                                 size_t length),
                                                      const char *(*name)(void*));

// Gives an extractor of the first `prefix_len` bytes; shorter keys have no prefix.
auradb_slicetransform_t *auradb_slicetransform_create_fixed_prefix(size_t prefix_len);

// Gives an extractor whose prefix is the whole key.
auradb_slicetransform_t *auradb_slicetransform_create_noop(void);

// Destroys a handle that was not given to `auradb_options_set_prefix_extractor`. Takes it; NULL is fine.
void auradb_slicetransform_destroy(auradb_slicetransform_t *st);

// Gives a logger that writes lines of at least `log_level` (0 debug, 1 info, 2 warn, 3 error, 4 fatal, 5 header) to
// stderr, each after `prefix`, which may be NULL and is copied. For `auradb_logger_destroy`.
auradb_logger_t *auradb_logger_create_stderr_logger(int log_level, const char *prefix);

// Gives a logger that calls `callback` with `priv_` for each line of at least `log_level` (numbers as above): `msg`
// has `len` bytes without a newline, and a NUL after them. It is called from several threads at once, while a
// database that uses the logger is open and not after it is closed. For `auradb_logger_destroy`; NULL if the
// callback is NULL.
auradb_logger_t *auradb_logger_create_callback_logger(int log_level, void (*callback)(void *priv_,
                                                                                      unsigned int lev,
                                                                                      char *msg,
                                                                                      size_t len), void *priv_);

// Destroys a handle. Takes it; NULL is fine. Databases that use the logger keep it until they are closed.
void auradb_logger_destroy(auradb_logger_t *logger);

// Gives a handle of the process's environment, for `auradb_env_destroy`.
auradb_env_t *auradb_create_default_env(void);

// Sets the number of background threads, for the whole process. This engine needs no shared pool: each database
// has as many threads as `auradb_options_set_max_background_jobs` says. The number is kept and read back only.
void auradb_env_set_background_threads(auradb_env_t *env, int n);

// The number that `auradb_env_set_background_threads` set; 1 at first.
int auradb_env_get_background_threads(const auradb_env_t *env);

// Destroys a handle; the environment stays. Takes the handle; NULL is fine.
void auradb_env_destroy(auradb_env_t *env);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* AURADB_H */
