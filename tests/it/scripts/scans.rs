//! Scans over separated values: keys alone leave the value log alone, neighbours come together, and reading ahead
//! shows what reading one by one does.

use super::{PATH, keys, noise};
use crate::support::reference::{Bytes, Change, FamilyState, show};
use crate::support::settings::{family, options, tiny};
use crate::support::{Random, check};
use auradb::config::Config;
use auradb::db::{ColumnFamily, CompactRangeOptions, Db, DbIterator, ReadOptions, WriteOptions};
use auradb::env::faulty::{Failure, Fault, FaultPlan, FaultyEnv, OperationClass, Selection};
use auradb::env::simulated::SimEnv;
use std::path::Path;
use std::sync::Arc;

/// A database whose reads of the value log are counted and can fail.
struct Machine {
    env: Arc<SimEnv>,
    faulty: Arc<FaultyEnv>,
    db: Db,
    family: ColumnFamily,
}

/// Segments that hold many values.
fn knobs() -> Config {
    let mut config = tiny();
    config.value_log.max_segment_size = 256 << 10;
    config.memtable.max_size = 64 << 10;
    config
}

fn reads() -> Selection {
    Selection::of(&[OperationClass::Read]).named(".vlog")
}

impl Machine {
    fn new(config: &Config) -> Machine {
        let env = SimEnv::new(1);
        let faulty = FaultyEnv::new(env.clone());
        let options = options(Some(faulty.clone()), config);
        let db = Db::open(&options, Path::new(PATH), &family(config)).expect("the database opens");
        let family = db.default_column_family();
        Machine { env, faulty, db, family }
    }

    fn plan(&self) -> &FaultPlan {
        self.faulty.plan()
    }

    fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let how = WriteOptions::default();
        self.db.put(&self.family, key.as_ref(), value.as_ref(), &how).expect("the put succeeds");
    }

    fn flush(&self) {
        self.db.flush(&[&self.family], true).expect("the flush succeeds");
    }

    fn compact(&self) {
        let how = CompactRangeOptions { force_bottommost: true };
        self.db.compact_range(&self.family, None, None, &how).expect("the compaction succeeds");
    }

    fn iterator(&self, fill_cache: bool) -> DbIterator {
        let how = ReadOptions { fill_cache, ..ReadOptions::default() };
        self.db.iterator(&self.family, &how).expect("an iterator is made")
    }

    /// Reads of the value log that a whole scan needs.
    fn reads_of_scan(&self, count: usize) -> u64 {
        self.plan().count(reads());
        let mut iterator = self.iterator(false);
        iterator.seek_to_first();
        for _ in 0..count {
            assert!(iterator.valid() && !iterator.value().is_empty());
            iterator.next();
        }
        assert!(!iterator.valid());
        iterator.status().expect("the scan succeeds");
        self.plan().seen()
    }
}

#[test]
fn a_scan_of_keys_never_reads_the_value_log() {
    let machine = Machine::new(&knobs());
    keys(500).enumerate().for_each(|(number, key)| machine.put(key, noise(number, 100)));
    machine.flush();
    machine.plan().count(reads());
    let mut iterator = machine.iterator(true);
    iterator.seek_to_first();
    for key in keys(500) {
        assert_eq!(iterator.key(), key.as_bytes());
        iterator.next();
    }
    iterator.seek_for_prev(b"key-00400");
    let mut seen = 0;
    while iterator.valid() {
        seen += 1;
        iterator.prev();
    }
    assert_eq!((seen, machine.plan().seen()), (401, 0));
    // Some values were read, and none ahead; then none any more.
    iterator.seek(b"key-00100");
    for _ in 0..10 {
        iterator.value();
        iterator.next();
    }
    let reads = machine.plan().seen();
    assert_eq!(reads, 5, "three values alone, then a call a batch: of 4, and of 8");
    while iterator.valid() {
        iterator.next();
    }
    assert_eq!(machine.plan().seen(), reads);
}

#[test]
fn neighbours_are_read_together_also_after_garbage_collection() {
    let count = 2000;
    let machine = Machine::new(&knobs());
    keys(count).enumerate().for_each(|(number, key)| machine.put(key, noise(number, 100)));
    machine.flush();
    let in_order = machine.reads_of_scan(count);
    assert!(in_order < count as u64 / 50, "{in_order} reads of {count} values in order");

    let mut random = Random::new(4);
    for number in 0..5 * count {
        machine.put(format!("key-{:05}", random.below(count)), noise(number, 100));
    }
    machine.flush();
    let scattered = machine.reads_of_scan(count);
    machine.compact();
    machine.db.collect_garbage(0.0).expect("garbage is collected");
    let collected = machine.reads_of_scan(count);
    assert!(collected < count as u64 / 20, "{collected} reads of {count} values, {scattered} before");
}

#[test]
fn a_damaged_value_is_told_where_it_is_and_one_failed_read_is_not() {
    let machine = Machine::new(&knobs());
    keys(300).enumerate().for_each(|(number, key)| machine.put(key, noise(number, 100)));
    machine.flush();
    // A read fails once: what it would have brought is read one by one.
    for nth in 0..8 {
        machine.plan().arm(Fault { selection: reads(), nth, failure: Failure::BROKEN, lasting: false });
        let how = ReadOptions { fill_cache: false, ..ReadOptions::default() };
        let found = check::scan(&machine.db, &machine.family, &how).expect("the scan succeeds");
        assert_eq!((found.len(), machine.plan().fired()), (300, 1));
    }
    machine.plan().heal();
    let hurt = noise(170, 100);
    for path in machine.env.list_all() {
        if path.to_string_lossy().ends_with(".vlog") {
            let mut bytes = machine.env.read_raw(&path);
            if let Some(at) = bytes.windows(100).position(|bytes| bytes == hurt) {
                bytes[at + 50] ^= 1;
                machine.env.write_raw(&path, &bytes);
            }
        }
    }
    let mut iterator = machine.iterator(false);
    iterator.seek_to_first();
    for number in 0..170 {
        assert_eq!(iterator.value(), noise(number, 100), "value {number}");
        iterator.next();
    }
    assert_eq!((iterator.valid(), iterator.key()), (true, &b"key-00170"[..]));
    iterator.status().expect("nothing was asked for that is damaged");
    assert!(iterator.value().is_empty() && !iterator.valid());
    assert!(iterator.status().is_err_and(|error| error.is_corruption()));
    // Past it without asking, and back.
    iterator.seek(b"key-00150");
    for number in (150..300).filter(|number| *number != 170) {
        if number == 171 {
            iterator.next();
        }
        assert_eq!(iterator.value(), noise(number, 100), "value {number}");
        iterator.next();
    }
    assert!(!iterator.valid());
    iterator.status().expect("what was passed is nobody's business");
    iterator.seek_to_last();
    for number in (171..300).rev() {
        assert_eq!(iterator.value(), noise(number, 100), "value {number}");
        iterator.prev();
    }
    assert!(iterator.value().is_empty() && iterator.status().is_err());
}

#[test]
fn a_long_scan_keeps_large_values_while_there_is_room() {
    // All fit; half fit.
    for (cache, all_kept) in [(8 << 20, true), (1 << 20, false)] {
        let mut config = knobs();
        config.cache.block_cache_size = cache;
        config.cache.vlog_cache_size = cache;
        let machine = Machine::new(&config);
        keys(400).enumerate().for_each(|(number, key)| machine.put(key, noise(number, 5000)));
        machine.flush();
        let scan = || {
            machine.plan().count(reads());
            let found = check::scan(&machine.db, &machine.family, &ReadOptions::default());
            assert_eq!(found.expect("the scan succeeds").len(), 400);
            machine.plan().seen()
        };
        let (first, second) = (scan(), scan());
        assert!(first > 0);
        if all_kept {
            assert_eq!(second, 0, "everything was kept");
        } else {
            assert!(0 < second && second < first, "some were kept, and stay: {second} reads after {first}");
        }
    }
}

#[test]
fn a_key_and_a_value_stay_until_the_next_move() {
    let machine = Machine::new(&knobs());
    keys(300).enumerate().for_each(|(number, key)| machine.put(key, noise(number, 100)));
    for fill_cache in [true, false] {
        let mut iterator = machine.iterator(fill_cache);
        iterator.seek_to_first();
        for number in 0..300 {
            let key = iterator.key().as_ptr();
            let value = iterator.value().as_ptr();
            let again = iterator.value().as_ptr();
            assert_eq!(value, again, "value {number}");
            // The first few are shown where they lie; a value that is read makes a copy of the key.
            assert!(number < 4 || key == iterator.key().as_ptr(), "key {number}");
            iterator.next();
        }
    }
}

/// Puts, deletes, range deletes and merges of values in tables and in the log.
fn write_history(machine: &Machine, state: &mut FamilyState, random: &mut Random) {
    let (db, family, how) = (&machine.db, &machine.family, WriteOptions::default());
    for number in 0..1500 {
        let key: Bytes = format!("{:03}", random.below(400)).into_bytes().into();
        let change = match random.below(40) {
            0 => {
                let start = random.below(380);
                let end = start + 1 + random.below(25);
                let bound = |at: usize| -> Bytes { format!("{at:03}").into_bytes().into() };
                Change::DeleteRange { family: 0, start: bound(start), end: bound(end) }
            }
            1..=4 => Change::Delete { family: 0, key },
            5..=7 => Change::Merge { family: 0, key, operand: noise(number, 9).into() },
            _ => {
                let len = random.pick(&[5, 20, 60, 60, 200, 200, 3000]);
                Change::Put { family: 0, key, value: noise(number, len).into() }
            }
        };
        let done = match &change {
            Change::Put { key, value, .. } => db.put(family, key, value, &how),
            Change::PutWithTtl { key, value, ttl, .. } => db.put_with_ttl(family, key, value, *ttl, &how),
            Change::Delete { key, .. } | Change::SingleDelete { key, .. } => db.delete(family, key, &how),
            Change::DeleteRange { start, end, .. } => db.delete_range(family, start, end, &how),
            Change::Merge { key, operand, .. } => db.merge(family, key, operand, &how),
        };
        done.expect("the write succeeds");
        state.apply(&change);
        if random.one_in(400) {
            machine.flush();
        }
    }
}

/// Walks with turns and gaps, long enough for large batches, against what is to be shown.
fn walk(iterator: &mut DbIterator, entries: &[(Vec<u8>, Vec<u8>)], random: &mut Random) {
    let mut at: Option<usize> = None;
    let mut read = true;
    for step in 0..3000 {
        let place = at.filter(|at| *at < entries.len());
        at = match (random.below(60), place) {
            (0, _) | (_, None) => match random.below(4) {
                0 => {
                    iterator.seek_to_first();
                    Some(0).filter(|_| !entries.is_empty())
                }
                1 => {
                    iterator.seek_to_last();
                    entries.len().checked_sub(1)
                }
                2 => {
                    let target = format!("{:03}", random.below(410)).into_bytes();
                    iterator.seek(&target);
                    Some(entries.partition_point(|(key, _)| *key < target)).filter(|at| *at < entries.len())
                }
                _ => {
                    let target = format!("{:03}", random.below(410)).into_bytes();
                    iterator.seek_for_prev(&target);
                    entries.partition_point(|(key, _)| *key <= target).checked_sub(1)
                }
            },
            (1, Some(here)) => {
                read = !read;
                iterator.prev();
                here.checked_sub(1)
            }
            (choice, Some(here)) if (choice == 2) == (step / 500 % 2 == 0) => {
                iterator.prev();
                here.checked_sub(1)
            }
            (_, Some(here)) => {
                iterator.next();
                Some(here + 1).filter(|at| *at < entries.len())
            }
        };
        iterator.status().expect("nothing fails");
        assert_eq!(iterator.valid(), at.is_some(), "step {step}");
        if let Some(at) = at {
            assert_eq!(show(iterator.key()), show(&entries[at].0), "step {step}");
            if read && !random.one_in(100) {
                assert_eq!(show(iterator.value()), show(&entries[at].1), "step {step}");
                assert_eq!(show(iterator.key()), show(&entries[at].0), "step {step}");
            }
        }
    }
}

#[test]
fn long_walks_with_turns_and_gaps_show_what_is_there() {
    let seeds = crate::support::chosen_seed().map_or(1..7, |seed| seed..seed + 1);
    for seed in seeds {
        println!("SEED={seed}");
        let mut random = Random::new(seed);
        let mut config = knobs();
        config.value_log.separation_threshold = random.pick(&[0, 24, 24, 100]);
        let machine = Machine::new(&config);
        let mut state = FamilyState::default();
        write_history(&machine, &mut state, &mut random);
        let snapshot = machine.db.snapshot();
        let entries: Vec<_> =
            state.entries.iter().map(|(key, value)| (key.bytes.to_vec(), value.to_vec())).collect();
        write_history(&machine, &mut state, &mut random);
        for round in 0..4 {
            let bound = |at: usize| Some(format!("{at:03}").into_bytes());
            let (lower, upper) = if round < 2 { (None, None) } else { (bound(90), bound(310)) };
            let within = |key: &Vec<u8>| {
                lower.as_ref().is_none_or(|lower| key >= lower)
                    && upper.as_ref().is_none_or(|upper| key < upper)
            };
            let shown: Vec<_> = entries.iter().filter(|(key, _)| within(key)).cloned().collect();
            let how = ReadOptions {
                fill_cache: round % 2 == 0,
                snapshot: Some(snapshot.sequence()),
                lower_bound: lower.clone(),
                upper_bound: upper.clone(),
                ..ReadOptions::default()
            };
            let mut iterator = machine.db.iterator(&machine.family, &how).expect("an iterator is made");
            walk(&mut iterator, &shown, &mut random);
        }
    }
}
