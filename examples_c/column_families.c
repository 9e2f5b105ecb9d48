/* Two column families in one database, written by one atomic batch, and scanned at one moment. */
#include <auradb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE, BY_CITY, FAMILIES };

static void check(char *error) {
  if (error == NULL) return;
  fprintf(stderr, "%s\n", error);
  auradb_free(error);
  exit(1);
}

/* A person and the index entry that leads to it: both or none. */
static void add(auradb_t *db, auradb_column_family_handle_t *const *families, const char *name, const char *city) {
  char *error = NULL, index[64];
  snprintf(index, sizeof index, "%s/%s", city, name);
  auradb_writebatch_t *batch = auradb_writebatch_create();
  auradb_writebatch_put_cf(batch, families[PEOPLE], name, strlen(name), city, strlen(city));
  auradb_writebatch_put_cf(batch, families[BY_CITY], index, strlen(index), "", 0);
  auradb_writeoptions_t *write = auradb_writeoptions_create();
  auradb_write(db, write, batch, &error);
  check(error);
  auradb_writeoptions_destroy(write);
  auradb_writebatch_destroy(batch);
}

/* Prints who lives in a city: the keys of the index that start with it. */
static int print_city(auradb_t *db, auradb_column_family_handle_t *index, const char *city) {
  char from[64], to[64], *error = NULL;
  int count = 0;
  snprintf(from, sizeof from, "%s/", city);
  snprintf(to, sizeof to, "%s0", city); /* '0' comes after '/' */
  auradb_readoptions_t *read = auradb_readoptions_create();
  auradb_readoptions_set_iterate_upper_bound(read, to, strlen(to));
  auradb_iterator_t *iter = auradb_create_iterator_cf(db, read, index);
  printf("%s:", city);
  for (auradb_iter_seek(iter, from, strlen(from)); auradb_iter_valid(iter); auradb_iter_next(iter)) {
    size_t length = 0;
    const char *key = auradb_iter_key(iter, &length);
    printf(" %.*s", (int)(length - strlen(from)), key + strlen(from));
    count++;
  }
  printf("\n");
  auradb_iter_get_error(iter, &error);
  check(error);
  auradb_iter_destroy(iter);
  auradb_readoptions_destroy(read);
  return count;
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "/tmp/auradb-column-families";
  const char *names[FAMILIES] = {"default", "by-city"};
  auradb_column_family_handle_t *families[FAMILIES];
  char *error = NULL;

  auradb_options_t *options = auradb_options_create();
  auradb_options_set_create_if_missing(options, 1);
  auradb_options_set_create_missing_column_families(options, 1);
  const auradb_options_t *each[FAMILIES] = {options, options};
  auradb_t *db = auradb_open_column_families(options, path, FAMILIES, names, each, families, &error);
  check(error);

  add(db, families, "ada", "london");
  add(db, families, "alan", "london");
  add(db, families, "emmy", "erlangen");
  int found = print_city(db, families[BY_CITY], "london");

  for (int i = 0; i < FAMILIES; i++) auradb_column_family_handle_destroy(families[i]);
  auradb_close(db);
  auradb_destroy_db(options, path, &error);
  check(error);
  auradb_options_destroy(options);
  return found == 2 ? 0 : 1;
}
