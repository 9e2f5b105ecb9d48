/* The first program: open a database, store a value, read it back, close. */
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

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "/tmp/auradb-hello";
  char *error = NULL;

  auradb_options_t *options = auradb_options_create();
  auradb_options_set_create_if_missing(options, 1);
  auradb_t *db = auradb_open(options, path, &error);
  check(error);

  /* A write that is acknowledged survives the death of this process; with sync it survives a power loss too. */
  auradb_writeoptions_t *write = auradb_writeoptions_create();
  auradb_writeoptions_set_sync(write, 1);
  const char *key = "greeting", *text = "hello, world";
  auradb_put(db, write, key, strlen(key), text, strlen(text), &error);
  check(error);

  /* What a function gives is freed with auradb_free. NULL means that the key is not there. */
  auradb_readoptions_t *read = auradb_readoptions_create();
  size_t length = 0;
  char *value = auradb_get(db, read, key, strlen(key), &length, &error);
  check(error);
  printf("%s: %.*s\n", key, (int)length, value == NULL ? "" : value);
  int right = value != NULL && length == strlen(text) && memcmp(value, text, length) == 0;
  auradb_free(value);

  auradb_readoptions_destroy(read);
  auradb_writeoptions_destroy(write);
  auradb_close(db);

  auradb_destroy_db(options, path, &error);
  check(error);
  auradb_options_destroy(options);
  return right ? 0 : 1;
}
