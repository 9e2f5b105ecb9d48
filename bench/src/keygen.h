/* Keys, values and random choices.
 *
 * Key i:   8 bytes big-endian i, then '0' up to key_size (as db_bench), so byte order is index order.
 * Value:   a slice of a pool that compresses to compression_ratio (as db_bench), whose first and last 8 bytes are
 *          overwritten with a stamp of the key: a read that returns another key's value or a torn one is seen.
 * Zipf:    Gray et al., "Quickly generating billion-record synthetic databases" (the generator of YCSB).
 * Permute: a Feistel network over [0, n): spreads records over the key space, each key exactly once. */
#ifndef BENCH_KEYGEN_H
#define BENCH_KEYGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { KEY_SIZE_LIMIT = 1024 + 8 };

static inline uint64_t mix64(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random) {
    return mix64(random->state += 0x9e3779b97f4a7c15ull);
}

static inline uint64_t random_below(struct random *random, uint64_t limit) {
    return (uint64_t)(((unsigned __int128)random_next(random) * limit) >> 64);
}

static inline double random_unit(struct random *random) {
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* The padding must already be in place: see key_prepare. */
static inline void key_set(char *key, uint64_t index) {
    uint64_t big_endian = __builtin_bswap64(index);
    memcpy(key, &big_endian, 8);
}

static inline void key_prepare(char *key, size_t size) {
    memset(key, '0', size);
}

static inline uint64_t key_index(const char *key) {
    uint64_t big_endian;
    memcpy(&big_endian, key, 8);
    return __builtin_bswap64(big_endian);
}

static inline uint64_t value_stamp(uint64_t index) {
    return mix64(index + 0x5bd1e995u);
}

struct values {
    char *pool;
    size_t pool_size;
    size_t position;
};

void values_create(struct values *values, uint64_t seed, size_t value_size, double compression_ratio);
void values_destroy(struct values *values);

/* A stamped value, valid until the pool wraps round; the caller's write copies it before that. */
static inline const char *values_next(struct values *values, uint64_t index, size_t size) {
    if (values->position + size > values->pool_size) values->position = 0;
    char *value = values->pool + values->position;
    values->position += size;
    uint64_t stamp = value_stamp(index);
    memcpy(value, &stamp, size < 8 ? size : 8);
    if (size >= 24) memcpy(value + size - 8, &stamp, 8);
    return value;
}

static inline bool value_is_right(const char *value, size_t length, uint64_t index, size_t size) {
    uint64_t stamp = value_stamp(index);
    if (length != size) return false;
    if (memcmp(value, &stamp, size < 8 ? size : 8) != 0) return false;
    return size < 24 || memcmp(value + size - 8, &stamp, 8) == 0;
}

struct zipf {
    uint64_t items;
    double theta, alpha, zeta, eta;
};

void zipf_create(struct zipf *zipf, uint64_t items, double theta);
uint64_t zipf_next(const struct zipf *zipf, struct random *random); /* a rank; 0 is the most popular */

struct permutation {
    uint64_t size;
    unsigned half_bits;
    uint64_t keys[4];
};

void permutation_create(struct permutation *permutation, uint64_t size, uint64_t seed);
uint64_t permutation_at(const struct permutation *permutation, uint64_t index);

#endif
