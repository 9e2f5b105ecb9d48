/* One thread of a run: its state, and the loop every workload shares.
 *
 * The clock is read once for each operation: the end of one is the start of the next, so a latency includes making
 * the key and value (run the workload `harness` to see how much that is). With --latency 0 it is not read at all, or,
 * under --duration, once in 16 operations. At a fixed offered load (pace.h) it is read twice or more. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "pace.h"
#include "process.h"
#include "workloads.h"

#include <pthread.h>

struct worker {
    struct run *run;
    const struct options *options;
    struct database *database;
    struct presence *presence;
    unsigned number;
    bool is_background_writer;
    bool exact;
    bool owns_book; /* presence is this thread's own, merged when all threads have ended */
    uint64_t first; /* of this thread's share of [0, operations) */
    uint64_t limit; /* operations of this thread */
    uint64_t done;
    uint64_t unclocked; /* operations since the clock was read, with --latency 0 */
    uint64_t last_time, deadline;
    struct pace pace;
    struct random random;
    struct values values;
    char key[KEY_SIZE_LIMIT];
    struct totals totals;
    struct histogram reads, writes;
    struct histogram calls; /* at a fixed offered load: from the beginning of the call, not from when it was due */
    pthread_t thread;
    uint64_t end_time;
    double cpu_seconds;
    _Alignas(64) _Atomic uint64_t progress;
};

static inline bool more(const struct worker *worker) {
    return worker->done < worker->limit && worker->last_time < worker->deadline;
}

static inline void advance(struct worker *worker, uint64_t operations) {
    worker->done += operations;
    atomic_store_explicit(&worker->progress, worker->done, memory_order_relaxed);
}

/* Before each operation of a workload that writes. */
static inline void begin(struct worker *worker) {
    if (__builtin_expect(worker->pace.interval > 0, 0)) pace_wait(&worker->pace, worker->done);
}

static inline void finish(struct worker *worker, struct histogram *histogram, uint64_t operations) {
    if (__builtin_expect(!worker->options->latency, 0)) {
        advance(worker, operations);
        if (worker->deadline != UINT64_MAX && worker->unclocked++ % 16 == 0) worker->last_time = now_nanoseconds();
        return;
    }
    uint64_t now = now_nanoseconds();
    if (__builtin_expect(worker->pace.interval > 0, 0)) {
        histogram_add(&worker->calls, now - worker->pace.begun);
        worker->last_time = worker->pace.due;
    }
    histogram_add(histogram, now - worker->last_time);
    worker->last_time = now;
    advance(worker, operations);
}

/* Single operations, verified (operations.c). */
void operation_put(struct worker *worker, uint64_t index);

/* Notes that the engine has the key: in the book and in the totals. */
void operation_written(struct worker *worker, uint64_t index);
void operation_put_batch(struct worker *worker, ENGINE(writebatch_t) *batch, const uint64_t *indexes, uint64_t count);
void operation_delete(struct worker *worker, uint64_t index);
void operation_get(struct worker *worker, uint64_t index);
void operation_multi_get(struct worker *worker, const uint64_t *indexes, uint64_t count);
void operation_get_missing(struct worker *worker, uint64_t index);
uint64_t operation_scan(struct worker *worker, uint64_t index, uint64_t steps);
void operation_read_all(struct worker *worker, bool forward);

#endif
