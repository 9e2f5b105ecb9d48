/* Counts the calls that make data durable, by the same means for every engine.
 *
 * syncs.c defines fsync, fdatasync, msync and sync_file_range itself. A program's own definitions come before those of
 * the C library, for a static library and for a shared one alike, so each call of the engine passes here; it is
 * counted and handed to the kernel unchanged. Not seen: files opened with O_DSYNC or O_SYNC, io_uring, a system call
 * made without the C library. An engine that must sync and shows no call is reported. */
#ifndef BENCH_SYNCS_H
#define BENCH_SYNCS_H

#include <stdint.h>

struct sync_sample {
    uint64_t fsyncs, fdatasyncs;
    uint64_t msyncs; /* with MS_SYNC only: the others promise nothing */
    uint64_t range_syncs; /* sync_file_range starts write-back; it makes nothing durable */
    uint64_t nanoseconds; /* inside fsync, fdatasync and msync, all threads together */
};

/* Counts since the program began. */
struct sync_sample syncs_sample(void);

/* What happened between two samples. */
struct sync_sample syncs_between(struct sync_sample before, struct sync_sample after);

/* Calls that make data durable. */
static inline uint64_t syncs_durable(const struct sync_sample *sample) {
    return sample->fsyncs + sample->fdatasyncs + sample->msyncs;
}

#endif
