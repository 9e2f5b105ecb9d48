//! What expires is gone for every reader from its second on, wherever it lies and whatever has happened to it.

use super::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, Options, ReadOptions, SharedBatch,
    WriteOptions,
};
use crate::base::expiry::ExpiryClock;
use crate::base::extension::MergeOperator;
use crate::batch::{IndexedBatch, WriteBatch};
use crate::env::Env;
use crate::env::simulated::{ImageKind, SimEnv};
use crate::read::{ReadMode, ScanBounds, ScanIterator};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const BIG: usize = 3000;

struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &str {
        "append"
    }
    fn full_merge(&self, _: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(existing.into_iter().chain(operands.iter().copied()).flatten().copied().collect())
    }
    fn partial_merge(&self, _: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(operands.concat())
    }
}

fn options(env: &Arc<SimEnv>) -> Options {
    let mut options = Options { create_if_missing: true, env: Some(env.clone()), ..Options::default() };
    options.config.value_log.max_segment_size = 16 << 10;
    options.config.value_log.compress_values = false;
    options
}

fn family_options(ttl: Option<u64>) -> ColumnFamilyOptions {
    ColumnFamilyOptions { merge_operator: Some(Arc::new(Append)), ttl, ..ColumnFamilyOptions::default() }
}

fn open(env: &Arc<SimEnv>, ttl: Option<u64>) -> Db {
    Db::open(&options(env), Path::new("/db"), &family_options(ttl)).unwrap()
}

fn pass(env: &SimEnv, seconds: u64) {
    env.sleep(Duration::from_secs(seconds));
}

fn put(db: &Db, key: &str, len: usize, ttl: u64) {
    let family = db.default_column_family();
    db.put_with_ttl(&family, key.as_bytes(), &vec![b'v'; len], ttl, &WriteOptions::default()).unwrap();
}

fn len_of(db: &Db, key: &str) -> Option<usize> {
    let family = db.default_column_family();
    db.get(&family, key.as_bytes(), &ReadOptions::default()).unwrap().map(|value| value.len())
}

/// Keys and lengths of values, forwards; checked to be the same backwards and by `multi_get`.
fn all(db: &Db, snapshot: Option<u64>) -> Vec<(String, usize)> {
    let family = db.default_column_family();
    let options = ReadOptions { snapshot, ..ReadOptions::default() };
    let mut iterator = db.iterator(&family, &options).unwrap();
    let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
    iterator.seek_to_first();
    while iterator.valid() {
        let key = String::from_utf8(iterator.key().to_vec()).unwrap();
        forwards.push((key, iterator.value().len()));
        iterator.next();
    }
    iterator.seek_to_last();
    while iterator.valid() {
        let key = String::from_utf8(iterator.key().to_vec()).unwrap();
        backwards.push((key, iterator.value().len()));
        iterator.prev();
    }
    iterator.status().unwrap();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let asked: Vec<_> = forwards.iter().map(|(key, _)| (&family, key.as_bytes())).collect();
    let found = db.multi_get(&asked, &options);
    for ((key, len), found) in forwards.iter().zip(found) {
        assert_eq!(found.unwrap().map(|value| value.len()), Some(*len), "{key}");
    }
    forwards
}

fn compact(db: &Db, family: &ColumnFamily) {
    db.compact_range(family, None, None, &CompactRangeOptions { force_bottommost: true }).unwrap();
}

fn names(found: &[(String, usize)]) -> String {
    found.iter().map(|(key, len)| format!("{key}{len} ")).collect()
}

type Step = fn(&Arc<SimEnv>, Db) -> Db;

/// What may happen to entries between being written and being read.
const STEPS: [(&str, Step); 8] = [
    ("nothing", |_, db| db),
    ("a flush", |_, db| {
        db.flush(&[&db.default_column_family()], true).unwrap();
        db
    }),
    ("a compaction", |_, db| {
        compact(&db, &db.default_column_family());
        db
    }),
    ("closing", |env, db| {
        db.close().unwrap();
        drop(db);
        open(env, None)
    }),
    ("a power loss", |env, db| {
        drop(db);
        // The log is replayed.
        open(&env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1), None)
    }),
    ("repair", |env, db| {
        db.close().unwrap();
        drop(db);
        let families = [("default".to_string(), family_options(None))];
        Db::repair(&options(env), Path::new("/db"), &families).unwrap();
        open(env, None)
    }),
    ("relocation", |_, db| {
        for n in 0..20 {
            put(&db, "other", BIG + n, 0);
        }
        db.delete(&db.default_column_family(), b"other", &WriteOptions::default()).unwrap();
        db.collect_garbage(0.0).unwrap();
        db
    }),
    ("a change of the threshold", |_, db| {
        let family = db.default_column_family();
        for threshold in ["0", "none", "100"] {
            db.set_options(&family, &[("separation_threshold", threshold)]).unwrap();
            compact(&db, &family);
        }
        db
    }),
];

#[test]
fn what_expires_is_gone_from_its_second_on_wherever_it_lies() {
    for (name, step) in STEPS {
        let env = SimEnv::new(1);
        let db = open(&env, None);
        put(&db, "a", 10, 100);
        put(&db, "b", BIG, 100);
        put(&db, "c", BIG, 0);
        put(&db, "d", 10, 200);
        put(&db, "e", BIG, 200);
        put(&db, "f", 20, 0);
        let db = step(&env, db);
        let env = db.engine().env.clone();
        let snapshot = db.snapshot();
        let sequence = Some(snapshot.sequence());
        assert_eq!(names(&all(&db, None)), "a10 b3000 c3000 d10 e3000 f20 ", "after {name}");
        env.sleep(Duration::from_secs(98));
        assert_eq!(names(&all(&db, None)), "a10 b3000 c3000 d10 e3000 f20 ", "after {name}, in time");
        env.sleep(Duration::from_secs(3));
        assert_eq!(names(&all(&db, None)), "c3000 d10 e3000 f20 ", "after {name}");
        assert_eq!(names(&all(&db, sequence)), "c3000 d10 e3000 f20 ", "after {name}, in the snapshot");
        assert_eq!(len_of(&db, "a").or(len_of(&db, "b")), None, "after {name}");
        env.sleep(Duration::from_secs(100));
        compact(&db, &db.default_column_family());
        assert_eq!(names(&all(&db, sequence)), "c3000 f20 ", "after {name}");
        assert_eq!(db.verify_value_log().unwrap(), 1, "after {name}");
    }
}

#[test]
fn an_expired_version_hides_older_ones_also_when_it_is_dropped() {
    for flushes in [false, true] {
        let env = SimEnv::new(2);
        let db = open(&env, None);
        let family = db.default_column_family();
        for key in ["a", "b"] {
            put(&db, key, 10, 0);
        }
        compact(&db, &family);
        put(&db, "a", 20, 50);
        put(&db, "b", BIG, 50);
        if flushes {
            db.flush(&[&family], true).unwrap();
        }
        assert_eq!(names(&all(&db, None)), "a20 b3000 ");
        pass(&env, 51);
        assert_eq!(names(&all(&db, None)), "");
        db.flush(&[&family], true).unwrap();
        assert_eq!(names(&all(&db, None)), "");
        compact(&db, &family);
        assert_eq!(names(&all(&db, None)), "");
        assert_eq!(db.engine().family(0).unwrap().view().version.files().count(), 0, "nothing is left");
        put(&db, "a", 5, 0);
        assert_eq!(names(&all(&db, None)), "a5 ");
    }
}

#[test]
fn operands_lose_a_base_that_expires_and_nothing_else() {
    for place in 0..3 {
        let env = SimEnv::new(3);
        let db = open(&env, None);
        let family = db.default_column_family();
        put(&db, "a", 10, 60);
        put(&db, "b", BIG, 60);
        for key in ["a", "b"] {
            for operand in [&b"x"[..], b"y"] {
                db.merge(&family, key.as_bytes(), operand, &WriteOptions::default()).unwrap();
            }
        }
        match place {
            0 => {}
            1 => db.flush(&[&family], true).unwrap(),
            _ => compact(&db, &family),
        }
        assert_eq!(names(&all(&db, None)), "a12 b3002 ");
        pass(&env, 61);
        assert_eq!(names(&all(&db, None)), "a2 b2 ");
        compact(&db, &family);
        assert_eq!(names(&all(&db, None)), "a2 b2 ");
    }
}

#[test]
fn a_family_gives_its_ttl_to_what_is_written_without_one() {
    let env = SimEnv::new(4);
    let db = open(&env, Some(100));
    let family = db.default_column_family();
    let plain = WriteOptions::default();
    db.put(&family, b"a", &[1; 10], &plain).unwrap();
    db.put(&family, b"b", &[1; BIG], &plain).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(0, b"c", &[1; 10]).unwrap();
    batch.put(0, b"d", &[1; BIG]).unwrap();
    batch.put_with_ttl(0, b"e", &[1; 10], 300).unwrap();
    batch.put_with_ttl(0, b"f", &[1; BIG], 300).unwrap();
    batch.put_with_ttl(0, b"g", &[1; 10], 0).unwrap();
    batch.merge(0, b"h", b"12").unwrap();
    // Packed: put "i" = "123" in family 0.
    let packed = [&[1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0][..], b"i123"].concat();
    db.write(&batch, &plain).unwrap();
    db.write_packed(&packed, &|_| Ok(&family), &plain).unwrap();
    assert_eq!(names(&all(&db, None)), "a10 b3000 c10 d3000 e10 f3000 g10 h2 i3 ");
    pass(&env, 50);
    db.merge(&family, b"h", b"345", &plain).unwrap();
    // Others for what comes now, and what is there keeps its time.
    db.set_options(&family, &[("auradb.ttl", "1000")]).unwrap();
    db.put(&family, b"j", b"1", &plain).unwrap();
    assert_eq!(len_of(&db, "h"), Some(5));
    pass(&env, 51);
    assert_eq!(names(&all(&db, None)), "e10 f3000 g10 h3 j1 ");
    compact(&db, &family);
    assert_eq!(names(&all(&db, None)), "e10 f3000 g10 h3 j1 ");
    pass(&env, 200);
    assert_eq!(names(&all(&db, None)), "g10 j1 ");
    db.close().unwrap();
    drop(db);
    let db = open(&env, None);
    db.put(&db.default_column_family(), b"k", b"1", &plain).unwrap();
    assert_eq!(names(&all(&db, None)), "g10 j1 k1 ");
    pass(&env, 10_000);
    assert_eq!(names(&all(&db, None)), "g10 k1 ");
}

#[test]
fn an_indexed_batch_shows_what_it_will_write_and_its_time_begins_then() {
    let env = SimEnv::new(5);
    let db = open(&env, None);
    let family = db.default_column_family();
    let mut indexed = IndexedBatch::new(0, true);
    indexed.put_with_ttl(0, b"a", b"123", 10).unwrap();
    let shared = SharedBatch::new(indexed.into());
    pass(&env, 100);
    let said = db.get_with_batch(&shared, &family, b"a", &ReadOptions::default()).unwrap();
    assert_eq!(said.as_deref(), Some(&b"123"[..]));
    db.write(shared.lock().batch(), &WriteOptions::default()).unwrap();
    pass(&env, 8);
    assert_eq!(len_of(&db, "a"), Some(3));
    pass(&env, 3);
    assert_eq!(len_of(&db, "a"), None);
}

#[test]
fn callers_cannot_bring_times_of_their_own() {
    let env = SimEnv::new(6);
    let db = open(&env, Some(100));
    let mut batch = WriteBatch::new();
    batch.put_with_ttl(0, b"a", b"1", 5).unwrap();
    let again = WriteBatch::from_data(batch.data()).unwrap();
    assert_eq!(again.data(), batch.data());
    db.write(&again, &WriteOptions::default()).unwrap();
    let mut own = WriteBatch::new();
    own.put_entry(0, crate::base::EntryKind::Put, b"a", Some(1), b"1").unwrap();
    assert!(WriteBatch::from_data(own.data()).unwrap_err().is_corruption());
    assert!(db.write(&own, &WriteOptions::default()).is_err());
    assert_eq!(len_of(&db, "a"), Some(1));
}

fn number(db: &Db, name: &str) -> u64 {
    db.property_int(&db.default_column_family(), name).unwrap()
}

#[test]
fn tables_and_segments_in_which_all_has_expired_go_whole() {
    let env = SimEnv::new(7);
    let db = open(&env, None);
    let family = db.default_column_family();
    for round in 0..3 {
        for n in 0..20 {
            put(&db, &format!("{round}-{n:02}"), BIG, 1000 * (round + 1));
        }
        db.flush(&[&family], true).unwrap();
    }
    let plain = WriteOptions::default();
    assert_eq!(number(&db, "auradb.expiring-entries"), 60);
    let before = number(&db, "auradb.value-log-bytes");
    let read = number(&db, "auradb.compaction-bytes-read");
    let mut dropped = 0;
    for gone in 1..=3 {
        pass(&env, 1001);
        // Something has to happen where there are no threads.
        db.put(&family, b"z", b"1", &plain).unwrap();
        let now = number(&db, "auradb.expired-tables-dropped");
        assert!(now > dropped, "{now} after {dropped}");
        dropped = now;
        assert_eq!(all(&db, None).len() as u64, 60 - 20 * gone + 1);
        let left = number(&db, "auradb.value-log-bytes");
        assert!(left < before * (4 - gone) / 3, "{left} of {before} bytes are left after {gone} of 3");
    }
    assert_eq!(number(&db, "auradb.compaction-bytes-read"), read, "nothing was read");
    assert_eq!(number(&db, "auradb.value-log-live-bytes"), 0);
}

#[test]
fn a_table_that_hides_something_is_not_dropped_unread() {
    for deeper in [false, true] {
        let env = SimEnv::new(8);
        let db = open(&env, None);
        let family = db.default_column_family();
        put(&db, "a", 10, 0);
        db.flush(&[&family], true).unwrap();
        if deeper {
            compact(&db, &family);
        }
        put(&db, "a", 20, 50);
        put(&db, "b", 20, 50);
        db.flush(&[&family], true).unwrap();
        assert_eq!(names(&all(&db, None)), "a20 b20 ");
        pass(&env, 51);
        db.put(&family, b"z", b"", &WriteOptions::default()).unwrap();
        assert_eq!(names(&all(&db, None)), "z0 ");
        assert_eq!(number(&db, "auradb.expiring-entries"), 0, "it was compacted");
        assert_eq!(number(&db, "auradb.expired-tables-dropped"), 0);
    }
}

#[test]
fn a_table_of_which_half_has_expired_is_compacted_by_itself() {
    let env = SimEnv::new(9);
    let db = open(&env, None);
    let family = db.default_column_family();
    for n in 0..40 {
        put(&db, &format!("{n:02}"), 100, [100, 0, 100, 100_000][n % 4]);
    }
    db.flush(&[&family], true).unwrap();
    compact(&db, &family);
    let plain = WriteOptions::default();
    pass(&env, 99);
    db.put(&family, b"z", b"", &plain).unwrap();
    assert_eq!(number(&db, "auradb.expiring-entries"), 30);
    pass(&env, 3);
    db.put(&family, b"z", b"", &plain).unwrap();
    assert_eq!(number(&db, "auradb.expiring-entries"), 10);
    assert_eq!(all(&db, None).len(), 21);
}

#[test]
fn deletions_do_not_keep_what_has_expired() {
    let env = SimEnv::new(13);
    let db = open(&env, None);
    let (family, plain) = (db.default_column_family(), WriteOptions::default());
    for n in 0..30 {
        put(&db, &format!("{n:02}"), 100, 0);
    }
    compact(&db, &family);
    for n in 0..24 {
        match n % 6 {
            0 => put(&db, &format!("{n:02}"), 100, 100),
            _ => db.delete(&family, format!("{n:02}").as_bytes(), &plain).unwrap(),
        }
    }
    db.flush(&[&family], true).unwrap();
    assert_eq!(number(&db, "auradb.expiring-entries"), 4);
    pass(&env, 102);
    db.put(&family, b"z", b"", &plain).unwrap();
    assert_eq!(number(&db, "auradb.expiring-entries"), 0);
    assert_eq!(all(&db, None).len(), 7);
}

#[test]
fn the_knob_is_the_ttl_of_families_without_one() {
    let env = SimEnv::new(10);
    let mut options = options(&env);
    options.config.value_log.ttl = Some(100);
    let db = Db::open(&options, Path::new("/db"), &family_options(None)).unwrap();
    let other = db.create_column_family(&family_options(Some(0)), "never").unwrap();
    for family in [&db.default_column_family(), &other] {
        db.put(family, b"a", b"1", &WriteOptions::default()).unwrap();
    }
    assert_eq!((number(&db, "auradb.ttl"), db.property_int(&other, "auradb.ttl")), (100, Some(0)));
    pass(&env, 101);
    assert_eq!(len_of(&db, "a"), None);
    assert!(db.get(&other, b"a", &ReadOptions::default()).unwrap().is_some());
}

#[test]
fn what_an_iterator_read_ahead_expires_too() {
    for backwards in [false, true] {
        let env = SimEnv::new(11);
        let db = open(&env, None);
        let family = db.default_column_family();
        put(&db, "a", BIG, 0);
        for n in 0..60 {
            put(&db, &format!("k{n:02}"), BIG, 100);
        }
        put(&db, "z", BIG, 0);
        compact(&db, &family);
        let mut iterator = db.iterator(&family, &ReadOptions::default()).unwrap();
        if backwards {
            iterator.seek_to_last()
        } else {
            iterator.seek_to_first()
        }
        for _ in 0..20 {
            assert!(iterator.valid() && iterator.value().len() == BIG);
            if backwards { iterator.prev() } else { iterator.next() }
        }
        assert!(iterator.valid() && iterator.key().starts_with(b"k"));
        pass(&env, 101);
        if backwards {
            iterator.prev()
        } else {
            iterator.next()
        }
        let last = if backwards { b"a" } else { b"z" };
        assert!(iterator.valid() && iterator.key() == last, "{:?}", iterator.key());
        assert_eq!(iterator.value().len(), BIG);
    }
}

#[test]
fn a_scan_judges_all_versions_of_a_key_at_one_second() {
    let env = SimEnv::new(14);
    let db = open(&env, Some(100));
    let (family, plain) = (db.default_column_family(), WriteOptions::default());
    let keys = ["a", "b"];
    for (key, len) in keys.iter().zip([10, BIG]) {
        put(&db, key, len, 100);
        for operand in [&b"x"[..], b"y", b"z"] {
            db.merge(&family, key.as_bytes(), operand, &plain).unwrap();
        }
    }
    let whole = names(&all(&db, None));
    assert_eq!(whole, "a13 b3003 ");
    let expiry = env.unix_seconds() + 101;
    let stored = db.engine().family(0).unwrap();
    let (view, mode) = (stored.view(), ReadMode { fill_cache: true, allow_io: true });
    let visible = db.engine().durability.visible();
    let mut shown = BTreeSet::new();
    for begin in expiry - 8..=expiry {
        for backwards in [false, true] {
            // A second passes at each look.
            let next = AtomicU64::new(begin);
            let mut fold = stored.fold.clone();
            fold.clock = Arc::new(ExpiryClock::new(move || next.fetch_add(1, Relaxed), || Duration::ZERO));
            let (inner, tombstones) = (view.iter(&stored.order, mode), view.tombstones(&stored.order));
            let (order, bounds) = (stored.order.clone(), ScanBounds::default());
            let mut scan = ScanIterator::new(inner, tombstones, order, visible, fold, mode, bounds);
            let mut found = Vec::new();
            if backwards {
                scan.seek_to_last()
            } else {
                scan.seek_to_first()
            }
            while scan.valid() {
                let key = String::from_utf8(scan.key().to_vec()).unwrap();
                found.push((key, scan.value().len()));
                if backwards { scan.prev() } else { scan.next() }
            }
            scan.status().unwrap();
            found.sort();
            let found = names(&found);
            let possible = [&whole[..], "a13 ", "b3003 ", ""];
            assert!(possible.contains(&&found[..]), "{found} from {begin} on, backwards: {backwards}");
            shown.insert(found);
        }
    }
    assert!(shown.contains(&whole) && shown.contains(""), "{shown:?}");
}

/// Where there are no threads: what a worker does that wakes up by itself.
fn wake(db: &Db) {
    db.engine().run_inline();
}

#[test]
fn a_segment_of_which_all_has_expired_goes_by_itself_also_beside_what_stays() {
    let env = SimEnv::new(15);
    let db = open(&env, None);
    let family = db.default_column_family();
    // Of the table fewer than half expire, and something older lies below or not.
    for below in [false, true] {
        for n in 0..90 {
            put(&db, &format!("{n:02}-stays"), 20, 0);
        }
        for n in 0..20 {
            put(&db, &format!("{n:02}-goes"), BIG, 1000);
        }
        db.flush(&[&family], true).unwrap();
        wake(&db);
        assert!(number(&db, "auradb.value-log-bytes") > 20 * BIG as u64);
        let due = db.engine().sleep_of_workers(&db.engine().state.lock());
        assert!(due.is_some_and(|due| due <= Duration::from_secs(1001)), "{due:?}");
        pass(&env, 1001);
        wake(&db);
        // Also what the last one, which is not full, takes.
        let left = number(&db, "auradb.value-log-bytes");
        assert!(left < BIG as u64, "below: {below}: {left} bytes are left");
        assert_eq!((all(&db, None).len(), number(&db, "auradb.expiring-entries")), (90, 0));
        assert_eq!(db.engine().sleep_of_workers(&db.engine().state.lock()), None, "nothing is to come");
    }
}

#[test]
fn a_table_for_little_of_its_size_in_values_is_left_to_compactions() {
    let env = SimEnv::new(16);
    let db = open(&env, None);
    for n in 0..900 {
        put(&db, &format!("{n:03}-stays"), 50, 0);
    }
    put(&db, "goes", BIG, 1000);
    db.flush(&[&db.default_column_family()], true).unwrap();
    let read = number(&db, "auradb.compaction-bytes-read");
    pass(&env, 1001);
    wake(&db);
    assert_eq!(number(&db, "auradb.expiring-entries"), 1);
    assert_eq!(number(&db, "auradb.compaction-bytes-read"), read);
}

#[test]
fn a_table_of_deletions_goes_by_itself_unless_it_hides_something() {
    for deeper in [false, true] {
        let env = SimEnv::new(17);
        let db = open(&env, None);
        let (family, plain) = (db.default_column_family(), WriteOptions::default());
        let tables = || db.engine().family(0).unwrap().view().version.files().count();
        put(&db, "b", 10, 0);
        put(&db, "x", 10, 0);
        db.flush(&[&family], true).unwrap();
        if deeper {
            compact(&db, &family);
        }
        let delete = |key: &[u8]| db.delete(&family, key, &plain).unwrap();
        delete(b"b");
        delete(b"c");
        db.flush(&[&family], true).unwrap();
        wake(&db);
        assert_eq!(tables(), 2, "it is needed");
        assert_eq!(names(&all(&db, None)), "x10 ");
        delete(b"y");
        delete(b"z");
        db.flush(&[&family], true).unwrap();
        wake(&db);
        assert_eq!(tables(), 2, "it deletes what is not there");
        db.delete_range(&family, b"y", b"z", &plain).unwrap();
        db.flush(&[&family], true).unwrap();
        wake(&db);
        assert_eq!(tables(), 3, "it has more than deletions of keys");
        assert_eq!(names(&all(&db, None)), "x10 ");
        assert_eq!(number(&db, "auradb.expired-tables-dropped"), 0);
    }
}
