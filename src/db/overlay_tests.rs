//! Reads of an indexed batch on top of a database against a model: an ordered map with the batch's operations applied.

use super::{
    ColumnFamily, ColumnFamilyOptions, DEFAULT_COLUMN_FAMILY, Db, DbIterator, Options, ReadOptions,
    SharedBatch, WriteOptions, get_from_batch,
};
use crate::base::extension::MergeOperator;
use crate::base::{Comparator, ErrorKind, SliceTransform};
use crate::batch::{IndexedBatch, WriteBatch};
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::SimEnv;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
    fn key(&mut self) -> Vec<u8> {
        let len = 1 + self.below(3);
        (0..len).map(|_| b'a' + self.below(5) as u8).collect()
    }
    fn value(&mut self) -> Vec<u8> {
        // Some are separated.
        let len = if self.below(3) == 0 { 60 + self.below(60) } else { self.below(8) };
        (0..len).map(|_| b'0' + self.below(10) as u8).collect()
    }
}

struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &str {
        "append"
    }
    fn full_merge(&self, _key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some([&[existing.unwrap_or(b"")], operands].concat().concat())
    }
    fn partial_merge(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(operands.concat())
    }
}

struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        b.cmp(a)
    }
}

struct FirstByte;

impl SliceTransform for FirstByte {
    fn name(&self) -> &str {
        "first byte"
    }
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        &key[..1]
    }
    /// Keys that start with "e" have no prefix.
    fn in_domain(&self, key: &[u8]) -> bool {
        key.first().is_some_and(|first| *first < b'e')
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One operation on batch and model at once.
fn operate(
    random: &mut Random,
    batch: &mut impl Target,
    id: u32,
    map: &mut Map,
    order: &dyn Fn(&[u8], &[u8]) -> Ordering,
) {
    let (key, value) = (random.key(), random.value());
    match random.below(20) {
        0..=8 => {
            batch.put(id, &key, &value);
            map.insert(key, value);
        }
        9..=12 => {
            batch.delete(id, &key);
            map.remove(&key);
        }
        13..=17 => {
            batch.merge(id, &key, &value);
            map.entry(key).or_default().extend(value);
        }
        _ => {
            let end = random.key();
            let (start, end) = if order(&key, &end).is_gt() { (end, key) } else { (key, end) };
            batch.delete_range(id, &start, &end);
            map.retain(|key, _| order(key, &start).is_lt() || order(key, &end).is_ge());
        }
    }
}

/// What both kinds of batches do.
trait Target {
    fn put(&mut self, id: u32, key: &[u8], value: &[u8]);
    fn delete(&mut self, id: u32, key: &[u8]);
    fn merge(&mut self, id: u32, key: &[u8], operand: &[u8]);
    fn delete_range(&mut self, id: u32, start: &[u8], end: &[u8]);
}

macro_rules! target {
    ($batch:ty) => {
        impl Target for $batch {
            fn put(&mut self, id: u32, key: &[u8], value: &[u8]) {
                <$batch>::put(self, id, key, value).unwrap();
            }
            fn delete(&mut self, id: u32, key: &[u8]) {
                <$batch>::delete(self, id, key).unwrap();
            }
            fn merge(&mut self, id: u32, key: &[u8], operand: &[u8]) {
                <$batch>::merge(self, id, key, operand).unwrap();
            }
            fn delete_range(&mut self, id: u32, start: &[u8], end: &[u8]) {
                <$batch>::delete_range(self, id, start, end).unwrap();
            }
        }
    };
}
target!(WriteBatch);
target!(IndexedBatch);

fn open(env: Arc<dyn crate::env::Env>) -> (Db, Vec<ColumnFamily>) {
    let mut options = Options { create_if_missing: true, env: Some(env), ..Options::default() };
    options.create_missing_column_families = true;
    options.config.value_log.synced_separation_threshold = 0;
    let plain = ColumnFamilyOptions {
        merge_operator: Some(Arc::new(Append)),
        prefix_extractor: Some(Arc::new(FirstByte)),
        separation_threshold: Some(50),
        ..ColumnFamilyOptions::default()
    };
    let backwards =
        ColumnFamilyOptions { comparator: Arc::new(Backwards), prefix_extractor: None, ..plain.clone() };
    let named = [(DEFAULT_COLUMN_FAMILY.to_string(), plain), ("backwards".to_string(), backwards)];
    Db::open_column_families(&options, Path::new("/db"), &named).unwrap()
}

fn shared(overwrite: bool) -> SharedBatch {
    Arc::new(IndexedBatch::new(0, overwrite).into())
}

/// What an iterator is limited to, and where it is.
struct Model<'a> {
    map: &'a Map,
    backwards: bool,
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
    prefixed: bool,
    prefix: Option<u8>,
    at: Option<Vec<u8>>,
}

impl Model<'_> {
    fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.backwards { b.cmp(a) } else { a.cmp(b) }
    }

    /// The keys shown, in order.
    fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = self.map.keys().cloned().collect();
        keys.sort_by(|a, b| self.order(a, b));
        keys.retain(|key| {
            self.lower.as_ref().is_none_or(|lower| self.order(key, lower).is_ge())
                && self.upper.as_ref().is_none_or(|upper| self.order(key, upper).is_lt())
                && self.prefix.is_none_or(|prefix| key[0] == prefix)
        });
        keys
    }

    fn sought(&mut self, target: Option<&[u8]>) {
        self.prefix = target.map(|target| target[0]).filter(|first| self.prefixed && *first < b'e');
    }

    fn first(&mut self, from: impl Fn(Ordering) -> bool, key: &[u8]) {
        self.at = self.keys().into_iter().find(|at| from(self.order(at, key)));
    }

    fn last(&mut self, to: impl Fn(Ordering) -> bool, key: &[u8]) {
        self.at = self.keys().into_iter().rfind(|at| to(self.order(at, key)));
    }

    /// One random move of model and iterator.
    fn step(&mut self, random: &mut Random, iterator: &mut DbIterator) -> String {
        let target = random.key();
        let at = self.at.clone().unwrap_or_default();
        match random.below(20) {
            0 => {
                self.sought(None);
                self.at = self.keys().first().cloned();
                iterator.seek_to_first();
                "seek_to_first".to_string()
            }
            1 => {
                self.sought(None);
                self.at = self.keys().last().cloned();
                iterator.seek_to_last();
                "seek_to_last".to_string()
            }
            2..=3 => {
                self.sought(Some(&target));
                self.first(Ordering::is_ge, &target);
                iterator.seek(&target);
                format!("seek {target:?}")
            }
            4..=5 => {
                self.sought(Some(&target));
                self.last(Ordering::is_le, &target);
                iterator.seek_for_prev(&target);
                format!("seek_for_prev {target:?}")
            }
            6..=12 => {
                if self.at.is_some() {
                    self.first(Ordering::is_gt, &at);
                }
                iterator.next();
                "next".to_string()
            }
            _ => {
                if self.at.is_some() {
                    self.last(Ordering::is_lt, &at);
                }
                iterator.prev();
                "prev".to_string()
            }
        }
    }

    fn check(&self, iterator: &mut DbIterator, history: &[String], seed: u64) {
        iterator.status().unwrap();
        let got = iterator.valid().then(|| (iterator.key().to_vec(), iterator.value().to_vec()));
        let expected = self.at.as_ref().map(|key| (key.clone(), self.map[key].clone()));
        assert_eq!(got, expected, "seed {seed}, after {history:?}");
        iterator.status().unwrap();
    }
}

/// A database with tables and memtables, and the same as a map.
fn fill(db: &Db, family: &ColumnFamily, random: &mut Random, backwards: bool) -> Map {
    let mut map = Map::new();
    let order = move |a: &[u8], b: &[u8]| if backwards { b.cmp(a) } else { a.cmp(b) };
    for _ in 0..random.below(4) {
        let mut batch = WriteBatch::new();
        for _ in 0..random.below(40) {
            operate(random, &mut batch, family.id(), &mut map, &order);
        }
        db.write(&batch, &WriteOptions::default()).unwrap();
        if random.below(2) == 0 {
            db.flush(&[family], true).unwrap();
        }
    }
    map
}

fn bound(random: &mut Random) -> Option<Vec<u8>> {
    (random.below(3) == 0).then(|| random.key())
}

/// The tighter one of two bounds.
fn tighter(a: Option<Vec<u8>>, b: Option<Vec<u8>>, a_wins: impl Fn(&[u8], &[u8]) -> bool) -> Option<Vec<u8>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a_wins(&a, &b) { a } else { b }),
        (a, b) => a.or(b),
    }
}

#[test]
fn batch_and_database_read_as_if_the_batch_were_written() {
    for seed in 1..=150u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (db, families) = open(SimEnv::without_mapping(seed));
        let backwards = seed % 3 == 0;
        let family = &families[usize::from(backwards)];
        let order = move |a: &[u8], b: &[u8]| if backwards { b.cmp(a) } else { a.cmp(b) };
        let stored = fill(&db, family, &mut random, backwards);
        let mut map = stored.clone();
        let batch = shared(seed % 2 == 0);
        for _ in 0..random.below(30) {
            operate(&mut random, &mut *batch.lock(), family.id(), &mut map, &order);
        }
        let prefixed = !backwards && seed % 5 == 0;
        let own = ReadOptions {
            lower_bound: bound(&mut random),
            upper_bound: bound(&mut random),
            prefix_same_as_start: prefixed,
            ..ReadOptions::default()
        };
        let more = ReadOptions {
            lower_bound: bound(&mut random),
            upper_bound: bound(&mut random),
            ..ReadOptions::default()
        };
        let narrowed = random.below(2) == 0;
        let base = db.iterator(family, &own).unwrap();
        let mut iterator = base.with_batch(&batch, narrowed.then_some(&more)).unwrap();
        assert_eq!(iterator.column_family(), family.id());
        // Written later: the iterator does not show it.
        let later = WriteOptions::default();
        for _ in 0..random.below(5) {
            db.put(family, &random.key(), b"later", &later).unwrap();
        }
        let (lower, upper) = match narrowed {
            true => (
                tighter(own.lower_bound, more.lower_bound, |a, b| order(a, b).is_gt()),
                tighter(own.upper_bound, more.upper_bound, |a, b| order(a, b).is_lt()),
            ),
            false => (own.lower_bound, own.upper_bound),
        };
        let mut model = Model { map: &Map::new(), backwards, lower, upper, prefixed, prefix: None, at: None };
        let mut history = Vec::new();
        for _ in 0..60 {
            // The batch may change between moves, and the next move sees it.
            if random.below(6) == 0 {
                operate(&mut random, &mut *batch.lock(), family.id(), &mut map, &order);
                history.push("change".to_string());
            }
            let Model { lower, upper, prefix, at, .. } = model;
            model = Model { map: &map, backwards, lower, upper, prefixed, prefix, at };
            history.push(model.step(&mut random, &mut iterator));
            model.check(&mut iterator, &history, seed);
            let Model { lower, upper, prefix, at, .. } = model;
            model = Model { map: &stored, backwards, lower, upper, prefixed, prefix, at };
        }
    }
}

/// Point reads; and the batch, when it is written, gives what they promised.
#[test]
fn a_key_reads_as_it_does_after_the_batch_is_written() {
    for seed in 1..=60u64 {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (db, families) = open(SimEnv::without_mapping(seed));
        let backwards = seed % 3 == 0;
        let family = &families[usize::from(backwards)];
        let order = move |a: &[u8], b: &[u8]| if backwards { b.cmp(a) } else { a.cmp(b) };
        let mut map = fill(&db, family, &mut random, backwards);
        let batch = shared(seed % 2 == 0);
        let keys: Vec<Vec<u8>> = (0..60).map(|_| random.key()).collect();
        let read = ReadOptions::default();
        for round in 0..6 {
            let saved = map.clone();
            batch.lock().set_save_point();
            for _ in 0..random.below(12) {
                operate(&mut random, &mut *batch.lock(), family.id(), &mut map, &order);
            }
            if random.below(3) == 0 {
                batch.lock().rollback_to_save_point().unwrap();
                map = saved;
            }
            for key in &keys {
                let got = db.get_with_batch(&batch, family, key, &read).unwrap();
                assert_eq!(
                    got.as_deref(),
                    map.get(key).map(Vec::as_slice),
                    "seed {seed}, round {round}, {key:?}"
                );
                // What the batch alone says is the same, if it says anything.
                match family.get_from_batch(&batch, key) {
                    Ok(None) => {}
                    Ok(Some(value)) => assert_eq!(Some(&value), map.get(key), "seed {seed}, round {round}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::MergeInProgress),
                }
            }
        }
        db.write(batch.lock().batch(), &WriteOptions::default()).unwrap();
        for key in &keys {
            let got = db.get(family, key, &read).unwrap();
            assert_eq!(got.as_deref(), map.get(key).map(Vec::as_slice), "seed {seed}, {key:?}");
        }
    }
}

#[test]
fn the_default_family_alone_needs_an_operator_only_to_merge() {
    let batch = shared(true);
    assert_eq!(get_from_batch(&batch, b"k", None).unwrap(), None);
    batch.lock().put(0, b"k", b"1").unwrap();
    assert_eq!(get_from_batch(&batch, b"k", None).unwrap(), Some(b"1".to_vec()));
    batch.lock().merge(0, b"k", b"2").unwrap();
    assert_eq!(get_from_batch(&batch, b"k", Some(&Append)).unwrap(), Some(b"12".to_vec()));
    assert_eq!(get_from_batch(&batch, b"k", None).unwrap_err().kind(), ErrorKind::InvalidArgument);
    batch.lock().delete_range(0, b"a", b"z").unwrap();
    assert_eq!(get_from_batch(&batch, b"k", None).unwrap(), None);
    batch.lock().merge(0, b"k", b"3").unwrap();
    assert_eq!(
        get_from_batch(&batch, b"k", Some(&Append)).unwrap(),
        Some(b"3".to_vec()),
        "after the deletion"
    );
    batch.lock().merge(0, b"~other", b"3").unwrap();
    let error = get_from_batch(&batch, b"~other", Some(&Append)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MergeInProgress);
}

#[test]
fn a_large_deleted_range_is_passed_over_both_ways() {
    let (db, families) = open(SimEnv::without_mapping(1));
    let mut batch = WriteBatch::new();
    for n in 0..2000u32 {
        batch.put(0, &n.to_be_bytes(), b"").unwrap();
    }
    db.write(&batch, &WriteOptions::default()).unwrap();
    let batch = shared(true);
    batch.lock().delete_range(0, &5u32.to_be_bytes(), &1990u32.to_be_bytes()).unwrap();
    batch.lock().put(0, &1000u32.to_be_bytes(), b"new").unwrap();
    let expected: Vec<u32> = (0..5).chain([1000]).chain(1990..2000).collect();
    let mut iterator =
        db.iterator(&families[0], &ReadOptions::default()).unwrap().with_batch(&batch, None).unwrap();
    let number = |iterator: &DbIterator| u32::from_be_bytes(iterator.key().try_into().unwrap());
    let mut got = Vec::new();
    iterator.seek_to_first();
    while iterator.valid() {
        got.push(number(&iterator));
        iterator.next();
    }
    assert_eq!(got, expected);
    got.clear();
    iterator.seek_to_last();
    while iterator.valid() {
        got.push(number(&iterator));
        iterator.prev();
    }
    got.reverse();
    assert_eq!(got, expected);
    assert!(iterator.with_batch(&batch, None).is_err());
}

/// A deleted range so long that it is left by a seek, which must not lead out of the prefix.
#[test]
fn a_deleted_range_does_not_lead_out_of_the_prefix() {
    let (db, families) = open(SimEnv::without_mapping(1));
    let mut batch = WriteBatch::new();
    for n in 0..40 {
        batch.put(0, format!("b{n:02}").as_bytes(), b"").unwrap();
    }
    for key in ["a8", "c0", "f1"] {
        batch.put(0, key.as_bytes(), b"").unwrap();
    }
    db.write(&batch, &WriteOptions::default()).unwrap();
    let options = ReadOptions { prefix_same_as_start: true, ..ReadOptions::default() };
    // (deleted from, to, what remains of the prefix)
    let cases: [(&str, &str, &[&str]); 5] = [
        ("b00", "c0", &[]),
        ("a9", "b40", &[]),
        ("", "f0", &[]),
        ("a9", "b39", &["b39"]),
        ("b02", "f0", &["b00", "b01"]),
    ];
    for (start, end, expected) in cases {
        let batch = shared(true);
        batch.lock().delete_range(0, start.as_bytes(), end.as_bytes()).unwrap();
        let mut iterator = db.iterator(&families[0], &options).unwrap().with_batch(&batch, None).unwrap();
        let mut got = Vec::new();
        iterator.seek(b"b00");
        while iterator.valid() {
            got.push(String::from_utf8_lossy(iterator.key()).into_owned());
            iterator.next();
        }
        assert_eq!(got, expected, "{start}..{end}");
        got.clear();
        iterator.seek_for_prev(b"b39");
        while iterator.valid() {
            got.insert(0, String::from_utf8_lossy(iterator.key()).into_owned());
            iterator.prev();
        }
        assert_eq!(got, expected, "{start}..{end}, backwards");
    }
}

/// ASCII letters of both cases are the same.
struct CaseBlind;

impl Comparator for CaseBlind {
    fn name(&self) -> &str {
        "case blind"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase())
    }
}

/// Keys that the order takes for equal are shown with the bytes of the newest, before the batch is written and after.
#[test]
fn of_equal_keys_the_newest_bytes_are_shown() {
    for overwrite in [true, false] {
        let (db, _) = open(SimEnv::without_mapping(1));
        let blind = ColumnFamilyOptions {
            comparator: Arc::new(CaseBlind),
            merge_operator: Some(Arc::new(Append)),
            ..ColumnFamilyOptions::default()
        };
        let family = db.create_column_family(&blind, "blind").unwrap();
        for key in ["ab", "cd", "ef"] {
            db.put(&family, key.as_bytes(), b"old", &WriteOptions::default()).unwrap();
        }
        let batch = shared(overwrite);
        let show = |mut iterator: DbIterator| {
            let mut shown = Vec::new();
            iterator.seek_to_first();
            while iterator.valid() {
                let (key, value) = (iterator.key().to_vec(), iterator.value().to_vec());
                shown.push((String::from_utf8(key).unwrap(), String::from_utf8(value).unwrap()));
                iterator.next();
            }
            shown
        };
        let id = family.id();
        for (key, value) in [("Ab", "1"), ("gh", "2"), ("aB", "3"), ("GH", "4")] {
            batch.lock().put(id, key.as_bytes(), value.as_bytes()).unwrap();
        }
        for key in ["xY", "Xy", "CD"] {
            batch.lock().merge(id, key.as_bytes(), b"+").unwrap();
        }
        let base = db.iterator(&family, &ReadOptions::default()).unwrap();
        let before = show(base.with_batch(&batch, None).unwrap());
        let expected = [("aB", "3"), ("CD", "old+"), ("ef", "old"), ("GH", "4"), ("Xy", "++")];
        assert_eq!(before, expected.map(|(key, value)| (key.to_string(), value.to_string())));
        db.write(batch.lock().batch(), &WriteOptions::default()).unwrap();
        assert_eq!(show(db.iterator(&family, &ReadOptions::default()).unwrap()), before);
    }
}

/// A failure is not taken for the end: entries of the batch behind it are not shown.
#[test]
fn a_failed_read_of_the_database_ends_the_walk() {
    let faulty = FaultyEnv::new(SimEnv::without_mapping(1));
    let (db, families) = open(faulty.clone());
    db.put(&families[0], b"b", &[b'v'; 5000], &WriteOptions::default()).unwrap();
    let batch = shared(false);
    batch.lock().put(0, b"a", b"1").unwrap();
    batch.lock().merge(0, b"b", b"2").unwrap();
    batch.lock().put(0, b"c", b"3").unwrap();
    let options = ReadOptions { fill_cache: false, ..ReadOptions::default() };
    let mut iterator = db.iterator(&families[0], &options).unwrap().with_batch(&batch, None).unwrap();
    let selection = Selection::of(&[OperationClass::Read]).named(".vlog");
    faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: true });
    iterator.seek_to_first();
    assert_eq!((iterator.valid(), iterator.key()), (true, &b"a"[..]));
    iterator.next();
    assert!(!iterator.valid() && iterator.status().is_err());
    assert!(faulty.plan().fired() > 0);
    iterator.next();
    assert!(!iterator.valid());
    faulty.plan().heal();
    iterator.seek(b"b");
    iterator.status().unwrap();
    assert_eq!(iterator.key(), b"b");
    assert_eq!(iterator.value().len(), 5001);
}
