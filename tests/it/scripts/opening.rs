//! Opening and closing: what is refused, and what the refusal says.

use super::{Fixture, PATH, keys, noise};
use crate::support::reference::ReverseComparator;
use crate::support::settings::{family, options, tiny};
use crate::support::{TemporaryDirectory, written};
use auradb::base::error::Subcode;
use auradb::base::{Error, ErrorKind};
use auradb::batch::WriteBatch;
use auradb::config::SyncPolicy;
use auradb::db::{ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
use auradb::env::Env;
use auradb::env::simulated::SimEnv;
use std::path::Path;
use std::sync::Arc;

fn refusal<T>(outcome: Result<T, Error>, what: &str) -> Error {
    outcome.err().unwrap_or_else(|| panic!("{what} is not refused"))
}

#[test]
fn a_second_open_tells_who_has_it() {
    let fixture = Fixture::tiny();
    let again = Db::open(&options(Some(fixture.env.clone()), &tiny()), Path::new(PATH), &family(&tiny()));
    let refused = refusal(again, "a second open");
    assert_eq!((refused.kind(), refused.subcode()), (ErrorKind::Io, Subcode::Locked));
    let text = refused.to_string();
    assert!(text.contains("/db/LOCK") && text.contains(&std::process::id().to_string()), "{text}");
}

#[test]
fn a_second_open_on_the_system_tells_who_has_it() {
    let directory = TemporaryDirectory::new("locked");
    let path = directory.0.join("db");
    let first = Db::open(&options(None, &tiny()), &path, &family(&tiny())).unwrap();
    let link = directory.0.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let refused = refusal(Db::open(&options(None, &tiny()), path, &family(&tiny())), "a second open");
        assert_eq!((refused.kind(), refused.subcode()), (ErrorKind::Io, Subcode::Locked));
        let text = refused.to_string();
        assert!(text.contains("LOCK") && text.contains(&std::process::id().to_string()), "{text}");
    }
    first.close().unwrap();
    Db::open(&options(None, &tiny()), &path, &family(&tiny())).expect("a closed database opens");
}

#[test]
fn another_comparator_is_refused_by_name() {
    let fixture = Fixture::tiny();
    fixture.put("a", "b");
    fixture.db.close().unwrap();
    let other = ColumnFamilyOptions { comparator: Arc::new(ReverseComparator), ..family(&tiny()) };
    let outcome = Db::open(&options(Some(fixture.env.clone()), &tiny()), Path::new(PATH), &other);
    let refused = refusal(outcome, "another comparator");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    let text = refused.to_string();
    assert!(text.contains("test.reverse") && text.contains("leveldb.BytewiseComparator"), "{text}");
}

#[test]
fn every_family_must_be_named_and_exist() {
    let fixture = Fixture::tiny();
    drop(fixture.db.create_column_family(&family(&tiny()), "one").unwrap());
    let twice =
        refusal(fixture.db.create_column_family(&family(&tiny()), "one"), "a second family of the name");
    assert_eq!(twice.kind(), ErrorKind::InvalidArgument, "{twice}");
    fixture.db.close().unwrap();
    let mut options = options(Some(fixture.env.clone()), &tiny());
    let unnamed = refusal(Db::open(&options, Path::new(PATH), &family(&tiny())), "leaving a family out");
    assert_eq!(unnamed.kind(), ErrorKind::InvalidArgument, "{unnamed}");
    assert!(unnamed.to_string().contains("one"), "{unnamed}");
    options.create_missing_column_families = false;
    let named = ["default", "one", "two"].map(|name| (name.to_string(), family(&tiny())));
    let missing =
        refusal(Db::open_column_families(&options, Path::new(PATH), &named), "a family that is not there");
    assert!(missing.to_string().contains("two"), "{missing}");
    options.create_missing_column_families = true;
    let (_, handles) = Db::open_column_families(&options, Path::new(PATH), &named).unwrap();
    assert_eq!(handles.iter().map(|handle| handle.name()).collect::<Vec<_>>(), ["default", "one", "two"]);
}

#[test]
fn creating_is_asked_for() {
    let env = SimEnv::new(1);
    let asking = options(Some(env.clone()), &tiny());
    let not = Options { create_if_missing: false, ..asking.clone() };
    let refused = refusal(Db::open(&not, Path::new(PATH), &family(&tiny())), "opening nothing");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    assert!(env.list_all().is_empty(), "a refused open leaves {:?}", env.list_all());
    Db::open(&asking, Path::new(PATH), &family(&tiny())).unwrap().close().unwrap();
    let exists = Options { error_if_exists: true, ..asking };
    let refused = refusal(Db::open(&exists, Path::new(PATH), &family(&tiny())), "opening what exists");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
}

#[test]
fn reading_only_writes_nothing() {
    let fixture = Fixture::tiny();
    keys(50).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 90)));
    // As a killed process leaves it: with logs to replay.
    let kind = auradb::env::simulated::ImageKind::ProcessCrash;
    let image = fixture.env.crash_image(fixture.env.journal_len(), kind, 1);
    let before = image.journal_len();
    let named = [("default".to_string(), family(&tiny()))];
    let options = options(Some(image.clone()), &tiny());
    let (db, handles) = Db::open_read_only(&options, Path::new(PATH), &named, false).unwrap();
    for (number, key) in keys(50).enumerate() {
        let found = db.get(&handles[0], key.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(found.as_deref(), Some(&noise(number, 90)[..]), "{key}");
    }
    for refused in [
        db.put(&handles[0], b"a", b"b", &WriteOptions::default()),
        db.flush(&[&handles[0]], true),
        db.compact_range(&handles[0], None, None, &Default::default()),
        db.create_column_family(&family(&tiny()), "one").map(|_| ()),
        db.flush_wal(true),
    ] {
        refusal(refused, "a write to a database opened for reading");
    }
    db.close().unwrap();
    drop((db, handles));
    assert_eq!(written(&image, before), None);
    let refused =
        refusal(Db::open_read_only(&options, Path::new(PATH), &named, true), "a log that was asked about");
    assert!(refused.to_string().contains(".log"), "{refused}");
}

#[test]
fn a_closed_database_says_so() {
    let fixture = Fixture::tiny();
    fixture.put("a", "b");
    fixture.db.close().unwrap();
    fixture.db.close().expect("closing twice is fine");
    let refused = [
        fixture.db.put(&fixture.family, b"a", b"c", &WriteOptions::default()),
        fixture.db.get(&fixture.family, b"a", &ReadOptions::default()).map(|_| ()),
        fixture.db.flush(&[&fixture.family], true),
        fixture.db.iterator(&fixture.family, &ReadOptions::default()).map(|_| ()),
    ];
    for outcome in refused {
        assert_eq!(refusal(outcome, "a call after close").kind(), ErrorKind::ShutdownInProgress);
    }
}

#[test]
fn wrong_requests_change_nothing() {
    let config = tiny();
    let plain = ColumnFamilyOptions { merge_operator: None, ..family(&config) };
    let fixture = Fixture::with(SimEnv::new(1), &config, &plain);
    fixture.put("a", "1");
    let how = WriteOptions::default();
    let both = WriteOptions { sync: true, disable_wal: true, ..how };
    let mut merging = WriteBatch::new();
    merging.put(0, b"b", b"2").unwrap();
    merging.merge(0, b"b", b"3").unwrap();
    let mut nowhere = WriteBatch::new();
    nowhere.put(0, b"b", b"2").unwrap();
    nowhere.put(77, b"b", b"2").unwrap();
    let other = Fixture::tiny();
    let refused = [
        ("a reversed range", fixture.db.delete_range(&fixture.family, b"z", b"a", &how)),
        ("a merge without an operator", fixture.db.merge(&fixture.family, b"a", b"2", &how)),
        ("a batch that merges without an operator", fixture.db.write(&merging, &how)),
        ("a batch for a family that is not there", fixture.db.write(&nowhere, &how)),
        ("sync without a log", fixture.db.put(&fixture.family, b"a", b"2", &both)),
        ("a handle of another database", fixture.db.put(&other.family, b"a", b"2", &how)),
    ];
    for (what, outcome) in refused {
        assert_eq!(refusal(outcome, what).kind(), ErrorKind::InvalidArgument, "{what}");
    }
    assert_eq!((fixture.get("a"), fixture.get("b")), (Some(b"1".to_vec()), None));
    assert_eq!(fixture.db.latest_sequence(), 1);
}

#[test]
fn empty_keys_and_values_are_values() {
    let fixture = Fixture::tiny();
    assert_eq!(fixture.get(""), None);
    fixture.put("", "");
    fixture.put("empty", "");
    for _ in 0..2 {
        assert_eq!((fixture.get(""), fixture.get("empty")), (Some(vec![]), Some(vec![])));
        fixture.flush();
    }
}

#[test]
fn each_record_takes_a_sequence_number() {
    let fixture = Fixture::tiny();
    assert_eq!(fixture.db.latest_sequence(), 0);
    fixture.put("a", "1");
    assert_eq!(fixture.db.latest_sequence(), 1);
    let mut batch = WriteBatch::new();
    batch.put(0, b"a", b"2").unwrap();
    batch.put_log_data(b"not counted").unwrap();
    batch.delete(0, b"a").unwrap();
    batch.put(0, b"b", &noise(1, 500)).unwrap();
    fixture.db.write(&batch, &WriteOptions::default()).unwrap();
    assert_eq!(fixture.db.latest_sequence(), 4);
    let fixture = fixture.reopened(&tiny());
    assert_eq!(fixture.db.latest_sequence(), 4);
}

#[test]
fn destroy_leaves_what_is_not_ours() {
    let fixture = Fixture::tiny();
    keys(80).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 90)));
    fixture.flush();
    let options = options(Some(fixture.env.clone()), &tiny());
    assert!(Db::destroy(&options, Path::new(PATH)).is_err(), "an open database is destroyed");
    assert_eq!(fixture.get("key-00000"), Some(noise(0, 90)));
    fixture.db.close().unwrap();
    fixture.env.write_raw(Path::new("/db/notes.txt"), b"mine");
    Db::destroy(&options, Path::new(PATH)).unwrap();
    assert_eq!(fixture.env.list_all(), [Path::new("/db/notes.txt")]);
    fixture.env.remove_file(Path::new("/db/notes.txt")).unwrap();
    Db::destroy(&options, Path::new(PATH)).expect("destroying nothing is fine");
}

#[test]
fn unlogged_writes_live_as_long_as_the_process_unless_flushed() {
    let mut config = tiny();
    config.wal.sync_policy = SyncPolicy::Manual;
    let fixture = Fixture::new(&config);
    let unlogged = WriteOptions { disable_wal: true, ..WriteOptions::default() };
    fixture.db.put(&fixture.family, b"flushed", b"1", &unlogged).unwrap();
    fixture.flush();
    fixture.db.put(&fixture.family, b"lost", b"2", &unlogged).unwrap();
    assert_eq!(fixture.get("lost"), Some(b"2".to_vec()));
    let kind = auradb::env::simulated::ImageKind::ProcessCrash;
    let killed = fixture.env.crash_image(fixture.env.journal_len(), kind, 1);
    let after = Fixture::with(killed, &config, &family(&config));
    assert_eq!((after.get("flushed"), after.get("lost")), (Some(b"1".to_vec()), None));
    let closed = fixture.reopened(&config);
    assert_eq!(closed.get("lost"), Some(b"2".to_vec()), "a clean close keeps what was not logged");
}
