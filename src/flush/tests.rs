//! What a flush writes and leaves out, and what is left after it fails.

use super::*;
use crate::base::error::Subcode;
use crate::base::key::{EntryKind, InternalKey};
use crate::base::{Codec, Error, ErrorKind, InternalComparator};
use crate::compaction::testing::{Entry, History, Joining, ListIterator};
use crate::compaction::{CompactionStats, MergeContext};
use crate::env::direct::DirectIo;
use crate::env::faulty::{Failure, Fault, FaultyEnv, Selection};
use crate::env::simulated::SimEnv;
use crate::env::{Env, OpenMode};
use crate::sst::{Table, TableOptions, TableRead};
use crate::value_log::{ValueLog, ValueLogOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

fn table_options() -> TableOptions {
    TableOptions {
        order: InternalComparator::default(),
        block_size: 256,
        compression: Codec::Lz4,
        bloom_bits_per_key: Some(10.0),
        whole_key_filtering: true,
        prefix_extractor: None,
        learned_index: false,
        cache: None,
        cache_owner: 0,
    }
}

fn context(env: Arc<dyn Env>, snapshots: &[u64]) -> MergeContext {
    for dir in ["/sst", "/vlog"] {
        env.create_dir_all(Path::new(dir)).unwrap();
    }
    let numbers = Arc::new(AtomicU64::new(5));
    let options = ValueLogOptions::plain("/vlog", [1; 16], 1 << 20);
    MergeContext {
        value_log: ValueLog::open(env.clone(), options, numbers.clone()).unwrap(),
        env,
        sst_dir: "/sst".into(),
        next_file_number: numbers,
        column_family: 0,
        order: InternalComparator::default(),
        table_options: table_options(),
        io_buffer_size: 4096,
        direct: DirectIo::new(true, true),
        bytes_per_sync: 8192,
        snapshots: snapshots.to_vec(),
        merge_operator: Some(Arc::new(Joining)),
        filter: None,
        filter_factory: None,
        rate_limiter: None,
        now: 0,
        separation: None,
        relocation: None,
        cancel: Arc::default(),
        stats: Arc::new(CompactionStats::default()),
    }
}

fn iterator(entries: &[Entry]) -> Box<dyn InternalIterator> {
    let entries = entries.iter().map(Entry::internal).collect();
    Box::new(ListIterator::new(entries, &InternalComparator::default()))
}

fn entry(key: &str, sequence: u64, kind: EntryKind, value: &str) -> Entry {
    Entry { key: key.into(), sequence, kind, value: value.into() }
}

fn contents(context: &MergeContext, file: &NewFile) -> (Vec<String>, Vec<RangeTombstone>) {
    let path = crate::base::file_name::path_of(
        Path::new("/sst"),
        crate::base::file_name::FileKind::Table(file.number),
    );
    let opened = context.env.open(&path, OpenMode::Read).unwrap();
    let table = Table::open(opened, file.number, file.properties.file_size, table_options()).unwrap();
    let mut entries = table.iter(TableRead { fill_cache: false, allow_io: true, read_ahead: 0 });
    let mut shown = Vec::new();
    entries.seek_to_first();
    while entries.valid() {
        let Entry { key, sequence, kind, value } = Entry::parse(entries.key(), entries.value());
        shown.push(format!("{}@{sequence} {kind:?} {}", key.escape_ascii(), value.escape_ascii()));
        entries.next();
    }
    (shown, table.range_tombstones().iter().collect())
}

#[test]
fn deletions_stay_and_hidden_versions_go() {
    let env = SimEnv::new(1);
    let context = context(env, &[4]);
    let history = History {
        entries: vec![
            entry("a", 1, EntryKind::Put, "old"),
            entry("a", 2, EntryKind::Put, "seen at 4"),
            entry("a", 5, EntryKind::Delete, ""),
            entry("b", 3, EntryKind::Merge, "x"),
            entry("b", 6, EntryKind::Merge, "y"),
            entry("b", 7, EntryKind::Merge, "z"),
            entry("c", 8, EntryKind::Put, "deleted by the range"),
            entry("d", 10, EntryKind::Put, "1"),
            entry("d", 11, EntryKind::Merge, "2"),
        ],
        tombstones: vec![
            RangeTombstone { start: b"c".to_vec(), end: b"e".to_vec(), sequence: 9 },
            RangeTombstone { start: b"c".to_vec(), end: b"e".to_vec(), sequence: 8 },
        ],
    };
    let file = write_level0(iterator(&history.entries), &history.tombstones, &context).unwrap().unwrap();
    let (entries, tombstones) = contents(&context, &file);
    let expected = ["a@5 Delete ", "a@2 Put seen at 4", "b@7 Merge y,z", "b@3 Merge x", "d@11 Put 1,2"];
    assert_eq!(entries, expected);
    assert_eq!(tombstones, history.tombstones[..1]);
    assert_eq!((file.level, file.properties.largest_sequence), (0, 11));
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let stats = &context.stats;
    assert_eq!((load(&stats.flushes), load(&stats.dropped_entries)), (1, 4));
    assert_eq!(load(&stats.flush_bytes), file.properties.file_size);
}

#[test]
fn tombstones_alone_make_a_table_and_nothing_makes_none() {
    let env = SimEnv::new(2);
    let context = context(env.clone(), &[]);
    assert_eq!(write_level0(iterator(&[]), &[], &context).unwrap(), None);
    assert!(env.list(Path::new("/sst")).unwrap().is_empty());
    let tombstone = RangeTombstone { start: b"a".to_vec(), end: b"b".to_vec(), sequence: 3 };
    let file = write_level0(iterator(&[]), std::slice::from_ref(&tombstone), &context).unwrap().unwrap();
    assert_eq!(contents(&context, &file), (vec![], vec![tombstone]));
    assert_eq!(file.properties.smallest, InternalKey::new(b"a", 3, EntryKind::RangeDelete).0);
}

#[test]
fn a_failure_leaves_no_file_and_is_told() {
    let entries: Vec<Entry> =
        (0..200).map(|n| entry(&format!("key{n:04}"), n + 1, EntryKind::Put, &"v".repeat(60))).collect();
    let mut failures = 0;
    for nth in 0.. {
        let inner = SimEnv::new(3);
        let env = FaultyEnv::new(inner.clone());
        let context = context(env.clone(), &[]);
        let selection = Selection::of(&[
            crate::env::faulty::OperationClass::Create,
            crate::env::faulty::OperationClass::Write,
            crate::env::faulty::OperationClass::Sync,
            crate::env::faulty::OperationClass::SyncDir,
        ]);
        env.plan().arm(Fault { selection, nth, failure: Failure::FULL, lasting: false });
        match write_level0(iterator(&entries), &[], &context) {
            Ok(file) => {
                assert_eq!(env.plan().fired(), 0, "operation {nth} failed unnoticed");
                assert_eq!(file.unwrap().properties.entries, 200);
                break;
            }
            Err(error) => {
                failures += 1;
                assert_eq!(error.subcode(), Subcode::NoSpace, "{error}");
                assert!(inner.list(Path::new("/sst")).unwrap().is_empty(), "operation {nth}");
            }
        }
    }
    assert!(failures >= 4, "{failures}");
}

#[test]
fn an_iterator_that_fails_or_a_cancel_stops_it() {
    let env = SimEnv::new(4);
    let context = context(env.clone(), &[]);
    let mut failing = ListIterator::unsorted(vec![entry("a", 1, EntryKind::Put, "v").internal()]);
    failing.error = Some(Error::new(ErrorKind::Corruption, "block"));
    assert!(write_level0(Box::new(failing), &[], &context).unwrap_err().is_corruption());
    context.cancel.store(true, Ordering::Relaxed);
    let stopped = write_level0(iterator(&[entry("a", 1, EntryKind::Put, "v")]), &[], &context).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::ShutdownInProgress);
    assert!(env.list(Path::new("/sst")).unwrap().is_empty());
}
