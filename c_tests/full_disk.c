/*
 * A full disk loses nothing, and writes go on when there is space again. The database lives in a small tmpfs of its
 * own (in a mount namespace, so nothing else sees it) beside a file of ballast:
 *
 * 1. Large values and small writes, many of them overwrites, so that garbage is collected meanwhile, until the file
 *    system refuses; then small writes until the log is refused too (a mapped one must never end in SIGBUS).
 * 2. While it is full: everything acknowledged is read, garbage is collected by hand, more writes are tried.
 * 3. The ballast goes. Writes go on by themselves, or after auradb_resume; nothing is lost, and a reopen shows all.
 *
 * With the log mapped (and allocated ahead) and not; twice each, so that the second time begins with what the first
 * one left. Without the right to mount it says so and passes.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <time.h>

enum { LARGE_KEYS = 1500, SMALL_KEYS = 512, KEYS = LARGE_KEYS + SMALL_KEYS, LARGE = 150 << 10, SMALL = 900 };
static const char disk_size[] = "size=256m";
static const size_t ballast_bytes = 32 << 20;

/* The version of each key that was acknowledged, and the last one that was tried; 0: none. */
static unsigned acknowledged[KEYS], attempted[KEYS];
static unsigned long long chance = 42;

static int write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0) return -1;
  ssize_t written = write(file, text, strlen(text));
  close(file);
  return written == (ssize_t)strlen(text) ? 0 : -1;
}

/* A mount namespace of this process, and with it the right to mount. */
static int may_mount(void) {
  uid_t user = getuid();
  if (unshare(CLONE_NEWNS) != 0) {
    char map[64];
    snprintf(map, sizeof map, "0 %ld 1", (long)user);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || write_text("/proc/self/uid_map", map) != 0) return 0;
  }
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static size_t size_of(unsigned key) { return key < LARGE_KEYS ? LARGE + key * 8 : SMALL; }

static void fill(char *value, unsigned key, unsigned version) {
  unsigned long long state = (key + 1) * 1000003ULL + version;
  for (size_t at = 0; at < size_of(key); at += 8) {
    unsigned long long word = next_random(&state);
    size_t left = size_of(key) - at;
    memcpy(value + at, &word, left < 8 ? left : 8);
  }
}

/* Writes the next version of a key; the error, if there is one, is the caller's. */
static int write_key(store_t *s, unsigned key) {
  static char value[LARGE + LARGE_KEYS * 8];
  char name[16];
  snprintf(name, sizeof name, "key%05u", key);
  fill(value, key, ++attempted[key]);
  auradb_put(s->db, s->write, name, strlen(name), value, size_of(key), &s->error);
  if (s->error != NULL) return 0;
  acknowledged[key] = attempted[key];
  return 1;
}

/* Every key has what was acknowledged, or a later version that was tried. Gives how many keys there are. */
static unsigned check_all(store_t *s) {
  static char expected[LARGE + LARGE_KEYS * 8];
  unsigned found = 0;
  for (unsigned key = 0; key < KEYS; key++) {
    char name[16];
    size_t len = 0;
    snprintf(name, sizeof name, "key%05u", key);
    char *value = auradb_get(s->db, s->read, name, strlen(name), &len, &s->error);
    if (!CHECK_OK(s->error)) return found;
    int right = value == NULL && acknowledged[key] == 0;
    for (unsigned version = attempted[key]; value != NULL && !right && version >= acknowledged[key] && version > 0;
         version--) {
      fill(expected, key, version);
      right = len == size_of(key) && memcmp(value, expected, len) == 0;
    }
    auradb_free(value);
    found += value != NULL;
    if (!right) printf("key %u: acknowledged %u, tried %u\n", key, acknowledged[key], attempted[key]);
    if (!CHECK(right)) return found;
  }
  return found;
}

/* Writes keys of [from, to) by chance until one is refused; the number that were not. */
static unsigned write_until_refused(store_t *s, unsigned from, unsigned to, unsigned most) {
  unsigned written = 0;
  while (written < most && write_key(s, from + next_random(&chance) % (to - from))) written++;
  if (s->error != NULL) {
    if (strstr(s->error, "No space") == NULL && strstr(s->error, "space") == NULL) {
      printf("refused for another reason: %s\n", s->error);
      CHECK(0);
    }
    auradb_free(s->error);
    s->error = NULL;
  }
  return written;
}

static void lay_ballast(const char *path) {
  static char zeros[1 << 16];
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  REQUIRE(file >= 0);
  for (size_t at = 0; at < ballast_bytes; at += sizeof zeros) {
    if (write(file, zeros, sizeof zeros) != (ssize_t)sizeof zeros) break;
  }
  close(file);
}

static void rest(long milliseconds) {
  struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&pause, NULL);
}

/* Tries small writes until one gets through: by itself within three seconds, or after auradb_resume. */
static void go_on(store_t *s) {
  for (int tries = 0; tries < 300; tries++) {
    if (tries == 30) {
      auradb_resume(s->db, &s->error);
      if (s->error != NULL) printf("resume: %s\n", s->error);
      auradb_free(s->error);
      s->error = NULL;
    }
    if (write_key(s, LARGE_KEYS + next_random(&chance) % SMALL_KEYS)) {
      printf("writes go on %s, after %d tries\n", tries < 30 ? "by themselves" : "after auradb_resume", tries);
      return;
    }
    if (tries == 299) CHECK_OK(s->error);
    auradb_free(s->error);
    s->error = NULL;
    rest(100);
  }
  CHECK(!"writes go on");
}

static void fill_and_free(store_t *s, const char *ballast) {
  unsigned large = write_until_refused(s, 0, LARGE_KEYS, 20 * LARGE_KEYS);
  CHECK(large < 20 * LARGE_KEYS);
  unsigned small = write_until_refused(s, LARGE_KEYS, KEYS, 500000);
  struct statvfs space;
  statvfs(path_of("disk"), &space);
  printf("%u large and %u small writes fit; %lu KiB are free\n", large, small,
         (unsigned long)(space.f_bavail * space.f_frsize >> 10));
  auradb_collect_garbage(s->db, 0.1, &s->error);
  printf("garbage collection while full: %s\n", s->error != NULL ? s->error : "done");
  auradb_free(s->error);
  s->error = NULL;
  for (unsigned tried = 0; tried < 20; tried++) write_until_refused(s, 0, KEYS, 1);
  check_all(s);
  CHECK(unlink(ballast) == 0);
  go_on(s);
  check_all(s);
  /* There is room for some large ones too, and for what deletes free. */
  for (unsigned key = 0; key < LARGE_KEYS; key += 2) {
    char name[16];
    snprintf(name, sizeof name, "key%05u", key);
    auradb_delete(s->db, s->write, name, strlen(name), &s->error);
    if (!CHECK_OK(s->error)) return;
    acknowledged[key] = attempted[key] = 0;
  }
  auradb_collect_garbage(s->db, 0.1, &s->error);
  CHECK_OK(s->error);
  for (unsigned key = 0; key < 60; key += 2) {
    write_key(s, key);
    if (!CHECK_OK(s->error)) return;
  }
  printf("%u keys are whole\n", check_all(s));
}

static void run(int mapped) {
  char ballast[320];
  const char *disk = path_of("disk");
  REQUIRE(mkdir(disk, 0700) == 0 || errno == EEXIST);
  REQUIRE(mount("tmpfs", disk, "tmpfs", 0, disk_size) == 0);
  snprintf(ballast, sizeof ballast, "%s/ballast", disk);
  memset(acknowledged, 0, sizeof acknowledged);
  memset(attempted, 0, sizeof attempted);
  store_t s = store_new();
  auradb_options_set_memory_mapped_wal(s.options, (unsigned char)mapped);
  auradb_options_set_write_buffer_size(s.options, 1 << 20);
  auradb_options_set_value_log_segment_size(s.options, 4 << 20);
  for (int round = 0; round < 2; round++) {
    lay_ballast(ballast);
    store_open(&s, "disk/db");
    fill_and_free(&s, ballast);
    store_close(&s);
    store_open(&s, "disk/db");
    check_all(&s);
    store_close(&s);
  }
  store_free(&s);
  CHECK(umount2(path_of("disk"), MNT_DETACH) == 0);
}

int main(void) {
  begin("full_disk");
  phase("a disk of its own");
  if (!may_mount()) {
    printf("SKIPPED: no right to mount (%s)\n", strerror(errno));
    return finish();
  }
  phase("full and free again, the log mapped and allocated ahead");
  run(1);
  phase("full and free again, the log written");
  run(0);
  return finish();
}
