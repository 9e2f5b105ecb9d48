#define _GNU_SOURCE
#include "database.h"

#include "process.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void database_failed(const char *operation, char *error) {
    die("%s: the engine reports: %s", operation, error);
}

void wrong_answer(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "bench: WRONG ANSWER from %s %s: ", ENGINE_NAME, ENGINE_VERSION);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(3);
}

static int compression_of(const char *name) {
    if (strcmp(name, "none") == 0) return ENGINE(no_compression);
    if (strcmp(name, "snappy") == 0) return ENGINE(snappy_compression);
    if (strcmp(name, "lz4") == 0) return ENGINE(lz4_compression);
    if (strcmp(name, "zstd") == 0) return ENGINE(zstd_compression);
    die("--compression %s: none, snappy, lz4 or zstd", name);
}

#ifdef ENGINE_ROCKSDB

static void set_blob_options(struct database *database, const struct options *options) {
    if (!options->blob) return;
    rocksdb_options_set_enable_blob_files(database->options, 1);
    rocksdb_options_set_min_blob_size(database->options, options->min_blob_size);
    rocksdb_options_set_blob_compression_type(database->options, compression_of(options->compression));
    rocksdb_options_set_enable_blob_gc(database->options, options->blob_gc);
    rocksdb_options_set_blob_gc_age_cutoff(database->options, options->blob_gc_age_cutoff);
    rocksdb_options_set_blob_gc_force_threshold(database->options, options->blob_gc_force_threshold);
#ifdef HAVE_BLOB_CACHE
    if (options->blob_cache) rocksdb_options_set_blob_cache(database->options, database->cache);
#endif
    if (!options->blob_direct_write) return;
#ifdef HAVE_BLOB_DIRECT_WRITE
    rocksdb_options_set_allow_concurrent_memtable_write(database->options, 0); /* direct write demands it */
    rocksdb_options_set_enable_blob_direct_write(database->options, 1);
    rocksdb_options_set_blob_direct_write_partitions(database->options, (uint32_t)options->blob_partitions);
#else
    die("--blob_direct_write: RocksDB %s does not have it", ENGINE_VERSION);
#endif
}

static void set_index_search(struct database *database, const char *name) {
    if (strcmp(name, "binary") == 0) return;
#ifdef HAVE_INDEX_SEARCH
    int type = rocksdb_block_based_table_index_block_search_type_interpolation;
    if (strcmp(name, "auto") == 0) {
        type = rocksdb_block_based_table_index_block_search_type_auto;
        rocksdb_block_based_options_set_uniform_cv_threshold(database->table_options, 0.2);
    } else if (strcmp(name, "interpolation") != 0) {
        die("--index_search %s: binary, interpolation or auto", name);
    }
    rocksdb_block_based_options_set_index_block_search_type(database->table_options, type);
#else
    (void)database;
    die("--index_search %s: RocksDB %s does not have it", name, ENGINE_VERSION);
#endif
}

static void set_direct_io(struct database *database, const struct options *options) {
    rocksdb_options_set_use_direct_reads(database->options, options->use_direct_reads);
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(database->options,
                                                               options->use_direct_io_for_flush_and_compaction);
}

static void set_engine_specific(struct database *database, const struct options *options) {
    if (strcmp(options->memtable, "default") != 0) die("--memtable is an option of AuraDB, this is %s", ENGINE_NAME);
    if (options->separation_threshold != 1024 || options->segment_size != 256u << 20)
        die("--separation_threshold and --segment_size are options of AuraDB, this is %s", ENGINE_NAME);
    if (options->synced_separation_threshold != 128u << 10)
        die("--synced_separation_threshold is an option of AuraDB, this is %s", ENGINE_NAME);
    rocksdb_options_set_unordered_write(database->options, options->unordered_write);
    rocksdb_options_set_enable_pipelined_write(database->options, options->pipelined_write);
    set_direct_io(database, options);
    set_blob_options(database, options);
    set_index_search(database, options->index_search);
}

#else

#ifdef HAVE_MEMTABLE_KINDS
enum { SKIPLIST = auradb_memtable_skip_list, ART = auradb_memtable_art, BTREE = auradb_memtable_btree };
#else
enum { SKIPLIST = 0, ART = 1, BTREE = 2 };
#endif

/* The setter is looked up when the program runs, so that the benchmark links with a library that lacks it. */
static void set_memtable(struct database *database, const char *name) {
    if (strcmp(name, "default") == 0) return;
    typedef void setter(ENGINE(options_t) *, int);
    typedef int getter(const ENGINE(options_t) *);
    setter *set = (setter *)(uintptr_t)dlsym(RTLD_DEFAULT, "auradb_options_set_memtable_kind");
    getter *get = (getter *)(uintptr_t)dlsym(RTLD_DEFAULT, "auradb_options_get_memtable_kind");
    if (!set) die("--memtable %s: this libauradb.so has no auradb_options_set_memtable_kind", name);
    int kind = strcmp(name, "art") == 0 ? ART : strcmp(name, "btree") == 0 ? BTREE : SKIPLIST;
    set(database->options, kind);
    if (get && get(database->options) != kind) die("--memtable %s: this libauradb.so does not take it", name);
}

/* A library that lacks the setter separates values at once. */
static void set_synced_separation(struct database *database, uint64_t threshold) {
    typedef void setter(ENGINE(options_t) *, uint64_t);
    setter *set = (setter *)(uintptr_t)dlsym(RTLD_DEFAULT, "auradb_options_set_synced_separation_threshold");
    if (set)
        set(database->options, threshold);
    else if (threshold != 0 && threshold != 64u << 10)
        die("this libauradb.so has no auradb_options_set_synced_separation_threshold");
}

static void set_flag(struct database *database, const char *setter_name, bool wanted) {
    if (!wanted) return;
    typedef void setter(ENGINE(options_t) *, unsigned char);
    setter *set = (setter *)(uintptr_t)dlsym(RTLD_DEFAULT, setter_name);
    if (!set) die("this libauradb.so has no %s", setter_name);
    set(database->options, 1);
}

static void set_engine_specific(struct database *database, const struct options *options) {
    if (options->blob || strcmp(options->index_search, "binary") != 0)
        die("--blob and --index_search are options of RocksDB, this is %s", ENGINE_NAME);
    if (options->unordered_write || options->pipelined_write)
        die("--unordered_write and --pipelined_write are options of RocksDB, this is %s", ENGINE_NAME);
    set_memtable(database, options->memtable);
    set_flag(database, "auradb_options_set_use_direct_reads", options->use_direct_reads);
    set_flag(database, "auradb_options_set_use_direct_io_for_flush_and_compaction",
             options->use_direct_io_for_flush_and_compaction);
    uint64_t threshold = options->separation_threshold;
    auradb_options_set_separation_threshold(database->options, threshold > 64u << 20 ? UINT64_MAX : threshold);
    set_synced_separation(database, options->synced_separation_threshold);
    auradb_options_set_value_log_segment_size(database->options, options->segment_size);
    auradb_options_set_value_log_compression(database->options, compression_of(options->compression));
}

#endif

static void create_options(struct database *database, const struct options *options) {
    ENGINE(options_t) *engine = database->options = ENGINE(options_create)();
    ENGINE(options_set_create_if_missing)(engine, 1);
    ENGINE(options_set_compression)(engine, compression_of(options->compression));
    ENGINE(options_set_write_buffer_size)(engine, options->write_buffer_size);
    ENGINE(options_set_max_write_buffer_number)(engine, (int)options->max_write_buffer_number);
    ENGINE(options_set_max_background_jobs)(engine, (int)options->max_background_jobs);
    ENGINE(options_set_bytes_per_sync)(engine, options->bytes_per_sync);
    ENGINE(options_set_max_bytes_for_level_base)(engine, options->level_base_bytes);
    ENGINE(options_set_target_file_size_base)(engine, options->target_file_size);

    database->table_options = ENGINE(block_based_options_create)();
    database->cache = ENGINE(cache_create_lru)(options->cache_size);
    ENGINE(block_based_options_set_block_cache)(database->table_options, database->cache);
    ENGINE(block_based_options_set_block_size)(database->table_options, options->block_size);
    if (options->bloom_bits > 0) {
        ENGINE(block_based_options_set_filter_policy)(database->table_options,
                                                      ENGINE(filterpolicy_create_bloom_full)(options->bloom_bits));
    }
    set_engine_specific(database, options);
    ENGINE(options_set_block_based_table_factory)(engine, database->table_options);

    database->read_options = ENGINE(readoptions_create)();
    ENGINE(readoptions_set_verify_checksums)(database->read_options, options->verify_checksums);
    database->write_options = ENGINE(writeoptions_create)();
    ENGINE(writeoptions_disable_WAL)(database->write_options, options->disable_wal);
    database_set_sync(database, options->sync);
}

void database_open(struct database *database, const struct options *options, bool fresh) {
    memset(database, 0, sizeof *database);
    database->path = options->db;
    create_options(database, options);
    char *error = NULL;
    struct stat status;
    if (fresh && stat(options->db, &status) == 0) {
        ENGINE(destroy_db)(database->options, options->db, &error);
        check("destroy_db", error);
    }
    const char *name = "default";
    const ENGINE(options_t) *family_options = database->options;
    database->handle = ENGINE(open_column_families)(database->options, options->db, 1, &name, &family_options,
                                                    &database->default_family, &error);
    check("open", error);
}

void database_close(struct database *database) {
    ENGINE(column_family_handle_destroy)(database->default_family);
    ENGINE(close)(database->handle);
    ENGINE(readoptions_destroy)(database->read_options);
    ENGINE(writeoptions_destroy)(database->write_options);
    ENGINE(block_based_options_destroy)(database->table_options);
    ENGINE(options_destroy)(database->options);
    ENGINE(cache_destroy)(database->cache);
    memset(database, 0, sizeof *database);
}

void database_set_sync(struct database *database, bool sync) {
    ENGINE(writeoptions_set_sync)(database->write_options, sync);
}

/* Property names are data: every engine keeps RocksDB's. */
static const char *const BUSY_PROPERTIES[] = {
    "rocksdb.mem-table-flush-pending",
    "rocksdb.num-running-flushes",
    "rocksdb.compaction-pending",
    "rocksdb.num-running-compactions",
};

enum {
    BUSY_PROPERTY_COUNT = sizeof BUSY_PROPERTIES / sizeof BUSY_PROPERTIES[0],
    POLL_MICROSECONDS = 5000,
    QUIET_POLLS = 20, /* one job may end a moment before the next is scheduled: believe only 100 ms of quiet */
};

static bool is_busy(struct database *database, int *unknown) {
    bool busy = false;
    *unknown = 0;
    for (int i = 0; i < BUSY_PROPERTY_COUNT; i++) {
        uint64_t value = 0;
        if (ENGINE(property_int)(database->handle, BUSY_PROPERTIES[i], &value) != 0)
            ++*unknown;
        else
            busy |= value != 0;
    }
    return busy;
}

struct drain database_drain(struct database *database, double timeout) {
    struct drain drain = { .done = true };
    uint64_t start = now_nanoseconds();
    char *error = NULL;
    ENGINE(flushoptions_t) *flush_options = ENGINE(flushoptions_create)();
    ENGINE(flushoptions_set_wait)(flush_options, 1);
    ENGINE(flush)(database->handle, flush_options, &error);
    ENGINE(flushoptions_destroy)(flush_options);
    check("flush", error);
    uint64_t idle_since = now_nanoseconds();
    int quiet = 0;
    while (quiet < QUIET_POLLS) {
        uint64_t now = now_nanoseconds();
        if (is_busy(database, &drain.unknown_properties)) {
            quiet = 0;
        } else if (quiet++ == 0) {
            idle_since = now;
        }
        if ((double)(now - start) / 1e9 > timeout) {
            drain.timed_out = true;
            idle_since = now;
            break;
        }
        usleep(POLL_MICROSECONDS);
    }
    drain.seconds = (double)(idle_since - start) / 1e9;
    return drain;
}

static double property(struct database *database, const char *name) {
    char *text = ENGINE(property_value)(database->handle, name);
    if (!text) return -1;
    double value = strtod(text, NULL);
    ENGINE(free)(text);
    return value;
}

void database_levels(struct database *database, struct levels *levels) {
    levels->first_level_files = property(database, "rocksdb.num-files-at-level0");
    levels->pending_compaction_bytes = property(database, "rocksdb.estimate-pending-compaction-bytes");
}
