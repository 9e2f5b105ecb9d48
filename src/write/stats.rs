//! What was committed, counted under the commit lock: but for `recycled_logs` no counter is changed by two threads at
//! once, so none needs a locked instruction, and all are in one cache line.

use super::separate::Prepared;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since open. Read by anybody at any time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CommitStats {
    /// Batches committed.
    pub batches: AtomicU64,
    /// Entries committed.
    pub entries: AtomicU64,
    /// Bytes of batches as logged.
    pub batch_bytes: AtomicU64,
    /// Bytes that users wrote: keys and values of single writes, batches as they were given.
    pub user_bytes: AtomicU64,
    /// Log files made of ones that were not needed any more.
    pub recycled_logs: AtomicU64,
}

impl CommitStats {
    /// Counts a batch. Under the commit lock.
    #[inline]
    pub(super) fn count(&self, prepared: &Prepared<'_>) {
        add(&self.batches, 1);
        add(&self.entries, prepared.count.into());
        add(&self.batch_bytes, prepared.bytes.len() as u64);
        add(&self.user_bytes, prepared.user_bytes as u64);
    }
}

/// Adds to a counter that no other thread changes meanwhile.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}
