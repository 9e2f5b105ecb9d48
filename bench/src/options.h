/* What the command line can say. One struct, filled once, read-only afterwards. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    /* what to run */
    const char *benchmarks;
    const char *db;
    bool use_existing_db;
    uint64_t num;
    uint64_t reads;
    uint64_t writes;
    uint64_t threads;
    double duration;
    uint64_t seed;
    /* data */
    uint64_t key_size;
    uint64_t value_size;
    double compression_ratio;
    double zipf_theta;
    /* operations */
    bool sync;
    bool disable_wal;
    uint64_t batch_size;
    uint64_t multiget_size;
    uint64_t seek_nexts;
    uint64_t scan_length;
    uint64_t insert_space;
    double write_rate;
    uint64_t outstanding;
    bool touch_values;
    const char *sweep_sizes;
    uint64_t sweep_bytes;
    /* engine */
    const char *compression;
    uint64_t cache_size;
    uint64_t write_buffer_size;
    uint64_t max_write_buffer_number;
    double bloom_bits;
    uint64_t block_size;
    uint64_t max_background_jobs;
    bool use_direct_reads;
    bool use_direct_io_for_flush_and_compaction;
    uint64_t bytes_per_sync;
    uint64_t level_base_bytes;
    uint64_t target_file_size;
    bool verify_checksums;
    /* AuraDB only */
    const char *memtable;
    uint64_t separation_threshold;
    uint64_t synced_separation_threshold;
    uint64_t segment_size;
    /* RocksDB only */
    bool unordered_write;
    bool pipelined_write;
    bool blob;
    bool blob_gc;
    bool blob_cache;
    double blob_gc_age_cutoff;
    double blob_gc_force_threshold;
    bool blob_direct_write;
    uint64_t blob_partitions;
    uint64_t min_blob_size;
    const char *index_search;
    /* measuring and reporting */
    bool latency;
    bool drain;
    double drain_timeout;
    const char *json;
    bool histogram;
    bool progress;
};

/* Fills `options` from the command line; prints help or an explained error and exits where that is the answer. */
void options_parse(struct options *options, int argument_count, char **arguments);

/* Reads "4096", "64K", "1.5G" (powers of 1024). Returns false if `text` is not such a number. */
bool options_parse_size(const char *text, uint64_t *value);

#endif
