/* Many writes in one call: what a program does whose calls of C are expensive. The buffer could be built by any
 * language; see auradb_write_packed. */
#include <auradb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program if a call failed. */
static void check(char *error) {
  if (error == NULL) return;
  fprintf(stderr, "%s\n", error);
  auradb_free(error);
  exit(1);
}

static char *append_number(char *at, uint32_t number) {
  for (int byte = 0; byte < 4; byte++) *at++ = (char)(number >> (8 * byte));
  return at;
}

static char *append_put(char *at, const char *key, const char *value) {
  at = append_number(at, auradb_packed_put);
  at = append_number(at, (uint32_t)strlen(key));
  at = append_number(at, (uint32_t)strlen(value));
  at = memcpy(at, key, strlen(key));
  at += strlen(key);
  memcpy(at, value, strlen(value));
  return at + strlen(value);
}

int main(int argc, char **argv) {
  enum { COUNT = 1000 };
  const char *path = argc > 1 ? argv[1] : "/tmp/auradb-packed";
  char *error = NULL;
  auradb_options_t *options = auradb_options_create();
  auradb_options_set_create_if_missing(options, 1);
  auradb_t *db = auradb_open(options, path, &error);
  check(error);

  /* A thousand puts, applied all or not at all. */
  char *buffer = malloc(COUNT * 64), *end = buffer;
  if (buffer == NULL) return 1;
  for (int n = 0; n < COUNT; n++) {
    char key[24], value[24];
    snprintf(key, sizeof key, "key%05d", n);
    snprintf(value, sizeof value, "value%d", n);
    end = append_put(end, key, value);
  }
  auradb_writeoptions_t *write = auradb_writeoptions_create();
  auradb_write_packed(db, write, NULL, 0, buffer, (size_t)(end - buffer), &error);
  check(error);

  /* Two keys read at one moment: family index, length, key; the answer is length and value, or 0xffffffff. */
  end = buffer;
  const char *wanted[] = {"key00007", "nobody"};
  for (int n = 0; n < 2; n++) {
    end = append_number(end, 0);
    end = append_number(end, (uint32_t)strlen(wanted[n]));
    memcpy(end, wanted[n], strlen(wanted[n]));
    end += strlen(wanted[n]);
  }
  auradb_readoptions_t *read = auradb_readoptions_create();
  size_t length = 0;
  char *answer = auradb_multi_get_packed(db, read, NULL, 0, buffer, (size_t)(end - buffer), &length, &error);
  check(error);
  int right = length == 4 + 6 + 4 && memcmp(answer, "\6\0\0\0value7\377\377\377\377", length) == 0;
  printf("%d values written, 2 keys read, answers %s\n", COUNT, right ? "as expected" : "wrong");

  auradb_free(answer);
  free(buffer);
  auradb_readoptions_destroy(read);
  auradb_writeoptions_destroy(write);
  auradb_close(db);
  auradb_destroy_db(options, path, &error);
  check(error);
  auradb_options_destroy(options);
  return right ? 0 : 1;
}
