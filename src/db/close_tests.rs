//! What close waits for, and what it leaves behind.

use super::{ColumnFamilyOptions, CompactRangeOptions, Db, Options, ReadOptions, WriteOptions};
use crate::base::error::Subcode;
use crate::base::extension::{CompactionFilter, FilterDecision};
use crate::base::{Error, ErrorKind};
use crate::env::simulated::SimEnv;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory of the operating system, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("auradb-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// Callbacks of asynchronous writes come exactly once: by a close with everything durable, and by one after a failure
/// with the error.
#[test]
fn asynchronous_writes_are_answered_by_a_close() {
    for fails in [false, true] {
        let directory = Directory::new("close-asynchronous");
        let mut options = Options { create_if_missing: true, ..Options::default() };
        options.config.wal.async_writes = false;
        let db = Db::open(&options, &directory.0, &ColumnFamilyOptions::default()).unwrap();
        let family = db.default_column_family();
        db.put(&family, b"first", b"", &WriteOptions::default()).unwrap();
        if fails {
            // As if the log thread were gone: nobody syncs for the writes.
            db.engine().durability.stop();
            db.engine().start_log_thread().unwrap();
            db.engine().log_thread.lock().as_ref().expect("started");
            let thread = db.engine().log_thread.lock().take().unwrap();
            thread.join();
            *db.engine().log_thread.lock() = Some(Box::new(NoThread));
        }
        let outcomes = Arc::new(parking_lot::Mutex::new(Vec::new()));
        for key in 0..100u8 {
            let outcomes = Arc::clone(&outcomes);
            let mut batch = crate::batch::WriteBatch::new();
            batch.put(0, &[key], b"value").unwrap();
            let callback = move |outcome: crate::base::Result<()>| outcomes.lock().push((key, outcome));
            db.write_async(&batch, &WriteOptions::default(), Box::new(callback)).unwrap();
            let value = db.get(&family, &[key], &ReadOptions::default()).unwrap();
            assert_eq!(value.as_deref(), Some(&b"value"[..]), "readable at once");
        }
        if fails {
            let full = Error::new(ErrorKind::Io, "full").with_subcode(Subcode::NoSpace);
            db.engine().health.fail(&full);
        }
        db.close().unwrap();
        let outcomes = outcomes.lock();
        assert!(outcomes.iter().map(|(key, _)| *key).eq(0..100u8), "each once, in order");
        for (key, outcome) in outcomes.iter() {
            let subcode = outcome.as_ref().err().map(|error| error.subcode());
            assert_eq!(subcode, fails.then_some(Subcode::SyncUnknown), "{key}: {outcome:?}");
        }
    }
}

struct NoThread;

impl crate::env::Joinable for NoThread {
    fn join(self: Box<Self>) {}
}

#[derive(Default)]
struct Gate {
    entered: AtomicBool,
    open: AtomicBool,
}

impl CompactionFilter for Gate {
    fn name(&self) -> &str {
        "gate"
    }
    fn filter(&self, _level: u32, _key: &[u8], _value: &[u8]) -> FilterDecision {
        self.entered.store(true, Ordering::Release);
        while !self.open.load(Ordering::Acquire) {
            pause();
        }
        FilterDecision::Keep
    }
}

#[test]
fn close_waits_for_a_compaction_by_hand() {
    let directory = Directory::new("close-compaction");
    let options = Options { create_if_missing: true, ..Options::default() };
    let gate = Arc::new(Gate::default());
    let family_options =
        ColumnFamilyOptions { compaction_filter: Some(gate.clone()), ..ColumnFamilyOptions::default() };
    let db = Db::open(&options, &directory.0, &family_options).unwrap();
    db.put(&db.default_column_family(), b"key", b"value", &WriteOptions::default()).unwrap();
    let compaction = std::thread::spawn({
        let db = db.clone();
        move || db.compact_range(&db.default_column_family(), None, None, &CompactRangeOptions::default())
    });
    while !gate.entered.load(Ordering::Acquire) {
        pause();
    }
    let opener = std::thread::spawn({
        let (db, gate) = (db.clone(), gate.clone());
        move || {
            while !db.engine().closed.load(Ordering::Acquire) {
                pause();
            }
            (0..20).for_each(|_| pause());
            gate.open.store(true, Ordering::Release);
        }
    });
    db.close().unwrap();
    assert_eq!(db.engine().state.lock().foreground, 0, "the lock was let go while files were written");
    opener.join().unwrap();
    let _ = compaction.join().unwrap();
    let late = db.create_column_family(&ColumnFamilyOptions::default(), "late");
    assert_eq!(late.err().map(|error| error.kind()), Some(ErrorKind::ShutdownInProgress));
}

#[test]
fn damage_in_a_sealed_log_is_found_by_every_open() {
    let env = SimEnv::new(3);
    let options = Options { create_if_missing: true, env: Some(env.clone()), ..Options::default() };
    let open = || Db::open(&options, Path::new("/db"), &ColumnFamilyOptions::default());
    let db = open().unwrap();
    for key in 0..20u8 {
        let how = WriteOptions { sync: key == 0, ..WriteOptions::default() };
        db.put(&db.default_column_family(), &[key], &[key; 50], &how).unwrap();
    }
    db.close().unwrap();
    drop(db);
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let path = env.list_all().into_iter().find(is_log).unwrap();
    let mut bytes = env.read_raw(&path);
    // In the last frame, which no mark covers: only the sealed length tells rot from a torn end.
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    env.write_raw(&path, &bytes);
    for attempt in 0..3 {
        let error =
            open().err().unwrap_or_else(|| panic!("open {attempt} lost a synced write without a word"));
        assert!(error.is_corruption(), "open {attempt}: {error}");
    }
}
