/* Single operations of a workload. Each one checks the engine's answer and counts what it moved. */
#include "worker.h"

#include <stdlib.h>

static void note_present(struct worker *worker, uint64_t index) {
    if (worker->owns_book)
        presence_set_alone(worker->presence, index);
    else
        presence_set(worker->presence, index);
}

static void count_written(struct worker *worker, uint64_t entries) {
    worker->totals.entries_written += entries;
    worker->totals.user_bytes_written += entries * (worker->options->key_size + worker->options->value_size);
}

void operation_put(struct worker *worker, uint64_t index) {
    const struct options *options = worker->options;
    char *error = NULL;
    key_set(worker->key, index);
    const char *value = values_next(&worker->values, index, options->value_size);
    ENGINE(put)(worker->database->handle, worker->database->write_options, worker->key, options->key_size, value,
                options->value_size, &error);
    check("put", error);
    operation_written(worker, index);
}

void operation_written(struct worker *worker, uint64_t index) {
    note_present(worker, index);
    count_written(worker, 1);
}

void operation_put_batch(struct worker *worker, ENGINE(writebatch_t) *batch, const uint64_t *indexes, uint64_t count) {
    const struct options *options = worker->options;
    char *error = NULL;
    ENGINE(writebatch_clear)(batch);
    for (uint64_t i = 0; i < count; i++) {
        key_set(worker->key, indexes[i]);
        const char *value = values_next(&worker->values, indexes[i], options->value_size);
        ENGINE(writebatch_put)(batch, worker->key, options->key_size, value, options->value_size);
    }
    ENGINE(write)(worker->database->handle, worker->database->write_options, batch, &error);
    check("write", error);
    for (uint64_t i = 0; i < count; i++) note_present(worker, indexes[i]);
    count_written(worker, count);
}

void operation_delete(struct worker *worker, uint64_t index) {
    char *error = NULL;
    key_set(worker->key, index);
    ENGINE(delete)(worker->database->handle, worker->database->write_options, worker->key, worker->options->key_size,
                   &error);
    check("delete", error);
    presence_clear(worker->presence, index);
    worker->totals.entries_written++;
    worker->totals.user_bytes_written += worker->options->key_size;
}

static void accept_value(struct worker *worker, uint64_t index, const char *value, size_t length) {
    if (!value_is_right(value, length, index, worker->options->value_size))
        wrong_answer("the value of key %llu (%zu bytes) does not bear this key's stamps and length %llu",
                     (unsigned long long)index, length, (unsigned long long)worker->options->value_size);
    if (worker->options->touch_values) {
        for (size_t i = 0; i < length; i++) worker->totals.checksum += (unsigned char)value[i];
    }
    worker->totals.entries++;
    worker->totals.user_bytes_read += worker->options->key_size + length;
}

/* `was_present` was read before the engine was asked. */
static void accept_found(struct worker *worker, uint64_t index, bool was_present, const char *value, size_t length) {
    if (worker->exact && worker->presence->known && !was_present)
        wrong_answer("key %llu was found but is not in the database", (unsigned long long)index);
    accept_value(worker, index, value, length);
    worker->totals.found++;
}

static void accept_missing(struct worker *worker, uint64_t index, bool was_present) {
    if (worker->presence->known && was_present)
        wrong_answer("key %llu was written but is not found", (unsigned long long)index);
    worker->totals.missing++;
}

void operation_get(struct worker *worker, uint64_t index) {
    struct database *database = worker->database;
    bool was_present = presence_test(worker->presence, index);
    char *error = NULL;
    key_set(worker->key, index);
    ENGINE(pinnableslice_t) *slice =
        ENGINE(get_pinned)(database->handle, database->read_options, worker->key, worker->options->key_size, &error);
    check("get", error);
    if (!slice) {
        accept_missing(worker, index, was_present);
        return;
    }
    size_t length;
    const char *value = ENGINE(pinnableslice_value)(slice, &length);
    accept_found(worker, index, was_present, value, length);
    ENGINE(pinnableslice_destroy)(slice);
}

void operation_get_missing(struct worker *worker, uint64_t index) {
    struct database *database = worker->database;
    char *error = NULL;
    key_set(worker->key, index);
    ENGINE(pinnableslice_t) *slice = ENGINE(get_pinned)(database->handle, database->read_options, worker->key,
                                                        worker->options->key_size + 1, &error);
    check("get", error);
    if (slice) wrong_answer("a key of %llu bytes was found, all keys have %llu",
                            (unsigned long long)worker->options->key_size + 1,
                            (unsigned long long)worker->options->key_size);
    worker->totals.missing++;
}

void operation_multi_get(struct worker *worker, const uint64_t *indexes, uint64_t count) {
    struct database *database = worker->database;
    size_t key_size = worker->options->key_size;
    if (count == 0) return; /* arrays of no elements are no C */
    char storage[count * key_size];
    const char *keys[count];
    size_t key_sizes[count];
    ENGINE(pinnableslice_t) *slices[count];
    char *errors[count];
    bool was_present[count];
    for (uint64_t i = 0; i < count; i++) {
        was_present[i] = presence_test(worker->presence, indexes[i]);
        keys[i] = &storage[i * key_size];
        key_sizes[i] = key_size;
        key_prepare(&storage[i * key_size], key_size);
        key_set(&storage[i * key_size], indexes[i]);
    }
    ENGINE(batched_multi_get_cf)(database->handle, database->read_options, database->default_family, count, keys,
                                 key_sizes, slices, errors, false);
    for (uint64_t i = 0; i < count; i++) {
        check("batched_multi_get_cf", errors[i]);
        if (!slices[i]) {
            accept_missing(worker, indexes[i], was_present[i]);
            continue;
        }
        size_t length;
        const char *value = ENGINE(pinnableslice_value)(slices[i], &length);
        accept_found(worker, indexes[i], was_present[i], value, length);
        ENGINE(pinnableslice_destroy)(slices[i]);
    }
}

static uint64_t accept_entry(struct worker *worker, const ENGINE(iterator_t) *iterator) {
    size_t key_size, length;
    const char *key = ENGINE(iter_key)(iterator, &key_size);
    if (key_size != worker->options->key_size) wrong_answer("an iterator shows a key of %zu bytes", key_size);
    uint64_t index = key_index(key);
    const char *value = ENGINE(iter_value)(iterator, &length);
    accept_value(worker, index, value, length);
    return index;
}

static void accept_end(const ENGINE(iterator_t) *iterator) {
    char *error = NULL;
    ENGINE(iter_get_error)(iterator, &error);
    check("iterator", error);
}

/* While others write, an entry between two expected ones may appear: only going past an expected one is wrong. */
static void accept_order(struct worker *worker, uint64_t expected, uint64_t index, bool forward) {
    if (!worker->presence->known) return;
    bool right = worker->exact ? index == expected : expected == PRESENCE_NONE
            || (forward ? index <= expected : index >= expected);
    if (!right)
        wrong_answer("an iterator shows key %lld where the next key is %lld", (long long)index, (long long)expected);
}

uint64_t operation_scan(struct worker *worker, uint64_t index, uint64_t steps) {
    struct database *database = worker->database;
    uint64_t expected = presence_at_or_after(worker->presence, index), least = index, seen = 0;
    key_set(worker->key, index);
    ENGINE(iterator_t) *iterator = ENGINE(create_iterator)(database->handle, database->read_options);
    ENGINE(iter_seek)(iterator, worker->key, worker->options->key_size);
    for (; seen <= steps && ENGINE(iter_valid)(iterator); seen++) {
        uint64_t found = accept_entry(worker, iterator);
        if (found < least) wrong_answer("an iterator went back to key %llu", (unsigned long long)found);
        accept_order(worker, expected, found, true);
        least = found + 1;
        if (seen == steps) {
            seen++;
            break;
        }
        expected = presence_at_or_after(worker->presence, least);
        /* The view is older than the bit of a key written since: such a key proves nothing. */
        if (!worker->exact) expected = PRESENCE_NONE;
        ENGINE(iter_next)(iterator);
    }
    if (seen <= steps) {
        accept_end(iterator);
        if (worker->presence->known && expected != PRESENCE_NONE)
            wrong_answer("an iterator ends before key %llu", (unsigned long long)expected);
    }
    ENGINE(iter_destroy)(iterator);
    return seen;
}

/* Stops early only at the limit of --reads or --duration; otherwise every key must have been seen. */
void operation_read_all(struct worker *worker, bool forward) {
    struct database *database = worker->database;
    const struct presence *presence = worker->presence;
    ENGINE(iterator_t) *iterator = ENGINE(create_iterator)(database->handle, database->read_options);
    uint64_t expected = forward ? presence_at_or_after(presence, 0) : presence_before(presence, presence->universe);
    if (forward)
        ENGINE(iter_seek_to_first)(iterator);
    else
        ENGINE(iter_seek_to_last)(iterator);
    bool valid;
    while ((valid = ENGINE(iter_valid)(iterator)) && more(worker)) {
        uint64_t index = accept_entry(worker, iterator);
        accept_order(worker, expected, index, forward);
        expected = forward ? presence_at_or_after(presence, index + 1) : presence_before(presence, index);
        if (forward)
            ENGINE(iter_next)(iterator);
        else
            ENGINE(iter_prev)(iterator);
        worker->done++;
        if (worker->done % 1024 == 0) {
            worker->last_time = now_nanoseconds();
            advance(worker, 0);
        }
    }
    if (!valid) accept_end(iterator);
    if (!valid && presence->known && expected != PRESENCE_NONE)
        wrong_answer("a full scan ends before key %llu", (unsigned long long)expected);
    ENGINE(iter_destroy)(iterator);
}
