#include "workloads.h"

#include "asynchronous.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILL_BATCH_SIZE = 1000, SYNC_DIVISOR = 1000, SYNC_LEAST = 1000 };

static uint64_t pick_sequential(struct worker *worker) {
    return worker->first + worker->done;
}

static uint64_t pick_random(struct worker *worker) {
    return random_below(&worker->random, worker->options->num);
}

static uint64_t pick_unique_random(struct worker *worker) {
    return permutation_at(worker->run->permutation, worker->first + worker->done);
}

static void write_single(struct worker *worker, uint64_t (*pick)(struct worker *)) {
    while (more(worker)) {
        begin(worker);
        operation_put(worker, pick(worker));
        finish(worker, &worker->writes, 1);
    }
}

static void write_batches(struct worker *worker, uint64_t (*pick)(struct worker *), uint64_t batch_size) {
    ENGINE(writebatch_t) *batch = ENGINE(writebatch_create)();
    uint64_t *indexes = allocate(batch_size * sizeof *indexes);
    while (more(worker)) {
        uint64_t left = worker->limit - worker->done, count = left < batch_size ? left : batch_size;
        uint64_t before = worker->done;
        for (uint64_t i = 0; i < count; i++, worker->done++) indexes[i] = pick(worker);
        worker->done = before;
        begin(worker);
        operation_put_batch(worker, batch, indexes, count);
        finish(worker, &worker->writes, count);
    }
    free(indexes);
    ENGINE(writebatch_destroy)(batch);
}

static void write_keys(struct worker *worker, uint64_t (*pick)(struct worker *)) {
    if (worker->options->batch_size > 1)
        write_batches(worker, pick, worker->options->batch_size);
    else
        write_single(worker, pick);
}

static void fillseq(struct worker *worker) {
    write_keys(worker, pick_sequential);
}

static void fillbatch(struct worker *worker) {
    uint64_t size = worker->options->batch_size;
    write_batches(worker, pick_sequential, size > 1 ? size : FILL_BATCH_SIZE);
}

static void fillrandom(struct worker *worker) {
    write_keys(worker, pick_random);
}

static void filluniquerandom(struct worker *worker) {
    write_keys(worker, pick_unique_random);
}

static void deleterandom(struct worker *worker) {
    while (more(worker)) {
        operation_delete(worker, pick_random(worker));
        finish(worker, &worker->writes, 1);
    }
}

static void readrandom(struct worker *worker) {
    while (more(worker)) {
        operation_get(worker, pick_random(worker));
        finish(worker, &worker->reads, 1);
    }
}

static void readmissing(struct worker *worker) {
    while (more(worker)) {
        operation_get_missing(worker, pick_random(worker));
        finish(worker, &worker->reads, 1);
    }
}

static void multireadrandom(struct worker *worker) {
    uint64_t size = worker->options->multiget_size;
    uint64_t *indexes = allocate(size * sizeof *indexes);
    while (more(worker)) {
        for (uint64_t i = 0; i < size; i++) indexes[i] = pick_random(worker);
        operation_multi_get(worker, indexes, size);
        finish(worker, &worker->reads, size);
    }
    free(indexes);
}

static void readseq(struct worker *worker) {
    operation_read_all(worker, true);
}

static void readreverse(struct worker *worker) {
    operation_read_all(worker, false);
}

static void seekrandom(struct worker *worker) {
    while (more(worker)) {
        operation_scan(worker, pick_random(worker), worker->options->seek_nexts);
        finish(worker, &worker->reads, 1);
    }
}

static void write_in_background(struct worker *worker) {
    while (!atomic_load_explicit(&worker->run->stop, memory_order_relaxed)) {
        begin(worker);
        operation_put(worker, pick_random(worker));
        finish(worker, &worker->writes, 1);
    }
}

static void readwhilewriting(struct worker *worker) {
    if (worker->is_background_writer)
        write_in_background(worker);
    else
        readrandom(worker);
}

/* Makes keys, values, choices, book entries and timestamps as fillrandom does, and calls no engine. */
static void harness(struct worker *worker) {
    while (more(worker)) {
        uint64_t index = pick_random(worker);
        key_set(worker->key, index);
        const char *value = values_next(&worker->values, index, worker->options->value_size);
        /* What the engine would read; without it the compiler may drop the stores. */
        __asm__ volatile("" : : "r"(value), "r"(worker->key) : "memory");
        presence_set_alone(worker->presence, index);
        finish(worker, &worker->writes, 1);
    }
}

/* The mixes of YCSB. Records are popular by their number (0 most) and lie scattered in the key space. */
struct mix {
    unsigned read, update, insert, scan, modify; /* per cent */
    bool latest;
};

static uint64_t ycsb_record(struct worker *worker, const struct mix *mix) {
    uint64_t rank = zipf_next(worker->run->zipf, &worker->random);
    if (!mix->latest) return rank;
    uint64_t newest = atomic_load_explicit(&worker->run->next_record, memory_order_relaxed);
    return rank < newest ? newest - 1 - rank : 0;
}

/* False when --insert_space is used up: the thread ends early, and its time with it. */
static bool ycsb_insert(struct worker *worker) {
    uint64_t record = atomic_fetch_add(&worker->run->next_record, 1);
    if (record >= worker->presence->universe) {
        atomic_fetch_sub(&worker->run->next_record, 1);
        return false;
    }
    operation_put(worker, permutation_at(worker->run->permutation, record));
    return true;
}

static void ycsb(struct worker *worker, const struct mix *mix) {
    while (more(worker)) {
        unsigned choice = (unsigned)random_below(&worker->random, 100);
        bool is_read = choice < mix->read + mix->scan;
        if (choice >= mix->read + mix->scan && choice < mix->read + mix->scan + mix->insert) {
            if (!ycsb_insert(worker)) break;
        } else {
            uint64_t index = permutation_at(worker->run->permutation, ycsb_record(worker, mix));
            if (choice < mix->read) {
                operation_get(worker, index);
            } else if (is_read) {
                operation_scan(worker, index, random_below(&worker->random, worker->options->scan_length));
            } else if (choice < 100 - mix->modify) {
                operation_put(worker, index);
            } else {
                operation_get(worker, index);
                operation_put(worker, index);
            }
        }
        finish(worker, is_read ? &worker->reads : &worker->writes, 1);
    }
}

static void ycsba(struct worker *worker) {
    ycsb(worker, &(struct mix){ .read = 50, .update = 50 });
}

static void ycsbb(struct worker *worker) {
    ycsb(worker, &(struct mix){ .read = 95, .update = 5 });
}

static void ycsbc(struct worker *worker) {
    ycsb(worker, &(struct mix){ .read = 100 });
}

static void ycsbd(struct worker *worker) {
    ycsb(worker, &(struct mix){ .read = 95, .insert = 5, .latest = true });
}

static void ycsbe(struct worker *worker) {
    ycsb(worker, &(struct mix){ .scan = 95, .insert = 5 });
}

static void ycsbf(struct worker *worker) {
    ycsb(worker, &(struct mix){ .read = 50, .modify = 50 });
}

static const struct workload WORKLOADS[] = {
    { "fillseq", FRESH | WRITES | PUTS_ONLY, fillseq, "write num keys in order into an empty database", NULL, NULL },
    { "fillrandom", FRESH | WRITES | PUTS_ONLY, fillrandom,
            "write num random keys (with repeats) into an empty database", NULL, NULL },
    { "filluniquerandom", FRESH | WRITES | PUTS_ONLY, filluniquerandom,
            "write each key once, in random order; load for ycsb", NULL, NULL },
    { "fillbatch", FRESH | WRITES | PUTS_ONLY, fillbatch,
            "as fillseq, --batch_size entries a write (1000 if that is 1)", NULL, NULL },
    { "fillsync", FRESH | WRITES | PUTS_ONLY | DURABLE, fillrandom,
            "as fillrandom, each write synced; num/1000 but at least 1000", NULL, NULL },
    { "fillasync", FRESH | WRITES | PUTS_ONLY | DURABLE, asynchronous_fill,
            "random keys, write_async with --outstanding writes under way a thread; counts durable writes",
            asynchronous_unavailable, asynchronous_note },
    { "overwrite", WRITES | PUTS_ONLY, fillrandom, "write random keys over an existing database", NULL, NULL },
    { "deleterandom", WRITES, deleterandom, "delete random keys", NULL, NULL },
    { "readrandom", EXACT, readrandom, "read random keys", NULL, NULL },
    { "readmissing", EXACT, readmissing, "read random keys that are absent but inside the key range", NULL, NULL },
    { "multireadrandom", EXACT, multireadrandom, "read random keys, multiget_size a call", NULL, NULL },
    { "readseq", EXACT | NO_LATENCY, readseq,
            "read all entries in order (each thread all; --reads does not apply)", NULL, NULL },
    { "readreverse", EXACT | NO_LATENCY, readreverse, "read all entries in reverse order", NULL, NULL },
    { "seekrandom", EXACT, seekrandom, "new iterator, seek to a random key, seek_nexts steps", NULL, NULL },
    { "readwhilewriting", WRITES | BACKGROUND_WRITER, readwhilewriting,
            "readrandom beside one more thread that overwrites", NULL, NULL },
    { "ycsba", WRITES | NEEDS_ZIPF, ycsba, "50 % read, 50 % update, Zipf", NULL, NULL },
    { "ycsbb", WRITES | NEEDS_ZIPF, ycsbb, "95 % read, 5 % update, Zipf", NULL, NULL },
    { "ycsbc", EXACT | NEEDS_ZIPF, ycsbc, "100 % read, Zipf", NULL, NULL },
    { "ycsbd", WRITES | NEEDS_ZIPF | INSERTS, ycsbd, "95 % read of the latest, 5 % insert", NULL, NULL },
    { "ycsbe", WRITES | NEEDS_ZIPF | INSERTS, ycsbe, "95 % scan of 1..scan_length entries, 5 % insert", NULL, NULL },
    { "ycsbf", WRITES | NEEDS_ZIPF, ycsbf, "50 % read, 50 % read-modify-write, Zipf", NULL, NULL },
    { "valuesweep", SWEEP, NULL, "fillrandom, overwrite, readrandom at each of sweep_sizes", NULL, NULL },
    { "harness", NO_ENGINE | PUTS_ONLY, harness,
            "fillrandom without the engine: what the measuring costs", NULL, NULL },
};

enum { WORKLOAD_COUNT = sizeof WORKLOADS / sizeof WORKLOADS[0] };

const struct workload *workloads_find(const char *name, size_t length) {
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        if (strlen(WORKLOADS[i].name) == length && strncmp(WORKLOADS[i].name, name, length) == 0) return &WORKLOADS[i];
    }
    return NULL;
}

const char *workloads_find_unknown(const char *list) {
    for (;; list++) {
        size_t length = strcspn(list, ",");
        if (!workloads_find(list, length)) return list;
        list += length;
        if (*list == '\0') return NULL;
    }
}

bool workloads_list_has(const char *list, unsigned flags) {
    for (;; list++) {
        size_t length = strcspn(list, ",");
        if (workloads_find(list, length)->flags & flags) return true;
        list += length;
        if (*list == '\0') return false;
    }
}

void workloads_print_list(void) {
    for (int i = 0; i < WORKLOAD_COUNT; i++) printf("%-18s %s\n", WORKLOADS[i].name, WORKLOADS[i].help);
}

uint64_t workloads_operations(const struct workload *workload, const struct options *options) {
    if (strcmp(workload->name, "fillsync") == 0) {
        uint64_t operations = options->writes / SYNC_DIVISOR;
        if (operations < SYNC_LEAST) operations = SYNC_LEAST;
        return operations < options->writes ? operations : options->writes;
    }
    if (workload->body == fillseq || workload->body == fillbatch || workload->body == filluniquerandom)
        return options->num;
    if (workload->body == fillrandom || workload->body == asynchronous_fill) return options->writes;
    if (workload->body == deleterandom) return options->writes;
    if (workload->flags & NO_LATENCY) return UINT64_MAX;
    return options->reads;
}

bool workloads_has_latency(const struct workload *workload, const struct options *options) {
    return options->latency && !(workload->flags & NO_LATENCY);
}

/* A thread that only writes keeps a book of its own: bits that threads share would cost each of them a cache miss an
 * operation, which the engine would be charged with. */
static void prepare_book(struct worker *worker, struct run *run) {
    worker->presence = run->presence;
    worker->owns_book = run->workload->flags & PUTS_ONLY;
    if (!worker->owns_book) return;
    worker->presence = allocate(sizeof *worker->presence);
    bool has_engine = !(run->workload->flags & NO_ENGINE);
    presence_create(worker->presence, has_engine ? run->presence->universe : run->options->num);
}

static void close_book(struct worker *worker) {
    if (!worker->owns_book) return;
    if (!(worker->run->workload->flags & NO_ENGINE)) presence_merge(worker->run->presence, worker->presence);
    presence_destroy(worker->presence);
    free(worker->presence);
}

static void prepare_worker(struct worker *worker, struct run *run, unsigned number) {
    const struct options *options = run->options;
    memset(worker, 0, sizeof *worker);
    worker->run = run;
    worker->options = options;
    worker->database = run->database;
    worker->number = number;
    worker->is_background_writer = number >= options->threads;
    worker->exact = run->workload->flags & EXACT;
    uint64_t share = run->operations / options->threads, rest = run->operations % options->threads;
    worker->first = number * share + (number < rest ? number : rest);
    worker->limit = share + (number < rest);
    if (run->workload->flags & NO_LATENCY || worker->is_background_writer) worker->limit = UINT64_MAX;
    /* Name and ordinal are part of the seed: overwrite must not repeat the keys of fillrandom in the same order, and
     * the second readrandom of a run not those that the first has brought into the caches. */
    uint64_t seed = mix64(options->seed + run->ordinal);
    for (const char *c = run->workload->name; *c; c++) seed = mix64(seed ^ (unsigned char)*c);
    worker->random.state = mix64(seed + number);
    values_create(&worker->values, mix64(options->seed + number), options->value_size, options->compression_ratio);
    key_prepare(worker->key, sizeof worker->key);
    prepare_book(worker, run);
}

struct start_line {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned arrived;
    bool open;
};

static struct start_line START_LINE = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };

static void wait_at_start_line(void) {
    pthread_mutex_lock(&START_LINE.lock);
    START_LINE.arrived++;
    pthread_cond_broadcast(&START_LINE.changed);
    while (!START_LINE.open) pthread_cond_wait(&START_LINE.changed, &START_LINE.lock);
    pthread_mutex_unlock(&START_LINE.lock);
}

/* Opens it when all threads stand there; returns the common start. */
static uint64_t open_start_line(unsigned threads) {
    pthread_mutex_lock(&START_LINE.lock);
    while (START_LINE.arrived < threads) pthread_cond_wait(&START_LINE.changed, &START_LINE.lock);
    START_LINE.open = true;
    uint64_t start = now_nanoseconds();
    pthread_cond_broadcast(&START_LINE.changed);
    pthread_mutex_unlock(&START_LINE.lock);
    return start;
}

static double thread_cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --write_rate is of all threads together; beside readers, of the background writer. */
static double rate_of(const struct worker *worker) {
    unsigned flags = worker->run->workload->flags;
    if (worker->is_background_writer) return worker->options->write_rate;
    bool paced = flags & PUTS_ONLY && !(flags & NO_ENGINE);
    return paced ? worker->options->write_rate / (double)worker->options->threads : 0;
}

static void *run_worker(void *argument) {
    struct worker *worker = argument;
    wait_at_start_line();
    double cpu = thread_cpu_seconds();
    pace_begin(&worker->pace, rate_of(worker));
    worker->last_time = worker->pace.start;
    double duration = worker->options->duration;
    worker->deadline = duration > 0 ? worker->last_time + (uint64_t)(duration * 1e9) : UINT64_MAX;
    worker->run->workload->body(worker);
    worker->end_time = now_nanoseconds();
    worker->cpu_seconds = thread_cpu_seconds() - cpu;
    return NULL;
}

struct progress {
    struct run *run;
    struct worker **workers;
    uint64_t start;
    _Atomic bool over;
};

static void *show_progress(void *argument) {
    struct progress *progress = argument;
    bool terminal = isatty(STDERR_FILENO), shown = false;
    for (unsigned tick = 1; !atomic_load(&progress->over); tick++) {
        usleep(100000);
        if (tick % (terminal ? 10 : 100) != 0) continue; /* a second on a terminal, ten in a file */
        uint64_t done = 0;
        for (unsigned i = 0; i < progress->run->options->threads; i++)
            done += atomic_load_explicit(&progress->workers[i]->progress, memory_order_relaxed);
        double seconds = (double)(now_nanoseconds() - progress->start) / 1e9;
        fprintf(stderr, "%s%s: %.0f s, %llu", terminal ? "\r" : "", progress->run->workload->name, seconds,
                (unsigned long long)done);
        if (progress->run->operations != UINT64_MAX)
            fprintf(stderr, " of %llu", (unsigned long long)progress->run->operations);
        fprintf(stderr, " operations, %.0f/s   %s", (double)done / seconds, terminal ? "" : "\n");
        shown = true;
    }
    if (shown && terminal) fprintf(stderr, "\r%60s\r", "");
    return NULL;
}

static void collect(const struct worker *worker, uint64_t start, struct result *result) {
    double seconds = (double)(worker->end_time - start) / 1e9;
    result->threads[result->thread_count++] = (struct thread_figures){
        .is_background_writer = worker->is_background_writer,
        .operations = worker->done,
        .seconds = seconds,
        .cpu_seconds = worker->cpu_seconds,
    };
    if (worker->is_background_writer) {
        result->totals.background_operations += worker->done;
        result->background_seconds = seconds;
    } else {
        if (seconds > result->seconds) result->seconds = seconds;
        result->totals.operations += worker->done;
    }
    result->totals.found += worker->totals.found;
    result->totals.missing += worker->totals.missing;
    result->totals.entries += worker->totals.entries;
    result->totals.entries_written += worker->totals.entries_written;
    result->totals.user_bytes_written += worker->totals.user_bytes_written;
    result->totals.user_bytes_read += worker->totals.user_bytes_read;
    result->totals.checksum += worker->totals.checksum;
    histogram_merge(&result->reads, &worker->reads);
    histogram_merge(&result->writes, &worker->writes);
    histogram_merge(&result->calls, &worker->calls);
}

static void start_thread(pthread_t *thread, void *(*body)(void *), void *argument) {
    if (pthread_create(thread, NULL, body, argument) != 0) die("cannot start a thread");
}

void workloads_run(struct run *run, struct result *result) {
    unsigned threads = (unsigned)run->options->threads, all = threads + !!(run->workload->flags & BACKGROUND_WRITER);
    struct worker **workers = allocate(all * sizeof *workers);
    START_LINE.open = false;
    START_LINE.arrived = 0;
    for (unsigned i = 0; i < all; i++) {
        if (posix_memalign((void **)&workers[i], 64, sizeof **workers) != 0) die("out of memory");
        prepare_worker(workers[i], run, i);
        start_thread(&workers[i]->thread, run_worker, workers[i]);
    }
    struct sync_sample syncs = syncs_sample();
    struct progress progress = { run, workers, now_nanoseconds(), false };
    pthread_t progress_thread;
    if (run->options->progress) start_thread(&progress_thread, show_progress, &progress);

    uint64_t start = open_start_line(all);
    for (unsigned i = 0; i < threads; i++) pthread_join(workers[i]->thread, NULL);
    atomic_store(&run->stop, true);
    for (unsigned i = threads; i < all; i++) pthread_join(workers[i]->thread, NULL);

    result->syncs = syncs_between(syncs, syncs_sample());

    atomic_store(&progress.over, true);
    if (run->options->progress) pthread_join(progress_thread, NULL);
    for (unsigned i = 0; i < all; i++) {
        collect(workers[i], start, result);
        close_book(workers[i]);
        values_destroy(&workers[i]->values);
        free(workers[i]);
    }
    free(workers);
}
