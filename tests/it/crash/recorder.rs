//! Runs a workload and notes what each call may and must have changed.

use crate::support::reference::{Bytes, Change, FamilyState};
use crate::support::settings::{family, options};
use auradb::batch::WriteBatch;
use auradb::config::{Config, SyncPolicy};
use auradb::db::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, Options, Snapshot, WriteOptions,
};
use auradb::env::Env;
use auradb::env::simulated::{ImageKind, SimEnv};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const PATH: &str = "/db";

/// All column families by name.
#[derive(Clone, PartialEq)]
pub struct World(pub BTreeMap<String, FamilyState>);

impl World {
    pub fn empty() -> World {
        World(BTreeMap::from([("default".to_string(), FamilyState::default())]))
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Batch { changes, .. } => {
                for (name, change) in changes {
                    self.0.get_mut(name).expect("the family exists").apply(change);
                }
            }
            Effect::Create(name) => drop(self.0.insert(name.clone(), FamilyState::default())),
            Effect::Drop(name) => drop(self.0.remove(name)),
        }
    }

    /// What of it is there at a time.
    pub fn at(&self, now: u64) -> World {
        let mut world = self.clone();
        world.0.values_mut().for_each(|state| _ = state.pass(now));
        world
    }

    pub fn describe(&self) -> String {
        self.0.iter().map(|(name, state)| format!("[{name}]\n{}", state.describe())).collect()
    }
}

#[derive(Clone, Debug)]
pub enum Effect {
    Batch { changes: Vec<(String, Change)>, logged: bool },
    Create(String),
    Drop(String),
}

/// A call that changes what the database holds.
pub struct Event {
    /// Journal length when the call began.
    pub begun: usize,
    /// The same when it returned.
    pub acknowledged: usize,
    pub effect: Effect,
    last_sequence: u64,
}

/// What a workload did; crash images are taken from it.
pub struct Recording {
    pub name: &'static str,
    pub env: Arc<SimEnv>,
    pub options: Options,
    pub family: ColumnFamilyOptions,
    pub events: Vec<Event>,
    /// From this point of the journal on, so many events are durable. Both ascend.
    pub promises: Vec<(usize, usize)>,
    /// `states[n]`: after n events.
    pub states: Vec<World>,
    pub keys: BTreeSet<Bytes>,
    pub first_point: usize,
    pub journal_len: usize,
    /// Whether some writes were not logged, which only the weaker oracle allows.
    pub unlogged: bool,
    /// Whether something expires.
    pub timed: bool,
}

impl Recording {
    /// Events that must be there after a crash at `at`.
    pub fn promised(&self, at: usize, kind: ImageKind) -> usize {
        if kind == ImageKind::ProcessCrash && !self.unlogged {
            return self.events.iter().take_while(|event| event.acknowledged <= at).count();
        }
        self.promises.iter().take_while(|(from, _)| *from <= at).map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// Events that may be there.
    pub fn begun(&self, at: usize) -> usize {
        self.events.iter().take_while(|event| event.begun < at).count()
    }

    pub fn show_events(&self, from: usize, to: usize) -> String {
        let shown = self.events.iter().enumerate().take(to).skip(from);
        shown
            .map(|(index, event)| {
                format!("  event {index} [{}..{}] {:?}\n", event.begun, event.acknowledged, event.effect)
            })
            .collect()
    }
}

/// Runs the calls of a workload.
pub struct Recorder {
    pub env: Arc<SimEnv>,
    pub db: Db,
    pub snapshots: Vec<Snapshot>,
    options: Options,
    family: ColumnFamilyOptions,
    handles: BTreeMap<String, ColumnFamily>,
    base: World,
    events: Vec<Event>,
    promises: Vec<(usize, usize)>,
    first_point: usize,
    counter: u64,
    unlogged: bool,
    timed: bool,
}

impl Recorder {
    pub fn start(seed: u64, config: &Config, change: impl FnOnce(&mut Options, &SimEnv)) -> Recorder {
        let env = SimEnv::new(seed);
        let mut options = options(Some(env.clone()), config);
        change(&mut options, &env);
        let family = family(config);
        Recorder::open(env, options, family, World::empty())
    }

    fn open(env: Arc<SimEnv>, options: Options, family: ColumnFamilyOptions, base: World) -> Recorder {
        let names: Vec<_> = base.0.keys().map(|name| (name.clone(), family.clone())).collect();
        let (db, handles) =
            Db::open_column_families(&options, Path::new(PATH), &names).expect("the database opens");
        let handles = base.0.keys().cloned().zip(handles).collect();
        Recorder {
            env,
            db,
            snapshots: Vec::new(),
            options,
            family,
            handles,
            base,
            events: Vec::new(),
            promises: Vec::new(),
            first_point: 0,
            counter: 0,
            unlogged: false,
            timed: false,
        }
    }

    pub fn finish(self, name: &'static str) -> Recording {
        let mut states = vec![self.base.clone()];
        let mut keys = BTreeSet::new();
        for event in &self.events {
            let mut next = states.last().expect("never empty").clone();
            next.apply(&event.effect);
            states.push(next);
            if let Effect::Batch { changes, .. } = &event.effect {
                keys.extend(changes.iter().map(|(_, change)| key_of(change)));
            }
        }
        keys.extend(self.base.0.values().flat_map(|state| state.entries.keys().map(|key| key.bytes.clone())));
        Recording {
            name,
            journal_len: self.env.journal_len(),
            env: self.env,
            options: self.options,
            family: self.family,
            events: self.events,
            promises: self.promises,
            states,
            keys,
            first_point: self.first_point,
            unlogged: self.unlogged,
            timed: self.timed,
        }
    }

    /// The machine stops as `kind` says, and the workload goes on with what was left, which is checked anew from
    /// the opening on.
    pub fn crash_and_go_on(self, kind: ImageKind, seed: u64) -> Recorder {
        let config = self.options.config.clone();
        let env = self.env.crash_image(self.env.journal_len(), kind, seed);
        let probe = env.clone_all_durable();
        let mut options = self.options.clone();
        options.env = Some(probe);
        let base = super::oracle::recover(&options, &self.family).expect("the image opens").1;
        let recording = self.finish("crashed on purpose");
        let promised = recording.promised(recording.journal_len, kind);
        assert!(recording.states[promised..].contains(&base), "no prefix was recovered");
        options.env = Some(env.clone());
        // What a killed process wrote is the device's only when recovery has seen to it.
        let settled = kind != ImageKind::ProcessCrash;
        let mut next = Recorder::open(env, options, family(&config), base);
        next.counter = 1_000_000;
        next.first_point = if settled { 0 } else { next.env.journal_len() };
        next
    }

    /// A value of `len` bytes unlike all others.
    pub fn value(&mut self, len: usize) -> Vec<u8> {
        self.counter += 1;
        let mut value = format!("value-{}-", self.counter).into_bytes();
        let mut state = self.counter;
        while value.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            value.push((state >> 40) as u8);
        }
        value
    }

    pub fn put(&mut self, key: &str, len: usize, sync: bool) {
        self.put_in("default", key, len, sync);
    }

    pub fn put_in(&mut self, family: &str, key: &str, len: usize, sync: bool) {
        let value = self.value(len).into();
        self.write(&[(family, Change::Put { family: 0, key: key.as_bytes().into(), value })], sync);
    }

    /// A put that expires, at a second far from all that tests look at.
    pub fn expiring(&mut self, key: &str, len: usize, ttl: u64) -> Change {
        self.timed = true;
        let (value, expiry) = (self.value(len).into(), self.env.unix_seconds() + ttl);
        Change::PutWithTtl { family: 0, key: key.as_bytes().into(), value, ttl, expiry }
    }

    pub fn delete(&mut self, key: &str, sync: bool) {
        self.write(&[("default", Change::Delete { family: 0, key: key.as_bytes().into() })], sync);
    }

    pub fn delete_range(&mut self, start: &str, end: &str, sync: bool) {
        let (start, end) = (start.as_bytes().into(), end.as_bytes().into());
        self.write(&[("default", Change::DeleteRange { family: 0, start, end })], sync);
    }

    pub fn merge(&mut self, key: &str, sync: bool) {
        let operand = self.value(0).into();
        self.write(&[("default", Change::Merge { family: 0, key: key.as_bytes().into(), operand })], sync);
    }

    pub fn write(&mut self, changes: &[(&str, Change)], sync: bool) {
        self.write_with(changes, WriteOptions { sync, ..WriteOptions::default() });
    }

    pub fn put_unlogged(&mut self, key: &str, len: usize) {
        self.unlogged = true;
        let value = self.value(len).into();
        let change = Change::Put { family: 0, key: key.as_bytes().into(), value };
        self.write_with(
            &[("default", change)],
            WriteOptions { disable_wal: true, ..WriteOptions::default() },
        );
    }

    fn write_with(&mut self, changes: &[(&str, Change)], how: WriteOptions) {
        let begun = self.env.journal_len();
        let outcome = match changes {
            // Single puts go the way that writes big values straight to the value log.
            [(name, Change::Put { key, value, .. })] => self.db.put(&self.handles[*name], key, value, &how),
            [(name, Change::PutWithTtl { key, value, ttl, .. })] => {
                self.db.put_with_ttl(&self.handles[*name], key, value, *ttl, &how)
            }
            _ => {
                let mut batch = WriteBatch::new();
                for (name, change) in changes {
                    change.add_to(&mut batch, self.handles[*name].id()).expect("the batch takes it");
                }
                self.db.write(&batch, &how)
            }
        };
        outcome.expect("the write succeeds");
        let changes = changes.iter().map(|(name, change)| (name.to_string(), change.clone())).collect();
        self.note(begun, Effect::Batch { changes, logged: !how.disable_wal });
        self.note_policy(&how);
    }

    fn note(&mut self, begun: usize, effect: Effect) {
        let acknowledged = self.env.journal_len();
        let last_sequence = self.db.latest_sequence();
        self.events.push(Event { begun, acknowledged, effect, last_sequence });
    }

    /// The first `count` events are durable from now on.
    fn promise(&mut self, count: usize) {
        if self.promises.last().is_none_or(|(_, before)| *before < count) {
            self.promises.push((self.env.journal_len(), count));
        }
    }

    /// What the sync policy promises after a write, and what the database says of itself.
    fn note_policy(&mut self, how: &WriteOptions) {
        let count = self.events.len();
        if self.unlogged {
            return self.promise_logged(how, count);
        }
        match self.options.config.wal.sync_policy {
            _ if how.sync => self.promise(count),
            SyncPolicy::EveryWrite => self.promise(count),
            SyncPolicy::EveryNWrites(writes) => self.promise((count + 1).saturating_sub(writes as usize)),
            SyncPolicy::EveryNMs(_) | SyncPolicy::Manual => {}
        }
        self.promise_as_told();
    }

    /// With unlogged writes among them a sync covers the logged ones: the oracle leaves the others out.
    fn promise_logged(&mut self, how: &WriteOptions, count: usize) {
        let every = self.options.config.wal.sync_policy == SyncPolicy::EveryWrite && !how.disable_wal;
        if how.sync || every {
            self.promise(count);
        }
    }

    fn promise_as_told(&mut self) {
        let durable = self.db.durable_sequence();
        self.promise(self.events.iter().take_while(|event| event.last_sequence <= durable).count());
    }

    pub fn sync_log(&mut self) {
        self.db.flush_wal(true).expect("the log syncs");
        self.promise(self.events.len());
    }

    pub fn flush(&mut self, names: &[&str]) {
        let handles: Vec<_> = names.iter().map(|name| &self.handles[*name]).collect();
        self.db.flush(&handles, true).expect("the flush succeeds");
        let touches = |event: &Event| match &event.effect {
            Effect::Batch { changes, .. } => changes.iter().any(|(name, _)| names.contains(&&**name)),
            Effect::Create(_) | Effect::Drop(_) => true,
        };
        self.promise(self.events.iter().rposition(touches).map_or(0, |last| last + 1));
        self.promise_as_told();
    }

    pub fn compact(&mut self, name: &str) {
        let how = CompactRangeOptions { force_bottommost: true };
        self.db.compact_range(&self.handles[name], None, None, &how).expect("the compaction succeeds");
    }

    /// Values of at least so many bytes are separated from now on; `None`: none are.
    pub fn separate_from(&mut self, name: &str, least: Option<u64>) {
        let least = least.map_or("none".to_string(), |least| least.to_string());
        let change = [("separation_threshold", &*least)];
        self.db.set_options(&self.handles[name], &change).expect("the threshold changes");
    }

    pub fn collect_garbage(&mut self, least: f64) {
        self.db.collect_garbage(least).expect("the collection succeeds");
        self.db.verify_value_log().expect("all values are whole");
    }

    pub fn create_family(&mut self, name: &str) {
        let begun = self.env.journal_len();
        let handle = self.db.create_column_family(&self.family, name).expect("the family can be made");
        self.handles.insert(name.to_string(), handle);
        self.note(begun, Effect::Create(name.to_string()));
        self.promise(self.events.len());
    }

    pub fn drop_family(&mut self, name: &str) {
        let begun = self.env.journal_len();
        let handle = self.handles.remove(name).expect("the family exists");
        self.db.drop_column_family(&handle).expect("the family can be dropped");
        drop(handle);
        self.note(begun, Effect::Drop(name.to_string()));
        self.promise(self.events.len());
    }

    pub fn snapshot(&mut self) {
        self.snapshots.push(self.db.snapshot());
    }

    pub fn sleep(&mut self, milliseconds: u64) {
        self.env.sleep(Duration::from_millis(milliseconds));
    }

    /// Closes cleanly and opens again.
    pub fn reopen(&mut self) {
        self.snapshots.clear();
        self.db.close().expect("the database closes");
        self.promise(self.events.len());
        let names: Vec<_> = self.handles.keys().map(|name| (name.clone(), self.family.clone())).collect();
        let (db, handles) = Db::open_column_families(&self.options, Path::new(PATH), &names)
            .expect("the database opens again");
        self.handles = names.into_iter().map(|(name, _)| name).zip(handles).collect();
        self.db = db;
    }

    /// Names of the families there are.
    pub fn names(&self) -> Vec<String> {
        self.handles.keys().cloned().collect()
    }
}

fn key_of(change: &Change) -> Bytes {
    match change {
        Change::Put { key, .. }
        | Change::PutWithTtl { key, .. }
        | Change::Delete { key, .. }
        | Change::SingleDelete { key, .. }
        | Change::Merge { key, .. } => key.clone(),
        Change::DeleteRange { start, .. } => start.clone(),
    }
}
