/*
 * How long an open takes after a kill, with values in the value log that no table refers to yet.
 *
 *   recovery DIR [MIB [VALUE_BYTES [SYNC]]]     defaults: 1024 65536 0
 *
 * A child writes so many MiB of incompressible values without a flush and ends by SIGKILL. With SYNC it makes all of
 * them durable first. The parent opens the database, prints the time, and compares every value. Then the same again
 * with the child's files dropped from the page cache before the open, as after a restart of the machine.
 */
#include <auradb.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t mebibytes = 1024;
static size_t value_bytes = 65536;
static int synced = 0;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(char *error, const char *what) {
  if (error != NULL) fail(what, error);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

/* Of all threads. */
static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

/* The value of a key: bytes that no codec makes shorter. */
static void fill(char *value, uint64_t key) {
  uint64_t state = key * 0x9e3779b97f4a7c15ULL + 1;
  for (size_t at = 0; at + 8 <= value_bytes; at += 8) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    uint64_t word = state * 2685821657736338717ULL;
    memcpy(value + at, &word, 8);
  }
}

/* Memtables that take all of it. */
static auradb_options_t *make_options(void) {
  auradb_options_t *options = auradb_options_create();
  auradb_options_set_create_if_missing(options, 1);
  auradb_options_set_write_buffer_size(options, 512 << 20);
  auradb_options_set_value_log_garbage_collection(options, 0);
  return options;
}

static void write_and_die(const char *directory, uint64_t count) {
  char *error = NULL, *value = calloc(1, value_bytes);
  auradb_options_t *options = make_options();
  auradb_writeoptions_t *how = auradb_writeoptions_create();
  auradb_t *db = auradb_open(options, directory, &error);
  check(error, "open");
  for (uint64_t key = 0; key < count; key++) {
    char name[24];
    int len = snprintf(name, sizeof name, "key%016llu", (unsigned long long)key);
    fill(value, key);
    auradb_put(db, how, name, (size_t)len, value, value_bytes, &error);
    check(error, "put");
  }
  if (synced) auradb_flush_wal(db, 1, &error);
  check(error, "sync");
  kill(getpid(), SIGKILL);
}

static void compare(auradb_t *db, uint64_t count) {
  char *error = NULL, *value = calloc(1, value_bytes);
  auradb_readoptions_t *how = auradb_readoptions_create();
  for (uint64_t key = 0; key < count; key++) {
    char name[24];
    int len = snprintf(name, sizeof name, "key%016llu", (unsigned long long)key);
    size_t got_len = 0;
    fill(value, key);
    char *got = auradb_get(db, how, name, (size_t)len, &got_len, &error);
    check(error, "get");
    if (got == NULL || got_len != value_bytes || memcmp(got, value, value_bytes) != 0) fail(name, "not what was put");
    auradb_free(got);
  }
  free(value);
  auradb_readoptions_destroy(how);
}

/* Takes the files out of the page cache. */
static void drop_files(const char *directory) {
  char path[4096];
  DIR *listing = opendir(directory);
  if (listing == NULL) return;
  for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    if (entry->d_type == DT_DIR) drop_files(path);
    int file = open(path, O_RDONLY);
    if (file < 0) continue;
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
  closedir(listing);
}

static void run(const char *directory, uint64_t count, int cold) {
  char *error = NULL;
  auradb_options_t *options = make_options();
  auradb_destroy_db(options, directory, &error);
  check(error, "destroy");
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) write_and_die(directory, count);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) fail("the writer", "it did not end by SIGKILL");
  if (cold) drop_files(directory);
  double begun = seconds(), cpu_begun = cpu_seconds();
  auradb_t *db = auradb_open(options, directory, &error);
  double took = seconds() - begun, cpu = cpu_seconds() - cpu_begun;
  check(error, "open");
  printf("%llu MiB in values of %zu bytes, %s, %s: open in %.2f s (%.2f s of processor time)\n",
         (unsigned long long)mebibytes, value_bytes, synced ? "synced" : "not synced",
         cold ? "out of the page cache" : "in the page cache", took, cpu);
  compare(db, count);
  auradb_close(db);
  auradb_destroy_db(options, directory, &error);
  check(error, "destroy");
  auradb_options_destroy(options);
}

int main(int argc, char **argv) {
  if (argc < 2) fail("usage", "recovery DIR [MIB [VALUE_BYTES [SYNC]]]");
  if (argc > 2) mebibytes = strtoull(argv[2], NULL, 10);
  if (argc > 3) value_bytes = strtoull(argv[3], NULL, 10);
  if (argc > 4) synced = atoi(argv[4]);
  if (value_bytes < 8 || mebibytes == 0) fail("usage", "sizes are too small");
  uint64_t count = (mebibytes << 20) / value_bytes;
  run(argv[1], count, 0);
  run(argv[1], count, 1);
  return 0;
}
