//! Values of short synced batches: in the log and the memtable until the flush separates them.

use super::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, DEFAULT_COLUMN_FAMILY, Db, Options, ReadOptions,
    WriteOptions,
};
use crate::base::extension::MergeOperator;
use crate::base::file_name::{FileKind, parse};
use crate::batch::WriteBatch;
use crate::config::SyncPolicy;
use crate::env::Env;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use std::path::Path;
use std::sync::Arc;

const KEYS: usize = 40;
/// Batches of fewer bytes keep their values.
const LIMIT: usize = 2000;
const SYNCED: WriteOptions = WriteOptions { sync: true, disable_wal: false, no_slowdown: false };
const UNSYNCED: WriteOptions = WriteOptions { sync: false, disable_wal: false, no_slowdown: false };

fn options(env: Arc<dyn Env>) -> Options {
    let mut options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
    options.config.wal.sync_policy = SyncPolicy::Manual;
    options.config.value_log.separation_threshold = 100;
    options.config.value_log.synced_separation_threshold = LIMIT as u64;
    options.config.value_log.max_segment_size = 16 << 10;
    options.config.value_log.compress_values = false;
    // Flushes and collections are asked for.
    options.config.value_log.garbage_collection = false;
    options
}

fn open_with(options: &Options) -> Db {
    let family = ColumnFamilyOptions {
        merge_operator: Some(Arc::new(Append)),
        disable_auto_compactions: true,
        ..ColumnFamilyOptions::from_config(&options.config)
    };
    Db::open(options, Path::new("/db"), &family).unwrap()
}

fn open(env: Arc<dyn Env>) -> Db {
    open_with(&options(env))
}

struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &'static str {
        "append"
    }
    fn full_merge(&self, _: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some([existing.unwrap_or_default(), &operands.concat()].concat())
    }
    fn partial_merge(&self, _: &[u8], _: &[&[u8]]) -> Option<Vec<u8>> {
        None
    }
}

fn value(n: usize, round: usize) -> Vec<u8> {
    let mut state = (n * 1000 + round) as u64;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    };
    std::iter::repeat_with(byte).take(50 * (n % 8)).collect()
}

/// Values of `value` that are long enough.
fn big() -> u64 {
    (0..KEYS).filter(|n| 50 * (n % 8) >= 100).count() as u64
}

fn key(n: usize) -> Vec<u8> {
    format!("key{n:03}").into_bytes()
}

fn fill(db: &Db, round: usize, how: &WriteOptions) {
    let family = db.default_column_family();
    (0..KEYS).for_each(|n| db.put(&family, &key(n), &value(n, round), how).unwrap());
}

fn check(db: &Db, round: usize) {
    check_at(db, round, &ReadOptions::default());
    db.verify_value_log().unwrap();
}

fn check_at(db: &Db, round: usize, how: &ReadOptions) {
    let family = db.default_column_family();
    for n in 0..KEYS {
        let found = db.get(&family, &key(n), how).unwrap();
        assert_eq!(found.as_deref(), Some(&value(n, round)[..]), "key{n:03}");
    }
}

fn flush(db: &Db) {
    db.flush(&[&db.default_column_family()], true).unwrap();
}

fn property(db: &Db, name: &str) -> u64 {
    db.property_int(&db.default_column_family(), name).unwrap()
}

/// Values that tables refer to in the value log.
fn separated(db: &Db) -> u64 {
    db.engine().versions.segment_use().iter().map(|used| used.values).sum()
}

fn written(db: &Db) -> u64 {
    property(db, "auradb.value-log-values-written")
}

/// Bytes of records that no table refers to.
fn dead(db: &Db) -> u64 {
    let segments = db.engine().value_log.segments();
    assert!(segments.iter().all(|segment| !segment.is_arriving));
    let headers = 64 * segments.len() as u64;
    let (bytes, live) = (property(db, "auradb.value-log-bytes"), property(db, "auradb.value-log-live-bytes"));
    let dead = bytes - headers - live;
    assert_eq!(property(db, "auradb.value-log-dead-bytes"), dead + headers);
    dead
}

#[test]
fn only_short_batches_that_are_waited_for_keep_their_values() {
    let db = open(SimEnv::without_mapping(1));
    let family = db.default_column_family();
    let (short, long) = (vec![7; 500], vec![7; LIMIT]);
    let batch = |value: &[u8]| {
        let mut batch = WriteBatch::new();
        batch.put(0, b"batch", value).unwrap();
        batch
    };
    let mut expected = 0;
    let mut separates = |by: u64| {
        expected += by;
        assert_eq!(written(&db), expected);
    };
    db.put(&family, b"one", &short, &SYNCED).unwrap();
    db.write(&batch(&short), &SYNCED).unwrap();
    separates(0);
    db.put(&family, b"one", &short, &UNSYNCED).unwrap();
    separates(1);
    db.put(&family, b"one", &long, &SYNCED).unwrap();
    separates(1);
    db.write(&batch(&short), &UNSYNCED).unwrap();
    separates(1);
    db.write(&batch(&long), &SYNCED).unwrap();
    separates(1);
    db.write_async(&batch(&short), &SYNCED, Box::new(|outcome| outcome.unwrap())).unwrap();
    separates(1);
    let unlogged = WriteOptions { disable_wal: true, ..UNSYNCED };
    db.put(&family, b"one", &short, &unlogged).unwrap();
    separates(1);
    // The flush keeps the newest of each key, which are in the value log already.
    flush(&db);
    separates(0);
    assert_eq!(property(&db, "auradb.flush-values-separated"), 0);
    db.put(&family, b"one", &short, &SYNCED).unwrap();
    flush(&db);
    separates(1);
    assert_eq!(property(&db, "auradb.flush-values-separated"), 1);
}

#[test]
fn the_policy_of_every_write_counts_as_sync_and_0_turns_it_off() {
    for (policy, limit, kept) in [
        (SyncPolicy::EveryWrite, LIMIT as u64, true),
        (SyncPolicy::EveryNWrites(1), LIMIT as u64, false),
        (SyncPolicy::EveryWrite, 0, false),
    ] {
        let mut options = options(SimEnv::without_mapping(2));
        options.config.wal.sync_policy = policy;
        options.config.value_log.synced_separation_threshold = limit;
        let db = open_with(&options);
        fill(&db, 0, &UNSYNCED);
        assert_eq!(written(&db), if kept { 0 } else { big() }, "{policy:?}, {limit}");
        let syncs = property(&db, "auradb.value-log-syncs");
        assert_eq!(syncs == 0, kept, "{policy:?}, {limit}: {syncs} syncs of segments");
        flush(&db);
        assert_eq!((written(&db), separated(&db)), (big(), big()));
        check(&db, 0);
    }
}

#[test]
fn a_batch_longer_than_a_log_file_is_separated_at_once() {
    let mut options = options(SimEnv::without_mapping(3));
    options.config.wal.max_file_size = 4096;
    options.config.value_log.synced_separation_threshold = 1 << 20;
    let db = open_with(&options);
    let family = db.default_column_family();
    db.put(&family, b"a", &[1; 4000], &SYNCED).unwrap();
    assert_eq!(written(&db), 0);
    db.put(&family, b"b", &[2; 5000], &SYNCED).unwrap();
    assert_eq!(written(&db), 1);
}

#[test]
fn flushes_separate_them_and_every_byte_is_accounted_for() {
    let env = SimEnv::without_mapping(4);
    let db = open(env.clone());
    for round in 0..5 {
        fill(&db, round, &SYNCED);
        check(&db, round);
        flush(&db);
        check(&db, round);
        assert_eq!(property(&db, "auradb.flush-values-separated"), big() * (round as u64 + 1));
    }
    assert_eq!(separated(&db), 5 * big());
    assert_eq!(dead(&db), 0);
    let record_bytes = property(&db, "auradb.flush-value-bytes-separated");
    assert_eq!(property(&db, "auradb.value-log-live-bytes"), record_bytes);
    assert_eq!(property(&db, "auradb.value-log-bytes-written"), record_bytes);
    assert_eq!(property(&db, "auradb.compaction-values-separated"), 0);
    let all = CompactRangeOptions { force_bottommost: true };
    db.compact_range(&db.default_column_family(), None, None, &all).unwrap();
    assert_eq!(property(&db, "auradb.value-log-live-bytes"), record_bytes / 5);
    assert!(dead(&db) > 0);
    db.collect_garbage(0.0).unwrap();
    assert_eq!(dead(&db), 0);
    check(&db, 4);
    db.close().unwrap();
    drop(db);
    let db = open(env);
    check(&db, 4);
    assert_eq!(separated(&db), big());
}

/// What memtables keep counts for the space as what they point to does, before and after their flush.
#[test]
fn kept_values_count_before_they_are_flushed() {
    let db = open(SimEnv::without_mapping(5));
    let bytes: usize =
        (0..KEYS).map(|n| value(n, 0).len()).filter(|len| *len >= 100).map(|len| len + 6).sum();
    fill(&db, 0, &SYNCED);
    let buffer = Arc::clone(&db.default_column_family().family.view().active);
    assert_eq!((buffer.kept_bytes(), buffer.value_bytes()), (bytes as u64, 0));
    assert_eq!(buffer.hidden_bytes(), bytes as u64);
    fill(&db, 1, &UNSYNCED);
    assert_eq!(buffer.kept_bytes(), bytes as u64);
    assert!(buffer.value_bytes() > bytes as u64, "headers of records count");
}

#[test]
fn recovery_separates_what_the_log_kept() {
    let env = SimEnv::without_mapping(6);
    let db = open(env.clone());
    fill(&db, 0, &SYNCED);
    for kind in [ImageKind::SyncedOnly, ImageKind::RandomSectors, ImageKind::ProcessCrash] {
        let image = env.crash_image(env.journal_len(), kind, 6);
        let db = open(image.clone());
        assert_eq!((separated(&db), written(&db)), (big(), big()), "{kind:?}");
        check(&db, 0);
        assert_eq!(dead(&db), 0);
        drop(db);
        check(&open(image), 0);
    }
}

#[test]
fn older_versions_operands_and_what_expires_are_separated_too() {
    let db = open(SimEnv::without_mapping(7));
    let family = db.default_column_family();
    fill(&db, 0, &SYNCED);
    let snapshot = db.snapshot();
    fill(&db, 1, &SYNCED);
    db.put_with_ttl(&family, b"brief", &[3; 300], 3600, &SYNCED).unwrap();
    db.put(&family, b"merged", &[4; 90], &SYNCED).unwrap();
    db.merge(&family, b"merged", &[5; 90], &SYNCED).unwrap();
    flush(&db);
    // The operand and its base are one value of 180 bytes.
    assert_eq!(separated(&db), 2 * big() + 2);
    assert_eq!(written(&db), 2 * big() + 2);
    check(&db, 1);
    check_at(&db, 0, &ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() });
    let get = |key: &[u8]| db.get(&family, key, &ReadOptions::default()).unwrap().unwrap().to_vec();
    assert_eq!(get(b"brief"), [3; 300]);
    assert_eq!(get(b"merged"), [[4; 90], [5; 90]].concat());
    drop(snapshot);
    let all = CompactRangeOptions { force_bottommost: true };
    db.compact_range(&family, None, None, &all).unwrap();
    assert_eq!(separated(&db), big() + 2);
    db.collect_garbage(0.0).unwrap();
    check(&db, 1);
}

/// Whatever fails in a flush, nothing is lost, what it wrote is garbage, and the next one succeeds.
#[test]
fn a_failing_flush_installs_nothing_and_is_done_again() {
    let classes = [
        OperationClass::Create,
        OperationClass::Write,
        OperationClass::Sync,
        OperationClass::SyncDir,
        OperationClass::Rename,
    ];
    for (failure, what) in [(Failure::FULL, "full"), (Failure::BROKEN, "broken")] {
        let mut failures = 0;
        for nth in 0.. {
            let simulated = SimEnv::without_mapping(nth);
            let faulty = FaultyEnv::new(simulated.clone());
            let db = open(faulty.clone());
            fill(&db, 0, &SYNCED);
            flush(&db);
            fill(&db, 1, &SYNCED);
            let selection = Selection::of(&classes).named(".vlog");
            faulty.plan().arm(Fault { selection, nth, failure, lasting: false });
            let outcome = db.flush(&[&db.default_column_family()], true);
            let fired = faulty.plan().fired();
            faulty.plan().heal();
            if fired == 0 {
                outcome.unwrap();
                break;
            }
            failures += 1;
            check(&db, 1);
            if db.health().failure.is_some() {
                db.resume().unwrap();
            }
            flush(&db);
            check(&db, 1);
            assert_eq!(separated(&db), 2 * big(), "{what}, operation {nth}");
            let segments = db.engine().value_log.segments();
            assert!(segments.iter().all(|segment| !segment.is_arriving), "{what}, operation {nth}");
            let at = simulated.journal_len();
            check(&open(simulated.crash_image(at, ImageKind::SyncedOnly, nth)), 1);
            drop(db);
            let db = open(simulated);
            check(&db, 1);
            assert_eq!(separated(&db), 2 * big(), "{what}, operation {nth}");
        }
        assert!(failures >= 2, "{what}: {failures} operations failed");
    }
}

/// W2: a power loss at any moment of a flush finds every value, in the log or in segments.
#[test]
fn a_power_loss_during_the_flush_loses_nothing() {
    let env = SimEnv::without_mapping(9);
    let db = open(env.clone());
    fill(&db, 0, &SYNCED);
    let before = env.journal_len();
    flush(&db);
    let mut flushed = 0;
    for at in before..=env.journal_len() {
        for kind in [ImageKind::SyncedOnly, ImageKind::RandomSectors, ImageKind::GarbageTails] {
            let image = env.crash_image(at, kind, at as u64);
            let names = image.list(Path::new("/db/vlog")).unwrap_or_default();
            let segments = names.iter().filter(|name| matches!(parse(name), Some(FileKind::Segment(_))));
            flushed += usize::from(segments.count() > 0);
            let db = open(image);
            check(&db, 0);
            assert_eq!(separated(&db), big(), "at {at}, {kind:?}");
            assert_eq!(dead(&db), 0);
        }
    }
    assert!(flushed > 0);
}

#[test]
fn families_are_flushed_by_their_own_thresholds() {
    let db = open(SimEnv::without_mapping(10));
    let none = ColumnFamilyOptions { separation_threshold: Some(u64::MAX), ..ColumnFamilyOptions::default() };
    let all = ColumnFamilyOptions { separation_threshold: Some(0), ..ColumnFamilyOptions::default() };
    let none = db.create_column_family(&none, "none").unwrap();
    let all = db.create_column_family(&all, "all").unwrap();
    let own = db.default_column_family();
    let families: [&ColumnFamily; 3] = [&own, &none, &all];
    let mut batch = WriteBatch::new();
    for family in families {
        batch.put(family.id(), b"short", &[1; 50]).unwrap();
        batch.put(family.id(), b"long", &[2; 150]).unwrap();
    }
    db.write(&batch, &SYNCED).unwrap();
    assert_eq!(written(&db), 0);
    db.flush(&families, true).unwrap();
    assert_eq!((written(&db), separated(&db)), (3, 3));
    // One whose threshold was raised since stays where it is; compactions bring it back.
    db.put(&own, b"long", &[3; 150], &UNSYNCED).unwrap();
    db.put(&own, b"longer", &[4; 250], &SYNCED).unwrap();
    db.set_options(&own, &[("separation_threshold", "200")]).unwrap();
    flush(&db);
    assert_eq!((written(&db), separated(&db)), (5, 5));
    assert_eq!(property(&db, "auradb.compaction-values-inlined"), 0);
}

/// A repair keeps the values with their writes, also in the logs that it makes of damaged ones; the next open flushes.
#[test]
fn a_repair_keeps_them_in_the_logs() {
    let env = SimEnv::without_mapping(11);
    let db = open(env.clone());
    fill(&db, 0, &SYNCED);
    flush(&db);
    fill(&db, 1, &SYNCED);
    db.put(&db.default_column_family(), b"last", &[9; 300], &SYNCED).unwrap();
    drop(db);
    let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 11);
    // The frame of the last write is cut in two: whole writes go to a new log.
    let mut logs = image.list(Path::new("/db/wal")).unwrap();
    logs.sort();
    let path = Path::new("/db/wal").join(logs.last().unwrap());
    let log = image.open(&path, crate::env::OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; log.len().unwrap() as usize];
    log.read_exact_at(0, &mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"last").unwrap() as u64;
    log.truncate(end + 10).unwrap();
    drop(log);
    let options = options(image.clone());
    let family = ColumnFamilyOptions::from_config(&options.config);
    Db::repair(&options, Path::new("/db"), &[(DEFAULT_COLUMN_FAMILY.to_string(), family)]).unwrap();
    let names = image.list(Path::new("/db/wal")).unwrap();
    assert!(names.iter().any(|name| name.ends_with(".damaged")), "{names:?}");
    let db = open(image);
    check(&db, 1);
    assert_eq!((separated(&db), written(&db)), (2 * big(), big()));
    assert!(db.get(&db.default_column_family(), b"last", &ReadOptions::default()).unwrap().is_none());
}
