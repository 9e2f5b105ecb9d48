#include "pace.h"

#include <sys/prctl.h>

enum { SPIN_NANOSECONDS = 20000 };

void pace_begin(struct pace *pace, double operations_per_second) {
    *pace = (struct pace){ .interval = operations_per_second > 0 ? 1e9 / operations_per_second : 0 };
    if (pace->interval > 0) prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
    pace->start = now_nanoseconds();
}

void pace_wait(struct pace *pace, uint64_t number) {
    pace->due = pace->start + (uint64_t)((double)number * pace->interval);
    uint64_t now = now_nanoseconds();
    while (now < pace->due) {
        uint64_t left = pace->due - now;
        if (left > SPIN_NANOSECONDS) {
            struct timespec sleep = { 0, 0 };
            uint64_t nanoseconds = left - SPIN_NANOSECONDS;
            sleep.tv_sec = (time_t)(nanoseconds / 1000000000u);
            sleep.tv_nsec = (long)(nanoseconds % 1000000000u);
            clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, NULL);
        } else {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        now = now_nanoseconds();
    }
    pace->begun = now;
}
