//! The manager by itself: what is counted when, what is picked, who waits and who is woken.

use super::Structure;
use super::budget::{Flusher, Memtables, WriteBufferManager};
use super::write_buffer::WriteBuffer;
use crate::base::{EntryKind, Error, ErrorKind, InternalComparator};
use crate::cache::{Cache, EvictionPolicy};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// A database whose flushes are made by hand.
struct Database {
    memtables: Arc<Memtables>,
    buffers: Mutex<Vec<(u32, Arc<WriteBuffer>)>>,
    requests: Mutex<Vec<u32>>,
    failed: AtomicBool,
    inline_runs: AtomicUsize,
    /// Flushes are done when asked for.
    eager: bool,
}

impl Database {
    fn new(manager: &Arc<WriteBufferManager>, eager: bool) -> Arc<Database> {
        let database = Arc::new(Database {
            memtables: Memtables::new(Arc::clone(manager)),
            buffers: Mutex::default(),
            requests: Mutex::default(),
            failed: AtomicBool::new(false),
            inline_runs: AtomicUsize::new(0),
            eager,
        });
        manager.attach(database.weak());
        database
    }

    fn weak(self: &Arc<Database>) -> Weak<dyn Flusher> {
        let weak: Weak<Database> = Arc::downgrade(self);
        weak
    }

    /// A new memtable of a family with `bytes` of values in it, about.
    fn fill(&self, family: u32, bytes: usize) -> Arc<WriteBuffer> {
        let buffer = WriteBuffer::new(Structure::SkipList, &InternalComparator::default());
        self.memtables.watch(family, &buffer);
        for sequence in 1..=bytes.div_ceil(1000) {
            buffer.insert(sequence as u64, EntryKind::Put, &sequence.to_be_bytes(), &[7; 1000]);
        }
        self.buffers.lock().push((family, Arc::clone(&buffer)));
        buffer
    }

    fn flush(&self, family: u32) {
        let mut buffers = self.buffers.lock();
        let at = buffers.iter().position(|(id, _)| *id == family).expect("it has the family");
        let (_, gone) = buffers.remove(at);
        drop(buffers);
        gone.leave();
        gone.release();
    }
}

impl Flusher for Database {
    fn active(&self) -> Vec<(u32, Arc<WriteBuffer>)> {
        self.buffers.lock().clone()
    }
    fn flushable_bytes(&self) -> u64 {
        let buffers = self.buffers.lock();
        let bytes = buffers.iter().map(|(_, buffer)| buffer.allocated_bytes() as u64).sum();
        if self.failed.load(Ordering::Acquire) { 0 } else { bytes }
    }
    fn request_flush(&self, family: u32) {
        self.requests.lock().push(family);
        if self.eager {
            self.flush(family);
        }
    }
    fn run_inline(&self) {
        self.inline_runs.fetch_add(1, Ordering::Relaxed);
    }
}

fn picked(manager: &WriteBufferManager) -> Option<u32> {
    manager.pick().map(|picked| picked.family)
}

#[test]
fn a_memtable_counts_from_its_first_byte_until_nobody_holds_it() {
    let manager = WriteBufferManager::new(0, None, false);
    let database = Database::new(&manager, false);
    let buffer = database.fill(1, 100_000);
    let bytes = buffer.allocated_bytes() as u64;
    let near = |number: u64| number <= bytes && number + 1024 >= bytes;
    assert!(near(manager.memory_usage()) && near(manager.mutable_memory_usage()));
    assert!(!manager.enabled() && picked(&manager).is_none(), "no cap, no flush");
    assert!(buffer.leave() && !buffer.leave());
    assert!(manager.mutable_memory_usage() == 0 && near(manager.unflushed_memory_usage()));
    buffer.release();
    assert!(manager.unflushed_memory_usage() == 0 && near(manager.memory_usage()));
    buffer.insert(1 << 20, EntryKind::Put, b"late", &[1; 5000]);
    assert!(manager.memory_usage() >= bytes + 4000, "what is held counts, whenever it came");
    assert_eq!((manager.unflushed_memory_usage(), manager.mutable_memory_usage()), (0, 0));
    database.buffers.lock().clear();
    assert_eq!(database.memtables.held_bytes(Some(1)), buffer.allocated_bytes() as u64);
    drop(buffer);
    assert_eq!((manager.memory_usage(), database.memtables.held_bytes(None)), (0, 0));
}

#[test]
fn the_largest_of_all_databases_is_picked_once() {
    let manager = WriteBufferManager::new(1 << 20, None, false);
    let (one, other) = (Database::new(&manager, false), Database::new(&manager, false));
    one.fill(1, 200_000);
    other.fill(2, 500_000);
    assert_eq!(picked(&manager), None, "below 7/8 of the cap");
    one.fill(3, 250_000);
    assert_eq!(picked(&manager), Some(2));
    assert!(manager.mutable_memory_usage() < manager.unflushed_memory_usage());
    assert_eq!(picked(&manager), None, "one flush is enough");
    // More than the cap together, and half of it takes writes.
    one.fill(4, 150_000);
    assert!(manager.memory_usage() >= 1 << 20 && manager.mutable_memory_usage() >= 1 << 19);
    assert_eq!(picked(&manager), Some(3));
    assert_eq!(picked(&manager), None, "what is being flushed is enough");
    manager.set_buffer_size(100_000);
    assert_eq!((picked(&manager), picked(&manager), picked(&manager)), (Some(1), Some(4), None));
    assert_eq!(manager.mutable_memory_usage(), 0);
}

#[test]
fn empty_memtables_and_detached_databases_are_not_picked() {
    let manager = WriteBufferManager::new(1000, None, true);
    let database = Database::new(&manager, false);
    database.fill(1, 0);
    assert!(manager.should_flush() && picked(&manager).is_none());
    database.fill(2, 5000);
    manager.detach(&database.weak());
    assert!(manager.should_flush() && picked(&manager).is_none());
    assert!(manager.is_full() && !manager.is_stalling(), "nobody would end the wait");
    assert!(!manager.wait(false, true, &|| Ok(())).unwrap());
}

#[test]
fn caches_shrink_by_what_memtables_take() {
    let cache = Cache::new(4 << 20, EvictionPolicy::Lru, 0);
    let manager = WriteBufferManager::new(1 << 20, Some(Arc::clone(&cache)), false);
    assert!(manager.cost_to_cache() && manager.charged_to_cache() == 0);
    let database = Database::new(&manager, false);
    let buffer = database.fill(1, 600_000);
    assert_eq!(manager.charged_to_cache(), manager.memory_usage().next_multiple_of(256 << 10));
    assert_eq!(cache.usage(), manager.charged_to_cache());
    database.flush(1);
    assert!(cache.usage() > 0, "it is still held");
    drop(buffer);
    assert_eq!((cache.usage(), manager.charged_to_cache()), (0, 0));
}

#[test]
fn a_wait_asks_for_flushes_until_there_is_room() {
    let manager = WriteBufferManager::new(100_000, None, true);
    let database = Database::new(&manager, true);
    database.fill(1, 60_000);
    database.fill(2, 90_000);
    let refused = manager.wait(false, true, &|| Ok(())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Incomplete);
    assert!(manager.wait(false, false, &|| Ok(())).unwrap());
    assert_eq!(*database.requests.lock(), [2]);
    assert!(!manager.is_stalling() && !manager.wait(false, false, &|| Ok(())).unwrap());
}

#[test]
fn without_threads_the_waiting_writer_does_the_work_or_passes() {
    let manager = WriteBufferManager::new(100_000, None, true);
    let database = Database::new(&manager, false);
    database.fill(1, 150_000);
    assert!(!manager.wait(true, false, &|| Ok(())).unwrap(), "nothing was freed, and nobody else would");
    assert_eq!(database.inline_runs.load(Ordering::Relaxed), 1);
}

/// Lets a thread wait, then does `release`; the thread must end. Gives its outcome.
fn released_by(
    release: impl FnOnce(&Arc<WriteBufferManager>, &Arc<Database>, &AtomicBool),
) -> Result<bool, Error> {
    let manager = WriteBufferManager::new(100_000, None, true);
    let database = Database::new(&manager, false);
    database.fill(1, 150_000);
    let (looked, closed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            manager.wait(false, false, &|| {
                looked.store(true, Ordering::Release);
                let error = || Error::new(ErrorKind::ShutdownInProgress, "closed");
                if closed.load(Ordering::Acquire) { Err(error()) } else { Ok(()) }
            })
        });
        while !looked.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        release(&manager, &database, &closed);
        waiter.join().expect("the waiter lives")
    })
}

#[test]
fn whoever_waits_goes_on_when_the_reason_ends() {
    assert!(released_by(|_, database, _| database.flush(1)).unwrap());
    assert!(released_by(|manager, _, _| manager.set_buffer_size(1 << 20)).unwrap());
    assert!(released_by(|manager, _, _| manager.set_buffer_size(0)).unwrap());
    assert!(released_by(|manager, _, _| manager.set_allow_stall(false)).unwrap());
    assert!(released_by(|manager, database, _| manager.detach(&database.weak())).unwrap());
    let failed = released_by(|manager, database, _| {
        database.failed.store(true, Ordering::Release);
        manager.wake();
    });
    assert!(failed.unwrap(), "a failed database is not waited for");
    let closed = released_by(|manager, _, closed| {
        closed.store(true, Ordering::Release);
        manager.wake();
    });
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::ShutdownInProgress);
}

/// Threads fill, pick and flush: in the end every sum is that of what is left (M1).
#[test]
fn sums_are_those_of_the_memtables_whatever_threads_do() {
    let manager = WriteBufferManager::new(200_000, None, true);
    let database = Database::new(&manager, true);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (manager, database) = (&manager, &database);
            scope.spawn(move || {
                for round in 0..60 {
                    let family = 100 * thread + round;
                    let buffer = database.fill(family, 1000 * (round as usize % 40));
                    manager.wait(false, false, &|| Ok(())).unwrap();
                    if let Some(picked) = manager.pick() {
                        picked.database.request_flush(picked.family);
                    }
                    drop(buffer);
                }
            });
        }
    });
    let left = database.buffers.lock().clone();
    let bytes: u64 = left.iter().map(|(_, buffer)| buffer.allocated_bytes() as u64).sum();
    let held = manager.memory_usage();
    assert!(held <= bytes && held + 1024 * left.len() as u64 >= bytes, "{held} for {bytes}");
    assert!(manager.mutable_memory_usage() <= manager.unflushed_memory_usage());
    assert_eq!(manager.unflushed_memory_usage(), held);
    database.buffers.lock().clear();
    drop(left);
    assert_eq!((manager.memory_usage(), manager.mutable_memory_usage()), (0, 0));
}
