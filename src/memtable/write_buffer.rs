//! A memtable with what belongs to it: its range deletions, the sequence numbers it spans, and holds on whatever
//! its entries point into. This is what column families switch, seal and flush.
//!
//! Invariant B1: a write adds its holds before its entries, so a reader that finds a pointer finds the file.

use super::budget::{Charge, WriteBufferManager};
use super::{MemTable, RangeDeletions, Structure, create};
use crate::base::expiry::{decoded_pointer, split};
use crate::base::memory::allocation;
use crate::base::range_tombstone::{RangeTombstone, TombstoneList};
use crate::base::{EntryKind, InternalComparator, SequenceNumber};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Something a memtable's entries depend on (a value-log segment), kept alive while the memtable lives.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Bytes of memory that a hold takes: number and pointer in a node of the map, which is two thirds full in the mean.
const HOLD_BYTES: usize = 36;

/// One memtable of a column family.
pub struct WriteBuffer {
    table: Arc<dyn MemTable>,
    deletions: RangeDeletions,
    order: InternalComparator,
    first_sequence: AtomicU64,
    last_sequence: AtomicU64,
    holds: Mutex<BTreeMap<u64, Hold>>,
    hold_count: AtomicUsize,
    first_unlogged: AtomicU64,
    /// Value-log bytes that its pointers refer to.
    value_bytes: AtomicU64,
    /// Bytes of its inline values that the flush will move to the value log, and from how many bytes on it does.
    kept_bytes: AtomicU64,
    separate_from: AtomicU64,
    /// Value-log bytes that its deletions may make dead, about.
    deleted_bytes: AtomicU64,
    /// Value-log bytes by which it is full.
    value_limit: AtomicU64,
    /// Value-log bytes that a deletion is taken to make dead.
    deletion_weight: AtomicU64,
    charge: OnceLock<Charge>,
}

impl WriteBuffer {
    /// An empty one.
    pub fn new(structure: Structure, order: &InternalComparator) -> Arc<WriteBuffer> {
        Arc::new(WriteBuffer {
            table: create(structure, order),
            deletions: RangeDeletions::default(),
            order: order.clone(),
            first_sequence: AtomicU64::new(u64::MAX),
            last_sequence: AtomicU64::new(0),
            holds: Mutex::new(BTreeMap::new()),
            hold_count: AtomicUsize::new(0),
            first_unlogged: AtomicU64::new(u64::MAX),
            value_bytes: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
            separate_from: AtomicU64::new(u64::MAX),
            deleted_bytes: AtomicU64::new(0),
            value_limit: AtomicU64::new(u64::MAX),
            deletion_weight: AtomicU64::new(0),
            charge: OnceLock::new(),
        })
    }

    /// Adds a point entry.
    pub fn insert(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]) {
        self.insert_of_run(sequence, kind, user_key, value);
        self.span(sequence);
    }

    /// Adds a point entry of a run of them with ascending sequence numbers. `span` is to be told of the first and the
    /// last, and of some in between.
    #[inline]
    pub fn insert_of_run(&self, sequence: SequenceNumber, kind: EntryKind, user_key: &[u8], value: &[u8]) {
        self.table.insert(sequence, kind, user_key, value);
        match kind {
            EntryKind::Pointer | EntryKind::ExpiringPointer => {
                let bytes = decoded_pointer(kind, value).map_or(0, |pointer| pointer.record_len.into());
                self.value_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            EntryKind::Put | EntryKind::ExpiringPut => {
                let len = split(kind, value).1.len();
                if len as u64 >= self.separate_from.load(Ordering::Relaxed) {
                    self.kept_bytes.fetch_add((user_key.len() + len) as u64, Ordering::Relaxed);
                }
            }
            EntryKind::Delete | EntryKind::SingleDelete => self.note_deletion(),
            _ => {}
        }
    }

    /// Adds a range deletion.
    pub fn delete_range(&self, sequence: SequenceNumber, start: &[u8], end: &[u8]) {
        self.deletions.add(RangeTombstone { start: start.to_vec(), end: end.to_vec(), sequence });
        self.span(sequence);
        self.note_deletion();
    }

    fn note_deletion(&self) {
        let weight = self.deletion_weight.load(Ordering::Relaxed);
        if weight > 0 {
            self.deleted_bytes.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// What it hides is seen when it is flushed and compacted: it is full, whatever memory it takes, once it refers
    /// to `limit` bytes of values, each deletion counting as `deletion_weight` of them.
    pub fn limit_values(&self, limit: u64, deletion_weight: u64) {
        self.value_limit.store(limit.max(1), Ordering::Relaxed);
        self.deletion_weight.store(deletion_weight, Ordering::Relaxed);
    }

    /// Inline values of at least so many bytes will be moved to the value log when it is flushed. Those that come from
    /// now on are counted by it.
    pub fn separate_from(&self, bytes: u64) {
        self.separate_from.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of inline values that the flush will move to the value log, about: not compressed, and of all versions.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of whole value-log records that its pointers refer to.
    pub fn value_bytes(&self) -> u64 {
        self.value_bytes.load(Ordering::Relaxed)
    }

    /// Value-log bytes that its entries may have made dead, at most: each may replace or delete an older value.
    pub fn hidden_bytes(&self) -> u64 {
        let values = self.value_bytes().saturating_add(self.kept_bytes());
        values.saturating_add(self.deleted_bytes.load(Ordering::Relaxed))
    }

    /// Whether it is to be sealed before the next write: by `seal_at` bytes of memory or by its limit of values.
    #[inline]
    pub fn is_full(&self, seal_at: u64) -> bool {
        self.memory_bytes() as u64 >= seal_at
            || self.hidden_bytes() >= self.value_limit.load(Ordering::Relaxed)
    }

    /// Takes note of an entry that was added, and of the memory that was needed up to now.
    pub fn span(&self, sequence: SequenceNumber) {
        if self.first_sequence.load(Ordering::Relaxed) > sequence {
            self.first_sequence.fetch_min(sequence, Ordering::Relaxed);
        }
        self.last_sequence.fetch_max(sequence, Ordering::Release);
        if let Some(charge) = self.charge.get() {
            charge.update(|| self.allocated_bytes());
        }
    }

    /// Counts its memory at `manager`, from now until it is dropped. Once.
    pub fn charge_to(&self, manager: &Arc<WriteBufferManager>) {
        self.charge.get_or_init(|| Charge::new(manager, self.allocated_bytes()));
    }

    /// Whether it takes writes and its flush was not asked for.
    pub fn is_mutable(&self) -> bool {
        self.charge.get().is_some_and(Charge::is_mutable)
    }

    /// Whether its flush was asked for while it took writes; true until it is flushed.
    pub fn is_leaving(&self) -> bool {
        self.charge.get().is_some_and(Charge::is_leaving)
    }

    /// It will be sealed soon, or is; true if that is new.
    pub fn leave(&self) -> bool {
        self.charge.get().is_some_and(Charge::leave)
    }

    /// No flush will free it any more: it was flushed, or will never be.
    pub fn release(&self) {
        if let Some(charge) = self.charge.get() {
            charge.release();
        }
    }

    /// Keeps `hold` (numbered, each number once) for as long as the memtable lives.
    pub fn keep(&self, number: u64, hold: &Hold) {
        let mut holds = self.holds.lock();
        holds.entry(number).or_insert_with(|| Arc::clone(hold));
        self.hold_count.store(holds.len(), Ordering::Relaxed);
    }

    /// The numbers of what is held, ascending.
    pub fn held(&self) -> Vec<u64> {
        self.holds.lock().keys().copied().collect()
    }

    /// Notes a write from `sequence` on that is in no log.
    pub fn note_unlogged(&self, sequence: SequenceNumber) {
        self.first_unlogged.fetch_min(sequence, Ordering::Relaxed);
    }

    /// The first sequence number that is in no log, if there is one.
    pub fn first_unlogged(&self) -> Option<SequenceNumber> {
        Some(self.first_unlogged.load(Ordering::Relaxed)).filter(|&sequence| sequence != u64::MAX)
    }

    /// The entries.
    pub fn table(&self) -> &Arc<dyn MemTable> {
        &self.table
    }

    /// The range deletions.
    pub fn deletions(&self) -> &RangeDeletions {
        &self.deletions
    }

    /// The newest range deletion of `user_key` visible at `snapshot`, 0 if none.
    pub fn covering_sequence(&self, user_key: &[u8], snapshot: SequenceNumber) -> SequenceNumber {
        if self.deletions.is_empty() {
            return 0;
        }
        self.charging_lists(|deletions| deletions.covering_sequence(user_key, snapshot, &self.order))
    }

    /// All range deletions, as a few lists.
    pub fn tombstone_lists(&self) -> Vec<Arc<TombstoneList>> {
        self.charging_lists(|deletions| deletions.lists(&self.order))
    }

    /// Reads range deletions, and charges the lists that it is the first to need.
    fn charging_lists<T>(&self, read: impl FnOnce(&RangeDeletions) -> T) -> T {
        let before = self.deletions.memory_bytes();
        let answer = read(&self.deletions);
        if self.deletions.memory_bytes() != before
            && let Some(charge) = self.charge.get()
        {
            charge.settle(|| self.allocated_bytes());
        }
        answer
    }

    /// Smallest sequence number inside; `u64::MAX` when empty.
    pub fn first_sequence(&self) -> SequenceNumber {
        self.first_sequence.load(Ordering::Relaxed)
    }

    /// Largest sequence number inside; 0 when empty.
    pub fn last_sequence(&self) -> SequenceNumber {
        self.last_sequence.load(Ordering::Acquire)
    }

    /// True when nothing was added.
    pub fn is_empty(&self) -> bool {
        self.last_sequence() == 0
    }

    /// Point entries and range deletions.
    pub fn entries(&self) -> u64 {
        self.table.len() as u64 + self.deletions.count() as u64
    }

    /// Bytes of memory in use. Grows evenly: memtables are sealed by it.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.deletions.memory_bytes()
    }

    /// Bytes of memory taken from the system: what users are shown and budgets count.
    pub fn allocated_bytes(&self) -> usize {
        let own = allocation(size_of::<WriteBuffer>() + 2 * size_of::<usize>());
        let holds = self.hold_count.load(Ordering::Relaxed) * HOLD_BYTES;
        own + holds + self.table.allocated_bytes() + self.deletions.memory_bytes()
    }
}
