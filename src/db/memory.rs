//! The engine's part in memory: what the manager of write buffers asks of it, and what it tells users.
//!
//! A memtable that was picked for a flush is marked as leaving. If it is this database's, the committing thread seals
//! it at once; another database's is sealed by its own background work (`seal_picked`), for a thread that holds one
//! commit lock must not wait for another.

use super::family::Family;
use super::options::Options;
use super::properties::{table_reader_bytes, unflushed_bytes};
use super::state::Engine;
use crate::base::Result;
use crate::memtable::budget::{Flusher, Memtables, WriteBufferManager};
use crate::memtable::write_buffer::WriteBuffer;
use crate::sst::SpareKeyMemory;
use crate::write::CommitState;
use crate::write::commit::Owner;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Bytes of memory that a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All memtables: with those that are flushed, or whose family is dropped, and that readers still hold.
    pub memtables: u64,
    /// Memtables that are not flushed.
    pub memtables_unflushed: u64,
    /// Indexes, filters and models of open tables. Caches are charged this too.
    pub table_readers: u64,
}

/// Tells of a database's memory without keeping it open.
#[derive(Clone)]
pub struct MemoryConsumer {
    engine: Weak<Engine>,
}

/// Where the memtables of a database with these options are counted.
pub(super) fn memtables(options: &Options) -> Arc<Memtables> {
    Memtables::new(match &options.write_buffer_manager {
        Some(shared) => Arc::clone(shared),
        None => WriteBufferManager::new(options.db_write_buffer_size, None, false),
    })
}

impl MemoryConsumer {
    pub(super) fn new(engine: &Arc<Engine>) -> MemoryConsumer {
        MemoryConsumer { engine: Arc::downgrade(engine) }
    }

    /// The memory that the database holds now; nothing once it is gone.
    pub fn memory_usage(&self) -> MemoryUsage {
        self.engine.upgrade().map_or(MemoryUsage::default(), |engine| engine.memory_usage())
    }

    /// Whether both are of one open database.
    pub fn is_same(&self, other: &MemoryConsumer) -> bool {
        self.engine.ptr_eq(&other.engine)
    }
}

impl Engine {
    /// Lets the manager ask for flushes. Before that, what is replayed is flushed by recovery itself.
    pub(super) fn attach_memtables(&self) {
        if let Some(myself) = self.myself.get() {
            self.memtables.manager().attach(myself.clone());
        }
    }

    /// The database closes: nobody waits for its memtables any more.
    pub(super) fn detach_memtables(&self) {
        self.release_memtables();
        if let Some(myself) = self.myself.get() {
            let myself: Weak<dyn Flusher> = myself.clone();
            self.memtables.manager().detach(&myself);
        }
    }

    /// No memtable that is there now will be flushed.
    pub(super) fn release_memtables(&self) {
        // When reading only, the view has what was replayed, and the committer another one, empty.
        self.committer.lock().families.iter().for_each(|(_, target)| target.active.release());
        for family in self.all_families() {
            family.view().buffers().for_each(|buffer| buffer.release());
        }
    }

    /// Has the largest memtable flushed if all together take too much. Called under the commit lock.
    pub(super) fn flush_the_largest_if_due(&self, commit: &mut CommitState) -> Result<()> {
        let own = self.memtables.manager().pick(|database, family| {
            let own = std::ptr::addr_eq(database, self);
            if !own {
                database.request_flush(family);
            }
            own.then_some(family)
        });
        own.flatten().map_or(Ok(()), |family| self.seal(commit, family))
    }

    /// Seals those of the families' active memtables that were picked. Called without any lock.
    pub(super) fn seal_picked(&self, families: &[Arc<Family>]) -> Result<()> {
        if !families.iter().any(|family| family.view().active.is_leaving()) {
            return Ok(());
        }
        let mut commit = self.committer.lock();
        for family in families {
            if family.view().active.is_leaving() {
                self.seal(&mut commit, family.id)?;
            }
        }
        Ok(())
    }

    /// Waits until flushes have brought memtables below the manager's cap.
    #[cold]
    pub(super) fn wait_for_memory(&self, no_slowdown: bool) -> Result<()> {
        let started = self.env.now();
        let check = || self.check_writes();
        if self.memtables.manager().wait(self.env.runs_inline(), no_slowdown, &check)? {
            let stats = &self.throttle.stats;
            stats.stops.fetch_add(1, Ordering::Relaxed);
            stats.micros.fetch_add((self.env.now() - started).as_micros() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn memory_usage(&self) -> MemoryUsage {
        let views: Vec<_> = self.all_families().iter().map(|family| family.view()).collect();
        MemoryUsage {
            memtables: self.memtables.held_bytes(None),
            memtables_unflushed: views.iter().map(|view| unflushed_bytes(view)).sum(),
            table_readers: views.iter().map(|view| table_reader_bytes(view)).sum(),
        }
    }

    /// What holds memory, in words.
    pub(super) fn memory_text(&self) -> String {
        let usage = self.memory_usage();
        let manager = self.memtables.manager();
        let mut text = format!(
            "memory: memtables {} bytes, {} of them not flushed; open tables {} bytes (charged to the cache)\n",
            usage.memtables, usage.memtables_unflushed, usage.table_readers
        );
        let _ = writeln!(
            text,
            "write buffer manager: {} bytes held, {} not flushed, {} mutable; size {}, charged to the cache {}{}",
            manager.memory_usage(),
            manager.unflushed_memory_usage(),
            manager.mutable_memory_usage(),
            manager.buffer_size(),
            manager.charged_to_cache(),
            if manager.is_stalling() { "; writers wait" } else { "" },
        );
        let spare = crate::memtable::spare_bytes();
        let _ = writeln!(text, "kept for later memtables of any database of the process: {spare} bytes");
        let _ = writeln!(
            text,
            "kept for the keys of later flushes of any database: {} bytes",
            SpareKeyMemory::of_process().bytes()
        );
        text
    }
}

impl Flusher for Engine {
    fn active(&self) -> Vec<(u32, Arc<WriteBuffer>)> {
        let families = self.all_families();
        let live = families.iter().filter(|family| !family.is_dropped());
        live.map(|family| (family.id, Arc::clone(&family.view().active))).collect()
    }

    fn flushable_bytes(&self) -> u64 {
        if self.check_open().is_err() || self.health.failure().is_some() {
            return 0;
        }
        let of_view = |family: &Arc<Family>| {
            let view = family.view();
            let filled = view.buffers().filter(|buffer| !buffer.is_empty());
            filled.map(|buffer| buffer.allocated_bytes() as u64).sum::<u64>()
        };
        self.all_families().iter().filter(|family| !family.is_dropped()).map(of_view).sum()
    }

    fn request_flush(&self, _family: u32) {
        // The mark on the memtable says which.
        self.wake_workers(&mut self.state.lock());
    }

    fn run_inline(&self) {
        Engine::run_inline(self);
    }
}
