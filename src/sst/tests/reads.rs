//! Everything besides the entries: filters, tombstones, properties, names, bounds, I/O, and refusals.

use super::support::*;
use crate::base::key::{MAX_SEQUENCE, append_internal_key};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{
    Codec, EntryKind, ErrorKind, InternalComparator, InternalKey, SliceTransform, ValuePointer,
};
use crate::env::File;
use crate::sst::{SegmentUse, Table, TableBuilder, TableOptions, TableRead};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The first `n` bytes, of keys that have them.
struct Fixed(usize, &'static str);

impl SliceTransform for Fixed {
    fn name(&self) -> &str {
        self.1
    }
    fn transform<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        &key[..self.0]
    }
    fn in_domain(&self, key: &[u8]) -> bool {
        key.len() >= self.0
    }
}

fn numbered(count: u32) -> Vec<Entry> {
    let key = |n: u32| InternalKey::new(format!("{:04}-{n:06}", n / 10).as_bytes(), 5, EntryKind::Put).0;
    (0..count).map(|n| (key(n), n.to_le_bytes().repeat(10))).collect()
}

#[test]
fn the_filter_ends_lookups_of_absent_keys_without_io() {
    let (file, _) = build(&numbered(2000), &options());
    let table = open(&file, &options()).unwrap();
    let reads = file.reads.load(Ordering::Relaxed);
    for n in 0..2000 {
        let lookup = InternalKey::for_lookup(format!("{:04}-{n:06}x", n / 10).as_bytes(), MAX_SEQUENCE);
        assert!(get_all(&table, lookup.as_bytes()).unwrap().is_empty());
    }
    let passed = file.reads.load(Ordering::Relaxed) - reads;
    assert!(passed < 60, "{passed} of 2000 passed");
    let without = TableOptions { bloom_bits_per_key: None, ..options() };
    let table = table_of(&numbered(10), &without);
    assert!(table.may_contain(b"absent") && table.properties().filter_bytes == 0);
}

#[test]
fn prefixes_are_filtered_only_by_the_extractor_they_were_written_with() {
    let with = |extractor: Option<Fixed>, whole_key_filtering| TableOptions {
        prefix_extractor: extractor.map(|extractor| Arc::new(extractor) as Arc<dyn SliceTransform>),
        whole_key_filtering,
        ..options()
    };
    let share = |table: &Arc<Table>, ask: &dyn Fn(&Table, &[u8]) -> bool| {
        (500..1000).filter(|n| ask(table, format!("{n:04}-000000").as_bytes())).count()
    };
    for whole in [true, false] {
        let (file, _) = build(&numbered(2000), &with(Some(Fixed(5, "five")), whole));
        let same = open(&file, &with(Some(Fixed(5, "five")), whole)).unwrap();
        assert!((0..200).all(|n| same.may_contain_prefix(format!("{n:04}-absent").as_bytes())));
        assert!(share(&same, &Table::may_contain_prefix) < 40);
        assert!(same.may_contain_prefix(b"x"), "not in the domain");
        assert!(share(&same, &Table::may_contain) < 40, "whole keys, or else prefixes");
        same.verify().unwrap();
        let other = open(&file, &with(Some(Fixed(3, "three")), whole)).unwrap();
        assert_eq!(share(&other, &Table::may_contain_prefix), 500);
        let none = open(&file, &with(None, whole)).unwrap();
        assert_eq!(share(&none, &Table::may_contain_prefix), 500);
        assert_eq!(share(&none, &Table::may_contain) < 500, whole);
    }
}

#[test]
fn properties_tell_what_was_added() {
    let file = MemoryFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options(), 1 << 20);
    let mut add = |key: &str, sequence, kind, value: &[u8]| {
        builder.add(InternalKey::new(key.as_bytes(), sequence, kind).as_bytes(), value).unwrap();
    };
    let pointer = |segment, offset| {
        let mut bytes = Vec::new();
        ValuePointer { segment, offset, record_len: 50, value_len: 9, checksum: 1 }.encode(&mut bytes);
        bytes
    };
    add("c", 20, EntryKind::Merge, b"m");
    add("d", 9, EntryKind::Delete, b"");
    add("e", 10, EntryKind::SingleDelete, b"");
    add("f", 11, EntryKind::Pointer, &pointer(7, 100));
    add("g", 12, EntryKind::Pointer, &pointer(7, 0));
    add("h", 13, EntryKind::Pointer, &pointer(3, 0));
    let tombstone = |start: &str, end: &str, sequence| RangeTombstone {
        start: start.as_bytes().to_vec(),
        end: end.as_bytes().to_vec(),
        sequence,
    };
    for tombstone in [tombstone("x", "z", 4), tombstone("b", "d", 30), tombstone("q", "p", 99)] {
        builder.add_range_tombstone(&tombstone).unwrap();
    }
    assert_eq!(builder.entries(), 8, "the empty tombstone does not count");
    let estimate = builder.estimated_size();
    let properties = builder.finish().unwrap();
    assert!(estimate.abs_diff(properties.file_size) < 300, "{estimate} for {}", properties.file_size);
    assert_eq!(properties.file_size, file.len().unwrap());
    assert_eq!(file.syncs.load(Ordering::Relaxed), 1);
    let counts = (properties.entries, properties.deletions, properties.merges, properties.range_tombstones);
    assert_eq!(counts, (6, 2, 1, 2));
    assert_eq!((properties.smallest_sequence, properties.largest_sequence), (4, 30));
    assert_eq!(properties.smallest, InternalKey::new(b"b", 30, EntryKind::RangeDelete).0);
    assert_eq!(properties.largest, InternalKey::new(b"z", MAX_SEQUENCE, EntryKind::RangeDelete).0);
    let used = |segment, bytes, values, end| SegmentUse { segment, bytes, values, end };
    assert_eq!(properties.segments, vec![used(3, 50, 1, 50), used(7, 100, 2, 150)]);
    let table = open(&file, &options()).unwrap();
    assert_eq!(table.properties(), &properties);
    let order = InternalComparator::default();
    let covering = |key: &[u8], snapshot| table.range_tombstones().covering_sequence(key, snapshot, &order);
    assert_eq!(
        (covering(b"c", 100), covering(b"c", 29), covering(b"y", 100), covering(b"z", 100)),
        (30, 0, 4, 0)
    );
    assert!(table.memory_bytes() > 0 && table.memory_bytes() < 20_000);
}

#[test]
fn a_table_of_tombstones_alone() {
    let file = MemoryFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options(), 1 << 20);
    builder.add_range_tombstone(&RangeTombstone { start: vec![1], end: vec![5], sequence: 3 }).unwrap();
    let properties = builder.finish().unwrap();
    let table = open(&file, &options()).unwrap();
    assert_eq!(table.range_tombstones().len(), 1);
    assert!(get_all(&table, &properties.smallest).unwrap().is_empty());
    let mut iterator = table.iter(READ);
    iterator.seek_to_first();
    assert!(!iterator.valid() && iterator.error().is_none());
    table.verify().unwrap();
}

#[test]
fn wrong_additions_are_refused() {
    let mut builder = TableBuilder::new(MemoryFile::new(Vec::new()), NUMBER, options(), 1 << 20);
    let key = |key: &[u8], sequence, kind| InternalKey::new(key, sequence, kind).0;
    builder.add(&key(b"m", 5, EntryKind::Put), b"").unwrap();
    for (internal, value) in [
        (key(b"m", 5, EntryKind::Put), &b""[..]),
        (key(b"m", 6, EntryKind::Put), b""),
        (key(b"a", 5, EntryKind::Put), b""),
        (key(b"n", 5, EntryKind::RangeDelete), b""),
        (key(b"n", 5, EntryKind::Pointer), b"no pointer"),
        (vec![1, 2, 3], b""),
        (vec![0xee; 9], b""),
    ] {
        assert_eq!(
            builder.add(&internal, value).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{internal:?}"
        );
    }
    builder.add(&key(b"m", 4, EntryKind::Put), b"").unwrap();
    assert_eq!(builder.finish().unwrap().entries, 2);
}

#[test]
fn a_failed_write_is_final() {
    let file = MemoryFile::new(Vec::new());
    let mut builder = TableBuilder::new(file.clone(), NUMBER, options(), 1000);
    file.fail_writes.store(true, Ordering::Relaxed);
    let failed = numbered(2000).iter().find_map(|(key, value)| builder.add(key, value).err()).unwrap();
    assert_eq!(failed.kind(), ErrorKind::Io);
    file.fail_writes.store(false, Ordering::Relaxed);
    assert!(builder.add(&InternalKey::new(b"z", 1, EntryKind::Put).0, b"").is_err());
    assert!(builder.finish().is_err());
}

#[test]
fn another_comparator_is_refused_by_name() {
    let (file, _) = build(&numbered(10), &options());
    let reverse = TableOptions { order: InternalComparator::new(Arc::new(Reverse)), ..options() };
    let error = open(&file, &reverse).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.message().contains("leveldb.BytewiseComparator") && error.message().contains("test.Reverse")
    );
}

#[test]
fn without_io_a_miss_is_incomplete() {
    let entries = numbered(500);
    let table = table_of(&entries, &options());
    let read = TableRead { allow_io: false, ..READ };
    let kind = table.get(&entries[3].0, read, &mut |_, _, _| true).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Incomplete);
    for read_ahead in [0, 4096] {
        let mut iterator = table.iter(TableRead { read_ahead, ..read });
        iterator.seek_to_first();
        assert_eq!(iterator.error().unwrap().kind(), ErrorKind::Incomplete);
    }
}

#[test]
fn a_failed_read_ends_the_iteration_and_says_so() {
    let entries = numbered(3000);
    for read_ahead in [0, 8192] {
        let (file, _) = build(&entries, &options());
        let table = open(&file, &options()).unwrap();
        let mut iterator = table.iter(TableRead { read_ahead, ..READ });
        iterator.seek_to_first();
        file.reads_allowed.store(file.reads.load(Ordering::Relaxed) + 2, Ordering::Relaxed);
        let mut seen = 0;
        while iterator.valid() {
            seen += 1;
            iterator.next();
        }
        assert!(seen > 0 && seen < entries.len());
        assert_eq!(iterator.error().unwrap().kind(), ErrorKind::Io);
        file.reads_allowed.store(u64::MAX, Ordering::Relaxed);
        iterator.seek(&entries[seen].0);
        assert_eq!(current(&*iterator), as_slices(entries.get(seen)), "goes on after the device recovered");
        assert!(iterator.error().is_none());
    }
}

#[test]
fn sequential_reads_are_announced_or_batched() {
    let entries = numbered(20_000);
    let (file, properties) = build(&entries, &options());
    let table = open(&file, &options()).unwrap();
    let run = |read_ahead| {
        let before = file.reads.load(Ordering::Relaxed);
        let mut iterator = table.iter(TableRead { read_ahead, ..READ });
        iterator.seek_to_first();
        while iterator.valid() {
            iterator.next();
        }
        file.reads.load(Ordering::Relaxed) - before
    };
    assert_eq!(run(0), properties.data_blocks);
    let hinted = file.hinted.load(Ordering::Relaxed);
    assert!(hinted > properties.data_bytes * 9 / 10 && hinted <= properties.data_bytes, "{hinted}");
    assert!(run(1 << 18) <= properties.data_bytes / (1 << 17) + 1);
    assert_eq!(file.hinted.load(Ordering::Relaxed), hinted, "no hints with a private buffer");
    let before = file.reads.load(Ordering::Relaxed);
    let mut iterator = table.iter(TableRead { read_ahead: 1 << 18, ..READ });
    iterator.seek_to_last();
    while iterator.valid() {
        iterator.prev();
    }
    assert!(file.reads.load(Ordering::Relaxed) - before <= properties.data_bytes / (1 << 17) + 2);
}

#[test]
fn a_point_lookup_reads_one_block() {
    let entries = numbered(20_000);
    for learned_index in [true, false] {
        let options = TableOptions { learned_index, compression: Codec::Lz4, ..options() };
        let (file, _) = build(&entries, &options);
        let table = open(&file, &options).unwrap();
        let before = file.reads.load(Ordering::Relaxed);
        let mut visited = 0;
        for (key, _) in entries.iter().step_by(7) {
            table
                .get(key, READ, &mut |_, _, _| {
                    visited += 1;
                    false
                })
                .unwrap();
        }
        assert_eq!(visited, entries.len().div_ceil(7));
        assert_eq!(file.reads.load(Ordering::Relaxed) - before, visited as u64, "model {learned_index}");
        let stats = table.model_stats();
        assert_eq!(stats.model_hits, if learned_index { visited as u64 } else { 0 });
        assert_eq!(stats.model_fallbacks, 0);
    }
}

#[test]
fn offsets_ascend_with_keys() {
    let entries = numbered(5000);
    let table = table_of(&entries, &options());
    let offsets: Vec<u64> = entries.iter().map(|(key, _)| table.approximate_offset(key)).collect();
    assert!(offsets.is_sorted() && offsets[0] == 0);
    let data = table.properties().data_bytes;
    let middle = offsets[2500];
    assert!(middle > data * 4 / 10 && middle < data * 6 / 10, "{middle} of {data}");
    let mut beyond = Vec::new();
    append_internal_key(&mut beyond, b"zzz", 1, EntryKind::Put);
    assert_eq!(table.approximate_offset(&beyond), data);
}

#[test]
fn threads_read_at_once() {
    let entries = numbered(4000);
    let table = table_of(&entries, &options());
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (table, entries) = (&table, &entries);
            scope.spawn(move || {
                for entry in entries.iter().skip(start).step_by(4) {
                    assert_eq!(get_all(table, &entry.0).unwrap(), std::slice::from_ref(entry));
                }
            });
        }
    });
    assert_eq!(table.model_stats().model_hits + table.model_stats().model_fallbacks, 4000);
}
