//! Resume after failed syncs and a full device, in the simulated environment.

use super::{ColumnFamily, ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use std::path::Path;
use std::sync::Arc;

struct World {
    simulated: Arc<SimEnv>,
    faulty: Arc<FaultyEnv>,
}

fn world(seed: u64) -> World {
    let simulated = SimEnv::new(seed);
    simulated.refuse_mapping(true);
    World { faulty: FaultyEnv::new(simulated.clone()), simulated }
}

fn options(env: Arc<dyn crate::env::Env>) -> Options {
    let mut options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
    options.config.value_log.synced_separation_threshold = 0;
    options
}

fn open(env: Arc<dyn crate::env::Env>) -> Db {
    Db::open(&options(env), Path::new("/db"), &ColumnFamilyOptions::default()).unwrap()
}

fn put(db: &Db, family: &ColumnFamily, key: u32, len: usize) -> crate::base::Result<()> {
    db.put(family, format!("key{key:04}").as_bytes(), &vec![key as u8; len], &WriteOptions::default())
}

fn check(db: &Db, keys: std::ops::Range<u32>, len: usize) {
    let family = db.default_column_family();
    for key in keys {
        let value = db.get(&family, format!("key{key:04}").as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(value.as_deref(), Some(&vec![key as u8; len][..]), "key {key}");
    }
}

/// The n-th sync of a file with `part` in its name fails; after resume everything acknowledged is there, is durable,
/// and new writes are taken.
fn fails_and_resumes(part: &str, nth: u64, len: usize) {
    let world = world(nth);
    let db = open(world.faulty.clone());
    let family = db.default_column_family();
    let selection = Selection::of(&[OperationClass::Sync]).named(part);
    world.faulty.plan().arm(Fault { selection, nth, failure: Failure::BROKEN, lasting: false });
    let mut acknowledged = 0;
    while put(&db, &family, acknowledged, len).is_ok() {
        acknowledged += 1;
        assert!(acknowledged < 1000, "the fault never came");
    }
    assert!(db.health().failure.is_some());
    assert!(put(&db, &family, 999, len).is_err(), "no write is taken after a failed sync");
    check(&db, 0..acknowledged, len);
    db.resume().unwrap();
    assert!(db.health().failure.is_none());
    check(&db, 0..acknowledged, len);
    for key in acknowledged..acknowledged + 20 {
        put(&db, &family, key, len).unwrap();
    }
    check(&db, 0..acknowledged + 20, len);
    // A power loss now finds everything: nothing depends on the file whose sync failed.
    let at = world.simulated.journal_len();
    for kind in [ImageKind::SyncedOnly, ImageKind::RandomSectors, ImageKind::GarbageTails] {
        let image = world.simulated.crash_image(at, kind, nth);
        check(&open(image), 0..acknowledged + 20, len);
    }
    drop(db);
    check(&open(world.simulated), 0..acknowledged + 20, len);
}

#[test]
fn a_failed_sync_of_the_log_is_survived() {
    // A log file keeps the name it was created under; the first sync is of its header, for big values the second.
    for nth in [1, 2, 7] {
        fails_and_resumes(".tmp", nth, 100);
        fails_and_resumes(".tmp", nth + 1, 3000);
    }
}

#[test]
fn a_failed_sync_of_the_value_log_is_survived() {
    for nth in [0, 1, 6] {
        fails_and_resumes(".vlog", nth, 3000);
    }
}

#[test]
fn a_full_device_refuses_writes_and_takes_them_again_when_there_is_room() {
    let world = world(5);
    let db = open(world.faulty.clone());
    let family = db.default_column_family();
    for key in 0..50 {
        put(&db, &family, key, 2000).unwrap();
    }
    let everything =
        Fault { selection: Selection::mutating(), nth: 0, failure: Failure::FULL, lasting: true };
    world.faulty.plan().arm(everything);
    let error = put(&db, &family, 50, 2000).unwrap_err();
    assert_eq!(error.subcode(), crate::base::error::Subcode::NoSpace, "{error}");
    check(&db, 0..50, 2000);
    world.faulty.plan().heal();
    if put(&db, &family, 50, 2000).is_err() {
        db.resume().unwrap();
        put(&db, &family, 50, 2000).unwrap();
    }
    check(&db, 0..51, 2000);
    drop(db);
    check(&open(world.simulated), 0..51, 2000);
}

/// Somebody asks for garbage collection, which finds no space, and gives up. There is nothing left to try again: that
/// must not keep writes refused for ever.
#[test]
fn a_failure_of_work_nobody_wants_any_more_ends_by_itself() {
    let world = world(9);
    let db = open(world.faulty.clone());
    let family = db.default_column_family();
    (0..10).for_each(|key| put(&db, &family, key, 5000).unwrap());
    db.flush(&[&family], true).unwrap();
    (0..5).for_each(|key| put(&db, &family, key, 5000).unwrap());
    let selection = Selection::of(&[OperationClass::Rename]).named(".vlog");
    world.faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::FULL, lasting: true });
    assert!(db.collect_garbage(0.0).is_err());
    assert!(db.health().failure.is_some() && world.faulty.plan().fired() > 0);
    assert!(put(&db, &family, 11, 10).is_err());
    world.faulty.plan().heal();
    crate::env::Env::sleep(&*world.simulated, std::time::Duration::from_secs(1));
    db.wait_for_background_work().unwrap();
    assert!(db.health().failure.is_none());
    put(&db, &family, 10, 5000).unwrap();
    check(&db, 0..11, 5000);
    db.collect_garbage(0.0).unwrap();
    check(&db, 0..11, 5000);
}
