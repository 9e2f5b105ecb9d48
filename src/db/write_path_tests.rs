//! Asynchronous writes, failures and closes that meet each other.

use super::{ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};

use crate::base::{Comparator, Error, ErrorKind, Result};
use crate::batch::WriteBatch;
use crate::config::SyncPolicy;
use crate::env::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than anything here takes; a hang is reported after it.
const PATIENCE: Duration = Duration::from_secs(60);

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

fn options() -> Options {
    Options { create_if_missing: true, ..Options::default() }
}

fn open(options: &Options, path: &Path) -> Result<Db> {
    Db::open(options, path, &ColumnFamilyOptions::default())
}

fn one(key: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(0, key, b"value").unwrap();
    batch
}

/// Runs `body` in a thread and fails if it does not end.
fn must_end<T: Send + 'static>(what: &str, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(body()));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Callbacks write, plainly and synced, while others sync: nobody is left to a log thread that waits for them.
#[test]
fn callbacks_that_write_end_beside_synced_writes() {
    let directory = Directory::new("callbacks-write");
    let mut options = options();
    options.config.wal.sync_policy = SyncPolicy::Manual;
    let db = open(&options, &directory.0).unwrap();
    must_end("callbacks and synced writes", move || {
        for round in 0..300u32 {
            let called = Arc::new(AtomicUsize::new(0));
            let synced = WriteOptions { sync: true, ..WriteOptions::default() };
            std::thread::scope(|scope| {
                for thread in 0..2u8 {
                    let (db, synced) = (&db, &synced);
                    scope.spawn(move || db.put(&db.default_column_family(), &[thread], b"", synced).unwrap());
                }
                let (inner, called) = (db.clone(), Arc::clone(&called));
                let sync = round % 2 == 0;
                let callback = move |outcome: Result<()>| {
                    outcome.unwrap();
                    let how = WriteOptions { sync, ..WriteOptions::default() };
                    inner.put(&inner.default_column_family(), b"by callback", b"", &how).unwrap();
                    called.fetch_add(1, Ordering::Release);
                };
                db.write_async(&one(b"asked"), &WriteOptions::default(), Box::new(callback)).unwrap();
            });
            while called.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
        }
        db.close().unwrap();
    });
}

/// A callback may ask for the log thread while the database closes; and may hold its last handle.
#[test]
fn close_does_not_wait_for_itself() {
    for last_handle in [false, true] {
        let directory = Directory::new("close-callback");
        let mut options = options();
        options.config.wal.async_writes = false;
        let db = open(&options, &directory.0).unwrap();
        let (entered, (told, told_receiver)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let (inner, inside) = (db.clone(), Arc::clone(&entered));
        let callback = move |outcome: Result<()>| {
            outcome.unwrap();
            inside.store(true, Ordering::Release);
            if !last_handle {
                while !inner.engine().closed.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                std::thread::sleep(Duration::from_millis(50));
                inner.engine().start_log_thread().unwrap();
            }
            let weak = Arc::downgrade(inner.engine());
            drop(inner);
            told.send(weak.upgrade().is_none_or(|engine| engine.closed.load(Ordering::Acquire))).unwrap();
        };
        db.write_async(&one(b"key"), &WriteOptions::default(), Box::new(callback)).unwrap();
        must_end("close beside a callback", move || {
            if !last_handle {
                while !entered.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                db.close().unwrap();
            }
        });
        told_receiver.recv_timeout(PATIENCE).expect("the callback ends");
        open(&options, &directory.0).unwrap();
    }
}

/// A sync of the log thread that fails ends writes, though nobody waited for it.
#[test]
fn a_failed_sync_that_nobody_waited_for_makes_the_database_read_only() {
    for by_write in [false, true] {
        let directory = Directory::new("interval-fails");
        let faulty = FaultyEnv::new(crate::env::default_env());
        let mut options = Options { env: Some(faulty.clone()), ..options() };
        options.config.wal.sync_policy = SyncPolicy::EveryNMs(1);
        options.config.value_log.separation_threshold = 0;
        let db = open(&options, &directory.0).unwrap();
        let family = db.default_column_family();
        let selection = Selection::of(&[OperationClass::Sync]).named(".vlog");
        faulty.plan().arm(Fault { selection, nth: 0, failure: Failure::BROKEN, lasting: false });
        db.put(&family, b"key", b"value", &WriteOptions::default()).unwrap();
        let failed = Arc::new(AtomicBool::new(false));
        let (engine, seen) = (Arc::clone(db.engine()), Arc::clone(&failed));
        must_end("the interval", move || {
            let found = || match by_write {
                true => engine.durability.failure().is_some(),
                false => engine.health.failure().is_some(),
            };
            while !found() {
                std::thread::yield_now();
            }
            seen.store(true, Ordering::Release);
        });
        let refused = db.put(&family, b"late", b"value", &WriteOptions::default());
        assert!(refused.is_err(), "acknowledged, and no sync will ever come");
        assert!(db.health().failure.is_some());
        let _ = db.close();
    }
}

/// What an open that failed has begun must not keep the lock: the advice of its error can be followed at once.
#[test]
fn after_an_open_that_failed_another_one_can_follow() {
    let from = Directory::new("failed-open-from");
    let db = open(&options(), &from.0).unwrap();
    for key in 0..60u32 {
        db.put(&db.default_column_family(), &key.to_be_bytes(), &[7; 200], &WriteOptions::default()).unwrap();
    }
    let crashed = Directory::new("failed-open-crashed");
    copy(&from.0, &crashed.0);
    db.close().unwrap();
    let mut failed = 0;
    for nth in (0..).step_by(3) {
        let directory = Directory::new("failed-open-to");
        copy(&crashed.0, &directory.0);
        let faulty = FaultyEnv::new(crate::env::default_env());
        let mut options = Options { env: Some(faulty.clone()), ..options() };
        // Recovery flushes several times.
        options.config.memtable.max_size = 4096;
        let selection = Selection::mutating();
        faulty.plan().arm(Fault { selection, nth, failure: Failure::BROKEN, lasting: true });
        if let Ok(db) = open(&options, &directory.0) {
            let _ = db.close();
            if faulty.plan().fired() == 0 {
                break;
            }
            continue;
        }
        failed += 1;
        faulty.plan().heal();
        let db =
            open(&options, &directory.0).unwrap_or_else(|error| panic!("after operation {nth}: {error}"));
        let last =
            db.get(&db.default_column_family(), &59u32.to_be_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(last.as_deref(), Some(&[7u8; 200][..]));
    }
    assert!(failed > 5, "{failed} opens failed");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        if target.file_name().is_some_and(|name| name != "LOCK") {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

/// A log sealed by a clean close was synced to its last byte, log data included.
#[test]
fn a_power_loss_after_a_clean_close_loses_nothing() {
    for (before, synced) in [(false, false), (false, true), (true, false), (true, true)] {
        let env = SimEnv::new(11);
        let options = Options { env: Some(env.clone()), ..options() };
        let db = open(&options, Path::new("/db")).unwrap();
        if before {
            let how = WriteOptions { sync: true, ..WriteOptions::default() };
            db.put(&db.default_column_family(), b"key", b"value", &how).unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.put_log_data(b"nobody reads this").unwrap();
        db.write(&batch, &WriteOptions { sync: synced, ..WriteOptions::default() }).unwrap();
        db.close().unwrap();
        let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1);
        let db = open(&Options { env: Some(image), ..options.clone() }, Path::new("/db")).unwrap();
        let value = db.get(&db.default_column_family(), b"key", &ReadOptions::default()).unwrap();
        assert_eq!(value.is_some(), before);
    }
}

/// What a comparator does when it meets the key "panic".
type Hook = Arc<parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct Panicking(Hook);

impl Comparator for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        if (a == b"panic" || b == b"panic")
            && let Some(hook) = self.0.lock().take()
        {
            hook();
            panic!("as told");
        }
        a.cmp(b)
    }
}

/// Half a batch in memory never reaches a table: `resume` refuses, also when something else had failed before.
#[test]
fn resume_refuses_half_a_batch() {
    let env = SimEnv::new(12);
    let options = Options { env: Some(env), ..options() };
    let hook = Hook::default();
    let family_options = ColumnFamilyOptions {
        comparator: Arc::new(Panicking(Arc::clone(&hook))),
        ..ColumnFamilyOptions::default()
    };
    let open = || Db::open(&options, Path::new("/db"), &family_options).unwrap();
    let db = open();
    let family = db.default_column_family();
    db.put(&family, b"first", b"value", &WriteOptions::default()).unwrap();
    let engine = Arc::clone(db.engine());
    *hook.lock() = Some(Box::new(move || engine.health.fail(&Error::new(ErrorKind::Io, "broken"))));
    let mut batch = one(b"a");
    batch.put(0, b"panic", b"value").unwrap();
    assert!(db.write(&batch, &WriteOptions::default()).is_err());
    assert!(db.resume().is_err(), "half a batch would be flushed");
    let _ = db.close();
    drop((db, family));
    let db = open();
    let got = |key: &[u8]| db.get(&db.default_column_family(), key, &ReadOptions::default()).unwrap();
    assert!(got(b"first").is_some());
    assert_eq!(got(b"a").is_some(), got(b"panic").is_some(), "half a batch");
}
