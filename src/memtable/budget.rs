//! The memory of all memtables of any number of column families and databases: counted, capped, charged to a cache.
//!
//! 1. Each memtable is charged to one `WriteBufferManager` (`Charge`), in steps of `STEP` bytes, from its first byte
//!    until it is dropped. A database has a manager of its own unless it is given one to share.
//! 2. A memtable is *mutable* while it takes writes and nobody has asked for its flush; *unflushed* until its table is
//!    installed; *held* until its last reader lets it go. `memory_usage` is what is held.
//! 3. When mutable memtables have more than 7/8 of the cap, or all that is held reaches the cap and mutable memtables
//!    have at least half of it (RocksDB's rule: below, flushes under way will free enough), the largest mutable
//!    memtable of all attached databases is to be flushed (`pick`). RocksDB flushes one of the database whose writer
//!    noticed, however small it is.
//! 4. With `allow_stall`, writers wait while databases have as many unflushed bytes as the cap. Bytes that only readers
//!    keep, and those of databases that cannot flush (failed, closed, opening), are not waited for: no flush would
//!    end that wait. So what is held may exceed the cap by what readers pin, and by one batch for each writer.
//! 5. What is held is charged to the cache, if there is one, in units of `CACHE_UNIT` bytes.
//!
//! Locks: `pick` may be called under the commit lock of a database. It takes view locks of others, and to ask for a
//! flush their state locks, never a commit lock: the memtable is sealed by its own database's background work. Nobody
//! calls it under a state lock. The locks in here are taken last, and nothing is called under them but the cache.
//!
//! Invariant M1: `mutable <= unflushed <= held`, and each is the sum over the charges, whatever threads do.
//! Invariant M2: each memtable is picked at most once, and sealed after it was picked unless its database ends.

use super::write_buffer::WriteBuffer;
use crate::base::{Error, ErrorKind, Result};
use crate::cache::{Cache, Reservation};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A memtable is charged again when it has grown by so much.
const STEP: usize = 1 << 10;
/// What is charged to a cache is a multiple of this: a change of a cache's budget visits all its shards.
const CACHE_UNIT: u64 = 256 << 10;
/// Waiting writers look again after this time in any case.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A database, as a manager sees it.
pub trait Flusher: Send + Sync {
    /// The memtables that take writes, by column family.
    fn active(&self) -> Vec<(u32, Arc<WriteBuffer>)>;
    /// Bytes of memtables that are not empty and that flushes will free; 0 if none can run (failed, closed).
    fn flushable_bytes(&self) -> u64;
    /// Has the active memtable of a family, which was picked, flushed in the background. Does not wait.
    fn request_flush(&self, family: u32);
    /// Where there are no background threads: does what is due. Called without any lock.
    fn run_inline(&self);
}

/// Counts and caps the memory of memtables. Shared by any number of databases; all methods from any thread.
pub struct WriteBufferManager {
    cap: AtomicU64,
    allow_stall: AtomicBool,
    held: AtomicU64,
    unflushed: AtomicU64,
    mutable: AtomicU64,
    cache: Option<CacheCharge>,
    databases: Mutex<Vec<Weak<dyn Flusher>>>,
    waiting: AtomicUsize,
    gate: Mutex<()>,
    freed: Condvar,
}

/// What a cache is charged for memtables.
struct CacheCharge {
    cache: Arc<Cache>,
    units: Mutex<Vec<Reservation>>,
}

/// The memtable that is to be flushed.
pub struct Picked {
    /// Its database.
    pub database: Arc<dyn Flusher>,
    /// Its column family.
    pub family: u32,
}

impl WriteBufferManager {
    /// A manager that caps all memtables at `cap` bytes (0: only counts them), charges them to `cache` if there is one,
    /// and makes writers wait above the cap if `allow_stall`.
    pub fn new(cap: u64, cache: Option<Arc<Cache>>, allow_stall: bool) -> Arc<WriteBufferManager> {
        Arc::new(WriteBufferManager {
            cap: AtomicU64::new(cap),
            allow_stall: AtomicBool::new(allow_stall),
            held: AtomicU64::new(0),
            unflushed: AtomicU64::new(0),
            mutable: AtomicU64::new(0),
            cache: cache.map(|cache| CacheCharge { cache, units: Mutex::new(Vec::new()) }),
            databases: Mutex::new(Vec::new()),
            waiting: AtomicUsize::new(0),
            gate: Mutex::new(()),
            freed: Condvar::new(),
        })
    }

    /// Whether there is a cap.
    pub fn enabled(&self) -> bool {
        self.buffer_size() > 0
    }

    /// Whether memtables are charged to a cache.
    pub fn cost_to_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// The cap in bytes; 0 = none.
    pub fn buffer_size(&self) -> u64 {
        self.cap.load(Ordering::Relaxed)
    }

    /// Changes the cap. A lower one starts flushes with the next write; a higher one lets waiting writers go on.
    pub fn set_buffer_size(&self, cap: u64) {
        self.cap.store(cap, Ordering::SeqCst);
        self.wake();
    }

    /// Whether writers wait above the cap.
    pub fn allow_stall(&self) -> bool {
        self.allow_stall.load(Ordering::Relaxed)
    }

    /// Makes writers wait above the cap, or no longer: those that wait go on at once.
    pub fn set_allow_stall(&self, allow_stall: bool) {
        self.allow_stall.store(allow_stall, Ordering::SeqCst);
        self.wake();
    }

    /// Bytes of all memtables, also of those that are flushed and that readers still hold.
    pub fn memory_usage(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes of memtables whose table is not installed yet.
    pub fn unflushed_memory_usage(&self) -> u64 {
        self.unflushed.load(Ordering::Relaxed)
    }

    /// Bytes of memtables that take writes and whose flush was not asked for.
    pub fn mutable_memory_usage(&self) -> u64 {
        self.mutable.load(Ordering::Relaxed)
    }

    /// Bytes that the cache is charged.
    pub fn charged_to_cache(&self) -> u64 {
        self.cache.as_ref().map_or(0, |charge| charge.units.lock().len() as u64 * CACHE_UNIT)
    }

    /// Lets flushes of `database` be asked for.
    pub fn attach(&self, database: Weak<dyn Flusher>) {
        let mut databases = self.databases.lock();
        databases.retain(|held| held.strong_count() > 0);
        databases.push(database);
    }

    /// Forgets a database, which must not be attached again. Its memtables count until they are dropped.
    pub fn detach(&self, database: &Weak<dyn Flusher>) {
        self.databases.lock().retain(|held| !std::ptr::addr_eq(held.as_ptr(), database.as_ptr()));
        self.wake();
    }

    /// Whether a memtable is to be flushed for the cap's sake.
    #[inline]
    pub fn should_flush(&self) -> bool {
        let cap = self.cap.load(Ordering::Relaxed);
        if cap == 0 {
            return false;
        }
        let mutable = self.mutable.load(Ordering::Relaxed);
        mutable > cap - cap / 8 || (mutable >= cap / 2 && self.held.load(Ordering::Relaxed) >= cap)
    }

    /// The memtable to flush, if `should_flush`: the largest of all attached databases that was not picked before.
    /// Whoever gets it has it flushed.
    #[inline]
    pub fn pick(&self) -> Option<Picked> {
        if self.should_flush() { self.pick_largest() } else { None }
    }

    #[cold]
    fn pick_largest(&self) -> Option<Picked> {
        let mut candidates = Vec::new();
        for database in self.attached() {
            for (family, buffer) in database.active() {
                if buffer.is_mutable() && !buffer.is_empty() {
                    candidates.push((buffer.allocated_bytes(), Arc::clone(&database), family, buffer));
                }
            }
        }
        candidates.sort_by_key(|(bytes, ..)| *bytes);
        // Another thread may have picked the largest meanwhile: then its flush is enough for now.
        let (_, database, family, buffer) = candidates.pop()?;
        buffer.leave().then_some(Picked { database, family })
    }

    fn attached(&self) -> Vec<Arc<dyn Flusher>> {
        self.databases.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Where there are no background threads: does what is due in all databases. Called without any lock.
    pub fn run_inline(&self) {
        self.attached().iter().for_each(|database| database.run_inline());
    }

    /// Whether a write has to wait for `wait`, or may have to.
    #[inline]
    pub fn is_full(&self) -> bool {
        let cap = self.cap.load(Ordering::SeqCst);
        cap > 0 && self.allow_stall.load(Ordering::SeqCst) && self.unflushed.load(Ordering::SeqCst) >= cap
    }

    /// Whether flushes will end a wait: what they can free reaches the cap.
    pub fn is_stalling(&self) -> bool {
        let flushable = || self.attached().iter().map(|database| database.flushable_bytes()).sum::<u64>();
        self.is_full() && flushable() >= self.buffer_size()
    }

    /// Waits until flushes have brought memtables below the cap, asking for them. `check` tells whether to give up;
    /// `inline`: there are no background threads, the caller does the work. Called without any lock. Returns whether it
    /// had to wait.
    pub fn wait(&self, inline: bool, no_slowdown: bool, check: &dyn Fn() -> Result<()>) -> Result<bool> {
        let mut waited = false;
        while self.is_stalling() {
            check()?;
            if no_slowdown {
                return Err(Error::new(
                    ErrorKind::Incomplete,
                    "Write stall: memtables have reached the write buffer manager's size and the caller asked not to \
                     wait; try later",
                ));
            }
            if let Some(Picked { database, family }) = self.pick() {
                database.request_flush(family);
            }
            if inline {
                let before = self.unflushed_memory_usage();
                self.run_inline();
                // Nobody else would free any.
                if self.unflushed_memory_usage() >= before {
                    break;
                }
                waited = true;
                continue;
            }
            waited = true;
            let mut gate = self.gate.lock();
            self.waiting.fetch_add(1, Ordering::SeqCst);
            if self.is_full() {
                self.freed.wait_for(&mut gate, LOOK_AGAIN);
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        if waited {
            check()?;
        }
        Ok(waited)
    }

    /// Lets waiting writers look again: memory was freed, or their database failed or closes.
    pub fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // Under the lock: one that has looked and does not wait yet must not miss it.
            let _gate = self.gate.lock();
            self.freed.notify_all();
        }
    }

    fn charge_cache(&self) {
        let Some(charge) = &self.cache else { return };
        let mut gone = Vec::new();
        let mut units = charge.units.lock();
        let wanted = self.memory_usage().div_ceil(CACHE_UNIT) as usize;
        while units.len() < wanted {
            units.push(charge.cache.reserve(CACHE_UNIT));
        }
        gone.extend(units.drain(wanted..));
    }
}

impl std::fmt::Debug for WriteBufferManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteBufferManager({} of {} bytes)", self.memory_usage(), self.buffer_size())
    }
}

/// How far a memtable has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    /// Takes writes.
    Mutable,
    /// Is to be sealed, or is.
    Leaving,
    /// No flush will free it: its table is installed, or nobody wants one.
    Released,
}

/// What a memtable is charged at its manager. Dropping it returns all.
pub(super) struct Charge {
    manager: Arc<WriteBufferManager>,
    state: Mutex<Charged>,
    /// Size from which it is charged again.
    next: AtomicUsize,
}

struct Charged {
    bytes: u64,
    stage: Stage,
}

impl Charge {
    /// Charges `bytes` for a memtable that takes writes.
    pub(super) fn new(manager: &Arc<WriteBufferManager>, bytes: usize) -> Charge {
        let charge = Charge {
            manager: Arc::clone(manager),
            state: Mutex::new(Charged { bytes: 0, stage: Stage::Mutable }),
            next: AtomicUsize::new(0),
        };
        charge.grow(bytes);
        charge
    }

    /// The memtable has `bytes` now.
    #[inline]
    pub(super) fn update(&self, bytes: usize) {
        if bytes >= self.next.load(Ordering::Relaxed) {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&self, bytes: usize) {
        let mut state = self.state.lock();
        let more = (bytes as u64).saturating_sub(state.bytes);
        state.bytes += more;
        self.next.store(bytes + STEP, Ordering::Relaxed);
        let manager = &self.manager;
        // M1: upwards the larger sum first.
        manager.held.fetch_add(more, Ordering::SeqCst);
        if state.stage < Stage::Released {
            manager.unflushed.fetch_add(more, Ordering::SeqCst);
        }
        if state.stage == Stage::Mutable {
            manager.mutable.fetch_add(more, Ordering::SeqCst);
        }
        drop(state);
        manager.charge_cache();
    }

    pub(super) fn is_mutable(&self) -> bool {
        self.state.lock().stage == Stage::Mutable
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state.lock().stage == Stage::Leaving
    }

    /// It will be sealed soon, or is; true if that is new.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        let new = state.stage == Stage::Mutable;
        if new {
            state.stage = Stage::Leaving;
            self.manager.mutable.fetch_sub(state.bytes, Ordering::SeqCst);
        }
        new
    }

    /// No flush will free it any more.
    pub(super) fn release(&self) {
        self.leave();
        let mut state = self.state.lock();
        if state.stage == Stage::Leaving {
            state.stage = Stage::Released;
            self.manager.unflushed.fetch_sub(state.bytes, Ordering::SeqCst);
        }
        drop(state);
        self.manager.wake();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
        self.manager.held.fetch_sub(self.state.get_mut().bytes, Ordering::SeqCst);
        self.manager.charge_cache();
        self.manager.wake();
    }
}

/// The memtables of one database, for as long as anybody holds them.
pub struct Memtables {
    manager: Arc<WriteBufferManager>,
    /// By column family.
    watched: Mutex<Vec<(u32, Weak<WriteBuffer>)>>,
}

impl Memtables {
    /// Memtables that are charged to `manager`.
    pub fn new(manager: Arc<WriteBufferManager>) -> Arc<Memtables> {
        Arc::new(Memtables { manager, watched: Mutex::new(Vec::new()) })
    }

    /// The manager.
    pub fn manager(&self) -> &Arc<WriteBufferManager> {
        &self.manager
    }

    /// Counts a new memtable of a family from now on.
    pub fn watch(&self, family: u32, buffer: &Arc<WriteBuffer>) {
        buffer.charge_to(&self.manager);
        let mut watched = self.watched.lock();
        watched.retain(|(_, held)| held.strong_count() > 0);
        watched.push((family, Arc::downgrade(buffer)));
    }

    /// Bytes of the memtables of one family, or of all, that anybody holds.
    pub fn held_bytes(&self, family: Option<u32>) -> u64 {
        let watched = self.watched.lock().clone();
        let asked = watched.iter().filter(|(of, _)| family.is_none_or(|family| family == *of));
        asked.filter_map(|(_, held)| held.upgrade()).map(|buffer| buffer.allocated_bytes() as u64).sum()
    }
}
