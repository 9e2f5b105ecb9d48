/* The workloads by name, and running one of them on all its threads. */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include "database.h"
#include "histogram.h"
#include "keygen.h"
#include "options.h"
#include "presence.h"
#include "syncs.h"

#include <stdatomic.h>

struct workload;
struct worker;

/* What all the threads of one run share. */
struct run {
    const struct options *options;
    struct database *database;
    struct presence *presence;
    const struct workload *workload;
    const struct zipf *zipf; /* ycsb only */
    const struct permutation *permutation; /* record number to key index */
    uint64_t ordinal; /* how many workloads ran before in this process */
    uint64_t operations; /* all threads together */
    _Atomic uint64_t next_record;
    _Atomic bool stop; /* the main work is over: background writers end */
};

struct totals {
    uint64_t operations; /* without those of a background writer */
    uint64_t background_operations;
    uint64_t found, missing;
    uint64_t entries; /* keys or values delivered to the caller */
    uint64_t entries_written;
    uint64_t user_bytes_written, user_bytes_read;
    uint64_t checksum; /* keeps the compiler from dropping --touch_values */
};

/* What one thread did. */
struct thread_figures {
    bool is_background_writer;
    uint64_t operations;
    double seconds; /* from the common start to its own end */
    double cpu_seconds;
};

enum { THREAD_LIMIT = 512 };

struct result {
    double seconds;
    double background_seconds; /* of the background writer */
    struct totals totals;
    struct histogram reads, writes, calls; /* calls: see struct worker */
    struct sync_sample syncs; /* while the threads ran, without the drain */
    unsigned thread_count;
    struct thread_figures threads[THREAD_LIMIT + 1];
};

enum workload_flags {
    FRESH = 1, /* begins with an empty database */
    WRITES = 2, /* a drain makes sense */
    EXACT = 4, /* nobody writes meanwhile: a key that must be absent must not be found */
    NEEDS_ZIPF = 8,
    INSERTS = 16, /* adds keys beyond num */
    BACKGROUND_WRITER = 32, /* one thread more, which writes until the others are done */
    SWEEP = 64, /* expands to other workloads at several value sizes */
    NO_ENGINE = 128,
    NO_LATENCY = 256, /* too quick to time each step without changing the result */
    PUTS_ONLY = 512, /* each thread keeps its own book of keys: nobody asks it meanwhile */
    DURABLE = 1024, /* every write is durable when its latency ends, whatever --sync says */
};

struct workload {
    const char *name;
    unsigned flags;
    void (*body)(struct worker *worker);
    const char *help;
    const char *(*unavailable)(void); /* why this engine cannot run it, or NULL; the function may be absent */
    const char *(*note)(void); /* what a reader of the figures must know, or NULL; the function may be absent */
};

const struct workload *workloads_find(const char *name, size_t length);

/* The first name in a comma-separated list that is no workload, or NULL. */
const char *workloads_find_unknown(const char *list);
bool workloads_list_has(const char *list, unsigned flags);
void workloads_print_list(void);

/* How many operations the workload does under these options. */
uint64_t workloads_operations(const struct workload *workload, const struct options *options);

/* Whether its latencies are measured. */
bool workloads_has_latency(const struct workload *workload, const struct options *options);

/* Runs it; the result must be zeroed. */
void workloads_run(struct run *run, struct result *result);

#endif
