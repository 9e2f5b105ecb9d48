/* The one place that knows which engine is measured.
 *
 * Every other file writes ENGINE(put) or ENGINE(iterator_t); the macro adds the prefix. Code outside `#ifdef`
 * uses only functions that both libraries export with the same arguments, so the measured loops are the same.
 *
 * The Makefile defines exactly one of ENGINE_AURADB and ENGINE_ROCKSDB, ENGINE_VERSION, and for RocksDB the
 * HAVE_* features its header offers. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(ENGINE_AURADB)
#include <auradb.h>
#define ENGINE(name) auradb_##name
#define ENGINE_NAME "auradb"
#elif defined(ENGINE_ROCKSDB)
#include <rocksdb/c.h>
#define ENGINE(name) rocksdb_##name
#define ENGINE_NAME "rocksdb"
#else
#error "define ENGINE_AURADB or ENGINE_ROCKSDB (see the Makefile)"
#endif

#ifndef ENGINE_VERSION
#define ENGINE_VERSION "unknown"
#endif

#endif
