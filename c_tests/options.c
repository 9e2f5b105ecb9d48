/* Options: defaults, round trips, texts, and whether they take effect. */
#include "test.h"

/* Sets an option, reads it back, sets another value and reads that back. */
#define ROUND_TRIP(o, family, name, first, second)        \
  do {                                                    \
    auradb_##family##_set_##name(o, first);               \
    CHECK(auradb_##family##_get_##name(o) == (first));    \
    auradb_##family##_set_##name(o, second);              \
    CHECK(auradb_##family##_get_##name(o) == (second));   \
  } while (0)

/* A boolean: starts as `initial`, and 42 reads back as 1. */
#define BOOLEAN(o, family, name, initial)              \
  do {                                                 \
    CHECK(auradb_##family##_get_##name(o) == initial); \
    auradb_##family##_set_##name(o, 42);               \
    CHECK(auradb_##family##_get_##name(o) == 1);       \
    auradb_##family##_set_##name(o, 0);                \
    CHECK(auradb_##family##_get_##name(o) == 0);       \
  } while (0)

static void defaults(void) {
  phase("defaults are RocksDB's");
  auradb_options_t *o = auradb_options_create();
  CHECK(auradb_options_get_write_buffer_size(o) == 64u << 20);
  CHECK(auradb_options_get_db_write_buffer_size(o) == 0);
  CHECK(auradb_options_get_max_write_buffer_number(o) == 2);
  CHECK(auradb_options_get_max_background_jobs(o) == 2);
  CHECK(auradb_options_get_max_open_files(o) == -1);
  CHECK(auradb_options_get_max_total_wal_size(o) == 0);
  CHECK(auradb_options_get_recycle_log_file_num(o) == 1);
  CHECK(auradb_options_get_num_levels(o) == 7);
  CHECK(auradb_options_get_level0_file_num_compaction_trigger(o) == 4);
  CHECK(auradb_options_get_level0_slowdown_writes_trigger(o) == 20);
  CHECK(auradb_options_get_level0_stop_writes_trigger(o) == 36);
  CHECK(auradb_options_get_target_file_size_base(o) == 64u << 20);
  CHECK(auradb_options_get_target_file_size_multiplier(o) == 1);
  CHECK(auradb_options_get_max_bytes_for_level_base(o) == 256u << 20);
  CHECK(auradb_options_get_max_bytes_for_level_multiplier(o) == 10.0);
  CHECK(auradb_options_get_compression(o) == auradb_snappy_compression);
  CHECK(auradb_options_get_bottommost_compression(o) == 255);
  CHECK(auradb_options_get_compaction_style(o) == auradb_level_compaction);
  CHECK(auradb_options_get_wal_recovery_mode(o) == auradb_point_in_time_recovery);
  CHECK(auradb_options_get_info_log_level(o) == 1);
  CHECK(auradb_options_get_separation_threshold(o) == 1024);
  CHECK(auradb_options_get_wal_sync_policy(o) == auradb_wal_sync_manual);
  size_t len = 9;
  CHECK(auradb_options_get_wal_dir(o, &len) != NULL && len == 0);
  auradb_options_destroy(o);
}

static void round_trips(void) {
  phase("options read back");
  auradb_options_t *o = auradb_options_create();
  BOOLEAN(o, options, create_if_missing, 0);
  BOOLEAN(o, options, create_missing_column_families, 0);
  BOOLEAN(o, options, error_if_exists, 0);
  BOOLEAN(o, options, paranoid_checks, 1);
  BOOLEAN(o, options, use_fsync, 0);
  BOOLEAN(o, options, use_direct_reads, 0);
  BOOLEAN(o, options, use_direct_io_for_flush_and_compaction, 0);
  BOOLEAN(o, options, disable_auto_compactions, 0);
  BOOLEAN(o, options, atomic_flush, 0);
  BOOLEAN(o, options, manual_wal_flush, 0);
  BOOLEAN(o, options, async_writes, 1);
  BOOLEAN(o, options, memory_mapped_wal, 1);
  BOOLEAN(o, options, learned_index, 1);
  BOOLEAN(o, options, value_log_garbage_collection, 1);
  ROUND_TRIP(o, options, info_log_level, 3, 0);
  ROUND_TRIP(o, options, write_buffer_size, (size_t)5 << 32, 100000);
  ROUND_TRIP(o, options, db_write_buffer_size, (size_t)5 << 32, 100000);
  ROUND_TRIP(o, options, max_open_files, 21, -1);
  ROUND_TRIP(o, options, max_total_wal_size, (uint64_t)5 << 32, 100000);
  CHECK(auradb_options_get_wal_file_size(o) == 64 << 20);
  ROUND_TRIP(o, options, wal_file_size, (uint64_t)1 << 33, 1 << 20);
  ROUND_TRIP(o, options, recycle_log_file_num, (size_t)5 << 32, 3);
  ROUND_TRIP(o, options, num_levels, 9, 3);
  ROUND_TRIP(o, options, level0_file_num_compaction_trigger, 9, 2);
  ROUND_TRIP(o, options, level0_slowdown_writes_trigger, 90, 12);
  ROUND_TRIP(o, options, level0_stop_writes_trigger, 900, 24);
  ROUND_TRIP(o, options, target_file_size_base, (uint64_t)5 << 32, 100000);
  ROUND_TRIP(o, options, target_file_size_multiplier, 3, 1);
  ROUND_TRIP(o, options, max_bytes_for_level_base, (uint64_t)5 << 32, 100000);
  ROUND_TRIP(o, options, max_bytes_for_level_multiplier, 2.5, 8.0);
  ROUND_TRIP(o, options, max_write_buffer_number, 6, 2);
  ROUND_TRIP(o, options, max_background_jobs, 6, 2);
  ROUND_TRIP(o, options, wal_recovery_mode, 1, 2);
  ROUND_TRIP(o, options, compression, auradb_zlib_compression, auradb_lz4_compression);
  ROUND_TRIP(o, options, bottommost_compression, auradb_zstd_compression, 255);
  ROUND_TRIP(o, options, compaction_style, auradb_universal_compaction, auradb_level_compaction);
  ROUND_TRIP(o, options, separation_threshold, UINT64_MAX, 0);
  CHECK(auradb_options_get_synced_separation_threshold(o) == 128 << 10);
  ROUND_TRIP(o, options, synced_separation_threshold, 1 << 30, 0);
  ROUND_TRIP(o, options, value_log_write_queues, 7, 2);
  ROUND_TRIP(o, options, value_log_compression, auradb_no_compression, auradb_zstd_compression);
  ROUND_TRIP(o, options, value_log_segment_size, (uint64_t)1 << 33, 1 << 20);
  CHECK(auradb_options_get_background_nice(o) == 5);
  ROUND_TRIP(o, options, background_nice, 0, 19);
  CHECK(auradb_options_get_bytes_per_sync(o) == 1 << 20);
  ROUND_TRIP(o, options, bytes_per_sync, 0, (uint64_t)1 << 33);
  CHECK(auradb_options_get_max_space_amp(o) == 1.4);
  ROUND_TRIP(o, options, max_space_amp, 1.05, 3.0);
  CHECK(auradb_options_get_memtable_kind(o) == auradb_memtable_art);
  ROUND_TRIP(o, options, memtable_kind, auradb_memtable_skip_list, auradb_memtable_btree);
  auradb_options_set_memtable_kind(o, 3);
  auradb_options_set_memtable_kind(o, -1);
  CHECK(auradb_options_get_memtable_kind(o) == auradb_memtable_btree);
  auradb_options_increase_parallelism(o, 16);
  CHECK(auradb_options_get_max_background_jobs(o) == 16);
  size_t len = 0;
  auradb_options_set_wal_dir(o, "wal-dir");
  const char *text = auradb_options_get_wal_dir(o, &len);
  CHECK_TEXT("wal-dir", text, len);
  auradb_options_set_compression_options(o, 4, 5, 6, 7);

  phase("sync policies");
  auradb_options_set_wal_sync_policy(o, auradb_wal_sync_every_n_ms, 20);
  CHECK(auradb_options_get_wal_sync_policy(o) == auradb_wal_sync_every_n_ms);
  CHECK(auradb_options_get_wal_sync_policy_n(o) == 20);
  auradb_options_set_wal_sync_policy(o, 17, 20);
  auradb_options_set_wal_sync_policy(o, auradb_wal_sync_every_n_writes, 0);
  CHECK(auradb_options_get_wal_sync_policy(o) == auradb_wal_sync_every_n_ms);
  auradb_options_set_wal_sync_policy(o, auradb_wal_sync_every_n_writes, 3);
  CHECK(auradb_options_get_wal_sync_policy(o) == auradb_wal_sync_every_n_writes);
  CHECK(auradb_options_get_wal_sync_policy_n(o) == 3);
  auradb_options_set_wal_sync_policy(o, auradb_wal_sync_every_write, 0);
  CHECK(auradb_options_get_wal_sync_policy(o) == auradb_wal_sync_every_write);

  phase("a copy has the same values, and its own life");
  auradb_options_t *copy = auradb_options_create_copy(o);
  auradb_options_set_num_levels(o, 5);
  CHECK(auradb_options_get_num_levels(copy) == 3);
  CHECK(auradb_options_get_max_background_jobs(copy) == 16);
  auradb_options_destroy(o);
  text = auradb_options_get_wal_dir(copy, &len);
  CHECK_TEXT("wal-dir", text, len);
  auradb_options_destroy(copy);

  phase("read options read back");
  auradb_readoptions_t *r = auradb_readoptions_create();
  BOOLEAN(r, readoptions, verify_checksums, 1);
  BOOLEAN(r, readoptions, fill_cache, 1);
  BOOLEAN(r, readoptions, tailing, 0);
  BOOLEAN(r, readoptions, total_order_seek, 0);
  BOOLEAN(r, readoptions, prefix_same_as_start, 0);
  ROUND_TRIP(r, readoptions, read_tier, 1, 0);
  auradb_readoptions_destroy(r);

  phase("write, flush and cache options read back");
  auradb_writeoptions_t *w = auradb_writeoptions_create();
  BOOLEAN(w, writeoptions, sync, 0);
  BOOLEAN(w, writeoptions, no_slowdown, 0);
  CHECK(auradb_writeoptions_get_disable_WAL(w) == 0);
  auradb_writeoptions_disable_WAL(w, 42);
  CHECK(auradb_writeoptions_get_disable_WAL(w) == 1);
  auradb_writeoptions_destroy(w);
  auradb_flushoptions_t *f = auradb_flushoptions_create();
  BOOLEAN(f, flushoptions, wait, 1);
  auradb_flushoptions_destroy(f);
  auradb_lru_cache_options_t *l = auradb_lru_cache_options_create();
  auradb_lru_cache_options_set_capacity(l, 3 << 20);
  auradb_lru_cache_options_set_num_shard_bits(l, 1);
  auradb_cache_t *cache = auradb_cache_create_lru_opts(l);
  auradb_lru_cache_options_destroy(l);
  CHECK(auradb_cache_get_capacity(cache) == 3 << 20);
  auradb_cache_set_capacity(cache, 4 << 20);
  CHECK(auradb_cache_get_capacity(cache) == 4 << 20);
  CHECK(auradb_cache_get_usage(cache) == 0 && auradb_cache_get_pinned_usage(cache) == 0);
  auradb_cache_destroy(cache);

  phase("environment");
  auradb_env_t *env = auradb_create_default_env();
  CHECK(auradb_env_get_background_threads(env) == 1);
  auradb_env_set_background_threads(env, 4);
  CHECK(auradb_env_get_background_threads(env) == 4);
  auradb_env_destroy(env);
}

static void texts(void) {
  char *error = NULL;
  phase("options from a text");
  auradb_options_t *base = auradb_options_create(), *o = auradb_options_create();
  auradb_options_set_num_levels(base, 4);
  auradb_get_options_from_string(
      base,
      "create_if_missing=true;write_buffer_size=2M;compression=kLZ4Compression;max_open_files=-1;"
      "block_based_table_factory={block_size=8K;filter_policy=bloomfilter:10:false};auradb.separation_threshold=4096;"
      "memtable_kind=btree;auradb.synced_separation_threshold=32K",
      o, &error);
  CHECK_OK(error);
  CHECK(auradb_options_get_create_if_missing(o) == 1 && auradb_options_get_write_buffer_size(o) == 2 << 20);
  CHECK(auradb_options_get_compression(o) == auradb_lz4_compression && auradb_options_get_num_levels(o) == 4);
  CHECK(auradb_options_get_separation_threshold(o) == 4096);
  CHECK(auradb_options_get_synced_separation_threshold(o) == 32 << 10);
  CHECK(auradb_options_get_memtable_kind(o) == auradb_memtable_btree);
  const char *wrong[] = {"abc", "no_such_option=1", "num_levels=x", "num_levels=3;compression=kNothing"};
  for (int i = 0; i < 4; i++) {
    auradb_get_options_from_string(base, wrong[i], o, &error);
    CHECK_ERROR(error, "Invalid argument: ");
  }
  CHECK(auradb_options_get_num_levels(o) == 4);
  auradb_get_options_from_string(o, "num_levels=6", o, &error);
  CHECK_OK(error);
  CHECK(auradb_options_get_num_levels(o) == 6 && auradb_options_get_write_buffer_size(o) == 2 << 20);
  auradb_options_destroy(base);
  auradb_options_destroy(o);
}

static void fill_and_check(store_t *s, const char *name) {
  char key[16], value[4000];
  store_open(s, name);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 300; i++) {
      size_t len = i % 10 == 0 ? sizeof value : 40;
      memset(value, 'a' + i % 26, len);
      snprintf(key, sizeof key, "%05d", i);
      if (round == 0) {
        auradb_put(s->db, s->write, key, 5, value, len, &s->error);
        CHECK_OK(s->error);
        continue;
      }
      size_t got_len = 0;
      char *got = auradb_get(s->db, s->read, key, 5, &got_len, &s->error);
      CHECK_OK(s->error);
      CHECK(got_len == len && got != NULL && memcmp(got, value, len) == 0);
      auradb_free(got);
    }
    auradb_compact_range(s->db, NULL, 0, NULL, 0);
  }
  store_close(s);
}

static void effects(void) {
  phase("codecs");
  const int codecs[] = {auradb_no_compression, auradb_snappy_compression, auradb_lz4_compression,
                        auradb_lz4hc_compression, auradb_zstd_compression};
  for (int i = 0; i < 5; i++) {
    store_t s = store_new();
    char name[16];
    snprintf(name, sizeof name, "codec%d", i);
    auradb_options_set_compression(s.options, codecs[i]);
    auradb_options_set_value_log_compression(s.options, codecs[4 - i]);
    fill_and_check(&s, name);
    store_free(&s);
  }
  const int missing[] = {auradb_zlib_compression, auradb_bz2_compression, auradb_xpress_compression};
  for (int i = 0; i < 3; i++) {
    store_t s = store_new();
    auradb_options_set_compression(s.options, missing[i]);
    CHECK(auradb_open(s.options, path_of("missing"), &s.error) == NULL);
    CHECK_ERROR(s.error, "Not implemented: ");
    store_free(&s);
  }
  store_t s = store_new();
  const int levels[] = {auradb_no_compression, auradb_lz4_compression, auradb_zstd_compression};
  auradb_options_set_compression_per_level(s.options, levels, 3);
  auradb_options_set_bottommost_compression(s.options, auradb_zstd_compression);
  fill_and_check(&s, "levels");
  store_free(&s);

  phase("tables, caches, logs");
  s = store_new();
  auradb_cache_t *cache = auradb_cache_create_lru(8 << 20);
  auradb_block_based_table_options_t *table = auradb_block_based_options_create();
  auradb_block_based_options_set_block_cache(table, cache);
  auradb_block_based_options_set_filter_policy(table, auradb_filterpolicy_create_bloom(10));
  auradb_block_based_options_set_block_size(table, 1024);
  auradb_block_based_options_set_block_restart_interval(table, 8);
  auradb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
  auradb_block_based_options_set_checksum(table, 1);
  auradb_block_based_options_set_whole_key_filtering(table, 1);
  auradb_options_set_block_based_table_factory(s.options, table);
  auradb_options_set_block_based_table_factory(s.options, NULL);
  auradb_env_t *env = auradb_create_default_env();
  auradb_options_set_env(s.options, env);
  auradb_env_destroy(env);
  auradb_options_set_wal_dir(s.options, path_of("elsewhere"));
  fill_and_check(&s, "tables");
  CHECK(access(path_of("elsewhere"), F_OK) == 0);
  store_open(&s, "tables");
  GET(&s, "00001", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
  CHECK(auradb_cache_get_usage(cache) > 0);
  store_close(&s);
  auradb_block_based_options_set_no_block_cache(table, 1);
  auradb_block_based_options_destroy(table);
  auradb_cache_destroy(cache);
  auradb_filterpolicy_destroy(auradb_filterpolicy_create_bloom(10));
  store_free(&s);

  phase("no cache at all");
  s = store_new();
  table = auradb_block_based_options_create();
  auradb_block_based_options_set_no_block_cache(table, 1);
  auradb_options_set_block_based_table_factory(s.options, table);
  auradb_block_based_options_destroy(table);
  fill_and_check(&s, "no-cache");
  store_free(&s);

  phase("write paths of AuraDB's own");
  for (int i = 0; i < 6; i++) {
    s = store_new();
    char name[16];
    snprintf(name, sizeof name, "path%d", i);
    auradb_options_set_memory_mapped_wal(s.options, i % 2);
    auradb_options_set_async_writes(s.options, i / 2 % 2);
    auradb_options_set_wal_sync_policy(s.options, 1 + i % 3, 5);
    auradb_options_set_separation_threshold(s.options, i == 0 ? 0 : i == 1 ? UINT64_MAX : 100);
    auradb_options_set_value_log_write_queues(s.options, 1 + (size_t)i);
    auradb_options_set_value_log_segment_size(s.options, 64 << 10);
    auradb_options_set_max_space_amp(s.options, 1.1 + i);
    auradb_options_set_value_log_garbage_collection(s.options, i % 3 != 0);
    auradb_options_set_learned_index(s.options, i % 2);
    auradb_options_set_memtable_kind(s.options, i % 3);
    fill_and_check(&s, name);
    fill_and_check(&s, name);
    store_free(&s);
  }

  phase("reading from memory only");
  s = store_new();
  fill_and_check(&s, "tier");
  store_open(&s, "tier");
  auradb_readoptions_set_read_tier(s.read, 1);
  size_t len = 0;
  CHECK(auradb_get(s.db, s.read, "00001", 5, &len, &s.error) == NULL);
  CHECK_ERROR(s.error, "Result incomplete: ");
  auradb_readoptions_set_read_tier(s.read, 3);
  CHECK(auradb_get(s.db, s.read, "00001", 5, &len, &s.error) == NULL);
  CHECK_ERROR(s.error, "Not implemented: ");
  store_free(&s);

  phase("settings that cannot be");
  s = store_new();
  auradb_options_set_compaction_style(s.options, auradb_fifo_compaction);
  CHECK(auradb_open(s.options, path_of("never"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Not implemented: ");
  auradb_options_set_compaction_style(s.options, auradb_level_compaction);
  auradb_options_set_num_levels(s.options, 0);
  CHECK(auradb_open(s.options, path_of("never"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_options_set_num_levels(s.options, 7);
  auradb_options_set_wal_recovery_mode(s.options, 9);
  CHECK(auradb_open(s.options, path_of("never"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: ");
  auradb_options_set_wal_recovery_mode(s.options, 2);
  auradb_options_set_max_space_amp(s.options, 1.0);
  CHECK(auradb_open(s.options, path_of("never"), &s.error) == NULL);
  CHECK_ERROR(s.error, "Invalid argument: value_log.max_space_amp: ");
  store_free(&s);
}

int main(void) {
  begin("options");
  defaults();
  round_trips();
  texts();
  effects();
  return finish();
}
