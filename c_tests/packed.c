/* Packed operations and keys: many in one call. */
#include "test.h"

typedef struct {
  char bytes[8192];
  size_t len;
} buffer_t;

static void number(buffer_t *b, uint32_t n) {
  for (int byte = 0; byte < 4; byte++) b->bytes[b->len++] = (char)(n >> (8 * byte) & 0xff);
}

static void text(buffer_t *b, const char *bytes, size_t len) {
  memcpy(b->bytes + b->len, bytes, len);
  b->len += len;
}

static void operation(buffer_t *b, uint32_t kind, uint32_t family, const char *key, const char *value) {
  number(b, kind + 256 * family);
  number(b, (uint32_t)strlen(key));
  number(b, (uint32_t)strlen(value));
  text(b, key, strlen(key));
  text(b, value, strlen(value));
}

static void wanted(buffer_t *b, uint32_t family, const char *key) {
  number(b, family);
  number(b, (uint32_t)strlen(key));
  text(b, key, strlen(key));
}

/* The next answer is this value; NULL means none. */
static const char *answer(const char *at, const char *expected) {
  const unsigned char *head = (const unsigned char *)at;
  uint32_t len = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
  at += 4;
  if (len == 0xffffffff) {
    CHECK(expected == NULL);
    return at;
  }
  CHECK_TEXT(expected, at, len);
  return at + len;
}

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

int main(void) {
  static buffer_t b;
  begin("packed");
  store_t s = store_new();
  auradb_options_set_merge_operator(
      s.options, auradb_mergeoperator_create(NULL, nothing, append_merge, no_partial, NULL, append_name));
  auradb_options_set_separation_threshold(s.options, 1000);
  store_open(&s, "db");

  phase("one call applies all operations");
  PUT(&s, "gone", "1");
  PUT(&s, "once", "1");
  PUT(&s, "range1", "1");
  PUT(&s, "range2", "1");
  char big[3001];
  memset(big, 'b', sizeof big - 1);
  big[sizeof big - 1] = 0;
  operation(&b, auradb_packed_put, 0, "key", "value");
  operation(&b, auradb_packed_put, 0, "big", big);
  operation(&b, auradb_packed_delete, 0, "gone", "");
  operation(&b, auradb_packed_singledelete, 0, "once", "");
  operation(&b, auradb_packed_merge, 0, "key", "+1");
  operation(&b, auradb_packed_delete_range, 0, "range1", "range2");
  operation(&b, auradb_packed_log_data, 0, "for the log", "");
  operation(&b, auradb_packed_put, 0, "", "");
  auradb_write_packed(s.db, s.write, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_OK(s.error);
  GET(&s, "key", "value+1");
  GET(&s, "big", big);
  GET(&s, "gone", NULL);
  GET(&s, "once", NULL);
  GET(&s, "range1", NULL);
  GET(&s, "range2", "1");
  GET(&s, "", "");

  phase("nothing, and nothing at all");
  auradb_write_packed(s.db, s.write, NULL, 0, NULL, 0, &s.error);
  CHECK_OK(s.error);
  auradb_write_packed(NULL, s.write, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_write_packed(s.db, NULL, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_write_packed(s.db, s.write, NULL, 0, NULL, 7, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");

  phase("a malformed operation is named, and nothing is applied");
  b.len = 0;
  operation(&b, auradb_packed_put, 0, "x", big);
  size_t second = b.len;
  operation(&b, 9, 0, "y", "1");
  char expected[200];
  snprintf(expected, sizeof expected, "Invalid argument: packed operations: operation 1 at byte %zu: its kind is 9",
           second);
  auradb_write_packed(s.db, s.write, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, expected);
  auradb_write_packed(s.db, s.write, NULL, 0, b.bytes, second + 5, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: packed operations: operation 1 at byte ");
  GET(&s, "x", NULL);

  phase("column families by index");
  auradb_options_t *plain = auradb_options_create();
  auradb_column_family_handle_t *other = auradb_create_column_family(s.db, plain, "other", &s.error);
  CHECK_OK(s.error);
  auradb_column_family_handle_t *dflt = auradb_get_default_column_family_handle(s.db);
  const auradb_column_family_handle_t *families[] = {other, dflt, NULL};
  b.len = 0;
  operation(&b, auradb_packed_put, 0, "k", "in other");
  operation(&b, auradb_packed_put, 1, "k", "in default");
  auradb_write_packed(s.db, s.write, families, 3, b.bytes, b.len, &s.error);
  CHECK_OK(s.error);
  GET(&s, "k", "in default");
  operation(&b, auradb_packed_delete, 2, "k", "");
  auradb_write_packed(s.db, s.write, families, 3, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: packed operations: operation 2 at byte ");
  auradb_write_packed(s.db, s.write, families, 1, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: packed operations: operation 1 at byte ");
  b.len = 0;
  operation(&b, auradb_packed_put, 1, "k", "not applied");
  operation(&b, auradb_packed_merge, 0, "k", "no operator");
  auradb_write_packed(s.db, s.write, families, 2, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: packed operations: operation 1 at byte ");
  GET(&s, "k", "in default");

  phase("many keys in one call");
  b.len = 0;
  wanted(&b, 0, "k");
  wanted(&b, 1, "k");
  wanted(&b, 1, "absent");
  wanted(&b, 1, "");
  wanted(&b, 1, "big");
  size_t len = 1;
  char *answers = auradb_multi_get_packed(s.db, s.read, families, 2, b.bytes, b.len, &len, &s.error);
  CHECK_OK(s.error);
  REQUIRE(answers != NULL);
  const char *at = answer(answers, "in other");
  at = answer(at, "in default");
  at = answer(at, NULL);
  at = answer(at, "");
  at = answer(at, big);
  CHECK(at == answers + len);
  auradb_free(answers);
  answers = auradb_multi_get_packed(s.db, s.read, NULL, 0, NULL, 0, &len, &s.error);
  CHECK_OK(s.error);
  CHECK(answers != NULL && len == 0);
  auradb_free(answers);
  CHECK(auradb_multi_get_packed(s.db, s.read, families, 2, b.bytes, b.len - 1, &len, &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: packed keys: key 4 at byte ");
  CHECK(len == 0);
  CHECK(auradb_multi_get_packed(s.db, s.read, families, 1, b.bytes, b.len, &len, &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");

  phase("packed operations in a batch");
  b.len = 0;
  operation(&b, auradb_packed_put, 0, "batch1", "1");
  operation(&b, auradb_packed_put, 0, "batch2", "2");
  auradb_writebatch_t *batch = auradb_writebatch_create();
  auradb_writebatch_append_packed(batch, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_append_packed(batch, NULL, 0, b.bytes, b.len - 1, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: packed operations: operation 1 at byte ");
  CHECK(auradb_writebatch_count(batch) == 2);
  auradb_writebatch_append_packed(NULL, NULL, 0, b.bytes, b.len, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_write(s.db, s.write, batch, &s.error);
  CHECK_OK(s.error);
  GET(&s, "batch1", "1");
  GET(&s, "batch2", "2");
  auradb_writebatch_destroy(batch);

  auradb_column_family_handle_destroy(dflt);
  auradb_column_family_handle_destroy(other);
  auradb_options_destroy(plain);
  store_free(&s);
  return finish();
}
