#define _GNU_SOURCE
#include "syncs.h"

#include "process.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic uint64_t FSYNCS, FDATASYNCS, MSYNCS, RANGE_SYNCS, NANOSECONDS;

static void count(_Atomic uint64_t *counter, uint64_t start) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&NANOSECONDS, now_nanoseconds() - start, memory_order_relaxed);
}

int fsync(int descriptor) {
    uint64_t start = now_nanoseconds();
    int status = (int)syscall(SYS_fsync, descriptor);
    count(&FSYNCS, start);
    return status;
}

int fdatasync(int descriptor) {
    uint64_t start = now_nanoseconds();
    int status = (int)syscall(SYS_fdatasync, descriptor);
    count(&FDATASYNCS, start);
    return status;
}

int msync(void *address, size_t length, int flags) {
    uint64_t start = now_nanoseconds();
    int status = (int)syscall(SYS_msync, address, length, flags);
    if (flags & MS_SYNC) count(&MSYNCS, start);
    return status;
}

#ifdef SYS_sync_file_range
int sync_file_range(int descriptor, off64_t offset, off64_t length, unsigned flags) {
    atomic_fetch_add_explicit(&RANGE_SYNCS, 1, memory_order_relaxed);
    return (int)syscall(SYS_sync_file_range, descriptor, offset, length, flags);
}
#endif

struct sync_sample syncs_sample(void) {
    return (struct sync_sample){
        .fsyncs = atomic_load(&FSYNCS),
        .fdatasyncs = atomic_load(&FDATASYNCS),
        .msyncs = atomic_load(&MSYNCS),
        .range_syncs = atomic_load(&RANGE_SYNCS),
        .nanoseconds = atomic_load(&NANOSECONDS),
    };
}

struct sync_sample syncs_between(struct sync_sample before, struct sync_sample after) {
    return (struct sync_sample){
        .fsyncs = after.fsyncs - before.fsyncs,
        .fdatasyncs = after.fdatasyncs - before.fdatasyncs,
        .msyncs = after.msyncs - before.msyncs,
        .range_syncs = after.range_syncs - before.range_syncs,
        .nanoseconds = after.nanoseconds - before.nanoseconds,
    };
}
