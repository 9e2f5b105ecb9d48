/*
 * What the test programs share: phases, checks, a directory of their own. A program is phases in one main; a phase
 * passes if all its checks hold; the last line printed is "N passed, N failed". C99 and C++17.
 */
#ifndef AURADB_C_TESTS_TEST_H
#define AURADB_C_TESTS_TEST_H

#include <auradb.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int test_passed = 0;
static int test_failed = 0;
static const char *test_phase = NULL;
static int test_phase_failures = 0;
static char test_directory[256];

static inline int test_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
  (void)info, (void)kind, (void)walk;
  return remove(path);
}

/* Removes a file or directory with all that is in it. */
static inline void remove_tree(const char *path) { nftw(path, test_remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* Makes the program's directory, below TMPDIR or /tmp. */
static inline void begin(const char *program) {
  const char *base = getenv("TMPDIR");
  setvbuf(stdout, NULL, _IOLBF, 0);
  snprintf(test_directory, sizeof test_directory, "%s/auradb-%s-%ld", base && *base ? base : "/tmp", program,
           (long)getpid());
  remove_tree(test_directory);
  if (mkdir(test_directory, 0700) != 0) {
    perror(test_directory);
    exit(1);
  }
}

static inline void end_phase(void) {
  if (test_phase == NULL) return;
  if (test_phase_failures == 0) {
    test_passed++;
  } else {
    test_failed++;
    printf("FAILED %s\n", test_phase);
  }
  test_phase = NULL;
  test_phase_failures = 0;
}

static inline void phase(const char *name) {
  end_phase();
  test_phase = name;
  printf("=== %s\n", name);
}

/* Ends the program: removes its directory (unless AURADB_KEEP is set and a check failed) and prints the counts. */
static inline int finish(void) {
  end_phase();
  if (test_failed > 0 && getenv("AURADB_KEEP") != NULL) {
    printf("kept %s\n", test_directory);
  } else {
    remove_tree(test_directory);
  }
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed == 0 ? 0 : 1;
}

static inline int check_at(int holds, const char *what, const char *file, int line) {
  if (!holds) {
    test_phase_failures++;
    printf("%s:%d: not so: %s\n", file, line, what);
  }
  return holds;
}

/* The condition holds, or the phase has failed; it goes on. */
#define CHECK(condition) check_at((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

/* The condition holds, or the program ends: what follows could not run. */
#define REQUIRE(condition)                 \
  do {                                     \
    if (!CHECK(condition)) exit(finish()); \
  } while (0)

static inline int ok_at(char **error, const char *file, int line) {
  if (*error == NULL) return 1;
  test_phase_failures++;
  printf("%s:%d: unexpected error: %s\n", file, line, *error);
  auradb_free(*error);
  *error = NULL;
  return 0;
}

/* There is no error. */
#define CHECK_OK(error) ok_at(&(error), __FILE__, __LINE__)

static inline void error_at(char **error, const char *start, const char *file, int line) {
  if (*error == NULL) {
    test_phase_failures++;
    printf("%s:%d: no error; expected \"%s...\"\n", file, line, start);
    return;
  }
  if (strncmp(*error, start, strlen(start)) != 0) {
    test_phase_failures++;
    printf("%s:%d: error \"%s\"; expected \"%s...\"\n", file, line, *error, start);
  }
  auradb_free(*error);
  *error = NULL;
}

/* There is an error that starts so; it is freed. */
#define CHECK_ERROR(error, start) error_at(&(error), start, __FILE__, __LINE__)

static inline void test_print_bytes(const char *bytes, size_t len) {
  if (bytes == NULL) {
    printf("NULL");
  } else {
    printf("\"%.*s\" (%zu bytes)", (int)(len < 60 ? len : 60), bytes, len);
  }
}

static inline void bytes_at(const char *expected, size_t expected_len, const char *got, size_t got_len,
                            const char *file, int line) {
  if (expected == NULL ? got == NULL
                       : got != NULL && got_len == expected_len && memcmp(got, expected, got_len) == 0) {
    return;
  }
  test_phase_failures++;
  printf("%s:%d: got ", file, line);
  test_print_bytes(got, got_len);
  printf("; expected ");
  test_print_bytes(expected, expected_len);
  printf("\n");
}

static inline void text_at(const char *expected, const char *got, size_t got_len, const char *file, int line) {
  bytes_at(expected, expected == NULL ? 0 : strlen(expected), got, got_len, file, line);
}

/* The bytes are those of a text; NULL means none. */
#define CHECK_TEXT(expected, got, got_len) text_at(expected, got, got_len, __FILE__, __LINE__)

/* A path in the program's directory. Four at a time. */
static inline const char *path_of(const char *name) {
  static char paths[4][320];
  static unsigned next = 0;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", test_directory, name);
  return path;
}

/* Numbers that look random and are the same for the same seed (xorshift64*). */
static inline unsigned long long next_random(unsigned long long *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717ULL;
}

/* Options, and short forms of the calls, for tests with one database. */
typedef struct {
  auradb_options_t *options;
  auradb_readoptions_t *read;
  auradb_writeoptions_t *write;
  auradb_t *db;
  char *error;
} store_t;

static inline store_t store_new(void) {
  store_t s;
  memset(&s, 0, sizeof s);
  s.options = auradb_options_create();
  s.read = auradb_readoptions_create();
  s.write = auradb_writeoptions_create();
  auradb_options_set_create_if_missing(s.options, 1);
  return s;
}

static inline void store_open(store_t *s, const char *name) {
  s->db = auradb_open(s->options, path_of(name), &s->error);
  CHECK_OK(s->error);
  REQUIRE(s->db != NULL);
}

static inline void store_close(store_t *s) {
  auradb_close(s->db);
  s->db = NULL;
}

static inline void store_free(store_t *s) {
  auradb_close(s->db);
  auradb_options_destroy(s->options);
  auradb_readoptions_destroy(s->read);
  auradb_writeoptions_destroy(s->write);
}

static inline void put_at(store_t *s, const char *key, const char *value, const char *file, int line) {
  auradb_put(s->db, s->write, key, strlen(key), value, strlen(value), &s->error);
  ok_at(&s->error, file, line);
}

static inline void delete_at(store_t *s, const char *key, const char *file, int line) {
  auradb_delete(s->db, s->write, key, strlen(key), &s->error);
  ok_at(&s->error, file, line);
}

static inline void get_at(store_t *s, const char *key, const char *expected, const char *file, int line) {
  size_t len = 12345;
  char *value = auradb_get(s->db, s->read, key, strlen(key), &len, &s->error);
  ok_at(&s->error, file, line);
  bytes_at(expected, expected == NULL ? 0 : strlen(expected), value, len, file, line);
  if (value == NULL) check_at(len == 0, "absent has length 0", file, line);
  auradb_free(value);
}

#define PUT(s, key, value) put_at(s, key, value, __FILE__, __LINE__)
#define DELETE(s, key) delete_at(s, key, __FILE__, __LINE__)
/* The key has the value; NULL means none. */
#define GET(s, key, expected) get_at(s, key, expected, __FILE__, __LINE__)

static inline void entry_at(auradb_iterator_t *iter, const char *key, const char *value, const char *file, int line) {
  size_t len = 0;
  if (!check_at(auradb_iter_valid(iter) == 1, "the iterator is valid", file, line)) return;
  const char *bytes = auradb_iter_key(iter, &len);
  bytes_at(key, strlen(key), bytes, len, file, line);
  bytes = auradb_iter_value(iter, &len);
  bytes_at(value, strlen(value), bytes, len, file, line);
}

/* The iterator stands on this entry. */
#define ENTRY(iter, key, value) entry_at(iter, key, value, __FILE__, __LINE__)

static inline void at_end_at(auradb_iterator_t *iter, const char *file, int line) {
  char *error = NULL;
  check_at(auradb_iter_valid(iter) == 0, "the iterator is at its end", file, line);
  auradb_iter_get_error(iter, &error);
  ok_at(&error, file, line);
}

/* The iterator stands nowhere, and nothing went wrong. */
#define AT_END(iter) at_end_at(iter, __FILE__, __LINE__)

#endif
