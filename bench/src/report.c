#include "report.h"

#include <string.h>

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static double per_second(const struct measurement *m, bool with_drain) {
    double seconds = m->result->seconds + (with_drain ? m->drain.seconds : 0);
    return ratio((double)m->result->totals.operations, seconds);
}

static double live_bytes(const struct measurement *m) {
    return (double)m->live_entries * (double)(m->options->key_size + m->options->value_size);
}

static uint64_t process_bytes(const struct measurement *m, bool with_drain) {
    const struct process_sample *end = with_drain ? &m->after_drain : &m->after;
    return end->process_write_bytes - m->before.process_write_bytes;
}

static const char *bytes_text(double bytes, char *text, size_t size) {
    static const char *const UNITS[] = { "B", "K", "M", "G", "T" };
    int unit = 0;
    while (bytes >= 1024 && unit < 4) bytes /= 1024, unit++;
    snprintf(text, size, bytes < 10 && unit > 0 ? "%.2f%s" : bytes < 100 && unit > 0 ? "%.1f%s" : "%.0f%s",
            bytes, UNITS[unit]);
    return text;
}

static const char *amplification_text(bool known, double value, char *text, size_t size) {
    if (known && value > 0)
        snprintf(text, size, "%.2f", value);
    else
        snprintf(text, size, "-");
    return text;
}

/* Writes that had to be durable, and no call seen that makes them so. */
static bool syncs_are_missing(const struct measurement *m) {
    bool must = m->options->sync || m->workload->flags & DURABLE;
    return must && m->result->totals.entries_written > 0 && syncs_durable(&m->result->syncs) == 0;
}

void report_unavailable(const struct workload *workload, const char *why, FILE *json) {
    printf("%-22s not available: %s\n", workload->name, why);
    fflush(stdout);
    if (!json) return;
    fprintf(json, "{\"engine\":\"%s\",\"version\":\"%s\",\"workload\":\"%s\",\"not_available\":\"%s\"}\n", ENGINE_NAME,
            ENGINE_VERSION, workload->name, why);
    fflush(json);
}

void report_header(const struct options *o, struct clock_cost clock_cost) {
    char a[32], b[32], c[32], d[32];
    printf("engine      %s %s\n", ENGINE_NAME, ENGINE_VERSION);
    printf("data        %llu keys of %llu bytes, values of %s, compressible to %.2f\n", (unsigned long long)o->num,
           (unsigned long long)o->key_size, bytes_text((double)o->value_size, a, sizeof a), o->compression_ratio);
    printf("engine has  memtable %s, cache %s, block %s, L1 %s, bloom %.0f bits, %s, %llu background jobs%s%s%s%s\n",
           bytes_text((double)o->write_buffer_size, a, sizeof a), bytes_text((double)o->cache_size, b, sizeof b),
           bytes_text((double)o->block_size, c, sizeof c), bytes_text((double)o->level_base_bytes, d, sizeof d),
                   o->bloom_bits,
           o->compression, (unsigned long long)o->max_background_jobs, o->blob ? ", BlobDB" : "",
                   o->blob_gc ? " with gc" : "",
           o->blob_direct_write ? " direct write" : "", o->index_search[0] != 'b' ? ", index search" : "");
    printf("            bytes_per_sync %s\n", bytes_text((double)o->bytes_per_sync, a, sizeof a));
    if (strcmp(o->memtable, "default") != 0) printf("            memtable structure %s\n", o->memtable);
    if (o->use_direct_reads || o->use_direct_io_for_flush_and_compaction)
        printf("            past the page cache:%s%s\n", o->use_direct_reads ? " reads" : "",
               o->use_direct_io_for_flush_and_compaction ? " background writes" : "");
    if (o->separation_threshold != 1024 || o->segment_size != 256u << 20)
        printf("            values separated from %s, segments of %s\n",
               bytes_text((double)o->separation_threshold, a, sizeof a),
               bytes_text((double)o->segment_size, b, sizeof b));
    if (o->synced_separation_threshold != 128u << 10)
        printf("            synced batches keep their values below %s\n",
               bytes_text((double)o->synced_separation_threshold, a, sizeof a));
    if (o->unordered_write || o->pipelined_write)
        printf("            %s\n", o->unordered_write ? "unordered writes" : "pipelined writes");
    printf("run with    %llu threads, sync %d, batch %llu, seed %llu\n", (unsigned long long)o->threads, o->sync,
           (unsigned long long)o->batch_size, (unsigned long long)o->seed);
    if (o->write_rate > 0)
        printf("            %.0f writes a second offered; latency from when a write was due\n", o->write_rate);
    printf("clock       a reading costs %.1f ns (a bare time stamp %.1f ns)%s\n\n", clock_cost.monotonic,
           clock_cost.time_stamp_counter, o->latency ? ", one for each operation" : "; latencies are off");
    printf("%-22s %11s %9s %8s %8s %8s %9s %9s %7s %10s %6s %6s %6s %7s %6s\n", "workload", "ops/s", "us/op",
            "MB/s", "p50us",
           "p99us", "p99.9us", "max_us", "drain_s", "ops/s+dr", "WA", "WAdev", "space", "rss", "cpu_s");
}

static void print_microseconds(const struct measurement *m, const struct histogram *all, double fraction, int width) {
    if (!workloads_has_latency(m->workload, m->options))
        printf(" %*s", width, "-");
    else
        printf(" %*.1f", width, (double)histogram_percentile(all, fraction) / 1000);
}

static void print_threads(const struct result *result) {
    if (result->thread_count < 2) return;
    double slowest = 0, fastest = 0;
    unsigned shown = 0;
    for (unsigned i = 0; i < result->thread_count; i++) {
        const struct thread_figures *thread = &result->threads[i];
        if (thread->is_background_writer) continue;
        double rate = ratio((double)thread->operations, thread->seconds);
        if (shown++ == 0) slowest = fastest = rate;
        slowest = rate < slowest ? rate : slowest;
        fastest = rate > fastest ? rate : fastest;
    }
    if (shown > 1) printf("    %u threads, each %.0f to %.0f/s\n", shown, slowest, fastest);
}

static void print_syncs(const struct measurement *m) {
    const struct sync_sample *syncs = &m->result->syncs;
    uint64_t durable = syncs_durable(syncs);
    if (syncs_are_missing(m))
        printf("    NOT ONE SYNC WAS SEEN, and every write had to be durable\n");
    if (durable == 0 || m->result->totals.entries_written == 0) return;
    printf("    %llu fdatasync, %llu fsync, %llu msync: %.4f a write, %.1f us each\n",
            (unsigned long long)syncs->fdatasyncs, (unsigned long long)syncs->fsyncs,
            (unsigned long long)syncs->msyncs,
            (double)durable / (double)m->result->totals.entries_written,
            (double)syncs->nanoseconds / (double)durable / 1000);
}

static void print_notes(const struct measurement *m) {
    const char *note = m->workload->note ? m->workload->note() : NULL;
    if (note) printf("    %s\n", note);
    print_threads(m->result);
    print_syncs(m);
    const struct histogram *calls = &m->result->calls;
    if (calls->count > 0)
        printf("    the calls alone: p50 %.1f p99 %.1f p99.9 %.1f us\n",
                (double)histogram_percentile(calls, 0.5) / 1000, (double)histogram_percentile(calls, 0.99) / 1000,
                (double)histogram_percentile(calls, 0.999) / 1000);
}

void report_line(const struct measurement *m) {
    static struct histogram all; /* 30 KB: not for the stack */
    const struct totals *totals = &m->result->totals;
    char name[64], a[32], b[32], c[32], d[32];
    all = m->result->reads;
    if (!(m->workload->flags & BACKGROUND_WRITER)) histogram_merge(&all, &m->result->writes);
    snprintf(name, sizeof name, "%s", m->workload->name);
    double moved = (double)(totals->user_bytes_written + totals->user_bytes_read);
    printf("%-22s %11.0f %9.3f %8.1f", name, per_second(m, false),
           ratio(m->result->seconds * (double)m->options->threads * 1e6, (double)totals->operations),
           ratio(moved / (1 << 20), m->result->seconds));
    print_microseconds(m, &all, 0.5, 8);
    print_microseconds(m, &all, 0.99, 8);
    print_microseconds(m, &all, 0.999, 9);
    print_microseconds(m, &all, 1, 9);
    double written = (double)totals->user_bytes_written;
    printf(" %7.2f %10.0f %6s %6s %6s %7s %6.2f\n", m->drain.seconds, per_second(m, true),
           amplification_text(m->before.process_bytes_known, ratio((double)process_bytes(m, true), written), a,
                   sizeof a),
           amplification_text(m->device_bytes_known, ratio((double)m->device_write_bytes, written), b, sizeof b),
           amplification_text(true, ratio((double)m->space.allocated_bytes, live_bytes(m)), c, sizeof c),
           bytes_text((double)m->peak_resident_bytes, d, sizeof d),
           m->after_drain.cpu_user + m->after_drain.cpu_system - m->before.cpu_user - m->before.cpu_system);
    if (totals->found + totals->missing > 0)
        printf("    found %llu of %llu\n", (unsigned long long)totals->found,
                (unsigned long long)(totals->found + totals->missing));
    if (totals->background_operations > 0)
        printf("    beside it %llu writes, %.0f/s, p99 %.1f us\n", (unsigned long long)totals->background_operations,
               ratio((double)totals->background_operations, m->result->background_seconds),
               (double)histogram_percentile(&m->result->writes, 0.99) / 1000);
    print_notes(m);
    if (m->drain.timed_out) printf("    NOT IDLE after --drain_timeout: the figures with drain are too good\n");
    if (m->drain.unknown_properties > 0)
        printf("    the engine does not know %d of the properties that tell when it is idle\n",
                m->drain.unknown_properties);
    if (m->options->histogram) histogram_print(&all, stdout);
    fflush(stdout);
}

static void json_latency(FILE *out, const char *name, const struct histogram *histogram) {
    if (histogram->count == 0) return;
    fprintf(out,
            ",\"%s\":{\"count\":%llu,\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,"
            "\"max_us\":%.3f}", name,
            (unsigned long long)histogram->count, histogram_mean(histogram) / 1000,
            (double)histogram_percentile(histogram, 0.5) / 1000, (double)histogram_percentile(histogram, 0.99) / 1000,
            (double)histogram_percentile(histogram, 0.999) / 1000, (double)histogram->maximum / 1000);
}

static void json_number(FILE *out, const char *name, double value) {
    fprintf(out, ",\"%s\":%.15g", name, value);
}

static void json_options(FILE *out, const struct options *o) {
    fprintf(out, "{\"num\":%llu,\"reads\":%llu,\"writes\":%llu", (unsigned long long)o->num,
            (unsigned long long)o->reads,
            (unsigned long long)o->writes);
    json_number(out, "threads", (double)o->threads);
    json_number(out, "key_size", (double)o->key_size);
    json_number(out, "value_size", (double)o->value_size);
    json_number(out, "batch_size", (double)o->batch_size);
    json_number(out, "sync", o->sync);
    json_number(out, "disable_wal", o->disable_wal);
    json_number(out, "touch_values", o->touch_values);
    json_number(out, "seed", (double)o->seed);
    json_number(out, "compression_ratio", o->compression_ratio);
    json_number(out, "cache_size", (double)o->cache_size);
    json_number(out, "write_buffer_size", (double)o->write_buffer_size);
    json_number(out, "bytes_per_sync", (double)o->bytes_per_sync);
    json_number(out, "max_write_buffer_number", (double)o->max_write_buffer_number);
    json_number(out, "bloom_bits", o->bloom_bits);
    json_number(out, "block_size", (double)o->block_size);
    json_number(out, "max_background_jobs", (double)o->max_background_jobs);
    json_number(out, "use_direct_reads", o->use_direct_reads);
    json_number(out, "use_direct_io_for_flush_and_compaction", o->use_direct_io_for_flush_and_compaction);
    json_number(out, "level_base_bytes", (double)o->level_base_bytes);
    json_number(out, "target_file_size", (double)o->target_file_size);
    json_number(out, "verify_checksums", o->verify_checksums);
    json_number(out, "blob", o->blob);
    json_number(out, "blob_gc", o->blob_gc);
    json_number(out, "blob_cache", o->blob_cache);
    json_number(out, "blob_direct_write", o->blob_direct_write);
    json_number(out, "min_blob_size", (double)o->min_blob_size);
    json_number(out, "separation_threshold", (double)o->separation_threshold);
    json_number(out, "synced_separation_threshold", (double)o->synced_separation_threshold);
    json_number(out, "segment_size", (double)o->segment_size);
    json_number(out, "unordered_write", o->unordered_write);
    json_number(out, "pipelined_write", o->pipelined_write);
    json_number(out, "write_rate", o->write_rate);
    json_number(out, "outstanding", (double)o->outstanding);
    json_number(out, "latency", o->latency);
    json_number(out, "duration", o->duration);
    /* All were compared with the known names before anything ran. */
    fprintf(out, ",\"compression\":\"%s\",\"index_search\":\"%s\",\"memtable\":\"%s\"}", o->compression,
            o->index_search, o->memtable);
}

static void json_threads(FILE *out, const struct result *result) {
    fprintf(out, ",\"threads\":[");
    for (unsigned i = 0; i < result->thread_count; i++) {
        const struct thread_figures *thread = &result->threads[i];
        fprintf(out, "%s{\"background_writer\":%d,\"operations\":%llu,\"seconds\":%.9f,\"cpu_seconds\":%.9f}",
                i == 0 ? "" : ",", thread->is_background_writer, (unsigned long long)thread->operations,
                thread->seconds, thread->cpu_seconds);
    }
    fprintf(out, "]");
}

/* A property that the engine does not tell is absent. */
static void json_known(FILE *out, const char *name, double value) {
    if (value >= 0) json_number(out, name, value);
}

static void json_syncs(FILE *out, const struct measurement *m) {
    const struct sync_sample *syncs = &m->result->syncs;
    json_number(out, "fsyncs", (double)syncs->fsyncs);
    json_number(out, "fdatasyncs", (double)syncs->fdatasyncs);
    json_number(out, "msyncs", (double)syncs->msyncs);
    json_number(out, "range_syncs", (double)syncs->range_syncs);
    json_number(out, "sync_seconds", (double)syncs->nanoseconds / 1e9);
    json_number(out, "syncs_missing", syncs_are_missing(m));
}

void report_json(const struct measurement *m, FILE *out) {
    static struct histogram all;
    const struct totals *totals = &m->result->totals;
    all = m->result->reads;
    if (!(m->workload->flags & BACKGROUND_WRITER)) histogram_merge(&all, &m->result->writes);
    fprintf(out, "{\"engine\":\"%s\",\"version\":\"%s\",\"workload\":\"%s\"", ENGINE_NAME, ENGINE_VERSION,
            m->workload->name);
    json_number(out, "operations", (double)totals->operations);
    json_number(out, "seconds", m->result->seconds);
    json_number(out, "ops_per_second", per_second(m, false));
    json_number(out, "ops_per_second_with_drain", per_second(m, true));
    json_number(out, "drain_seconds", m->drain.seconds);
    json_number(out, "drain_done", m->drain.done);
    json_number(out, "drain_timed_out", m->drain.timed_out);
    json_number(out, "drain_unknown_properties", m->drain.unknown_properties);
    json_number(out, "found", (double)totals->found);
    json_number(out, "missing", (double)totals->missing);
    json_number(out, "entries", (double)totals->entries);
    json_number(out, "background_operations", (double)totals->background_operations);
    json_number(out, "background_ops_per_second",
                ratio((double)totals->background_operations, m->result->background_seconds));
    json_number(out, "entries_written", (double)totals->entries_written);
    json_syncs(out, m);
    json_threads(out, m->result);
    json_number(out, "clock_ns", m->clock_cost.monotonic);
    json_number(out, "time_stamp_ns", m->clock_cost.time_stamp_counter);
    const char *note = m->workload->note ? m->workload->note() : NULL;
    if (note) fprintf(out, ",\"note\":\"%s\"", note);
    if (m->drain.done) {
        json_known(out, "first_level_files", m->levels.first_level_files);
        json_known(out, "pending_compaction_bytes", m->levels.pending_compaction_bytes);
    }
    json_number(out, "user_bytes_written", (double)totals->user_bytes_written);
    json_number(out, "user_bytes_read", (double)totals->user_bytes_read);
    if (m->before.process_bytes_known) {
        json_number(out, "process_write_bytes", (double)process_bytes(m, false));
        json_number(out, "process_write_bytes_with_drain", (double)process_bytes(m, true));
        json_number(out, "process_cancelled_bytes_with_drain",
                    (double)(m->after_drain.process_cancelled_bytes - m->before.process_cancelled_bytes));
        json_number(out, "process_read_bytes", (double)(m->after.process_read_bytes - m->before.process_read_bytes));
    }
    if (m->device_bytes_known) json_number(out, "device_write_bytes_with_drain", (double)m->device_write_bytes);
    json_number(out, "space_bytes", (double)m->space.allocated_bytes);
    json_number(out, "apparent_bytes", (double)m->space.apparent_bytes);
    json_number(out, "files", (double)m->space.files);
    if (m->live_entries > 0) json_number(out, "live_bytes", live_bytes(m));
    json_number(out, "resident_bytes", (double)m->resident_bytes);
    json_number(out, "peak_resident_bytes", (double)m->peak_resident_bytes);
    json_number(out, "cpu_user_seconds", m->after.cpu_user - m->before.cpu_user);
    json_number(out, "cpu_system_seconds", m->after.cpu_system - m->before.cpu_system);
    json_number(out, "cpu_seconds_with_drain",
                m->after_drain.cpu_user + m->after_drain.cpu_system - m->before.cpu_user - m->before.cpu_system);
    if (workloads_has_latency(m->workload, m->options)) {
        json_latency(out, "latency", &all);
        json_latency(out, "latency_reads", &m->result->reads);
        json_latency(out, "latency_writes", &m->result->writes);
        json_latency(out, "latency_calls", &m->result->calls);
    }
    fprintf(out, ",\"options\":");
    json_options(out, m->options);
    fprintf(out, "}\n");
    fflush(out);
}
