/* Indexed batches: what is in them is read before it is written. */
#include "test.h"

static char *append_merge(void *state, const char *key, size_t klen, const char *existing, size_t elen,
                          const char *const *operands, const size_t *lens, int count, unsigned char *success,
                          size_t *new_len) {
  (void)state, (void)key, (void)klen;
  char *merged = malloc(4096);
  size_t len = 0;
  if (existing != NULL) {
    memcpy(merged, existing, elen);
    len = elen;
  }
  for (int i = 0; i < count; i++) {
    memcpy(merged + len, operands[i], lens[i]);
    len += lens[i];
  }
  *success = 1;
  *new_len = len;
  return merged;
}
static char *no_partial(void *state, const char *key, size_t klen, const char *const *operands, const size_t *lens,
                        int count, unsigned char *success, size_t *new_len) {
  (void)state, (void)key, (void)klen, (void)operands, (void)lens, (void)count;
  *success = 0;
  *new_len = 0;
  return NULL;
}
static void nothing(void *state) { (void)state; }
static const char *append_name(void *state) {
  (void)state;
  return "test.Append";
}
static auradb_mergeoperator_t *append(void) {
  return auradb_mergeoperator_create(NULL, nothing, append_merge, no_partial, NULL, append_name);
}
static int compare_backwards(void *state, const char *a, size_t alen, const char *b, size_t blen) {
  (void)state;
  int order = memcmp(a, b, alen < blen ? alen : blen);
  if (order == 0) order = alen < blen ? -1 : alen > blen;
  return -order;
}
static const char *backwards_name(void *state) {
  (void)state;
  return "test.Backwards";
}

/* What the callbacks of iterate saw. */
typedef struct {
  char text[200];
  auradb_writebatch_wi_t *batch;
} seen_t;

static void on_put(void *state, const char *k, size_t klen, const char *v, size_t vlen) {
  seen_t *seen = state;
  size_t len = strlen(seen->text);
  snprintf(seen->text + len, sizeof seen->text - len, "put %.*s=%.*s;", (int)klen, k, (int)vlen, v);
  /* The batch may be used and changed meanwhile. */
  CHECK(auradb_writebatch_wi_count(seen->batch) > 0);
}
static void on_delete(void *state, const char *k, size_t klen) {
  seen_t *seen = state;
  size_t len = strlen(seen->text);
  snprintf(seen->text + len, sizeof seen->text - len, "delete %.*s;", (int)klen, k);
}

static void in_batch(auradb_writebatch_wi_t *b, store_t *s, const char *key, const char *expected) {
  size_t len = 9;
  char *value = auradb_writebatch_wi_get_from_batch(b, s->options, key, strlen(key), &len, &s->error);
  CHECK_OK(s->error);
  CHECK_TEXT(expected, value, len);
  if (value == NULL) CHECK(len == 0);
  auradb_free(value);
}

static void in_both(auradb_writebatch_wi_t *b, store_t *s, const char *key, const char *expected) {
  size_t len = 9;
  char *value = auradb_writebatch_wi_get_from_batch_and_db(b, s->db, s->read, key, strlen(key), &len, &s->error);
  CHECK_OK(s->error);
  CHECK_TEXT(expected, value, len);
  auradb_free(value);
  auradb_pinnableslice_t *slice =
      auradb_writebatch_wi_get_pinned_from_batch_and_db(b, s->db, s->read, key, strlen(key), &s->error);
  CHECK_OK(s->error);
  CHECK((slice == NULL) == (expected == NULL));
  if (slice != NULL) {
    const char *bytes = auradb_pinnableslice_value(slice, &len);
    CHECK_TEXT(expected, bytes, len);
  }
  auradb_pinnableslice_destroy(slice);
}

#define PUT_WI(b, key, value) auradb_writebatch_wi_put(b, key, strlen(key), value, strlen(value))
#define MERGE_WI(b, key, value) auradb_writebatch_wi_merge(b, key, strlen(key), value, strlen(value))
#define DELETE_WI(b, key) auradb_writebatch_wi_delete(b, key, strlen(key))

static void reads(void) {
  store_t s = store_new();
  auradb_options_set_merge_operator(s.options, append());
  store_open(&s, "reads");
  PUT(&s, "a", "A");
  PUT(&s, "b", "B");
  PUT(&s, "c", "C");
  PUT(&s, "d", "D");

  for (unsigned char overwrite = 0; overwrite < 2; overwrite++) {
    phase(overwrite ? "reads of one's own writes, overwriting" : "reads of one's own writes");
    auradb_writebatch_wi_t *b = auradb_writebatch_wi_create(100, overwrite);
    in_both(b, &s, "a", "A");
    in_batch(b, &s, "a", NULL);
    PUT_WI(b, "b", "first");
    PUT_WI(b, "b", "new");
    DELETE_WI(b, "c");
    MERGE_WI(b, "d", "+1");
    MERGE_WI(b, "e", "only");
    auradb_writebatch_wi_singledelete(b, "a", 1);
    auradb_writebatch_wi_put_log_data(b, "log", 3);
    CHECK(auradb_writebatch_wi_count(b) == 6);
    in_both(b, &s, "a", NULL);
    in_batch(b, &s, "b", "new");
    in_both(b, &s, "b", "new");
    in_batch(b, &s, "c", NULL);
    in_both(b, &s, "c", NULL);
    in_both(b, &s, "d", "D+1");
    in_both(b, &s, "e", "only");
    size_t len = 9;
    CHECK(auradb_writebatch_wi_get_from_batch(b, s.options, "d", 1, &len, &s.error) == NULL);
    CHECK_ERROR(s.error, "Merge in progress: ");
    CHECK(len == 0);
    MERGE_WI(b, "b", "+2");
    in_batch(b, &s, "b", "new+2");

    phase("save points");
    auradb_writebatch_wi_set_save_point(b);
    PUT_WI(b, "a", "again");
    auradb_writebatch_wi_delete_range(b, "b", 1, "e", 1);
    in_both(b, &s, "a", "again");
    in_both(b, &s, "b", NULL);
    in_both(b, &s, "d", NULL);
    auradb_writebatch_wi_rollback_to_save_point(b, &s.error);
    CHECK_OK(s.error);
    in_both(b, &s, "a", NULL);
    in_both(b, &s, "b", "new+2");
    in_both(b, &s, "d", "D+1");
    auradb_writebatch_wi_rollback_to_save_point(b, &s.error);
    CHECK_ERROR(s.error, "NotFound: ");

    phase("operations in order, and bytes");
    seen_t seen = {"", b};
    auradb_writebatch_wi_iterate(b, &seen, on_put, on_delete);
    CHECK(strcmp(seen.text, "put b=first;put b=new;delete c;") == 0);
    const char *data = auradb_writebatch_wi_data(b, &len);
    auradb_writebatch_t *copy = auradb_writebatch_create_from(data, len);
    CHECK(auradb_writebatch_count(copy) == auradb_writebatch_wi_count(b));
    auradb_writebatch_destroy(copy);

    phase("pieces");
    auradb_writebatch_wi_clear(b);
    CHECK(auradb_writebatch_wi_count(b) == 0);
    in_both(b, &s, "a", "A");
    const char *keys[] = {"pie", "", "ce"}, *values[] = {"one", "two"}, *ends[] = {"q", "", ""};
    size_t key_lens[] = {3, 0, 2}, value_lens[] = {3, 3}, end_lens[] = {1, 0, 0};
    auradb_writebatch_wi_putv(b, 3, keys, key_lens, 2, values, value_lens);
    in_batch(b, &s, "piece", "onetwo");
    auradb_writebatch_wi_mergev(b, 3, keys, key_lens, 2, values, value_lens);
    in_batch(b, &s, "piece", "onetwoonetwo");
    auradb_writebatch_wi_deletev(b, 3, keys, key_lens);
    in_batch(b, &s, "piece", NULL);
    auradb_writebatch_wi_putv(b, 3, keys, key_lens, 2, values, value_lens);
    auradb_writebatch_wi_delete_rangev(b, 3, keys, key_lens, ends, end_lens);
    in_batch(b, &s, "piece", NULL);
    CHECK(auradb_writebatch_wi_count(b) == 5);

    phase("a failure to fill is told when the batch is written");
    auradb_writebatch_wi_putv(b, -1, keys, key_lens, 2, values, value_lens);
    auradb_write_writebatch_wi(s.db, s.write, b, &s.error);
    CHECK_ERROR(s.error, "Invalid argument: ");
    auradb_writebatch_wi_destroy(b);
  }

  phase("the batch is written");
  auradb_writebatch_wi_t *b = auradb_writebatch_wi_create(0, 1);
  PUT_WI(b, "a", "written");
  MERGE_WI(b, "b", "!");
  auradb_writebatch_wi_delete_range(b, "c", 1, "e", 1);
  auradb_write_writebatch_wi(s.db, s.write, b, &s.error);
  CHECK_OK(s.error);
  GET(&s, "a", "written");
  GET(&s, "b", "B!");
  GET(&s, "c", NULL);
  GET(&s, "d", NULL);
  auradb_writebatch_wi_destroy(b);
  store_free(&s);
}

static void iterators(void) {
  store_t s = store_new();
  auradb_options_set_merge_operator(s.options, append());
  store_open(&s, "iterators");
  PUT(&s, "a", "A");
  PUT(&s, "c", "C");
  PUT(&s, "e", "E");
  PUT(&s, "g", "G");

  phase("an iterator over both, both ways");
  auradb_writebatch_wi_t *b = auradb_writebatch_wi_create(0, 1);
  PUT_WI(b, "b", "new");
  DELETE_WI(b, "c");
  MERGE_WI(b, "e", "+");
  PUT_WI(b, "z", "last");
  auradb_iterator_t *iter =
      auradb_writebatch_wi_create_iterator_with_base(b, auradb_create_iterator(s.db, s.read));
  CHECK(auradb_iter_valid(iter) == 0);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "a", "A");
  auradb_iter_next(iter);
  ENTRY(iter, "b", "new");
  auradb_iter_next(iter);
  ENTRY(iter, "e", "E+");
  auradb_iter_prev(iter);
  ENTRY(iter, "b", "new");
  auradb_iter_seek(iter, "c", 1);
  ENTRY(iter, "e", "E+");
  auradb_iter_seek_for_prev(iter, "d", 1);
  ENTRY(iter, "b", "new");
  auradb_iter_seek_to_last(iter);
  ENTRY(iter, "z", "last");
  auradb_iter_prev(iter);
  ENTRY(iter, "g", "G");
  auradb_iter_next(iter);
  ENTRY(iter, "z", "last");
  auradb_iter_next(iter);
  AT_END(iter);

  phase("changes of the batch are seen from the next move on");
  auradb_iter_seek_to_first(iter);
  PUT_WI(b, "aa", "between");
  auradb_writebatch_wi_delete_range(b, "c", 1, "h", 1);
  auradb_iter_next(iter);
  ENTRY(iter, "aa", "between");
  auradb_iter_next(iter);
  auradb_iter_next(iter);
  ENTRY(iter, "z", "last");
  PUT(&s, "later", "not shown");
  auradb_iter_prev(iter);
  ENTRY(iter, "b", "new");
  char *error = NULL;
  auradb_iter_refresh(iter, &error);
  CHECK_OK(error);
  auradb_iter_seek(iter, "c", 1);
  ENTRY(iter, "later", "not shown");
  auradb_iter_destroy(iter);

  phase("bounds");
  auradb_readoptions_t *bounded = auradb_readoptions_create();
  auradb_readoptions_set_iterate_lower_bound(bounded, "aa", 2);
  auradb_readoptions_set_iterate_upper_bound(bounded, "m", 1);
  for (int own = 0; own < 2; own++) {
    auradb_iterator_t *base = auradb_create_iterator(s.db, own ? bounded : s.read);
    iter = auradb_writebatch_wi_create_iterator_with_base_readopts(b, base, own ? NULL : bounded);
    auradb_iter_seek_to_first(iter);
    ENTRY(iter, "aa", "between");
    auradb_iter_seek_to_last(iter);
    ENTRY(iter, "later", "not shown");
    auradb_iter_next(iter);
    AT_END(iter);
    auradb_iter_destroy(iter);
  }
  auradb_readoptions_destroy(bounded);

  phase("an iterator outlives its batch, and errors are told");
  iter = auradb_writebatch_wi_create_iterator_with_base(b, auradb_create_iterator(s.db, s.read));
  auradb_iter_seek_to_first(iter);
  auradb_iterator_t *twice = auradb_writebatch_wi_create_iterator_with_base(b, iter);
  auradb_iter_get_error(twice, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_iter_destroy(twice);
  iter = auradb_writebatch_wi_create_iterator_with_base(b, auradb_create_iterator(s.db, s.read));
  auradb_writebatch_wi_destroy(b);
  auradb_iter_seek(iter, "b", 1);
  ENTRY(iter, "b", "new");
  auradb_iter_destroy(iter);
  store_free(&s);
}

static void families(void) {
  store_t s = store_new();
  store_open(&s, "families");
  phase("column families, one of them with an order of its own");
  auradb_options_t *options = auradb_options_create();
  auradb_comparator_t *order = auradb_comparator_create(NULL, nothing, compare_backwards, backwards_name);
  auradb_options_set_comparator(options, order);
  auradb_options_set_merge_operator(options, append());
  auradb_column_family_handle_t *cf = auradb_create_column_family(s.db, options, "backwards", &s.error);
  CHECK_OK(s.error);
  auradb_put_cf(s.db, s.write, cf, "b", 1, "B", 1, &s.error);
  CHECK_OK(s.error);
  auradb_put_cf(s.db, s.write, cf, "d", 1, "D", 1, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_wi_t *b = auradb_writebatch_wi_create(0, 0);
  PUT_WI(b, "a", "in the default one");
  auradb_writebatch_wi_put_cf(b, cf, "a", 1, "1", 1);
  auradb_writebatch_wi_put_cf(b, cf, "c", 1, "2", 1);
  auradb_writebatch_wi_merge_cf(b, cf, "d", 1, "+", 1);
  auradb_writebatch_wi_put_cf(b, cf, "e", 1, "3", 1);
  auradb_writebatch_wi_put_cf(b, cf, "f", 1, "4", 1);
  auradb_writebatch_wi_delete_cf(b, cf, "e", 1);
  auradb_writebatch_wi_put_cf(b, cf, "g", 1, "5", 1);
  auradb_writebatch_wi_singledelete_cf(b, cf, "g", 1);
  auradb_iterator_t *iter =
      auradb_writebatch_wi_create_iterator_with_base_cf(b, auradb_create_iterator_cf(s.db, s.read, cf), cf);
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "f", "4");
  auradb_iter_next(iter);
  ENTRY(iter, "d", "D+");
  auradb_iter_next(iter);
  ENTRY(iter, "c", "2");
  auradb_iter_next(iter);
  ENTRY(iter, "b", "B");
  auradb_iter_next(iter);
  ENTRY(iter, "a", "1");
  auradb_iter_next(iter);
  AT_END(iter);
  auradb_iter_destroy(iter);
  iter = auradb_writebatch_wi_create_iterator_with_base_cf_readopts(
      b, auradb_create_iterator_cf(s.db, s.read, cf), cf, s.read);
  auradb_writebatch_wi_delete_range_cf(b, cf, "d", 1, "a", 1);
  auradb_iter_seek(iter, "d", 1);
  ENTRY(iter, "a", "1");
  auradb_iter_destroy(iter);
  iter = auradb_writebatch_wi_create_iterator_with_base_cf(b, auradb_create_iterator(s.db, s.read), cf);
  auradb_iter_get_error(iter, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_iter_destroy(iter);

  size_t len = 0;
  char *value = auradb_writebatch_wi_get_from_batch_cf(b, s.options, cf, "a", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("1", value, len);
  auradb_free(value);
  value = auradb_writebatch_wi_get_from_batch_and_db_cf(b, s.db, s.read, cf, "b", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK(value == NULL && len == 0);
  auradb_pinnableslice_t *slice =
      auradb_writebatch_wi_get_pinned_from_batch_and_db_cf(b, s.db, s.read, cf, "f", 1, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("4", auradb_pinnableslice_value(slice, &len), 1);
  auradb_pinnableslice_destroy(slice);
  const char *piece[] = {"x"};
  size_t one[] = {1};
  auradb_writebatch_wi_putv_cf(b, cf, 1, piece, one, 1, piece, one);
  auradb_writebatch_wi_mergev_cf(b, cf, 1, piece, one, 1, piece, one);
  value = auradb_writebatch_wi_get_from_batch_cf(b, NULL, cf, "x", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("xx", value, len);
  auradb_free(value);
  auradb_writebatch_wi_deletev_cf(b, cf, 1, piece, one);
  const char *end[] = {"w"};
  auradb_writebatch_wi_delete_rangev_cf(b, cf, 1, piece, one, end, one);
  CHECK(auradb_writebatch_wi_get_from_batch_cf(b, NULL, cf, "x", 1, &len, &s.error) == NULL);
  CHECK_OK(s.error);
  auradb_write_writebatch_wi(s.db, s.write, b, &s.error);
  CHECK_OK(s.error);
  GET(&s, "a", "in the default one");
  value = auradb_get_cf(s.db, s.read, cf, "a", 1, &len, &s.error);
  CHECK_OK(s.error);
  CHECK_TEXT("1", value, len);
  auradb_free(value);
  auradb_writebatch_wi_destroy(b);
  auradb_column_family_handle_destroy(cf);
  auradb_options_destroy(options);
  auradb_comparator_destroy(order);
  store_free(&s);

  phase("a default column family with an order of its own, which the batch hears of late");
  s = store_new();
  order = auradb_comparator_create(NULL, nothing, compare_backwards, backwards_name);
  auradb_options_set_comparator(s.options, order);
  store_open(&s, "late");
  PUT(&s, "m", "M");
  b = auradb_writebatch_wi_create(0, 1);
  PUT_WI(b, "a", "1");
  PUT_WI(b, "z", "2");
  iter = auradb_writebatch_wi_create_iterator_with_base(b, auradb_create_iterator(s.db, s.read));
  auradb_iter_seek_to_first(iter);
  ENTRY(iter, "z", "2");
  auradb_iter_next(iter);
  ENTRY(iter, "m", "M");
  auradb_iter_next(iter);
  ENTRY(iter, "a", "1");
  auradb_iter_destroy(iter);
  auradb_writebatch_wi_destroy(b);
  auradb_comparator_destroy(order);
  store_free(&s);
}

int main(void) {
  begin("indexed_batch");
  reads();
  iterators();
  families();
  return finish();
}
