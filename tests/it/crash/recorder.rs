//! Runs a workload and notes what each call may and must have changed.

use crate::support::reference::{Bytes, Change, FamilyState, show};
use crate::support::settings::{family, options};
use crate::support::{Random, check};
use auradb::batch::WriteBatch;
use auradb::config::{Config, SyncPolicy};
use auradb::db::{
    ColumnFamily, ColumnFamilyOptions, CompactRangeOptions, Db, DbIterator, Options, ReadOptions, Snapshot,
    WriteOptions,
};
use auradb::env::Env;
use auradb::env::faulty::{FaultPlan, FaultyEnv, OperationClass, Selection};
use auradb::env::simulated::{ImageKind, SimEnv};
use auradb::read::PinnedValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
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
    /// Relocations of values, and segments removed.
    pub collected: (u64, u64),
    /// Logs in files that held others.
    pub recycled: u64,
    /// Values that lay in the log until a flush separated them.
    pub kept: u64,
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

/// What must go on showing what it showed at first.
#[derive(Default)]
struct Readers {
    iterators: Vec<(DbIterator, check::Entries)>,
    pins: Vec<(PinnedValue, Vec<u8>)>,
}

/// Runs the calls of a workload.
pub struct Recorder {
    pub env: Arc<SimEnv>,
    pub db: Db,
    pub snapshots: Vec<Snapshot>,
    readers: Readers,
    plan: Option<Arc<FaultPlan>>,
    collected: (u64, u64),
    recycled: u64,
    kept: u64,
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
            readers: Readers::default(),
            plan: None,
            collected: (0, 0),
            recycled: 0,
            kept: 0,
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

    pub fn finish(mut self, name: &'static str) -> Recording {
        self.note_collected();
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
            collected: self.collected,
            recycled: self.recycled,
            kept: self.kept,
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
        let collected = recording.collected;
        let promised = recording.promised(recording.journal_len, kind);
        assert!(recording.states[promised..].contains(&base), "no prefix was recovered");
        options.env = Some(env.clone());
        // What a killed process wrote is the device's only when recovery has seen to it.
        let settled = kind != ImageKind::ProcessCrash;
        let mut next = Recorder::open(env, options, family(&config), base);
        next.counter = 1_000_000;
        next.collected = collected;
        next.first_point = if settled { 0 } else { next.env.journal_len() };
        next
    }

    /// A value of `len` bytes unlike all others.
    pub fn value(&mut self, len: usize) -> Vec<u8> {
        self.counter += 1;
        value_of(self.counter, len)
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
        let (value, expiry) = (self.value(len).into(), self.env.unix_seconds() + ttl + 1);
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

    /// A property of the default family.
    pub fn text(&self, name: &str) -> String {
        self.db.property(&self.db.default_column_family(), name).expect("there is such a property")
    }

    pub fn collect_garbage(&mut self, least: f64) {
        self.db.collect_garbage(least).expect("the collection succeeds");
        self.db.verify_value_log().expect("all values are whole");
    }

    /// Opens again on an environment in which `collect_interrupted` works.
    pub fn interruptible(mut self) -> Recorder {
        let faulty = FaultyEnv::new(self.env.clone());
        self.plan = Some(faulty.plan().clone());
        self.options.env = Some(faulty);
        self.reopen();
        self
    }

    /// Collects all garbage, while others change the default family between its steps.
    pub fn collect_interrupted(&mut self, random: &mut Random) {
        let plan = self.plan.clone().expect("the recorder is interruptible");
        let inside = Inside {
            db: self.db.clone(),
            family: self.handles["default"].clone(),
            env: self.env.clone(),
            every: self.options.config.wal.sync_policy == SyncPolicy::EveryWrite,
            state: Mutex::new((random.clone(), self.counter, Vec::new())),
        };
        let inside = Arc::new(inside);
        let acting = inside.clone();
        use OperationClass::{Create, Read, Remove, Rename, Write};
        let begun = std::sync::atomic::AtomicBool::new(false);
        let interruption = move |class: OperationClass, path: &Path| {
            // The copying begins with a record read. Other files are used under locks.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let of_values = name.ends_with(".vlog") || name.ends_with(".tmp");
            let copies = class == Read && name.ends_with(".vlog");
            begun.fetch_or(copies, std::sync::atomic::Ordering::Relaxed);
            let moves = copies || (class != Read && (of_values || name.ends_with(".sst")));
            if begun.load(std::sync::atomic::Ordering::Relaxed) && moves {
                acting.act();
            }
        };
        plan.interrupt(Selection::of(&[Create, Read, Write, Rename, Remove]), Arc::new(interruption));
        let outcome = self.db.collect_garbage(0.0);
        plan.interrupt_no_more();
        outcome.expect("the collection succeeds");
        self.db.verify_value_log().expect("all values are whole");
        let (_, counter, events) = std::mem::replace(
            &mut *inside.state.lock().expect("nothing panicked"),
            (random.clone(), 0, Vec::new()),
        );
        self.counter = counter;
        random.next();
        for (event, is_promised) in events {
            let acknowledged = event.acknowledged;
            self.events.push(event);
            if is_promised {
                self.promises.push((acknowledged, self.events.len()));
            }
        }
        self.promise_as_told();
    }

    pub fn hold_iterator(&mut self, name: &str) {
        let options = ReadOptions::default();
        let entries = check::scan(&self.db, &self.handles[name], &options).expect("a scan succeeds");
        let iterator = self.db.iterator(&self.handles[name], &options).expect("an iterator can be made");
        self.readers.iterators.push((iterator, entries));
    }

    pub fn pin(&mut self, key: &str) {
        let found = self.db.get(&self.handles["default"], key.as_bytes(), &ReadOptions::default());
        if let Some(value) = found.expect("the value can be read") {
            let copy = value.to_vec();
            self.readers.pins.push((value, copy));
        }
    }

    /// Iterators and pinned values show what they showed when they were made.
    pub fn check_readers(&mut self) {
        for (iterator, entries) in &mut self.readers.iterators {
            iterator.seek_to_first();
            for (key, value) in entries {
                check::stands_at(iterator, Some((key, value))).unwrap();
                iterator.next();
            }
            check::stands_at(iterator, None).unwrap();
        }
        for (pinned, copy) in &self.readers.pins {
            assert!(**pinned == copy[..], "a pinned {} became {}", show(copy), show(pinned));
        }
    }

    /// Adds what was collected since the database was opened.
    fn note_collected(&mut self) {
        let family = self.db.default_column_family();
        let number = |name| self.db.property_int(&family, name).expect("the property exists");
        self.collected.0 += number("auradb.value-log-gc-relocations");
        self.collected.1 += number("auradb.value-log-gc-segments-removed");
        self.recycled += number("auradb.wal-files-recycled");
        self.kept += number("auradb.flush-values-separated");
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
        self.readers = Readers::default();
        self.note_collected();
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

/// Who changes the database while garbage is collected.
struct Inside {
    db: Db,
    family: ColumnFamily,
    env: Arc<SimEnv>,
    /// Whether every write is synced.
    every: bool,
    state: Mutex<Acting>,
}

/// What comes next, the last value's number, and what happened, with what is promised at once.
type Acting = (Random, u64, Vec<(Event, bool)>);

impl Inside {
    fn act(&self) {
        let mut state = self.state.lock().expect("nothing panicked");
        let (random, counter, events) = &mut *state;
        if !random.one_in(3) {
            return;
        }
        let key: Bytes = format!("k{}", random.below(7)).into_bytes().into();
        let change = match random.below(8) {
            0..=3 => {
                *counter += 1;
                let value = value_of(*counter, random.pick(&[10, 300, 900])).into();
                Change::Put { family: 0, key, value }
            }
            4..=5 => Change::Delete { family: 0, key },
            6 => Change::DeleteRange { family: 0, start: key, end: (*b"k4").into() },
            // Where a flush runs already nobody can wait for it, in an environment without threads.
            _ => return drop(self.db.flush(&[&self.family], false)),
        };
        if matches!(&change, Change::DeleteRange { start, end, .. } if start >= end) {
            return;
        }
        let sync = random.one_in(3);
        let mut batch = WriteBatch::new();
        change.add_to(&mut batch, 0).expect("the batch takes it");
        let begun = self.env.journal_len();
        let how = WriteOptions { sync, ..WriteOptions::default() };
        self.db.write(&batch, &how).expect("the write succeeds");
        let event = Event {
            begun,
            acknowledged: self.env.journal_len(),
            effect: Effect::Batch { changes: vec![("default".to_string(), change)], logged: true },
            last_sequence: self.db.latest_sequence(),
        };
        events.push((event, sync || self.every));
    }
}

fn value_of(number: u64, len: usize) -> Vec<u8> {
    let mut value = format!("value-{number}-").into_bytes();
    let mut state = number;
    while value.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.push((state >> 40) as u8);
    }
    value
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
