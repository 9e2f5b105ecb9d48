//! Memtables of one family that pile up behind a flush, over every write path: they are read while they wait, and the
//! next flush makes one table of all of them.

use crate::support::reference::{Append, Bytes, Change, FamilyState};
use crate::support::settings::{WRITE_PATHS, options, special_family, tiny};
use crate::support::{Random, TemporaryDirectory, check};
use auradb::base::extension::MergeOperator;
use auradb::batch::WriteBatch;
use auradb::config::{Config, SyncPolicy};
use auradb::db::{ColumnFamily, ColumnFamilyOptions, Db, ReadOptions, WriteOptions};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// Memtables that wait while the first one is being flushed.
const WAITING: usize = 3;
const KEYS: usize = 40;

/// As `Append`, but a flush that combines operands waits until the gate is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    reached: bool,
    open: bool,
}

impl Gate {
    fn wait_until_reached(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !state.reached).unwrap());
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }
}

impl MergeOperator for Gate {
    fn name(&self) -> &str {
        "test.append"
    }
    fn full_merge(&self, key: &[u8], existing: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Append { partial: true }.full_merge(key, existing, operands)
    }
    fn partial_merge(&self, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        let mut state = self.state.lock().unwrap();
        state.reached = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open).unwrap());
        Append { partial: true }.partial_merge(key, operands)
    }
}

/// Opens the gate at the end, also that of a test that fails: the database waits for its flush.
struct OpenAtEnd(Arc<Gate>);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn key(number: usize) -> Bytes {
    format!("key-{number:02}").into_bytes().into()
}

struct Fixture {
    db: Db,
    family: ColumnFamily,
    state: FamilyState,
    random: Random,
}

impl Fixture {
    fn open(path: &Path, config: &Config, family: &ColumnFamilyOptions, state: FamilyState) -> Fixture {
        let db = Db::open(&options(None, config), path, family).expect("the database opens");
        let family = db.default_column_family();
        Fixture { db, family, state, random: Random::new(7) }
    }

    fn write(&mut self, change: &Change) {
        let mut batch = WriteBatch::new();
        change.add_to(&mut batch, self.family.id()).unwrap();
        self.db.write(&batch, &WriteOptions::default()).expect("the write succeeds");
        self.state.apply(change);
    }

    /// Changes of all kinds, of keys that other memtables have too; then the memtable is sealed.
    fn fill_one(&mut self) {
        for number in 0..60 {
            let (family, key_number) = (0, self.random.below(KEYS));
            let changed = key(key_number);
            let value: Bytes = format!("{number}-{}", ".".repeat(self.random.below(60))).into_bytes().into();
            let change = match self.random.below(10) {
                0 | 1 => Change::Delete { family, key: changed },
                2 => Change::Merge { family, key: changed, operand: value },
                3 if !self.state.reversed => {
                    Change::DeleteRange { family, start: changed, end: key(key_number + 3) }
                }
                3 => Change::DeleteRange { family, start: key(key_number + 3), end: changed },
                _ => Change::Put { family, key: changed, value },
            };
            self.write(&change);
        }
        self.seal();
    }

    fn seal(&self) {
        self.db.flush(&[&self.family], false).expect("the memtable is sealed");
    }

    fn number(&self, property: &str) -> u64 {
        self.db.property_int(&self.family, property).expect("the property is there")
    }

    fn check(&self, state: &FamilyState, options: &ReadOptions, what: &str) {
        let keys: Vec<Bytes> = (0..KEYS).map(key).collect();
        check::family_is(&self.db, &self.family, state, options, keys.iter().map(|key| &**key))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

fn pile_up(config: &Config, reversed: bool, what: &str) {
    let directory = TemporaryDirectory::new("memtables");
    let path = directory.0.join("db");
    let gate = Arc::new(Gate::default());
    let mut options = special_family(config, false, reversed, true);
    options.merge_operator = Some(gate.clone());
    let state = FamilyState { reversed, ..FamilyState::default() };
    let mut fixture = Fixture::open(&path, config, &options, state);
    let open_at_end = OpenAtEnd(gate.clone());
    for _ in 0..2 {
        fixture.write(&Change::Merge { family: 0, key: key(0), operand: b"gate"[..].into() });
    }
    fixture.seal();
    gate.wait_until_reached();
    fixture.fill_one();
    let (snapshot, then) = (fixture.db.snapshot(), fixture.state.clone());
    let at_snapshot = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
    (1..WAITING).for_each(|_| fixture.fill_one());
    assert_eq!(fixture.number("rocksdb.num-immutable-mem-table"), 1 + WAITING as u64, "{what}");
    fixture.check(&fixture.state, &ReadOptions::default(), what);
    fixture.check(&then, &at_snapshot, what);
    gate.open();
    fixture.db.wait_for_background_work().unwrap();
    assert_eq!(fixture.number("rocksdb.num-immutable-mem-table"), 0, "{what}");
    assert_eq!(fixture.number("auradb.flushes"), 2, "{what}: the waiting ones went together");
    fixture.check(&fixture.state, &ReadOptions::default(), what);
    fixture.check(&then, &at_snapshot, what);
    drop((open_at_end, snapshot));
    fixture.db.close().unwrap();
    let reopened = Fixture::open(&path, config, &options, fixture.state.clone());
    reopened.check(&reopened.state, &ReadOptions::default(), what);
}

#[test]
fn memtables_that_pile_up_are_read_and_flushed_together() {
    for (number, write_path) in WRITE_PATHS.iter().enumerate() {
        for reversed in [false, true] {
            let mut config = tiny();
            write_path.choose(&mut config);
            config.memtable.count = 2 * WAITING;
            config.memtable.max_size = 1 << 20;
            // Memtables are sealed by what values they refer to as well: a part of a segment.
            config.value_log.max_segment_size = 256 << 10;
            config.wal.sync_policy =
                [SyncPolicy::Manual, SyncPolicy::EveryNWrites(5)][(number + number / 4) % 2];
            config.compaction.triggers.level0_files = 10;
            pile_up(&config, reversed, &format!("{}, reversed {reversed}", write_path.name));
        }
    }
}
