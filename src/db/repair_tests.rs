//! Repairs of lost and damaged files, crashes in the middle of them, and opens that must not change anything.

use super::options::{ColumnFamilyOptions, Options, ReadOptions, WriteOptions};
use super::{ColumnFamily, DEFAULT_COLUMN_FAMILY, Db};
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::{Error, Result};
use crate::config::Config;
use crate::env::Env;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::version::VersionSet;
use crate::wal::RecoveryMode;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DB: &str = "/db";
const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TolerateCorruptedTail,
    RecoveryMode::AbsoluteConsistency,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipCorrupted,
];

fn options(env: &Arc<SimEnv>, recovery_mode: RecoveryMode) -> Options {
    let mut config = Config::default();
    config.wal.max_file_size = 4 << 10;
    config.performance.memory_mapped = false;
    Options {
        config,
        create_if_missing: true,
        create_missing_column_families: true,
        recovery_mode,
        env: Some(env.clone()),
        ..Options::default()
    }
}

fn named(families: usize) -> Vec<(String, ColumnFamilyOptions)> {
    let names = [DEFAULT_COLUMN_FAMILY, "one"];
    let options = || ColumnFamilyOptions { disable_auto_compactions: true, ..ColumnFamilyOptions::default() };
    names[..families].iter().map(|name| (name.to_string(), options())).collect()
}

fn open_as(env: &Arc<SimEnv>, families: usize, mode: RecoveryMode) -> Result<(Db, Vec<ColumnFamily>)> {
    Db::open_column_families(&options(env, mode), Path::new(DB), &named(families))
}

fn open(env: &Arc<SimEnv>, families: usize) -> Result<(Db, Vec<ColumnFamily>)> {
    open_as(env, families, RecoveryMode::PointInTime)
}

fn repair(env: &Arc<SimEnv>, families: usize) -> Result<()> {
    Db::repair(&options(env, RecoveryMode::PointInTime), Path::new(DB), &named(families))
}

fn key(number: usize) -> Vec<u8> {
    format!("key{number:04}").into_bytes()
}

fn value(number: usize, separated: bool) -> Vec<u8> {
    // Every third is long enough for a segment, if there are to be any.
    let len = if separated && number.is_multiple_of(3) { 3000 } else { 150 };
    vec![number as u8; len]
}

fn put(db: &Db, family: &ColumnFamily, numbers: Range<usize>, separated: bool) {
    for number in numbers {
        db.put(family, &key(number), &value(number, separated), &WriteOptions::default()).unwrap();
    }
}

/// Two tables a family, then writes in several logs; keys 0..120. Everything is durable, nothing was closed.
fn sample(families: usize, separated: bool) -> Arc<SimEnv> {
    let env = SimEnv::new(1);
    let (db, handles) = open(&env, families).unwrap();
    for round in 0..3 {
        for family in &handles {
            put(&db, family, 40 * round..40 * round + 40, separated);
        }
        if round < 2 {
            db.flush(&handles.iter().collect::<Vec<_>>(), true).unwrap();
        }
    }
    db.flush_wal(true).unwrap();
    env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1)
}

fn has(db: &Db, family: &ColumnFamily, number: usize, separated: bool) -> bool {
    let found = db.get(family, &key(number), &ReadOptions::default()).unwrap();
    match found.as_deref() {
        None => false,
        Some(found) => {
            assert_eq!(found, &value(number, separated)[..], "key {number}");
            true
        }
    }
}

/// How many of the sample's keys are there, in each family.
fn count(db: &Db, handles: &[ColumnFamily], separated: bool) -> Vec<usize> {
    let all = |family| (0..120).filter(|&number| has(db, family, number, separated)).count();
    handles.iter().map(all).collect()
}

fn files(env: &SimEnv, wanted: impl Fn(FileKind) -> bool) -> Vec<PathBuf> {
    let is_wanted = |path: &PathBuf| parse(path.file_name().unwrap().to_str().unwrap()).is_some_and(&wanted);
    env.list_all().into_iter().filter(is_wanted).collect()
}

fn logs(env: &SimEnv) -> Vec<PathBuf> {
    files(env, |kind| matches!(kind, FileKind::Wal(_)))
}

fn remove(env: &Arc<SimEnv>, wanted: impl Fn(FileKind) -> bool) -> Arc<SimEnv> {
    for path in files(env, wanted) {
        env.remove_file(&path).unwrap();
    }
    env.clone_all_durable()
}

/// Bends a byte in the last write of the file.
fn bend_end(env: &SimEnv, path: &Path) {
    let mut bytes = env.read_raw(path);
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[last - 3] ^= 0x40;
    env.write_raw(path, &bytes);
}

/// Repairs, and at every point of it crashes: what is left opens, or opens after another repair, with all there was.
fn crash_all_along(damaged: &Arc<SimEnv>, families: usize, separated: bool, expected: &[usize]) {
    let start = damaged.journal_len();
    repair(damaged, families).unwrap();
    for at in start..=damaged.journal_len() {
        for kind in ImageKind::ALL {
            let image = damaged.crash_image(at, kind, at as u64);
            let what = if at < damaged.journal_len() { damaged.describe_operation(at) } else { "end".into() };
            let place = format!("crash before {at} ({what}), {kind:?}");
            let (db, handles) = open(&image, families).unwrap_or_else(|_| {
                repair(&image, families).unwrap_or_else(|error| panic!("{place}: {error}"));
                open(&image, families).unwrap_or_else(|error| panic!("{place}, repaired: {error}"))
            });
            assert_eq!(count(&db, &handles, separated), expected, "{place}");
        }
    }
    // What was repaired opens in the strictest mode too, and stays right when it is closed and opened again.
    for _ in 0..2 {
        let (db, handles) = open_as(damaged, families, RecoveryMode::AbsoluteConsistency).unwrap();
        assert_eq!(count(&db, &handles, separated), expected);
        db.close().unwrap();
    }
}

#[test]
fn without_current_nothing_is_lost_whenever_the_repair_crashes() {
    let damaged = remove(&sample(2, true), |kind| kind == FileKind::Current);
    assert!(open(&damaged, 2).err().unwrap().is_corruption());
    crash_all_along(&damaged, 2, true, &[120, 120]);
}

/// The identity then comes from a segment, or, where there is none, from a log: else the logs would be refused.
#[test]
fn without_any_manifest_nothing_is_lost_whenever_the_repair_crashes() {
    for separated in [true, false] {
        let lost = |kind| matches!(kind, FileKind::Current | FileKind::Manifest(_));
        let damaged = remove(&sample(1, separated), lost);
        assert_eq!(files(&damaged, |kind| matches!(kind, FileKind::Segment(_))).is_empty(), !separated);
        assert!(open(&damaged, 1).err().unwrap().is_corruption());
        crash_all_along(&damaged, 1, separated, &[120]);
    }
}

#[test]
fn rot_in_a_log_costs_the_writes_it_hit_whenever_the_repair_crashes() {
    let damaged = sample(1, true);
    let first = &logs(&damaged)[0];
    bend_end(&damaged, first);
    let damaged = damaged.clone_all_durable();
    assert!(open(&damaged, 1).err().unwrap().is_corruption(), "later logs tell that it was whole");
    let damaged = damaged.clone_all_durable();
    crash_all_along(&damaged, 1, true, &[119]);
    let names = damaged.list_all();
    assert!(names.iter().any(|path| path.to_string_lossy().ends_with(".log.damaged")), "{names:?}");
}

/// The manifest that was cut reads well, and knows nothing of the tables and logs since.
#[test]
fn what_a_cut_manifest_does_not_name_is_found_or_put_aside() {
    for families in [1, 2] {
        let env = SimEnv::new(2);
        let (db, handles) = open(&env, families).unwrap();
        for family in &handles {
            put(&db, family, 0..60, true);
        }
        let state = VersionSet::read_manifest(&*env, Path::new(DB)).unwrap();
        for round in [60..90, 90..120] {
            db.flush(&handles.iter().collect::<Vec<_>>(), true).unwrap();
            put(&db, &handles[0], round, true);
        }
        db.close().unwrap();
        drop((db, handles));
        let manifest = path_of(Path::new(DB), FileKind::Manifest(state.manifest_number));
        let bytes = env.read_raw(&manifest);
        env.write_raw(&manifest, &bytes[..state.manifest_len as usize]);
        let damaged = env.clone_all_durable();
        assert!(open(&damaged, families).err().unwrap().is_corruption());
        let tables = files(&damaged, |kind| matches!(kind, FileKind::Table(_)));
        assert!(tables.len() >= 2);
        if families == 1 {
            crash_all_along(&damaged, 1, true, &[120]);
            continue;
        }
        // Whose the tables are cannot be told: they are kept, not shown.
        repair(&damaged, families).unwrap();
        open(&damaged, families).unwrap();
        for table in tables {
            damaged.read_raw(&table.with_extension("sst.damaged"));
        }
    }
}

#[test]
fn a_damaged_table_costs_its_entries_only() {
    let damaged = sample(1, true);
    let table = &files(&damaged, |kind| matches!(kind, FileKind::Table(_)))[0];
    let mut bytes = damaged.read_raw(table);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    damaged.write_raw(table, &bytes);
    repair(&damaged, 1).unwrap();
    let (db, handles) = open(&damaged, 1).unwrap();
    assert_eq!(count(&db, &handles, true), [80]);
    let aside = table.with_extension("sst.damaged");
    assert_eq!(damaged.read_raw(&aside), bytes);
}

/// The error says that repair and mode `SkipCorrupted` go on without the log: both do, and so do all modes after it.
#[test]
fn a_missing_log_is_refused_and_gone_without_on_request() {
    let whole = sample(1, true);
    let lost = logs(&whole)[1].clone();
    whole.remove_file(&lost).unwrap();
    let whole = whole.clone_all_durable();
    for mode in MODES {
        let image = whole.clone_all_durable();
        let opened = open_as(&image, 1, mode);
        let (db, handles) = match opened {
            Err(error) => {
                assert_ne!(mode, RecoveryMode::SkipCorrupted, "{error}");
                assert_eq!((error.is_corruption(), error.subcode()), (true, Subcode::MissingFile), "{error}");
                repair(&image, 1).unwrap();
                open_as(&image, 1, mode).unwrap()
            }
            Ok(opened) => {
                assert_eq!(mode, RecoveryMode::SkipCorrupted, "only it goes on by itself");
                let report = opened.0.health().recovery_report;
                let name = lost.file_name().unwrap().to_str().unwrap();
                assert!(report.contains(name) && report.contains("missing"), "{report}");
                opened
            }
        };
        let found: Vec<usize> = (0..120).filter(|&number| has(&db, &handles[0], number, true)).collect();
        assert!(found.len() > 80 && found.len() < 120, "{mode:?}: {found:?}");
        assert!(found.contains(&119), "the logs after it are replayed");
        put(&db, &handles[0], 0..120, true);
        db.close().unwrap();
        drop((db, handles));
        let (db, handles) = open_as(&image, 1, RecoveryMode::AbsoluteConsistency).unwrap();
        assert_eq!(count(&db, &handles, true), [120], "{mode:?}");
    }
}

/// A log that belongs elsewhere is in nobody's way after a repair, and is not thrown away.
#[test]
fn a_foreign_log_is_put_aside() {
    let damaged = sample(1, true);
    let mine = logs(&damaged);
    let (first, second) = (damaged.read_raw(&mine[0]), damaged.read_raw(&mine[1]));
    damaged.write_raw(&mine[1], &first);
    assert!(open(&damaged, 1).err().unwrap().to_string().contains("renamed or copied"));
    let damaged = damaged.clone_all_durable();
    repair(&damaged, 1).unwrap();
    let (db, handles) = open_as(&damaged, 1, RecoveryMode::AbsoluteConsistency).unwrap();
    let kept = count(&db, &handles, true)[0];
    assert!(kept > 80 && kept < 120, "{kept}");
    assert_eq!(damaged.read_raw(&mine[1].with_extension("log.damaged")), first);
    assert_ne!(first, second);
}

/// Neither failing devices nor newer formats are damage: a repair that took them for it would throw data away.
#[test]
fn what_is_not_damage_stops_the_repair() {
    let env = sample(1, true);
    let before = env.list_all();
    for class in [OperationClass::Read, OperationClass::Open] {
        for part in ["MANIFEST", ".sst"] {
            let faulty = FaultyEnv::new(env.clone());
            let selection = Selection::of(&[class]).named(part);
            faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: true });
            let options = Options { env: Some(faulty.clone()), ..options(&env, RecoveryMode::PointInTime) };
            let error: Error = Db::repair(&options, Path::new(DB), &named(1)).unwrap_err();
            assert!(faulty.plan().fired() > 0 && !error.is_corruption(), "{class:?} of {part}: {error}");
        }
    }
    let without_info = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
        paths.into_iter().filter(|path| !path.ends_with("LOCK") && !path.ends_with("LOG")).collect()
    };
    assert_eq!(without_info(env.list_all()), without_info(before));
    let (db, handles) = open(&env, 1).unwrap();
    assert_eq!(count(&db, &handles, true), [120]);
}

/// Rot that would look torn, were the log not known to be whole: it is told by every open, not by the first alone.
#[test]
fn rot_in_a_sealed_log_is_never_taken_for_a_torn_tail() {
    let env = SimEnv::new(3);
    let (db, handles) = open(&env, 1).unwrap();
    put(&db, &handles[0], 0..10, true);
    db.close().unwrap();
    drop((db, handles));
    let closed = env.clone_all_durable();
    bend_end(&closed, logs(&closed).last().unwrap());
    let start = closed.journal_len();
    for _ in 0..3 {
        let error = open(&closed, 1).err().expect("the damage is told");
        assert!(error.is_corruption(), "{error}");
    }
    for at in start..=closed.journal_len() {
        for kind in [ImageKind::ProcessCrash, ImageKind::SyncedOnly, ImageKind::RandomSectors] {
            let image = closed.crash_image(at, kind, 3);
            assert!(open(&image, 1).is_err(), "crash before {at}, {kind:?}");
        }
    }
}

fn reads_everything_and_writes_nothing(env: &Arc<SimEnv>, mode: RecoveryMode, keys: usize) {
    let (before, state) = (env.journal_len(), env.dump());
    Db::list_column_families(&options(env, mode), Path::new(DB)).unwrap();
    let (db, handles) = Db::open_read_only(&options(env, mode), Path::new(DB), &named(1), false).unwrap();
    assert_eq!(count(&db, &handles, true), [keys]);
    let mut iterator = db.iterator(&handles[0], &ReadOptions::default()).unwrap();
    iterator.seek_to_first();
    let mut found = 0;
    while iterator.valid() {
        assert!(!iterator.value().is_empty());
        found += 1;
        iterator.next();
    }
    iterator.status().unwrap();
    assert_eq!(found, keys);
    assert!(db.put(&handles[0], b"key", b"value", &WriteOptions::default()).is_err());
    assert!(db.flush(&[&handles[0]], true).is_err());
    drop(iterator);
    db.close().unwrap();
    drop((db, handles));
    let first_new = (before < env.journal_len()).then(|| env.describe_operation(before));
    assert_eq!(first_new, None, "{mode:?}");
    assert_eq!(env.dump(), state);
}

#[test]
fn a_read_only_open_writes_nothing() {
    for mode in MODES {
        // Logs to replay, with values whose durability is not known; then the same with unsynced bytes.
        reads_everything_and_writes_nothing(&sample(1, true), mode, 120);
        let env = SimEnv::new(4);
        let (db, handles) = open(&env, 1).unwrap();
        put(&db, &handles[0], 0..50, true);
        let at = env.journal_len();
        let crashed = env.crash_image(at, ImageKind::ProcessCrash, 4);
        reads_everything_and_writes_nothing(&crashed, mode, 50);
        // Beside a process that has it open.
        reads_everything_and_writes_nothing(&env, mode, 50);
    }
}

#[test]
fn a_read_only_open_makes_no_directories() {
    let env = SimEnv::new(5);
    open(&env, 1).unwrap().0.close().unwrap();
    for dir in ["wal", "vlog", "sst"] {
        env.remove_dir(&Path::new(DB).join(dir)).unwrap();
    }
    reads_everything_and_writes_nothing(&env, RecoveryMode::PointInTime, 0);
    let nowhere = SimEnv::new(6);
    let options = options(&nowhere, RecoveryMode::PointInTime);
    assert!(Db::open_read_only(&options, Path::new(DB), &named(1), false).is_err());
    assert_eq!(nowhere.journal_len(), 0);
    // It opens for writing all the same.
    let (db, handles) = open(&env, 1).unwrap();
    put(&db, &handles[0], 0..5, true);
}

#[test]
fn a_replaced_manifest_goes_before_the_next_open() {
    let env = SimEnv::new(7);
    let faulty = FaultyEnv::new(env.clone());
    let options = Options { env: Some(faulty.clone()), ..options(&env, RecoveryMode::PointInTime) };
    let (db, handles) = Db::open_column_families(&options, Path::new(DB), &named(1)).unwrap();
    put(&db, &handles[0], 0..5, true);
    let selection = Selection::of(&[OperationClass::Sync]).named("MANIFEST-");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: true });
    assert!(db.flush(&[&handles[0]], true).is_err());
    assert!(db.health().failure.is_some());
    faulty.plan().heal();
    db.resume().unwrap();
    put(&db, &handles[0], 5..10, true);
    db.flush(&[&handles[0]], true).unwrap();
    let manifests = files(&env, |kind| matches!(kind, FileKind::Manifest(_)));
    assert_eq!(manifests.len(), 1, "{manifests:?}");
}
