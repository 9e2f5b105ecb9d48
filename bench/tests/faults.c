/* An engine that errs on purpose, to see that the benchmark notices. Linked with --wrap: each function here stands
 * before the engine's own. The environment variable FAULT names the error; without it nothing is changed. */
#include "engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef ENGINE_AURADB
#define REAL(name) __real_auradb_##name
#define WRAP(name) __wrap_auradb_##name
#else
#define REAL(name) __real_rocksdb_##name
#define WRAP(name) __wrap_rocksdb_##name
#endif

static bool fault(const char *name) {
    static int calls; /* the tests use one thread */
    const char *wanted = getenv("FAULT");
    return wanted && strcmp(wanted, name) == 0 && ++calls % 500 == 0;
}

ENGINE(pinnableslice_t) *REAL(get_pinned)(ENGINE(t) *, const ENGINE(readoptions_t) *, const char *, size_t, char **);
ENGINE(pinnableslice_t) *WRAP(get_pinned)(ENGINE(t) *db, const ENGINE(readoptions_t) *options, const char *key,
                                                 size_t length, char **error) {
    char other[2048];
    if (fault("lost_key")) return NULL;
    if (fault("error")) *error = strdup("Corruption: on purpose");
    if (*error) return NULL;
    memcpy(other, key, length);
    if (fault("other_key")) other[7] ^= 1;
    return REAL(get_pinned)(db, options, other, fault("finds_absent") ? length - 1 : length, error);
}

const char *REAL(pinnableslice_value)(const ENGINE(pinnableslice_t) *, size_t *);
const char *WRAP(pinnableslice_value)(const ENGINE(pinnableslice_t) *slice, size_t *length) {
    static char torn[1 << 16];
    const char *value = REAL(pinnableslice_value)(slice, length);
    if (fault("short_value")) --*length;
    if (!fault("torn_value")) return value;
    memcpy(torn, value, *length);
    torn[*length - 1] ^= 1;
    return torn;
}

void REAL(iter_next)(ENGINE(iterator_t) *);
void WRAP(iter_next)(ENGINE(iterator_t) *iterator) {
    if (fault("skips_entry")) REAL(iter_next)(iterator);
    if (!fault("repeats_entry")) REAL(iter_next)(iterator);
}

unsigned char REAL(iter_valid)(const ENGINE(iterator_t) *);
unsigned char WRAP(iter_valid)(const ENGINE(iterator_t) *iterator) {
    return fault("ends_early") ? 0 : REAL(iter_valid)(iterator);
}

void REAL(put)(ENGINE(t) *, const ENGINE(writeoptions_t) *, const char *, size_t, const char *, size_t, char **);
void WRAP(put)(ENGINE(t) *db, const ENGINE(writeoptions_t) *options, const char *key, size_t key_length,
                      const char *value, size_t length, char **error) {
    if (!fault("lost_write")) REAL(put)(db, options, key, key_length, value, length, error);
}

#if defined(ENGINE_AURADB) && !defined(HAVE_WRITE_ASYNC)

/* Stands in for the library's auradb_write_async, to test the workload that calls it: writes durably at once and
 * calls back from another thread a little later. */
struct call {
    void (*callback)(void *, const char *);
    void *argument;
    const char *error;
};

static void *call_back(void *argument) {
    struct call call = *(struct call *)argument;
    free(argument);
    usleep(50);
    call.callback(call.argument, call.error);
    return NULL;
}

void auradb_write_async(auradb_t *db, const auradb_writeoptions_t *options, auradb_writebatch_t *batch,
                        void (*callback)(void *, const char *), void *argument, char **error) {
    (void)options;
    auradb_writeoptions_t *durable = auradb_writeoptions_create();
    auradb_writeoptions_set_sync(durable, !fault("never_syncs"));
    if (!fault("lost_write")) auradb_write(db, durable, batch, error);
    auradb_writeoptions_destroy(durable);
    struct call *call = malloc(sizeof *call);
    *call = (struct call){ callback, argument, fault("error") ? "Corruption: on purpose" : NULL };
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_back, call) != 0) abort();
    pthread_detach(thread);
}

#endif
