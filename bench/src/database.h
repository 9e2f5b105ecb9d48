/* The engine under test: opening it with the options of the command line, waiting until it is idle, and stopping
 * the program when it reports an error or answers wrongly. */
#ifndef BENCH_DATABASE_H
#define BENCH_DATABASE_H

#include "engine.h"
#include "options.h"

struct database {
    const char *path;
    ENGINE(t) *handle;
    ENGINE(column_family_handle_t) *default_family;
    ENGINE(options_t) *options;
    ENGINE(block_based_table_options_t) *table_options;
    ENGINE(cache_t) *cache;
    ENGINE(readoptions_t) *read_options;
    ENGINE(writeoptions_t) *write_options;
};

struct drain {
    bool done; /* a drain took place */
    bool timed_out;
    double seconds;
    int unknown_properties; /* how many of the properties it polls the engine does not know */
};

/* `fresh` destroys what the directory holds. */
void database_open(struct database *database, const struct options *options, bool fresh);
void database_close(struct database *database);

/* Sets sync for the writes that follow. */
void database_set_sync(struct database *database, bool sync);

/* Flushes the memtable and waits until no flush or compaction runs or is pending. */
struct drain database_drain(struct database *database, double timeout);

/* What the engine still has to compact, by its own account; -1 where it does not tell. */
struct levels {
    double first_level_files;
    double pending_compaction_bytes;
};

void database_levels(struct database *database, struct levels *levels);

/* An error the engine reported ends the program: status 1. */
_Noreturn void database_failed(const char *operation, char *error);

static inline void check(const char *operation, char *error) {
    if (__builtin_expect(error != NULL, 0)) database_failed(operation, error);
}

/* A wrong answer ends the program: status 3. */
_Noreturn void wrong_answer(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
