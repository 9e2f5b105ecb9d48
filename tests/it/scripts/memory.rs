//! The memory of memtables: one cap for several databases, what is shown, and who waits.

use super::{keys, noise};
use crate::support::TemporaryDirectory;
use crate::support::settings::{NONE, family, options, tiny};
use auradb::cache::{Cache, EvictionPolicy};
use auradb::config::Config;
use auradb::db::{ColumnFamily, Db, Options, ReadOptions, WriteBufferManager, WriteOptions};
use auradb::env::Env;
use auradb::env::simulated::SimEnv;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Memtables of 1 MiB; values are in them.
fn config() -> Config {
    let mut config = tiny();
    config.memtable.max_size = 1 << 20;
    config.wal.max_file_size = 1 << 20;
    config.value_log.separation_threshold = NONE;
    config
}

fn managed(env: Option<Arc<dyn Env>>, manager: &Arc<WriteBufferManager>) -> Options {
    Options { write_buffer_manager: Some(Arc::clone(manager)), ..options(env, &config()) }
}

fn open(options: &Options, path: impl AsRef<Path>) -> (Db, ColumnFamily) {
    let db = Db::open(options, path.as_ref(), &family(&options.config)).expect("the database opens");
    let handle = db.default_column_family();
    (db, handle)
}

fn fill(db: &Db, family: &ColumnFamily, count: usize) {
    for (number, key) in keys(count).enumerate() {
        db.put(family, key.as_bytes(), &noise(number, 1000), &WriteOptions::default()).unwrap();
    }
}

fn check_filled(db: &Db, family: &ColumnFamily, count: usize) {
    for (number, key) in keys(count).enumerate() {
        let found = db.get(family, key.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(found.as_deref(), Some(&noise(number, 1000)[..]), "{key}");
    }
}

fn number(db: &Db, family: &ColumnFamily, property: &str) -> u64 {
    db.property_int(family, property).unwrap_or_else(|| panic!("there is no property {property}"))
}

#[test]
fn the_largest_memtable_is_flushed_whichever_database_it_is_in() {
    let env = SimEnv::new(1);
    let manager = WriteBufferManager::new(200 << 10, None, false);
    let (one, in_one) = open(&managed(Some(env.clone()), &manager), "/one");
    let (other, in_other) = open(&managed(Some(env), &manager), "/other");
    fill(&one, &in_one, 100);
    assert_eq!(number(&one, &in_one, "auradb.flushes"), 0);
    assert!((108_000..114_000).contains(&one.memory_usage().memtables), "{:?}", one.memory_usage());
    fill(&other, &in_other, 80);
    let flushes = (number(&one, &in_one, "auradb.flushes"), number(&other, &in_other, "auradb.flushes"));
    assert_eq!(flushes, (1, 0), "the writer of the other database noticed, the larger memtable was flushed");
    assert_eq!(number(&one, &in_one, "rocksdb.num-entries-active-mem-table"), 0);
    assert!(manager.memory_usage() < manager.buffer_size() / 2);
    check_filled(&one, &in_one, 100);
    check_filled(&other, &in_other, 80);
    one.close().unwrap();
    drop((one, in_one));
    fill(&other, &in_other, 300);
    assert!(number(&other, &in_other, "auradb.flushes") >= 1, "a closed database is not asked any more");
    check_filled(&other, &in_other, 300);
    drop((other, in_other));
    assert_eq!((manager.memory_usage(), manager.mutable_memory_usage()), (0, 0));
}

#[test]
fn db_write_buffer_size_flushes_the_largest_family() {
    let mut options = options(Some(SimEnv::new(1)), &config());
    options.db_write_buffer_size = 200 << 10;
    let (db, small) = open(&options, "/db");
    let large = db.create_column_family(&family(&options.config), "large").unwrap();
    fill(&db, &small, 40);
    fill(&db, &large, 110);
    fill(&db, &small, 60);
    assert_eq!(number(&db, &large, "rocksdb.num-files-at-level0"), 1);
    assert_eq!(number(&db, &large, "rocksdb.num-entries-active-mem-table"), 0);
    assert_eq!(number(&db, &small, "rocksdb.num-entries-active-mem-table"), 100);
}

#[test]
fn atomic_flush_seals_all_families_with_the_one_that_was_picked() {
    let env = SimEnv::new(1);
    let manager = WriteBufferManager::new(200 << 10, None, false);
    let atomic = Options { atomic_flush: true, ..managed(Some(env.clone()), &manager) };
    let (one, first) = open(&atomic, "/one");
    let second = one.create_column_family(&family(&atomic.config), "second").unwrap();
    fill(&one, &first, 80);
    fill(&one, &second, 10);
    let (other, in_other) = open(&managed(Some(env), &manager), "/other");
    fill(&other, &in_other, 75);
    for family in [&first, &second] {
        assert_eq!(number(&one, family, "rocksdb.num-files-at-level0"), 1);
        assert_eq!(number(&one, family, "rocksdb.num-entries-active-mem-table"), 0);
    }
    assert_eq!(number(&one, &first, "auradb.flushes"), 2, "both in one round");
}

#[test]
fn what_is_shown_agrees_and_counts_what_iterators_hold() {
    let env = SimEnv::new(1);
    let cache = Cache::new(8 << 20, EvictionPolicy::Lru, 0);
    let manager = WriteBufferManager::new(0, Some(Arc::clone(&cache)), false);
    let mut options = managed(Some(env), &manager);
    options.cache = Some(Arc::clone(&cache));
    let (db, default) = open(&options, "/db");
    let second = db.create_column_family(&family(&options.config), "second").unwrap();
    fill(&db, &default, 100);
    fill(&db, &second, 50);
    let sums = |property: &str| -> u64 {
        [&default, &second].into_iter().map(|family| number(&db, family, property)).sum()
    };
    let check = || {
        let usage = db.memory_usage();
        for prefix in ["rocksdb", "auradb"] {
            assert_eq!(usage.memtables, sums(&format!("{prefix}.size-all-mem-tables")));
            assert_eq!(usage.memtables_unflushed, sums(&format!("{prefix}.cur-size-all-mem-tables")));
            assert_eq!(usage.table_readers, sums(&format!("{prefix}.estimate-table-readers-mem")));
        }
        let held = manager.memory_usage();
        assert!(held <= usage.memtables && held + 4 * 1024 >= usage.memtables, "{held} of {usage:?}");
        assert_eq!(manager.charged_to_cache(), held.next_multiple_of(256 << 10));
        assert!(cache.usage() >= manager.charged_to_cache() + usage.table_readers);
        usage
    };
    let before = check();
    assert_eq!(before.memtables, before.memtables_unflushed);
    let iterator = db.iterator(&default, &ReadOptions::default()).unwrap();
    db.flush(&[&default, &second], true).unwrap();
    let pinned = check();
    assert!(pinned.table_readers > 0 && pinned.memtables_unflushed < 10_000);
    assert!(pinned.memtables > 100_000 && pinned.memtables < 130_000, "the iterator holds one: {pinned:?}");
    drop(iterator);
    let after = check();
    assert_eq!(after.memtables, after.memtables_unflushed);
    db.drop_column_family(&second).unwrap();
    drop(second);
    let consumer = db.memory_consumer();
    assert_eq!(consumer.memory_usage(), db.memory_usage());
    assert!(db.property(&default, "auradb.memory").unwrap().contains("memtables"));
    drop((db, default));
    assert_eq!(consumer.memory_usage(), Default::default());
    assert_eq!((manager.memory_usage(), cache.usage()), (0, 0));
}

#[test]
fn recovery_keeps_to_the_cap_too() {
    let env = SimEnv::new(1);
    let (db, handle) = open(&options(Some(env.clone()), &config()), "/db");
    fill(&db, &handle, 300);
    drop((db, handle));
    let manager = WriteBufferManager::new(64 << 10, None, true);
    let (db, handle) = open(&managed(Some(env), &manager), "/db");
    assert!(number(&db, &handle, "auradb.flushes") >= 4, "{}", number(&db, &handle, "auradb.flushes"));
    check_filled(&db, &handle, 300);
    assert!(manager.memory_usage() < 4096);
}

#[test]
fn a_failed_database_errs_and_the_others_do_not_wait_for_it() {
    let directory = TemporaryDirectory::new("memory-failed");
    let manager = WriteBufferManager::new(200 << 10, None, true);
    let (failed, in_failed) = open(&managed(None, &manager), directory.0.join("failed"));
    let (other, in_other) = open(&managed(None, &manager), directory.0.join("other"));
    fill(&failed, &in_failed, 150);
    failed.report_panic("on purpose");
    failed.put(&in_failed, b"k", b"v", &WriteOptions::default()).unwrap_err();
    fill(&other, &in_other, 400);
    check_filled(&other, &in_other, 400);
    assert!(manager.memory_usage() > 150_000, "the failed one still has its memtable");
}

#[test]
fn read_only_databases_count_and_nobody_waits_for_them() {
    let env = SimEnv::new(1);
    let (db, handle) = open(&options(Some(env.clone()), &config()), "/db");
    fill(&db, &handle, 100);
    drop((db, handle));
    let manager = WriteBufferManager::new(50_000, None, true);
    let read_only = managed(Some(env.clone()), &manager);
    let named = [("default".to_string(), family(&read_only.config))];
    let (db, families) = Db::open_read_only(&read_only, Path::new("/db"), &named, false).unwrap();
    check_filled(&db, &families[0], 100);
    assert_eq!(manager.unflushed_memory_usage(), 0);
    assert!(manager.memory_usage() > 100_000, "{manager:?}");
    let (other, in_other) = open(&managed(Some(env), &manager), "/other");
    fill(&other, &in_other, 100);
    check_filled(&other, &in_other, 100);
}

/// Writers of two databases, and readers, with a cap that makes them wait: it holds, nothing is lost, nobody hangs.
#[test]
fn two_databases_with_threads_keep_to_one_cap() {
    const THREADS: usize = 4;
    const WRITES: usize = 400;
    let directory = TemporaryDirectory::new("memory-threads");
    for (round, allow_stall) in [true, false].into_iter().enumerate() {
        let manager = WriteBufferManager::new(128 << 10, None, allow_stall);
        let path = |name: &str| directory.0.join(format!("{name}-{round}"));
        let databases =
            [open(&managed(None, &manager), path("one")), open(&managed(None, &manager), path("two"))];
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                while !stop.load(Ordering::Acquire) {
                    most = most.max(manager.unflushed_memory_usage());
                    std::thread::yield_now();
                }
                most
            });
            let writers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (db, family) = &databases[thread % 2];
                    scope.spawn(move || {
                        for number in 0..WRITES {
                            let key = format!("{thread}-{number:04}");
                            let value = noise(number, 500);
                            db.put(family, key.as_bytes(), &value, &WriteOptions::default()).unwrap();
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            stop.store(true, Ordering::Release);
            let most = watcher.join().expect("the watcher lives");
            assert!(outcomes.iter().all(Result::is_ok), "a writer failed");
            // Each writer may pass just below the cap, with an entry and a new chunk; empty memtables count a little.
            let bound = manager.buffer_size() + (THREADS as u64 + 2) * 8192;
            assert!(!allow_stall || most <= bound, "{most} bytes where {bound} are allowed");
        });
        for thread in 0..THREADS {
            let (db, family) = &databases[thread % 2];
            for number in 0..WRITES {
                let key = format!("{thread}-{number:04}");
                let found = db.get(family, key.as_bytes(), &ReadOptions::default()).unwrap();
                assert_eq!(found.as_deref(), Some(&noise(number, 500)[..]), "{key}");
            }
        }
        for (db, family) in &databases {
            db.wait_for_background_work().unwrap();
            assert!(number(db, family, "auradb.flushes") > 0);
        }
        drop(databases);
        assert_eq!(manager.memory_usage(), 0);
    }
}

#[test]
fn closing_lets_waiting_writers_go() {
    let directory = TemporaryDirectory::new("memory-close");
    let manager = WriteBufferManager::new(16 << 10, None, true);
    let (one, in_one) = open(&managed(None, &manager), directory.0.join("one"));
    let (other, in_other) = open(&managed(None, &manager), directory.0.join("other"));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for number in 0.. {
                    let key = format!("{:?}-{number}", std::thread::current().id());
                    if one
                        .put(&in_one, key.as_bytes(), &noise(number, 2000), &WriteOptions::default())
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
        fill(&other, &in_other, 100);
        one.close().unwrap();
    });
    fill(&other, &in_other, 200);
    check_filled(&other, &in_other, 200);
}
