//! The sequence numbers that readers have asked to keep.

use crate::base::SequenceNumber;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// Live snapshots by sequence number.
#[derive(Default)]
pub(super) struct SnapshotList {
    live: Mutex<BTreeMap<SequenceNumber, Vec<Duration>>>,
}

impl SnapshotList {
    /// Registers a snapshot at what `visible` says, read under the list's lock: a merge that takes the list later
    /// keeps what the snapshot sees.
    pub(super) fn take(&self, visible: impl FnOnce() -> SequenceNumber, now: Duration) -> SequenceNumber {
        let mut live = self.live.lock();
        let sequence = visible();
        live.entry(sequence).or_default().push(now);
        sequence
    }

    /// Lets one snapshot at `sequence` go.
    pub(super) fn release(&self, sequence: SequenceNumber) {
        let mut live = self.live.lock();
        if let Some(times) = live.get_mut(&sequence) {
            times.pop();
            if times.is_empty() {
                live.remove(&sequence);
            }
        }
    }

    /// Sequence numbers, ascending, each once.
    pub(super) fn sequences(&self) -> Vec<SequenceNumber> {
        self.live.lock().keys().copied().collect()
    }

    /// How many are live, and since when the oldest is.
    pub(super) fn summary(&self) -> (usize, Option<Duration>) {
        let live = self.live.lock();
        (live.values().map(Vec::len).sum(), live.values().flatten().min().copied())
    }
}
