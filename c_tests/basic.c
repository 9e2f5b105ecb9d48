/* The everyday calls: databases, reads, writes, batches, iterators, snapshots, column families, properties. */
#include "test.h"

static void open_and_close(void) {
  store_t s = store_new();

  phase("library");
  CHECK(strcmp(auradb_version(), "0.1.0") == 0);
  auradb_free(NULL);

  phase("open errors");
  auradb_options_set_create_if_missing(s.options, 0);
  CHECK(auradb_open(s.options, path_of("none"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_options_set_create_if_missing(s.options, 1);
  store_open(&s, "db");
  store_t other = store_new();
  CHECK(auradb_open(other.options, path_of("db"), &other.error) == NULL);
  CHECK(other.error != NULL && strstr(other.error, "LOCK") != NULL);
  CHECK_ERROR(other.error, "IO error: ");
  int subcode = 0;
  CHECK(auradb_last_error(&subcode, NULL, NULL, NULL, NULL) == auradb_code_io);
  CHECK(subcode == auradb_subcode_locked);
  store_close(&s);
  auradb_options_set_error_if_exists(s.options, 1);
  CHECK(auradb_open(s.options, path_of("db"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_options_set_error_if_exists(s.options, 0);

  phase("errptr: success leaves it alone, failure replaces it");
  s.error = strdup("older error");
  store_open(&other, "db");
  s.db = other.db;
  auradb_put(s.db, s.write, "k", 1, "v", 1, &s.error);
  CHECK(s.error != NULL && strcmp(s.error, "older error") == 0);
  auradb_put(s.db, NULL, "k", 1, "v", 1, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_put(s.db, NULL, "k", 1, "v", 1, NULL);

  phase("last error");
  const char *message = NULL, *file = "x";
  uint64_t offset = 0;
  int number = -1;
  CHECK(auradb_last_error(&subcode, &number, &offset, &file, &message) == auradb_code_invalid_argument);
  CHECK(subcode == auradb_subcode_none && number == 0 && offset == UINT64_MAX && file == NULL);
  CHECK(message != NULL && strncmp(message, "Invalid argument: ", 18) == 0);

  phase("health of a healthy database");
  uint64_t refused = 7;
  char *failure = (char *)"x", *report = NULL;
  CHECK(auradb_health(s.db, &refused, &failure, &report) == 1);
  CHECK(refused == 0 && failure == NULL);
  auradb_free(report);
  CHECK(auradb_health(s.db, NULL, NULL, NULL) == 1);
  auradb_resume(s.db, &s.error);
  CHECK_OK(s.error);
  GET(&s, "k", "v");
  store_close(&s);

  phase("open for read only");
  s.db = auradb_open_for_read_only(s.options, path_of("db"), 0, &s.error);
  CHECK_OK(s.error);
  REQUIRE(s.db != NULL);
  GET(&s, "k", "v");
  auradb_put(s.db, s.write, "k", 1, "w", 1, &s.error);
  CHECK(s.error != NULL);
  auradb_free(s.error);
  s.error = NULL;
  GET(&s, "k", "v");
  store_close(&s);

  phase("destroy and repair");
  FILE *foreign = fopen(path_of("db/foreign.txt"), "w");
  REQUIRE(foreign != NULL);
  fclose(foreign);
  auradb_repair_db(s.options, path_of("db"), &s.error);
  CHECK_OK(s.error);
  store_open(&s, "db");
  GET(&s, "k", "v");
  auradb_destroy_db(s.options, path_of("db"), &s.error);
  CHECK_ERROR(s.error, "IO error: ");
  store_close(&s);
  auradb_destroy_db(s.options, path_of("db"), &s.error);
  CHECK_OK(s.error);
  CHECK(access(path_of("db/foreign.txt"), F_OK) == 0);
  CHECK(access(path_of("db/CURRENT"), F_OK) != 0);
  auradb_destroy_db(s.options, path_of("never"), &s.error);
  CHECK_OK(s.error);
  store_open(&s, "db");
  GET(&s, "k", NULL);
  store_free(&s);
  other.db = NULL;
  store_free(&other);
}

static void reads_and_writes(store_t *s) {
  size_t len = 0;

  phase("put, get, delete");
  PUT(s, "foo", "hello");
  GET(s, "foo", "hello");
  PUT(s, "foo", "again");
  GET(s, "foo", "again");
  DELETE(s, "foo");
  GET(s, "foo", NULL);
  DELETE(s, "never there");

  phase("empty keys and values");
  auradb_put(s->db, s->write, NULL, 0, NULL, 0, &s->error);
  CHECK_OK(s->error);
  char *value = auradb_get(s->db, s->read, NULL, 0, &len, &s->error);
  CHECK_OK(s->error);
  CHECK(value != NULL && len == 0);
  auradb_free(value);
  auradb_delete(s->db, s->write, NULL, 0, &s->error);
  CHECK_OK(s->error);
  auradb_put(s->db, s->write, NULL, 3, "v", 1, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  auradb_put(s->db, s->write, "k", 1, NULL, 3, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");

  phase("bytes that are no text");
  auradb_put(s->db, s->write, "a\0b", 3, "\0\xff\0", 3, &s->error);
  CHECK_OK(s->error);
  value = auradb_get(s->db, s->read, "a\0b", 3, &len, &s->error);
  CHECK_OK(s->error);
  CHECK(len == 3 && value != NULL && memcmp(value, "\0\xff\0", 3) == 0);
  auradb_free(value);
  CHECK(auradb_get(s->db, s->read, "a", 1, &len, NULL) == NULL && len == 0);
  auradb_delete(s->db, s->write, "a\0b", 3, &s->error);
  CHECK_OK(s->error);

  phase("single delete");
  PUT(s, "once", "1");
  auradb_singledelete(s->db, s->write, "once", 4, &s->error);
  CHECK_OK(s->error);
  GET(s, "once", NULL);

  phase("delete range");
  auradb_column_family_handle_t *family = auradb_get_default_column_family_handle(s->db);
  PUT(s, "r1", "1");
  PUT(s, "r2", "2");
  PUT(s, "r3", "3");
  auradb_delete_range_cf(s->db, s->write, family, "r1", 2, "r3", 2, &s->error);
  CHECK_OK(s->error);
  GET(s, "r1", NULL);
  GET(s, "r2", NULL);
  GET(s, "r3", "3");
  auradb_delete_range_cf(s->db, s->write, family, "r3", 2, "r1", 2, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  auradb_column_family_handle_destroy(family);
  DELETE(s, "r3");

  phase("pinned values");
  PUT(s, "pin", "first");
  auradb_pinnableslice_t *pinned = auradb_get_pinned(s->db, s->read, "pin", 3, &s->error);
  CHECK_OK(s->error);
  REQUIRE(pinned != NULL);
  PUT(s, "pin", "second");
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flush(s->db, flush, &s->error);
  CHECK_OK(s->error);
  auradb_flushoptions_destroy(flush);
  auradb_compact_range(s->db, NULL, 0, NULL, 0);
  const char *bytes = auradb_pinnableslice_value(pinned, &len);
  CHECK_TEXT("first", bytes, len);
  auradb_pinnableslice_destroy(pinned);
  CHECK(auradb_get_pinned(s->db, s->read, "none", 4, &s->error) == NULL);
  CHECK_OK(s->error);
  CHECK(auradb_pinnableslice_value(NULL, &len) == NULL && len == 0);
  PUT(s, "pin", "");
  pinned = auradb_get_pinned(s->db, s->read, "pin", 3, &s->error);
  CHECK_OK(s->error);
  CHECK(auradb_pinnableslice_value(pinned, &len) != NULL && len == 0);
  auradb_pinnableslice_destroy(pinned);
  DELETE(s, "pin");

  phase("key may exist");
  PUT(s, "maybe", "yes");
  unsigned char found = 9;
  value = NULL;
  CHECK(auradb_key_may_exist(s->db, s->read, "maybe", 5, &value, &len, NULL, 0, &found) == 1);
  if (found) {
    CHECK_TEXT("yes", value, len);
    auradb_free(value);
  }
  CHECK(auradb_key_may_exist(s->db, s->read, "maybe", 5, NULL, NULL, NULL, 0, NULL) == 1);
  CHECK(auradb_key_may_exist(s->db, s->read, "maybe", 5, NULL, NULL, NULL, 0, &found) == 1);
  auradb_key_may_exist(s->db, s->read, "no such key", 11, &value, &len, NULL, 0, &found);
  CHECK(found == 0);
  DELETE(s, "maybe");

  phase("a write that is in no log cannot be synced");
  auradb_writeoptions_t *strange = auradb_writeoptions_create();
  auradb_writeoptions_set_sync(strange, 1);
  auradb_writeoptions_disable_WAL(strange, 1);
  auradb_put(s->db, strange, "k", 1, "v", 1, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  auradb_writeoptions_destroy(strange);
  GET(s, "k", NULL);
}

static void sequences(void) {
  store_t s = store_new();
  phase("sequence numbers");
  store_open(&s, "sequence");
  CHECK(auradb_get_latest_sequence_number(s.db) == 0);
  PUT(&s, "a", "1");
  CHECK(auradb_get_latest_sequence_number(s.db) == 1);
  auradb_writebatch_t *batch = auradb_writebatch_create();
  auradb_writebatch_put(batch, "b", 1, "2", 1);
  auradb_writebatch_delete(batch, "a", 1);
  auradb_writebatch_put_log_data(batch, "not counted", 11);
  auradb_write(s.db, s.write, batch, &s.error);
  CHECK_OK(s.error);
  CHECK(auradb_get_latest_sequence_number(s.db) == 3);
  auradb_writebatch_destroy(batch);
  auradb_flush_wal(s.db, 1, &s.error);
  CHECK_OK(s.error);
  CHECK(auradb_durable_sequence(s.db) == 3);
  const auradb_snapshot_t *snapshot = auradb_create_snapshot(s.db);
  CHECK(auradb_snapshot_get_sequence_number(snapshot) == 3);
  auradb_release_snapshot(s.db, snapshot);
  auradb_writeoptions_set_sync(s.write, 1);
  PUT(&s, "c", "3");
  CHECK(auradb_durable_sequence(s.db) == 4);
  store_close(&s);
  store_open(&s, "sequence");
  CHECK(auradb_get_latest_sequence_number(s.db) == 4);
  GET(&s, "a", NULL);
  GET(&s, "b", "2");
  store_free(&s);
}

typedef struct {
  char text[1024];
} transcript_t;

static void note(transcript_t *t, const char *what, unsigned family, const char *k, size_t klen, const char *v,
                 size_t vlen) {
  size_t used = strlen(t->text);
  CHECK(k != NULL && v != NULL);
  snprintf(t->text + used, sizeof t->text - used, "%s%u(%.*s,%.*s) ", what, family, (int)klen, k, (int)vlen, v);
}
static void on_put(void *t, const char *k, size_t klen, const char *v, size_t vlen) {
  note((transcript_t *)t, "put", 0, k, klen, v, vlen);
}
static void on_delete(void *t, const char *k, size_t klen) {
  note((transcript_t *)t, "delete", 0, k, klen, "", 0);
}
static void on_put_cf(void *t, uint32_t id, const char *k, size_t klen, const char *v, size_t vlen) {
  note((transcript_t *)t, "put", id, k, klen, v, vlen);
}
static void on_delete_cf(void *t, uint32_t id, const char *k, size_t klen) {
  note((transcript_t *)t, "delete", id, k, klen, "", 0);
}
static void on_merge_cf(void *t, uint32_t id, const char *k, size_t klen, const char *v, size_t vlen) {
  note((transcript_t *)t, "merge", id, k, klen, v, vlen);
}

static void batches(store_t *s) {
  transcript_t seen;

  phase("batches");
  auradb_writebatch_t *b = auradb_writebatch_create();
  PUT(s, "bar", "old");
  auradb_writebatch_put(b, "foo", 3, "a", 1);
  auradb_writebatch_clear(b);
  CHECK(auradb_writebatch_count(b) == 0);
  auradb_writebatch_put(b, "bar", 3, "b", 1);
  auradb_writebatch_put(b, "box", 3, "", 0);
  auradb_writebatch_delete(b, "bar", 3);
  CHECK(auradb_writebatch_count(b) == 3);
  auradb_write(s->db, s->write, b, &s->error);
  CHECK_OK(s->error);
  GET(s, "foo", NULL);
  GET(s, "bar", NULL);
  GET(s, "box", "");
  memset(&seen, 0, sizeof seen);
  auradb_writebatch_iterate(b, &seen, on_put, on_delete);
  CHECK(strcmp(seen.text, "put0(bar,b) put0(box,) delete0(bar,) ") == 0);
  auradb_writebatch_iterate(b, &seen, NULL, NULL);

  phase("the bytes of a batch");
  size_t size = 0;
  const char *data = auradb_writebatch_data(b, &size);
  REQUIRE(data != NULL && size > 12);
  CHECK((unsigned char)data[8] == 3 && data[9] == 0 && data[10] == 0 && data[11] == 0);
  CHECK(memcmp(data + 12, "\1\3bar\1b\1\3box\0\0\3bar", size - 12) == 0 && size - 12 == 18);
  auradb_writebatch_t *copy = auradb_writebatch_create_from(data, size);
  CHECK(auradb_writebatch_count(copy) == 3);
  memset(&seen, 0, sizeof seen);
  auradb_writebatch_iterate_cf(copy, &seen, on_put_cf, on_delete_cf, on_merge_cf);
  CHECK(strcmp(seen.text, "put0(bar,b) put0(box,) delete0(bar,) ") == 0);
  auradb_writebatch_destroy(copy);
  copy = auradb_writebatch_create_from("garbage that is no batch at all", 31);
  REQUIRE(copy != NULL);
  auradb_write(s->db, s->write, copy, &s->error);
  CHECK_ERROR(s->error, "Corruption: ");
  auradb_writebatch_destroy(copy);

  phase("batches: range delete, single delete, log data");
  auradb_writebatch_clear(b);
  auradb_writebatch_put(b, "x1", 2, "1", 1);
  auradb_writebatch_put(b, "x2", 2, "2", 1);
  auradb_writebatch_put_log_data(b, "log", 3);
  auradb_writebatch_singledelete(b, "x1", 2);
  auradb_writebatch_delete_range(b, "x2", 2, "x3", 2);
  auradb_writebatch_put(b, "x4", 2, "4", 1);
  CHECK(auradb_writebatch_count(b) == 5);
  memset(&seen, 0, sizeof seen);
  auradb_writebatch_iterate(b, &seen, on_put, on_delete);
  CHECK(strcmp(seen.text, "put0(x1,1) put0(x2,2) ") == 0);
  auradb_write(s->db, s->write, b, &s->error);
  CHECK_OK(s->error);
  GET(s, "x1", NULL);
  GET(s, "x2", NULL);
  GET(s, "x4", "4");

  phase("save points");
  auradb_writebatch_clear(b);
  auradb_writebatch_rollback_to_save_point(b, &s->error);
  CHECK_ERROR(s->error, "NotFound: ");
  auradb_writebatch_pop_save_point(b, &s->error);
  CHECK_ERROR(s->error, "NotFound: ");
  auradb_writebatch_set_save_point(b);
  auradb_writebatch_set_save_point(b);
  auradb_writebatch_put(b, "zap", 3, "z", 1);
  auradb_writebatch_rollback_to_save_point(b, &s->error);
  CHECK_OK(s->error);
  CHECK(auradb_writebatch_count(b) == 0);
  auradb_writebatch_put(b, "kept", 4, "k", 1);
  auradb_writebatch_pop_save_point(b, &s->error);
  CHECK_OK(s->error);
  auradb_writebatch_pop_save_point(b, &s->error);
  CHECK_ERROR(s->error, "NotFound: ");
  auradb_write(s->db, s->write, b, &s->error);
  CHECK_OK(s->error);
  GET(s, "zap", NULL);
  GET(s, "kept", "k");

  phase("a failure while filling a batch is reported by the write");
  auradb_writebatch_clear(b);
  auradb_writebatch_put(b, "good", 4, "1", 1);
  auradb_writebatch_put(b, NULL, 4, "1", 1);
  auradb_write(s->db, s->write, b, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  GET(s, "good", NULL);
  auradb_writebatch_clear(b);
  auradb_writebatch_put(b, "good", 4, "1", 1);
  auradb_write(s->db, s->write, b, &s->error);
  CHECK_OK(s->error);
  GET(s, "good", "1");
  auradb_writebatch_destroy(b);
  DELETE(s, "good");
  DELETE(s, "kept");
  DELETE(s, "x4");
  DELETE(s, "box");
}

static void iterators(store_t *s) {
  phase("iterators");
  auradb_iterator_t *iter = auradb_create_iterator(s->db, s->read);
  AT_END(iter);
  auradb_iter_seek_to_first(iter);
  AT_END(iter);
  PUT(s, "a1", "1");
  PUT(s, "a2", "2");
  PUT(s, "b1", "3");
  PUT(s, "b2", "");
  auradb_iter_seek_to_first(iter);
  AT_END(iter);
  auradb_iter_refresh(iter, &s->error);
  CHECK_OK(s->error);
  AT_END(iter);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a1", "1");
  auradb_iter_next(iter);
  ENTRY(iter, "a2", "2");
  auradb_iter_prev(iter);
  ENTRY(iter, "a1", "1");
  auradb_iter_prev(iter);
  AT_END(iter);
  auradb_iter_prev(iter);
  auradb_iter_next(iter);
  AT_END(iter);
  auradb_iter_seek_to_last(iter);
  ENTRY(iter, "b2", "");
  auradb_iter_next(iter);
  AT_END(iter);
  auradb_iter_seek(iter, "a3", 2);
  ENTRY(iter, "b1", "3");
  auradb_iter_prev(iter);
  ENTRY(iter, "a2", "2");
  auradb_iter_seek_for_prev(iter, "a3", 2);
  ENTRY(iter, "a2", "2");
  auradb_iter_seek_for_prev(iter, "b1", 2);
  ENTRY(iter, "b1", "3");
  auradb_iter_seek_for_prev(iter, "a", 1);
  AT_END(iter);
  auradb_iter_seek(iter, NULL, 0);
  ENTRY(iter, "a1", "1");
  auradb_iter_seek(iter, "c", 1);
  AT_END(iter);
  size_t len = 9;
  CHECK(auradb_iter_key(iter, &len) == NULL && len == 0);
  CHECK(auradb_iter_value(iter, &len) == NULL && len == 0);
  auradb_iter_destroy(iter);

  phase("iterators show the moment they were created at");
  iter = auradb_create_iterator(s->db, s->read);
  PUT(s, "a1", "changed");
  DELETE(s, "a2");
  auradb_compact_range(s->db, NULL, 0, NULL, 0);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a1", "1");
  auradb_iter_next(iter);
  ENTRY(iter, "a2", "2");
  auradb_iter_refresh(iter, &s->error);
  CHECK_OK(s->error);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a1", "changed");
  auradb_iter_next(iter);
  ENTRY(iter, "b1", "3");
  auradb_iter_destroy(iter);
  PUT(s, "a1", "1");
  PUT(s, "a2", "2");

  phase("bounds");
  auradb_readoptions_t *bounded = auradb_readoptions_create();
  char upper[] = "b2", lower[] = "a2";
  auradb_readoptions_set_iterate_upper_bound(bounded, upper, 2);
  auradb_readoptions_set_iterate_lower_bound(bounded, lower, 2);
  iter = auradb_create_iterator(s->db, bounded);
  auradb_readoptions_destroy(bounded);
  memset(upper, 'x', 2), memset(lower, 'x', 2);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a2", "2");
  auradb_iter_prev(iter);
  AT_END(iter);
  auradb_iter_seek_to_last(iter);
  ENTRY(iter, "b1", "3");
  auradb_iter_next(iter);
  AT_END(iter);
  auradb_iter_seek(iter, "a1", 2);
  ENTRY(iter, "a2", "2");
  auradb_iter_seek_for_prev(iter, "z", 1);
  ENTRY(iter, "b1", "3");
  auradb_iter_destroy(iter);

  phase("tailing iterators");
  auradb_readoptions_t *tailing = auradb_readoptions_create();
  auradb_readoptions_set_tailing(tailing, 1);
  iter = auradb_create_iterator(s->db, tailing);
  PUT(s, "a0", "fresh");
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a0", "fresh");
  auradb_iter_destroy(iter);
  auradb_readoptions_destroy(tailing);
  DELETE(s, "a0");
}

static void snapshots(store_t *s) {
  phase("snapshots");
  const auradb_snapshot_t *snapshot = auradb_create_snapshot(s->db);
  REQUIRE(snapshot != NULL);
  PUT(s, "a1", "later");
  DELETE(s, "b1");
  auradb_compact_range(s->db, NULL, 0, NULL, 0);
  auradb_readoptions_set_snapshot(s->read, snapshot);
  GET(s, "a1", "1");
  GET(s, "b1", "3");
  auradb_iterator_t *iter = auradb_create_iterator(s->db, s->read);
  auradb_iter_seek(iter, "b", 1);
  ENTRY(iter, "b1", "3");
  auradb_readoptions_set_snapshot(s->read, NULL);
  auradb_release_snapshot(s->db, snapshot);
  auradb_iter_next(iter);
  ENTRY(iter, "b2", "");
  auradb_iter_destroy(iter);
  GET(s, "a1", "later");
  GET(s, "b1", NULL);
  auradb_release_snapshot(s->db, NULL);
  PUT(s, "a1", "1");
  PUT(s, "b1", "3");
}

static void several(store_t *s) {
  const char *keys[] = {"a1", "none", "b2", "b1"};
  const size_t sizes[] = {2, 4, 2, 2};
  char *values[4], *errors[4];
  size_t lens[4];

  phase("multi get");
  memset(values, 1, sizeof values), memset(errors, 1, sizeof errors), memset(lens, 1, sizeof lens);
  auradb_multi_get(s->db, s->read, 4, keys, sizes, values, lens, errors);
  const char *expected[] = {"1", NULL, "", "3"};
  for (int i = 0; i < 4; i++) {
    CHECK_TEXT(expected[i], values[i], lens[i]);
    CHECK(errors[i] == NULL);
    if (values[i] == NULL) CHECK(lens[i] == 0);
    auradb_free(values[i]);
  }
  auradb_multi_get(s->db, s->read, 0, NULL, NULL, NULL, NULL, NULL);

  phase("multi get writes every slot when it fails");
  memset(values, 1, sizeof values), memset(errors, 1, sizeof errors), memset(lens, 1, sizeof lens);
  auradb_multi_get(s->db, NULL, 4, keys, sizes, values, lens, errors);
  for (int i = 0; i < 4; i++) {
    CHECK(values[i] == NULL && lens[i] == 0);
    CHECK_ERROR(errors[i], "Invalid argument: ");
  }

  phase("batched multi get");
  auradb_pinnableslice_t *pinned[4];
  auradb_column_family_handle_t *family = auradb_get_default_column_family_handle(s->db);
  memset(pinned, 1, sizeof pinned), memset(errors, 1, sizeof errors);
  auradb_batched_multi_get_cf(s->db, s->read, family, 4, keys, sizes, pinned, errors, false);
  for (int i = 0; i < 4; i++) {
    size_t len = 0;
    const char *value = auradb_pinnableslice_value(pinned[i], &len);
    CHECK_TEXT(expected[i], value, len);
    CHECK(errors[i] == NULL && (pinned[i] != NULL) == (expected[i] != NULL));
    auradb_pinnableslice_destroy(pinned[i]);
  }
  auradb_column_family_handle_destroy(family);
}

static void properties(store_t *s) {
  phase("properties");
  char *text = auradb_property_value(s->db, "rocksdb.stats");
  CHECK(text != NULL && strlen(text) > 0);
  auradb_free(text);
  CHECK(auradb_property_value(s->db, "no.such.property") == NULL);
  text = auradb_property_value(s->db, "auradb.summary");
  CHECK(text != NULL && strlen(text) > 0);
  auradb_free(text);
  uint64_t number = 99;
  CHECK(auradb_property_int(s->db, "rocksdb.num-immutable-mem-table", &number) == 0 && number == 0);
  CHECK(auradb_property_int(s->db, "rocksdb.estimate-num-keys", &number) == 0 && number > 0);
  number = 99;
  CHECK(auradb_property_int(s->db, "no.such.property", &number) == -1 && number == 99);
  CHECK(auradb_property_int(s->db, "rocksdb.estimate-num-keys", NULL) == 0);

  phase("flush, compact, approximate sizes");
  char key[32], value[200];
  memset(value, 'v', sizeof value);
  for (int i = 0; i < 2000; i++) {
    snprintf(key, sizeof key, "size%06d", i);
    for (size_t at = 0; at < sizeof value; at++) value[at] = (char)(i * 31 + (int)at * 7 + (int)at * i % 13);
    auradb_put(s->db, s->write, key, strlen(key), value, sizeof value, &s->error);
    CHECK_OK(s->error);
  }
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flush(s->db, flush, &s->error);
  CHECK_OK(s->error);
  auradb_flushoptions_destroy(flush);
  const char *starts[] = {"size000000", "zz", NULL}, *limits[] = {"size001999", "zzz", "size002"};
  const size_t start_lens[] = {10, 2, 0}, limit_lens[] = {10, 3, 7};
  uint64_t sizes[3] = {1, 1, 1};
  auradb_approximate_sizes(s->db, 3, starts, start_lens, limits, limit_lens, sizes, &s->error);
  CHECK_OK(s->error);
  CHECK(sizes[0] > 0 && sizes[1] == 0 && sizes[2] > 0);
  auradb_approximate_sizes(s->db, -1, starts, start_lens, limits, limit_lens, sizes, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  auradb_compactoptions_t *compact = auradb_compactoptions_create();
  auradb_compactoptions_set_bottommost_level_compaction(compact, 2);
  CHECK(auradb_compactoptions_get_bottommost_level_compaction(compact) == 2);
  auradb_compact_range_opt(s->db, compact, "size", 4, "sizf", 4);
  auradb_compactoptions_destroy(compact);
  CHECK(auradb_property_int(s->db, "rocksdb.num-files-at-level0", &number) == 0 && number == 0);
  GET(s, "size000000000", NULL);

  phase("options of an open database");
  const char *names[] = {"disable_auto_compactions", "write_buffer_size"}, *settings[] = {"true", "131072"};
  auradb_set_options(s->db, 2, names, settings, &s->error);
  CHECK_OK(s->error);
  names[0] = "no_such_option";
  auradb_set_options(s->db, 1, names, settings, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
  auradb_set_options(s->db, 0, NULL, NULL, &s->error);
  CHECK_ERROR(s->error, "Invalid argument: ");
}

static void column_families(void) {
  store_t s = store_new();
  size_t len = 0;

  phase("create column families");
  store_open(&s, "families");
  auradb_column_family_handle_t *one = auradb_create_column_family(s.db, s.options, "one", &s.error);
  CHECK_OK(s.error);
  REQUIRE(one != NULL);
  CHECK(auradb_create_column_family(s.db, s.options, "one", &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  const char *more[] = {"two", "three"};
  auradb_column_family_handle_t **made = auradb_create_column_families(s.db, s.options, 2, more, &len, &s.error);
  CHECK_OK(s.error);
  REQUIRE(made != NULL && len == 2);
  auradb_column_family_handle_t *two = made[0], *three = made[1];
  auradb_create_column_families_destroy(made);
  made = auradb_create_column_families(s.db, s.options, 0, NULL, &len, &s.error);
  CHECK_OK(s.error);
  CHECK(made != NULL && len == 0);
  auradb_create_column_families_destroy(made);
  const char *partly[] = {"four", "one"};
  made = auradb_create_column_families(s.db, s.options, 2, partly, &len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  REQUIRE(made != NULL && len == 1);
  auradb_drop_column_family(s.db, made[0], &s.error);
  CHECK_OK(s.error);
  auradb_column_family_handle_destroy(made[0]);
  auradb_create_column_families_destroy(made);

  phase("handles");
  char *name = auradb_column_family_handle_get_name(one, &len);
  CHECK_TEXT("one", name, len);
  auradb_free(name);
  CHECK(auradb_column_family_handle_get_id(one) > 0);
  auradb_column_family_handle_t *other = auradb_get_default_column_family_handle(s.db);
  CHECK(auradb_column_family_handle_get_id(other) == 0);
  auradb_column_family_handle_destroy(other);

  phase("each family has its own keys");
  auradb_put_cf(s.db, s.write, one, "k", 1, "in one", 6, &s.error);
  CHECK_OK(s.error);
  auradb_put_cf(s.db, s.write, two, "k", 1, "in two", 6, &s.error);
  CHECK_OK(s.error);
  GET(&s, "k", NULL);
  char *value = auradb_get_cf(s.db, s.read, one, "k", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("in one", value, len);
  auradb_free(value);
  auradb_delete_cf(s.db, s.write, one, "k", 1, &s.error);
  CHECK_OK(s.error);
  CHECK(auradb_get_cf(s.db, s.read, one, "k", 1, &len, &s.error) == NULL);
  CHECK_OK(s.error);
  auradb_put_cf(s.db, s.write, one, "s", 1, "1", 1, &s.error);
  auradb_singledelete_cf(s.db, s.write, one, "s", 1, &s.error);
  CHECK_OK(s.error);

  phase("a batch over families");
  auradb_writebatch_t *batch = auradb_writebatch_create();
  transcript_t seen;
  char expected[200];
  auradb_writebatch_put(batch, "k", 1, "0", 1);
  auradb_writebatch_put_cf(batch, one, "k", 1, "1", 1);
  auradb_writebatch_put_cf(batch, two, "k", 1, "2", 1);
  auradb_writebatch_put_cf(batch, two, "gone", 4, "2", 1);
  auradb_writebatch_delete_cf(batch, two, "gone", 4);
  memset(&seen, 0, sizeof seen);
  auradb_writebatch_iterate(batch, &seen, on_put, on_delete);
  CHECK(strcmp(seen.text, "put0(k,0) ") == 0);
  memset(&seen, 0, sizeof seen);
  auradb_writebatch_iterate_cf(batch, &seen, on_put_cf, on_delete_cf, on_merge_cf);
  unsigned id_one = auradb_column_family_handle_get_id(one), id_two = auradb_column_family_handle_get_id(two);
  snprintf(expected, sizeof expected, "put0(k,0) put%u(k,1) put%u(k,2) put%u(gone,2) delete%u(gone,) ", id_one,
           id_two, id_two, id_two);
  CHECK(strcmp(seen.text, expected) == 0);
  auradb_writebatch_delete_range_cf(batch, one, "x", 1, "y", 1);
  auradb_writebatch_put_cf(batch, one, "single", 6, "1", 1);
  auradb_writebatch_singledelete_cf(batch, one, "single", 6);
  auradb_write(s.db, s.write, batch, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_clear(batch);
  auradb_writebatch_put_cf(batch, NULL, "k", 1, "1", 1);
  auradb_write(s.db, s.write, batch, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_writebatch_destroy(batch);
  GET(&s, "k", "0");

  phase("reads over families");
  const auradb_column_family_handle_t *families[] = {one, two, three};
  const char *keys[] = {"k", "k", "k"};
  const size_t sizes[] = {1, 1, 1};
  char *values[3], *errors[3];
  size_t lens[3];
  auradb_multi_get_cf(s.db, s.read, families, 3, keys, sizes, values, lens, errors);
  CHECK_TEXT("1", values[0], lens[0]);
  CHECK_TEXT("2", values[1], lens[1]);
  CHECK(values[2] == NULL && errors[0] == NULL && errors[1] == NULL && errors[2] == NULL);
  auradb_free(values[0]);
  auradb_free(values[1]);
  auradb_pinnableslice_t *pinned = auradb_get_pinned_cf(s.db, s.read, two, "k", 1, &s.error);
  CHECK_OK(s.error);
  const char *bytes = auradb_pinnableslice_value(pinned, &len);
  CHECK_TEXT("2", bytes, len);
  auradb_pinnableslice_destroy(pinned);
  unsigned char found = 0;
  CHECK(auradb_key_may_exist_cf(s.db, s.read, two, "k", 1, NULL, NULL, NULL, 0, &found) == 1);
  auradb_column_family_handle_t *both[] = {one, two};
  auradb_iterator_t *iters[2] = {NULL, NULL};
  auradb_create_iterators(s.db, s.read, both, iters, 2, &s.error);
  CHECK_OK(s.error);
  for (int i = 0; i < 2; i++) {
    auradb_iter_seek_to_first(iters[i]);
    ENTRY(iters[i], "k", i == 0 ? "1" : "2");
    auradb_iter_next(iters[i]);
    AT_END(iters[i]);
    auradb_iter_destroy(iters[i]);
  }
  both[1] = NULL;
  auradb_create_iterators(s.db, s.read, both, iters, 2, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  CHECK(iters[0] == NULL && iters[1] == NULL);

  phase("maintenance of families");
  auradb_flushoptions_t *flush = auradb_flushoptions_create();
  auradb_flush_cf(s.db, flush, one, &s.error);
  CHECK_OK(s.error);
  both[1] = two;
  auradb_flush_cfs(s.db, flush, both, 2, &s.error);
  CHECK_OK(s.error);
  auradb_flushoptions_destroy(flush);
  auradb_compact_range_cf(s.db, one, NULL, 0, NULL, 0);
  auradb_compactoptions_t *compact = auradb_compactoptions_create();
  auradb_compact_range_cf_opt(s.db, two, compact, "a", 1, "z", 1);
  auradb_compactoptions_destroy(compact);
  uint64_t number = 9;
  CHECK(auradb_property_int_cf(s.db, one, "rocksdb.num-immutable-mem-table", &number) == 0 && number == 0);
  char *text = auradb_property_value_cf(s.db, one, "rocksdb.stats");
  CHECK(text != NULL);
  auradb_free(text);
  const char *start[] = {"a"}, *limit[] = {"z"};
  const size_t ones[] = {1};
  uint64_t bytes_in[1] = {0};
  auradb_approximate_sizes_cf(s.db, one, 1, start, ones, limit, ones, bytes_in, &s.error);
  CHECK_OK(s.error);
  const char *option[] = {"disable_auto_compactions"}, *setting[] = {"true"};
  auradb_set_options_cf(s.db, one, 1, option, setting, &s.error);
  CHECK_OK(s.error);

  phase("a dropped family stays readable through its handles");
  auradb_iterator_t *iter = auradb_create_iterator_cf(s.db, s.read, two);
  auradb_drop_column_family(s.db, two, &s.error);
  CHECK_OK(s.error);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "k", "2");
  auradb_iter_destroy(iter);
  value = auradb_get_cf(s.db, s.read, two, "k", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("2", value, len);
  auradb_free(value);
  auradb_column_family_handle_destroy(two);
  other = auradb_get_default_column_family_handle(s.db);
  auradb_drop_column_family(s.db, other, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_column_family_handle_destroy(other);
  auradb_column_family_handle_destroy(one);
  auradb_column_family_handle_destroy(three);
  store_close(&s);

  phase("list column families");
  char **names = auradb_list_column_families(s.options, path_of("families"), &len, &s.error);
  CHECK_OK(s.error);
  REQUIRE(len == 3);
  CHECK(strcmp(names[0], "default") == 0 && strcmp(names[1], "one") == 0 && strcmp(names[2], "three") == 0);
  auradb_list_column_families_destroy(names, len);
  names = auradb_list_column_families(s.options, path_of("nothing"), &len, &s.error);
  CHECK(s.error != NULL && len == 0 && names != NULL);
  auradb_free(s.error);
  s.error = NULL;
  auradb_list_column_families_destroy(names, len);

  phase("open with column families");
  CHECK(auradb_open(s.options, path_of("families"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  const char *all[] = {"default", "one", "three", "new"};
  const auradb_options_t *options[] = {s.options, s.options, s.options, s.options};
  auradb_column_family_handle_t *handles[4];
  memset(handles, 1, sizeof handles);
  CHECK(auradb_open_column_families(s.options, path_of("families"), 4, all, options, handles, &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  CHECK(handles[0] == NULL && handles[3] == NULL);
  auradb_options_set_create_missing_column_families(s.options, 1);
  s.db = auradb_open_column_families(s.options, path_of("families"), 4, all, options, handles, &s.error);
  CHECK_OK(s.error);
  REQUIRE(s.db != NULL);
  GET(&s, "k", "0");
  value = auradb_get_cf(s.db, s.read, handles[1], "k", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("1", value, len);
  auradb_free(value);
  for (int i = 0; i < 4; i++) auradb_column_family_handle_destroy(handles[i]);
  store_close(&s);

  phase("open some column families for read only");
  s.db = auradb_open_for_read_only_column_families(s.options, path_of("families"), 2, all, options, handles, 0,
                                                   &s.error);
  CHECK_OK(s.error);
  REQUIRE(s.db != NULL);
  value = auradb_get_cf(s.db, s.read, handles[1], "k", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("1", value, len);
  auradb_free(value);
  auradb_column_family_handle_destroy(handles[0]);
  auradb_column_family_handle_destroy(handles[1]);
  store_free(&s);
}

static void after_close(void) {
  store_t s = store_new();
  size_t len = 0;
  phase("what outlives its database is safe");
  store_open(&s, "closed");
  char big[5000];
  memset(big, 'B', sizeof big);
  auradb_put(s.db, s.write, "big", 3, big, sizeof big, &s.error);
  PUT(&s, "small", "s");
  auradb_iterator_t *iter = auradb_create_iterator(s.db, s.read);
  auradb_iter_seek_to_first(iter);
  const auradb_snapshot_t *snapshot = auradb_create_snapshot(s.db);
  auradb_pinnableslice_t *pinned = auradb_get_pinned(s.db, s.read, "big", 3, &s.error);
  auradb_column_family_handle_t *family = auradb_get_default_column_family_handle(s.db);
  CHECK_OK(s.error);
  store_close(&s);
  const char *bytes = auradb_pinnableslice_value(pinned, &len);
  CHECK(len == sizeof big && bytes != NULL && memcmp(bytes, big, len) == 0);
  auradb_iter_refresh(iter, &s.error);
  CHECK_ERROR(s.error, "Shutdown in progress: ");
  auradb_iter_next(iter);
  auradb_iter_destroy(iter);
  auradb_pinnableslice_destroy(pinned);
  CHECK(auradb_column_family_handle_get_id(family) == 0);
  auradb_column_family_handle_destroy(family);
  auradb_release_snapshot(NULL, snapshot);
  store_open(&s, "closed");
  GET(&s, "small", "s");
  store_free(&s);
}

int main(void) {
  begin("basic");
  open_and_close();
  store_t s = store_new();
  store_open(&s, "main");
  reads_and_writes(&s);
  batches(&s);
  iterators(&s);
  snapshots(&s);
  several(&s);
  properties(&s);
  store_free(&s);
  sequences();
  column_families();
  after_close();
  return finish();
}
