/*
 * Reads and background writes past the page cache: load, overwrite, flush, compact, collect garbage, read all back,
 * reopen, check; the same on a file system in memory, which may refuse it; and with it turned on and off between opens.
 */
#include "test.h"

#include <fcntl.h>

enum { KEYS = 3000 };

static int may_be_direct(const char *directory) {
  char path[400];
  snprintf(path, sizeof path, "%s/probe", directory);
  int file = open(path, O_CREAT | O_RDWR | O_DIRECT, 0600);
  if (file < 0) return 0;
  void *page = NULL;
  int fits = posix_memalign(&page, 4096, 4096) == 0;
  memset(page, 0, 4096);
  fits = fits && pwrite(file, page, 4096, 0) == 4096 && pread(file, page, 4096, 0) == 4096;
  free(page);
  close(file);
  unlink(path);
  return fits;
}

/* From 1 byte to 70 KB, most of them short; half compress well. */
static size_t value_of(char *value, int key, int version) {
  unsigned long long state = (unsigned long long)key * 1000003 + (unsigned long long)version + 1;
  unsigned long long random = next_random(&state);
  size_t len = random % 20 == 0 ? random / 32 % 70000 : random / 32 % 3000;
  for (size_t at = 0; at < len; at++) value[at] = random % 2 ? (char)(next_random(&state) >> 40) : (char)(at / 700);
  snprintf(value, 32, "%d/%d;", key, version);
  return len < strlen(value) ? strlen(value) : len;
}

static void put(store_t *s, int key, int version) {
  static char value[80000];
  char name[16];
  snprintf(name, sizeof name, "key%05d", key);
  size_t len = value_of(value, key, version);
  auradb_put(s->db, s->write, name, strlen(name), value, len, &s->error);
  CHECK_OK(s->error);
}

static void check(store_t *s, int key, int version) {
  static char expected[80000];
  char name[16];
  size_t len = 0;
  snprintf(name, sizeof name, "key%05d", key);
  size_t expected_len = value_of(expected, key, version);
  char *got = auradb_get(s->db, s->read, name, strlen(name), &len, &s->error);
  CHECK_OK(s->error);
  CHECK(got != NULL && len == expected_len && memcmp(got, expected, len) == 0);
  auradb_free(got);
}

/* Of each third key the second version counts. */
static int version_of(int key, int versions) { return key % 3 == 0 ? versions : 1; }

static void check_all(store_t *s, int versions) {
  static char expected[80000];
  for (int key = 0; key < KEYS; key++) check(s, key, version_of(key, versions));
  auradb_iterator_t *iter = auradb_create_iterator(s->db, s->read);
  int key = 0;
  for (auradb_iter_seek_to_first(iter); auradb_iter_valid(iter); auradb_iter_next(iter), key++) {
    size_t len = 0;
    const char *value = auradb_iter_value(iter, &len);
    size_t expected_len = value_of(expected, key, version_of(key, versions));
    CHECK(len == expected_len && memcmp(value, expected, len) == 0);
  }
  CHECK(key == KEYS);
  for (auradb_iter_seek_to_last(iter); auradb_iter_valid(iter); auradb_iter_prev(iter)) {
    size_t len = 0;
    key--;
    const char *value = auradb_iter_value(iter, &len);
    size_t expected_len = value_of(expected, key, version_of(key, versions));
    CHECK(len == expected_len && memcmp(value, expected, len) == 0);
  }
  CHECK(key == 0);
  auradb_iter_get_error(iter, &s->error);
  CHECK_OK(s->error);
  auradb_iter_destroy(iter);
}

static void choose(store_t *s, int reads, int writes) {
  auradb_options_set_use_direct_reads(s->options, (unsigned char)reads);
  auradb_options_set_use_direct_io_for_flush_and_compaction(s->options, (unsigned char)writes);
}

static store_t small_store(int reads, int writes) {
  store_t s = store_new();
  auradb_cache_t *cache = auradb_cache_create_lru(256 << 10);
  auradb_block_based_table_options_t *table = auradb_block_based_options_create();
  auradb_block_based_options_set_block_cache(table, cache);
  auradb_options_set_block_based_table_factory(s.options, table);
  auradb_block_based_options_destroy(table);
  auradb_cache_destroy(cache);
  auradb_options_set_write_buffer_size(s.options, 256 << 10);
  auradb_options_set_target_file_size_base(s.options, 100 << 10);
  auradb_options_set_max_bytes_for_level_base(s.options, 200 << 10);
  auradb_options_set_value_log_segment_size(s.options, 1 << 20);
  auradb_options_set_max_space_amp(s.options, 1.2);
  choose(&s, reads, writes);
  return s;
}

static void flush_and_compact(store_t *s) {
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flush(s->db, flush, &s->error);
  CHECK_OK(s->error);
  auradb_flushoptions_destroy(flush);
  auradb_compact_range(s->db, NULL, 0, NULL, 0);
}

static unsigned long long number(store_t *s, const char *name) {
  uint64_t value = 0;
  CHECK(auradb_property_int(s->db, name, &value) == 0);
  return value;
}

static void load_and_check(const char *path, int reads, int writes, int is_direct) {
  store_t s = small_store(reads, writes);
  s.db = auradb_open(s.options, path, &s.error);
  CHECK_OK(s.error);
  REQUIRE(s.db != NULL);
  for (int key = 0; key < KEYS; key++) {
    put(&s, key, 1);
    /* What was put just now is readable: it is in the page cache only. */
    if (key % 7 == 0) check(&s, key, 1);
  }
  for (int version = 2; version <= 5; version++) {
    for (int key = 0; key < KEYS; key += 3) put(&s, key, version);
    if (version == 3) flush_and_compact(&s);
    for (int key = 0; key < KEYS; key += 333) check(&s, key, version_of(key, version));
  }
  check_all(&s, 5);
  flush_and_compact(&s);
  check_all(&s, 5);
  store_close(&s);

  s.db = auradb_open(s.options, path, &s.error);
  CHECK_OK(s.error);
  REQUIRE(s.db != NULL);
  check_all(&s, 5);
  CHECK((number(&s, "auradb.direct-files-opened") > 0) == (is_direct && reads));
  CHECK((number(&s, "auradb.direct-files-refused") > 0) == (!is_direct && reads));
  char *text = auradb_property_value(s.db, "auradb.direct-io");
  const char *start = reads ? "reads on, background writes " : "reads off, background writes ";
  CHECK(text != NULL && strncmp(text, start, strlen(start)) == 0);
  auradb_free(text);
  store_close(&s);
  store_free(&s);
}

static int log_says(const char *path, const char *what) {
  static char text[1 << 16];
  char name[400];
  snprintf(name, sizeof name, "%s/LOG", path);
  FILE *log = fopen(name, "r");
  if (log == NULL) return 0;
  size_t len = fread(text, 1, sizeof text - 1, log);
  fclose(log);
  text[len] = 0;
  return strstr(text, what) != NULL;
}

static void between_opens(void) {
  phase("turned on and off between opens");
  store_t s = small_store(0, 0);
  for (int round = 0; round < 4; round++) {
    choose(&s, round & 1, round >> 1);
    store_open(&s, "turns");
    for (int key = 0; key < KEYS; key++) {
      if (round == 0 || key % 3 == 0) put(&s, key, round + 1);
    }
    if (round != 2) flush_and_compact(&s);
    check_all(&s, round + 1);
    store_close(&s);
  }
  store_free(&s);
}

static void in_memory(void) {
  phase("a file system in memory");
  char path[300];
  snprintf(path, sizeof path, "/dev/shm/auradb-direct-%ld", (long)getpid());
  if (mkdir(path, 0700) != 0) {
    printf("no /dev/shm: left out\n");
    return;
  }
  int is_direct = may_be_direct(path);
  printf("/dev/shm %s direct I/O\n", is_direct ? "takes" : "refuses");
  load_and_check(path, 1, 1, is_direct);
  CHECK(log_says(path, "direct I/O: the file system of ") == !is_direct);
  remove_tree(path);
}

int main(void) {
  begin("direct_io");
  int is_direct = may_be_direct(test_directory);
  printf("%s %s direct I/O\n", test_directory, is_direct ? "takes" : "refuses");
  phase("reads and background writes");
  load_and_check(path_of("both"), 1, 1, is_direct);
  CHECK(log_says(path_of("both"), "direct I/O: the file system of ") == !is_direct);
  phase("reads only");
  load_and_check(path_of("reads"), 1, 0, is_direct);
  phase("background writes only");
  load_and_check(path_of("writes"), 0, 1, is_direct);
  between_opens();
  in_memory();
  return finish();
}
