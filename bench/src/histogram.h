/* Latency histogram with log-linear buckets: 64 to each power of two, so a reported value is at most 1.6 % off,
 * from 1 ns to hours, in a fixed 30 KB. One histogram a thread; merged after the run. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { SUB_BUCKET_BITS = 6, SUB_BUCKETS = 1 << SUB_BUCKET_BITS, BUCKETS = (64 - SUB_BUCKET_BITS + 1) * SUB_BUCKETS };

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t maximum;
    uint64_t buckets[BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value) {
    if (value < SUB_BUCKETS) return (unsigned)value;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - SUB_BUCKET_BITS;
    return (shift + 1) * SUB_BUCKETS + (unsigned)((value >> shift) - SUB_BUCKETS);
}

static inline void histogram_add(struct histogram *histogram, uint64_t nanoseconds) {
    histogram->count++;
    histogram->sum += nanoseconds;
    if (nanoseconds > histogram->maximum) histogram->maximum = nanoseconds;
    histogram->buckets[histogram_bucket(nanoseconds)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value below which `fraction` of the samples lie (upper edge of its bucket), in nanoseconds. */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);

double histogram_mean(const struct histogram *histogram);

/* Prints one line for each power of two that holds samples. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
