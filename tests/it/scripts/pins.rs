//! What a reader holds stays as it was: snapshots, iterators, pinned values, dropped families.

use super::{Fixture, keys, noise};
use crate::support::check;
use crate::support::settings::{family, tiny};
use auradb::base::ErrorKind;
use auradb::db::{ReadOptions, WriteOptions};

/// Overwrites, deletes, flushes and compacts until nothing old is needed any more.
fn churn(fixture: &Fixture, count: usize) {
    for round in 0..3 {
        keys(count).enumerate().for_each(|(number, key)| fixture.put(key, noise(1000 * round + number, 60)));
        fixture.flush();
    }
    let all = fixture.db.delete_range(&fixture.family, b"key-", b"key-00010", &WriteOptions::default());
    all.expect("the delete succeeds");
    fixture.compact();
}

#[test]
fn a_snapshot_reads_what_was() {
    let fixture = Fixture::tiny();
    keys(40).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 100)));
    let before = check::scan(&fixture.db, &fixture.family, &ReadOptions::default()).unwrap();
    let snapshot = fixture.db.snapshot();
    churn(&fixture, 40);
    let then = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
    assert_eq!(check::scan(&fixture.db, &fixture.family, &then).unwrap(), before);
    assert_eq!(check::scan_back(&fixture.db, &fixture.family, &then).unwrap(), before);
    assert_eq!(check::scan(&fixture.db, &fixture.family, &ReadOptions::default()).unwrap().len(), 30);
    assert_eq!(fixture.number("rocksdb.num-snapshots"), 1);
    let held = fixture.number("auradb.value-log-live-bytes");
    drop(snapshot);
    assert_eq!(fixture.number("rocksdb.num-snapshots"), 0);
    fixture.compact();
    assert!(
        fixture.number("auradb.value-log-live-bytes") < held,
        "what only the snapshot saw is still referred to"
    );
}

#[test]
fn an_iterator_goes_on_where_it_was() {
    let fixture = Fixture::tiny();
    keys(40).enumerate().for_each(|(number, key)| fixture.put(key, noise(number, 100)));
    let mut iterator = fixture.db.iterator(&fixture.family, &ReadOptions::default()).unwrap();
    iterator.seek(b"key-00020");
    churn(&fixture, 40);
    for (number, key) in keys(40).enumerate().skip(20) {
        check::stands_at(&mut iterator, Some((key.as_bytes(), &noise(number, 100)))).unwrap();
        iterator.next();
    }
    assert!(!iterator.valid());
    iterator.status().unwrap();
    iterator.seek_to_first();
    assert_eq!(iterator.key(), b"key-00000");
    iterator.refresh().unwrap();
    assert!(!iterator.valid(), "a refreshed iterator is positioned");
    iterator.seek_to_first();
    assert_eq!(iterator.key(), b"key-00010");
}

#[test]
fn a_pinned_value_outlives_its_key() {
    for len in [10, 100, 3000] {
        let fixture = Fixture::tiny();
        fixture.put("key-00000", noise(7, len));
        let in_memory =
            fixture.db.get(&fixture.family, b"key-00000", &ReadOptions::default()).unwrap().unwrap();
        fixture.flush();
        let in_table =
            fixture.db.get(&fixture.family, b"key-00000", &ReadOptions::default()).unwrap().unwrap();
        churn(&fixture, 40);
        fixture.db.close().unwrap();
        drop(fixture);
        assert_eq!((&*in_memory, &*in_table), (&noise(7, len)[..], &noise(7, len)[..]));
    }
}

#[test]
fn a_dropped_family_is_readable_until_its_handle_goes() {
    let config = tiny();
    let fixture = Fixture::new(&config);
    let handle = fixture.db.create_column_family(&family(&config), "one").unwrap();
    let how = WriteOptions::default();
    for (number, key) in keys(60).enumerate() {
        fixture.db.put(&handle, key.as_bytes(), &noise(number, 100), &how).unwrap();
    }
    fixture.db.flush(&[&handle], true).unwrap();
    let files = (fixture.count(".sst"), fixture.count(".vlog"));
    assert!(files.0 > 0 && files.1 > 0);
    fixture.db.drop_column_family(&handle).unwrap();
    let shown = check::scan(&fixture.db, &handle, &ReadOptions::default()).unwrap();
    assert_eq!(shown.len(), 60);
    let refused = fixture.db.put(&handle, b"a", b"b", &how).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::ColumnFamilyDropped | ErrorKind::InvalidArgument),
        "a write to a dropped family: {refused}"
    );
    assert!(fixture.db.drop_column_family(&handle).is_err(), "dropped twice");
    drop(handle);
    assert_eq!(fixture.count(".sst"), 0, "tables of the dropped family are left: {}", fixture.env.dump());
    let names = auradb::db::Db::list_column_families(
        &crate::support::settings::options(Some(fixture.env.clone()), &config),
        std::path::Path::new(super::PATH),
    );
    assert_eq!(names.unwrap(), ["default"]);
}

#[test]
fn a_tailing_iterator_shows_fresh_writes() {
    let fixture = Fixture::tiny();
    let options = ReadOptions { tailing: true, ..ReadOptions::default() };
    let mut iterator = fixture.db.iterator(&fixture.family, &options).unwrap();
    iterator.seek_to_first();
    assert!(!iterator.valid());
    fixture.put("a", "1");
    iterator.seek_to_first();
    check::stands_at(&mut iterator, Some((b"a", b"1"))).unwrap();
}
