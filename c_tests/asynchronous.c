/* Writes that do not wait for the device: readable at once, called back in order when durable. */
#include "test.h"

#include <pthread.h>

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  int called, failed;
  int order_is_right;
} calls_t;

typedef struct {
  calls_t *calls;
  int number;
} call_t;

static void called_back(void *argument, const char *error) {
  call_t *call = argument;
  calls_t *calls = call->calls;
  pthread_mutex_lock(&calls->lock);
  if (error != NULL) calls->failed++;
  if (call->number != calls->called) calls->order_is_right = 0;
  calls->called++;
  pthread_cond_broadcast(&calls->moved);
  pthread_mutex_unlock(&calls->lock);
}

static void wait_for(calls_t *calls, int count) {
  pthread_mutex_lock(&calls->lock);
  while (calls->called < count) pthread_cond_wait(&calls->moved, &calls->lock);
  pthread_mutex_unlock(&calls->lock);
}

static void many_writes_few_syncs(const char *name, unsigned char log_thread) {
  enum { WRITES = 2000 };
  static call_t each[WRITES + 1];
  calls_t calls = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 1};
  store_t s = store_new();
  auradb_options_set_async_writes(s.options, log_thread);
  store_open(&s, name);
  auradb_writebatch_t *batch = auradb_writebatch_create();

  phase("asynchronous writes: readable at once, called back once each, in order");
  for (int i = 0; i < WRITES; i++) {
    char key[16];
    int length = snprintf(key, sizeof key, "key%d", i);
    each[i] = (call_t){&calls, i};
    auradb_writebatch_clear(batch);
    auradb_writebatch_put(batch, key, (size_t)length, "value", 5);
    auradb_write_async(s.db, s.write, batch, called_back, &each[i], &s.error);
    CHECK_OK(s.error);
    GET(&s, key, "value");
  }
  wait_for(&calls, WRITES);
  CHECK(calls.failed == 0 && calls.order_is_right);
  CHECK(auradb_durable_sequence(s.db) >= WRITES);

  phase("an empty batch asks about everything before it");
  auradb_put(s.db, s.write, "plain", 5, "write", 5, &s.error);
  CHECK_OK(s.error);
  auradb_writebatch_clear(batch);
  each[WRITES] = (call_t){&calls, WRITES};
  auradb_write_async(s.db, s.write, batch, called_back, &each[WRITES], &s.error);
  CHECK_OK(s.error);
  wait_for(&calls, WRITES + 1);
  CHECK(calls.failed == 0 && auradb_durable_sequence(s.db) >= WRITES + 1);

  phase("refused: no callback, no log");
  auradb_writebatch_put(batch, "k", 1, "v", 1);
  auradb_write_async(s.db, s.write, batch, NULL, NULL, &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_writeoptions_disable_WAL(s.write, 1);
  auradb_write_async(s.db, s.write, batch, called_back, &each[0], &s.error);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_writeoptions_disable_WAL(s.write, 0);
  GET(&s, "k", NULL);
  CHECK(calls.called == WRITES + 1);

  phase("close answers what is on its way");
  calls.called = 0;
  for (int i = 0; i < 50; i++) {
    each[i] = (call_t){&calls, i};
    auradb_write_async(s.db, s.write, batch, called_back, &each[i], &s.error);
    CHECK_OK(s.error);
  }
  auradb_writebatch_destroy(batch);
  store_close(&s);
  CHECK(calls.called == 50 && calls.failed == 0 && calls.order_is_right);
  store_free(&s);
}

int main(void) {
  begin("asynchronous");
  many_writes_few_syncs("pipelined", 1);
  many_writes_few_syncs("in turns", 0);
  return finish();
}
