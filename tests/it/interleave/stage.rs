//! A database on a simulated machine, what it must show, and what can happen to it.
//!
//! Every write is synced, so that after a crash of any kind exactly what was acknowledged must be there.

use crate::support::reference::show;
use crate::support::settings::{family, options, tiny};
use crate::support::{Random, check};
use auradb::base::ErrorKind;
use auradb::config::SyncPolicy;
use auradb::db::{
    ColumnFamily, CompactRangeOptions, Db, DbIterator, Options, ReadOptions, Snapshot, WriteOptions,
};
use auradb::env::faulty::{FaultyEnv, OperationClass, Selection};
use auradb::env::simulated::{ImageKind, SimEnv};
use auradb::read::PinnedValue;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

const PATH: &str = "/db";
/// All keys there are.
pub const KEYS: [&str; 3] = ["a", "b", "c"];
/// How long their separated values are: a segment of 4 KiB takes one long value and several short ones, so that a
/// relocation fills more than one.
const LENGTHS: [usize; 3] = [300, 2500, 2500];

/// Something that happens. Numbers say which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A new value that goes to the value log.
    Put(usize),
    /// A new value that does not.
    PutInline(usize),
    Delete(usize),
    /// All keys, by one range.
    DeleteAll,
    Snapshot,
    /// Lets the oldest snapshot go.
    Release,
    /// Opens an iterator and goes to the first entry.
    Iterate,
    Step,
    CloseIterator,
    /// Reads a value and keeps it.
    Pin(usize),
    Flush,
    Compact,
    /// Collects all garbage there is.
    Collect,
    Reopen,
    Crash(ImageKind),
}

pub type Outcome = Result<(), String>;
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct Moving {
    iterator: DbIterator,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    at: usize,
}

/// What is open, and what it must show.
struct Parts {
    db: Db,
    family: ColumnFamily,
    model: Model,
    snapshots: VecDeque<(Snapshot, Model)>,
    iterator: Option<Moving>,
    pins: Vec<(PinnedValue, Vec<u8>)>,
    counter: u64,
    /// All that happened, for messages.
    log: Vec<String>,
}

/// What the collections of a stage did.
#[derive(Default)]
pub struct Work {
    pub relocations: AtomicUsize,
    pub removals: AtomicUsize,
    pub images: AtomicUsize,
    pub interrupted: AtomicUsize,
    /// Bytes of values that were left behind because newer entries hid them.
    pub left_behind: AtomicUsize,
}

pub struct Stage<'a> {
    machine: Arc<SimEnv>,
    faulty: Arc<FaultyEnv>,
    options: Options,
    parts: Arc<Mutex<Parts>>,
    work: &'a Work,
}

fn failed(what: &'static str) -> impl Fn(auradb::base::Error) -> String {
    move |error| format!("{what}: {error}")
}

fn open(options: &Options, env: Arc<FaultyEnv>) -> Result<(Db, ColumnFamily), String> {
    let options = Options { env: Some(env), ..options.clone() };
    let db = Db::open(&options, Path::new(PATH), &family(&options.config)).map_err(failed("open"))?;
    let family = db.default_column_family();
    Ok((db, family))
}

/// Every key, and a scan, at `options`' moment.
fn shows(db: &Db, family: &ColumnFamily, model: &Model, options: &ReadOptions) -> Outcome {
    for key in KEYS {
        let found = db.get(family, key.as_bytes(), options).map_err(failed("get"))?;
        check::equal(key.as_bytes(), found.as_deref(), model.get(key.as_bytes()).map(Vec::as_slice))?;
    }
    let found = check::scan(db, family, options)?;
    if found.iter().map(|(key, value)| (key, value)).eq(model.iter()) {
        return Ok(());
    }
    let say = |(key, value): (&Vec<u8>, &Vec<u8>)| format!("{}={}", show(key), show(value));
    let found: Vec<String> = found.iter().map(|(key, value)| say((key, value))).collect();
    Err(format!("a scan shows {found:?}, expected {:?}", model.iter().map(say).collect::<Vec<_>>()))
}

impl Parts {
    fn value(&mut self, len: usize) -> Vec<u8> {
        self.counter += 1;
        let mut value = format!("v{}-", self.counter).into_bytes();
        let mut random = Random::new(self.counter);
        // No codec makes them shorter.
        value.extend((value.len()..len).map(|_| random.next() as u8));
        value
    }

    /// What is not about the machine.
    fn act(&mut self, act: Act) -> Outcome {
        let how = WriteOptions::default();
        match act {
            Act::Put(key) => self.put(KEYS[key], LENGTHS[key]),
            Act::PutInline(key) => self.put(KEYS[key], 4),
            Act::Delete(key) => {
                self.model.remove(KEYS[key].as_bytes());
                self.db.delete(&self.family, KEYS[key].as_bytes(), &how).map_err(failed("delete"))
            }
            Act::DeleteAll => {
                self.model.clear();
                self.db.delete_range(&self.family, b"a", b"d", &how).map_err(failed("delete_range"))
            }
            Act::Snapshot => {
                self.snapshots.push_back((self.db.snapshot(), self.model.clone()));
                Ok(())
            }
            Act::Release => {
                self.snapshots.pop_front();
                Ok(())
            }
            Act::Iterate => {
                let entries = self.model.clone().into_iter().collect();
                let iterator = self.db.iterator(&self.family, &ReadOptions::default());
                let mut iterator = iterator.map_err(failed("iterator"))?;
                iterator.seek_to_first();
                self.iterator = Some(Moving { iterator, entries, at: 0 });
                Ok(())
            }
            Act::Step => {
                let Some(moving) = &mut self.iterator else { return Ok(()) };
                if moving.at < moving.entries.len() {
                    moving.iterator.next();
                    moving.at += 1;
                } else {
                    moving.iterator.seek_to_first();
                    moving.at = 0;
                }
                Ok(())
            }
            Act::CloseIterator => {
                self.iterator = None;
                Ok(())
            }
            Act::Pin(key) => {
                let found = self.db.get(&self.family, KEYS[key].as_bytes(), &ReadOptions::default());
                if let Some(value) = found.map_err(failed("get"))? {
                    self.pins
                        .push((value, self.model.get(KEYS[key].as_bytes()).cloned().unwrap_or_default()));
                }
                Ok(())
            }
            Act::Flush => self.db.flush(&[&self.family], true).map_err(failed("flush")),
            Act::Compact => {
                let how = CompactRangeOptions { force_bottommost: true };
                match self.db.compact_range(&self.family, None, None, &how) {
                    // A table is being rewritten: by whom this call interrupts.
                    Err(error) if error.kind() == ErrorKind::Busy => Ok(()),
                    outcome => outcome.map_err(failed("compaction")),
                }
            }
            Act::Collect | Act::Reopen | Act::Crash(_) => unreachable!("about the machine"),
        }
    }

    fn put(&mut self, key: &str, len: usize) -> Outcome {
        let value = self.value(len);
        let outcome = self.db.put(&self.family, key.as_bytes(), &value, &WriteOptions::default());
        self.model.insert(key.as_bytes().to_vec(), value);
        outcome.map_err(failed("put"))
    }

    /// Everything shows what it must.
    fn check(&mut self) -> Outcome {
        shows(&self.db, &self.family, &self.model, &ReadOptions::default())?;
        for (snapshot, model) in &self.snapshots {
            let options = ReadOptions { snapshot: Some(snapshot.sequence()), ..ReadOptions::default() };
            shows(&self.db, &self.family, model, &options).map_err(|what| format!("a snapshot: {what}"))?;
        }
        if let Some(Moving { iterator, entries, at }) = &mut self.iterator {
            let expected = entries.get(*at).map(|(key, value)| (&key[..], &value[..]));
            check::stands_at(iterator, expected)?;
        }
        match self.pins.iter().find(|(pinned, value)| **pinned != value[..]) {
            Some((pinned, value)) => Err(format!("a pinned {} became {}", show(value), show(pinned))),
            None => Ok(()),
        }
    }
}

/// Before which operations of a relocation something else can happen: its thread holds no lock of the engine there.
fn points() -> Selection {
    use OperationClass::{Create, Read, Remove, Rename, Write};
    Selection::of(&[Create, Read, Write, Rename, Remove])
}

fn is_point(class: OperationClass, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match class {
        // Tables are opened where an edit is installed.
        OperationClass::Read => name.ends_with(".vlog"),
        _ => name.ends_with(".vlog") || name.ends_with(".sst") || name.ends_with(".tmp"),
    }
}

impl<'a> Stage<'a> {
    /// An empty database. With `tight` next to no garbage is allowed, and it is collected without being asked.
    pub fn new(tight: bool, work: &'a Work) -> Result<Stage<'a>, String> {
        let mut config = tiny();
        config.wal.sync_policy = SyncPolicy::EveryWrite;
        config.value_log.write_queues = 1;
        config.value_log.max_space_amp = if tight { 1.05 } else { 1.4 };
        let machine = SimEnv::new(1);
        let options = options(None, &config);
        let faulty = FaultyEnv::new(machine.clone());
        let (db, family) = open(&options, faulty.clone())?;
        let parts = Parts {
            db,
            family,
            model: Model::new(),
            snapshots: VecDeque::new(),
            iterator: None,
            pins: Vec::new(),
            counter: 0,
            log: Vec::new(),
        };
        Ok(Stage { machine, faulty, options, parts: Arc::new(Mutex::new(parts)), work })
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What happened so far.
    pub fn history(&self) -> String {
        self.parts().log.join(", ")
    }

    /// Does it, and checks everything.
    pub fn act(&mut self, act: Act) -> Outcome {
        self.parts().log.push(format!("{act:?}"));
        match act {
            Act::Collect => self.collect(|_| Vec::new()).map(|_| ())?,
            Act::Reopen => self.reopen(None)?,
            Act::Crash(kind) => self.reopen(Some(kind))?,
            act => self.parts().act(act)?,
        }
        self.parts().check().map_err(|what| format!("after {act:?}: {what}"))
    }

    pub fn act_all(&mut self, acts: &[Act]) -> Outcome {
        acts.iter().try_for_each(|act| self.act(*act))
    }

    /// Collects all garbage; before the n-th operation of it at which that can be, `what(n)` happens. Gives how many
    /// such points there were.
    pub fn collect(
        &mut self,
        what: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Result<usize, String> {
        self.interrupted(what, |db, _| db.collect_garbage(0.0).map(|_| ()).map_err(failed("collection")))
    }

    /// Flushes. If garbage is collected then, which where it is due happens without being asked for, the newest tables
    /// may hide some of it; `what` happens in between as with `collect`.
    pub fn flush(
        &mut self,
        what: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Result<usize, String> {
        self.interrupted(what, |db, family| match db.flush(&[family], true) {
            // An act inside has begun a flush, which this one waits for.
            Err(error) if error.to_string().contains("is not due") => Ok(()),
            outcome => outcome.map_err(failed("flush")),
        })
    }

    fn interrupted(
        &mut self,
        what: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
        body: impl FnOnce(&Db, &ColumnFamily) -> Outcome,
    ) -> Result<usize, String> {
        let (db, family) = {
            let parts = self.parts();
            (parts.db.clone(), parts.family.clone())
        };
        let before = counters(&db);
        let (parts, machine, options) = (self.parts.clone(), self.machine.clone(), self.options.clone());
        let met = Arc::new(AtomicUsize::new(0));
        let problem: Arc<Mutex<Option<String>>> = Arc::default();
        let (counted, noted) = (met.clone(), problem.clone());
        let happened = Arc::new(AtomicUsize::new(0));
        let acts_done = happened.clone();
        let interruption = move |class: OperationClass, path: &Path| {
            // Flushes and compactions come first: the copying begins with a record read.
            let begun = counted.load(Ordering::Relaxed) > 0 || class == OperationClass::Read;
            if !begun || !is_point(class, path) || noted.lock().unwrap().is_some() {
                return;
            }
            let at = counted.fetch_add(1, Ordering::Relaxed);
            for act in what(at) {
                acts_done.fetch_add(1, Ordering::Relaxed);
                let outcome = interrupt(&parts, &machine, &options, act);
                if let Err(text) = outcome {
                    let text = format!("{act:?} at point {at}, {class:?} {}: {text}", path.display());
                    noted.lock().unwrap().get_or_insert(text);
                    return;
                }
            }
        };
        self.faulty.plan().interrupt(points(), Arc::new(interruption));
        let outcome = body(&db, &family);
        self.faulty.plan().interrupt_no_more();
        if let Some(text) = problem.lock().unwrap().take() {
            return Err(text);
        }
        outcome?;
        let values = db.verify_value_log().map_err(failed("verification"))?;
        let after = counters(&db);
        self.work.relocations.fetch_add((after.0 - before.0) as usize, Ordering::Relaxed);
        self.work.removals.fetch_add((after.1 - before.1) as usize, Ordering::Relaxed);
        self.work.left_behind.fetch_add((after.2 - before.2) as usize, Ordering::Relaxed);
        self.work.interrupted.fetch_add(happened.load(Ordering::Relaxed), Ordering::Relaxed);
        let points = met.load(Ordering::Relaxed);
        self.parts().log.push(format!("(collected: {points} points, {values} values left)"));
        Ok(points)
    }

    /// Closes, or crashes, and opens again.
    fn reopen(&mut self, crash: Option<ImageKind>) -> Outcome {
        let mut parts = self.parts();
        let model = parts.model.clone();
        parts.snapshots.clear();
        parts.iterator = None;
        parts.pins.clear();
        let machine = match crash {
            Some(kind) => self.machine.crash_image(self.machine.journal_len(), kind, 1),
            None => {
                parts.db.close().map_err(failed("close"))?;
                self.machine.clone()
            }
        };
        let faulty = FaultyEnv::new(machine.clone());
        (parts.db, parts.family) = open(&self.options, faulty.clone())?;
        parts.model = model;
        drop(parts);
        (self.machine, self.faulty) = (machine, faulty);
        self.work.images.fetch_add(usize::from(crash.is_some()), Ordering::Relaxed);
        Ok(())
    }

    /// The end of every history: what is left is collected, and survives a crash.
    pub fn end(&mut self, kind: ImageKind) -> Outcome {
        self.act(Act::Collect)?;
        self.act(Act::Crash(kind))
    }
}

/// Relocations, removed segments and bytes left behind since open.
fn counters(db: &Db) -> (u64, u64, u64) {
    let family = db.default_column_family();
    let number = |name: &str| {
        let name = format!("auradb.value-log-gc-{name}");
        db.property_int(&family, &name).unwrap_or_else(|| panic!("no property {name}"))
    };
    (number("relocations"), number("segments-removed"), number("bytes-left-behind"))
}

/// `act` inside a collection. A crash does not end it: what it leaves is looked at aside.
fn interrupt(parts: &Mutex<Parts>, machine: &Arc<SimEnv>, options: &Options, act: Act) -> Outcome {
    let mut parts = parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    parts.log.push(format!("[inside: {act:?}]"));
    if let Act::Crash(kind) = act {
        let image = machine.crash_image(machine.journal_len(), kind, parts.counter);
        let (db, family) = open(options, FaultyEnv::new(image))?;
        return shows(&db, &family, &parts.model, &ReadOptions::default());
    }
    match parts.act(act) {
        // Or a flush has begun, in the thread that this one interrupts.
        Err(what) if matches!(act, Act::Flush | Act::Compact) && what.contains("is not due") => {}
        outcome => outcome?,
    }
    parts.check()
}
