//! Versions with real tables: searches against brute force, files that are missing or wrong, and who removes what.

use super::edit::{NewFile, VersionEdit};
use super::manifest_tests::{context, prepare_dirs, table_options, value_log};
use super::set::{VersionSet, VersionSetContext};
use super::version::{KeyRange, Version};
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::key::{EntryKind, InternalKey, MAX_SEQUENCE};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{Comparator, Error, ErrorKind, InternalComparator, Result};
use crate::compaction::testing::Random;
use crate::env::faulty::{Failure, Fault, FaultyEnv, Selection};
use crate::env::simulated::SimEnv;
use crate::env::{Env, OpenMode};
use crate::sst::TableBuilder;
use crate::value_log::ValueLog;
use std::cmp::Ordering as Order;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

struct World {
    env: Arc<SimEnv>,
    context: VersionSetContext,
    log: Arc<ValueLog>,
    set: VersionSet,
}

impl World {
    fn new(order: InternalComparator) -> World {
        let env = SimEnv::new(1);
        prepare_dirs(&*env);
        let mut context = context(env.clone());
        context.table_options = Arc::new(move |_| {
            let order = order.clone();
            crate::sst::TableOptions { order, ..table_options() }
        });
        let log = value_log(env.clone(), &context.next_file_number);
        let set = VersionSet::create(context.clone(), [1; 16], "order").unwrap();
        World { env, context, log, set }
    }

    fn bytewise() -> World {
        World::new(InternalComparator::default())
    }

    /// A table of puts of `keys` at `sequence`, and maybe a range tombstone.
    fn table(&self, level: u32, keys: &[&[u8]], sequence: u64, deleted: Option<(&[u8], &[u8])>) -> NewFile {
        let number = self.context.next_file_number.fetch_add(1, Ordering::Relaxed);
        let file = self.context.env.open(&self.path(number), OpenMode::Create).unwrap();
        let mut builder = TableBuilder::new(file, number, (self.context.table_options)(0), 4096);
        for key in keys {
            builder.add(InternalKey::new(key, sequence, EntryKind::Put).as_bytes(), b"value").unwrap();
        }
        if let Some((start, end)) = deleted {
            let tombstone = RangeTombstone { start: start.to_vec(), end: end.to_vec(), sequence };
            builder.add_range_tombstone(&tombstone).unwrap();
        }
        NewFile { level, run: 0, number, properties: builder.finish().unwrap() }
    }

    fn path(&self, number: u64) -> PathBuf {
        path_of(&self.context.sst_dir, FileKind::Table(number))
    }

    fn apply(&self, removed: &[(u32, u64)], added: &[&NewFile]) -> Result<()> {
        let added = added.iter().map(|&file| file.clone()).collect();
        let edit = VersionEdit { added, removed: removed.to_vec(), ..VersionEdit::default() };
        self.set.apply(vec![edit], &self.log)
    }

    fn reopen(&self) -> Result<VersionSet> {
        let state = VersionSet::read_manifest(&*self.env, Path::new("/db"))?;
        VersionSet::open(self.context.clone(), state, &self.log, true)
    }

    fn current(&self) -> Arc<Version> {
        self.set.current(0).unwrap()
    }
}

fn shape(version: &Version) -> Vec<(usize, u64)> {
    version.files().map(|(level, file)| (level, file.number)).collect()
}

#[test]
fn level_0_is_newest_first_and_deeper_levels_are_in_key_order() {
    let world = World::bytewise();
    let old = world.table(0, &[b"a", b"m"], 5, None);
    let new = world.table(0, &[b"b", b"c"], 9, None);
    let right = world.table(2, &[b"x", b"z"], 2, None);
    let left = world.table(2, &[b"a", b"c"], 3, None);
    world.apply(&[], &[&right, &new]).unwrap();
    world.apply(&[], &[&old, &left]).unwrap();
    let expected = [(0, new.number), (0, old.number), (2, left.number), (2, right.number)];
    assert_eq!(shape(&world.current()), expected);
    assert_eq!(shape(&world.reopen().unwrap().current(0).unwrap()), expected);
    let version = world.current();
    assert_eq!((version.level0_runs(), version.runs(2).len(), version.runs(9).len()), (2, 1, 0));
    assert_eq!(version.level_bytes(2), left.properties.file_size + right.properties.file_size);
}

#[test]
fn overlap_is_refused_before_anything_is_written() {
    let world = World::bytewise();
    let one = world.table(1, &[b"a", b"m"], 5, None);
    world.apply(&[], &[&one]).unwrap();
    let before = world.env.journal_len();
    let across = world.table(1, &[b"c"], 6, None);
    let touching = world.table(1, &[b"m", b"n"], 6, None);
    let written = world.env.journal_len();
    assert!(written > before);
    for file in [&across, &touching] {
        let error = world.apply(&[], &[file]).unwrap_err();
        assert!(error.kind() == ErrorKind::Internal && error.to_string().contains("overlap"), "{error}");
    }
    assert!(world.apply(&[], &[&one]).unwrap_err().to_string().contains("twice"));
    assert_eq!(world.env.journal_len(), written, "something was written");
    assert_eq!(shape(&world.current()), [(1, one.number)]);
    // In a manifest the same is damage.
    let mut state = VersionSet::read_manifest(&*world.env, Path::new("/db")).unwrap();
    state.families.get_mut(&0).unwrap().files.insert(across.number, across);
    let error = VersionSet::open(world.context.clone(), state, &world.log, true).err().unwrap();
    assert!(error.is_corruption() && error.to_string().contains("overlap"), "{error}");
}

#[test]
fn an_exclusive_end_does_not_overlap_what_begins_there() {
    let world = World::bytewise();
    let order = InternalComparator::default();
    let left = world.table(1, &[b"a"], 5, Some((b"b", b"m")));
    let right = world.table(1, &[b"m", b"p"], 5, None);
    world.apply(&[], &[&left, &right]).unwrap();
    let version = world.current();
    let numbers = |begin: &[u8], end: &[u8]| -> Vec<u64> {
        version.overlapping(1, Some(begin), Some(end), &order).iter().map(|file| file.number).collect()
    };
    assert_eq!(numbers(b"m", b"m"), [right.number]);
    assert_eq!(numbers(b"l", b"lz"), [left.number]);
    assert_eq!(numbers(b"l", b"m"), [left.number, right.number]);
    for snapshot in [0, 5, MAX_SEQUENCE] {
        let lookup = InternalKey::for_lookup(b"m", snapshot);
        let found: Vec<u64> =
            version.files_for_key(lookup.as_bytes(), &order).map(|(_, file)| file.number).collect();
        assert_eq!(found, [right.number], "at {snapshot}");
    }
}

struct Backwards;

impl Comparator for Backwards {
    fn name(&self) -> &str {
        "backwards"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> Order {
        b.cmp(a)
    }
}

/// Random runs; every search gives what looking at every table gives.
#[test]
fn searches_answer_as_brute_force() {
    for (seed, order) in [InternalComparator::default(), InternalComparator::new(Arc::new(Backwards))]
        .into_iter()
        .flat_map(|order| (0..15).map(move |seed| (seed, order.clone())))
    {
        let world = World::new(order.clone());
        let mut random = Random::new(seed);
        let prefix = vec![b'p'; random.below(12) as usize];
        let mut keys: Vec<Vec<u8>> = (0..2 + random.below(60))
            .map(|_| {
                let tail = (0..random.below(11)).map(|_| [0, b'a', b'b', 255][random.below(4) as usize]);
                prefix.iter().copied().chain(tail).collect()
            })
            .collect();
        keys.push(Vec::new());
        keys.sort_by(|a, b| order.compare_user(a, b));
        keys.dedup();
        let mut added = Vec::new();
        for level in [1, 2] {
            for chunk in keys.chunks(1 + random.below(4) as usize) {
                let chunk: Vec<&[u8]> = chunk.iter().map(Vec::as_slice).collect();
                if random.one_in(3) {
                    continue;
                }
                let deleted = random.one_in(3).then(|| (chunk[0], chunk[chunk.len() - 1]));
                let points = if deleted.is_some() && chunk.len() > 1 { chunk.len() - 1 } else { chunk.len() };
                added.push(world.table(level, &chunk[..points], 5, deleted.filter(|_| chunk.len() > 1)));
            }
        }
        world.apply(&[], &added.iter().collect::<Vec<_>>()).unwrap();
        let version = world.current();
        keys.push([&prefix[..], b"zz"].concat());
        keys.push(b"o".to_vec());
        for a in &keys {
            check_key(&version, a, &order, seed);
            for b in &keys {
                check_range(&version, a, b, &order, seed);
            }
        }
    }
}

fn check_key(version: &Version, key: &[u8], order: &InternalComparator, seed: u64) {
    let lookup = InternalKey::for_lookup(key, 7);
    let found: Vec<u64> = version.files_for_key(lookup.as_bytes(), order).map(|(_, f)| f.number).collect();
    let expected: Vec<u64> = version
        .files()
        .filter(|(_, f)| {
            let above = order.compare_user(f.smallest_user(), key).is_le();
            let side = order.compare_user(key, f.largest_user());
            above && (side.is_lt() || (side.is_eq() && !f.largest_is_exclusive()))
        })
        .map(|(_, file)| file.number)
        .collect();
    assert_eq!(found, expected, "seed {seed}, key {}", key.escape_ascii());
}

fn check_range(version: &Version, a: &[u8], b: &[u8], order: &InternalComparator, seed: u64) {
    for exclusive in [false, true] {
        if order.compare_user(a, b).is_gt() || (exclusive && a == b) {
            continue;
        }
        let range = KeyRange { start: a.to_vec(), end: b.to_vec(), end_is_exclusive: exclusive };
        for level in 0..4 {
            let found: Vec<u64> = version.meeting(level, &range, order).map(|file| file.number).collect();
            let all = version.runs(level).iter().flat_map(|run| &run.files);
            let expected: Vec<u64> =
                all.filter(|file| range.meets(file, order)).map(|file| file.number).collect();
            assert_eq!(found, expected, "seed {seed}, level {level}, {range:?}");
            if !exclusive {
                let overlapping = version.overlapping(level, Some(a), Some(b), order);
                assert_eq!(overlapping.iter().map(|file| file.number).collect::<Vec<_>>(), expected);
            }
        }
    }
    let total: u64 = version.files().map(|(_, file)| file.properties.file_size).sum();
    assert!(version.approximate_size(a, b, order) <= total);
}

#[test]
fn approximate_sizes_count_the_tables_between() {
    let world = World::bytewise();
    let order = InternalComparator::default();
    let one = world.table(1, &[b"b", b"c"], 5, None);
    let two = world.table(1, &[b"d", b"e"], 5, None);
    world.apply(&[], &[&one, &two]).unwrap();
    let version = world.current();
    let sizes = [one.properties.file_size, two.properties.file_size];
    assert_eq!(version.approximate_size(b"a", b"z", &order), sizes[0] + sizes[1]);
    assert_eq!(version.approximate_size(b"cc", b"z", &order), sizes[1]);
    assert_eq!(version.approximate_size(b"z", b"a", &order), 0);
    assert_eq!(version.approximate_size(b"f", b"g", &order), 0);
}

#[test]
fn a_file_goes_when_the_edit_is_installed_and_the_last_reader_left() {
    let world = World::bytewise();
    let (one, two) = (world.table(1, &[b"a"], 5, None), world.table(1, &[b"b"], 5, None));
    world.apply(&[], &[&one, &two]).unwrap();
    let reader = world.current();
    let merged = world.table(2, &[b"a", b"b"], 5, None);
    world.apply(&[(1, one.number), (1, two.number)], &[&merged]).unwrap();
    assert_eq!(world.set.take_obsolete(), Vec::<u64>::new());
    assert_eq!(world.set.live_tables(), [one.number, two.number, merged.number]);
    drop(reader);
    let mut gone = world.set.take_obsolete();
    gone.sort_unstable();
    assert_eq!(gone, [one.number, two.number]);
    assert_eq!(world.set.take_obsolete(), Vec::<u64>::new(), "reported once");
    // A move keeps the file and the open table.
    let before = world.current().files().next().unwrap().1.clone();
    let moved = NewFile { level: 4, ..merged.clone() };
    world.apply(&[(2, merged.number)], &[&moved]).unwrap();
    assert!(Arc::ptr_eq(&before, world.current().files().next().unwrap().1));
    assert_eq!((before.current_level(), before.is_obsolete()), (4, false));
    drop(before);
    assert_eq!(world.set.take_obsolete(), Vec::<u64>::new());
    // A dropped column family takes its tables along.
    let create = Some(("other".to_string(), "order".to_string()));
    let other = VersionEdit { column_family: 1, create, ..VersionEdit::default() };
    let theirs = world.table(1, &[b"k"], 6, None);
    let fill = VersionEdit { column_family: 1, added: vec![theirs.clone()], ..VersionEdit::default() };
    world.set.apply(vec![other, fill], &world.log).unwrap();
    assert_eq!(world.set.current(1).unwrap().level_bytes(1), theirs.properties.file_size);
    let drop_it = VersionEdit { column_family: 1, drop: true, ..VersionEdit::default() };
    world.set.apply(vec![drop_it], &world.log).unwrap();
    assert!(world.set.current(1).is_none());
    assert_eq!(world.set.take_obsolete(), [theirs.number]);
    assert!(world.reopen().unwrap().current(1).is_none());
}

#[test]
fn missing_short_and_swapped_tables_are_found_at_open() {
    let world = World::bytewise();
    let one = world.table(1, &[b"a", b"b"], 5, None);
    let two = world.table(1, &[b"c", b"d"], 5, None);
    world.apply(&[], &[&one, &two]).unwrap();
    let (first, second) = (world.path(one.number), world.path(two.number));
    let (bytes, other) = (world.env.read_raw(&first), world.env.read_raw(&second));
    let failure = || -> Error { world.reopen().err().expect("the damage is not found") };
    for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        world.env.write_raw(&first, &bytes[..len]);
        assert!(failure().is_corruption() && failure().file() == Some(&*first), "{len} bytes: {}", failure());
    }
    world.env.write_raw(&first, &[&bytes[..], b"more"].concat());
    assert!(failure().is_corruption());
    world.env.write_raw(&first, &other);
    world.env.write_raw(&second, &bytes);
    assert!(failure().is_corruption(), "swapped");
    world.env.write_raw(&second, &other);
    world.env.remove_file(&first).unwrap();
    let error = failure();
    assert_eq!((error.subcode(), error.file()), (Subcode::MissingFile, Some(&*first)), "{error}");
    assert!(error.to_string().contains("\"default\""), "{error}");
    world.env.write_raw(&first, &bytes);
    assert!(world.reopen().is_ok());
}

#[test]
fn missing_and_short_segments_are_found() {
    let world = World::bytewise();
    let (pointer, hold) = world.log.append(0, b"k", &[7; 500]).unwrap();
    world.log.sync(None).unwrap();
    let mut stored = Vec::new();
    pointer.encode(&mut stored);
    let number = world.context.next_file_number.fetch_add(1, Ordering::Relaxed);
    let file = world.env.open(&world.path(number), OpenMode::Create).unwrap();
    let mut builder = TableBuilder::new(file, number, table_options(), 4096);
    builder.add(InternalKey::new(b"k", 3, EntryKind::Pointer).as_bytes(), &stored).unwrap();
    let table = NewFile { level: 1, run: 0, number, properties: builder.finish().unwrap() };
    world.apply(&[], &[&table]).unwrap();
    drop(hold);
    assert_eq!(world.log.take_obsolete(), Vec::<u64>::new(), "the table holds its segment");
    assert_eq!(world.set.segment_use(), table.properties.segments);

    let reopen = |cut: Option<usize>| -> Result<VersionSet> {
        let env = world.env.clone_all_durable();
        let path = path_of(Path::new("/db/vlog"), FileKind::Segment(pointer.segment));
        match cut {
            Some(cut) => {
                let mut bytes = env.read_raw(&path);
                bytes.truncate(pointer.end() as usize - cut);
                env.write_raw(&path, &bytes);
            }
            None => env.remove_file(&path).unwrap(),
        }
        let context = context(env.clone());
        let log = value_log(env.clone(), &context.next_file_number);
        let state = VersionSet::read_manifest(&*env, Path::new("/db")).unwrap();
        VersionSet::open(context, state, &log, true)
    };
    assert!(reopen(Some(0)).is_ok());
    let short = reopen(Some(1)).err().unwrap();
    assert!(short.is_corruption() && short.to_string().contains("truncated"), "{short}");
    let missing = reopen(None).err().unwrap();
    assert_eq!(missing.subcode(), Subcode::MissingFile, "{missing}");
    assert!(missing.to_string().contains(".vlog"), "{missing}");
}

#[test]
fn tables_of_an_edit_in_doubt_stay_until_a_new_manifest_decides() {
    let inner = World::bytewise();
    let env = FaultyEnv::new(inner.env.clone());
    let context = VersionSetContext { env: env.clone(), ..inner.context.clone() };
    let set = VersionSet::create(context, [1; 16], "order").unwrap();
    let table = inner.table(1, &[b"a"], 5, None);
    let edit = VersionEdit { added: vec![table.clone()], ..VersionEdit::default() };
    let failing = Selection::mutating().named("MANIFEST-");
    env.plan().arm(Fault { selection: failing, nth: 1, failure: Failure::BROKEN, lasting: true });
    set.apply(vec![edit.clone()], &inner.log).expect_err("the sync fails");
    assert!(set.manifest_failed() && set.current(0).unwrap().files().next().is_none());
    assert_eq!(set.live_tables(), [table.number], "the record may be durable");
    assert_eq!(set.take_obsolete(), Vec::<u64>::new());
    set.reset_manifest().expect_err("the device is still broken");
    env.plan().heal();
    set.reset_manifest().unwrap();
    assert_eq!((set.live_tables(), set.take_obsolete()), (vec![], vec![table.number]));
    let state = VersionSet::read_manifest(&*inner.env, Path::new("/db")).unwrap();
    assert!(state.families[&0].files.is_empty());
}

/// A move that could not be recorded leaves a table that is in use: it must not be removed.
#[test]
fn a_move_in_doubt_keeps_its_table() {
    let inner = World::bytewise();
    let env = FaultyEnv::new(inner.env.clone());
    let context = VersionSetContext { env: env.clone(), ..inner.context.clone() };
    let set = VersionSet::create(context, [1; 16], "order").unwrap();
    let table = inner.table(1, &[b"a"], 5, None);
    let add = VersionEdit { added: vec![table.clone()], ..VersionEdit::default() };
    set.apply(vec![add], &inner.log).unwrap();
    let added = vec![NewFile { level: 3, ..table.clone() }];
    let down = VersionEdit { added, removed: vec![(1, table.number)], ..VersionEdit::default() };
    env.plan().arm(Fault {
        selection: Selection::mutating(),
        nth: 0,
        failure: Failure::BROKEN,
        lasting: false,
    });
    set.apply(vec![down.clone()], &inner.log).expect_err("the write fails");
    set.reset_manifest().unwrap();
    let file = set.current(0).unwrap().files().next().unwrap().1.clone();
    assert_eq!((file.current_level(), file.is_obsolete()), (1, false));
    drop(file);
    set.apply(vec![down], &inner.log).unwrap();
    assert_eq!(shape(&set.current(0).unwrap()), [(3, table.number)]);
    assert_eq!(set.take_obsolete(), Vec::<u64>::new());
    drop(set);
    assert!(inner.env.exists(&inner.path(table.number)));
    let state = VersionSet::read_manifest(&*inner.env, Path::new("/db")).unwrap();
    let set = VersionSet::open(inner.context.clone(), state, &inner.log, true).unwrap();
    assert_eq!((set.live_tables(), set.take_obsolete()), (vec![table.number], vec![]));
}

#[test]
fn read_only_writes_nothing() {
    let world = World::bytewise();
    world.apply(&[], &[&world.table(1, &[b"a"], 5, None)]).unwrap();
    let before = world.env.journal_len();
    let set = world.reopen().unwrap();
    let error = set.apply(vec![VersionEdit::default()], &world.log).unwrap_err();
    assert_eq!(error.subcode(), Subcode::ReadOnly);
    assert_eq!(set.reset_manifest().unwrap_err().subcode(), Subcode::ReadOnly);
    assert_eq!(shape(&set.current(0).unwrap()), shape(&world.current()));
    let changed: Vec<String> =
        (before..world.env.journal_len()).map(|at| world.env.describe_operation(at)).collect();
    assert!(changed.iter().all(|operation| operation.starts_with("sync")), "{changed:?}");
}
