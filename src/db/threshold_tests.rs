//! The separation threshold changes while values lie in tables: compactions move them to where they belong now.

use super::{ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, Options, ReadOptions, WriteOptions};
use crate::base::ErrorKind;
use crate::base::file_name::{FileKind, path_of};
use crate::env::Env;
use crate::env::OpenMode;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

const KEYS: usize = 40;

fn options(env: Arc<dyn Env>, threshold: u64) -> Options {
    let mut options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
    options.config.value_log.separation_threshold = threshold;
    options.config.value_log.synced_separation_threshold = 0;
    options.config.value_log.max_segment_size = 16 << 10;
    options
}

fn open(options: &Options) -> Db {
    Db::open(options, Path::new("/db"), &ColumnFamilyOptions::default()).unwrap()
}

fn value(n: usize, round: usize) -> Vec<u8> {
    let mut state = (n * 1000 + round) as u64;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    };
    std::iter::repeat_with(byte).take(100 * (n % 8)).collect()
}

fn fill(db: &Db, round: usize) {
    let family = db.default_column_family();
    for n in 0..KEYS {
        let key = format!("key{n:03}");
        db.put(&family, key.as_bytes(), &value(n, round), &WriteOptions::default()).unwrap();
    }
}

fn check(db: &Db, round: usize) {
    let family = db.default_column_family();
    for n in 0..KEYS {
        let found = db.get(&family, format!("key{n:03}").as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(found.as_deref(), Some(&value(n, round)[..]), "key{n:03}");
    }
    db.verify_value_log().unwrap();
}

fn convert(db: &Db, threshold: &str) {
    let family = db.default_column_family();
    db.set_options(&family, &[("separation_threshold", threshold)]).unwrap();
    compact(db, &family);
}

fn compact(db: &Db, family: &ColumnFamily) {
    let all = CompactRangeOptions { force_bottommost: true };
    db.compact_range(family, None, None, &all).unwrap();
}

fn property(db: &Db, name: &str) -> u64 {
    db.property_int(&db.default_column_family(), name).unwrap()
}

/// Values that tables refer to in the value log.
fn separated(db: &Db) -> u64 {
    db.engine().versions.segment_use().iter().map(|used| used.values).sum()
}

fn at_least(threshold: usize) -> u64 {
    (0..KEYS).filter(|n| 100 * (n % 8) >= threshold).count() as u64
}

#[test]
fn compactions_move_values_both_ways_and_the_space_goes() {
    let db = open(&options(SimEnv::new(1), 300));
    fill(&db, 0);
    for (threshold, least) in [("300", 300), ("100", 100), ("600", 600), ("none", 10_000), ("0", 0)] {
        convert(&db, threshold);
        assert_eq!(separated(&db), at_least(least), "threshold {threshold}");
        check(&db, 0);
    }
    assert_eq!(property(&db, "auradb.separation-threshold"), 0);
    let up = at_least(300) - at_least(600) + at_least(100) - at_least(300) + at_least(600);
    assert_eq!(property(&db, "auradb.compaction-values-inlined"), up);
    let down = at_least(100) - at_least(300) + KEYS as u64;
    assert_eq!(property(&db, "auradb.compaction-values-separated"), down);
    convert(&db, "none");
    db.collect_garbage(0.0).unwrap();
    assert_eq!(separated(&db), 0);
    let left: u64 = db.engine().value_log.segments().iter().map(|s| s.len).sum();
    assert!(left <= 64, "{left} bytes are left of a value log that nothing refers to");
    check(&db, 0);
}

#[test]
fn writes_follow_at_once_and_each_family_has_its_own() {
    let options = options(SimEnv::new(2), 1000);
    let db = open(&options);
    let (family, values) =
        (db.default_column_family(), |db: &Db| db.engine().value_log.stats().values_written);
    let other = db.create_column_family(&ColumnFamilyOptions::default(), "other").unwrap();
    db.set_options(&other, &[("separation_threshold", "50")]).unwrap();
    let plain = WriteOptions::default();
    db.put(&family, b"a", &[7; 100], &plain).unwrap();
    assert_eq!(values(&db), 0);
    db.put(&other, b"a", &[7; 100], &plain).unwrap();
    assert_eq!(values(&db), 1);
    db.set_options(&family, &[("separation_threshold", "100")]).unwrap();
    db.put(&family, b"b", &[7; 100], &plain).unwrap();
    assert_eq!(values(&db), 2);
    db.set_options(&other, &[("separation_threshold", "none")]).unwrap();
    db.put(&other, b"b", &[7; 5000], &plain).unwrap();
    assert_eq!(values(&db), 2);
}

#[test]
fn another_threshold_at_open_is_followed_too() {
    let env = SimEnv::new(3);
    for (round, threshold) in [u64::MAX, 200, 500, 0, u64::MAX].into_iter().enumerate() {
        let db = open(&options(env.clone(), threshold));
        if round == 0 {
            fill(&db, 0);
        }
        check(&db, 0);
        compact(&db, &db.default_column_family());
        let least = usize::try_from(threshold).unwrap_or(usize::MAX);
        assert_eq!(separated(&db), at_least(least), "threshold {threshold}");
        check(&db, 0);
        db.close().unwrap();
    }
}

#[test]
fn snapshots_keep_what_they_see_while_values_move() {
    let db = open(&options(SimEnv::new(4), 10_000));
    fill(&db, 0);
    let snapshot = db.snapshot();
    fill(&db, 1);
    for threshold in ["0", "10000", "250"] {
        convert(&db, threshold);
        check(&db, 1);
        let old = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
        for n in 0..KEYS {
            let key = format!("key{n:03}");
            let found = db.get(&db.default_column_family(), key.as_bytes(), &old).unwrap();
            assert_eq!(found.as_deref(), Some(&value(n, 0)[..]), "{key} in the snapshot");
        }
    }
}

#[test]
fn a_damaged_value_stays_where_it_is_and_the_others_move() {
    let env = SimEnv::new(5);
    let db = open(&options(env.clone(), 50));
    fill(&db, 0);
    compact(&db, &db.default_column_family());
    let segment = db.engine().value_log.segments()[0].number;
    let path = path_of(&db.engine().directories.value_log, FileKind::Segment(segment));
    // The first record is that of key001.
    let file = env.open(&path, OpenMode::ReadWrite).unwrap();
    file.write_at(64 + 40, &[IoSlice::new(b"rotten")]).unwrap();
    let family = db.default_column_family();
    db.set_options(&family, &[("separation_threshold", "none")]).unwrap();
    compact(&db, &family);
    assert_eq!(separated(&db), 1);
    let read = |key: &str| db.get(&family, key.as_bytes(), &ReadOptions::default());
    assert_eq!(read("key001").unwrap_err().kind(), ErrorKind::Corruption);
    assert_eq!(read("key002").unwrap().as_deref(), Some(&value(2, 0)[..]));
    db.put(&family, b"key001", &value(1, 0), &WriteOptions::default()).unwrap();
    compact(&db, &family);
    assert_eq!(separated(&db), 0);
    check(&db, 0);
}

/// W2: a segment that cannot be synced must not be named by a table; nothing is lost, and the next try succeeds.
#[test]
fn a_failed_sync_of_separated_values_installs_nothing() {
    let faulty = FaultyEnv::new(SimEnv::new(6));
    let db = open(&options(faulty.clone(), u64::MAX));
    fill(&db, 0);
    let family = db.default_column_family();
    compact(&db, &family);
    db.set_options(&family, &[("separation_threshold", "0")]).unwrap();
    // A segment has its name only when its header is synced: this is the sync of values.
    let selection = Selection::of(&[OperationClass::Sync]).named(".vlog");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
    let all = CompactRangeOptions { force_bottommost: true };
    db.compact_range(&family, None, None, &all).unwrap_err();
    assert!(faulty.plan().fired() > 0);
    assert_eq!(separated(&db), 0);
    check(&db, 0);
    faulty.plan().heal();
    db.resume().unwrap();
    compact(&db, &family);
    assert_eq!(separated(&db), KEYS as u64);
    check(&db, 0);
    db.close().unwrap();
    drop(db);
    check(&open(&options(faulty, 0)), 0);
}

/// A device that does not give a value must not stop the merges that pass it, nor writes.
#[test]
fn a_value_that_cannot_be_read_stays_where_it_is_and_writes_go_on() {
    let faulty = FaultyEnv::new(SimEnv::new(7));
    let mut uncached = options(faulty.clone(), 50);
    uncached.config.cache.block_cache_size = 1;
    uncached.config.cache.vlog_cache_size = 1;
    let db = open(&uncached);
    fill(&db, 0);
    compact(&db, &db.default_column_family());
    let before = separated(&db);
    assert!(before > 0);
    let selection = Selection::of(&[OperationClass::Read]).named(".vlog");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: true });
    convert(&db, "none");
    assert!(faulty.plan().fired() > 0);
    assert_eq!(separated(&db), before);
    db.put(&db.default_column_family(), b"key000", &value(0, 0), &WriteOptions::default()).unwrap();
    faulty.plan().heal();
    compact(&db, &db.default_column_family());
    assert_eq!(separated(&db), 0);
    check(&db, 0);
}
