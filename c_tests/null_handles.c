/*
 * Every function of the API with NULL where a handle belongs: an error where one can be reported, the neutral answer
 * where not, and never a crash. A test checks that no function is missing in the C tests.
 */
#include "test.h"

/* A function that gives a handle or bytes gave none. */
#define NONE(call) CHECK((call) == NULL)

/* A function that gives a number gave 0. */
#define ZERO(call) CHECK((call) == 0)

static void error_iterator(auradb_iterator_t *iter) {
  char *error = NULL;
  REQUIRE(iter != NULL);
  CHECK(auradb_iter_valid(iter) == 0);
  auradb_iter_seek_to_first(iter);
  auradb_iter_next(iter);
  CHECK(auradb_iter_valid(iter) == 0);
  auradb_iter_get_error(iter, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_iter_destroy(iter);
}

static void memory(void) {
  phase("memory");
  auradb_free(NULL);
}

static void health(void) {
  char *error = NULL;
  phase("health");
  CHECK(auradb_version() != NULL);
  CHECK(auradb_last_error(NULL, NULL, NULL, NULL, NULL) == auradb_code_invalid_argument);
  ZERO(auradb_health(NULL, NULL, NULL, NULL));
  auradb_resume(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  ZERO(auradb_durable_sequence(NULL));
  ZERO(auradb_collect_garbage(NULL, 0.5, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  ZERO(auradb_verify_value_log(NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
}

static void opening_and_closing(void) {
  char *error = NULL;
  phase("opening and closing");
  NONE(auradb_open(NULL, NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_open_for_read_only(NULL, NULL, 0, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_open_column_families(NULL, NULL, 0, NULL, NULL, NULL, &error));
  NONE(auradb_open_with_ttl(NULL, NULL, 0, &error));
  NONE(auradb_open_column_families_with_ttl(NULL, NULL, 0, NULL, NULL, NULL, NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_open_for_read_only_column_families(NULL, NULL, 0, NULL, NULL, NULL, 0, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_close(NULL);
  auradb_destroy_db(NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_repair_db(NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  ZERO(auradb_get_latest_sequence_number(NULL));
}

static void options(void) {
  char *error = NULL;
  phase("options");
  auradb_set_options(NULL, 0, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_set_options_cf(NULL, NULL, 0, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_options_destroy(auradb_options_create());
  NONE(auradb_options_create_copy(NULL));
  auradb_options_destroy(NULL);
  auradb_get_options_from_string(NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_options_set_separation_threshold(NULL, 0);
  ZERO(auradb_options_get_separation_threshold(NULL));
  auradb_options_set_synced_separation_threshold(NULL, 0);
  ZERO(auradb_options_get_synced_separation_threshold(NULL));
  auradb_options_set_wal_sync_policy(NULL, 0, 0);
  ZERO(auradb_options_get_wal_sync_policy(NULL));
  ZERO(auradb_options_get_wal_sync_policy_n(NULL));
  auradb_options_set_async_writes(NULL, 0);
  ZERO(auradb_options_get_async_writes(NULL));
  auradb_options_set_memory_mapped_wal(NULL, 0);
  ZERO(auradb_options_get_memory_mapped_wal(NULL));
  auradb_options_set_value_log_write_queues(NULL, 0);
  ZERO(auradb_options_get_value_log_write_queues(NULL));
  auradb_options_set_value_log_compression(NULL, 0);
  ZERO(auradb_options_get_value_log_compression(NULL));
  auradb_options_set_blob_cache(NULL, NULL);
  auradb_options_set_value_log_segment_size(NULL, 0);
  ZERO(auradb_options_get_value_log_segment_size(NULL));
  auradb_options_set_background_nice(NULL, 0);
  ZERO(auradb_options_get_background_nice(NULL));
  auradb_options_set_bytes_per_sync(NULL, 0);
  ZERO(auradb_options_get_bytes_per_sync(NULL));
  auradb_options_set_max_space_amp(NULL, 0);
  ZERO(auradb_options_get_max_space_amp(NULL));
  auradb_options_set_value_log_garbage_collection(NULL, 0);
  ZERO(auradb_options_get_value_log_garbage_collection(NULL));
  auradb_options_set_learned_index(NULL, 0);
  ZERO(auradb_options_get_learned_index(NULL));
  auradb_options_set_memtable_kind(NULL, 0);
  ZERO(auradb_options_get_memtable_kind(NULL));
  auradb_options_set_compression(NULL, 0);
  ZERO(auradb_options_get_compression(NULL));
  auradb_options_set_bottommost_compression(NULL, 0);
  ZERO(auradb_options_get_bottommost_compression(NULL));
  auradb_options_set_compression_per_level(NULL, NULL, 0);
  auradb_options_set_compression_options(NULL, 0, 0, 0, 0);
  auradb_options_set_create_if_missing(NULL, 0);
  ZERO(auradb_options_get_create_if_missing(NULL));
  auradb_options_set_create_missing_column_families(NULL, 0);
  ZERO(auradb_options_get_create_missing_column_families(NULL));
  auradb_options_set_error_if_exists(NULL, 0);
  ZERO(auradb_options_get_error_if_exists(NULL));
  auradb_options_set_paranoid_checks(NULL, 0);
  ZERO(auradb_options_get_paranoid_checks(NULL));
  auradb_options_set_max_open_files(NULL, 0);
  ZERO(auradb_options_get_max_open_files(NULL));
  auradb_options_set_max_background_jobs(NULL, 0);
  ZERO(auradb_options_get_max_background_jobs(NULL));
  auradb_options_set_use_fsync(NULL, 0);
  ZERO(auradb_options_get_use_fsync(NULL));
  auradb_options_set_use_direct_reads(NULL, 0);
  ZERO(auradb_options_get_use_direct_reads(NULL));
  auradb_options_set_use_direct_io_for_flush_and_compaction(NULL, 0);
  ZERO(auradb_options_get_use_direct_io_for_flush_and_compaction(NULL));
  auradb_options_set_atomic_flush(NULL, 0);
  ZERO(auradb_options_get_atomic_flush(NULL));
  auradb_options_set_info_log_level(NULL, 0);
  ZERO(auradb_options_get_info_log_level(NULL));
  auradb_options_increase_parallelism(NULL, 0);
  auradb_options_set_num_levels(NULL, 0);
  ZERO(auradb_options_get_num_levels(NULL));
  auradb_options_set_level0_file_num_compaction_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_file_num_compaction_trigger(NULL));
  auradb_options_set_level0_slowdown_writes_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_slowdown_writes_trigger(NULL));
  auradb_options_set_level0_stop_writes_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_stop_writes_trigger(NULL));
  auradb_options_set_target_file_size_base(NULL, 0);
  ZERO(auradb_options_get_target_file_size_base(NULL));
  auradb_options_set_target_file_size_multiplier(NULL, 0);
  ZERO(auradb_options_get_target_file_size_multiplier(NULL));
  auradb_options_set_max_bytes_for_level_base(NULL, 0);
  ZERO(auradb_options_get_max_bytes_for_level_base(NULL));
  auradb_options_set_max_bytes_for_level_multiplier(NULL, 0.0);
  ZERO(auradb_options_get_max_bytes_for_level_multiplier(NULL));
  auradb_options_set_disable_auto_compactions(NULL, 0);
  ZERO(auradb_options_get_disable_auto_compactions(NULL));
  auradb_options_set_compaction_style(NULL, 0);
  ZERO(auradb_options_get_compaction_style(NULL));
  auradb_options_set_write_buffer_size(NULL, 0);
  ZERO(auradb_options_get_write_buffer_size(NULL));
  auradb_options_set_db_write_buffer_size(NULL, 0);
  ZERO(auradb_options_get_db_write_buffer_size(NULL));
  auradb_options_set_max_write_buffer_number(NULL, 0);
  ZERO(auradb_options_get_max_write_buffer_number(NULL));
  auradb_options_set_max_total_wal_size(NULL, 0);
  ZERO(auradb_options_get_max_total_wal_size(NULL));
  auradb_options_set_wal_file_size(NULL, 0);
  ZERO(auradb_options_get_wal_file_size(NULL));
  auradb_options_set_recycle_log_file_num(NULL, 0);
  ZERO(auradb_options_get_recycle_log_file_num(NULL));
  auradb_options_set_wal_recovery_mode(NULL, 0);
  ZERO(auradb_options_get_wal_recovery_mode(NULL));
  auradb_options_set_manual_wal_flush(NULL, 0);
  ZERO(auradb_options_get_manual_wal_flush(NULL));
  auradb_options_set_wal_dir(NULL, NULL);
  NONE(auradb_options_get_wal_dir(NULL, NULL));
  auradb_options_set_create_if_missing(NULL, 0);
  ZERO(auradb_options_get_create_if_missing(NULL));
  auradb_options_set_create_missing_column_families(NULL, 0);
  ZERO(auradb_options_get_create_missing_column_families(NULL));
  auradb_options_set_error_if_exists(NULL, 0);
  ZERO(auradb_options_get_error_if_exists(NULL));
  auradb_options_set_paranoid_checks(NULL, 0);
  ZERO(auradb_options_get_paranoid_checks(NULL));
  auradb_options_set_max_open_files(NULL, 0);
  ZERO(auradb_options_get_max_open_files(NULL));
  auradb_options_set_max_background_jobs(NULL, 0);
  ZERO(auradb_options_get_max_background_jobs(NULL));
  auradb_options_set_use_fsync(NULL, 0);
  ZERO(auradb_options_get_use_fsync(NULL));
  auradb_options_set_atomic_flush(NULL, 0);
  ZERO(auradb_options_get_atomic_flush(NULL));
  auradb_options_set_info_log_level(NULL, 0);
  ZERO(auradb_options_get_info_log_level(NULL));
  auradb_options_increase_parallelism(NULL, 0);
  auradb_options_set_write_buffer_size(NULL, 0);
  ZERO(auradb_options_get_write_buffer_size(NULL));
  auradb_options_set_db_write_buffer_size(NULL, 0);
  ZERO(auradb_options_get_db_write_buffer_size(NULL));
  auradb_options_set_max_write_buffer_number(NULL, 0);
  ZERO(auradb_options_get_max_write_buffer_number(NULL));
  auradb_options_set_max_total_wal_size(NULL, 0);
  ZERO(auradb_options_get_max_total_wal_size(NULL));
  auradb_options_set_recycle_log_file_num(NULL, 0);
  ZERO(auradb_options_get_recycle_log_file_num(NULL));
  auradb_options_set_wal_recovery_mode(NULL, 0);
  ZERO(auradb_options_get_wal_recovery_mode(NULL));
  auradb_options_set_manual_wal_flush(NULL, 0);
  ZERO(auradb_options_get_manual_wal_flush(NULL));
  auradb_options_set_wal_dir(NULL, NULL);
  NONE(auradb_options_get_wal_dir(NULL, NULL));
  auradb_options_set_num_levels(NULL, 0);
  ZERO(auradb_options_get_num_levels(NULL));
  auradb_options_set_level0_file_num_compaction_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_file_num_compaction_trigger(NULL));
  auradb_options_set_level0_slowdown_writes_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_slowdown_writes_trigger(NULL));
  auradb_options_set_level0_stop_writes_trigger(NULL, 0);
  ZERO(auradb_options_get_level0_stop_writes_trigger(NULL));
  auradb_options_set_target_file_size_base(NULL, 0);
  ZERO(auradb_options_get_target_file_size_base(NULL));
  auradb_options_set_target_file_size_multiplier(NULL, 0);
  ZERO(auradb_options_get_target_file_size_multiplier(NULL));
  auradb_options_set_max_bytes_for_level_base(NULL, 0);
  ZERO(auradb_options_get_max_bytes_for_level_base(NULL));
  auradb_options_set_max_bytes_for_level_multiplier(NULL, 0.0);
  ZERO(auradb_options_get_max_bytes_for_level_multiplier(NULL));
  auradb_options_set_disable_auto_compactions(NULL, 0);
  ZERO(auradb_options_get_disable_auto_compactions(NULL));
  auradb_options_set_compaction_style(NULL, 0);
  ZERO(auradb_options_get_compaction_style(NULL));
  auradb_options_set_compression(NULL, 0);
  ZERO(auradb_options_get_compression(NULL));
  auradb_options_set_bottommost_compression(NULL, 0);
  ZERO(auradb_options_get_bottommost_compression(NULL));
  auradb_options_set_compression_per_level(NULL, NULL, 0);
  auradb_options_set_compression_options(NULL, 0, 0, 0, 0);
  auradb_options_set_separation_threshold(NULL, 0);
  ZERO(auradb_options_get_separation_threshold(NULL));
  auradb_options_set_wal_sync_policy(NULL, 0, 0);
  ZERO(auradb_options_get_wal_sync_policy(NULL));
  ZERO(auradb_options_get_wal_sync_policy_n(NULL));
  auradb_options_set_async_writes(NULL, 0);
  ZERO(auradb_options_get_async_writes(NULL));
  auradb_options_set_memory_mapped_wal(NULL, 0);
  ZERO(auradb_options_get_memory_mapped_wal(NULL));
  auradb_options_set_value_log_write_queues(NULL, 0);
  ZERO(auradb_options_get_value_log_write_queues(NULL));
  auradb_options_set_value_log_compression(NULL, 0);
  ZERO(auradb_options_get_value_log_compression(NULL));
  auradb_options_set_blob_cache(NULL, NULL);
  auradb_options_set_value_log_segment_size(NULL, 0);
  ZERO(auradb_options_get_value_log_segment_size(NULL));
  auradb_options_set_background_nice(NULL, 0);
  ZERO(auradb_options_get_background_nice(NULL));
  auradb_options_set_max_space_amp(NULL, 0);
  ZERO(auradb_options_get_max_space_amp(NULL));
  auradb_options_set_value_log_garbage_collection(NULL, 0);
  ZERO(auradb_options_get_value_log_garbage_collection(NULL));
  auradb_options_set_learned_index(NULL, 0);
  ZERO(auradb_options_get_learned_index(NULL));
}

static void column_families(void) {
  char *error = NULL;
  phase("column families");
  char **names = auradb_list_column_families(NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(names != NULL);
  auradb_list_column_families_destroy(names, 0);
  auradb_list_column_families_destroy(NULL, 0);
  NONE(auradb_create_column_family(NULL, NULL, NULL, &error));
  NONE(auradb_create_column_family_with_ttl(NULL, NULL, NULL, 0, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_column_family_handle_t **made = auradb_create_column_families(NULL, NULL, 0, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(made != NULL);
  auradb_create_column_families_destroy(made);
  auradb_create_column_families_destroy(NULL);
  auradb_drop_column_family(NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_get_default_column_family_handle(NULL));
  auradb_column_family_handle_destroy(NULL);
  ZERO(auradb_column_family_handle_get_id(NULL));
  NONE(auradb_column_family_handle_get_name(NULL, NULL));
}

static void writes(void) {
  char *error = NULL;
  phase("writes");
  auradb_put(NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_put_cf(NULL, NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_put_with_ttl(NULL, NULL, NULL, 0, NULL, 0, 1, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_put_with_ttl_cf(NULL, NULL, NULL, NULL, 0, NULL, 0, 1, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_delete(NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_delete_cf(NULL, NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_singledelete(NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_singledelete_cf(NULL, NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_delete_range_cf(NULL, NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_merge(NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_merge_cf(NULL, NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_write_packed(NULL, NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_append_packed(NULL, NULL, 0, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_write(NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_write_async(NULL, NULL, NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
}

static void indexed_batches(void) {
  char *error = NULL;
  phase("indexed batches");
  auradb_write_writebatch_wi(NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_wi_clear(NULL);
  CHECK(auradb_writebatch_wi_count(NULL) == 0);
  auradb_writebatch_wi_destroy(auradb_writebatch_wi_create(0, 0));
  auradb_iter_destroy(auradb_writebatch_wi_create_iterator_with_base(NULL, NULL));
  auradb_iter_destroy(auradb_writebatch_wi_create_iterator_with_base_cf(NULL, NULL, NULL));
  auradb_iter_destroy(auradb_writebatch_wi_create_iterator_with_base_cf_readopts(NULL, NULL, NULL, NULL));
  auradb_iter_destroy(auradb_writebatch_wi_create_iterator_with_base_readopts(NULL, NULL, NULL));
  (void)auradb_writebatch_wi_data(NULL, NULL);
  auradb_writebatch_wi_delete(NULL, NULL, 0);
  auradb_writebatch_wi_delete_cf(NULL, NULL, NULL, 0);
  auradb_writebatch_wi_delete_range(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_delete_range_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_delete_rangev(NULL, 0, NULL, NULL, NULL, NULL);
  auradb_writebatch_wi_delete_rangev_cf(NULL, NULL, 0, NULL, NULL, NULL, NULL);
  auradb_writebatch_wi_deletev(NULL, 0, NULL, NULL);
  auradb_writebatch_wi_deletev_cf(NULL, NULL, 0, NULL, NULL);
  auradb_writebatch_wi_destroy(NULL);
  CHECK(auradb_writebatch_wi_get_from_batch(NULL, NULL, NULL, 0, NULL, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(auradb_writebatch_wi_get_from_batch_and_db(NULL, NULL, NULL, NULL, 0, NULL, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(auradb_writebatch_wi_get_from_batch_and_db_cf(NULL, NULL, NULL, NULL, NULL, 0, NULL, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(auradb_writebatch_wi_get_from_batch_cf(NULL, NULL, NULL, NULL, 0, NULL, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(auradb_writebatch_wi_get_pinned_from_batch_and_db(NULL, NULL, NULL, NULL, 0, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  CHECK(auradb_writebatch_wi_get_pinned_from_batch_and_db_cf(NULL, NULL, NULL, NULL, NULL, 0, &error) == NULL);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_wi_iterate(NULL, NULL, NULL, NULL);
  auradb_writebatch_wi_merge(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_merge_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_mergev(NULL, 0, NULL, NULL, 0, NULL, NULL);
  auradb_writebatch_wi_mergev_cf(NULL, NULL, 0, NULL, NULL, 0, NULL, NULL);
  auradb_writebatch_wi_put(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_put_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_wi_put_log_data(NULL, NULL, 0);
  auradb_writebatch_wi_put_with_ttl(NULL, NULL, 0, NULL, 0, 1);
  auradb_writebatch_wi_put_with_ttl_cf(NULL, NULL, NULL, 0, NULL, 0, 1);
  auradb_writebatch_wi_putv(NULL, 0, NULL, NULL, 0, NULL, NULL);
  auradb_writebatch_wi_putv_cf(NULL, NULL, 0, NULL, NULL, 0, NULL, NULL);
  auradb_writebatch_wi_rollback_to_save_point(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_wi_set_save_point(NULL);
  auradb_writebatch_wi_singledelete(NULL, NULL, 0);
  auradb_writebatch_wi_singledelete_cf(NULL, NULL, NULL, 0);
}

static void batches(void) {
  char *error = NULL;
  phase("batches");
  auradb_writebatch_destroy(auradb_writebatch_create());
  auradb_writebatch_t *batch = auradb_writebatch_create_from(NULL, 5);
  CHECK(batch != NULL && auradb_writebatch_count(batch) == 0);
  auradb_writebatch_destroy(batch);
  auradb_writebatch_destroy(NULL);
  auradb_writebatch_clear(NULL);
  ZERO(auradb_writebatch_count(NULL));
  auradb_writebatch_put(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_put_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_put_with_ttl(NULL, NULL, 0, NULL, 0, 1);
  auradb_writebatch_put_with_ttl_cf(NULL, NULL, NULL, 0, NULL, 0, 1);
  auradb_writebatch_delete(NULL, NULL, 0);
  auradb_writebatch_delete_cf(NULL, NULL, NULL, 0);
  auradb_writebatch_singledelete(NULL, NULL, 0);
  auradb_writebatch_singledelete_cf(NULL, NULL, NULL, 0);
  auradb_writebatch_delete_range(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_delete_range_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_merge(NULL, NULL, 0, NULL, 0);
  auradb_writebatch_merge_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_writebatch_put_log_data(NULL, NULL, 0);
  auradb_writebatch_set_save_point(NULL);
  auradb_writebatch_rollback_to_save_point(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_pop_save_point(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_writebatch_iterate(NULL, NULL, NULL, NULL);
  auradb_writebatch_iterate_cf(NULL, NULL, NULL, NULL, NULL);
  NONE(auradb_writebatch_data(NULL, NULL));
}

static void reads(void) {
  char *error = NULL;
  phase("reads");
  NONE(auradb_get(NULL, NULL, NULL, 0, NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_get_cf(NULL, NULL, NULL, NULL, 0, NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_get_pinned(NULL, NULL, NULL, 0, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  NONE(auradb_get_pinned_cf(NULL, NULL, NULL, NULL, 0, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_pinnableslice_destroy(NULL);
  NONE(auradb_pinnableslice_value(NULL, NULL));
  CHECK(auradb_key_may_exist(NULL, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL) == 1);
  CHECK(auradb_key_may_exist_cf(NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL) == 1);
  NONE(auradb_multi_get_packed(NULL, NULL, NULL, 0, NULL, 0, NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_multi_get(NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL);
  auradb_multi_get_cf(NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL);
  auradb_batched_multi_get_cf(NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, false);
}

static void iterators(void) {
  char *error = NULL;
  phase("iterators");
  error_iterator(auradb_create_iterator(NULL, NULL));
  error_iterator(auradb_create_iterator_cf(NULL, NULL, NULL));
  auradb_create_iterators(NULL, NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_iter_destroy(NULL);
  ZERO(auradb_iter_valid(NULL));
  auradb_iter_seek_to_first(NULL);
  auradb_iter_seek_to_last(NULL);
  auradb_iter_seek(NULL, NULL, 0);
  auradb_iter_seek_for_prev(NULL, NULL, 0);
  auradb_iter_next(NULL);
  auradb_iter_prev(NULL);
  NONE(auradb_iter_key(NULL, NULL));
  NONE(auradb_iter_value(NULL, NULL));
  auradb_iter_get_error(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_iter_refresh(NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
}

static void snapshots(void) {
  phase("snapshots");
  NONE(auradb_create_snapshot(NULL));
  auradb_release_snapshot(NULL, NULL);
  ZERO(auradb_snapshot_get_sequence_number(NULL));
}

static void maintenance(void) {
  char *error = NULL;
  phase("maintenance");
  auradb_flush(NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_flush_cf(NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_flush_cfs(NULL, NULL, NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_flush_wal(NULL, 0, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_compact_range(NULL, NULL, 0, NULL, 0);
  auradb_compact_range_cf(NULL, NULL, NULL, 0, NULL, 0);
  auradb_compact_range_opt(NULL, NULL, NULL, 0, NULL, 0);
  auradb_compact_range_cf_opt(NULL, NULL, NULL, NULL, 0, NULL, 0);
}

static void properties(void) {
  char *error = NULL;
  phase("properties");
  NONE(auradb_property_value(NULL, NULL));
  NONE(auradb_property_value_cf(NULL, NULL, NULL));
  CHECK(auradb_property_int(NULL, NULL, NULL) == -1);
  CHECK(auradb_property_int_cf(NULL, NULL, NULL, NULL) == -1);
  auradb_approximate_sizes(NULL, 0, NULL, NULL, NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_approximate_sizes_cf(NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, &error);
  CHECK_ERROR(error, "Invalid argument: ");
}

static void caches(void) {
  phase("caches");
  auradb_lru_cache_options_destroy(auradb_lru_cache_options_create());
  auradb_lru_cache_options_destroy(NULL);
  auradb_lru_cache_options_set_capacity(NULL, 0);
  auradb_lru_cache_options_set_num_shard_bits(NULL, 0);
  auradb_cache_destroy(auradb_cache_create_lru(0));
  NONE(auradb_cache_create_lru_opts(NULL));
  auradb_cache_destroy(NULL);
  auradb_cache_set_capacity(NULL, 0);
  ZERO(auradb_cache_get_capacity(NULL));
  ZERO(auradb_cache_get_usage(NULL));
  ZERO(auradb_cache_get_pinned_usage(NULL));
  auradb_lru_cache_options_destroy(auradb_lru_cache_options_create());
  auradb_lru_cache_options_destroy(NULL);
  auradb_lru_cache_options_set_capacity(NULL, 0);
  auradb_lru_cache_options_set_num_shard_bits(NULL, 0);
  auradb_cache_destroy(auradb_cache_create_lru(0));
  NONE(auradb_cache_create_lru_opts(NULL));
  auradb_cache_destroy(NULL);
  auradb_cache_set_capacity(NULL, 0);
  ZERO(auradb_cache_get_capacity(NULL));
  ZERO(auradb_cache_get_usage(NULL));
  ZERO(auradb_cache_get_pinned_usage(NULL));
}

static void memory_held(void) {
  phase("memory held");
  char *error = NULL;
  auradb_write_buffer_manager_destroy(auradb_write_buffer_manager_create(0, false));
  NONE(auradb_write_buffer_manager_create_with_cache(0, NULL, false));
  auradb_write_buffer_manager_destroy(NULL);
  CHECK(!auradb_write_buffer_manager_enabled(NULL));
  CHECK(!auradb_write_buffer_manager_cost_to_cache(NULL));
  ZERO(auradb_write_buffer_manager_memory_usage(NULL));
  ZERO(auradb_write_buffer_manager_mutable_memtable_memory_usage(NULL));
  ZERO(auradb_write_buffer_manager_dummy_entries_in_cache_usage(NULL));
  ZERO(auradb_write_buffer_manager_buffer_size(NULL));
  auradb_write_buffer_manager_set_buffer_size(NULL, 0);
  auradb_write_buffer_manager_set_allow_stall(NULL, true);
  auradb_options_set_write_buffer_manager(NULL, NULL);
  auradb_memory_consumers_add_db(NULL, NULL);
  auradb_memory_consumers_add_cache(NULL, NULL);
  auradb_memory_consumers_t *consumers = auradb_memory_consumers_create();
  auradb_memory_consumers_add_db(consumers, NULL);
  auradb_memory_consumers_add_cache(consumers, NULL);
  auradb_memory_usage_t *usage = auradb_approximate_memory_usage_create(consumers, &error);
  CHECK_OK(error);
  ZERO(auradb_approximate_memory_usage_get_mem_table_total(usage));
  ZERO(auradb_approximate_memory_usage_get_cache_total(usage));
  auradb_approximate_memory_usage_destroy(usage);
  auradb_memory_consumers_destroy(consumers);
  auradb_memory_consumers_destroy(NULL);
  NONE(auradb_approximate_memory_usage_create(NULL, &error));
  CHECK_ERROR(error, "Invalid argument: ");
  auradb_approximate_memory_usage_destroy(NULL);
  ZERO(auradb_approximate_memory_usage_get_mem_table_total(NULL));
  ZERO(auradb_approximate_memory_usage_get_mem_table_unflushed(NULL));
  ZERO(auradb_approximate_memory_usage_get_mem_table_readers_total(NULL));
  ZERO(auradb_approximate_memory_usage_get_cache_total(NULL));
}

static void environment(void) {
  phase("environment");
  auradb_options_set_env(NULL, NULL);
  auradb_options_set_env(NULL, NULL);
  auradb_env_destroy(auradb_create_default_env());
  auradb_env_set_background_threads(NULL, 0);
  ZERO(auradb_env_get_background_threads(NULL));
  auradb_env_destroy(NULL);
}

static void comparators(void) {
  phase("comparators");
  auradb_options_set_comparator(NULL, NULL);
  auradb_options_set_comparator(NULL, NULL);
  NONE(auradb_comparator_create(NULL, NULL, NULL, NULL));
  auradb_comparator_destroy(NULL);
}

static void merge_operators(void) {
  phase("merge operators");
  auradb_options_set_merge_operator(NULL, NULL);
  auradb_options_set_uint64add_merge_operator(NULL);
  auradb_options_set_merge_operator(NULL, NULL);
  auradb_options_set_uint64add_merge_operator(NULL);
  NONE(auradb_mergeoperator_create(NULL, NULL, NULL, NULL, NULL, NULL));
  auradb_mergeoperator_destroy(NULL);
}

static void compaction_filters(void) {
  phase("compaction filters");
  auradb_options_set_compaction_filter(NULL, NULL);
  auradb_options_set_compaction_filter_factory(NULL, NULL);
  auradb_options_set_compaction_filter(NULL, NULL);
  auradb_options_set_compaction_filter_factory(NULL, NULL);
  NONE(auradb_compactionfilter_create(NULL, NULL, NULL, NULL));
  auradb_compactionfilter_set_ignore_snapshots(NULL, 0);
  auradb_compactionfilter_destroy(NULL);
  ZERO(auradb_compactionfiltercontext_is_full_compaction(NULL));
  ZERO(auradb_compactionfiltercontext_is_manual_compaction(NULL));
  NONE(auradb_compactionfilterfactory_create(NULL, NULL, NULL, NULL));
  auradb_compactionfilterfactory_destroy(NULL);
}

static void prefix_extractors(void) {
  phase("prefix extractors");
  auradb_options_set_prefix_extractor(NULL, NULL);
  auradb_options_set_prefix_extractor(NULL, NULL);
  NONE(auradb_slicetransform_create(NULL, NULL, NULL, NULL, NULL));
  auradb_slicetransform_destroy(auradb_slicetransform_create_fixed_prefix(0));
  auradb_slicetransform_destroy(auradb_slicetransform_create_noop());
  auradb_slicetransform_destroy(NULL);
}

static void loggers(void) {
  phase("loggers");
  auradb_options_set_info_log(NULL, NULL);
  auradb_options_set_info_log(NULL, NULL);
  auradb_logger_destroy(auradb_logger_create_stderr_logger(-5, NULL));
  NONE(auradb_logger_create_callback_logger(0, NULL, NULL));
  auradb_logger_destroy(NULL);
}

static void flush_options(void) {
  phase("flush options");
  auradb_flushoptions_destroy(auradb_flushoptions_create());
  auradb_flushoptions_destroy(NULL);
  auradb_flushoptions_set_wait(NULL, 0);
  ZERO(auradb_flushoptions_get_wait(NULL));
  auradb_flushoptions_destroy(auradb_flushoptions_create());
  auradb_flushoptions_destroy(NULL);
  auradb_flushoptions_set_wait(NULL, 0);
  ZERO(auradb_flushoptions_get_wait(NULL));
}

static void compaction_options(void) {
  phase("compaction options");
  auradb_compactoptions_destroy(auradb_compactoptions_create());
  auradb_compactoptions_destroy(NULL);
  auradb_compactoptions_set_bottommost_level_compaction(NULL, 0);
  ZERO(auradb_compactoptions_get_bottommost_level_compaction(NULL));
  auradb_compactoptions_destroy(auradb_compactoptions_create());
  auradb_compactoptions_destroy(NULL);
  auradb_compactoptions_set_bottommost_level_compaction(NULL, 0);
  ZERO(auradb_compactoptions_get_bottommost_level_compaction(NULL));
}

static void read_options(void) {
  phase("read options");
  auradb_readoptions_destroy(auradb_readoptions_create());
  auradb_readoptions_destroy(NULL);
  auradb_readoptions_set_snapshot(NULL, NULL);
  auradb_readoptions_set_iterate_upper_bound(NULL, NULL, 0);
  auradb_readoptions_set_iterate_lower_bound(NULL, NULL, 0);
  auradb_readoptions_set_read_tier(NULL, 0);
  ZERO(auradb_readoptions_get_read_tier(NULL));
  auradb_readoptions_set_verify_checksums(NULL, 0);
  ZERO(auradb_readoptions_get_verify_checksums(NULL));
  auradb_readoptions_set_fill_cache(NULL, 0);
  ZERO(auradb_readoptions_get_fill_cache(NULL));
  auradb_readoptions_set_tailing(NULL, 0);
  ZERO(auradb_readoptions_get_tailing(NULL));
  auradb_readoptions_set_total_order_seek(NULL, 0);
  ZERO(auradb_readoptions_get_total_order_seek(NULL));
  auradb_readoptions_set_prefix_same_as_start(NULL, 0);
  ZERO(auradb_readoptions_get_prefix_same_as_start(NULL));
  auradb_readoptions_destroy(auradb_readoptions_create());
  auradb_readoptions_destroy(NULL);
  auradb_readoptions_set_snapshot(NULL, NULL);
  auradb_readoptions_set_iterate_upper_bound(NULL, NULL, 0);
  auradb_readoptions_set_iterate_lower_bound(NULL, NULL, 0);
  auradb_readoptions_set_read_tier(NULL, 0);
  ZERO(auradb_readoptions_get_read_tier(NULL));
  auradb_readoptions_set_verify_checksums(NULL, 0);
  ZERO(auradb_readoptions_get_verify_checksums(NULL));
  auradb_readoptions_set_fill_cache(NULL, 0);
  ZERO(auradb_readoptions_get_fill_cache(NULL));
  auradb_readoptions_set_tailing(NULL, 0);
  ZERO(auradb_readoptions_get_tailing(NULL));
  auradb_readoptions_set_total_order_seek(NULL, 0);
  ZERO(auradb_readoptions_get_total_order_seek(NULL));
  auradb_readoptions_set_prefix_same_as_start(NULL, 0);
  ZERO(auradb_readoptions_get_prefix_same_as_start(NULL));
}

static void table_options(void) {
  phase("table options");
  auradb_block_based_options_destroy(auradb_block_based_options_create());
  auradb_block_based_options_destroy(NULL);
  auradb_options_set_block_based_table_factory(NULL, NULL);
  auradb_block_based_options_set_filter_policy(NULL, NULL);
  auradb_block_based_options_set_block_cache(NULL, NULL);
  auradb_block_based_options_set_no_block_cache(NULL, 0);
  auradb_block_based_options_set_block_size(NULL, 0);
  auradb_block_based_options_set_whole_key_filtering(NULL, 0);
  auradb_block_based_options_set_block_restart_interval(NULL, 0);
  auradb_block_based_options_set_cache_index_and_filter_blocks(NULL, 0);
  auradb_block_based_options_set_checksum(NULL, 0);
  auradb_block_based_options_destroy(auradb_block_based_options_create());
  auradb_block_based_options_destroy(NULL);
  auradb_options_set_block_based_table_factory(NULL, NULL);
  auradb_block_based_options_set_filter_policy(NULL, NULL);
  auradb_block_based_options_set_block_cache(NULL, NULL);
  auradb_block_based_options_set_no_block_cache(NULL, 0);
  auradb_block_based_options_set_block_size(NULL, 0);
  auradb_block_based_options_set_whole_key_filtering(NULL, 0);
  auradb_block_based_options_set_block_restart_interval(NULL, 0);
  auradb_block_based_options_set_cache_index_and_filter_blocks(NULL, 0);
  auradb_block_based_options_set_checksum(NULL, 0);
}

static void filter_policies(void) {
  phase("filter policies");
  auradb_filterpolicy_destroy(auradb_filterpolicy_create_bloom(0.0));
  auradb_filterpolicy_destroy(auradb_filterpolicy_create_bloom_full(-1.0));
  auradb_filterpolicy_destroy(NULL);
  auradb_filterpolicy_destroy(auradb_filterpolicy_create_bloom(0.0));
  auradb_filterpolicy_destroy(auradb_filterpolicy_create_bloom_full(-1.0));
  auradb_filterpolicy_destroy(NULL);
}

static void write_options(void) {
  phase("write options");
  auradb_writeoptions_destroy(auradb_writeoptions_create());
  auradb_writeoptions_destroy(NULL);
  auradb_writeoptions_set_sync(NULL, 0);
  ZERO(auradb_writeoptions_get_sync(NULL));
  auradb_writeoptions_disable_WAL(NULL, 0);
  ZERO(auradb_writeoptions_get_disable_WAL(NULL));
  auradb_writeoptions_set_no_slowdown(NULL, 0);
  ZERO(auradb_writeoptions_get_no_slowdown(NULL));
  auradb_writeoptions_destroy(auradb_writeoptions_create());
  auradb_writeoptions_destroy(NULL);
  auradb_writeoptions_set_sync(NULL, 0);
  ZERO(auradb_writeoptions_get_sync(NULL));
  auradb_writeoptions_disable_WAL(NULL, 0);
  ZERO(auradb_writeoptions_get_disable_WAL(NULL));
  auradb_writeoptions_set_no_slowdown(NULL, 0);
  ZERO(auradb_writeoptions_get_no_slowdown(NULL));
}

int main(void) {
  begin("null");
  memory();
  opening_and_closing();
  options();
  column_families();
  writes();
  batches();
  indexed_batches();
  reads();
  iterators();
  snapshots();
  maintenance();
  properties();
  caches();
  memory_held();
  environment();
  comparators();
  merge_operators();
  compaction_filters();
  prefix_extractors();
  loggers();
  flush_options();
  compaction_options();
  read_options();
  table_options();
  filter_policies();
  write_options();
  health();
  return finish();
}
