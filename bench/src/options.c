#include "options.h"

#include "engine.h"
#include "workloads.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { TITLE, TEXT, SIZE, REAL, FLAG };

struct description {
    enum kind kind;
    const char *name;
    size_t offset;
    const char *fallback;
    const char *help;
};

#define OPTION(kind, field, fallback, help) { kind, #field, offsetof(struct options, field), fallback, help }
#define SECTION(title) { TITLE, title, 0, NULL, NULL }

static const struct description TABLE[] = {
    SECTION("What to run"),
    OPTION(TEXT, benchmarks, "fillseq,readrandom,readseq", "comma-separated workloads, run in order (see --list)"),
    OPTION(TEXT, db, NULL, "database directory; a fill workload destroys what it holds (required)"),
    OPTION(FLAG, use_existing_db, "0", "1: keep the database; fills then add to it"),
    OPTION(SIZE, num, "1000000", "keys in the key space, and operations of a fill (all threads together)"),
    OPTION(SIZE, reads, "0", "operations of a read or mixed workload, all threads together (0: num)"),
    OPTION(SIZE, writes, "0", "operations of overwrite, deleterandom, fillrandom (0: num)"),
    OPTION(SIZE, threads, "1", "threads that issue operations"),
    OPTION(REAL, duration, "0", "stop a workload after this many seconds even if operations are left (0: never)"),
    OPTION(SIZE, seed, "42", "seed of every random choice"),
    SECTION("Data"),
    OPTION(SIZE, key_size, "16", "bytes of a key: big-endian index, padded with '0'; at least 8"),
    OPTION(SIZE, value_size, "100", "bytes of a value"),
    OPTION(REAL, compression_ratio, "0.5", "how far a value can be compressed: 0.5 is half-compressible"),
    OPTION(REAL, zipf_theta, "0.99", "skew of the ycsb workloads"),
    SECTION("Operations"),
    OPTION(FLAG, sync, "0", "1: every write is durable before it returns"),
    OPTION(FLAG, disable_wal, "0", "1: no write-ahead log"),
    OPTION(SIZE, batch_size, "1", "entries in one write"),
    OPTION(SIZE, multiget_size, "32", "keys in one multireadrandom call"),
    OPTION(SIZE, seek_nexts, "10", "steps after each seek of seekrandom"),
    OPTION(SIZE, scan_length, "100", "longest scan of ycsbe (uniform from 1)"),
    OPTION(SIZE, insert_space, "0", "keys that ycsbd and ycsbe may insert (0: num/4 if one of them runs)"),
    OPTION(REAL, write_rate, "0", "writes a second of a fill, overwrite or the writer beside readers (0: no limit)"),
    OPTION(SIZE, outstanding, "64", "writes of a thread of fillasync that are not durable yet, at most"),
    OPTION(FLAG, touch_values, "0", "1: reads sum every byte of the value instead of its two stamps only"),
    OPTION(TEXT, sweep_sizes, "128,512,1K,4K,16K,64K,256K", "value sizes of valuesweep"),
    OPTION(SIZE, sweep_bytes, "256M", "bytes that valuesweep writes at each size, at most num entries"),
    SECTION("Engine (the same meaning for every engine)"),
    OPTION(TEXT, compression, "lz4", "none, snappy, lz4 or zstd"),
    OPTION(SIZE, cache_size, "256M", "block cache bytes"),
    OPTION(SIZE, write_buffer_size, "64M", "memtable bytes"),
    OPTION(SIZE, max_write_buffer_number, "2", "memtables held before writes stall"),
    OPTION(REAL, bloom_bits, "10", "Bloom filter bits a key (0: no filter)"),
    OPTION(SIZE, block_size, "4K", "uncompressed bytes of a data block"),
    OPTION(SIZE, max_background_jobs, "2", "flush and compaction threads"),
    OPTION(FLAG, use_direct_reads, "0", "1: tables and values are read past the page cache"),
    OPTION(FLAG, use_direct_io_for_flush_and_compaction, "0", "1: background work writes past the page cache"),
    OPTION(SIZE, bytes_per_sync, "1M", "bytes of a table after which the device begins with them; 0: at its end"),
    OPTION(SIZE, level_base_bytes, "256M", "bytes of level 1"),
    OPTION(SIZE, target_file_size, "64M", "bytes of a table file at level 1"),
    OPTION(FLAG, verify_checksums, "1", "0: reads do not verify checksums"),
    SECTION("AuraDB only (an error with any other engine)"),
    OPTION(TEXT, memtable, "default", "default, skiplist, art or btree"),
    OPTION(SIZE, separation_threshold, "1K", "values of so many bytes go to the value log (more than 64M: none)"),
    OPTION(SIZE, synced_separation_threshold, "128K", "synced batches below it keep values until the flush"),
    OPTION(SIZE, segment_size, "256M", "bytes at which a segment of the value log is closed"),
    SECTION("RocksDB only (an error with any other engine)"),
    OPTION(FLAG, unordered_write, "0", "1: unordered_write, which weakens what a snapshot promises"),
    OPTION(FLAG, pipelined_write, "0", "1: enable_pipelined_write"),
    OPTION(FLAG, blob, "0", "1: BlobDB"),
    OPTION(FLAG, blob_gc, "0", "1: garbage collection of BlobDB"),
    OPTION(FLAG, blob_cache, "1", "1: blobs share the block cache; 0: blobs are never cached"),
    OPTION(REAL, blob_gc_age_cutoff, "0.25", "share of the oldest blob files that collection considers"),
    OPTION(REAL, blob_gc_force_threshold, "1.0", "garbage ratio that forces collection (1: never)"),
    OPTION(FLAG, blob_direct_write, "0", "1: values go to blob files before the write-ahead log (recent versions)"),
    OPTION(SIZE, blob_partitions, "1", "direct-write partitions"),
    OPTION(SIZE, min_blob_size, "1K", "smaller values stay in the tables"),
    OPTION(TEXT, index_search, "binary", "binary, interpolation or auto (recent versions)"),
    SECTION("Measuring and reporting"),
    OPTION(FLAG, latency, "1", "0: no clock reading for each operation, so no latencies"),
    OPTION(FLAG, drain, "1", "0: do not wait for flush and compactions after a workload that writes"),
    OPTION(REAL, drain_timeout, "600", "seconds after which waiting ends and the result is marked"),
    OPTION(TEXT, json, NULL, "also write one JSON object a line to this file"),
    OPTION(FLAG, histogram, "0", "1: print the latency distribution"),
    OPTION(FLAG, progress, "-", "1: progress lines on stderr (default: only on a terminal)"),
};

enum { TABLE_LENGTH = sizeof TABLE / sizeof TABLE[0] };

static _Noreturn void usage_error(const char *program, const char *what, const char *which) {
    fprintf(stderr, "%s: %s: %s\nTry '%s --help'.\n", program, what, which, program);
    exit(2);
}

static void print_help(const char *program) {
    printf("Usage: %s --db DIRECTORY [--OPTION VALUE]...\n\n", program);
    printf("Measures %s %s. The same source measures every engine; names follow db_bench.\n\n", ENGINE_NAME,
           ENGINE_VERSION);
    printf("Example: load a million 100-byte values in random order, wait until the engine is idle, read them:\n");
    printf("  %s --db /tmp/bench-db --benchmarks fillrandom,readrandom,seekrandom --num 1M\n\n", program);
    printf("Sizes and counts take K, M, G (powers of 1024). Exit status: 0 measured, 1 the engine reported an\n"
           "error, 2 wrong usage, 3 the engine gave a WRONG ANSWER (every read is verified).\n\n");
    printf("  --%-26s %s\n", "help", "this text");
    printf("  --%-26s %s\n", "list", "the workloads");
    printf("  --%-26s %s\n", "capabilities", "engine, version and features as one JSON object");
    for (int i = 0; i < TABLE_LENGTH; i++) {
        const struct description *entry = &TABLE[i];
        if (entry->kind == TITLE) {
            printf("\n%s:\n", entry->name);
            continue;
        }
        char name[64];
        static const char *const VALUE_NAMES[] = { "", "TEXT", "N", "X", "0|1" };
        snprintf(name, sizeof name, "%s %s", entry->name, VALUE_NAMES[entry->kind]);
        printf("  --%-26s %s", name, entry->help);
        if (entry->fallback && strcmp(entry->fallback, "-") != 0) printf(" [%s]", entry->fallback);
        printf("\n");
    }
}

static void print_capabilities(void) {
    printf("{\"engine\":\"%s\",\"version\":\"%s\",\"features\":[", ENGINE_NAME, ENGINE_VERSION);
#ifdef ENGINE_ROCKSDB
    printf("\"blob\",\"unordered_write\",\"pipelined_write\"");
#ifdef HAVE_BLOB_DIRECT_WRITE
    printf(",\"blob_direct_write\"");
#endif
#ifdef HAVE_INDEX_SEARCH
    printf(",\"index_search\"");
#endif
#endif
    printf("]}\n");
}

bool options_parse_size(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(number) || number < 0) return false;
    double unit = 1;
    if (*end == 'K' || *end == 'k') unit = 1024.0;
    if (*end == 'M' || *end == 'm') unit = 1024.0 * 1024;
    if (*end == 'G' || *end == 'g') unit = 1024.0 * 1024 * 1024;
    if (unit > 1) end++;
    if (*end != '\0' || number * unit >= 9e18) return false;
    *value = (uint64_t)(number * unit);
    return true;
}

static bool set(struct options *options, const struct description *entry, const char *text) {
    char *field = (char *)options + entry->offset;
    char *end;
    switch (entry->kind) {
    case TEXT:
        *(const char **)field = text;
        return text[0] != '\0';
    case SIZE:
        return options_parse_size(text, (uint64_t *)field);
    case REAL:
        *(double *)field = strtod(text, &end);
        return end != text && *end == '\0' && isfinite(*(double *)field) && *(double *)field >= 0;
    case FLAG:
        *(bool *)field = text[0] == '1';
        return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
    case TITLE:
        break;
    }
    return false;
}

static const struct description *find(const char *name, size_t length) {
    for (int i = 0; i < TABLE_LENGTH; i++) {
        if (TABLE[i].kind == TITLE || strlen(TABLE[i].name) != length) continue;
        if (strncmp(TABLE[i].name, name, length) == 0) return &TABLE[i];
    }
    return NULL;
}

static void validate(const struct options *options, const char *program) {
    if (!options->db) usage_error(program, "missing", "--db DIRECTORY");
    if (options->key_size < 8 || options->key_size > 1024) usage_error(program, "out of range 8..1024", "--key_size");
    if (options->value_size > 64u << 20) usage_error(program, "more than 64M", "--value_size");
    if (options->num == 0 || options->num > 1ull << 36) usage_error(program, "out of range 1..64G", "--num");
    if (options->threads == 0 || options->threads > 512) usage_error(program, "out of range 1..512", "--threads");
    if (options->batch_size == 0) usage_error(program, "must not be 0", "--batch_size");
    if (options->multiget_size == 0 || options->multiget_size > 4096)
        usage_error(program, "out of range 1..4096", "--multiget_size");
    if (options->scan_length == 0) usage_error(program, "must not be 0", "--scan_length");
    if (options->compression_ratio > 1) usage_error(program, "more than 1", "--compression_ratio");
    if (options->zipf_theta >= 1) usage_error(program, "must be below 1", "--zipf_theta");
    if (options->sync && options->disable_wal) usage_error(program, "contradict each other",
            "--sync 1, --disable_wal 1");
    if (!options->blob && (options->blob_gc || options->blob_direct_write))
        usage_error(program, "need --blob 1", "--blob_gc, --blob_direct_write");
    if (options->outstanding == 0 || options->outstanding > 1u << 20)
        usage_error(program, "out of range 1..1M", "--outstanding");
    if (options->write_rate > 0 && !options->latency)
        usage_error(program, "contradict each other", "--write_rate, --latency 0");
    if (options->unordered_write && options->pipelined_write)
        usage_error(program, "contradict each other", "--unordered_write 1, --pipelined_write 1");
    static const char *const MEMTABLES[] = { "default", "skiplist", "art", "btree" };
    bool known_memtable = false;
    for (int i = 0; i < 4; i++) known_memtable |= strcmp(options->memtable, MEMTABLES[i]) == 0;
    if (!known_memtable) usage_error(program, "not default, skiplist, art or btree: --memtable", options->memtable);
    const char *unknown = workloads_find_unknown(options->benchmarks);
    if (unknown) usage_error(program, "no such workload (see --list)", unknown);
}

/* Returns the index of the last argument it consumed. */
static int parse_one(struct options *options, int index, int argument_count, char **arguments) {
    const char *argument = arguments[index];
    if (strncmp(argument, "--", 2) != 0) usage_error(arguments[0], "not an option", argument);
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    const struct description *entry = find(name, length);
    if (!entry) usage_error(arguments[0], "unknown option", argument);
    const char *text = name[length] == '=' ? name + length + 1 : NULL;
    if (!text) {
        if (++index == argument_count) usage_error(arguments[0], "needs a value", argument);
        text = arguments[index];
    }
    if (!set(options, entry, text)) usage_error(arguments[0], "cannot use this value", argument);
    return index;
}

void options_parse(struct options *options, int argument_count, char **arguments) {
    memset(options, 0, sizeof *options);
    for (int i = 0; i < TABLE_LENGTH; i++) {
        if (TABLE[i].kind != TITLE && TABLE[i].fallback && strcmp(TABLE[i].fallback, "-") != 0)
            set(options, &TABLE[i], TABLE[i].fallback);
    }
    options->progress = isatty(STDERR_FILENO);
    for (int i = 1; i < argument_count; i++) {
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            print_help(arguments[0]);
            exit(0);
        }
        if (strcmp(arguments[i], "--list") == 0) {
            workloads_print_list();
            exit(0);
        }
        if (strcmp(arguments[i], "--capabilities") == 0) {
            print_capabilities();
            exit(0);
        }
        i = parse_one(options, i, argument_count, arguments);
    }
    validate(options, arguments[0]);
    if (options->reads == 0) options->reads = options->num;
    if (options->writes == 0) options->writes = options->num;
}
