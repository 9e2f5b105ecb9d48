/* Checks the parts whose errors would go unseen in a run: the histogram, the choices, the book of keys. */
#include "histogram.h"
#include "keygen.h"
#include "options.h"
#include "pace.h"
#include "presence.h"
#include "process.h"
#include "syncs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPECT(condition, ...) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__); \
            fputc('\n', stderr); \
            exit(1); \
        } \
    } while (0)

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void histogram_agrees_with_sorting(void) {
    enum { SAMPLES = 100000 };
    static uint64_t samples[SAMPLES];
    static struct histogram parts[2];
    struct random random = { 1 };
    for (int i = 0; i < SAMPLES; i++) {
        samples[i] = random_next(&random) >> (20 + random_below(&random, 44));
        histogram_add(&parts[i % 2], samples[i]);
    }
    histogram_merge(&parts[0], &parts[1]);
    qsort(samples, SAMPLES, sizeof samples[0], by_value);
    static const double FRACTIONS[] = { 0.0001, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
    for (int i = 0; i < 7; i++) {
        uint64_t exact = samples[(int)(FRACTIONS[i] * SAMPLES + 0.5) - 1];
        uint64_t shown = histogram_percentile(&parts[0], FRACTIONS[i]);
        EXPECT(shown >= exact && (double)shown <= (double)exact * (1 + 1.0 / SUB_BUCKETS) + 1, "at %f: %llu for %llu",
               FRACTIONS[i], (unsigned long long)shown, (unsigned long long)exact);
    }
    EXPECT(parts[0].count == SAMPLES && parts[0].maximum == samples[SAMPLES - 1], "count %llu",
           (unsigned long long)parts[0].count);
    EXPECT(histogram_bucket(UINT64_MAX) == BUCKETS - 1, "bucket %u of %d", histogram_bucket(UINT64_MAX), BUCKETS);
}

static void permutation_hits_every_key_once(void) {
    static const uint64_t SIZES[] = { 1, 2, 3, 16, 17, 1000, 65536, 100003 };
    for (int i = 0; i < 8; i++) {
        struct permutation permutation;
        permutation_create(&permutation, SIZES[i], 7);
        char *seen = calloc(SIZES[i], 1);
        for (uint64_t index = 0; index < SIZES[i]; index++) {
            uint64_t at = permutation_at(&permutation, index);
            EXPECT(at < SIZES[i] && !seen[at], "size %llu", (unsigned long long)SIZES[i]);
            seen[at] = 1;
        }
        free(seen);
    }
}

/* The share of rank r is r^-theta / zeta; the method is exact for the first two ranks and approximate after. */
static void zipf_has_its_shape(void) {
    enum { ITEMS = 10000, SAMPLES = 2000000 };
    static unsigned counts[ITEMS];
    struct zipf zipf;
    struct random random = { 3 };
    zipf_create(&zipf, ITEMS, 0.99);
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t rank = zipf_next(&zipf, &random);
        EXPECT(rank < ITEMS, "rank %llu", (unsigned long long)rank);
        counts[rank]++;
    }
    double first = (double)counts[0] / SAMPLES, second = (double)counts[1] / SAMPLES;
    EXPECT(first > 0.97 / zipf.zeta && first < 1.03 / zipf.zeta, "first %f, expected %f", first, 1 / zipf.zeta);
    EXPECT(first / second > 1.9 && first / second < 2.1, "second %f of first %f", second, first);
    unsigned upper_half = 0;
    for (int i = ITEMS / 2; i < ITEMS; i++) upper_half += counts[i];
    EXPECT(upper_half > SAMPLES / 20 && upper_half < SAMPLES / 10, "upper half %u", upper_half);
}

static void values_bear_their_key(void) {
    static const size_t SIZES[] = { 0, 1, 7, 8, 23, 24, 100, 65536, 3u << 20 };
    for (int i = 0; i < 9; i++) {
        struct values values;
        values_create(&values, 5, SIZES[i], 0.5);
        for (uint64_t index = 0; index < 100; index++) {
            const char *value = values_next(&values, index, SIZES[i]);
            EXPECT(value_is_right(value, SIZES[i], index, SIZES[i]), "size %zu", SIZES[i]);
            EXPECT(!value_is_right(value, SIZES[i] + 1, index, SIZES[i]), "size %zu", SIZES[i]);
            EXPECT(SIZES[i] < 8 || !value_is_right(value, SIZES[i], index + 1, SIZES[i]), "size %zu", SIZES[i]);
        }
        values_destroy(&values);
    }
}

static void presence_agrees_with_an_array(void) {
    enum { KEYS = 1000 };
    static bool model[KEYS];
    struct presence presence, loaded;
    struct random random = { 9 };
    char name[64];
    presence_create(&presence, KEYS);
    EXPECT(presence_at_or_after(&presence, 0) == PRESENCE_NONE && presence_before(&presence,
            KEYS) == PRESENCE_NONE, "empty");
    for (int step = 0; step < 2000; step++) {
        uint64_t index = random_below(&random, KEYS), at = random_below(&random, KEYS + 1);
        bool adds = random_below(&random, 3) == 0;
        model[index] = adds;
        adds ? presence_set(&presence, index) : presence_clear(&presence, index);
        uint64_t next = at, previous = at, count = 0;
        while (next < KEYS && !model[next]) next++;
        while (previous > 0 && !model[previous - 1]) previous--;
        for (int i = 0; i < KEYS; i++) count += model[i];
        EXPECT(presence_at_or_after(&presence, at) == (next < KEYS ? next : PRESENCE_NONE), "step %d", step);
        EXPECT(presence_before(&presence, at) == (previous > 0 ? previous - 1 : PRESENCE_NONE), "step %d", step);
        EXPECT(presence_count(&presence) == count, "step %d", step);
    }
    snprintf(name, sizeof name, "build/units-%llu", (unsigned long long)now_nanoseconds());
    presence_save(&presence, name);
    EXPECT(presence_load(&loaded, name), "saved file");
    EXPECT(loaded.universe == KEYS && presence_count(&loaded) == presence_count(&presence), "loaded");
    presence_forget(name);
    presence_destroy(&loaded);
    presence_destroy(&presence);
    EXPECT(!presence_load(&loaded, name), "forgotten file");
}

static void sizes_are_read(void) {
    uint64_t value = 0;
    EXPECT(options_parse_size("64K", &value) && value == 65536, "64K");
    EXPECT(options_parse_size("1.5G", &value) && value == 3ull << 29, "1.5G");
    EXPECT(!options_parse_size("", &value) && !options_parse_size("12x", &value) && !options_parse_size("-1",
            &value), "bad");
}

static void books_merge(void) {
    struct presence book, own;
    presence_create(&book, 1000);
    presence_create(&own, 1000);
    for (uint64_t index = 0; index < 1000; index += 3) presence_set(&book, index);
    for (uint64_t index = 0; index < 1000; index += 5) presence_set_alone(&own, index);
    presence_merge(&book, &own);
    for (uint64_t index = 0; index < 1000; index++)
        EXPECT(presence_test(&book, index) == (index % 3 == 0 || index % 5 == 0), "%llu", (unsigned long long)index);
    presence_destroy(&book);
    presence_destroy(&own);
}

static void syncs_are_counted(void) {
    FILE *file = tmpfile();
    EXPECT(file, "temporary file");
    int descriptor = fileno(file);
    EXPECT(ftruncate(descriptor, 4096) == 0, "truncate");
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    EXPECT(mapped != MAP_FAILED, "map");
    struct sync_sample before = syncs_sample();
    EXPECT(fsync(descriptor) == 0 && fdatasync(descriptor) == 0 && fdatasync(descriptor) == 0, "sync");
    EXPECT(msync(mapped, 4096, MS_SYNC) == 0 && msync(mapped, 4096, MS_ASYNC) == 0, "msync");
    EXPECT(fsync(-1) == -1, "an error passes");
    struct sync_sample seen = syncs_between(before, syncs_sample());
    EXPECT(seen.fsyncs == 2 && seen.fdatasyncs == 2 && seen.msyncs == 1 && syncs_durable(&seen) == 5, "%llu %llu %llu",
           (unsigned long long)seen.fsyncs, (unsigned long long)seen.fdatasyncs, (unsigned long long)seen.msyncs);
    EXPECT(seen.nanoseconds > 0, "time");
    munmap(mapped, 4096);
    fclose(file);
}

/* Nothing begins before it is due, and what begins late keeps the time when it was due. */
static void pace_keeps_its_load(void) {
    struct pace pace;
    pace_begin(&pace, 10000);
    for (uint64_t i = 0; i < 50; i++) {
        pace_wait(&pace, i);
        EXPECT(pace.due == pace.start + i * 100000, "operation %llu", (unsigned long long)i);
        EXPECT(pace.begun >= pace.due, "operation %llu", (unsigned long long)i);
        if (i == 20) usleep(2000);
        if (i == 21) EXPECT(pace.begun - pace.due >= 1900000, "%llu", (unsigned long long)(pace.begun - pace.due));
    }
}

static void clock_costs_something(void) {
    struct clock_cost cost = process_clock_cost();
    EXPECT(cost.monotonic > 0.1 && cost.monotonic < 1e6, "%f", cost.monotonic);
}

int main(void) {
    histogram_agrees_with_sorting();
    permutation_hits_every_key_once();
    zipf_has_its_shape();
    values_bear_their_key();
    presence_agrees_with_an_array();
    sizes_are_read();
    books_merge();
    syncs_are_counted();
    pace_keeps_its_load();
    clock_costs_something();
    printf("units: ok\n");
    return 0;
}
