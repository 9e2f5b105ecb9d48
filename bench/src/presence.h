/* Which keys the database must hold: one bit a key, kept beside the database, never asked of it.
 *
 * A writer sets the bit after its write returned; a reader looks at the bit before it asks the engine. So a set bit
 * means the key must be found (no workload deletes while another thread reads), and, when nobody writes, a clear
 * bit means it must not be. Saved next to the database directory, so that --use_existing_db stays exact. */
#ifndef BENCH_PRESENCE_H
#define BENCH_PRESENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct presence {
    bool known; /* false: a database from elsewhere; only stamps and order are verified */
    uint64_t universe; /* keys 0 .. universe-1 */
    uint64_t records; /* records 0 .. records-1 of the permuted order have been loaded or inserted */
    _Atomic uint64_t *words;
};

static const uint64_t PRESENCE_NONE = UINT64_MAX;

void presence_create(struct presence *presence, uint64_t universe);
void presence_destroy(struct presence *presence);

/* Beside the directory `db`, as `db`.keys. Loading returns false if there is no such file or it does not fit. */
void presence_save(const struct presence *presence, const char *db);
bool presence_load(struct presence *presence, const char *db);
void presence_forget(const char *db);

uint64_t presence_count(const struct presence *presence);
uint64_t presence_at_or_after(const struct presence *presence, uint64_t index);
uint64_t presence_before(const struct presence *presence, uint64_t index);

static inline bool presence_test(const struct presence *presence, uint64_t index) {
    return atomic_load_explicit(&presence->words[index / 64], memory_order_acquire) >> (index % 64) & 1;
}

static inline void presence_set(struct presence *presence, uint64_t index) {
    if (!presence_test(presence, index))
        atomic_fetch_or_explicit(&presence->words[index / 64], 1ull << (index % 64), memory_order_release);
}

/* The same for a book that no other thread uses: no locked instruction, no cache line that cores pass round. */
static inline void presence_set_alone(struct presence *presence, uint64_t index) {
    _Atomic uint64_t *word = &presence->words[index / 64];
    uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, bits | 1ull << (index % 64), memory_order_relaxed);
}

/* Adds the keys of a book for the same universe; nobody uses either meanwhile. */
void presence_merge(struct presence *into, const struct presence *from);

static inline void presence_clear(struct presence *presence, uint64_t index) {
    if (presence_test(presence, index))
        atomic_fetch_and_explicit(&presence->words[index / 64], ~(1ull << (index % 64)), memory_order_release);
}

#endif
