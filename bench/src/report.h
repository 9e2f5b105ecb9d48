/* Turns one measured workload into a line for people and a line for programs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "database.h"
#include "process.h"
#include "workloads.h"

#include <stdio.h>

struct measurement {
    const struct options *options;
    const struct workload *workload;
    const struct result *result;
    struct drain drain;
    struct process_sample before, after, after_drain; /* after_drain == after if there was no drain */
    uint64_t device_write_bytes; /* from before to after the drain and a sync of the file system */
    bool device_bytes_known;
    uint64_t live_entries; /* entries the database must hold now; 0 if unknown */
    struct levels levels; /* after the drain */
    struct clock_cost clock_cost;
    struct file_space space;
    uint64_t resident_bytes, peak_resident_bytes;
};

void report_header(const struct options *options, struct clock_cost clock_cost);

/* Instead of figures: why the workload did not run. `json` may be NULL. */
void report_unavailable(const struct workload *workload, const char *why, FILE *json);
void report_line(const struct measurement *measurement);
void report_json(const struct measurement *measurement, FILE *out);

#endif
