#include "histogram.h"

#include <math.h>

void histogram_merge(struct histogram *into, const struct histogram *from) {
    into->count += from->count;
    into->sum += from->sum;
    if (from->maximum > into->maximum) into->maximum = from->maximum;
    for (int i = 0; i < BUCKETS; i++) into->buckets[i] += from->buckets[i];
}

static uint64_t upper_edge(unsigned bucket) {
    if (bucket < SUB_BUCKETS) return bucket;
    unsigned shift = bucket / SUB_BUCKETS - 1;
    uint64_t lower = (uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS) << shift;
    return lower + ((1ull << shift) - 1);
}

uint64_t histogram_percentile(const struct histogram *histogram, double fraction) {
    if (histogram->count == 0) return 0;
    uint64_t wanted = (uint64_t)ceil(fraction * (double)histogram->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t edge = upper_edge(i);
            return edge < histogram->maximum ? edge : histogram->maximum;
        }
    }
    return histogram->maximum;
}

double histogram_mean(const struct histogram *histogram) {
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}

void histogram_print(const struct histogram *histogram, FILE *out) {
    uint64_t seen = 0;
    for (int row = 0; row < BUCKETS / SUB_BUCKETS; row++) {
        uint64_t samples = 0;
        for (int i = 0; i < SUB_BUCKETS; i++) samples += histogram->buckets[row * SUB_BUCKETS + i];
        if (samples == 0) continue;
        seen += samples;
        double share = (double)samples / (double)histogram->count;
        double microseconds = (double)upper_edge((unsigned)(row * SUB_BUCKETS + SUB_BUCKETS - 1)) / 1000;
        fprintf(out, "    <= %12.3f us %12llu %7.3f%% %7.3f%% ", microseconds, (unsigned long long)samples,
                share * 100, (double)seen / (double)histogram->count * 100);
        for (int i = 0; i < (int)(share * 40 + 0.5); i++) fputc('#', out);
        fputc('\n', out);
    }
}
