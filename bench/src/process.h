/* What the operating system knows about this process and the disk, and the few helpers every file needs. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct process_sample {
    double cpu_user, cpu_system; /* seconds, all threads */
    bool process_bytes_known, device_bytes_known;
    uint64_t process_write_bytes; /* /proc/self/io: bytes this process made dirty or wrote directly */
    uint64_t process_cancelled_bytes; /* of those: dropped (file deleted) before they reached the disk */
    uint64_t process_read_bytes;
    uint64_t device_write_bytes; /* /proc/diskstats of the database's device: every process on the machine */
};

struct file_space {
    uint64_t allocated_bytes; /* st_blocks * 512: holes and preallocation counted as the disk sees them */
    uint64_t apparent_bytes;
    uint64_t files;
};

static inline uint64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What one reading of a clock costs, in nanoseconds, the best of several loops. */
struct clock_cost {
    double monotonic; /* clock_gettime, which measures the latencies */
    double time_stamp_counter; /* the bare instruction, for comparison; 0 if the processor has none */
};

struct clock_cost process_clock_cost(void);

void process_sample(struct process_sample *sample, const char *directory);

/* Writes the dirty pages of the directory's file system, so that device bytes are complete. */
void process_sync_file_system(const char *directory);

struct file_space process_file_space(const char *directory);

/* Resident bytes now and at most since process_reset_peak; 0 where /proc does not say. */
uint64_t process_resident_bytes(void);
uint64_t process_peak_resident_bytes(void);
void process_reset_peak(void);

/* Ends the program: status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc that cannot fail. */
void *allocate(size_t size);

#endif
