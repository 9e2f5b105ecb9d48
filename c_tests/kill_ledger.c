/*
 * Acknowledged writes survive SIGKILL. A child process writes with several threads and notes in shared memory, for each
 * key, the version it is about to write and the last one that was acknowledged. The parent kills it at a random time,
 * opens the database, and checks: each key has its acknowledged version, or the one that was in flight; every value is
 * right to the last byte; each batch, which spans three column families, is there whole or not at all. Small and large
 * values, deletes, flushes, compactions, synced and unsynced writes; every structure of memtables with mapped and plain
 * logs of all lengths, some in files of older ones, synced by the log thread and by writers; families flushed one by
 * one and together. What a killed process leaves is opened with other settings than it had; the kill often hits the
 * child while it recovers from the one before.
 *
 * AURADB_KILLS=n changes the number of kills (default 60), AURADB_SEED=n the random choices (printed), AURADB_KEEP=1
 * keeps the database of a failed run.
 */
#include "test.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { THREADS = 4, SINGLES = 48, GROUPS = 16, FAMILIES = 3, MAX_VALUE = 96 << 10 };

/* What is known of one key, or of one group of keys that a batch writes together. */
typedef struct {
  _Atomic uint64_t attempted;
  _Atomic uint64_t acknowledged;
} entry_t;

typedef struct {
  entry_t singles[THREADS][SINGLES];
  entry_t groups[THREADS][GROUPS];
  _Atomic uint64_t operations; /* acknowledged, in all rounds */
  _Atomic int opened;          /* the child of this round has the database open */
  _Atomic int failed;          /* the child saw an error */
} ledger_t;

/* One way to run the database. */
enum { MEMTABLES = 3, PATHS = MEMTABLES * 2 * 2 };
typedef struct {
  unsigned char mapped, async, sync, together;
  int memtable, policy;
  uint64_t threshold, log_size;
  size_t recycled;
} variant_t;

static ledger_t *ledger;
static const char *const family_names[FAMILIES] = {"default", "one", "two"};

/* The write path, memtable, log and who syncs it, by its number, so that all take turns; the rest by chance. */
static variant_t variant_of(unsigned path, unsigned long long random) {
  static const int memtables[MEMTABLES] = {auradb_memtable_skip_list, auradb_memtable_art, auradb_memtable_btree};
  static const uint64_t thresholds[] = {1024, 0, 4096, UINT64_MAX};
  static const uint64_t log_sizes[] = {64 << 20, 1 << 20, 128 << 10, 16 << 10};
  variant_t v;
  v.mapped = path % 2, v.async = path / 2 % 2, v.memtable = memtables[path / 4 % MEMTABLES];
  v.sync = random / 4 % 4 == 0, v.together = random / 2 % 2;
  v.policy = random / 16 % 3 == 0 ? auradb_wal_sync_every_n_writes : auradb_wal_sync_manual;
  v.threshold = thresholds[random / 64 % 4];
  v.log_size = log_sizes[random / 256 % 4], v.recycled = random / 1024 % 3;
  return v;
}

typedef struct {
  auradb_options_t *options;
  auradb_t *db;
  auradb_column_family_handle_t *families[FAMILIES];
} base_t;

static int base_open(base_t *base, variant_t v, char **error) {
  auradb_options_t *o = base->options = auradb_options_create();
  auradb_options_set_create_if_missing(o, 1);
  auradb_options_set_create_missing_column_families(o, 1);
  auradb_options_set_write_buffer_size(o, 256 << 10);
  auradb_options_set_target_file_size_base(o, 128 << 10);
  auradb_options_set_max_bytes_for_level_base(o, 512 << 10);
  auradb_options_set_value_log_segment_size(o, 2 << 20);
  auradb_options_set_separation_threshold(o, v.threshold);
  auradb_options_set_memtable_kind(o, v.memtable);
  auradb_options_set_memory_mapped_wal(o, v.mapped);
  auradb_options_set_wal_file_size(o, v.log_size);
  auradb_options_set_recycle_log_file_num(o, v.recycled);
  auradb_options_set_atomic_flush(o, v.together);
  auradb_options_set_async_writes(o, v.async);
  auradb_options_set_wal_sync_policy(o, v.policy, 8);
  const auradb_options_t *all[FAMILIES] = {o, o, o};
  base->db = auradb_open_column_families(o, path_of("db"), FAMILIES, family_names, all, base->families, error);
  return base->db != NULL;
}

static void base_close(base_t *base) {
  if (base->db != NULL) {
    for (int i = 0; i < FAMILIES; i++) auradb_column_family_handle_destroy(base->families[i]);
  }
  auradb_close(base->db);
  auradb_options_destroy(base->options);
}

/* Every seventh version of a single key is a delete. */
static int is_delete(uint64_t version) { return version % 7 == 6; }

/* The value of a key at a version: 24 bytes that name it, then noise; mostly small, sometimes large. */
static size_t make_value(char *value, uint64_t identity, uint64_t version) {
  unsigned long long state = (identity * 0x9e3779b97f4a7c15ULL) ^ (version * 0xff51afd7ed558ccdULL) ^ 0x5bd1e995;
  unsigned long long draw = next_random(&state);
  size_t len = 24 + draw / 8 % 200;
  if (draw % 8 >= 5) len = 1000 + draw / 8 % 6000;
  if (draw % 8 == 7) len = 24 + draw / 8 % (MAX_VALUE - 24);
  memcpy(value, &identity, 8), memcpy(value + 8, &version, 8);
  uint64_t len64 = len;
  memcpy(value + 16, &len64, 8);
  for (size_t at = 24; at < len; at += 8) {
    unsigned long long word = next_random(&state);
    if (draw % 2) word &= 0x0f0f00000f0f0000ULL;
    memcpy(value + at, &word, len - at < 8 ? len - at : 8);
  }
  return len;
}

static uint64_t single_identity(int thread, int index) { return (uint64_t)(thread * 1000 + index); }
static uint64_t group_identity(int thread, int index, int family) {
  return (uint64_t)(1000000 + thread * 10000 + index * 10 + family);
}

static size_t key_of(char key[32], uint64_t identity) {
  unsigned long long number = identity;
  return (size_t)snprintf(key, 32, "key-%02llu-%llu", number % 97, number);
}

typedef struct {
  base_t *base;
  int thread;
  unsigned long long random;
  variant_t variant;
} worker_t;

static void write_single(worker_t *w, auradb_writeoptions_t *write, char *value, char **error) {
  int index = (int)(next_random(&w->random) % SINGLES);
  entry_t *entry = &ledger->singles[w->thread][index];
  uint64_t identity = single_identity(w->thread, index), version = atomic_load(&entry->acknowledged) + 1;
  char key[32];
  size_t key_len = key_of(key, identity);
  auradb_column_family_handle_t *family = w->base->families[index % FAMILIES];
  atomic_store(&entry->attempted, version);
  if (is_delete(version)) {
    auradb_delete_cf(w->base->db, write, family, key, key_len, error);
  } else {
    size_t len = make_value(value, identity, version);
    auradb_put_cf(w->base->db, write, family, key, key_len, value, len, error);
  }
  if (*error == NULL) atomic_store(&entry->acknowledged, version);
}

static void write_group(worker_t *w, auradb_writeoptions_t *write, char *value, char **error) {
  int index = (int)(next_random(&w->random) % GROUPS);
  entry_t *entry = &ledger->groups[w->thread][index];
  uint64_t version = atomic_load(&entry->acknowledged) + 1;
  auradb_writebatch_t *batch = auradb_writebatch_create();
  for (int family = 0; family < FAMILIES; family++) {
    uint64_t identity = group_identity(w->thread, index, family);
    char key[32];
    size_t key_len = key_of(key, identity), len = make_value(value, identity, version);
    auradb_writebatch_put_cf(batch, w->base->families[family], key, key_len, value, len);
  }
  atomic_store(&entry->attempted, version);
  auradb_write(w->base->db, write, batch, error);
  if (*error == NULL) atomic_store(&entry->acknowledged, version);
  auradb_writebatch_destroy(batch);
}

static void *work(void *argument) {
  worker_t *w = (worker_t *)argument;
  char *value = (char *)malloc(MAX_VALUE), *error = NULL;
  auradb_writeoptions_t *plain = auradb_writeoptions_create(), *synced = auradb_writeoptions_create();
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flushoptions_set_wait(flush, 0);
  auradb_writeoptions_set_sync(synced, 1);
  for (;;) {
    unsigned long long draw = next_random(&w->random);
    auradb_writeoptions_t *write = w->variant.sync && draw % 3 == 0 ? synced : plain;
    if (draw / 8 % 400 == 0) {
      auradb_flush_cf(w->base->db, flush, w->base->families[draw / 4096 % FAMILIES], &error);
    } else if (draw / 8 % 1500 == 1) {
      auradb_compact_range_cf(w->base->db, w->base->families[draw / 4096 % FAMILIES], NULL, 0, NULL, 0);
    } else if (draw % 4 == 0) {
      write_group(w, write, value, &error);
    } else {
      write_single(w, write, value, &error);
    }
    if (error != NULL) {
      fprintf(stderr, "the child could not write: %s\n", error);
      atomic_store(&ledger->failed, 1);
      return NULL;
    }
    atomic_fetch_add(&ledger->operations, 1);
  }
}

/* Writes until it is killed. */
static void child(variant_t v, unsigned long long random) {
  static base_t base;
  static worker_t workers[THREADS];
  pthread_t threads[THREADS];
  char *error = NULL;
  if (!base_open(&base, v, &error)) {
    fprintf(stderr, "the child could not open: %s\n", error);
    atomic_store(&ledger->failed, 1);
    pause();
  }
  atomic_store(&ledger->opened, 1);
  for (int i = 0; i < THREADS; i++) {
    workers[i].base = &base, workers[i].thread = i, workers[i].variant = v;
    workers[i].random = (random + (unsigned long long)i * 7919) | 1;
    pthread_create(&threads[i], NULL, work, &workers[i]);
  }
  for (;;) pause();
}

/* The version of a key in the database: 0 if it is absent, UINT64_MAX if what is there is wrong. */
static uint64_t version_there(base_t *base, auradb_readoptions_t *read, int family, uint64_t identity, char *scratch) {
  char key[32], *error = NULL;
  size_t key_len = key_of(key, identity), len = 0;
  char *value = auradb_get_cf(base->db, read, base->families[family], key, key_len, &len, &error);
  if (!CHECK_OK(error)) return UINT64_MAX;
  if (value == NULL) return 0;
  uint64_t version = UINT64_MAX;
  if (len >= 24) memcpy(&version, value + 8, 8);
  int right = len >= 24 && version != UINT64_MAX && make_value(scratch, identity, version) == len &&
              memcmp(scratch, value, len) == 0;
  auradb_free(value);
  if (right) return version;
  printf("%s in %s: wrong bytes (%zu)\n", key, family_names[family], len);
  return UINT64_MAX;
}

static void complain(const char *what, int thread, int index, uint64_t there, const entry_t *entry) {
  printf("%s %d/%d has version %lld; acknowledged %llu, attempted %llu\n", what, thread, index, (long long)there,
         (unsigned long long)atomic_load(&entry->acknowledged), (unsigned long long)atomic_load(&entry->attempted));
}

/* Decides whether what was found can be, and makes it the new truth. */
static int settle(entry_t *entry, uint64_t there, int deletes) {
  uint64_t acknowledged = atomic_load(&entry->acknowledged), attempted = atomic_load(&entry->attempted);
  uint64_t settled = UINT64_MAX;
  if (there == 0) {
    if (acknowledged == 0 || (deletes && is_delete(acknowledged))) settled = acknowledged;
    else if (deletes && is_delete(attempted)) settled = attempted;
  } else if (there == acknowledged || there == attempted) {
    settled = there;
  }
  if (settled == UINT64_MAX) return 0;
  atomic_store(&entry->acknowledged, settled);
  atomic_store(&entry->attempted, settled);
  return 1;
}

static void verify_singles(base_t *base, auradb_readoptions_t *read, char *scratch) {
  for (int thread = 0; thread < THREADS; thread++) {
    for (int index = 0; index < SINGLES; index++) {
      entry_t *entry = &ledger->singles[thread][index];
      uint64_t there = version_there(base, read, index % FAMILIES, single_identity(thread, index), scratch);
      if (!CHECK(settle(entry, there, 1))) complain("key", thread, index, there, entry);
    }
  }
}

static void verify_groups(base_t *base, auradb_readoptions_t *read, char *scratch) {
  for (int thread = 0; thread < THREADS; thread++) {
    for (int index = 0; index < GROUPS; index++) {
      entry_t *entry = &ledger->groups[thread][index];
      uint64_t there[FAMILIES];
      for (int family = 0; family < FAMILIES; family++) {
        there[family] = version_there(base, read, family, group_identity(thread, index, family), scratch);
      }
      if (!CHECK(there[0] == there[1] && there[1] == there[2])) {
        printf("batch %d/%d is torn: versions %lld %lld %lld\n", thread, index, (long long)there[0],
               (long long)there[1], (long long)there[2]);
      } else if (!CHECK(settle(entry, there[0], 0))) {
        complain("batch", thread, index, there[0], entry);
      }
    }
  }
}

/* A scan sees what the ledger says, no more and no less. */
static void verify_counts(base_t *base, auradb_readoptions_t *read) {
  size_t expected[FAMILIES] = {0, 0, 0};
  for (int thread = 0; thread < THREADS; thread++) {
    for (int index = 0; index < SINGLES; index++) {
      uint64_t version = atomic_load(&ledger->singles[thread][index].acknowledged);
      if (version > 0 && !is_delete(version)) expected[index % FAMILIES]++;
    }
    for (int index = 0; index < GROUPS; index++) {
      if (atomic_load(&ledger->groups[thread][index].acknowledged) == 0) continue;
      for (int family = 0; family < FAMILIES; family++) expected[family]++;
    }
  }
  for (int family = 0; family < FAMILIES; family++) {
    size_t count = 0;
    char *error = NULL;
    auradb_iterator_t *iter = auradb_create_iterator_cf(base->db, read, base->families[family]);
    for (auradb_iter_seek_to_first(iter); auradb_iter_valid(iter); auradb_iter_next(iter)) count++;
    auradb_iter_get_error(iter, &error);
    CHECK_OK(error);
    auradb_iter_destroy(iter);
    if (!CHECK(count == expected[family])) {
      printf("%s has %zu entries, expected %zu\n", family_names[family], count, expected[family]);
    }
  }
}

static int verify(variant_t v) {
  base_t base;
  char *error = NULL, *scratch = (char *)malloc(MAX_VALUE);
  auradb_readoptions_t *read = auradb_readoptions_create();
  int opened = base_open(&base, v, &error);
  CHECK_OK(error);
  if (CHECK(opened)) {
    verify_singles(&base, read, scratch);
    verify_groups(&base, read, scratch);
    if (test_phase_failures == 0) verify_counts(&base, read);
  }
  base_close(&base);
  auradb_readoptions_destroy(read);
  free(scratch);
  return test_phase_failures == 0;
}

/* Log files that a killed process has left. */
static int logs_left(void) {
  int logs = 0;
  DIR *directory = opendir(path_of("db"));
  if (directory == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) logs += strstr(entry->d_name, ".log") != NULL;
  closedir(directory);
  return logs;
}

/* One round: a child writes and is killed, and the parent verifies. */
static int round_of(int number, unsigned long long *random, int *killed_in_recovery, int *most_logs) {
  char title[200];
  variant_t v = variant_of((unsigned)number % PATHS, next_random(random));
  unsigned long long other = next_random(random);
  variant_t later = variant_of((unsigned)(other / 4096 % PATHS), other);
  snprintf(title, sizeof title,
           "kill %d: memtable %d, mapped %d, async %d, sync %d, together %d, policy %d, threshold %lld, logs of %llu, "
           "recycled %zu",
           number, v.memtable, v.mapped, v.async, v.sync, v.together, v.policy, (long long)v.threshold,
           (unsigned long long)v.log_size, v.recycled);
  phase(title);
  atomic_store(&ledger->opened, 0);
  unsigned long long seed = next_random(random);
  /* Most kills hit work, some hit recovery. */
  long delay_us = (long)(next_random(random) % 8000);
  if (next_random(random) % 6 != 0) delay_us += 10000 + (long)(next_random(random) % 200000);
  pid_t pid = fork();
  if (pid == 0) child(v, seed);
  REQUIRE(pid > 0);
  usleep((useconds_t)delay_us);
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  CHECK(atomic_load(&ledger->failed) == 0);
  if (!atomic_load(&ledger->opened)) (*killed_in_recovery)++;
  int logs = logs_left();
  if (logs > *most_logs) *most_logs = logs;
  return verify(later);
}

int main(void) {
  const char *kills_text = getenv("AURADB_KILLS"), *seed_text = getenv("AURADB_SEED");
  int kills = kills_text != NULL && atoi(kills_text) > 0 ? atoi(kills_text) : 60;
  int early = 0, number = 0, most_logs = 0;
  unsigned long long seed = (unsigned long long)time(NULL) ^ (unsigned long long)getpid() << 20;
  if (seed_text != NULL) seed = strtoull(seed_text, NULL, 0);
  unsigned long long random = seed | 1;
  begin("kill");
  printf("AURADB_SEED=%llu AURADB_KILLS=%d\n", seed, kills);
  ledger = (ledger_t *)mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(ledger != MAP_FAILED);
  while (number < kills && round_of(number + 1, &random, &early, &most_logs)) number++;
  phase("the kills hit real work");
  CHECK(number == kills);
  CHECK(atomic_load(&ledger->operations) > (uint64_t)number);
  /* One in use, one made ahead: what exceeds them was filled. */
  CHECK(number < 30 || most_logs > 3);
  printf("%d kills, %d of them before the child had opened, %llu operations acknowledged, %d logs at most\n", number,
         early, (unsigned long long)atomic_load(&ledger->operations), most_logs);
  if (test_phase_failures + test_failed > 0) printf("seed of the failure: AURADB_SEED=%llu\n", seed);
  return finish();
}
