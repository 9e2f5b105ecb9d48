//! After a failed sync of value-log segments (R6): values that only memtables point to and that may not be on the
//! device are read once more, while the page cache still has them, checked, and written to new segments.
//!
//! Used by `resume` alone, as a layer over the memtables' entries on their way to tables. A value that can no longer
//! be read makes the resume fail: the database stays read-only, and the next open decides what survived.

use crate::base::expiry::pointer_of;
use crate::base::{Error, ParsedKey, Result, ValuePointer};
use crate::iterator::InternalIterator;
use crate::value_log::{SegmentRef, ValueLog};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The segments whose tails are in doubt, and where their values go.
pub(super) struct Rescue {
    value_log: Arc<ValueLog>,
    /// Durable length of each failed segment.
    failed: BTreeMap<u64, u64>,
    /// Holds on the new segments until the tables that point into them are installed.
    holds: Mutex<BTreeMap<u64, SegmentRef>>,
}

impl Rescue {
    /// For the segments that have failed so far.
    pub(super) fn new(value_log: &Arc<ValueLog>) -> Arc<Rescue> {
        Arc::new(Rescue {
            value_log: Arc::clone(value_log),
            failed: value_log.failed_segments().into_iter().collect(),
            holds: Mutex::default(),
        })
    }

    /// `entries` with every pointer in doubt replaced by one to a fresh copy.
    pub(super) fn wrap(
        self: &Arc<Self>,
        entries: Box<dyn InternalIterator>,
        column_family: u32,
    ) -> Box<dyn InternalIterator> {
        Box::new(Rescued { entries, rescue: Arc::clone(self), column_family, value: None, error: None })
    }

    /// The segments of `named` that can be synced, and those written here.
    pub(super) fn segments_to_sync(&self, named: &[u64]) -> Vec<u64> {
        let sound = named.iter().copied().filter(|segment| !self.failed.contains_key(segment));
        sound.chain(self.holds.lock().keys().copied()).collect()
    }

    /// Everything of value stands elsewhere: the failed segments' tails are given up.
    pub(super) fn finish(&self) {
        for segment in self.failed.keys() {
            self.value_log.abandon_tail(*segment);
        }
    }

    /// The pointer to write instead of `encoded`, if that one is in doubt.
    fn replace(&self, column_family: u32, key: &[u8], encoded: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(pointer) = ValuePointer::decode(encoded) else { return Ok(None) };
        match self.failed.get(&pointer.segment) {
            Some(durable) if pointer.end() > *durable => {}
            _ => return Ok(None),
        }
        let value = self.value_log.read(&pointer, column_family, key, false, true).map_err(|error| {
            error.context(
                "resume: a value written before the failed sync can no longer be read; reopen the database",
            )
        })?;
        let (fresh, segment) = self.value_log.append(column_family, key, value.as_slice())?;
        self.holds.lock().insert(fresh.segment, segment);
        let mut encoded = Vec::with_capacity(ValuePointer::MAX_ENCODED_LEN);
        fresh.encode(&mut encoded);
        Ok(Some(encoded))
    }
}

/// Entries with pointers replaced where needed.
struct Rescued {
    entries: Box<dyn InternalIterator>,
    rescue: Arc<Rescue>,
    column_family: u32,
    value: Option<Vec<u8>>,
    error: Option<Error>,
}

impl Rescued {
    fn look(&mut self) {
        self.value = None;
        if !self.entries.valid() {
            return;
        }
        let Some(entry) = ParsedKey::parse(self.entries.key()) else { return };
        let stored = self.entries.value();
        let Some(pointer) = pointer_of(entry.kind, stored) else { return };
        match self.rescue.replace(self.column_family, entry.user_key, pointer) {
            Ok(Some(fresh)) => {
                // What stands before the pointer stays.
                let before = &stored[..stored.len() - pointer.len()];
                self.value = Some([before, &fresh].concat());
            }
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
    }
}

impl InternalIterator for Rescued {
    fn valid(&self) -> bool {
        self.error.is_none() && self.entries.valid()
    }
    fn seek_to_first(&mut self) {
        self.entries.seek_to_first();
        self.look();
    }
    fn seek_to_last(&mut self) {
        self.entries.seek_to_last();
        self.look();
    }
    fn seek(&mut self, target: &[u8]) {
        self.entries.seek(target);
        self.look();
    }
    fn seek_for_prev(&mut self, target: &[u8]) {
        self.entries.seek_for_prev(target);
        self.look();
    }
    fn next(&mut self) {
        self.entries.next();
        self.look();
    }
    fn prev(&mut self) {
        self.entries.prev();
        self.look();
    }
    fn key(&self) -> &[u8] {
        self.entries.key()
    }
    fn value(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_else(|| self.entries.value())
    }
    fn error(&self) -> Option<&Error> {
        self.error.as_ref().or_else(|| self.entries.error())
    }
}
