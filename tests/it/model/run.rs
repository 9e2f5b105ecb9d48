//! Runs a history on a database and on the reference side by side.

use super::operations::{Operation, Step, universe};
use crate::support::check;
use crate::support::reference::{Bytes, Change, FamilyState};
use crate::support::settings::{Arm, draw, options, special_family};
use crate::support::{Random, TemporaryDirectory};
use auradb::batch::WriteBatch;
use auradb::config::Config;
use auradb::db::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, DbIterator, ReadOptions, Snapshot,
    WriteOptions,
};
use auradb::env::simulated::{ImageKind, SimEnv};
use auradb::env::{Env, default_env};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the database lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A simulated machine, without threads.
    Simulated,
    /// A temporary directory, with background threads.
    System,
}

struct Live {
    name: String,
    handle: ColumnFamily,
    state: FamilyState,
    /// Writes since the last delete, for keys that are single-deleted: more than one makes that illegal.
    writes: HashMap<Bytes, u32>,
}

struct Taken {
    snapshot: Snapshot,
    /// By family id.
    states: Vec<(u32, FamilyState)>,
}

struct Moving {
    iterator: DbIterator,
    family: u32,
    lower: Option<Bytes>,
    upper: Option<Bytes>,
    /// What it moves over, and as a list.
    state: FamilyState,
    entries: Vec<(Bytes, Bytes)>,
    at: Option<usize>,
    reversed: bool,
}

struct Runner<'a> {
    arm: &'a Arm,
    config: Config,
    partial: bool,
    simulated: Option<Arc<SimEnv>>,
    path: PathBuf,
    db: Db,
    families: Vec<Live>,
    dropped: Option<(ColumnFamily, FamilyState)>,
    snapshots: Vec<Taken>,
    iterators: Vec<Moving>,
    next_family: usize,
    unlogged: bool,
    universe: Vec<Bytes>,
    /// Goes last.
    _directory: Option<TemporaryDirectory>,
}

type Outcome = Result<(), String>;

fn failed(error: auradb::base::Error) -> String {
    error.to_string()
}

/// Family names say how the family is: its operator and its order.
fn special(name: &str) -> (bool, bool) {
    let number: usize = name[1..].parse().unwrap_or(0);
    if name == "default" { (false, false) } else { (number & 1 == 1, number & 2 == 2) }
}

fn family_options(config: &Config, name: &str, partial: bool) -> ColumnFamilyOptions {
    let (adds, reversed) = special(name);
    special_family(config, adds, reversed, partial)
}

/// Runs all; `done` says which operation is being run.
pub fn run(seed: u64, arm: &Arm, place: Place, operations: &[Operation], done: &mut usize) -> Outcome {
    let mut runner = Runner::open(seed, arm, place)?;
    for (index, operation) in operations.iter().enumerate() {
        *done = index;
        runner.step(operation)?;
    }
    *done = operations.len().saturating_sub(1);
    runner.check_all()?;
    runner.reopen(seed, false)?;
    runner.check_all()
}

impl<'a> Runner<'a> {
    fn open(seed: u64, arm: &'a Arm, place: Place) -> Result<Runner<'a>, String> {
        let mut random = Random::new(seed ^ 0xfeed);
        let config = draw(&mut random, arm);
        let directory = (place == Place::System).then(|| TemporaryDirectory::new("model"));
        let path = directory.as_ref().map_or(PathBuf::from("/db"), |directory| directory.0.join("db"));
        let simulated = directory.is_none().then(|| SimEnv::new(seed));
        let env = simulated.clone().map(|env| env as Arc<dyn Env>);
        let db =
            Db::open(&arm.budget(options(env, &config)), &path, &family_options(&config, "default", true))
                .map_err(failed)?;
        let handle = db.default_column_family();
        let default =
            Live { name: "default".into(), handle, state: FamilyState::default(), writes: HashMap::new() };
        Ok(Runner {
            arm,
            config,
            partial: true,
            simulated,
            path,
            db,
            families: vec![default],
            dropped: None,
            snapshots: Vec::new(),
            iterators: Vec::new(),
            next_family: 0,
            unlogged: false,
            universe: universe(),
            _directory: directory,
        })
    }

    fn step(&mut self, operation: &Operation) -> Outcome {
        self.keep_time();
        match operation {
            Operation::Write { changes, batch, sync, disable_wal } => {
                let options = WriteOptions { sync: *sync, disable_wal: *disable_wal, no_slowdown: false };
                self.unlogged |= *disable_wal;
                self.write(changes, *batch, &options)
            }
            Operation::Get { family, key, snapshot } => self.get(*family, key, *snapshot),
            Operation::MultiGet { keys, snapshot } => self.multi_get(keys, *snapshot),
            Operation::Snapshot => self.take_snapshot(),
            Operation::Release(which) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.remove(which % self.snapshots.len());
                }
                Ok(())
            }
            Operation::OpenIterator { family, snapshot, lower, upper } => {
                self.open_iterator(*family, *snapshot, lower, upper)
            }
            Operation::Move { iterator, steps } => self.move_iterator(*iterator, steps),
            Operation::Refresh(which) => self.refresh(*which),
            Operation::CloseIterator(which) => {
                if !self.iterators.is_empty() {
                    self.iterators.remove(which % self.iterators.len());
                }
                Ok(())
            }
            Operation::Flush { family, wait } => self.flush(*family, *wait),
            Operation::Compact { family, begin, end, force } => {
                let family = &self.families[family % self.families.len()];
                let (begin, end) = match (begin, end) {
                    (Some(one), Some(other)) if family.state.key(one) > family.state.key(other) => {
                        (end, begin)
                    }
                    _ => (begin, end),
                };
                let how = CompactRangeOptions { force_bottommost: *force };
                self.db.compact_range(&family.handle, begin.as_deref(), end.as_deref(), &how).map_err(failed)
            }
            Operation::CreateFamily => self.create_family(),
            Operation::DropFamily(which) => self.drop_family(*which),
            Operation::Reopen { settings, kill } => self.reopen(*settings, *kill),
            Operation::SyncLog => self.db.flush_wal(true).map_err(failed),
            Operation::Pass(seconds) => {
                if let Some(env) = &self.simulated {
                    env.sleep(Duration::from_secs(*seconds));
                    self.keep_time();
                }
                Ok(())
            }
            Operation::Threshold { family, least } => {
                let family = &self.families[family % self.families.len()].handle;
                let change = [("separation_threshold", &*least.to_string())];
                self.db.set_options(family, &change).map_err(failed)
            }
            Operation::CollectGarbage(least) => {
                self.db.collect_garbage(*least).map_err(failed)?;
                self.db.verify_value_log().map(|_| ()).map_err(failed)
            }
            Operation::CheckAll => self.check_all(),
        }
    }

    fn unix_seconds(&self) -> u64 {
        match &self.simulated {
            Some(env) => env.unix_seconds(),
            None => default_env().unix_seconds(),
        }
    }

    /// What has expired goes from all that is expected. No operation runs over the end of a second, as far as that can
    /// be seen to: its answer would depend on when.
    fn keep_time(&mut self) {
        let Some(env) = &self.simulated else { return };
        let part = env.now().subsec_millis();
        if part >= 400 {
            env.sleep(Duration::from_millis(u64::from(1000 - part)));
        }
        let now = env.unix_seconds();
        for family in &mut self.families {
            family.state.pass(now);
        }
        let taken = self.snapshots.iter_mut().flat_map(|taken| &mut taken.states).map(|(_, state)| state);
        for state in taken.chain(self.dropped.iter_mut().map(|(_, state)| state)) {
            state.pass(now);
        }
        self.iterators.retain_mut(|moving| !moving.state.pass(now));
    }

    fn write(&mut self, changes: &[Change], as_batch: bool, options: &WriteOptions) -> Outcome {
        let before = self.unix_seconds();
        let changes: Vec<Change> = changes.iter().map(|change| self.timed(change, before)).collect();
        self.write_changes(&changes, as_batch, options)?;
        if self.unix_seconds() == before {
            return Ok(());
        }
        // The write had to wait, and nobody knows from which second its times count: they are written over.
        let without = changes.iter().filter_map(|change| match change {
            Change::PutWithTtl { family, key, value, .. } => {
                Some(Change::Put { family: *family, key: key.clone(), value: value.clone() })
            }
            _ => None,
        });
        let without: Vec<Change> = without.collect();
        self.write_changes(&without, false, options)
    }

    /// The change, with the time at which it expires; on the real clock nothing does.
    fn timed(&self, change: &Change, now: u64) -> Change {
        let mut change = change.clone();
        if let Change::PutWithTtl { ttl, expiry, .. } = &mut change {
            *ttl += if self.simulated.is_some() { 0 } else { 1_000_000 };
            // The second that has begun counts in whole: nothing expires early.
            *expiry = now + *ttl + 1;
        }
        change
    }

    fn write_changes(&mut self, changes: &[Change], as_batch: bool, options: &WriteOptions) -> Outcome {
        let count = self.families.len();
        let changes: Vec<Change> =
            changes.iter().map(|change| legal(change, &mut self.families, count)).collect();
        if as_batch {
            let mut batch = WriteBatch::new();
            for change in &changes {
                change.add_to(&mut batch, self.families[change.family()].handle.id()).map_err(failed)?;
            }
            self.db.write(&batch, options).map_err(failed)?;
        } else {
            for change in &changes {
                let family = &self.families[change.family()].handle;
                match change {
                    Change::Put { key, value, .. } => self.db.put(family, key, value, options),
                    Change::PutWithTtl { key, value, ttl, .. } => {
                        self.db.put_with_ttl(family, key, value, *ttl, options)
                    }
                    Change::Delete { key, .. } => self.db.delete(family, key, options),
                    Change::SingleDelete { key, .. } => self.db.single_delete(family, key, options),
                    Change::DeleteRange { start, end, .. } => {
                        self.db.delete_range(family, start, end, options)
                    }
                    Change::Merge { key, operand, .. } => self.db.merge(family, key, operand, options),
                }
                .map_err(failed)?;
            }
        }
        for change in &changes {
            self.families[change.family()].state.apply(change);
        }
        Ok(())
    }

    fn read_options(&self, snapshot: Option<usize>) -> (ReadOptions, Option<usize>) {
        let which = snapshot.filter(|_| !self.snapshots.is_empty()).map(|which| which % self.snapshots.len());
        let sequence = which.map(|which| self.snapshots[which].snapshot.sequence());
        (ReadOptions { snapshot: sequence, ..ReadOptions::default() }, which)
    }

    /// The state of a family as a read sees it; none if the family is younger than the snapshot.
    fn state(&self, family: usize, snapshot: Option<usize>) -> Option<&FamilyState> {
        let family = &self.families[family];
        match snapshot {
            None => Some(&family.state),
            Some(which) => {
                let mut states = self.snapshots[which].states.iter();
                states.find(|(id, _)| *id == family.handle.id()).map(|(_, state)| state)
            }
        }
    }

    fn get(&self, family: usize, key: &Bytes, snapshot: Option<usize>) -> Outcome {
        let family = family % self.families.len();
        let (options, which) = self.read_options(snapshot);
        let Some(state) = self.state(family, which) else { return Ok(()) };
        let found = self.db.get(&self.families[family].handle, key, &options).map_err(failed)?;
        check::equal(key, found.as_deref(), state.get(key).map(|value| &**value))
    }

    fn multi_get(&self, keys: &[(usize, Bytes)], snapshot: Option<usize>) -> Outcome {
        let (options, which) = self.read_options(snapshot);
        let asked: Vec<(usize, &Bytes)> =
            keys.iter().map(|(family, key)| (family % self.families.len(), key)).collect();
        let handles: Vec<(&ColumnFamily, &[u8])> =
            asked.iter().map(|(family, key)| (&self.families[*family].handle, &***key)).collect();
        let found = self.db.multi_get(&handles, &options);
        for ((family, key), found) in asked.iter().zip(found) {
            let Some(state) = self.state(*family, which) else { continue };
            let found = found.map_err(failed)?;
            check::equal(key, found.as_deref(), state.get(key).map(|value| &**value))?;
        }
        Ok(())
    }

    fn take_snapshot(&mut self) -> Outcome {
        if self.snapshots.len() >= 5 {
            self.snapshots.remove(0);
        }
        let states = self.families.iter().map(|family| (family.handle.id(), family.state.clone())).collect();
        self.snapshots.push(Taken { snapshot: self.db.snapshot(), states });
        Ok(())
    }

    fn open_iterator(
        &mut self,
        family: usize,
        snapshot: Option<usize>,
        lower: &Option<Bytes>,
        upper: &Option<Bytes>,
    ) -> Outcome {
        if self.iterators.len() >= 5 {
            self.iterators.remove(0);
        }
        let family = family % self.families.len();
        let (mut options, which) = self.read_options(snapshot);
        options.lower_bound = lower.as_deref().map(<[u8]>::to_vec);
        options.upper_bound = upper.as_deref().map(<[u8]>::to_vec);
        options.fill_cache = self.iterators.len().is_multiple_of(2);
        let Some(state) = self.state(family, which) else { return Ok(()) };
        let entries = within(state, lower, upper);
        let (state, reversed) = (state.clone(), state.reversed);
        let handle = &self.families[family].handle;
        let iterator = self.db.iterator(handle, &options).map_err(failed)?;
        if iterator.valid() {
            return Err("a new iterator is valid before it is positioned".into());
        }
        let (family, lower, upper) = (handle.id(), lower.clone(), upper.clone());
        self.iterators.push(Moving { iterator, family, lower, upper, state, entries, at: None, reversed });
        Ok(())
    }

    fn move_iterator(&mut self, which: usize, steps: &[Step]) -> Outcome {
        if self.iterators.is_empty() {
            return Ok(());
        }
        let count = self.iterators.len();
        let moving = &mut self.iterators[which % count];
        for (index, step) in steps.iter().enumerate() {
            moving.step(step);
            let expected = moving.at.map(|at| (&*moving.entries[at].0, &*moving.entries[at].1));
            check::stands_at(&mut moving.iterator, expected)
                .map_err(|what| format!("step {index} ({step:?}): {what}"))?;
        }
        Ok(())
    }

    fn refresh(&mut self, which: usize) -> Outcome {
        if self.iterators.is_empty() {
            return Ok(());
        }
        let count = self.iterators.len();
        let moving = &mut self.iterators[which % count];
        let Some(family) = self.families.iter().find(|family| family.handle.id() == moving.family) else {
            return Ok(());
        };
        moving.iterator.refresh().map_err(failed)?;
        moving.state = family.state.clone();
        moving.entries = within(&family.state, &moving.lower, &moving.upper);
        moving.at = None;
        Ok(())
    }

    fn flush(&mut self, family: Option<usize>, wait: bool) -> Outcome {
        let handles: Vec<&ColumnFamily> = match family {
            Some(family) => vec![&self.families[family % self.families.len()].handle],
            None => self.families.iter().map(|family| &family.handle).collect(),
        };
        self.db.flush(&handles, wait).map_err(failed)
    }

    fn create_family(&mut self) -> Outcome {
        if self.families.len() >= 4 {
            return Ok(());
        }
        let name = format!("f{}", self.next_family);
        self.next_family += 1;
        let options = family_options(&self.config, &name, self.partial);
        let handle = self.db.create_column_family(&options, &name).map_err(failed)?;
        let (adds, reversed) = special(&name);
        let state = FamilyState { adds, reversed, ..FamilyState::default() };
        self.families.push(Live { name, handle, state, writes: HashMap::new() });
        Ok(())
    }

    fn drop_family(&mut self, which: usize) -> Outcome {
        if self.families.len() < 2 {
            return Ok(());
        }
        let gone = self.families.remove(1 + which % (self.families.len() - 1));
        self.db.drop_column_family(&gone.handle).map_err(failed)?;
        self.dropped = Some((gone.handle, gone.state));
        Ok(())
    }

    /// Closes, or lets the machine go on with what a killed process left; then opens with other settings.
    fn reopen(&mut self, settings: u64, kill: bool) -> Outcome {
        self.iterators.clear();
        self.snapshots.clear();
        self.dropped = None;
        let mut random = Random::new(settings);
        self.config = draw(&mut random, self.arm);
        self.partial = random.one_in(2);
        if let Some(env) = &self.simulated
            && kill
            && !self.unlogged
        {
            let next = env.crash_image(env.journal_len(), ImageKind::ProcessCrash, settings);
            self.simulated = Some(next);
        }
        self.db.close().map_err(failed)?;
        let env = self.simulated.clone().map(|env| env as Arc<dyn Env>);
        let names: Vec<(String, ColumnFamilyOptions)> = self
            .families
            .iter()
            .map(|family| (family.name.clone(), family_options(&self.config, &family.name, self.partial)))
            .collect();
        let options = self.arm.budget(options(env, &self.config));
        self.check_names(&options)?;
        let (db, handles) = Db::open_column_families(&options, &self.path, &names)
            .map_err(|error| format!("reopen: {error}"))?;
        self.db = db;
        for (family, handle) in self.families.iter_mut().zip(handles) {
            family.handle = handle;
        }
        self.unlogged = false;
        Ok(())
    }

    fn check_names(&self, options: &auradb::db::Options) -> Outcome {
        let mut found = Db::list_column_families(options, Path::new(&self.path)).map_err(failed)?;
        let mut expected: Vec<String> = self.families.iter().map(|family| family.name.clone()).collect();
        found.sort();
        expected.sort();
        if found == expected { Ok(()) } else { Err(format!("families {found:?}, expected {expected:?}")) }
    }

    fn check_all(&self) -> Outcome {
        let keys = || self.universe.iter().map(|key| &**key);
        for family in &self.families {
            check::family_is(&self.db, &family.handle, &family.state, &ReadOptions::default(), keys())?;
        }
        for taken in &self.snapshots {
            let options = ReadOptions { snapshot: Some(taken.snapshot.sequence()), ..ReadOptions::default() };
            for (id, state) in &taken.states {
                let Some(family) = self.families.iter().find(|family| family.handle.id() == *id) else {
                    continue;
                };
                check::family_is(&self.db, &family.handle, state, &options, keys())
                    .map_err(|what| format!("snapshot {}: {what}", taken.snapshot.sequence()))?;
            }
        }
        if let Some((handle, state)) = &self.dropped {
            check::family_is(&self.db, handle, state, &ReadOptions::default(), keys())
                .map_err(|what| format!("dropped {what}"))?;
        }
        Ok(())
    }
}

impl Moving {
    fn step(&mut self, step: &Step) {
        let before = |one: &[u8], other: &[u8]| if self.reversed { one > other } else { one < other };
        let last = self.entries.len().checked_sub(1);
        self.at = match step {
            Step::First => last.map(|_| 0),
            Step::Last => last,
            Step::Seek(key) => self.entries.iter().position(|(other, _)| !before(other, key)),
            Step::SeekForPrev(key) => self.entries.iter().rposition(|(other, _)| !before(key, other)),
            Step::Next => self.at.and_then(|at| (at + 1 < self.entries.len()).then_some(at + 1)),
            Step::Prev => self.at.and_then(|at| at.checked_sub(1)),
        };
        match step {
            Step::First => self.iterator.seek_to_first(),
            Step::Last => self.iterator.seek_to_last(),
            Step::Seek(key) => self.iterator.seek(key),
            Step::SeekForPrev(key) => self.iterator.seek_for_prev(key),
            Step::Next => self.iterator.next(),
            Step::Prev => self.iterator.prev(),
        }
    }
}

fn within(state: &FamilyState, lower: &Option<Bytes>, upper: &Option<Bytes>) -> Vec<(Bytes, Bytes)> {
    let lower = lower.as_ref().map(|key| state.key(key));
    let upper = upper.as_ref().map(|key| state.key(key));
    state
        .entries
        .iter()
        .filter(|(key, _)| lower.as_ref().is_none_or(|lower| *key >= lower))
        .filter(|(key, _)| upper.as_ref().is_none_or(|upper| *key < upper))
        .map(|(key, value)| (key.bytes.clone(), value.clone()))
        .collect()
}

/// The change for the families there are, with ranges in the family's order, and a single delete only of a key
/// that was written once since it was last deleted.
fn legal(change: &Change, families: &mut [Live], count: usize) -> Change {
    let mut change = change.clone();
    *change.family_mut() = change.family() % count;
    let change_family = change.family();
    let family = &mut families[change_family];
    match &mut change {
        Change::Put { key, .. } | Change::PutWithTtl { key, .. } => {
            *family.writes.entry(key.clone()).or_default() += 1
        }
        Change::Delete { key, .. } => drop(family.writes.remove(key)),
        Change::SingleDelete { key, .. } => {
            if family.writes.remove(key) != Some(1) {
                change = Change::Delete { family: change_family, key: key.clone() };
            }
        }
        Change::DeleteRange { start, end, .. } => {
            if family.state.reversed {
                std::mem::swap(start, end);
            }
            // What is left counts as written more often than it was, which only makes a single delete a delete.
        }
        Change::Merge { .. } => {}
    }
    change
}
