/* A key-value engine benchmark that speaks RocksDB's C API under any prefix. --help tells the rest. */
#include "asynchronous.h"
#include "database.h"
#include "options.h"
#include "presence.h"
#include "process.h"
#include "report.h"
#include "workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The permuted order must be the same in the process that loads and the one that reads. */
static const uint64_t PERMUTATION_SEED = 0x6b657973;

struct session {
    const struct options *options;
    struct database database;
    struct presence presence;
    bool is_open;
    FILE *json;
    struct clock_cost clock_cost;
    uint64_t workloads_run;
};

static uint64_t universe_of(const struct options *options) {
    bool inserts = workloads_list_has(options->benchmarks, INSERTS);
    uint64_t room = options->insert_space ? options->insert_space : inserts ? options->num / 4 + 1 : 0;
    return options->num + room;
}

static void close_session(struct session *session) {
    if (!session->is_open) return;
    database_close(&session->database);
    presence_save(&session->presence, session->options->db);
    presence_destroy(&session->presence);
    session->is_open = false;
}

static void open_session(struct session *session, const struct options *options, bool fresh) {
    if (session->is_open && !fresh) return;
    close_session(session);
    struct stat status;
    bool exists = stat(options->db, &status) == 0;
    database_open(&session->database, options, fresh);
    bool loaded = !fresh && exists && presence_load(&session->presence, options->db);
    /* From here to close_session the file would not tell the truth. */
    presence_forget(options->db);
    if (!loaded) presence_create(&session->presence, universe_of(options));
    if (!loaded && !fresh && exists) {
        session->presence.known = false;
        fprintf(stderr,
                "bench: %s was not made by this benchmark or was not closed: "
                "lost keys cannot be noticed\n", options->db);
    }
    session->is_open = true;
}

static void check_universe(const struct session *session, const struct options *options) {
    if (session->presence.universe < options->num)
        die("--num %llu: the database in %s was made for %llu keys", (unsigned long long)options->num, options->db,
            (unsigned long long)session->presence.universe);
}

static void measure(struct session *session, const struct options *options, struct run *run, struct result *result) {
    struct measurement m = { .options = options, .workload = run->workload, .result = result,
                             .clock_cost = session->clock_cost };
    struct process_sample device_end;
    process_sync_file_system(options->db);
    process_reset_peak();
    process_sample(&m.before, options->db);
    workloads_run(run, result);
    process_sample(&m.after, options->db);
    m.after_drain = m.after;
    if (run->workload->flags & WRITES) {
        if (options->drain) m.drain = database_drain(&session->database, options->drain_timeout);
        process_sample(&m.after_drain, options->db);
        database_levels(&session->database, &m.levels);
        process_sync_file_system(options->db);
        process_sample(&device_end, options->db);
        m.device_bytes_known = m.before.device_bytes_known && device_end.device_bytes_known;
        m.device_write_bytes = device_end.device_write_bytes - m.before.device_write_bytes;
    }
    m.resident_bytes = process_resident_bytes();
    m.peak_resident_bytes = process_peak_resident_bytes();
    m.space = process_file_space(options->db);
    if (session->presence.known) m.live_entries = presence_count(&session->presence);
    report_line(&m);
    if (session->json) report_json(&m, session->json);
}

static void run_workload(struct session *session, const struct options *options, const struct workload *workload) {
    const char *why = workload->unavailable ? workload->unavailable() : NULL;
    if (why) {
        report_unavailable(workload, why, session->json);
        return;
    }
    static struct zipf zipf;
    struct permutation permutation;
    open_session(session, options, workload->flags & FRESH && !options->use_existing_db);
    if (!(workload->flags & NO_ENGINE)) check_universe(session, options);
    permutation_create(&permutation, session->presence.universe, PERMUTATION_SEED);
    if (workload->flags & NEEDS_ZIPF && (zipf.items != options->num || zipf.theta != options->zipf_theta))
        zipf_create(&zipf, options->num, options->zipf_theta);
    /* Where a callback tells that a write is durable, the write itself does not wait for it. */
    bool waits = options->sync || (workload->flags & DURABLE && workload->body != asynchronous_fill);
#ifdef ENGINE_ROCKSDB
    waits |= workload->body == asynchronous_fill;
#endif
    database_set_sync(&session->database, waits);
    struct run run = {
        .options = options,
        .database = &session->database,
        .presence = &session->presence,
        .workload = workload,
        .zipf = &zipf,
        .permutation = &permutation,
        .ordinal = session->workloads_run++,
        .operations = workloads_operations(workload, options),
    };
    uint64_t records = session->presence.records > options->num ? session->presence.records : options->num;
    atomic_store(&run.next_record, records);
    struct result *result = allocate(sizeof *result);
    memset(result, 0, sizeof *result);
    measure(session, options, &run, result);
    session->presence.records = atomic_load(&run.next_record);
    free(result);
}

static void sweep(struct session *session, const struct options *options) {
    char *sizes = strdup(options->sweep_sizes), *rest = sizes, *size;
    while ((size = strsep(&rest, ","))) {
        struct options changed = *options;
        if (!options_parse_size(size, &changed.value_size) || changed.value_size > 64u << 20)
            die("--sweep_sizes: cannot use %s", size);
        changed.num = options->sweep_bytes / (changed.value_size + changed.key_size);
        if (changed.num > options->num) changed.num = options->num;
        if (changed.num == 0) changed.num = 1;
        changed.reads = changed.writes = changed.num;
        changed.use_existing_db = false;
        printf("value size %s, %llu keys\n", size, (unsigned long long)changed.num);
        static const char *const STEPS[] = { "fillrandom", "overwrite", "readrandom" };
        for (int i = 0; i < 3; i++) run_workload(session, &changed, workloads_find(STEPS[i], strlen(STEPS[i])));
    }
    free(sizes);
}

int main(int argument_count, char **arguments) {
    struct options options;
    options_parse(&options, argument_count, arguments);
    struct session session = { .options = &options };
    if (options.json && !(session.json = fopen(options.json, "w"))) die("cannot write %s", options.json);
    session.clock_cost = process_clock_cost();
    report_header(&options, session.clock_cost);
    for (const char *name = options.benchmarks;; name++) {
        size_t length = strcspn(name, ",");
        const struct workload *workload = workloads_find(name, length);
        if (workload->flags & SWEEP)
            sweep(&session, &options);
        else
            run_workload(&session, &options, workload);
        name += length;
        if (*name == '\0') break;
    }
    close_session(&session);
    if (session.json && fclose(session.json) != 0) die("cannot write %s", options.json);
    return 0;
}
