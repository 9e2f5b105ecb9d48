/* Memory: one manager for the memtables of two databases, and what is shown of them. */
#include "test.h"

#include <pthread.h>

enum { KEYS = 400, VALUE_LEN = 500 };

static void put_many(auradb_t *db, store_t *s, int seed) {
  char key[32], value[VALUE_LEN];
  char *error = NULL;
  for (int i = 0; i < KEYS; i++) {
    snprintf(key, sizeof key, "%d-%06d", seed, i);
    memset(value, 'a' + (i + seed) % 26, sizeof value);
    auradb_put(db, s->write, key, strlen(key), value, sizeof value, &error);
    CHECK_OK(error);
  }
}

static void check_many(auradb_t *db, store_t *s, int seed) {
  char key[32];
  char *error = NULL;
  for (int i = 0; i < KEYS; i++) {
    snprintf(key, sizeof key, "%d-%06d", seed, i);
    size_t len = 0;
    char *value = auradb_get(db, s->read, key, strlen(key), &len, &error);
    CHECK_OK(error);
    CHECK(value != NULL && len == VALUE_LEN && value[0] == 'a' + (i + seed) % 26);
    auradb_free(value);
  }
}

typedef struct {
  auradb_t *db;
  store_t *s;
  int seed;
} writer_t;

static void *write_in_thread(void *state) {
  writer_t *writer = state;
  char key[32], value[VALUE_LEN];
  char *error = NULL;
  memset(value, 'x', sizeof value);
  for (int i = 0; i < KEYS; i++) {
    snprintf(key, sizeof key, "t%d-%06d", writer->seed, i);
    auradb_put(writer->db, writer->s->write, key, strlen(key), value, sizeof value, &error);
    if (error != NULL) break;
  }
  return error;
}

static uint64_t number_of(auradb_t *db, const char *name) {
  uint64_t number = 0;
  CHECK(auradb_property_int(db, name, &number) == 0);
  return number;
}

static auradb_memory_usage_t *usage_of(auradb_memory_consumers_t *consumers) {
  char *error = NULL;
  auradb_memory_usage_t *usage = auradb_approximate_memory_usage_create(consumers, &error);
  CHECK_OK(error);
  return usage;
}

static void managers(void) {
  phase("a manager reads back");
  auradb_write_buffer_manager_t *wbm = auradb_write_buffer_manager_create(0, false);
  CHECK(!auradb_write_buffer_manager_enabled(wbm) && !auradb_write_buffer_manager_cost_to_cache(wbm));
  CHECK(auradb_write_buffer_manager_memory_usage(wbm) == 0);
  auradb_write_buffer_manager_set_buffer_size(wbm, 12345);
  CHECK(auradb_write_buffer_manager_enabled(wbm) && auradb_write_buffer_manager_buffer_size(wbm) == 12345);
  auradb_write_buffer_manager_destroy(wbm);

  phase("two databases keep to one cap, charged to a cache");
  auradb_cache_t *cache = auradb_cache_create_lru(8 << 20);
  wbm = auradb_write_buffer_manager_create_with_cache(128 << 10, cache, true);
  REQUIRE(wbm != NULL);
  CHECK(auradb_write_buffer_manager_cost_to_cache(wbm));
  store_t one = store_new(), other = store_new();
  auradb_options_set_write_buffer_manager(one.options, wbm);
  auradb_options_set_write_buffer_manager(other.options, wbm);
  store_open(&one, "one");
  store_open(&other, "other");
  writer_t writers[4];
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    writers[i] = (writer_t){i % 2 ? one.db : other.db, i % 2 ? &one : &other, i};
    REQUIRE(pthread_create(&threads[i], NULL, write_in_thread, &writers[i]) == 0);
  }
  for (int i = 0; i < 4; i++) {
    void *error = NULL;
    pthread_join(threads[i], &error);
    CHECK(error == NULL);
  }
  put_many(one.db, &one, 1);
  put_many(other.db, &other, 2);
  check_many(one.db, &one, 1);
  check_many(other.db, &other, 2);
  CHECK(number_of(one.db, "auradb.flushes") > 0 && number_of(other.db, "auradb.flushes") > 0);
  CHECK(auradb_write_buffer_manager_memory_usage(wbm) > 0);
  CHECK(auradb_write_buffer_manager_mutable_memtable_memory_usage(wbm) <= (160 << 10));
  size_t charged = auradb_write_buffer_manager_dummy_entries_in_cache_usage(wbm);
  CHECK(charged > 0 && charged % (256 << 10) == 0 && auradb_cache_get_usage(cache) >= charged);
  auradb_write_buffer_manager_set_allow_stall(wbm, false);
  store_close(&one);
  put_many(other.db, &other, 3);
  check_many(other.db, &other, 3);
  store_free(&one);
  store_free(&other);
  CHECK(auradb_write_buffer_manager_memory_usage(wbm) == 0);
  CHECK(auradb_write_buffer_manager_dummy_entries_in_cache_usage(wbm) == 0);
  CHECK(auradb_cache_get_usage(cache) == 0);
  auradb_write_buffer_manager_destroy(wbm);
  auradb_cache_destroy(cache);
}

static void usage(void) {
  phase("memory usage counts each database and cache once");
  auradb_cache_t *cache = auradb_cache_create_lru(8 << 20);
  auradb_block_based_table_options_t *table = auradb_block_based_options_create();
  auradb_block_based_options_set_block_cache(table, cache);
  store_t one = store_new(), other = store_new();
  auradb_options_set_block_based_table_factory(one.options, table);
  auradb_options_set_block_based_table_factory(other.options, table);
  auradb_block_based_options_destroy(table);
  store_open(&one, "usage-one");
  store_open(&other, "usage-other");
  auradb_memory_consumers_t *consumers = auradb_memory_consumers_create();
  for (int i = 0; i < 2; i++) {
    auradb_memory_consumers_add_db(consumers, one.db);
    auradb_memory_consumers_add_db(consumers, other.db);
    auradb_memory_consumers_add_cache(consumers, cache);
  }
  put_many(one.db, &one, 1);
  put_many(other.db, &other, 2);
  auradb_memory_usage_t *before = usage_of(consumers);
  uint64_t total = auradb_approximate_memory_usage_get_mem_table_total(before);
  CHECK(total == number_of(one.db, "rocksdb.size-all-mem-tables") + number_of(other.db, "auradb.size-all-mem-tables"));
  CHECK(total == auradb_approximate_memory_usage_get_mem_table_unflushed(before));
  CHECK(total > 2 * KEYS * VALUE_LEN && total < 3 * KEYS * VALUE_LEN);
  CHECK(auradb_approximate_memory_usage_get_mem_table_readers_total(before) == 0);

  phase("flushed memtables count while an iterator holds them");
  auradb_iterator_t *iter = auradb_create_iterator(one.db, one.read);
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flush(one.db, flush, &one.error);
  CHECK_OK(one.error);
  auradb_memory_usage_t *pinned = usage_of(consumers);
  uint64_t unflushed = auradb_approximate_memory_usage_get_mem_table_unflushed(pinned);
  CHECK(unflushed < total * 6 / 10 && auradb_approximate_memory_usage_get_mem_table_total(pinned) > total * 9 / 10);
  uint64_t readers = auradb_approximate_memory_usage_get_mem_table_readers_total(pinned);
  CHECK(readers > 0 && readers == number_of(one.db, "rocksdb.estimate-table-readers-mem"));
  CHECK(auradb_approximate_memory_usage_get_cache_total(pinned) == auradb_cache_get_usage(cache));
  CHECK(auradb_cache_get_usage(cache) >= readers);
  auradb_iter_destroy(iter);
  auradb_memory_usage_t *after = usage_of(consumers);
  CHECK(auradb_approximate_memory_usage_get_mem_table_total(after) ==
        auradb_approximate_memory_usage_get_mem_table_unflushed(after));

  phase("closed databases count nothing");
  store_free(&one);
  store_free(&other);
  auradb_memory_usage_t *closed = usage_of(consumers);
  CHECK(auradb_approximate_memory_usage_get_mem_table_total(closed) == 0);
  CHECK(auradb_approximate_memory_usage_get_mem_table_readers_total(closed) == 0);
  auradb_approximate_memory_usage_destroy(before);
  auradb_approximate_memory_usage_destroy(pinned);
  auradb_approximate_memory_usage_destroy(after);
  auradb_approximate_memory_usage_destroy(closed);
  auradb_memory_consumers_destroy(consumers);
  auradb_flushoptions_destroy(flush);
  auradb_cache_destroy(cache);
}

/* Puts a value of 64 KiB for each of 64 keys, and flushes. */
static void put_large(auradb_t *db, store_t *s) {
  static char value[64 << 10];
  char key[32];
  for (int i = 0; i < 64; i++) {
    int key_len = snprintf(key, sizeof key, "large%03d", i);
    memset(value, 'a' + i % 26, sizeof value);
    auradb_put(db, s->write, key, (size_t)key_len, value, sizeof value, &s->error);
    CHECK_OK(s->error);
  }
  auradb_flushoptions_t *wait = auradb_flushoptions_create();
  auradb_flush(db, wait, &s->error);
  auradb_flushoptions_destroy(wait);
  CHECK_OK(s->error);
}

/* Reads them, pinned, one after the other. */
static void read_large(auradb_t *db, store_t *s) {
  char key[32];
  for (int i = 0; i < 64; i++) {
    int key_len = snprintf(key, sizeof key, "large%03d", i);
    size_t len = 0;
    auradb_pinnableslice_t *slice = auradb_get_pinned(db, s->read, key, (size_t)key_len, &s->error);
    CHECK_OK(s->error);
    const char *value = auradb_pinnableslice_value(slice, &len);
    CHECK(value != NULL && len == 64 << 10 && value[0] == 'a' + i % 26 && value[len - 1] == value[0]);
    auradb_pinnableslice_destroy(slice);
  }
}

static void value_caches(void) {
  phase("values have a cache of their own, which two databases share");
  auradb_cache_t *values = auradb_cache_create_lru(2 << 20), *blocks = auradb_cache_create_lru(8 << 20);
  auradb_block_based_table_options_t *table = auradb_block_based_options_create();
  auradb_block_based_options_set_block_cache(table, blocks);
  store_t one = store_new(), other = store_new();
  store_t *stores[] = {&one, &other};
  for (int i = 0; i < 2; i++) {
    auradb_options_set_block_based_table_factory(stores[i]->options, table);
    auradb_options_set_value_log_compression(stores[i]->options, auradb_no_compression);
    auradb_options_set_blob_cache(stores[i]->options, values);
    store_open(stores[i], i ? "values-other" : "values-one");
    put_large(stores[i]->db, stores[i]);
  }
  auradb_block_based_options_destroy(table);
  read_large(one.db, &one);
  size_t filled = auradb_cache_get_usage(values);
  /* It is full, short of less than a value. */
  CHECK(filled > (2 << 20) - (80 << 10) && filled <= 2 << 20);
  CHECK(auradb_cache_get_usage(blocks) < 64 << 10);
  uint64_t misses = number_of(one.db, "auradb.cache-value-misses");
  CHECK(misses == 64);
  /* Asked for once, they leave what is there; asked for again, they push it out. */
  read_large(other.db, &other);
  read_large(one.db, &one);
  CHECK(number_of(one.db, "auradb.cache-value-hits") > 20);
  read_large(other.db, &other);
  read_large(other.db, &other);
  CHECK(auradb_cache_get_usage(values) <= 2 << 20);
  auradb_cache_destroy(values);
  auradb_cache_destroy(blocks);
  for (int i = 0; i < 2; i++) store_free(stores[i]);
}

int main(void) {
  begin("memory");
  value_caches();
  managers();
  usage();
  return finish();
}
