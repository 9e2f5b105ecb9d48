/* What a caller plugs in: comparators, merge operators, compaction filters, prefix extractors, loggers. */
#include "test.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int destroyed = 0, calls = 0;

static void count_destroyed(void *state) {
  CHECK(state == &destroyed);
  destroyed++;
}
static const char *name_of(void *state) {
  (void)state;
  return "test.Name";
}
static const char *other_name(void *state) {
  (void)state;
  return "test.Other";
}

/* Orders keys backwards. */
static int compare_backwards(void *state, const char *a, size_t alen, const char *b, size_t blen) {
  (void)state;
  CHECK(a != NULL && b != NULL);
  int order = memcmp(a, b, alen < blen ? alen : blen);
  if (order == 0) order = alen < blen ? -1 : alen > blen;
  return -order;
}

static void comparators(void) {
  store_t s = store_new();
  phase("comparator");
  destroyed = 0;
  auradb_comparator_t *order = auradb_comparator_create(&destroyed, count_destroyed, compare_backwards, name_of);
  REQUIRE(order != NULL);
  auradb_options_set_comparator(s.options, order);
  store_open(&s, "order");
  PUT(&s, "a", "1");
  PUT(&s, "", "empty");
  PUT(&s, "c", "3");
  PUT(&s, "b", "2");
  for (int round = 0; round < 2; round++) {
    auradb_iterator_t *iter = auradb_create_iterator(s.db, s.read);
    auradb_iter_seek_to_first(iter);
    ENTRY(iter, "c", "3");
    auradb_iter_next(iter);
    ENTRY(iter, "b", "2");
    auradb_iter_seek(iter, "bb", 2);
    ENTRY(iter, "b", "2");
    auradb_iter_seek_to_last(iter);
    ENTRY(iter, "", "empty");
    auradb_iter_destroy(iter);
    auradb_compact_range(s.db, NULL, 0, NULL, 0);
  }

  phase("a comparator that is destroyed early lives on in its users");
  auradb_comparator_destroy(order);
  CHECK(destroyed == 0);
  GET(&s, "b", "2");
  store_close(&s);
  CHECK(destroyed == 0);
  auradb_options_destroy(s.options);
  s.options = NULL;
  CHECK(destroyed == 1);
  store_free(&s);

  phase("a database opens only with its own order");
  s = store_new();
  CHECK(auradb_open(s.options, path_of("order"), &s.error) == NULL);
  CHECK(s.error != NULL && strstr(s.error, "test.Name") != NULL);
  CHECK_ERROR(s.error, "Invalid argument: leveldb.BytewiseComparator: does not match existing comparator ");
  store_free(&s);

  phase("callbacks that are missing");
  CHECK(auradb_comparator_create(&destroyed, count_destroyed, NULL, name_of) == NULL);
  CHECK(auradb_comparator_create(&destroyed, count_destroyed, compare_backwards, NULL) == NULL);
  CHECK(auradb_mergeoperator_create(&destroyed, count_destroyed, NULL, NULL, NULL, name_of) == NULL);
  CHECK(auradb_compactionfilter_create(&destroyed, count_destroyed, NULL, name_of) == NULL);
  CHECK(auradb_compactionfilterfactory_create(&destroyed, count_destroyed, NULL, name_of) == NULL);
  CHECK(auradb_slicetransform_create(&destroyed, count_destroyed, NULL, NULL, name_of) == NULL);
  CHECK(auradb_logger_create_callback_logger(0, NULL, NULL) == NULL);
  CHECK(destroyed == 1);
}

/* Joins the existing value and the operands with commas. An operand "fail" fails. */
static char *join(const char *existing, size_t existing_len, const char *const *operands, const size_t *lens,
                  int count, unsigned char *success, size_t *result_len) {
  size_t total = existing_len + 1;
  for (int i = 0; i < count; i++) {
    CHECK(operands[i] != NULL);
    if (lens[i] == 4 && memcmp(operands[i], "fail", 4) == 0) {
      *success = 0;
      return NULL;
    }
    total += lens[i] + 1;
  }
  char *result = (char *)malloc(total);
  size_t used = 0;
  if (existing != NULL) {
    memcpy(result, existing, existing_len);
    used = existing_len;
  }
  for (int i = 0; i < count; i++) {
    if (existing != NULL || i > 0) result[used++] = ',';
    memcpy(result + used, operands[i], lens[i]);
    used += lens[i];
  }
  *success = 1;
  *result_len = used;
  return result;
}
static char *full_merge(void *state, const char *key, size_t klen, const char *existing, size_t existing_len,
                        const char *const *operands, const size_t *lens, int count, unsigned char *success,
                        size_t *result_len) {
  (void)state, (void)klen;
  CHECK(key != NULL && count > 0);
  pthread_mutex_lock(&lock);
  calls++;
  pthread_mutex_unlock(&lock);
  return join(existing, existing_len, operands, lens, count, success, result_len);
}
static char *partial_merge(void *state, const char *key, size_t klen, const char *const *operands,
                           const size_t *lens, int count, unsigned char *success, size_t *result_len) {
  (void)state, (void)key, (void)klen;
  CHECK(count >= 2);
  return join(NULL, 0, operands, lens, count, success, result_len);
}
static int released = 0;
static void release_result(void *state, const char *value, size_t len) {
  CHECK(state == &destroyed && len > 0);
  pthread_mutex_lock(&lock);
  released++;
  pthread_mutex_unlock(&lock);
  free((void *)(size_t)value);
}

static void merges(void) {
  store_t s = store_new();
  phase("merge operator");
  destroyed = 0;
  auradb_mergeoperator_t *merge =
      auradb_mergeoperator_create(&destroyed, count_destroyed, full_merge, partial_merge, release_result, name_of);
  auradb_options_set_merge_operator(s.options, merge);
  store_open(&s, "merge");
  PUT(&s, "list", "a");
  auradb_merge(s.db, s.write, "list", 4, "b", 1, &s.error);
  CHECK_OK(s.error);
  auradb_merge(s.db, s.write, "list", 4, "c", 1, &s.error);
  CHECK_OK(s.error);
  GET(&s, "list", "a,b,c");
  auradb_merge(s.db, s.write, "absent", 6, "x", 1, &s.error);
  CHECK_OK(s.error);
  GET(&s, "absent", "x");
  PUT(&s, "empty", "");
  auradb_merge(s.db, s.write, "empty", 5, "e", 1, &s.error);
  CHECK_OK(s.error);
  GET(&s, "empty", ",e");
  CHECK(calls > 0 && released > 0);

  phase("merges survive flush and compaction");
  auradb_compact_range(s.db, NULL, 0, NULL, 0);
  GET(&s, "list", "a,b,c");
  auradb_writebatch_t *batch = auradb_writebatch_create();
  auradb_column_family_handle_t *family = auradb_get_default_column_family_handle(s.db);
  auradb_writebatch_merge(batch, "list", 4, "d", 1);
  auradb_writebatch_merge_cf(batch, family, "list", 4, "e", 1);
  auradb_write(s.db, s.write, batch, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_destroy(batch);
  auradb_merge_cf(s.db, s.write, family, "list", 4, "f", 1, &s.error);
  CHECK_OK(s.error);
  auradb_column_family_handle_destroy(family);
  GET(&s, "list", "a,b,c,d,e,f");
  auradb_iterator_t *iter = auradb_create_iterator(s.db, s.read);
  auradb_iter_seek(iter, "list", 4);
  ENTRY(iter, "list", "a,b,c,d,e,f");
  auradb_iter_destroy(iter);
  store_close(&s);
  store_open(&s, "merge");
  GET(&s, "list", "a,b,c,d,e,f");

  phase("a merge operator that fails");
  size_t len = 0;
  auradb_merge(s.db, s.write, "list", 4, "fail", 4, &s.error);
  CHECK_OK(s.error);
  CHECK(auradb_get(s.db, s.read, "list", 4, &len, &s.error) == NULL);
  CHECK(s.error != NULL && strstr(s.error, "Merge operator failed") != NULL);
  CHECK_ERROR(s.error, "Corruption: ");
  PUT(&s, "list", "whole again");
  GET(&s, "list", "whole again");
  CHECK(destroyed == 0);
  store_free(&s);
  CHECK(destroyed == 1);

  phase("without a merge operator");
  s = store_new();
  store_open(&s, "no-merge");
  auradb_merge(s.db, s.write, "k", 1, "v", 1, &s.error);
  CHECK(s.error != NULL);
  auradb_free(s.error);
  s.error = NULL;
  store_free(&s);
  destroyed = 0;
  auradb_mergeoperator_destroy(
      auradb_mergeoperator_create(&destroyed, count_destroyed, full_merge, NULL, NULL, name_of));
  CHECK(destroyed == 1);

  phase("the adding merge operator");
  s = store_new();
  auradb_options_set_uint64add_merge_operator(s.options);
  store_open(&s, "add");
  const char one[8] = {1, 0, 0, 0, 0, 0, 0, 0};
  for (int i = 0; i < 300; i++) {
    auradb_merge(s.db, s.write, "n", 1, one, 8, &s.error);
    CHECK_OK(s.error);
    if (i % 100 == 50) auradb_compact_range(s.db, NULL, 0, NULL, 0);
  }
  char *sum = auradb_get(s.db, s.read, "n", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK(len == 8 && sum != NULL && (unsigned char)sum[0] == 300 % 256 && sum[1] == 1);
  auradb_free(sum);
  store_free(&s);
}

/* Drops keys that start with "drop", rewrites those that start with "change". */
static unsigned char filter(void *state, int level, const char *key, size_t klen, const char *value, size_t vlen,
                            char **new_value, size_t *new_len, unsigned char *changed) {
  static char fresh[] = "fresh";
  (void)state;
  CHECK(level >= 0 && key != NULL && (value != NULL || vlen > 0));
  pthread_mutex_lock(&lock);
  calls++;
  pthread_mutex_unlock(&lock);
  if (klen >= 4 && memcmp(key, "drop", 4) == 0) return 1;
  if (klen >= 6 && memcmp(key, "change", 6) == 0) {
    *new_value = fresh;
    *new_len = 5;
    *changed = 1;
  }
  return 0;
}
static int manual = 0;
static auradb_compactionfilter_t *create_filter(void *state, auradb_compactionfiltercontext_t *context) {
  (void)auradb_compactionfiltercontext_is_full_compaction(context);
  manual += auradb_compactionfiltercontext_is_manual_compaction(context);
  return auradb_compactionfilter_create(state, NULL, filter, name_of);
}

static void check_filtered(store_t *s) {
  char big[4000];
  memset(big, 'b', sizeof big);
  PUT(s, "change-small", "old");
  auradb_put(s->db, s->write, "change-large", 12, big, sizeof big, &s->error);
  CHECK_OK(s->error);
  PUT(s, "drop-small", "old");
  auradb_put(s->db, s->write, "drop-large", 10, big, sizeof big, &s->error);
  CHECK_OK(s->error);
  PUT(s, "empty", "");
  PUT(s, "keep", "kept");
  auradb_compact_range(s->db, NULL, 0, NULL, 0);
  GET(s, "change-small", "fresh");
  GET(s, "change-large", "fresh");
  GET(s, "drop-small", NULL);
  GET(s, "drop-large", NULL);
  GET(s, "empty", "");
  GET(s, "keep", "kept");
}

static void compaction_filters(void) {
  phase("compaction filter");
  store_t s = store_new();
  destroyed = 0, calls = 0;
  auradb_compactionfilter_t *handle = auradb_compactionfilter_create(&destroyed, count_destroyed, filter, name_of);
  auradb_compactionfilter_set_ignore_snapshots(handle, 1);
  auradb_options_set_compaction_filter(s.options, handle);
  store_open(&s, "filter");
  check_filtered(&s);
  CHECK(calls >= 6);
  store_free(&s);
  CHECK(destroyed == 0);
  auradb_compactionfilter_destroy(handle);
  CHECK(destroyed == 1);

  phase("compaction filter factory");
  s = store_new();
  destroyed = 0, calls = 0;
  auradb_options_set_compaction_filter_factory(
      s.options, auradb_compactionfilterfactory_create(&destroyed, count_destroyed, create_filter, name_of));
  store_open(&s, "factory");
  check_filtered(&s);
  CHECK(calls >= 6 && manual > 0);
  auradb_options_t *copy = auradb_options_create_copy(s.options);
  store_free(&s);
  CHECK(destroyed == 0);
  auradb_options_destroy(copy);
  CHECK(destroyed == 1);
  auradb_compactionfilterfactory_destroy(
      auradb_compactionfilterfactory_create(&destroyed, count_destroyed, create_filter, other_name));
  CHECK(destroyed == 2);
}

/* The part of a key before its first '/'. */
static char *to_folder(void *state, const char *key, size_t len, size_t *prefix_len) {
  (void)state;
  const char *end = (const char *)memchr(key, '/', len);
  *prefix_len = end == NULL ? len : (size_t)(end - key);
  return (char *)(size_t)key;
}
static unsigned char has_folder(void *state, const char *key, size_t len) {
  (void)state;
  return memchr(key, '/', len) != NULL;
}

static void prefixes(void) {
  for (int kind = 0; kind < 2; kind++) {
    phase(kind == 0 ? "prefix extractor by callbacks" : "prefix extractor of fixed length");
    store_t s = store_new();
    destroyed = 0;
    auradb_slicetransform_t *folders =
        kind == 0 ? auradb_slicetransform_create(&destroyed, count_destroyed, to_folder, has_folder, name_of)
                  : auradb_slicetransform_create_fixed_prefix(2);
    auradb_options_set_prefix_extractor(s.options, folders);
    auradb_block_based_table_options_t *table = auradb_block_based_options_create();
    auradb_block_based_options_set_filter_policy(table, auradb_filterpolicy_create_bloom_full(10));
    auradb_block_based_options_set_whole_key_filtering(table, 0);
    auradb_options_set_block_based_table_factory(s.options, table);
    auradb_block_based_options_destroy(table);
    store_open(&s, kind == 0 ? "folders" : "fixed");
    PUT(&s, "d1/a", "1");
    PUT(&s, "d1/b", "2");
    PUT(&s, "d2/a", "3");
    PUT(&s, "d3/a", "4");
    for (int round = 0; round < 2; round++) {
      auradb_readoptions_t *within = auradb_readoptions_create();
      auradb_readoptions_set_prefix_same_as_start(within, 1);
      auradb_iterator_t *iter = auradb_create_iterator(s.db, within);
      auradb_iter_seek(iter, "d1/", 3);
      ENTRY(iter, "d1/a", "1");
      auradb_iter_next(iter);
      ENTRY(iter, "d1/b", "2");
      auradb_iter_next(iter);
      AT_END(iter);
      auradb_iter_seek(iter, "d2/", 3);
      ENTRY(iter, "d2/a", "3");
      auradb_iter_next(iter);
      AT_END(iter);
      auradb_iter_destroy(iter);
      auradb_readoptions_set_prefix_same_as_start(within, 0);
      auradb_readoptions_set_total_order_seek(within, 1);
      iter = auradb_create_iterator(s.db, within);
      auradb_iter_seek(iter, "d2/b", 4);
      ENTRY(iter, "d3/a", "4");
      auradb_iter_destroy(iter);
      auradb_readoptions_destroy(within);
      GET(&s, "d3/a", "4");
      GET(&s, "d9/a", NULL);
      auradb_compact_range(s.db, NULL, 0, NULL, 0);
    }
    store_free(&s);
    CHECK(destroyed == (kind == 0));
  }
  destroyed = 0;
  auradb_slicetransform_destroy(
      auradb_slicetransform_create(&destroyed, count_destroyed, to_folder, has_folder, name_of));
  CHECK(destroyed == 1);
  auradb_slicetransform_destroy(auradb_slicetransform_create_noop());
}

static int lines = 0;
static void on_line(void *state, unsigned level, char *message, size_t len) {
  CHECK(state == &lines && level <= 5 && message != NULL && strlen(message) == len);
  pthread_mutex_lock(&lock);
  lines++;
  pthread_mutex_unlock(&lock);
}

static void loggers(void) {
  phase("callback logger");
  store_t s = store_new();
  auradb_logger_t *logger = auradb_logger_create_callback_logger(0, on_line, &lines);
  auradb_options_set_info_log(s.options, logger);
  auradb_logger_destroy(logger);
  store_open(&s, "logged");
  PUT(&s, "a", "1");
  auradb_compact_range(s.db, NULL, 0, NULL, 0);
  store_close(&s);
  CHECK(lines > 0);
  int then = lines;
  usleep(50000);
  CHECK(lines == then);
  store_free(&s);

  phase("stderr logger");
  s = store_new();
  logger = auradb_logger_create_stderr_logger(4, "prefix");
  auradb_options_set_info_log(s.options, logger);
  store_open(&s, "stderr");
  auradb_logger_destroy(logger);
  PUT(&s, "a", "1");
  store_free(&s);
  auradb_logger_destroy(auradb_logger_create_stderr_logger(1, NULL));

  phase("the log is a file otherwise");
  s = store_new();
  store_open(&s, "filed");
  CHECK(access(path_of("filed/LOG"), F_OK) == 0);
  store_free(&s);
}

int main(void) {
  begin("extensions");
  comparators();
  merges();
  compaction_filters();
  prefixes();
  loggers();
  return finish();
}
