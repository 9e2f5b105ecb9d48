//! Runs the steps of a workload on a failing machine and keeps track of what each key may hold.

use super::show_all;
use crate::support::settings::{family, options, tiny};
use crate::support::{check, reference::show};
use auradb::base::error::Subcode;
use auradb::base::{Error, Result};
use auradb::batch::WriteBatch;
use auradb::config::{Config, MemtableImplementation, SyncPolicy};
use auradb::db::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, Options, ReadOptions, WriteOptions,
};
use auradb::env::Env;
use auradb::env::faulty::{FaultPlan, FaultyEnv};
use auradb::env::simulated::{ImageKind, SimEnv};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/db";

const MEMTABLES: [MemtableImplementation; 3] =
    [MemtableImplementation::SkipList, MemtableImplementation::Art, MemtableImplementation::BTree];

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Put,
    SyncedPut,
    BigPut,
    Delete,
    DeleteRange,
    Merge,
    /// Two keys of their own in each family.
    Batch,
    /// Values of which several segments are made, in one batch.
    BigBatch,
    Flush,
    Compact,
    /// Garbage of the value log, all of it.
    Collect,
    SyncLog,
    CreateFamily,
    DropFamily,
    Reopen,
    Get,
}

type Value = Option<Vec<u8>>;

/// What a key may hold: more than one value after a failed write. With `stands` false the family may be missing.
type Possible = BTreeMap<Vec<u8>, Vec<Value>>;

#[derive(Default)]
struct Family {
    keys: Possible,
    /// None once it was dropped.
    handle: Option<ColumnFamily>,
    /// Creating or dropping it failed: it may be there or not.
    in_doubt: bool,
    /// What keys held since the last sync that succeeded: what a failed sync can take them back to.
    unsynced: Possible,
}

pub struct Driver {
    machine: Arc<SimEnv>,
    faulty: Arc<FaultyEnv>,
    config: Config,
    db: Option<Db>,
    families: BTreeMap<String, Family>,
    counter: u64,
    log: Vec<String>,
    /// The device refused a sync: what was not synced may be lost, as after a power loss.
    sync_failed: bool,
}

/// A change of one key.
#[derive(Clone)]
enum Change {
    Set(Value),
    Append(Vec<u8>),
}

impl Change {
    fn of(&self, value: &Value) -> Value {
        match self {
            Change::Set(new) => new.clone(),
            Change::Append(operand) => Some([value.as_deref().unwrap_or_default(), operand].concat()),
        }
    }
}

type Outcome = std::result::Result<(), String>;

impl Driver {
    pub const POLICIES: usize = 3;

    /// Whether values of synced writes stay in the log until they are flushed.
    pub fn keeps(workload: usize, policy: usize) -> bool {
        (workload + policy / 2).is_multiple_of(2)
    }

    /// An empty machine. The policy says who syncs, and when, and whether the log is mapped: mostly the machine cannot,
    /// so that every write can fail. The structures of memtables take turns over workloads and policies.
    pub fn new(workload: usize, policy: usize) -> Driver {
        let machine = SimEnv::new(7);
        machine.refuse_mapping(policy < 2);
        let mut config = tiny();
        config.wal.max_file_size = 4 << 10;
        config.wal.async_writes = policy != 1;
        config.value_log.synced_separation_threshold =
            if Driver::keeps(workload, policy) { 1 << 20 } else { 0 };
        config.wal.sync_policy = if policy == 1 { SyncPolicy::Manual } else { SyncPolicy::EveryWrite };
        config.performance.direct_io = (workload + policy) % 3 == 1;
        config.memtable.implementation = MEMTABLES[(workload + policy) % MEMTABLES.len()];
        let families = BTreeMap::from([("default".to_string(), Family::default())]);
        let faulty = FaultyEnv::new(machine.clone());
        Driver {
            machine,
            faulty,
            config,
            db: None,
            families,
            counter: 0,
            log: Vec::new(),
            sync_failed: false,
        }
    }

    pub fn plan(&self) -> &Arc<FaultPlan> {
        self.faulty.plan()
    }

    pub fn history(&self) -> String {
        self.log.iter().map(|line| format!("  {line}\n")).collect()
    }

    fn options(&self, env: Arc<dyn Env>) -> Options {
        options(Some(env), &self.config)
    }

    fn family_options(&self) -> ColumnFamilyOptions {
        family(&self.config)
    }

    /// Opens; trying once more is what a user would do. Families in doubt are as the manifest says.
    fn open(&mut self, env: Arc<dyn Env>) -> Result<()> {
        let options = self.options(env.clone());
        if env.exists(&Path::new(PATH).join("CURRENT")) {
            let names = Db::list_column_families(&options, Path::new(PATH))?;
            for (name, family) in self.families.iter_mut().filter(|(_, family)| family.in_doubt) {
                family.in_doubt = false;
                if !names.contains(name) {
                    *family = Family::default();
                    family.keys.insert(b"gone".to_vec(), Vec::new());
                }
            }
            self.families.retain(|_, family| !family.keys.contains_key(&b"gone"[..]));
        }
        let names: Vec<_> = self.families.keys().map(|name| (name.clone(), self.family_options())).collect();
        let (db, handles) = Db::open_column_families(&options, Path::new(PATH), &names)?;
        for (family, handle) in self.families.values_mut().zip(handles) {
            family.handle = Some(handle);
        }
        self.db = Some(db);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        for family in self.families.values_mut() {
            family.handle = None;
        }
        // A sync that failed in the background is no call's outcome.
        let failure = self.db.as_ref().and_then(|db| db.health().failure);
        self.sync_failed |= failure.is_some_and(|failure| failure.to_string().contains("sync"));
        self.db.take().map_or(Ok(()), |db| db.close())
    }

    pub fn run(&mut self, steps: &[Step]) -> Outcome {
        for step in steps {
            if self.db.is_none() {
                self.allow_unsynced_losses();
                let outcome = self.open(self.faulty.clone());
                self.sync_failed = outcome.as_ref().is_err_and(|error| error.to_string().contains("sync"));
                self.log.push(format!("open: {outcome:?}"));
                if outcome.is_err() {
                    continue;
                }
            }
            let outcome = self.step(*step);
            self.note_durability(*step, &outcome);
            self.log.push(format!("{step:?}: {outcome:?}"));
            if let Err(error) = &outcome
                && self.plan().fired() == 0
            {
                return Err(format!("{step:?} fails although nothing else did: {error}"));
            }
        }
        Ok(())
    }

    fn value(&mut self, len: usize) -> Vec<u8> {
        self.counter += 1;
        let mut value = format!("value-{}-", self.counter).into_bytes();
        value.resize(len.max(value.len()), b'.');
        value
    }

    fn some_key(&self) -> Vec<u8> {
        format!("k{}", self.counter * 7 % 5).into_bytes()
    }

    fn step(&mut self, step: Step) -> Result<()> {
        let db = self.db.clone().expect("opened before");
        let handle = self.families["default"].handle.clone().expect("opened before");
        let synced = WriteOptions { sync: true, ..WriteOptions::default() };
        let plain = WriteOptions::default();
        match step {
            Step::Put | Step::SyncedPut | Step::BigPut => {
                let len = if matches!(step, Step::BigPut) { 900 } else { 300 * (self.counter as usize % 2) };
                let (value, key) = (self.value(len), self.some_key());
                let how = if matches!(step, Step::SyncedPut) { synced } else { plain };
                let outcome = db.put(&handle, &key, &value, &how);
                self.changed("default", &key, Change::Set(Some(value)), &outcome);
                outcome
            }
            Step::Delete => {
                let key = self.some_key();
                let outcome = db.delete(&handle, &key, &plain);
                self.changed("default", &key, Change::Set(None), &outcome);
                outcome
            }
            Step::DeleteRange => {
                let outcome = db.delete_range(&handle, b"k1", b"k4", &plain);
                for key in [b"k1", b"k2", b"k3"] {
                    self.changed("default", key, Change::Set(None), &outcome);
                }
                outcome
            }
            Step::Merge => {
                let (operand, key) = (self.value(0), self.some_key());
                let outcome = db.merge(&handle, &key, &operand, &plain);
                self.changed("default", &key, Change::Append(operand), &outcome);
                outcome
            }
            Step::Batch => self.batch(&db),
            Step::BigBatch => self.big_batch(&db, &handle),
            Step::Flush => {
                let handles: Vec<_> =
                    self.families.values().filter_map(|family| family.handle.clone()).collect();
                db.flush(&handles.iter().collect::<Vec<_>>(), true)
            }
            Step::Compact => {
                db.compact_range(&handle, None, None, &CompactRangeOptions { force_bottommost: true })
            }
            Step::Collect => db.collect_garbage(0.0).map(|_| ()),
            Step::SyncLog => db.flush_wal(true),
            Step::CreateFamily => self.create_family(&db),
            Step::DropFamily => self.drop_family(&db),
            Step::Reopen => self.close(),
            Step::Get => db.get(&handle, &self.some_key(), &ReadOptions::default()).map(|_| ()),
        }
    }

    /// Two new keys in each family: all or none of them are there.
    fn batch(&mut self, db: &Db) -> Result<()> {
        let mut batch = WriteBatch::new();
        let (small, big) = (self.value(0), self.value(200));
        let keys = [format!("batch-{}-a", self.counter), format!("batch-{}-b", self.counter)];
        let names: Vec<String> = self.families.keys().cloned().collect();
        let mut changes = Vec::new();
        for name in names {
            let Some(handle) = &self.families[&name].handle else { continue };
            for (key, value) in [(&keys[0], &small), (&keys[1], &big)] {
                batch.put(handle.id(), key.as_bytes(), value)?;
                changes.push((name.clone(), key.clone(), value.clone()));
            }
        }
        let outcome = db.write(&batch, &WriteOptions::default());
        for (name, key, value) in changes {
            self.changed(&name, key.as_bytes(), Change::Set(Some(value)), &outcome);
        }
        outcome
    }

    fn big_batch(&mut self, db: &Db, handle: &ColumnFamily) -> Result<()> {
        let mut batch = WriteBatch::new();
        let (mut changes, number) = (Vec::new(), self.counter);
        for at in 0..7 {
            let (key, mut value) = (format!("batch-{number}-{at}"), self.value(0));
            // Bytes that no codec makes shorter.
            let mut state = self.counter;
            while value.len() < 900 + at {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value.push((state >> 40) as u8);
            }
            batch.put(handle.id(), key.as_bytes(), &value)?;
            changes.push((key, value));
        }
        let outcome = db.write(&batch, &WriteOptions::default());
        for (key, value) in changes {
            self.changed("default", key.as_bytes(), Change::Set(Some(value)), &outcome);
        }
        outcome
    }

    fn create_family(&mut self, db: &Db) -> Result<()> {
        self.counter += 1;
        let name = format!("f{}", self.counter);
        let outcome = db.create_column_family(&self.family_options(), &name);
        let in_doubt = outcome.is_err();
        let family = Family { handle: outcome.as_ref().ok().cloned(), in_doubt, ..Family::default() };
        self.families.insert(name, family);
        outcome.map(|_| ())
    }

    fn drop_family(&mut self, db: &Db) -> Result<()> {
        let living =
            self.families.iter().find(|(name, family)| *name != "default" && family.handle.is_some());
        let Some((name, handle)) = living.map(|(name, family)| (name.clone(), family.handle.clone())) else {
            return Ok(());
        };
        let outcome = db.drop_column_family(&handle.expect("filtered"));
        match &outcome {
            Ok(()) => drop(self.families.remove(&name)),
            Err(_) => self.families.get_mut(&name).expect("found above").in_doubt = true,
        }
        outcome
    }

    fn changed(&mut self, family: &str, key: &[u8], change: Change, outcome: &Result<()>) {
        let Family { keys, unsynced, .. } = self.families.get_mut(family).expect("the family is known");
        let before = keys.get(key).cloned().unwrap_or_else(|| vec![None]);
        unsynced.entry(key.to_vec()).or_default().extend(before.clone());
        let mut after: Vec<Value> = before.iter().map(|value| change.of(value)).collect();
        if outcome.is_err() {
            after.extend(before);
        }
        after.sort();
        after.dedup();
        keys.insert(key.to_vec(), after);
    }

    /// A step that synced everything ends what a failed sync could take back.
    fn note_durability(&mut self, step: Step, outcome: &Result<()>) {
        if let Err(error) = outcome {
            self.sync_failed |= error.to_string().contains("sync");
            return;
        }
        let every = self.config.wal.sync_policy == SyncPolicy::EveryWrite;
        let writes = matches!(
            step,
            Step::Put
                | Step::BigPut
                | Step::Delete
                | Step::DeleteRange
                | Step::Merge
                | Step::Batch
                | Step::BigBatch
        );
        let syncs = matches!(step, Step::SyncedPut | Step::SyncLog | Step::Flush | Step::Reopen);
        if !self.sync_failed && (syncs || (every && writes)) {
            self.families.values_mut().for_each(|family| family.unsynced.clear());
        }
    }

    /// After a failed sync the device may have lost what was not synced before it.
    fn allow_unsynced_losses(&mut self) {
        if std::mem::take(&mut self.sync_failed) {
            for family in self.families.values_mut() {
                for (key, values) in std::mem::take(&mut family.unsynced) {
                    family.keys.entry(key).or_insert_with(|| vec![None]).extend(values);
                }
            }
        }
    }

    /// Every read that works shows something that may be there; while nothing is broken every read works.
    pub fn check(&self, when: &str) -> Outcome {
        let Some(db) = &self.db else { return Ok(()) };
        for (name, family) in &self.families {
            let Some(handle) = &family.handle else { continue };
            for (key, possible) in &family.keys {
                match db.get(handle, key, &ReadOptions::default()) {
                    Ok(found) => {
                        let found: Value = found.map(|value| value.to_vec());
                        if !possible.contains(&found) {
                            return Err(format!(
                                "{when}: key {name}/{} has {}, expected {}",
                                show(key),
                                show_all(&[found]),
                                show_all(possible)
                            ));
                        }
                    }
                    Err(error) => {
                        self.excuse(when, &format!("get {name}/{}", show(key)), &error.to_string())?
                    }
                }
            }
            match check::scan(db, handle, &ReadOptions::default()) {
                Ok(entries) => same_as_gets(db, handle, &family.keys, &entries)
                    .or_else(|what| self.excuse(when, "scan", &what))?,
                Err(what) => self.excuse(when, "scan", &what)?,
            }
        }
        self.check_batches(db, when)
    }

    /// Reads may fail only while reads are made to fail.
    fn excuse(&self, when: &str, what: &str, error: &str) -> Outcome {
        let reads_fail = when == "at once" && self.plan().fired() > 0;
        if reads_fail && (error.contains("Input/output error") || error.contains("Too many open files")) {
            return Ok(());
        }
        Err(format!("{when}: {what} fails: {error}"))
    }

    fn check_batches(&self, db: &Db, when: &str) -> Outcome {
        let mut there: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
        for (name, family) in &self.families {
            let Some(handle) = &family.handle else { continue };
            for key in family.keys.keys().filter(|key| key.starts_with(b"batch-")) {
                let Ok(found) = db.get(handle, key, &ReadOptions::default()) else { continue };
                let text = String::from_utf8_lossy(key).into_owned();
                let batch = text.rsplit_once('-').expect("named so").0.to_string();
                there.entry(batch).or_default().push((found.is_some(), format!("{name}/{text}")));
            }
        }
        match there.iter().find(|(_, keys)| keys.iter().any(|(found, _)| *found != keys[0].0)) {
            Some((batch, keys)) => Err(format!("{when}: {batch} is there in part: {keys:?}")),
            None => Ok(()),
        }
    }

    /// What is shown now is what every later look must show.
    fn settle(&mut self) -> Outcome {
        let db = self.db.clone().expect("opened before");
        for (name, family) in &mut self.families {
            let Some(handle) = &family.handle else { continue };
            for (key, possible) in &mut family.keys {
                let found = db.get(handle, key, &ReadOptions::default());
                let found = found.map_err(|error| format!("get {name}/{}: {error}", show(key)))?;
                *possible = vec![found.map(|value| value.to_vec())];
            }
        }
        Ok(())
    }

    /// Whether a failure has made the database read-only.
    pub fn takes_no_writes(&self) -> bool {
        let failure = self.db.as_ref().and_then(|db| db.health().failure);
        failure.is_some_and(|failure| failure.subcode() == Subcode::SyncUnknown)
    }

    /// After a close: everything acknowledged is there, and stays so over a power loss.
    pub fn reopen_for_good(&mut self) -> Outcome {
        let outcome = self.close();
        self.log.push(format!("close: {outcome:?}"));
        self.note_durability(Step::Reopen, &outcome);
        self.open_and_settle(self.machine.clone())
    }

    /// The same after the process is killed, which leaves to the system what was written.
    pub fn kill_and_reopen(&mut self) -> Outcome {
        let image = self.machine.crash_image(self.machine.journal_len(), ImageKind::ProcessCrash, 1);
        self.log.push("kill".to_string());
        let closed = self.close();
        drop(closed); // What the old process does is nobody's business.
        self.open_and_settle(image)
    }

    fn open_and_settle(&mut self, machine: Arc<SimEnv>) -> Outcome {
        self.allow_unsynced_losses();
        self.open(machine.clone()).map_err(|error| format!("open after the failure: {error}"))?;
        self.check("reopened")?;
        self.settle()?;
        for kind in [ImageKind::SyncedOnly, ImageKind::Everything] {
            let image = machine.crash_image(machine.journal_len(), kind, 2);
            let kept = self.db.take();
            self.open(image).map_err(|error| format!("open after {kind:?}: {error}"))?;
            self.check(&format!("after {kind:?}"))?;
            drop(kept);
        }
        self.writes_work().map_err(|error| format!("a write after the reopen: {error}"))
    }

    fn writes_work(&mut self) -> Result<()> {
        self.step(Step::SyncedPut)?;
        self.step(Step::BigPut)?;
        self.step(Step::Flush)
    }

    /// There is space again: writes work, at once or after `resume`, without a reopen.
    pub fn go_on(&mut self) -> Outcome {
        if self.db.is_none() {
            return Ok(());
        }
        self.machine.sleep(Duration::from_secs(2));
        let mut outcome: Result<()> = self.writes_work();
        if let Err(refused) = &outcome {
            self.log.push(format!("write after healing: {refused}"));
            outcome = self.db.clone().expect("open").resume().and_then(|()| self.writes_work());
        }
        outcome.map_err(|error: Error| format!("no write gets through after space was freed: {error}"))
    }
}

/// The scan shows exactly the keys that gets find.
fn same_as_gets(db: &Db, handle: &ColumnFamily, keys: &Possible, entries: &[(Vec<u8>, Vec<u8>)]) -> Outcome {
    for key in keys.keys() {
        let found = db.get(handle, key, &ReadOptions::default()).map_err(|error| error.to_string())?;
        let scanned = entries.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_slice());
        check::equal(key, scanned, found.as_deref())
            .map_err(|what| format!("scan and get differ: {what}"))?;
    }
    match entries.iter().find(|(key, _)| !keys.contains_key(key)) {
        Some((key, _)) => Err(format!("the scan shows {}, which was never written", show(key))),
        None => Ok(()),
    }
}
