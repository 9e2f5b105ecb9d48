/* A fixed offered load: operation i of a thread is due at start + i * interval, whether or not the one before it has
 * ended. Its latency counts from when it was due, so a stall is paid by every operation that had to wait for it; a
 * loop that measures only its own calls would show one slow call and omit the rest. */
#ifndef BENCH_PACE_H
#define BENCH_PACE_H

#include "process.h"

struct pace {
    double interval; /* nanoseconds between two operations of this thread; 0: no fixed load */
    uint64_t start;
    uint64_t due; /* when the current operation was to begin */
    uint64_t begun; /* when it did */
};

/* Once for each thread: timers of this thread fire when asked, not up to 50 us later. */
void pace_begin(struct pace *pace, double operations_per_second);

/* Waits until operation `number` is due: sleeps while there is more than 20 us left, then spins. */
void pace_wait(struct pace *pace, uint64_t number);

#endif
