//! A table in a version, and the registry that knows when its file can go.
//!
//! The life of a `FileMeta`: opened (registered as live), listed by versions, taken out by an installed edit
//! (marked obsolete), let go by the last reader (queued for removal; V3). One that is dropped without having been
//! marked (at close, or when an edit could not be installed) just leaves the registry.

use crate::sst::{Table, TableProperties};
use crate::value_log::SegmentRef;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The level of a table that no version has listed yet.
const NEVER_INSTALLED: u32 = u32::MAX;

/// A table in a version. Dropping the last reference to one that no version lists any more queues its file for
/// removal, so a reader that holds a version never loses a file.
pub struct FileMeta {
    /// File number.
    pub number: u64,
    /// The run of its level that it belongs to (see `NewFile::run`).
    pub run: u64,
    /// What the table says of itself (size, bounds, sequence bounds, counts, segments used).
    pub properties: TableProperties,
    /// The open table.
    pub table: Arc<Table>,
    /// Holds on the value-log segments that its pointers name.
    pub segments: Vec<SegmentRef>,
    /// Set while a compaction has it as input.
    pub being_compacted: AtomicBool,
    /// Which compaction has it (see `compaction::plan`); 0 = none.
    pub(crate) compaction: AtomicU64,
    referenced_bytes: u64,
    level: AtomicU32,
    obsolete: AtomicBool,
    registry: Arc<TableRegistry>,
}

impl FileMeta {
    pub(super) fn new(
        number: u64,
        run: u64,
        properties: TableProperties,
        table: Arc<Table>,
        segments: Vec<SegmentRef>,
        registry: &Arc<TableRegistry>,
    ) -> Arc<FileMeta> {
        registry.enter(number);
        let referenced_bytes = properties.segments.iter().map(|used| used.bytes).sum();
        Arc::new(FileMeta {
            number,
            run,
            properties,
            table,
            segments,
            being_compacted: AtomicBool::new(false),
            compaction: AtomicU64::new(0),
            referenced_bytes,
            level: AtomicU32::new(NEVER_INSTALLED),
            obsolete: AtomicBool::new(false),
            registry: registry.clone(),
        })
    }

    /// Whether an installed edit took it out of the current version.
    pub fn is_obsolete(&self) -> bool {
        self.obsolete.load(Ordering::Acquire)
    }

    /// The level that the current version lists it at; a stale version may list it elsewhere.
    pub fn current_level(&self) -> u32 {
        self.level.load(Ordering::Acquire)
    }

    /// Whether an installed version has ever listed it.
    pub(super) fn was_installed(&self) -> bool {
        self.current_level() != NEVER_INSTALLED
    }

    pub(super) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    pub(super) fn set_level(&self, level: u32) {
        self.level.store(level, Ordering::Release);
    }

    /// Bytes of whole value-log records that its pointers refer to.
    pub fn referenced_bytes(&self) -> u64 {
        self.referenced_bytes
    }
}

impl Drop for FileMeta {
    fn drop(&mut self) {
        self.registry.leave(self.number, *self.obsolete.get_mut());
    }
}

impl std::fmt::Debug for FileMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileMeta({:06})", self.number)
    }
}

/// Which tables are alive and which files wait for removal.
#[derive(Default)]
pub(super) struct TableRegistry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// How many `FileMeta`s there are of each number (two while an edit is retried).
    live: BTreeMap<u64, usize>,
    obsolete: Vec<u64>,
}

impl TableRegistry {
    fn enter(&self, number: u64) {
        *self.inner.lock().live.entry(number).or_default() += 1;
    }

    fn leave(&self, number: u64, obsolete: bool) {
        let mut inner = self.inner.lock();
        if let Some(count) = inner.live.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                inner.live.remove(&number);
            }
        }
        if obsolete {
            inner.obsolete.push(number);
        }
    }

    pub(super) fn take_obsolete(&self) -> Vec<u64> {
        std::mem::take(&mut self.inner.lock().obsolete)
    }

    pub(super) fn live(&self) -> Vec<u64> {
        self.inner.lock().live.keys().copied().collect()
    }
}
