/* Values around the separation threshold and far above it: written, overwritten, scanned, compacted, reopened. */
#include "test.h"

static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 64 << 10, 5 << 20};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Fills a value that its size and version determine; half of them compress well. */
static char *make_value(size_t len, unsigned version) {
  char *value = (char *)malloc(len + 1);
  unsigned long long state = len * 1000003 + version + 1;
  for (size_t at = 0; at < len; at += 8) {
    unsigned long long word = version % 2 ? next_random(&state) : version * 0x0101010101010101ULL + at / 512;
    memcpy(value + at, &word, len - at < 8 ? len - at : 8);
  }
  return value;
}

static void check_value(const char *got, size_t got_len, size_t len, unsigned version) {
  char *expected = make_value(len, version);
  CHECK(got != NULL && got_len == len && memcmp(got, expected, len) == 0);
  free(expected);
}

static void key_of(char key[16], size_t index) { snprintf(key, 16, "value%02zu", index); }

static void write_all(store_t *s, unsigned version, int batched) {
  auradb_writebatch_t *batch = auradb_writebatch_create();
  for (size_t i = 0; i < SIZES; i++) {
    char key[16], *value = make_value(sizes[i], version);
    key_of(key, i);
    if (batched) {
      auradb_writebatch_put(batch, key, strlen(key), value, sizes[i]);
    } else {
      auradb_put(s->db, s->write, key, strlen(key), value, sizes[i], &s->error);
      CHECK_OK(s->error);
    }
    free(value);
  }
  auradb_write(s->db, s->write, batch, &s->error);
  CHECK_OK(s->error);
  auradb_writebatch_destroy(batch);
}

static void check_all(store_t *s, unsigned version) {
  size_t len = 0;
  for (size_t i = 0; i < SIZES; i++) {
    char key[16];
    key_of(key, i);
    char *value = auradb_get(s->db, s->read, key, strlen(key), &len, &s->error);
    CHECK_OK(s->error);
    check_value(value, len, sizes[i], version);
    auradb_free(value);
    auradb_pinnableslice_t *pinned = auradb_get_pinned(s->db, s->read, key, strlen(key), &s->error);
    CHECK_OK(s->error);
    check_value(auradb_pinnableslice_value(pinned, &len), sizes[i], sizes[i], version);
    CHECK(len == sizes[i]);
    auradb_pinnableslice_destroy(pinned);
  }
  auradb_iterator_t *iter = auradb_create_iterator(s->db, s->read);
  size_t count = 0;
  for (auradb_iter_seek_to_first(iter); auradb_iter_valid(iter); auradb_iter_next(iter), count++) {
    const char *value = auradb_iter_value(iter, &len);
    check_value(value, len, sizes[count % SIZES], version);
  }
  CHECK(count == SIZES);
  for (auradb_iter_seek_to_last(iter); auradb_iter_valid(iter); auradb_iter_prev(iter)) {
    count--;
    const char *value = auradb_iter_value(iter, &len);
    check_value(value, len, sizes[count % SIZES], version);
  }
  CHECK(count == 0);
  auradb_iter_get_error(iter, &s->error);
  CHECK_OK(s->error);
  auradb_iter_destroy(iter);
}

static void run(const char *name, uint64_t threshold, int codec, unsigned char mapped) {
  char title[64];
  store_t s = store_new();
  auradb_options_set_separation_threshold(s.options, threshold);
  auradb_options_set_value_log_compression(s.options, codec);
  auradb_options_set_memory_mapped_wal(s.options, mapped);
  auradb_options_set_value_log_segment_size(s.options, 8 << 20);

  snprintf(title, sizeof title, "%s: write and read", name);
  phase(title);
  store_open(&s, name);
  write_all(&s, 1, 0);
  check_all(&s, 1);

  snprintf(title, sizeof title, "%s: reopen without a flush", name);
  phase(title);
  store_close(&s);
  store_open(&s, name);
  check_all(&s, 1);

  snprintf(title, sizeof title, "%s: overwrite under a snapshot", name);
  phase(title);
  const auradb_snapshot_t *snapshot = auradb_create_snapshot(s.db);
  auradb_pinnableslice_t *pinned = auradb_get_pinned(s.db, s.read, "value06", 7, &s.error);
  CHECK_OK(s.error);
  write_all(&s, 2, 1);
  check_all(&s, 2);
  auradb_compact_range(s.db, NULL, 0, NULL, 0);
  check_all(&s, 2);
  auradb_readoptions_set_snapshot(s.read, snapshot);
  check_all(&s, 1);
  auradb_readoptions_set_snapshot(s.read, NULL);
  auradb_release_snapshot(s.db, snapshot);
  size_t len = 0;
  const char *bytes = auradb_pinnableslice_value(pinned, &len);
  check_value(bytes, len, sizes[6], 1);

  snprintf(title, sizeof title, "%s: many versions, then compact and reopen", name);
  phase(title);
  for (unsigned version = 3; version < 8; version++) {
    write_all(&s, version, version % 2);
    if (version % 3 == 0) auradb_compact_range(s.db, NULL, 0, NULL, 0);
  }
  check_all(&s, 7);
  auradb_compact_range(s.db, NULL, 0, NULL, 0);
  bytes = auradb_pinnableslice_value(pinned, &len);
  check_value(bytes, len, sizes[6], 1);
  auradb_pinnableslice_destroy(pinned);
  store_close(&s);
  store_open(&s, name);
  check_all(&s, 7);

  snprintf(title, sizeof title, "%s: garbage collected and verified", name);
  phase(title);
  for (unsigned version = 8; version < 11; version++) write_all(&s, version, 0);
  char *before = auradb_property_value(s.db, "auradb.value-log-bytes");
  unsigned long long reclaimed = (unsigned long long)auradb_collect_garbage(s.db, 0.1, &s.error);
  CHECK_OK(s.error);
  char *after = auradb_property_value(s.db, "auradb.value-log-bytes");
  if (threshold != UINT64_MAX) {
    CHECK(reclaimed > 0 && strtoull(after, NULL, 10) < strtoull(before, NULL, 10));
  }
  auradb_free(before);
  auradb_free(after);
  check_all(&s, 10);
  unsigned long long values = (unsigned long long)auradb_verify_value_log(s.db, &s.error);
  CHECK_OK(s.error);
  CHECK(threshold == UINT64_MAX ? values == 0 : values >= 4);
  auradb_collect_garbage(s.db, 2.0, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  store_close(&s);
  store_open(&s, name);
  check_all(&s, 10);
  store_free(&s);
}

int main(void) {
  begin("big");
  run("default", 1024, auradb_lz4_compression, 1);
  run("all-separated", 0, auradb_zstd_compression, 0);
  run("none-separated", UINT64_MAX, auradb_lz4_compression, 1);
  run("raw", 1024, auradb_no_compression, 0);
  return finish();
}
