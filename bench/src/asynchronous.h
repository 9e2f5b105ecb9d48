/* Writes that return before they are durable and call back when they are: auradb_write_async, looked up when the
 * program runs, so that the benchmark also links with a library that lacks it. */
#ifndef BENCH_ASYNCHRONOUS_H
#define BENCH_ASYNCHRONOUS_H

struct worker;

/* Why this engine has no such function, or NULL if the workload says something. With an engine that by its interface
 * cannot have one, RocksDB, the workload is its synchronous writes, and asynchronous_note says so. */
const char *asynchronous_unavailable(void);

/* What a reader of the figures must know, or NULL. */
const char *asynchronous_note(void);

/* The workload fillasync: up to --outstanding writes of this thread are not durable yet; ends when all are. */
void asynchronous_fill(struct worker *worker);

#endif
