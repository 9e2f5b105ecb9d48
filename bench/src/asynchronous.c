#define _GNU_SOURCE
#include "asynchronous.h"

#include "worker.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#ifdef ENGINE_ROCKSDB

const char *asynchronous_unavailable(void) {
    return NULL;
}

const char *asynchronous_note(void) {
    return "RocksDB has no write that calls back when durable: these are its synchronous writes";
}

void asynchronous_fill(struct worker *worker) {
    while (more(worker)) {
        begin(worker);
        operation_put(worker, random_below(&worker->random, worker->options->num));
        finish(worker, &worker->writes, 1);
    }
}

#else

/* Borrows the batch during the call; `error` is NULL when the batch is durable. */
typedef void write_async(ENGINE(t) *, const ENGINE(writeoptions_t) *, ENGINE(writebatch_t) *batch,
                         void (*callback)(void *argument, const char *error), void *argument, char **errptr);

static write_async *find(void) {
    return (write_async *)(uintptr_t)dlsym(RTLD_DEFAULT, "auradb_write_async");
}

const char *asynchronous_unavailable(void) {
    return find() ? NULL : "this libauradb.so has no auradb_write_async";
}

const char *asynchronous_note(void) {
    return NULL;
}

struct flight;

/* One write that may be under way. Belongs to the writer when free, to the engine until its callback. */
struct slot {
    struct flight *flight;
    struct slot *next;
    uint64_t index, begun, durable;
};

/* The writes of one thread. */
struct flight {
    pthread_mutex_t lock;
    pthread_cond_t landed_some;
    struct slot *landed; /* durable, not yet seen by the writer */
};

static void landed(void *argument, const char *error) {
    struct slot *slot = argument;
    if (error) die("write_async: the engine reports to the callback: %s", error);
    slot->durable = now_nanoseconds();
    struct flight *flight = slot->flight;
    pthread_mutex_lock(&flight->lock);
    bool was_empty = flight->landed == NULL;
    slot->next = flight->landed;
    flight->landed = slot;
    if (was_empty) pthread_cond_signal(&flight->landed_some);
    pthread_mutex_unlock(&flight->lock);
}

/* Waits for at least one write to become durable and accounts for all that have; returns their slots. */
static struct slot *collect(struct worker *worker, struct flight *flight, uint64_t *outstanding) {
    pthread_mutex_lock(&flight->lock);
    while (!flight->landed) pthread_cond_wait(&flight->landed_some, &flight->lock);
    struct slot *first = flight->landed;
    flight->landed = NULL;
    pthread_mutex_unlock(&flight->lock);
    for (struct slot *slot = first; slot; slot = slot->next) {
        if (worker->options->latency) histogram_add(&worker->writes, slot->durable - slot->begun);
        operation_written(worker, slot->index);
        worker->last_time = slot->durable > worker->last_time ? slot->durable : worker->last_time;
        advance(worker, 1);
        --*outstanding;
    }
    return first;
}

void asynchronous_fill(struct worker *worker) {
    const struct options *options = worker->options;
    write_async *write = find();
    struct flight flight = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL };
    struct slot *slots = allocate(options->outstanding * sizeof *slots), *free_slots = NULL;
    for (uint64_t i = 0; i < options->outstanding; i++) {
        slots[i] = (struct slot){ .flight = &flight, .next = free_slots };
        free_slots = &slots[i];
    }
    ENGINE(writebatch_t) *batch = ENGINE(writebatch_create)();
    uint64_t outstanding = 0;
    while (worker->done + outstanding < worker->limit && worker->last_time < worker->deadline) {
        if (!free_slots) free_slots = collect(worker, &flight, &outstanding);
        struct slot *slot = free_slots;
        free_slots = slot->next;
        slot->index = random_below(&worker->random, options->num);
        slot->begun = now_nanoseconds();
        key_set(worker->key, slot->index);
        const char *value = values_next(&worker->values, slot->index, options->value_size);
        char *error = NULL;
        ENGINE(writebatch_clear)(batch);
        ENGINE(writebatch_put)(batch, worker->key, options->key_size, value, options->value_size);
        outstanding++;
        write(worker->database->handle, worker->database->write_options, batch, landed, slot, &error);
        check("write_async", error);
    }
    while (outstanding > 0) collect(worker, &flight, &outstanding);
    ENGINE(writebatch_destroy)(batch);
    free(slots);
}

#endif
