/* Values that expire, by the real clock. A value with a TTL of an hour is there all the time; one with a TTL of a
 * second is gone when some seconds have passed. Nothing is said of what lies in between. */
#include "test.h"

#include <unistd.h>

enum { SHORT = 1, LONG = 3600, BIG = 5000 };

static char big[BIG];

/* Waits until `key` is absent, for at most a minute: what expires in a second is not there for ever. */
static int goes(store_t *s, const char *key) {
  for (int tries = 0; tries < 600; tries++) {
    size_t length = 0;
    char *value = auradb_get(s->db, s->read, key, strlen(key), &length, &s->error);
    CHECK_OK(s->error);
    if (value == NULL) return 1;
    auradb_free(value);
    usleep(100000);
  }
  return 0;
}

static size_t length_of(store_t *s, const char *key) {
  size_t length = 0;
  char *value = auradb_get(s->db, s->read, key, strlen(key), &length, &s->error);
  CHECK_OK(s->error);
  auradb_free(value);
  return value == NULL ? 0 : length;
}

static void puts_of_all_kinds(void) {
  store_t s = store_new();
  store_open(&s, "expiry");

  phase("a put with a TTL is there, and gone when its time is over");
  auradb_put_with_ttl(s.db, s.write, "brief", 5, "1", 1, SHORT, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl(s.db, s.write, "brief big", 9, big, BIG, SHORT, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl(s.db, s.write, "long", 4, "2", 1, LONG, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl(s.db, s.write, "long big", 8, big, BIG, LONG, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl(s.db, s.write, "ever", 4, "3", 1, 0, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl(s.db, s.write, "ever too", 8, "4", 1, -1, &s.error);
  CHECK_OK(s.error);
  CHECK(goes(&s, "brief") && goes(&s, "brief big"));
  GET(&s, "long", "2");
  CHECK(length_of(&s, "long big") == BIG);

  phase("batches and indexed batches");
  auradb_writebatch_t *batch = auradb_writebatch_create();
  auradb_writebatch_put_with_ttl(batch, "brief", 5, "5", 1, SHORT);
  auradb_writebatch_put_with_ttl(batch, "long", 4, "6", 1, LONG);
  CHECK(auradb_writebatch_count(batch) == 2);
  size_t size = 0;
  const char *data = auradb_writebatch_data(batch, &size);
  CHECK(size > 12 && data[12] == 0x40);
  auradb_writebatch_t *again = auradb_writebatch_create_from(data, size);
  auradb_write(s.db, s.write, again, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_wi_t *indexed = auradb_writebatch_wi_create(0, 1);
  auradb_writebatch_wi_put_with_ttl(indexed, "brief too", 9, big, BIG, SHORT);
  auradb_write_writebatch_wi(s.db, s.write, indexed, &s.error);
  CHECK_OK(s.error);
  CHECK(goes(&s, "brief") && goes(&s, "brief too"));
  GET(&s, "long", "6");
  auradb_writebatch_destroy(batch);
  auradb_writebatch_destroy(again);
  auradb_writebatch_wi_destroy(indexed);

  phase("iterators and compactions");
  for (int round = 0; round < 2; round++) {
    auradb_iterator_t *iter = auradb_create_iterator(s.db, s.read);
    auradb_iter_seek_to_first(iter);
    ENTRY(iter, "ever", "3");
    auradb_iter_next(iter);
    ENTRY(iter, "ever too", "4");
    auradb_iter_next(iter);
    ENTRY(iter, "long", "6");
    auradb_iter_next(iter);
    auradb_iter_next(iter);
    AT_END(iter);
    auradb_iter_destroy(iter);
    auradb_compact_range(s.db, NULL, 0, NULL, 0);
  }
  store_close(&s);
  store_free(&s);
}

static void a_ttl_for_all(void) {
  store_t s = store_new();

  phase("a database opened with a TTL");
  s.db = auradb_open_with_ttl(s.options, path_of("expiry"), SHORT, &s.error);
  CHECK_OK(s.error);
  PUT(&s, "brief", "7");
  auradb_put_with_ttl(s.db, s.write, "own", 3, "8", 1, LONG, &s.error);
  CHECK_OK(s.error);
  CHECK(goes(&s, "brief"));
  GET(&s, "own", "8");
  /* What was there before keeps its own time. */
  GET(&s, "long", "6");
  GET(&s, "ever", "3");

  phase("a TTL that changes counts for what comes");
  const char *name = "auradb.ttl", *value = "3600";
  auradb_set_options(s.db, 1, &name, &value, &s.error);
  CHECK_OK(s.error);
  PUT(&s, "longer", "9");

  phase("families with TTLs of their own");
  auradb_column_family_handle_t *made =
      auradb_create_column_family_with_ttl(s.db, s.options, "made", SHORT, &s.error);
  CHECK_OK(s.error);
  auradb_put_cf(s.db, s.write, made, "key", 3, "1", 1, &s.error);
  CHECK_OK(s.error);
  auradb_put_with_ttl_cf(s.db, s.write, made, "kept", 4, "2", 1, LONG, &s.error);
  CHECK_OK(s.error);
  auradb_column_family_handle_destroy(made);
  store_close(&s);

  const char *names[] = {"default", "made"};
  const auradb_options_t *options[] = {s.options, s.options};
  const int ttls[] = {0, LONG};
  auradb_column_family_handle_t *handles[2];
  s.db = auradb_open_column_families_with_ttl(s.options, path_of("expiry"), 2, names, options, handles, ttls, &s.error);
  CHECK_OK(s.error);
  size_t length = 0;
  char *kept = auradb_get_cf(s.db, s.read, handles[1], "kept", 4, &length, &s.error);
  CHECK_TEXT("2", kept, length);
  auradb_free(kept);
  GET(&s, "longer", "9");
  auradb_column_family_handle_destroy(handles[0]);
  auradb_column_family_handle_destroy(handles[1]);
  store_close(&s);
  store_free(&s);
}

/* Nothing else is written: a worker has to wake up by itself. */
static void tables_go_by_themselves(void) {
  store_t s = store_new();
  store_open(&s, "expiry by itself");
  phase("a table in which everything has expired is dropped");
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_put_with_ttl(s.db, s.write, "brief", 5, big, BIG, SHORT, &s.error);
  CHECK_OK(s.error);
  auradb_flush(s.db, flush, &s.error);
  CHECK_OK(s.error);
  uint64_t dropped = 0;
  for (int tries = 0; tries < 600 && dropped == 0; tries++) {
    usleep(100000);
    CHECK(auradb_property_int(s.db, "auradb.expired-tables-dropped", &dropped) == 0);
  }
  CHECK(dropped == 1);
  GET(&s, "brief", NULL);
  auradb_flushoptions_destroy(flush);
  store_close(&s);
  store_free(&s);
}

int main(void) {
  begin("expiry");
  memset(big, 'b', BIG);
  puts_of_all_kinds();
  a_ttl_for_all();
  tables_go_by_themselves();
  return finish();
}
