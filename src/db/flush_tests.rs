//! Flushes of several column families and power losses; flushes that fail again and again.

use super::background::{Begun, Job};
use super::state::Engine;
use super::{
    ColumnFamily, ColumnFamilyOptions, DEFAULT_COLUMN_FAMILY, Db, Options, ReadOptions, WriteOptions,
};
use crate::base::ErrorKind;
use crate::config::SyncPolicy;
use crate::env::Env;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::write::commit::{CommitOptions, Owner};
use crate::write::{Few, Prepared};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

fn options(env: Arc<dyn Env>) -> Options {
    let mut options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
    options.create_missing_column_families = true;
    options.config.wal.sync_policy = SyncPolicy::Manual;
    options
}

fn open_two(options: &Options, small: &ColumnFamilyOptions) -> (Db, Vec<ColumnFamily>) {
    let named = [
        (DEFAULT_COLUMN_FAMILY.to_string(), ColumnFamilyOptions::default()),
        ("other".to_string(), small.clone()),
    ];
    Db::open_column_families(options, Path::new("/db"), &named).unwrap()
}

fn put(db: &Db, family: &ColumnFamily, key: &[u8], value: &[u8]) {
    db.put(family, key, value, &WriteOptions::default()).unwrap();
}

fn get(db: &Db, family: &ColumnFamily, key: &[u8]) -> Option<Vec<u8>> {
    db.get(family, key, &ReadOptions::default()).unwrap().map(|value| value.to_vec())
}

fn seal(engine: &Engine, family: &ColumnFamily) {
    engine.seal(&mut engine.committer.lock(), family.id()).unwrap();
}

/// W3: two memtables sealed at different moments, flushed in one edit, while one family has older entries left.
#[test]
fn families_flushed_together_keep_one_history() {
    let env = SimEnv::without_mapping(1);
    let options = options(env.clone());
    let (db, families) = open_two(&options, &ColumnFamilyOptions::default());
    db.engine().state.lock().hold_flushes = true;
    put(&db, &families[0], b"1", b"");
    seal(db.engine(), &families[0]);
    put(&db, &families[0], b"2", b"");
    put(&db, &families[1], b"3", b"");
    seal(db.engine(), &families[1]);
    let both: Vec<_> = families.iter().map(|handle| Arc::clone(&handle.family)).collect();
    db.engine().flush_sealed(&both).unwrap();
    let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1);
    let (after, handles) = open_two(&self::options(image), &ColumnFamilyOptions::default());
    assert_eq!(get(&after, &handles[1], b"3"), Some(vec![]), "it was flushed");
    assert_eq!(get(&after, &handles[0], b"2"), Some(vec![]), "the write before it is lost");
}

/// W3: the table of one family has a part of a batch whose rest is nowhere but in the log.
#[test]
fn a_flush_of_one_family_does_not_tear_a_batch() {
    let env = SimEnv::without_mapping(4);
    let (db, families) = open_two(&options(env.clone()), &ColumnFamilyOptions::default());
    let mut batch = crate::batch::WriteBatch::new();
    families.iter().for_each(|family| batch.put(family.id(), b"1", b"").unwrap());
    db.write(&batch, &WriteOptions::default()).unwrap();
    db.flush(&[&families[0]], true).unwrap();
    let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1);
    let (after, handles) = open_two(&self::options(image), &ColumnFamilyOptions::default());
    assert_eq!(get(&after, &handles[0], b"1"), Some(vec![]), "it was flushed");
    assert_eq!(get(&after, &handles[1], b"1"), Some(vec![]), "the rest of its batch is lost");
}

/// With `atomic_flush` what is in no log is cut at one moment in all families.
#[test]
fn an_atomic_flush_takes_all_families_at_one_moment() {
    let env = SimEnv::without_mapping(2);
    let mut options = options(env.clone());
    options.atomic_flush = true;
    let mut small = ColumnFamilyOptions::default();
    (small.memtable.max_size, small.memtable.flush_threshold) = (1, 1.0);
    let (db, families) = open_two(&options, &small);
    let unlogged = WriteOptions { disable_wal: true, ..WriteOptions::default() };
    db.put(&families[0], b"1", b"", &unlogged).unwrap();
    db.put(&families[1], b"2", b"", &unlogged).unwrap();
    // Finds the memtable of its family full.
    db.put(&families[1], b"3", b"", &unlogged).unwrap();
    let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1);
    let (after, handles) = open_two(&self::options(image), &small);
    assert_eq!(get(&after, &handles[1], b"2"), Some(vec![]), "it was flushed");
    assert_eq!(get(&after, &handles[0], b"1"), Some(vec![]), "the write before it is lost");
}

fn count(env: &SimEnv, extension: &str) -> usize {
    env.list_all().iter().filter(|path| path.extension().is_some_and(|found| found == extension)).count()
}

/// On a device without room for the manifest, tries leave no files behind.
#[test]
fn failed_flushes_and_log_starts_leave_nothing_behind() {
    let inner = SimEnv::without_mapping(3);
    let faulty = FaultyEnv::new(inner.clone());
    let db = Db::open(&options(faulty.clone()), Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
    let family = db.default_column_family();
    put(&db, &family, b"1", b"");
    // The file of a manifest is known by the temporary name it was created under, its final name meets a rename.
    let selection = Selection::of(&[OperationClass::Rename]).named("MANIFEST");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::FULL, lasting: true });
    // One write of the manifest fails for good, so that every next one needs a new manifest.
    db.engine().versions.fail_next_write();
    assert!(db.flush(&[&family], true).is_err());
    let tables = count(&inner, "sst");
    for _ in 0..5 {
        assert!(db.flush(&[&family], true).is_err());
        db.engine().run_inline();
        let mut commit = db.engine().committer.lock();
        db.engine().committer.abandon_log(&mut commit);
        let again = db.engine().health.clear_soft();
        drop(commit);
        assert!(again, "a full device is no hard failure");
        assert!(db.put(&family, b"2", b"", &WriteOptions::default()).is_err());
    }
    assert!(count(&inner, "sst") <= tables, "{} tables", count(&inner, "sst"));
    assert_eq!(count(&inner, "log"), 1);
    faulty.plan().heal();
    db.engine().health.clear_soft();
    put(&db, &family, b"2", b"");
    db.flush(&[&family], true).unwrap();
    assert_eq!(count(&inner, "sst"), 2, "one a memtable");
    drop(db);
    let db = Db::open(&options(inner), Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
    let family = db.default_column_family();
    assert_eq!((get(&db, &family, b"1"), get(&db, &family, b"2")), (Some(vec![]), Some(vec![])));
}

/// W1 after a resume: a value that was appended but not yet committed when the sync of its segment failed.
#[test]
fn a_value_on_its_way_when_its_segment_failed_is_refused() {
    let inner = SimEnv::without_mapping(4);
    let faulty = FaultyEnv::new(inner.clone());
    let db = Db::open(&options(faulty.clone()), Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
    let family = db.default_column_family();
    put(&db, &family, b"1", &[1; 5000]);
    let (pointer, segment) = db.engine().value_log.append(0, b"2", &[2; 5000]).unwrap();
    let selection = Selection::of(&[OperationClass::Sync]).named(".vlog");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
    assert!(db.flush_wal(true).is_err());
    db.resume().unwrap();
    let mut encoded = Vec::new();
    pointer.encode(&mut encoded);
    let mut batch = crate::batch::WriteBatch::new();
    batch.put_pointer(0, b"2", &encoded).unwrap();
    let prepared = Prepared {
        bytes: batch.data(),
        families: Few::One(0),
        holds: Few::One((pointer.segment, segment)),
        count: 1,
        user_bytes: batch.data().len(),
    };
    let how = CommitOptions { sync: true, disable_wal: false };
    let error = db.engine().committer.commit(&prepared, how, &**db.engine()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TryAgain);
    put(&db, &family, b"2", &[2; 5000]);
    db.flush_wal(true).unwrap();
    let image = inner.crash_image(inner.journal_len(), ImageKind::SyncedOnly, 4);
    let db = Db::open(&options(image), Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
    let family = db.default_column_family();
    assert_eq!(get(&db, &family, b"1"), Some(vec![1; 5000]));
    assert_eq!(get(&db, &family, b"2"), Some(vec![2; 5000]));
}

#[test]
fn a_stop_below_the_compaction_trigger_is_no_stop_for_ever() {
    let env = SimEnv::without_mapping(5);
    let family_options =
        ColumnFamilyOptions { level0_stop: 0, level0_slowdown: 0, ..ColumnFamilyOptions::default() };
    let db = Db::open(&options(env), Path::new("/db"), &family_options).unwrap();
    let family = db.default_column_family();
    for key in 0..10u8 {
        put(&db, &family, &[key], b"");
        db.flush(&[&family], true).unwrap();
        assert!(!db.engine().throttle.is_stopped());
    }
}

/// Memtables of a family that wait together become one table, with the newest version of each key alone.
#[test]
fn memtables_that_wait_are_flushed_as_one() {
    let env = SimEnv::without_mapping(6);
    let mut patient = ColumnFamilyOptions::default();
    patient.memtable.count = 8; // Writers do not wait while flushes are held.
    let db = Db::open(&options(env.clone()), Path::new("/db"), &patient).unwrap();
    let family = db.default_column_family();
    db.engine().state.lock().hold_flushes = true;
    for value in [b"1", b"2", b"3"] {
        put(&db, &family, b"key", value);
        put(&db, &family, value, b"");
        seal(db.engine(), &family);
    }
    assert_eq!(family.family.view().sealed.len(), 3);
    db.engine().state.lock().hold_flushes = false;
    db.engine().run_inline();
    let view = family.family.view();
    assert_eq!((view.sealed.len(), count(&env, "sst")), (0, 1));
    let entries: u64 = view.version.files().map(|(_, file)| file.properties.entries).sum();
    assert_eq!(entries, 4, "\"key\" once, and three others");
    assert_eq!(get(&db, &family, b"key"), Some(b"3".to_vec()));
}

/// While one worker flushes a family, the next takes another family, and none the same.
#[test]
fn families_are_flushed_side_by_side() {
    let env = SimEnv::without_mapping(7);
    let (db, families) = open_two(&options(env), &ColumnFamilyOptions::default());
    db.engine().state.lock().hold_flushes = true;
    for family in &families {
        put(&db, family, b"key", b"");
        seal(db.engine(), family);
    }
    let jobs: Vec<Begun> = {
        let mut state = db.engine().state.lock();
        state.hold_flushes = false;
        let jobs = std::iter::from_fn(|| db.engine().next_job(&mut state)).take(3).collect();
        assert_eq!(state.flushes, 2);
        jobs
    };
    let flushed = jobs.iter().map(|begun| match &begun.job {
        Job::Flush(families) => families.iter().map(|family| family.id).collect(),
        _ => Vec::new(),
    });
    assert_eq!(flushed.collect::<Vec<_>>(), vec![vec![families[0].id()], vec![families[1].id()]]);
    // They end in the other order than they began.
    jobs.into_iter().rev().for_each(|begun| db.engine().run_job(begun));
    for family in &families {
        assert!(family.family.view().sealed.is_empty());
        assert_eq!(get(&db, family, b"key"), Some(vec![]));
    }
    assert_eq!(db.engine().state.lock().flushes, 0);
}

#[test]
fn a_rate_limit_holds_while_writers_of_values_hardly_notice_that_they_are_slowed() {
    let faulty = FaultyEnv::new(SimEnv::new(9));
    let mut options = Options { create_if_missing: true, env: Some(faulty.clone()), ..Options::default() };
    options.config.value_log.max_segment_size = 1 << 20;
    options.config.value_log.max_space_amp = 1.1;
    options.config.value_log.compress_values = false;
    let db = Db::open(&options, Path::new("/db"), &ColumnFamilyOptions::default()).unwrap();
    let (engine, seen) = (Arc::downgrade(db.engine()), Arc::new(Mutex::new(Vec::new())));
    let samples = Arc::clone(&seen);
    let look = move |_: OperationClass, _: &Path| {
        if let Some(engine) = engine.upgrade() {
            samples.lock().push((engine.throttle.value_rate() >> 20, engine.rate_limiter.is_hurried()));
        }
    };
    faulty.plan().interrupt(Selection::of(&[OperationClass::Write]), Arc::new(look));
    let (family, plain) = (db.default_column_family(), WriteOptions::default());
    for n in 0..2000u64 {
        let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        db.put(&family, &key.to_be_bytes(), &[n as u8; 3000], &plain).unwrap();
    }
    faulty.plan().interrupt_no_more();
    let seen = seen.lock();
    for &(megabytes, hurried) in &*seen {
        assert_eq!(hurried, (1..=128).contains(&megabytes), "at {megabytes} MiB a second");
    }
    assert!(seen.iter().any(|(megabytes, _)| *megabytes > 128), "nobody was slowed a little");
}
