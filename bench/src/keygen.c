#include "keygen.h"

#include "process.h"

#include <math.h>
#include <stdlib.h>

enum { POOL_SIZE = 1 << 20, PIECE_SIZE = 100 };

/* Pieces of 100 bytes, each the repetition of 100 * ratio random printable bytes. */
void values_create(struct values *values, uint64_t seed, size_t value_size, double compression_ratio) {
    struct random random = { seed };
    values->pool_size = value_size > POOL_SIZE ? value_size : POOL_SIZE;
    values->pool = allocate(values->pool_size + PIECE_SIZE);
    values->position = 0;
    int distinct = (int)(PIECE_SIZE * compression_ratio);
    if (distinct < 1) distinct = 1;
    for (size_t start = 0; start < values->pool_size; start += PIECE_SIZE) {
        char *piece = values->pool + start;
        for (int i = 0; i < distinct; i++) piece[i] = (char)(' ' + random_below(&random, 95));
        for (int i = distinct; i < PIECE_SIZE; i++) piece[i] = piece[i - distinct];
    }
}

void values_destroy(struct values *values) {
    free(values->pool);
    values->pool = NULL;
}

static double zeta(uint64_t items, double theta) {
    double sum = 0;
    for (uint64_t i = 1; i <= items; i++) sum += pow((double)i, -theta);
    return sum;
}

void zipf_create(struct zipf *zipf, uint64_t items, double theta) {
    zipf->items = items;
    zipf->theta = theta;
    zipf->alpha = 1 / (1 - theta);
    zipf->zeta = zeta(items, theta);
    zipf->eta = (1 - pow(2.0 / (double)items, 1 - theta)) / (1 - zeta(items < 2 ? items : 2, theta) / zipf->zeta);
}

uint64_t zipf_next(const struct zipf *zipf, struct random *random) {
    double unit = random_unit(random);
    double scaled = unit * zipf->zeta;
    if (scaled < 1 || zipf->items == 1) return 0;
    if (scaled < 1 + pow(0.5, zipf->theta) || zipf->items == 2) return 1;
    uint64_t rank = (uint64_t)((double)zipf->items * pow(zipf->eta * unit - zipf->eta + 1, zipf->alpha));
    return rank < zipf->items ? rank : zipf->items - 1;
}

void permutation_create(struct permutation *permutation, uint64_t size, uint64_t seed) {
    struct random random = { seed };
    permutation->size = size;
    permutation->half_bits = 1;
    while (permutation->half_bits < 32 && (1ull << (2 * permutation->half_bits)) < size) permutation->half_bits++;
    for (int i = 0; i < 4; i++) permutation->keys[i] = random_next(&random);
}

/* The network permutes [0, 4^half_bits), at most four times as large: walking on from a value outside
 * [0, size) ends inside it, and stays a permutation. */
uint64_t permutation_at(const struct permutation *permutation, uint64_t index) {
    uint64_t mask = (1ull << permutation->half_bits) - 1;
    do {
        uint64_t left = index >> permutation->half_bits, right = index & mask;
        for (int i = 0; i < 4; i++) {
            uint64_t next = left ^ (mix64(right ^ permutation->keys[i]) & mask);
            left = right;
            right = next;
        }
        index = left << permutation->half_bits | right;
    } while (index >= permutation->size);
    return index;
}
