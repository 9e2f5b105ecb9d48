/*
 * A directory tree becomes a database, and is proved to be there.
 *
 *   tree_load DIRECTORY [DATABASE]
 *
 * Three column families: the default one has the files' contents by their path below DIRECTORY (large ones go to the
 * value log), "meta" has size and time by path, "by_number" has the path by the file's number. One batch writes all
 * three, so that a file is there with all of it or not at all. Numbers are keys that a learned index predicts well;
 * paths mostly are not, and their tables fall back to the fence index: the summary at the end shows both.
 *
 *   1. A child process loads with several threads and is killed in the middle (SIGKILL). The database is opened again,
 *      and every file whose batch was acknowledged is found by its number and compared with its source, byte by byte.
 *   2. The rest is loaded; then every file is compared.
 *   3. The files of one directory are found by a range scan.
 *   4. A snapshot stays what it is while threads overwrite what it shows.
 *   5. The database tells about itself.
 *
 * Ends with status 1 at the first thing that is not right.
 */
#include <auradb.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, FILES_MAX = 400000, BATCH_FILES = 32, BATCH_BYTES = 4 << 20 };
static const uint64_t LOAD_MAX = 1500ull << 20; /* bytes of the tree that are taken */
static const uint64_t SCAN_MAX = 48ull << 20;   /* bytes that the snapshot is proved with */

typedef struct {
  char *path; /* below the root */
  uint64_t size, mtime;
} source_t;

/* What the child shows its parent. It outlives the child. */
typedef struct {
  _Atomic uint64_t next; /* the next file to load */
  _Atomic uint64_t bytes, files;
  _Atomic int failed;
  _Atomic unsigned char acknowledged[FILES_MAX];
} ledger_t;

enum { CONTENT, META, BY_NUMBER, FAMILIES };
typedef struct {
  auradb_options_t *options;
  auradb_readoptions_t *read;
  auradb_writeoptions_t *write;
  auradb_t *db;
  auradb_column_family_handle_t *families[FAMILIES];
} store_t;

static source_t *sources;
static size_t source_count;
static uint64_t source_bytes;
static const char *root;
static size_t root_length;
static const char *database;
static ledger_t *ledger;

/* ---- small things */

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "\ntree_load: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(1);
}

/* Ends the program if a call failed. */
static void check(char *error, const char *doing) {
  if (error != NULL) fail("%s: %s", doing, error);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The key of a file in "by_number"; returns its length. */
enum { NUMBER_ROOM = 24 };
static size_t number_key(char key[NUMBER_ROOM], size_t number) {
  return (size_t)snprintf(key, NUMBER_ROOM, "%012zu", number);
}

static double megabytes(uint64_t bytes) { return (double)bytes / 1e6; }

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info, (void)kind, (void)walk;
  return remove(path);
}

static void remove_database(void) { nftw(database, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* ---- the source tree */

static int take_file(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)walk;
  uint64_t size = (uint64_t)info->st_size;
  if (kind != FTW_F || !S_ISREG(info->st_mode) || size > UINT32_MAX / 2 || access(path, R_OK) != 0) return 0;
  if (source_count == FILES_MAX || source_bytes + size > LOAD_MAX) return 0;
  source_t *source = &sources[source_count++];
  source->path = strdup(path + root_length);
  source->size = size;
  source->mtime = (uint64_t)info->st_mtime;
  source_bytes += size;
  return 0;
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const source_t *)a)->path, ((const source_t *)b)->path);
}

static void find_sources(const char *directory) {
  char *real = realpath(directory, NULL);
  if (real == NULL) fail("%s: %s; name a directory to load", directory, strerror(errno));
  root_length = strlen(real) + 1;
  root = real;
  sources = (source_t *)calloc(FILES_MAX, sizeof *sources);
  if (nftw(real, take_file, 16, FTW_PHYS) != 0) fail("%s: %s", directory, strerror(errno));
  qsort(sources, source_count, sizeof *sources, by_path);
  if (source_count < 10) fail("%s has only %zu files; choose a larger directory", directory, source_count);
}

/* Reads a source into memory that the caller frees. */
static char *read_source(const source_t *source) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", root, source->path);
  int file = open(path, O_RDONLY);
  if (file < 0) fail("%s: %s", path, strerror(errno));
  char *bytes = (char *)malloc(source->size + 1);
  uint64_t done = 0;
  while (done < source->size) {
    ssize_t got = read(file, bytes + done, source->size - done);
    if (got <= 0) fail("%s changed while it was read: %s", path, got < 0 ? strerror(errno) : "it is shorter");
    done += (uint64_t)got;
  }
  close(file);
  return bytes;
}

/* ---- the database */

static store_t open_store(void) {
  const char *names[FAMILIES] = {"default", "meta", "by_number"};
  char *error = NULL;
  store_t store;
  store.options = auradb_options_create();
  store.read = auradb_readoptions_create();
  store.write = auradb_writeoptions_create();
  auradb_options_set_create_if_missing(store.options, 1);
  auradb_options_set_create_missing_column_families(store.options, 1);
  auradb_options_set_compression(store.options, auradb_lz4_compression);
  auradb_block_based_table_options_t *table = auradb_block_based_options_create();
  auradb_cache_t *cache = auradb_cache_create_lru(128 << 20);
  auradb_block_based_options_set_block_cache(table, cache);
  auradb_block_based_options_set_filter_policy(table, auradb_filterpolicy_create_bloom(10));
  auradb_options_set_block_based_table_factory(store.options, table);
  auradb_block_based_options_destroy(table);
  auradb_cache_destroy(cache);
  const auradb_options_t *each[FAMILIES] = {store.options, store.options, store.options};
  store.db = auradb_open_column_families(store.options, database, FAMILIES, names, each, store.families, &error);
  check(error, "open");
  return store;
}

static void close_store(store_t *store) {
  for (int i = 0; i < FAMILIES; i++) auradb_column_family_handle_destroy(store->families[i]);
  auradb_close(store->db);
  auradb_options_destroy(store->options);
  auradb_readoptions_destroy(store->read);
  auradb_writeoptions_destroy(store->write);
}

/* ---- loading */

/* Takes the next files, up to a batch of them; returns how many. */
static size_t take_work(size_t *first) {
  uint64_t start = atomic_load(&ledger->next), end;
  do {
    uint64_t bytes = 0;
    for (end = start; end < source_count && end - start < BATCH_FILES && (end == start || bytes < BATCH_BYTES); end++) {
      bytes += sources[end].size;
    }
  } while (!atomic_compare_exchange_weak(&ledger->next, &start, end));
  *first = (size_t)start;
  return (size_t)(end - start);
}

static void add_file(store_t *store, auradb_writebatch_t *batch, size_t number) {
  const source_t *source = &sources[number];
  uint64_t meta[2] = {source->size, source->mtime};
  size_t length = strlen(source->path);
  char key[NUMBER_ROOM];
  size_t key_length = number_key(key, number);
  char *bytes = read_source(source);
  auradb_writebatch_put_cf(batch, store->families[CONTENT], source->path, length, bytes, source->size);
  auradb_writebatch_put_cf(batch, store->families[META], source->path, length, (const char *)meta, sizeof meta);
  auradb_writebatch_put_cf(batch, store->families[BY_NUMBER], key, key_length, source->path, length);
  free(bytes);
}

static void *load_some(void *argument) {
  store_t *store = (store_t *)argument;
  auradb_writebatch_t *batch = auradb_writebatch_create();
  char *error = NULL;
  size_t first, count;
  while ((count = take_work(&first)) > 0) {
    uint64_t bytes = 0, files = 0;
    auradb_writebatch_clear(batch);
    for (size_t i = first; i < first + count; i++) {
      if (atomic_load(&ledger->acknowledged[i])) continue;
      add_file(store, batch, i);
      bytes += sources[i].size, files++;
    }
    auradb_write(store->db, store->write, batch, &error);
    check(error, "write");
    for (size_t i = first; i < first + count; i++) atomic_store(&ledger->acknowledged[i], 1);
    atomic_fetch_add(&ledger->bytes, bytes);
    atomic_fetch_add(&ledger->files, files);
  }
  auradb_writebatch_destroy(batch);
  return NULL;
}

/* Shows how far loading is: in place on a terminal, else with a line now and then. The last one is always shown. */
static void progress(const char *what, int last) {
  static _Atomic double shown = 0;
  int terminal = isatty(STDOUT_FILENO);
  if (!last && now() - shown < (terminal ? 0.1 : 2.0)) return;
  shown = now();
  printf("%s  %s: %llu of %zu files, %.0f of %.0f MB%s", terminal ? "\r" : "", what,
         (unsigned long long)atomic_load(&ledger->files), source_count, megabytes(atomic_load(&ledger->bytes)),
         megabytes(source_bytes), terminal && !last ? "" : "\n");
  fflush(stdout);
}

static void *show_progress(void *done) {
  while (!atomic_load((_Atomic int *)done)) {
    progress("loading", 0);
    usleep(50000);
  }
  return NULL;
}

static void load_all(store_t *store) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, load_some, store);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

/* ---- proving */

typedef struct {
  store_t *store;
  _Atomic uint64_t *next;
  _Atomic uint64_t files, bytes;
} verifier_t;

/* From the number to the path, and from the path to contents and metadata. */
static void verify_file(store_t *store, size_t number) {
  const source_t *source = &sources[number];
  char *error = NULL, key[NUMBER_ROOM];
  size_t length = 0, path_length = 0, key_length = number_key(key, number);
  char *path = auradb_get_cf(store->db, store->read, store->families[BY_NUMBER], key, key_length, &path_length, &error);
  check(error, source->path);
  if (path == NULL) fail("%s was acknowledged and is not there by its number %s", source->path, key);
  if (path_length != strlen(source->path) || memcmp(path, source->path, path_length) != 0) {
    fail("number %s leads to %.*s, expected %s", key, (int)path_length, path, source->path);
  }
  auradb_pinnableslice_t *found =
      auradb_get_pinned_cf(store->db, store->read, store->families[CONTENT], path, path_length, &error);
  check(error, source->path);
  const char *value = auradb_pinnableslice_value(found, &length);
  if (value == NULL) fail("%s was acknowledged and is not there", source->path);
  char *expected = read_source(source);
  if (length != source->size || memcmp(value, expected, length) != 0) {
    fail("%s differs from its source (%zu bytes, expected %llu)", source->path, length,
         (unsigned long long)source->size);
  }
  free(expected);
  auradb_pinnableslice_destroy(found);
  char *meta = auradb_get_cf(store->db, store->read, store->families[META], path, path_length, &length, &error);
  check(error, source->path);
  uint64_t wanted[2] = {source->size, source->mtime};
  if (meta == NULL || length != sizeof wanted || memcmp(meta, wanted, sizeof wanted) != 0) {
    fail("%s is there without its metadata: a batch was torn", source->path);
  }
  auradb_free(meta);
  auradb_free(path);
}

static void *verify_some(void *argument) {
  verifier_t *verifier = (verifier_t *)argument;
  for (uint64_t i; (i = atomic_fetch_add(verifier->next, 1)) < source_count;) {
    if (!atomic_load(&ledger->acknowledged[i])) continue;
    verify_file(verifier->store, i);
    atomic_fetch_add(&verifier->files, 1);
    atomic_fetch_add(&verifier->bytes, sources[i].size);
  }
  return NULL;
}

/* Compares every file that was acknowledged with its source. */
static void verify_acknowledged(store_t *store) {
  _Atomic uint64_t next = 0;
  verifier_t verifier = {store, &next, 0, 0};
  pthread_t threads[THREADS];
  double start = now();
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, verify_some, &verifier);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  double seconds = now() - start;
  printf("  compared %llu files, %.0f MB, byte by byte with their sources: all right (%.0f MB/s)\n",
         (unsigned long long)verifier.files, megabytes(verifier.bytes), megabytes(verifier.bytes) / seconds);
}

/* The same files are in all families: no batch is there in parts, acknowledged or not. Returns how many. Files are
 * numbered in the order of their paths, so that all three scans go side by side. */
static size_t verify_families_agree(store_t *store) {
  auradb_iterator_t *all[FAMILIES];
  char *error = NULL;
  size_t count = 0;
  auradb_create_iterators(store->db, store->read, store->families, all, FAMILIES, &error);
  check(error, "create iterators");
  for (int i = 0; i < FAMILIES; i++) auradb_iter_seek_to_first(all[i]);
  for (; auradb_iter_valid(all[CONTENT]); count++) {
    const char *paths[FAMILIES];
    size_t lengths[FAMILIES];
    for (int i = 0; i < FAMILIES; i++) {
      auradb_iter_get_error(all[i], &error);
      check(error, "scan");
      if (!auradb_iter_valid(all[i])) fail("family %d has fewer files than family 0", i);
      paths[i] = i == BY_NUMBER ? auradb_iter_value(all[i], &lengths[i]) : auradb_iter_key(all[i], &lengths[i]);
      if (lengths[i] != lengths[0] || memcmp(paths[i], paths[0], lengths[0]) != 0) {
        fail("%.*s and %.*s: the families differ", (int)lengths[0], paths[0], (int)lengths[i], paths[i]);
      }
    }
    for (int i = 0; i < FAMILIES; i++) auradb_iter_next(all[i]);
  }
  for (int i = 0; i < FAMILIES; i++) {
    auradb_iter_get_error(all[i], &error);
    check(error, "scan");
    if (auradb_iter_valid(all[i])) fail("one family has more files than another");
    auradb_iter_destroy(all[i]);
  }
  return count;
}

/* ---- 1. a child that is killed */

static void kill_a_loading_child(void) {
  printf("1. a child loads with %d threads, and is killed in the middle\n", THREADS);
  fflush(stdout);
  pid_t child = fork(); /* nothing of the engine runs in this process yet: a child must not inherit an open database */
  if (child < 0) fail("fork: %s", strerror(errno));
  if (child == 0) {
    store_t store = open_store();
    load_all(&store);
    close_store(&store);
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    progress("child", 0);
    if (atomic_load(&ledger->bytes) > source_bytes * 2 / 5) kill(child, SIGKILL);
    usleep(2000);
  }
  progress("child", 1);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("the child failed (status %d)", status);
    printf("  the child was done before it could be killed\n");
    return;
  }
  printf("  killed after %llu acknowledged files; opening again\n", (unsigned long long)atomic_load(&ledger->files));
}

static void verify_after_kill(void) {
  double start = now();
  store_t store = open_store();
  printf("  recovered in %.3f s\n", now() - start);
  char *report = NULL;
  if (!auradb_health(store.db, NULL, NULL, &report)) fail("the database is not healthy after the kill");
  if (report != NULL) printf("  recovery says: %s\n", report);
  auradb_free(report);
  verify_acknowledged(&store);
  size_t there = verify_families_agree(&store), acknowledged = (size_t)atomic_load(&ledger->files);
  if (there < acknowledged) fail("%zu files are there, fewer than the %zu acknowledged", there, acknowledged);
  printf("  %zu files are there with their metadata: the %zu acknowledged, and %zu that were in flight\n", there,
         acknowledged, there - acknowledged);
  close_store(&store);
}

/* ---- 2. the rest */

static void load_the_rest(store_t *store) {
  printf("2. loading the rest\n");
  _Atomic int done = 0;
  uint64_t before = atomic_load(&ledger->bytes);
  pthread_t shower;
  double start = now();
  atomic_store(&ledger->next, 0);
  pthread_create(&shower, NULL, show_progress, (void *)&done);
  load_all(store);
  atomic_store(&done, 1);
  pthread_join(shower, NULL);
  double seconds = now() - start;
  uint64_t loaded = atomic_load(&ledger->bytes) - before;
  progress("loading", 1);
  printf("  %.0f MB in %.2f s: %.0f MB/s\n", megabytes(loaded), seconds, megabytes(loaded) / seconds);
  verify_acknowledged(store);
  if (verify_families_agree(store) != source_count) fail("the database has not exactly the files of the tree");
}

/* ---- 3. one directory */

/* Finds the directory with the most files of its own (sub-directories not counted): its path and a slash. */
static void largest_directory(char *prefix, size_t room) {
  size_t most = 0;
  prefix[0] = 0;
  for (size_t i = 0; i < source_count;) {
    const char *path = sources[i].path, *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1, start = i;
    for (; i < source_count; i++) {
      if (strncmp(sources[i].path, path, length) != 0 || strchr(sources[i].path + length, '/') != NULL) break;
    }
    if (length > 0 && length < room && i - start > most) {
      most = i - start;
      snprintf(prefix, room, "%.*s", (int)length, path);
    }
    if (i == start) i++;
  }
}

static void scan_a_directory(store_t *store) {
  char prefix[4096], end[4096];
  size_t expected = 0, found = 0;
  largest_directory(prefix, sizeof prefix);
  size_t length = strlen(prefix);
  for (size_t i = 0; i < source_count; i++) expected += strncmp(sources[i].path, prefix, length) == 0;
  snprintf(end, sizeof end, "%s", prefix);
  if (length > 0) end[length - 1]++; /* '0' comes after '/' */
  auradb_readoptions_t *read = auradb_readoptions_create();
  if (length > 0) auradb_readoptions_set_iterate_upper_bound(read, end, length);
  auradb_iterator_t *iter = auradb_create_iterator_cf(store->db, read, store->families[META]);
  double start = now();
  for (auradb_iter_seek(iter, prefix, length); auradb_iter_valid(iter); auradb_iter_next(iter)) found++;
  double seconds = now() - start;
  char *error = NULL;
  auradb_iter_get_error(iter, &error);
  check(error, "scan");
  auradb_iter_destroy(iter);
  auradb_readoptions_destroy(read);
  printf("3. %s* has %zu files, found by a range scan in %.1f ms\n", prefix, found, seconds * 1e3);
  if (found != expected) fail("the scan found %zu files of %s, expected %zu", found, prefix, expected);
}

/* ---- 4. a snapshot */

/* A number that every key and value of the scan up to `last` goes into. */
static uint64_t hash_scan(store_t *store, const auradb_snapshot_t *snapshot, const char *last) {
  uint64_t hash = 14695981039346656037ull;
  auradb_readoptions_t *read = auradb_readoptions_create();
  auradb_readoptions_set_snapshot(read, snapshot);
  auradb_readoptions_set_fill_cache(read, 0);
  auradb_readoptions_set_iterate_upper_bound(read, last, strlen(last));
  auradb_iterator_t *iter = auradb_create_iterator_cf(store->db, read, store->families[CONTENT]);
  for (auradb_iter_seek_to_first(iter); auradb_iter_valid(iter); auradb_iter_next(iter)) {
    for (int part = 0; part < 2; part++) {
      size_t length = 0;
      const char *bytes = part == 0 ? auradb_iter_key(iter, &length) : auradb_iter_value(iter, &length);
      for (size_t at = 0; at < length; at++) hash = (hash ^ (unsigned char)bytes[at]) * 1099511628211ull;
      hash = (hash ^ length) * 1099511628211ull;
    }
  }
  char *error = NULL;
  auradb_iter_get_error(iter, &error);
  check(error, "scan");
  auradb_iter_destroy(iter);
  auradb_readoptions_destroy(read);
  return hash;
}

typedef struct {
  store_t *store;
  size_t files; /* the first so many are overwritten */
  _Atomic int stop;
  _Atomic uint64_t overwrites;
} overwriter_t;

static void *overwrite(void *argument) {
  overwriter_t *job = (overwriter_t *)argument;
  static _Atomic unsigned ids = 0;
  uint64_t state = 88172645463325252ull + atomic_fetch_add(&ids, 1) * 7919;
  char *error = NULL, value[20000];
  while (!atomic_load(&job->stop)) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    const source_t *source = &sources[state % job->files];
    size_t length = state / 1024 % sizeof value;
    memset(value, (int)('a' + state % 26), length);
    auradb_put_cf(job->store->db, job->store->write, job->store->families[CONTENT], source->path, strlen(source->path),
                  value, length, &error);
    check(error, "overwrite");
    atomic_fetch_add(&job->overwrites, 1);
  }
  return NULL;
}

static void prove_a_snapshot(store_t *store) {
  overwriter_t job = {store, 0, 0, 0};
  uint64_t bytes = 0;
  pthread_t threads[THREADS];
  while (job.files < source_count - 1 && bytes + sources[job.files].size <= SCAN_MAX) {
    bytes += sources[job.files++].size;
  }
  if (job.files == 0) job.files = 1;
  const char *last = sources[job.files].path;
  printf("4. a snapshot of %zu files while %d threads overwrite them\n", job.files, THREADS);
  const auradb_snapshot_t *snapshot = auradb_create_snapshot(store->db);
  uint64_t before = hash_scan(store, snapshot, last);
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, overwrite, &job);
  for (int round = 0; round < 5; round++) {
    usleep(50000);
    if (hash_scan(store, snapshot, last) != before) fail("the snapshot changed while it was overwritten");
  }
  atomic_store(&job.stop, 1);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  auradb_compact_range_cf(store->db, store->families[CONTENT], NULL, 0, NULL, 0);
  uint64_t after = hash_scan(store, snapshot, last), latest = hash_scan(store, NULL, last);
  auradb_release_snapshot(store->db, snapshot);
  printf("  %llu overwrites and a compaction; the snapshot: %016llx before, %016llx after; the latest state: %016llx\n",
         (unsigned long long)job.overwrites, (unsigned long long)before, (unsigned long long)after,
         (unsigned long long)latest);
  if (after != before) fail("the snapshot changed");
  if (latest == before) fail("the overwrites are not to be seen");
}

/* ---- 5. what the database says of itself */

static void tell(store_t *store) {
  char *text = auradb_property_value(store->db, "auradb.summary");
  printf("5. the database\n");
  if (text == NULL) text = auradb_property_value(store->db, "rocksdb.stats");
  if (text == NULL) fail("the database has no summary of itself");
  printf("%s\n", text);
  auradb_free(text);
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) fail("usage: tree_load DIRECTORY [DATABASE]");
  char chosen[64];
  snprintf(chosen, sizeof chosen, "/tmp/auradb-tree-%ld", (long)getpid());
  database = argc > 2 ? argv[2] : chosen;
  if (access(database, F_OK) == 0) fail("%s exists; name a database that does not", database);
  find_sources(argv[1]);
  printf("%s: %zu files, %.0f MB; the database is %s\n", argv[1], source_count, megabytes(source_bytes), database);
  ledger = (ledger_t *)mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ledger == MAP_FAILED) fail("mmap: %s", strerror(errno));

  kill_a_loading_child();
  verify_after_kill();
  store_t store = open_store();
  load_the_rest(&store);
  scan_a_directory(&store);
  prove_a_snapshot(&store);
  tell(&store);
  close_store(&store);
  remove_database();
  printf("everything is right\n");
  return 0;
}
