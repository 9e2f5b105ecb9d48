/* Values of short synced batches stay in the log until the flush moves them to the value log; those of other batches
 * are there before the log knows of them. */
#include "test.h"

enum { KEYS = 50, VALUE = 3000, LIMIT = 16 << 10 };

static uint64_t property(store_t *s, const char *name) {
  uint64_t number = UINT64_MAX;
  CHECK(auradb_property_int(s->db, name, &number) == 0);
  return number;
}

static void make_value(char *value, int n, int version) {
  unsigned state = (unsigned)(n * 1000 + version);
  for (int i = 0; i < VALUE; i++) {
    state = state * 1664525u + 1013904223u;
    value[i] = (char)(state >> 24);
  }
}

/* Puts, or packs `batch` puts into each batch. */
static void write_all(store_t *s, int version, unsigned char sync, int batch) {
  char key[16], value[VALUE];
  auradb_writeoptions_set_sync(s->write, sync);
  auradb_writebatch_t *writes = auradb_writebatch_create();
  for (int n = 0; n < KEYS; n++) {
    snprintf(key, sizeof key, "key%03d", n);
    make_value(value, n, version);
    if (batch == 0) {
      auradb_put(s->db, s->write, key, strlen(key), value, VALUE, &s->error);
    } else {
      auradb_writebatch_put(writes, key, strlen(key), value, VALUE);
      if ((n + 1) % batch != 0 && n + 1 < KEYS) continue;
      auradb_write(s->db, s->write, writes, &s->error);
      auradb_writebatch_clear(writes);
    }
    CHECK_OK(s->error);
  }
  auradb_writebatch_destroy(writes);
  auradb_writeoptions_set_sync(s->write, 0);
}

static void check_all(store_t *s, int version) {
  char key[16], value[VALUE];
  for (int n = 0; n < KEYS; n++) {
    size_t length = 0;
    snprintf(key, sizeof key, "key%03d", n);
    make_value(value, n, version);
    char *found = auradb_get(s->db, s->read, key, strlen(key), &length, &s->error);
    CHECK_OK(s->error);
    CHECK(found != NULL && length == VALUE && memcmp(found, value, VALUE) == 0);
    auradb_free(found);
  }
}

static void flush(store_t *s) {
  auradb_flushoptions_t *options = auradb_flushoptions_create();
  auradb_flushoptions_set_wait(options, 1);
  auradb_flush(s->db, options, &s->error);
  CHECK_OK(s->error);
  auradb_flushoptions_destroy(options);
}

static void run(uint64_t limit) {
  store_t s = store_new();
  char name[64];
  snprintf(name, sizeof name, "synced_values_%llu", (unsigned long long)limit);
  auradb_options_set_synced_separation_threshold(s.options, limit);
  auradb_options_set_value_log_compression(s.options, auradb_no_compression);
  store_open(&s, name);
  int kept = limit > 0 ? KEYS : 0;

  phase("synced puts");
  write_all(&s, 1, 1, 0);
  check_all(&s, 1);
  CHECK(property(&s, "auradb.value-log-values-written") == (uint64_t)(KEYS - kept));
  CHECK((property(&s, "auradb.value-log-syncs") == 0) == (limit > 0));
  CHECK(property(&s, "auradb.wal-syncs") >= KEYS);
  flush(&s);
  check_all(&s, 1);
  CHECK(property(&s, "auradb.value-log-values-written") == KEYS);
  CHECK(property(&s, "auradb.flush-values-separated") == (uint64_t)kept);
  CHECK((property(&s, "auradb.flush-value-bytes-separated") >= KEYS * VALUE) == (limit > 0));
  CHECK(property(&s, "auradb.value-log-live-bytes") >= KEYS * VALUE);
  CHECK(property(&s, "auradb.flush-bytes") < KEYS * VALUE / 4);

  phase("unsynced puts and long synced batches go to the value log at once");
  write_all(&s, 2, 0, 0);
  write_all(&s, 3, 1, 10);
  check_all(&s, 3);
  CHECK(property(&s, "auradb.value-log-values-written") == 3 * KEYS);

  phase("short synced batches");
  write_all(&s, 4, 1, 2);
  check_all(&s, 4);
  CHECK(property(&s, "auradb.value-log-values-written") == (uint64_t)(4 * KEYS - kept));

  phase("recovery from the log moves them too");
  store_close(&s);
  store_open(&s, name);
  check_all(&s, 4);
  CHECK(property(&s, "auradb.flush-values-separated") == (uint64_t)kept);
  CHECK(property(&s, "auradb.value-log-live-bytes") >= KEYS * VALUE);
  auradb_compact_range(s.db, NULL, 0, NULL, 0);
  check_all(&s, 4);
  auradb_verify_value_log(s.db, &s.error);
  CHECK_OK(s.error);
  store_close(&s);
  store_free(&s);
}

int main(void) {
  begin("synced_values");
  run(LIMIT);
  run(0);
  return finish();
}
