#define _GNU_SOURCE
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1); /* other threads may still run: no exit handlers under their feet */
}

void *allocate(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) die("out of memory (%zu bytes)", size);
    return memory;
}

static uint64_t time_stamp(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

struct clock_cost process_clock_cost(void) {
    enum { ROUNDS = 7, READINGS = 50000 };
    struct clock_cost cost = { 1e9, 1e9 };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sum = 0, start = now_nanoseconds();
        for (int i = 0; i < READINGS; i++) sum += now_nanoseconds();
        uint64_t middle = now_nanoseconds();
        for (int i = 0; i < READINGS; i++) sum += time_stamp();
        uint64_t end = now_nanoseconds();
        __asm__ volatile("" : : "r"(sum));
        double monotonic = (double)(middle - start) / READINGS, counter = (double)(end - middle) / READINGS;
        if (monotonic < cost.monotonic) cost.monotonic = monotonic;
        if (counter < cost.time_stamp_counter) cost.time_stamp_counter = counter;
    }
    if (time_stamp() == 0) cost.time_stamp_counter = 0;
    return cost;
}

static bool read_process_bytes(struct process_sample *sample) {
    FILE *file = fopen("/proc/self/io", "r");
    if (!file) return false;
    char line[128];
    unsigned long long value, written = 0, cancelled = 0, read = 0;
    int found = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "write_bytes: %llu", &value) == 1) written = value, found++;
        if (sscanf(line, "cancelled_write_bytes: %llu", &value) == 1) cancelled = value, found++;
        if (sscanf(line, "read_bytes: %llu", &value) == 1) read = value, found++;
    }
    fclose(file);
    sample->process_write_bytes = written;
    sample->process_cancelled_bytes = cancelled;
    sample->process_read_bytes = read;
    return found == 3;
}

static bool read_device_bytes(const char *directory, uint64_t *bytes) {
    struct stat status;
    if (stat(directory, &status) != 0) return false;
    FILE *file = fopen("/proc/diskstats", "r");
    if (!file) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        unsigned device_major, device_minor;
        unsigned long long sectors_written;
        if (sscanf(line, "%u %u %*s %*u %*u %*u %*u %*u %*u %llu", &device_major, &device_minor,
                &sectors_written) == 3 &&
            device_major == major(status.st_dev) && device_minor == minor(status.st_dev)) {
            *bytes = sectors_written * 512;
            found = true;
        }
    }
    fclose(file);
    return found;
}

void process_sample(struct process_sample *sample, const char *directory) {
    memset(sample, 0, sizeof *sample);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    sample->cpu_user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    sample->cpu_system = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    sample->process_bytes_known = read_process_bytes(sample);
    sample->device_bytes_known = read_device_bytes(directory, &sample->device_write_bytes);
}

void process_sync_file_system(const char *directory) {
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    syncfs(descriptor);
    close(descriptor);
}

static void add_space(int parent, const char *name, struct file_space *space) {
    int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!directory) return;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (fstatat(descriptor, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        space->allocated_bytes += (uint64_t)status.st_blocks * 512;
        if (S_ISREG(status.st_mode)) {
            space->apparent_bytes += (uint64_t)status.st_size;
            space->files++;
        }
        if (S_ISDIR(status.st_mode)) add_space(descriptor, entry->d_name, space);
    }
    closedir(directory);
}

struct file_space process_file_space(const char *directory) {
    struct file_space space = { 0, 0, 0 };
    add_space(AT_FDCWD, directory, &space);
    return space;
}

static uint64_t status_kilobytes(const char *field) {
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    char line[256];
    unsigned long long kilobytes = 0;
    size_t length = strlen(field);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, field, length) == 0 && line[length] == ':') {
            sscanf(line + length + 1, "%llu", &kilobytes);
            break;
        }
    }
    fclose(file);
    return kilobytes * 1024;
}

uint64_t process_resident_bytes(void) {
    return status_kilobytes("VmRSS");
}

uint64_t process_peak_resident_bytes(void) {
    return status_kilobytes("VmHWM");
}

void process_reset_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}
